//! How long to wait for others, how often to try, and through which proxies.

use std::time::Duration;

use super::proxy_settings::ProxySettings;

/// Limits on waiting. None of them limits the duration of a transfer in which bytes arrive.
#[derive(Clone, Debug)]
pub struct TransferSettings {
    /// Looking up a host's address, and connecting to it, each.
    pub connect: Duration,
    /// Silence: no byte arrives, or none can be sent.
    pub stall: Duration,
    /// Attempts in a row that bring fewer than `progress_bytes` before a source is given up.
    pub n_tries: u32,
    /// An attempt that brings as many bytes does not count as a failed one.
    pub progress_bytes: u64,
    /// Pause before the second attempt; it doubles with every further one.
    pub first_pause: Duration,
    pub pause_max: Duration,
    pub proxies: ProxySettings,
}

impl Default for TransferSettings {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(20),
            stall: Duration::from_secs(30),
            n_tries: 5,
            progress_bytes: 1 << 20,
            first_pause: Duration::from_secs(1),
            pause_max: Duration::from_secs(60),
            proxies: ProxySettings::default(),
        }
    }
}

impl TransferSettings {
    /// The pause after so many failed attempts in a row, at least one; servers may ask for a longer one.
    pub fn pause(&self, n_failed: u32, asked: Option<Duration>) -> Duration {
        let doubled = 2_u32.saturating_pow(n_failed.saturating_sub(1));
        let own = self.first_pause.saturating_mul(doubled);
        own.max(asked.unwrap_or_default()).min(self.pause_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_a_server_may_ask_for_more() {
        let settings = TransferSettings::default();
        let pauses = [1, 2, 3, 7, 99].map(|n| settings.pause(n, None).as_secs());
        assert_eq!(pauses, [1, 2, 4, 60, 60]);
        assert_eq!(settings.pause(1, Some(Duration::from_secs(9))).as_secs(), 9);
        assert_eq!(settings.pause(1, Some(Duration::from_secs(9999))).as_secs(), 60);
    }
}
