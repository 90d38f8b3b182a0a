//! The norm of all gradients together, and the factor that limits it.

use candle_core::backprop::GradStore;
use candle_core::{DType, Result, Tensor, Var};

/// The global 2-norm of the gradients of `parameters`; 0 if none has a gradient.
///
/// # Errors
///
/// If a tensor operation fails.
pub fn gradient_norm(parameters: &[(String, Var)], gradients: &GradStore) -> Result<f64> {
    let mut squares = Vec::with_capacity(parameters.len());
    for (_, parameter) in parameters {
        if let Some(gradient) = gradients.get(parameter) {
            squares.push(gradient.detach().sqr()?.sum_all()?.to_dtype(DType::F64)?);
        }
    }
    if squares.is_empty() {
        return Ok(0.0);
    }
    Ok(Tensor::stack(&squares, 0)?.sum_all()?.to_scalar::<f64>()?.sqrt())
}

/// The factor that scales a gradient of norm `norm` down to `clip_norm`; 1 if it is not larger.
pub fn clip_factor(norm: f64, clip_norm: f64) -> f64 {
    if norm > clip_norm { clip_norm / norm } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn the_gradient_norm_is_global_and_clipping_only_shrinks() {
        let variable = || Var::new(&[0.0_f64], &Device::Cpu).unwrap();
        let parameters = [("p".to_owned(), variable()), ("q".to_owned(), variable())];
        // The gradients of 3 p + 4 q.
        let [p, q] = [&parameters[0].1, &parameters[1].1].map(|v| v.as_tensor().clone());
        let sum = ((p * 3.0).unwrap() + (q * 4.0).unwrap()).unwrap().sum_all().unwrap();
        let norm = gradient_norm(&parameters, &sum.backward().unwrap()).unwrap();
        assert!((norm - 5.0).abs() < 1e-12);
        assert_eq!(clip_factor(norm, 1.0), 0.2);
        assert_eq!(clip_factor(norm, f64::INFINITY), 1.0);
        assert_eq!(clip_factor(0.5, 1.0), 1.0);
    }
}
