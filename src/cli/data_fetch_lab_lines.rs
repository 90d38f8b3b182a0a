//! The lines for `lab.toml` that use a fetched data set.

use std::path::{Path, PathBuf};

use super::data_fetch_listing::size_in_words;
use crate::config::Lab;
use crate::config::experiment_name::ExperimentName;
use crate::dataset::published_sets::PublishedSet;

/// Its settings suit small real images: zero padding, and machines that scale to thousands of them.
const BASE: &str = "fashion-attention";

/// The same without it.
const WITHOUT_BASE: &str = "\
network.padding = \"zeros\"
network.kernels = [3, 3, 3]
training.batch = 32
training.steps = 4000
theory.machines = [\"ideal\", \"wiener\", \"ls\", \"bbels\", \"attention-trajectory\"]
preview.seeds = 2
compare.seeds = 20
calibrate.seeds = 4";

/// An experiment on a set in `folder`, in TOML. `root` is the directory of the lab file, from which relative paths start.
/// Without a lab file that has it, the experiment has no base.
pub fn lab_lines(set: &PublishedSet, folder: &Path, root: &Path, lab: Option<&Lab>) -> String {
    let file = |name: &str| toml_text(&relative(&folder.join(name), root).to_string_lossy());
    let mut lines = vec![
        format!(
            "# {}: {} images of {}, licence: {}; {}",
            set.about,
            set.images,
            size_in_words(set),
            set.licence,
            set.by
        ),
        format!("[experiment.{}]", free_name(set, lab)),
    ];
    // The built-in file is not there when these lines become the first ones of a new one.
    let has_base = lab.is_some_and(|lab| lab.path.is_some() && lab.experiment(BASE).is_ok());
    lines.push(if has_base { format!("base = \"{BASE}\"") } else { WITHOUT_BASE.to_owned() });
    lines.push(format!("description = {}", toml_text(&set.about)));
    lines.push(format!("dataset.kind = \"{}\"", set.kind));
    lines.push(format!("dataset.path = {}", file(&set.path)));
    if let Some(labels) = &set.labels {
        lines.push(format!("dataset.labels = {}", file(labels)));
    }
    lines.push("dataset.n = 1000  # 0: all of them".to_owned());
    lines.push("dataset.size = 32".to_owned());
    lines.join("\n")
}

/// The names of the experiments whose data are in `folder`.
pub fn users<'a>(folder: &Path, lab: Option<&'a Lab>) -> Vec<&'a str> {
    let is_below = |path: &Path| {
        let place = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        place(path).starts_with(place(folder))
    };
    let experiments = lab.map_or(&[][..], |lab| &lab.experiments);
    let uses = experiments.iter().filter(|experiment| {
        experiment.dataset.path.as_ref().is_some_and(|path| is_below(&experiment.path(path)))
    });
    uses.map(|experiment| &*experiment.name).collect()
}

/// The set's name, or with a number if the lab has an experiment of that name.
fn free_name(set: &PublishedSet, lab: Option<&Lab>) -> ExperimentName {
    let own = ExperimentName::like(&set.name);
    let is_free = |name: &ExperimentName| lab.is_none_or(|lab| lab.experiment(name).is_err());
    let numbered = (2..).map(|number| own.with_suffix(&number.to_string()));
    std::iter::once(own.clone()).chain(numbered).find(is_free).unwrap_or(own.clone())
}

/// A path from `root`, if it is below.
fn relative(path: &Path, root: &Path) -> PathBuf {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let path = absolute(path);
    path.strip_prefix(absolute(root)).map(Path::to_owned).unwrap_or(path)
}

fn toml_text(text: &str) -> String {
    toml::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BUILT_IN;
    use crate::config::lab_file;
    use crate::dataset::published_sets;

    fn read(text: &str) -> Lab {
        lab_file::read(text, Path::new("lab.toml"), Path::new("/lab"), None).unwrap()
    }

    #[test]
    fn the_lines_of_every_set_are_an_experiment_with_and_without_a_base() {
        for base in [BUILT_IN, ""] {
            let mut lab = read(base);
            lab.path = Some("/lab/lab.toml".into());
            for set in &published_sets::all().sets {
                let folder = Path::new("/lab").join(published_sets::folder_of(set));
                let lines = lab_lines(set, &folder, Path::new("/lab"), Some(&lab));
                let both = read(&format!("{base}\n{lines}\n"));
                let experiment = both.experiments.last().unwrap();
                experiment.check().unwrap();
                assert_eq!(experiment.dataset.kind.to_string(), set.kind);
                let path = experiment.path(experiment.dataset.path.as_ref().unwrap());
                assert_eq!(path, folder.join(&set.path));
                assert!(lines.contains("dataset.path = \"datasets/"), "{lines}");
                assert_eq!(lines.contains("base ="), !base.is_empty(), "{lines}");
                assert!(users(&folder, Some(&both)).contains(&&*experiment.name));
            }
        }
    }

    #[test]
    fn names_are_new_and_paths_elsewhere_absolute_and_quoted() {
        let set = published_sets::all().find("mnist").unwrap();
        let lab = read("[experiment.mnist]\ndataset.n = 3\n");
        let lines = lab_lines(set, Path::new("/data/a \"b\""), Path::new("/lab"), Some(&lab));
        assert!(lines.contains("[experiment.mnist-2]"), "{lines}");
        let both = read(&format!("[experiment.mnist]\n{lines}"));
        let path = both.experiments[1].dataset.path.clone().unwrap();
        assert_eq!(path, Path::new("/data/a \"b\"/train-images-idx3-ubyte.gz"));
    }
}
