//! One run of `pg_dump -s`, made into the two definition files of a dump set: pre-data and post-data.
//!
//! One run, because two runs have two snapshots. Which entry goes where:
//!
//! * Servers from 9.1 on print everything that must come behind the data behind everything that must not. So all from the
//!   first index or constraint on is post-data, whatever its kind: a materialized view that groups by a primary key, a
//!   function that reads it, and the rule that completes a view stand there for a reason that the text does not tell, and keep
//!   their order.
//! * Older ones (Greenplum 4.3 and 5) know no such line, and nothing of theirs needs an index or constraint before the data;
//!   there the kind decides. A rule `_RETURN` is then part of its view, and stays with the relations.
//! * A comment or label goes with the entry in front of it, a privilege to pre-data unless its object is in post-data.
//!
//! Settings (`search_path`, ...) are state: whatever entry is printed, those it was dumped under are printed in front of it
//! unless they are in force already.
//!
//! Entries are copied byte for byte. New text is: the title lines, drops at the head of post-data (`drops`), what
//! `pg_dump -s` leaves out (`extras`), and the headers of attachments that it has put into other entries (`attachments`).

mod attachments;
pub(crate) mod choose;
mod clean;
mod drops;
pub(crate) mod excerpt;
mod extras;
mod place;
mod writer;

use std::collections::BTreeMap;

use crate::format::sql_script::{Item, LexError, Script};
use crate::format::toc::{Entry, EntryKind, Setting};
use crate::words::definitions::DefinitionFilter;
use crate::words::dialect::PgVersion;
use crate::words::job::TableJob;
use crate::words::names::QualifiedName;
use crate::words::relation::SequenceState;

use place::Part;
use writer::Writer;

/// What is to be split, and what `pg_dump -s` does not know.
#[derive(Debug, Clone, Copy)]
pub struct SplitInput<'a> {
    /// Name of the database, for messages.
    pub database: &'a str,
    /// All that `pg_dump -s` printed.
    pub dump: &'a [u8],
    /// Encoding of that text as the server calls it (`UTF8`, `SQL_ASCII`, `LATIN1`).
    pub encoding: &'a str,
    /// The base of the server that was dumped.
    pub pg_version: PgVersion,
    /// Values at the cut; each becomes an entry `SEQUENCE SET` behind its sequence.
    pub sequences: &'a [SequenceState],
    /// Tables that get an empty COPY block: all but leaf partitions.
    pub data_tables: &'a [TableJob],
    /// Labels of enum types in their order: Greenplum 5's pg_dump prints oids in their place. Types that are not named stay.
    pub enum_labels: &'a BTreeMap<QualifiedName, Vec<String>>,
    /// Leaf partitions of Greenplum 5 that live in another schema than their root: its pg_dump does not move them there.
    pub moved_leaves: &'a [MovedLeaf],
    /// Materialized views to fill at the end of post-data, each after those it reads.
    pub refresh: &'a [QualifiedName],
    /// What of the dump is kept; `None`: all of it. The lists above are cut already.
    pub keep: Option<&'a DefinitionFilter>,
}

/// A leaf partition that was moved to a schema of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedLeaf {
    pub root: QualifiedName,
    /// Where it is now.
    pub leaf: QualifiedName,
}

/// The two files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DdlFiles {
    pub pre_data: Vec<u8>,
    pub post_data: Vec<u8>,
}

#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    #[error("could not read what pg_dump printed for database \"{database}\"")]
    Lex { database: String, source: LexError },
    #[error(
        "what pg_dump printed for database \"{database}\" has no line \"database dump complete\" at its end, so part of the definitions is missing; its own messages say why"
    )]
    Truncated { database: String },
    #[error(
        "what pg_dump printed for database \"{database}\" has a command for psql in it, which a dump file must not have: {command}"
    )]
    MetaCommand { database: String, command: String },
    #[error(
        "could not write \"{name}\" into the definitions of database \"{database}\": they are in encoding {encoding}, and only UTF8 is understood for names beyond ASCII; run pg_dump with -E UTF8"
    )]
    Encoding {
        database: String,
        name: String,
        encoding: String,
    },
}

/// Splits one dump of definitions into pre-data and post-data.
pub fn split(input: &SplitInput) -> Result<DdlFiles, SplitError> {
    let database = || input.database.to_owned();
    let parse = |text| {
        Script::parse(text).map_err(|source| SplitError::Lex {
            database: database(),
            source,
        })
    };
    let mut script = parse(input.dump)?;
    let apart = attachments::apart(&script);
    if let Some(text) = &apart {
        script = parse(text)?;
    }
    if script.toc().trailer.is_none() {
        return Err(SplitError::Truncated { database: database() });
    }
    refuse_meta_commands(&script, input)?;
    extras::check_encoding(input)?;

    let mut parts = place::parts(script.entries(), input.pg_version);
    if let Some(filter) = input.keep {
        for (part, kept) in parts.iter_mut().zip(choose::kept(&script, filter)) {
            if !kept {
                *part = Part::Neither;
            }
        }
    }
    let extras = extras::Extras::new(&script, input);
    Ok(DdlFiles {
        pre_data: pre_data(&script, &parts, &extras, input),
        post_data: post_data(&script, &parts, &extras, input),
    })
}

/// `\restrict` is a guard for psql alone and dropped; anything else is no part of a schema dump.
fn refuse_meta_commands(script: &Script, input: &SplitInput) -> Result<(), SplitError> {
    for item in script.items() {
        if let Item::MetaCommand { text, .. } = item
            && !is_psql_guard(text)
        {
            return Err(SplitError::MetaCommand {
                database: input.database.to_owned(),
                command: String::from_utf8_lossy(text).into_owned(),
            });
        }
    }
    Ok(())
}

fn is_psql_guard(text: &[u8]) -> bool {
    text.starts_with(b"\\restrict ") || text.starts_with(b"\\unrestrict ")
}

fn pre_data(script: &Script, parts: &[Part], extras: &extras::Extras, input: &SplitInput) -> Vec<u8> {
    let entries = script.entries();
    let chosen: Vec<usize> = (0..entries.len()).filter(|&i| parts[i] == Part::PreData).collect();
    // Privileges come last, as pg_dump has them; values and COPY blocks stand in front of them.
    let first_acl = chosen
        .iter()
        .position(|&i| entries[i].kind == EntryKind::Acl)
        .unwrap_or(chosen.len());
    let mut writer = Writer::new(script, input.keep.is_some());
    writer.head();
    clean::write(script, input.keep, &mut writer);
    extras.storage_options(&mut writer);
    let mut done = extras::Done::default();
    for (n, &i) in chosen[..first_acl].iter().enumerate() {
        writer.entry_with(&entries[i], |body| extras.mend(&entries[i], body));
        // The value goes behind all that is said about its sequence in one place.
        let next = chosen.get(n + 1).map(|&next| &entries[next]);
        if !next.is_some_and(continues_sequence) {
            extras.sequence_behind(&entries[..=i], &mut writer, &mut done);
        }
    }
    extras.remaining_sequences(&mut writer, &done);
    extras.copy_blocks(&mut writer);
    for &i in &chosen[first_acl..] {
        writer.entry(&entries[i]);
    }
    writer.finish()
}

fn continues_sequence(entry: &Entry) -> bool {
    entry.kind == EntryKind::SequenceOwnedBy
        || (entry.kind == EntryKind::Comment && entry.name.starts_with("SEQUENCE "))
}

fn post_data(script: &Script, parts: &[Part], extras: &extras::Extras, input: &SplitInput) -> Vec<u8> {
    let entries = script.entries();
    let chosen: Vec<&Entry> = (0..entries.len())
        .filter(|&i| parts[i] == Part::PostData)
        .map(|i| &entries[i])
        .collect();
    let mut writer = Writer::new(script, input.keep.is_some());
    writer.head();
    drops::write(script, &chosen, input.pg_version, &mut writer);
    for entry in chosen {
        writer.entry_with(entry, |body| extras.mend(entry, body));
    }
    extras.refreshes(&mut writer);
    writer.finish()
}

/// The dump prints names under a `search_path` of the object's schema (before 2018) rather than with their schema.
fn uses_search_path(script: &Script) -> bool {
    let head = script.toc().head_state.get(Setting::SearchPath);
    !head.is_some_and(|span| span.of(script.text()).starts_with(b"SELECT"))
}

#[cfg(test)]
mod tests;
