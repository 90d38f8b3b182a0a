//! mosaic-lab: where does the creativity of a diffusion model come from?
//!
//! The lab trains a small convolutional network, with or without a final self-attention layer, and shows its
//! samples next to those that analytic theory predicts from the same noise seeds.
//!
//! # Map, in reading order (each module may import only those above it)
//!
//! | module | purpose |
//! | --- | --- |
//! | [`allocator`] | the program's memory allocator, with a report when memory is exhausted |
//! | [`files`] | atomic replacement of files, outputs at paths chosen by the user, kinds of files |
//! | [`console`] | safe text output to terminals; detection of a terminal's limitations |
//! | [`download`] | files of known length and SHA-256, from the network or a copy: resumed, checked, put in place |
//! | [`simd`] | SIMD vectors of the host, and the matrix product of networks and attention |
//! | [`image`] | image batches: shape, pixel range, channel order |
//! | [`random`] | seeded randomness, one named stream per purpose |
//! | [`arrays`] | files of arrays by name: NumPy's and safetensors |
//! | [`dataset`] | training images: crafted sets with a rule, IDX and CIFAR files, folders, arrays and tables of images |
//! | [`diffusion`] | the [`diffusion::Denoiser`] seam, noise schedule, sampler |
//! | [`hardware`] | resources of this computer: processors, memory, disks, GPUs, their driver, the system's limits |
//! | [`network`] | ResNet and UNet, with a final self-attention layer (candle) |
//! | [`weights`] | weights of other programs read (PyTorch, safetensors) and written, nothing executed |
//! | [`theory`] | score machines: analytic predictions of a network's estimates |
//! | [`training`] | the training loop, optimiser state, checkpoints |
//! | [`optimum`] | the best denoiser of a network's class, solved on the training images: `attention-optimal` |
//! | [`analysis`] | agreement, judged creativity, provenance |
//! | [`config`] | lab.toml: experiments and their settings |
//! | [`runs`] | run directories and their workers |
//! | [`evaluation`] | samples, calibration, comparison, reports, inspection and studies of networks and machines |
//! | [`worker`] | the process that trains one run |
//! | [`mod@bench`] | benchmarks on this computer, for `mosaic bench` |
//! | [`tui`] | the dashboard |
//! | [`cli`] | subcommands and plain-text output |
//!
//! Siblings never import each other: `theory` and `network` (attention maps cross as plain arrays,
//! [`diffusion::AttentionMaps`]), and `training` and `analysis`.
//!
//! # Glossary
//!
//! - **denoiser**: anything that estimates the clean image: a network or a score machine.
//! - **machine** (score machine): a denoiser computed from training images, without training.
//! - **dictionary**: the training patches that a machine compares with a noisy patch.
//! - **provenance**: the training image and position that contribute most to a pixel's estimate.
//! - **seed** (noise seed): the standard-normal image that a sample starts from.
//! - **step**: a training step unless stated otherwise; *sampling step* i = T..1 of the reverse process.
//! - **run**: a launched experiment with its directory; **worker**: the process that trains it.
//! - **preview**: samples of fixed seeds, by the network and by machines, at one training step.
//! - **agreement**: r, r^2 and R^2 between two images made from one seed.
//!
//! # Notation (docs/theory.md)
//!
//! | symbol | meaning | in code |
//! | --- | --- | --- |
//! | `phi_n` | training images, n = 1..N, values in [-1, 1] | `images` |
//! | `abar(t)`, `sigma` | signal power; `sigma^2 = 1 - abar` | [`diffusion::NoiseLevel`] |
//! | `x_t = sqrt(abar) phi + sigma eps` | noisy state | `x` |
//! | `Omega_k(p)` | the k x k patch centred on pixel p | `k`, `p` |
//! | `x0hat(p)` | posterior mean at pixel p | `x0` |
//!
//! # Papers
//!
//! | short | paper |
//! | --- | --- |
//! | KG | Kamb & Ganguli, *An analytic theory of creativity in convolutional diffusion models*, arXiv 2412.20292 |
//! | F | Finn, Keller, Theodosis, Ba, *Origins of creativity in attention-based diffusion models*, arXiv 2506.17324 |
//! | L | Lukoianov et al., arXiv 2509.09672 |
//! | WV | Wang & Vastola, arXiv 2412.09726 |
//! | N | Niedoba et al., *Towards a mechanistic explanation of diffusion model generalization*, arXiv 2411.19339 |
//! | S | Scarvelis, Borde & Solomon, *Closed-form diffusion models*, arXiv 2310.12395 |
//! | G | Shang et al., *Fast and scalable analytical diffusion* (GoldDiff), arXiv 2602.16498 |
//! | Z | Zhai et al., arXiv 2303.06296 |

pub mod allocator;
pub mod files;
pub mod console;
pub mod download;
pub mod simd;
pub mod image;
pub mod random;
pub mod arrays;
pub mod dataset;
pub mod diffusion;
pub mod hardware;
pub mod network;
pub mod weights;
pub mod theory;
pub mod training;
pub mod optimum;
pub mod analysis;
pub mod config;
pub mod runs;
pub mod evaluation;
pub mod worker;
pub mod bench;
pub mod tui;
pub mod cli;
