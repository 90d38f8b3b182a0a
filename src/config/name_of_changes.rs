//! What tells a run from others of its experiment, as a part of its name: the settings that differ from the experiment's in
//! lab.toml.

use super::Experiment;
use super::find_setting;
use super::setting_value::Value;

/// Most characters of the words, and of the value of one setting.
const WORDS_MAX: usize = 40;
const VALUE_MAX: usize = 20;
/// Sections whose settings do not change what is trained or predicted, so that names leave them out.
const LEFT_OUT: [&str; 3] = ["preview.", "compare.", "calibrate."];

/// The settings in which `changed` differs from `base`, joined by hyphens: `width64-seed2`. Empty if there are none.
/// Settings that do not fit are left out.
pub fn changes_in_words(base: &Experiment, changed: &Experiment) -> String {
    let differs = |setting: &&'static find_setting::Setting| {
        let is_left_out = LEFT_OUT.iter().any(|section| setting.key.starts_with(section));
        !is_left_out && (setting.get)(base) != (setting.get)(changed)
    };
    let all: Vec<_> = find_setting::all().filter(differs).collect();
    // A path says what data it is without its kind.
    let has_path = all.iter().any(|setting| setting.key == "dataset.path");
    let all = all.iter().filter(|setting| !(has_path && setting.key == "dataset.kind"));
    let words = all.map(|setting| word(setting.key, &(setting.get)(changed)));
    let mut joined = String::new();
    for word in words.filter(|word| !word.is_empty()) {
        let gap = usize::from(!joined.is_empty());
        if joined.len() + gap + word.len() <= WORDS_MAX {
            joined += &"-"[..gap];
            joined += &word;
        }
    }
    joined
}

/// One setting: `width64`, `rate0.002`, `no_attention`, `top1`.
fn word(key: &'static str, value: &Value) -> String {
    match (key, value) {
        ("dataset.path" | "dataset.labels", Value::Text(path)) => {
            let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or(path);
            safe(name.split('.').find(|part| !part.is_empty()).unwrap_or(""))
        }
        ("network.attention", Value::Text(text)) if text == "none" => "cnn".to_owned(),
        (_, Value::Text(text)) if text == "none" => format!("no_{}", short(key)),
        (_, Value::Text(text)) => safe(text),
        (_, Value::Boolean(false)) => format!("no_{}", short(key)),
        (_, Value::Boolean(true)) => short(key),
        _ => {
            let value = value.plain().replace(", ", "_");
            format!("{}{}", short(key), safe(value.trim_matches(['[', ']'])))
        }
    }
}

/// The last part of a key, with that of its section if other sections have such a setting too.
fn short(key: &'static str) -> String {
    let last = |key: &'static str| key.rsplit_once('.').map_or(key, |(_, last)| last);
    match key {
        "training.seed" => "seed".to_owned(),
        "training.learning_rate" => "rate".to_owned(),
        _ if find_setting::all().filter(|other| last(other.key) == last(key)).count() == 1 => {
            last(key).to_owned()
        }
        _ => key.replace('.', "_"),
    }
}

/// The text with other characters than names of directories have replaced by `_`, cut if it is long.
fn safe(text: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' };
    text.chars().take(VALUE_MAX).map(safe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(pairs: &[&str]) -> String {
        let base = Experiment::default();
        let mut changed = base.clone();
        pairs.iter().for_each(|pair| changed.set_pair(pair).unwrap());
        changes_in_words(&base, &changed)
    }

    #[test]
    fn names_say_what_differs() {
        assert_eq!(words(&[]), "");
        assert_eq!(words(&["network.attention=none"]), "cnn");
        assert_eq!(words(&["training.seed=2", "network.width=24"]), "width24-seed2");
        assert_eq!(words(&["training.learning_rate=0.002"]), "rate0.002");
        assert_eq!(words(&["network.kernels=3,1,1"]), "kernels3_1_1");
        assert_eq!(words(&["compare.seeds=7", "preview.every=9"]), "");
    }

    #[test]
    fn runs_on_own_data_are_named_after_the_file_or_folder() {
        let set = |path: &str| words(&["dataset.kind=folder", &format!("dataset.path={path}")]);
        assert_eq!(set("/data/my photos/"), "my_photos");
        assert_eq!(set("../train-images.idx3.gz"), "train_images");
        assert_eq!(set(".."), "");
    }

    #[test]
    fn names_stay_short_and_safe() {
        let long = format!("dataset.path={}", "x/\u{e4}\n".repeat(90));
        let found = words(&[
            "network.width=24",
            "training.steps=7",
            "training.batch=3",
            &long,
            "training.seed=9",
        ]);
        assert!(
            found.len() <= WORDS_MAX
                && found.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)),
            "{found}"
        );
    }
}
