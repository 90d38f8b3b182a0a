//! `training.compute_type`: the number format (`f32`, `tf32` or `bf16`) in which training multiplies and a GPU stores values.
//!
//! docs/architecture.md, "Computing a training step on a GPU", says which values are rounded and which are not.

use strum::{EnumString, IntoStaticStr, VariantNames};

/// The number format in which a GPU multiplies matrices and convolves. On the CPU, [`Self::Tf32`] is [`Self::F32`], and
/// [`Self::Bf16`] is [`crate::network::Network::multiply_in_bf16`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum ComputeType {
    /// Single precision.
    F32,
    /// TensorFloat-32: factors with ten bits of mantissa, sums in single precision.
    Tf32,
    /// Hidden layers' convolutions and attention read and write bfloat16 and sum in single precision; the rest is
    /// [`Self::Tf32`].
    Bf16,
}

impl ComputeType {
    pub const ALL: [Self; 3] = [Self::Tf32, Self::F32, Self::Bf16];

    /// The name in settings.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The number format that hidden layers store.
    pub fn hidden(self) -> Storage {
        match self {
            Self::F32 | Self::Tf32 => Storage::F32,
            Self::Bf16 => Storage::Bf16,
        }
    }
}

/// The number format of stored values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Storage {
    F32,
    /// The upper half of single precision: its range with eight bits of mantissa.
    Bf16,
}

impl Storage {
    /// Bytes of a value.
    pub fn n_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
        }
    }
}
