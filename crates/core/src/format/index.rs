//! The index beside a data file: where in it each table stands, so that one table of a terabyte can be read alone.
//!
//! ```text
//! {"format":1,"data_file":"gp_dump_0_2_20240102030405.gz","compression":"gzip"}
//! {"schema":"public","name":"t","offset":187,"length":5120,"rows":1000,"bytes":21893,"block_bytes":22041}
//! {"end":true,"tables":1,"file_size":5398,"file_sha256":"9f86d0..."}
//! ```
//!
//! One JSON text a line, so that a hundred thousand tables are written and read without holding a document. An index
//! without its last line belongs to a dump that did not finish and is refused.

use std::io::{BufRead, Write};

use serde::{Deserialize, Serialize};

use crate::words::job::TableTotals;
use crate::words::layout::Compression;
use crate::words::names::QualifiedName;

/// The version of this format; a reader refuses others.
pub const FORMAT: u32 = 1;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexHeader {
    pub format: u32,
    /// Name of the data file, which lies beside the index.
    pub data_file: String,
    pub compression: Compression,
}

/// One table, in the order of the data file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexEntry {
    #[serde(flatten)]
    pub table: QualifiedName,
    /// First byte of the block in the file as it lies on disk; a gzip member begins there.
    pub offset: u64,
    /// Bytes of the block on disk.
    pub length: u64,
    /// Rows, and bytes of row text.
    #[serde(flatten)]
    pub totals: TableTotals,
    /// Bytes of the block when uncompressed, frame included.
    pub block_bytes: u64,
    /// CRC-32 of the uncompressed block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_crc: Option<u32>,
}

/// The last line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexEnd {
    end: bool,
    pub tables: u64,
    /// Bytes of the data file on disk.
    pub file_size: u64,
    /// Lower-case hex.
    pub file_sha256: String,
}

/// Why an index cannot be written or used.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    #[error("could not write the index of \"{data_file}\"")]
    Write {
        data_file: String,
        #[source]
        source: std::io::Error,
    },
    #[error("could not read line {line} of the index")]
    Read {
        line: u64,
        #[source]
        source: std::io::Error,
    },
    #[error("line {line} of the index is not what belongs there")]
    BadLine {
        line: u64,
        #[source]
        source: serde_json::Error,
    },
    #[error("the index is empty")]
    Empty,
    #[error(
        "the index has format {0}, and this program reads format {FORMAT}: use the program that wrote it, or a newer one"
    )]
    OtherFormat(u32),
    #[error("the index of \"{data_file}\" has no last line: its dump did not finish")]
    NoEnd { data_file: String },
    #[error("line {line} stands behind the last line of the index")]
    BehindEnd { line: u64 },
    #[error("the index says that it has {said} tables, and has {found}")]
    WrongCount { said: u64, found: u64 },
    #[error(
        "the block of table {table} (bytes {offset} to {end}) overlaps the one before it or leaves the file of {file_size} bytes"
    )]
    BadRange {
        table: QualifiedName,
        offset: u64,
        end: u64,
        file_size: u64,
    },
}

/// Writes an index while its data file is written.
#[derive(Debug)]
pub struct IndexWriter<W> {
    out: W,
    data_file: String,
    tables: u64,
}

impl<W: Write> IndexWriter<W> {
    /// Writes the first line. `out` should be buffered.
    pub fn new(out: W, data_file: &str, compression: Compression) -> Result<Self, IndexError> {
        let mut writer = IndexWriter {
            out,
            data_file: data_file.to_owned(),
            tables: 0,
        };
        writer.line(&IndexHeader {
            format: FORMAT,
            data_file: data_file.to_owned(),
            compression,
        })?;
        Ok(writer)
    }

    pub fn table(&mut self, entry: &IndexEntry) -> Result<(), IndexError> {
        self.tables += 1;
        self.line(entry)
    }

    /// Writes the last line and flushes; gives `out` back to be synced and closed.
    pub fn finish(mut self, file_size: u64, file_sha256: &str) -> Result<W, IndexError> {
        self.line(&IndexEnd {
            end: true,
            tables: self.tables,
            file_size,
            file_sha256: file_sha256.to_owned(),
        })?;
        let flushed = self.out.flush();
        flushed.map_err(|source| self.write_error(source))?;
        Ok(self.out)
    }

    fn line(&mut self, value: &impl Serialize) -> Result<(), IndexError> {
        let written = serde_json::to_writer(&mut self.out, value)
            .map_err(std::io::Error::from)
            .and_then(|()| self.out.write_all(b"\n"));
        written.map_err(|source| self.write_error(source))
    }

    fn write_error(&self, source: std::io::Error) -> IndexError {
        IndexError::Write {
            data_file: self.data_file.clone(),
            source,
        }
    }
}

/// A whole index, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    pub header: IndexHeader,
    /// In the order of the data file; ranges ascend and do not overlap.
    pub tables: Vec<IndexEntry>,
    pub end: IndexEnd,
}

impl Index {
    /// Reads an index to its end and checks that it agrees with itself.
    pub fn read(input: impl BufRead) -> Result<Index, IndexError> {
        let mut lines =
            input
                .lines()
                .enumerate()
                .map(|(at, text)| (at as u64 + 1, text))
                .map(|(line, text)| match text {
                    Ok(text) => Ok((line, text)),
                    Err(source) => Err(IndexError::Read { line, source }),
                });
        let (line, text) = lines.next().ok_or(IndexError::Empty)??;
        // The version first: another version's header may have other fields.
        let FormatOnly { format } = parse(line, &text)?;
        if format != FORMAT {
            return Err(IndexError::OtherFormat(format));
        }
        let header: IndexHeader = parse(line, &text)?;

        let mut tables = Vec::new();
        let mut end: Option<IndexEnd> = None;
        for next in lines {
            let (line, text) = next?;
            if end.is_some() {
                return Err(IndexError::BehindEnd { line });
            }
            if text.starts_with("{\"end\":true,") {
                end = Some(parse(line, &text)?);
            } else {
                tables.push(parse(line, &text)?);
            }
        }
        let Some(end) = end else {
            return Err(IndexError::NoEnd {
                data_file: header.data_file,
            });
        };
        let index = Index { header, tables, end };
        index.check()?;
        Ok(index)
    }

    fn check(&self) -> Result<(), IndexError> {
        if self.end.tables != self.tables.len() as u64 {
            return Err(IndexError::WrongCount {
                said: self.end.tables,
                found: self.tables.len() as u64,
            });
        }
        let mut free_from = 0;
        for entry in &self.tables {
            let end = entry.offset.saturating_add(entry.length);
            if entry.offset < free_from || end > self.end.file_size {
                return Err(IndexError::BadRange {
                    table: entry.table.clone(),
                    offset: entry.offset,
                    end,
                    file_size: self.end.file_size,
                });
            }
            free_from = end;
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

fn parse<'a, T: Deserialize<'a>>(line: u64, text: &'a str) -> Result<T, IndexError> {
    serde_json::from_str(text).map_err(|source| IndexError::BadLine { line, source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(name: &str, offset: u64, length: u64) -> IndexEntry {
        IndexEntry {
            table: QualifiedName::new("public", name),
            offset,
            length,
            totals: TableTotals { rows: 3, bytes: 60 },
            block_bytes: 200,
            block_crc: None,
        }
    }

    fn write(tables: &[IndexEntry], file_size: u64) -> String {
        let mut writer = IndexWriter::new(Vec::new(), "gp_dump_0_2_20240102030405.gz", Compression::Gzip).unwrap();
        for table in tables {
            writer.table(table).unwrap();
        }
        String::from_utf8(writer.finish(file_size, "9f86").unwrap()).unwrap()
    }

    fn refused(text: &str) -> String {
        Index::read(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn the_text_is_one_json_a_line() {
        assert_eq!(
            write(&[entry("t", 187, 5)], 192),
            "{\"format\":1,\"data_file\":\"gp_dump_0_2_20240102030405.gz\",\"compression\":\"gzip\"}\n\
             {\"schema\":\"public\",\"name\":\"t\",\"offset\":187,\"length\":5,\"rows\":3,\"bytes\":60,\"block_bytes\":200}\n\
             {\"end\":true,\"tables\":1,\"file_size\":192,\"file_sha256\":\"9f86\"}\n"
        );
    }

    #[test]
    fn an_index_cut_anywhere_is_refused() {
        let text = write(&[entry("t", 0, 5), entry("u", 5, 5)], 10);
        for cut in 0..text.len() - 1 {
            assert!(Index::read(&text.as_bytes()[..cut]).is_err(), "{cut}");
        }
        let without_end = text.rsplit_once("{\"end\"").unwrap().0;
        assert_eq!(
            refused(without_end),
            "the index of \"gp_dump_0_2_20240102030405.gz\" has no last line: its dump did not finish"
        );
    }

    #[test]
    fn an_index_that_contradicts_itself_is_refused() {
        let text = write(&[entry("t", 0, 5)], 10);
        assert!(
            refused(&text.replace("\"tables\":1", "\"tables\":2")).contains("says that it has 2 tables, and has 1")
        );
        assert!(refused(&text.replace("\"format\":1", "\"format\":2")).contains("format 2"));
        assert!(refused(&format!("{text}{{}}\n")).contains("behind the last line"));
        assert!(refused(&write(&[entry("t", 0, 5), entry("u", 4, 5)], 10)).contains("table public.u"));
        assert!(refused(&write(&[entry("t", 0, 11)], 10)).contains("leaves the file of 10 bytes"));
        assert_eq!(refused(""), "the index is empty");
    }

    #[test]
    fn a_hundred_thousand_tables_are_read_back() {
        let tables: Vec<IndexEntry> = (0..100_000).map(|n| entry(&format!("t{n}"), n * 10, 10)).collect();
        let index = Index::read(write(&tables, 1_000_000).as_bytes()).unwrap();
        assert_eq!(index.tables, tables);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(names in proptest::collection::vec((".*", ".*", any::<Option<u32>>()), 0..10)) {
            let tables: Vec<IndexEntry> = names.iter().enumerate().map(|(at, (schema, name, block_crc))| IndexEntry {
                table: QualifiedName::new(schema.as_str(), name.as_str()),
                block_crc: *block_crc,
                ..entry("", at as u64 * 7, 7)
            }).collect();
            let index = Index::read(write(&tables, 70).as_bytes()).unwrap();
            prop_assert_eq!(index.tables, tables);
            prop_assert_eq!(index.end.file_size, 70);
        }
    }
}
