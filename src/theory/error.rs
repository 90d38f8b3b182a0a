//! Errors while a machine is built. Errors on a given input are a [`crate::diffusion::DenoiseError`].

use thiserror::Error;

use crate::image::ImageShape;

/// Why a machine or its dictionary could not be built.
#[derive(Debug, Error, PartialEq)]
pub enum TheoryError {
    #[error("no {what} is called '{name}'; did you mean '{nearest}'? accepted are {accepted}")]
    Unknown { what: &'static str, name: String, nearest: String, accepted: String },
    #[error("cannot build '{machine}': the dictionary holds no training image; give at least one")]
    EmptyDictionary { machine: String },
    #[error("the dictionary has '{found}' values, which is no whole number of {shape} images")]
    RaggedImages { shape: ImageShape, found: usize },
    #[error("an image of shape '{shape}' has no pixels, or a side above 65535")]
    BadShape { shape: ImageShape },
    #[error(
        "the dictionary holds '{value}' at value {index}, which is no pixel's value; those are finite and \
         mostly within [-1, 1]"
    )]
    NotAPixel { index: usize, value: f64 },
    #[error("the dictionary has {n_images} images but '{n_labels}' labels; give one per image")]
    LabelCount { n_images: usize, n_labels: usize },
    #[error("cannot keep only label '{label}': the dictionary has no labels")]
    NoLabels { label: i64 },
    #[error("no training image has label '{label}'; labels present are {present}")]
    UnknownLabel { label: i64, present: String },
    #[error("cannot build '{machine}' with k = '{k}': a patch side must be odd and at least 1")]
    PatchSide { machine: String, k: usize },
    #[error("cannot build '{machine}': its list of settings per step is empty; give one per step")]
    EmptySchedule { machine: String },
    #[error(
        "cannot build '{machine}' with k = '{k}': no such patch lies wholly inside a {shape} image; \
         use k up to {largest}, or 'els'"
    )]
    PatchTooLarge { machine: String, k: usize, shape: ImageShape, largest: usize },
    #[error("{name} is '{found}', but must {limits}")]
    Setting { name: &'static str, found: f64, limits: &'static str },
    #[error(
        "attention source '{source_name}' needs maps from a network or a file, and none were given"
    )]
    NoAttention { source_name: String },
    #[error(
        "cannot build '{machine}': it is solved for the images of an experiment; use 'mosaic theory' or a run"
    )]
    NoSolver { machine: String },
    #[error(
        "the dictionary cannot have copies turned by a quarter (theory.augment 'dihedral'): its images are of {shape}; use \
         'flip', or square images"
    )]
    NotSquare { shape: ImageShape },
    #[error("the eigenvalues of the data covariance could not be computed: {problem}")]
    Eigen { problem: String },
}
