//! Popups, and the welcome page shown while there is no run.

use ratatui::Frame;
use ratatui::layout::{Margin, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Wrap};

use super::settings::{self, WORDS};
use crate::analysis::glossary::GLOSSARY;
use crate::console;
use crate::tui::command_palette::matching;
use crate::tui::key_table::{BINDINGS, INSPECTOR_BINDINGS};
use crate::tui::number_and_text_format::{clipped, padded, wrapped};
use crate::tui::state::{App, EditForm, FieldsForm, LaunchForm, Popup};
use crate::tui::text_field::TextField;

/// Draws the welcome page.
pub fn welcome(app: &App, frame: &mut Frame, area: Rect) {
    let block = Block::bordered().title(" mosaic-lab ");
    let lines = vec![
        Line::raw(""),
        Line::styled(
            "Where does the creativity of a diffusion model come from?",
            app.theme.strong(),
        ),
        Line::raw(""),
        Line::raw(
            "This lab trains a small denoising network and shows, live, what it makes of a noise seed next to what analytic theory predicts for the same seed.",
        ),
        Line::raw(""),
        Line::raw(format!("There are no runs in '{}' yet.", app.runs_dir)),
        Line::raw(""),
        Line::from(vec![
            Span::raw("Press "),
            Span::styled(" n ", app.theme.selected()),
            Span::raw(
                " and Enter to launch the first experiment. It trains in its own process, so you can leave and come back.",
            ),
        ]),
        Line::raw(""),
        Line::from(vec![
            Span::styled(" ? ", app.theme.selected()),
            Span::raw(" lists all keys, "),
            Span::styled(" q ", app.theme.selected()),
            Span::raw(" leaves."),
        ]),
    ];
    let inside = block.inner(area).inner(Margin::new(2, 0));
    frame.render_widget(block, area);
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: true }), inside);
}

/// Draws a popup in the middle of `area`.
pub fn popup(app: &App, popup: &Popup, frame: &mut Frame, area: Rect) {
    match popup {
        // It is part of the message line.
        Popup::Filter => {}
        Popup::Palette { typed, cursor } => everything(app, frame, area, typed, *cursor),
        Popup::Help { first } => help(app, frame, area, *first),
        Popup::Glossary { first } => glossary(app, frame, area, *first),
        Popup::Launch(form) => launch(app, frame, area, form),
        Popup::ConfirmStop { run } => {
            let text = format!(
                "Stop {run}?\n\nIts worker writes a checkpoint and exits; r resumes the run later.\n\n y  yes    any other key  no"
            );
            let words = Paragraph::new(text).wrap(Wrap { trim: false });
            put(frame, place(area, 64, 9), " stop ", words);
        }
        Popup::ConfirmResume { run, others } => {
            let (n, first) = (others.len(), &others[0]);
            let more = if n > 1 { format!(" and {} more", n - 1) } else { String::new() };
            let text = format!(
                "Let {run} go on now?\n\n{first}{more} trains as well; at once, each is slower.\n\n y  yes    any other key  no"
            );
            let words = Paragraph::new(text).wrap(Wrap { trim: false });
            put(frame, place(area, 64, 9), " go on ", words);
        }
        Popup::Edit(form) => {
            edit(app, frame, area, form);
            if form.is_confirming {
                confirm_launch(frame, area, form);
            }
        }
        Popup::Fields(form) => fields(app, frame, area, form),
    }
}

/// A centred area of this size, or smaller if `area` is.
fn place(area: Rect, width: u16, height: u16) -> Rect {
    let (width, height) = (width.min(area.width), height.min(area.height));
    Rect::new(area.x + (area.width - width) / 2, area.y + (area.height - height) / 2, width, height)
}

fn put(frame: &mut Frame, area: Rect, title: &str, words: Paragraph<'_>) {
    frame.render_widget(Clear, area);
    frame.render_widget(words.block(Block::bordered().title(title)), area);
}

fn help(app: &App, frame: &mut Frame, area: Rect, first: usize) {
    let usual = BINDINGS.iter().map(|row| (row.label, row.help));
    let inside = INSPECTOR_BINDINGS.iter().map(|row| (row.label, row.help));
    let inside = std::iter::once(("", "inside a seed (Enter):")).chain(inside);
    let rows: Vec<(&str, &str)> = match app.inspector {
        Some(_) => inside.chain([("", "everywhere:")]).chain(usual).collect(),
        None => usual.chain(inside).collect(),
    };
    let area = place(area, 78, rows.len() as u16 + 2);
    let n_rows = usize::from(area.height.saturating_sub(2));
    let first = first.min(rows.len().saturating_sub(n_rows));
    let line = |(label, help): &(&'static str, &'static str)| match *label {
        "" => Line::styled(format!(" {help}"), app.theme.faint()),
        label => Line::from(vec![
            Span::styled(format!(" {label:>6} "), app.theme.strong()),
            Span::raw(format!(" {help}")),
        ]),
    };
    let lines: Vec<Line> = rows.iter().skip(first).take(n_rows).map(line).collect();
    put(frame, area, " keys ", Paragraph::new(lines));
}

/// Columns of a word in the glossary; longer ones take several lines.
const WORD: usize = 16;

fn glossary(app: &App, frame: &mut Frame, area: Rect, first: usize) {
    let area = place(area, 100, area.height.saturating_sub(2));
    let room = usize::from(area.width).saturating_sub(WORD + 5);
    let mut lines = Vec::new();
    for (word, meaning) in GLOSSARY {
        let (words, meaning) = (wrapped(word, WORD), wrapped(&meaning.replace('`', ""), room));
        for index in 0..words.len().max(meaning.len()) {
            let word = words.get(index).map_or("", String::as_str);
            let meaning = meaning.get(index).map_or("", String::as_str).to_owned();
            lines.push(Line::from(vec![
                Span::styled(format!(" {} ", padded(word, WORD)), app.theme.strong()),
                Span::raw(meaning),
            ]));
        }
    }
    let n_rows = usize::from(area.height.saturating_sub(2));
    let first = first.min(lines.len().saturating_sub(n_rows));
    let shown: Vec<Line> = lines.into_iter().skip(first).take(n_rows).collect();
    put(frame, area, " words on the screen ", Paragraph::new(shown));
}

fn everything(app: &App, frame: &mut Frame, area: Rect, typed: &TextField, cursor: usize) {
    let found = matching(app, typed.text());
    let area = place(area, 90, 20);
    let rows = usize::from(area.height.saturating_sub(3)).max(1);
    let first = (cursor + 1).saturating_sub(rows);
    let room = usize::from(area.width).saturating_sub(45);
    let mut head = vec![Span::styled(" : ", app.theme.strong())];
    head.extend(typed.spans(usize::from(area.width).saturating_sub(6), app.theme.strong()));
    let mut lines = vec![Line::from(head)];
    if found.is_empty() {
        lines.push(Line::styled(" no matching action", app.theme.faint()));
    }
    for (index, entry) in found.iter().enumerate().skip(first).take(rows) {
        let line = Line::from(vec![
            Span::raw(format!(" {} ", padded(&entry.name, 34))),
            Span::styled(format!("{:<6} ", entry.key), app.theme.strong()),
            Span::styled(clipped(&entry.help, room), app.theme.faint()),
        ]);
        lines.push(if index == cursor { line.style(app.theme.selected()) } else { line });
    }
    put(frame, area, " everything by name ", Paragraph::new(lines));
}

fn launch(app: &App, frame: &mut Frame, area: Rect, form: &LaunchForm) {
    let area = place(area, 90, app.experiments.len() as u16 + 4);
    let rows = usize::from(area.height.saturating_sub(4)).max(1);
    let (cursor, first) = (form.cursor, (form.cursor + 1).saturating_sub(rows));
    let width = app.experiments.iter().map(|e| e.name.chars().count()).max().unwrap_or(0);
    let room = usize::from(area.width).saturating_sub(width + 6);
    let line = |(index, experiment): (usize, &crate::config::Experiment)| {
        let line = Line::from(vec![
            Span::styled(format!(" {:<width$}  ", experiment.name), app.theme.strong()),
            Span::raw(clipped(&experiment.description, room)),
        ]);
        if index == cursor { line.style(app.theme.selected()) } else { line }
    };
    let mut lines: Vec<Line> =
        app.experiments.iter().enumerate().skip(first).take(rows).map(line).collect();
    lines.extend([Line::raw(""), training_seeds(app, form, usize::from(area.width))]);
    put(frame, area, " launch an experiment ", Paragraph::new(lines));
}

/// The field of training seeds, or why they were refused.
fn training_seeds(app: &App, form: &LaunchForm, width: usize) -> Line<'static> {
    let label = Span::raw(" training seeds: ");
    let room = width.saturating_sub(20);
    let words = match (&form.error, form.seeds.text()) {
        (Some(error), _) => Span::styled(clipped(error, room / 2 * 2), app.theme.bad()),
        (None, "") => {
            Span::styled("the experiment's own (s: several, such as 0..5)", app.theme.faint())
        }
        (None, _) => {
            Span::styled("a run each; the first starts, the others queue", app.theme.faint())
        }
    };
    if !form.is_typing {
        let seeds = Span::styled(form.seeds.text().to_owned(), app.theme.strong());
        let gap = if form.seeds.text().is_empty() { "" } else { "  " };
        return Line::from(vec![label, seeds, Span::raw(gap), words]);
    }
    let mut spans = vec![label];
    spans.extend(form.seeds.spans(12, app.theme.selected()));
    spans.push(Span::raw("  "));
    if form.error.is_some() {
        spans.push(words);
    }
    Line::from(spans)
}

fn edit(app: &App, frame: &mut Frame, area: Rect, form: &EditForm) {
    let area = place(area, 100, area.height.saturating_sub(2));
    let entries = form.listed();
    let rows = usize::from(area.height.saturating_sub(4 + WORDS)).max(1);
    let room = usize::from(area.width).saturating_sub(33);
    let first = (form.cursor + 1).saturating_sub(rows);
    let mut search = vec![Span::styled(" search: ", app.theme.faint())];
    if form.typing.is_none() {
        search.extend(
            form.search.spans(usize::from(area.width).saturating_sub(12), app.theme.strong()),
        );
    } else {
        search.push(Span::raw(form.search.text().to_owned()));
    }
    let settings = entries.iter().enumerate().skip(first).take(rows).map(|(index, entry)| {
        let style = if entry.is_default { app.theme.faint() } else { app.theme.strong() };
        let key = Span::raw(format!(" {:<28} ", clipped(entry.key, 28)));
        let line = match &form.typing {
            Some(text) if index == form.cursor => {
                let selected = style.patch(app.theme.selected());
                let spans = text.spans(room, selected).into_iter();
                Line::from_iter(std::iter::once(key.patch_style(selected)).chain(spans))
            }
            _ => Line::from(vec![key, Span::styled(clipped(&entry.value, room), style)]),
        };
        match index == form.cursor && form.typing.is_none() {
            true => line.style(app.theme.selected()),
            false => line,
        }
    });
    let lines: Vec<Line> = std::iter::once(Line::from(search)).chain(settings).collect();
    let title = match form.parent.as_str() {
        "" => format!(" a new run of {} ", form.experiment.name),
        parent => format!(" a new run with the settings of {} ", console::line(parent)),
    };
    put(frame, area, &title, Paragraph::new(lines));
    let words = match (&form.error, entries.get(form.cursor)) {
        (Some(error), _) => Line::styled(console::line(error).into_owned(), app.theme.bad()),
        (None, Some(entry)) => settings::explained(app, entry),
        (None, None) => Line::styled("no setting has these words", app.theme.faint()),
    };
    let inside = area.inner(Margin::new(2, 1));
    let height = WORDS.min(inside.height);
    let below = Rect { y: inside.bottom() - height, height, ..inside };
    frame.render_widget(Paragraph::new(words).wrap(Wrap { trim: true }), below);
}

/// Asks whether the edited run is to be launched, and lists what was changed.
fn confirm_launch(frame: &mut Frame, area: Rect, form: &EditForm) {
    let changes = form.changes();
    let mut lines = vec![match changes.len() {
        0 => Line::raw(" No setting is changed:"),
        1 => Line::raw(" One setting is changed:"),
        n => Line::raw(format!(" {n} settings are changed:")),
    }];
    let shown = changes.iter().take(usize::from(area.height.saturating_sub(8)));
    lines.extend(shown.map(|(key, old, new)| {
        Line::raw(format!("   {key}: {} instead of {}", clipped(new, 24), clipped(old, 24)))
    }));
    lines.extend([
        Line::raw(""),
        Line::raw(" y  launch    w  launch when no other run is at work    any other key  back"),
    ]);
    let title = format!(" launch {}? ", form.experiment.name);
    let area = place(area, 80, lines.len() as u16 + 2);
    put(frame, area, &title, Paragraph::new(lines));
}

fn fields(app: &App, frame: &mut Frame, area: Rect, form: &FieldsForm) {
    let area = place(area, 76, form.values.len() as u16 + 6);
    let labels = form.purpose.labels();
    let mut lines = vec![Line::raw("")];
    for (index, (label, value)) in labels.iter().zip(&form.values).enumerate() {
        let room = usize::from(area.width).saturating_sub(20);
        let label = format!(" {label:<16} ");
        lines.push(if index == form.at {
            let style = app.theme.selected();
            let spans = value.spans(room, style).into_iter();
            Line::from_iter(std::iter::once(Span::styled(label, style)).chain(spans))
        } else {
            Line::from(label + &clipped(value.text(), room))
        });
    }
    lines.push(Line::raw(""));
    lines.push(match &form.error {
        Some(error) => Line::styled(format!(" {error}"), app.theme.bad()),
        None => Line::raw(format!(" {}", form.purpose.explanation(&form.run))),
    });
    let words = Paragraph::new(lines).wrap(Wrap { trim: false });
    put(frame, area, &format!(" {} ", form.purpose.title()), words);
}
