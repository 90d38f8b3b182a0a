//! Folders of PNG, JPEG and WebP images in the layout of torchvision's `ImageFolder`: one sub-folder per class, or
//! all images in one folder.
//!
//! Every image is made a square ([`super::fit_to_square`]), turned as its EXIF orientation asks. Images are in the order of their names; transparency is ignored; if
//! every image is grey, there is one channel.
//!
//! Everything that is not an image of the set is counted (`folder_survey.rs`) and reported in the data set's notices.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::cifar;
use super::error::{DatasetError, Failures};
use super::fit_to_square::Fit;
use super::folder_classes::{FolderClasses, Labelled, is_split};
use super::folder_survey::{Listed, Survey};
use super::image_set::Dataset;
use super::pictures_to_pixels::{classes_in_words, given_up, sizes, stacked};
use super::png_jpeg_webp::{self, Picture};

/// The image files and, with sub-folders, their classes in the order of the sub-folders' names.
pub struct Folder {
    files: Vec<PathBuf>,
    labels: Option<Vec<u8>>,
    /// The names of the classes, by label.
    classes: Vec<String>,
    notices: Vec<String>,
    /// Folders that cannot be listed, with the reason.
    failures: Vec<(PathBuf, String)>,
}

impl Folder {
    /// Lists images without decoding them. If there are images both in the folder and in its sub-folders, the
    /// larger group is used.
    ///
    /// # Errors
    ///
    /// If the folder cannot be listed or contains no images.
    pub fn list(path: &Path) -> Result<Self, DatasetError> {
        let failed = DatasetError::reading(path);
        let mut survey = Survey::new(path);
        let Listed { images, folders } = survey.listed(path).map_err(&failed)?;
        let classes = FolderClasses::find(&mut survey, path, &folders).map_err(&failed)?;
        let n_below = classes.images().count();
        let Labelled { images: files, labels, names, mut notices } =
            if n_below > 0 && n_below >= images.len() {
                for image in &images {
                    survey.leave_out("images beside the class folders", image);
                }
                classes.into_labelled()
            } else {
                for image in classes.images() {
                    let reason = "images in sub-folders, which are fewer than those beside them";
                    survey.leave_out(reason, image);
                }
                Labelled { images, labels: None, names: Vec::new(), notices: classes.notices }
            };
        let Survey { left_out, failures, .. } = survey;
        notices.extend(left_out.notices());
        if files.is_empty() && failures.is_empty() {
            let cifar = folders
                .iter()
                .find(|folder| cifar::is_likely(folder))
                .map(|folder| format!("'{}' holds CIFAR, name that instead", folder.display()));
            let split = folders.iter().find(|folder| is_split(folder)).map(|folder| {
                let name = folder.file_name().unwrap_or_default().to_string_lossy();
                format!("'{name}' may be a part of the set, set dataset.split to it")
            });
            let found: String = cifar
                .into_iter()
                .chain(split)
                .chain(notices)
                .map(|words| format!("; {words}"))
                .collect();
            return Err(DatasetError::NoImages { path: path.to_owned(), found });
        }
        Ok(Self { files, labels, classes: names, notices, failures })
    }

    pub fn n_images(&self) -> usize {
        self.files.len()
    }

    /// Opens the images with the indices `chosen` as squares.
    ///
    /// # Errors
    ///
    /// Lists all images that cannot be used.
    pub fn open(&self, name: &str, chosen: &[usize], fit: Fit) -> Result<Dataset, DatasetError> {
        let read =
            |&i: &usize| png_jpeg_webp::read(&self.files[i], fit).map_err(|reason| (i, reason));
        let read: Vec<Result<Picture, (usize, String)>> = chosen.par_iter().map(read).collect();
        let mut failures = self.failures.clone();
        let mut pictures = Vec::with_capacity(read.len());
        for each in read {
            match each {
                Ok(picture) => pictures.push(picture),
                Err((i, reason)) => failures.push((self.files[i].clone(), reason)),
            }
        }
        if !failures.is_empty() {
            return Err(DatasetError::Images { failures: Failures(failures) });
        }
        let (shape, pixels) = stacked(&pictures, fit);
        let labels = self.labels.as_ref().map(|all| chosen.iter().map(|&i| all[i]).collect());
        let notices = [self.notices.clone(), given_up(&pictures)].concat();
        let classes = classes_in_words("sub-folders in the order of their names", &self.classes);
        let facts = sizes(&pictures, fit).into_iter().chain(classes).collect();
        Ok(Dataset::new(name, shape, pixels, labels).with_notices(notices).with_facts(facts))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::image::ImageShape;
    use ::image::{GrayImage, Luma, Rgb, RgbImage};
    use tempfile::TempDir;

    /// Two classes with a wide red and blue image, a grey one, and two files that are not images.
    fn classes() -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for class in ["b", "a", "empty"] {
            fs::create_dir(folder.path().join(class)).unwrap();
        }
        let wide =
            RgbImage::from_fn(8, 4, |x, _| if x < 4 { Rgb([255, 0, 0]) } else { Rgb([0, 0, 255]) });
        wide.save(folder.path().join("b/wide.png")).unwrap();
        RgbImage::from_pixel(9, 9, Rgb([10, 200, 30])).save(folder.path().join("a/z.JPG")).unwrap();
        GrayImage::from_pixel(4, 4, Luma([77])).save(folder.path().join("a/grey.png")).unwrap();
        fs::write(folder.path().join("a/notes.txt"), "no image").unwrap();
        fs::write(folder.path().join("readme"), "nor this").unwrap();
        folder
    }

    #[test]
    fn sub_folders_are_classes_and_images_are_squares_of_their_middles() {
        let folder = classes();
        let listed = Folder::list(folder.path()).unwrap();
        let data = listed.open("mine", &[0, 1, 2], Fit::to(4)).unwrap();
        assert_eq!(
            (data.shape(), data.labels().unwrap()),
            (ImageShape::new(3, 4, 4), &[0, 0, 1][..])
        );
        assert!(data.image(0).iter().all(|&value| value == 77));
        let jpeg = [10, 200, 30].iter().zip(data.image(1).chunks(16));
        for (&value, plane) in jpeg {
            assert!(plane.iter().all(|&found| found.abs_diff(value) <= 3), "{plane:?}");
        }
        let [red, _, blue] = [0, 1, 2].map(|c| data.image(2)[16 * c..][..16].to_vec());
        assert_eq!((&red[..4], &blue[..4]), (&[255, 255, 0, 0][..], &[0, 0, 255, 255][..]));
    }

    #[test]
    fn images_of_one_folder_have_no_classes_and_grey_ones_one_channel() {
        let folder = classes();
        let grey = GrayImage::from_fn(4, 4, |x, _| Luma([if x % 2 == 0 { 0 } else { 200 }]));
        let path = folder.path().join("a");
        grey.save(path.join("also.png")).unwrap();
        let listed = Folder::list(&path).unwrap();
        assert_eq!(listed.n_images(), 3);
        let data = listed.open("mine", &[0, 1], Fit::to(2)).unwrap();
        assert_eq!((data.shape(), data.labels()), (ImageShape::new(1, 2, 2), None));
        // Shrinking averages pixels instead of picking them.
        assert!(
            data.image(0).iter().all(|value| (60..=140).contains(value)),
            "{:?}",
            data.image(0)
        );
    }

    #[test]
    fn what_holds_no_images_or_broken_ones_is_refused_by_name() {
        let folder = classes();
        let says = |path: &Path| Folder::list(path).err().unwrap().to_string();
        assert!(says(&folder.path().join("empty")).contains("no PNG, JPEG or WebP"));
        assert!(says(&folder.path().join("gone")).contains("cannot read"));
        fs::write(folder.path().join("a/a.png"), b"\x89PNG\r\n\x1a\nbroken").unwrap();
        let listed = Folder::list(folder.path()).unwrap();
        let error = listed.open("mine", &[0], Fit::to(4)).unwrap_err().to_string();
        assert!(error.contains("a.png"), "{error}");
    }

    /// A grey image of 2x2 pixels.
    fn image(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        GrayImage::from_pixel(2, 2, Luma([9])).save(path).unwrap();
    }

    fn opened(folder: &TempDir) -> Dataset {
        let listed = Folder::list(folder.path()).unwrap();
        let all: Vec<usize> = (0..listed.n_images()).collect();
        listed.open("mine", &all, Fit::to(2)).unwrap()
    }

    #[test]
    fn parts_of_a_set_that_are_taken_for_classes_are_said() {
        for (names, is_said) in [
            (&["train", "test"][..], true),
            (&["Train", "val", "TEST"], true),
            (&["train", "validation"], true),
            (&["train"], false),
            (&["train", "plane"], false),
        ] {
            let folder = tempfile::tempdir().unwrap();
            names.iter().for_each(|name| image(&folder.path().join(name).join("1.png")));
            let notices = opened(&folder).notices().join("\n");
            assert_eq!(notices.contains("look like parts of a set"), is_said, "{names:?}");
        }
    }

    #[test]
    fn animations_and_turned_images_are_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1.png");
        image(&path);
        let plain = fs::read(&path).unwrap();
        let chunk = |name: &[u8], data: &[u8]| {
            let sum = crc32fast::hash(&[name, data].concat()).to_be_bytes();
            [&(data.len() as u32).to_be_bytes()[..], name, data, &sum].concat()
        };
        let turned = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
        // Inserted after IHDR.
        let chunks = [
            chunk(b"acTL", &[0, 0, 0, 2, 0, 0, 0, 0]),
            chunk(b"fcTL", &[&[0; 7][..], &[2, 0, 0, 0, 2], &[0; 14]].concat()),
            chunk(b"eXIf", turned),
        ];
        fs::write(&path, [&plain[..33], &chunks.concat(), &plain[33..]].concat()).unwrap();
        let notices = opened(&folder).notices().join("\n");
        assert!(notices.contains("of 1 images 1 stored turned or mirrored"), "{notices}");
        assert!(notices.contains("of 1 images 1 with further frames"), "{notices}");
    }

    #[test]
    fn hidden_entries_and_litter_are_passed_over_without_a_word() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a/1.png", "b/1.png", ".hidden/1.png", "__MACOSX/1.png", "@eaDir/1.png"] {
            image(&folder.path().join(name));
        }
        for name in ["a/._1.png", "a/Thumbs.db", ".DS_Store", "desktop.ini"] {
            fs::write(folder.path().join(name), "litter").unwrap();
        }
        let data = opened(&folder);
        assert_eq!((data.labels().unwrap(), data.notices()), (&[0, 1][..], &[][..]));
    }

    #[test]
    fn everything_that_is_left_out_is_counted() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["a/1.png", "a/2.png", "b/1.PNG", "cover.png", "b/more/1.png", "b/more/x/2.jpg"]
        {
            image(&at(name));
        }
        fs::create_dir(at("empty")).unwrap();
        fs::copy(at("a/1.png"), at("a/image")).unwrap();
        fs::write(at("a/3.gif"), b"GIF89a").unwrap();
        fs::write(at("a/4.TIFF"), b"").unwrap();
        fs::write(at("labels.csv"), "a,b").unwrap();
        for (to, name) in
            [("/nowhere/5.png", "a/5.png"), ("6.png", "a/6.png"), ("..", "up"), ("../..", "b/up")]
        {
            symlink(to, at(name)).unwrap();
        }
        let _socket = std::os::unix::net::UnixListener::bind(at("a/7.png")).unwrap();
        let data = opened(&folder);
        assert_eq!(data.labels().unwrap(), [0, 0, 1]);
        let notices = data.notices().join("\n");
        for expected in [
            "1 image beside the class folders ('cover.png')",
            "2 images deeper than the class folders ('b/more/1.png', ...)",
            "2 dangling links ('a/5.png', ...)",
            "1 link to a folder above them ('up')",
            "1 link to folders below the class folders ('b/up')",
            "1 special file (a socket) ('a/7.png')",
            "1 image with names that do not end in .png, .jpg, .jpeg or .webp: 1 no ending ('a/image')",
            "2 images in formats other than PNG, JPEG and WebP: 1 .tiff ('a/4.TIFF'), 1 GIF image ('a/3.gif')",
            "1 other file: 1 .csv ('labels.csv')",
            "sub-folders without images: 1 of 3 ('empty')",
        ] {
            assert!(notices.contains(expected), "'{expected}' is not in\n{notices}");
        }
    }

    #[test]
    fn of_images_beside_and_below_the_more_are_taken_and_the_others_counted() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["1.png", "2.png", "thumbs/1.png"] {
            image(&folder.path().join(name));
        }
        let data = opened(&folder);
        assert_eq!((data.len(), data.labels()), (2, None));
        assert!(data.notices()[0].contains("1 image in sub-folders"), "{:?}", data.notices());
    }

    #[test]
    fn all_unreadable_images_are_named_at_once() {
        let folder = tempfile::tempdir().unwrap();
        image(&folder.path().join("1.png"));
        for (name, bytes) in [("2.jpg", &b""[..]), ("3.jpg", b"GIF89a"), ("4.png", b"<html>")] {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        let listed = Folder::list(folder.path()).unwrap();
        let error = listed.open("mine", &[0, 1, 2, 3], Fit::to(2)).unwrap_err().to_string();
        for expected in
            ["3 files", "2.jpg", "an empty file", "3.jpg", "a GIF image", "4.png", "HTML"]
        {
            assert!(error.contains(expected), "'{error}' lacks '{expected}'");
        }
        // Images that are not chosen are not opened.
        assert!(listed.open("mine", &[0], Fit::to(2)).is_ok());
    }

    #[test]
    fn a_folder_without_images_says_what_it_has_instead() {
        let folder = tempfile::tempdir().unwrap();
        image(&folder.path().join("train/a/1.png"));
        fs::write(folder.path().join("x.gif"), "GIF89a").unwrap();
        let error = Folder::list(folder.path()).err().unwrap().to_string();
        assert!(error.contains("deeper") && error.contains("'train/a/1.png'"), "{error}");
        assert!(error.contains("set dataset.split to it"), "{error}");
        assert!(error.contains("GIF image"), "{error}");
    }

    #[test]
    fn more_sub_folders_than_labels_are_said_to_have_none() {
        let folder = tempfile::tempdir().unwrap();
        for class in 0..257 {
            image(&folder.path().join(format!("{class:03}/1.png")));
        }
        let data = opened(&folder);
        assert_eq!((data.len(), data.labels()), (257, None));
        assert!(data.notices()[0].contains("'257' sub-folders"), "{:?}", data.notices());
    }
}
