//! What interventions did: the figures of a report.

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use crate::analysis::agreement::agreement;
use crate::analysis::confidence_intervals::{Interval, mean_interval, wilson};
use crate::analysis::creativity_judge::Judge;
use crate::image::ImageBatch;

/// An estimate and the ends of its 95% interval.
pub type Estimate = [f64; 3];

/// What was changed about the sampling of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Change {
    /// Nothing.
    None,
    /// The maps of the next noise seed's trajectory.
    OtherSeedsMaps,
    /// The maps of the other denoiser (theory's of the network, and the reverse) at the same state.
    OthersMaps,
    HalvedLogits,
    DoubledLogits,
    IdentityMaps,
    /// Uniform maps at all t above a threshold.
    UniformAbove,
    /// Uniform maps at all t up to a threshold.
    UniformUpTo,
    /// The other denoiser makes the steps above a threshold.
    OtherAbove,
    /// From the state at a threshold on, two stochastic samplers with different noise.
    Branches,
}

impl Change {
    /// In words, of a subject.
    pub fn words(self) -> &'static str {
        match self {
            Self::None => "nothing",
            Self::OtherSeedsMaps => "maps of another noise seed",
            Self::OthersMaps => "maps of the other denoiser at the same state",
            Self::HalvedLogits => "logits halved",
            Self::DoubledLogits => "logits doubled",
            Self::IdentityMaps => "identity maps",
            Self::UniformAbove => "uniform maps above t",
            Self::UniformUpTo => "uniform maps up to t",
            Self::OtherAbove => "the other denoiser above t",
            Self::Branches => "two stochastic branches from t",
        }
    }
}

/// Interventions on the network and on a theory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InterventionFigures {
    pub n_seeds: usize,
    /// The machine that is the other denoiser.
    pub theory: String,
    pub changes: Vec<ChangeFigures>,
    pub critical_times: Vec<CriticalTime>,
}

/// The samples of a subject after one change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangeFigures {
    /// `network` or the machine.
    pub subject: String,
    pub change: Change,
    /// The threshold.
    pub t: Option<f64>,
    /// Mean over seeds of Pearson's r with the subject's unchanged sample; of branches, with each other.
    pub r_own: Option<Estimate>,
    /// Mean over seeds of r with the sample whose influence is asked for: the other seed's, or the other denoiser's.
    pub r_other: Option<Estimate>,
    /// Share of seeds whose sample is nearer to that other sample than to the unchanged one.
    pub follows_other: Option<Estimate>,
    /// Share of consistent and of valid samples (crafted sets).
    pub consistent: Option<Estimate>,
    pub valid: Option<Estimate>,
    /// Of branches, share of pairs with the same global feature (crafted sets that have one).
    pub same_feature: Option<Estimate>,
}

/// The noise level at which a subject's samples are decided, in one sense.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CriticalTime {
    pub subject: String,
    pub change: Change,
    /// What is decided: `consistent`, `follows-other`, `same-feature` or `r`.
    pub figure: String,
    /// `None` if the figure does not cross its level.
    pub t: Option<Estimate>,
}

pub(super) fn of_interval(found: Interval) -> Estimate {
    [found.estimate, found.low, found.high]
}

/// Each sample's figures, from which means and critical times are computed.
#[derive(Clone, Debug, Default)]
pub(super) struct PerSeed {
    pub r_own: Vec<f64>,
    pub r_other: Vec<f64>,
    pub consistent: Vec<f64>,
    pub valid: Vec<f64>,
    pub same_feature: Vec<f64>,
}

fn one(is: bool) -> f64 {
    f64::from(u8::from(is))
}

/// r image by image; not a number where it is undefined.
fn r_of(a: &ImageBatch, b: &ImageBatch) -> Vec<f64> {
    a.iter().zip(b.iter()).map(|(a, b)| agreement(a, b).r.unwrap_or(f64::NAN)).collect()
}

impl PerSeed {
    /// Of samples beside the unchanged ones and, if there are such, those whose influence is asked for.
    pub fn of_samples(
        samples: &ImageBatch,
        own: &ImageBatch,
        other: Option<&ImageBatch>,
        judge: Option<&Judge>,
    ) -> Self {
        let mut found = Self { r_own: r_of(samples, own), ..Self::default() };
        found.r_other = other.map_or_else(Vec::new, |other| r_of(samples, other));
        for image in judge.iter().flat_map(|judge| samples.iter().map(|image| judge.judge(image))) {
            found.consistent.push(one(image.consistent));
            found.valid.push(one(image.valid));
        }
        found
    }

    /// Of two branches from the same states.
    pub fn of_branches([a, b]: [&ImageBatch; 2], judge: Option<&Judge>) -> Self {
        let mut found = Self { r_own: r_of(a, b), ..Self::default() };
        if let Some(judge) = judge {
            for (a, b) in a.iter().zip(b.iter()) {
                found.consistent.push(one(judge.judge(a).consistent));
                found.valid.push(one(judge.judge(a).valid));
                let both = judge.global_feature(a).zip(judge.global_feature(b));
                found.same_feature.push(both.map_or(f64::NAN, |(a, b)| one(a == b)));
            }
        }
        found
    }

    /// Whether each sample is nearer to the other one; not a number where that is undefined.
    pub fn follows_other(&self) -> Vec<f64> {
        let both = self.r_other.iter().zip(&self.r_own);
        both.map(|(other, own)| if (other - own).is_finite() { one(other > own) } else { f64::NAN })
            .collect()
    }

    pub fn figures(&self, subject: &str, change: Change, t: Option<f64>) -> ChangeFigures {
        let known = |values: &[f64]| -> Vec<f64> {
            values.iter().copied().filter(|value| value.is_finite()).collect()
        };
        let mean = |values: &[f64]| mean_interval(&known(values)).map(of_interval);
        let share = |values: &[f64]| {
            let known = known(values);
            let n_true = known.iter().sum::<f64>() as usize;
            (!known.is_empty()).then(|| of_interval(wilson(n_true, known.len())))
        };
        ChangeFigures {
            subject: subject.to_owned(),
            change,
            t,
            r_own: mean(&self.r_own),
            r_other: mean(&self.r_other),
            follows_other: share(&self.follows_other()),
            consistent: share(&self.consistent),
            valid: share(&self.valid),
            same_feature: share(&self.same_feature),
        }
    }
}
