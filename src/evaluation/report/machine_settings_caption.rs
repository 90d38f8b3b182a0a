//! A machine's settings as a caption.

use crate::theory::machine_spec::{
    AttentionSettings, AttentionSource, MachineKind, MachineSpec, PatchSize, Scheduled, Smoothing,
};
use crate::theory::patch_pools_ls_els_bbels::Pool;
use crate::theory::patch_window::PatchWindow;

/// The kind of a machine and its settings, as the rest of a sentence.
pub fn words(spec: &MachineSpec) -> String {
    let k = match &spec.k {
        PatchSize::Fixed(k) => format!("k = {k}"),
        PatchSize::PerStep(scales) => match same(scales) {
            Some(k) => format!("k = {k} at every step"),
            None => format!("k per step, cleanest first: {scales:?}"),
        },
    };
    let k = match spec.window {
        PatchWindow::Square => k,
        PatchWindow::Gaussian { width } => {
            format!("{k}, through Gaussian windows (standard deviation {width} k pixels)")
        }
    };
    match &spec.kind {
        MachineKind::Ideal => "whole training images".to_owned(),
        MachineKind::Nearest => "the nearest training image".to_owned(),
        MachineKind::Smoothed(Smoothing { sigma, n_copies }) => {
            format!("the mean of ideal over {n_copies} noised copies (smoothing {sigma})")
        }
        MachineKind::Subset { size } => {
            format!("approximate: ideal over {}", subset_in_words(*size))
        }
        MachineKind::EquivariantIdeal => "whole training images at every shift".to_owned(),
        MachineKind::Local => format!("patches at the same place, {k}"),
        MachineKind::LocalWrapped => {
            format!("patches at the same place, with wrap-around, {k}")
        }
        MachineKind::EquivariantLocal => format!("patches at any position, with wrap-around, {k}"),
        MachineKind::EquivariantLocalInterior => {
            format!("patches anywhere inside, {k}")
        }
        MachineKind::BoundaryBroken => {
            format!("patches with the same overlap with the border, {k}")
        }
        MachineKind::Masked { threshold } => format!(
            "training images at the same place, through masks of the Wiener filter (threshold {threshold})"
        ),
        MachineKind::Composite => format!("overlapping patches at the same place, averaged, {k}"),
        MachineKind::Wiener => "the Gaussian with the data's mean and covariance".to_owned(),
        MachineKind::WienerCirculant => {
            "the Gaussian with the mean and covariance of the data at every shift".to_owned()
        }
        MachineKind::Attention { pool, settings } => format!(
            "attention machine over {} (this lab's own derivation, not a published formula), attention: {}, {k}",
            pool_in_words(*pool),
            sharing_in_words(settings)
        ),
        MachineKind::OptimalAttention(class) => format!(
            "the best denoiser of the network's class, solved on the training images alone: {} attention, {} heads of {} channels, {}, {k} (this lab's own derivation)",
            class.weights,
            class.heads,
            class.head_width,
            pool_in_words(class.pool)
        ),
    }
}

fn subset_in_words(size: f64) -> String {
    let least = match size {
        share if share <= 1.0 => format!("{}%", 100.0 * share),
        number => number.round().to_string(),
    };
    format!(
        "the nearest training images at reduced resolution, {least} as noise vanishes up to all at pure noise"
    )
}

fn pool_in_words(pool: Pool) -> &'static str {
    match pool {
        Pool::Wrap => "wrapped patches",
        Pool::Interior => "patches inside",
        Pool::SamePlace => "patches at the same place",
        Pool::SamePlaceWrapped => "wrapped patches at the same place",
        Pool::SameBorder => "patches with the same overlap with the border",
    }
}

fn sharing_in_words(settings: &Scheduled<AttentionSettings>) -> String {
    let tau = |settings: &AttentionSettings| match settings.source {
        AttentionSource::Similarity { tau } => Some(tau),
        _ => None,
    };
    match settings {
        Scheduled::PerStep(all) if same(all).is_some() => {
            let settings = Scheduled::Fixed(all[0]);
            format!("{} at every step", sharing_in_words(&settings))
        }
        Scheduled::Fixed(settings) => format!(
            "{}{}, lambda = {}, gamma = {}",
            settings.source.name(),
            tau(settings).map_or_else(String::new, |tau| format!(" (tau = {tau})")),
            settings.lambda,
            settings.gamma
        ),
        Scheduled::PerStep(all) => {
            let list = |number: &dyn Fn(&AttentionSettings) -> f64| {
                all.iter()
                    .map(|settings| number(settings).to_string())
                    .collect::<Vec<_>>()
                    .join(" ")
            };
            let tau = match all.iter().any(|settings| tau(settings).is_some()) {
                true => format!(", tau {}", list(&|settings| tau(settings).unwrap_or(f64::NAN))),
                false => String::new(),
            };
            format!(
                "{} per step, cleanest first: lambda {}; gamma {}{tau}",
                all.first().map_or("", |settings| settings.source.name()),
                list(&|settings| settings.lambda),
                list(&|settings| settings.gamma)
            )
        }
    }
}

/// The value that all are equal to; `None` if they differ or there are none.
fn same<T: PartialEq>(values: &[T]) -> Option<&T> {
    let first = values.first()?;
    values.iter().all(|value| value == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_are_the_same_at_every_step_are_named_once() {
        let caption = |lambdas: [f64; 2], sides: [usize; 2]| {
            let step = |lambda| AttentionSettings {
                lambda,
                gamma: 0.5,
                source: AttentionSource::Trajectory,
            };
            let settings = Scheduled::PerStep(lambdas.map(step).to_vec());
            let kind = MachineKind::Attention { pool: Pool::Wrap, settings };
            words(&MachineSpec::new(kind, PatchSize::PerStep(sides.to_vec())))
        };
        let found = caption([2.0, 2.0], [7, 7]);
        let expected =
            "attention: trajectory, lambda = 2, gamma = 0.5 at every step, k = 7 at every step";
        assert!(found.ends_with(expected), "{found}");
        let found = caption([2.0, 1.0], [3, 7]);
        let expected =
            "cleanest first: lambda 2 1; gamma 0.5 0.5, k per step, cleanest first: [3, 7]";
        assert!(found.ends_with(expected), "{found}");
    }

    #[test]
    fn a_window_that_is_not_square_is_named() {
        let gaussian = PatchWindow::Gaussian { width: 0.25 };
        let of = |kind| words(&MachineSpec::new(kind, PatchSize::Fixed(5)).with_window(gaussian));
        let expected = ", k = 5, through Gaussian windows (standard deviation 0.25 k pixels)";
        assert!(of(MachineKind::EquivariantLocal).ends_with(expected));
        assert_eq!(of(MachineKind::Ideal), "whole training images");
    }
}
