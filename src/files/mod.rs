//! Files: atomic replacement of the lab's own, outputs at paths chosen by the user, whole files as immutable bytes, and
//! the kind of a file.
//!
//! [`write_atomically`] is for files that only the lab writes (run directories, exports): a reader sees the old
//! file or the new one. [`write_output`] is for every path given by the user (`--out`, `--output`): devices,
//! pipes and symbolic links are preserved, and a regular file keeps its mode and owner. Formats are left to the
//! modules that know them; [`file_kind`] only names what a file is.

mod missing_file;
mod atomic_replacement;
mod descriptor_paths;
pub mod directory_rename;
pub mod read_or_map_file;
pub mod file_kind;
mod error;
mod output_path;
mod overwrite_existing_file;
mod sha256;

pub use atomic_replacement::{write_atomically, write_atomically_by};
pub use descriptor_paths::is_stdout_closed;
pub use error::{FileError, OutputError};
pub use missing_file::if_there;
pub use output_path::{
    check_output, is_same_output, is_stderr, is_stdout, is_stream, make_folder, write_output,
};
pub use sha256::{sha256, sha256_of_reader};
