//! How often each append-optimized table was changed, and what was last done to it: what increments are decided by.
//!
//! Counters and operations are ordinary rows of ordinary heap tables, written by the transactions that change the tables:
//! read in a snapshot they are those of the snapshot.

use std::collections::HashSet;

use super::relations::{USER_SCHEMAS, parse_oid, unexpected};
use super::{Error, Session};
use crate::format::state::{LastOperation, ModCount, TableCounts};
use crate::words::dialect::{Dialect, PartitionCatalog};
use crate::words::ids::Oid;
use crate::words::names::QualifiedName;

/// Tables that are divided into partitions and so have no rows of their own: roots, and what is between them and the
/// leaves.
pub async fn read_partition_parents(session: &Session, dialect: &Dialect) -> Result<HashSet<Oid>, Error> {
    let sql = match dialect.partitions {
        // Parents of the declarative kind are no tables with rows in the first place.
        PartitionCatalog::None | PartitionCatalog::Declarative => return Ok(HashSet::new()),
        PartitionCatalog::PgPartitionRule => {
            "SELECT p.parrelid FROM pg_catalog.pg_partition p WHERE NOT p.paristemplate \
             UNION SELECT r.parchildrelid FROM pg_catalog.pg_partition_rule r \
             JOIN pg_catalog.pg_partition_rule c ON c.parparentrule = r.oid WHERE r.parchildrelid <> 0"
        }
    };
    let doing = "reading the partitioned tables";
    let mut parents = HashSet::new();
    session
        .for_each_row(sql, doing, |row| {
            let oid = row.get(0).and_then(parse_oid);
            parents.insert(oid.ok_or_else(|| unexpected(session, doing, "a partitioned table without oid"))?);
            Ok(())
        })
        .await?;
    Ok(parents)
}

/// Append-optimized tables read in one statement: with more the servers spend longer on planning than they save.
const COUNTERS_PER_QUERY: usize = 100;

/// Tables whose locks are given back together: to give back some, the server looks at all that the session holds.
const COUNTERS_PER_SAVEPOINT: usize = 2000;

/// How often each append-optimized table among the wanted ones was changed. On a server that keeps counters where the
/// rows are, `session` is one on a segment. Locks have to keep the wanted tables from being dropped.
pub async fn read_mod_counts(
    session: &Session,
    dialect: &Dialect,
    wanted: &HashSet<QualifiedName>,
) -> Result<TableCounts, Error> {
    let mut counts = TableCounts::default();
    if !dialect.has_appendonly {
        return Ok(counts);
    }
    let doing = "reading the list of append-optimized tables";
    let kind = if dialect.has_relstorage {
        "c.relstorage = 'c'"
    } else {
        "am.amname = 'ao_column'"
    };
    let am_join = if dialect.has_relstorage {
        ""
    } else {
        " JOIN pg_catalog.pg_am am ON am.oid = c.relam"
    };
    let sql = format!(
        "SELECT n.nspname, c.relname, {kind}, s.relname FROM pg_catalog.pg_appendonly a \
         JOIN pg_catalog.pg_class c ON c.oid = a.relid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_catalog.pg_class s ON s.oid = a.segrelid{am_join} \
         WHERE c.relkind = 'r' AND {USER_SCHEMAS} ORDER BY 1, 2"
    );
    let mut tables: Vec<(QualifiedName, bool, String)> = Vec::new();
    session
        .for_each_row(&sql, doing, |row| {
            let (Some(schema), Some(name), Some(column), Some(counters)) =
                (row.get(0), row.get(1), row.get(2), row.get(3))
            else {
                return Err(unexpected(session, doing, "a table without name or counters"));
            };
            let table = QualifiedName::new(schema, name);
            if wanted.contains(&table) {
                tables.push((table, column == "t", counters.to_owned()));
            }
            Ok(())
        })
        .await?;
    let doing = "reading modification counters";
    let on_segment = dialect.has_counters_on_segments();
    let together = if on_segment {
        COUNTERS_PER_SAVEPOINT
    } else {
        COUNTERS_PER_QUERY
    };
    for batch in tables.chunks(together) {
        let statements: Vec<String> = batch.chunks(COUNTERS_PER_QUERY).map(counters_sql).collect();
        let mut sql = statements.join("; ");
        // Gives back the locks on the counters: the tables themselves fill the lock table well enough. A master would
        // send the savepoint on to all segments.
        if on_segment {
            // Each of these tables is a page or two, and to start a process for them takes longer than to read them all.
            sql = format!(
                "SAVEPOINT counters; SET LOCAL max_parallel_workers_per_gather = 0; {sql}; \
                 ROLLBACK TO SAVEPOINT counters; RELEASE SAVEPOINT counters"
            );
        }
        let answers = session.rows(&sql, doing).await?;
        if answers.len() != batch.len() {
            return Err(unexpected(session, doing, "fewer counters than tables"));
        }
        for ((table, is_column, _), row) in batch.iter().zip(answers) {
            let count = row.get(1).and_then(|c| c.as_deref()).and_then(|c| c.parse().ok());
            let count = count.ok_or_else(|| unexpected(session, doing, &format!("no counter for {table}")))?;
            let list = if *is_column {
                &mut counts.columns
            } else {
                &mut counts.rows
            };
            list.push(ModCount {
                table: table.clone(),
                count,
            });
        }
    }
    Ok(counts)
}

/// One statement for some tables: their counters in the order of the tables.
fn counters_sql(tables: &[(QualifiedName, bool, String)]) -> String {
    let parts = tables.iter().enumerate().map(|(at, (_, _, counters))| {
        let counters = QualifiedName::new("pg_aoseg", counters.as_str()).sql();
        format!("SELECT {at} AS at, coalesce(sum(modcount::bigint), 0) FROM {counters}")
    });
    format!("{} ORDER BY at", parts.collect::<Vec<_>>().join(" UNION ALL "))
}

/// The last CREATE, ALTER and TRUNCATE of every append-optimized table, in the order of the original.
pub async fn read_last_operations(
    session: &Session,
    dialect: &Dialect,
    parents: &HashSet<Oid>,
) -> Result<Vec<LastOperation>, Error> {
    if !dialect.has_last_operation {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT n.nspname, c.relname, o.objid, o.staactionname, o.stasubtype, o.statime \
         FROM pg_catalog.pg_stat_last_operation o JOIN pg_catalog.pg_class c ON c.oid = o.objid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_catalog.pg_appendonly a ON a.relid = c.oid \
         WHERE o.classid = 'pg_catalog.pg_class'::regclass AND c.relkind = 'r' AND {USER_SCHEMAS} \
         AND o.staactionname IN ('CREATE', 'ALTER', 'TRUNCATE') ORDER BY o.objid, o.staactionname"
    );
    let mut operations = Vec::new();
    let doing = "reading the last operations";
    session
        .for_each_row(&sql, doing, |row| {
            let text = |i: usize| row.get(i).unwrap_or_default().to_owned();
            let oid = parse_oid(&text(2)).ok_or_else(|| unexpected(session, doing, "a table without oid"))?;
            if !parents.contains(&oid) {
                operations.push(LastOperation {
                    table: QualifiedName::new(text(0), text(1)),
                    oid,
                    action: text(3),
                    subtype: text(4),
                    moment: text(5),
                });
            }
            Ok(())
        })
        .await?;
    Ok(operations)
}
