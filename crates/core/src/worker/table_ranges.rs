//! Where the tables that are wanted stand in a data file, by the index beside it.

use std::collections::{HashMap, HashSet};
use std::io::BufReader;

use super::file_reader::Range;
use crate::db::error_chain;
use crate::format::index::Index;
use crate::store::files::{EntryKind, Files};
use crate::words::job::TableTotals;
use crate::words::names::QualifiedName;
use crate::words::place::Place;

/// Which tables of a data file are wanted, when it is not all of them.
#[derive(Debug, Clone)]
pub(super) enum Wanted {
    These(HashSet<QualifiedName>),
    /// As the lists of an increment call them.
    Listed(HashSet<String>),
}

impl Wanted {
    fn has(&self, table: &QualifiedName) -> bool {
        match self {
            Wanted::These(tables) => tables.contains(table),
            Wanted::Listed(names) => names.contains(&table.to_string()),
        }
    }
}

/// What is read of a data file instead of all of it.
#[derive(Debug)]
pub(super) struct TableRanges {
    /// The settings in front of the first table, then the tables.
    pub ranges: Vec<Range>,
    /// Rows and bytes of the tables as they were counted when they were dumped.
    pub totals: HashMap<QualifiedName, TableTotals>,
}

/// Reads the index of a data file. `Ok(None)`: it has none. An error says why the one it has cannot be used.
pub(super) fn find(
    files: &Files,
    data_file: &Place,
    index: &Place,
    sha256: Option<&str>,
    wanted: &Wanted,
) -> Result<Option<TableRanges>, String> {
    if files.is_pipe(data_file) {
        // There is no place in it that could be gone to.
        return Ok(None);
    }
    let file = match files.open(index) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let read = Index::read(BufReader::new(file)).map_err(|error| error_chain(&error))?;
    let name = data_file.file_name();
    if read.header.data_file != name {
        return Err(format!("it belongs to data file {}", read.header.data_file));
    }
    if let Some(sha256) = sha256.filter(|sha256| *sha256 != read.end.file_sha256) {
        return Err(format!(
            "it says that the SHA-256 of its data file is {}, the manifest of the set says {sha256}",
            read.end.file_sha256
        ));
    }
    let size = match files.look(data_file).map_err(|error| error.to_string())? {
        Some(EntryKind::File(size)) => size,
        _ => return Err("its data file is not there".to_owned()),
    };
    if size != read.end.file_size {
        return Err(format!(
            "it says that its data file has {} bytes, and it has {size}",
            read.end.file_size
        ));
    }
    let first = read.tables.first().map_or(0, |entry| entry.offset);
    let mut ranges = vec![Range {
        offset: 0,
        length: first,
        check: None,
    }];
    let mut totals = HashMap::new();
    for entry in read.tables.into_iter().filter(|entry| wanted.has(&entry.table)) {
        ranges.push(Range {
            offset: entry.offset,
            length: entry.length,
            check: Some((entry.block_bytes, entry.block_crc)),
        });
        totals.insert(entry.table, entry.totals);
    }
    Ok(Some(TableRanges { ranges, totals }))
}
