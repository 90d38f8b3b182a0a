//! Environment variables of processes that compute, read by libraries at process start.

/// Each with its value.
const VARIABLES: [(&str, &str); 2] = [
    // The allocator's delay before freed memory is returned to the system; -1 means never. Each training step frees and
    // allocates the same few hundred megabytes, and the kernel zeroes every page it hands out.
    ("MIMALLOC_PURGE_DELAY", "-1"),
    // candle has threads of its own for sums and products of tensors, which wait in busy loops and so take the cores
    // from ours.
    ("CANDLE_NUM_THREADS", "1"),
];

/// The variables that are not set yet, with their values: what a user has set stays.
pub fn missing() -> impl Iterator<Item = (&'static str, &'static str)> {
    VARIABLES.into_iter().filter(|(name, _)| std::env::var_os(name).is_none())
}
