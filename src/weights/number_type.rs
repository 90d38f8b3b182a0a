//! Types of stored numbers, and their conversion to single precision.

use half::{bf16, f16};
use safetensors::Dtype;
use strum::Display;

/// A type of stored numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display)]
#[strum(serialize_all = "lowercase")]
pub enum NumberType {
    F16,
    Bf16,
    F32,
    F64,
    U8,
    I8,
    I16,
    I32,
    I64,
    Bool,
}

impl NumberType {
    /// The type of one of PyTorch's storages, as `FloatStorage`.
    pub fn of_storage(name: &str) -> Option<Self> {
        Some(match name {
            "HalfStorage" => Self::F16,
            "BFloat16Storage" => Self::Bf16,
            "FloatStorage" => Self::F32,
            "DoubleStorage" => Self::F64,
            "ByteStorage" => Self::U8,
            "CharStorage" => Self::I8,
            "ShortStorage" => Self::I16,
            "IntStorage" => Self::I32,
            "LongStorage" => Self::I64,
            "BoolStorage" => Self::Bool,
            _ => return None,
        })
    }

    /// The type of a tensor of a safetensors file.
    pub fn of_safetensors(dtype: Dtype) -> Option<Self> {
        Some(match dtype {
            Dtype::F16 => Self::F16,
            Dtype::BF16 => Self::Bf16,
            Dtype::F32 => Self::F32,
            Dtype::F64 => Self::F64,
            Dtype::U8 => Self::U8,
            Dtype::I8 => Self::I8,
            Dtype::I16 => Self::I16,
            Dtype::I32 => Self::I32,
            Dtype::I64 => Self::I64,
            Dtype::BOOL => Self::Bool,
            _ => return None,
        })
    }

    /// Bytes of a number.
    pub fn n_bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::F16 | Self::Bf16 | Self::I16 => 2,
            Self::F32 | Self::I32 => 4,
            Self::F64 | Self::I64 => 8,
        }
    }

    /// Whether weights can be of this type.
    pub fn is_fraction(self) -> bool {
        matches!(self, Self::F16 | Self::Bf16 | Self::F32 | Self::F64)
    }

    /// The number in `bytes`, little-endian.
    ///
    /// # Panics
    ///
    /// If `bytes` are not [`Self::n_bytes`] many.
    pub fn value(self, bytes: &[u8]) -> f64 {
        macro_rules! number {
            ($type:ty) => {
                <$type>::from_le_bytes(bytes.try_into().expect("as many bytes as the type has"))
            };
        }
        match self {
            Self::F16 => number!(f16).to_f64(),
            Self::Bf16 => number!(bf16).to_f64(),
            Self::F32 => f64::from(number!(f32)),
            Self::F64 => number!(f64),
            Self::U8 | Self::Bool => f64::from(bytes[0]),
            Self::I8 => f64::from(number!(i8)),
            Self::I16 => f64::from(number!(i16)),
            Self::I32 => f64::from(number!(i32)),
            Self::I64 => number!(i64) as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_reads_what_it_writes() {
        let cases: [(NumberType, &[u8], f64); 10] = [
            (NumberType::F16, &f16::from_f64(-1.5).to_le_bytes(), -1.5),
            (NumberType::Bf16, &bf16::from_f64(0.25).to_le_bytes(), 0.25),
            (NumberType::F32, &0.1_f32.to_le_bytes(), f64::from(0.1_f32)),
            (NumberType::F64, &0.1_f64.to_le_bytes(), 0.1),
            (NumberType::U8, &[200], 200.0),
            (NumberType::I8, &[0xff], -1.0),
            (NumberType::I16, &(-300_i16).to_le_bytes(), -300.0),
            (NumberType::I32, &70_000_i32.to_le_bytes(), 70_000.0),
            (NumberType::I64, &(-5_i64).to_le_bytes(), -5.0),
            (NumberType::Bool, &[1], 1.0),
        ];
        for (kind, bytes, expected) in cases {
            assert_eq!((kind.n_bytes(), kind.value(bytes)), (bytes.len(), expected), "{kind}");
        }
    }
}
