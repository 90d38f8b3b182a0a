//! A trace at one pixel and step, as the rows of a table.

use super::pixel_picture_and_film::At;
use super::trace::{Actor, Trace};

/// Names of the columns. `index` is a channel, an attention head, or a training image's number; `row` and `column` say which
/// pixel, or where in the training image.
pub const HEAD: [&str; 6] = ["actor", "quantity", "index", "row", "column", "value"];

/// Every figure that the look inside shows of a step and pixel, actor by actor, under [`HEAD`]: the clean estimate in `[-1, 1]`
/// (of `attention-optimal` also without what attention brings), attention weights over all pixels, the posterior's entropy in nats, its likeliest patch (its value says how the image was
/// mirrored or turned, if it was), and the training images that weigh most.
pub fn rows(trace: &Trace, at: At) -> Vec<[String; 6]> {
    trace.actors.iter().flat_map(|actor| of_actor(trace, actor, at)).collect()
}

fn of_actor(trace: &Trace, actor: &Actor, at: At) -> Vec<[String; 6]> {
    let (n, width) = (trace.shape.n_pixels(), trace.shape.width);
    let p = at.pixel.0 * width + at.pixel.1;
    let row = |quantity: &str, index: String, place: Option<[u32; 2]>, value: String| {
        let [row, column] =
            place.map_or([String::new(), String::new()], |place| place.map(|n| n.to_string()));
        [actor.name.clone(), quantity.to_owned(), index, row, column, value]
    };
    let pixel = |q: usize| Some([(q / width) as u32, (q % width) as u32]);
    let mut rows = Vec::new();
    let x0 = trace.at(&actor.x0, at.index);
    for channel in 0..trace.shape.channels {
        let value = x0[channel * n + p].to_string();
        rows.push(row("x0hat", channel.to_string(), pixel(p), value));
    }
    if !actor.without_attention.is_empty() {
        let local = trace.at(&actor.without_attention, at.index);
        for channel in 0..trace.shape.channels {
            let value = local[channel * n + p].to_string();
            rows.push(row("x0hat_without_attention", channel.to_string(), pixel(p), value));
        }
    }
    for (maps, head) in
        actor.maps.iter().flat_map(|maps| (0..maps.n_heads).map(move |head| (maps, head)))
    {
        for (q, weight) in maps.row(n, at.index, head, p).into_iter().enumerate() {
            rows.push(row("attention", head.to_string(), pixel(q), weight.to_string()));
        }
    }
    let Some(inside) = &actor.posterior else { return rows };
    if let Some(nats) = inside.entropy.get(at.index * n + p) {
        rows.push(row("posterior_entropy_nats", String::new(), pixel(p), nats.to_string()));
    }
    let [image, of_row, of_column] = inside.place(n, at.index, p);
    let place = Some([of_row, of_column]);
    let symmetry = inside.symmetry(n, at.index, p);
    rows.push(row("likeliest_patch", image.to_string(), place, symmetry));
    for (image, weight) in inside.leading(n, at.index, p) {
        rows.push(row("image_weight", image.to_string(), None, weight.to_string()));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::super::trace_for_tests::example;
    use super::*;

    #[test]
    fn a_table_has_what_the_pictures_show() {
        let trace = example();
        let rows = rows(&trace, At { index: 1, pixel: (1, 0) });
        let of = |actor: &str, quantity: &str| -> Vec<String> {
            let found = rows.iter().filter(|row| row[0] == actor && row[1] == quantity);
            found.map(|row| row[2..].join(" ")).collect()
        };
        let [network, machine] = &trace.actors[..] else { panic!() };
        assert_eq!(of(&network.name, "x0hat").len(), trace.shape.channels);
        let weights = of(&network.name, "attention");
        assert_eq!(weights.len(), 2 * trace.shape.n_pixels());
        assert_eq!(weights[trace.shape.n_pixels()], "1 0 0 0.5");
        assert_eq!(of(&machine.name, "x0hat_without_attention").len(), trace.shape.channels);
        assert!(of(&network.name, "x0hat_without_attention").is_empty());
        assert_eq!(of(&machine.name, "likeliest_patch"), ["0 1 0 "]);
        assert_eq!(of(&machine.name, "image_weight")[0], "0   0.5");
        assert!(of(&network.name, "likeliest_patch").is_empty());
    }
}
