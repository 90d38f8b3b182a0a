//! Folders of PNG and JPEG images, as torchvision's `ImageFolder` has them: below sub-folders, each a class, or all in one.
//!
//! Of every image the square in its middle is taken and resized with a triangle filter that widens when images shrink
//! (antialiasing, as PIL's bilinear does). Images come in the order of their names; transparency is ignored; where every
//! image is grey there is one channel.

use std::fs;
use std::path::{Path, PathBuf};

use ::image::imageops::{FilterType, crop_imm, resize};
use rayon::prelude::*;

use super::source::DatasetError;
use super::{Dataset, decode};
use crate::image::ImageShape;

/// The images' files and, below sub-folders, their classes in the order of the sub-folders' names.
pub struct Folder {
    files: Vec<PathBuf>,
    labels: Option<Vec<u8>>,
}

impl Folder {
    /// Lists images without opening them. More than 256 sub-folders are no classes.
    pub fn list(path: &Path) -> Result<Self, DatasetError> {
        let entries = listed(path)?;
        let mut files: Vec<PathBuf> = entries.iter().filter(|e| is_image(e)).cloned().collect();
        let mut labels = None;
        if files.is_empty() {
            let mut classes = Vec::new();
            for folder in entries.iter().filter(|entry| entry.is_dir()) {
                let images: Vec<_> = listed(folder)?.into_iter().filter(|e| is_image(e)).collect();
                if !images.is_empty() {
                    classes.push(images);
                }
            }
            labels = (classes.len() <= 256).then(|| {
                let of = |(class, images): (usize, &Vec<_>)| vec![class as u8; images.len()];
                classes.iter().enumerate().flat_map(of).collect()
            });
            files = classes.into_iter().flatten().collect();
        }
        if files.is_empty() {
            return Err(DatasetError::NoImages { path: path.to_owned() });
        }
        Ok(Self { files, labels })
    }

    pub fn n_images(&self) -> usize {
        self.files.len()
    }

    /// Opens the images of those numbers as squares of `size` pixels.
    pub fn open(&self, name: &str, chosen: &[usize], size: usize) -> Result<Dataset, DatasetError> {
        let images: Vec<(Vec<u8>, bool)> =
            chosen.par_iter().map(|&i| read(&self.files[i], size)).collect::<Result<_, _>>()?;
        let is_grey = images.iter().all(|(_, is_grey)| *is_grey);
        let shape = ImageShape::new(if is_grey { 1 } else { 3 }, size, size);
        let mut pixels = Vec::with_capacity(images.len() * shape.n_values());
        for (planes, _) in &images {
            pixels.extend_from_slice(&planes[..shape.n_values()]);
        }
        let labels = self.labels.as_ref().map(|all| chosen.iter().map(|&i| all[i]).collect());
        Ok(Dataset::new(name, shape, pixels, labels))
    }
}

fn listed(path: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    let failed = |source| DatasetError::Read { path: path.to_owned(), source };
    let entries = fs::read_dir(path).map_err(failed)?;
    let mut paths =
        entries.map(|entry| Ok(entry.map_err(failed)?.path())).collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    Ok(paths)
}

fn is_image(path: &Path) -> bool {
    let end = path.extension().and_then(|end| end.to_str()).unwrap_or("").to_ascii_lowercase();
    ["png", "jpg", "jpeg"].contains(&end.as_str()) && path.is_file()
}

/// An image's three planes, and whether it is grey.
fn read(path: &Path, size: usize) -> Result<(Vec<u8>, bool), DatasetError> {
    let image = decode::open(path)?;
    let is_grey = !image.color().has_color();
    let image = image.into_rgb8();
    let (width, height) = image.dimensions();
    let side = width.min(height);
    let middle = crop_imm(&image, (width - side) / 2, (height - side) / 2, side, side);
    let wanted = size as u32;
    let square = match side == wanted {
        true => middle.to_image(),
        false => resize(&middle.to_image(), wanted, wanted, FilterType::Triangle),
    };
    let planes = (0..3).flat_map(|c| square.pixels().map(move |pixel| pixel.0[c])).collect();
    Ok((planes, is_grey))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::image::{GrayImage, Luma, Rgb, RgbImage};
    use tempfile::TempDir;

    /// Two classes with a wide red and blue image, a grey one and two that are not images.
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
        let data = listed.open("mine", &[0, 1, 2], 4).unwrap();
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
        let data = listed.open("mine", &[0, 1], 2).unwrap();
        assert_eq!((data.shape(), data.labels()), (ImageShape::new(1, 2, 2), None));
        // What shrinks is averaged, not picked.
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
        assert!(says(&folder.path().join("empty")).contains("no PNG or JPEG"));
        assert!(says(&folder.path().join("gone")).contains("cannot read"));
        fs::write(folder.path().join("a/a.png"), b"\x89PNG\r\n\x1a\nbroken").unwrap();
        let listed = Folder::list(folder.path()).unwrap();
        let error = listed.open("mine", &[0], 4).unwrap_err().to_string();
        assert!(error.contains("a.png"), "{error}");
    }
}
