//! What a restore asks and tells the server that it restores into.

use std::collections::HashMap;

use super::copy::{self, RowEncoding};
use super::distribution::FIRST_MADE;
use super::holders::Holders;
use super::relations::USER_SCHEMAS;
use super::{Error, Session};
use crate::words::dialect::{Dialect, DistributionCatalog, HashFamily, PartitionCatalog, Product};
use crate::words::names::{QualifiedName, quote_ident, quote_literal};
use crate::words::present::{Present, PresentKey, PresentRelation};
use crate::words::relation::{Distribution, KeyKind, TargetTable};

/// Whether there is a type of one of these kinds (a list of literals of `typtype`). The row type of a table is none that
/// anybody created.
pub async fn has_type(session: &Session, schema: &str, name: &str, kinds: &str) -> Result<bool, Error> {
    let sql = format!(
        "SELECT 1 FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace \
         LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid \
         WHERE n.nspname = {} AND t.typname = {} AND t.typtype IN ({kinds}) AND (c.oid IS NULL OR c.relkind = 'c')",
        quote_literal(schema),
        quote_literal(name)
    );
    Ok(session.one(&sql, "looking for a type").await?.is_some())
}

/// Whether there is a relation of this kind (`relkind`).
pub async fn has_relation(session: &Session, schema: &str, name: &str, kind: char) -> Result<bool, Error> {
    let sql = format!(
        "SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = {} AND c.relname = {} AND c.relkind = '{kind}'",
        quote_literal(schema),
        quote_literal(name)
    );
    Ok(session.one(&sql, "looking for a relation").await?.is_some())
}

/// Whether this is the statement that would give an extension the comment which it has.
pub async fn has_extension_comment(session: &Session, statement: &str) -> Result<bool, Error> {
    let sql = format!(
        "SELECT 1 FROM pg_catalog.pg_extension e WHERE {} = 'COMMENT ON EXTENSION ' || pg_catalog.quote_ident(e.extname) \
         || ' IS ' || pg_catalog.quote_literal(pg_catalog.obj_description(e.oid, 'pg_extension'))",
        quote_literal(statement)
    );
    Ok(session
        .one(&sql, "looking for the comment of an extension")
        .await?
        .is_some())
}

/// Whether tables can be compressed with quicklz: builds from open sources cannot.
pub async fn has_quicklz(session: &Session, dialect: &Dialect) -> Result<bool, Error> {
    if dialect.product == Product::Postgres {
        return Ok(false);
    }
    let sql = "SELECT count(*) FROM pg_catalog.pg_compression WHERE compname = 'quicklz'";
    let found = session.one(sql, "reading the kinds of compression").await?;
    Ok(found.as_deref() == Some("1"))
}

/// Every table that rows can be loaded into, with how it is spread.
pub async fn read_target_tables(session: &Session, dialect: &Dialect) -> Result<Vec<TargetTable>, Error> {
    let (policy, family, segments, join, key) = match dialect.distribution {
        DistributionCatalog::PolicyType => (
            "CASE WHEN p.policytype = 'r' THEN 'r' WHEN p.localoid IS NULL THEN 's' \
             WHEN p.distkey IS NULL OR p.distkey::text = '' THEN 'n' ELSE 'h' END",
            "CASE WHEN EXISTS (SELECT 1 FROM pg_catalog.pg_opclass o WHERE o.oid = ANY (p.distclass::oid[]) \
             AND o.opcname LIKE 'cdbhash%') THEN 'l' ELSE 'j' END",
            "p.numsegments",
            " LEFT JOIN pg_catalog.gp_distribution_policy p ON p.localoid = c.oid",
            Some("p.distkey::int2[]"),
        ),
        DistributionCatalog::Attrnums => (
            "CASE WHEN p.localoid IS NULL THEN 's' WHEN p.attrnums IS NULL THEN 'n' ELSE 'h' END",
            "'l'",
            "NULL",
            " LEFT JOIN pg_catalog.gp_distribution_policy p ON p.localoid = c.oid",
            Some("p.attrnums"),
        ),
        DistributionCatalog::None => ("'s'", "'n'", "NULL", "", None),
    };
    let (kind, kind_join) = match key {
        Some(key) => ("k.kind", kinds_of_keys(dialect, key)),
        None => ("NULL", String::new()),
    };
    let (root, root_join) = match dialect.partitions {
        PartitionCatalog::PgPartitionRule => (
            "rn.nspname, rc.relname",
            " LEFT JOIN pg_catalog.pg_partition_rule r ON r.parchildrelid = c.oid \
             LEFT JOIN pg_catalog.pg_partition rp ON rp.oid = r.paroid \
             LEFT JOIN pg_catalog.pg_class rc ON rc.oid = rp.parrelid \
             LEFT JOIN pg_catalog.pg_namespace rn ON rn.oid = rc.relnamespace",
        ),
        // Each partition has its own CREATE TABLE there, so it is found by its own name.
        PartitionCatalog::Declarative | PartitionCatalog::None => ("NULL, NULL", ""),
    };
    // Greenplum 6 and later copy into no parent in utility mode; the others have no such rule.
    let parent = if dialect.distribution == DistributionCatalog::PolicyType {
        "EXISTS (SELECT 1 FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid)"
    } else {
        "FALSE"
    };
    let sql = format!(
        "SELECT n.nspname, c.relname, {policy}, {family}, {segments}, {root}, {parent}, {kind} FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace{join}{root_join}{kind_join} \
         WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'gp_toolkit')"
    );
    let mut tables = Vec::new();
    session
        .for_each_row(&sql, "reading how the tables are distributed", |row| {
            if let (Some(schema), Some(name)) = (row.get(0), row.get(1)) {
                tables.push(TargetTable {
                    name: QualifiedName::new(schema, name),
                    root: row.get(5).zip(row.get(6)).map(|(s, n)| QualifiedName::new(s, n)),
                    distribution: match row.get(2) {
                        Some("r") => Distribution::Replicated,
                        Some("n") => Distribution::Random,
                        Some("h") => Distribution::Hashed,
                        _ => Distribution::Single,
                    },
                    hash_family: match row.get(3) {
                        Some("l") => HashFamily::Legacy,
                        Some("j") => HashFamily::Jump,
                        _ => HashFamily::None,
                    },
                    key: match row.get(8) {
                        None | Some("0") => KeyKind::Values,
                        Some("1") => KeyKind::Texts,
                        Some(_) => KeyKind::ObjectIds,
                    },
                    distributed_by: Vec::new(),
                    segments: row.get(4).and_then(|n| n.parse().ok()),
                    maybe_only_through_master: row.get(7) == Some("t"),
                });
            }
            Ok(())
        })
        .await?;
    Ok(tables)
}

/// Joins, as `k.kind`, what the columns that a table is hashed by are at worst: 0 values, 1 texts, 2 object ids.
fn kinds_of_keys(dialect: &Dialect, key: &str) -> String {
    // By the sort keys of such a collation a text is hashed, and the library that makes them has versions.
    let (collation, collation_join) = match dialect.pg_version.0 >= 120_000 {
        true => (
            " OR NOT co.collisdeterministic",
            " LEFT JOIN pg_catalog.pg_collation co ON co.oid = a.attcollation",
        ),
        false => ("", ""),
    };
    // A domain is hashed as what it is made of.
    format!(
        " LEFT JOIN (SELECT p.localoid AS relid, max(CASE \
           WHEN coalesce(b.oid, t.oid) >= {FIRST_MADE} OR coalesce(b.typname, t.typname) ~ '^_?reg'{collation} THEN 2 \
           WHEN coalesce(b.oid, t.oid) IN ({VALUES}) THEN 0 ELSE 1 END) AS kind \
         FROM pg_catalog.gp_distribution_policy p \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = p.localoid AND a.attnum = ANY ({key}) \
         JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
         LEFT JOIN pg_catalog.pg_type b ON b.oid = t.typbasetype AND t.typtype = 'd'{collation_join} \
         GROUP BY p.localoid) k ON k.relid = c.oid"
    )
}

/// Types that are hashed alike in every database, none of them of texts: bool, bytea, int8, int2, int4, oid, tid, xid, cid, cidr,
/// float4, float8, abstime, reltime, tinterval, money, macaddr, inet, date, time, timestamp, timestamptz, interval, timetz,
/// bit, varbit, numeric, macaddr8, uuid.
const VALUES: &str = "16, 17, 20, 21, 23, 26, 27, 28, 29, 650, 700, 701, 702, 703, 704, 790, 829, 869, 1082, 1083, 1114, 1184, \
     1186, 1266, 1560, 1562, 1700, 774, 2950";

/// Append-optimized tables, for [`update_ao_statistics`]; `None` where the server keeps these numbers itself.
pub async fn read_ao_tables(session: &Session, dialect: &Dialect) -> Result<Option<Vec<QualifiedName>>, Error> {
    let doing = "looking for append-optimized tables";
    let exists = session
        .one(
            "SELECT 1 FROM pg_catalog.pg_proc WHERE proname = 'gp_update_ao_master_stats'",
            doing,
        )
        .await?;
    if !dialect.has_relstorage || exists.is_none() {
        return Ok(None);
    }
    let sql = "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind = 'r' AND c.relstorage IN ('a', 'c') AND n.nspname !~ '^pg_' ORDER BY 1, 2";
    let rows = session.rows(sql, doing).await?;
    Ok(Some(
        rows.into_iter()
            .filter_map(|row| match <[_; 2]>::try_from(row) {
                Ok([Some(schema), Some(name)]) => Some(QualifiedName::new(schema, name)),
                _ => None,
            })
            .collect(),
    ))
}

/// Tells the master how many rows the segments have in these tables.
pub async fn update_ao_statistics(session: &Session, tables: &[QualifiedName]) -> Result<(), Error> {
    for table in tables {
        let sql = format!(
            "SELECT * FROM gp_update_ao_master_stats({})",
            quote_literal(&table.sql())
        );
        session.run(&sql, &format!("updating the row count of {table}")).await?;
    }
    Ok(())
}

/// Loads nothing into a table, through the master.
pub async fn copy_no_rows(session: &Session, table: &QualifiedName) -> Result<(), Error> {
    let doing = format!("loading no rows into {table}");
    let statement = copy::copy_in_statement(table, None);
    let sink = copy::copy_in(session, &RowEncoding::AsSession, &statement, &doing).await?;
    futures_util::pin_mut!(sink);
    sink.finish().await.map_err(|error| session.error(error, &doing))?;
    Ok(())
}

/// Others in a database: `process 123 of user u (address)`; at most `limit`.
pub async fn read_sessions_of(
    session: &Session,
    dialect: &Dialect,
    database: &str,
    limit: usize,
) -> Result<Vec<String>, Error> {
    let pid = Holders::of(dialect).pid();
    let sql = format!(
        "SELECT {pid}, usename, client_addr FROM pg_catalog.pg_stat_activity WHERE datname = {} \
         AND {pid} <> pg_backend_pid() ORDER BY {pid} LIMIT {limit}",
        quote_literal(database)
    );
    let rows = session.rows(&sql, "asking who is connected").await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let field = |at: usize| row.get(at).cloned().flatten();
            format!(
                "process {} of user {} ({})",
                field(0).unwrap_or_default(),
                field(1).unwrap_or_default(),
                field(2).unwrap_or_else(|| "local".to_owned())
            )
        })
        .collect())
}

/// True when there is a role of this name.
pub async fn role_exists(session: &Session, name: &str) -> Result<bool, Error> {
    let sql = format!(
        "SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = {}",
        quote_literal(name)
    );
    Ok(session.one(&sql, "looking for a role").await?.is_some())
}

/// What the database has of objects that a set may define. `sequences` are asked for their values as far as they are there.
pub async fn read_present(session: &Session, dialect: &Dialect, sequences: &[QualifiedName]) -> Result<Present, Error> {
    let doing = "reading what the database has";
    let mut present = Present::default();
    for row in session
        .rows("SELECT nspname FROM pg_catalog.pg_namespace", doing)
        .await?
    {
        present.schemas.extend(row.into_iter().next().flatten());
    }
    for row in session
        .rows("SELECT lanname FROM pg_catalog.pg_language", doing)
        .await?
    {
        present.languages.extend(row.into_iter().next().flatten());
    }
    if dialect.pg_version.0 >= 90100 {
        for row in session
            .rows("SELECT extname FROM pg_catalog.pg_extension", doing)
            .await?
        {
            present.extensions.extend(row.into_iter().next().flatten());
        }
    }
    let external = if dialect.has_relstorage {
        "c.relstorage = 'x'"
    } else {
        "c.relkind = 'f'"
    };
    let partitioned = match dialect.partitions {
        PartitionCatalog::PgPartitionRule => {
            "EXISTS (SELECT 1 FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_partition_rule r \
             ON r.parchildrelid = i.inhrelid WHERE i.inhparent = c.oid)"
        }
        PartitionCatalog::Declarative | PartitionCatalog::None => "c.relkind = 'p'",
    };
    let sql = format!(
        "SELECT n.nspname, c.relname, c.relkind, {external}, {partitioned} FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE {USER_SCHEMAS} AND c.relkind <> 't'"
    );
    session
        .for_each_row(&sql, doing, |row| {
            if let (Some(schema), Some(name), Some(kind)) = (row.get(0), row.get(1), row.get(2)) {
                let relation = PresentRelation {
                    is_table: matches!(kind, "r" | "p" | "f"),
                    external: row.get(3) == Some("t"),
                    partitioned: row.get(4) == Some("t"),
                };
                present.relations.insert(QualifiedName::new(schema, name), relation);
            }
            Ok(())
        })
        .await?;
    let sql = format!(
        "SELECT n.nspname, t.typname FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace \
         WHERE {USER_SCHEMAS}"
    );
    present.types.extend(names(session, &sql, doing).await?);
    let sql = format!(
        "SELECT n.nspname, p.proname, p.pronargs FROM pg_catalog.pg_proc p \
         JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE {USER_SCHEMAS}"
    );
    session
        .for_each_row(&sql, doing, |row| {
            if let (Some(schema), Some(name), Some(arguments)) = (row.get(0), row.get(1), row.get(2)) {
                let arguments = arguments.parse().unwrap_or_default();
                present.routines.insert((QualifiedName::new(schema, name), arguments));
            }
            Ok(())
        })
        .await?;
    let policies = match dialect.pg_version.0 >= 90500 {
        true => " UNION ALL SELECT polrelid, polname FROM pg_catalog.pg_policy",
        false => "",
    };
    let sql = format!(
        "SELECT n.nspname, c.relname, a.name FROM (SELECT conrelid AS relid, conname AS name FROM pg_catalog.pg_constraint \
         UNION ALL SELECT tgrelid, tgname FROM pg_catalog.pg_trigger \
         UNION ALL SELECT ev_class, rulename FROM pg_catalog.pg_rewrite{policies}) a \
         JOIN pg_catalog.pg_class c ON c.oid = a.relid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE {USER_SCHEMAS}"
    );
    session
        .for_each_row(&sql, doing, |row| {
            if let (Some(schema), Some(table), Some(name)) = (row.get(0), row.get(1), row.get(2)) {
                let table = QualifiedName::new(schema, table);
                present.attachments.insert((table, name.to_owned()));
            }
            Ok(())
        })
        .await?;
    present.foreign_keys = foreign_keys(session, doing).await?;
    present.sequence_values = sequence_values(session, &present, sequences).await?;
    Ok(present)
}

async fn names(session: &Session, sql: &str, doing: &str) -> Result<Vec<QualifiedName>, Error> {
    let rows = session.rows(sql, doing).await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| match <[_; 2]>::try_from(row) {
            Ok([Some(schema), Some(name)]) => Some(QualifiedName::new(schema, name)),
            _ => None,
        })
        .collect())
}

async fn foreign_keys(session: &Session, doing: &str) -> Result<Vec<PresentKey>, Error> {
    let sql = "SELECT k.conname, n.nspname, c.relname, rn.nspname, rc.relname FROM pg_catalog.pg_constraint k \
         JOIN pg_catalog.pg_class c ON c.oid = k.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_catalog.pg_class rc ON rc.oid = k.confrelid JOIN pg_catalog.pg_namespace rn ON rn.oid = rc.relnamespace \
         WHERE k.contype = 'f'";
    let rows = session.rows(sql, doing).await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| match <[_; 5]>::try_from(row) {
            Ok([Some(name), Some(schema), Some(table), Some(to_schema), Some(to)]) => Some(PresentKey {
                name,
                from: QualifiedName::new(schema, table),
                to: QualifiedName::new(to_schema, to),
            }),
            _ => None,
        })
        .collect())
}

async fn sequence_values(
    session: &Session,
    present: &Present,
    sequences: &[QualifiedName],
) -> Result<HashMap<QualifiedName, i64>, Error> {
    let mut values = HashMap::new();
    for sequence in sequences.iter().filter(|name| present.relations.contains_key(name)) {
        let sql = format!("SELECT last_value FROM {}", sequence.sql());
        let value = session.one(&sql, &format!("reading sequence {sequence}")).await?;
        if let Some(value) = value.and_then(|value| value.parse().ok()) {
            values.insert(sequence.clone(), value);
        }
    }
    Ok(values)
}

/// A table to be emptied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truncation {
    pub table: QualifiedName,
    /// With everything below it; else its own rows alone, whatever inherits from it.
    pub with_partitions: bool,
}

/// Empties tables, all or none.
pub async fn truncate(session: &Session, dialect: &Dialect, tables: &[Truncation]) -> Result<(), Error> {
    // Before 8.4 nothing below a table is emptied with it, but for partitions.
    let has_only = dialect.pg_version.0 >= 80400;
    let names: Vec<String> = tables
        .iter()
        .map(|one| match has_only && !one.with_partitions {
            true => format!("ONLY {}", one.table.sql()),
            false => one.table.sql(),
        })
        .collect();
    session
        .run(&format!("TRUNCATE TABLE {}", names.join(", ")), "emptying tables")
        .await
}

/// ANALYZE of one table.
pub async fn analyze(session: &Session, table: &QualifiedName) -> Result<(), Error> {
    session
        .run(&format!("ANALYZE {}", table.sql()), &format!("analyzing table {table}"))
        .await
}

/// Tables that ANALYZE of a database would look at: partitions are looked at with their table.
pub async fn read_analyzed_tables(session: &Session, dialect: &Dialect) -> Result<Vec<QualifiedName>, Error> {
    let not_a_part = match dialect.partitions {
        PartitionCatalog::PgPartitionRule => {
            " AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_partition_rule r WHERE r.parchildrelid = c.oid)"
        }
        PartitionCatalog::Declarative => " AND NOT c.relispartition",
        PartitionCatalog::None => "",
    };
    let has_rows = match dialect.has_relstorage {
        true => " AND c.relstorage IN ('h', 'a', 'c')",
        false => "",
    };
    let sql = format!(
        "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'm', 'p') AND {USER_SCHEMAS}{not_a_part}{has_rows} ORDER BY c.relpages DESC, 1, 2"
    );
    let mut tables = names(session, &sql, "looking for tables to analyze").await?;
    // Of the catalog those that grew with the restore.
    let catalogs = [
        "pg_class",
        "pg_attribute",
        "pg_type",
        "pg_proc",
        "pg_depend",
        "pg_index",
        "pg_constraint",
    ];
    tables.extend(catalogs.map(|name| QualifiedName::new("pg_catalog", name)));
    Ok(tables)
}

/// Makes a schema.
pub async fn create_schema(session: &Session, name: &str) -> Result<(), Error> {
    session
        .run(
            &format!("CREATE SCHEMA {}", quote_ident(name)),
            &format!("creating schema {name}"),
        )
        .await
}
