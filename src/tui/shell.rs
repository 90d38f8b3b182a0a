//! The only part of the dashboard that touches the terminal: it reads keys, asks the link for news
//! four times a second, performs effects and draws when something changed.

use std::io;
use std::time::{Duration, Instant};

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};

use super::app::App;
use super::link::Link;
use super::message::{Effect, Message};
use super::update::update;
use super::view::view;

const POLL: Duration = Duration::from_millis(250);

/// Shows the dashboard until the user detaches; the terminal is restored on every path.
pub fn run(link: &mut dyn Link) -> io::Result<()> {
    let mut terminal = ratatui::try_init()?;
    let result = serve(&mut terminal, link);
    ratatui::restore();
    result
}

fn serve(terminal: &mut DefaultTerminal, link: &mut dyn Link) -> io::Result<()> {
    let mut app = App::default();
    update(&mut app, Message::Experiments(link.experiments()));
    let mut next_poll = Instant::now();
    let mut changed = true;
    loop {
        if Instant::now() >= next_poll {
            let runs = link.runs();
            changed |= runs != app.runs;
            update(&mut app, Message::Runs(runs));
            if let Some(run) = app.selected.clone() {
                let events = link.events(&run);
                changed |= !events.is_empty();
                update(&mut app, Message::Events { run, events });
            }
            next_poll = Instant::now() + POLL;
        }
        if changed {
            terminal.draw(|frame| view(&app, frame))?;
            changed = false;
        }
        if !event::poll(next_poll.saturating_duration_since(Instant::now()))? {
            continue;
        }
        changed = true;
        let effects = match event::read()? {
            Event::Key(key) if key.kind != KeyEventKind::Release => {
                update(&mut app, Message::Key(key))
            }
            _ => Vec::new(),
        };
        for effect in effects {
            let answer = match effect {
                Effect::Detach => return Ok(()),
                Effect::Redraw => {
                    terminal.clear()?;
                    continue;
                }
                Effect::Launch(name) => link.launch(&name).map(Message::Launched),
                Effect::Resume(run) => {
                    link.resume(&run).map(|()| Message::Said(format!("resuming {run}")))
                }
                Effect::Send { run, command } => link
                    .send(&run, &command)
                    .map(|()| Message::Said(format!("{run} accepted {command:?}"))),
            };
            update(&mut app, answer.unwrap_or_else(Message::Said));
            next_poll = Instant::now();
        }
    }
}
