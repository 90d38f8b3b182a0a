//! Finds the network among a file's tensors: whatever stands before its names (`backbone.`, `module.`, `_orig_mod.`,
//! `ema.`) is taken off, averaged weights are preferred, and the state of an optimiser is left out.

use std::collections::{BTreeMap, BTreeSet};

use super::error::WeightsError;
use super::stored_tensor::StoredTensor;

/// A tensor that every network of an architecture has, and no other.
const ANCHORS: [&str; 2] = ["up_projection.weight", "bottleneck.emb.1.weight"];

/// Beginnings of the names under which training scripts save what is no network.
const OF_TRAINING: [&str; 5] = ["optim", "sched", "scaler", "lr_", "grad_"];

/// Names that are quoted in a message.
const QUOTED_MAX: usize = 6;

/// A network's tensors by its own names.
#[derive(Debug)]
pub struct FoundNetwork {
    /// What stood before the names, with its last dot.
    pub prefix: String,
    pub tensors: BTreeMap<String, StoredTensor>,
    /// What was left out, for people.
    pub notes: Vec<String>,
}

/// Finds the network.
///
/// # Errors
///
/// If there is none, or more than one and not exactly one of them is averaged, or a tensor belongs to nothing known.
pub fn find(all: BTreeMap<String, StoredTensor>) -> Result<FoundNetwork, WeightsError> {
    let prefixes: BTreeSet<&str> = all.keys().filter_map(|name| prefix_of(name)).collect();
    let prefix = choose(&all, &prefixes)?.to_owned();
    let others: Vec<String> = prefixes
        .iter()
        .filter(|other| **other != prefix)
        .map(|other| (*other).to_owned())
        .collect();
    let mut found = FoundNetwork { prefix, tensors: BTreeMap::new(), notes: Vec::new() };
    let mut left = BTreeMap::<String, usize>::new();
    let mut strange = Vec::new();
    for (name, tensor) in all {
        if let Some(own) = name.strip_prefix(&found.prefix) {
            found.tensors.insert(own.to_owned(), tensor);
            continue;
        }
        let first = name.split('.').next().unwrap_or_default();
        let is_of_training = OF_TRAINING.iter().any(|beginning| first.starts_with(beginning));
        if is_of_training || others.iter().any(|other| name.starts_with(other.as_str())) {
            *left.entry(first.to_owned()).or_default() += 1;
        } else {
            strange.push(format!("'{}' is of no part of the network", name.escape_debug()));
        }
    }
    if !strange.is_empty() {
        return Err(WeightsError::Misfit { problems: strange });
    }
    if !others.is_empty() {
        let beside: Vec<String> = others.iter().map(|other| shown(other)).collect();
        let text = format!(
            "took the averaged weights ({}), not {}",
            shown(&found.prefix),
            beside.join(", ")
        );
        found.notes.push(text);
    }
    let of_training = left
        .iter()
        .filter(|(first, _)| OF_TRAINING.iter().any(|beginning| first.starts_with(beginning)));
    for (first, n) in of_training {
        found.notes.push(format!("left out {n} tensors of '{}'", first.escape_debug()));
    }
    Ok(found)
}

/// What stands before a network's names, if `name` is its anchor.
fn prefix_of(name: &str) -> Option<&str> {
    let before = ANCHORS.iter().find_map(|anchor| name.strip_suffix(anchor))?;
    (before.is_empty() || before.ends_with('.')).then_some(before)
}

fn choose<'a>(
    all: &BTreeMap<String, StoredTensor>,
    prefixes: &BTreeSet<&'a str>,
) -> Result<&'a str, WeightsError> {
    let is_averaged = |prefix: &&&str| {
        prefix.split('.').any(|part| part.contains("ema") || part.contains("averag"))
    };
    let averaged: Vec<&&str> = prefixes.iter().filter(is_averaged).collect();
    let problem = match (prefixes.len(), &averaged[..]) {
        (1, _) => return Ok(prefixes.first().copied().unwrap_or_default()),
        (_, [one]) => return Ok(**one),
        (0, _) if all.is_empty() => {
            "it holds no tensors by name, in a dictionary or a module".to_owned()
        }
        (0, _) => {
            let names: Vec<String> = all
                .keys()
                .take(QUOTED_MAX)
                .map(|name| format!("'{}'", name.escape_debug()))
                .collect();
            format!(
                "none of its {} tensors is called '{}' (MinimalResNet) or '{}' (MinimalUNet); the first are {}",
                all.len(),
                ANCHORS[0],
                ANCHORS[1],
                names.join(", ")
            )
        }
        _ => {
            let names: Vec<String> = prefixes.iter().map(|prefix| shown(prefix)).collect();
            format!(
                "it holds {} networks, under {}; save the one that is meant by itself",
                prefixes.len(),
                names.join(", ")
            )
        }
    };
    Err(WeightsError::NoNetwork { problem })
}

fn shown(prefix: &str) -> String {
    match prefix {
        "" => "no name".to_owned(),
        prefix => format!("'{}'", prefix.trim_end_matches('.').escape_debug()),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::number_type::NumberType;
    use super::*;

    fn found(names: &[&str]) -> Result<FoundNetwork, String> {
        let tensor = StoredTensor::row_major(NumberType::U8, &[1], Bytes::from_static(&[0]));
        let tensor = tensor.unwrap();
        let all = names.iter().map(|name| ((*name).to_owned(), tensor.clone())).collect();
        find(all).map_err(|error| error.to_string())
    }

    #[test]
    fn what_stands_before_the_names_is_taken_off() {
        for prefix in ["", "backbone.", "module.", "_orig_mod.", "module._orig_mod.backbone."] {
            let names = ["up_projection.weight", "convs.0.0.bias"].map(|n| format!("{prefix}{n}"));
            let network = found(&[&names[0], &names[1]]).unwrap();
            let own: Vec<&str> = network.tensors.keys().map(String::as_str).collect();
            assert_eq!(own, ["convs.0.0.bias", "up_projection.weight"], "{prefix}");
            assert_eq!((network.prefix.as_str(), network.notes.len()), (prefix, 0));
        }
    }

    #[test]
    fn averaged_weights_are_taken_and_the_choice_is_told() {
        let names = [
            "model.bottleneck.emb.1.weight",
            "ema_model.bottleneck.emb.1.weight",
            "optimizer.state.0.exp_avg",
        ];
        let network = found(&names).unwrap();
        assert_eq!(network.prefix, "ema_model.");
        let told = [
            "took the averaged weights ('ema_model'), not 'model'",
            "left out 1 tensors of 'optimizer'",
        ];
        assert_eq!(network.notes, told);
    }

    #[test]
    fn what_cannot_be_told_apart_or_is_not_known_is_an_error() {
        let two = found(&["a.up_projection.weight", "b.up_projection.weight"]).unwrap_err();
        assert!(two.contains("2 networks, under 'a', 'b'"), "{two}");
        let none = found(&["conv1.weight"]).unwrap_err();
        assert!(
            none.contains("none of its 1 tensors") && none.contains("'conv1.weight'"),
            "{none}"
        );
        assert!(found(&[]).unwrap_err().contains("it holds no tensors"));
        let more = found(&["net.up_projection.weight", "head.bias"]).unwrap_err();
        assert!(more.contains("'head.bias' is of no part"), "{more}");
    }
}
