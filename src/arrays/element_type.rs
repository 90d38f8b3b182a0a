//! The types of numbers in array files.

use safetensors::Dtype;
use strum::Display;

/// A type of numbers, called as in NumPy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display)]
#[strum(serialize_all = "lowercase")]
pub enum ElementType {
    Bool,
    #[strum(serialize = "uint8")]
    U8,
    #[strum(serialize = "uint16")]
    U16,
    #[strum(serialize = "uint32")]
    U32,
    #[strum(serialize = "uint64")]
    U64,
    #[strum(serialize = "int8")]
    I8,
    #[strum(serialize = "int16")]
    I16,
    #[strum(serialize = "int32")]
    I32,
    #[strum(serialize = "int64")]
    I64,
    #[strum(serialize = "float16")]
    F16,
    #[strum(serialize = "bfloat16")]
    Bf16,
    #[strum(serialize = "float32")]
    F32,
    #[strum(serialize = "float64")]
    F64,
}

impl ElementType {
    /// Size of a number in bytes.
    pub fn n_bytes(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 | Self::F16 | Self::Bf16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    pub fn is_float(self) -> bool {
        matches!(self, Self::F16 | Self::Bf16 | Self::F32 | Self::F64)
    }

    /// The type that NumPy denotes by a letter and a number of bytes (`f4`).
    pub(super) fn of_numpy(code: &str) -> Option<Self> {
        Some(match code {
            "b1" => Self::Bool,
            "u1" => Self::U8,
            "u2" => Self::U16,
            "u4" => Self::U32,
            "u8" => Self::U64,
            "i1" => Self::I8,
            "i2" => Self::I16,
            "i4" => Self::I32,
            "i8" => Self::I64,
            "f2" => Self::F16,
            "f4" => Self::F32,
            "f8" => Self::F64,
            _ => return None,
        })
    }

    pub(super) fn of_safetensors(dtype: Dtype) -> Option<Self> {
        Some(match dtype {
            Dtype::BOOL => Self::Bool,
            Dtype::U8 => Self::U8,
            Dtype::U16 => Self::U16,
            Dtype::U32 => Self::U32,
            Dtype::U64 => Self::U64,
            Dtype::I8 => Self::I8,
            Dtype::I16 => Self::I16,
            Dtype::I32 => Self::I32,
            Dtype::I64 => Self::I64,
            Dtype::F16 => Self::F16,
            Dtype::BF16 => Self::Bf16,
            Dtype::F32 => Self::F32,
            Dtype::F64 => Self::F64,
            _ => return None,
        })
    }
}
