//! Tensor operations that candle lacks, or whose CPU version is slow or wrong (each file says which).
//!
//! Each is a candle `CustomOp` with its own gradient for the CPU, generic over `f32` (training) and
//! `f64` (parity tests), deterministic whatever the number of threads; on other devices the same
//! function composes candle's own operations. Deliberately absent: parameters and architecture.

pub mod operation_times;
pub mod candle_numbers;
pub mod tensor;
pub mod padded_images;
pub mod convolution_operands;
pub mod winograd;
pub mod pixel_rows;
pub mod spare_buffers;
pub mod rows_bf16;
pub mod rows_convolution;
pub mod rows_weight_gradient;
pub mod image_convolution;
pub mod convolution_gradient;
pub mod convolution;
pub mod residual_operands;
pub mod residual_gradient;
pub mod residual_layers;
pub mod relu_and_channel_sums;
pub mod linear;
pub mod group_norm;
pub mod pixel_norm;
pub mod projections;
pub mod pooling_and_upsampling;
pub mod softmax_attention;
pub mod attention_statistics;

#[cfg(test)]
mod gradient_tests;
