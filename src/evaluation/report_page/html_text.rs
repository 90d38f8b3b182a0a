//! Text as HTML: escaped, or rendered from Markdown without any markup of its own.

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};

/// Text with the characters that mean something in HTML written as references, for content and quoted attributes.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // Without meaning in a page, and no valid character of HTML.
            control if control.is_control() && !matches!(control, '\n' | '\t') => {}
            other => escaped.push(other),
        }
    }
    escaped
}

/// Markdown as HTML, headings lower by `lower` levels. HTML in it is shown as text, and links and pictures as their words, so that
/// nothing but headings, paragraphs, lists, emphasis, code and tables gets into a page. A table can be scrolled by itself.
pub fn markdown(text: &str, lower: usize) -> String {
    let events =
        Parser::new_ext(text, Options::ENABLE_TABLES).filter_map(|event| plain(event, lower));
    let wrapped = events.flat_map(|event| match event {
        Event::Start(Tag::Table(alignment)) => {
            vec![Event::Html("<div class=\"table\">".into()), Event::Start(Tag::Table(alignment))]
        }
        Event::End(TagEnd::Table) => {
            vec![Event::End(TagEnd::Table), Event::Html("</div>\n".into())]
        }
        other => vec![other],
    });
    let mut page = String::new();
    html::push_html(&mut page, wrapped);
    page
}

/// The event without what a report has no use for.
fn plain(event: Event<'_>, lower: usize) -> Option<Event<'_>> {
    let lowered = |level: HeadingLevel| {
        HeadingLevel::try_from((level as usize + lower).min(6)).unwrap_or(HeadingLevel::H6)
    };
    Some(match event {
        Event::Html(text) | Event::InlineHtml(text) => Event::Text(text),
        Event::Start(Tag::HtmlBlock) => Event::Start(Tag::Paragraph),
        Event::End(TagEnd::HtmlBlock) => Event::End(TagEnd::Paragraph),
        Event::Start(Tag::Link { .. } | Tag::Image { .. })
        | Event::End(TagEnd::Link | TagEnd::Image) => return None,
        Event::Start(Tag::Heading { level, .. }) => Event::Start(Tag::Heading {
            level: lowered(level),
            id: None,
            classes: Vec::new(),
            attrs: Vec::new(),
        }),
        Event::End(TagEnd::Heading(level)) => Event::End(TagEnd::Heading(lowered(level))),
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_of_a_text_is_shown_and_not_followed() {
        assert_eq!(
            escape("<a href=\"x\">'&\u{7}</a>"),
            "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&lt;/a&gt;"
        );
        let hostile = "# a <script>alert(1)</script>\n\n<script>\nalert(2)\n</script>\n\n[x](javascript:alert(3)) ![y](http://a.b/c.png)\n\n<img src=x onerror=alert(4)>\n\n| a |\n| --- |\n| <b>c</b> |\n";
        let page = markdown(hostile, 1);
        for tag in ["<script", "<img", "<a ", "<b>", "href"] {
            assert!(!page.contains(tag), "{tag} in {page}");
        }
        assert!(page.contains("<h2>a &lt;script&gt;alert(1)&lt;/script&gt;</h2>"), "{page}");
        assert!(page.contains("&lt;b&gt;c&lt;/b&gt;"), "{page}");
    }

    #[test]
    fn tables_lists_and_emphasis_are_kept() {
        let page = markdown(
            "## T\n\n| a | b |\n| --- | --- |\n| 1 | `x_y` |\n\n- **far**: by_step.csv\n",
            1,
        );
        assert!(page.contains("<h3>T</h3>"), "{page}");
        assert!(
            page.contains("<div class=\"table\"><table>") && page.contains("</table>\n</div>"),
            "{page}"
        );
        assert!(
            page.contains("<code>x_y</code>") && page.contains("<strong>far</strong>: by_step.csv"),
            "{page}"
        );
    }
}
