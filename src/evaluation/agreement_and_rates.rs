//! Figures of samples for events and reports: agreement with the network, and rates of the judge. Here the results of
//! `analysis` become the types that events and files hold.

use super::samples::SampleSet;
use crate::analysis::agreement::agreement;
use crate::analysis::confidence_intervals::Interval;
use crate::analysis::creativity_judge::{Judge, Rate as Counted};
use crate::image::ImageBatch;
use crate::runs::event::{AgreementFigure, Rate, Rates};

/// Agreement of every machine with the network (the target), per seed.
pub fn agreement_figures(set: &SampleSet) -> Vec<AgreementFigure> {
    let figure = |(machine, samples): &(String, ImageBatch)| {
        let each = samples.iter().zip(set.network.iter()).map(|(m, n)| agreement(m, n));
        let (r, r_squared_cod) = each.map(|found| (found.r, found.cod)).unzip();
        AgreementFigure { machine: machine.clone(), r, r_squared_cod }
    };
    set.machines.iter().map(figure).collect()
}

/// The rates that a judge finds among samples.
pub fn rates(judge: &Judge, samples: &ImageBatch) -> Rates {
    let judged = judge.rates(samples);
    let some = |counted: Counted| (counted.n > 0).then(|| rate(counted.interval));
    Rates {
        n_samples: judged.n,
        valid: rate(judged.valid.interval),
        consistent: rate(judged.consistent.interval),
        novel: rate(judged.novel.interval),
        creative: rate(judged.creative.interval),
        whole: some(judged.valid_components),
        hue_purity: judged.hue_purity.map(rate),
        consistent_of_valid: some(judged.consistent_of_valid),
        chance: judged.chance_level,
    }
}

fn rate(share: Interval) -> Rate {
    // The normal interval of a mean may reach beyond the range of a share.
    Rate { value: share.estimate, low: share.low.max(0.0), high: share.high.min(1.0) }
}
