//! What tables say of storage, distribution, OIDs and types.

use super::rewrite::{Change, Known};
use super::statement::{Edits, Statement};
use crate::format::sql_script::tokens::unquote;

/// Options in `WITH (...)` that only a Greenplum knows.
const STORAGE: [&str; 9] = [
    "appendonly",
    "appendoptimized",
    "orientation",
    "compresstype",
    "compresslevel",
    "blocksize",
    "checksum",
    "tablename",
    "analyze_hll_non_part_table",
];

/// `WITH (appendonly=true, fillfactor=70)`: `fillfactor` stays.
pub(super) fn storage_options(statement: &Statement<'_>, _: &mut Known) -> Change {
    without_options(statement, &STORAGE)
}

/// `WITH (oids=true)`, or the setting that means the same.
pub(super) fn oids(statement: &Statement<'_>, _: &mut Known) -> Change {
    match without_options(statement, &["oids"]) {
        Change::Keep if statement.with_oids => Change::Tell,
        change => change,
    }
}

/// `SET default_with_oids = true`: said of the tables instead.
pub(super) fn default_with_oids(statement: &Statement<'_>, _: &mut Known) -> Change {
    match statement.is(1, "default_with_oids") && statement.tokens.last().is_some_and(|value| value.is("true")) {
        true => Change::Goes,
        false => Change::Keep,
    }
}

/// `SET gp_default_storage_options = '...'`
pub(super) fn storage_defaults(statement: &Statement<'_>, _: &mut Known) -> Change {
    match statement.is(1, "gp_default_storage_options") {
        true => Change::Goes,
        false => Change::Keep,
    }
}

fn without_options(statement: &Statement<'_>, names: &[&str]) -> Change {
    let Some(with) = statement
        .find(0, &["with"])
        .filter(|at| statement.is_sign(at + 1, b'('))
    else {
        return Change::Keep;
    };
    let Some(close) = statement.closing(with + 1) else {
        return Change::Keep;
    };
    let options = items(statement, with + 1, close);
    let goes = |(from, _): &&(usize, usize)| names.iter().any(|name| statement.is(*from, name));
    if !options.iter().any(|option| goes(&option)) {
        return Change::Keep;
    }
    let kept: Vec<&[u8]> = options
        .iter()
        .filter(|option| !goes(option))
        .map(|(from, to)| statement.slice(*from, *to))
        .collect();
    let mut edits = Edits::default();
    match kept.is_empty() {
        true => edits.cut(statement, with, close),
        false => edits.replace(statement.span(with + 2, close - 1), kept.join(&b", "[..])),
    }
    Change::to(edits.apply(statement.text))
}

/// First and last place of each item between two parentheses.
pub(super) fn items(statement: &Statement<'_>, open: usize, close: usize) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut depth = 0usize;
    let mut first = open + 1;
    for at in open + 1..=close {
        if statement.is_sign(at, b'(') || statement.is_sign(at, b'[') {
            depth += 1;
        } else if depth > 0 && (statement.is_sign(at, b')') || statement.is_sign(at, b']')) {
            depth -= 1;
        } else if depth == 0 && (statement.is_sign(at, b',') || at == close) {
            if at > first {
                found.push((first, at - 1));
            }
            first = at + 1;
        }
    }
    found
}

/// The parentheses around the columns of `CREATE TABLE`.
pub(super) fn column_list(statement: &Statement<'_>) -> Option<(usize, usize)> {
    let (_, open) = statement.table()?;
    let open = Some(open).filter(|open| statement.is_sign(*open, b'('))?;
    Some((open, statement.closing(open)?))
}

/// The type of a column, as the words that it is written with.
pub(super) fn type_of(statement: &Statement<'_>, column: &[u8]) -> Option<String> {
    let (open, close) = column_list(statement)?;
    let wanted = unquote(column);
    let (from, to) = items(statement, open, close)
        .into_iter()
        .find(|(from, _)| statement.tokens[*from].is_name() && unquote(statement.tokens[*from].text) == wanted)?;
    let ends = ["default", "not", "null", "encoding", "constraint", "check", "collate"];
    let last = (from + 1..=to).take_while(|at| !ends.iter().any(|word| statement.is(*at, word)));
    let last = last.last()?;
    Some(String::from_utf8_lossy(statement.slice(from + 1, last)).to_ascii_lowercase())
}

/// `id integer ENCODING (compresstype=zlib)`
pub(super) fn column_encodings(statement: &Statement<'_>, _: &mut Known) -> Change {
    let Some((open, close)) = column_list(statement) else {
        return Change::Keep;
    };
    let mut edits = Edits::default();
    for (from, to) in items(statement, open, close) {
        let encoding = (from + 1..to).find(|at| statement.is(*at, "encoding") && statement.is_sign(at + 1, b'('));
        if let Some(at) = encoding
            && let Some(end) = statement.closing(at + 1)
        {
            edits.cut(statement, at, end);
        }
    }
    Change::to(edits.apply(statement.text))
}

/// `DISTRIBUTED BY (a)`, `DISTRIBUTED RANDOMLY`, `DISTRIBUTED REPLICATED`
pub(super) fn distribution(statement: &Statement<'_>, _: &mut Known) -> Change {
    let Some(at) = statement.find(0, &["distributed"]) else {
        return Change::Keep;
    };
    let last = match statement.is(at + 1, "by") {
        true => statement.closing(at + 2),
        false => Some(at + 1).filter(|last| statement.is(*last, "randomly") || statement.is(*last, "replicated")),
    };
    let Some(last) = last else { return Change::Keep };
    let mut edits = Edits::default();
    edits.cut(statement, at, last);
    Change::to(edits.apply(statement.text))
}

/// `DISTRIBUTED BY (price)` of type money: the hash of old is named, there is no other.
pub(super) fn money_keys(statement: &Statement<'_>, _: &mut Known) -> Change {
    let Some(by) = statement.find(0, &["distributed", "by"]) else {
        return Change::Keep;
    };
    let Some(close) = statement.closing(by + 2) else {
        return Change::Keep;
    };
    let mut edits = Edits::default();
    for (from, to) in items(statement, by + 2, close) {
        let key = &statement.tokens[from];
        if from == to && type_of(statement, key.text).as_deref() == Some("money") {
            edits.insert(key.span.end, " cdbhash_cash_ops");
        }
    }
    Change::to(edits.apply(statement.text))
}

/// `compresstype=quicklz`
pub(super) fn quicklz(statement: &Statement<'_>, known: &mut Known) -> Change {
    if known.target.has_quicklz {
        return Change::Keep;
    }
    let mut edits = Edits::default();
    for (at, token) in statement.tokens.iter().enumerate().skip(2) {
        let value = token.text.strip_prefix(b"'").and_then(|text| text.strip_suffix(b"'"));
        let is_quicklz = value.unwrap_or(token.text).eq_ignore_ascii_case(b"quicklz");
        if is_quicklz && statement.is_sign(at - 1, b'=') && statement.is(at - 2, "compresstype") {
            edits.replace(token.span, "zlib");
        }
    }
    Change::to(edits.apply(statement.text))
}

/// Types that PostgreSQL 12 took out, and `unknown` as the type of a column.
pub(super) fn removed_types(statement: &Statement<'_>, _: &mut Known) -> Change {
    let mut edits = Edits::default();
    let names_columns = column_list(statement);
    for (at, token) in statement.tokens.iter().enumerate().skip(1) {
        let is_column = names_columns.is_some() && (statement.is_sign(at - 1, b'(') || statement.is_sign(at - 1, b','));
        let is_qualified = statement.is_sign(at - 1, b'.') && !(at > 1 && statement.is(at - 2, "pg_catalog"));
        if is_column || is_qualified {
            continue;
        }
        let other = match () {
            () if token.is("abstime") => "timestamptz",
            () if token.is("reltime") => "interval",
            () if token.is("tinterval") => "text",
            () if token.text == b"\"unknown\"" || token.is("unknown") => {
                let follows_column = names_columns.is_some_and(|(open, close)| {
                    at > open + 1 && at < close && (statement.is_sign(at - 2, b'(') || statement.is_sign(at - 2, b','))
                });
                match follows_column {
                    true => "text",
                    false => continue,
                }
            }
            () => continue,
        };
        let from = match statement.is_sign(at - 1, b'.') {
            true => at - 2,
            false => at,
        };
        edits.replace(statement.span(from, at), other);
    }
    Change::to(edits.apply(statement.text))
}

/// Columns of a type that only a Greenplum has.
pub(super) fn greenplum_types(statement: &Statement<'_>, _: &mut Known) -> Change {
    let Some((open, close)) = column_list(statement) else {
        return Change::Keep;
    };
    let mut edits = Edits::default();
    for (from, to) in items(statement, open, close) {
        if from < to && statement.is(from + 1, "complex") {
            edits.replace(statement.tokens[from + 1].span, "text");
        }
    }
    Change::to(edits.apply(statement.text))
}

/// `CREATE INDEX ... USING bitmap`
pub(super) fn bitmap_indexes(statement: &Statement<'_>, _: &mut Known) -> Change {
    let Some(at) = statement.find(0, &["using", "bitmap"]) else {
        return Change::Keep;
    };
    let mut edits = Edits::default();
    edits.replace(statement.tokens[at + 1].span, "btree");
    Change::to(edits.apply(statement.text))
}

/// `ALTER TYPE t SET DEFAULT ENCODING (...)`
pub(super) fn type_encodings(statement: &Statement<'_>, _: &mut Known) -> Change {
    match statement.find(2, &["set", "default", "encoding"]) {
        Some(_) => Change::Goes,
        None => Change::Keep,
    }
}

/// `ALTER TABLE t SET WITH (REORGANIZE=true) DISTRIBUTED BY (a)`, `ALTER TABLE t SET DISTRIBUTED RANDOMLY`
pub(super) fn redistribution(statement: &Statement<'_>, _: &mut Known) -> Change {
    let sets = |words: &[&str]| statement.find(2, words).is_some();
    match sets(&["set", "with"]) || sets(&["set", "distributed"]) {
        true => Change::Goes,
        false => Change::Keep,
    }
}

/// Words that were names once and are reserved now. Nothing that Greenplum 5 prints uses one as a keyword.
pub(super) fn reserved_words(statement: &Statement<'_>, _: &mut Known) -> Change {
    let mut edits = Edits::default();
    for token in &statement.tokens {
        let reserved = ["lateral", "collation", "concurrently", "tablesample"];
        if reserved.iter().any(|word| token.is(word)) {
            let mut name = vec![b'"'];
            name.extend(token.text.to_ascii_lowercase());
            name.push(b'"');
            edits.replace(token.span, name);
        }
    }
    Change::to(edits.apply(statement.text))
}
