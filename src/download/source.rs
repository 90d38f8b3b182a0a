//! Where a file may come from: a web server, or a path.

use std::fmt;
use std::path::PathBuf;

use super::http_url::HttpUrl;

/// Where a file may come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Http(HttpUrl),
    Path(PathBuf),
}

impl Source {
    /// Reads `http://` and `https://` URLs, `file://` URLs, and paths.
    ///
    /// # Errors
    ///
    /// If a URL is malformed or of another kind; the error is a fragment for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("it is empty".to_owned());
        }
        let lower = text.to_ascii_lowercase();
        if lower.starts_with("file://") {
            let rest = &text["file://".len()..];
            let path = rest.strip_prefix("localhost").unwrap_or(rest);
            if !path.starts_with('/') {
                return Err("file URLs are written file:///path, with three slashes".to_owned());
            }
            return percent_decoded(path).map(|path| Self::Path(path.into()));
        }
        match text.contains("://") {
            true => HttpUrl::parse(text).map(Self::Http),
            false => Ok(Self::Path(text.into())),
        }
    }

    /// The file `name` in the directory `base`, a URL or a path. A base that ends with the name of one of the files of
    /// the directory, `siblings`, means the directory of that file.
    ///
    /// # Errors
    ///
    /// As [`Self::parse`]; or if a URL with a question mark should name several files.
    pub fn in_directory(base: &str, name: &str, siblings: &[&str]) -> Result<Self, String> {
        let is_web = base.contains("://");
        if is_web && base.contains('?') {
            return match siblings {
                [_] => Self::parse(base),
                _ => Err("a URL with '?' names one file, and several are needed; give the URL of the directory \
                     that holds them"
                    .to_owned()),
            };
        }
        let directory = match base.rsplit_once('/') {
            Some((directory, last)) if siblings.contains(&last) => directory,
            None if !is_web && siblings.contains(&base) => ".",
            _ => base.trim_end_matches('/'),
        };
        Self::parse(&format!("{directory}/{name}"))
    }
}

/// Decodes `%20` and the like.
///
/// # Errors
///
/// If the result is not UTF-8; the error is a fragment for people.
pub fn percent_decoded(text: &str) -> Result<String, String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let code = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match code.filter(|_| *first == b'%').map(|digits| u8::from_str_radix(digits, 16)) {
            Some(Ok(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).map_err(|_| "its path is not UTF-8".to_owned())
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(url) => url.fmt(f),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_paths_are_told_apart() {
        for (text, expected) in [
            ("https://host/a", "https://host/a"),
            ("FILE:///a%20b/%41", "/a b/A"),
            ("file://localhost/a", "/a"),
            ("file:///100%", "/100%"),
            ("some/where", "some/where"),
        ] {
            assert_eq!(Source::parse(text).unwrap().to_string(), expected, "{text}");
        }
        for (text, problem) in [
            ("file://a/b", "three slashes"),
            ("ftp://a/b", "'ftp'"),
            ("file:///%ff", "UTF-8"),
            ("", "empty"),
        ] {
            assert!(Source::parse(text).unwrap_err().contains(problem), "{text}");
        }
    }

    #[test]
    fn a_base_is_a_directory_or_one_of_its_files() {
        let files = ["a.gz", "b.gz"];
        for (base, expected) in [
            ("https://host/x", "https://host/x/b.gz"),
            ("https://host/x/", "https://host/x/b.gz"),
            ("https://host/x/a.gz", "https://host/x/b.gz"),
            ("https://host", "https://host/b.gz"),
            ("/data/x", "/data/x/b.gz"),
            ("a.gz", "./b.gz"),
            (".", "./b.gz"),
            ("/", "/b.gz"),
            ("file:///data", "/data/b.gz"),
        ] {
            let found = Source::in_directory(base, "b.gz", &files).unwrap();
            assert_eq!(found.to_string(), expected, "{base}");
        }
        let query = "https://host/get?id=3";
        assert_eq!(Source::in_directory(query, "a", &["a"]).unwrap().to_string(), query);
        assert!(Source::in_directory(query, "a.gz", &files).unwrap_err().contains("several"));
    }
}
