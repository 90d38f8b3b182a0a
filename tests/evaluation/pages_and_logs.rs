//! `mosaic report --html`, `mosaic export --tensorboard`, and events as others read them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use mosaic_lab::runs::run_dir::RunDir;

use crate::common::{Lab, stderr, stdout};
use crate::skip::skip;
use crate::{printed, train};

/// What Python prints; `None`, with a word, if it lacks a module.
fn python(test: &str, modules: &[&str], program: &str, arguments: &[&str]) -> Option<String> {
    let imports = modules.iter().map(|module| format!("import {module}; ")).collect::<String>();
    let has_all = Command::new("python3").args(["-c", &imports]).output();
    if !has_all.is_ok_and(|output| output.status.success()) {
        skip(test, &format!("python3 with {} is not here", modules.join(" and ")));
        return None;
    }
    let output = Command::new("python3").args(["-c", program]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

/// A finished run with previews.
fn with_previews(lab: &Lab) -> RunDir {
    let output = lab.run("glyphs-attention", &["theory.machines=els"], &["--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let report: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    RunDir::open(lab.runs().join(report["run"].as_str().unwrap()))
}

/// Lines of `events.jsonl`.
fn events(run: &RunDir) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(run.events_path()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn events_are_read_by_pandas_in_two_lines() {
    let lab = Lab::new();
    let run = with_previews(&lab);
    let page = include_str!("../../docs/interchange.md");
    let (_, code) = page.split_once("```python\nevents = ").expect("the two lines");
    let code = code.split_once("```").unwrap().0;
    assert_eq!(code.trim_end().lines().count(), 2, "{code}");
    let code = code.replacen("\"RUN/events.jsonl\"", "sys.argv[1]", 1);
    assert!(code.contains("sys.argv"), "{code}");
    let program = format!(
        "import sys\nimport pandas as pd\nevents = {code}\nprint(len(events), len(loss), loss.iloc[-1])"
    );
    let path = run.events_path();
    let test = "events_are_read_by_pandas_in_two_lines";
    let Some(found) = python(test, &["pandas"], &program, &[path.to_str().unwrap()]) else {
        return;
    };
    let all = events(&run);
    let losses: Vec<f64> = all.iter().filter_map(|event| event["body"]["loss"].as_f64()).collect();
    let words: Vec<&str> = found.split_whitespace().collect();
    assert_eq!(words[..2], [all.len().to_string(), losses.len().to_string()], "{found}");
    assert!((words[2].parse::<f64>().unwrap() - losses.last().unwrap()).abs() < 1e-9, "{found}");
}

/// CRC-32C, a bit at a time.
fn crc(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    let crc = !crc;
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The records of a file, with their checksums compared.
fn records(file: &[u8]) -> Vec<&[u8]> {
    let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    let (mut at, mut all) = (0, Vec::new());
    while at < file.len() {
        let n = u64::from_le_bytes(file[at..at + 8].try_into().unwrap()) as usize;
        assert_eq!(word(at + 8), crc(&file[at..at + 8]));
        let record = &file[at + 12..at + 12 + n];
        assert_eq!(word(at + 12 + n), crc(record));
        all.push(record);
        at += 16 + n;
    }
    all
}

/// A field of a message: its number and its bytes, which are those of a number if it is one.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            number |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return number;
            }
        }
    }
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let n = match key & 7 {
            0 => {
                all.push((key >> 3, varint(&mut bytes).to_le_bytes().to_vec()));
                continue;
            }
            1 => 8,
            2 => varint(&mut bytes) as usize,
            5 => 4,
            other => panic!("wire type {other}"),
        };
        all.push((key >> 3, bytes[..n].to_vec()));
        bytes = &bytes[n..];
    }
    all
}

fn field(all: &[(u64, Vec<u8>)], number: u64) -> Option<&Vec<u8>> {
    all.iter().find(|field| field.0 == number).map(|field| &field.1)
}

/// Scalars by tag with their step, and the number of pictures.
fn parsed(path: &Path) -> (BTreeMap<String, Vec<(u64, f32)>>, usize) {
    let file = std::fs::read(path).unwrap();
    let records = records(&file);
    let first = fields(records[0]);
    assert_eq!(field(&first, 3).unwrap(), b"brain.Event:2");
    let (mut scalars, mut n_pictures) = (BTreeMap::<String, Vec<_>>::new(), 0);
    for record in &records[1..] {
        let event = fields(record);
        let step = field(&event, 2).unwrap();
        let step = u64::from_le_bytes(step[..].try_into().unwrap());
        for (_, value) in fields(field(&event, 5).unwrap()) {
            let value = fields(&value);
            let tag = String::from_utf8(field(&value, 1).unwrap().clone()).unwrap();
            if let Some(number) = field(&value, 2) {
                let number = f32::from_le_bytes(number[..].try_into().unwrap());
                scalars.entry(tag).or_default().push((step, number));
            } else if let Some(picture) = field(&value, 4) {
                let png = fields(picture);
                let (height, width) = (field(&png, 1).unwrap()[0], field(&png, 2).unwrap()[0]);
                let decoded = image::load_from_memory(field(&png, 4).unwrap()).unwrap();
                assert_eq!((decoded.width() as u8, decoded.height() as u8), (width, height));
                n_pictures += 1;
            } else {
                assert_eq!(tag, "_hparams_/session_start_info");
            }
        }
    }
    (scalars, n_pictures)
}

#[test]
fn event_files_of_tensorboard_hold_what_the_run_recorded() {
    let lab = Lab::new();
    let run = with_previews(&lab);
    let logs = lab.place.path().join("logs");
    let export = ["export", &run.id(), "--tensorboard", logs.to_str().unwrap()];
    printed(&lab, &export);
    let folder = logs.join(run.id());
    let files = || -> Vec<PathBuf> {
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let [path] = &files()[..] else { panic!("one file: {:?}", files()) };
    let (scalars, n_pictures) = parsed(path);
    let losses: Vec<(u64, f32)> = events(&run)
        .iter()
        .filter_map(|event| {
            let loss = event["body"]["loss"].as_f64()?;
            Some((event["step"].as_u64()?, loss as f32))
        })
        .collect();
    assert!(!losses.is_empty());
    assert_eq!(scalars["training/loss"], losses);
    assert!(n_pictures > 0);
    for tag in
        ["speed/steps_per_s", "agreement_of_previews/els/median_r", "final_agreement/els/median_r"]
    {
        assert!(scalars.contains_key(tag), "{tag} in {:?}", scalars.keys());
    }
    // A second export replaces the first.
    printed(&lab, &export);
    assert_eq!(files().len(), 1);
    let program = "
import sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
found = EventAccumulator(sys.argv[1], size_guidance={'scalars': 0, 'images': 0})
found.Reload()
tags = found.Tags()
print(len(tags['images']), *[f'{event.step}:{event.value!r}' for event in found.Scalars('training/loss')] if 'training/loss' in tags['scalars'] else
      [f'{event.step}:{float(event.tensor_proto.float_val[0])!r}' for event in found.Tensors('training/loss')])
";
    let test = "event_files_of_tensorboard_hold_what_the_run_recorded";
    let Some(read) = python(test, &["tensorboard"], program, &[folder.to_str().unwrap()]) else {
        return;
    };
    let words: Vec<&str> = read.split_whitespace().collect();
    assert_eq!(words.len(), 1 + losses.len(), "{read}");
    for (word, (step, loss)) in words[1..].iter().zip(losses) {
        let (of_step, value) = word.split_once(':').unwrap();
        assert_eq!(of_step, step.to_string());
        assert!((value.parse::<f32>().unwrap() - loss).abs() < 1e-6, "{word} {loss}");
    }
}

#[test]
fn the_page_of_runs_holds_all_tables_and_nothing_that_runs_or_is_fetched() {
    let lab = Lab::new();
    let run = train(&lab, "els,ideal");
    let other = train(&lab, "els,ideal");
    printed(&lab, &["note", &run.id(), "a <script>alert(1)</script> note"]);
    let path = lab.place.path().join("page.html");
    let name = path.to_str().unwrap();
    printed(&lab, &["report", &run.id(), &other.id(), "--html", name]);
    let page = std::fs::read_to_string(&path).unwrap();
    assert!(page.contains("a &lt;script&gt;alert(1)&lt;/script&gt; note"));
    for outside in ["<script", "http://", "https://", "url(", "<link", "@import", "javascript:"] {
        let found = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!found.contains(outside), "{outside}");
    }
    // Every cell of every table of the report.
    let report = std::fs::read_to_string(run.report_path().join("report.md")).unwrap();
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let mut n_cells = 0;
    for line in report.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---")) {
        for cell in line.trim_matches('|').split(" | ").map(str::trim) {
            let (td, th) =
                (format!("<td>{}</td>", escaped(cell)), format!("<th>{}</th>", escaped(cell)));
            assert!(page.contains(&td) || page.contains(&th), "'{cell}' of '{line}'");
            n_cells += 1;
        }
    }
    assert!(n_cells > 30, "{n_cells}");
    assert!(page.matches("<section class=\"run\"").count() == 2);
    assert!(page.matches("<svg role=\"img\"").count() >= 4, "charts are drawings");
    assert!(page.matches("data:image/png;base64,").count() >= 2, "pictures are within");
    assert!(page.contains("prefers-color-scheme: dark") && page.contains("@media print"));
    let output = lab.mosaic(&["report", &run.id(), &other.id()]);
    assert!(
        !output.status.success() && stderr(&output).contains("--html FILE"),
        "{}",
        stderr(&output)
    );
    let output = lab.mosaic(&["report", &run.id(), &run.id(), "--html", name]);
    assert!(stderr(&output).contains("named twice"), "{}", stderr(&output));
}
