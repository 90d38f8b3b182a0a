//! The values that settings accept, and how they are described to users.

use std::fmt;

use super::nearest_name::nearest;
use super::setting_value::Value;
use crate::hardware::device_request::{self, DeviceRequest};

/// The values that a key accepts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Accepted {
    Integer {
        min: i64,
        max: i64,
    },
    /// Both ends are included.
    Number {
        min: f64,
        max: f64,
    },
    Boolean,
    Text,
    Choice(&'static [&'static str]),
    /// A list of odd whole numbers (kernels, patch sides), which may be empty if the flag is set.
    OddIntegers {
        max: i64,
        may_be_empty: bool,
    },
    Integers {
        min: i64,
        max: i64,
    },
    /// A non-empty list of numbers in a range.
    Numbers {
        min: f64,
        max: f64,
    },
    /// One odd whole number, or 0 if the flag is set.
    Odd {
        max: i64,
        or_zero: bool,
    },
    /// A device in the syntax of [`DeviceRequest`].
    Device,
    /// A list of distinct words from the given ones.
    Words(&'static [&'static str]),
}

impl Accepted {
    /// Converts a value to the form stored for this key (a whole number where a fraction is accepted becomes a
    /// fraction); `None` if it is not accepted.
    pub fn admit(&self, value: Value) -> Option<Value> {
        let value = match (self, value) {
            (Self::Number { .. }, value) => value.into_fraction(),
            (Self::Numbers { .. }, Value::List(items)) => {
                Value::List(items.into_iter().map(Value::into_fraction).collect())
            }
            (_, value) => value,
        };
        self.accepts(&value).then_some(value)
    }

    fn accepts(&self, value: &Value) -> bool {
        let each = |items: &[Value], one: Self, may_be_empty: bool| {
            (may_be_empty || !items.is_empty()) && items.iter().all(|item| one.accepts(item))
        };
        match (*self, value) {
            (Self::Integer { min, max }, Value::Integer(v)) => (min..=max).contains(v),
            (Self::Odd { max, or_zero }, Value::Integer(v)) => {
                (1..=max).contains(v) && v % 2 == 1 || or_zero && *v == 0
            }
            (Self::Number { min, max }, Value::Number(v)) => (min..=max).contains(v),
            (Self::Boolean, Value::Boolean(_)) | (Self::Text, Value::Text(_)) => true,
            (Self::Device, Value::Text(v)) => v.parse::<DeviceRequest>().is_ok(),
            (Self::Choice(choices), Value::Text(v)) => choices.contains(&v.as_str()),
            (Self::OddIntegers { max, may_be_empty }, Value::List(items)) => {
                each(items, Self::Odd { max, or_zero: false }, may_be_empty)
            }
            (Self::Integers { min, max }, Value::List(items)) => {
                each(items, Self::Integer { min, max }, false)
            }
            (Self::Numbers { min, max }, Value::List(items)) => {
                each(items, Self::Number { min, max }, false)
            }
            (Self::Words(choices), Value::List(items)) => {
                let is_repeated = |(i, item): (usize, &Value)| items[..i].contains(item);
                each(items, Self::Choice(choices), true)
                    && !items.iter().enumerate().any(is_repeated)
            }
            _ => false,
        }
    }

    /// Parses user input after `key=`; `None` if it is not accepted.
    pub fn parse(&self, text: &str) -> Option<Value> {
        let text = text.trim();
        let value = match self {
            Self::Integer { .. } | Self::Odd { .. } => {
                Value::Integer(text.replace('_', "").parse().ok()?)
            }
            Self::Number { .. } => Value::Number(text.replace('_', "").parse().ok()?),
            Self::Boolean => Value::Boolean(match text {
                "true" | "yes" | "on" => true,
                "false" | "no" | "off" => false,
                _ => return None,
            }),
            Self::Text | Self::Choice(_) | Self::Device => {
                Value::Text(text.trim_matches('"').to_owned())
            }
            Self::OddIntegers { .. } | Self::Integers { .. } => {
                list(text, |item| item.parse().ok().map(Value::Integer))?
            }
            Self::Numbers { .. } => list(text, |item| item.parse().ok().map(Value::Number))?,
            Self::Words(_) => list(text, |word| Some(Value::Text(word.to_owned())))?,
        };
        self.admit(value)
    }

    /// The accepted word nearest to `found`.
    pub fn nearest(&self, found: &str) -> Option<&'static str> {
        match self {
            Self::Choice(choices) | Self::Words(choices) => nearest(found, choices.iter().copied()),
            Self::Device => nearest(found, ["auto", "cpu", "cuda:0"].into_iter()),
            _ => None,
        }
    }
}

/// Parses the items of `[a, "b", c]` or `a,b,c`.
fn list(text: &str, parse: impl Fn(&str) -> Option<Value>) -> Option<Value> {
    let items = text.trim_start_matches('[').trim_end_matches(']').split(',');
    let items = items.map(|item| item.trim().trim_matches('"')).filter(|item| !item.is_empty());
    items.map(parse).collect::<Option<_>>().map(Value::List)
}

impl fmt::Display for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer { min, max } if *max == i64::MAX => {
                write!(f, "a whole number of at least {min}")
            }
            Self::Integer { min, max } => write!(f, "a whole number from {min} to {max}"),
            Self::Number { min, max } if max.is_infinite() => {
                write!(f, "a number of at least {min}")
            }
            Self::Number { min, max } => write!(f, "a number from {min} to {max}"),
            Self::Boolean => write!(f, "true or false"),
            Self::Text => write!(f, "text"),
            Self::Choice(choices) => write!(f, "one of {}", choices.join(", ")),
            Self::Odd { max, or_zero: false } => write!(f, "an odd number from 1 to {max}"),
            Self::Odd { max, or_zero: true } => write!(f, "0 or an odd number from 1 to {max}"),
            Self::Device => write!(f, "{}", device_request::ACCEPTED),
            Self::OddIntegers { max, .. } => write!(f, "a list of odd numbers from 1 to {max}"),
            Self::Integers { min, max } => write!(f, "a list of whole numbers from {min} to {max}"),
            Self::Numbers { min, max } if max.is_infinite() => {
                write!(f, "a list of numbers of at least {min}")
            }
            Self::Numbers { min, max } => write!(f, "a list of numbers from {min} to {max}"),
            Self::Words(choices) => {
                write!(f, "a list of distinct words out of {}", choices.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_can_be_read_back() {
        let cases: [(Accepted, &str); 8] = [
            (Accepted::Numbers { min: 0.0, max: f64::INFINITY }, "[0.5, 2]"),
            (Accepted::Integer { min: 1, max: 9 }, "4"),
            (Accepted::Number { min: 0.0, max: f64::INFINITY }, "inf"),
            (Accepted::Number { min: 0.0, max: 1.0 }, "0.25"),
            (Accepted::Boolean, "true"),
            (Accepted::Choice(&["a", "b"]), "b"),
            (Accepted::OddIntegers { max: 9, may_be_empty: false }, "[3, 1]"),
            (Accepted::Words(&["ring", "cross"]), "[\"ring\", \"cross\"]"),
        ];
        for (accepted, text) in cases {
            let value = accepted.parse(text).expect(text);
            assert_eq!(accepted.parse(&value.to_string()), Some(value), "{text}");
        }
    }

    #[test]
    fn what_lies_outside_the_range_is_refused() {
        assert_eq!(Accepted::Integer { min: 1, max: 9 }.parse("0"), None);
        assert_eq!(Accepted::Number { min: 0.0, max: 1.0 }.parse("NaN"), None);
        assert_eq!(Accepted::OddIntegers { max: 9, may_be_empty: false }.parse("3,4"), None);
        assert_eq!(Accepted::OddIntegers { max: 9, may_be_empty: false }.parse(""), None);
        assert_eq!(Accepted::Words(&["ring"]).parse("rang"), None);
    }
}
