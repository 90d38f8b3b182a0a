//! `data export`: the training images of an experiment as arrays that other programs read, and this one too.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use crate::arrays::{ArrayWriter, FileFormat, Numbers};
use crate::dataset::Dataset;
use crate::files::{check_output, write_output};
use crate::image::from_byte;

/// The values that images are written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ExportedValues {
    /// Bytes 0 to 255 (uint8), as the lab holds them.
    #[default]
    Bytes,
    /// Single precision from -1 to 1, as networks are given them.
    Signed,
}

#[derive(Clone, Debug, Args)]
pub struct ExportArgs {
    /// An experiment of the lab file, or images, as 'mosaic data show' takes them.
    pub dataset: String,
    /// A .npz or .safetensors file for 'images' [count, channels, height, width] and, if there are any, 'labels'.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Change a setting (dataset.n, dataset.path, ...); repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
    /// Only the first so many images.
    #[arg(long, value_name = "N")]
    pub images: Option<usize>,
    /// How the images are written.
    #[arg(long, value_enum, default_value_t)]
    pub values: ExportedValues,
    /// Replace an existing file.
    #[arg(long)]
    pub force: bool,
}

/// Refuses an output that cannot be written, before the images are read.
///
/// # Errors
///
/// If the name has another ending, if the file is there and may not be replaced, or if no file can be made there.
pub fn format_of_output(args: &ExportArgs) -> Result<FileFormat> {
    let path = &args.out;
    let Some(format) = FileFormat::of_path(path) else {
        bail!("'{}' must end in .npz or .safetensors", path.display());
    };
    if path.exists() && !args.force {
        bail!("'{}' already exists; use --force to replace it", path.display());
    }
    check_output(path).with_context(|| format!("writing '{}'", path.display()))?;
    Ok(format)
}

/// Writes a data set.
///
/// # Errors
///
/// If the file cannot be written.
pub fn write(
    dataset: &Dataset,
    values: ExportedValues,
    format: FileFormat,
    out: &Path,
) -> Result<()> {
    let shape = dataset.shape();
    let sizes = [dataset.len(), shape.channels, shape.height, shape.width];
    let (numbers, range) = match values {
        ExportedValues::Bytes => (Numbers::U8(dataset.pixels().to_vec()), "0..255"),
        ExportedValues::Signed => {
            let signed = dataset.pixels().iter().map(|&byte| from_byte(byte) as f32);
            (Numbers::F32(signed.collect()), "-1..1")
        }
    };
    let mut writer = ArrayWriter::new()
        .array("images", &sizes, numbers)
        .word("dataset", &dataset.name)
        .word("array_layout", "nchw")
        .word("value_range", range);
    if let Some(labels) = dataset.labels() {
        let labels: Vec<i64> = labels.iter().map(|&label| i64::from(label)).collect();
        writer = writer.array("labels", &[labels.len()], Numbers::I64(labels));
    }
    write_output(out, &writer.into_bytes(format))
        .with_context(|| format!("writing '{}'", out.display()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dataset::array_images::ArraySource;
    use crate::dataset::array_layout::ArrayLayout;
    use crate::dataset::{DatasetSource, Selection, open};
    use crate::image::ImageShape;

    proptest! {
        #[test]
        fn an_exported_set_reads_back_with_the_same_pixels(
            sides in (1_usize..6, 1_usize..6),
            channels in prop::sample::select(vec![1_usize, 3]),
            labels in proptest::option::of(proptest::collection::vec(any::<u8>(), 3)),
            seed in any::<u8>(),
            signed in any::<bool>(),
            is_npz in any::<bool>(),
        ) {
            let shape = ImageShape::new(channels, sides.0, sides.1);
            let n = if labels.is_some() { 3 } else { 2 };
            let pixels: Vec<u8> =
                (0..n * shape.n_values()).map(|i| (i as u8).wrapping_mul(37) ^ seed).collect();
            let dataset = Dataset::new("set", shape, pixels, labels);
            let place = tempfile::tempdir().unwrap();
            let path = place.path().join(if is_npz { "x.npz" } else { "x.safetensors" });
            let values = if signed { ExportedValues::Signed } else { ExportedValues::Bytes };
            write(&dataset, values, FileFormat::of_path(&path).unwrap(), &path).unwrap();
            let range = if signed { "-1..1" } else { "0..255" }.parse().unwrap();
            // Small images may have sides of 1 and 3 pixels, which leave the layout open.
            let source = ArraySource { path, range, layout: ArrayLayout::Nchw, ..ArraySource::default() };
            let read = open("set", &DatasetSource::Arrays(source), Selection::all()).unwrap();
            prop_assert_eq!(read.shape(), shape);
            prop_assert_eq!(read.pixels(), dataset.pixels());
            prop_assert_eq!(read.labels(), dataset.labels());
        }
    }
}
