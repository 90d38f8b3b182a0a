//! `inspect`: traces one seed through network and machines, and shows attention and provenance of a pixel.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};

use super::lab_and_runs_dir_options::LabPaths;
use super::progress_bar;
use super::stream_for_messages::words_beside;
use crate::console;
use crate::diffusion::attention_entropy::row_entropy;
use crate::evaluation::inspect::pixel_picture_and_film::{At, film, sheet};
use crate::evaluation::inspect::{Trace, path_of, path_of_changed, record_trace};
use crate::evaluation::interventions::ChangeByHand;
use crate::evaluation::network_and_machines_of_run::Trained;
use crate::files::{check_output, is_same_output, is_stdout};
use crate::runs::seen_held_out_seeds;

/// Conventional exit code of a process ended by Ctrl-C.
const INTERRUPTED: i32 = 130;

/// Number of attended pixels listed.
const N_ATTENDED: usize = 5;

#[derive(Clone, Debug, Args)]
pub struct InspectArgs {
    /// Run name, or a unique prefix of it.
    pub run: String,
    /// Noise seed.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Row and column of a pixel, from 0 [default: the middle].
    #[arg(long, value_name = "R,C", value_parser = parse_pixel)]
    pub pixel: Option<(usize, usize)>,
    /// Sampling step; 1 is the last and cleanest [default: the middle step].
    #[arg(long, value_name = "I")]
    pub step: Option<usize>,
    /// Sample network and attention-optimal once more with changed attention: uniform, identity, logits:FACTOR, seed:N (the
    /// maps of noise seed N) or other (the theory's maps in the network, and the reverse); for a range of t with @LOW..HIGH.
    #[arg(long, value_name = "MAPS[@LOW..HIGH]")]
    pub change: Option<ChangeByHand>,
    /// Picture of the pixel's attention and provenance.
    #[arg(long, value_name = "FILE.png")]
    pub out: Option<PathBuf>,
    /// Picture of all sampling steps.
    #[arg(long, value_name = "FILE.png")]
    pub film: Option<PathBuf>,
    /// Print the pixel's attention and provenance as JSON.
    #[arg(long)]
    pub json: bool,
}

fn parse_pixel(text: &str) -> Result<(usize, usize), String> {
    let parts = text.split_once(',');
    let parts = parts.and_then(|(r, c)| Some((r.trim().parse().ok()?, c.trim().parse().ok()?)));
    parts.ok_or_else(|| format!("'{text}' is not ROW,COLUMN, for example 9,4"))
}

pub fn run(paths: &LabPaths, args: &InspectArgs) -> Result<()> {
    let run = paths.run(&args.run)?;
    for path in args.out.iter().chain(&args.film) {
        check_output(path).with_context(|| format!("writing '{}'", path.display()))?;
    }
    if let (Some(out), Some(film)) = (&args.out, &args.film)
        && is_same_output(out, film)
    {
        bail!(
            "--out '{}' and --film '{}' are the same file, and one picture would be written over the other; name two",
            out.display(),
            film.display()
        );
    }
    let trained = Trained::open(&run.dir, &[])?;
    let stop = Arc::new(AtomicBool::new(false));
    trained.solver.watch(progress_bar::of_solving(stop.clone()));
    // A second Ctrl-C ends the process even if it waits for a pipe's reader.
    let interrupt = signal_hook::consts::SIGINT;
    signal_hook::flag::register_conditional_shutdown(interrupt, INTERRUPTED, stop.clone())
        .context("listening for Ctrl-C")?;
    signal_hook::flag::register(interrupt, stop.clone()).context("listening for Ctrl-C")?;
    let seeds = args.seed..args.seed.saturating_add(1);
    seen_held_out_seeds::record(&run.dir, trained.experiment.noise_seed, &seeds, "inspect")
        .context("recording the seed as seen")?;
    let trace = record_trace(&trained, args.seed, args.change.as_ref(), &stop)?;
    let at = place_of(&trace, args)?;
    let path = match &args.change {
        Some(change) => path_of_changed(&run.dir, args.seed, &change.slug()),
        None => path_of(&run.dir, args.seed),
    };
    trace.write(&path)?;
    let outputs = args.out.iter().chain(&args.film).map(PathBuf::as_path);
    let way = path.display().to_string();
    writeln!(
        words_beside(outputs.clone()),
        "wrote the trajectory of seed {} to '{}'",
        args.seed,
        console::line(&way)
    )?;
    for (path, draw) in [(&args.out, true), (&args.film, false)] {
        let Some(path) = path else { continue };
        let drawn = if draw { sheet(&trace, at, path) } else { film(&trace, path) };
        drawn.with_context(|| format!("drawing '{}'", path.display()))?;
        let drawn = path.display().to_string();
        writeln!(words_beside(outputs.clone()), "drawn: '{}'", console::line(&drawn))?;
    }
    let found = describe(&trace, at);
    let text = if args.json { format!("{found}\n") } else { page(&trace, at, &found) };
    // A picture on stdout must not be mixed with text.
    match outputs.clone().any(is_stdout) {
        true => write!(words_beside(outputs), "{text}")?,
        false => write!(console::stdout(), "{text}")?,
    }
    Ok(())
}

fn place_of(trace: &Trace, args: &InspectArgs) -> Result<At> {
    let shape = trace.shape;
    let pixel = args.pixel.unwrap_or((shape.height / 2, shape.width / 2));
    if pixel.0 >= shape.height || pixel.1 >= shape.width {
        bail!(
            "--pixel {},{} lies outside the image, which has {} rows and {} columns",
            pixel.0,
            pixel.1,
            shape.height,
            shape.width
        );
    }
    let step = args.step.unwrap_or(trace.n_steps().div_ceil(2));
    if !(1..=trace.n_steps()).contains(&step) {
        bail!("--step {step} is out of range; use 1 to {}", trace.n_steps());
    }
    Ok(At { index: step - 1, pixel })
}

/// Attention and provenance of a pixel at a step, for each actor.
fn describe(trace: &Trace, at: At) -> Value {
    let n = trace.shape.n_pixels();
    let p = at.pixel.0 * trace.shape.width + at.pixel.1;
    let actors = trace.actors.iter().map(|actor| {
        let x0 = trace.at(&actor.x0, at.index);
        let value: Vec<f32> = (0..trace.shape.channels).map(|c| x0[c * n + p]).collect();
        let without = (!actor.without_attention.is_empty()).then(|| {
            let local = trace.at(&actor.without_attention, at.index);
            (0..trace.shape.channels).map(|c| local[c * n + p]).collect::<Vec<f32>>()
        });
        let heads = actor.maps.iter().flat_map(|maps| {
            (0..maps.n_heads).map(move |head| {
                let row = maps.row(n, at.index, head, p);
                let mut order: Vec<usize> = (0..n).collect();
                order.sort_by(|a, b| row[*b].total_cmp(&row[*a]));
                let pixel = |q: &usize| {
                    let (row_of, column) = (q / trace.shape.width, q % trace.shape.width);
                    json!({ "row": row_of, "column": column, "weight": row[*q] })
                };
                let top: Vec<Value> = order.iter().take(N_ATTENDED).map(pixel).collect();
                json!({ "entropy_nats": row_entropy(&row), "attended": top })
            })
        });
        let posterior = actor.posterior.as_ref().map(|inside| {
            let [image, row, column] = inside.place(n, at.index, p);
            let leading = inside.leading(n, at.index, p);
            let leading: Vec<Value> = leading
                .into_iter()
                .map(|(image, weight)| json!({ "image": image, "weight": weight }))
                .collect();
            let mut patch = json!({ "image": image, "row": row, "column": column });
            let symmetry = inside.symmetry(n, at.index, p);
            if !symmetry.is_empty() {
                patch["symmetry"] = json!(symmetry);
            }
            json!({
                "entropy_nats": inside.entropy.get(at.index * n + p),
                "patch": patch,
                "images": leading,
            })
        });
        json!({
            "who": actor.name,
            "x0hat": value,
            "x0hat_without_attention": without,
            "attention": heads.collect::<Vec<Value>>(),
            "posterior": posterior,
        })
    });
    json!({
        "run": trace.run,
        "training_step": trace.step,
        "seed": trace.seed,
        "step": at.index + 1,
        "t": trace.levels[at.index],
        "pixel": [at.pixel.0, at.pixel.1],
        "actors": actors.collect::<Vec<Value>>(),
    })
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn number(value: &Value, missing: f64) -> f64 {
    value.as_f64().unwrap_or(missing)
}

fn page(trace: &Trace, at: At, found: &Value) -> String {
    let mut text = format!(
        "{}, noise seed {}, t = {:.3}, pixel row {}, column {}\n",
        trace.run, trace.seed, trace.levels[at.index], at.pixel.0, at.pixel.1
    );
    for actor in list(&found["actors"]) {
        let x0: Vec<String> =
            list(&actor["x0hat"]).map(|v| format!("{:.2}", number(v, f64::NAN))).collect();
        let name = actor["who"].as_str().unwrap_or_default();
        text += &format!("{name}: x0hat {}", x0.join(" "));
        let without: Vec<String> = list(&actor["x0hat_without_attention"])
            .map(|v| format!("{:.2}", number(v, f64::NAN)))
            .collect();
        if !without.is_empty() {
            text += &format!(" (without what attention brings: {})", without.join(" "));
        }
        text += "\n";
        for (head, row) in list(&actor["attention"]).enumerate() {
            let nats = number(&row["entropy_nats"], f64::NAN);
            let top = list(&row["attended"])
                .map(|q| format!("{},{} {:.3}", q["row"], q["column"], number(&q["weight"], 0.0)));
            let top: Vec<String> = top.collect();
            let pixels = nats.exp();
            text += &format!(
                "  head {head}: {nats:.2} nats ({pixels:.0} pixels); most: {}\n",
                top.join(", ")
            );
        }
        let posterior = &actor["posterior"];
        if posterior.is_object() {
            let patch = &posterior["patch"];
            let nats = number(&posterior["entropy_nats"], f64::NAN);
            let images = list(&posterior["images"]);
            let images: Vec<String> = images
                .map(|i| format!("#{} {:.3}", i["image"], number(&i["weight"], 0.0)))
                .collect();
            let symmetry = patch["symmetry"].as_str();
            text += &format!(
                "  posterior: {nats:.2} nats; likeliest patch: image #{} at {},{}{}\n",
                patch["image"],
                patch["row"],
                patch["column"],
                symmetry.map_or_else(String::new, |symmetry| format!(", {symmetry}"))
            );
            if !images.is_empty() {
                text += &format!("  training images by weight: {}\n", images.join(", "));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pixel_is_a_row_and_a_column() {
        assert_eq!(parse_pixel("9, 4"), Ok((9, 4)));
        assert!(parse_pixel("9").is_err() && parse_pixel("-1,2").is_err());
    }
}
