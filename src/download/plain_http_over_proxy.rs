//! Requests for `http` URLs through a proxy: `GET http://host/path`, sent to the proxy instead of the host (RFC 9112,
//! section 3.2.2).
//!
//! ureq asks every proxy for a tunnel (`CONNECT`), which is right for `https`. Many proxies, such as Squid by default,
//! allow tunnels to port 443 only, and expect this form for `http`. Here the connection leads to the proxy, and the
//! request line is completed on its way out.

use std::io;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, NextTimeout, TcpConnector, Transport,
};

/// Looks up host names. What the system says about an unknown name becomes [`ureq::Error::HostNotFound`].
#[derive(Debug, Default)]
pub struct HostLookup {
    lookup: DefaultResolver,
    /// Looked up instead of the host of the URL.
    proxy: Option<Uri>,
}

impl HostLookup {
    /// Looks up this proxy instead of hosts.
    pub fn of_proxy(proxy: &Uri) -> Self {
        Self { lookup: DefaultResolver::default(), proxy: Some(proxy.clone()) }
    }
}

impl Resolver for HostLookup {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let uri = self.proxy.as_ref().unwrap_or(uri);
        self.lookup.resolve(uri, config, timeout).map_err(|error| match error {
            // The standard library has no kind for a failed lookup.
            ureq::Error::Io(_) => ureq::Error::HostNotFound,
            other => other,
        })
    }
}

/// Connects without TLS, and completes request lines with this prefix: `http://host:port`.
#[derive(Debug)]
pub struct ThroughPlainProxy {
    tcp: TcpConnector,
    prefix: String,
}

impl ThroughPlainProxy {
    pub fn new(host_and_port: &str) -> Self {
        Self { tcp: TcpConnector::default(), prefix: format!("http://{host_and_port}") }
    }
}

impl Connector for ThroughPlainProxy {
    type Out = AbsoluteRequests;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<()>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let connected = self.tcp.connect(details, chained)?;
        Ok(connected
            .map(|inner| AbsoluteRequests { inner: Box::new(inner), prefix: self.prefix.clone() }))
    }
}

/// A connection whose requests start with `GET http://host/path` instead of `GET /path`.
#[derive(Debug)]
pub struct AbsoluteRequests {
    inner: Box<dyn Transport>,
    prefix: String,
}

/// The beginning of a request, up to its path.
const METHOD: &[u8] = b"GET ";

impl Transport for AbsoluteRequests {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    /// Requests have no bodies, so whatever starts with `GET /` starts a request.
    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let output = self.inner.buffers().output();
        let is_start =
            output[..amount].starts_with(METHOD) && output.get(METHOD.len()) == Some(&b'/');
        if !is_start {
            return self.inner.transmit_output(amount, timeout);
        }
        let (start, end) = (METHOD.len(), METHOD.len() + self.prefix.len());
        if amount + self.prefix.len() > output.len() {
            return Err(io::Error::other("the request is longer than its buffer").into());
        }
        output.copy_within(start..amount, end);
        output[start..end].copy_from_slice(self.prefix.as_bytes());
        self.inner.transmit_output(amount + self.prefix.len(), timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }
}
