//! Counts of skipped files by reason, for notices.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// The kind of a file that is not one of the images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A PNG or JPEG image by its content, but not by the ending of its name.
    Misnamed(String),
    /// An image in another format.
    Unread(String),
    Other(String),
}

/// Counts by reason, each with the first that was met.
#[derive(Clone, Debug, Default)]
pub struct LeftOut {
    by_reason: BTreeMap<String, (usize, PathBuf)>,
    /// The same by reason and kind.
    by_kind: BTreeMap<&'static str, BTreeMap<String, (usize, PathBuf)>>,
}

impl LeftOut {
    /// `reason` is a plural.
    pub fn add(&mut self, reason: impl Into<String>, path: PathBuf) {
        self.by_reason.entry(reason.into()).or_insert((0, path)).0 += 1;
    }

    pub fn add_file(&mut self, kind: Kind, path: PathBuf) {
        let (reason, kind) = match kind {
            Kind::Misnamed(end) => {
                ("images with names that do not end in .png, .jpg or .jpeg", end)
            }
            Kind::Unread(format) => ("images in formats other than PNG and JPEG", format),
            Kind::Other(end) => ("other files", end),
        };
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

/// A reason, which is a plural, for `n` things: its first noun loses its ending if there is one.
fn of_number(reason: &str, n: usize) -> String {
    let first = NOUNS.iter().filter_map(|noun| Some((reason.find(noun)?, noun.len()))).min();
    match first {
        Some((at, length)) if n == 1 => {
            format!("{}{}", &reason[..at + length - 1], &reason[at + length..])
        }
        _ => reason.to_owned(),
    }
}

/// The subjects of reasons.
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
            left_out.add_file(Kind::Other(kind.to_owned()), name.into());
        }
        left_out.add_file(Kind::Unread("GIF image".to_owned()), "1.gif".into());
        assert_eq!(
            left_out.notices(),
            [
                "left out: 2 dangling links ('a.png', ...)",
                "left out: 1 image in formats other than PNG and JPEG: 1 GIF image ('1.gif')",
                "left out: 3 other files: 1 .csv ('x.csv'), 2 .txt ('y.txt', ...)",
            ]
        );
    }
}
