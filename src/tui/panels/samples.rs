//! The gallery of samples: a row per noise seed, with the network's sample beside those of the score machines.
//!
//! Columns are seed, network, each machine, and the difference of each machine from the network. If not all fit, the
//! network stays and the others scroll. Below each machine's sample are its r^2, R^2 and r with the network's, in as many
//! lines as there is room for.

use ::image::RgbImage;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;
use ratatui::widgets::{Block, Paragraph};

use super::picture_row::{self, Picture};
use crate::image::grid;
use crate::runs::event::{PreviewSummary, Rate};
use crate::runs::preview_files::{Label, NETWORK};
use crate::tui::number_and_text_format::{clipped, columns, padded};
use crate::tui::pictures::Placement;
use crate::tui::state::{App, OpenRun, ScoredPreview};

/// What a column shows, with indices of machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Column {
    Seed,
    Network,
    Machine(usize),
    Difference(usize),
}

/// The layout of the gallery, in cells.
struct Plan {
    columns: Vec<Column>,
    n_hidden: usize,
    /// Columns and rows of one picture.
    width: u16,
    height: u16,
    n_rows: usize,
    /// Lines of figures below each row of pictures.
    n_lines: u16,
}

/// Draws the gallery and returns where its pictures belong.
pub fn gallery(app: &App, frame: &mut Frame, area: Rect) -> Vec<Placement> {
    let Some(open) = &app.open_run else {
        frame.render_widget(Block::bordered().title(" samples "), area);
        return Vec::new();
    };
    let Some(scored) = open.shown_samples() else {
        let words = Paragraph::new("no samples yet; s makes a preview").style(app.theme.faint());
        frame.render_widget(words.block(Block::bordered().title(" samples ")), area);
        return Vec::new();
    };
    let block = Block::bordered().title(title(open, scored, area.width));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let summary = match open.shows_results() {
        true => None,
        false => open.preview_summary(scored.preview.step).and_then(PreviewSummary::judged_rates),
    };
    let n_lines = if summary.is_some() && inner.height > 24 { 1 } else { 0 };
    let [pictures, below] =
        Layout::vertical([Constraint::Min(0), Constraint::Length(n_lines)]).areas(inner);
    if let Some(rates) = summary {
        let named = rates.named().into_iter().filter(|(name, _)| *name != "consistent_of_valid");
        let word = |(name, rate): (&str, Rate)| {
            format!("{} {:.0}%", name.replace('_', " "), 100.0 * rate.value)
        };
        let mut words: Vec<String> = named.map(word).collect();
        // A figure that is cut would be read as another one.
        while words.join("  ").len() > usize::from(below.width) {
            words.pop();
        }
        frame.render_widget(Paragraph::new(words.join("  ")).style(app.theme.faint()), below);
    }
    let plan = plan(app, scored, pictures);
    rows(app, scored, &plan, frame, pictures)
}

/// Columns of the screen that `n` pictures take at one column per pixel.
pub fn width_of(app: &App, n: u16) -> Option<u16> {
    let scored = app.open_run.as_ref()?.shown_samples()?;
    let width = u16::try_from(scored.preview.network.shape().width).ok()?;
    n.checked_mul(width.checked_add(1)?)?.checked_add(1)
}

fn title(open: &OpenRun, scored: &ScoredPreview, width: u16) -> String {
    let step = scored.preview.step;
    if open.shows_results() {
        let (first, n) = (scored.preview.first_seed, scored.preview.seeds.len() as u64);
        let long = format!(" results: held-out seeds {first} to {}, step {step} ", first + n - 1);
        let hint = if open.preview_steps.is_empty() { "" } else { "([ previews) " };
        let has_room = long.len() + hint.len() + 2 <= usize::from(width);
        return long + if has_room { hint } else { "" };
    }
    let steps = &open.preview_steps;
    let position = steps.partition_point(|other| *other < step) + 1;
    let pinned = if open.pinned_step.is_some() { ", held (f follows)" } else { "" };
    let preview = &scored.preview;
    let own = open.experiment.as_ref().map(|experiment| experiment.ddim().n_steps);
    let sampling = match preview.sampling_steps {
        0 => String::new(),
        n if Some(n) == own => String::new(),
        n => format!(", in {n} steps"),
    };
    let legend = if preview.labels.is_empty() { "" } else { "v valid c consistent n novel " };
    let title =
        format!(" preview at step {step} ({position} of {}{pinned}){sampling} ", steps.len());
    // A legend that is cut explains nothing.
    let has_room = title.len() + legend.len() + 2 <= usize::from(width);
    title + if has_room { legend } else { "" }
}

/// Chooses the size of pictures, the columns and the lines of figures.
fn plan(app: &App, scored: &ScoredPreview, area: Rect) -> Plan {
    let shape = scored.preview.network.shape();
    let n_machines = scored.preview.machines.len();
    let n_seeds = scored.preview.seeds.len().saturating_sub(app.cursors.first_seed).max(1);
    let n_all = 2 + 2 * n_machines;
    let size = |scale, divisor| picture_row::cells(shape, (scale, divisor), (4, 2));
    let fit = |(width, height): (u16, u16)| {
        let columns = usize::from((area.width + 1) / (width + 1));
        // One line of names at the top, one line of figures below each row.
        let rows = usize::from(area.height.saturating_sub(1) / (height + 1));
        (columns, rows)
    };
    // The largest scale at which the important part fits: all columns or at least those of the machines, and half of the
    // seeds.
    let wanted_rows = n_seeds.div_ceil(2).min(4);
    let large = (1..=8).rev().map(|scale| size(scale, 1)).find(|&cell| {
        let (columns, rows) = fit(cell);
        columns >= n_all.min(3 + n_machines) && rows >= wanted_rows
    });
    let small = [size(1, 1), size(1, 2), size(1, 4)];
    let usable = |&cell: &(u16, u16)| fit(cell).0 >= 3.min(n_all) && fit(cell).1 >= 1;
    let (width, height) = large.or_else(|| small.into_iter().find(usable)).unwrap_or(small[2]);
    let (n_columns, n_rows) = fit((width, height));
    let machines = (0..n_machines).map(Column::Machine);
    let behind: Vec<Column> = machines.chain((0..n_machines).map(Column::Difference)).collect();
    let mut columns = vec![Column::Network];
    if n_columns >= n_all || (n_columns > 3 && app.cursors.first_column == 0) {
        columns.insert(0, Column::Seed);
    }
    let room = n_columns.saturating_sub(columns.len());
    let first = app.cursors.first_column.min(behind.len().saturating_sub(room));
    columns.extend(behind.iter().skip(first).take(room));
    columns.truncate(n_columns);
    let n_rows = n_rows.min(n_seeds);
    // Lines that the pictures leave free are shared among the rows, as far as there are figures for them.
    let used = 1 + n_rows * usize::from(height + 1);
    let spare = usize::from(area.height).saturating_sub(used) / n_rows.max(1);
    let needed = |&column: &Column| {
        packed(&figures(scored, column, app.cursors.first_seed), width.into())
            .len()
            .saturating_sub(1)
    };
    let more = columns.iter().map(needed).max().unwrap_or(0).min(spare);
    let n_hidden = n_all - columns.len();
    Plan { n_hidden, columns, width, height, n_rows, n_lines: 1 + more as u16 }
}

fn rows(
    app: &App,
    scored: &ScoredPreview,
    plan: &Plan,
    frame: &mut Frame,
    area: Rect,
) -> Vec<Placement> {
    let width = usize::from(plan.width);
    let heads: Vec<String> =
        plan.columns.iter().map(|column| padded(&name(scored, *column), width)).collect();
    let mut line = heads.join(" ");
    if plan.n_hidden > 0 {
        // A number that is cut would be read as another one.
        let more = format!(" ◂▸{}", plan.n_hidden);
        let room = usize::from(area.width).saturating_sub(columns(&more));
        line = clipped(line.trim_end(), room) + &more;
    }
    let head = Rect { height: area.height.min(1), ..area };
    frame.render_widget(Line::styled(line, app.theme.faint()), head);
    let mut placements = Vec::new();
    for row in 0..plan.n_rows {
        let seed = (app.cursors.first_seed + row).min(scored.preview.seeds.len().saturating_sub(1));
        let top = area.y + 1 + row as u16 * (plan.height + plan.n_lines);
        let pictures: Vec<Option<Picture>> =
            plan.columns.iter().map(|column| Some(picture(scored, *column, seed).into())).collect();
        let run = app.open_run.as_ref().map(|open| open.id.as_str());
        let identity = (run, scored.preview.step, scored.preview.first_seed, seed, &plan.columns);
        let place = Rect { y: top, ..area }.intersection(area);
        let size = (plan.width, plan.height);
        placements.extend(picture_row::draw(app, frame, place, size, &pictures, identity));
        let found: Vec<Vec<String>> = plan
            .columns
            .iter()
            .map(|column| packed(&figures(scored, *column, seed), width))
            .collect();
        for line in 0..plan.n_lines {
            let cell = |lines: &Vec<String>| {
                padded(lines.get(usize::from(line)).map_or("", String::as_str), width)
            };
            let words: Vec<String> = found.iter().map(cell).collect();
            let y = top + plan.height + line;
            let under = Rect::new(area.x, y, area.width, 1).intersection(area);
            frame.render_widget(Line::raw(words.join(" ")), under);
        }
    }
    placements
}

fn name(scored: &ScoredPreview, column: Column) -> String {
    let machine = |index| machine_name(scored, index).replace("attention-", "att-");
    match column {
        Column::Seed => "seed".to_owned(),
        Column::Network => "network".to_owned(),
        Column::Machine(index) => machine(index),
        Column::Difference(index) => format!("{} - net", machine(index)),
    }
}

fn machine_name(scored: &ScoredPreview, index: usize) -> &str {
    scored.preview.machines.get(index).map_or("", |(name, _)| name)
}

/// The figures below a picture, the most important first.
fn figures(scored: &ScoredPreview, column: Column, seed: usize) -> Vec<String> {
    match column {
        Column::Seed => vec![format!("seed {}", scored.preview.first_seed + seed as u64)],
        Column::Network => vec![label(scored, NETWORK, seed)],
        Column::Difference(_) => Vec::new(),
        Column::Machine(index) => {
            let name = machine_name(scored, index);
            let found = scored.agreement.get(index).and_then(|all| all.get(seed));
            let figure = |name: &str, value: Option<f64>| {
                value.map_or(format!("{name} n/a"), |value| format!("{name} {value:.2}"))
            };
            vec![
                figure("r^2", found.and_then(|found| found.r_squared)),
                label(scored, name, seed),
                figure("R^2", found.and_then(|found| found.cod)),
                figure("r", found.and_then(|found| found.r)),
            ]
        }
    }
}

/// Figures in lines of at most `width` columns, each in the first line that has room. A figure that fits nowhere loses its
/// space or is left out: cut, it would be read as another one.
fn packed(figures: &[String], width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for figure in figures.iter().filter(|figure| !figure.is_empty()) {
        let tight = figure.replacen(' ', "", 1);
        let Some(figure) = [figure, &tight].into_iter().find(|one| one.len() <= width) else {
            continue;
        };
        match lines.iter_mut().find(|line| line.len() + 1 + figure.len() <= width) {
            Some(line) => *line += &format!(" {figure}"),
            None => lines.push(figure.clone()),
        }
    }
    lines
}

/// The label of a sample by the rule of the data set, if it has one.
fn label(scored: &ScoredPreview, name: &str, seed: usize) -> String {
    let found = scored.preview.labels_of(name).and_then(|labels| labels.get(seed));
    found.map(Label::to_string).unwrap_or_default()
}

fn picture(scored: &ScoredPreview, column: Column, seed: usize) -> RgbImage {
    let preview = &scored.preview;
    let shape = preview.network.shape();
    let network = preview.network.image(seed);
    let machine = |index: usize| preview.machines[index].1.image(seed);
    match column {
        Column::Seed => grid::seed_to_rgb(preview.seeds.image(seed), shape),
        Column::Network => grid::to_rgb(network, shape),
        Column::Machine(index) => grid::to_rgb(machine(index), shape),
        Column::Difference(index) => grid::difference(machine(index), network, shape),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_share_lines_and_are_never_cut() {
        let figures = ["r^2 0.04", "vc-", "R^2 -0.86", "r 0.20"].map(str::to_owned);
        let lines = |width| packed(&figures, width);
        assert_eq!(lines(40), ["r^2 0.04 vc- R^2 -0.86 r 0.20"]);
        assert_eq!(lines(18), ["r^2 0.04 vc-", "R^2 -0.86 r 0.20"]);
        assert_eq!(lines(8), ["r^2 0.04", "vc-", "R^2-0.86", "r 0.20"]);
        assert_eq!(lines(4), ["vc-"]);
        assert!(lines(2).is_empty() && packed(&[String::new()], 9).is_empty());
    }
}
