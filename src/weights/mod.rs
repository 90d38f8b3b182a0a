//! Weights in and out: PyTorch's files read as data, networks recognised by their tensors, and files for PyTorch written.
//!
//! Nothing that a file holds is executed: [`pickle_machine`] knows names of functions only as names, and
//! [`permitted_calls`] lists the few that it carries out on data of its own. Deliberately absent: runs and settings
//! (`evaluation::imported_run`).
//!
//! Reading order: [`error`], [`pickle_objects`] (what a pickle describes), [`pickle_bytes`], [`permitted_calls`],
//! [`pickle_machine`], [`number_type`], [`torch_file`] (archives), [`stored_tensor`], [`tensors_by_path`] (names as in
//! `state_dict()`), [`network_among_tensors`] (prefixes, averaged weights), [`settings_of_tensors`] (what shapes tell),
//! [`fit_to_network`] (every tensor once), [`exported_weights`], [`weights_file`] (all of that), [`patch_sides`].

pub mod error;
pub mod pickle_objects;
pub mod pickle_bytes;
pub mod permitted_calls;
pub mod pickle_machine;
pub mod number_type;
pub mod torch_file;
pub mod stored_tensor;
pub mod tensors_by_path;
pub mod network_among_tensors;
pub mod settings_of_tensors;
pub mod fit_to_network;
pub mod exported_weights;
pub mod weights_file;
pub mod patch_sides;

pub use error::WeightsError;
pub use weights_file::WeightsFile;
