//! The fuzzer's corpus, and small changes of it, through every reader of bytes from outside.

use std::fs;

use gpdump_testkit::repository;
use gpdump_tests::readers::READERS;

/// A bit of a byte, and cuts, at this many places of each text.
const PLACES: usize = 64;

#[test]
fn no_reader_falls_over_its_corpus() {
    for (name, read) in READERS {
        let folder = repository().join("fuzz/corpus").join(name);
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut seen = 0;
        for entry in entries.flatten() {
            let text = fs::read(entry.path()).unwrap();
            // A panic names the test alone.
            println!("{}", entry.path().display());
            read(&text);
            for place in 0..PLACES.min(text.len()) {
                let at = place * text.len() / PLACES.min(text.len());
                read(&text[..at]);
                let mut changed = text.clone();
                changed[at] ^= 1 << (place % 8);
                read(&changed);
            }
            seen += 1;
        }
        assert!(seen > 0, "reader {name} has no corpus in {}", folder.display());
    }
}

#[test]
fn every_reader_has_a_fuzz_target() {
    let manifest = fs::read_to_string(repository().join("fuzz/Cargo.toml")).unwrap();
    for (name, _) in READERS {
        assert!(
            manifest.contains(&format!("name = \"{name}\"")),
            "{name} is not in fuzz/Cargo.toml"
        );
        assert!(
            repository().join(format!("fuzz/fuzz_targets/{name}.rs")).is_file(),
            "{name}"
        );
    }
}
