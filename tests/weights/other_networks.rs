//! Networks that mosaic's do not compute are refused with the reason, not computed wrongly.

use bytes::Bytes;
use mosaic_lab::weights::WeightsFile;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

type Shapes = Vec<(String, Vec<usize>)>;

/// The error for tensors of these shapes.
fn refusal(shapes: &Shapes) -> String {
    let n = shapes.iter().map(|(_, shape)| shape.iter().product::<usize>()).max().unwrap();
    let zeros = vec![0; 4 * n];
    let view = |(name, shape): &(String, Vec<usize>)| {
        let n_bytes = 4 * shape.iter().product::<usize>();
        (name.clone(), TensorView::new(Dtype::F32, shape.clone(), &zeros[..n_bytes]).unwrap())
    };
    let views: Vec<_> = shapes.iter().map(view).collect();
    let bytes = safetensors::serialize(views, None).unwrap();
    WeightsFile::parse(&Bytes::from(bytes)).err().map_or_else(String::new, |e| e.to_string())
}

fn named(all: &[(&str, &[usize])]) -> Shapes {
    all.iter().map(|(name, shape)| ((*name).to_owned(), shape.to_vec())).collect()
}

/// What decides of a ResNet with one layer: it is accepted.
fn resnet() -> Shapes {
    named(&[
        ("up_projection.weight", &[16, 1, 3, 3]),
        ("convs.0.0.weight", &[16, 16, 3, 3]),
        ("embs.0.0.weight", &[16, 16]),
        ("embs.1.0.weight", &[16, 16]),
        ("down_projection.weight", &[1, 16, 1, 1]),
    ])
}

/// What decides of a UNet with group normalisation and these widths.
fn normalised_unet(narrow: usize, wide: usize) -> Shapes {
    named(&[
        ("feature_blocks.0.model.0.weight", &[narrow, 1, 3, 3]),
        ("feature_blocks.0.model.1.weight", &[narrow]),
        ("bottleneck.model.0.weight", &[wide, narrow, 3, 3]),
        ("bottleneck.model.1.weight", &[wide]),
        ("bottleneck.emb.1.weight", &[narrow, 16]),
        ("output_conv.weight", &[1, narrow, 1, 1]),
    ])
}

#[test]
fn variants_of_the_published_networks_that_are_not_computed_are_named() {
    assert_eq!(refusal(&resnet()), "");
    let changed = |name: &str, shape: &[usize]| {
        let mut shapes = resnet();
        shapes.retain(|(other, _)| other != name);
        if !shape.is_empty() {
            shapes.push((name.to_owned(), shape.to_vec()));
        }
        refusal(&shapes)
    };
    for (error, expected) in [
        (changed("up_projection.weight", &[16, 1, 5, 5]), "first kernel has side 5"),
        (changed("embs.1.0.weight", &[]), "add_one=False"),
        (changed("convs.0.1.running_mean", &[16]), "batch normalisation"),
        (changed("up_projection.weight", &[16, 1, 3]), "4 axes belong here"),
        (changed("down_projection.weight", &[]), "'down_projection.weight' is missing"),
    ] {
        assert!(error.contains(expected), "{error}");
    }
    let mut shapes = normalised_unet(8, 8);
    assert_eq!(refusal(&shapes), "", "min(32, 8) is eight groups");
    assert!(refusal(&normalised_unet(8, 16)).contains("normalises in 16 groups"));
    shapes.push(("last_normalizer.weight".to_owned(), vec![8]));
    assert!(refusal(&shapes).contains("last_norm"));
    let mut shapes = normalised_unet(8, 8);
    shapes[0].1 = vec![8, 1, 5, 5];
    assert!(refusal(&shapes).contains("kernels of side 5"));
}
