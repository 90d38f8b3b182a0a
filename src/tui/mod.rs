//! The dashboard: shows runs and steers them; it never trains.
//!
//! [`update`] turns a [`message::Message`] into a new [`app::App`] and a list of effects without any
//! input or output, [`view`] draws and changes nothing, and only [`shell`] touches the terminal. Runs
//! are reached through [`link::Link`] alone. Deliberately absent: networks, machines, training, and
//! anything that stops a run because the screen went.
//!
//! Reading order: [`link`] and [`disk`] (the lab as seen from here), [`message`], [`keys`], [`typed`], [`app`], [`listing`],
//! [`series`], [`curves`], [`charted`], [`update`], [`popups`], [`palette`], [`sampling`], [`forms`] , [`mod@pointer`] and [`focus`], [`words`], [`multiplexer`] and [`probe`] (what the terminal can do), [`theme`], [`chart`] and [`plot`], [`pictures`] (images in
//! terminals), [`panels`] and [`view`], [`screenshot`], [`export`], [`input`] and [`terminal`] (what the terminal sends, and its modes), [`watchdog`] and [`shell`].

pub mod link;
pub mod disk;
pub mod message;
pub mod keys;
pub mod look;
pub mod typed;
pub mod app;
pub mod listing;
pub mod series;
pub mod curves;
pub mod charted;
pub mod update;
pub mod popups;
pub mod palette;
pub mod sampling;
pub mod forms;
pub mod pointer;
pub mod focus;
pub mod words;
pub mod notify;
pub mod multiplexer;
pub mod probe;
pub mod theme;
pub mod chart;
pub mod plot;
pub mod sixel;
pub mod input;
pub mod terminal;
pub mod pictures;
pub mod panels;
pub mod view;
pub mod screenshot;
pub mod export;
pub mod watchdog;
pub mod shell;
pub mod start;

pub use shell::Left;
pub use start::{Opening, run};
