//! Every operation's gradient against central differences in double precision, on odd shapes (one
//! channel, one pixel, not square), and every operation on a tensor that does not lie contiguously.

use candle_core::{Result, Tensor};

use super::convolution::{Form, convolve};
use super::group_norm::group_norm;
use super::pixel_norm::pixel_norm;
use super::pooling_and_upsampling::{max_pool, upsample};
use super::relu_and_channel_sums::{add_per_channel, relu};
use super::softmax_attention::attend;
use super::tensor::check;
use crate::network::network_config::Padding;

/// `[B, C, H, W]`
const IMAGES: [[usize; 4]; 4] = [[1, 1, 1, 1], [2, 1, 3, 2], [1, 3, 1, 5], [2, 2, 4, 3]];

type Op = fn(&[Tensor]) -> Result<Tensor>;

/// An operation of an image `v[0]` and other inputs, whose shapes follow from the image's.
struct Case {
    name: &'static str,
    others: fn([usize; 4]) -> Vec<Vec<usize>>,
    op: Op,
}

fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "plain convolution, zero padding",
            others: |[b, c, ..]| vec![vec![2, c, 3, 3], vec![2], vec![b, c]],
            op: |v| convolve(&v[0], &v[1], &v[2], Some(&v[3]), Padding::Zeros, Form::Plain),
        },
        Case {
            name: "convolution and ReLU, circular padding",
            others: |[b, c, ..]| vec![vec![3, c, 3, 3], vec![3], vec![b, c]],
            op: |v| convolve(&v[0], &v[1], &v[2], Some(&v[3]), Padding::Circular, Form::Relu),
        },
        Case {
            name: "residual convolution",
            others: |[b, c, ..]| vec![vec![c, c, 3, 3], vec![c], vec![b, c]],
            op: |v| convolve(&v[0], &v[1], &v[2], Some(&v[3]), Padding::Zeros, Form::Residual),
        },
        Case {
            name: "pointwise convolution",
            others: |[_, c, ..]| vec![vec![2, c, 1, 1], vec![2]],
            op: |v| convolve(&v[0], &v[1], &v[2], None, Padding::Zeros, Form::Plain),
        },
        Case {
            name: "group norm",
            others: |[_, c, ..]| vec![vec![c], vec![c]],
            op: |v| group_norm(&v[0], &v[1], &v[2], 1),
        },
        Case { name: "pixel norm", others: |_| Vec::new(), op: |v| pixel_norm(&v[0]) },
        Case { name: "ReLU", others: |_| Vec::new(), op: |v| relu(&v[0]) },
        Case {
            name: "adding per channel",
            others: |[b, c, ..]| vec![vec![b, c]],
            op: |v| add_per_channel(&v[0], &v[1]),
        },
        Case {
            name: "transposed convolution",
            others: |[_, c, ..]| vec![vec![c, 2, 2, 2], vec![2]],
            op: |v| upsample(&v[0], &v[1], &v[2]),
        },
        Case {
            name: "max-pool",
            // Four images side by side and below each other: even sides, no ties.
            others: |shape| vec![shape.to_vec(); 3],
            op: |v| {
                let row = |a, b| Tensor::cat(&[a, b], 3);
                max_pool(&Tensor::cat(&[row(&v[0], &v[1])?, row(&v[2], &v[3])?], 2)?)
            },
        },
        Case {
            name: "attention in one head",
            others: |[b, c, h, w]| vec![vec![b, c, h, w]; 2],
            op: |v| {
                let (b, c, h, w) = v[0].dims4()?;
                attend(&Tensor::cat(v, 1)?.reshape((b, 3, 1, c, h * w))?)
            },
        },
    ]
}

fn inputs(case: &Case, shape: [usize; 4]) -> Vec<Tensor> {
    let shapes = std::iter::once(shape.to_vec()).chain((case.others)(shape));
    shapes.zip(1..).map(|(shape, seed)| check::pseudo_random(&shape, seed)).collect()
}

#[test]
fn gradients_are_the_slopes_of_the_operations() {
    for case in cases() {
        for shape in IMAGES {
            eprintln!("{} of {shape:?}", case.name);
            check::gradients_match_differences(&inputs(&case, shape), case.op);
        }
    }
}

#[test]
fn operations_do_not_mind_how_their_inputs_lie() {
    for case in cases() {
        for shape in IMAGES {
            eprintln!("{} of {shape:?}", case.name);
            let straight = inputs(&case, shape);
            let mut turned = straight.clone();
            let across = straight[0].transpose(2, 3).unwrap().contiguous().unwrap();
            turned[0] = across.transpose(2, 3).unwrap();
            assert!(shape[2] == 1 || shape[3] == 1 || !turned[0].is_contiguous());
            check::assert_close(&(case.op)(&turned).unwrap(), &(case.op)(&straight).unwrap(), 0.0);
            let gradients = |v: &[Tensor]| check::gradients(v, case.op);
            for (a, b) in gradients(&turned).iter().zip(&gradients(&straight)) {
                check::assert_close(a, b, 1e-13);
            }
        }
    }
}
