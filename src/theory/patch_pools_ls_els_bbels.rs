//! What tells the patch machines `ls`, `els`, `els-interior` and `bbels` apart: which training patches a query pixel is
//! compared with, and over which offsets (docs/theory.md section 2).
//!
//! Everything here concerns one axis of length `L`; rows and columns are independent. A training place is written as a
//! circular displacement `s`: the query at `p` is compared with the patch at `q = (p + s) mod L`.

use std::ops::Range;

/// The patches of the dictionary that a query pixel is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pool {
    /// `els`: every place, both sides wrapped around.
    Wrap,
    /// `els-interior`: places whose patch lies wholly inside the image; the query is wrapped.
    Interior,
    /// `ls` for zero padding: the query's own place, patches cut at the border.
    SamePlace,
    /// `ls` for circular padding: the query's own place, both sides wrapped around.
    SamePlaceWrapped,
    /// `bbels`: places with the same overlap with the border as the query; patches cut at the border.
    SameBorder,
}

/// How patches continue beyond the border of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Border {
    /// The other side of the image.
    Wrap,
    /// Not at all: the patch ends there.
    Cut,
}

/// The offsets `-before..=after` of a patch along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub before: usize,
    pub after: usize,
}

impl Window {
    /// Number of offsets.
    pub fn n_offsets(&self) -> usize {
        self.before + self.after + 1
    }
}

impl Pool {
    /// Every pool.
    pub const ALL: [Self; 5] =
        [Self::Wrap, Self::Interior, Self::SamePlace, Self::SamePlaceWrapped, Self::SameBorder];

    /// How patches of this pool continue beyond the border.
    pub fn border(self) -> Border {
        match self {
            Self::Wrap | Self::Interior | Self::SamePlaceWrapped => Border::Wrap,
            Self::SamePlace | Self::SameBorder => Border::Cut,
        }
    }

    /// Whether a query pixel is compared with its own place alone.
    pub fn is_same_place(self) -> bool {
        matches!(self, Self::SamePlace | Self::SamePlaceWrapped)
    }

    /// The offsets of a patch of side `k` along an axis of length `len`.
    ///
    /// A wrapped patch that covers the axis holds every place exactly once (so that with a covering k `els` is `es` and
    /// `ls` is `ideal`, also on even sides); a cut one has nothing beyond `len - 1` offsets.
    pub fn window(self, k: usize, len: usize) -> Window {
        let half = k / 2;
        match self.border() {
            Border::Wrap if k >= len => Window { before: len / 2, after: len - 1 - len / 2 },
            Border::Wrap => Window { before: half, after: half },
            Border::Cut => Window { before: half.min(len - 1), after: half.min(len - 1) },
        }
    }

    /// Whether the query at `p` is compared with the patch at `(p + s) mod len`.
    pub fn accepts(self, k: usize, len: usize, p: usize, s: usize) -> bool {
        let half = k / 2;
        let inside = |place: usize| place >= half && place + half < len;
        let q = (p + s) % len;
        match self {
            Self::Wrap => true,
            Self::Interior => inside(q),
            Self::SamePlace | Self::SamePlaceWrapped => s == 0,
            // Near the border only the same distance from it will do. With k >= len no place is
            // inside (or one is), and the pool becomes that of `ls`.
            Self::SameBorder => s == 0 || (inside(p) && inside(q)),
        }
    }

    /// How many places of one image the query at row and column `p` is compared with.
    pub fn n_places(self, k: usize, (height, width): (usize, usize), p: (usize, usize)) -> usize {
        let along = |len, p| (0..len).filter(|&s| self.accepts(k, len, p, s)).count();
        along(height, p.0) * along(width, p.1)
    }

    /// The places along an axis, grouped by the places that they are compared with; every place is in one group.
    pub fn groups(self, k: usize, len: usize) -> Vec<PlaceGroup> {
        let window = self.window(k, len);
        let half = k / 2;
        let group = |queries: Range<usize>, training: Range<usize>, before, n_offsets| PlaceGroup {
            queries,
            training,
            before,
            n_offsets,
        };
        // A window that ends at the borders has fewer offsets.
        let alone = |p: usize| {
            let (first, last) = (p.saturating_sub(half), (p + half).min(len - 1));
            group(p..p + 1, p..p + 1, p - first, last + 1 - first)
        };
        let inner = half..len.saturating_sub(half).max(half);
        match self {
            Self::Wrap => vec![group(0..len, 0..len, window.before, window.n_offsets())],
            Self::Interior => vec![group(0..len, inner, half, k)],
            Self::SamePlace => (0..len).map(alone).collect(),
            Self::SamePlaceWrapped => {
                let wrapped = |p| group(p..p + 1, p..p + 1, window.before, window.n_offsets());
                (0..len).map(wrapped).collect()
            }
            Self::SameBorder => {
                let edges = (0..len).filter(|p| !inner.contains(p)).map(alone);
                let within =
                    (!inner.is_empty()).then(|| group(inner.clone(), inner.clone(), half, k));
                within.into_iter().chain(edges).collect()
            }
        }
    }

    /// The accepted pairs along an axis, displacement by displacement.
    pub fn stretches(self, k: usize, len: usize) -> Vec<Stretch> {
        let window = self.window(k, len);
        let half = k / 2;
        let inner = len.saturating_sub(2 * half);
        match self {
            // From the first place whose window does not wrap on; wraps round at the end.
            Self::Wrap => {
                (0..len).map(|shift| Stretch { shift, start: window.before, len }).collect()
            }
            Self::Interior => {
                (0..len).map(|shift| Stretch { shift, start: half, len: inner }).collect()
            }
            Self::SamePlace => vec![Stretch { shift: 0, start: 0, len }],
            Self::SamePlaceWrapped => vec![Stretch { shift: 0, start: window.before, len }],
            Self::SameBorder => {
                let down =
                    (1..inner).map(|s| Stretch { shift: s, start: half + s, len: inner - s });
                let up =
                    (1..inner).map(|s| Stretch { shift: len - s, start: half, len: inner - s });
                let same = Stretch { shift: 0, start: 0, len };
                std::iter::once(same).chain(down).chain(up).collect()
            }
        }
    }
}

/// Places along an axis that are compared with the same training places over the same offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceGroup {
    pub queries: Range<usize>,
    pub training: Range<usize>,
    /// The offsets are `-before..n_offsets - before`.
    pub before: usize,
    pub n_offsets: usize,
}

/// Accepted pairs at one displacement along an axis of length L: training places `start..start + len` (mod L), each with
/// the query place `shift` before it (mod L).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Displacement, in `0..L`.
    pub shift: usize,
    pub start: usize,
    pub len: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n_places(pool: Pool, k: usize, len: usize, p: usize) -> usize {
        (0..len).filter(|&s| pool.accepts(k, len, p, s)).count()
    }

    #[test]
    fn pools_have_the_sizes_of_the_theory() {
        assert_eq!(n_places(Pool::Wrap, 5, 8, 0), 8);
        assert_eq!(n_places(Pool::Interior, 5, 8, 0), 4);
        assert_eq!(n_places(Pool::SamePlace, 5, 8, 3), 1);
        assert_eq!(n_places(Pool::SamePlaceWrapped, 5, 8, 3), 1);
        assert_eq!(n_places(Pool::SameBorder, 5, 8, 1), 1);
        assert_eq!(n_places(Pool::SameBorder, 5, 8, 2), 4);
    }

    /// Query and training places that are compared, by the definition.
    fn accepted_pairs(pool: Pool, k: usize, len: usize) -> Vec<(usize, usize)> {
        let all = (0..len).flat_map(|p| (0..len).map(move |q| (p, q)));
        all.filter(|&(p, q)| pool.accepts(k, len, p, (q + len - p) % len)).collect()
    }

    #[test]
    fn stretches_hold_every_accepted_pair_once() {
        for pool in Pool::ALL {
            for (k, len) in [(1, 5), (3, 8), (5, 8), (7, 7), (9, 8)] {
                if pool == Pool::Interior && k > len {
                    continue;
                }
                let place = |s: &Stretch, i: usize| (s.start + i) % len;
                let mut found: Vec<(usize, usize)> = pool
                    .stretches(k, len)
                    .iter()
                    .flat_map(|s| {
                        (0..s.len).map(|i| place(s, i)).map(|q| ((q + len - s.shift) % len, q))
                    })
                    .collect();
                found.sort_unstable();
                assert_eq!(found, accepted_pairs(pool, k, len), "{pool:?}, k = {k}, length {len}");
            }
        }
    }

    #[test]
    fn groups_hold_every_accepted_pair_once() {
        for pool in Pool::ALL {
            for (k, len) in [(1, 5), (3, 8), (5, 8), (7, 7), (9, 8), (5, 4), (1, 1)] {
                if pool == Pool::Interior && k > len {
                    continue;
                }
                let groups = pool.groups(k, len);
                let mut found: Vec<(usize, usize)> = groups
                    .iter()
                    .flat_map(|g| {
                        g.queries.clone().flat_map(|p| g.training.clone().map(move |q| (p, q)))
                    })
                    .collect();
                found.sort_unstable();
                assert_eq!(found, accepted_pairs(pool, k, len), "{pool:?}, k = {k}, length {len}");
                let queries: usize = groups.iter().map(|group| group.queries.len()).sum();
                assert_eq!(queries, len, "{pool:?}, k = {k}, length {len}");
            }
        }
    }

    #[test]
    fn a_covering_boundary_broken_patch_is_local() {
        for p in 0..8 {
            assert_eq!(n_places(Pool::SameBorder, 9, 8, p), 1);
        }
    }

    #[test]
    fn a_covering_wrapped_window_holds_every_place_once() {
        for pool in [Pool::Wrap, Pool::SamePlaceWrapped] {
            for (k, len) in [(5, 5), (9, 5), (9, 8), (17, 8)] {
                assert_eq!(pool.window(k, len).n_offsets(), len, "{pool:?}, k = {k}");
            }
        }
        assert_eq!(Pool::Wrap.window(3, 8).n_offsets(), 3);
        assert_eq!(Pool::SamePlace.window(99, 8).n_offsets(), 15);
    }
}
