//! Fetching files, from servers on the loopback interface that stall, truncate, lie and fail.

mod command;
mod damaged_responses;
mod proxies;
mod server;
mod transfers;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use mosaic_lab::download::proxy_settings::ProxySettings;
use mosaic_lab::download::{
    DownloadError, Event, Existing, Outcome, Source, TransferSettings, WantedFile, fetch,
};
use mosaic_lab::files::sha256;
use tempfile::TempDir;

/// A place for one file, and what happened while it was fetched.
pub struct Place {
    pub folder: TempDir,
    pub wanted: WantedFile,
    pub settings: TransferSettings,
    pub existing: Existing,
    pub told: Vec<String>,
}

/// Bytes without a pattern that a mistaken offset would repeat.
fn content(n: usize) -> Vec<u8> {
    (0..n as u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

impl Place {
    /// For this content, with short limits and without the proxies of the environment.
    fn new(content: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.gz");
        let wanted = WantedFile { path, length: content.len() as u64, sha256: sha256(content) };
        let settings = TransferSettings {
            connect: Duration::from_secs(5),
            stall: Duration::from_secs(1),
            n_tries: 3,
            progress_bytes: 1 << 10,
            first_pause: Duration::from_millis(20),
            pause_max: Duration::from_millis(100),
            proxies: ProxySettings::default(),
        };
        Self { folder, wanted, settings, existing: Existing::Keep, told: Vec::new() }
    }

    fn fetch(&mut self, sources: &[&str]) -> Result<Outcome, DownloadError> {
        self.fetch_until(sources, &AtomicBool::new(false))
    }

    fn fetch_until(
        &mut self,
        sources: &[&str],
        stop: &AtomicBool,
    ) -> Result<Outcome, DownloadError> {
        let sources: Vec<Source> =
            sources.iter().map(|text| Source::parse(text).unwrap()).collect();
        let told = &mut self.told;
        let mut report = |event: Event<'_>| match event {
            Event::Started { from, .. } => told.push(format!("started from {from}")),
            Event::Pausing { failure, .. } => told.push(format!("pausing: {}", failure.words)),
            Event::GivenUp { failure, .. } => told.push(format!("given up: {}", failure.words)),
            Event::Dropped { n_bytes } => told.push(format!("dropped {n_bytes}")),
            Event::Checking => told.push("checking".to_owned()),
            Event::Progress { .. } => {}
        };
        fetch(&self.wanted, &sources, self.existing, &self.settings, stop, &mut report)
    }

    /// Fetches; the file must then be there, and nothing else.
    fn fetched(&mut self, sources: &[&str], content: &[u8]) {
        assert_eq!(self.fetch(sources).unwrap(), Outcome::Fetched, "{:?}", self.told);
        assert_eq!(std::fs::read(&self.wanted.path).unwrap(), content);
        assert_eq!(self.names(), ["file.gz"]);
    }

    /// Fetches in vain; neither the file nor, unless it is to be resumed, anything else must be there.
    fn refused(&mut self, sources: &[&str]) -> String {
        let error = self.fetch(sources).unwrap_err().to_string();
        assert!(!self.wanted.path.exists(), "{error}");
        error
    }

    fn part(&self) -> PathBuf {
        self.folder.path().join("file.gz.part")
    }

    /// The names in the folder, in order.
    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}
