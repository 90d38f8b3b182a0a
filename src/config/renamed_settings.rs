//! Renamed settings. In a lab file or `--set`, an old name is an error that gives the new one; in a `run.toml`
//! written by an earlier version, it is read as the new one.

/// Pairs of old and new names.
pub const RENAMED: [(&str, &str); 7] = [
    ("network.body", "network.architecture"),
    ("training.rate", "training.learning_rate"),
    ("training.hold", "training.lr_hold_steps"),
    ("training.decay", "training.lr_schedule"),
    ("training.precision", "training.compute_type"),
    ("theory.k", "theory.patch_size"),
    ("theory.mask", "theory.mask_threshold"),
];

/// The new name of a renamed setting; `None` if `old` was not renamed.
pub fn new_name(old: &str) -> Option<&'static str> {
    RENAMED.iter().find(|(name, _)| *name == old).map(|(_, new)| *new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::find_setting;

    #[test]
    fn old_names_lead_to_settings_and_are_none() {
        let is_setting = |key: &str| find_setting::all().any(|setting| setting.key == key);
        for (old, new) in RENAMED {
            assert!(!is_setting(old) && is_setting(new), "{old} -> {new}");
        }
    }
}
