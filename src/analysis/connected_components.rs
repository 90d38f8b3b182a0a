//! Connected regions of a periodic image, as sets of pixels and as boxes.
//!
//! Images made with circular padding have no border, so a region may cross the edge: boxes start at `top`,
//! `left` and wrap around.

/// A connected region and its smallest enclosing box on the torus.
#[derive(Clone, Debug, PartialEq)]
pub struct Component {
    /// Pixel indices, `row * width + column`.
    pub pixels: Vec<usize>,
    pub top: usize,
    pub left: usize,
    pub height: usize,
    pub width: usize,
}

/// Pixel adjacency: by a side, or by a side or corner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connectivity {
    Four,
    Eight,
}

/// The connected regions of equal, non-`None` labels on a periodic `height * width` image.
pub fn components<L: PartialEq>(
    labels: &[Option<L>],
    height: usize,
    width: usize,
    connectivity: Connectivity,
) -> Vec<Component> {
    let mut is_done = vec![false; labels.len()];
    let mut found = Vec::new();
    for start in 0..labels.len() {
        if is_done[start] || labels[start].is_none() {
            continue;
        }
        is_done[start] = true;
        let mut pixels = vec![start];
        let mut next = 0;
        while next < pixels.len() {
            for near in neighbours(pixels[next], height, width, connectivity) {
                if !is_done[near] && labels[near] == labels[start] {
                    is_done[near] = true;
                    pixels.push(near);
                }
            }
            next += 1;
        }
        let (top, box_height) = extent(pixels.iter().map(|p| p / width), height);
        let (left, box_width) = extent(pixels.iter().map(|p| p % width), width);
        found.push(Component { pixels, top, left, height: box_height, width: box_width });
    }
    found
}

fn neighbours(
    p: usize,
    height: usize,
    width: usize,
    by: Connectivity,
) -> impl Iterator<Item = usize> {
    let (r, c) = (p / width, p % width);
    (0..9).filter(move |i| by == Connectivity::Eight || i % 2 == 1).map(move |i| {
        let (row, column) = ((r + height + i / 3 - 1) % height, (c + width + i % 3 - 1) % width);
        row * width + column
    })
}

/// Start and length of the shortest arc that contains all `places` on a ring of `n` positions.
fn extent(places: impl Iterator<Item = usize>, n: usize) -> (usize, usize) {
    let mut is_used = vec![false; n];
    places.for_each(|p| is_used[p] = true);
    // The arc is the complement of the longest unused run.
    let run_before = |start: usize| (1..n).take_while(|d| !is_used[(start + n - d) % n]).count();
    let starts = (0..n).filter(|&s| is_used[s]).map(|s| (run_before(s), s));
    let (run, start) = starts.max_by_key(|&(run, s)| (run, n - s)).unwrap_or((0, 0));
    (start, n - run)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regions(rows: &[&str], by: Connectivity) -> Vec<Component> {
        let labels: Vec<Option<char>> =
            rows.concat().chars().map(|c| (c != '.').then_some(c)).collect();
        components(&labels, rows.len(), rows[0].len(), by)
    }

    #[test]
    fn regions_run_over_the_edges() {
        let found = regions(&["#...#", ".....", ".....", "#...#"], Connectivity::Four);
        assert_eq!(found.len(), 1);
        let c = &found[0];
        assert_eq!((c.top, c.left, c.height, c.width, c.pixels.len()), (3, 4, 2, 2, 4));
    }

    #[test]
    fn corners_connect_only_if_asked() {
        let rows = ["#...", ".#..", "....", "...."];
        assert_eq!(regions(&rows, Connectivity::Eight).len(), 1);
        assert_eq!(regions(&rows, Connectivity::Four).len(), 2);
    }

    #[test]
    fn labels_divide_regions() {
        assert_eq!(regions(&["aab.", "....", "...."], Connectivity::Eight).len(), 2);
    }
}
