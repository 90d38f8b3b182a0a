//! The dashboard: shows runs and steers them; it never trains.
//!
//! `update` turns a [`message::Message`] into a new [`app::App`] and a list of effects, `view` draws
//! it, and only `shell` touches the terminal. Runs are reached through [`link::Link`] alone.
//! Deliberately absent: networks, machines, and anything that stops a run because the screen went.

pub mod link;
pub mod message;
pub mod keys;
pub mod app;
pub mod update;
pub mod chart;
pub mod view;
pub mod shell;
