//! Reads a statistics file back, ours or the original's, and says the same to another server, where tables have other
//! object ids, columns other numbers, and `pg_statistic` other columns.

use crate::format::sql_script::tokens::{Token, TokenKind, Tokens};
use crate::format::sql_script::{Item, LexError, Script};

use super::{FIRST_USER_OID, Slot, StatisticsLayout, literal, one_line};
use crate::words::names::QualifiedName;

/// A block of the file. The header is the comment in front of it, behind `-- `: `Schema: s, Table: t[, Attribute: a]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBlock {
    pub header: String,
    pub what: Stored,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    Size {
        pages: String,
        rows: String,
    },
    Column(StoredColumn),
    /// Nobody can say what it is; why.
    Unreadable(String),
}

/// A row of `pg_statistic`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredColumn {
    /// `None`: written by a server that does not tell.
    inherited: Option<bool>,
    null_frac: String,
    width: String,
    distinct: String,
    slots: Vec<StoredSlot>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct StoredSlot {
    kind: u32,
    operator: u32,
    collation: Option<u32>,
    numbers: Option<String>,
    /// The text of the array, and the type of its elements as SQL.
    values: Option<(String, String)>,
}

/// Where a column is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnPlace {
    pub relation: u32,
    pub number: i16,
    pub collation: u32,
    /// Its table is divided into partitions: what is known of it is known of all of them.
    pub partitioned: bool,
}

/// The header of a table's or a column's block.
pub fn header_of(table: &QualifiedName, column: Option<&str>) -> String {
    let mut text = format!("Schema: {}, Table: {}", one_line(&table.schema), one_line(&table.name));
    if let Some(column) = column {
        text.push_str(&format!(", Attribute: {}", one_line(column)));
    }
    text
}

/// All blocks in their order.
pub fn read(text: &[u8]) -> Result<Vec<StoredBlock>, LexError> {
    let script = Script::parse(text)?;
    let mut blocks = Vec::new();
    let mut header = String::new();
    let mut end = 0;
    for item in script.items() {
        let Item::Statement {
            text: statement, span, ..
        } = item
        else {
            continue;
        };
        // Comments between statements belong to the one behind them.
        let between = String::from_utf8_lossy(&text[end..span.start]);
        if let Some(found) = between.lines().rev().find_map(|line| line.strip_prefix("-- Schema: ")) {
            header = format!("Schema: {found}");
        }
        end = span.end;
        let mut tokens = Tokens::of(statement);
        let what = if tokens.clone().eat_all(&["update", "pg_class"]) {
            size(statement)
        } else if tokens.eat_all(&["insert", "into", "pg_statistic", "values"]) {
            match std::str::from_utf8(statement) {
                Ok(_) => column(statement, tokens).map_or_else(Stored::Unreadable, Stored::Column),
                Err(_) => Stored::Unreadable("its values are not in UTF8".to_owned()),
            }
        } else {
            continue;
        };
        blocks.push(StoredBlock {
            header: header.clone(),
            what,
        });
    }
    Ok(blocks)
}

/// `UPDATE pg_class SET relpages = 3::int, reltuples = 1500::real WHERE ...`
fn size(statement: &[u8]) -> Stored {
    let text = String::from_utf8_lossy(statement);
    let number = |name: &str| {
        let (_, rest) = text.split_once(name)?;
        let number = rest.split_once("::")?.0.trim_start_matches([' ', '=']).trim();
        number.parse::<f64>().ok().map(|_| number.to_owned())
    };
    match (number("relpages"), number("reltuples")) {
        (Some(pages), Some(rows)) => Stored::Size { pages, rows },
        _ => Stored::Unreadable("it names no number of pages and rows".to_owned()),
    }
}

fn column(statement: &[u8], tokens: Tokens<'_>) -> Result<StoredColumn, String> {
    let values = values(statement, tokens);
    let (has_inherit, slots, has_collation) = match values.len() {
        21 => (false, 4, false),
        22 => (true, 4, false),
        26 => (true, 5, false),
        31 => (true, 5, true),
        other => return Err(format!("it has {other} values, and no server has so many")),
    };
    let number = |at: usize| values[at].text.clone().unwrap_or_default();
    let id = |at: usize| {
        number(at)
            .parse::<u32>()
            .map_err(|_| format!("value {} is no number", at + 1))
    };
    let start = 2 + usize::from(has_inherit);
    let first = start + 3;
    let mut read = Vec::new();
    for slot in 0..slots {
        let at = |group: usize| first + group * slots + slot;
        let group = if has_collation { 3 } else { 2 };
        let array = &values[at(group + 1)];
        read.push(StoredSlot {
            kind: id(at(0))?,
            operator: id(at(1))?,
            collation: if has_collation { Some(id(at(2))?) } else { None },
            numbers: values[at(group)].text.clone(),
            values: array.text.clone().zip(array.of.clone()),
        });
    }
    Ok(StoredColumn {
        inherited: has_inherit.then(|| number(2) == "true"),
        null_frac: number(start),
        width: number(start + 1),
        distinct: number(start + 2),
        slots: read,
    })
}

/// One value: its text, unquoted, and the type it is said to be of.
#[derive(Debug, Clone, Default)]
struct Value {
    text: Option<String>,
    of: Option<String>,
}

fn values(statement: &[u8], tokens: Tokens<'_>) -> Vec<Value> {
    let mut values = Vec::new();
    let mut depth = 0usize;
    let mut parts: Vec<Token<'_>> = Vec::new();
    for token in tokens {
        if token.is_sign(b'(') {
            depth += 1;
            if depth == 1 {
                continue;
            }
        } else if token.is_sign(b')') {
            depth -= usize::from(depth > 0);
            if depth == 0 {
                break;
            }
        } else if depth == 1 && token.is_sign(b',') {
            values.push(value(statement, &parts));
            parts.clear();
            continue;
        }
        parts.push(token);
    }
    values.push(value(statement, &parts));
    values
}

fn value(statement: &[u8], parts: &[Token<'_>]) -> Value {
    let texts: Vec<&Token<'_>> = parts.iter().filter(|token| token.kind == TokenKind::Text).collect();
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else {
        return Value::default();
    };
    if first.is("null") {
        return Value::default();
    }
    // array_in('{...}', 'type'::regtype, -1)
    if let [array, of] = texts[..] {
        return Value {
            text: Some(unquote(array.text)),
            of: Some(unquote(of.text)),
        };
    }
    let whole = String::from_utf8_lossy(&statement[first.span.start..last.span.end]).into_owned();
    match texts[..] {
        [text] => {
            let behind = String::from_utf8_lossy(&statement[text.span.end..last.span.end]).into_owned();
            let of = behind
                .trim()
                .strip_prefix("::")
                .map(|of| of.trim_end_matches("[]").to_owned());
            Value {
                text: Some(unquote(text.text)),
                of,
            }
        }
        _ => Value {
            text: Some(whole.split("::").next().unwrap_or_default().trim().to_owned()),
            of: None,
        },
    }
}

/// The text of a literal; without an E in front a backslash is itself.
fn unquote(token: &[u8]) -> String {
    let text = String::from_utf8_lossy(token);
    let (escapes, text) = match text.strip_prefix(['E', 'e']) {
        Some(rest) => (true, rest),
        None => (false, &*text),
    };
    let inner = text.strip_prefix('\'').unwrap_or(text);
    let inner = inner.strip_suffix('\'').unwrap_or(inner);
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c == '\'' || (escapes && c == '\\') {
            out.extend(chars.next());
        } else {
            out.push(c);
        }
    }
    out
}

/// The statement that gives a table its size.
pub fn size_sql(relation: u32, pages: &str, rows: &str) -> String {
    format!("UPDATE pg_class SET relpages = {pages}::int, reltuples = {rows}::real WHERE oid = {relation}")
}

impl StoredColumn {
    /// The statements that give a column what is known of it.
    pub fn sql(&self, place: ColumnPlace, layout: StatisticsLayout) -> String {
        let ColumnPlace { relation, number, .. } = place;
        let inherited = self.inherited.unwrap_or(place.partitioned);
        let mut sql = format!("DELETE FROM pg_statistic WHERE starelid = {relation} AND staattnum = {number}");
        if layout.has_inherit {
            sql.push_str(if inherited {
                " AND stainherit"
            } else {
                " AND NOT stainherit"
            });
        }
        let mut values = vec![format!("{relation}::oid"), format!("{number}::smallint")];
        if layout.has_inherit {
            values.push(format!("{inherited}::boolean"));
        }
        values.push(format!("{}::real", self.null_frac));
        values.push(format!("{}::integer", self.width));
        values.push(format!("{}::real", self.distinct));
        let mut slots: Vec<Slot> = self
            .slots
            .iter()
            .filter_map(|slot| slot.on(layout, place.collation))
            .take(layout.slots)
            .collect();
        slots.resize_with(layout.slots, || Slot::empty(layout.has_collation));
        values.extend(slots.iter().map(|slot| format!("{}::smallint", slot.kind)));
        values.extend(slots.iter().map(|slot| format!("{}::oid", slot.operator)));
        let collations = slots.iter().filter_map(|slot| slot.collation.as_ref());
        values.extend(collations.map(|collation| format!("{collation}::oid")));
        values.extend(slots.iter().map(|slot| super::cast(slot.numbers.as_deref(), "real")));
        values.extend(
            slots
                .iter()
                .map(|slot| slot.values.clone().unwrap_or_else(|| "NULL".to_owned())),
        );
        format!("{sql};\nINSERT INTO pg_statistic VALUES ({})", values.join(", "))
    }
}

impl StoredSlot {
    /// As the server wants it, its values as SQL; `None` where it would mean nothing there.
    fn on(&self, layout: StatisticsLayout, of_column: u32) -> Option<Slot> {
        // What is common to all servers; from 8 on the numbers are the products' own.
        let known = if layout.slots >= 5 { 1..=7 } else { 1..=3 };
        let collation = self
            .collation
            .filter(|own| *own < FIRST_USER_OID && self.kind == 4)
            .unwrap_or(of_column);
        if !known.contains(&self.kind) || self.operator >= FIRST_USER_OID {
            return None;
        }
        let values = match &self.values {
            None => None,
            // An array of arrays cannot be cast to.
            Some((_, of)) if layout.casts_values && is_array(of) => return None,
            Some((text, of)) if layout.casts_values => Some(format!("{}::{of}[]", literal(text))),
            Some((text, of)) => Some(format!(
                "pg_catalog.array_in({}, {}::regtype, -1)",
                literal(text),
                literal(of)
            )),
        };
        Some(Slot {
            kind: self.kind.to_string(),
            operator: self.operator.to_string(),
            collation: layout.has_collation.then(|| collation.to_string()),
            numbers: self.numbers.clone(),
            values,
            value_type: None,
        })
    }
}

/// `pg_catalog."_text"`: the name that the array type of `text` has.
fn is_array(of: &str) -> bool {
    let name = of.rsplit('.').next().unwrap_or_default();
    name.trim_start_matches('"').starts_with('_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::dialect::PgVersion;

    /// As the original wrote it.
    const OLD: &str = "--\n-- Allow system table modifications\n--\nset allow_system_table_mods=\"DML\";\n\n--\n-- Schema: a b, \
        Table: it's\n--\nUPDATE pg_class\nSET\n    relpages = 3::int,\n    reltuples = 1500::real\nWHERE relname = 'x' AND \
        relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'a b');\n\n--\n-- Schema: a b, Table: it's, Attribute: \
        v\n--\n\nDELETE FROM pg_statistic WHERE starelid = 5 AND staattnum = 2;\n\nINSERT INTO pg_statistic VALUES (\n    \
        5::oid,\n    2::smallint,\n    0.000000::real,\n    6::integer,\n    -1.000000::real,\n    1::smallint,\n    \
        2::smallint,\n    99::smallint,\n    0::smallint,\n    98::oid,\n    664::oid,\n    98::oid,\n    0::oid,\n    \
        '{0.5}'::real[],\n    NULL::real[],\n    NULL::real[],\n    NULL::real[],\n    '{\"a;\\\\b\"}'::text[],\n    \
        E'{O''x,\\\\\\\\}'::text[],\n    NULL::text[],\n    NULL::text[]\n);\n";

    #[test]
    fn an_old_file_speaks_to_a_later_server_and_to_its_own() {
        let blocks = read(OLD.as_bytes()).unwrap();
        let table = QualifiedName::new("a b", "it's");
        assert_eq!(blocks[0].header, header_of(&table, None));
        assert_eq!(
            blocks[0].what,
            Stored::Size {
                pages: "3".into(),
                rows: "1500".into()
            }
        );
        assert_eq!(blocks[1].header, header_of(&table, Some("v")));
        let Stored::Column(column) = &blocks[1].what else {
            panic!("{blocks:?}")
        };
        let place = ColumnPlace {
            relation: 77,
            number: 4,
            collation: 100,
            partitioned: false,
        };
        assert_eq!(
            column.sql(place, StatisticsLayout::of(PgVersion(150000))),
            "DELETE FROM pg_statistic WHERE starelid = 77 AND staattnum = 4 AND NOT stainherit;\nINSERT INTO pg_statistic \
             VALUES (77::oid, 4::smallint, false::boolean, 0.000000::real, 6::integer, -1.000000::real, 1::smallint, \
             2::smallint, 0::smallint, 0::smallint, 0::smallint, 98::oid, 664::oid, 0::oid, 0::oid, 0::oid, 100::oid, \
             100::oid, 0::oid, 0::oid, 0::oid, '{0.5}'::real[], NULL::real[], NULL::real[], NULL::real[], NULL::real[], \
             pg_catalog.array_in(E'{\"a;\\\\\\\\b\"}', 'text'::regtype, -1), pg_catalog.array_in(E'{O''x,\\\\\\\\}', \
             'text'::regtype, -1), NULL, NULL, NULL)"
        );
        let old = column.sql(place, StatisticsLayout::of(PgVersion(80323)));
        assert!(
            old.starts_with("DELETE FROM pg_statistic WHERE starelid = 77 AND staattnum = 4;\n")
                && old.contains("E'{\"a;\\\\\\\\b\"}'::text[], E'{O''x,\\\\\\\\}'::text[], NULL, NULL)"),
            "{old}"
        );
    }

    #[test]
    fn a_later_file_speaks_to_an_old_server_as_far_as_it_can_say_it() {
        let text = "-- Schema: s, Table: t, Attribute: a\nINSERT INTO pg_statistic VALUES (5::oid, 1::smallint, true::boolean, \
            0.1::real, 4::integer, 7::real, 1::smallint, 4::smallint, 0::smallint, 0::smallint, 0::smallint, 1070::oid, \
            98::oid, 0::oid, 0::oid, 0::oid, 100::oid, 100::oid, 0::oid, 0::oid, 0::oid, '{1}'::real[], NULL::real[], \
            NULL::real[], NULL::real[], NULL::real[], pg_catalog.array_in('{\"{a}\"}', 'pg_catalog.\"_text\"'::regtype, -1), \
            pg_catalog.array_in('{a,b}', 'pg_catalog.\"text\"'::regtype, -1), NULL, NULL, NULL);\n";
        let blocks = read(text.as_bytes()).unwrap();
        let Stored::Column(column) = &blocks[0].what else {
            panic!("{blocks:?}")
        };
        let place = ColumnPlace {
            relation: 9,
            number: 1,
            collation: 100,
            partitioned: false,
        };
        let old = column.sql(place, StatisticsLayout::of(PgVersion(80323)));
        assert!(
            old.contains("7::real, 0::smallint, 0::smallint, 0::smallint, 0::smallint, "),
            "{old}"
        );
        let later = column.sql(place, StatisticsLayout::of(PgVersion(150000)));
        assert!(
            later.contains("AND stainherit;")
                && later.contains("array_in('{a,b}', 'pg_catalog.\"text\"'::regtype, -1)"),
            "{later}"
        );
    }
}
