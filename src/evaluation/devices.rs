//! Devices for networks and theory, opened as they were asked for, with the reason where one cannot be used.
//!
//! Networks compute on one device. Theory uses every GPU that is named: each takes its share of the dictionary.

use std::sync::Arc;

use anyhow::Result;
use candle_core::Device;
#[cfg(not(feature = "cuda"))]
use thiserror::Error;

use crate::hardware::device::Wanted;
use crate::theory::TrainingImages;
use crate::theory::card::Cards;

/// A device, opened.
pub struct Opened {
    /// Where networks compute.
    pub tensors: Device,
    /// Where theory does, besides the CPU.
    pub cards: Option<Arc<Cards>>,
    /// Both, for people.
    pub words: String,
}

/// What a build without CUDA says to those who ask for a card.
#[cfg(not(feature = "cuda"))]
#[derive(Clone, Debug, Error)]
#[error(
    "device '{wanted}' needs a build with CUDA: cargo build --release --features cuda (docs/gpu.md)"
)]
struct NoCuda {
    wanted: Wanted,
}

impl Opened {
    fn cpu() -> Self {
        let words = format!("cpu ({} threads)", rayon::current_num_threads());
        Self { tensors: Device::Cpu, cards: None, words }
    }

    /// These images where machines over them can use the cards.
    pub fn images(&self, images: TrainingImages) -> TrainingImages {
        with_cards(images, self.cards.clone())
    }
}

/// These images where machines over them can use the cards, if there are any.
pub fn with_cards(images: TrainingImages, cards: Option<Arc<Cards>>) -> TrainingImages {
    match cards {
        Some(cards) => images.with_cards(cards),
        None => images,
    }
}

/// The device asked for. `auto` takes the first card that works and otherwise the CPU, and says why. `report` is told
/// if cards are given up later.
pub fn open(wanted: &Wanted, report: impl Fn(&str) + Send + Sync + 'static) -> Result<Opened> {
    match wanted {
        Wanted::Cpu => Ok(Opened::cpu()),
        #[cfg(feature = "cuda")]
        Wanted::Auto => Ok(cuda::open(&[0], report).unwrap_or_else(|error| {
            let mut opened = Opened::cpu();
            opened.words += &format!("; no CUDA: {error:#}");
            opened
        })),
        #[cfg(feature = "cuda")]
        Wanted::Cuda(numbers) => cuda::open(numbers, report),
        #[cfg(not(feature = "cuda"))]
        Wanted::Auto => {
            drop(report);
            Ok(Opened::cpu())
        }
        #[cfg(not(feature = "cuda"))]
        Wanted::Cuda(_) => {
            drop(report);
            Err(NoCuda { wanted: wanted.clone() }.into())
        }
    }
}

/// The cards alone, for theory without a network; and what computes, for people.
pub fn open_cards(
    wanted: &Wanted,
    report: impl Fn(&str) + Send + Sync + 'static,
) -> Result<(Option<Arc<Cards>>, String)> {
    #[cfg(feature = "cuda")]
    {
        let numbers: &[usize] = match wanted {
            Wanted::Cpu => &[],
            Wanted::Auto => &[0],
            Wanted::Cuda(numbers) => numbers,
        };
        match cuda::open_cards(numbers, report) {
            Ok((cards, words)) if !numbers.is_empty() => return Ok((Some(cards), words)),
            Err(error) if matches!(wanted, Wanted::Cuda(_)) => return Err(error),
            Err(error) => {
                return Ok((None, format!("{}; no CUDA: {error:#}", Opened::cpu().words)));
            }
            Ok(_) => {}
        }
        Ok((None, Opened::cpu().words))
    }
    #[cfg(not(feature = "cuda"))]
    open(wanted, report).map(|opened| (opened.cards, opened.words))
}

#[cfg(feature = "cuda")]
pub use cuda::ceilings;

#[cfg(feature = "cuda")]
mod cuda {
    use super::*;
    use crate::theory::card::cuda::CudaCard;
    use crate::theory::card::{Card, Ceilings};
    use anyhow::Context;

    pub fn open_cards(
        numbers: &[usize],
        report: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<(Arc<Cards>, String)> {
        let cards = numbers.iter().map(|&number| CudaCard::open(number));
        let cards: Vec<Arc<CudaCard>> = cards.collect::<Result<_, _>>()?;
        let words: Vec<String> =
            cards.iter().map(|card| format!("{} ({})", card.name(), card.model())).collect();
        let cards = cards.into_iter().map(|card| -> Box<dyn Card> { Box::new(card) }).collect();
        Ok((Arc::new(Cards::new(cards, report)), words.join(", ")))
    }

    pub fn open(
        numbers: &[usize],
        report: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<Opened> {
        let (cards, words) = open_cards(numbers, report)?;
        let first = numbers.first().copied().unwrap_or(0);
        // One stream for all threads: candle's default is one a thread, whose work on one tensor could overtake.
        let tensors = Device::new_cuda_with_stream(first)
            .map_err(|error| first_line(&error))
            .with_context(|| format!("opening 'cuda:{first}' for networks"))?;
        Ok(Opened { tensors, cards: Some(cards), words })
    }

    /// What the first of these cards reaches at best.
    pub fn ceilings(wanted: &Wanted) -> Result<Ceilings> {
        let first = match wanted {
            Wanted::Cuda(numbers) => numbers.first().copied().unwrap_or(0),
            Wanted::Auto | Wanted::Cpu => 0,
        };
        Ok(CudaCard::open(first)?.ceilings()?)
    }

    /// candle appends backtraces to its messages.
    fn first_line(error: &candle_core::Error) -> anyhow::Error {
        let text = error.to_string();
        anyhow::anyhow!("{}", text.lines().next().unwrap_or(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(text: &str) -> Wanted {
        text.parse().unwrap()
    }

    #[test]
    fn the_cpu_is_always_there_and_auto_never_fails() {
        for text in ["cpu", "auto"] {
            let opened = open(&wanted(text), |_| {}).unwrap();
            assert!(!opened.words.is_empty());
        }
        assert!(matches!(open(&Wanted::Cpu, |_| {}).unwrap().tensors, Device::Cpu));
        assert!(open_cards(&Wanted::Cpu, |_| {}).unwrap().0.is_none());
    }
}
