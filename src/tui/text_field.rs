//! A text field: one line of text with a cursor and line-editing keys.

use ratatui::crossterm::event::{Event, KeyEvent};
use ratatui::style::{Modifier, Style};
use ratatui::text::Span;
use tui_input::backend::crossterm::EventHandler;
use tui_input::{Input, InputRequest};
use unicode_segmentation::UnicodeSegmentation;

use super::number_and_text_format::{clipped, columns, ending};
use crate::console::escaped_text::is_harmful;

/// The text and its cursor.
#[derive(Clone, Debug, Default)]
pub struct TextField(Input);

impl PartialEq for TextField {
    fn eq(&self, other: &Self) -> bool {
        (self.0.value(), self.0.cursor()) == (other.0.value(), other.0.cursor())
    }
}

impl From<&str> for TextField {
    fn from(text: &str) -> Self {
        Self(Input::new(text.to_owned()))
    }
}

impl TextField {
    pub fn text(&self) -> &str {
        self.0.value()
    }

    pub fn clear(&mut self) {
        self.0.reset();
    }

    /// Handles a key as line editors do: letters, arrows, Home, End, Backspace, Delete, Ctrl-A, -E, -K, -U, -W, -Y. Returns
    /// whether the text changed.
    pub fn on_key(&mut self, key: KeyEvent) -> bool {
        self.0.handle_event(&Event::Key(key)).is_some_and(|changed| changed.value)
    }

    /// Inserts text at the cursor, as one line and without control characters.
    pub fn paste(&mut self, text: &str) {
        let line = text.trim().replace(['\r', '\n', '\t'], " ");
        for letter in line.chars().filter(|letter| !is_harmful(*letter)) {
            self.0.handle(InputRequest::InsertChar(letter));
        }
    }

    /// The part around the cursor that fits into `width` columns. The cursor is an underscore after the last letter, or a
    /// letter whose style is the reverse of `style`.
    pub fn spans(&self, width: usize, style: Style) -> Vec<Span<'static>> {
        let at = self.text().char_indices().nth(self.0.cursor()).map_or(self.text().len(), |c| c.0);
        let (before, rest) = self.text().split_at(at);
        let Some(letter) = rest.graphemes(true).next() else {
            return vec![Span::styled(ending(&format!("{before}_"), width), style)];
        };
        let before = ending(before, width.saturating_sub(columns(letter)));
        let room = width.saturating_sub(columns(&before) + columns(letter));
        let after = clipped(&rest[letter.len()..], room);
        let cursor = match style.add_modifier.contains(Modifier::REVERSED) {
            true => style.remove_modifier(Modifier::REVERSED),
            false => style.add_modifier(Modifier::REVERSED),
        };
        vec![
            Span::styled(before, style),
            Span::styled(letter.to_owned(), cursor),
            Span::styled(after, style),
        ]
    }
}

#[cfg(test)]
mod tests {
    use ratatui::crossterm::event::{KeyCode, KeyModifiers};

    use super::*;

    fn shown(field: &TextField, width: usize) -> Vec<String> {
        let spans = field.spans(width, Style::new());
        spans.into_iter().map(|span| span.content.into_owned()).collect()
    }

    fn with(field: &mut TextField, code: KeyCode, modifiers: KeyModifiers) -> bool {
        field.on_key(KeyEvent::new(code, modifiers))
    }

    #[test]
    fn letters_go_where_the_cursor_is() {
        let mut field = TextField::from("0.01");
        assert!(!with(&mut field, KeyCode::Left, KeyModifiers::NONE));
        assert!(with(&mut field, KeyCode::Char('3'), KeyModifiers::NONE));
        assert_eq!(field.text(), "0.031");
        with(&mut field, KeyCode::Home, KeyModifiers::NONE);
        assert!(with(&mut field, KeyCode::Delete, KeyModifiers::NONE));
        assert_eq!((field.text(), shown(&field, 20).join("|")), (".031", "|.|031".into()));
        with(&mut field, KeyCode::End, KeyModifiers::NONE);
        assert!(with(&mut field, KeyCode::Char('w'), KeyModifiers::CONTROL));
        assert!(!with(&mut field, KeyCode::Char('x'), KeyModifiers::ALT), "not a letter");
    }

    #[test]
    fn what_is_pasted_is_one_line_that_no_terminal_obeys() {
        let mut field = TextField::from("ab");
        with(&mut field, KeyCode::Left, KeyModifiers::NONE);
        field.paste("  x\x1b[2J\ny  \r\n");
        assert_eq!(field.text(), "ax[2J yb");
    }

    #[test]
    fn the_cursor_is_seen_however_long_the_text_and_wide_the_letters() {
        let mut field = TextField::from("0123456789実験🙂");
        for step in 0..14 {
            for width in 3..30 {
                let found = shown(&field, width);
                let n: usize = found.iter().map(|part| columns(part)).sum();
                assert!(n <= width, "{found:?} in {width}");
                assert!(step == 0 || !found[1].is_empty(), "{found:?}");
            }
            with(&mut field, KeyCode::Left, KeyModifiers::NONE);
        }
        assert_eq!(shown(&field, 30).join("|"), "|0|123456789実験🙂");
    }
}
