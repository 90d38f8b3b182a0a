//! Shared queries on run directories.

use mosaic_lab::runs::run_dir::RunDir;
use mosaic_lab::runs::status_json::RunState;

pub fn state(run: &RunDir) -> Option<RunState> {
    run.status().map(|status| status.state)
}

pub fn weights(run: &RunDir, step: u64) -> Vec<u8> {
    std::fs::read(run.state_path().join(format!("step-{step:06}/weights.safetensors"))).unwrap()
}
