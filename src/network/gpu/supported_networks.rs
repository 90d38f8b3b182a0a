//! Which networks have commands of our own on a GPU; the others use candle's operations.

use super::layer_buffers::CHANNELS_MAX;
use super::parameter_layout::rounded;
use crate::network::network_config::{Architecture, AttentionVariant, NetworkConfig};

/// Checks that `config` has commands.
///
/// # Errors
///
/// What such networks need instead, for users.
pub fn check_supported(config: &NetworkConfig) -> Result<(), String> {
    let needs = |problem: String| Err(format!("training on a GPU needs {problem}"));
    let (widths, names): (Vec<usize>, &str) = match &config.architecture {
        Architecture::ResNet { width, .. } => (vec![*width], "width"),
        Architecture::UNet { widths, embedding } => {
            let all = widths.iter().copied().chain([*embedding]);
            (all.collect(), "widths and embedding")
        }
    };
    // Joined skips are twice as wide.
    let most = CHANNELS_MAX / 2;
    if let Some(width) = widths.iter().find(|w| **w != rounded(**w) || **w > most) {
        return needs(format!(
            "{names} in multiples of {} up to {most}, not '{width}'",
            rounded(1)
        ));
    }
    if let Some(attention) = &config.attention {
        let inner = attention.heads * attention.head_width;
        if inner != rounded(inner) || inner > most {
            return needs(format!(
                "attention heads whose widths add up to a multiple of {} up to {most}, not '{inner}'",
                rounded(1)
            ));
        }
        if attention.variant == AttentionVariant::Top1 {
            return needs(
                "another attention variant than 'top1', whose noise is drawn anew each step".into(),
            );
        }
    }
    Ok(())
}
