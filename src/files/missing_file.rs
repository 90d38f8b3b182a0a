//! Files that may not be there: a "not found" error as `None`.

use std::io;

/// `None` if the file or directory that was accessed does not exist; any other error stays one.
///
/// # Errors
///
/// Those of the access.
pub fn if_there<T>(accessed: io::Result<T>) -> io::Result<Option<T>> {
    match accessed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        accessed => accessed.map(Some),
    }
}
