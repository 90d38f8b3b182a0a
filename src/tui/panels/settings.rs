//! Every setting of the run on screen, what differs from the default standing out; with marked runs beside it, what
//! they do not have in common.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph};

use crate::lab::config::Experiment;
use crate::tui::app::{App, Watched};
use crate::tui::plot::letter;
use crate::tui::words::{clipped, clipped_name, padded};

/// Columns of keys and of values.
const KEY: usize = 28;
const VALUE: usize = 34;
/// Of a value beside others: as wide as there is room for, within these.
const BESIDE: [usize; 2] = [8, 24];

pub fn list(app: &App, frame: &mut Frame, area: Rect) {
    let watched = app.watched.as_ref();
    let Some(experiment) = watched.and_then(|watched| watched.experiment.as_ref()) else {
        frame.render_widget(Block::bordered().title(" settings "), area);
        return;
    };
    let runs = app.watched.iter().chain(app.beside().map(|(_, run)| run));
    let runs: Vec<&Watched> = runs.filter(|run| run.experiment.is_some()).collect();
    let room = usize::from(area.width).saturating_sub(KEY + 3);
    let shown = runs.len().min(room / (BESIDE[0] + 1));
    let (title, lines) = match runs.len() {
        1 => {
            let title = " settings (bold: not the default; e edits and relaunches) ".to_owned();
            (title, all(app, experiment))
        }
        n if n == shown => (TITLE.to_owned() + " ", differing(app, &runs, shown, room)),
        n => {
            let title = format!("{TITLE} ({shown} of {n} fit) ");
            (title, differing(app, &runs, shown, room))
        }
    };
    let lines: Vec<Line> = lines.into_iter().skip(app.first_setting).collect();
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(title)), area);
}

fn all(app: &App, experiment: &Experiment) -> Vec<Line<'static>> {
    let lines = experiment.entries().into_iter().map(|entry| {
        let style = if entry.is_default { app.theme.faint() } else { app.theme.strong() };
        Line::from(vec![
            Span::raw(format!(" {:<KEY$} ", clipped(entry.key, KEY))),
            Span::styled(format!("{} ", padded(&entry.value, VALUE)), style),
            Span::styled(entry.doc, app.theme.faint()),
        ])
    });
    lines.collect()
}

const TITLE: &str = " where the settings of marked runs differ";

/// A column a run, the one on screen first, as many as are to be shown; a row a setting that is not the same in all.
fn differing(app: &App, runs: &[&Watched], shown: usize, room: usize) -> Vec<Line<'static>> {
    let width = (room / shown.max(1)).saturating_sub(1).clamp(BESIDE[0], BESIDE[1]);
    let columns: Vec<Vec<String>> = runs
        .iter()
        .filter_map(|run| run.experiment.as_ref())
        .map(|e| e.entries().into_iter().map(|entry| entry.value).collect())
        .collect();
    let keys = runs.iter().find_map(|run| run.experiment.as_ref()).map(Experiment::entries);
    let cells = |values: Vec<String>| values.concat();
    let names = runs.iter().take(shown).map(|run| {
        // The letter of its curve tells a name that is cut short.
        let letter = app.marked.iter().position(|marked| marked.id == run.id).map(letter);
        let letter = letter.map_or(String::new(), |letter| format!("{letter} "));
        let name = clipped_name(&run.id, width.saturating_sub(letter.len()));
        format!(" {}", padded(&(letter + &name), width))
    });
    let head = format!(" {:<KEY$}{}", "", cells(names.collect()));
    let mut lines = vec![Line::styled(head, app.theme.strong())];
    for (row, entry) in keys.into_iter().flatten().enumerate() {
        let values: Vec<&String> = columns.iter().filter_map(|column| column.get(row)).collect();
        if values.windows(2).all(|pair| pair[0] == pair[1]) {
            continue;
        }
        let values = values.iter().take(shown).map(|value| format!(" {}", padded(value, width)));
        lines.push(Line::raw(format!(
            " {:<KEY$}{}",
            clipped(entry.key, KEY),
            cells(values.collect())
        )));
    }
    if lines.len() == 1 {
        lines.push(Line::styled(" all settings are the same", app.theme.faint()));
    }
    lines
}
