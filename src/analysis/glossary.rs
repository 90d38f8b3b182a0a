//! The words on the screen and in reports, with their meanings: one list for the dashboard, reports and the README.

/// Words and meanings, in the order in which a newcomer meets them. Backquotes mark names that are typed.
pub const GLOSSARY: &[(&str, &str)] = &[
    (
        "noise seed",
        "the image of standard normal noise from which a sample starts; numbered, and the same for the network and every machine",
    ),
    ("network", "the trained denoiser, a ResNet or UNet"),
    ("machine", "a score machine: a denoiser computed from the training images, without training"),
    (
        "image, patch",
        "what a machine compares with the noisy image: `ideal`, `es`, `nearest`, `smoothed` and `subset` whole training images; `ls`, `els`, `els-interior`, `bbels` and `pspc` patches of k by k pixels; `wiener` machines use the covariance only",
    ),
    (
        "trajectory, similarity, pooled, co-origin, optimal",
        "where an `attention-...` machine has its attention weights from: the network, along the very sample that is predicted (trajectory); the patches that two places have in common (similarity); all places alike (pooled); the training images that both places may come from (co-origin); or the best network of this kind, solved on the training images (optimal)",
    ),
    (
        "won",
        "share of noise seeds for which a machine's r with the network is higher than that of `els`",
    ),
    (
        "r",
        "Pearson's correlation between a machine's image and the network's image from the same noise seed",
    ),
    ("r^2", "the square of r; like r, it ignores differences of contrast and offset"),
    (
        "R^2",
        "the coefficient of determination, `1 - squared error / variance of the network's image`; 1 is a perfect prediction, and it can be negative",
    ),
    (
        "whole",
        "share of the connected components in the foreground that are a complete glyph of the training set",
    ),
    ("valid (v)", "the sample has a foreground, and every component of it is whole"),
    (
        "consistent (c)",
        "the rule of the data set holds across the image, for example one hue for all glyphs",
    ),
    (
        "novel (n)",
        "the sample is valid, and its arrangement of glyphs is in no training image at any circular shift",
    ),
    ("creative", "valid, consistent and novel"),
    ("hue purity", "share of foreground pixels that have the image's most frequent hue"),
    (
        "ceiling",
        "median r between two networks that differ only in their training seed, from the same noise seeds: what another training of the network reaches. A theory that predicts exactly what such networks share could reach its square root",
    ),
    ("chance", "median r between samples of one network from different noise seeds"),
    (
        "floor",
        "the smallest mean squared error of the clean estimate that theory allows a network of this class at a noise level: for a CNN that of `els` or `bbels` at its receptive field",
    ),
    (
        "excess",
        "the network's error minus the floor; the network is *converged* if the excess is at most 15% of the floor (or .001) at every noise level, but for noise, *close* if at most 50% (or .005), otherwise *far* from its floor",
    ),
    (
        "held out",
        "(of errors) on images of the data set that the network was not trained on; (of noise seeds) used for nothing but the final comparison",
    ),
    (
        "entropy",
        "entropy of the attention weights in nats; the maximum, uniform attention, is the logarithm of the number of pixels",
    ),
    (
        "sink",
        "share of all attention weights of an image that its most attended pixel receives; with uniform attention one divided by the number of pixels",
    ),
    (
        "logit",
        "argument of the softmax that makes attention weights; large ones mean that few pixels are attended to",
    ),
];

/// The entries with a word that stands in `text`.
pub fn words_in(
    text: &str,
) -> impl Iterator<Item = &'static (&'static str, &'static str)> + use<'_> {
    let lower = text.to_lowercase();
    let stands = move |word: &str| {
        let word = word.split(" (").next().unwrap_or(word);
        // r^2 and R^2 are different things.
        let (text, word) = match word.contains('^') {
            true => (text, word.to_owned()),
            false => (lower.as_str(), word.to_lowercase()),
        };
        let is_letter = |c: char| c.is_alphanumeric() || matches!(c, '_' | '^');
        text.match_indices(&word).any(|(at, found)| {
            let before = text[..at].chars().next_back();
            let after = text[at + found.len()..].chars().next();
            !before.is_some_and(is_letter) && !after.is_some_and(is_letter)
        })
    };
    GLOSSARY.iter().filter(move |(words, _)| words.split(", ").any(&stands))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_has_the_same_list() {
        let readme = include_str!("../../README.md");
        let section = readme.split("## Words on the screen").nth(1).unwrap();
        let section = section.split("\n## ").next().unwrap();
        let rows: Vec<&str> =
            section.lines().filter(|line| line.starts_with("| ")).skip(2).collect();
        let expected: Vec<String> =
            GLOSSARY.iter().map(|(word, meaning)| format!("| {word} | {meaning} |")).collect();
        assert_eq!(rows, expected);
    }

    #[test]
    fn words_are_found_whole_and_whatever_their_case() {
        let found = |text| words_in(text).map(|(word, _)| *word).collect::<Vec<_>>();
        assert_eq!(found("The Ceiling is r, not r^2"), ["r", "r^2", "ceiling"]);
        assert_eq!(
            found("attention-pooled"),
            ["trajectory, similarity, pooled, co-origin, optimal"]
        );
        assert!(found("invalidated").is_empty());
    }
}
