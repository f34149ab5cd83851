//! `Schema: -` in a header: no schema at all, or a schema of that name?
//!
//! ```text
//! -- Name: s1; Type: ACL; Schema: -; Owner: own             GRANT ALL ON SCHEMA s1 ...: it lies in none
//! -- Name: t1; Type: ACL; Schema: -; Owner: own             GRANT SELECT ON TABLE t1 ..., behind SET search_path = "-"
//! ```
//!
//! Two things must say that it is a schema: what the entry is about can lie in one, and the text says `"-"`, by the search path
//! (servers up to 10) or in front of a name (later ones).

use memchr::memmem;

use super::EntryKind;
use crate::format::sql_script::tokens::{TokenKind, Tokens};

/// `statements` are the entry's; `search_path` is the statement that holds for it.
pub(super) fn is_schema(kind: &EntryKind, statements: &[u8], search_path: &[u8]) -> bool {
    let on_path = Tokens::of(search_path).find(|token| token.kind == TokenKind::QuotedName);
    let leads_path = on_path.is_some_and(|token| {
        // The first of the list: `SET search_path = "-", pg_catalog`.
        token.text == b"\"-\"" && !search_path[..token.span.start].contains(&b',')
    });
    let in_text = || memmem::find(statements, b"\"-\"").is_some();
    can_lie_in_one(kind, statements) && (leads_path || in_text())
}

fn can_lie_in_one(kind: &EntryKind, statements: &[u8]) -> bool {
    use EntryKind as Kind;
    match kind {
        Kind::Comment | Kind::Acl | Kind::SecurityLabel => is_about_what_can(statements),
        Kind::DefaultAcl => {
            let mut tokens = Tokens::of(statements);
            tokens.skip_past("in") && tokens.eat("schema")
        }
        Kind::AccessMethod
        | Kind::AoStorageOptions
        | Kind::BlobComments
        | Kind::Blobs
        | Kind::Cast
        | Kind::Database
        | Kind::DatabaseProperties
        | Kind::EventTrigger
        | Kind::Extension
        | Kind::ForeignDataWrapper
        | Kind::ProceduralLanguage
        | Kind::Protocol
        | Kind::Publication
        | Kind::PublicationTablesInSchema
        | Kind::Schema
        | Kind::Server
        | Kind::Subscription
        | Kind::SubscriptionTable
        | Kind::Transform
        | Kind::UserMapping
        | Kind::Other(_) => false,
        _ => true,
    }
}

/// By the word behind `ON`: `COMMENT ON TABLE t`, `GRANT ALL ON SCHEMA s`, `SECURITY LABEL FOR p ON COLUMN t.c`. Names of
/// columns in front of it stand in parentheses.
fn is_about_what_can(statements: &[u8]) -> bool {
    let mut tokens = Tokens::of(statements);
    if !tokens.skip_past("on") {
        return false;
    }
    let Some(word) = tokens.next() else {
        return false;
    };
    let never = [
        "access",
        "cast",
        "database",
        "event",
        "extension",
        "language",
        "large",
        "procedural",
        "protocol",
        "publication",
        "resource",
        "role",
        "schema",
        "server",
        "subscription",
        "tablespace",
        "transform",
    ];
    match word.is("foreign") {
        true => tokens.eat("table"),
        false => !never.iter().any(|never| word.is(never)),
    }
}
