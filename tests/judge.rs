//! The judge of crafted sets: samples that it must accept or refuse.

use mosaic_lab::analysis::creativity_judge::{Judge, Judgement};
use mosaic_lab::dataset::glyph_shapes::HUES;
use mosaic_lab::dataset::{CraftedKind, CraftedSet, Dataset, Glyphs, Rule, Stripes};
use mosaic_lab::image::grid::{compose, to_rgb};
use mosaic_lab::image::{ImageBatch, ImageShape};
use mosaic_lab::random::noise_seeds;

fn set(kind: CraftedKind, n: usize) -> Dataset {
    CraftedSet { kind, n, seed: 3 }.generate("crafted").unwrap()
}

fn glyphs(n: usize) -> Dataset {
    set(CraftedKind::Glyphs(Glyphs::default()), n)
}

/// One set of every kind, for every glyph size, number of slots and both values of shift.
fn all_sets() -> Vec<Dataset> {
    let mut sets = vec![glyphs(60), set(CraftedKind::Stripes(Stripes::default()), 60)];
    for glyph in 3..=7 {
        let shift = glyph % 2 == 0;
        let slots = if glyph < 5 { 3 } else { 2 };
        let size = slots * (glyph + 4) + 1;
        sets.push(set(
            CraftedKind::Glyphs(Glyphs {
                size,
                slots,
                glyph,
                gap: 4,
                n_shapes: 12,
                n_hues: 6,
                shift,
            }),
            30,
        ));
        sets.push(set(
            CraftedKind::Mirror(Glyphs {
                size,
                slots,
                glyph,
                gap: 4,
                n_shapes: 5,
                n_hues: 3,
                shift,
            }),
            30,
        ));
    }
    sets
}

/// The image shifted down and right on the torus.
fn shifted(image: &[f64], shape: ImageShape, down: usize, right: usize) -> Vec<f64> {
    let (h, w) = (shape.height, shape.width);
    (0..image.len())
        .map(|i| {
            let (c, r, x) = (i / (h * w), i / w % h, i % w);
            image[(c * h + (r + h - down) % h) * w + (x + w - right) % w]
        })
        .collect()
}

/// Draws a glyph from the set's templates at a position.
fn stamp(image: &mut [f64], data: &Dataset, shape: usize, hue: usize, at: (usize, usize)) {
    let (Rule::OneHue(rule) | Rule::Mirror(rule)) = data.rule().unwrap() else { panic!() };
    let (h, w) = (data.shape().height, data.shape().width);
    for i in 0..rule.glyph * rule.glyph {
        let (r, c) = (i / rule.glyph, i % rule.glyph);
        if rule.shapes[shape].is_on(r, c) {
            for channel in 0..3 {
                image[(channel * h + (at.0 + r) % h) * w + (at.1 + c) % w] = HUES[hue].1[channel];
            }
        }
    }
}

fn drawn(data: &Dataset, glyphs: &[(usize, usize, (usize, usize))]) -> Vec<f64> {
    let mut image = vec![-1.0; data.shape().n_values()];
    glyphs.iter().for_each(|&(shape, hue, at)| stamp(&mut image, data, shape, hue, at));
    image
}

fn verdict(data: &Dataset, image: &[f64]) -> Judgement {
    Judge::new(data).unwrap().judge(image)
}

#[test]
fn training_images_are_valid_and_consistent_and_never_novel() {
    for data in all_sets() {
        let judge = Judge::new(&data).unwrap();
        let rates = judge.rates(&data.batch(0, data.len()));
        let n = data.len();
        let found = (rates.valid.count, rates.consistent.count, rates.novel.count);
        assert_eq!(found, (n, n, 0), "{:?} {}", data.rule(), data.shape());
        assert_eq!(rates.creative.count, 0);
    }
}

#[test]
fn a_shifted_training_image_is_judged_like_the_image_itself() {
    for data in all_sets() {
        let judge = Judge::new(&data).unwrap();
        let image = data.batch(7, 1);
        let moved = shifted(image.image(0), data.shape(), 5, data.shape().width - 2);
        assert_eq!(judge.judge(&moved), judge.judge(image.image(0)));
    }
}

#[test]
fn a_second_hue_is_inconsistent_but_valid() {
    let data = glyphs(40);
    let image = drawn(&data, &[(0, 0, (2, 2)), (1, 0, (2, 10)), (2, 1, (10, 2))]);
    let j = verdict(&data, &image);
    assert!(j.valid && !j.consistent && !j.creative && j.novel);
    // A plus and a cross have five pixels each, a ring eight.
    assert_eq!(j.hue_purity, Some(13.0 / 18.0));
}

#[test]
fn a_new_arrangement_is_creative() {
    let data = glyphs(40);
    let j = verdict(&data, &drawn(&data, &[(0, 2, (15, 14)), (1, 2, (6, 7)), (3, 2, (9, 1))]));
    assert!(j.valid && j.consistent && j.novel && j.creative);
    assert_eq!((j.n_components, j.n_valid_components), (3, 3));
}

#[test]
fn one_wrong_pixel_makes_a_glyph_invalid_at_every_size() {
    for data in all_sets() {
        let judge = Judge::new(&data).unwrap();
        let Rule::OneHue(rule) = data.rule().unwrap() else { continue };
        let shape = data.shape();
        for index in 0..10 {
            let image = data.batch(index, 1).into_values();
            let n = shape.n_pixels();
            let lit = |p: usize| (0..3).any(|c| image[c * n + p] > 0.0);
            // Removing an edge pixel of some shapes gives another shape of the set, so one pixel is recoloured,
            // and another one is added next to a glyph.
            let on = (0..n).filter(|&p| lit(p)).nth(index).unwrap();
            let mut recoloured = image.clone();
            recoloured[on] = -recoloured[on];
            assert!(!judge.judge(&recoloured).valid, "glyph {} image {index}", rule.glyph);
            let beside = (0..n - 1).find(|&p| !lit(p) && lit(p + 1)).unwrap();
            let mut added = image.clone();
            (0..3).for_each(|c| added[c * n + beside] = image[c * n + beside + 1]);
            assert!(!judge.judge(&added).valid, "glyph {} image {index}", rule.glyph);
        }
    }
}

#[test]
fn noise_of_a_fifth_and_mild_blur_leave_images_valid() {
    for data in all_sets() {
        let judge = Judge::new(&data).unwrap();
        let shape = data.shape();
        let noise = noise_seeds(1, 0, data.len(), shape);
        let mut noisy = data.batch(0, data.len());
        noisy.values_mut().iter_mut().zip(noise.values()).for_each(|(v, n)| *v += 0.2 * n);
        assert_eq!(judge.rates(&noisy).valid.count, data.len(), "{shape}");
        for image in data.batch(0, 10).iter() {
            let neighbours = [(0, 1), (1, 0), (0, shape.width - 1), (shape.height - 1, 0)];
            let mut blurred: Vec<f64> = image.iter().map(|v| 0.8 * v).collect();
            for (down, right) in neighbours {
                let moved = shifted(image, shape, down, right);
                blurred.iter_mut().zip(moved).for_each(|(b, m)| *b += 0.05 * m);
            }
            let j = judge.judge(&blurred);
            assert!(j.valid && j.consistent && !j.novel, "{shape}");
        }
    }
}

#[test]
fn fragments_and_touching_glyphs_are_invalid() {
    let data = glyphs(40);
    assert!(!verdict(&data, &drawn(&data, &[(0, 0, (2, 2)), (1, 0, (4, 5))])).valid);
    let mut fragment = drawn(&data, &[(0, 0, (2, 2)), (1, 0, (9, 9))]);
    fragment[10 * 16 + 11] = -1.0;
    let j = verdict(&data, &fragment);
    assert_eq!((j.valid, j.n_components, j.n_valid_components), (false, 2, 1));
    assert!(j.consistent, "the rule holds for broken glyphs too");
}

#[test]
fn hopeless_images_are_judged_without_nan() {
    for data in all_sets() {
        let judge = Judge::new(&data).unwrap();
        let n = data.shape().n_values();
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -1.0, 1.0, 1e300] {
            let j = judge.judge(&vec![value; n]);
            assert!(!j.valid && !j.creative, "{value}");
            assert!(j.hue_purity.is_none_or(f64::is_finite));
        }
        let none = judge.rates(&ImageBatch::zeros(data.shape(), 0));
        assert!(none.hue_purity.is_none() && none.chance_level.is_none());
    }
}

#[test]
fn a_foreign_hue_is_no_hue_of_the_set() {
    let data = glyphs(40);
    assert!(!verdict(&data, &drawn(&data, &[(0, 5, (2, 2)), (1, 5, (10, 10))])).valid);
}

#[test]
fn mirror_wants_the_partner_in_the_same_row() {
    let data = set(CraftedKind::Mirror(Glyphs { n_shapes: 3, n_hues: 2, ..Glyphs::default() }), 40);
    let consistent = |glyphs: &[_]| verdict(&data, &drawn(&data, glyphs)).consistent;
    assert!(consistent(&[(0, 0, (2, 2)), (1, 1, (2, 10))]));
    assert!(!consistent(&[(0, 0, (2, 2)), (0, 0, (2, 10))]), "the same, not the mirrored shape");
    assert!(!consistent(&[(0, 0, (2, 2)), (1, 0, (9, 10))]), "another row");
    assert!(!consistent(&[(0, 0, (2, 2))]), "no partner");
}

#[test]
fn two_textures_in_one_image_are_inconsistent() {
    let data = set(CraftedKind::Stripes(Stripes::default()), 60);
    let judge = Judge::new(&data).unwrap();
    let (a, b) = (data.batch(0, 1), data.batch(1, 1));
    let mixed: Vec<f64> = a
        .values()
        .iter()
        .zip(b.values())
        .enumerate()
        .map(|(i, (a, b))| if i % 16 < 10 { *a } else { *b })
        .collect();
    let j = judge.judge(&mixed);
    assert!(!j.consistent && !j.valid && j.hue_purity.unwrap() < 1.0);
}

#[test]
fn the_chance_level_is_what_independent_hues_give() {
    let data = glyphs(400);
    let level = Judge::new(&data).unwrap().chance_level(&data.batch(0, 400)).unwrap();
    // Four glyphs, four nearly equally frequent hues: 4 * (1/4)^4.
    assert!((level - 1.0 / 64.0).abs() < 0.004, "{level}");
}

#[test]
fn sets_without_a_rule_have_no_judge() {
    assert!(Judge::new(&Dataset::new("x", ImageShape::new(1, 1, 1), vec![0], None)).is_none());
}

#[test]
fn a_grid_of_every_crafted_set_can_be_drawn() {
    let rows: Vec<_> = all_sets()
        .iter()
        .map(|d| d.batch(0, 10).iter().map(|image| to_rgb(image, d.shape())).collect())
        .collect();
    let sheet = compose(&rows, 4, 4, [64; 3]);
    assert!(sheet.pixels().any(|p| p.0 == [255, 0, 0]));
    // To view the sheet: MOSAIC_SHEET=sheet.png cargo test --release --test judge grid
    if let Some(path) = std::env::var_os("MOSAIC_SHEET") {
        sheet.save(path).unwrap();
    }
}
