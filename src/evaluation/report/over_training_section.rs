//! A report's figures of earlier checkpoints: copies, novelty and errors by training step.

use crate::analysis::confidence_intervals::Interval;
use crate::evaluation::chart_panels::{Panel, Series};
use crate::evaluation::checkpoints_over_training::CheckpointFigures;
use crate::evaluation::markdown_table::{Table, cell, text_or};
use crate::runs::event::Rate;

const TITLE: &str = "Copies and errors over training (with 95% intervals over samples)";

/// The section of `report.md`; empty without checkpoints.
pub(super) fn section(checkpoints: &[CheckpointFigures]) -> String {
    let Some(first) = checkpoints.first() else { return String::new() };
    let head = ["step", "n", "copies", "error", "held-out error", "valid", "novel"];
    let mut table = Table::new(TITLE, &head);
    let rate = |rate: Option<Rate>| {
        cell(rate.map(|Rate { value, low, high }| Interval { estimate: value, low, high }))
    };
    for found in checkpoints {
        table.rows.push(vec![
            found.step.to_string(),
            found.n.to_string(),
            found.copies().to_string(),
            format!("{:.5} ({:.5})", found.training.mse, found.training.se),
            cell(found.held_out.map(|error| format!("{:.5} ({:.5})", error.mse, error.se))),
            rate(found.valid),
            rate(found.novel),
        ]);
    }
    table.section()
        + &format!(
            "\nThe averaged network of every checkpoint that is kept, from the same {} held-out noise seeds. Copies: the nearest training image, at its own place, is less than a third as far as the second nearest. Errors of the clean estimate per value (images in [-1, 1]; standard error in brackets), mean over t = 0.1 to 0.9, on noised training images and on images of the set that are not training images. Also in over_training.png and over_training.csv; sample by sample in copies_over_training.csv.\n\n",
            first.n
        )
}

/// `over_training.csv`.
pub(super) fn csv(checkpoints: &[CheckpointFigures]) -> String {
    let mut text = "step,samples,copies,low95,high95,training_mse,training_se,held_out_mse,held_out_se,valid,novel\n".to_owned();
    for found in checkpoints {
        let Interval { estimate, low, high } = found.copies();
        let (training, held_out) = (found.training, found.held_out);
        let number = |value: Option<f64>| text_or(value.map(|value| format!("{value:.8}")), "");
        text += &format!(
            "{},{},{estimate:.4},{low:.4},{high:.4},{:.8},{:.8},{},{},{},{}\n",
            found.step,
            found.n,
            training.mse,
            training.se,
            number(held_out.map(|error| error.mse)),
            number(held_out.map(|error| error.se)),
            number(found.valid.map(|rate| rate.value)),
            number(found.novel.map(|rate| rate.value)),
        );
    }
    text
}

/// `copies_over_training.csv`: whether each sample is a copy, a line per checkpoint and noise seed.
pub(super) fn copies_csv(checkpoints: &[CheckpointFigures]) -> String {
    let mut text = "step,sample,is_copy\n".to_owned();
    for found in checkpoints {
        for (sample, is_copy) in found.is_copy.iter().enumerate() {
            text += &format!("{},{sample},{}\n", found.step, u8::from(*is_copy));
        }
    }
    text
}

/// `over_training.png`.
pub(super) fn panels(checkpoints: &[CheckpointFigures]) -> Vec<Panel> {
    let line = |name: &str, colour, value: &dyn Fn(&CheckpointFigures) -> Option<f64>| {
        let points =
            checkpoints.iter().filter_map(|found| Some((found.step as f64, value(found)?)));
        Series::line(name, colour, points.collect())
    };
    let x = "training step".to_owned();
    let shares = vec![
        line("copies", 0, &|found| Some(found.copies[0])),
        line("valid", 1, &|found| found.valid.map(|rate| rate.value)),
        line("novel", 2, &|found| found.novel.map(|rate| rate.value)),
    ];
    let errors = vec![
        line("error on training images", 4, &|found| Some(found.training.mse)),
        line("held-out error", 5, &|found| found.held_out.map(|error| error.mse)),
    ];
    let shown = |series: Vec<Series>| series.into_iter().filter(|s| !s.points.is_empty()).collect();
    vec![
        Panel {
            title: "share of samples".to_owned(),
            x: x.clone(),
            y_range: Some((0.0, 1.0)),
            series: shown(shares),
            ..Panel::default()
        },
        Panel {
            title: "error of the clean estimate".to_owned(),
            x,
            series: shown(errors),
            ..Panel::default()
        },
    ]
}
