//! Charts and pictures of a report's folder as parts of a page.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::html_text::escape;
use super::svg_as_drawn::is_as_drawn;
use crate::evaluation::chart_panels::{self, Marks, Panel, Series};
use crate::runs::event::{Event, EventBody};

/// Most points of a curve over training; each is the mean of its share of the values.
const POINTS_MAX: usize = 500;

/// A chart of a report: the beginning of the title of the section that it belongs to, and what it shows.
pub struct ReportChart {
    pub name: &'static str,
    pub section: &'static str,
    pub caption: &'static str,
}

/// The charts that a report may have.
pub const CHARTS: [ReportChart; 5] = [
    ReportChart {
        name: "floors",
        section: "Is the network trained enough",
        caption: "Left: mean squared error of the clean estimate by noise level, of the network and of the floors. Right: the network's excess over the floor of its class, with the limits of the words 'converged' and 'close'.",
    },
    ReportChart {
        name: "agreement",
        section: "Agreement with the network",
        caption: "R^2 of the clean estimate at the network's own states by noise level, mean over noise seeds; r of final samples, a dot for each noise seed; attention entropy, if machines predict it.",
    },
    ReportChart {
        name: "over_training",
        section: "Copies and errors over training",
        caption: "Copies of training images among the samples, and errors of the clean estimate, by training step.",
    },
    ReportChart {
        name: "interventions",
        section: "Interventions",
        caption: "What changed attention, exchanged denoisers and stochastic branches do to samples, by noise level; bands: 95% intervals over noise seeds.",
    },
    ReportChart {
        name: "calibration",
        section: "Machines",
        caption: "The machines' settings by noise level, and how well they fit the network at its own states.",
    },
];

/// The chart `name` of a report's folder as a figure: its SVG as part of the page, or its PNG in reports of versions that had none.
/// `None` without either.
pub fn chart(folder: &Path, name: &str, caption: &str) -> Option<String> {
    let svg = std::fs::read_to_string(folder.join(format!("{name}.svg"))).ok();
    if let Some(svg) = svg.filter(|svg| is_as_drawn(svg)) {
        return Some(drawn(&svg, caption));
    }
    picture(&folder.join(format!("{name}.png")), caption)
}

/// A drawing as a figure.
pub fn drawn(svg: &str, caption: &str) -> String {
    let caption = escape(caption);
    let svg =
        svg.trim().replacen("<svg ", &format!("<svg role=\"img\" aria-label=\"{caption}\" "), 1);
    format!(
        "<figure class=\"chart\"><div class=\"drawing\">{svg}</div><figcaption>{caption}</figcaption></figure>\n"
    )
}

/// A PNG file as a figure; `None` if it cannot be read or is another kind of file.
pub fn picture(path: &Path, caption: &str) -> Option<String> {
    let bytes = std::fs::read(path).ok().filter(|bytes| bytes.starts_with(b"\x89PNG\r\n\x1a\n"))?;
    let (caption, data) = (escape(caption), STANDARD.encode(bytes));
    Some(format!(
        "<figure class=\"picture\"><img alt=\"{caption}\" src=\"data:image/png;base64,{data}\"><figcaption>{caption}</figcaption></figure>\n"
    ))
}

/// The loss over training as a figure; `None` without a loss.
pub fn loss(events: &[Event]) -> Option<String> {
    let loss = |event: &Event| match &event.body {
        EventBody::Metrics(metrics) => Some((event.step as f64, metrics.loss?)),
        _ => None,
    };
    let all: Vec<(f64, f64)> = events.iter().filter_map(loss).collect();
    let points = thinned(&all, POINTS_MAX);
    if points.len() < 2 {
        return None;
    }
    let panel = Panel {
        title: "training loss".to_owned(),
        x: "training step".to_owned(),
        y: "mean squared error of the predicted noise".to_owned(),
        series: vec![Series::new("loss", 0, points, Marks::Curve)],
        is_log: true,
        ..Panel::default()
    };
    let svg = chart_panels::svg(&[panel], 1).ok()?;
    let figure = drawn(&svg, "Training loss (logarithmic axis).");
    Some(figure.replacen("class=\"chart\"", "class=\"chart narrow\"", 1))
}

/// Points in at most `n` groups, each the mean of its group.
fn thinned(points: &[(f64, f64)], n: usize) -> Vec<(f64, f64)> {
    let mean = |group: &[(f64, f64)]| {
        let of = |pick: fn(&(f64, f64)) -> f64| group.iter().map(pick).sum::<f64>();
        (of(|p| p.0) / group.len() as f64, of(|p| p.1) / group.len() as f64)
    };
    points.chunks(points.len().div_ceil(n).max(1)).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_drawing_gives_way_to_the_picture() {
        let folder = tempfile::tempdir().unwrap();
        let panel = Panel { title: "t".into(), ..Panel::default() };
        chart_panels::write_png_and_svg(&[panel], 1, folder.path(), "a").unwrap();
        let own = chart(folder.path(), "a", "a <caption>").unwrap();
        assert!(
            own.contains("aria-label=\"a &lt;caption&gt;\"") && own.contains("</svg>"),
            "{own}"
        );
        let path = folder.path().join("a.svg");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("</svg>", "<script>x</script></svg>")).unwrap();
        let other = chart(folder.path(), "a", "c").unwrap();
        assert!(
            other.contains("data:image/png;base64,iVBOR") && !other.contains("script"),
            "{other}"
        );
        std::fs::write(folder.path().join("a.png"), "<script>").unwrap();
        assert_eq!(chart(folder.path(), "a", "c"), None);
        assert_eq!(chart(folder.path(), "b", "c"), None);
    }

    #[test]
    fn a_long_curve_is_thinned_to_means() {
        let points: Vec<(f64, f64)> = (0..1000).map(|i| (f64::from(i), f64::from(i % 2))).collect();
        let found = thinned(&points, 500);
        assert_eq!((found.len(), found[0], found[499]), (500, (0.5, 0.5), (998.5, 0.5)));
        assert_eq!(thinned(&points[..3], 500), points[..3]);
    }
}
