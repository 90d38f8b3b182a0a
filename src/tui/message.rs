//! Everything that can happen to the dashboard, and everything it can ask of the world.

use ratatui::crossterm::event::KeyEvent;

use super::link::RunRow;
use crate::lab::command::Command;
use crate::lab::event::Event;

#[derive(Clone, Debug)]
pub enum Message {
    Key(KeyEvent),
    Runs(Vec<RunRow>),
    Events {
        run: String,
        events: Vec<Event>,
    },
    Experiments(Vec<(String, String)>),
    Launched(String),
    /// A line for the user, good or bad.
    Said(String),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Leave the screen; runs go on.
    Detach,
    Redraw,
    Launch(String),
    Resume(String),
    Send {
        run: String,
        command: Command,
    },
}
