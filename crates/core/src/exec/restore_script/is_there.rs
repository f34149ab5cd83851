//! Whether what could not be created, because something of its name is there, is the same kind of thing.

use crate::db::Session;
use crate::format::toc::{Entry, EntryKind};
use crate::words::names::quote_literal;

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
            // The row type of a table is no type that anybody created.
            let sql = format!(
                "SELECT 1 FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace \
                 LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid \
                 WHERE n.nspname = {} AND t.typname = {} AND t.typtype IN ({kinds}) AND (c.oid IS NULL OR c.relkind = 'c')",
                quote_literal(entry.schema.as_deref().unwrap_or_default()),
                quote_literal(&entry.name)
            );
            found(session, &sql).await
        }
        (EntryKind::Sequence | EntryKind::View, "42P07") => {
            let kind = if entry.kind == EntryKind::View { 'v' } else { 'S' };
            let sql = format!(
                "SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                 WHERE n.nspname = {} AND c.relname = {} AND c.relkind = '{kind}'",
                quote_literal(entry.schema.as_deref().unwrap_or_default()),
                quote_literal(&entry.name)
            );
            found(session, &sql).await
        }
        _ => false,
    }
}

async fn found(session: &Session, sql: &str) -> bool {
    matches!(session.one(sql, "looking at what is there").await, Ok(Some(_)))
}
