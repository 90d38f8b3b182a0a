//! Machine settings that change from sampling step to sampling step.

use serde::{Deserialize, Serialize};

use crate::theory::machine_spec::{
    AttentionSettings, AttentionSource, MachineKind, MachineSpec, PatchSize, Scheduled,
};

/// Settings of one sampling step; `lambda`, `gamma` and `tau` are 0 for machines that have none.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepSettings {
    pub k: usize,
    pub lambda: f64,
    pub gamma: f64,
    pub tau: f64,
}

impl StepSettings {
    /// These settings for an attention machine with this source, whose own tau is replaced.
    pub fn attention(&self, source: AttentionSource) -> AttentionSettings {
        let source = match source {
            AttentionSource::Similarity { .. } => AttentionSource::Similarity { tau: self.tau },
            other => other,
        };
        AttentionSettings { lambda: self.lambda, gamma: self.gamma, source }
    }
}

/// `plain` with these settings per step, cleanest step first.
pub fn with_schedule(plain: &MachineSpec, settings: &[StepSettings]) -> MachineSpec {
    let kind = match (&plain.kind, plain.kind.attention_source()) {
        (MachineKind::Attention { pool, .. }, Some(source)) => {
            let step = |settings: &StepSettings| settings.attention(source);
            let settings = Scheduled::PerStep(settings.iter().map(step).collect());
            MachineKind::Attention { pool: *pool, settings }
        }
        (kind, _) => kind.clone(),
    };
    let k = PatchSize::PerStep(settings.iter().map(|step| step.k).collect());
    MachineSpec::new(kind, k).with_window(plain.window)
}
