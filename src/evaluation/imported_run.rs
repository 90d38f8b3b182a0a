//! Makes a run of weights that were trained elsewhere: its settings from what the weights tell and what the user says, and
//! a directory like that of a finished run, so that every command that reads trained networks works on it.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::load_networks_and_data::network_of;
use crate::config::Experiment;
use crate::config::experiment_name::ExperimentName;
use crate::dataset::Dataset;
use crate::files::sha256;
use crate::hardware::device_request::DeviceRequest;
use crate::network::TensorMap;
use crate::network::network_config::NetworkConfig;
use crate::runs::event::{EventBody, NoticeLevel};
use crate::runs::event_log::EventLog;
use crate::runs::run_dir::RunDir;
use crate::runs::run_toml::{self, ImportedFrom, Origin, RunToml};
use crate::runs::runs_dir::RunsDir;
use crate::runs::status_json::{RunState, Status, now_ms};
use crate::training::checkpoint::{self, Contents};
use crate::training::checkpoint_settings::{Current, SavedIdentity};
use crate::training::early_end_of_training::Progress;
use crate::weights::{WeightsFile, fit_to_network};

/// What the user says about the weights.
pub struct ImportChoices<'a> {
    /// The experiment that gives data set, theory and comparison; `None`: they come from `settings`.
    pub experiment: Option<&'a Experiment>,
    /// Name of the new run's experiment.
    pub name: ExperimentName,
    /// Directory at which relative paths in `settings` start.
    pub root: &'a Path,
    /// `KEY=VALUE` pairs.
    pub settings: &'a [String],
    /// Patch sides by sampling step, cleanest first.
    pub patch_sides: Option<Vec<usize>>,
}

/// Weights with all the settings that belong to them.
pub struct ImportedNetwork {
    pub experiment: Experiment,
    pub network: NetworkConfig,
    pub dataset: Dataset,
    weights: TensorMap,
    /// Where settings came from that the user did not give.
    pub notes: Vec<String>,
}

/// Settings of Kamb & Ganguli's networks that their weights do not tell.
const AS_PUBLISHED: [(&str, &str); 5] = [
    ("network.attention", "none"),
    ("network.output", "noise"),
    ("network.time_scale", "1"),
    ("network.clamp", "false"),
    ("diffusion.schedule", "cosine"),
];

impl ImportChoices<'_> {
    /// Whether a `--set` pair gives this setting.
    fn gives(&self, key: &str) -> bool {
        self.settings.iter().any(|pair| pair.split('=').next().is_some_and(|k| k.trim() == key))
    }

    /// Puts weights and settings together.
    ///
    /// # Errors
    ///
    /// If a setting is missing or contradicts the weights, if the data set cannot be opened or has other images or classes,
    /// or if a tensor is missing, superfluous or of another shape.
    pub fn apply(&self, file: &WeightsFile) -> Result<ImportedNetwork> {
        let mut notes = Vec::new();
        let mut experiment = self.base(file)?;
        for (key, value) in AS_PUBLISHED {
            experiment.set(key, value)?;
        }
        if let Some(header) = &file.header {
            for (key, value) in header.pairs() {
                experiment.set(key, &value).context("taking a setting of the file's metadata")?;
            }
        }
        for (key, value) in &file.told.settings {
            experiment.set(key, value).context("taking what the weights' shapes tell")?;
        }
        experiment.set_pairs(self.settings)?;
        self.all_images(&mut experiment)?;
        for (key, value) in &file.told.settings {
            let now = experiment.get(key)?.plain().replace(['[', ']', ' '], "");
            ensure!(
                now == *value,
                "--set gives '{key}' as '{now}', but the shapes of the weights say '{value}'; leave it out"
            );
        }
        self.padding(&mut experiment, file, &mut notes)?;
        self.attention(&mut experiment, file)?;
        self.theory(&mut experiment)?;
        experiment.check()?;
        let (network, dataset) = network_of(&experiment)?;
        check_images(file, &network, &dataset)?;
        let weights = fit_to_network::parameters(&network, &file.network.tensors)?;
        Ok(ImportedNetwork { experiment, network, dataset, weights, notes })
    }

    /// Data set, theory and comparison.
    fn base(&self, file: &WeightsFile) -> Result<Experiment> {
        let mut experiment = match self.experiment {
            Some(experiment) => experiment.clone(),
            None if self.gives("dataset.kind") || self.gives("dataset.path") => {
                Experiment { root: self.root.to_owned(), ..Experiment::default() }
            }
            None => bail!(
                "the weights do not say which images they were trained on (they have {} channels); give --experiment \
                 NAME, for the data set and the theory of an experiment (see 'mosaic experiments'), or --set \
                 dataset.kind=idx --set dataset.path=FILE and further --set dataset.KEY=VALUE",
                file.told.channels
            ),
        };
        experiment.name = self.name.clone();
        Ok(experiment)
    }

    /// Without an experiment, all images of a file in their own size, rather than the few of the smallest experiment.
    fn all_images(&self, experiment: &mut Experiment) -> Result<()> {
        if self.experiment.is_some() || !experiment.dataset.kind.is_read() {
            return Ok(());
        }
        for key in ["dataset.n", "dataset.size"] {
            if !self.gives(key) {
                experiment.set(key, "0")?;
            }
        }
        Ok(())
    }

    /// Padding: of a whole module, of the metadata, of `--set`, or of the experiment.
    fn padding(
        &self,
        experiment: &mut Experiment,
        file: &WeightsFile,
        notes: &mut Vec<String>,
    ) -> Result<()> {
        const KEY: &str = "network.padding";
        if let Some(told) = &file.told.padding {
            ensure!(
                !self.gives(KEY) || experiment.get(KEY)?.plain() == *told,
                "--set gives another '{KEY}' than the file's convolutions, which have '{told}'; leave it out"
            );
            experiment.set(KEY, told)?;
            return Ok(());
        }
        if self.gives(KEY) || file.header.is_some() {
            return Ok(());
        }
        ensure!(
            self.experiment.is_some(),
            "tensors do not tell how the convolutions continue images beyond the border; give --set {KEY}=zeros or \
             --set {KEY}=circular (KG's 'mode')"
        );
        notes.push(format!(
            "'{KEY}' is '{}', as in the experiment: the weights do not tell it",
            experiment.get(KEY)?.plain()
        ));
        Ok(())
    }

    /// Kind and heads of an attention layer, which only mosaic's own files tell.
    fn attention(&self, experiment: &mut Experiment, file: &WeightsFile) -> Result<()> {
        let Some(found) = file.told.attention else { return Ok(()) };
        if file.header.is_some() {
            return Ok(());
        }
        let kinds = if found.has_queries { "softmax or top1" } else { "uniform or identity" };
        let missing: Vec<&str> = ["network.attention", "network.heads", "network.normalise"]
            .into_iter()
            .filter(|key| !self.gives(key))
            .collect();
        ensure!(
            missing.is_empty(),
            "the weights have an attention layer of {} channels, but do not tell {}; give each with --set (kinds: \
             {kinds}; heads times network.head_width are the channels; normalise: true or false)",
            found.inner,
            missing.join(", ")
        );
        let heads = experiment.network.heads;
        ensure!(
            found.inner.is_multiple_of(heads),
            "{heads} heads do not divide the {} channels of the attention layer; give another network.heads",
            found.inner
        );
        experiment.set("network.head_width", &(found.inner / heads).to_string())?;
        Ok(())
    }

    /// Patch sides that were given, and machines that fit the padding if no experiment names any.
    fn theory(&self, experiment: &mut Experiment) -> Result<()> {
        if self.experiment.is_none() && !self.gives("theory.machines") {
            let zeros = experiment.get("network.padding")?.plain() == "zeros";
            let machines =
                if zeros { "bbels,ls,ideal,wiener" } else { "els,es,ideal,wiener-circulant" };
            experiment.set("theory.machines", machines)?;
        }
        let Some(sides) = &self.patch_sides else { return Ok(()) };
        let list: Vec<String> = sides.iter().map(ToString::to_string).collect();
        experiment.set("theory.scales", &list.join(",")).context("taking the patch sides")?;
        if !self.gives("diffusion.sampling_steps") {
            experiment.set("diffusion.sampling_steps", &sides.len().to_string())?;
        }
        // A calibration would replace them.
        if !self.gives("calibrate.seeds") {
            experiment.set("calibrate.seeds", "0")?;
        }
        Ok(())
    }
}

fn check_images(file: &WeightsFile, network: &NetworkConfig, dataset: &Dataset) -> Result<()> {
    let (own, images) = (file.told.channels, dataset.shape());
    ensure!(
        own == images.channels,
        "the weights are for images of {own} channels, but those of data set '{}' are {images}",
        dataset.name
    );
    if let (Some(own), Some(n)) = (file.told.n_classes, network.n_classes) {
        ensure!(
            own == n,
            "the weights are for {own} classes, but data set '{}' has {n}",
            dataset.name
        );
    }
    Ok(())
}

impl ImportedNetwork {
    /// Writes the network as a finished run, whose single checkpoint is of step 0; `file` is where it came from, with its
    /// bytes.
    ///
    /// # Errors
    ///
    /// If a file or directory cannot be written; no run is left then.
    pub fn write(
        self,
        runs: &RunsDir,
        device: &DeviceRequest,
        (file, bytes): (&Path, &[u8]),
    ) -> Result<RunDir> {
        let place = || format!("creating a run in '{}'", runs.path().display());
        let run = runs.create(&self.experiment.name).with_context(place)?;
        let from = ImportedFrom { file: file.display().to_string(), sha256: sha256(bytes) };
        match self.fill(&run, device, from) {
            Ok(()) => Ok(run),
            Err(error) => {
                // The first error is the one to report.
                let _ = std::fs::remove_dir_all(run.path());
                Err(error).with_context(place)
            }
        }
    }

    fn fill(mut self, run: &RunDir, device: &DeviceRequest, from: ImportedFrom) -> Result<()> {
        let origin = format!("weights imported from '{}'", from.file);
        let told = format!("{origin} (SHA-256 {})", from.sha256);
        self.experiment.description = origin.clone().into();
        let identity = Current {
            settings: &self.experiment.deciding_settings(),
            training: &self.experiment.training,
            network: &self.network,
            dataset: &self.dataset,
        }
        .identity();
        let contents = Contents {
            step: 0,
            n_updates: 0,
            progress: Progress::default(),
            identity: SavedIdentity::V2(identity),
            weights: self.weights.clone(),
            ema: self.weights,
            optimizer: TensorMap::new(),
        };
        let description = RunToml {
            parent: None,
            created_ms: now_ms(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            device: device.clone(),
            origin: Origin::Imported(from),
            experiment: self.experiment,
        };
        run_toml::write(&run.run_toml_path(), &description)?;
        checkpoint::write(&run.state_path(), &contents)?;
        let mut log = EventLog::open(&run.events_path())?;
        log.append(0, EventBody::Notice { level: NoticeLevel::Info, text: told })?;
        for note in self.notes {
            log.append(0, EventBody::Notice { level: NoticeLevel::Info, text: note })?;
        }
        log.append(0, EventBody::State { state: RunState::Finished, reason: None })?;
        let status = Status { message: Some(origin), ..Status::new(RunState::Finished, 0) };
        status.write(&run.status_path())?;
        Ok(())
    }
}
