//! The fuzzer's corpus, and small changes of it, through every reader of bytes from outside.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

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

/// Numbers that only look random, the same in every run with the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }
}

/// What texts of this kind are made of: more likely to lead somewhere than any bytes.
const PIECES: [&[u8]; 24] = [
    b"\n",
    b"\r\n",
    b"\t",
    b"\\.",
    b"\\N",
    b"\\",
    b"'",
    b"\"",
    b"$$",
    b"$a$",
    b";",
    b"--",
    b"/*",
    b"*/",
    b"{",
    b"}",
    b"[",
    b":",
    b",",
    b"\0",
    b"\xff",
    b"\xc3",
    b"99999999999999999999",
    b"-1",
];

/// Changes a few places of a text, or takes over a part of another.
fn change(dice: &mut Dice, text: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..=dice.below(6) {
        let at = dice.below(text.len() + 1);
        let end = (at + dice.below(40)).min(text.len());
        match dice.below(6) {
            0 if at < text.len() => text[at] ^= 1 << dice.below(8),
            1 => drop(text.drain(at..end)),
            2 => {
                let part = text[at..end].to_vec();
                text.splice(at..at, part);
            }
            3 => {
                let from = dice.below(other.len() + 1);
                let to = (from + dice.below(200)).min(other.len());
                text.splice(at..end, other[from..to].iter().copied());
            }
            4 => text.truncate(at),
            _ => drop(text.splice(at..at, PIECES[dice.below(PIECES.len())].iter().copied())),
        }
    }
}

/// For those who have no nightly compiler, and no coverage to guide them: `GPDUMP_FUZZ_SECONDS` for each reader, `GPDUMP_FUZZ_SEED`
/// for other changes.
#[test]
fn no_reader_falls_over_changes_at_random() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let limit = number("GPDUMP_FUZZ_SECONDS").map_or(Duration::from_millis(100), Duration::from_secs);
    let mut dice = Dice(
        number("GPDUMP_FUZZ_SEED")
            .unwrap_or(1)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            | 1,
    );
    for (name, read) in READERS {
        let entries = fs::read_dir(repository().join("fuzz/corpus").join(name)).unwrap();
        let texts: Vec<Vec<u8>> = entries.flatten().map(|entry| fs::read(entry.path()).unwrap()).collect();
        let (started, mut done) = (Instant::now(), 0_u64);
        while started.elapsed() < limit {
            let mut text = texts[dice.below(texts.len())].clone();
            let other = &texts[dice.below(texts.len())];
            change(&mut dice, &mut text, other);
            let before = Instant::now();
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| read(&text))) {
                eprintln!("reader {name} fell over {:?}", String::from_utf8_lossy(&text));
                std::panic::resume_unwind(panic);
            }
            // The texts are small: only what grows with a power of their length takes so long.
            let took = before.elapsed();
            assert!(
                took < Duration::from_secs(20),
                "reader {name} took {took:?} for {text:?}"
            );
            done += 1;
        }
        println!("{name}: {done} texts");
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
