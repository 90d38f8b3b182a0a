//! `[lab]`: settings of the lab itself, in the same kind of table as those of an experiment
//! ([`super::settings`]).

use std::path::{Path, PathBuf};

use strum::{Display, EnumString, IntoStaticStr, VariantNames};
use toml::Spanned;
use toml::de::DeValue;

use super::error::{ConfigError, SettingError};
use super::settings::{Setting, find_in, setting};
use super::toml_text::Reader;
use super::value::{Accepted, Word};
use crate::hardware::device::DeviceRequest;

/// Settings of the `[lab]` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabSettings {
    /// Directory of the runs.
    pub runs_dir: PathBuf,
    pub device: DeviceRequest,
    pub theme: ThemeChoice,
    pub images: ImageChoice,
    pub colours: ColourChoice,
    pub mouse: MouseChoice,
    pub notify: NotifyChoice,
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

macro_rules! row {
    ($($row:tt)*) => {
        setting!(LabSettings, $($row)*)
    };
}

static LAB_SETTINGS: &[Setting<LabSettings>] = &[
    row!("lab.runs_dir", Accepted::Text, runs_dir, "directory of runs"),
    row!("lab.device", Accepted::Device, device, "where networks and theory are computed"),
    row!("lab.theme", Accepted::Choice(ThemeChoice::VARIANTS), theme, "colours"),
    row!("lab.images", Accepted::Choice(ImageChoice::VARIANTS), images, "how pictures are drawn"),
    row!("lab.colours", Accepted::Choice(ColourChoice::VARIANTS), colours, "number of colours"),
    row!("lab.mouse", Accepted::Choice(MouseChoice::VARIANTS), mouse, "whether to take the mouse"),
    row!("lab.notify", Accepted::Choice(NotifyChoice::VARIANTS), notify, "notice of ended runs"),
];

impl LabSettings {
    /// Default settings, with runs in `checkpoints` under `root`.
    pub fn at(root: &Path) -> Self {
        Self {
            runs_dir: root.join("checkpoints"),
            device: DeviceRequest::Auto,
            theme: ThemeChoice::Auto,
            images: ImageChoice::Auto,
            colours: ColourChoice::Auto,
            mouse: MouseChoice::Off,
            notify: NotifyChoice::Bell,
        }
    }
}

impl Reader<'_> {
    pub(super) fn lab_settings(
        &self,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<LabSettings, ConfigError> {
        let mut settings = LabSettings::at(self.root);
        for (key, value) in self.table(value, "lab")? {
            let setting = find_in(LAB_SETTINGS, &format!("lab.{}", key.get_ref()))
                .map_err(|problem: SettingError| self.at(&key.span(), problem))?;
            let value = self
                .admit(setting, value.get_ref())
                .map_err(|problem| self.at(&value.span(), problem))?;
            (setting.set)(&mut settings, &value);
        }
        settings.runs_dir = self.root.join(settings.runs_dir);
        Ok(settings)
    }
}
