//! The network as it is sampled: conditioned on the classes of noise seeds, and recording its attention maps.

use crate::evaluation::network_or_recorded_model::Model;
use crate::network::AttentionDetail;

/// The network conditioned on the classes of the seeds `first..first + n`, if it is conditional: seed i is of class
/// `i mod n_classes`, wherever it is sampled.
pub fn with_classes(network: &Model, first: u64, n: usize) -> Model {
    match network.config().n_classes {
        Some(n_classes) => {
            let class = |seed: u64| (seed % n_classes as u64) as u32;
            network.clone().with_labels((first..first + n as u64).map(class).collect())
        }
        None => network.clone(),
    }
}

/// The network recording its attention maps at every call, if it has attention.
pub fn recording_maps(network: Model) -> Model {
    match network.config().attention.is_some() {
        true => network.recording(AttentionDetail::Maps),
        false => network,
    }
}
