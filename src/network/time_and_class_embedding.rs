//! The embedding of the time and, for class-conditional networks, of the class.
//!
//! ```text
//! e[j] = sin(s t / 10000^(j / (d - 1)))     e[d + j] = cos(s t / 10000^(j / (d - 1)))     j = 0..d-1, d = width / 2
//! ```
//!
//! t in [0, 1]; the scale s is 1 in the networks of Kamb & Ganguli (arXiv 2412.20292). A class adds its learned vector.
//! Times are on the CPU, so the waves are computed there in double precision.

use candle_core::{DType, Device, Tensor};

use super::parameters::{Builder, Initial, NetworkError};

/// Maps time and class to one vector per image.
pub struct Embedding {
    width: usize,
    time_scale: f64,
    classes: Option<Tensor>,
    n_classes: usize,
    dtype: DType,
    device: Device,
}

impl Embedding {
    /// An embedding of `width` values, of times at the scale `time_scale` and of classes, if any.
    ///
    /// # Errors
    ///
    /// If `width` is odd or less than 4, or stored weights do not fit.
    pub fn new(
        builder: &mut Builder<'_>,
        width: usize,
        time_scale: f64,
        n_classes: Option<usize>,
        (dtype, device): (DType, &Device),
    ) -> Result<Self, NetworkError> {
        if width < 4 || !width.is_multiple_of(2) {
            let problem = format!("an embedding needs an even width of at least 4, not '{width}'");
            return Err(NetworkError::Config { problem });
        }
        let name = "embedding.class_embeddings.weight";
        let classes =
            n_classes.map(|n| builder.parameter(name, &[n, width], Initial::Normal)).transpose()?;
        let n_classes = n_classes.unwrap_or(0);
        Ok(Self { width, time_scale, classes, n_classes, dtype, device: device.clone() })
    }

    /// The embedding of times `t` and class `labels`, `[B, width]`.
    ///
    /// # Errors
    ///
    /// See [`Embedding::check`].
    pub fn forward(&self, t: &[f64], labels: Option<&[u32]>) -> Result<Tensor, NetworkError> {
        let waves = waves(t, self.width, self.time_scale);
        let shape = (t.len(), self.width);
        let waves = Tensor::from_vec(waves, shape, &self.device)?.to_dtype(self.dtype)?;
        let Some(classes) = &self.classes else { return Ok(waves) };
        let labels = labels.unwrap_or(&[]);
        self.check(t.len(), Some(labels))?;
        let indices = Tensor::new(labels, &self.device)?;
        Ok((waves + classes.index_select(&indices, 0)?)?)
    }

    /// Checks the class labels of `images` images.
    ///
    /// # Errors
    ///
    /// If the network has classes and there is not one valid label per image.
    pub fn check(&self, images: usize, labels: Option<&[u32]>) -> Result<(), NetworkError> {
        if self.classes.is_none() {
            return Ok(());
        }
        let labels = labels.unwrap_or(&[]);
        if labels.len() != images {
            let found = labels.len();
            return Err(NetworkError::Count { images, what: "class labels", found });
        }
        match labels.iter().find(|&&label| label as usize >= self.n_classes) {
            Some(&label) => Err(NetworkError::Label { label, n_classes: self.n_classes }),
            None => Ok(()),
        }
    }
}

/// Sines and cosines of each time, `[B, width]`.
pub fn waves(t: &[f64], width: usize, time_scale: f64) -> Vec<f64> {
    let half = width / 2;
    let angle = |t: f64, j: usize| time_scale * t / 10_000_f64.powf(j as f64 / (half - 1) as f64);
    let row = |&t: &f64| {
        let sines = (0..half).map(move |j| angle(t, j).sin());
        sines.chain((0..half).map(move |j| angle(t, j).cos()))
    };
    t.iter().flat_map(row).collect()
}
