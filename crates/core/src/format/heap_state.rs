//! Heap states: what a later dump needs to prove that heap tables of one segment did not change (`docs/incremental-heap.md`).
//!
//! ```text
//! {"format":1,"system":7575531870338113548,"timeline":1,"database":16388,"lsn":"0/26485698","page_bytes":32768}
//! {"schema":"public","name":"t","oid":16401,"file":"base/16388/16401","pages":12,"columns":"9f86d081884c7d65"}
//! {"end":true,"tables":1}
//! ```
//!
//! A table that nothing can be proven of has no line.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::words::ids::Oid;
use crate::words::names::QualifiedName;

/// The version of this format; a reader refuses others.
pub const FORMAT: u32 = 1;

/// A place in a server's write-ahead log: everything logged later has a greater one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Lsn(pub u64);

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl FromStr for Lsn {
    type Err = BadHeapState;

    fn from_str(text: &str) -> Result<Lsn, BadHeapState> {
        let half = |text: &str| u32::from_str_radix(text, 16).map_err(|_| BadHeapState);
        let (high, low) = text.split_once('/').ok_or(BadHeapState)?;
        Ok(Lsn(u64::from(half(high)?) << 32 | u64::from(half(low)?)))
    }
}

impl From<Lsn> for String {
    fn from(lsn: Lsn) -> String {
        lsn.to_string()
    }
}

impl TryFrom<String> for Lsn {
    type Error = BadHeapState;

    fn try_from(text: String) -> Result<Lsn, BadHeapState> {
        text.parse()
    }
}

/// The server that holds the segment, at the moment of the dump's snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeapServer {
    pub format: u32,
    /// Made by initdb, the same on its standby servers.
    pub system: u64,
    /// Raised by every promotion and every recovery to a point in time.
    pub timeline: u32,
    pub database: Oid,
    /// Nothing that the dump does not show was logged at or before this place.
    pub lsn: Lsn,
    pub page_bytes: u32,
}

/// One heap table on that segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeapTable {
    #[serde(flatten)]
    pub table: QualifiedName,
    pub oid: Oid,
    /// Of its rows, below the data directory.
    pub file: String,
    pub pages: u64,
    /// A sum over names and types of its columns, dropped ones included.
    pub columns: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeapStates {
    pub server: HeapServer,
    pub tables: Vec<HeapTable>,
}

/// A text that is no file of heap states, or of a format that this program does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the file of heap states is damaged, or of another format")]
pub struct BadHeapState;

#[derive(Serialize, Deserialize)]
struct End {
    end: bool,
    tables: usize,
}

pub fn write(states: &HeapStates) -> String {
    let line = |json: Result<String, serde_json::Error>| json.expect("plain data") + "\n";
    let mut text = line(serde_json::to_string(&states.server));
    for table in &states.tables {
        text.push_str(&line(serde_json::to_string(table)));
    }
    let end = End {
        end: true,
        tables: states.tables.len(),
    };
    text + &line(serde_json::to_string(&end))
}

pub fn parse(text: &str) -> Result<HeapStates, BadHeapState> {
    let mut lines = text.lines();
    let server: HeapServer = serde_json::from_str(lines.next().ok_or(BadHeapState)?).map_err(|_| BadHeapState)?;
    let end: End = serde_json::from_str(lines.next_back().ok_or(BadHeapState)?).map_err(|_| BadHeapState)?;
    let tables: Result<Vec<HeapTable>, _> = lines.map(serde_json::from_str).collect();
    let tables = tables.map_err(|_| BadHeapState)?;
    if server.format != FORMAT || !end.end || end.tables != tables.len() {
        return Err(BadHeapState);
    }
    Ok(HeapStates { server, tables })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = concat!(
        r#"{"format":1,"system":7575531870338113548,"timeline":1,"database":16388,"lsn":"1/A","page_bytes":32768}"#,
        "\n",
        r#"{"schema":"public","name":"t","oid":16401,"file":"base/16388/16401","pages":12,"columns":"9f86"}"#,
        "\n",
        r#"{"end":true,"tables":1}"#,
        "\n",
    );

    #[test]
    fn what_is_written_is_read() {
        let states = parse(TEXT).unwrap();
        assert_eq!(states.server.lsn, Lsn((1 << 32) + 10));
        assert_eq!(write(&states), TEXT);
    }

    #[test]
    fn a_file_that_is_cut_or_of_another_format_is_refused() {
        for end in [0, 50, TEXT.len() - 25, TEXT.len() - 2] {
            assert_eq!(parse(&TEXT[..end]), Err(BadHeapState), "{end}");
        }
        assert!(parse(&TEXT.replace("\"format\":1", "\"format\":2")).is_err());
        assert!(parse(&TEXT.replace("\"tables\":1", "\"tables\":2")).is_err());
        assert!(parse(&TEXT.replace("1/A", "1-A")).is_err());
    }
}
