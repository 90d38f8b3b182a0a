//! Proxies of the environment: `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, in capitals or small letters.
//!
//! As with curl, small letters come first, the variable of the URL's own scheme comes before `ALL_PROXY`, and an empty
//! value means no proxy. An entry of `NO_PROXY` is a host with everything below it, an address, a range of addresses
//! (`10.0.0.0/8`), any of these with a port, or `*`.

use std::net::IpAddr;

use super::failure::Failure;
use super::http_url::HttpUrl;

/// Proxies, and the hosts that are asked directly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxySettings {
    http: Option<String>,
    https: Option<String>,
    all: Option<String>,
    exceptions: Vec<String>,
}

impl ProxySettings {
    pub fn of_environment() -> Self {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    /// From the values of variables.
    pub fn from_variables(value: impl Fn(&str) -> Option<String>) -> Self {
        let get = |name: &str| {
            value(name).or_else(|| value(&name.to_uppercase())).map(|text| text.trim().to_owned())
        };
        let exceptions = get("no_proxy").unwrap_or_default();
        let exceptions = exceptions.split([',', ' ']).filter(|entry| !entry.is_empty());
        Self {
            http: get("http_proxy"),
            https: get("https_proxy"),
            all: get("all_proxy"),
            exceptions: exceptions.map(str::to_ascii_lowercase).collect(),
        }
    }

    /// True if no proxy is named.
    pub fn is_empty(&self) -> bool {
        [&self.http, &self.https, &self.all].into_iter().flatten().all(String::is_empty)
    }

    /// The URL of the proxy for an address, which may hold a user name and a password.
    ///
    /// # Errors
    ///
    /// If the variable's value is not the URL of an HTTP proxy.
    pub fn of_url(&self, url: &HttpUrl) -> Result<Option<HttpUrl>, Failure> {
        let (name, own) = match url.is_https() {
            true => ("HTTPS_PROXY", &self.https),
            false => ("HTTP_PROXY", &self.http),
        };
        let (name, value) = match (own, &self.all) {
            (Some(value), _) => (name, value),
            (None, Some(value)) => ("ALL_PROXY", value),
            (None, None) => return Ok(None),
        };
        if value.is_empty() || self.is_exception(url) {
            return Ok(None);
        }
        let with_scheme =
            if value.contains("://") { value.clone() } else { format!("http://{value}") };
        match HttpUrl::parse(&with_scheme) {
            Ok(proxy) => Ok(Some(proxy)),
            // The value is not shown, because it may hold a password.
            Err(problem) => Err(Failure::refused(format!(
                "the proxy in {name} cannot be used: {problem}; set it like http://host:port"
            ))),
        }
    }

    fn is_exception(&self, url: &HttpUrl) -> bool {
        let host = url.host().to_ascii_lowercase();
        self.exceptions.iter().any(|entry| {
            // An IPv6 address has several colons, and in brackets it may have a port.
            let (name, port) = match entry.rsplit_once(':') {
                Some((name, port)) if !name.contains(':') || name.ends_with(']') => {
                    (name, port.parse::<u16>().ok())
                }
                _ => (&entry[..], None),
            };
            port.is_none_or(|port| port == url.port()) && covers(name, &host)
        })
    }
}

/// True if an entry of `NO_PROXY`, without its port, covers a host.
fn covers(entry: &str, host: &str) -> bool {
    let entry = entry.trim_start_matches('[').trim_end_matches(']');
    if entry == "*" {
        return true;
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        return match entry.split_once('/') {
            Some((network, bits)) => is_in_network(address, network, bits),
            None => entry.parse() == Ok(address),
        };
    }
    let domain = entry.trim_start_matches('*').trim_start_matches('.').trim_end_matches('.');
    let host = host.trim_end_matches('.');
    let above = host.strip_suffix(domain);
    !domain.is_empty() && above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
}

fn is_in_network(address: IpAddr, network: &str, bits: &str) -> bool {
    // An address as a number of 32 or 128 bits, shifted to the upper end of 128.
    let aligned = |address: IpAddr| match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    };
    let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>()) else {
        return false;
    };
    let ((address, width), (network, width_of_network)) = (aligned(address), aligned(network));
    let differing = address ^ network;
    width == width_of_network && bits <= width && differing.leading_zeros() >= bits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> ProxySettings {
        let value = |name: &str| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        ProxySettings::from_variables(value)
    }

    fn proxy(settings: &ProxySettings, url: &str) -> Option<String> {
        let url = HttpUrl::parse(url).unwrap();
        settings.of_url(&url).unwrap().map(|proxy| proxy.to_string())
    }

    #[test]
    fn each_scheme_has_its_variable_and_small_letters_come_first() {
        let both = settings(&[
            ("HTTP_PROXY", "http://capitals:1"),
            ("http_proxy", "small:2"),
            ("ALL_PROXY", "http://all:3"),
        ]);
        assert_eq!(proxy(&both, "http://host/").as_deref(), Some("http://small:2/"));
        assert_eq!(proxy(&both, "https://host/").as_deref(), Some("http://all:3/"));
        let none = settings(&[("HTTPS_PROXY", ""), ("ALL_PROXY", "http://all:3")]);
        assert_eq!(proxy(&none, "https://host/"), None);
        assert!(settings(&[("HTTPS_PROXY", "")]).is_empty() && !none.is_empty());
    }

    #[test]
    fn what_is_no_http_proxy_is_refused_without_showing_its_password() {
        for value in ["socks5h://me:secret@host:1", "http://me:secret@", "http://me:secret@a b"] {
            let url = HttpUrl::parse("https://host/").unwrap();
            let error = settings(&[("ALL_PROXY", value)]).of_url(&url).unwrap_err().words;
            assert!(error.contains("ALL_PROXY") && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn exceptions_are_hosts_domains_addresses_and_networks() {
        for (exceptions, url, is_direct) in [
            ("*", "http://host/", true),
            ("host", "http://HOST/", true),
            ("host", "http://a.host/", true),
            (".host", "http://a.host/", true),
            ("*.host", "http://a.host/", true),
            ("ost", "http://host/", false),
            ("a, host:81 ,b", "http://host:81/", true),
            ("host:81", "http://host/", false),
            ("host:80", "http://host/", true),
            ("127.0.0.1", "http://127.0.0.1:9/", true),
            ("0.0.1", "http://127.0.0.1/", false),
            ("10.0.0.0/8", "http://10.200.3.4/", true),
            ("10.0.0.0/8", "http://11.0.0.1/", false),
            ("10.0.0.0/99", "http://10.0.0.0/", false),
            ("::1", "http://[::1]/", true),
            ("[::1]:81", "http://[::1]:81/", true),
            ("[::1]:81", "http://[::1]/", false),
            ("fd00::/8", "http://[fd12::1]/", true),
            ("fd00::/8", "http://10.0.0.1/", false),
            (".", "http://host/", false),
            ("", "http://host/", false),
        ] {
            let all = settings(&[("http_proxy", "http://proxy:1"), ("NO_PROXY", exceptions)]);
            assert_eq!(proxy(&all, url).is_none(), is_direct, "'{exceptions}' and {url}");
        }
    }
}
