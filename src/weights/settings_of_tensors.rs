//! Reads a network's settings from the names and shapes of its tensors, as far as those tell them, and refuses networks of
//! Kamb & Ganguli's code that this lab's networks do not compute.

use std::collections::BTreeMap;

use super::error::WeightsError;
use super::stored_tensor::StoredTensor;
use super::tensors_by_path::NamedTensors;
use crate::network::basic_layers::N_GROUPS;
use crate::network::network_config::{FIRST_KERNEL_RESNET, READOUT};

/// What names and shapes tell of a network; keys and values are those of the settings.
#[derive(Clone, Debug, PartialEq)]
pub struct SettingsOfTensors {
    pub settings: BTreeMap<&'static str, String>,
    /// Channels of the images.
    pub channels: usize,
    pub n_classes: Option<usize>,
    pub attention: Option<AttentionTensors>,
    /// `zeros` or `circular`, which whole modules tell.
    pub padding: Option<String>,
}

/// What tensors tell of an attention layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionTensors {
    /// Channels of all heads together.
    pub inner: usize,
    /// False for uniform and identity attention.
    pub has_queries: bool,
}

/// The tensors of a network by its own names.
type Tensors = BTreeMap<String, StoredTensor>;

fn not_computed(problem: impl Into<String>) -> WeightsError {
    WeightsError::NotComputed { problem: problem.into() }
}

/// The shape of a tensor of `N` axes, none of which is empty.
fn shape<const N: usize>(tensors: &Tensors, name: &str) -> Result<[usize; N], WeightsError> {
    let Some(tensor) = tensors.get(name) else {
        return Err(WeightsError::Misfit { problems: vec![format!("'{name}' is missing")] });
    };
    match <[usize; N]>::try_from(tensor.shape()) {
        Ok(shape) if !shape.contains(&0) => Ok(shape),
        _ => {
            let problem = format!("has shape {:?}; {N} axes belong here", tensor.shape());
            Err(WeightsError::tensor(name, problem))
        }
    }
}

/// Reads the settings. `prefix` stood before the tensors' names in the file; `is_ours` if mosaic exported it.
///
/// # Errors
///
/// If a tensor that decides is missing or has another number of axes, or the network is one that cannot be computed here.
pub fn read(
    tensors: &Tensors,
    file: &NamedTensors,
    prefix: &str,
    is_ours: bool,
) -> Result<SettingsOfTensors, WeightsError> {
    if tensors.keys().any(|name| name.ends_with(".running_mean")) {
        return Err(not_computed(
            "the network has batch normalisation, which mosaic's networks do not",
        ));
    }
    if tensors.keys().any(|name| name.starts_with("last_normalizer.")) {
        let problem =
            "the UNet normalises before its last convolution (last_norm), which mosaic's does not";
        return Err(not_computed(problem));
    }
    let is_unet = !tensors.contains_key("up_projection.weight");
    let mut found = if is_unet { unet(tensors)? } else { resnet(tensors)? };
    if tensors.contains_key("embedding.class_embeddings.weight") {
        found.n_classes = Some(shape::<2>(tensors, "embedding.class_embeddings.weight")?[0]);
    }
    found.settings.insert("network.conditional", found.n_classes.is_some().to_string());
    let has_readout = tensors.keys().any(|name| name.starts_with(&format!("{READOUT}.")));
    found
        .settings
        .insert("network.readout", if has_readout { "relu" } else { "linear" }.to_owned());
    if tensors.contains_key("attention.v.weight") {
        found.attention = Some(AttentionTensors {
            inner: shape::<4>(tensors, "attention.v.weight")?[0],
            has_queries: tensors.contains_key("attention.q.weight"),
        });
    }
    let has_groups = found.settings["network.group_norm"] == "true";
    check_groups(tensors, file, prefix, is_unet && has_groups && !is_ours)?;
    found.padding = padding(file, prefix)?;
    Ok(found)
}

/// The number of `BEFORE.i.AFTER` from i = 0 on.
fn count(tensors: &Tensors, before: &str, after: &str) -> usize {
    (0..).take_while(|i| tensors.contains_key(&format!("{before}.{i}.{after}"))).count()
}

fn resnet(tensors: &Tensors) -> Result<SettingsOfTensors, WeightsError> {
    let [width, channels, first, _] = shape(tensors, "up_projection.weight")?;
    if first != FIRST_KERNEL_RESNET {
        return Err(not_computed(format!(
            "the ResNet's first kernel has side {first} (kernel_size); mosaic's ResNets have \
             {FIRST_KERNEL_RESNET} there, whatever the later ones have"
        )));
    }
    let n_layers = count(tensors, "convs", "0.weight");
    if n_layers > 0 && count(tensors, "embs", "0.weight") == n_layers {
        return Err(not_computed(
            "the ResNet has no time layer after its last convolution (add_one=False), which mosaic's have",
        ));
    }
    let kernel = |i: usize| Ok(shape::<4>(tensors, &format!("convs.{i}.0.weight"))?[2].to_string());
    let kernels = (0..n_layers).map(kernel).collect::<Result<Vec<_>, WeightsError>>()?;
    let group_norm = tensors.contains_key("down_projection.1.weight");
    let last = if group_norm { "down_projection.1.weight" } else { "down_projection.weight" };
    let last_kernel = shape::<4>(tensors, last)?[2];
    let settings = BTreeMap::from([
        ("network.architecture", "resnet".to_owned()),
        ("network.width", width.to_string()),
        ("network.kernels", kernels.join(",")),
        ("network.group_norm", group_norm.to_string()),
        ("network.last_kernel", last_kernel.to_string()),
    ]);
    Ok(SettingsOfTensors { settings, channels, n_classes: None, attention: None, padding: None })
}

fn unet(tensors: &Tensors) -> Result<SettingsOfTensors, WeightsError> {
    let n_down = count(tensors, "feature_blocks", "model.0.weight");
    let mut blocks: Vec<String> = (0..n_down).map(|i| format!("feature_blocks.{i}")).collect();
    blocks.push("bottleneck".to_owned());
    let mut widths = Vec::new();
    let mut channels = 0;
    for (i, block) in blocks.iter().enumerate() {
        let [width, n_in, kernel, _] = shape(tensors, &format!("{block}.model.0.weight"))?;
        if kernel != 3 {
            return Err(not_computed(format!(
                "the UNet's blocks have kernels of side {kernel} (kernel_size); mosaic's UNets have 3"
            )));
        }
        if i == 0 {
            channels = n_in;
        }
        widths.push(width.to_string());
    }
    let group_norm = tensors.get("bottleneck.model.1.weight").is_some_and(|t| t.shape().len() == 1);
    let settings = BTreeMap::from([
        ("network.architecture", "unet".to_owned()),
        ("network.widths", widths.join(",")),
        ("network.embedding", shape::<2>(tensors, "bottleneck.emb.1.weight")?[1].to_string()),
        ("network.group_norm", group_norm.to_string()),
        ("network.last_kernel", shape::<4>(tensors, "output_conv.weight")?[2].to_string()),
    ]);
    Ok(SettingsOfTensors { settings, channels, n_classes: None, attention: None, padding: None })
}

/// Refuses normalisation in another number of groups. Whole modules tell it; of a state_dict, `min(32, width)` is known
/// to be what the public UNet has.
fn check_groups(
    tensors: &Tensors,
    file: &NamedTensors,
    prefix: &str,
    is_public_unet: bool,
) -> Result<(), WeightsError> {
    let told = file.group_counts.iter().filter(|(path, _)| path.starts_with(prefix));
    let mut counts: Vec<usize> = told.map(|(_, &n)| n).collect();
    if counts.is_empty() && is_public_unet {
        let norms = tensors.iter().filter(|(name, tensor)| {
            name.contains(".model.") && name.ends_with(".weight") && tensor.shape().len() == 1
        });
        counts.extend(norms.map(|(_, tensor)| tensor.shape()[0].min(32)));
    }
    match counts.iter().find(|&&n| n != N_GROUPS) {
        None => Ok(()),
        Some(n) => Err(not_computed(format!(
            "the network normalises in {n} groups (the public UNet in min(32, width)), but mosaic's networks in \
             {N_GROUPS}; the same weights would give other images here"
        ))),
    }
}

/// How the convolutions of a whole module continue images.
fn padding(file: &NamedTensors, prefix: &str) -> Result<Option<String>, WeightsError> {
    let mut modes: Vec<&str> = file
        .padding_modes
        .iter()
        .filter(|(path, _)| path.starts_with(prefix))
        .map(|(_, mode)| mode.as_str())
        .collect();
    modes.sort_unstable();
    modes.dedup();
    match modes[..] {
        [] => Ok(None),
        [mode @ ("zeros" | "circular")] => Ok(Some(mode.to_owned())),
        _ => Err(not_computed(format!(
            "the network's convolutions pad with {}; mosaic's with either 'zeros' or 'circular'",
            modes
                .iter()
                .map(|mode| format!("'{}'", mode.escape_debug()))
                .collect::<Vec<_>>()
                .join(" and ")
        ))),
    }
}
