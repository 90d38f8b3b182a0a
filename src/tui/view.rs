//! Draws the dashboard from its state and changes nothing. Any size is drawn, down to 1x1.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style};
use ratatui::symbols::Marker;
use ratatui::text::Line;
use ratatui::widgets::{Axis, Block, Chart, Clear, Dataset, GraphType, Paragraph, Wrap};

use super::app::{App, Popup};
use super::chart::{smooth, thin};
use super::keys::BINDINGS;
use super::link::RunRow;

// Okabe-Ito, told apart by the colour-blind.
const BLUE: Color = Color::Rgb(0, 114, 178);
const COLOURS: [Color; 4] = [
    Color::Rgb(230, 159, 0),
    Color::Rgb(86, 180, 233),
    Color::Rgb(0, 158, 115),
    Color::Rgb(204, 121, 167),
];

pub fn view(app: &App, frame: &mut Frame) {
    let area = frame.area();
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(0), Constraint::Length(1)])
            .areas(area);
    frame.render_widget(Line::from(header(app)), head);
    let footer: Vec<String> = BINDINGS.iter().map(|b| format!("{} {}", b.label, b.words)).collect();
    frame.render_widget(Line::from(footer.join("  ")), foot);
    if app.runs.is_empty() {
        let words = "No runs yet.\n\nThis lab trains a small diffusion network and shows what it generates next to what \
                     theory predicts from the same noise.\n\nPress n to launch an experiment, ? for all keys.";
        frame.render_widget(paragraph(words, "mosaic-lab"), body);
    } else if area.width < 60 || area.height < 16 {
        frame.render_widget(Paragraph::new(app.said.as_str()).wrap(Wrap { trim: false }), body);
    } else {
        panels(app, frame, body);
    }
    popup(app, frame, area);
}

fn panels(app: &App, frame: &mut Frame, body: Rect) {
    let [left, right] =
        Layout::horizontal([Constraint::Percentage(35), Constraint::Min(0)]).areas(body);
    let [list, facts] = Layout::vertical([Constraint::Min(0), Constraint::Length(8)]).areas(left);
    let [above, below] =
        Layout::vertical([Constraint::Percentage(50), Constraint::Min(0)]).areas(right);
    let from =
        app.position().unwrap_or(0).saturating_sub(usize::from(list.height.saturating_sub(3)));
    let rows: Vec<String> = app.runs.iter().skip(from).map(|run| row(app, run)).collect();
    frame.render_widget(
        Paragraph::new(rows.join("\n")).block(Block::bordered().title(" runs ")),
        list,
    );
    let figures = app.agreement.iter().map(|(name, r2)| match r2 {
        Some(r2) => format!("{r2:.2}  {name}"),
        None => format!("  --  {name}"),
    });
    let facts_text =
        std::iter::once(app.said.clone()).chain(figures).collect::<Vec<_>>().join("\n");
    frame.render_widget(paragraph(&facts_text, "median r^2 with theory"), facts);
    let raw = scaled(app, &app.loss);
    let shown = if app.smooth { smooth(&raw, 0.95) } else { raw };
    let title = if app.log_scale { "loss, log10" } else { "loss" };
    curves(frame, above, title, &[(String::new(), shown)], BLUE);
    entropy(app, frame, below);
}

fn row(app: &App, run: &RunRow) -> String {
    let mark = if Some(&run.id) == app.selected.as_ref() { ">" } else { " " };
    format!("{mark} {} {}", run.id, state(run))
}

fn state(run: &RunRow) -> String {
    match &run.status {
        _ if run.lost => "lost (r resumes)".into(),
        Some(status) => format!("{:?}", status.state).to_lowercase(),
        None => "no status yet".into(),
    }
}

fn header(app: &App) -> String {
    let Some(run) = app.run() else { return "mosaic-lab".into() };
    let Some(status) = &run.status else { return format!("{}  {}", run.experiment, run.id) };
    let eta = status.eta_s.map_or(String::new(), |eta| format!("  ETA {eta:.0} s"));
    format!(
        "{}  {}  step {}/{}{eta}  {:.1} it/s  {}",
        run.experiment,
        state(run),
        status.step,
        status.steps,
        status.steps_per_s,
        status.device
    )
}

fn scaled(app: &App, points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    points.iter().map(|&(x, y)| (x, if app.log_scale { y.log10() } else { y })).collect()
}

/// Mean over noise levels, one curve a head; the title gives the largest value possible.
fn entropy(app: &App, frame: &mut Frame, area: Rect) {
    let Some((_, last)) = app.attention.last() else {
        frame.render_widget(paragraph("no attention figures yet", "attention entropy"), area);
        return;
    };
    let n_heads = last.levels.first().map_or(0, |level| level.entropy_nats.len());
    let lines: Vec<_> = (0..n_heads)
        .map(|head| {
            let points = app.attention.iter().map(|(step, at)| {
                let values: Vec<f64> =
                    at.levels.iter().filter_map(|l| l.entropy_nats.get(head).copied()).collect();
                (*step, values.iter().sum::<f64>() / values.len() as f64)
            });
            (format!("head {}", head + 1), points.collect())
        })
        .collect();
    let title = format!("attention entropy, nats (uniform: {:.2})", (last.n_pixels as f64).ln());
    curves(frame, area, &title, &lines, COLOURS[0]);
}

fn curves(
    frame: &mut Frame,
    area: Rect,
    title: &str,
    lines: &[(String, Vec<(f64, f64)>)],
    first: Color,
) {
    let thinned: Vec<_> =
        lines.iter().map(|(_, points)| thin(points, usize::from(area.width) * 2)).collect();
    let all = || thinned.iter().flatten();
    if all().next().is_none() {
        frame.render_widget(paragraph("waiting for the first figures", title), area);
        return;
    }
    let x = bounds(all().map(|p| p.0));
    let y = bounds(all().map(|p| p.1));
    let sets = thinned.iter().zip(lines).enumerate().map(|(i, (points, (name, _)))| {
        let colour = if i == 0 { first } else { COLOURS[i % COLOURS.len()] };
        let set = Dataset::default().name(name.as_str()).data(points).marker(Marker::Braille);
        set.graph_type(GraphType::Line).style(Style::new().fg(colour))
    });
    let chart = Chart::new(sets.collect())
        .block(Block::bordered().title(format!(" {title} ")))
        .x_axis(
            Axis::default().bounds(x).labels([format!("{:.0}", x[0]), format!("step {:.0}", x[1])]),
        )
        .y_axis(Axis::default().bounds(y).labels([format!("{:.3}", y[0]), format!("{:.3}", y[1])]));
    frame.render_widget(chart, area);
}

fn bounds(values: impl Iterator<Item = f64>) -> [f64; 2] {
    let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
    if high > low { [low, high] } else { [low - 0.5, low + 0.5] }
}

fn popup(app: &App, frame: &mut Frame, area: Rect) {
    let (title, text) = match &app.popup {
        Popup::None => return,
        Popup::Help => {
            let keys: Vec<String> =
                BINDINGS.iter().map(|b| format!("{:>3}  {}", b.label, b.words)).collect();
            ("keys", keys.join("\n"))
        }
        Popup::ConfirmStop { run } => {
            ("stop", format!("Stop {run}? It saves and can be resumed.\n\ny yes, other keys no"))
        }
        Popup::Launch { cursor } => {
            let rows = app.experiments.iter().enumerate().skip(cursor.saturating_sub(4)).map(
                |(i, (name, words))| {
                    format!("{} {name}: {words}", if i == *cursor { ">" } else { " " })
                },
            );
            ("launch: Enter starts, Esc closes", rows.collect::<Vec<_>>().join("\n"))
        }
    };
    let (width, height) = (area.width.min(70), area.height.min(16));
    let place = Rect::new((area.width - width) / 2, (area.height - height) / 2, width, height);
    frame.render_widget(Clear, place);
    frame.render_widget(paragraph(&text, title), place);
}

fn paragraph<'a>(text: &'a str, title: &str) -> Paragraph<'a> {
    Paragraph::new(text)
        .wrap(Wrap { trim: false })
        .block(Block::bordered().title(format!(" {title} ")))
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

    use super::*;
    use crate::tui::message::Message;
    use crate::tui::update::update;

    #[test]
    fn no_size_and_no_key_panics() {
        let codes = ['?', 'n', 'p', 's', 'x', 'r', 'j', 'k', 'y', 'm'];
        for filled in [false, true] {
            let mut app = App::default();
            if filled {
                let run =
                    RunRow { id: "a".into(), experiment: "e".into(), status: None, lost: true };
                update(&mut app, Message::Runs(vec![run]));
                app.loss = vec![(0.0, 1.0), (1.0, f64::NAN), (2.0, 0.0)];
            }
            for (i, (width, height)) in
                [(1, 1), (2, 3), (59, 15), (80, 24), (120, 36), (500, 200)].into_iter().enumerate()
            {
                let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
                for n in 0..codes.len() * 3 {
                    let code = KeyCode::Char(codes[(n * 7 + i) % codes.len()]);
                    update(&mut app, Message::Key(KeyEvent::new(code, KeyModifiers::NONE)));
                    terminal.draw(|frame| view(&app, frame)).unwrap();
                }
            }
        }
    }
}
