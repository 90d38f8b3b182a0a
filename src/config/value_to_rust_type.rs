//! The Rust types of settings and the [`Value`]s that they are read from and written as.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use strum::VariantNames;

use super::setting_value::Value;
use crate::diffusion::Schedule;
use crate::hardware::device_request::DeviceRequest;
use crate::image::Augmentation;
use crate::network::network_config::{AttentionVariant, Output, Padding, Readout};
use crate::training::training_config::{ComputeType, LossWeighting, LrSchedule, OptimizerKind};

/// A type of setting that can be converted to and from a [`Value`].
pub trait Field: Sized {
    fn to_value(&self) -> Value;
    /// `None` if the value has another type; ranges were checked before.
    fn from_value(value: &Value) -> Option<Self>;
}

macro_rules! integer_field {
    ($($kind:ty),*) => {$(
        impl Field for $kind {
            fn to_value(&self) -> Value {
                Value::Integer(i64::try_from(*self).unwrap_or(i64::MAX))
            }

            fn from_value(value: &Value) -> Option<Self> {
                Self::try_from(*value.try_as_integer_ref()?).ok()
            }
        }
    )*};
}
integer_field!(usize, u64);

impl Field for f64 {
    fn to_value(&self) -> Value {
        Value::Number(*self)
    }

    fn from_value(value: &Value) -> Option<Self> {
        value.try_as_number_ref().copied()
    }
}

impl Field for bool {
    fn to_value(&self) -> Value {
        Value::Boolean(*self)
    }

    fn from_value(value: &Value) -> Option<Self> {
        value.try_as_boolean_ref().copied()
    }
}

/// An enum whose variants are written as words through `strum`'s derives.
pub trait Word: Copy + std::str::FromStr + Into<&'static str> + VariantNames {}

impl Word for Padding {}
impl Word for AttentionVariant {}
impl Word for Output {}
impl Word for Readout {}
impl Word for Schedule {}
impl Word for ComputeType {}
impl Word for OptimizerKind {}
impl Word for LrSchedule {}
impl Word for LossWeighting {}
impl Word for Augmentation {}

impl<T: Word> Field for T {
    fn to_value(&self) -> Value {
        let word: &'static str = (*self).into();
        Value::Text(word.to_owned())
    }
    fn from_value(value: &Value) -> Option<Self> {
        value.try_as_text_ref()?.parse().ok()
    }
}

/// Written as `none`, or a word of the enum.
impl<T: Word> Field for Option<T> {
    fn to_value(&self) -> Value {
        self.map_or_else(|| Value::Text("none".to_owned()), |word| word.to_value())
    }
    fn from_value(value: &Value) -> Option<Self> {
        match value.try_as_text_ref()?.as_str() {
            "none" => Some(None),
            _ => T::from_value(value).map(Some),
        }
    }
}

/// 0 means `None`.
impl Field for Option<NonZeroUsize> {
    fn to_value(&self) -> Value {
        self.map_or(0, NonZeroUsize::get).to_value()
    }
    fn from_value(value: &Value) -> Option<Self> {
        usize::from_value(value).map(NonZeroUsize::new)
    }
}

/// An empty text means `None`.
impl Field for Option<PathBuf> {
    fn to_value(&self) -> Value {
        let text = self.as_ref().map(|path| path.display().to_string());
        Value::Text(text.unwrap_or_default())
    }
    fn from_value(value: &Value) -> Option<Self> {
        let text = value.try_as_text_ref()?;
        Some((!text.is_empty()).then(|| PathBuf::from(text)))
    }
}

/// An empty text means `None`.
impl Field for Option<Box<str>> {
    fn to_value(&self) -> Value {
        Value::Text(self.as_deref().unwrap_or_default().to_owned())
    }
    fn from_value(value: &Value) -> Option<Self> {
        let text = value.try_as_text_ref()?;
        Some((!text.is_empty()).then(|| text.as_str().into()))
    }
}

impl Field for PathBuf {
    fn to_value(&self) -> Value {
        Value::Text(self.display().to_string())
    }
    fn from_value(value: &Value) -> Option<Self> {
        Option::<PathBuf>::from_value(value).map(Option::unwrap_or_default)
    }
}

impl Field for DeviceRequest {
    fn to_value(&self) -> Value {
        Value::Text(self.to_string())
    }
    fn from_value(value: &Value) -> Option<Self> {
        value.try_as_text_ref()?.parse().ok()
    }
}

impl<T: Field> Field for Vec<T> {
    fn to_value(&self) -> Value {
        Value::List(self.iter().map(Field::to_value).collect())
    }

    fn from_value(value: &Value) -> Option<Self> {
        value.try_as_list_ref()?.iter().map(T::from_value).collect()
    }
}
