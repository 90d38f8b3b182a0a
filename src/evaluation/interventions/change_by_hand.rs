//! A change of attention as a user writes it: `uniform`, `identity`, `logits:2`, `seed:7` or `other`, with `@LOW..HIGH`
//! for a range of t.

use std::fmt;
use std::str::FromStr;

use super::changed_attention::Window;

/// A change of the attention of network and theory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChangeByHand {
    pub maps: ChosenMaps,
    pub window: Window,
}

/// What takes the place of a denoiser's attention maps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ChosenMaps {
    Uniform,
    Identity,
    /// Its own, with all logits multiplied by this number.
    Logits(f64),
    /// Its own, along the trajectory of this noise seed.
    Seed(u64),
    /// Those of the other denoiser: the network's in the theory, the theory's in the network.
    Other,
}

impl FromStr for ChangeByHand {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refusal = || {
            format!(
                "'{text}' is no change of attention; write uniform, identity, logits:FACTOR, seed:N or other, for a range of t \
                 with @LOW..HIGH, for example 'uniform@0.5..1'"
            )
        };
        let (maps, window) = match text.split_once('@') {
            Some((maps, range)) => {
                let ends = range.split_once("..").ok_or_else(refusal)?;
                let number = |text: &str| text.trim().parse::<f64>().ok();
                let (above, up_to) = number(ends.0).zip(number(ends.1)).ok_or_else(refusal)?;
                if !(0.0 <= above && above < up_to && up_to <= 1.0) {
                    return Err(format!(
                        "the range of t of '{text}' is {above} to {up_to}; its ends must rise and lie in [0, 1]"
                    ));
                }
                (maps, Window { above, up_to })
            }
            None => (text, Window::ALL),
        };
        let maps = match maps.trim().split_once(':') {
            None => match maps.trim() {
                "uniform" => ChosenMaps::Uniform,
                "identity" => ChosenMaps::Identity,
                "other" => ChosenMaps::Other,
                _ => return Err(refusal()),
            },
            Some(("logits", factor)) => {
                let factor: f64 = factor.parse().map_err(|_| refusal())?;
                if !(0.0..=1e6).contains(&factor) {
                    return Err(format!(
                        "the factor of '{text}' is {factor}; it must lie in [0, 1e6]"
                    ));
                }
                ChosenMaps::Logits(factor)
            }
            Some(("seed", seed)) => ChosenMaps::Seed(seed.parse().map_err(|_| refusal())?),
            Some(_) => return Err(refusal()),
        };
        Ok(Self { maps, window })
    }
}

/// In words, as a column of a picture.
impl fmt::Display for ChangeByHand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.maps {
            ChosenMaps::Uniform => write!(f, "uniform maps"),
            ChosenMaps::Identity => write!(f, "identity maps"),
            ChosenMaps::Logits(factor) => write!(f, "logits x {factor}"),
            ChosenMaps::Seed(seed) => write!(f, "maps of seed {seed}"),
            ChosenMaps::Other => write!(f, "maps of the other"),
        }?;
        match self.window {
            Window::ALL => Ok(()),
            Window { above, up_to } => write!(f, " at {above} < t <= {up_to}"),
        }
    }
}

impl ChangeByHand {
    /// A part of a file's name.
    pub fn slug(&self) -> String {
        let maps = match self.maps {
            ChosenMaps::Uniform => "uniform".to_owned(),
            ChosenMaps::Identity => "identity".to_owned(),
            ChosenMaps::Logits(factor) => format!("logits-{factor}"),
            ChosenMaps::Seed(seed) => format!("maps-of-{seed}"),
            ChosenMaps::Other => "maps-of-other".to_owned(),
        };
        match self.window {
            Window::ALL => maps,
            Window { above, up_to } => format!("{maps}-{above}-{up_to}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read_as_they_are_written() {
        let of = |maps, above, up_to| Ok(ChangeByHand { maps, window: Window { above, up_to } });
        assert_eq!("uniform".parse(), of(ChosenMaps::Uniform, 0.0, 1.0));
        assert_eq!("logits:2.5@0.2..0.7".parse(), of(ChosenMaps::Logits(2.5), 0.2, 0.7));
        assert_eq!("seed:12@0..0.5".parse(), of(ChosenMaps::Seed(12), 0.0, 0.5));
        assert_eq!("other".parse::<ChangeByHand>().unwrap().slug(), "maps-of-other");
        let words = "identity@0.5..1".parse::<ChangeByHand>().unwrap().to_string();
        assert_eq!(words, "identity maps at 0.5 < t <= 1");
    }

    #[test]
    fn refusals_name_what_was_found_and_what_can_be_written() {
        for wrong in
            ["", "unform", "logits", "logits:x", "seed:-1", "uniform@0.5", "uniform@a..b", "x:1"]
        {
            let error = wrong.parse::<ChangeByHand>().unwrap_err();
            assert!(error.contains(&format!("'{wrong}'")) && error.contains("uniform"), "{error}");
        }
        for wrong in ["uniform@0.5..0.5", "uniform@0.9..0.1", "uniform@0..2", "uniform@NaN..1"] {
            let error = wrong.parse::<ChangeByHand>().unwrap_err();
            assert!(error.contains("must rise"), "{error}");
        }
        for wrong in ["logits:-1", "logits:inf", "logits:NaN"] {
            let error = wrong.parse::<ChangeByHand>().unwrap_err();
            assert!(error.contains("[0, 1e6]"), "{error}");
        }
    }
}
