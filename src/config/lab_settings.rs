//! `[lab]`: settings of the lab itself, in the same kind of table as those of an experiment
//! ([`super::find_setting`]).

use std::path::{Path, PathBuf};

use strum::{Display, EnumString, IntoStaticStr, VariantNames};
use toml::Spanned;
use toml::de::DeValue;

use super::error::{ConfigError, SettingError};
use super::parse_and_check_value::Accepted;
use super::setting_definition::{find_in, section};
use super::toml_reader::Reader;
use super::value_to_rust_type::Word;
use crate::hardware::device_request::DeviceRequest;

section! {
    /// Settings of the `[lab]` section.
    LabSettings: LabSettings, "lab", [];

    /// directory of runs, relative to the lab file
    runs_dir: PathBuf = "checkpoints".into(), Accepted::Text;
    /// where networks and theory are computed
    device: DeviceRequest = DeviceRequest::Auto, Accepted::Device;
    /// colours
    theme: ThemeChoice = ThemeChoice::Auto, Accepted::Choice(ThemeChoice::VARIANTS);
    /// how pictures are drawn
    images: ImageChoice = ImageChoice::Auto, Accepted::Choice(ImageChoice::VARIANTS);
    /// number of colours
    colours: ColourChoice = ColourChoice::Auto, Accepted::Choice(ColourChoice::VARIANTS);
    /// whether to take the mouse
    mouse: MouseChoice = MouseChoice::Off, Accepted::Choice(MouseChoice::VARIANTS);
    /// notice of ended runs
    notify: NotifyChoice = NotifyChoice::Bell, Accepted::Choice(NotifyChoice::VARIANTS);
}

/// Colour theme of the dashboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum ThemeChoice {
    /// According to the terminal's background.
    Auto,
    Dark,
    Light,
}

/// How pictures are drawn in the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum ImageChoice {
    /// The best protocol that the terminal supports.
    Auto,
    Kitty,
    Iterm,
    Sixel,
    /// Half blocks, which work on every terminal.
    Blocks,
    Off,
}

/// Colour depth of the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum ColourChoice {
    /// According to the environment.
    Auto,
    Truecolour,
    #[strum(serialize = "256")]
    Indexed256,
    #[strum(serialize = "16")]
    Ansi16,
}

/// Whether the dashboard captures the mouse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum MouseChoice {
    Off,
    On,
}

/// How the dashboard notifies the user that a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum NotifyChoice {
    Bell,
    /// The OSC 9 desktop notification of the terminal.
    Osc9,
    Both,
    Off,
}

impl Word for ThemeChoice {}
impl Word for ImageChoice {}
impl Word for ColourChoice {}
impl Word for MouseChoice {}
impl Word for NotifyChoice {}

impl LabSettings {
    /// These settings in a lab file in the directory `root`, at which relative paths start.
    pub(super) fn below(self, root: &Path) -> Self {
        Self { runs_dir: root.join(self.runs_dir), ..self }
    }
}

impl Reader<'_> {
    pub(super) fn lab_settings(
        &self,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<LabSettings, ConfigError> {
        let mut settings = LabSettings::default();
        for (key, value) in self.table(value, "lab")? {
            let setting = find_in(LabSettings::ROWS.iter(), &format!("lab.{}", key.get_ref()))
                .map_err(|problem: SettingError| self.at(&key.span(), problem))?;
            let value = self
                .admit(setting, value.get_ref())
                .map_err(|problem| self.at(&value.span(), problem))?;
            (setting.set)(&mut settings, &value);
        }
        Ok(settings)
    }
}
