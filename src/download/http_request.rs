//! One request for a file over HTTP, through redirects and proxies, up to the first byte of the answer's body.

use std::io::{self, Read};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ureq::config::Config;
use ureq::http::{Response, header};
use ureq::tls::TlsConfig;
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Body, Error, Proxy, Timeout};

use super::certificates::root_certificates;
use super::failure::Failure;
use super::http_response::{Asked, Headers, Meaning};
use super::http_url::HttpUrl;
use super::plain_http_over_proxy::{HostLookup, ThroughPlainProxy};
use super::source::percent_decoded;
use super::transfer_settings::TransferSettings;

/// More redirects than any honest server needs; curl's limit is 50, browsers' is 20.
const REDIRECTS_MAX: usize = 10;
/// How servers see this program.
const USER_AGENT: &str = concat!("mosaic-lab/", env!("CARGO_PKG_VERSION"));

/// A file that a server has begun to send.
pub struct Opened {
    /// The position in the file of the first byte of `body`.
    pub from: u64,
    pub body: Box<dyn Read + Send>,
    /// The entity tag of what is sent, to ask for its rest.
    pub etag: Option<String>,
    /// Words about what is sent, for an error message, or nothing.
    pub about: String,
}

/// Asks for a file from byte `from` on. With `etag`, the server is to send all of it if its file has another tag.
///
/// # Errors
///
/// If the server cannot be reached, refuses, or would send something of another length.
pub fn open(
    url: &HttpUrl,
    asked: Asked,
    etag: Option<&str>,
    settings: &TransferSettings,
) -> Result<Opened, Failure> {
    let (response, headers) = follow(url, asked.from, etag, settings)?;
    match headers.meaning(asked)? {
        Meaning::From(from) => Ok(opened(response, headers, from)),
        Meaning::AskForAll => {
            let asked = Asked { from: 0, ..asked };
            let (response, headers) = follow(url, 0, None, settings)?;
            match headers.meaning(asked)? {
                Meaning::From(from) => Ok(opened(response, headers, from)),
                Meaning::AskForAll => Err(Failure::refused("the server sends only parts")),
            }
        }
    }
}

fn opened(response: Response<Body>, headers: Headers, from: u64) -> Opened {
    let about = headers.in_words();
    let body = Box::new(response.into_body().into_reader());
    Opened { from, body, etag: headers.etag, about }
}

/// Sends a request, and follows redirects.
fn follow(
    url: &HttpUrl,
    from: u64,
    etag: Option<&str>,
    settings: &TransferSettings,
) -> Result<(Response<Body>, Headers), Failure> {
    let mut url = url.clone();
    for _ in 0..=REDIRECTS_MAX {
        let response = request(&url, from, etag, settings)?;
        let headers = Headers::new(response.status(), response.headers());
        if ![301, 302, 303, 307, 308].contains(&headers.status) {
            return Ok((response, headers));
        }
        let location = response.headers().get(header::LOCATION).map(|value| value.to_str());
        let Some(Ok(location)) = location else {
            return Err(Failure::refused(format!(
                "the server answers {} (redirect) and does not say where to",
                headers.status
            )));
        };
        url = url.redirected(location)?;
    }
    Err(Failure::refused(format!("more than {REDIRECTS_MAX} redirects, the last one to '{url}'")))
}

fn request(
    url: &HttpUrl,
    from: u64,
    etag: Option<&str>,
    settings: &TransferSettings,
) -> Result<Response<Body>, Failure> {
    let proxy = settings.proxies.of_url(url)?;
    let agent = agent(url, proxy.as_ref(), settings)?;
    // Compressed on the way, the bytes would not be those of the file.
    let mut request = agent
        .get(url.uri())
        .header(header::ACCEPT, "*/*")
        .header(header::ACCEPT_ENCODING, "identity")
        .header(header::USER_AGENT, USER_AGENT);
    if from > 0 {
        request = request.header(header::RANGE, format!("bytes={from}-"));
        if let Some(etag) = etag {
            request = request.header(header::IF_RANGE, etag);
        }
    }
    if let Some(proxy) = proxy.as_ref().filter(|proxy| is_plain(url, proxy))
        && let Some(user_info) = proxy.user_info()
    {
        let user_info = percent_decoded(user_info).map_err(Failure::refused)?;
        let credentials = BASE64_STANDARD.encode(user_info);
        request = request.header(header::PROXY_AUTHORIZATION, format!("Basic {credentials}"));
    }
    request.call().map_err(|error| failure(&error, url, proxy.as_ref(), settings))
}

/// True if the request goes to the proxy itself, not through a tunnel.
fn is_plain(url: &HttpUrl, proxy: &HttpUrl) -> bool {
    !url.is_https() && !proxy.is_https()
}

fn agent(
    url: &HttpUrl,
    proxy: Option<&HttpUrl>,
    settings: &TransferSettings,
) -> Result<Agent, Failure> {
    let mut config = Config::builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_idle_connections(0)
        .timeout_resolve(Some(settings.connect))
        .timeout_connect(Some(settings.connect))
        .timeout_per_read(Some(settings.stall))
        .timeout_per_write(Some(settings.stall))
        // ureq's own look at the environment does not tell `http` from `https`.
        .proxy(None);
    if url.is_https() || proxy.is_some_and(HttpUrl::is_https) {
        config = config.tls_config(TlsConfig::builder().root_certs(root_certificates()?).build());
    }
    Ok(match proxy {
        Some(proxy) if is_plain(url, proxy) => {
            let connector = ThroughPlainProxy::new(&url.host_and_port());
            Agent::with_parts(config.build(), connector, HostLookup::of_proxy(proxy.uri()))
        }
        Some(proxy) => {
            let tunnel = Proxy::new(&proxy.uri().to_string())
                .map_err(|error| Failure::refused(format!("the proxy '{proxy}': {error}")))?;
            let config = config.proxy(Some(tunnel)).build();
            Agent::with_parts(config, DefaultConnector::new(), HostLookup::default())
        }
        None => Agent::with_parts(config.build(), DefaultConnector::new(), HostLookup::default()),
    })
}

/// What an error of the request means.
fn failure(
    error: &Error,
    url: &HttpUrl,
    proxy: Option<&HttpUrl>,
    settings: &TransferSettings,
) -> Failure {
    let peer = match proxy {
        Some(proxy) => format!("the proxy '{}'", proxy.host_and_port()),
        None => format!("'{}'", url.host()),
    };
    match error {
        Error::HostNotFound => Failure::unreachable(format!(
            "the address of {peer} is not found (no such host, or no name server that answers)"
        )),
        Error::Timeout(Timeout::Resolve) => Failure::unreachable(format!(
            "no answer within {} s to where {peer} is",
            settings.connect.as_secs_f64()
        )),
        Error::Timeout(Timeout::Connect) | Error::ConnectionFailed => {
            Failure::unreachable(format!("no connection to {peer}"))
        }
        Error::Io(error) if is_unreachable(error) => {
            Failure::unreachable(format!("no connection to {peer}: {error}"))
        }
        Error::ConnectProxyFailed(reason) => {
            Failure::refused(format!("{peer} does not connect to '{}': {reason}", url.host()))
        }
        // A handshake that fails is an error of this kind, with the cause in it.
        Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
            Failure::refused(format!(
                "no trusted connection to '{}': {error}; if your institution or its proxy has certificates of its own, \
                 name their file in SSL_CERT_FILE",
                url.host()
            ))
        }
        Error::Io(error) => of_broken_connection(error, settings),
        Error::Timeout(_) => stalled(settings),
        other => Failure::refused(other.to_string()),
    }
}

fn is_unreachable(error: &io::Error) -> bool {
    use io::ErrorKind::{
        AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkDown, NetworkUnreachable,
    };
    [AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkDown, NetworkUnreachable]
        .contains(&error.kind())
}

fn stalled(settings: &TransferSettings) -> Failure {
    Failure::interrupted(format!("nothing came for {} s", settings.stall.as_secs_f64()))
}

/// What an error of reading means: a connection that broke, or was silent for too long.
pub fn of_broken_connection(error: &io::Error, settings: &TransferSettings) -> Failure {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::Timeout(_)) => stalled(settings),
        _ => Failure::interrupted(format!("the connection broke: {error}")),
    }
}
