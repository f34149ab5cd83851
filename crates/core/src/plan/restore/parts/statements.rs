//! Facts that stand inside of statements.

use crate::format::ddl_split::choose::real;
use crate::format::sql_script::tokens::Tokens;
use crate::format::sql_script::{Item, Script};
use crate::format::toc::Entry;
use crate::words::names::QualifiedName;

/// `f(integer, numeric(1,2))` as name and number of arguments.
pub(super) fn bare_routine(signature: &str) -> (&str, usize) {
    let Some((name, rest)) = signature.split_once('(') else {
        return (signature, 0);
    };
    let arguments = rest.strip_suffix(')').unwrap_or(rest);
    if arguments.is_empty() || arguments == "*" {
        return (name, 0);
    }
    let mut depth = 0usize;
    let commas = arguments.chars().filter(|c| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        *c == ',' && depth == 0
    });
    (name, commas.count() + 1)
}

/// `ALTER SEQUENCE s OWNED BY [schema.]table.column`
pub(super) fn owner_of_sequence(script: &Script, entry: &Entry) -> Option<QualifiedName> {
    let Some(Item::Statement { text, .. }) = script.items_of(entry).next() else {
        return None;
    };
    let mut tokens = Tokens::of(text);
    let found = tokens.skip_past("owned") && tokens.eat("by");
    let mut names = Vec::new();
    for token in tokens.filter(|_| found) {
        if token.is_name() {
            names.push(token.text);
        } else if !token.is_sign(b'.') {
            break;
        }
    }
    let name = match names[..] {
        [table, _] => crate::format::sql_script::tokens::Name {
            schema: None,
            name: table,
        },
        [schema, table, _] => crate::format::sql_script::tokens::Name {
            schema: Some(schema),
            name: table,
        },
        _ => return None,
    };
    let (schema, table) = real(entry, name);
    Some(QualifiedName::new(schema, table))
}

/// `CREATE STATISTICS x (dependencies) ON a, b FROM s.t`
pub(super) fn table_of_statistics(script: &Script, entry: &Entry) -> Option<QualifiedName> {
    let Some(Item::Statement { text, .. }) = script.items_of(entry).next() else {
        return None;
    };
    let mut tokens = Tokens::of(text);
    if !tokens.skip_past("from") {
        return None;
    }
    let (schema, name) = real(entry, tokens.name()?);
    Some(QualifiedName::new(schema, name))
}

/// The table that a foreign key refers to.
pub(crate) fn referred_table(script: &Script, entry: &Entry) -> Option<QualifiedName> {
    let Some(Item::Statement { text, .. }) = script.items_of(entry).next() else {
        return None;
    };
    let mut tokens = Tokens::of(text);
    if !tokens.skip_past("references") {
        return None;
    }
    let (schema, name) = real(entry, tokens.name()?);
    Some(QualifiedName::new(schema, name))
}

/// The number in `SELECT pg_catalog.setval('s', 7, true)`.
pub(super) fn sequence_value(script: &Script, entry: &Entry) -> Option<i64> {
    let Some(Item::Statement { text, .. }) = script.items_of(entry).next() else {
        return None;
    };
    let text = String::from_utf8_lossy(text);
    let (rest, _) = text.rsplit_once(',')?;
    rest.rsplit_once(',')?.1.trim().parse().ok()
}
