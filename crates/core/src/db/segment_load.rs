//! Whether a segment alone can load rows into a table that may be somebody's.

use super::{Error, Session};
use crate::words::dialect::Dialect;
use crate::words::names::{QualifiedName, quote_literal};

/// What a load into one table is like on a segment alone.
#[derive(Debug, Default)]
pub struct SegmentLoad {
    /// What the master has a part in: columns that are not loaded and that the server fills in, by sequences for one, of which
    /// a segment alone counts its own; and triggers, whose statements would see and change what is on the segment alone.
    pub needs_master_for: Vec<String>,
    /// Greenplum 6 and later refuse to load such a table on a segment alone.
    pub has_children: bool,
}

/// Looks at a table that rows with these columns (`None`: all) are to be loaded into. Of one that is not there nothing is
/// said: the COPY tells.
pub async fn look(
    session: &Session,
    dialect: &Dialect,
    table: &QualifiedName,
    columns: Option<&[String]>,
) -> Result<SegmentLoad, Error> {
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
    let of_table = format!(
        "pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         AND c.relname = {} AND n.nspname = {}",
        quote_literal(&table.name),
        quote_literal(&table.schema)
    );
    let sql = format!(
        "SELECT 'column', a.attname FROM {of_table} JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid \
           WHERE a.attnum > 0 AND NOT a.attisdropped AND (a.atthasdef{identity}){computed} \
         UNION ALL SELECT 'trigger', t.tgname FROM {of_table} JOIN pg_catalog.pg_trigger t ON t.tgrelid = c.oid \
           WHERE t.tgenabled <> 'D' AND NOT {internal} \
         UNION ALL SELECT 'child', i.inhrelid::text FROM {of_table} JOIN pg_catalog.pg_inherits i ON i.inhparent = c.oid"
    );
    let mut load = SegmentLoad::default();
    for row in session.rows(&sql, &format!("looking at table {table}")).await? {
        let Ok([Some(kind), Some(name)]) = <[_; 2]>::try_from(row) else {
            continue;
        };
        let is_loaded = || columns.is_none_or(|columns| columns.contains(&name));
        match kind.as_str() {
            "child" => load.has_children = true,
            "column" if is_loaded() => {}
            _ => load.needs_master_for.push(format!("{kind} {name}")),
        }
    }
    Ok(load)
}
