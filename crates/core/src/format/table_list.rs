//! Lists of tables and schemas, a name a line: filters given by people, and what a set remembers about itself.
//!
//! ```text
//! sales.orders_1_prt_m1           gp_dump_<key>_filter, _table, _dirty_list, _table_list, --table-file
//! "sales"                         gp_dump_<key>_schema (5.x; 4.x: sales)
//! ```
//!
//! Tables are never quoted and blanks are part of a name. A name with a dot makes a line that can be split in several
//! ways; who knows the tables of the database looks them up by text ([`TableList::contains`]), who does not tries
//! [`splits`]. Source: `gpcrondump.md` 4.4.

use std::collections::HashSet;

use crate::words::names::{QualifiedName, quote_ident};

/// A name that cannot be a line of a list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the name \"{}\" has a line break and cannot be written into a list of one name a line", .0.escape_debug())]
pub struct NameHasLineBreak(pub String);

/// The text of a list of tables.
pub fn write_tables<'a>(tables: impl IntoIterator<Item = &'a QualifiedName>) -> Result<String, NameHasLineBreak> {
    write_lines(tables.into_iter().map(ToString::to_string))
}

/// The text of a list of schemas, quoted as 5.x quotes it.
pub fn write_schemas<'a>(schemas: impl IntoIterator<Item = &'a str>) -> Result<String, NameHasLineBreak> {
    write_lines(schemas.into_iter().map(quote_ident))
}

fn write_lines(lines: impl Iterator<Item = String>) -> Result<String, NameHasLineBreak> {
    let mut text = String::new();
    for line in lines {
        if line.contains('\n') {
            return Err(NameHasLineBreak(line));
        }
        text.push_str(&line);
        text.push('\n');
    }
    Ok(text)
}

/// A list of tables that was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableList {
    lines: Vec<String>,
    known: HashSet<String>,
}

impl TableList {
    /// Only `\n` ends a line; empty lines are left out, and of equal lines the first one counts.
    pub fn parse(text: &str) -> TableList {
        let mut list = TableList::default();
        for line in text.split('\n').filter(|line| !line.is_empty()) {
            if list.known.insert(line.to_owned()) {
                list.lines.push(line.to_owned());
            }
        }
        list
    }

    /// Whether a table is in the list.
    pub fn contains(&self, table: &QualifiedName) -> bool {
        self.known.contains(&table.to_string())
    }

    /// Whether a line of another list is in this one too.
    pub fn has_line(&self, line: &str) -> bool {
        self.known.contains(line)
    }

    /// The lines as they stand in the file, each once, in its order.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

/// Every way to read a line as schema and table: one for each dot that has something on both sides. The engine's own
/// lists, with both names quoted, have one.
pub fn splits(line: &str) -> Vec<QualifiedName> {
    if let Some(name) = quoted_pair(line) {
        return vec![name];
    }
    line.match_indices('.')
        .map(|(at, _)| (&line[..at], &line[at + 1..]))
        .filter(|(schema, name)| !schema.is_empty() && !name.is_empty())
        .map(|(schema, name)| QualifiedName::new(schema, name))
        .collect()
}

/// The schemas of a list, quoted or not.
pub fn parse_schemas(text: &str) -> Vec<String> {
    let lines = text.split('\n').filter(|line| !line.is_empty());
    lines
        .map(|line| unquote(line).unwrap_or_else(|| line.to_owned()))
        .collect()
}

/// `"s"."t"` with doubled quotes inside.
fn quoted_pair(line: &str) -> Option<QualifiedName> {
    line.match_indices("\".\"")
        .find_map(|(at, _)| Some(QualifiedName::new(unquote(&line[..=at])?, unquote(&line[at + 2..])?)))
}

/// The name in a quoted name; `None` when the text is not one.
fn unquote(text: &str) -> Option<String> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    let name = inner.replace("\"\"", "\"");
    (!name.is_empty() && quote_ident(&name) == text).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lists_of_the_original_are_read_and_written_to_the_byte() {
        for text in [
            include_str!(
                "../../../../tests/data/reference/gp5/07-prefix-incremental/foo_gp_dump_20261122105431_dirty_list"
            ),
            include_str!(
                "../../../../tests/data/reference/gp5/07-prefix-incremental/foo_gp_dump_20261122105431_table_list"
            ),
        ] {
            let list = TableList::parse(text);
            let tables: Vec<QualifiedName> = list.lines().iter().map(|line| splits(line).remove(0)).collect();
            assert_eq!(write_tables(&tables).unwrap(), text);
            assert!(list.contains(&QualifiedName::new("Odd Schema", "quo\"te")));
            assert!(!list.contains(&QualifiedName::new("Odd Schema", "quote")));
        }
    }

    #[test]
    fn blanks_belong_to_names_and_empty_lines_to_nothing() {
        let list = TableList::parse("a. b \n\na. b \nc.d");
        assert_eq!(list.lines(), ["a. b ", "c.d"]);
        assert!(list.contains(&QualifiedName::new("a", " b ")));
    }

    #[test]
    fn a_dot_in_a_name_makes_several_readings() {
        assert_eq!(
            splits("a.b.c"),
            [QualifiedName::new("a", "b.c"), QualifiedName::new("a.b", "c")]
        );
        assert_eq!(splits("\"a.b\".\"c\"\"d\""), [QualifiedName::new("a.b", "c\"d")]);
        assert_eq!(splits("nodot"), []);
        assert_eq!(splits(".x."), [QualifiedName::new(".x", "")][..0]);
    }

    #[test]
    fn schemas_are_written_quoted_and_read_either_way() {
        assert_eq!(write_schemas(["sales", "a\"b"]).unwrap(), "\"sales\"\n\"a\"\"b\"\n");
        assert_eq!(parse_schemas("\"a\"\"b\"\nsales\n\"\n"), ["a\"b", "sales", "\""]);
    }

    #[test]
    fn a_line_break_in_a_name_is_refused() {
        let message = write_tables(&[QualifiedName::new("s", "a\nb")])
            .unwrap_err()
            .to_string();
        assert_eq!(
            message,
            "the name \"s.a\\nb\" has a line break and cannot be written into a list of one name a line"
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(names in proptest::collection::vec(("[^\\n]{1,8}", "[^\\n]{1,8}"), 0..8)) {
            let tables: Vec<QualifiedName> = names.iter().map(|(s, t)| QualifiedName::new(s.as_str(), t.as_str())).collect();
            let list = TableList::parse(&write_tables(&tables).unwrap());
            for table in &tables {
                prop_assert!(list.contains(table));
            }
            let schemas: Vec<&str> = names.iter().map(|(s, _)| s.as_str()).collect();
            prop_assert_eq!(parse_schemas(&write_schemas(schemas.iter().copied()).unwrap()), schemas);
        }
    }
}
