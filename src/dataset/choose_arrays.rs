//! Which arrays of a file are the images and the labels, if the settings do not name them.

use crate::arrays::{ArrayFile, ArrayInfo, called};

/// Usual names of images, each with the usual name of their labels. Of several that a file has, the first is taken if it
/// is that of a training part, otherwise the user has to choose.
const PAIRS: [(&str, &[&str]); 13] = [
    ("images", &["labels", "label", "targets", "classes", "y"]),
    ("image", &["labels", "label"]),
    ("x_train", &["y_train", "train_labels"]),
    ("X_train", &["y_train", "Y_train", "train_labels"]),
    ("train_images", &["train_labels"]),
    ("train_x", &["train_y"]),
    ("x", &["y", "labels"]),
    ("X", &["y", "Y", "labels"]),
    ("data", &["labels", "targets", "target", "y"]),
    ("arr_0", &["arr_1"]),
    ("samples", &["labels"]),
    ("pixels", &["labels"]),
    ("", &[]),
];

/// Names that mark the training part of a set whose file has the other parts too.
fn is_training_part(name: &str) -> bool {
    name.to_lowercase().contains("train")
}

fn can_be_images(info: &ArrayInfo) -> bool {
    info.element.is_ok() && matches!(info.shape.len(), 3 | 4)
}

/// True for integers `[n]` or `[n, 1]`.
fn can_be_labels(info: &ArrayInfo, n: usize) -> bool {
    info.element.as_ref().is_ok_and(|element| !element.is_float())
        && (info.shape == [n] || info.shape == [n, 1])
}

/// The name of the array of images.
///
/// # Errors
///
/// If several arrays may be meant, or none, in words that follow the file's name.
pub fn images(file: &ArrayFile) -> Result<&ArrayInfo, String> {
    let candidates: Vec<&ArrayInfo> = file.arrays().filter(|info| can_be_images(info)).collect();
    let known: Vec<&ArrayInfo> = PAIRS
        .iter()
        .filter_map(|(name, _)| candidates.iter().find(|info| info.name == *name).copied())
        .collect();
    let training: Vec<&ArrayInfo> =
        known.iter().filter(|info| is_training_part(&info.name)).copied().collect();
    match (&candidates[..], &known[..], &training[..]) {
        ([only], ..) | (_, _, [only]) | (_, [only], _) => Ok(only),
        ([], ..) => Err(no_images(file)),
        _ => Err(format!(
            "several of its arrays may be the images; set dataset.array to the name of one: {}",
            file.listing()
        )),
    }
}

fn no_images(file: &ArrayFile) -> String {
    let unread = file.arrays().find_map(|info| Some((info, info.element.as_ref().err()?)));
    let is_flat = file.arrays().any(|info| info.element.is_ok() && info.shape.len() == 2);
    let advice = match unread {
        Some((info, problem)) => format!("; {}: {problem}", called(&info.name)),
        None if is_flat => "; reshape flat images to [count, height, width]".to_owned(),
        None => String::new(),
    };
    format!(
        "it holds no array of images (numbers in 3 or 4 axes); it holds {}{advice}",
        file.listing()
    )
}

/// The name of the array of labels of `n` images called `images`; `None` if there is none.
///
/// # Errors
///
/// If several arrays may be meant, or if the one that is called like labels has another length, in words that follow the
/// file's name.
pub fn labels<'a>(
    file: &'a ArrayFile,
    images: &str,
    n: usize,
) -> Result<Option<&'a ArrayInfo>, String> {
    let usual = PAIRS.iter().find(|(name, _)| *name == images).map_or(&[][..], |(_, usual)| usual);
    let named = usual.iter().find_map(|name| file.arrays().find(|info| info.name == *name));
    if let Some(named) = named {
        return match can_be_labels(named, n) {
            true => Ok(Some(named)),
            // The second array of a file without names may be anything.
            false if images == "arr_0" => Ok(None),
            false => Err(format!(
                "its array '{}' is called like labels, but {n} integers are needed for the images; it holds {}; set \
                 dataset.label_array to another name, or to 'none'",
                named.name,
                file.listing()
            )),
        };
    }
    let others: Vec<&ArrayInfo> = file.arrays().filter(|info| can_be_labels(info, n)).collect();
    match others[..] {
        [] => Ok(None),
        [only] => Ok(Some(only)),
        _ => Err(format!(
            "several of its arrays may be the labels; set dataset.label_array to the name of one, or to 'none': {}",
            file.listing()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrays::{ArrayWriter, FileFormat, Numbers};

    fn file(arrays: &[(&str, &[usize], bool)]) -> ArrayFile {
        let place = tempfile::NamedTempFile::new().unwrap();
        let writer = arrays.iter().fold(ArrayWriter::new(), |writer, (name, shape, is_float)| {
            let n = shape.iter().product();
            let numbers =
                if *is_float { Numbers::F32(vec![0.0; n]) } else { Numbers::I64(vec![0; n]) };
            writer.array(name, shape, numbers)
        });
        std::fs::write(place.path(), writer.into_bytes(FileFormat::Safetensors)).unwrap();
        ArrayFile::open(place.path()).unwrap()
    }

    #[test]
    fn images_and_labels_are_found_by_shape_and_name() {
        let image = &[2, 4, 4][..];
        for (arrays, expected) in [
            (vec![("anything", image, true)], Ok(("anything", None))),
            (vec![("arr_0", image, true), ("arr_1", &[2], false)], Ok(("arr_0", Some("arr_1")))),
            (vec![("arr_0", image, true), ("arr_1", &[5], true)], Ok(("arr_0", None))),
            (
                vec![
                    ("x_test", image, true),
                    ("x_train", image, true),
                    ("y_train", &[2, 1], false),
                    ("y_test", &[2], false),
                ],
                Ok(("x_train", Some("y_train"))),
            ),
            (vec![("images", image, true), ("noise", image, true)], Ok(("images", None))),
            (vec![("mine", image, true), ("ids", &[2], false)], Ok(("mine", Some("ids")))),
            (vec![("images", image, true), ("data", image, true)], Err("dataset.array")),
            (vec![("one", image, true), ("two", image, true)], Err("'one' [2, 4, 4] float32")),
            (vec![("x", &[2, 16], true)], Err("reshape flat images")),
            (vec![("x", image, true), ("y", &[3], false)], Err("called like labels")),
            (
                vec![("mine", image, true), ("a", &[2], false), ("b", &[2], false)],
                Err("may be the labels"),
            ),
        ] {
            let file = file(&arrays);
            let found = images(&file).and_then(|info| {
                let labels = labels(&file, &info.name, info.shape[0])?;
                Ok((info.name.clone(), labels.map(|info| info.name.clone())))
            });
            match expected {
                Ok((images, labels)) => assert_eq!(
                    found,
                    Ok((images.to_owned(), labels.map(str::to_owned))),
                    "{arrays:?}"
                ),
                Err(words) => assert!(found.unwrap_err().contains(words), "{arrays:?}"),
            }
        }
    }
}
