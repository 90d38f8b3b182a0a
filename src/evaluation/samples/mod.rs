//! Samples of the network and of every machine from the same noise seeds.
//!
//! Previews and the final comparison both come through here. The network goes first, because its
//! attention maps along its own trajectory are what the `trajectory` source of the attention machine
//! replays; maps are large (`T x heads x P^2` numbers a seed), so seeds go through in chunks.
//!
//! A conditional network (seed i is of class `i mod n_classes`, wherever it is sampled) is compared with machines over
//! the training images of that class only.
//!
//! Reading order: [`network_for_sampling`], [`machine_set`] (the machines), [`sample_network_and_machines`] (samples of
//! all), [`attention_controls`] (attention machines with wrong maps), [`attention_agreement`] (predicted against measured
//! attention), [`values_outside_pixel_range`], [`step_seconds`], `network_trajectory`, [`agreement_by_step`] (samples, and machines at the
//! network's own states), `predicted_attention`, `calibrated_machines`, [`maps_of_machines`].

pub mod network_for_sampling;
pub mod machine_set;
pub mod sample_network_and_machines;
pub mod attention_controls;
pub mod attention_agreement;
pub mod step_seconds;
mod network_trajectory;
pub mod values_outside_pixel_range;
pub mod agreement_by_step;
pub mod maps_of_machines;
mod predicted_attention;
mod calibrated_machines;

pub use agreement_by_step::{AgreementByStep, StatesOf, StepAgreement, StepFigures, StepMean};
pub use attention_agreement::MapAgreement;
pub use attention_controls::Control;
pub use machine_set::MachineSet;
pub use network_for_sampling::{recording_maps, with_classes};
pub use sample_network_and_machines::SampleSet;
pub use values_outside_pixel_range::OutsideRange;
