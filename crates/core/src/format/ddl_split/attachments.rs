//! Partitions of the declarative kind: their attachment as an entry of its own.
//!
//! pg_dump attaches a partition in the entry of the partition itself before 12.6 and 13.2, and so do the servers that were made
//! of these (Greenplum 7 on its way, MatrixDB):
//!
//! ```text
//! CREATE TABLE s.p1 (...);
//! ALTER TABLE ONLY s.p ATTACH PARTITION s.p1 FOR VALUES ...;
//! ALTER TABLE s.p1 OWNER TO o;
//! ```
//!
//! Later ones have an entry `TABLE ATTACH` behind it. That is what we write and choose by: a partition without its table is
//! a table then, and which table it belongs to stands where it is looked for.

use memchr::memmem;

use crate::format::sql_script::tokens::Tokens;
use crate::format::sql_script::{Item, Script, Span};
use crate::format::toc::{Entry, EntryKind};

/// Whether a statement is `ALTER TABLE [ONLY] x ATTACH PARTITION y ...`.
fn attaches(statement: &[u8]) -> bool {
    let mut tokens = Tokens::of(statement);
    if !tokens.eat_all(&["alter", "table"]) {
        return false;
    }
    tokens.eat("only");
    tokens.name().is_some() && tokens.eat_all(&["attach", "partition"])
}

/// The text with such an entry behind each partition; `None` when it needs none.
pub(super) fn apart(script: &Script) -> Option<Vec<u8>> {
    let tables = script.entries().iter().filter(|entry| entry.kind == EntryKind::Table);
    let attachment_of = |entry| {
        script.items_of(entry).find_map(|item| match item {
            Item::Statement { text, span, .. } if attaches(text) => Some(span),
            _ => None,
        })
    };
    let attachments: Vec<(&Entry, Span)> = tables
        .filter_map(|entry| Some((entry, attachment_of(entry)?)))
        .collect();
    if attachments.is_empty() {
        return None;
    }
    let text = script.text();
    let mut out = Vec::with_capacity(text.len() + attachments.len() * 100);
    let mut done = 0;
    for (entry, statement) in attachments {
        out.extend_from_slice(&text[done..statement.start]);
        let behind = statement.end + usize::from(text.get(statement.end) == Some(&b'\n'));
        out.extend_from_slice(&text[behind..entry.span.end]);
        out.extend_from_slice(b"--\n");
        out.extend_from_slice(&header(entry, text));
        out.extend_from_slice(b"\n--\n\n");
        out.extend_from_slice(statement.of(text));
        out.extend_from_slice(b"\n\n\n");
        done = entry.span.end;
    }
    out.extend_from_slice(&text[done..]);
    Some(out)
}

/// The line above the entry of a partition, for its attachment.
fn header(entry: &Entry, text: &[u8]) -> Vec<u8> {
    const KIND: &[u8] = b"; Type: TABLE; ";
    const PREFIX: &[u8] = b"-- Name: ";
    let block = entry.span.of(text);
    let mut lines = block.split(|byte| *byte == b'\n');
    let line = lines.find(|line| line.starts_with(PREFIX)).unwrap_or_default();
    let behind_name = PREFIX.len() + entry.name.len();
    // The name may hold such words itself; where it is not UTF-8 its length is not known here.
    let at = match line.get(behind_name..) {
        Some(rest) if rest.starts_with(KIND) => Some(behind_name),
        _ => memmem::rfind(line, KIND),
    };
    let at = at.unwrap_or(line.len());
    let rest = line.get(at + KIND.len()..).unwrap_or_default();
    // It has no tablespace.
    let rest = &rest[..memmem::rfind(rest, b"; Tablespace: ").unwrap_or(rest.len())];
    [&line[..at], b"; Type: TABLE ATTACH; ", rest].concat()
}
