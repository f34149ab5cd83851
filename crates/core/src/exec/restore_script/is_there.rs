//! Whether what could not be created, because something of its name is there, is the same kind of thing.

use crate::db::{self, Session, target};
use crate::format::toc::{Entry, EntryKind};

/// True when the database has the object that a refused CREATE was to make. Tables are never the same: their rows are not
/// those of the set.
pub(super) async fn same(session: &Session, entry: &Entry, text: &str, code: &str) -> bool {
    let begins = |words: &str| {
        text.get(..words.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(words))
    };
    match (&entry.kind, code) {
        (EntryKind::Schema, "42P06") => true,
        // Name and arguments are the same, and so is the kind: the catalog has one place for both.
        (EntryKind::Function, "42723") => true,
        (
            EntryKind::ProceduralLanguage
            | EntryKind::Extension
            | EntryKind::Cast
            | EntryKind::Conversion
            | EntryKind::Operator
            | EntryKind::OperatorClass
            | EntryKind::OperatorFamily,
            "42710" | "42723",
        ) => true,
        (EntryKind::Type | EntryKind::Domain, "42710" | "42P07") => {
            let kinds = match () {
                () if begins("CREATE DOMAIN") => "'d'",
                () if text.contains(" AS ENUM") => "'e'",
                () if begins("CREATE TYPE") && text.contains(" AS (") => "'c'",
                () if text.contains(" AS RANGE") => "'r', 'm'",
                () => "'b', 'p'",
            };
            found(target::has_type(session, entry.schema.as_deref().unwrap_or_default(), &entry.name, kinds).await)
        }
        (EntryKind::Sequence | EntryKind::View, "42P07") => {
            let kind = if entry.kind == EntryKind::View { 'v' } else { 'S' };
            let schema = entry.schema.as_deref().unwrap_or_default();
            found(target::has_relation(session, schema, &entry.name, kind).await)
        }
        _ => false,
    }
}

/// True when nothing would have changed: pg_dump before 11 repeats the comments of extensions, and a role that owns the
/// database and not the extension may not.
pub(super) async fn says_nothing_new(session: &Session, text: &str, code: &str) -> bool {
    let statement = text.trim_end_matches([';', ' ', '\n']);
    code == "42501"
        && statement.starts_with("COMMENT ON EXTENSION ")
        && found(target::has_extension_comment(session, statement).await)
}

/// What cannot be looked at is not taken for the same.
fn found(looked: Result<bool, db::Error>) -> bool {
    looked.unwrap_or(false)
}
