//! Which values TensorBoard shows of an event. Values that are undefined or not finite are left out.

use crate::analysis::confidence_intervals::quartiles;
use crate::runs::event::{
    AgreementFigure, AttentionMetrics, ExcessByLevel, FloorFigures, LossByLevel, Metrics, Rates,
};

/// Values by tag.
pub type Scalars = Vec<(String, f64)>;

fn finite(scalars: impl IntoIterator<Item = (String, Option<f64>)>) -> Scalars {
    let kept = |(tag, value): (String, Option<f64>)| Some((tag, value.filter(|v| v.is_finite())?));
    scalars.into_iter().filter_map(kept).collect()
}

pub fn of_metrics(found: &Metrics) -> Scalars {
    finite([
        ("training/loss".to_owned(), found.loss),
        ("training/gradient_norm".to_owned(), found.grad_norm),
        ("training/learning_rate".to_owned(), Some(found.learning_rate)),
        ("speed/steps_per_s".to_owned(), Some(found.steps_per_s)),
        ("speed/images_per_s".to_owned(), Some(found.images_per_s)),
    ])
}

/// The loss of each range of t, called by its upper end.
pub fn of_losses(found: &LossByLevel) -> Scalars {
    finite(
        found.ranges().map(|(end, loss)| (format!("loss_by_level/up_to_t_{end:.2}"), Some(loss))),
    )
}

/// Attention of each head and noise level.
pub fn of_attention(found: &AttentionMetrics) -> Scalars {
    let mut all = Vec::new();
    for level in &found.levels {
        for (what, heads) in [
            ("attention_entropy_nats", &level.entropy_nats),
            ("attention_distance_pixels", &level.distance_pixels),
            ("attention_sink", &level.sink),
            ("attention_largest_logit", &level.largest_logit),
        ] {
            for (head, value) in heads.iter().enumerate() {
                let tag = format!("{what}/t_{:.2}/head_{}", level.t, head + 1);
                all.push((tag, Some(*value)));
            }
        }
    }
    finite(all)
}

/// Predicted attention entropy of a machine at each noise level, mean over heads.
pub fn of_predicted_attention(machine: &str, found: &AttentionMetrics) -> Scalars {
    finite(found.levels.iter().map(|level| {
        let mean = level.entropy_nats.iter().sum::<f64>() / level.entropy_nats.len() as f64;
        (format!("predicted_attention_entropy_nats/{machine}/t_{:.2}", level.t), Some(mean))
    }))
}

/// Floors of the error of the clean estimate at each noise level.
pub fn of_floors(found: &FloorFigures) -> Scalars {
    let at = found.levels.iter().flat_map(|level| {
        let of =
            |(machine, floor): (&String, &crate::analysis::excess_over_floor::MeanSquaredError)| {
                (format!("floor/{machine}/t_{:.2}", level.t), Some(floor.mse))
            };
        level.floors.iter().map(of).collect::<Vec<_>>()
    });
    finite(at)
}

/// The network's error above the floor of its class at each noise level.
pub fn of_excess(found: &ExcessByLevel) -> Scalars {
    finite(found.levels.iter().flat_map(|level| {
        let tag = |what: &str| format!("{what}/t_{:.2}", level.t);
        [
            (tag(&format!("excess_over_{}", found.class_floor)), Some(level.excess.mse)),
            (tag("error"), Some(level.network.mse)),
            (tag("held_out_error"), level.held_out.map(|error| error.mse)),
        ]
    }))
}

/// Medians over noise seeds of a machine's agreement with the network.
pub fn of_agreement(group: &str, figures: &[AgreementFigure]) -> Scalars {
    let median = |values: &[Option<f64>]| {
        quartiles(&values.iter().flatten().copied().collect::<Vec<_>>()).map(|found| found.median)
    };
    finite(figures.iter().flat_map(|figure| {
        let tag = |what: &str| format!("{group}/{}/{what}", figure.machine);
        [(tag("median_r"), median(&figure.r)), (tag("median_R2"), median(&figure.r_squared_cod))]
    }))
}

/// Judged rates of the network's samples.
pub fn of_rates(found: &Rates) -> Scalars {
    finite(
        found.named().into_iter().map(|(name, rate)| (format!("rates/{name}"), Some(rate.value))),
    )
}
