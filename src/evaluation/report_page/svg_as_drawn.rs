//! Whether an SVG file is nothing but a drawing, so that it can be part of a page.

/// Elements and attributes of the charts that this program draws.
const ELEMENTS: [&str; 9] =
    ["svg", "g", "rect", "text", "line", "polyline", "polygon", "circle", "path"];
const ATTRIBUTES: [&str; 27] = [
    "width",
    "height",
    "viewBox",
    "xmlns",
    "x",
    "y",
    "x1",
    "y1",
    "x2",
    "y2",
    "dx",
    "dy",
    "points",
    "fill",
    "stroke",
    "stroke-width",
    "opacity",
    "font-family",
    "font-size",
    "font-style",
    "font-weight",
    "text-anchor",
    "cx",
    "cy",
    "r",
    "d",
    "transform",
];

/// True if the text consists of the elements and attributes of our charts: no script, link, style or picture.
pub fn is_as_drawn(svg: &str) -> bool {
    let Some(start) = svg.trim_start().strip_prefix('<') else { return false };
    start.starts_with("svg ") && start.split('<').all(is_tag_and_text)
}

/// Whether a tag, without its `<`, and the text behind it are harmless.
fn is_tag_and_text(piece: &str) -> bool {
    let Some((tag, _text)) = split_tag(piece) else { return false };
    if let Some(name) = tag.strip_prefix('/') {
        return ELEMENTS.contains(&name.trim_end());
    }
    let tag = tag.strip_suffix('/').unwrap_or(tag).trim_end();
    let (name, mut rest) = tag.split_once(char::is_whitespace).unwrap_or((tag, ""));
    if !ELEMENTS.contains(&name) {
        return false;
    }
    while !rest.trim_start().is_empty() {
        let Some((attribute, value)) = rest.trim_start().split_once("=\"") else { return false };
        let Some((value, more)) = value.split_once('"') else { return false };
        // A colour may be the address of another file.
        if !ATTRIBUTES.contains(&attribute) || value.contains("url") {
            return false;
        }
        rest = more;
    }
    true
}

/// A tag and what follows its `>`, which is not one inside of quotes.
fn split_tag(piece: &str) -> Option<(&str, &str)> {
    let mut is_quoted = false;
    let end = piece.char_indices().find_map(|(at, letter)| {
        is_quoted ^= letter == '"';
        (letter == '>' && !is_quoted).then_some(at)
    })?;
    Some((&piece[..end], &piece[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::chart_panels::{Marks, Panel, Series, svg};

    #[test]
    fn our_own_charts_are_drawings_and_changed_ones_are_not() {
        let series = |marks, colour| Series {
            band: vec![(0.0, 1.0), (0.1, 0.9)],
            ..Series::new("<a \"b\">", colour, vec![(0.0, 0.5), (1.0, 0.6)], marks)
        };
        let all = [Marks::Line, Marks::Curve, Marks::Dots]
            .into_iter()
            .flat_map(|marks| [0, 8, 15].map(|colour| series(marks, colour)));
        let panel = Panel {
            y: "upwards".into(),
            series: all.collect(),
            diagonal: true,
            y_range: Some((0.0, 0.55)),
            ..Panel::default()
        };
        let good =
            svg(&[panel.clone(), Panel { is_log: true, y_range: Some((0.01, 0.55)), ..panel }], 2)
                .unwrap();
        assert!(is_as_drawn(&good), "{good}");
        let end = good.rfind("</svg>").unwrap();
        for more in [
            "<script>alert(1)</script>",
            "<rect onload=\"alert(1)\"/>",
            "<a href=\"javascript:alert(1)\"><text>x</text></a>",
            "<image href=\"http://a.b\"/>",
            "<style>*{fill:url(http://a.b)}</style>",
            "<foreignObject></foreignObject>",
            "<rect style=\"fill:url(http://a.b)\"/>",
            "<rect x=\"1\" onclick='alert(1)'/>",
            "<rect fill=\"url(http://a.b/c.svg#d)\"/>",
            "<!-- x -->",
            "<rect x=\"1\"",
            "</svg><script>",
        ] {
            let bad = format!("{}{more}{}", &good[..end], &good[end..]);
            assert!(!is_as_drawn(&bad), "{more}");
        }
        assert!(!is_as_drawn("") && !is_as_drawn("<html>") && !is_as_drawn("hello"));
    }
}
