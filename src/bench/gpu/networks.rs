//! The networks that GPUs are checked and timed with.

use std::sync::Arc;

use crate::bench::training_step_times::network;
use crate::dataset::Dataset;
use crate::image::ImageShape;
use crate::network::network_config::{
    Architecture, AttentionConfig, AttentionVariant, NetworkConfig, Padding,
};

fn resnet(width: usize) -> Architecture {
    Architecture::ResNet { width, kernels: vec![3; 6] }
}

fn attention(head_width: usize) -> Option<AttentionConfig> {
    let variant = AttentionVariant::Softmax;
    Some(AttentionConfig { variant, heads: 1, head_width, normalise: true })
}

/// Images with something to learn: stripes of many directions.
pub fn stripes(image: ImageShape, n: usize) -> Arc<Dataset> {
    let value = |i: usize| {
        let (which, at) = (i / image.n_values(), i % image.n_values());
        let (y, x) = (at % image.n_pixels() / image.width, at % image.width);
        (((which % 5) * x + (which % 7) * y + which) * 23 % 256) as u8
    };
    let labels = (0..n).map(|i| (i % 3) as u8).collect();
    let pixels: Vec<u8> = (0..n * image.n_values()).map(value).collect();
    Arc::new(Dataset::new("stripes", image, pixels, Some(labels)))
}

/// Every kind of layer, at sizes that the CPU trains too.
pub fn small(quick: bool) -> Vec<(&'static str, NetworkConfig)> {
    let grey = ImageShape::new(1, 16, 16);
    let colour = ImageShape::new(3, 12, 16);
    let unet = || Architecture::UNet { widths: vec![16, 32, 64], embedding: 32 };
    let mut cases = vec![
        ("resnet, zeros", network(grey, resnet(32), Padding::Zeros)),
        ("resnet, circular, colour", network(colour, resnet(32), Padding::Circular)),
        (
            "resnet with attention",
            NetworkConfig {
                attention: attention(16),
                ..network(grey, resnet(32), Padding::Circular)
            },
        ),
        ("unet, zeros, colour", network(colour, unet(), Padding::Zeros)),
    ];
    if !quick {
        cases.extend([
            (
                "resnet, group norm, classes",
                NetworkConfig {
                    group_norm: true,
                    n_classes: Some(3),
                    ..network(grey, resnet(32), Padding::Circular)
                },
            ),
            (
                "unet, group norm, circular",
                NetworkConfig { group_norm: true, ..network(grey, unet(), Padding::Circular) },
            ),
        ]);
    }
    cases
}

/// The networks that others are compared by, with their names.
pub fn timed() -> [(&'static str, NetworkConfig); 4] {
    let grey = ImageShape::new(1, 32, 32);
    let colour = ImageShape::new(3, 32, 32);
    let unet = Architecture::UNet { widths: vec![32, 64, 128], embedding: 64 };
    let plain = network(grey, resnet(64), Padding::Zeros);
    [
        ("resnet", plain.clone()),
        ("resnet", network(colour, resnet(64), Padding::Circular)),
        ("unet", network(grey, unet, Padding::Zeros)),
        ("attention", NetworkConfig { attention: attention(64), ..plain }),
    ]
}
