//! One array in memory: a shape and numbers in C order (the last axis varies fastest).

use bytes::Bytes;
use half::{bf16, f16};

use super::element_type::ElementType;

/// An array of numbers. Cloning shares the numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    shape: Vec<usize>,
    element: ElementType,
    /// Little-endian numbers in C order.
    bytes: Bytes,
}

/// How numbers lie in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Storage {
    pub element: ElementType,
    pub is_big_endian: bool,
    /// The first axis varies fastest, as in Fortran.
    pub is_fortran: bool,
}

impl Array {
    /// Little-endian numbers in C order are shared, others are copied in that order.
    ///
    /// # Panics
    ///
    /// If the bytes are not those of the shape; readers check files before.
    pub(super) fn new(shape: Vec<usize>, storage: Storage, bytes: Bytes) -> Self {
        let Storage { element, is_big_endian, is_fortran } = storage;
        let size = element.n_bytes();
        assert_eq!(shape.iter().product::<usize>() * size, bytes.len(), "{shape:?} of {element}");
        let bytes = match is_fortran && shape.iter().filter(|&&axis| axis > 1).count() > 1 {
            true => in_c_order(&shape, size, &bytes).into(),
            false => bytes,
        };
        let bytes = match is_big_endian && size > 1 {
            true => bytes.chunks(size).flat_map(|number| number.iter().rev().copied()).collect(),
            false => bytes,
        };
        Self { shape, element, bytes }
    }

    /// Sizes of the axes; the empty shape is that of a single number.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    pub fn element_type(&self) -> ElementType {
        self.element
    }

    /// Number of numbers.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.element.n_bytes()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes of an array of type `uint8`, without copying; `None` for other types.
    pub fn shared_bytes(&self) -> Option<Bytes> {
        (self.element == ElementType::U8).then(|| self.bytes.clone())
    }

    /// The numbers in double precision, which is exact except for integers beyond 2^53.
    pub fn f64_values(&self) -> Vec<f64> {
        self.map(|value| value)
    }

    /// The numbers, rounded to single precision.
    pub fn f32_values(&self) -> Vec<f32> {
        self.map(|value| value as f32)
    }

    /// The numbers of an array of integers or booleans, exactly.
    ///
    /// # Errors
    ///
    /// Names the type, or the first number that is too large, in words that follow "array '...' of '...': ".
    pub fn i64_values(&self) -> Result<Vec<i64>, String> {
        let bytes = &self.bytes[..];
        Ok(match self.element {
            ElementType::U64 => {
                let wide = numbers(bytes, u64::from_le_bytes);
                let narrow = |(i, value): (usize, u64)| {
                    i64::try_from(value).map_err(|_| {
                        format!("number {i} is '{value}', but at most 2^63 - 1 can be used")
                    })
                };
                wide.into_iter().enumerate().map(narrow).collect::<Result<_, _>>()?
            }
            ElementType::I64 => numbers(bytes, i64::from_le_bytes),
            element if element.is_float() => {
                return Err(format!(
                    "it holds '{element}', but integers are needed; convert it to int64"
                ));
            }
            // These are exact in double precision.
            _ => self.map(|value| value as i64),
        })
    }

    /// Applies `of` to each number (in double precision).
    pub fn map<T>(&self, of: impl Fn(f64) -> T) -> Vec<T> {
        let bytes = &self.bytes[..];
        match self.element {
            ElementType::Bool => numbers(bytes, |[v]: [u8; 1]| of(f64::from(u8::from(v != 0)))),
            ElementType::U8 => numbers(bytes, |[v]: [u8; 1]| of(f64::from(v))),
            ElementType::U16 => numbers(bytes, |v| of(f64::from(u16::from_le_bytes(v)))),
            ElementType::U32 => numbers(bytes, |v| of(f64::from(u32::from_le_bytes(v)))),
            ElementType::U64 => numbers(bytes, |v| of(u64::from_le_bytes(v) as f64)),
            ElementType::I8 => numbers(bytes, |v| of(f64::from(i8::from_le_bytes(v)))),
            ElementType::I16 => numbers(bytes, |v| of(f64::from(i16::from_le_bytes(v)))),
            ElementType::I32 => numbers(bytes, |v| of(f64::from(i32::from_le_bytes(v)))),
            ElementType::I64 => numbers(bytes, |v| of(i64::from_le_bytes(v) as f64)),
            ElementType::F16 => numbers(bytes, |v| of(f16::from_le_bytes(v).to_f64())),
            ElementType::Bf16 => numbers(bytes, |v| of(bf16::from_le_bytes(v).to_f64())),
            ElementType::F32 => numbers(bytes, |v| of(f64::from(f32::from_le_bytes(v)))),
            ElementType::F64 => numbers(bytes, |v| of(f64::from_le_bytes(v))),
        }
    }

    /// The numbers of one item if the first `axes` axes are counted as one, in single precision.
    ///
    /// # Panics
    ///
    /// If there are fewer axes or items.
    pub fn item(&self, axes: usize, index: usize) -> Vec<f32> {
        let n_bytes = self.shape[axes..].iter().product::<usize>() * self.element.n_bytes();
        let n = self.shape[axes..].to_vec();
        let bytes = self.bytes.slice(index * n_bytes..(index + 1) * n_bytes);
        Self { shape: n, element: self.element, bytes }.f32_values()
    }

    /// The items of the first axis at `indices`, in that order.
    ///
    /// # Panics
    ///
    /// If an index is out of range, or if the array is a single number.
    pub fn select(&self, indices: &[usize]) -> Self {
        let n_bytes = self.shape[1..].iter().product::<usize>() * self.element.n_bytes();
        let mut bytes = Vec::with_capacity(indices.len() * n_bytes);
        for &i in indices {
            assert!(i < self.shape[0], "index {i} of {}", self.shape[0]);
            bytes.extend_from_slice(&self.bytes[i * n_bytes..][..n_bytes]);
        }
        let mut shape = self.shape.clone();
        shape[0] = indices.len();
        Self { shape, element: self.element, bytes: bytes.into() }
    }
}

fn numbers<const SIZE: usize, T>(bytes: &[u8], of: impl Fn([u8; SIZE]) -> T) -> Vec<T> {
    bytes.as_chunks::<SIZE>().0.iter().map(|number| of(*number)).collect()
}

/// Reorders numbers of `size` bytes from Fortran to C order.
fn in_c_order(shape: &[usize], size: usize, bytes: &[u8]) -> Vec<u8> {
    // The distance in Fortran order between neighbours along each axis, in numbers.
    let strides: Vec<usize> = shape
        .iter()
        .scan(1, |stride, &axis| {
            let own = *stride;
            *stride *= axis;
            Some(own)
        })
        .collect();
    let mut index = vec![0; shape.len()];
    let mut ordered = Vec::with_capacity(bytes.len());
    for _ in 0..bytes.len() / size {
        let at: usize = index.iter().zip(&strides).map(|(i, stride)| i * stride).sum();
        ordered.extend_from_slice(&bytes[at * size..][..size]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(element: ElementType, bytes: Vec<u8>) -> Array {
        let storage = Storage { element, is_big_endian: false, is_fortran: false };
        Array::new(vec![bytes.len() / element.n_bytes()], storage, bytes.into())
    }

    #[test]
    fn numbers_of_every_type_are_read_as_they_are() {
        use ElementType::*;
        for (element, bytes, expected) in [
            (Bool, vec![0, 1], [0.0, 1.0]),
            (U8, vec![3, 255], [3.0, 255.0]),
            (I8, vec![3, 255], [3.0, -1.0]),
            (U16, [3_u16, 65_535].map(u16::to_le_bytes).concat(), [3.0, 65_535.0]),
            (I16, [3_i16, -5].map(i16::to_le_bytes).concat(), [3.0, -5.0]),
            (U32, [3_u32, u32::MAX].map(u32::to_le_bytes).concat(), [3.0, 4_294_967_295.0]),
            (I32, [3_i32, -5].map(i32::to_le_bytes).concat(), [3.0, -5.0]),
            (U64, [3_u64, 1 << 60].map(u64::to_le_bytes).concat(), [3.0, (1_u64 << 60) as f64]),
            (I64, [3_i64, -5].map(i64::to_le_bytes).concat(), [3.0, -5.0]),
            (F16, vec![0x00, 0x3c, 0x00, 0xb8], [1.0, -0.5]),
            (Bf16, vec![0x80, 0x3f, 0x00, 0xbf], [1.0, -0.5]),
            (F32, [3.5_f32, -5.0].map(f32::to_le_bytes).concat(), [3.5, -5.0]),
            (F64, [3.5_f64, 1e300].map(f64::to_le_bytes).concat(), [3.5, 1e300]),
        ] {
            let read = array(element, bytes);
            assert_eq!(read.f64_values(), expected, "{element}");
            assert_eq!(read.i64_values().is_ok(), !element.is_float(), "{element}");
        }
        let large = array(U64, u64::MAX.to_le_bytes().to_vec()).i64_values().unwrap_err();
        assert!(large.contains("number 0 is '18446744073709551615'"), "{large}");
        let exact = array(I64, (i64::MAX - 1).to_le_bytes().to_vec());
        assert_eq!(exact.i64_values(), Ok(vec![i64::MAX - 1]));
    }

    #[test]
    fn fortran_order_and_big_endian_numbers_are_put_in_order() {
        // [[0, 1, 2], [3, 4, 5]], column by column.
        let bytes: Vec<u8> = [0_u16, 3, 1, 4, 2, 5].map(u16::to_be_bytes).concat();
        let storage = Storage { element: ElementType::U16, is_big_endian: true, is_fortran: true };
        let read = Array::new(vec![2, 3], storage, bytes.into());
        assert_eq!(read.f32_values(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(read.select(&[1]).i64_values(), Ok(vec![3, 4, 5]));
        assert_eq!(read.select(&[1, 0, 1]).shape(), [3, 3]);
    }
}
