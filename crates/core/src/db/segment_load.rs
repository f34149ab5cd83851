//! Whether a segment alone can load rows into a table that may be somebody's.

use super::{Error, Session};
use crate::words::dialect::Dialect;
use crate::words::names::{QualifiedName, quote_literal};

/// What the master has a part in when rows are loaded into a table with these columns (`None`: all): columns beside them that
/// the server fills in, by sequences for one, of which a segment alone counts its own; and triggers, whose statements
/// would see and change what is on the segment alone. Empty where there is nothing of that, or no such table.
pub async fn needs_master(
    session: &Session,
    dialect: &Dialect,
    table: &QualifiedName,
    columns: Option<&[String]>,
) -> Result<Vec<String>, Error> {
    let identity = match dialect.pg_version.0 >= 100_000 {
        true => " OR a.attidentity <> ''",
        false => "",
    };
    let computed = match dialect.pg_version.0 >= 120_000 {
        true => " AND a.attgenerated = ''",
        false => "",
    };
    let internal = match dialect.pg_version.0 >= 90_000 {
        true => "t.tgisinternal",
        false => "t.tgisconstraint",
    };
    // By name, not by `regclass`: of a table that is not there the COPY tells.
    let of_table = format!(
        "c.relname = {} AND n.nspname = {}",
        quote_literal(&table.name),
        quote_literal(&table.schema)
    );
    let sql = format!(
        "SELECT 'c', a.attname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid WHERE {of_table} AND a.attnum > 0 AND NOT a.attisdropped \
         AND (a.atthasdef{identity}){computed} \
         UNION ALL SELECT 't', t.tgname FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_trigger t ON t.tgrelid = c.oid \
         WHERE {of_table} AND t.tgenabled <> 'D' AND NOT {internal}"
    );
    let rows = session.rows(&sql, &format!("looking at table {table}")).await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| match <[_; 2]>::try_from(row) {
            Ok([Some(kind), Some(name)]) if kind == "t" => Some(format!("trigger {name}")),
            Ok([Some(_), Some(name)]) => {
                let is_loaded = columns.is_none_or(|columns| columns.contains(&name));
                (!is_loaded).then(|| format!("column {name}"))
            }
            _ => None,
        })
        .collect())
}
