//! The attention maps of a machine that are its own, not the network's.

use std::borrow::Cow;

use crate::diffusion::{AttentionMaps, Denoised};
use crate::theory::machine_spec::{AttentionSource, MachineKind};

/// Whether a machine has attention maps of its own: computed from the training images, solved for, or measured at its states.
/// Those of the source `trajectory` are the network's.
pub fn has_own_maps(kind: &MachineKind) -> bool {
    let source = kind.attention_source();
    matches!(kind, MachineKind::OptimalAttention(_))
        || matches!(
            source,
            Some(
                AttentionSource::CoOrigin
                    | AttentionSource::Similarity { .. }
                    | AttentionSource::Measured
            )
        )
}

/// The maps with which a machine made an estimate, `[B, heads, P, P]`, if they are its own. Where `attention-optimal` is the
/// local machine and has none, each pixel attends to itself.
pub fn own_maps<'a>(kind: &MachineKind, denoised: &'a Denoised) -> Option<Cow<'a, AttentionMaps>> {
    let found = denoised.attention.as_ref().map(Cow::Borrowed);
    match kind {
        MachineKind::OptimalAttention(class) => {
            let (n, n_pixels) = (denoised.x0.len(), denoised.x0.shape().n_pixels());
            Some(found.unwrap_or_else(|| Cow::Owned(to_itself(n, class.heads, n_pixels))))
        }
        kind => found.filter(|_| has_own_maps(kind)),
    }
}

/// Maps of `n_images` images of `n` pixels in which every pixel attends to itself.
pub fn to_itself(n_images: usize, heads: usize, n: usize) -> AttentionMaps {
    let one = (0..n * n).map(|i| if i / n == i % n { 1.0 } else { 0.0 });
    let all: Vec<f32> = one.collect();
    AttentionMaps::new(heads, n, all.repeat(n_images * heads))
}
