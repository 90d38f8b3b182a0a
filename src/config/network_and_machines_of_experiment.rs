//! Turns the settings of an experiment into what the worker builds: network, machines, warnings.
//!
//! Settings that can be built but give misleading results (a receptive field that reaches the next glyph, docs/theory.md
//! section 7) produce a warning.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use super::enum_settings::{
    ArchitectureKind, DatasetKind, DictionaryAugmentation, LargestSide, MachineName, WindowKind,
};
use super::error::SettingError;
use super::experiment_settings::{
    CalibrateSettings, CalibrationGrid, DatasetSettings, Experiment, NetworkSettings,
    TheorySettings,
};
use crate::dataset::array_images::ArraySource;
use crate::dataset::fit_to_square::Fit;
use crate::dataset::parquet_images::TableSource;
use crate::dataset::{CraftedKind, CraftedSet, DatasetSource, Glyphs, Selection, Stripes};
use crate::diffusion::Ddim;
use crate::image::{Augmentation, ImageShape};
use crate::network::network_config::{Architecture, AttentionConfig, NetworkConfig, Padding};
use crate::optimum::class_of_network;
use crate::theory::machine_spec::{
    AttentionSettings, AttentionSource, MachineKind, MachineSpec, PatchSize, Scheduled, Smoothing,
};
use crate::theory::patch_pools_ls_els_bbels::Pool;
use crate::theory::patch_window::PatchWindow;

/// A machine and its column name.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedMachine {
    pub name: String,
    pub spec: MachineSpec,
}

impl Experiment {
    /// Resolves a path from the settings against the experiment's root.
    pub fn path(&self, path: &Path) -> PathBuf {
        self.root.join(path)
    }

    /// Source of the training images.
    pub fn dataset_source(&self) -> DatasetSource {
        let data = &self.dataset;
        let read_size = data.size.map(NonZeroUsize::get);
        // `check` refuses a kind without the settings it needs.
        let size = read_size.unwrap_or_default();
        let path = || self.path(data.path.as_deref().unwrap_or(Path::new("")));
        let DatasetSettings { slots, glyph, gap, shift, period, .. } = *data;
        let (n_shapes, n_hues, n_patterns) = (data.shapes, data.hues, data.patterns);
        let glyphs = Glyphs { size, slots, glyph, gap, n_shapes, n_hues, shift };
        let kind = match data.kind {
            DatasetKind::Idx => {
                let labels = data.labels.as_ref().map(|labels| self.path(labels));
                return DatasetSource::Idx { images: path(), labels, size: read_size };
            }
            DatasetKind::Cifar => return DatasetSource::Cifar { path: path(), size: read_size },
            DatasetKind::Folder | DatasetKind::Arrays | DatasetKind::Parquet => {
                return self.source_of_files(path());
            }
            DatasetKind::Mirror => CraftedKind::Mirror(glyphs),
            DatasetKind::Glyphs => CraftedKind::Glyphs(glyphs),
            DatasetKind::Stripes => {
                CraftedKind::Stripes(Stripes { size, period, n_patterns, n_hues })
            }
        };
        let n = data.n.map_or(0, NonZeroUsize::get);
        DatasetSource::Crafted(CraftedSet { kind, n, seed: data.seed })
    }

    /// Which images of the source are training images.
    pub fn selection(&self) -> Selection {
        let data = &self.dataset;
        let limit = data.n.filter(|_| data.kind.is_read()).map(NonZeroUsize::get);
        Selection { limit, seed: data.seed, half: data.half }
    }

    /// Source of images in files whose pictures may have any size.
    fn source_of_files(&self, path: PathBuf) -> DatasetSource {
        let data = &self.dataset;
        let of_size =
            |size: NonZeroUsize| Fit { size: size.get(), crop: data.crop, resample: data.resize };
        let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
        // `check` refuses folders and tables without a size.
        let fit = of_size(data.size.unwrap_or(NonZeroUsize::MIN));
        match data.kind {
            DatasetKind::Folder => DatasetSource::Folder { path, split: text(&data.split), fit },
            DatasetKind::Parquet => DatasetSource::Parquet(TableSource {
                path,
                split: text(&data.split),
                image_column: text(&data.array),
                label_column: text(&data.label_array),
                fit,
            }),
            _ => DatasetSource::Arrays(ArraySource {
                path,
                labels_path: data.labels.as_ref().map(|labels| self.path(labels)),
                array: text(&data.array),
                label_array: text(&data.label_array),
                layout: data.array_layout,
                range: data.value_range,
                fit: data.size.map(of_size),
            }),
        }
    }

    /// The sampler shared by network and machines.
    pub fn ddim(&self) -> Ddim {
        Ddim::new(self.schedule, self.sampling_steps)
    }

    /// The network configuration for images of this shape.
    ///
    /// # Errors
    ///
    /// If a conditional network has no classes, or if the sides cannot be halved as often as the U-Net
    /// requires.
    pub fn network_config(
        &self,
        image: ImageShape,
        n_classes: Option<usize>,
    ) -> Result<NetworkConfig, SettingError> {
        let settings = &self.network;
        if settings.conditional && n_classes.is_none() {
            let problem = format!(
                "it needs classes, but '{}' has none; in a folder data set, up to 256 sub-folders serve as classes",
                self.dataset.path.as_deref().unwrap_or(Path::new("")).display()
            );
            return Err(SettingError::combination("network.conditional", problem));
        }
        let architecture = match settings.architecture {
            ArchitectureKind::UNet => self.unet(image)?,
            ArchitectureKind::ResNet => {
                Architecture::ResNet { width: settings.width, kernels: settings.kernels.clone() }
            }
        };
        let attention = settings.attention.map(|variant| AttentionConfig {
            variant,
            heads: settings.heads,
            head_width: settings.head_width,
            normalise: settings.normalise,
        });
        Ok(NetworkConfig {
            image,
            schedule: self.schedule,
            architecture,
            padding: settings.padding,
            group_norm: settings.group_norm,
            last_kernel: settings.last_kernel,
            readout: settings.readout,
            n_classes: if settings.conditional { n_classes } else { None },
            attention,
            output: settings.output,
            time_scale: settings.time_scale,
            clamp: settings.clamp,
        })
    }

    fn unet(&self, image: ImageShape) -> Result<Architecture, SettingError> {
        let NetworkSettings { widths, embedding, .. } = &self.network;
        let halvings = widths.len().saturating_sub(1) as u32;
        let multiple = 1_usize << halvings;
        if !image.height.is_multiple_of(multiple) || !image.width.is_multiple_of(multiple) {
            let problem = format!(
                "{} resolutions need sides that are multiples of {multiple}, but the images are {image}; set dataset.size",
                widths.len()
            );
            return Err(SettingError::combination("network.widths", problem));
        }
        Ok(Architecture::UNet { widths: widths.clone(), embedding: *embedding })
    }

    /// The machines to compare with a network of this architecture, and messages about machines that were left
    /// out or changed.
    pub fn machines(&self, network: &NetworkConfig) -> (Vec<NamedMachine>, Vec<String>) {
        let side = network.image.height.min(network.image.width);
        let k_max = if side.is_multiple_of(2) { side - 1 } else { side };
        let k = if self.theory.scales.is_empty() {
            PatchSize::Fixed(self.patch_size(network))
        } else {
            PatchSize::PerStep(self.theory.scales.clone())
        };
        let mut notes: Vec<String> = self.copies_in_words().into_iter().collect();
        let mut machines = Vec::new();
        for &machine in &self.theory.machines {
            let name: &str = machine.into();
            let kind = match self.machine_kind(machine, network) {
                Ok(kind) => kind,
                Err(problem) => {
                    notes.push(format!("machine '{name}' skipped: {problem}"));
                    continue;
                }
            };
            let source = kind.attention_source();
            if source.is_some_and(|source| source.needs_provider()) && network.attention.is_none() {
                notes.push(format!("machine '{name}' skipped: the network has no attention"));
                continue;
            }
            let mut k = k.clone();
            // Cropped patches cover the image at twice its side, wrapped ones at its side; patches that must
            // lie inside the image cannot be larger than it.
            let is_too_large = k.all().iter().any(|&side| side > k_max);
            let must_fit =
                matches!(kind, MachineKind::EquivariantLocalInterior | MachineKind::Composite);
            if must_fit && is_too_large {
                notes.push(format!(
                    "machine '{name}' uses patches of at most {k_max} pixels a side, the largest that fit"
                ));
                k = k.map(|&k| k.min(k_max));
            }
            let spec = MachineSpec::new(kind, k).with_window(self.patch_window());
            machines.push(NamedMachine { name: name.to_owned(), spec });
        }
        (machines, notes)
    }

    /// The window through which machines compare patches.
    fn patch_window(&self) -> PatchWindow {
        match self.theory.window {
            WindowKind::Square => PatchWindow::Square,
            WindowKind::Gaussian => PatchWindow::Gaussian { width: self.theory.window_width },
        }
    }

    /// The mirrored and turned copies in the dictionaries of machines.
    pub fn dictionary_augmentation(&self) -> Augmentation {
        match self.theory.augment {
            DictionaryAugmentation::Auto => self.training.augment,
            DictionaryAugmentation::None => Augmentation::None,
            DictionaryAugmentation::Flip => Augmentation::Flip,
            DictionaryAugmentation::Dihedral => Augmentation::Dihedral,
        }
    }

    /// Which copies machines compare with, and whether training draws them; `None` without copies.
    pub fn copies_in_words(&self) -> Option<String> {
        let copies = match self.dictionary_augmentation() {
            Augmentation::None => return None,
            Augmentation::Flip => "the mirrored copies",
            Augmentation::Dihedral => "the mirrored and turned copies",
        };
        let trained: &str = self.training.augment.into();
        let networks = match self.training.augment == self.dictionary_augmentation() {
            true => ", which training draws too".to_owned(),
            false => format!("; training.augment is '{trained}'"),
        };
        Some(format!("machines also compare with {copies} of the training images{networks}"))
    }

    /// Refuses copies turned by a quarter of images that are not square.
    ///
    /// # Errors
    ///
    /// Names the setting that asks for them.
    pub fn check_augmentation(&self, image: ImageShape) -> Result<(), SettingError> {
        let asked = [
            ("training.augment", self.training.augment),
            ("theory.augment", self.dictionary_augmentation()),
        ];
        match asked.into_iter().find(|(_, augmentation)| !augmentation.fits(image)) {
            Some((key, _)) => {
                let problem = format!(
                    "'dihedral' turns images by a quarter, but they are of {image}; set it to 'flip', or dataset.size for square images"
                );
                Err(SettingError::combination(key, problem))
            }
            None => Ok(()),
        }
    }

    /// Patch side for `theory.patch_size`, in pixels.
    fn patch_size(&self, network: &NetworkConfig) -> usize {
        self.theory.patch_size.map_or_else(|| network.receptive_field(), NonZeroUsize::get)
    }

    /// Candidate settings for calibrating the machines of a network with this configuration; `auto` is what `auto` means
    /// in calibrate.k_up_to if the network has attention.
    pub fn calibration_grid(&self, network: &NetworkConfig, auto: LargestSide) -> CalibrationGrid {
        let CalibrateSettings { k, k_up_to, lambda, gamma, tau, .. } = &self.calibrate;
        let field = network.receptive_field().max(self.patch_size(network)).max(3);
        let narrow: Vec<usize> =
            if k.is_empty() { (3..=field).step_by(2).collect() } else { k.clone() };
        let largest = match k_up_to {
            LargestSide::Auto if network.attention.is_some() => auto,
            other => *other,
        };
        let mut wide = narrow.clone();
        if k.is_empty() && largest == LargestSide::Image {
            wide.extend(sides_up_to_the_image(field, network.image));
        }
        CalibrationGrid {
            k: narrow,
            k_without_sharing: wide,
            lambda: lambda.clone(),
            gamma: gamma.clone(),
            tau: tau.clone(),
        }
    }

    /// The machine with this name and the settings of `theory`, for comparison with `network`.
    ///
    /// # Errors
    ///
    /// The reason why there is no such machine for it.
    fn machine_kind(
        &self,
        name: MachineName,
        network: &NetworkConfig,
    ) -> Result<MachineKind, &'static str> {
        let padding = network.padding;
        let TheorySettings { lambda, gamma, tau, mask_threshold, .. } = self.theory;
        // Patches as in the machine without attention that matches this padding.
        let pool = match padding {
            Padding::Circular => Pool::Wrap,
            Padding::Zeros => Pool::SameBorder,
        };
        let attention = |source| {
            let settings = Scheduled::Fixed(AttentionSettings { lambda, gamma, source });
            MachineKind::Attention { pool, settings }
        };
        Ok(match name {
            MachineName::Ideal => MachineKind::Ideal,
            MachineName::Nearest => MachineKind::Nearest,
            MachineName::Smoothed => {
                let (sigma, n_copies) = (self.theory.smoothing, self.theory.smoothing_samples);
                MachineKind::Smoothed(Smoothing { sigma, n_copies })
            }
            MachineName::Subset => MachineKind::Subset { size: self.theory.subset },
            MachineName::Es => MachineKind::EquivariantIdeal,
            MachineName::Ls => match padding {
                Padding::Circular => MachineKind::LocalWrapped,
                Padding::Zeros => MachineKind::Local,
            },
            MachineName::Els => MachineKind::EquivariantLocal,
            MachineName::ElsInterior => MachineKind::EquivariantLocalInterior,
            MachineName::Bbels => MachineKind::BoundaryBroken,
            MachineName::LsWiener => MachineKind::Masked { threshold: mask_threshold },
            MachineName::Pspc => MachineKind::Composite,
            MachineName::Wiener => MachineKind::Wiener,
            MachineName::WienerCirculant => MachineKind::WienerCirculant,
            MachineName::AttentionTrajectory => attention(AttentionSource::Trajectory),
            MachineName::AttentionMeasured => attention(AttentionSource::Measured),
            MachineName::AttentionUniform => attention(AttentionSource::Uniform),
            MachineName::AttentionIdentity => attention(AttentionSource::Identity),
            MachineName::AttentionCoOrigin => attention(AttentionSource::CoOrigin),
            MachineName::AttentionSimilarity => attention(AttentionSource::Similarity { tau }),
            MachineName::AttentionPooled => attention(AttentionSource::Pooled),
            MachineName::AttentionOptimal => {
                MachineKind::OptimalAttention(class_of_network(network)?)
            }
        })
    }

    /// Warnings from the geometry rule for crafted sets: the receptive field should cover a glyph and reach no
    /// other one.
    pub fn geometry_warnings(&self, network: &NetworkConfig) -> Vec<String> {
        if self.dataset.kind.is_read() || self.dataset.kind == DatasetKind::Stripes {
            return Vec::new();
        }
        let field = network.receptive_field();
        let radius = field / 2;
        let mut warnings = Vec::new();
        if field < 2 * self.dataset.glyph - 1 {
            warnings.push(format!(
                "the receptive field of {field} pixels does not cover a glyph of {} from each of its pixels ({} would): expect broken glyphs; widen network.kernels",
                self.dataset.glyph,
                2 * self.dataset.glyph - 1
            ));
        }
        if self.dataset.gap <= radius {
            warnings.push(format!(
                "the receptive field's radius of {radius} pixels reaches across the gap of {}: the network can make hues agree without attention; increase dataset.gap",
                self.dataset.gap
            ));
        } else if self.dataset.gap < 2 * radius {
            warnings.push(format!(
                "some background pixels see two glyphs at once (gap {}, receptive field of {field} pixels): even local theory draws more broken glyphs; set dataset.gap to at least {}",
                self.dataset.gap,
                2 * radius
            ));
        }
        warnings
    }
}

/// Odd patch sides above `field`, each a quarter larger than the one before; the last one covers the image, so that `els`
/// is `es` with it.
fn sides_up_to_the_image(field: usize, image: ImageShape) -> Vec<usize> {
    let covering = image.height.max(image.width) | 1;
    let next =
        |&side: &usize| (side < covering).then(|| ((side * 5).div_ceil(4) | 1).min(covering));
    std::iter::successors(Some(field | 1), next).skip(1).collect()
}

#[cfg(test)]
mod tests {
    use strum::VariantNames;

    use super::*;

    fn rgb(side: usize) -> ImageShape {
        ImageShape::new(3, side, side)
    }

    #[test]
    fn a_machine_is_called_as_its_column() {
        let experiment = Experiment::default();
        let network = experiment.network_config(rgb(16), None).unwrap();
        for name in MachineName::VARIANTS {
            let kind = experiment.machine_kind(name.parse().unwrap(), &network).unwrap();
            assert_eq!(kind.column(), *name);
        }
    }

    #[test]
    fn patches_at_the_same_place_continue_at_the_border_as_the_padding_does() {
        let experiment = Experiment::default();
        let network = experiment.network_config(rgb(16), None).unwrap();
        let kind = |padding| {
            let network = NetworkConfig { padding, ..network.clone() };
            experiment.machine_kind(MachineName::Ls, &network).unwrap()
        };
        assert_eq!(kind(Padding::Circular), MachineKind::LocalWrapped);
        assert_eq!(kind(Padding::Zeros), MachineKind::Local);
    }

    #[test]
    fn machines_compare_with_the_copies_that_training_draws_unless_told_otherwise() {
        let mut experiment = Experiment::default();
        assert_eq!(experiment.dictionary_augmentation(), Augmentation::None);
        assert_eq!(experiment.copies_in_words(), None);
        experiment.set("training.augment", "flip").unwrap();
        assert_eq!(experiment.dictionary_augmentation(), Augmentation::Flip);
        assert!(experiment.copies_in_words().unwrap().ends_with("which training draws too"));
        experiment.set("theory.augment", "none").unwrap();
        assert_eq!(experiment.dictionary_augmentation(), Augmentation::None);
        experiment.set("theory.augment", "dihedral").unwrap();
        assert!(experiment.copies_in_words().unwrap().ends_with("training.augment is 'flip'"));
        assert!(experiment.check_augmentation(rgb(8)).is_ok());
        let error = experiment.check_augmentation(ImageShape::new(1, 4, 6)).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("theory.augment") && error.contains("'flip'"), "{error}");
    }

    #[test]
    fn a_window_is_given_to_machines_that_compare_patches() {
        let mut experiment = Experiment::default();
        experiment.set("theory.machines", "els,attention-optimal,pspc,ideal").unwrap();
        experiment.set("theory.window", "gaussian").unwrap();
        experiment.set("theory.window_width", "0.4").unwrap();
        let network = experiment.network_config(rgb(16), None).unwrap();
        let (machines, _) = experiment.machines(&network);
        let square = PatchWindow::Square;
        let windows: Vec<PatchWindow> = machines.iter().map(|m| m.spec.window).collect();
        assert_eq!(windows, [PatchWindow::Gaussian { width: 0.4 }, square, square, square]);
    }

    #[test]
    fn machines_that_need_attention_are_left_out_with_a_note() {
        let mut experiment = Experiment::default();
        experiment.set("network.attention", "none").unwrap();
        let network = experiment.network_config(rgb(16), None).unwrap();
        let (machines, notes) = experiment.machines(&network);
        assert!(machines.iter().all(|machine| machine.name != "attention-trajectory"));
        assert!(notes[0].contains("attention-trajectory"), "{notes:?}");
    }

    #[test]
    fn the_best_of_a_class_is_left_out_for_networks_outside_of_any() {
        let refused = |key: &str, value: &str| {
            let mut experiment = Experiment::default();
            experiment.set("theory.machines", "els,attention-optimal").unwrap();
            experiment.set(key, value).unwrap();
            let network = experiment.network_config(rgb(16), None).unwrap();
            let (machines, notes) = experiment.machines(&network);
            assert_eq!(machines.len() + notes.len(), 2, "{notes:?}");
            notes.concat()
        };
        assert_eq!(refused("network.heads", "3"), "");
        assert!(refused("network.attention", "none").contains("no attention"));
        assert!(refused("network.last_kernel", "3").contains("network.last_kernel 1"));
        assert!(refused("network.group_norm", "true").contains("without network.group_norm"));
        assert!(refused("network.architecture", "unet").contains("'resnet'"));
        assert_eq!(refused("network.head_width", "2"), "");
    }

    #[test]
    fn a_field_that_reaches_the_next_glyph_is_warned_of() {
        let mut experiment = Experiment::default();
        let network = experiment.network_config(rgb(16), None).unwrap();
        assert_eq!(experiment.geometry_warnings(&network), Vec::<String>::new());
        experiment.set("dataset.gap", "4").unwrap();
        assert!(experiment.geometry_warnings(&network)[0].contains("two glyphs"));
        experiment.set("dataset.gap", "2").unwrap();
        assert!(experiment.geometry_warnings(&network)[0].contains("gap of 2"));
    }

    #[test]
    fn sides_reach_the_image_for_machines_without_sharing_where_they_are_asked_for() {
        let mut experiment = Experiment::default();
        let network = experiment.network_config(rgb(18), None).unwrap();
        let sides = |experiment: &Experiment, network: &NetworkConfig, auto| {
            let grid = experiment.calibration_grid(network, auto);
            assert_eq!(grid.k, [3, 5, 7]);
            grid.k_without_sharing
        };
        let wide = vec![3, 5, 7, 9, 13, 17, 19];
        assert_eq!(sides(&experiment, &network, LargestSide::Field), [3, 5, 7]);
        assert_eq!(sides(&experiment, &network, LargestSide::Image), wide);
        let local = NetworkConfig { attention: None, ..network.clone() };
        assert_eq!(sides(&experiment, &local, LargestSide::Image), [3, 5, 7]);
        experiment.set("calibrate.k_up_to", "image").unwrap();
        assert_eq!(sides(&experiment, &local, LargestSide::Field), wide);
        experiment.set("calibrate.k", "3,5,7").unwrap();
        assert_eq!(sides(&experiment, &network, LargestSide::Image), [3, 5, 7]);
        assert_eq!(sides_up_to_the_image(7, rgb(7)), Vec::<usize>::new());
        assert_eq!(sides_up_to_the_image(9, rgb(8)), Vec::<usize>::new());
    }

    #[test]
    fn only_patches_that_must_lie_inside_are_cut_to_the_image_with_a_note() {
        let mut experiment = Experiment::default();
        experiment.set("network.kernels", "9,9,9").unwrap();
        experiment.set("theory.machines", "els-interior,bbels").unwrap();
        let network = experiment.network_config(rgb(8), None).unwrap();
        let (machines, notes) = experiment.machines(&network);
        assert_eq!(machines[0].spec.k, PatchSize::Fixed(7));
        assert_eq!(machines[1].spec.k, PatchSize::Fixed(network.receptive_field()));
        assert!(notes.len() == 1 && notes[0].contains("largest that fit"), "{notes:?}");
    }
}
