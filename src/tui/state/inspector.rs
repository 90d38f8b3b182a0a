//! The inspector of one noise seed, which takes the place of the tabs: its trace, and the step and pixel it shows.

use std::sync::Arc;

use crate::evaluation::inspect::Trace;
use crate::evaluation::inspect::pixel_picture_and_film::At;

/// One noise seed under inspection.
#[derive(Debug)]
pub struct Inspector {
    pub run: String,
    pub seed: u64,
    /// `None` while it is computed, which takes seconds.
    pub trace: Option<Arc<Trace>>,
    /// The sampling step and pixel on the screen.
    pub at: At,
    /// First row (the network or a machine) and first column of pictures on the screen.
    pub first_actor: usize,
    pub first_view: usize,
}

impl Inspector {
    pub fn new(run: String, seed: u64) -> Self {
        let at = At { index: 0, pixel: (0, 0) };
        Self { run, seed, trace: None, at, first_actor: 0, first_view: 0 }
    }

    /// Shows a trace, from the middle of its steps and of the image.
    pub fn show(&mut self, trace: Arc<Trace>) {
        let pixel = (trace.shape.height / 2, trace.shape.width / 2);
        self.at = At { index: trace.n_steps() / 2, pixel };
        self.trace = Some(trace);
    }
}
