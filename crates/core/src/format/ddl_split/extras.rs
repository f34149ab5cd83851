//! What `pg_dump -s` leaves out and the original's files have: values of sequences, empty COPY blocks, and mends for what
//! Greenplum 5's pg_dump gets wrong.

use std::collections::{HashMap, HashSet};

use crate::format::sql_script::tokens::{Tokens, unquote};
use crate::format::sql_script::{Item, Script};
use crate::format::toc::{Entry, EntryKind, Setting};
use crate::words::names::{QualifiedName, quote_ident_if_needed, quote_literal};
use crate::words::relation::SequenceState;

use super::writer::Writer;
use super::{SplitError, SplitInput, uses_search_path};

/// What a Greenplum 5 server shows when the option is reset. It keeps a default of the restoring database or role from
/// turning plain tables into append-only ones; later versions' pg_dump prints such a line itself.
const STORAGE_OPTIONS: &[u8] = b"--
-- Name: AOSTORAGEOPTS; Type: AOSTORAGEOPTS; Schema: -; Owner: 
--

SET gp_default_storage_options = 'appendonly=false,blocksize=32768,compresstype=none,checksum=true,orientation=row';


";

/// Names go into the text as UTF-8; in another encoding only ASCII is the same.
pub(super) fn check_encoding(input: &SplitInput) -> Result<(), SplitError> {
    let encoding = input.encoding.to_ascii_uppercase();
    if matches!(encoding.as_str(), "UTF8" | "UTF-8" | "UNICODE" | "SQL_ASCII") {
        return Ok(());
    }
    let sequences = input
        .sequences
        .iter()
        .flat_map(|s| [&s.name.schema, &s.name.name, &s.owner]);
    let tables = input
        .data_tables
        .iter()
        .flat_map(|t| [&t.name.schema, &t.name.name, &t.owner].into_iter().chain(&t.columns));
    let labels = input.enum_labels.values().flatten();
    let views = input.refresh.iter().flat_map(|v| [&v.schema, &v.name]);
    let leaves = input.moved_leaves.iter().flat_map(|l| [&l.leaf.schema, &l.leaf.name]);
    let mut names = sequences.chain(tables).chain(labels).chain(views).chain(leaves);
    match names.find(|name| !name.is_ascii()) {
        None => Ok(()),
        Some(name) => Err(SplitError::Encoding {
            database: input.database.to_owned(),
            name: name.clone(),
            encoding: input.encoding.to_owned(),
        }),
    }
}

/// Sequences whose value is written.
#[derive(Debug, Default)]
pub(super) struct Done<'a> {
    sequences: HashSet<&'a QualifiedName>,
    looked_at: usize,
}

pub(super) struct Extras<'a> {
    script: &'a Script<'a>,
    input: &'a SplitInput<'a>,
    under_search_path: bool,
    sequences: HashMap<(&'a str, &'a str), &'a SequenceState>,
}

impl<'a> Extras<'a> {
    pub(super) fn new(script: &'a Script<'a>, input: &'a SplitInput<'a>) -> Self {
        let key = |s: &'a SequenceState| ((s.name.schema.as_str(), s.name.name.as_str()), s);
        Extras {
            script,
            input,
            under_search_path: uses_search_path(script),
            sequences: input.sequences.iter().map(key).collect(),
        }
    }

    pub(super) fn storage_options(&self, writer: &mut Writer) {
        let is_greenplum_5 = (80300..90000).contains(&self.input.pg_version.0);
        let has_it = self
            .script
            .entries()
            .iter()
            .any(|e| e.kind == EntryKind::AoStorageOptions);
        if is_greenplum_5 && !has_it {
            writer.push(STORAGE_OPTIONS);
        }
    }

    /// Writes the values of those sequences among the entries that were not looked at yet.
    pub(super) fn sequence_behind(&self, entries: &[Entry], writer: &mut Writer, done: &mut Done<'a>) {
        for entry in &entries[done.looked_at..] {
            if entry.kind != EntryKind::Sequence {
                continue;
            }
            let schema = entry.schema.as_deref().unwrap_or_default();
            if let Some(state) = self.sequences.get(&(schema, entry.name.as_str()))
                && done.sequences.insert(&state.name)
            {
                self.sequence_set(state, writer);
            }
        }
        done.looked_at = entries.len();
    }

    pub(super) fn remaining_sequences(&self, writer: &mut Writer, done: &Done) {
        writer.as_ourselves();
        for state in self
            .input
            .sequences
            .iter()
            .filter(|s| !done.sequences.contains(&s.name))
        {
            self.sequence_set(state, writer);
        }
    }

    fn sequence_set(&self, state: &SequenceState, writer: &mut Writer) {
        let name = self.enter(&state.name, writer);
        writer.push(header("Name", "SEQUENCE SET", &state.name, &state.owner).as_bytes());
        let (value, called) = (state.last_value, state.is_called);
        let literal = quote_literal(&name);
        writer.push(
            format!(
                "SELECT pg_catalog.setval({}, {value}, {called});\n\n\n",
                literal.trim_start()
            )
            .as_bytes(),
        );
    }

    /// The originals' `-T` looks for these blocks in the master's file; the rows are in the segments' files.
    pub(super) fn copy_blocks(&self, writer: &mut Writer) {
        writer.as_ourselves();
        for table in self.input.data_tables {
            let name = self.enter(&table.name, writer);
            writer.push(header("Data for Name", "TABLE DATA", &table.name, &table.owner).as_bytes());
            let columns: Vec<String> = table.columns.iter().map(|c| quote_ident_if_needed(c)).collect();
            let columns = match columns.is_empty() {
                true => String::new(),
                false => format!("({})", columns.join(", ")),
            };
            writer.push(format!("COPY {name} {columns} FROM stdin;\n\\.\n\n\n").as_bytes());
        }
    }

    pub(super) fn refreshes(&self, writer: &mut Writer) {
        if self.input.refresh.is_empty() {
            return;
        }
        let is_view = |entry: &&Entry| entry.kind == EntryKind::MaterializedView;
        let named = |entry: &'a Entry| ((entry.schema.as_deref(), entry.name.as_str()), entry.owner.as_deref());
        let owners: HashMap<_, _> = self.script.entries().iter().filter(is_view).map(named).collect();
        writer.as_ourselves();
        for view in self.input.refresh {
            let owner = owners.get(&(Some(view.schema.as_str()), view.name.as_str()));
            let owner = owner.copied().flatten().unwrap_or_default();
            let name = self.enter(view, writer);
            writer.push(header("Name", "MATERIALIZED VIEW DATA", view, owner).as_bytes());
            writer.push(format!("REFRESH MATERIALIZED VIEW {name};\n\n\n").as_bytes());
        }
    }

    /// The name as this dump prints names, its schema being in force where the dump relies on that.
    fn enter(&self, name: &QualifiedName, writer: &mut Writer) -> String {
        let schema = quote_ident_if_needed(&name.schema);
        let bare = quote_ident_if_needed(&name.name);
        if self.under_search_path {
            let path = format!("SET search_path = {schema}, pg_catalog;");
            writer.ensure(Setting::SearchPath, path.as_bytes());
            bare
        } else {
            format!("{schema}.{bare}")
        }
    }

    /// Another text for an entry that the server's pg_dump got wrong.
    pub(super) fn mend(&self, entry: &Entry, body: &[u8]) -> Option<Vec<u8>> {
        match entry.kind {
            EntryKind::Type if !self.input.enum_labels.is_empty() => self.enum_with_labels(entry, body),
            EntryKind::Table if !self.input.moved_leaves.is_empty() => self.with_moved_leaves(entry, body),
            _ => None,
        }
    }

    /// `CREATE TYPE mood AS ENUM ('16799', '16800')` with the labels in place of whatever stands between the parentheses.
    fn enum_with_labels(&self, entry: &Entry, body: &[u8]) -> Option<Vec<u8>> {
        let name = QualifiedName::new(entry.schema.clone()?, entry.name.clone());
        let labels = self.input.enum_labels.get(&name)?;
        let Some(Item::Statement { text, span, .. }) = self.script.items_of(entry).next() else {
            return None;
        };
        let mut tokens = Tokens::of(text);
        tokens.eat_all(&["create", "type"]).then_some(())?;
        let printed = tokens.name()?;
        (unquote(printed.name) == entry.name.as_bytes()).then_some(())?;
        tokens.eat_all(&["as", "enum"]).then_some(())?;
        let open = tokens.next().filter(|token| token.is_sign(b'('))?.span.end;
        let close = tokens.find(|token| token.is_sign(b')'))?.span.start;
        let labels: Vec<String> = labels
            .iter()
            .map(|l| format!("    {}", quote_literal(l).trim_start()))
            .collect();
        let at = span.start - entry.span.start;
        let mut mended = body[..at + open].to_vec();
        mended.extend_from_slice(format!("\n{}\n", labels.join(",\n")).as_bytes());
        mended.extend_from_slice(&body[at + close..]);
        Some(mended)
    }

    /// The leaves are made in the schema of their root; their rows were dumped under the schema they were moved to.
    fn with_moved_leaves(&self, entry: &Entry, body: &[u8]) -> Option<Vec<u8>> {
        let is_root = |name: &QualifiedName| name.name == entry.name && entry.schema.as_deref() == Some(&name.schema);
        let moves: String = (self.input.moved_leaves.iter())
            .filter(|leaf| is_root(&leaf.root))
            .map(|leaf| {
                let name = quote_ident_if_needed(&leaf.leaf.name);
                // As the original writes it where its search path is in force.
                let from = match uses_search_path(self.script) {
                    true => name.to_owned(),
                    false => format!("{}.{name}", quote_ident_if_needed(&leaf.root.schema)),
                };
                format!(
                    "\nALTER TABLE {from} SET SCHEMA {};",
                    quote_ident_if_needed(&leaf.leaf.schema)
                )
            })
            .collect();
        if moves.is_empty() {
            return None;
        }
        // Behind the definition and its EXCHANGE statements, in front of the owner: where the original has them.
        let last = self.script.items_of(entry).filter(|item| !changes_owner(item)).last()?;
        let at = last.span().end - entry.span.start;
        Some([&body[..at], b"\n", moves.as_bytes(), &body[at..]].concat())
    }
}

fn changes_owner(item: &Item) -> bool {
    let Item::Statement { text, .. } = item else {
        return false;
    };
    let mut tokens = Tokens::of(text);
    tokens.eat_all(&["alter", "table"]) && tokens.name().is_some() && tokens.eat("owner")
}

/// A line break in a name would end the comment.
fn header(label: &str, kind: &str, name: &QualifiedName, owner: &str) -> String {
    let line = |text: &str| text.replace(['\n', '\r'], " ");
    format!(
        "--\n-- {label}: {}; Type: {kind}; Schema: {}; Owner: {}\n--\n\n",
        line(&name.name),
        line(&name.schema),
        line(owner)
    )
}
