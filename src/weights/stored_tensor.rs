//! A tensor in a file: a view of stored numbers, whose bounds are checked when it is made. Numbers are converted only
//! when they are asked for.

use bytes::Bytes;
use candle_core::{Device, Tensor};

use super::error::WeightsError;
use super::number_type::NumberType;
use super::pickle_objects::TensorView;

/// A tensor whose numbers lie within its bytes.
#[derive(Clone, Debug)]
pub struct StoredTensor {
    kind: NumberType,
    bytes: Bytes,
    /// Index of the first number.
    offset: usize,
    shape: Vec<usize>,
    /// Numbers from one index to the next, per axis.
    strides: Vec<usize>,
}

impl StoredTensor {
    /// The view `view` of a storage.
    ///
    /// # Errors
    ///
    /// If it reaches beyond the storage, or repeats numbers of it; the error is what is wrong with the tensor.
    pub fn of_view(view: &TensorView, kind: NumberType, bytes: Bytes) -> Result<Self, String> {
        let TensorView { offset, shape, strides, .. } = view;
        let (shape, strides) = (shape.clone(), strides.clone());
        Self { kind, bytes, offset: *offset, shape, strides }.checked()
    }

    /// A tensor in row-major order, as safetensors files have them.
    ///
    /// # Errors
    ///
    /// If the shape does not fit the bytes.
    pub fn row_major(kind: NumberType, shape: &[usize], bytes: Bytes) -> Result<Self, String> {
        let mut strides = vec![1_usize; shape.len()];
        for axis in (1..shape.len()).rev() {
            strides[axis - 1] = strides[axis].saturating_mul(shape[axis]);
        }
        Self { kind, bytes, offset: 0, shape: shape.to_vec(), strides }.checked()
    }

    /// This tensor, if all its numbers lie within the bytes and there are no more of them.
    fn checked(self) -> Result<Self, String> {
        let Self { kind, bytes, offset, shape, strides } = &self;
        let n_stored = bytes.len() / kind.n_bytes();
        let n = shape.iter().try_fold(1_usize, |n, &size| n.checked_mul(size));
        let last = shape.iter().zip(strides).try_fold(*offset, |last, (&size, stride)| {
            last.checked_add(size.saturating_sub(1).checked_mul(*stride)?)
        });
        let is_inside = n.is_some_and(|n| n <= n_stored)
            && (n == Some(0) || last.is_some_and(|last| last < n_stored));
        match is_inside {
            true => Ok(self),
            false => Err(format!(
                "of shape {shape:?} with strides {strides:?} from {offset} does not fit its storage of {n_stored} \
                 numbers"
            )),
        }
    }

    pub fn kind(&self) -> NumberType {
        self.kind
    }

    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of values.
    pub fn n_values(&self) -> usize {
        self.shape.iter().product()
    }

    /// The values in row-major order.
    pub fn values(&self) -> impl Iterator<Item = f64> + '_ {
        let n_bytes = self.kind.n_bytes();
        let mut index = vec![0; self.shape.len()];
        (0..self.n_values()).map(move |_| {
            let places = index.iter().zip(&self.strides).map(|(i, stride)| i * stride);
            let at = (self.offset + places.sum::<usize>()) * n_bytes;
            for (i, &size) in index.iter_mut().zip(&self.shape).rev() {
                *i += 1;
                if *i < size {
                    break;
                }
                *i = 0;
            }
            self.kind.value(&self.bytes[at..at + n_bytes])
        })
    }

    /// The tensor in single precision on the CPU; values of double precision are rounded.
    ///
    /// # Errors
    ///
    /// If it holds whole numbers, or one that is not finite.
    pub fn weights(&self, name: &str) -> Result<Tensor, WeightsError> {
        if !self.kind.is_fraction() {
            let problem = format!("holds numbers of type {}, not weights", self.kind);
            return Err(WeightsError::tensor(name, problem));
        }
        let values: Vec<f32> = self.values().map(|value| value as f32).collect();
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return Err(WeightsError::tensor(name, format!("holds the value {value}")));
        }
        Tensor::from_vec(values, self.shape.clone(), &Device::Cpu)
            .map_err(|error| WeightsError::tensor(name, error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::pickle_objects::StorageName;
    use super::*;

    fn view(offset: usize, shape: &[usize], strides: &[usize]) -> Result<StoredTensor, String> {
        let bytes: Vec<u8> = (0..12_u8).flat_map(|i| f32::from(i).to_le_bytes()).collect();
        let storage = StorageName { key: "0".into(), kind: "FloatStorage".into(), n_elements: 12 };
        let view = TensorView { storage, offset, shape: shape.into(), strides: strides.into() };
        StoredTensor::of_view(&view, NumberType::F32, bytes.into())
    }

    #[test]
    fn views_are_read_in_row_major_order() {
        let values =
            |found: Result<StoredTensor, String>| -> Vec<f64> { found.unwrap().values().collect() };
        assert_eq!(values(view(0, &[2, 3], &[3, 1])), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(values(view(0, &[2, 3], &[1, 2])), [0.0, 2.0, 4.0, 1.0, 3.0, 5.0], "transposed");
        assert_eq!(values(view(5, &[2], &[6])), [5.0, 11.0]);
        assert_eq!(values(view(11, &[], &[])), [11.0]);
        assert_eq!(values(view(12, &[0, 3], &[3, 1])), Vec::<f64>::new());
    }

    #[test]
    fn views_beyond_their_storage_are_refused() {
        for (offset, shape, strides) in [
            (0, &[13][..], &[1][..]),
            (12, &[1], &[1]),
            (6, &[2], &[6]),
            (0, &[usize::MAX, 2], &[1, 1]),
            (0, &[2], &[usize::MAX]),
            (usize::MAX, &[1], &[1]),
            // More values than numbers: any amount of memory from a few bytes.
            (0, &[1 << 40], &[0]),
        ] {
            let problem = view(offset, shape, strides).unwrap_err();
            assert!(problem.contains("does not fit its storage of 12"), "{problem}");
        }
    }

    #[test]
    fn only_finite_fractions_are_weights() {
        let of = |kind, bytes: &'static [u8]| {
            let tensor = StoredTensor::row_major(kind, &[1], Bytes::from_static(bytes)).unwrap();
            tensor.weights("w")
        };
        let whole = of(NumberType::I32, &[1, 0, 0, 0]).unwrap_err().to_string();
        assert_eq!(whole, "tensor 'w' holds numbers of type i32, not weights");
        let infinite = of(NumberType::F16, &[0, 0x7c]).unwrap_err().to_string();
        assert_eq!(infinite, "tensor 'w' holds the value inf");
    }
}
