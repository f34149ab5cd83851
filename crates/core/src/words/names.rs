//! Names of database objects: as a server holds them, and quoted for SQL.
//!
//! A name in memory is always the *real* name, never quoted. This is the only module that knows double quotes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Quotes an identifier for SQL, always with double quotes: never wrong, whatever the keywords of a server version.
pub fn quote_ident(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 2);
    out.push('"');
    for c in name.chars() {
        if c == '"' {
            out.push('"');
        }
        out.push(c);
    }
    out.push('"');
    out
}

/// Quotes an identifier only where a person would: plain lower-case names that are no keyword stay bare.
///
/// For text that people read and for dump files that are compared with the original's; keywords are those that any
/// server from 8.3 to 17 reserves, so that the text means the same on all of them.
pub fn quote_ident_if_needed(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain && !is_reserved(name) {
        name.to_owned()
    } else {
        quote_ident(name)
    }
}

/// Quotes a text as an SQL string literal that means the same with `standard_conforming_strings` on or off.
pub fn quote_literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 3);
    if text.contains('\\') {
        out.push_str(" E");
    }
    out.push('\'');
    for c in text.chars() {
        if c == '\'' || c == '\\' {
            out.push(c);
        }
        out.push(c);
    }
    out.push('\'');
    out
}

/// Quotes a value for a libpq connection string (`key='value'`).
pub fn quote_conninfo(value: &str) -> String {
    let mut out = String::from("'");
    for c in value.chars() {
        if c == '\'' || c == '\\' {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('\'');
    out
}

/// A schema and the name of an object in it, both as the server holds them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct QualifiedName {
    pub schema: String,
    pub name: String,
}

impl QualifiedName {
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> Self {
        QualifiedName {
            schema: schema.into(),
            name: name.into(),
        }
    }

    /// `"schema"."name"`, ready for any statement.
    pub fn sql(&self) -> String {
        format!("{}.{}", quote_ident(&self.schema), quote_ident(&self.name))
    }
}

impl QualifiedName {
    /// A name as SQL has it, with at least one part in double quotes: `"Odd Schema"."t"`, `sales."Order.Lines"`. A part
    /// without quotes is taken as it stands. `None` for anything else.
    pub fn parse_quoted(text: &str) -> Option<QualifiedName> {
        let (schema, rest) = first_part(text)?;
        let second = rest.strip_prefix('.')?;
        let (name, rest) = first_part(second)?;
        let quoted = text.starts_with('"') || second.starts_with('"');
        (rest.is_empty() && quoted && !schema.is_empty() && !name.is_empty()).then_some(QualifiedName { schema, name })
    }
}

/// The real name behind a quoted one; `None` when the text is not one quoted name.
pub fn unquote_ident(text: &str) -> Option<String> {
    let (name, rest) = first_part(text)?;
    (text.starts_with('"') && rest.is_empty() && !name.is_empty()).then_some(name)
}

/// The first part of a dotted name, and what follows it.
fn first_part(text: &str) -> Option<(String, &str)> {
    let Some(mut rest) = text.strip_prefix('"') else {
        let end = text.find('.').unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut name = String::new();
    loop {
        let end = rest.find('"')?;
        name.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Some((name, rest)),
        }
    }
}

/// `schema.name` without quotes: how list files and messages show it.
impl fmt::Display for QualifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// Words that are reserved, or reserved except as function or type name, or column-name words, in some server from
/// PostgreSQL 8.3 to 17 or Greenplum 4.3 to 7. Sorted, for binary search.
const RESERVED: &[&str] = &[
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "authorization",
    "between",
    "bigint",
    "binary",
    "bit",
    "boolean",
    "both",
    "case",
    "cast",
    "char",
    "character",
    "check",
    "coalesce",
    "collate",
    "collation",
    "column",
    "concurrently",
    "constraint",
    "create",
    "cross",
    "cube",
    "current",
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "dec",
    "decimal",
    "decode",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "distributed",
    "do",
    "else",
    "end",
    "except",
    "exchange",
    "exclude",
    "exists",
    "extract",
    "false",
    "fetch",
    "filter",
    "float",
    "following",
    "for",
    "foreign",
    "freeze",
    "from",
    "full",
    "grant",
    "greatest",
    "group",
    "group_id",
    "grouping",
    "having",
    "ilike",
    "in",
    "initially",
    "inner",
    "inout",
    "int",
    "integer",
    "intersect",
    "interval",
    "into",
    "is",
    "isnull",
    "join",
    "json_array",
    "json_arrayagg",
    "json_exists",
    "json_object",
    "json_objectagg",
    "json_query",
    "json_scalar",
    "json_serialize",
    "json_table",
    "json_value",
    "lateral",
    "leading",
    "least",
    "left",
    "like",
    "limit",
    "list",
    "localtime",
    "localtimestamp",
    "log",
    "median",
    "merge_action",
    "national",
    "natural",
    "nchar",
    "new",
    "none",
    "normalize",
    "not",
    "notnull",
    "null",
    "nullif",
    "numeric",
    "off",
    "offset",
    "old",
    "on",
    "only",
    "or",
    "order",
    "out",
    "outer",
    "over",
    "overlaps",
    "overlay",
    "partition",
    "percent",
    "percentile_cont",
    "percentile_disc",
    "placing",
    "position",
    "preceding",
    "precision",
    "primary",
    "range",
    "real",
    "references",
    "returning",
    "right",
    "rollup",
    "row",
    "rows",
    "scatter",
    "select",
    "session_user",
    "setof",
    "sets",
    "similar",
    "smallint",
    "some",
    "substring",
    "symmetric",
    "system_user",
    "table",
    "tablesample",
    "then",
    "time",
    "timestamp",
    "to",
    "trailing",
    "treat",
    "trim",
    "true",
    "unbounded",
    "union",
    "unique",
    "user",
    "using",
    "values",
    "varchar",
    "variadic",
    "verbose",
    "when",
    "where",
    "window",
    "with",
    "xmlattributes",
    "xmlconcat",
    "xmlelement",
    "xmlexists",
    "xmlforest",
    "xmlnamespaces",
    "xmlparse",
    "xmlpi",
    "xmlroot",
    "xmlserialize",
    "xmltable",
];

fn is_reserved(name: &str) -> bool {
    RESERVED.binary_search(&name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_words_are_sorted() {
        assert!(RESERVED.windows(2).all(|w| w[0] < w[1]));
    }

    #[test]
    fn names_quoted_for_sql_are_read_back() {
        let pair = |schema: &str, name: &str| Some(QualifiedName::new(schema, name));
        for (text, name) in [
            ("\"a\".\"b\"", pair("a", "b")),
            ("\"a.b\".\"c\"\"d\"", pair("a.b", "c\"d")),
            ("sales.\"Order.Lines\"", pair("sales", "Order.Lines")),
            ("\"Odd Schema\".t", pair("Odd Schema", "t")),
            ("a.b", None),
            ("\"a.b", None),
            ("\"a\"x.\"b\"", None),
            ("\"\".\"b\"", None),
            ("a.b\"", None),
        ] {
            assert_eq!(QualifiedName::parse_quoted(text), name, "{text}");
        }
        assert_eq!(unquote_ident("\"a\"\"b\""), Some("a\"b".to_owned()));
        assert_eq!(unquote_ident("\"a\".\"b\""), None);
        assert_eq!(unquote_ident("a"), None);
    }

    #[test]
    fn quoting_doubles_quotes_and_keeps_everything_else() {
        assert_eq!(quote_ident("we\"ird. näme"), "\"we\"\"ird. näme\"");
        assert_eq!(quote_ident_if_needed("t1"), "t1");
        assert_eq!(quote_ident_if_needed("T1"), "\"T1\"");
        assert_eq!(quote_ident_if_needed("select"), "\"select\"");
        assert_eq!(quote_ident_if_needed("1a"), "\"1a\"");
        assert_eq!(quote_literal("it's"), "'it''s'");
        assert_eq!(quote_literal("a\\b"), " E'a\\\\b'");
    }
}
