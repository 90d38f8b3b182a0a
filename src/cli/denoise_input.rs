//! Safetensors files given to `mosaic denoise`: their tensors, and warnings about implausible values.
//!
//! A tensor of the wrong shape or type is refused. Values outside the documented range are used as given, with
//! a warning about what was found: a different normalisation is the most common reason why a comparison fails.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::errorln;
use crate::files::file_kind::not_safetensors;
use crate::files::read_or_map_file;
use crate::image::{ImageBatch, ImageShape};

/// Maximum number of tensor names listed in an error.
const NAMES_MAX: usize = 12;
/// Rounding, even in 16-bit formats, stays within this distance of [-1, 1].
const TOLERANCE: f64 = 0.01;
/// Noisy images are at most a pixel's value plus normal noise of variance up to 1, which never reaches this.
const NOISY_MAX: f64 = 10.0;

/// The content of a tensor file.
pub struct InputFile {
    bytes: Bytes,
}

impl InputFile {
    pub fn read(path: &Path) -> Result<Self> {
        Ok(Self { bytes: read_or_map_file::read(path).context("cannot read the file")? })
    }

    pub fn tensors(&self) -> Result<SafeTensors<'_>> {
        SafeTensors::deserialize(&self.bytes)
            .map_err(|error| anyhow!(not_safetensors(&self.bytes, error)))
    }

    /// A tensor's data, sharing memory with the file's bytes.
    pub fn slice(&self, data: &[u8]) -> Bytes {
        self.bytes.slice_ref(data)
    }
}

/// Finds the tensor with this name.
pub fn named<'a>(file: &SafeTensors<'a>, name: &str) -> Result<TensorView<'a>> {
    file.tensor(name).map_err(|_| {
        let mut names = file.names();
        names.sort_unstable();
        let more = match names.len() {
            n if n > NAMES_MAX => format!(" and {} more", n - NAMES_MAX),
            _ => String::new(),
        };
        names.truncate(NAMES_MAX);
        match names.is_empty() {
            true => anyhow!("there is no tensor '{name}'; the file holds no tensors"),
            false => {
                anyhow!("there is no tensor '{name}'; it holds '{}'{more}", names.join("', '"))
            }
        }
    })
}

/// Channels, height and width of a batch of images `[N, C, H, W]`.
pub fn batch_shape(name: &str, shape: &[usize]) -> Result<ImageShape> {
    match *shape {
        [_, c, h, w] if c.checked_mul(h).and_then(|n| n.checked_mul(w)).is_some_and(|n| n > 0) => {
            Ok(ImageShape::new(c, h, w))
        }
        _ => bail!(
            "tensor '{name}' has shape '{shape:?}', but [count,channels,height,width] is needed"
        ),
    }
}

pub fn floats(name: &str, tensor: &TensorView<'_>) -> Result<Vec<f64>> {
    let data = tensor.data();
    Ok(match tensor.dtype() {
        Dtype::F32 => numbers(data, |b| f64::from(f32::from_le_bytes(b))),
        Dtype::F64 => numbers(data, f64::from_le_bytes),
        other => bail!("tensor '{name}' holds '{other:?}'; give it as F32 or F64"),
    })
}

/// Reads labels, one per image.
pub fn integers(name: &str, tensor: &TensorView<'_>) -> Result<Vec<i64>> {
    let data = tensor.data();
    if tensor.shape().len() != 1 {
        bail!("tensor '{name}' has shape '{:?}', but [count] is needed", tensor.shape());
    }
    Ok(match tensor.dtype() {
        Dtype::U8 => data.iter().map(|&b| i64::from(b)).collect(),
        Dtype::I32 => numbers(data, |b| i64::from(i32::from_le_bytes(b))),
        Dtype::I64 => numbers(data, i64::from_le_bytes),
        other => bail!("tensor '{name}' holds '{other:?}'; give it as U8, I32 or I64"),
    })
}

/// Warnings about training images that are usable but implausible.
pub fn doubts_of_images(tensor: &TensorView<'_>) -> Vec<String> {
    let data = tensor.data();
    let range = match tensor.dtype() {
        Dtype::U8 => {
            let is_binary = data.iter().all(|&byte| byte <= 1) && data.contains(&1);
            let doubt = is_binary.then(|| {
                "all bytes of the training images are 0 or 1, but 0 to 255 is expected (b / 127.5 - 1), so that they are \
                 all but black; multiply them by 255"
                    .to_owned()
            });
            return doubt.into_iter().chain(doubt_of_order(tensor.shape())).collect();
        }
        Dtype::F32 => range(data.as_chunks().0.iter().map(|&b| f64::from(f32::from_le_bytes(b)))),
        Dtype::F64 => range(data.as_chunks().0.iter().map(|&b| f64::from_le_bytes(b))),
        _ => None,
    };
    range.and_then(doubt_of_range).into_iter().chain(doubt_of_order(tensor.shape())).collect()
}

fn doubt_of_range((low, high): (f64, f64)) -> Option<String> {
    let expected = "but in [-1, 1] is expected";
    let advice = match () {
        () if low >= 0.0 && high <= 1.0 + TOLERANCE => "did you forget to map them with 2 v - 1?",
        () if low >= -1.0 - TOLERANCE && high <= 1.0 + TOLERANCE => return None,
        () if low >= 0.0 && high <= 255.0 => {
            "did you forget to map them with v / 127.5 - 1? (U8 tensors are mapped automatically.)"
        }
        () => "were they normalised by mean and variance?",
    };
    Some(format!("the values of the training images lie in [{low}, {high}], {expected}; {advice}"))
}

/// A warning if the shape suggests channels-last images, which would be misread.
fn doubt_of_order(shape: &[usize]) -> Option<String> {
    match *shape {
        [_, h, w, c @ (1 | 3 | 4)] if h > 4 && h == w => Some(format!(
            "the training images have the shape {shape:?}, which is taken for {h} channels of {w}x{c} pixels; give \
             [count,channels,height,width], not channels last"
        )),
        _ => None,
    }
}

/// A warning about implausible noisy images.
fn doubt_of_input(values: &[f64]) -> Option<String> {
    let (low, high) = range(values.iter().copied())?;
    (low < -NOISY_MAX || high > NOISY_MAX).then(|| {
        format!(
            "the values of the input lie in [{low}, {high}]; images in [-1, 1] with noise of variance up to 1 are \
             expected, which stay within [-{NOISY_MAX}, {NOISY_MAX}]"
        )
    })
}

/// The smallest and largest finite value.
fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.filter(|value| value.is_finite()).fold(None, |range, value| match range {
        None => Some((value, value)),
        Some((low, high)) => Some((f64::min(low, value), f64::max(high, value))),
    })
}

fn numbers<const SIZE: usize, T>(data: &[u8], parse: impl Fn([u8; SIZE]) -> T) -> Vec<T> {
    data.as_chunks::<SIZE>().0.iter().map(|bytes| parse(*bytes)).collect()
}

/// Builds something of a file; `role` tells in errors what it is used as.
///
/// # Errors
///
/// If the file cannot be read, or those of `build`.
pub fn read<T>(path: &Path, role: &str, build: impl FnOnce(&InputFile) -> Result<T>) -> Result<T> {
    let built = InputFile::read(path).and_then(|file| build(&file));
    built.with_context(|| format!("cannot use '{}' as {role}", path.display()))
}

/// Noisy images: the tensor `x` of a file.
///
/// # Errors
///
/// If the file cannot be read, or its tensor is missing or of another shape or type.
pub fn read_input(path: &Path) -> Result<ImageBatch> {
    read(path, "input", |file| {
        let tensors = file.tensors()?;
        let tensor = named(&tensors, "x")?;
        let shape = batch_shape("x", tensor.shape())?;
        let values = floats("x", &tensor)?;
        if let Some(doubt) = doubt_of_input(&values) {
            errorln!("warning: '{}': {doubt}", path.display());
        }
        Ok(ImageBatch::new(shape, values))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_other_than_the_documented_one_raise_doubts() {
        for (range, expected) in [
            ((0.0, 1.0), Some("2 v - 1")),
            ((0.0, 255.0), Some("v / 127.5 - 1")),
            ((-2.1, 2.6), Some("mean and variance")),
            ((0.0, 65535.0), Some("normalised")),
            ((-1.0, 1.0), None),
            ((-1.004, 1.0000001), None),
            ((-0.5, 0.5), None),
        ] {
            let doubt = doubt_of_range(range);
            match expected {
                Some(words) => assert!(doubt.unwrap().contains(words), "{range:?}"),
                None => assert_eq!(doubt, None, "{range:?}"),
            }
        }
        assert!(doubt_of_input(&[-4.8, 4.9]).is_none());
        assert!(doubt_of_input(&[0.0, 255.0]).unwrap().contains("[0, 255]"));
    }

    #[test]
    fn channels_that_come_last_raise_doubts() {
        assert!(doubt_of_order(&[9, 32, 32, 3]).unwrap().contains("channels last"));
        assert!(doubt_of_order(&[9, 3, 32, 32]).is_none());
        assert!(doubt_of_order(&[9, 1, 4, 4]).is_none());
    }
}
