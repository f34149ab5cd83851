//! What only a Greenplum has: external tables, protocols, resource queues; and what is said about them.

use super::rewrite::{Change, Known, Server, Thing};
use super::statement::{Edits, Kind, Statement};
use crate::format::sql_script::tokens::unquote;
use crate::format::toc::EntryKind;

pub(super) fn external_tables(statement: &Statement<'_>, known: &mut Known) -> Change {
    if let Some((name, _)) = statement.table() {
        known.gone.insert(Thing::Relation(statement.real(name)));
    }
    Change::Cannot(
        "PostgreSQL has no external tables; a foreign table (file_fdw, or that of an extension) may take its place"
            .to_owned(),
    )
}

pub(super) fn protocols(statement: &Statement<'_>, known: &mut Known) -> Change {
    let name = (0..statement.tokens.len()).find(|at| statement.is(*at, "protocol"));
    if let Some((name, _)) = name.and_then(|at| statement.name(at + 1)) {
        known.gone.insert(Thing::Protocol(statement.real(name).name));
    }
    Change::Cannot("PostgreSQL has no protocols for external tables".to_owned())
}

/// Comments, grants and changes of things that could not be made.
pub(super) fn followers(statement: &Statement<'_>, known: &mut Known) -> Change {
    match about(statement).filter(|thing| known.gone.contains(thing)) {
        Some(thing) => Change::Follows(thing),
        None => Change::Keep,
    }
}

/// What a statement is about that makes nothing.
pub(super) fn about(statement: &Statement<'_>) -> Option<Thing> {
    match statement.kind {
        Kind::Comment => of_comment(statement),
        Kind::Grant => of_grant(statement),
        Kind::AlterTable => of_exchange(statement).or_else(|| of_table(statement)),
        Kind::Drop => of_table(statement),
        _ => None,
    }
}

fn of_table(statement: &Statement<'_>) -> Option<Thing> {
    let (name, _) = statement.table()?;
    Some(Thing::Relation(statement.real(name)))
}

/// `ALTER TABLE t EXCHANGE PARTITION p WITH TABLE x`
fn of_exchange(statement: &Statement<'_>) -> Option<Thing> {
    statement.find(2, &["exchange"])?;
    let at = statement.find(2, &["with", "table"])?;
    let (name, _) = statement.name(at + 2)?;
    Some(Thing::Relation(statement.real(name)))
}

/// `COMMENT ON [EXTERNAL] TABLE t IS`, `COMMENT ON COLUMN t.c IS`
fn of_comment(statement: &Statement<'_>) -> Option<Thing> {
    let at = 2 + usize::from(statement.is(2, "external"));
    if statement.is(at, "protocol") {
        return Some(Thing::Protocol(statement.real(statement.name(at + 1)?.0).name));
    }
    if !statement.is(at, "column") {
        let named = ["table", "view"].iter().any(|word| statement.is(at, word));
        let (name, _) = statement.name(at + 1).filter(|_| named)?;
        return Some(Thing::Relation(statement.real(name)));
    }
    let (name, end) = statement.name(at + 1)?;
    // Three parts: schema, table, column. Two: table and column.
    let table = match statement.is_sign(end, b'.') {
        true => statement.real(name),
        false => {
            let table = crate::format::sql_script::tokens::Name {
                schema: None,
                name: name.schema?,
            };
            statement.real(table)
        }
    };
    Some(Thing::Relation(table))
}

/// `GRANT x ON [TABLE] t TO r`, `GRANT x ON PROTOCOL p TO r`
fn of_grant(statement: &Statement<'_>) -> Option<Thing> {
    let on = statement.find(1, &["on"])?;
    if statement.is(on + 1, "protocol") {
        return Some(Thing::Protocol(statement.real(statement.name(on + 2)?.0).name));
    }
    let (name, end) = statement.name(on + 1 + usize::from(statement.is(on + 1, "table")))?;
    let ends = statement.is(end, "to") || statement.is(end, "from");
    ends.then(|| Thing::Relation(statement.real(name)))
}

/// `COMMENT ON EXTERNAL TABLE t`, which no server takes, not even the one that prints it.
pub(super) fn comments_on_external_tables(statement: &Statement<'_>, _: &mut Known) -> Change {
    let mut edits = Edits::default();
    if statement.are(1, &["on", "external", "table"]) {
        edits.cut(statement, 2, 2);
    }
    Change::to(edits.apply(statement.text))
}

/// The same where external tables are foreign tables: Greenplum 7 takes no other word for them here.
pub(super) fn comments_on_foreign_tables(statement: &Statement<'_>, _: &mut Known) -> Change {
    let mut edits = Edits::default();
    if statement.are(1, &["on", "external", "table"]) {
        edits.replace(statement.span(2, 2), b"FOREIGN");
    }
    Change::to(edits.apply(statement.text))
}

/// `LOG ERRORS INTO t` of 4.3
pub(super) fn error_tables(statement: &Statement<'_>, _: &mut Known) -> Change {
    let Some(at) = statement.find(0, &["log", "errors", "into"]) else {
        return Change::Keep;
    };
    let Some((_, end)) = statement.name(at + 3) else {
        return Change::Keep;
    };
    let mut edits = Edits::default();
    edits.cut(statement, at + 2, end - 1);
    Change::to(edits.apply(statement.text))
}

pub(super) fn large_objects(statement: &Statement<'_>, _: &mut Known) -> Change {
    let is_one = statement
        .entry
        .is_some_and(|entry| matches!(entry.kind, EntryKind::Blobs | EntryKind::BlobComments));
    match is_one {
        true => Change::Cannot("Greenplum 6 and later have no large objects".to_owned()),
        false => Change::Keep,
    }
}

/// Resource queues and groups.
pub(super) fn resources(_: &Statement<'_>, _: &mut Known) -> Change {
    Change::Goes
}

/// What roles may do with resource queues and external tables.
pub(super) fn role_options(statement: &Statement<'_>, known: &mut Known) -> Change {
    let mut edits = Edits::default();
    let plain = known.target.server == Server::Postgres;
    for at in 2..statement.tokens.len() {
        let lists = statement.is(at, "createexttable") || statement.is(at, "nocreateexttable");
        if lists && statement.is_sign(at + 1, b'(') {
            let Some(close) = statement.closing(at + 1) else {
                continue;
            };
            // Hadoop was spoken to through this protocol, up to Greenplum 5.
            let hadoop = (at..close).any(|at| statement.tokens[at].text == b"'gphdfs'");
            if plain || hadoop {
                edits.cut(statement, at, close);
            }
        }
        let names_resource =
            statement.is(at, "resource") && (statement.is(at + 1, "queue") || statement.is(at + 1, "group"));
        if plain && names_resource && at + 2 < statement.tokens.len() {
            edits.cut(statement, at, at + 2);
        }
    }
    Change::to(edits.apply(statement.text))
}

/// `CREATE FILESPACE f (...)`, `CREATE TABLESPACE t FILESPACE f`
pub(super) fn filespaces(statement: &Statement<'_>, _: &mut Known) -> Change {
    match statement.is(1, "filespace") || statement.find(2, &["filespace"]).is_some() {
        true => Change::Loses(
            Vec::new(),
            "there are no filespaces since Greenplum 6; make the tablespace by hand (CREATE TABLESPACE ... LOCATION)"
                .to_owned(),
        ),
        false => Change::Keep,
    }
}

/// The real name of a token, for messages.
pub(super) fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(&unquote(name)).into_owned()
}
