//! Traces on disk: `traces/seed-S.safetensors` of a run, one file per seed, replaced as a whole.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use half::f16;
use safetensors::tensor::{Dtype, TensorView};
use thiserror::Error;

use super::trace::{Actor, AttentionTrace, N_LEADING, PosteriorTrace, Trace};
use crate::arrays::safetensors_file::{self, Array, TensorFile};
use crate::files::{FileError, write_atomically};
use crate::image::ImageShape;
use crate::runs::run_dir::RunDir;

const FORMAT: &str = "1";

/// Why a trace file cannot be read or written.
#[derive(Debug, Error)]
pub enum TraceError {
    #[error(transparent)]
    Io(#[from] FileError),
    #[error(
        "'{}' is not a trace that this version can read: {problem}; 'mosaic inspect' recreates it",
        path.display()
    )]
    Format { path: PathBuf, problem: String },
}

/// The path of the trace of a noise seed.
pub fn path_of(run: &RunDir, seed: u64) -> PathBuf {
    run.path().join("traces").join(format!("seed-{seed}.safetensors"))
}

/// The path of the trace of a noise seed under a change of attention.
pub fn path_of_changed(run: &RunDir, seed: u64, change: &str) -> PathBuf {
    run.path().join("traces").join(format!("seed-{seed}-{change}.safetensors"))
}

/// Whether the trace of a noise seed is newer than the run's checkpoints and calibration.
pub fn is_current(run: &RunDir, seed: u64) -> bool {
    let time = |path: &Path| std::fs::metadata(path).and_then(|found| found.modified()).ok();
    let Some(made) = time(&path_of(run, seed)) else { return false };
    let checkpoints = std::fs::read_dir(run.state_path()).into_iter().flatten().flatten();
    let newest = checkpoints.filter_map(|entry| time(&entry.path()));
    newest.chain(time(&run.calibration_path())).all(|other| other <= made)
}

/// Names of arrays that only some machines have.
const WITHOUT_ATTENTION: &str = "without_attention";
const SYMMETRIES: &str = "symmetries";

impl Trace {
    /// Writes the trace, replacing a file that is there, and makes the folder if it is missing.
    ///
    /// # Errors
    /// If an array does not have the size of its shape, or the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), TraceError> {
        let failed = |attempt| FileError::of(attempt, path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed("making the folder of"))?;
        }
        let bytes = self.to_bytes().map_err(io::Error::other).map_err(failed("encoding"))?;
        Ok(write_atomically(path, &bytes).map_err(failed("writing"))?)
    }

    /// Reads a trace.
    ///
    /// # Errors
    /// If the file cannot be read or is not a whole trace of this format.
    pub fn read(path: &Path) -> Result<Self, TraceError> {
        let bytes = std::fs::read(path).map_err(FileError::of("reading", path))?;
        Self::from_bytes(&bytes)
            .map_err(|problem| TraceError::Format { path: path.to_owned(), problem })
    }

    fn to_bytes(&self) -> Result<Vec<u8>, safetensors::SafeTensorError> {
        let (steps, p) = (self.n_steps(), self.shape.n_pixels());
        let image = [self.shape.channels, self.shape.height, self.shape.width];
        let mut tensors: Vec<Array> = Vec::new();
        let mut put = |name: String, dtype, sizes: Vec<usize>, bytes: Vec<u8>| {
            tensors.push((name, dtype, sizes, bytes));
        };
        let singles = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let numbers = |values: &[u32]| values.iter().flat_map(|v| v.to_le_bytes()).collect();
        for actor in &self.actors {
            let name = |array: &str| format!("{}/{array}", actor.name);
            let along = [&[steps], &image[..]].concat();
            put(name("states"), Dtype::F32, along.clone(), singles(&actor.states));
            put(name("x0"), Dtype::F32, along.clone(), singles(&actor.x0));
            if !actor.without_attention.is_empty() {
                let values = singles(&actor.without_attention);
                put(name(WITHOUT_ATTENTION), Dtype::F32, along, values);
            }
            put(name("sample"), Dtype::F32, image.to_vec(), singles(&actor.sample));
            if let Some(maps) = &actor.maps {
                let bytes = maps.weights.iter().flat_map(|w| w.to_le_bytes()).collect();
                put(name("attention"), Dtype::F16, vec![steps, maps.n_heads, p, p], bytes);
            }
            if let Some(inside) = &actor.posterior {
                put(name("entropy"), Dtype::F32, vec![steps, p], singles(&inside.entropy));
                put(name("places"), Dtype::U32, vec![steps, p, 3], numbers(&inside.places));
                if !inside.symmetries.is_empty() {
                    let bytes = numbers(&inside.symmetries);
                    put(name(SYMMETRIES), Dtype::U32, vec![steps, p], bytes);
                }
                let n = if inside.leading.is_empty() { 0 } else { N_LEADING };
                put(name("leading"), Dtype::U32, vec![steps, p, n], numbers(&inside.leading));
                put(name("weights"), Dtype::F32, vec![steps, p, n], singles(&inside.weights));
            }
        }
        let which: Vec<u32> = self.images.iter().map(|(number, _)| *number).collect();
        let pixels: Vec<f32> = self.images.iter().flat_map(|(_, image)| image.clone()).collect();
        let all = [&[which.len()], &image[..]].concat();
        put("images/numbers".into(), Dtype::U32, vec![which.len()], numbers(&which));
        put("images/pixels".into(), Dtype::F32, all, singles(&pixels));
        let levels: Vec<u8> = self.levels.iter().flat_map(|t| t.to_le_bytes()).collect();
        put("levels".into(), Dtype::F64, vec![steps], levels);
        let names: Vec<&str> = self.actors.iter().map(|actor| actor.name.as_str()).collect();
        let header = HashMap::from([
            ("format".to_owned(), FORMAT.to_owned()),
            ("run".to_owned(), self.run.clone()),
            ("step".to_owned(), self.step.to_string()),
            ("seed".to_owned(), self.seed.to_string()),
            ("training_images".to_owned(), self.n_images.to_string()),
            ("actors".to_owned(), names.join(",")),
        ]);
        safetensors_file::to_bytes(&tensors, Some(header))
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let file = TraceFile::open(bytes)?;
        let levels = file.numbers("levels", Dtype::F64, f64::from_le_bytes)?;
        if levels.is_empty() {
            return Err("it holds no step".to_owned());
        }
        let pixels = file.tensor("images/pixels", Dtype::F32)?;
        let &[_, channels, height, width] = pixels.shape() else {
            return Err("its training images are none".to_owned());
        };
        let shape = ImageShape::of_file(channels, height, width)
            .ok_or_else(|| format!("its images are of {:?}", pixels.shape()))?;
        let numbers = file.u32s("images/numbers")?;
        let images = file.f32s("images/pixels")?;
        check_size("images", images.len(), &[numbers.len(), shape.n_values()])?;
        let images = images.chunks_exact(shape.n_values()).map(<[f32]>::to_vec);
        let names = file.0.word("actors")?.split(',').filter(|name| !name.is_empty());
        let actor = |name: &str| file.actor(name, levels.len(), shape);
        Ok(Self {
            run: file.0.word("run")?.clone(),
            step: file.number("step")?,
            seed: file.number("seed")?,
            shape,
            actors: names.map(actor).collect::<Result<_, String>>()?,
            images: numbers.into_iter().zip(images).collect(),
            n_images: file.number("training_images")? as usize,
            levels,
        })
    }
}

/// Checks that `found` numbers are those of an array of these sizes.
fn check_size(name: &str, found: usize, sizes: &[usize]) -> Result<(), String> {
    let expected = sizes.iter().try_fold(1_usize, |n, &size| n.checked_mul(size));
    let fits = expected == Some(found);
    fits.then_some(())
        .ok_or_else(|| format!("'{name}' holds {found} numbers, not those of {sizes:?}"))
}

/// The tensors and the header of a trace file.
struct TraceFile<'a>(TensorFile<'a>);

impl<'a> TraceFile<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, String> {
        let file = TensorFile::parse(bytes)?;
        match file.word("format")? {
            format if format == FORMAT => Ok(Self(file)),
            format => Err(format!("its format is '{format}'")),
        }
    }

    fn number(&self, key: &str) -> Result<u64, String> {
        self.0.word(key)?.parse().map_err(|_| format!("its '{key}' is no number"))
    }

    fn tensor(&self, name: &str, dtype: Dtype) -> Result<TensorView<'a>, String> {
        let tensor = self.0.tensor(name)?;
        match tensor.dtype() == dtype {
            true => Ok(tensor),
            false => Err(format!("tensor '{name}' is of {:?}", tensor.dtype())),
        }
    }

    /// The numbers of an array, which `parse` makes of their bytes.
    fn numbers<T, const SIZE: usize>(
        &self,
        name: &str,
        dtype: Dtype,
        parse: fn([u8; SIZE]) -> T,
    ) -> Result<Vec<T>, String> {
        let tensor = self.tensor(name, dtype)?;
        Ok(tensor.data().as_chunks().0.iter().map(|bytes| parse(*bytes)).collect())
    }

    fn f32s(&self, name: &str) -> Result<Vec<f32>, String> {
        self.numbers(name, Dtype::F32, f32::from_le_bytes)
    }

    fn u32s(&self, name: &str) -> Result<Vec<u32>, String> {
        self.numbers(name, Dtype::U32, u32::from_le_bytes)
    }

    /// An array of an actor, of these sizes.
    fn f32s_of(&self, actor: &str, array: &str, sizes: &[usize]) -> Result<Vec<f32>, String> {
        let values = self.f32s(&format!("{actor}/{array}"))?;
        check_size(array, values.len(), sizes)?;
        Ok(values)
    }

    /// The arrays of one actor, of the sizes that `n_steps` steps and images of `shape` have.
    fn actor(&self, name: &str, n_steps: usize, shape: ImageShape) -> Result<Actor, String> {
        let n_values = shape.n_values();
        Ok(Actor {
            name: name.to_owned(),
            states: self.f32s_of(name, "states", &[n_steps, n_values])?,
            x0: self.f32s_of(name, "x0", &[n_steps, n_values])?,
            without_attention: match self.0.tensor(&format!("{name}/{WITHOUT_ATTENTION}")) {
                Ok(_) => self.f32s_of(name, WITHOUT_ATTENTION, &[n_steps, n_values])?,
                Err(_) => Vec::new(),
            },
            sample: self.f32s_of(name, "sample", &[n_values])?,
            maps: self.attention(&format!("{name}/attention"), n_steps, shape.n_pixels())?,
            posterior: self.posterior(name, n_steps, shape.n_pixels())?,
        })
    }

    fn attention(
        &self,
        key: &str,
        n_steps: usize,
        n_pixels: usize,
    ) -> Result<Option<AttentionTrace>, String> {
        if self.0.tensor(key).is_err() {
            return Ok(None);
        }
        let n_heads = self.tensor(key, Dtype::F16)?.shape().get(1).copied().unwrap_or(0);
        let weights = self.numbers(key, Dtype::F16, f16::from_le_bytes)?;
        check_size("attention", weights.len(), &[n_steps, n_heads, n_pixels, n_pixels])?;
        Ok(Some(AttentionTrace { n_heads, weights }))
    }

    fn posterior(
        &self,
        actor: &str,
        n_steps: usize,
        n_pixels: usize,
    ) -> Result<Option<PosteriorTrace>, String> {
        let key = |array: &str| format!("{actor}/{array}");
        if self.0.tensor(&key("places")).is_err() {
            return Ok(None);
        }
        let (places, leading) = (self.u32s(&key("places"))?, self.u32s(&key("leading"))?);
        let n = if leading.is_empty() { 0 } else { N_LEADING };
        check_size("places", places.len(), &[n_steps, n_pixels, 3])?;
        check_size("leading", leading.len(), &[n_steps, n_pixels, n])?;
        let entropy = self.f32s_of(actor, "entropy", &[n_steps, n_pixels])?;
        let weights = self.f32s_of(actor, "weights", &[n_steps, n_pixels, n])?;
        let symmetries = match self.0.tensor(&key(SYMMETRIES)) {
            Ok(_) => self.u32s(&key(SYMMETRIES))?,
            Err(_) => Vec::new(),
        };
        if !symmetries.is_empty() {
            check_size(SYMMETRIES, symmetries.len(), &[n_steps, n_pixels])?;
        }
        Ok(Some(PosteriorTrace { entropy, places, symmetries, leading, weights }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::trace_for_tests::example;
    use super::*;

    #[test]
    fn a_trace_survives_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let path = path_of(&RunDir::open(folder.path()), 5);
        let trace = example();
        trace.write(&path).unwrap();
        assert_eq!(Trace::read(&path).unwrap(), trace);
        let inside = trace.actors[1].posterior.as_ref().unwrap();
        assert_eq!(inside.leading(4, 1, 2), [(0, 0.5), (1, 0.3), (2, 0.2)]);
        assert_eq!(inside.place(4, 1, 2), [0, 1, 0]);
        assert_eq!(inside.symmetry(4, 1, 2), "");
        assert_eq!(inside.symmetry(4, 1, 3), "mirrored");
        let maps = trace.actors[0].maps.as_ref().unwrap();
        assert_eq!(maps.row(4, 1, 1, 3), [0.5, 0.25, 0.25, 0.0]);
    }

    #[test]
    fn a_torn_or_foreign_file_is_an_error_with_advice() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seed-1.safetensors");
        example().write(&path).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for n in [0, 7, 100, whole.len() - 1] {
            std::fs::write(&path, &whole[..n]).unwrap();
            let error = Trace::read(&path).unwrap_err().to_string();
            assert!(error.contains("mosaic inspect"), "{error}");
        }
        let mut other = example();
        other.actors[1].posterior.as_mut().unwrap().places.pop();
        assert!(other.write(&path).is_err(), "a ragged trace must not be written");
    }
}
