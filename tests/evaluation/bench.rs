//! `mosaic bench`: every field is there, units fit each other, and what cannot be timed is refused by name.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::{Value, json};

use crate::common::{Lab, stderr, stdout};
use crate::{check_close, printed};

const DIGITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/datasets/digits/images-idx3-ubyte.gz");

fn rows(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn number(row: &Value, key: &str) -> f64 {
    let value = row[key].as_f64().unwrap_or_else(|| panic!("no number '{key}' in {row}"));
    assert!(value.is_finite() && value >= 0.0, "{key} of {row}");
    value
}

#[test]
fn training_rows_have_units_that_fit_each_other() {
    let lab = Lab::new();
    let arguments = ["bench", "train", "--net", "attention", "--threads", "2", "--repeats", "2"];
    let found = rows(&printed(&lab, &[&arguments[..], &["--json"]].concat()));
    let [row] = &found[..] else { panic!("one network, one row: {found:?}") };
    assert_eq!((&row["net"], &row["threads"]), (&"attention".into(), &2.into()));
    let wall = number(row, "wall_ms");
    // Sixteen images a step.
    check_close(number(row, "samples_per_s") * wall, 16.0 * 1e3, 1e-9, "images/s x ms/image");
    assert!(
        wall > 0.0 && number(row, "cpu_ms") > 0.0 && number(row, "cpu_ms") < 4.0 * wall,
        "{row}"
    );
    assert!(row["peak_rss_mb"].is_null() || number(row, "peak_rss_mb") > 10.0, "{row}");
    let parts: Vec<f64> = row["operations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| part[1].as_f64().unwrap())
        .collect();
    assert!(!parts.is_empty() && parts.windows(2).all(|pair| pair[0] >= pair[1]), "{row}");
    // Means over the same steps whose median the wall time is.
    assert!(parts.iter().sum::<f64>() < 3.0 * wall, "{row}");

    let page = printed(&lab, &arguments);
    let lines: Vec<&str> = page.lines().collect();
    assert_eq!(
        lines[0],
        "threads: 2; medians of 2 steps (with SOAP, of so many tens), milliseconds a step"
    );
    assert!(
        lines[2].starts_with("net ")
            && lines[2].contains("cpu ms")
            && lines[2].contains("images/s")
    );
    let cells: Vec<&str> = lines[3].split_whitespace().collect();
    assert_eq!(cells[0], "attention");
    let [wall, per_s] = [2, 4].map(|at: usize| cells[at].parse::<f64>().unwrap());
    check_close(wall * per_s, 16.0 * 1e3, 2e-2, "ms a step x images/s, as printed");
}

#[test]
fn theory_rows_have_units_that_fit_each_other() {
    let lab = Lab::new();
    let arguments = [
        "bench",
        "theory",
        "--data",
        DIGITS,
        "--machine",
        "els,ls,ideal,es,els-interior",
        "--k",
        "3,5",
        "--n",
        "20,30",
        "--t",
        "0.3",
        "--size",
        "8",
        "--queries",
        "2",
        "--repeats",
        "2",
        "--device",
        "cpu",
    ];
    let found = rows(&printed(&lab, &[&arguments[..], &["--json"]].concat()));
    // Machines without patches have one row, others one a patch side.
    assert_eq!(found.len(), 2 * (3 * 2 + 2));
    let mut ratios = [Vec::new(), Vec::new()];
    for row in &found {
        let n = number(row, "n");
        assert!(n == 20.0 || n == 30.0);
        assert_eq!((number(row, "t"), number(row, "queries")), (0.3, 2.0));
        let inside = |k: &Value| (8.0 - k.as_f64().unwrap() + 1.0).powi(2);
        let pairs = match row["machine"].as_str().unwrap() {
            "els" => 64.0 * 64.0,
            "ls" | "ideal" => 64.0,
            "es" => 64.0 * 64.0,
            "els-interior" => 64.0 * inside(&row["k"]),
            other => panic!("{other}"),
        };
        assert_eq!(row["k"].is_null(), ["ideal", "es"].contains(&row["machine"].as_str().unwrap()));
        let pairs = pairs * n * 2.0;
        let (wall, cpu) = (number(row, "wall_s"), number(row, "cpu_s"));
        check_close(number(row, "pairs_per_s") * wall, pairs, 1e-9, &format!("pairs of {row}"));
        check_close(number(row, "pairs_per_cpu_s") * cpu, pairs, 1e-9, "pairs by CPU time");
        // Both shares are of one CPU time: what remains is the ratio of what a core computes and reads, measured once.
        let is_whole = ["ideal", "es"].contains(&row["machine"].as_str().unwrap());
        let operations = if is_whole { 3.0 } else { 10.0 } * pairs;
        let shares = number(row, "arithmetic_share") / number(row, "memory_share");
        ratios[usize::from(is_whole)].push(shares * 64.0 * n * 2.0 / operations);
    }
    for ratios in ratios {
        assert!(ratios.iter().all(|ratio| (ratio / ratios[0] - 1.0).abs() < 1e-9), "{ratios:?}");
    }
    let page = printed(&lab, &arguments);
    let table: Vec<Vec<&str>> = page
        .lines()
        .skip_while(|line| !line.starts_with("machine"))
        .map(|l| l.split_whitespace().collect())
        .collect();
    assert_eq!(table.len(), 1 + found.len(), "{page}");
    for (cells, row) in table[1..].iter().zip(&found) {
        assert_eq!(cells[0], row["machine"], "{page}");
        assert_eq!(cells[1], row["k"].as_u64().map_or("-".to_owned(), |k| k.to_string()));
        assert_eq!((cells[2].parse::<f64>().unwrap(), cells[3]), (number(row, "n"), "0.3"));
        assert!(
            cells.len() == 13 && cells[7].ends_with("e6") && cells[8].ends_with('%'),
            "{cells:?}"
        );
    }
}

/// Runs `mosaic` with another `python3`: a shell script, or none.
fn with_python(lab: &Lab, script: Option<&str>, arguments: &[&str]) -> String {
    let folder = lab.place.path().join("bin");
    fs::create_dir_all(&folder).unwrap();
    if let Some(script) = script {
        let path = folder.join("python3");
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut mosaic = Command::new(env!("CARGO_BIN_EXE_mosaic"));
    let path = std::env::join_paths([folder.as_path(), "/bin".as_ref(), "/usr/bin".as_ref()]);
    match script {
        Some(_) => mosaic.env("PATH", path.unwrap()),
        None => mosaic.env("PATH", &folder),
    };
    let output = mosaic.args(arguments).current_dir(lab.place.path()).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    stdout(&output)
}

/// Answers as PyTorch's scripts do, and keeps the arguments that it was called with.
const FAKE_PYTHON: &str = r#"#!/bin/sh
/bin/cat > /dev/null
if [ $# -gt 1 ]; then
  echo "$@" >> arguments
  echo '{"wall_ms": 200.0, "cpu_ms": 400.0, "torch": "9.9"}'
else
  echo 'PyTorch 9.9'
fi
"#;
const TRAIN: [&str; 8] =
    ["bench", "train", "--net", "attention,glyphs", "--threads", "1", "--repeats", "1"];
/// `els` has a peer, `ls` has none.
const THEORY: [&str; 11] = [
    "bench",
    "theory",
    "--experiment",
    "glyphs-attention",
    "--machine",
    "els,ls",
    "--k",
    "7",
    "--queries",
    "2",
    "--device=cpu",
];

#[test]
fn pytorch_is_timed_beside_ours_with_the_same_shapes() {
    let lab = Lab::new();
    let page = with_python(&lab, Some(FAKE_PYTHON), &TRAIN);
    assert!(
        page.contains("PT: PyTorch 9.9 on as many threads; ratio: our CPU time over"),
        "{page}"
    );
    let row = page.lines().find(|line| line.starts_with("glyphs")).unwrap();
    let cells: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(cells[7..10], ["400.0", "200.0", "5.0"], "{page}");
    check_close(
        cells[10].parse().unwrap(),
        cells[1].parse::<f64>().unwrap() / 400.0,
        1e-2,
        "ratio of CPU times, as printed",
    );

    let found = rows(&with_python(&lab, Some(FAKE_PYTHON), &[&THEORY[..], &["--json"]].concat()));
    let [els, ls] = &found[..] else { panic!("two machines, two rows: {found:?}") };
    // All images of the experiment; PyTorch's time is of one query.
    assert_eq!((&els["n"], &ls["peer"]), (&json!(16), &Value::Null));
    assert_eq!(els["peer"], json!({"wall_ms": 400.0, "cpu_ms": 800.0, "torch": "9.9"}));

    let arguments = fs::read_to_string(lab.place.path().join("arguments")).unwrap();
    let lines: Vec<&str> = arguments.lines().collect();
    assert_eq!(lines.len(), 3, "{arguments}");
    assert!(lines[1].contains("--heads 2 --head-width 16"), "{arguments}");
    assert!(lines[1].contains("--optimizer soap"), "{arguments}");
    assert!(lines[1].ends_with("--device cpu --threads 1 --repeats 1"), "{arguments}");
    assert!(lines[2].contains("--k 7 --images 16 --channels 3 --size 14 14 --t 0.5 --queries 2"));
}

#[test]
fn without_pytorch_one_line_says_why() {
    let lab = Lab::new();
    let no_torch = "#!/bin/sh\n/bin/cat > /dev/null\necho 'no torch' >&2\nexit 1\n";
    for (script, more, why) in [
        (None, &[][..], "running python3: No such file"),
        (Some(no_torch), &[], "no torch"),
        (Some(FAKE_PYTHON), &["--no-peers"], "not asked for"),
    ] {
        for arguments in [&TRAIN[..], &THEORY] {
            let page = with_python(&lab, script, &[arguments, more].concat());
            assert!(page.contains(&format!("\nno PyTorch to compare with: {why}")), "{page}");
            let last = page.lines().last().unwrap();
            assert!(last.contains(" - "), "{page}");
        }
    }
    for row in rows(&with_python(&lab, Some(no_torch), &[&TRAIN[..], &["--json"]].concat())) {
        assert_eq!(row["peer"], Value::Null);
    }
}

#[test]
fn every_peer_runs_in_pytorch() {
    let torch = Command::new("python3").args(["-c", "import torch"]).output();
    if !torch.is_ok_and(|output| output.status.success()) {
        let _ = writeln!(io::stderr(), "SKIPPED peers in PyTorch: python3 has no torch");
        return;
    }
    let lab = Lab::new();
    let all = ["bench", "train", "--threads", "1", "--repeats", "1", "--json"];
    let trained = rows(&printed(&lab, &all));
    let els = rows(&printed(&lab, &[&THEORY[..4], &["--machine", "els", "--json"]].concat()));
    assert_eq!(trained.len(), 4);
    // Three patch sides.
    assert_eq!(els.len(), 3);
    for row in trained.iter().chain(&els) {
        let peer = &row["peer"];
        assert!(number(peer, "cpu_ms") > 0.0 && number(peer, "wall_ms") > 0.0, "{row}");
        assert!(!peer["torch"].as_str().unwrap().is_empty());
    }
}

#[test]
fn what_cannot_be_benched_is_refused_by_name() {
    let lab = Lab::new();
    let theory = ["bench", "theory", "--data", DIGITS, "--size", "8", "--n", "5"];
    let cases: [(&[&str], &[&str], &str); 16] = [
        (&theory, &["--t", "0"], "'--t 0' cannot be benched; choose times above 0 and up to 1"),
        (&theory, &["--t", "0.5,1.5"], "'--t 1.5' cannot be benched"),
        (&theory, &["--k", "3,4"], "'--k 4' cannot be benched; patch sides are odd"),
        (&theory[..6], &["--n", "0"], "'--n 0' cannot be benched"),
        (&theory[..6], &["--n", "5,99999"], "'--n 99999' cannot be benched"),
        (&theory, &["--machine", "elss"], "'elss'; did you mean 'els'?"),
        (&theory, &["--queries", "0"], "'0' is no number of at least 1"),
        (&theory, &["--repeats", "no"], "'no' is no number of at least 1"),
        (&theory, &["--device", "gpu"], "'gpu'"),
        (&["bench", "theory"], &["--experiment", "nothing"], "neither a file nor an experiment"),
        (
            &["bench", "theory", "--experiment", "glyphs-cnn"],
            &["--size", "8"],
            "cannot be used with",
        ),
        (
            &["bench", "theory", "--experiment", "glyphs-cnn"],
            &["--n", "17"],
            "'--n 17' cannot be benched; 'glyphs-cnn' holds 16 images",
        ),
        (&["bench", "theory"], &["--data", "nowhere.gz"], "cannot read 'nowhere.gz'"),
        (
            &["bench", "train"],
            &["--net", "resnett"],
            "unknown network 'resnett'; choose from resnet, unet, attention",
        ),
        (&["bench", "train"], &["--threads", "0"], "'0' is no number of at least 1"),
        (&["bench", "train"], &["--repeats", "0"], "'0' is no number of at least 1"),
    ];
    for (command, more, expected) in cases {
        let output = lab.mosaic(&[command, more].concat());
        assert!(!output.status.success() && stdout(&output).is_empty(), "{more:?}");
        assert!(stderr(&output).contains(expected), "{more:?}: {}", stderr(&output));
    }
}
