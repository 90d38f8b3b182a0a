//! Addresses of files: absolute `http` and `https` URLs, and the addresses that redirects lead to.

use std::fmt;

use ureq::http::Uri;

use super::failure::Failure;

/// An absolute URL with a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpUrl(Uri);

impl HttpUrl {
    /// # Errors
    ///
    /// If the text is not an absolute `http` or `https` URL; the error is a fragment for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|error| {
            format!("it is not a URL ({error}); write spaces and the like as %20")
        })?;
        match uri.scheme_str() {
            Some("http" | "https") if uri.host().is_some_and(|host| !host.is_empty()) => {
                Ok(Self(uri))
            }
            Some("http" | "https") => Err("it names no host".to_owned()),
            Some(other) => Err(format!("'{other}' is not supported, only http and https")),
            None => Err("it does not start with http:// or https://".to_owned()),
        }
    }

    pub fn uri(&self) -> &Uri {
        &self.0
    }

    pub fn is_https(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }

    /// The host, an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        self.0.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    pub fn port(&self) -> u16 {
        self.0.port_u16().unwrap_or(if self.is_https() { 443 } else { 80 })
    }

    /// The host, with the port if one is given: what a `Host` header holds.
    pub fn host_and_port(&self) -> String {
        let host = self.0.host().unwrap_or_default();
        self.0.port_u16().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// User name and password, still percent-encoded.
    pub fn user_info(&self) -> Option<&str> {
        let (user, _) = self.0.authority()?.as_str().rsplit_once('@')?;
        Some(user)
    }

    /// The address that a `Location` header of a response from here names.
    ///
    /// # Errors
    ///
    /// If that is no address, or if it leads from `https` to `http`, where anyone on the way could read and replace what
    /// is sent.
    pub fn redirected(&self, location: &str) -> Result<Self, Failure> {
        let location = location.split('#').next().unwrap_or_default();
        let scheme = if self.is_https() { "https" } else { "http" };
        let authority = self.0.authority().map_or("", |authority| authority.as_str());
        let path = self.0.path();
        let absolute = match location {
            absolute if absolute.contains("://") => absolute.to_owned(),
            elsewhere if elsewhere.starts_with("//") => format!("{scheme}:{elsewhere}"),
            rooted if rooted.starts_with('/') => format!("{scheme}://{authority}{rooted}"),
            query if query.starts_with('?') => format!("{scheme}://{authority}{path}{query}"),
            relative => {
                let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                format!("{scheme}://{authority}{folder}/{relative}")
            }
        };
        let url = Self::parse(&absolute)
            .map_err(|problem| Failure::refused(format!("redirect to '{location}': {problem}")))?;
        if self.is_https() && !url.is_https() {
            return Err(Failure::refused(format!(
                "redirect from https to '{url}', which is not encrypted"
            )));
        }
        Ok(url)
    }
}

/// The URL without user name and password.
impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.0.scheme_str().unwrap_or_default();
        let path = self.0.path_and_query().map_or("", |path| path.as_str());
        write!(f, "{scheme}://{}{path}", self.host_and_port())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absolute_urls_of_the_web_are_accepted_and_passwords_are_not_shown() {
        for (text, problem) in [
            ("ftp://host/a", "'ftp' is not supported"),
            ("host/a", "not a URL"),
            ("/a", "does not start with"),
            ("http:///a", ""),
            ("http://host/a b", "write spaces"),
            ("", ""),
        ] {
            let error = HttpUrl::parse(text).unwrap_err();
            assert!(error.contains(problem), "{text}: {error}");
        }
        let url = HttpUrl::parse("https://me:secret@host:81/a?b=c").unwrap();
        assert_eq!(url.to_string(), "https://host:81/a?b=c");
        assert_eq!((url.host(), url.port(), url.user_info()), ("host", 81, Some("me:secret")));
        let ipv6 = HttpUrl::parse("http://[::1]/a").unwrap();
        assert_eq!((ipv6.host(), ipv6.port(), &ipv6.host_and_port()[..]), ("::1", 80, "[::1]"));
    }

    #[test]
    fn redirects_lead_where_their_location_says_and_never_out_of_https() {
        let from = HttpUrl::parse("https://host:8/a/b?c").unwrap();
        for (location, expected) in [
            ("https://other/x", "https://other/x"),
            ("//other/x", "https://other/x"),
            ("/x?y", "https://host:8/x?y"),
            ("x", "https://host:8/a/x"),
            ("?y", "https://host:8/a/b?y"),
            ("x#top", "https://host:8/a/x"),
        ] {
            assert_eq!(from.redirected(location).unwrap().to_string(), expected, "{location}");
        }
        let error = from.redirected("http://other/x").unwrap_err();
        assert!(error.words.contains("not encrypted"), "{error:?}");
        assert!(from.redirected("ftp://other/x").unwrap_err().words.contains("ftp"));
        let plain = HttpUrl::parse("http://host/a").unwrap();
        assert!(plain.redirected("https://host/a").unwrap().is_https());
    }
}
