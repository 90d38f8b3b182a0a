//! `mosaic bench`: every field is there, units fit each other, and what cannot be timed is refused by name.

use serde_json::Value;

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
    assert_eq!(lines[0], "2 threads; medians of 2 steps, milliseconds a step");
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
            cells.len() == 10 && cells[7].ends_with("e6") && cells[8].ends_with('%'),
            "{cells:?}"
        );
    }
}

#[test]
fn what_cannot_be_benched_is_refused_by_name() {
    let lab = Lab::new();
    let theory = ["bench", "theory", "--data", DIGITS, "--size", "8", "--n", "5"];
    let cases: [(&[&str], &[&str], &str); 13] = [
        (&theory, &["--t", "0"], "'--t 0' cannot be benched; choose times above 0 and up to 1"),
        (&theory, &["--t", "0.5,1.5"], "'--t 1.5' cannot be benched"),
        (&theory, &["--k", "3,4"], "'--k 4' cannot be benched; patch sides are odd"),
        (&theory[..6], &["--n", "0"], "'--n 0' cannot be benched"),
        (&theory[..6], &["--n", "5,99999"], "'--n 99999' cannot be benched"),
        (&theory, &["--machine", "elss"], "'elss'; did you mean 'els'?"),
        (&theory, &["--queries", "0"], "'0' is no number of at least 1"),
        (&theory, &["--repeats", "no"], "'no' is no number of at least 1"),
        (&theory, &["--device", "gpu"], "'gpu'"),
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
