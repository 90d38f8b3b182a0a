//! Finds the classes of a folder of images: its sub-folders with images, numbered in the order of their names.
//!
//! What may not be meant as classes is said in notices: parts of a split data set, sub-folders without images, and
//! folders that links name twice.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::folder_survey::Survey;

/// Labels are bytes.
const CLASSES_MAX: usize = 256;

/// The sub-folders of a folder that hold images.
pub struct FolderClasses {
    /// Each with its images, in the order of the names.
    classes: Vec<(PathBuf, Vec<PathBuf>)>,
    /// Sub-folders without images.
    empty: Vec<String>,
    /// Sub-folders that are the same one.
    pub notices: Vec<String>,
}

/// Images with classes.
pub struct Labelled {
    pub images: Vec<PathBuf>,
    /// The class of each image; `None` if there are too many classes.
    pub labels: Option<Vec<u8>>,
    /// The name of each class that has labels.
    pub names: Vec<String>,
    pub notices: Vec<String>,
}

/// True for a typical name of a part of a split data set.
pub(super) fn is_split(folder: &Path) -> bool {
    SPLITS.contains(&name(folder).to_lowercase().as_str())
}

fn name(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

impl FolderClasses {
    /// Lists the images of `folders`, the sub-folders of `path`.
    ///
    /// # Errors
    ///
    /// If `path` cannot be resolved.
    pub fn find(survey: &mut Survey<'_>, path: &Path, folders: &[PathBuf]) -> io::Result<Self> {
        let root = fs::canonicalize(path)?;
        let (mut classes, mut empty, mut notices) = (Vec::new(), Vec::new(), Vec::new());
        let mut seen: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
        for folder in folders {
            let place = fs::canonicalize(folder).unwrap_or_else(|_| folder.clone());
            if root.starts_with(&place) {
                survey.leave_out("links to a folder above them", folder);
                continue;
            }
            if let Some(first) = seen.insert(place, folder.clone()) {
                notices.push(format!(
                    "'{}' and '{}' are the same folder, whose images are taken twice",
                    first.display(),
                    folder.display()
                ));
            }
            let Some(found) = survey.class(folder) else { continue };
            match found.is_empty() {
                true => empty.push(survey.relative(folder).display().to_string()),
                false => classes.push((folder.clone(), found)),
            }
        }
        Ok(Self { classes, empty, notices })
    }

    /// The images of all classes.
    pub fn images(&self) -> impl Iterator<Item = &PathBuf> {
        self.classes.iter().flat_map(|(_, images)| images)
    }

    /// The images of all classes, with the class of each.
    pub fn into_labelled(self) -> Labelled {
        let Self { classes, empty, mut notices } = self;
        notices.extend(without_images(&empty, classes.len()));
        notices.extend(splits(&classes));
        let labels = labels(&classes);
        if labels.is_none() {
            notices.push(format!(
                "'{}' sub-folders hold images, more than the '{CLASSES_MAX}' classes that there can be: images have \
                 no labels",
                classes.len()
            ));
        }
        let names =
            labels.iter().flat_map(|_| classes.iter().map(|(folder, _)| name(folder))).collect();
        let images = classes.into_iter().flat_map(|(_, images)| images).collect();
        Labelled { images, labels, names, notices }
    }
}

/// Typical folder names for the parts of a split data set, in lower case.
const SPLITS: [&str; 10] = [
    "train",
    "training",
    "test",
    "testing",
    "val",
    "valid",
    "validation",
    "dev",
    "eval",
    "holdout",
];

/// A notice if there are at least two classes and all have names of splits, one of which should usually be left
/// out.
fn splits(classes: &[(PathBuf, Vec<PathBuf>)]) -> Option<String> {
    let names: Vec<String> = classes.iter().map(|(folder, _)| name(folder)).collect();
    (names.len() > 1 && classes.iter().all(|(folder, _)| is_split(folder))).then(|| {
        format!(
            "the sub-folders '{}' look like parts of a set, but are taken for classes, images for tests included; set \
             dataset.split to the one to train on",
            names.join("', '")
        )
    })
}

/// The class of each image; `None` if there are too many classes.
fn labels(classes: &[(PathBuf, Vec<PathBuf>)]) -> Option<Vec<u8>> {
    let of = |(class, (_, images)): (usize, &(PathBuf, Vec<_>))| vec![class as u8; images.len()];
    (classes.len() <= CLASSES_MAX).then(|| classes.iter().enumerate().flat_map(of).collect())
}

/// A notice that names sub-folders without images, if there are any beside `n_classes` others.
fn without_images(empty: &[String], n_classes: usize) -> Option<String> {
    (!empty.is_empty()).then(|| {
        format!(
            "sub-folders without images: {} of {} ('{}'{}); they are no classes, and labels number the others",
            empty.len(),
            empty.len() + n_classes,
            empty[..empty.len().min(3)].join("', '"),
            if empty.len() > 3 { ", ..." } else { "" }
        )
    })
}
