//! Files whose length and SHA-256 are known, from the network or from a copy at hand.
//!
//! [`fetch`] asks one source after the other, resumes what was interrupted, and puts a file in place only if it is the
//! one that was wanted:
//!
//! ```text
//! NAME       absent, or complete, checked and synced to disk; replaced by renaming
//! NAME.part  the bytes so far, locked by the process that writes it; kept when a transfer is interrupted
//! NAME.part.json  where they came from, for If-Range
//! ```
//!
//! Of the network it knows HTTP and HTTPS, with the proxies of the environment ([`proxy_settings`]) and the system's
//! certificates. There is no limit on the duration of a transfer, only on silence. It knows no data
//! sets and prints nothing: progress goes to a callback as [`Event`]s.

mod failure;
mod http_url;
mod source;
pub mod proxy_settings;
mod certificates;
mod plain_http_over_proxy;
mod transfer_settings;
mod http_response;
mod http_request;
mod open_source;
pub mod partial_record;
mod partial_file;
mod error;
mod event;
mod wanted_file;
mod transfer;
mod fetch_file;

pub use error::DownloadError;
pub use event::{Event, Outcome};
pub use failure::{Failure, FailureKind};
pub use fetch_file::{Existing, fetch};
pub use source::Source;
pub use transfer_settings::TransferSettings;
pub use wanted_file::{Found, WantedFile};
