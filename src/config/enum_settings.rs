//! Settings that are one of a few words, each with what it stands for.

use strum::{Display, EnumString, IntoStaticStr, VariantNames};

use super::value_to_rust_type::Word;
use crate::dataset::Half;
use crate::dataset::array_layout::ArrayLayout;
use crate::dataset::fit_to_square::{Crop, Resample};
use crate::dataset::value_range::ValueRange;

/// Values of `dataset.kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames, Display)]
#[strum(serialize_all = "lowercase")]
pub enum DatasetKind {
    Glyphs,
    Mirror,
    Stripes,
    Idx,
    Cifar,
    Folder,
    Arrays,
    Parquet,
}

/// Values of `network.architecture`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum ArchitectureKind {
    ResNet,
    UNet,
}

/// An entry of `theory.machines`: a score machine, and for the attention machine the source of its attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum MachineName {
    Ideal,
    Nearest,
    Smoothed,
    Subset,
    Es,
    Ls,
    Els,
    ElsInterior,
    Bbels,
    LsWiener,
    Pspc,
    Wiener,
    WienerCirculant,
    AttentionTrajectory,
    AttentionMeasured,
    AttentionUniform,
    AttentionIdentity,
    AttentionCoOrigin,
    AttentionSimilarity,
    AttentionPooled,
    AttentionOptimal,
}

/// Values of `calibrate.k_up_to`: how wide the candidate patches of machines without sharing are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum LargestSide {
    /// [`LargestSide::Field`] in the report of a run, [`LargestSide::Image`] in later calibrations of networks with
    /// attention, which see the whole image.
    Auto,
    /// The larger of theory.patch_size and the receptive field.
    Field,
    /// A patch that covers the image.
    Image,
}

/// Values of `theory.augment`: which copies of the training images the dictionaries of machines hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum DictionaryAugmentation {
    /// Those that training draws.
    Auto,
    None,
    Flip,
    Dihedral,
}

/// Values of `theory.window`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum WindowKind {
    /// All pixels of a patch count alike.
    Square,
    /// Less with their distance from its centre.
    Gaussian,
}

impl Word for DictionaryAugmentation {}
impl Word for WindowKind {}
impl Word for ArrayLayout {}
impl Word for Crop {}
impl Word for Half {}
impl Word for Resample {}
impl Word for ValueRange {}
impl Word for LargestSide {}
impl Word for DatasetKind {}
impl Word for ArchitectureKind {}
impl Word for MachineName {}

impl DatasetKind {
    /// True if images are read from files; false if they are generated.
    pub fn is_read(self) -> bool {
        !matches!(self, Self::Glyphs | Self::Mirror | Self::Stripes)
    }
}
