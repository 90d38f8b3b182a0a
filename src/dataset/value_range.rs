//! The values of an array that stand for black and white, and their conversion to bytes.

use strum::{Display, EnumString, IntoStaticStr, VariantNames};

use crate::arrays::Array;

/// The values that stand for black and white.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, Display, EnumString, IntoStaticStr, VariantNames,
)]
pub enum ValueRange {
    /// Recognised by type and values.
    #[default]
    #[strum(serialize = "auto")]
    Auto,
    #[strum(serialize = "0..255")]
    Bytes,
    #[strum(serialize = "0..1")]
    Unit,
    #[strum(serialize = "-1..1")]
    Signed,
}

/// How the values of an array become bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Conversion {
    range: ValueRange,
    /// Smallest and largest value found.
    pub found: (f64, f64),
    /// What was assumed and may be wrong.
    pub assumption: Option<String>,
}

/// Values this far outside the range, in steps of a byte, are rounding errors.
const TOLERANCE_STEPS: f64 = 0.5;

impl ValueRange {
    /// The values of black and white.
    fn ends(self) -> (f64, f64) {
        match self {
            Self::Auto | Self::Bytes => (0.0, 255.0),
            Self::Unit => (0.0, 1.0),
            Self::Signed => (-1.0, 1.0),
        }
    }

    fn contains(self, (low, high): (f64, f64)) -> bool {
        let (black, white) = self.ends();
        let tolerance = TOLERANCE_STEPS * (white - black) / 255.0;
        low >= black - tolerance && high <= white + tolerance
    }

    /// Finds the range of an array, which must not be empty.
    ///
    /// # Errors
    ///
    /// If a value is not finite, outside the range, or if there is no range that all values fit, in words that follow
    /// "array '...' of '...': ".
    pub fn resolve(self, array: &Array) -> Result<Conversion, String> {
        let found = range(array)?;
        let is_integer = !array.element_type().is_float();
        let range = match self {
            Self::Auto if is_integer => Self::Bytes,
            Self::Auto => {
                let candidates = match found.0 < -TOLERANCE_STEPS / 255.0 {
                    true => &[Self::Signed][..],
                    false => &[Self::Unit, Self::Bytes],
                };
                let fits = candidates.iter().find(|range| range.contains(found));
                *fits.ok_or_else(|| out_of_any_range(found))?
            }
            chosen => chosen,
        };
        if !range.contains(found) {
            return Err(match is_integer && self == Self::Auto {
                true => format!(
                    "its values lie in [{}, {}], but integers are read as 0 (black) to 255 (white); scale them, or set \
                     dataset.value_range",
                    found.0, found.1
                ),
                false => format!(
                    "its values lie in [{}, {}], outside of dataset.value_range = '{range}'; scale them, or choose another \
                     range",
                    found.0, found.1
                ),
            });
        }
        Ok(Conversion { range, found, assumption: assumption(self, range, found, is_integer) })
    }
}

/// What a reader of the result should know, if the range was not set.
fn assumption(
    set: ValueRange,
    range: ValueRange,
    (low, high): (f64, f64),
    is_integer: bool,
) -> Option<String> {
    let is_dark = range == ValueRange::Bytes && high <= 1.0 && high > 0.0;
    if is_dark && is_integer {
        return Some(
            "all values are 0 or 1, but 0 to 255 is expected, so that the images are all but black; multiply them by 255, \
             or set dataset.value_range = '0..1'"
                .to_owned(),
        );
    }
    (set == ValueRange::Auto && !is_integer).then(|| {
        format!(
            "the values lie in [{low}, {high}], from which '{range}' (black..white) is assumed; set dataset.value_range if \
             that is wrong"
        )
    })
}

fn out_of_any_range((low, high): (f64, f64)) -> String {
    format!(
        "its values lie in [{low}, {high}], which is none of 0..1, -1..1 and 0..255; were they normalised by mean and \
         variance? Save them without that"
    )
}

/// The smallest and largest value.
fn range(array: &Array) -> Result<(f64, f64), String> {
    use std::cell::Cell;
    let (low, high) = (Cell::new(f64::INFINITY), Cell::new(f64::NEG_INFINITY));
    let (n, first_bad) = (Cell::new(0_usize), Cell::new(None));
    // A vector of units takes no memory.
    let _: Vec<()> = array.map(|value| {
        if !value.is_finite() && first_bad.get().is_none() {
            first_bad.set(Some((n.get(), value)));
        }
        n.set(n.get() + 1);
        low.set(low.get().min(value));
        high.set(high.get().max(value));
    });
    match first_bad.get() {
        None => Ok((low.get(), high.get())),
        Some((at, value)) => Err(format!(
            "its value at index {:?} is '{value}'; images need finite values",
            index_of(at, array.shape())
        )),
    }
}

/// The index along each axis of the number at place `at` in C order.
fn index_of(mut at: usize, shape: &[usize]) -> Vec<usize> {
    let mut index = vec![0; shape.len()];
    for (place, &axis) in index.iter_mut().zip(shape).rev() {
        *place = at % axis;
        at /= axis;
    }
    index
}

impl Conversion {
    /// The values as bytes, rounded to the nearest, and the largest rounding in steps of a byte.
    pub fn to_bytes(&self, array: &Array) -> (Vec<u8>, f64) {
        let (black, white) = self.range.ends();
        let scale = 255.0 / (white - black);
        let rounding = std::cell::Cell::new(0.0_f64);
        let bytes = array.map(|value| {
            let exact = (value - black) * scale;
            let byte = exact.round().clamp(0.0, 255.0);
            rounding.set(rounding.get().max((exact - byte).abs()));
            byte as u8
        });
        (bytes, rounding.get())
    }

    /// True if bytes are taken as they are.
    pub fn is_identity(&self) -> bool {
        self.range == ValueRange::Bytes
    }

    pub fn in_words(&self) -> String {
        let (black, white) = self.range.ends();
        let (low, high) = self.found;
        format!("values {low} to {high}, where {black} is black (-1) and {white} is white (1)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrays::{ArrayFile, ArrayWriter, FileFormat, Numbers};

    fn array(numbers: Numbers, shape: &[usize]) -> Array {
        let file = tempfile::NamedTempFile::new().unwrap();
        let bytes = ArrayWriter::new().array("x", shape, numbers).into_bytes(FileFormat::Npz);
        std::fs::write(file.path(), bytes).unwrap();
        ArrayFile::open(file.path()).unwrap().read("x").unwrap()
    }

    #[test]
    fn ranges_are_recognised_by_the_values_and_said() {
        use ValueRange::*;
        for (values, expected) in [
            ([0.0, 1.0], Ok(Unit)),
            ([-1.0, 1.0], Ok(Signed)),
            ([-0.5, 0.25], Ok(Signed)),
            ([0.0, 255.0], Ok(Bytes)),
            ([0.0, 2.0], Ok(Bytes)),
            ([-2.1, 2.6], Err("normalised")),
            ([0.0, 65_535.0], Err("none of")),
            ([0.0, f32::NAN], Err("[1, 0] is 'NaN'")),
            ([f32::INFINITY, 0.0], Err("[0, 0] is 'inf'")),
        ] {
            let found = Auto.resolve(&array(Numbers::F32(values.to_vec()), &[2, 1]));
            match expected {
                Ok(range) => {
                    let found = found.unwrap();
                    assert_eq!(found.range, range, "{values:?}");
                    assert!(found.assumption.unwrap().contains("is assumed"));
                }
                Err(words) => assert!(found.unwrap_err().contains(words), "{values:?}"),
            }
        }
        let set = Signed.resolve(&array(Numbers::F32(vec![0.0, 1.0]), &[2])).unwrap();
        assert_eq!((set.range, set.assumption), (Signed, None));
        let refused = Unit.resolve(&array(Numbers::F32(vec![0.0, 1.5]), &[2])).unwrap_err();
        assert!(refused.contains("outside of dataset.value_range = '0..1'"), "{refused}");
        let binary = Auto.resolve(&array(Numbers::U8(vec![0, 1]), &[2])).unwrap();
        assert!(binary.assumption.unwrap().contains("multiply them by 255"));
        let wide = Auto.resolve(&array(Numbers::I64(vec![0, 300]), &[2])).unwrap_err();
        assert!(wide.contains("[0, 300]"), "{wide}");
    }

    #[test]
    fn every_byte_returns_from_every_range() {
        let bytes: Vec<u8> = (0..=255).collect();
        for (range, of) in [
            (ValueRange::Bytes, (|b| b) as fn(f32) -> f32),
            (ValueRange::Unit, |b| b / 255.0),
            (ValueRange::Signed, |b| b / 127.5 - 1.0),
        ] {
            let values = bytes.iter().map(|&b| of(f32::from(b))).collect();
            let array = array(Numbers::F32(values), &[256]);
            let (found, rounding) = range.resolve(&array).unwrap().to_bytes(&array);
            assert_eq!(found, bytes);
            assert!(rounding < 1e-3, "{rounding}");
        }
    }
}
