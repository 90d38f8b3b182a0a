//! Values of settings: TOML's plain values, and how they are written.
//!
//! A value on the command line (`--set network.kernels=3,1,3`) and one in TOML (`kernels = [3, 1, 3]`) become
//! the same [`Value`]; [`super::parse_and_check_value`] is the only place that refuses values.

use std::fmt;

use strum::EnumTryAs;

/// A plain TOML value.
#[derive(Clone, Debug, PartialEq, EnumTryAs)]
pub enum Value {
    Integer(i64),
    Number(f64),
    Boolean(bool),
    Text(String),
    List(Vec<Value>),
}

impl Value {
    /// The value for people: text without quotes, any other value as in TOML.
    pub fn plain(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            other => other.to_string(),
        }
    }

    /// A whole number as a fraction; any other value as it is.
    pub(super) fn into_fraction(self) -> Self {
        match self {
            Self::Integer(v) => Self::Number(v as f64),
            other => other,
        }
    }
}

/// Written as in TOML, so that the output can be pasted into `lab.toml`.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(v) => write!(f, "{v}"),
            // TOML requires a digit after the point and writes infinity as `inf`; Rust's debug format does the
            // same.
            Self::Number(v) => write!(f, "{v:?}"),
            Self::Boolean(v) => write!(f, "{v}"),
            Self::Text(v) => write!(f, "{}", toml::Value::String(v.clone())),
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(Self::to_string).collect();
                write!(f, "[{}]", items.join(", "))
            }
        }
    }
}
