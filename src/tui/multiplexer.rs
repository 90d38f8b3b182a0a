//! Programs that are a terminal inside another terminal: tmux, screen, Zellij, an editor's terminal.
//!
//! Programs inside them inherit the outer terminal's variables (`TERM_PROGRAM`, `KITTY_WINDOW_ID`), but graphics commands are
//! dropped, or become text or window titles. So these variables do not tell what can be shown; only answers do (`probe`).
//! Some queries are not sent to multiplexers that would misunderstand them.

/// A terminal inside another, recognised by its variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Multiplexer {
    Tmux,
    Screen,
    Zellij,
    Dvtm,
    Neovim,
    Vim,
    Emacs,
}

impl Multiplexer {
    /// The innermost multiplexer, from variables read through `lookup`, so that tests need not set real ones.
    pub fn of(lookup: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let value = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let is_set = |name: &str| value(name).is_some();
        let term = value("TERM").unwrap_or_default();
        // An editor inside a multiplexer is more likely than the reverse.
        if is_set("NVIM") || is_set("NVIM_LISTEN_ADDRESS") {
            Some(Self::Neovim)
        } else if is_set("VIM_TERMINAL") {
            Some(Self::Vim)
        } else if is_set("INSIDE_EMACS") || term.starts_with("eterm") || term.starts_with("eat-") {
            Some(Self::Emacs)
        } else if is_set("ZELLIJ") || is_set("ZELLIJ_SESSION_NAME") {
            Some(Self::Zellij)
        } else if is_set("TMUX") || term.starts_with("tmux") {
            Some(Self::Tmux)
        } else if is_set("STY") || term.starts_with("screen") {
            Some(Self::Screen)
        } else if is_set("DVTM") || term.starts_with("dvtm") {
            Some(Self::Dvtm)
        } else {
            None
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Tmux => "tmux",
            Self::Screen => "screen",
            Self::Zellij => "Zellij",
            Self::Dvtm => "dvtm",
            Self::Neovim => "Neovim's terminal",
            Self::Vim => "Vim's terminal",
            Self::Emacs => "Emacs",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Option<Multiplexer> {
        Multiplexer::of(|name| {
            pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn each_is_known_by_its_own_variable_whatever_is_handed_on() {
        let outer =
            [("TERM_PROGRAM", "WezTerm"), ("KITTY_WINDOW_ID", "1"), ("LC_TERMINAL", "iTerm2")];
        for (pair, known) in [
            (("ZELLIJ", "0"), Multiplexer::Zellij),
            (("NVIM", "/run/nvim.0"), Multiplexer::Neovim),
            (("VIM_TERMINAL", "901"), Multiplexer::Vim),
            (("INSIDE_EMACS", "29.1,vterm"), Multiplexer::Emacs),
            (("TMUX", "socket,1,0"), Multiplexer::Tmux),
            (("TERM", "tmux-256color"), Multiplexer::Tmux),
            (("STY", "1.pts"), Multiplexer::Screen),
            (("TERM", "screen.xterm-256color"), Multiplexer::Screen),
            (("TERM", "dvtm-256color"), Multiplexer::Dvtm),
        ] {
            assert_eq!(of(&[&outer[..], &[pair]].concat()), Some(known), "{pair:?}");
        }
        assert_eq!(of(&outer), None);
        assert_eq!(of(&[("TMUX", ""), ("TERM", "xterm-kitty")]), None);
    }
}
