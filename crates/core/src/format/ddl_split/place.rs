//! Which of the two files an entry belongs to.

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
    let mut deferred: Vec<&Entry> = Vec::new();
    for entry in entries {
        let part = match &entry.kind {
            EntryKind::Database | EntryKind::DatabaseProperties => Part::Neither,
            EntryKind::Comment | EntryKind::SecurityLabel if is_about_post_data(&entry.name) => Part::PostData,
            EntryKind::Comment | EntryKind::SecurityLabel => last,
            EntryKind::Acl if deferred.iter().any(|object| names(entry, object)) => Part::PostData,
            EntryKind::Acl => Part::PreData,
            EntryKind::Rule if !has_sections && is_view_rule(entry) => Part::PreData,
            // Among the privileges, so it does not say where post-data begins.
            EntryKind::DefaultAcl => Part::PostData,
            kind if kind.is_post_data() => {
                in_post_data = true;
                Part::PostData
            }
            _ if has_sections && in_post_data => {
                deferred.push(entry);
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

/// The privileges are those of this object or of its columns. May say yes for a namesake, which does no harm.
fn names(acl: &Entry, object: &Entry) -> bool {
    if acl.schema != object.schema {
        return false;
    }
    // `mv`, `TABLE mv`, `COLUMN mv.c`, `FUNCTION f(integer)`.
    let Some(at) = acl.name.find(object.name.as_str()) else {
        return false;
    };
    let before = &acl.name[..at];
    let after = &acl.name[at + object.name.len()..];
    (before.is_empty() || before.ends_with(' ')) && (after.is_empty() || after.starts_with('.'))
}
