//! What a segment's catalog tells of its heap tables, for the proof that they did not change (`docs/incremental-heap.md`).

use std::collections::{BTreeMap, HashMap, HashSet};

use sha2::{Digest, Sha256};

use super::relations::{USER_SCHEMAS, parse_oid, unexpected};
use super::{Error, Session};
use crate::format::heap_state::Lsn;
use crate::words::dialect::Dialect;
use crate::words::ids::Oid;
use crate::words::names::QualifiedName;

/// The query that takes a snapshot and tells the place in the log where it was taken.
pub fn log_place_sql(dialect: &Dialect) -> &'static str {
    if dialect.pg_version.0 >= 100_000 {
        "SELECT pg_catalog.pg_current_wal_insert_lsn()"
    } else {
        "SELECT pg_catalog.pg_current_xlog_insert_location()"
    }
}

/// What the server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeapServerFacts {
    /// Servers before 9.6 do not tell.
    pub system: Option<u64>,
    pub timeline: u32,
    pub database: Oid,
    pub page_bytes: u32,
}

/// A heap table whose rows can be told to be the same: plain columns, logged changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeapFile {
    pub table: QualifiedName,
    pub oid: Oid,
    /// Below the data directory.
    pub file: String,
    /// A sum over names and types of the columns.
    pub columns: String,
}

pub async fn read_server_facts(session: &Session, dialect: &Dialect, lsn: Lsn) -> Result<HeapServerFacts, Error> {
    let walfile = if dialect.pg_version.0 >= 100_000 {
        "pg_walfile_name"
    } else {
        "pg_xlogfile_name"
    };
    let system = if dialect.pg_version.0 >= 90_600 {
        "(SELECT system_identifier FROM pg_catalog.pg_control_system())::text"
    } else {
        "NULL"
    };
    let sql = format!(
        "SELECT pg_catalog.{walfile}('{lsn}'), pg_catalog.current_setting('block_size'), {system}, d.oid \
         FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()"
    );
    let doing = "asking for the place in the log";
    let rows = session.rows(&sql, doing).await?;
    let row = rows.into_iter().next().unwrap_or_default();
    let text = |i: usize| row.get(i).and_then(Option::as_deref);
    // The first eight digits of a log file's name are the timeline.
    let timeline = text(0).and_then(|name| u32::from_str_radix(name.get(..8)?, 16).ok());
    let page_bytes = text(1).and_then(|bytes| bytes.parse().ok());
    match (timeline, page_bytes, text(3).and_then(parse_oid)) {
        (Some(timeline), Some(page_bytes), Some(database)) => Ok(HeapServerFacts {
            // Shown as a signed number.
            system: text(2).and_then(|n| n.parse::<i64>().ok()).map(i64::cast_unsigned),
            timeline,
            database,
            page_bytes,
        }),
        _ => Err(unexpected(session, doing, "no timeline, page size or database")),
    }
}

/// The wanted tables among the heap tables of this server.
pub async fn read_heap_files(
    session: &Session,
    dialect: &Dialect,
    wanted: &HashSet<QualifiedName>,
) -> Result<Vec<HeapFile>, Error> {
    let mut columns = read_columns(session, dialect).await?;
    let doing = "reading where the heap tables lie";
    let mut files = Vec::new();
    session
        .for_each_row(&files_sql(dialect), doing, |row| {
            let (Some(oid), Some(schema), Some(name)) = (row.get(0).and_then(parse_oid), row.get(1), row.get(2)) else {
                return Err(unexpected(session, doing, "a table without oid or name"));
            };
            let table = QualifiedName::new(schema, name);
            if let (true, Some(file), Some(columns)) = (wanted.contains(&table), row.get(3), columns.remove(&oid)) {
                files.push(HeapFile {
                    table,
                    oid,
                    file: file.to_owned(),
                    columns,
                });
            }
            Ok(())
        })
        .await?;
    Ok(files)
}

fn files_sql(dialect: &Dialect) -> String {
    let version = dialect.pg_version.0;
    let heap = if dialect.has_relstorage {
        " AND c.relstorage = 'h'"
    } else {
        " AND c.relam = (SELECT oid FROM pg_catalog.pg_am WHERE amname = 'heap')"
    };
    // Changes of other tables are not logged.
    let logged = if version >= 90_100 {
        " AND c.relpersistence = 'p'"
    } else {
        ""
    };
    // Before 9.0 the server does not say where a file lies: only the usual place is known.
    let (file, usual_place) = if version >= 90_000 {
        ("pg_catalog.pg_relation_filepath(c.oid)", "")
    } else {
        (
            "'base/' || d.oid || '/' || c.relfilenode",
            " JOIN pg_catalog.pg_database d ON d.datname = pg_catalog.current_database() AND d.dattablespace = 1663 \
             AND c.reltablespace = 0",
        )
    };
    format!(
        "SELECT c.oid, n.nspname, c.relname, {file} FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace{usual_place} \
         WHERE c.relkind = 'r' AND c.relfilenode <> 0 AND {USER_SCHEMAS}{heap}{logged}"
    )
}

/// Types whose text depends on more than the stored bytes: names of objects that may be renamed, a setting of the locale.
const NOT_PLAIN: [u32; 13] = [
    24, 790, 1033, 2202, 2203, 2204, 2205, 2206, 3734, 3769, 4089, 4096, 4191,
];

/// Object ids from here on are not the server's own.
const FIRST_USER_OID: u32 = 16384;

/// A sum over the columns of each table that has plain columns only: what stands in a row must be all that its text
/// depends on.
async fn read_columns(session: &Session, dialect: &Dialect) -> Result<HashMap<Oid, String>, Error> {
    let labels = read_enum_sums(session).await?;
    let generated = if dialect.pg_version.0 >= 120_000 {
        "a.attgenerated"
    } else {
        "''"
    };
    let sql = format!(
        "SELECT a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod, a.attisdropped, {generated}, e.oid, e.typtype \
         FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
         LEFT JOIN pg_catalog.pg_type b ON b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END \
         LEFT JOIN pg_catalog.pg_type e ON e.oid = CASE WHEN b.typelem <> 0 AND b.typlen = -1 THEN b.typelem ELSE b.oid END \
         WHERE c.relkind = 'r' AND a.attnum > 0 AND {USER_SCHEMAS} ORDER BY a.attrelid, a.attnum"
    );
    let doing = "reading the columns of the heap tables";
    let mut sums: HashMap<Oid, Option<Sha256>> = HashMap::new();
    session
        .for_each_row(&sql, doing, |row| {
            let table = row.get(0).and_then(parse_oid);
            let table = table.ok_or_else(|| unexpected(session, doing, "a column without table"))?;
            let sum = sums.entry(table).or_insert_with(|| Some(Sha256::new()));
            let is_dropped = row.get(5) == Some("t");
            let labels = row.get(7).and_then(parse_oid).and_then(|oid| labels.get(&oid));
            if !is_dropped && !is_plain(row.get(7), row.get(8)) && labels.is_none() {
                *sum = None;
            }
            if let Some(sum) = sum {
                for field in 1..7 {
                    sum.update(row.get(field).unwrap_or_default());
                    sum.update([0]);
                }
                sum.update(labels.map(String::as_str).unwrap_or_default());
                sum.update([1]);
            }
            Ok(())
        })
        .await?;
    let known = sums.into_iter().filter_map(|(oid, sum)| Some((oid, short_hex(sum?))));
    Ok(known.collect())
}

fn is_plain(oid: Option<&str>, kind: Option<&str>) -> bool {
    let Some(Oid(oid)) = oid.and_then(parse_oid) else {
        return false;
    };
    match kind {
        Some("b") => !NOT_PLAIN.contains(&oid),
        // Ranges, and sets of them.
        Some("r" | "m") => oid < FIRST_USER_OID,
        _ => false,
    }
}

/// What is stored of an enum is the object id of its label, and a label can be renamed.
async fn read_enum_sums(session: &Session) -> Result<BTreeMap<Oid, String>, Error> {
    let sql = "SELECT e.enumtypid, e.oid, e.enumlabel FROM pg_catalog.pg_enum e ORDER BY e.enumtypid, e.oid";
    let mut sums: BTreeMap<Oid, Sha256> = BTreeMap::new();
    session
        .for_each_row(sql, "reading the labels of enum types", |row| {
            if let Some(kind) = row.get(0).and_then(parse_oid) {
                let sum = sums.entry(kind).or_default();
                sum.update(row.get(1).unwrap_or_default());
                sum.update([0]);
                sum.update(row.get(2).unwrap_or_default());
                sum.update([0]);
            }
            Ok(())
        })
        .await?;
    Ok(sums.into_iter().map(|(oid, sum)| (oid, short_hex(sum))).collect())
}

fn short_hex(sum: Sha256) -> String {
    sum.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}
