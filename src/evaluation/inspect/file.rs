//! Traces on disk: `traces/seed-S.safetensors` of a run, one file a seed, replaced whole.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use half::f16;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use thiserror::Error;

use super::{Actor, Inside, Maps, N_LEADING, Trace};
use crate::dataset::file_kind::not_safetensors;
use crate::files::write_atomically;
use crate::image::ImageShape;
use crate::runs::run_dir::RunDir;

const FORMAT: &str = "1";

#[derive(Debug, Error)]
pub enum TraceError {
    #[error("{attempt} '{}'", path.display())]
    Io { attempt: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "'{}' is no trace that this version reads: {problem}; 'mosaic inspect' makes it anew",
        path.display()
    )]
    Format { path: PathBuf, problem: String },
}

/// Where the trace of a seed lies.
pub fn path_of(run: &RunDir, seed: u64) -> PathBuf {
    run.path().join("traces").join(format!("seed-{seed}.safetensors"))
}

impl Trace {
    pub fn write(&self, path: &Path) -> Result<(), TraceError> {
        let failed = |attempt| {
            let path = path.to_owned();
            move |source| TraceError::Io { attempt, path, source }
        };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed("making the folder of"))?;
        }
        let bytes = self.to_bytes().map_err(io::Error::other).map_err(failed("encoding"))?;
        write_atomically(path, &bytes).map_err(failed("writing"))
    }

    pub fn read(path: &Path) -> Result<Self, TraceError> {
        let bytes = std::fs::read(path).map_err(|source| TraceError::Io {
            attempt: "reading",
            path: path.to_owned(),
            source,
        })?;
        Self::from_bytes(&bytes)
            .map_err(|problem| TraceError::Format { path: path.to_owned(), problem })
    }

    fn to_bytes(&self) -> Result<Vec<u8>, safetensors::SafeTensorError> {
        let (steps, p) = (self.n_steps(), self.shape.n_pixels());
        let image = [self.shape.channels, self.shape.height, self.shape.width];
        let mut tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
        let mut put = |name: String, dtype, sizes: Vec<usize>, bytes: Vec<u8>| {
            tensors.push((name, dtype, sizes, bytes));
        };
        let singles = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let numbers = |values: &[u32]| values.iter().flat_map(|v| v.to_le_bytes()).collect();
        for actor in &self.actors {
            let name = |array: &str| format!("{}/{array}", actor.name);
            let along = [&[steps], &image[..]].concat();
            put(name("states"), Dtype::F32, along.clone(), singles(&actor.states));
            put(name("x0"), Dtype::F32, along, singles(&actor.x0));
            put(name("sample"), Dtype::F32, image.to_vec(), singles(&actor.sample));
            if let Some(maps) = &actor.maps {
                let bytes = maps.weights.iter().flat_map(|w| w.to_le_bytes()).collect();
                put(name("attention"), Dtype::F16, vec![steps, maps.n_heads, p, p], bytes);
            }
            if let Some(inside) = &actor.posterior {
                put(name("entropy"), Dtype::F32, vec![steps, p], singles(&inside.entropy));
                put(name("places"), Dtype::U32, vec![steps, p, 3], numbers(&inside.places));
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
        let views = tensors.iter().map(|(name, dtype, sizes, bytes)| {
            Ok((name.as_str(), TensorView::new(*dtype, sizes.clone(), bytes)?))
        });
        let views = views.collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
        safetensors::serialize(views, Some(header))
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let failed = |error| not_safetensors(bytes, error);
        let tensors = SafeTensors::deserialize(bytes).map_err(failed)?;
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(failed)?;
        let words = header.metadata().clone().unwrap_or_default();
        let word = |key: &str| words.get(key).ok_or_else(|| format!("its header lacks '{key}'"));
        let number =
            |key: &str| word(key)?.parse::<u64>().map_err(|_| format!("its '{key}' is no number"));
        if word("format")? != FORMAT {
            return Err(format!("its format is '{}'", word("format")?));
        }
        let of = |name: &str, dtype: Dtype| {
            let tensor = tensors.tensor(name).map_err(|error| error.to_string())?;
            match tensor.dtype() == dtype {
                true => Ok(tensor),
                false => Err(format!("tensor '{name}' is of {:?}", tensor.dtype())),
            }
        };
        let singles = |name: &str| -> Result<Vec<f32>, String> {
            let tensor = of(name, Dtype::F32)?;
            Ok(tensor.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
        };
        let numbers = |name: &str| -> Result<Vec<u32>, String> {
            let tensor = of(name, Dtype::U32)?;
            Ok(tensor.data().as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect())
        };
        let levels = of("levels", Dtype::F64)?;
        let levels: Vec<f64> =
            levels.data().as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect();
        let pixels = of("images/pixels", Dtype::F32)?;
        let &[_, channels, height, width] = pixels.shape() else {
            return Err("its training images are none".to_owned());
        };
        let shape = ImageShape::of_file(channels, height, width)
            .ok_or_else(|| format!("its images are of {:?}", pixels.shape()))?;
        let (steps, p, values) = (levels.len(), shape.n_pixels(), shape.n_values());
        let sized = |name: &str, found: usize, sizes: &[usize]| {
            let expected = sizes.iter().try_fold(1_usize, |n, &size| n.checked_mul(size));
            match expected == Some(found) {
                true => Ok(()),
                false => Err(format!("'{name}' holds {found} numbers, not those of {sizes:?}")),
            }
        };
        let actor = |name: &str| -> Result<Actor, String> {
            let key = |array: &str| format!("{name}/{array}");
            let maps = match tensors.tensor(&key("attention")) {
                Ok(tensor) => {
                    let n_heads = tensor.shape().get(1).copied().unwrap_or(0);
                    let tensor = of(&key("attention"), Dtype::F16)?;
                    let weights = tensor.data().as_chunks::<2>().0.iter();
                    let weights: Vec<f16> = weights.map(|b| f16::from_le_bytes(*b)).collect();
                    sized("attention", weights.len(), &[steps, n_heads, p, p])?;
                    Some(Maps { n_heads, weights })
                }
                Err(_) => None,
            };
            let posterior = match tensors.tensor(&key("places")) {
                Ok(_) => Some(Inside {
                    entropy: singles(&key("entropy"))?,
                    places: numbers(&key("places"))?,
                    leading: numbers(&key("leading"))?,
                    weights: singles(&key("weights"))?,
                }),
                Err(_) => None,
            };
            if let Some(inside) = &posterior {
                sized("places", inside.places.len(), &[steps, p, 3])?;
                sized("entropy", inside.entropy.len(), &[steps, p])?;
                let n = if inside.leading.is_empty() { 0 } else { N_LEADING };
                sized("leading", inside.leading.len(), &[steps, p, n])?;
                sized("weights", inside.weights.len(), &[steps, p, n])?;
            }
            let actor = Actor {
                name: name.to_owned(),
                states: singles(&key("states"))?,
                x0: singles(&key("x0"))?,
                sample: singles(&key("sample"))?,
                maps,
                posterior,
            };
            sized("states", actor.states.len(), &[steps, values])?;
            sized("x0", actor.x0.len(), &[steps, values])?;
            sized("sample", actor.sample.len(), &[values])?;
            Ok(actor)
        };
        let which = numbers("images/numbers")?;
        let images = singles("images/pixels")?;
        sized("images", images.len(), &[which.len(), values])?;
        if steps == 0 {
            return Err("it holds no step".to_owned());
        }
        let images = which.into_iter().zip(images.chunks_exact(values).map(<[f32]>::to_vec));
        let names = word("actors")?.split(',').filter(|name| !name.is_empty());
        Ok(Self {
            run: word("run")?.clone(),
            step: number("step")?,
            seed: number("seed")?,
            shape,
            levels,
            actors: names.map(actor).collect::<Result<_, String>>()?,
            images: images.collect(),
            n_images: number("training_images")? as usize,
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A network with two heads and one machine on 2x2 grey images, two steps.
    pub fn example() -> Trace {
        let values = |n: usize, seed: usize| -> Vec<f32> {
            (0..n).map(|i| ((i * 7 + seed) % 11) as f32 / 5.5 - 1.0).collect()
        };
        let actor = |name: &str, seed| Actor {
            name: name.into(),
            states: values(8, seed),
            x0: values(8, seed + 1),
            sample: values(4, seed + 2),
            ..Actor::default()
        };
        let weights = (0..2 * 2 * 16).map(|i| f16::from_f32([0.5, 0.25, 0.25, 0.0][i % 4]));
        let mut network = actor("network", 0);
        network.maps = Some(Maps { n_heads: 2, weights: weights.collect() });
        let mut machine = actor("els", 3);
        machine.posterior = Some(Inside {
            entropy: values(8, 4),
            places: (0..8).flat_map(|i| [i % 3, i / 4, i % 2]).collect(),
            leading: (0..48).map(|i| i % 3).collect(),
            weights: (0..48).map(|i| [0.5, 0.3, 0.2, 0.0, 0.0, 0.0][i % 6]).collect(),
        });
        Trace {
            run: "a-000000".into(),
            step: 9,
            seed: 5,
            shape: ImageShape::new(1, 2, 2),
            levels: vec![0.5, 1.0],
            actors: vec![network, machine],
            images: (0..3).map(|n| (n, values(4, n as usize))).collect(),
            n_images: 64,
        }
    }

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
