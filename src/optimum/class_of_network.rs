//! The class (C) of a network, if it has one.

use crate::network::network_config::{Architecture, NetworkConfig, Padding, Readout};
use crate::theory::attention_optimal::AttentionClass;
use crate::theory::patch_pools_ls_els_bbels::Pool;

/// The class of local functions with an attention layer after them, and a linear or joint readout, that holds `network`.
///
/// # Errors
///
/// The reason why there is none.
pub fn class_of_network(network: &NetworkConfig) -> Result<AttentionClass, &'static str> {
    let Some(attention) = network.attention else {
        return Err("the network has no attention, so els or bbels is the optimum of its class");
    };
    let is_resnet = matches!(network.architecture, Architecture::ResNet { .. });
    if !is_resnet || network.group_norm {
        return Err("its class needs network.architecture 'resnet' without network.group_norm");
    }
    if network.last_kernel != 1 {
        return Err("its class needs network.last_kernel 1, so that attention comes last");
    }
    let pool = match network.padding {
        Padding::Circular => Pool::Wrap,
        Padding::Zeros => Pool::SameBorder,
    };
    Ok(AttentionClass {
        pool,
        heads: attention.heads,
        head_width: attention.head_width,
        weights: attention.variant.into(),
        normalise: attention.normalise,
        joint_readout: network.readout == Readout::Relu,
        clamp: network.clamp,
    })
}
