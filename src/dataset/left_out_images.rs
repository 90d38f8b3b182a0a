//! Counts what a reader leaves out, by reason, for the notices.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// A PNG, JPEG or WebP image by its content, but not by its extension.
pub const MISNAMED: &str = "images with names that do not end in .png, .jpg, .jpeg or .webp";
/// An image in another format.
pub const UNREAD: &str = "images in formats other than PNG, JPEG and WebP";
pub const OTHER: &str = "other files";

/// Counts by reason, each with the first path.
#[derive(Clone, Debug, Default)]
pub struct LeftOut {
    by_reason: BTreeMap<String, (usize, PathBuf)>,
    /// Counts of files by reason and kind.
    by_kind: BTreeMap<&'static str, BTreeMap<String, (usize, PathBuf)>>,
}

impl LeftOut {
    /// Counts a path; `reason` is a plural noun phrase.
    pub fn add(&mut self, reason: impl Into<String>, path: PathBuf) {
        self.by_reason.entry(reason.into()).or_insert((0, path)).0 += 1;
    }

    /// Counts a file of some kind, with the kinds of each reason apart.
    pub fn add_file(&mut self, (reason, kind): (&'static str, String), path: PathBuf) {
        self.by_kind.entry(reason).or_default().entry(kind).or_insert((0, path)).0 += 1;
    }

    /// One sentence per reason.
    pub fn notices(&self) -> Vec<String> {
        let reasons = self.by_reason.iter().map(|(reason, (n, first))| {
            format!("left out: {n} {} ('{}'{})", of_number(reason, *n), first.display(), more(*n))
        });
        let kinds = self.by_kind.iter().map(|(reason, kinds)| {
            let n: usize = kinds.values().map(|(n, _)| n).sum();
            let each: Vec<String> = kinds
                .iter()
                .map(|(kind, (n, first))| format!("{n} {kind} ('{}'{})", first.display(), more(*n)))
                .collect();
            format!("left out: {n} {}: {}", of_number(reason, n), each.join(", "))
        });
        reasons.chain(kinds).collect()
    }
}

/// Inflects a reason, which is in the plural, for `n` things: for one, the first noun loses its plural ending.
fn of_number(reason: &str, n: usize) -> String {
    let first = NOUNS.iter().filter_map(|noun| Some((reason.find(noun)?, noun.len()))).min();
    match first {
        Some((at, length)) if n == 1 => {
            format!("{}{}", &reason[..at + length - 1], &reason[at + length..])
        }
        _ => reason.to_owned(),
    }
}

/// Nouns that occur in reasons.
const NOUNS: [&str; 4] = ["images", "files", "links", "folders"];

fn more(n: usize) -> &'static str {
    if n > 1 { ", ..." } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_counted_with_an_example() {
        let mut left_out = LeftOut::default();
        left_out.add("dangling links", "a.png".into());
        left_out.add("dangling links", "b.png".into());
        for (kind, name) in [(".csv", "x.csv"), (".txt", "y.txt"), (".txt", "z.txt")] {
            left_out.add_file((OTHER, kind.to_owned()), name.into());
        }
        left_out.add_file((UNREAD, "GIF image".to_owned()), "1.gif".into());
        assert_eq!(
            left_out.notices(),
            [
                "left out: 2 dangling links ('a.png', ...)",
                "left out: 1 image in formats other than PNG, JPEG and WebP: 1 GIF image ('1.gif')",
                "left out: 3 other files: 1 .csv ('x.csv'), 2 .txt ('y.txt', ...)",
            ]
        );
    }
}
