//! The certificates by which servers are recognised: the system's, or Mozilla's if the system has none.

use std::env;
use std::sync::OnceLock;

use ureq::tls::{Certificate, RootCerts};

use super::failure::Failure;

/// Variables that name other certificates than the system's.
const VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// The root certificates for TLS, read once. `SSL_CERT_FILE` and `SSL_CERT_DIR` replace the system's.
///
/// # Errors
///
/// If one of these variables is set, and no certificate is where it points: other certificates than those that somebody
/// chose would be worse than none.
pub fn root_certificates() -> Result<RootCerts, Failure> {
    static FOUND: OnceLock<RootCerts> = OnceLock::new();
    if let Some(found) = FOUND.get() {
        return Ok(found.clone());
    }
    let found = rustls_native_certs::load_native_certs();
    let roots = match found.certs.is_empty() {
        false => {
            let certificates = found.certs.iter();
            RootCerts::from(certificates.map(|der| Certificate::from_der(der).to_owned()))
        }
        true => match VARIABLES.into_iter().find_map(|name| Some((name, env::var(name).ok()?))) {
            Some((name, value)) => {
                let cause = found.errors.first().map(|error| format!(" ({error})"));
                return Err(Failure::refused(format!(
                    "no certificates were found in '{value}', which {name} names{}; correct or unset it",
                    cause.unwrap_or_default()
                )));
            }
            None => RootCerts::WebPki,
        },
    };
    Ok(FOUND.get_or_init(|| roots).clone())
}
