//! The origin of an image's pixels: statistics of a machine's provenance map.
//!
//! A memorised image comes from one training image everywhere; a creative one is a mosaic of regions.

use std::collections::HashMap;

use super::connected_components::{Connectivity, components};
use crate::diffusion::Posterior;

/// Statistics of one image's provenance map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProvenanceStatistics {
    /// Share of pixels from the most-used training image.
    pub leading_share: f64,
    /// Number of training images used.
    pub n_images: usize,
    /// Mean area, in pixels, of 4-connected regions from one training image.
    pub mean_region_area: f64,
}

/// Statistics of image `index` of a posterior over `height * width` pixels; with `circular`, regions wrap
/// around the edges. `None` if the posterior does not contain that image.
pub fn provenance_statistics(
    posterior: &Posterior,
    index: usize,
    height: usize,
    width: usize,
    circular: bool,
) -> Option<ProvenanceStatistics> {
    let n = height * width;
    let map = posterior.provenance.get(index * n..(index + 1) * n).filter(|map| !map.is_empty())?;
    let mut counts: HashMap<u32, usize> = HashMap::new();
    map.iter().for_each(|p| *counts.entry(p.image).or_default() += 1);
    let leading = counts.values().max().copied().unwrap_or(0);
    // An empty column on the right and an empty row below keep a bounded image from wrapping around.
    let frame = usize::from(!circular);
    let labels: Vec<Option<u32>> = (0..(height + frame) * (width + frame))
        .map(|i| (i / (width + frame), i % (width + frame)))
        .map(|(r, c)| (r < height && c < width).then(|| map[r * width + c].image))
        .collect();
    let n_regions = components(&labels, height + frame, width + frame, Connectivity::Four).len();
    Some(ProvenanceStatistics {
        leading_share: leading as f64 / n as f64,
        n_images: counts.len(),
        mean_region_area: n as f64 / n_regions as f64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::Provenance;

    fn posterior(images: &[u32]) -> Posterior {
        let provenance =
            images.iter().map(|&image| Provenance { image, ..Provenance::default() }).collect();
        Posterior { entropy_nats: vec![0.0; images.len()], provenance, ..Posterior::default() }
    }

    #[test]
    fn a_copy_is_one_region() {
        let s = provenance_statistics(&posterior(&[4; 9]), 0, 3, 3, false).unwrap();
        assert_eq!((s.leading_share, s.n_images, s.mean_region_area), (1.0, 1, 9.0));
    }

    #[test]
    fn regions_join_over_the_edge_only_if_circular() {
        let map = posterior(&[1, 2, 1, 1, 2, 1, 1, 2, 1]);
        let s = provenance_statistics(&map, 0, 3, 3, false).unwrap();
        assert_eq!((s.n_images, s.mean_region_area), (2, 3.0));
        assert_eq!(provenance_statistics(&map, 0, 3, 3, true).unwrap().mean_region_area, 4.5);
        assert!(provenance_statistics(&map, 1, 3, 3, true).is_none());
    }
}
