//! "Did you mean ...?": the known name that is most like a misspelt one.

/// The candidate most likely meant by a misspelt word, if any is close enough to suggest.
pub fn nearest<'a>(found: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (strsim::jaro_winkler(found, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn only_similar_names_are_suggested() {
        let names = ["training.steps", "training.batch", "dataset.size"];
        assert_eq!(nearest("training.step", names.into_iter()), Some("training.steps"));
        assert_eq!(nearest("xyz", names.into_iter()), None);
        assert_eq!(nearest("a", [].into_iter()), None);
    }
}
