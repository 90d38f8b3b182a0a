//! Programs that are a terminal inside another terminal: tmux, screen, Zellij, an editor's terminal.
//!
//! Programs inside them inherit the outer terminal's variables (`TERM_PROGRAM`, `KITTY_WINDOW_ID`), but graphics commands are
//! dropped, or become text or window titles. So these variables do not tell what can be shown; only answers do
//! (`terminal_probe`).
//! Some queries are not sent to multiplexers that would misunderstand them.

/// A terminal inside another, recognised by its variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Multiplexer {
    Neovim,
    Vim,
    Emacs,
    Zellij,
    Tmux,
    Screen,
    Dvtm,
}

/// By multiplexer: its name, variables of which one is set inside it, and beginnings of TERM inside it. The innermost
/// comes first: an editor inside a multiplexer is more likely than the reverse.
const SIGNS: [(Multiplexer, &str, &[&str], &[&str]); 7] = [
    (Multiplexer::Neovim, "Neovim's terminal", &["NVIM", "NVIM_LISTEN_ADDRESS"], &[]),
    (Multiplexer::Vim, "Vim's terminal", &["VIM_TERMINAL"], &[]),
    (Multiplexer::Emacs, "Emacs", &["INSIDE_EMACS"], &["eterm", "eat-"]),
    (Multiplexer::Zellij, "Zellij", &["ZELLIJ", "ZELLIJ_SESSION_NAME"], &[]),
    (Multiplexer::Tmux, "tmux", &["TMUX"], &["tmux"]),
    (Multiplexer::Screen, "screen", &["STY"], &["screen"]),
    (Multiplexer::Dvtm, "dvtm", &["DVTM"], &["dvtm"]),
];

impl Multiplexer {
    /// The innermost multiplexer, from variables read through `lookup`, so that tests need not set real ones.
    pub fn of(lookup: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let value = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let term = value("TERM").unwrap_or_default();
        let found = SIGNS.iter().find(|(_, _, variables, terms)| {
            variables.iter().any(|name| value(name).is_some())
                || terms.iter().any(|beginning| term.starts_with(beginning))
        });
        found.map(|(multiplexer, ..)| *multiplexer)
    }

    pub fn name(self) -> &'static str {
        SIGNS[self as usize].1
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
