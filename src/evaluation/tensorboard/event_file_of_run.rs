//! A run's events as one file of TensorBoard: scalars, previews as pictures, settings as hyperparameters.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::event_message::{Setting, Value, event, version};
use super::record_framing::write_record;
use super::values_of_events::{
    Scalars, of_agreement, of_attention, of_excess, of_floors, of_losses, of_metrics,
    of_predicted_attention, of_rates,
};
use crate::config::Experiment;
use crate::files::{make_folder, write_atomically_by};
use crate::runs::event::{Event, EventBody};
use crate::runs::event_log::EventTail;
use crate::runs::preview_files::PICTURE;
use crate::runs::run_dir::RunDir;
use crate::runs::run_toml::{self, RunToml};

/// What was written of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    pub path: PathBuf,
    pub n_scalars: usize,
    pub n_pictures: usize,
}

/// Writes the events of a run into its folder in `logs`, `LOGS/RUN/events.out.tfevents.TIME.mosaic`, replacing the file of an
/// earlier export: its name depends on the run alone.
///
/// # Errors
///
/// If the run cannot be read or the file cannot be written.
pub fn write(run: &RunDir, logs: &Path) -> Result<Written> {
    let description = run_toml::read(&run.run_toml_path())?;
    let path = run.events_path();
    let events = EventTail::new(&path).poll();
    let events = events.with_context(|| format!("reading '{}'", path.display()))?;
    let folder = logs.join(run.id());
    make_folder(&folder).with_context(|| format!("making '{}'", folder.display()))?;
    let seconds = description.created_ms / 1000;
    let path = folder.join(format!("events.out.tfevents.{seconds:010}.mosaic"));
    let (mut n_scalars, mut n_pictures) = (0, 0);
    write_atomically_by(&path, |file| {
        let mut out = BufWriter::new(file);
        (n_scalars, n_pictures) = write_events(run, &description, &events, &mut out)?;
        out.flush()
    })
    .with_context(|| format!("writing '{}'", path.display()))?;
    Ok(Written { path, n_scalars, n_pictures })
}

fn write_events(
    run: &RunDir,
    description: &RunToml,
    events: &[Event],
    out: &mut dyn Write,
) -> io::Result<(usize, usize)> {
    let began = description.created_ms as f64 / 1000.0;
    write_record(out, &version(began))?;
    let settings = hyperparameters(&description.experiment);
    let settings = Value::Hyperparameters { settings, began };
    write_record(out, &event(began, 0, &[("_hparams_/session_start_info".to_owned(), settings)]))?;
    let (mut n_scalars, mut n_pictures) = (0, 0);
    let last = events.last();
    for found in events {
        let scalars = scalars(&found.body);
        n_scalars += scalars.len();
        let mut values: Vec<_> = scalars.into_iter().map(scalar).collect();
        if let EventBody::Preview(preview) = &found.body
            && let Some(picture) = picture(run, &preview.path)
        {
            values.push(("preview".to_owned(), picture));
            n_pictures += 1;
        }
        if !values.is_empty() {
            write_record(out, &event(found.time_ms as f64 / 1000.0, found.step, &values))?;
        }
        // A floor holds for all of training: a line from where it was measured to the end.
        if let (EventBody::Floors(floors), Some(last)) = (&found.body, last) {
            let values: Vec<_> = of_floors(floors).into_iter().map(scalar).collect();
            let time = last.time_ms as f64 / 1000.0;
            write_record(out, &event(time, last.step.max(found.step + 1), &values))?;
        }
    }
    Ok((n_scalars, n_pictures))
}

fn scalar((tag, value): (String, f64)) -> (String, Value) {
    (tag, Value::Scalar(value as f32))
}

fn scalars(body: &EventBody) -> Scalars {
    match body {
        EventBody::Metrics(found) => of_metrics(found),
        EventBody::LossByLevel(found) => of_losses(found),
        EventBody::Attention(found) => of_attention(found),
        EventBody::PredictedAttention { machine, metrics } => {
            of_predicted_attention(machine, metrics)
        }
        EventBody::Floors(found) => of_floors(found),
        EventBody::Excess(found) => of_excess(found),
        EventBody::Preview(found) => {
            let mut all = of_agreement("agreement_of_previews", &found.figures);
            all.extend(found.rates.iter().flat_map(of_rates));
            all
        }
        EventBody::Agreement { figures } => of_agreement("final_agreement", figures),
        EventBody::State { .. }
        | EventBody::Checkpoint { .. }
        | EventBody::Notice { .. }
        | EventBody::Unknown => Vec::new(),
    }
}

/// The picture of a preview; `None` if it is gone, as those of early steps are, or its path leads out of the run.
fn picture(run: &RunDir, preview: &str) -> Option<Value> {
    let folder = Path::new(preview);
    let is_inside = folder.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    let png = std::fs::read(run.path().join(folder).join(PICTURE)).ok().filter(|_| is_inside)?;
    let (width, height) =
        image::ImageReader::with_format(io::Cursor::new(&png), image::ImageFormat::Png)
            .into_dimensions()
            .ok()?;
    Some(Value::Picture { png, width, height })
}

/// The experiment and the settings that differ from their defaults.
fn hyperparameters(experiment: &Experiment) -> Vec<(String, Setting)> {
    use crate::config::setting_value::Value as Plain;
    let entries = experiment.entries().into_iter().filter(|entry| !entry.is_default);
    let setting = |key: &str| match experiment.get(key) {
        Ok(Plain::Integer(number)) => Setting::Number(number as f64),
        Ok(Plain::Number(number)) if number.is_finite() => Setting::Number(number),
        Ok(Plain::Boolean(is_set)) => Setting::Boolean(is_set),
        Ok(other) => Setting::Text(other.plain()),
        Err(_) => Setting::Text(String::new()),
    };
    let name = ("experiment".to_owned(), Setting::Text(experiment.name.to_string()));
    std::iter::once(name)
        .chain(entries.map(|entry| (entry.key.to_owned(), setting(entry.key))))
        .collect()
}
