//! The statistics file `gp_statistics_-1_1_<key>`: SQL that gives a restored database the planner's numbers
//! (`gpcrondump.md` 4.5). Readers find a block by its comment and replace object id and column number.
//!
//! ```sql
//! --
//! -- Schema: public, Table: t, Attribute: a
//! --
//!
//! DELETE FROM pg_statistic WHERE starelid = 16990 AND staattnum = 2;
//!
//! INSERT INTO pg_statistic VALUES (
//!     16990::oid,
//!     2::smallint,
//! ```
//!
//! Servers after Greenplum 5 have more columns in `pg_statistic`: they stand where the server has them. They also refuse
//! `'{1,2}'::int4[]` for a column of type `anyarray`; there the values are `array_in('{1,2}', 'int4'::regtype, -1)`, which
//! can say arrays of arrays too.

pub mod read;

use std::fmt::Write;

use crate::words::dialect::PgVersion;
use crate::words::names::{QualifiedName, quote_ident, quote_ident_if_needed, quote_literal};

/// The columns of `pg_statistic` of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatisticsLayout {
    /// `stainherit`, from 9.0.
    pub has_inherit: bool,
    /// 4, or 5 from 9.2.
    pub slots: usize,
    /// `stacoll1`..., from 12.
    pub has_collation: bool,
    /// Values are written as the original wrote them, by a cast.
    pub casts_values: bool,
}

impl StatisticsLayout {
    pub fn of(version: PgVersion) -> Self {
        StatisticsLayout {
            has_inherit: version.0 >= 90000,
            slots: if version.0 >= 90200 { 5 } else { 4 },
            has_collation: version.0 >= 120_000,
            casts_values: version.0 < 90000,
        }
    }

    pub fn columns(self) -> usize {
        5 + usize::from(self.has_inherit) + self.slots * if self.has_collation { 5 } else { 4 }
    }
}

/// Size of a table as the planner knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableStatistics {
    pub table: QualifiedName,
    /// -1 for a partitioned table that was analyzed (PostgreSQL 14).
    pub pages: i64,
    /// Whole rows.
    pub rows: u64,
}

/// The type of a column or of the values in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeName {
    pub name: QualifiedName,
    /// Of the elements, when the type is an array.
    pub element: Option<QualifiedName>,
}

/// One row of `pg_statistic`, as the server writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnStatistics {
    pub table: QualifiedName,
    pub column: String,
    /// The base type where the column has a domain.
    pub kind: TypeName,
    /// All columns of the row, in their order.
    pub fields: Vec<Option<String>>,
}

/// Object ids from here on are the user's own and mean something else in every database.
const FIRST_USER_OID: u32 = 16384;

/// The first lines of the file.
pub fn header(version: PgVersion) -> String {
    // A choice of words in Greenplum 5, a switch in PostgreSQL and everything after.
    let setting = if version.0 < 90000 { "\"DML\"" } else { "on" };
    format!("--\n-- Allow system table modifications\n--\nset allow_system_table_mods={setting};\n\n")
}

pub fn table_block(table: &TableStatistics) -> String {
    let QualifiedName { schema, name } = &table.table;
    format!(
        "--\n-- Schema: {}, Table: {}\n--\nUPDATE pg_class\nSET\n    relpages = {}::int,\n    reltuples = {}::real\nWHERE \
         relname = {} AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = {});\n\n",
        one_line(schema),
        one_line(name),
        table.pages,
        table.rows,
        literal(name),
        literal(schema)
    )
}

/// The block of one column; beside it a sentence for each slot that SQL text cannot express.
pub fn column_block(row: &ColumnStatistics, layout: StatisticsLayout) -> Option<(String, Vec<String>)> {
    if row.fields.len() != layout.columns() {
        return None;
    }
    let field = |at: usize| row.fields.get(at).and_then(Option::as_deref);
    let (relation, number) = (field(0)?, field(1)?);
    let inherited = layout.has_inherit && field(2) == Some("t");
    let mut out = format!(
        "--\n-- Schema: {}, Table: {}, Attribute: {}\n--\n\nDELETE FROM pg_statistic WHERE starelid = {relation} AND \
         staattnum = {number}",
        one_line(&row.table.schema),
        one_line(&row.table.name),
        one_line(&row.column)
    );
    // A parent has two rows of a column: this one must not remove the other.
    if inherited {
        out.push_str(" AND stainherit");
    }
    out.push_str(";\n\nINSERT INTO pg_statistic VALUES (\n");
    let mut values = vec![format!("{relation}::oid"), format!("{number}::smallint")];
    if layout.has_inherit {
        values.push(format!("{inherited}::boolean"));
    }
    let start = values.len();
    values.push(format!("{}::real", decimal(field(start)?)));
    values.push(format!("{}::integer", field(start + 1)?));
    values.push(format!("{}::real", decimal(field(start + 2)?)));
    let first = start + 3;
    let part = |group: usize, slot: usize| field(first + group * layout.slots + slot);
    let groups = if layout.has_collation { 5 } else { 4 };
    let mut notes = Vec::new();
    let slots: Vec<Slot> = (0..layout.slots)
        .map(|slot| {
            let read = Slot {
                kind: part(0, slot).unwrap_or("0").to_owned(),
                operator: part(1, slot).unwrap_or("0").to_owned(),
                collation: layout.has_collation.then(|| part(2, slot).unwrap_or("0").to_owned()),
                numbers: part(groups - 2, slot).map(str::to_owned),
                values: part(groups - 1, slot).map(str::to_owned),
                value_type: None,
            };
            read.typed(&row.kind, layout).unwrap_or_else(|why| {
                notes.push(format!("{}.{}, slot {}: {why}", row.table, row.column, slot + 1));
                Slot::empty(layout.has_collation)
            })
        })
        .collect();
    values.extend(slots.iter().map(|slot| format!("{}::smallint", slot.kind)));
    values.extend(slots.iter().map(|slot| format!("{}::oid", slot.operator)));
    values.extend(
        slots
            .iter()
            .filter_map(|slot| Some(format!("{}::oid", slot.collation.as_ref()?))),
    );
    values.extend(slots.iter().map(|slot| cast(slot.numbers.as_deref(), "real")));
    let own = type_text(&row.kind.name);
    values.extend(slots.iter().map(|slot| match (&slot.values, &slot.value_type) {
        (Some(text), Some(of)) if layout.casts_values => cast(Some(text), &type_text(of)),
        (Some(text), Some(of)) => {
            let of = format!("{}.{}", quote_ident_if_needed(&of.schema), quote_ident(&of.name));
            format!("pg_catalog.array_in({}, {}::regtype, -1)", literal(text), literal(&of))
        }
        _ if !layout.casts_values => "NULL".to_owned(),
        // There is no array of arrays to cast to.
        _ if row.kind.element.is_some() => "NULL".to_owned(),
        _ => cast(None, &own),
    }));
    let _ = writeln!(out, "    {}\n);\n", values.join(",\n    "));
    Some((out, notes))
}

struct Slot {
    kind: String,
    operator: String,
    collation: Option<String>,
    numbers: Option<String>,
    values: Option<String>,
    value_type: Option<QualifiedName>,
}

impl Slot {
    fn empty(has_collation: bool) -> Self {
        Slot {
            kind: "0".to_owned(),
            operator: "0".to_owned(),
            collation: has_collation.then(|| "0".to_owned()),
            numbers: None,
            values: None,
            value_type: None,
        }
    }

    /// Finds the type of the values, which the server does not say.
    fn typed(mut self, column: &TypeName, layout: StatisticsLayout) -> Result<Self, String> {
        let oid = |text: &str| text.parse::<u32>().unwrap_or(u32::MAX);
        if oid(&self.operator) >= FIRST_USER_OID || self.collation.as_deref().is_some_and(|c| oid(c) >= FIRST_USER_OID)
        {
            return Err("its operator or collation is the user's own, and has another number elsewhere".to_owned());
        }
        if self.values.is_none() {
            return Ok(self);
        }
        let builtin = |name: &str| QualifiedName::new("pg_catalog", name);
        let is_search = column.name == builtin("tsvector");
        self.value_type = Some(match (self.kind.as_str(), &column.element) {
            ("1" | "2", Some(_)) if layout.casts_values => return Err("SQL has no array of arrays".to_owned()),
            ("1" | "2", _) => column.name.clone(),
            ("4", Some(element)) => element.clone(),
            ("4", None) if is_search => builtin("text"),
            ("6", None) => builtin("float8"),
            ("7", None) => column.name.clone(),
            // Greenplum's counters of distinct values, from which the statistics of a partitioned table are made.
            ("98" | "99", _) => builtin("bytea"),
            (kind, _) => return Err(format!("the values of kind {kind} have a type that is not known")),
        });
        Ok(self)
    }
}

fn cast(array: Option<&str>, of: &str) -> String {
    match array {
        Some(array) => format!("{}::{of}[]", literal(array)),
        None => format!("NULL::{of}[]"),
    }
}

/// As the original wrote them where there is no doubt what is meant.
fn type_text(name: &QualifiedName) -> String {
    match (name.schema.as_str(), name.name.as_str()) {
        // Bare, these two mean another type.
        ("pg_catalog", own @ ("char" | "bit")) => quote_ident(own),
        ("pg_catalog", own) => own.to_owned(),
        (schema, own) => format!("{}.{}", quote_ident_if_needed(schema), quote_ident_if_needed(own)),
    }
}

fn decimal(text: &str) -> String {
    text.parse::<f64>()
        .map_or_else(|_| text.to_owned(), |number| format!("{number:.6}"))
}

fn literal(text: &str) -> String {
    quote_literal(text).trim_start().to_owned()
}

/// A comment ends with its line.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(type_name: &str, element: Option<&str>, fields: &str) -> ColumnStatistics {
        ColumnStatistics {
            table: QualifiedName::new("public", "it's"),
            column: "city".to_owned(),
            kind: TypeName {
                name: QualifiedName::new("pg_catalog", type_name),
                element: element.map(|name| QualifiedName::new("pg_catalog", name)),
            },
            fields: fields
                .split('|')
                .map(|field| Some(field.to_owned()).filter(|field| field != "-"))
                .collect(),
        }
    }

    #[test]
    fn a_column_of_greenplum_5_looks_like_the_originals() {
        let layout = StatisticsLayout::of(PgVersion(80323));
        let row = row(
            "text",
            None,
            "16990|2|0|9|-0.25|1|2|3|0|98|664|664|0|{0.25,0.125}|-|{0.9}|-|{Oslo,O'Higgins}|{Bonn,\"a\\\\b\"}|-|-",
        );
        let (block, notes) = column_block(&row, layout).unwrap();
        assert_eq!(notes, [] as [String; 0]);
        assert_eq!(
            block,
            "--\n-- Schema: public, Table: it's, Attribute: city\n--\n\nDELETE FROM pg_statistic WHERE starelid = 16990 \
             AND staattnum = 2;\n\nINSERT INTO pg_statistic VALUES (\n    16990::oid,\n    2::smallint,\n    \
             0.000000::real,\n    9::integer,\n    -0.250000::real,\n    1::smallint,\n    2::smallint,\n    \
             3::smallint,\n    0::smallint,\n    98::oid,\n    664::oid,\n    664::oid,\n    0::oid,\n    \
             '{0.25,0.125}'::real[],\n    NULL::real[],\n    '{0.9}'::real[],\n    NULL::real[],\n    \
             '{Oslo,O''Higgins}'::text[],\n    E'{Bonn,\"a\\\\\\\\b\"}'::text[],\n    NULL::text[],\n    NULL::text[]\n);\n\n"
        );
    }

    const ARRAY_ROW: &str = "5|1|0|9|-1|1|3|0|0|1070|1072|0|0|{1}|{0.1}|-|-|{\"{a}\"}|-|-|-";

    #[test]
    fn arrays_of_arrays_are_left_out_by_name_where_sql_cannot_say_them() {
        let layout = StatisticsLayout::of(PgVersion(80323));
        let row = row("_text", Some("text"), ARRAY_ROW);
        let (block, notes) = column_block(&row, layout).unwrap();
        assert_eq!(notes, ["public.it's.city, slot 1: SQL has no array of arrays"]);
        for line in [
            "    0::smallint,\n    3::smallint,\n",
            "    NULL::real[],\n    '{0.1}'::real[],\n",
            "    NULL,\n    NULL,\n    NULL,\n    NULL\n);\n",
        ] {
            assert!(block.contains(line), "{line}\n{block}");
        }
        let fields = Vec::new();
        assert_eq!(column_block(&ColumnStatistics { fields, ..row }, layout), None);
    }

    #[test]
    fn later_servers_read_values_of_any_type() {
        let layout = StatisticsLayout::of(PgVersion(90426));
        let fields = "5|1|f|0|9|-1|1|4|3|0|0|1070|98|1072|0|0|{1}|{0.5,0.5,0.5}|{0.1}|-|-|{\"{a}\"}|{a,b}|-|-|-";
        let (block, notes) = column_block(&row("_text", Some("text"), fields), layout).unwrap();
        assert_eq!(notes, [] as [String; 0]);
        for line in [
            "    false::boolean,\n",
            "    pg_catalog.array_in('{\"{a}\"}', 'pg_catalog.\"_text\"'::regtype, -1),\n    \
             pg_catalog.array_in('{a,b}', 'pg_catalog.\"text\"'::regtype, -1),\n    NULL,\n    NULL,\n    NULL\n);\n",
        ] {
            assert!(block.contains(line), "{line}\n{block}");
        }
    }

    #[test]
    fn counters_for_partitioned_tables_are_kept() {
        let layout = StatisticsLayout::of(PgVersion(80323));
        let fields = "5|1|0|4|-1|2|0|0|99|97|0|0|0|-|-|-|-|{1,2}|-|-|{\"\\\\016\"}";
        let (block, notes) = column_block(&row("int4", None, fields), layout).unwrap();
        assert_eq!(notes, [] as [String; 0]);
        assert!(block.ends_with("    E'{\"\\\\\\\\016\"}'::bytea[]\n);\n\n"), "{block}");
    }

    #[test]
    fn numbers_of_the_users_own_operators_are_not_carried_elsewhere() {
        let layout = StatisticsLayout::of(PgVersion(150018));
        let mut fields = vec!["5", "1", "t", "0.5", "4", "7", "1", "0", "0", "0", "0", "16500"];
        fields.extend(["0"; 9]);
        fields.extend(["-"; 5]);
        fields.extend(["{x}", "-", "-", "-", "-"]);
        let (block, notes) = column_block(&row("text", None, &fields.join("|")), layout).unwrap();
        assert_eq!(notes.len(), 1);
        assert!(
            block.contains("AND staattnum = 1 AND stainherit;\n") && !block.contains("16500"),
            "{block}"
        );
    }

    #[test]
    fn a_table_is_known_by_its_name() {
        let table = TableStatistics {
            table: QualifiedName::new("public", "customers"),
            pages: 12,
            rows: 3400,
        };
        assert_eq!(
            table_block(&table),
            "--\n-- Schema: public, Table: customers\n--\nUPDATE pg_class\nSET\n    relpages = 12::int,\n    reltuples = \
             3400::real\nWHERE relname = 'customers' AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = \
             'public');\n\n"
        );
    }
}
