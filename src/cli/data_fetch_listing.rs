//! `data fetch --list`, and how to get the files of a set by hand where the network cannot be reached.

use std::io::{self, Write};
use std::path::Path;

use anyhow::{Result, anyhow};
use indicatif::DecimalBytes;

use crate::config::nearest_name::nearest;
use crate::console;
use crate::dataset::published_sets::{PublishedFile, PublishedSet, PublishedSets};
use crate::download::proxy_settings::ProxySettings;
use crate::errorln;

/// One line a set.
///
/// # Errors
///
/// If standard output cannot be written.
pub fn list(sets: &PublishedSets) -> io::Result<()> {
    let mut out = console::stdout();
    writeln!(
        out,
        "{:<15}  {:>6}  {:<7}  {:>7}  {:>9}  about",
        "name", "images", "size", "classes", "download"
    )?;
    for set in &sets.sets {
        writeln!(
            out,
            "{:<15}  {:>6}  {:<7}  {:>7}  {:>9}  {}",
            set.name,
            set.images,
            size_in_words(set),
            set.classes,
            DecimalBytes(set.n_bytes()).to_string(),
            set.about
        )?;
    }
    writeln!(
        out,
        "'mosaic data fetch --list NAME' shows a set's source, licence, files and checksums"
    )
}

/// All that is known of a set.
///
/// # Errors
///
/// If standard output cannot be written.
pub fn describe(set: &PublishedSet) -> io::Result<()> {
    let mut out = console::stdout();
    writeln!(out, "{}: {}", set.name, set.about)?;
    writeln!(
        out,
        "{} training images of {} in {} classes, read with dataset.kind = '{}'",
        set.images,
        size_in_words(set),
        set.classes,
        set.kind
    )?;
    writeln!(out, "by {}", set.by)?;
    writeln!(out, "licence: {}", set.licence)?;
    writeln!(out, "checksums: tensorflow-datasets, {}", set.checksums)?;
    for file in &set.files {
        writeln!(out, "{}", file_in_words(file))?;
        for url in &set.urls {
            writeln!(out, "    {url}{}", file.name)?;
        }
    }
    Ok(())
}

/// Channels, height and width.
pub fn size_in_words(set: &PublishedSet) -> String {
    set.size.map(|n| n.to_string()).join("x")
}

fn file_in_words(file: &PublishedFile) -> String {
    format!("{}  {} bytes  sha256 {}", file.name, file.bytes, file.sha256)
}

/// The error for a name that is not in the list, with the reason if it is known.
pub fn not_offered(sets: &PublishedSets, name: &str) -> anyhow::Error {
    if let Some(refused) = sets.refusal(name) {
        return anyhow!("'{}' is not offered: {}", refused.name, refused.reason);
    }
    let names = || sets.sets.iter().map(|set| &set.name[..]);
    let meant = nearest(&name.to_lowercase(), names());
    let meant = meant.map(|name| format!("; did you mean '{name}'?")).unwrap_or_default();
    let known = names().collect::<Vec<_>>().join(", ");
    anyhow!(
        "there is no data set '{name}' in the list{meant} Known are {known}: only sets whose format is read, and whose \
         files have a published SHA-256. For others, download the files and name them in dataset.path"
    )
}

/// Prints what to do where nothing can be reached: which files are missing in `folder`, and where to put them.
pub fn explain_by_hand(
    set: &PublishedSet,
    missing: &[&PublishedFile],
    folder: &Path,
    proxies: &ProxySettings,
) {
    let proxy = match proxies.is_empty() {
        true => "; if it needs a proxy, set HTTPS_PROXY and HTTP_PROXY",
        false => ", or its proxy does not work",
    };
    errorln!("no source can be reached: this computer seems to be offline{proxy}.");
    errorln!(
        "Fetch these files on another computer, and copy them (scp) to '{}':",
        folder.display()
    );
    for file in missing {
        errorln!("  {}", file_in_words(file));
        for url in &set.urls {
            errorln!("    {url}{}", file.name);
        }
    }
    errorln!(
        "The same command then checks them. It also takes a directory that holds them: mosaic data fetch {} --from DIR",
        set.name
    );
}

/// # Errors
///
/// If the name is not in the list.
pub fn find<'a>(sets: &'a PublishedSets, name: &str) -> Result<&'a PublishedSet> {
    sets.find(name).ok_or_else(|| not_offered(sets, name))
}
