//! The data file of a segment: a script of `COPY` blocks (or of `INSERT` statements, where these were asked for),
//! written and read as a stream of bytes.
//!
//! ```text
//! --
//! -- Greenplum Database database dump
//! --
//!
//! SET statement_timeout = 0;
//! SET client_encoding = 'UTF8';
//! SET standard_conforming_strings = on;
//! SET check_function_bodies = false;
//! SET client_min_messages = warning;
//!
//! SET search_path = "S 2", pg_catalog;
//!
//! --
//! -- Data for Name: T "q; Type: TABLE DATA; Schema: S 2; Owner: App Own
//! --
//!
//! COPY "T ""q" ("C x", "select", user_name) FROM stdin;
//! 1<tab>a<tab>b
//! \.
//!
//!
//! --
//! -- Greenplum Database database dump complete
//! --
//!
//! ```
//!
//! Rows are never decoded and never assembled: a row may be a gigabyte long and in any encoding. Text is the layout of
//! `gp_dump.md` 3.1 and 3.7; `docs/formats/segment-data.md` has the grammar.

mod copy_statement;
mod encoding;
mod insert_statement;
mod inserts;
pub(in crate::format) mod lexer;
mod reader;

pub use inserts::{InsertWriter, insert_default_rows};
pub use reader::{BlockReader, CopyBlock, DataError, DataEvent};

use crate::words::job::{RowForm, TableJob};
use crate::words::names::{QualifiedName, quote_ident_if_needed, quote_literal};

/// What stands behind the last row of a block: the end mark of COPY and two empty lines.
pub const BLOCK_END: &[u8] = b"\\.\n\n\n";

/// The same behind INSERT statements.
const INSERTS_END: &[u8] = b"\n\n";

/// What stands behind the last row of this table.
pub fn block_end(table: &TableJob) -> &'static [u8] {
    match table.form {
        RowForm::Copy | RowForm::CopyWithOids => BLOCK_END,
        RowForm::Inserts { .. } => INSERTS_END,
    }
}

/// The comment that only a complete file ends with.
const TRAILER_TEXT: &str = "-- Greenplum Database database dump complete";

/// The first bytes of a file; `encoding` is the server's name of the encoding that the rows are in.
pub fn file_header(encoding: &str) -> Vec<u8> {
    format!(
        "--\n-- Greenplum Database database dump\n--\n\n\
         SET statement_timeout = 0;\n\
         SET client_encoding = {};\n\
         SET standard_conforming_strings = on;\n\
         SET check_function_bodies = false;\n\
         SET client_min_messages = warning;\n\n",
        quote_literal(encoding).trim_start()
    )
    .into_bytes()
}

/// What stands in front of the rows of a table.
///
/// The search path is set every time, where the original sets it when it changes: so a block that is read alone, from
/// its own gzip member, says by itself which schema it belongs to. Names are written in UTF-8: see [`block_head_in`].
pub fn block_head(table: &TableJob) -> Vec<u8> {
    let comment = format!(
        "{}\n--\n-- Data for Name: {}; Type: TABLE DATA; Schema: {}; Owner: {}\n--\n\n",
        search_path(&table.name.schema),
        in_one_line(&table.name.name),
        in_one_line(&table.name.schema),
        in_one_line(&table.owner),
    );
    let with_oids = match table.form {
        RowForm::Copy => "",
        RowForm::CopyWithOids => "WITH OIDS ",
        RowForm::Inserts { .. } => return comment.into_bytes(),
    };
    let columns: Vec<String> = table.columns.iter().map(|c| quote_ident_if_needed(c)).collect();
    // The original prints two blanks for a table without columns, and its filters look for them.
    let columns = if columns.is_empty() {
        String::new()
    } else {
        format!("({})", columns.join(", "))
    };
    let table = quote_ident_if_needed(&table.name.name);
    format!("{comment}COPY {table} {columns} {with_oids}FROM stdin;\n").into_bytes()
}

/// A name that would be another one in a file of this encoding.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "could not write the names of table {table} in encoding {encoding}: it does not have their characters, or this program \
     does not know it; rename what is not ASCII"
)]
pub struct NameNotEncoded {
    pub table: QualifiedName,
    pub encoding: String,
}

/// [`block_head`] for a file in any encoding: with bytes of UTF-8 in a file of another encoding the server that restores
/// it would look for a table of another name.
pub fn block_head_in(table: &TableJob, encoding: &str) -> Result<Vec<u8>, NameNotEncoded> {
    let text = String::from_utf8(block_head(table)).expect("a head is made of strings");
    encoding::encode(&text, encoding).ok_or_else(|| NameNotEncoded {
        table: table.name.clone(),
        encoding: encoding.to_owned(),
    })
}

/// The last bytes of a complete file.
pub fn file_trailer() -> Vec<u8> {
    format!("--\n{TRAILER_TEXT}\n--\n\n").into_bytes()
}

fn search_path(schema: &str) -> String {
    if schema == "pg_catalog" {
        "SET search_path = pg_catalog;\n".to_owned()
    } else {
        format!("SET search_path = {}, pg_catalog;\n", quote_ident_if_needed(schema))
    }
}

/// A name for a header comment: a line break in it would end the comment and make SQL of the rest.
fn in_one_line(name: &str) -> String {
    name.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(schema: &str, name: &str, columns: &[&str]) -> TableJob {
        TableJob {
            name: QualifiedName::new(schema, name),
            owner: "App Own".into(),
            columns: columns.iter().map(|c| (*c).to_owned()).collect(),
            condition: None,
            form: Default::default(),
            stream: None,
        }
    }

    fn head(table: &TableJob) -> String {
        String::from_utf8(block_head(table)).unwrap()
    }

    #[test]
    fn a_block_head_is_the_originals_with_its_search_path() {
        assert_eq!(
            head(&job("S 2", "T \"q", &["C x", "select", "user_name"])),
            "SET search_path = \"S 2\", pg_catalog;\n\n--\n\
             -- Data for Name: T \"q; Type: TABLE DATA; Schema: S 2; Owner: App Own\n--\n\n\
             COPY \"T \"\"q\" (\"C x\", \"select\", user_name) FROM stdin;\n"
        );
    }

    #[test]
    fn a_table_without_columns_has_two_blanks() {
        assert!(head(&job("s1", "nocol", &[])).ends_with("\nCOPY nocol  FROM stdin;\n"));
    }

    #[test]
    fn a_line_break_in_a_name_does_not_leave_the_comment() {
        let text = head(&job("s", "a\nDROP TABLE x;\r", &["c"]));
        assert!(text.contains("-- Data for Name: a DROP TABLE x; ; Type"), "{text}");
    }

    #[test]
    fn names_are_written_in_the_encoding_of_the_file_or_not_at_all() {
        let table = job("s", "tü", &["c"]);
        let head = block_head_in(&table, "LATIN1").unwrap();
        assert!(head.windows(14).any(|w| w == b"COPY \"t\xfc\" (c) "));
        assert_eq!(block_head_in(&table, "UTF8").unwrap(), block_head(&table));
        assert_eq!(
            block_head_in(&table, "WIN1251").unwrap_err().to_string(),
            "could not write the names of table s.tü in encoding WIN1251: it does not have their characters, or this \
             program does not know it; rename what is not ASCII"
        );
    }

    #[test]
    fn header_and_trailer_are_the_originals() {
        let reference = include_str!("../../../../tests/data/reference/gp5/engine/full/gp_dump_0_2_20200101000000");
        assert!(reference.starts_with(&String::from_utf8(file_header("UTF8")).unwrap()));
        assert!(reference.ends_with(&String::from_utf8(file_trailer()).unwrap()));
    }
}
