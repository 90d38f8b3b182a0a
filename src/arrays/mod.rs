//! Files of arrays by name: NumPy's `.npy` and `.npz`, and safetensors. Read and written as numbers of a shape; what
//! they mean is up to others.
//!
//! [`ArrayFile::open`] lists the arrays of a file, [`ArrayFile::read`] gives one of them, [`ArrayWriter`] writes a file,
//! [`ArraySpool`] one that is too large to be held in memory.
//! Nothing in a file is executed: arrays of Python objects, which are pickles, are refused. What a header claims is
//! compared with the size of the file before anything large is allocated.

mod element_type;
mod error;
mod array;
mod npy_header;
mod npz_archive;
pub mod safetensors_file;
mod array_file;
mod array_writer;
mod array_spool;

pub use array::Array;
pub use array_file::{ArrayFile, ArrayInfo};
pub use array_spool::ArraySpool;
pub use array_writer::{ArrayWriter, FileFormat, Numbers};
pub use element_type::ElementType;
pub use error::{ArrayError, called};
