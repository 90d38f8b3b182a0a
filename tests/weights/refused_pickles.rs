//! Pickles that want to run something, or to exhaust memory or time, are refused, by the name of what they want.

use std::io::{Cursor, Write};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mosaic_lab::weights::{WeightsFile, patch_sides};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// `torch.save`'s archive around a pickle.
fn archive(pickle: &[u8]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    writer.start_file("x/data.pkl", stored).unwrap();
    writer.write_all(pickle).unwrap();
    writer.start_file("x/data/0", stored).unwrap();
    writer.write_all(&[0; 64]).unwrap();
    writer.finish().unwrap().into_inner()
}

/// The error for this pickle, which is the same in an archive and alone.
fn refusal(program: &[u8]) -> String {
    let pickle = [b"\x80\x02", program].concat();
    let since = Instant::now();
    let of = |bytes: Vec<u8>| WeightsFile::parse(&Bytes::from(bytes)).err().unwrap().to_string();
    let error = of(archive(&pickle));
    assert_eq!(of(pickle.clone()), error);
    assert!(patch_sides::read(&Bytes::from(pickle)).is_err());
    assert!(since.elapsed() < Duration::from_secs(5), "took {:?}", since.elapsed());
    error
}

/// A text as a pickle pushes it.
fn text(value: &str) -> Vec<u8> {
    [&b"X"[..], &(value.len() as u32).to_le_bytes(), value.as_bytes()].concat()
}

#[test]
fn every_way_to_call_a_function_is_refused_by_its_name_and_nothing_runs() {
    let place = tempfile::tempdir().unwrap();
    let trace = place.path().join("ran");
    let command = text(&format!("touch {}", trace.display()));
    let short = |bytes: &[u8]| [&[0x8c, bytes.len() as u8], bytes].concat();
    let ways: [(&str, Vec<u8>, &str); 14] = [
        ("REDUCE", [b"cposix\nsystem\n(", &command[..], b"tR."].concat(), "call 'posix.system'"),
        (
            "REDUCE of one argument",
            [b"cos\nsystem\n", &command[..], b"\x85R."].concat(),
            "call 'os.system'",
        ),
        (
            "REDUCE of builtins",
            [b"c__builtin__\neval\n", &command[..], b"\x85R."].concat(),
            "call 'builtins.eval'",
        ),
        ("INST", [b"(", &command[..], b"ios\nsystem\n."].concat(), "call 'os.system'"),
        (
            "OBJ",
            [b"(csubprocess\nPopen\n", &command[..], b"o."].concat(),
            "call 'subprocess.Popen'",
        ),
        (
            "STACK_GLOBAL",
            [&short(b"posix")[..], &short(b"system"), b"\x93", &command, b"\x85R."].concat(),
            "call 'posix.system'",
        ),
        ("NEWOBJ", b"csubprocess\nPopen\n)\x81.".to_vec(), "class 'subprocess.Popen'"),
        ("NEWOBJ_EX", b"csubprocess\nPopen\n)}\x92.".to_vec(), "class 'subprocess.Popen'"),
        ("a foreign module", b"cmine\nNetwork\n)\x81}b.".to_vec(), "class 'mine.Network'"),
        ("BUILD of a class", b"cmodels\nDDIM\n}b.".to_vec(), "call 'models.DDIM.__setstate__'"),
        (
            "a value in a dictionary",
            [b"}", &text("w")[..], b"cnt\nsystem\n", &command, b"\x85Rs."].concat(),
            "call 'nt.system'",
        ),
        (
            "NumPy",
            b"cnumpy.core.multiarray\n_reconstruct\n)R.".to_vec(),
            "call 'numpy.core.multiarray._reconstruct'",
        ),
        (
            "a pickle in a pickle",
            b"ctorch.storage\n_load_from_bytes\nC\x01.\x85R.".to_vec(),
            "call 'torch.storage._load_from_bytes'",
        ),
        (
            "getattr",
            b"cbuiltins\ngetattr\nctorch\nhub\nX\x04\0\0\0load\x86R.".to_vec(),
            "call 'builtins.getattr'",
        ),
    ];
    for (way, program, expected) in ways {
        let error = refusal(&program);
        assert!(
            error.contains(expected) && error.contains("torch.save(model.state_dict()"),
            "{way}: {error}"
        );
        assert!(!trace.exists(), "{way}");
    }
}

#[test]
fn a_function_that_is_only_named_is_no_reason_to_refuse() {
    // KG's DDIM keeps its noise schedule, a function, as an attribute.
    let program =
        [b"}", &text("noise_schedule")[..], b"cutils.noise_schedules\ncosine_noise_schedule\ns."]
            .concat();
    assert!(refusal(&program).contains("it holds no tensors"));
}

#[test]
fn what_a_pickle_claims_is_checked_before_it_is_believed() {
    let storage = |n: &[u8]| {
        let name = [
            &b"("[..],
            &text("storage"),
            b"ctorch\nFloatStorage\n",
            &text("0"),
            &text("cpu"),
            n,
            b"tQ",
        ];
        name.concat()
    };
    let tensor = |n: &[u8], offset: &[u8], shape: &[u8], strides: &[u8]| {
        let call =
            [&b"}"[..], &text("up_projection.weight"), b"ctorch._utils\n_rebuild_tensor_v2\n("];
        [&call.concat()[..], &storage(n), offset, shape, strides, b"\x89}tRs."].concat()
    };
    // Whole numbers of eight bytes.
    let huge = b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f";
    let ones = b"K\x01K\x01K\x01K\x01";
    let in_tuple = |items: &[u8]| [b"(", items, b"t"].concat();
    let many = [&huge[..], b"K\x01K\x01K\x01"].concat();
    let cases: [(&str, Vec<u8>, &str); 8] = [
        ("text of 4 GiB", b"X\xff\xff\xff\xff".to_vec(), "claims 4294967295 bytes"),
        ("bytes of 2^64", b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(), "but only 0 are left"),
        ("a number of 2^31 bytes", b"\x8b\xff\xff\xff\x7f".to_vec(), "claims 2147483647 bytes"),
        (
            "a storage of 2^63",
            tensor(huge, b"K\x00", &in_tuple(ones), &in_tuple(ones)),
            "should hold 9223372036854775807",
        ),
        (
            "a shape of 2^63",
            tensor(b"K\x10", b"K\x00", &in_tuple(&many), &in_tuple(b"K\x00K\x00K\x00K\x00")),
            "does not fit its storage of 16",
        ),
        (
            "an offset beyond",
            tensor(b"K\x10", b"K\x10", &in_tuple(ones), &in_tuple(ones)),
            "does not fit its storage of 16",
        ),
        (
            "a negative size",
            tensor(b"K\x10", b"K\x00", &in_tuple(b"J\xff\xff\xff\xff"), &in_tuple(b"K\x01")),
            "make no sense",
        ),
        ("an end in the middle", b"}(".to_vec(), "but only 0 are left"),
    ];
    for (what, program, expected) in cases {
        let pickle = [b"\x80\x02", &program[..]].concat();
        let error = WeightsFile::parse(&Bytes::from(archive(&pickle))).err().unwrap().to_string();
        assert!(error.contains(expected), "{what}: {error}");
    }
}

#[test]
fn objects_that_contain_each_other_cost_no_more_than_their_bytes() {
    // Each list or dictionary holds the one before twice: 2^60 of them, if they were counted one by one.
    let doubled = |first: &[u8], next: &dyn Fn(u8) -> Vec<u8>| {
        let mut program = [first, b"q\x00"].concat();
        (1..=60).for_each(|i| program.extend(next(i)));
        program.push(b'.');
        program
    };
    let lists = doubled(b"]", &|i| vec![b'0', b']', b'q', i, b'(', b'h', i - 1, b'h', i - 1, b'e']);
    assert!(refusal(&lists).contains("it holds no tensors"));
    let [a, b] = ["a", "b"].map(text);
    let dicts = doubled(b"}", &|i| {
        [&[b'0', b'}', b'q', i, b'('][..], &a, &[b'h', i - 1], &b, &[b'h', i - 1], b"u"].concat()
    });
    assert!(refusal(&dicts).contains("more than"), "{}", refusal(&dicts));
    let inside_itself = [b"}q\x00", &a[..], b"h\x00s."].concat();
    assert!(refusal(&inside_itself).contains("more than 24 layers of nesting"));
    for deep in [&b"]"[..], b"(", b"}", b"N2"] {
        assert!(refusal(&deep.repeat(1 << 20)).contains("more than 200000"), "{deep:?}");
    }
    // A long name that is used again and again.
    let name = text(&"n".repeat(1 << 20));
    let again = [&name[..], b"q\x00", &b"h\x00h\x00\x93".repeat(1 << 16), b"."].concat();
    assert!(refusal(&again).contains("more than 256 letters in a name"));
}

#[test]
fn archives_that_are_no_weights_are_told_apart() {
    let of = |names: &[&str]| {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        for name in names {
            writer.start_file(*name, stored).unwrap();
            writer.write_all(b"\x80\x02}.").unwrap();
        }
        let bytes = writer.finish().unwrap().into_inner();
        WeightsFile::parse(&Bytes::from(bytes)).err().unwrap().to_string()
    };
    assert!(of(&["pictures/a.png"]).contains("a zip archive without 'data.pkl', not weights"));
    assert!(of(&["m/data.pkl", "m/code/m.py"]).contains("TorchScript"));
    let mut changed = archive(b"\x80\x02}.");
    let at = changed.windows(4).position(|w| w == b"\x80\x02}.").unwrap();
    changed[at + 1] = 3;
    let error = WeightsFile::parse(&Bytes::from(changed)).err().unwrap().to_string();
    assert!(error.contains("'x/data.pkl' in it is cut short or changed"), "{error}");
}
