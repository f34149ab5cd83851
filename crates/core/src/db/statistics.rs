//! Reads the planner's statistics of all user tables: two queries, whatever the number of tables.

use super::relations::USER_SCHEMAS;
use super::{Error, Session};
use crate::format::statistics::read::ColumnPlace;
use crate::format::statistics::{ColumnStatistics, TableStatistics, TypeName};
use crate::words::dialect::{Dialect, PartitionCatalog};
use crate::words::names::QualifiedName;

/// Tables of every kind, partitioned ones and their parts among them.
const TABLES: &str = "c.relkind IN ('r', 'p', 'm', 'f') AND c.oid >= 16384";

/// Pages and rows of each table, by name.
pub async fn read_table_sizes(session: &Session) -> Result<Vec<TableStatistics>, Error> {
    let sql = format!(
        "SELECT n.nspname, c.relname, c.relpages, c.reltuples FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE {TABLES} AND {USER_SCHEMAS}"
    );
    let rows = session.rows(&sql, "reading the sizes of tables").await?;
    let mut tables: Vec<TableStatistics> = rows.into_iter().filter_map(table_statistics).collect();
    tables.sort_by_cached_key(|table| table.table.to_string());
    Ok(tables)
}

fn table_statistics(row: Vec<Option<String>>) -> Option<TableStatistics> {
    let mut fields = row.into_iter().flatten();
    let table = QualifiedName::new(fields.next()?, fields.next()?);
    let pages = fields.next()?.parse().ok()?;
    // Never analyzed is -1 from 14 on, 0 before.
    let rows: f64 = fields.next()?.parse().ok()?;
    Some(TableStatistics {
        table,
        pages,
        rows: rows.max(0.0) as u64,
    })
}

/// Calls `take` for each row of `pg_statistic`, ordered by table, column, and own rows before inherited ones.
pub async fn read_column_statistics(
    session: &Session,
    dialect: &Dialect,
    mut take: impl FnMut(ColumnStatistics),
) -> Result<(), Error> {
    let inherited = if dialect.pg_version.0 >= 90000 {
        ", s.stainherit"
    } else {
        ""
    };
    // A domain's values are stored as its base type; `typelem` of other types than arrays (name, point) is no array.
    let sql = format!(
        "SELECT n.nspname, c.relname, a.attname, tn.nspname, t.typname, en.nspname, e.typname, s.* \
         FROM pg_catalog.pg_statistic s JOIN pg_catalog.pg_class c ON c.oid = s.starelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = s.starelid AND a.attnum = s.staattnum AND NOT a.attisdropped \
         JOIN pg_catalog.pg_type ct ON ct.oid = a.atttypid \
         JOIN pg_catalog.pg_type t ON t.oid = CASE WHEN ct.typtype = 'd' THEN ct.typbasetype ELSE ct.oid END \
         JOIN pg_catalog.pg_namespace tn ON tn.oid = t.typnamespace \
         LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND t.typlen = -1 AND t.typelem <> 0 \
         LEFT JOIN pg_catalog.pg_namespace en ON en.oid = e.typnamespace \
         WHERE {TABLES} AND {USER_SCHEMAS} ORDER BY s.starelid, s.staattnum{inherited}"
    );
    let read = |row: &mut dyn Iterator<Item = Option<String>>| {
        let table = QualifiedName::new(row.next()??, row.next()??);
        let column = row.next()??;
        let name = QualifiedName::new(row.next()??, row.next()??);
        let element = match (row.next()?, row.next()?) {
            (Some(schema), Some(name)) => Some(QualifiedName::new(schema, name)),
            _ => None,
        };
        Some(ColumnStatistics {
            table,
            column,
            kind: TypeName { name, element },
            fields: row.collect(),
        })
    };
    let doing = "reading the statistics of columns";
    session
        .for_each_row(&sql, doing, |row| {
            let mut fields = (0..row.len()).map(|i| row.get(i).map(str::to_owned));
            if let Some(statistics) = read(&mut fields) {
                take(statistics);
            }
            Ok(())
        })
        .await
}

/// A table or a column of the database, and where its statistics stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatisticsPlace {
    pub table: QualifiedName,
    /// `None`: the table itself.
    pub column: Option<String>,
    pub place: ColumnPlace,
}

/// Every user table and each of its columns.
pub async fn read_places(session: &Session, dialect: &Dialect) -> Result<Vec<StatisticsPlace>, Error> {
    let collation = if dialect.pg_version.0 >= 90100 {
        "a.attcollation"
    } else {
        "0"
    };
    let partitioned = match dialect.partitions {
        PartitionCatalog::PgPartitionRule => {
            "EXISTS (SELECT 1 FROM pg_catalog.pg_partition p WHERE p.parrelid = c.oid)"
        }
        PartitionCatalog::Declarative | PartitionCatalog::None => "c.relkind = 'p'",
    };
    // Number 0 stands for the table.
    let sql = format!(
        "SELECT n.nspname, c.relname, a.attname, c.oid, coalesce(a.attnum, 0), coalesce({collation}, 0), {partitioned} \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
         WHERE {TABLES} AND {USER_SCHEMAS}"
    );
    let mut places = Vec::new();
    let mut known = std::collections::HashSet::new();
    session
        .for_each_row(&sql, "reading where statistics go", |row| {
            let number = |at: usize| row.get(at).unwrap_or_default();
            let (Some(schema), Some(name), Ok(relation)) = (row.get(0), row.get(1), number(3).parse()) else {
                return Ok(());
            };
            let table = QualifiedName::new(schema, name);
            let place = ColumnPlace {
                relation,
                number: number(4).parse().unwrap_or_default(),
                collation: number(5).parse().unwrap_or_default(),
                partitioned: row.get(6) == Some("t"),
            };
            if known.insert(relation) {
                places.push(StatisticsPlace {
                    table: table.clone(),
                    column: None,
                    place,
                });
            }
            if let Some(column) = row.get(2) {
                places.push(StatisticsPlace {
                    table,
                    column: Some(column.to_owned()),
                    place,
                });
            }
            Ok(())
        })
        .await?;
    Ok(places)
}
