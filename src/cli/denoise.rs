//! `mosaic denoise`: runs one score machine, or a run's network (`denoise_with_network`), on given tensors, from
//! file to file.
//!
//! For scientists who want to check a machine or a network against their own code. All files are safetensors:
//!
//! ```text
//! --images     images [N,C,H,W] f32 | f64 in [-1, 1], or u8 mapped by u8 / 127.5 - 1; labels [N] u8 | i32 | i64
//! --input      x [B,C,H,W] f32 | f64
//! --attention  attention [P,P] | [B,P,P] | [B,heads,P,P] f32 | f64, rows summing to 1, P = H W
//! --output     x0, eps, score [B,C,H,W]; with --posterior entropy [B,H,W], provenance [B,H,W,3]; with --augment also
//!              symmetry [B,H,W]
//! ```
//!
//! `provenance` is i64: image (index in `--images`, even if `--label` selects a subset), row, column. `symmetry` is i64: 2 for each quarter turn clockwise of that image, and 1 if it was mirrored left to right before;
//! row and column are those of the image as it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use safetensors::Dtype;
use strum::VariantNames;

use super::denoise_input::{
    batch_shape, doubts_of_images, floats, integers, named, read, read_input,
};
pub use super::denoise_output::OutputType;
use super::denoise_output::output_tensors;
use super::denoise_with_network::NetworkQuestion;
use super::lab_and_runs_dir_options::LabPaths;
use crate::arrays::safetensors_file::to_bytes;
use crate::config::enum_settings::WindowKind;
use crate::diffusion::{Denoiser, Schedule};
use crate::errorln;
use crate::evaluation::choose_gpu_or_cpu::{open_gpus, with_gpus};
use crate::files::{check_output, write_output};
use crate::hardware::device_request::DeviceRequest;
use crate::image::{Augmentation, ImageShape};
use crate::theory::machine_names::{DEFAULT_ATTENTION, DEFAULT_TAU};
use crate::theory::machine_spec::{
    AttentionSettings, AttentionSource, MachineKind, MachineSpec, PatchSize, Scheduled, Smoothing,
};
use crate::theory::patch_window::{DEFAULT_WINDOW_WIDTH, PatchWindow};
use crate::theory::training_pixels::Storage;
use crate::theory::{AttentionProvider, FixedAttention, Machine, Precision, TrainingImages};

/// Run one score machine, or a run's network, on given tensors.
#[derive(Args, Clone, Debug)]
pub struct DenoiseArgs {
    /// Training images: tensor 'images' `[N,C,H,W]` (f32 or f64 in -1..1, or u8), optional 'labels' `[N]`.
    #[arg(long, value_name = "FILE", required_unless_present = "run", conflicts_with = "run")]
    pub images: Option<PathBuf>,
    /// ideal, nearest, smoothed, subset (approximate), es, ls, els, els-interior, bbels, ls-wiener, pspc, wiener,
    /// wiener-circulant or attention.
    #[arg(long, value_name = "NAME", required_unless_present = "run", conflicts_with = "run")]
    pub machine: Option<String>,
    /// Instead of a machine, the averaged network of this run's newest checkpoint; with --dtype f64 it computes in double
    /// precision on the CPU, and --label is the class of a class-conditional one.
    #[arg(long, value_name = "RUN", conflicts_with_all = ["k", "attention", "lambda", "gamma", "tau", "attention_source", "mask", "smoothing", "smoothing_samples", "subset", "window", "window_width", "augment", "posterior", "schedule"])]
    pub run: Option<String>,
    /// Patch side, odd; for machines that compare patches.
    #[arg(long)]
    pub k: Option<usize>,
    /// Time in (0, 1]; larger is noisier.
    #[arg(long)]
    pub t: f64,
    /// Noisy images: tensor 'x' `[B,C,H,W]`.
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,
    /// Where to write x0, eps and score.
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
    /// Precision of the inner loops and of the output.
    #[arg(long, value_enum, default_value_t = OutputType::F64)]
    pub dtype: OutputType,
    /// auto, cpu, cuda:N or cuda:N,M for several GPUs; GPUs compute with --dtype f32.
    #[arg(long, default_value = "auto")]
    pub device: DeviceRequest,
    /// Noise schedule that --t refers to.
    #[arg(long, default_value = "cosine", value_parser = parse_schedule)]
    pub schedule: Schedule,
    /// Attention maps for the attention machine: tensor 'attention'.
    #[arg(long, value_name = "FILE")]
    pub attention: Option<PathBuf>,
    /// Attention machine: weight of the attended patches' evidence for a training image [default: 5].
    #[arg(long, value_name = "L")]
    pub lambda: Option<f64>,
    /// Attention machine: share of the estimate that is an attention-weighted mean, 0 to 1 [default: 0.3].
    #[arg(long, value_name = "G")]
    pub gamma: Option<f64>,
    /// Attention source similarity: temperature [default: 1].
    #[arg(long)]
    pub tau: Option<f64>,
    /// measured, uniform, identity, co-origin, similarity or pooled; 'measured' if --attention is given,
    /// 'similarity' otherwise.
    #[arg(long, value_name = "NAME")]
    pub attention_source: Option<String>,
    /// Machine ls-wiener: masks keep filter weights of at least this fraction of the largest [default: 0.02].
    #[arg(long)]
    pub mask: Option<f64>,
    /// Machine smoothed: amplitude of the noise on the copies, in the units of the data [default: 1.5].
    #[arg(long, value_name = "S")]
    pub smoothing: Option<f64>,
    /// Machine smoothed: number of noised copies [default: 32].
    #[arg(long, value_name = "M")]
    pub smoothing_samples: Option<usize>,
    /// Machine subset: images as noise vanishes, a share of all up to 1 or a number above 1 [default: 0.02].
    #[arg(long, value_name = "N")]
    pub subset: Option<f64>,
    /// How much the pixels of a patch count: square, all alike; gaussian, less with the distance from its centre; for ls, els,
    /// els-interior, bbels and attention [default: square].
    #[arg(long, value_name = "WINDOW", value_parser = parse_window)]
    pub window: Option<WindowKind>,
    /// Window gaussian: standard deviation in patch sides [default: 0.4].
    #[arg(long, value_name = "W")]
    pub window_width: Option<f64>,
    /// Also compare with mirrored (flip) and turned (dihedral; square images) copies of the training images: none, flip or
    /// dihedral [default: none].
    #[arg(long, value_name = "COPIES", value_parser = parse_augmentation)]
    pub augment: Option<Augmentation>,
    /// Keep only training images with this label; with --run, the class of all images.
    #[arg(long, value_name = "L", allow_negative_numbers = true)]
    pub label: Option<i64>,
    /// Also write entropy and provenance.
    #[arg(long)]
    pub posterior: bool,
}

/// Runs the command.
///
/// # Errors
///
/// If the arguments are out of range or do not fit together, if a GPU that was requested by number cannot be
/// opened, if an input is unusable, if the machine or network fails, or if the output cannot be written.
pub fn run(paths: &LabPaths, args: &DenoiseArgs) -> Result<()> {
    let Some(run) = &args.run else { return with_machine(args) };
    check_time(args.t)?;
    let question = NetworkQuestion {
        run: &paths.run(run)?.dir,
        t: args.t,
        label: args.label,
        input: &args.input,
        output: &args.output,
        dtype: args.dtype,
        device: &args.device,
    };
    question.answer()
}

fn check_time(t: f64) -> Result<()> {
    ensure!(
        t > 0.0 && t <= 1.0,
        "--t '{t}' is out of range; use 0 < t <= 1 (at 0 there is no noise)"
    );
    Ok(())
}

/// Runs a score machine.
///
/// # Errors
///
/// As [`run`].
pub fn with_machine(args: &DenoiseArgs) -> Result<()> {
    check_time(args.t)?;
    let (Some(images), Some(machine)) = (&args.images, &args.machine) else {
        bail!("a machine needs --images and --machine; a network needs --run");
    };
    let spec = machine_spec(machine, args)?;
    let cannot = || format!("cannot write the output '{}'", args.output.display());
    check_output(&args.output).with_context(cannot)?;
    let images = read_images(images, args.label)?;
    let images = images.augmented(args.augment.unwrap_or_default())?;
    let images = match args.dtype {
        // GPUs support only single precision.
        OutputType::F64 => images,
        OutputType::F32 => {
            let (gpus, _) = open_gpus(&args.device, |problem| errorln!("{problem}"))?;
            with_gpus(images, gpus)
        }
    };
    let x = read_input(&args.input)?;
    let provider = args.attention.as_ref().map(|path| read_attention(path, x.shape()));
    let precision = match args.dtype {
        OutputType::F32 => Precision::F32,
        OutputType::F64 => Precision::F64,
    };
    if args.posterior && !spec.kind.has_posterior() {
        bail!("--posterior cannot be given with '{machine}': it has no posterior over patches");
    }
    let machine = Machine::new(spec, Arc::new(images), precision, provider.transpose()?)?;
    let machine = machine.with_posterior(args.posterior);
    let level = args.schedule.level(args.t);
    let denoised = machine.denoise(&x, level)?;
    let tensors = output_tensors(&x, &denoised, level, args.dtype);
    write_output(&args.output, &to_bytes(&tensors, None)?).with_context(cannot)
}

fn parse_schedule(text: &str) -> Result<Schedule, String> {
    text.parse().map_err(|_| format!("choose from {}", Schedule::VARIANTS.join(", ")))
}

fn parse_window(text: &str) -> Result<WindowKind, String> {
    text.parse().map_err(|_| format!("choose from {}", WindowKind::VARIANTS.join(", ")))
}

/// The window of `--window` and `--window-width`.
fn window_of(machine: &str, kind: &MachineKind, args: &DenoiseArgs) -> Result<PatchWindow> {
    match (args.window, args.window_width) {
        (Some(WindowKind::Gaussian), _) if !kind.takes_window() => {
            bail!("--window gaussian is for machines that compare patches, not for '{machine}'")
        }
        (Some(WindowKind::Gaussian), width) => {
            Ok(PatchWindow::Gaussian { width: width.unwrap_or(DEFAULT_WINDOW_WIDTH) })
        }
        (_, Some(width)) => {
            bail!("--window-width '{width}' is for --window gaussian; give that too")
        }
        _ => Ok(PatchWindow::Square),
    }
}

fn parse_augmentation(text: &str) -> Result<Augmentation, String> {
    text.parse().map_err(|_| format!("choose from {}", Augmentation::VARIANTS.join(", ")))
}

fn machine_spec(machine: &str, args: &DenoiseArgs) -> Result<MachineSpec> {
    let kind = match with_settings(MachineKind::parse(machine)?, args)? {
        MachineKind::Attention { pool, .. } => {
            let settings = Scheduled::Fixed(attention_settings(args)?);
            MachineKind::Attention { pool, settings }
        }
        other => {
            let given = [
                ("--attention", args.attention.is_some()),
                ("--lambda", args.lambda.is_some()),
                ("--gamma", args.gamma.is_some()),
                ("--tau", args.tau.is_some()),
                ("--attention-source", args.attention_source.is_some()),
            ];
            if let Some((flag, _)) = given.iter().find(|(_, given)| *given) {
                bail!("{flag} is for the machine 'attention', not for '{machine}'");
            }
            match (other, args.mask) {
                (MachineKind::Masked { .. }, Some(threshold)) => MachineKind::Masked { threshold },
                (_, Some(_)) => {
                    bail!("--mask is for the machine 'ls-wiener', not for '{machine}'")
                }
                (other, None) => other,
            }
        }
    };
    let k = match args.k {
        Some(k) => k,
        None if kind.uses_patches() => {
            bail!("machine '{machine}' compares patches; give the patch side with --k")
        }
        None => 1,
    };
    let window = window_of(machine, &kind, args)?;
    Ok(MachineSpec::new(kind, PatchSize::Fixed(k)).with_window(window))
}

/// The machine `smoothed` or `subset` with its settings from the command line; any other one as it is.
///
/// # Errors
///
/// If a setting is given that the machine does not have.
fn with_settings(kind: MachineKind, args: &DenoiseArgs) -> Result<MachineKind> {
    let is_smoothed = matches!(kind, MachineKind::Smoothed(_));
    let is_subset = matches!(kind, MachineKind::Subset { .. });
    let settings = [
        ("--smoothing", args.smoothing.is_some(), is_smoothed, "smoothed"),
        ("--smoothing-samples", args.smoothing_samples.is_some(), is_smoothed, "smoothed"),
        ("--subset", args.subset.is_some(), is_subset, "subset"),
    ];
    for (flag, is_given, is_its_own, machine) in settings {
        if is_given && !is_its_own {
            bail!("{flag} is for the machine '{machine}', not for '{}'", kind.name());
        }
    }
    Ok(match kind {
        MachineKind::Smoothed(default) => MachineKind::Smoothed(Smoothing {
            sigma: args.smoothing.unwrap_or(default.sigma),
            n_copies: args.smoothing_samples.unwrap_or(default.n_copies),
        }),
        MachineKind::Subset { size } => MachineKind::Subset { size: args.subset.unwrap_or(size) },
        other => other,
    })
}

fn attention_settings(args: &DenoiseArgs) -> Result<AttentionSettings> {
    let mut source = match (&args.attention_source, &args.attention) {
        (Some(name), _) => AttentionSource::parse(name)?,
        (None, Some(_)) => AttentionSource::Measured,
        (None, None) => AttentionSource::Similarity { tau: DEFAULT_TAU },
    };
    match (&mut source, args.tau) {
        (AttentionSource::Similarity { tau }, Some(given)) => *tau = given,
        (other, Some(_)) => bail!("--tau is for the source 'similarity', not '{}'", other.name()),
        _ => {}
    }
    if args.attention.is_some() && !source.needs_provider() {
        bail!("--attention gives maps, but the source '{}' computes its own", source.name());
    }
    if args.attention.is_none() && source.needs_provider() {
        bail!("the source '{}' needs maps; give a file with --attention", source.name());
    }
    Ok(AttentionSettings {
        lambda: args.lambda.unwrap_or(DEFAULT_ATTENTION.lambda),
        gamma: args.gamma.unwrap_or(DEFAULT_ATTENTION.gamma),
        source,
    })
}

fn read_images(path: &Path, label: Option<i64>) -> Result<TrainingImages> {
    read(path, "training images", |file| {
        let tensors = file.tensors()?;
        let tensor = named(&tensors, "images")?;
        let shape = batch_shape("images", tensor.shape())?;
        let bytes = || file.slice(tensor.data());
        let storage = match tensor.dtype() {
            Dtype::U8 => Storage::Bytes(bytes()),
            Dtype::F32 => Storage::Singles(bytes()),
            Dtype::F64 => Storage::Doubles(bytes()),
            other => bail!("tensor 'images' holds '{other:?}'; give it as U8, F32 or F64"),
        };
        let mut images = TrainingImages::new(shape, storage)?;
        for doubt in doubts_of_images(&tensor) {
            errorln!("warning: '{}': {doubt}", path.display());
        }
        if let Ok(labels) = tensors.tensor("labels") {
            images = images.with_labels(integers("labels", &labels)?)?;
        }
        Ok(match label {
            Some(label) => images.only_label(label)?,
            None => images,
        })
    })
}

fn read_attention(path: &Path, shape: ImageShape) -> Result<Arc<dyn AttentionProvider>> {
    read(path, "attention maps", |file| {
        let tensors = file.tensors()?;
        let tensor = named(&tensors, "attention")?;
        let p = shape.n_pixels();
        let n_heads = match *tensor.shape() {
            [a, b] if (a, b) == (p, p) => 1,
            [_, a, b] if (a, b) == (p, p) => 1,
            [_, n_heads, a, b] if (a, b) == (p, p) => n_heads,
            ref found => bail!(
                "tensor 'attention' has shape '{found:?}', but [{p},{p}], [B,{p},{p}] or \
                 [B,heads,{p},{p}] is needed for images of {shape}"
            ),
        };
        let maps = FixedAttention::new(n_heads, p, floats("attention", &tensor)?)?;
        Ok(Arc::new(maps) as Arc<dyn AttentionProvider>)
    })
}
