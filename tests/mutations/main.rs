//! Readers given damaged files must return an error or a result: no panic, no hang, and no more memory than
//! allowed.
//!
//! A normal run tries a few hundred inputs; `MOSAIC_MUTATIONS=100000` requests more, `MOSAIC_SEED` other ones.
//! Case `i` is a function of the seed and `i` alone.

mod formats;
mod mutate;
mod readers;
mod weights;

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use mosaic_lab::random::{Purpose, stream};
use peak_alloc::PeakAlloc;
use readers::Reader;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Maximum bytes allocated while reading: a base for any reader, plus an amount per byte of its input.
const MEMORY_BASE: usize = 24 << 20;
const MEMORY_PER_BYTE: usize = 64;

/// Far above the slowest reader on the slowest computer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Serialises the tests, which all measure the same memory.
static ALONE: Mutex<()> = Mutex::new(());

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Reads one input; the error describes a violation.
fn check(reader: &Reader, input: &[u8]) -> Result<(), String> {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let outcome = catch_unwind(AssertUnwindSafe(|| (reader.read)(input)));
    let taken = MEMORY.peak_usage().saturating_sub(before);
    if let Err(panic) = outcome {
        let words = panic.downcast_ref::<String>().map(String::as_str);
        let words = words.or(panic.downcast_ref::<&str>().copied()).unwrap_or("?");
        return Err(format!("panicked: {words}"));
    }
    let most = MEMORY_BASE + MEMORY_PER_BYTE * input.len();
    match taken <= most {
        true => Ok(()),
        false => {
            Err(format!("took {taken} bytes for {} of input; {most} are allowed", input.len()))
        }
    }
}

/// The current case, watched for hangs.
struct At {
    case: String,
    since: Instant,
}

fn campaign(n: u64, seed: u64, at: &Mutex<Option<At>>) -> Vec<String> {
    let place = tempfile::tempdir().unwrap();
    let readers = readers::all(place.path());
    let mut failures = Vec::new();
    // Panics are reported below; a backtrace of one that a reader answers would take memory in its name.
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    for index in 0..n {
        let mut random = stream(seed, Purpose::Subset, index);
        let reader = &readers[index as usize % readers.len()];
        let case = format!("{}, case {index} of seed {seed}", reader.name);
        let input = (reader.input)(&mut random);
        *at.lock().unwrap() = Some(At { case: case.clone(), since: Instant::now() });
        if let Err(problem) = check(reader, &input) {
            failures.push(format!("{case}: {problem}"));
        }
    }
    std::panic::set_hook(usual);
    *at.lock().unwrap() = None;
    failures
}

#[test]
fn damaged_inputs_are_errors_and_nothing_worse() {
    let _alone = ALONE.lock();
    let (n, seed) = (number("MOSAIC_MUTATIONS", 800), number("MOSAIC_SEED", 0));
    let at = Mutex::new(None::<At>);
    let started = Instant::now();
    let failures = std::thread::scope(|scope| {
        let worker = scope.spawn(|| campaign(n, seed, &at));
        while !worker.is_finished() {
            std::thread::sleep(Duration::from_millis(20));
            if let Some(At { case, since }) = at.lock().unwrap().as_ref()
                && since.elapsed() > PATIENCE
            {
                // The reader cannot be interrupted, so the process is ended.
                let _ = writeln!(std::io::stderr(), "{case}: hangs for {PATIENCE:?}");
                std::process::exit(101);
            }
        }
        worker.join().unwrap()
    });
    eprintln!("{n} inputs in {:.1} s", started.elapsed().as_secs_f64());
    let shown = failures.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
    assert!(failures.is_empty(), "{} of {n} inputs:\n{shown}", failures.len());
}

#[test]
fn readers_that_panic_or_are_greedy_are_found() {
    let _alone = ALONE.lock();
    let reader = |read: fn(&[u8])| Reader {
        name: "bad",
        input: Box::new(|_| Vec::new()),
        read: Box::new(read),
    };
    assert_eq!(check(&reader(|_| {}), &[1]), Ok(()));
    let panics = reader(|input| assert!(input.is_empty(), "one too many"));
    assert_eq!(check(&panics, &[1]), Err("panicked: one too many".to_owned()));
    let takes = reader(|_| drop(std::hint::black_box(vec![1_u8; MEMORY_BASE + 100])));
    assert!(check(&takes, &[1]).unwrap_err().starts_with("took "));
    assert_eq!(check(&takes, &[1; 2]), Ok(()), "in the size of its input");
}

/// Files that claim to contain, or unpack to, far more than their own size.
#[test]
fn bombs_cost_no_more_than_their_headers_promise() {
    let _alone = ALONE.lock();
    let place = tempfile::tempdir().unwrap();
    let readers = readers::all(place.path());
    let zeros = |mut file: Vec<u8>, n: usize| {
        file.resize(file.len() + n, 0);
        formats::gzip(&file)
    };
    let reader = |name: &str| readers.iter().find(|reader| reader.name == name).unwrap();
    let claims = |sizes: [u32; 3]| {
        let sizes = sizes.iter().flat_map(|size| size.to_be_bytes());
        [0, 0, 8, 3].into_iter().chain(sizes).collect::<Vec<u8>>()
    };
    let sparse = {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::GNUSparse);
        header.set_path("data_batch_1.bin").unwrap();
        header.set_size(0);
        let gnu = header.as_gnu_mut().unwrap();
        // 4 GiB, in twelve octal digits.
        gnu.realsize.copy_from_slice(b"040000000000");
        header.set_cksum();
        let mut archive = header.as_bytes().to_vec();
        archive.resize(2048, 0);
        formats::gzip(&archive)
    };
    let packed = |file: Vec<u8>, n: usize| {
        let file = [file, vec![0; n]].concat();
        formats::npz(&file, zip::CompressionMethod::Deflated)
    };
    let claimed = |sizes: &[usize]| formats::npy("|u1", false, sizes, &[0; 100]);
    let mut tensors = formats::tensors(&[("x", safetensors::Dtype::U8, &[2, 6, 6])], &[]);
    tensors[..8].copy_from_slice(&(u64::MAX >> 1).to_le_bytes());
    for (name, input) in [
        ("npz", packed(claimed(&[4, 5, 5]), 256 << 20)),
        ("npz", packed(claimed(&[1 << 20, 1 << 20, 1 << 10]), 0)),
        ("npy", claimed(&[1 << 20, 1 << 20, 1 << 10])),
        ("npy", formats::npy("|u1", true, &[1 << 62, 1 << 62, 0], &[])),
        ("arrays in safetensors", tensors),
        ("idx.gz", zeros(formats::idx(2, 8), 256 << 20)),
        ("idx.gz", zeros(claims([u32::MAX; 3]), 4 << 20)),
        ("idx.gz", zeros(b"no header".to_vec(), 256 << 20)),
        ("idx", claims([u32::MAX; 3])),
        ("cifar.tar.gz", sparse),
    ] {
        assert_eq!(check(reader(name), &input), Ok(()), "{name} of {} bytes", input.len());
    }
}
