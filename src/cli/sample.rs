//! `sample`: samples a run's averaged network from chosen noise seeds into a file, and judges them if the set
//! has a rule.

use std::collections::HashMap;
use std::io::Write;
use std::ops::Range;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;

use super::lab_and_runs_dir_options::LabPaths;
use super::stream_for_messages::words_beside;
use crate::config::noise_seed_argument::parse_seeds;
use crate::console;
use crate::diffusion::Sampling;
use crate::evaluation::agreement_and_rates;
use crate::evaluation::network_and_machines_of_run::Trained;
use crate::evaluation::samples::with_classes;
use crate::files::{check_output, is_stream, write_output};
use crate::image::{contact_sheet, picture_file};
use crate::runs::preview_files::tensor_file;
use crate::runs::seen_held_out_seeds;

#[derive(Clone, Debug, Args)]
pub struct SampleArgs {
    /// Run name, or a unique prefix of it.
    pub run: String,
    /// Noise seeds, first to one past the last. 1000 to 9999 are held out for comparisons: later reports name those that
    /// were sampled here.
    #[arg(long, value_name = "A..B", default_value = "0..16", value_parser = parse_seeds)]
    pub seeds: Range<u64>,
    /// Sampling steps [default: the run's own].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub steps: Option<u32>,
    /// Training step of the checkpoint to sample [default: the newest]; training.keep_every keeps earlier ones.
    #[arg(long, value_name = "STEP")]
    pub at_step: Option<u64>,
    /// Output: .safetensors (tensors 'seeds' and 'samples') or .png (few samples next to their seeds, many as a
    /// gallery). A device or pipe such as /dev/stdout gets tensors.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// Maximum number of samples drawn next to their seeds; more are drawn alone.
const PAIRS_MAX: usize = 24;

/// Samples a run's network and writes the samples to a file.
///
/// # Errors
///
/// If the output's name is unsuitable, if no run or several runs match, if the lab file is unusable, if the
/// run cannot be read, if sampling fails, or if an output or the record of seen seeds cannot be written.
pub fn sample(paths: &LabPaths, args: &SampleArgs) -> Result<()> {
    let extension = args.out.extension().and_then(|extension| extension.to_str());
    let writing = || format!("writing '{}'", args.out.display());
    check_output(&args.out).with_context(writing)?;
    // A device or a pipe has no extension to choose a format by, so it gets tensors.
    if !matches!(extension, Some("safetensors" | "png")) && !is_stream(&args.out) {
        bail!("'{}' must end in .safetensors or .png", args.out.display());
    }
    let run = paths.run(&args.run)?;
    let trained = Trained::open_at(&run.dir, &[], args.at_step)?;
    let experiment = &trained.experiment;
    seen_held_out_seeds::record(&run.dir, experiment.noise_seed, &args.seeds, "sample")
        .context("recording the seeds as seen")?;
    let n = usize::try_from(args.seeds.end - args.seeds.start)?;
    let shape = trained.dataset.shape();
    let seeds = trained.noise.images(args.seeds.start, n, shape);
    if seeds.len() < n {
        bail!(
            "the record of {} has {} of the noise seeds {}..{}",
            run.id,
            seeds.len(),
            args.seeds.start,
            args.seeds.end
        );
    }
    let denoiser = with_classes(&trained.network, args.seeds.start, n);
    let mut sampler = experiment.ddim();
    sampler.n_steps = args.steps.map_or(sampler.n_steps, |steps| steps as usize);
    let samples = denoiser.sample(sampler, &seeds, &mut |_| Ok(())).context("sampling")?;
    if extension == Some("png") {
        let picture = match n {
            0..=PAIRS_MAX => contact_sheet::with_differences(
                (args.seeds.start, &seeds),
                &samples,
                &[],
                PAIRS_MAX,
            ),
            _ => contact_sheet::gallery(&samples),
        };
        picture_file::write(&picture, &args.out).with_context(writing)?;
    } else {
        let header = HashMap::from([
            ("run".to_owned(), run.id.clone()),
            ("step".to_owned(), trained.step.to_string()),
            ("first_seed".to_owned(), args.seeds.start.to_string()),
        ]);
        let tensors = [("seeds".to_owned(), &seeds), ("samples".to_owned(), &samples)];
        let bytes = tensor_file(tensors.into_iter(), header).map_err(|problem| anyhow!(problem))?;
        write_output(&args.out, &bytes).with_context(writing)?;
    }
    let mut words = words_beside(std::iter::once(args.out.as_path()));
    let out = args.out.display().to_string();
    writeln!(words, "wrote {n} samples of step {} to '{}'", trained.step, console::line(&out))?;
    if let Some(judge) = &trained.judge {
        for (name, rate) in agreement_and_rates::rates(judge, &samples).named() {
            writeln!(words, "{name:>20} {:.2} [{:.2}, {:.2}]", rate.value, rate.low, rate.high)?;
        }
    }
    Ok(())
}
