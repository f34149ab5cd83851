//! Every reader of bytes that come from outside, as a function of bytes: for the fuzzer in `fuzz/`, and for
//! `tests/corpus.rs`, which runs its corpus without it. A reader may refuse anything; it may not panic, hang, or read one
//! text in two ways.

use std::sync::LazyLock;

use gpdump_core::format::cdatabase::Cdatabase;
use gpdump_core::format::copy_text::{parse_row, write_row};
use gpdump_core::format::data_check::{CheckedBlock, DataCheck};
use gpdump_core::format::index::Index;
use gpdump_core::format::manifest::Manifest;
use gpdump_core::format::manifest_summary::ManifestSummary;
use gpdump_core::format::sql_script::Script;
use gpdump_core::format::state::{LastOperations, ModCounts};
use gpdump_core::format::table_list::{TableList, parse_schemas, splits};
use gpdump_core::format::{email_file, increments, report, status};
use gpdump_core::plan::restore::inventory::Inventory;
use gpdump_core::words::ids::{Prefix, TimestampKey};
use gpdump_core::words::layout::parse_any_prefix;
use gpdump_core::words::names::{QualifiedName, unquote_ident};
use gpdump_core::worker::protocol::{Event, Request};

/// Reads bytes, and panics when it should not.
type Reader = fn(&[u8]);

/// Name and function of each.
pub const READERS: &[(&str, Reader)] = &[
    ("segment_data", segment_data),
    ("sql_script", sql_script),
    ("index", index),
    ("manifest", manifest),
    ("report", report),
    ("status", status),
    ("state", state),
    ("lists", lists),
    ("cdatabase", cdatabase),
    ("protocol", protocol),
    ("email", email),
    ("names", names),
    ("copy_row", copy_row),
];

static KEY: LazyLock<TimestampKey> = LazyLock::new(|| "20240102030405".parse().unwrap());

/// However it is cut, a data file says the same. Its first byte chooses the cut.
fn segment_data(bytes: &[u8]) {
    let Some((&size, text)) = bytes.split_first() else {
        return;
    };
    let read = |size: usize| {
        let mut blocks: Vec<CheckedBlock> = Vec::new();
        let mut check = DataCheck::new();
        for piece in text.chunks(size) {
            let pushed = check.push(bytes::Bytes::copy_from_slice(piece), |block| blocks.push(block));
            if pushed.is_err() {
                return (blocks, false);
            }
        }
        let end = check.finish(|block| blocks.push(block));
        (blocks, end.is_ok())
    };
    assert_eq!(read(usize::from(size) + 1), read(text.len().max(1)));
}

/// The pieces of a script are all of it, in order.
fn sql_script(bytes: &[u8]) {
    let Ok(script) = Script::parse(bytes) else { return };
    let mut last = 0;
    for item in script.items() {
        let span = item.span();
        assert!(span.start >= last && span.end >= span.start && span.end <= bytes.len());
        last = span.end;
    }
    for entry in script.entries() {
        let _ = script.items_of(entry).count();
    }
    let inventory = Inventory::read(&script);
    for at in 0..inventory.tables.len() {
        let _ = (inventory.root(at), inventory.has_rows(at));
    }
}

fn index(bytes: &[u8]) {
    let _ = Index::read(bytes);
}

fn manifest(bytes: &[u8]) {
    let _ = ManifestSummary::parse(bytes);
    let text = String::from_utf8_lossy(bytes);
    if let Ok(manifest) = Manifest::parse(&text) {
        let _ = manifest.problems();
        assert_eq!(Manifest::parse(&manifest.write()).unwrap(), manifest);
    }
}

fn report(bytes: &[u8]) {
    let _ = report::parse(&String::from_utf8_lossy(bytes), &Prefix::none(), *KEY);
}

fn status(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = (status::verdict(&text), status::error_extract(&text));
}

fn state(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = (ModCounts::parse(&text).is_ok(), LastOperations::parse(&text).is_ok());
}

fn lists(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for line in TableList::parse(&text).lines() {
        let _ = splits(line);
    }
    let _ = parse_schemas(&text);
    if let Ok(keys) = increments::parse(&text, "list") {
        assert_eq!(increments::parse(&increments::write(&keys), "list").unwrap(), keys);
    }
}

fn cdatabase(bytes: &[u8]) {
    if let Ok(read) = Cdatabase::parse(&String::from_utf8_lossy(bytes)) {
        let _ = read.renamed("other \"name\"");
    }
}

fn protocol(bytes: &[u8]) {
    let _ = serde_json::from_slice::<Request>(bytes);
    let _ = serde_json::from_slice::<Event>(bytes);
}

fn email(bytes: &[u8]) {
    let _ = email_file::parse(&String::from_utf8_lossy(bytes));
}

/// What a quoted name means is written as a name that means the same.
fn names(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some(name) = QualifiedName::parse_quoted(&text) {
        assert_eq!(QualifiedName::parse_quoted(&name.sql()), Some(name));
    }
    let _ = (unquote_ident(&text), text.parse::<TimestampKey>().is_ok());
    if let Some(name) = parse_any_prefix(&text) {
        assert_eq!(name.text(), text);
    }
}

fn copy_row(bytes: &[u8]) {
    if bytes.contains(&b'\n') {
        return;
    }
    let fields = parse_row(bytes);
    let written = write_row(&fields);
    assert_eq!(parse_row(written.strip_suffix(b"\n").unwrap_or(&written)), fields);
}

/// Runs the reader of that name.
pub fn run(name: &str, bytes: &[u8]) {
    let found = READERS.iter().find(|(known, _)| *known == name);
    let (_, read) = found.unwrap_or_else(|| panic!("there is no reader {name}"));
    read(bytes);
}
