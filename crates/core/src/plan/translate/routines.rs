//! Functions, aggregates, languages, and what views call.

use super::rewrite::{Change, Known};
use super::statement::{Edits, Kind, Statement};
use super::tables::items;
use crate::format::sql_script::Span;
use crate::format::sql_script::tokens::Token;
use crate::format::toc::EntryKind;

/// `NO SQL`, `READS SQL DATA`, `EXECUTE ON ANY` and their like.
pub(super) fn routine_attributes(statement: &Statement<'_>, _: &mut Known) -> Change {
    let attributes: [&[&str]; 9] = [
        &["no", "sql"],
        &["contains", "sql"],
        &["reads", "sql", "data"],
        &["modifies", "sql", "data"],
        &["execute", "on", "any"],
        &["execute", "on", "master"],
        &["execute", "on", "coordinator"],
        &["execute", "on", "initplan"],
        &["execute", "on", "all", "segments"],
    ];
    let mut edits = Edits::default();
    for words in attributes {
        if let Some(at) = statement.find(0, words) {
            edits.cut(statement, at, at + words.len() - 1);
        }
    }
    Change::to(edits.apply(statement.text))
}

/// Python 2 as the language of a function, as a language and as an extension.
pub(super) fn python(statement: &Statement<'_>, _: &mut Known) -> Change {
    let mut edits = Edits::default();
    for (at, token) in statement.tokens.iter().enumerate().skip(1) {
        let is_python = token.is("plpythonu") || token.text.eq_ignore_ascii_case(b"'plpythonu'");
        let before = ["language", "extension", "exists"];
        if is_python && before.iter().any(|word| statement.is(at - 1, word)) {
            edits.replace(token.span, "plpython3u");
        }
    }
    Change::to(edits.apply(statement.text))
}

/// `ALTER FUNCTION plpgsql_call_handler() OWNER TO x`: the server's own language brings its functions along.
pub(super) fn language_handlers(statement: &Statement<'_>, _: &mut Known) -> Change {
    let in_language = statement
        .entry
        .is_some_and(|entry| entry.kind == EntryKind::ProceduralLanguage);
    match in_language {
        true => Change::Goes,
        false => Change::Keep,
    }
}

/// `CREATE ORDERED AGGREGATE`, `PREFUNC`
pub(super) fn aggregates(statement: &Statement<'_>, _: &mut Known) -> Change {
    let mut edits = Edits::default();
    if statement.is(1, "ordered") {
        edits.cut(statement, 1, 1);
    }
    for token in statement.tokens.iter().filter(|token| token.is("prefunc")) {
        edits.replace(token.span, "COMBINEFUNC");
    }
    Change::to(edits.apply(statement.text))
}

/// Aggregates over `array_append` and its like, whose arguments have other pseudo-types since PostgreSQL 14.
pub(super) fn array_aggregates(statement: &Statement<'_>, known: &mut Known) -> Change {
    let Some(entry) = statement.entry.filter(|_| known.target.base.0 >= 140_000) else {
        return Change::Keep;
    };
    let functions = ["array_append", "array_prepend", "array_cat"];
    let uses = |token: &Token| functions.iter().any(|name| token.is(name));
    if statement.kind == Kind::CreateAggregate && statement.tokens.iter().any(uses) {
        known.array_aggregates.insert(entry.name.clone());
    }
    // Comments and grants have the aggregate's name in theirs.
    if !known
        .array_aggregates
        .iter()
        .any(|name| entry.name.ends_with(name.as_str()))
    {
        return Change::Keep;
    }
    let mut edits = Edits::default();
    for token in &statement.tokens {
        if token.is("anyelement") {
            edits.replace(token.span, "anycompatible");
        } else if token.is("anyarray") {
            edits.replace(token.span, "anycompatiblearray");
        }
    }
    Change::to(edits.apply(statement.text))
}

/// `string_agg(t)`: later servers want to be told that nothing stands between.
pub(super) fn string_agg(statement: &Statement<'_>, _: &mut Known) -> Change {
    let mut edits = Edits::default();
    for (open, close) in calls(statement, "string_agg") {
        let arguments = items(statement, open, close);
        let [(from, to)] = arguments[..] else { continue };
        let order = (from..to).find(|at| statement.are(*at, &["order", "by"]));
        let end = order.map_or(statement.tokens[to].span.end, |at| statement.tokens[at - 1].span.end);
        edits.insert(end, ", ''::text");
    }
    Change::to(edits.apply(statement.text))
}

/// `median(x)`
pub(super) fn median(statement: &Statement<'_>, _: &mut Known) -> Change {
    let mut edits = Edits::default();
    for (open, close) in calls(statement, "median") {
        let name = statement.tokens[open - 1].span;
        let mut text = b"percentile_cont(0.5) WITHIN GROUP (ORDER BY ".to_vec();
        if open + 1 < close {
            text.extend(statement.slice(open + 1, close - 1));
            text.push(b')');
            edits.replace(Span::new(name.start, statement.tokens[close].span.end), text);
        }
    }
    Change::to(edits.apply(statement.text))
}

/// The parentheses of all calls of a function of the server's.
fn calls(statement: &Statement<'_>, function: &str) -> Vec<(usize, usize)> {
    let of_server =
        |at: usize| at == 0 || !statement.is_sign(at - 1, b'.') || (at > 1 && statement.is(at - 2, "pg_catalog"));
    (0..statement.tokens.len())
        .filter(|at| statement.is(*at, function) && statement.is_sign(at + 1, b'(') && of_server(*at))
        .filter_map(|at| Some((at + 1, statement.closing(at + 1)?)))
        .collect()
}
