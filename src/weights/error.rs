//! Why a file of weights was refused, in words for whoever was given the file.

use thiserror::Error;

/// Advice for files that hold more than numbers.
const SAVE_NUMBERS: &str =
    "save the weights alone, in PyTorch: torch.save(model.state_dict(), 'weights.pt')";

/// Reason why weights could not be read, recognised or written. The file's name is added by whoever opened it.
#[derive(Debug, Error)]
pub enum WeightsError {
    #[error("it is {found}, not weights; PyTorch's .pt and .safetensors are read")]
    NotWeights { found: String },
    #[error("it is damaged: {problem}")]
    Damaged { problem: String },
    #[error(
        "it asks to call '{function}' when it is opened; mosaic executes nothing that a file asks for, so nothing was \
         called and nothing was read; {SAVE_NUMBERS}"
    )]
    Call { function: String },
    #[error(
        "it asks to make an object of class '{class}' when it is opened, which can run that class's code; mosaic makes \
         objects of torch.nn and of the published networks only, as records without code; {SAVE_NUMBERS}"
    )]
    Class { class: String },
    #[error("it uses {what}, which mosaic does not read; {SAVE_NUMBERS}")]
    Unsupported { what: String },
    #[error("it holds more than {most} {what}, which no file of weights of these networks does")]
    TooMany { most: usize, what: &'static str },
    #[error("tensor '{name}' {problem}")]
    Tensor { name: String, problem: String },
    #[error("it holds no network that mosaic knows: {problem}")]
    NoNetwork { problem: String },
    #[error("its tensors do not fit the network that they describe:{}", lines(.problems))]
    Misfit { problems: Vec<String> },
    #[error("{problem}")]
    NotComputed { problem: String },
    #[error("it holds no list of patch sides: {problem}")]
    NoPatchSides { problem: String },
}

impl WeightsError {
    /// A damaged file.
    pub fn damaged(problem: impl Into<String>) -> Self {
        Self::Damaged { problem: problem.into() }
    }

    /// A tensor that cannot be used.
    pub fn tensor(name: &str, problem: impl Into<String>) -> Self {
        Self::Tensor { name: name.to_owned(), problem: problem.into() }
    }
}

/// Lines of a list that are shown; a stranger's file may lack hundreds of tensors.
const LINES_MAX: usize = 40;

fn lines(problems: &[String]) -> String {
    let mut text: String =
        problems.iter().take(LINES_MAX).map(|problem| format!("\n  {problem}")).collect();
    if problems.len() > LINES_MAX {
        text += &format!("\n  and {} more", problems.len() - LINES_MAX);
    }
    text
}
