//! Machines over mirrored and turned copies of the training images: what such a dictionary means, and its limits.

use std::sync::Arc;

use super::machine_spec::{
    AttentionSettings, AttentionSource, MachineKind, MachineSpec, PatchSize, Scheduled, Smoothing,
};
use super::patch_pools_ls_els_bbels::Pool;
use super::training_pixels::Storage;
use super::{Machine, Precision, TrainingImages};
use crate::diffusion::{Denoised, Denoiser, NoiseLevel, Schedule};
use crate::image::{Augmentation, ImageBatch, ImageShape, Symmetry};
use crate::random::noise_seeds;

fn attention(pool: Pool, source: AttentionSource) -> MachineKind {
    let settings = AttentionSettings { lambda: 1.5, gamma: 0.3, source };
    MachineKind::Attention { pool, settings: Scheduled::Fixed(settings) }
}

/// Machines that compute the same for images in any order and for each image twice.
fn machines_of_a_distribution() -> Vec<MachineKind> {
    vec![
        MachineKind::Ideal,
        MachineKind::Nearest,
        MachineKind::Subset { size: 1.0 },
        MachineKind::EquivariantIdeal,
        MachineKind::Local,
        MachineKind::LocalWrapped,
        MachineKind::EquivariantLocal,
        MachineKind::EquivariantLocalInterior,
        MachineKind::BoundaryBroken,
        MachineKind::Masked { threshold: 0.1 },
        MachineKind::Composite,
        MachineKind::Wiener,
        MachineKind::WienerCirculant,
        attention(Pool::Wrap, AttentionSource::Uniform),
        attention(Pool::Wrap, AttentionSource::CoOrigin),
        attention(Pool::SameBorder, AttentionSource::Similarity { tau: 0.4 }),
    ]
}

fn images(shape: ImageShape, n: usize) -> Vec<f64> {
    noise_seeds(11, 0, n, shape).into_values().iter().map(|v| 0.5 * v).collect()
}

fn dictionary(shape: ImageShape, values: &[f64], augmentation: Augmentation) -> TrainingImages {
    let images = TrainingImages::from_values(shape, values.to_vec()).unwrap();
    images.augmented(augmentation).unwrap()
}

fn denoised(
    kind: &MachineKind,
    images: TrainingImages,
    x: &ImageBatch,
    level: NoiseLevel,
) -> Denoised {
    let spec = MachineSpec::new(kind.clone(), PatchSize::Fixed(3));
    let machine = Machine::new(spec, Arc::new(images), Precision::F64, None).unwrap();
    machine.with_posterior(true).denoise(x, level).unwrap()
}

/// Every image mirrored left to right, by its own loops.
fn mirrored(shape: ImageShape, images: &[f64]) -> Vec<f64> {
    images.chunks(shape.width).flat_map(|row| row.iter().rev().copied()).collect()
}

fn gap(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn a_flipped_dictionary_is_the_set_with_its_mirror_images() {
    let shape = ImageShape::new(2, 4, 5);
    let values = images(shape, 5);
    let appended = [values.clone(), mirrored(shape, &values)].concat();
    let x = noise_seeds(3, 0, 2, shape);
    let mut kinds = machines_of_a_distribution();
    kinds.push(MachineKind::Smoothed(Smoothing { sigma: 0.7, n_copies: 3 }));
    kinds.push(MachineKind::Subset { size: 3.0 });
    kinds.push(attention(Pool::Wrap, AttentionSource::Pooled));
    for t in [0.2, 0.6] {
        let level = Schedule::Cosine.level(t);
        for kind in &kinds {
            let of = |images| denoised(kind, images, &x, level);
            let found = of(dictionary(shape, &values, Augmentation::Flip));
            let expected = of(dictionary(shape, &appended, Augmentation::None));
            assert_eq!(found.x0.values(), expected.x0.values(), "{kind:?}");
            let entropy = |found: Denoised| found.posterior.map(|found| found.entropy_nats);
            assert_eq!(entropy(found), entropy(expected), "{kind:?}");
        }
    }
}

#[test]
fn copies_that_are_there_already_change_nothing() {
    let shape = ImageShape::new(1, 4, 4);
    for augmentation in [Augmentation::Flip, Augmentation::Dihedral] {
        let closed = augmentation.copies(shape, &images(shape, 3));
        let x = noise_seeds(4, 0, 2, shape);
        for t in [0.15, 0.5, 0.9] {
            let level = Schedule::Cosine.level(t);
            for kind in machines_of_a_distribution() {
                let of = |wanted| denoised(&kind, dictionary(shape, &closed, wanted), &x, level);
                let (found, plain) = (of(augmentation), of(Augmentation::None));
                let error = gap(found.x0.values(), plain.x0.values());
                assert!(error < 1e-9, "{kind:?}, {augmentation:?}, t = {t}: {error}");
            }
        }
        // Entropies count every copy: each image is there as often as there are copies.
        let level = Schedule::Cosine.level(0.5);
        for kind in [MachineKind::Ideal, MachineKind::EquivariantLocal] {
            let of = |wanted| denoised(&kind, dictionary(shape, &closed, wanted), &x, level);
            let entropies = [augmentation, Augmentation::None]
                .map(|wanted| of(wanted).posterior.unwrap().entropy_nats);
            let more = (augmentation.n_copies() as f64).ln();
            let expected: Vec<f64> = entropies[1].iter().map(|nats| nats + more).collect();
            assert!(gap(&entropies[0], &expected) < 1e-9);
        }
    }
}

#[test]
fn an_augmented_machine_commutes_with_the_symmetries_of_its_copies() {
    let shape = ImageShape::new(2, 4, 4);
    let values = images(shape, 3);
    let x = noise_seeds(5, 0, 1, shape);
    let level = Schedule::Cosine.level(0.4);
    for augmentation in [Augmentation::Flip, Augmentation::Dihedral] {
        for kind in machines_of_a_distribution() {
            let of = |x: &ImageBatch| {
                denoised(&kind, dictionary(shape, &values, augmentation), x, level).x0.into_values()
            };
            let straight = of(&x);
            for symmetry in augmentation.symmetries() {
                let moved: Vec<f64> = symmetry.of_image(shape, x.image(0)).collect();
                let found = of(&ImageBatch::new(shape, moved));
                let expected: Vec<f64> = symmetry.of_image(shape, &straight).collect();
                let error = gap(&found, &expected);
                assert!(error < 1e-9, "{kind:?} under {symmetry:?}: {error}");
            }
        }
    }
}

#[test]
fn provenance_names_the_image_its_symmetry_and_the_pixel_in_it() {
    let shape = ImageShape::new(1, 4, 4);
    let values = images(shape, 4);
    let labelled = TrainingImages::from_values(shape, values.clone()).unwrap();
    let labelled = labelled.with_labels(vec![0, 1, 0, 1]).unwrap();
    let augmented = labelled.augmented(Augmentation::Dihedral).unwrap();
    let level = Schedule::Cosine.level(0.01);
    // Image 3 is the second one with its label.
    let image = &values[3 * 16..4 * 16];
    for symmetry in Augmentation::Dihedral.symmetries() {
        let copy: Vec<f64> = symmetry.of_image(shape, image).collect();
        let x = copy.iter().map(|v| level.signal() * v).collect();
        let images = augmented.only_label(1).unwrap();
        let found =
            denoised(&MachineKind::EquivariantLocal, images, &ImageBatch::new(shape, x), level);
        let posterior = found.posterior.unwrap();
        let found = posterior.provenance.iter().zip(&posterior.symmetries);
        for ((place, found), value) in found.zip(&copy) {
            assert_eq!((place.image, found), (3, symmetry));
            let pixel = usize::from(place.row) * 4 + usize::from(place.column);
            assert_eq!(image[pixel], *value, "{place:?} under {symmetry:?}");
        }
    }
}

#[test]
fn images_that_are_not_square_cannot_be_turned_by_a_quarter() {
    let shape = ImageShape::new(1, 2, 3);
    let images = TrainingImages::from_values(shape, vec![0.0; 6]).unwrap();
    let error = images.augmented(Augmentation::Dihedral).unwrap_err().to_string();
    assert!(error.contains(&shape.to_string()), "{error}");
    assert!(error.contains("'flip'"), "{error}");
}

#[test]
fn every_number_format_has_the_same_copies() {
    let shape = ImageShape::new(1, 2, 3);
    let values = [0.5, -1.0, 0.25, 1.0, 0.0, -0.5];
    let singles: Vec<u8> = values.iter().flat_map(|&v| (v as f32).to_le_bytes()).collect();
    let doubles: Vec<u8> = values.iter().flat_map(|v: &f64| v.to_le_bytes()).collect();
    for storage in [
        Storage::Values(values.to_vec()),
        Storage::Singles(singles.into()),
        Storage::Doubles(doubles.into()),
    ] {
        let images = TrainingImages::new(shape, storage).unwrap();
        let images = images.augmented(Augmentation::Flip).unwrap();
        assert_eq!(images.values(1..2), mirrored(shape, &values));
        assert_eq!([images.origin(0), images.origin(1)], [0, 0]);
        let mirrored = Symmetry { is_mirrored: true, quarter_turns: 0 };
        assert_eq!([images.symmetry(0), images.symmetry(1)], [Symmetry::default(), mirrored]);
    }
    let bytes = TrainingImages::from_bytes(shape, vec![0, 51, 102, 153, 204, 255]).unwrap();
    let values = bytes.values(0..1);
    let bytes = bytes.augmented(Augmentation::Flip).unwrap();
    assert_eq!(bytes.values(1..2), mirrored(shape, &values));
}
