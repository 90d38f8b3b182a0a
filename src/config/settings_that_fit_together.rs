//! Refuses settings of an experiment that do not fit together, before anything is launched.

use std::num::NonZeroUsize;

use super::enum_settings::{ArchitectureKind, DatasetKind};
use super::error::SettingError;
use super::experiment_settings::{DatasetSettings, Experiment};

impl Experiment {
    /// Refuses combinations of settings that cannot work with any data.
    ///
    /// # Errors
    ///
    /// Names the setting at fault and the problem.
    pub fn check(&self) -> Result<(), SettingError> {
        let refuse = |key: &str, problem: String| Err(SettingError::combination(key, problem));
        let data = &self.dataset;
        let kind = data.kind;
        if !kind.is_read() {
            if let Some(path) = &data.path {
                let problem = format!(
                    "kind '{kind}' is generated, not read from files; set dataset.kind to 'idx', 'cifar', 'folder', 'arrays' or 'parquet' to read '{}'",
                    path.display()
                );
                return refuse("dataset.path", problem);
            }
            if data.n.is_none() {
                let problem = format!("kind '{kind}' needs a number of images to draw");
                return refuse("dataset.n", problem);
            }
            self.check_crafted()?;
        } else if data.path.is_none() {
            let what = match kind {
                DatasetKind::Idx => "an image file",
                DatasetKind::Cifar => "the directory or archive of the binary version",
                DatasetKind::Arrays => "a .npz, .npy or .safetensors file",
                DatasetKind::Parquet => "a .parquet file or a directory of them",
                _ => "a folder with images",
            };
            return refuse("dataset.path", format!("kind '{kind}' needs the path of {what}"));
        }
        if kind == DatasetKind::Folder && data.size.is_none() {
            let problem = "images in a folder have different sizes; set one for all";
            return refuse("dataset.size", problem.into());
        }
        if kind == DatasetKind::Parquet && data.size.is_none() {
            let problem = "images in a table have different sizes; set one for all";
            return refuse("dataset.size", problem.into());
        }
        self.check_used_by_kind()?;
        if let Some(labels) = &data.labels
            && kind.is_read()
            && !matches!(kind, DatasetKind::Idx | DatasetKind::Arrays)
        {
            let problem = format!(
                "kind '{kind}' does not use a label file, but '{}' is set; leave it empty",
                labels.display()
            );
            return refuse("dataset.labels", problem);
        }
        if self.network.conditional {
            if kind == DatasetKind::Idx && data.labels.is_none() {
                let problem = "it needs classes; set dataset.labels";
                return refuse("network.conditional", problem.into());
            }
            if !kind.is_read() {
                let problem = format!("it needs classes, which kind '{kind}' does not have");
                return refuse("network.conditional", problem);
            }
        }
        if self.network.architecture == ArchitectureKind::UNet && self.network.widths.len() > 6 {
            return refuse(
                "network.widths",
                "more than six resolutions would leave no pixels".into(),
            );
        }
        let training = &self.training;
        if training.focus_share > 0.0 && training.focus_from >= training.focus_to {
            let problem = format!(
                "levels are to be drawn from it up to training.focus_to = {}, which must be larger",
                training.focus_to
            );
            return refuse("training.focus_from", problem);
        }
        let n_scales = self.theory.scales.len();
        if n_scales != 0 && n_scales != self.sampling_steps {
            return refuse(
                "theory.scales",
                format!(
                    "it lists {n_scales} sides, but diffusion.sampling_steps is {}",
                    self.sampling_steps
                ),
            );
        }
        Ok(())
    }

    /// Refuses settings that the reader of this kind does not use, if they are not at their defaults.
    fn check_used_by_kind(&self) -> Result<(), SettingError> {
        use DatasetKind::{Arrays, Folder, Parquet};
        let (data, usual) = (&self.dataset, DatasetSettings::default());
        let kind = data.kind;
        for (key, is_usual, kinds) in [
            ("dataset.array", data.array == usual.array, &[Arrays, Parquet][..]),
            ("dataset.label_array", data.label_array == usual.label_array, &[Arrays, Parquet]),
            ("dataset.array_layout", data.array_layout == usual.array_layout, &[Arrays]),
            ("dataset.value_range", data.value_range == usual.value_range, &[Arrays]),
            ("dataset.split", data.split == usual.split, &[Folder, Parquet]),
            ("dataset.crop", data.crop == usual.crop, &[Folder, Arrays, Parquet]),
            ("dataset.resize", data.resize == usual.resize, &[Folder, Arrays, Parquet]),
        ] {
            if !is_usual && kind.is_read() && !kinds.contains(&kind) {
                let names: Vec<String> = kinds.iter().map(|kind| format!("'{kind}'")).collect();
                let problem = format!(
                    "kind '{kind}' does not use it, only {}; leave it at its default",
                    names.join(", ")
                );
                return Err(SettingError::combination(key, problem));
            }
        }
        Ok(())
    }

    fn check_crafted(&self) -> Result<(), SettingError> {
        let data = &self.dataset;
        let size = data.size.map_or(0, NonZeroUsize::get);
        if size < 4 {
            return Err(SettingError::combination(
                "dataset.size",
                "a drawn image needs at least 4 pixels a side",
            ));
        }
        if data.kind != DatasetKind::Stripes {
            let needed = data.slots * (data.glyph + data.gap);
            if needed > size {
                let problem = format!(
                    "{} glyphs of {} pixels with gaps of {} need {needed} pixels a side (the image wraps round), but dataset.size is {size}",
                    data.slots, data.glyph, data.gap
                );
                return Err(SettingError::combination("dataset.gap", problem));
            }
        }
        Ok(())
    }
}
