//! Names of files that operating systems and archivers leave in users' folders; they are skipped silently.

use std::path::{Component, Path, PathBuf};
use std::{fs, io};

/// Created by Windows, macOS, Synology, QNAP, file systems and tar; in lower case.
const LITTER: [&str; 13] = [
    "thumbs.db",
    "ehthumbs.db",
    "ehthumbs_vista.db",
    "desktop.ini",
    "__macosx",
    "icon\r",
    "lost+found",
    "$recycle.bin",
    "system volume information",
    "@eadir",
    "#recycle",
    "__pycache__",
    "pax_global_header",
];

/// True if a file or folder of this name is hidden (it begins with a dot) or litter.
fn is_litter(name: &str) -> bool {
    let name = name.to_lowercase();
    name.starts_with('.')
        || LITTER.contains(&name.as_str())
        // Left by archive readers without support for pax headers: 'PaxHeaders.1234/name', 'PaxHeader/name'.
        || name.starts_with("paxheader")
        || name.starts_with("@synoeastream")
}

/// A folder's entries sorted by name, without hidden ones and litter.
///
/// # Errors
///
/// If the folder cannot be listed.
pub fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !is_litter(&entry.file_name().to_string_lossy()) {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// True if any component of a path within an archive is hidden or litter.
pub fn lies_in_litter(path: &Path) -> bool {
    path.components().any(|part| match part {
        Component::Normal(name) => is_litter(&name.to_string_lossy()),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_names_and_those_of_systems_are_litter() {
        for name in
            [".DS_Store", "._1.png", ".git", "Thumbs.db", "__MACOSX", "@eaDir", "Desktop.ini"]
        {
            assert!(is_litter(name), "{name}");
        }
        for name in ["1.png", "thumbs", "a.", "found", "recycle"] {
            assert!(!is_litter(name), "{name}");
        }
        assert!(lies_in_litter(Path::new("./__MACOSX/cifar/data_batch_1.bin")));
        assert!(lies_in_litter(Path::new("cifar/PaxHeaders.12/data_batch_1.bin")));
        assert!(!lies_in_litter(Path::new("./../cifar/data_batch_1.bin")));
    }
}
