//! The exponential moving average (EMA) of the weights, which is used for sampling.
//!
//! `e = d e + (1 - d) p` with `d = min(decay, (1 + n) / (10 + n))` after n earlier averages, so that early
//! averages follow the weights instead of remembering their random initialisation.

use std::collections::HashMap;

use candle_core::{Result, Tensor, Var};
use rayon::prelude::*;

use crate::network::TensorMap;
use crate::network::ops::candle_numbers::Real;
use crate::network::ops::tensor::{Change, InPlace};

/// The averaged weights.
pub struct Ema {
    decay: f64,
    weights: TensorMap,
}

impl Ema {
    /// Starts from the current weights.
    ///
    /// # Errors
    ///
    /// If a weight cannot be copied.
    pub fn new(decay: f64, parameters: &[(String, Var)]) -> Result<Self> {
        let copy = |(name, parameter): &(String, Var)| {
            Ok((name.clone(), parameter.as_tensor().detach().copy()?))
        };
        Ok(Self { decay, weights: parameters.iter().map(copy).collect::<Result<_>>()? })
    }

    /// Continues from saved weights. They must not be shared, since they are changed in place.
    pub fn resume(decay: f64, weights: TensorMap) -> Self {
        Self { decay, weights }
    }

    pub fn weights(&self) -> &TensorMap {
        &self.weights
    }

    /// Averages in the weights after update `n`, counted from 0.
    ///
    /// # Errors
    ///
    /// If a tensor operation fails.
    pub fn update(&mut self, parameters: &[(String, Var)], n: u64) -> Result<()> {
        let decay = self.decay.min((1 + n) as f64 / (10 + n) as f64);
        let parameters: HashMap<&str, &Var> =
            parameters.iter().map(|(name, parameter)| (name.as_str(), parameter)).collect();
        let is_cpu = parameters.values().all(|parameter| parameter.device().is_cpu());
        let change = |(name, average): (&String, &mut Tensor)| {
            let Some(parameter) = parameters.get(name.as_str()) else { return Ok(()) };
            let parameter = parameter.as_tensor().detach();
            if parameter.device().is_cpu() {
                return average.inplace_op2(&parameter, &InPlace(TakeIn { decay }));
            }
            *average = ((&*average * decay)? + (parameter * (1.0 - decay))?)?;
            Ok(())
        };
        match is_cpu {
            true => self.weights.par_iter_mut().try_for_each(change),
            false => self.weights.iter_mut().try_for_each(change),
        }
    }
}

/// Averages one tensor, in place.
struct TakeIn {
    decay: f64,
}

impl Change for TakeIn {
    const NAME: &'static str = "moving-average";

    #[inline(always)]
    fn apply<T: Real>(&self, average: &mut [T], parameter: &[T]) {
        let [decay, rest] = [self.decay, 1.0 - self.decay].map(T::number);
        for (e, &p) in average.iter_mut().zip(parameter) {
            *e = *e * decay + p * rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn the_average_follows_its_formula() {
        let p = Var::new(&[1.0_f64], &Device::Cpu).unwrap();
        let parameters = [("p".to_owned(), p.clone())];
        let mut ema = Ema::new(0.5, &parameters).unwrap();
        for (n, (value, expected)) in [(2.0, 0.1 + 0.9 * 2.0), (4.0, 0.0)].into_iter().enumerate() {
            p.set(&Tensor::new(&[value], &Device::Cpu).unwrap()).unwrap();
            ema.update(&parameters, n as u64).unwrap();
            let found = ema.weights()["p"].to_vec1::<f64>().unwrap()[0];
            let second = 1.9 * 2.0 / 11.0 + 4.0 * 9.0 / 11.0;
            let expected = if n == 0 { expected } else { second };
            assert!((found - expected).abs() < 1e-12, "{n}: {found} {expected}");
        }
        // Much later, the configured decay applies.
        let before = ema.weights()["p"].to_vec1::<f64>().unwrap()[0];
        ema.update(&parameters, 1000).unwrap();
        let after = ema.weights()["p"].to_vec1::<f64>().unwrap()[0];
        assert!((after - (0.5 * before + 0.5 * 4.0)).abs() < 1e-12);
    }
}
