//! One bench per operation of the networks: forward, and forward with gradient.
//!
//! `cargo bench --bench network -- convolution` runs those whose name contains `convolution`. Sizes are those
//! of `mosaic bench train`: 64 images (attention: 16) of 32x32 pixels and 64 channels.

use std::hint::black_box;

use candle_core::{Device, Result, Tensor, Var};
use criterion::{Criterion, criterion_group, criterion_main};
use mosaic_lab::diffusion::Grid;
use mosaic_lab::network::network_config::Padding;
use mosaic_lab::network::ops::attention_statistics::attention_figures;
use mosaic_lab::network::ops::convolution::{Form, convolve};
use mosaic_lab::network::ops::group_norm::group_norm;
use mosaic_lab::network::ops::pixel_norm::pixel_norm;
use mosaic_lab::network::ops::pooling_and_upsampling::{max_pool, upsample};
use mosaic_lab::network::ops::softmax_attention::attend;

/// The allocator of the binary: fresh pages would cost more than some of the operations.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const GRID: Grid = Grid { height: 32, width: 32, circular: true };

fn random(shape: &[usize]) -> Var {
    Var::rand(-1.0_f32, 1.0, shape, &Device::Cpu).expect("a tensor of this size fits")
}

/// Benches `op` of variables, alone and followed by its gradient.
fn both(c: &mut Criterion, name: &str, inputs: &[Var], op: impl Fn(&[Var]) -> Result<Tensor>) {
    let mut group = c.benchmark_group(name);
    group.sample_size(10);
    let constants: Vec<Var> = inputs.to_vec();
    group.bench_function("forward", |bencher| {
        bencher.iter(|| black_box(op(&constants).expect("sizes fit")));
    });
    group.bench_function("with gradient", |bencher| {
        bencher.iter(|| {
            let out = op(inputs).and_then(|y| y.sum_all()).expect("sizes fit");
            black_box(out.backward().expect("a graph of one operation"))
        });
    });
    group.finish();
}

fn convolutions(c: &mut Criterion) {
    for (side, padding) in [(3, Padding::Zeros), (3, Padding::Circular), (1, Padding::Zeros)] {
        let inputs = [random(&[64, 64, 32, 32]), random(&[64, 64, side, side]), random(&[64])];
        let name = format!("convolution {side}x{side} {padding:?}").to_lowercase();
        both(c, &name, &inputs, |v| convolve(&v[0], &v[1], &v[2], None, padding, Form::Relu));
    }
}

fn attention(c: &mut Criterion) {
    let qkv = [random(&[16, 3, 1, 64, GRID.n_pixels()])];
    both(c, "attention", &qkv, |v| attend(&v[0]));
    let mut group = c.benchmark_group("attention figures");
    group.sample_size(10);
    group.bench_function("forward", |bencher| {
        bencher.iter(|| black_box(attention_figures(&qkv[0], GRID).expect("sizes fit")));
    });
    group.finish();
}

fn norms(c: &mut Criterion) {
    let inputs = [random(&[64, 64, 32, 32]), random(&[64]), random(&[64])];
    both(c, "group norm", &inputs, |v| group_norm(&v[0], &v[1], &v[2], 8));
    both(c, "pixel norm", &inputs[..1], |v| pixel_norm(&v[0]));
}

fn resampling(c: &mut Criterion) {
    both(c, "max pool", &[random(&[64, 64, 32, 32])], |v| max_pool(&v[0]));
    let inputs = [random(&[64, 64, 16, 16]), random(&[64, 32, 2, 2]), random(&[32])];
    both(c, "upsample", &inputs, |v| upsample(&v[0], &v[1], &v[2]));
}

criterion_group!(benches, convolutions, attention, norms, resampling);
criterion_main!(benches);
