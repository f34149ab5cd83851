//! Which of the two files an entry belongs to.

use std::collections::HashSet;

use crate::format::toc::{Entry, EntryKind};
use crate::words::dialect::PgVersion;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    PreData,
    PostData,
    /// The database itself has a file of its own.
    Neither,
}

pub(super) fn parts(entries: &[Entry], pg_version: PgVersion) -> Vec<Part> {
    let has_sections = pg_version.0 >= 90100;
    let mut parts: Vec<Part> = Vec::with_capacity(entries.len());
    let mut in_post_data = false;
    let mut last = Part::PreData;
    // Objects of a kind that usually is pre-data, printed in post-data because they need something there.
    let mut deferred = HashSet::new();
    for entry in entries {
        let part = match &entry.kind {
            EntryKind::Database | EntryKind::DatabaseProperties => Part::Neither,
            EntryKind::Comment | EntryKind::SecurityLabel if is_about_post_data(&entry.name) => Part::PostData,
            EntryKind::Comment | EntryKind::SecurityLabel => last,
            EntryKind::Acl if names_any(entry, &deferred) => Part::PostData,
            EntryKind::Acl => Part::PreData,
            EntryKind::Rule if !has_sections && is_view_rule(entry) => Part::PreData,
            // Among the privileges, so it does not say where post-data begins.
            EntryKind::DefaultAcl => Part::PostData,
            kind if kind.is_post_data() => {
                in_post_data = true;
                Part::PostData
            }
            _ if has_sections && in_post_data => {
                deferred.insert((entry.schema.as_deref(), entry.name.as_str()));
                Part::PostData
            }
            _ => Part::PreData,
        };
        if !matches!(
            entry.kind,
            EntryKind::Comment | EntryKind::SecurityLabel | EntryKind::Acl
        ) && part != Part::Neither
        {
            last = part;
        }
        parts.push(part);
    }
    parts
}

/// The rule that makes a relation a view.
pub(super) fn is_view_rule(entry: &Entry) -> bool {
    entry.kind == EntryKind::Rule && (entry.name == "_RETURN" || entry.name.ends_with(" _RETURN"))
}

/// A comment on what always is post-data. Not `CONSTRAINT`: that may be a check inside a table or domain.
fn is_about_post_data(comment_name: &str) -> bool {
    [
        "EVENT TRIGGER ",
        "INDEX ",
        "POLICY ",
        "PUBLICATION ",
        "RULE ",
        "STATISTICS ",
        "SUBSCRIPTION ",
        "TRIGGER ",
    ]
    .iter()
    .any(|kind| comment_name.starts_with(kind))
}

/// Whether these privileges are on one of the objects or its columns. May say yes for a namesake, which does no harm.
fn names_any(acl: &Entry, objects: &HashSet<(Option<&str>, &str)>) -> bool {
    // `mv` (before 9.6), `TABLE mv`, `COLUMN mv.c`, `FUNCTION f(integer)`.
    const KINDS: [&str; 8] = [
        "TABLE ",
        "COLUMN ",
        "FUNCTION ",
        "PROCEDURE ",
        "AGGREGATE ",
        "SEQUENCE ",
        "TYPE ",
        "DOMAIN ",
    ];
    if objects.is_empty() {
        return false;
    }
    let schema = acl.schema.as_deref();
    let name = acl.name.as_str();
    let object = KINDS.iter().find_map(|kind| name.strip_prefix(kind)).unwrap_or(name);
    let columns_of = object.match_indices('.').map(|(dot, _)| &object[..dot]);
    columns_of
        .chain([name, object])
        .any(|name| objects.contains(&(schema, name)))
}
