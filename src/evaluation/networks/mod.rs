//! Networks against each other, without machines: how far two networks make the same images of the same noise, beside how far
//! each copies its own training images.
//!
//! Kadkhodaie et al. (arXiv 2310.02557) train two networks on disjoint halves of a data set: on few images each copies its own
//! half and the two disagree; on many both make nearly the same images, which neither has seen.
//!
//! Reading order: [`same_question`] (whether two models can be compared), [`network_against_network`] (samples and figures),
//! [`networks_report`] (files).

pub mod same_question;
pub mod network_against_network;
pub mod networks_report;
