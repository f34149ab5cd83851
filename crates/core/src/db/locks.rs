//! Locks on tables: many names per statement, short waits, and words for who stands in the way.

use std::time::Duration;

use super::connect::Row;
use super::holders::{Holders, InTheWay};
use super::relations::name_tuples;
use super::{Error, Session};
use crate::words::dialect::Dialect;
use crate::words::names::QualifiedName;

/// Names in one LOCK statement.
const NAMES_PER_STATEMENT: usize = 500;

/// The lock modes that are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// Nobody may drop or alter the table; reading and writing go on.
    AccessShare,
    /// The same, and as whoever writes into it has it: nobody may make an index, either.
    RowExclusive,
    /// Nobody may write either.
    Share,
    /// Nobody but readers.
    Exclusive,
}

impl LockMode {
    fn sql(self) -> &'static str {
        match self {
            LockMode::AccessShare => "ACCESS SHARE",
            LockMode::RowExclusive => "ROW EXCLUSIVE",
            LockMode::Share => "SHARE",
            LockMode::Exclusive => "EXCLUSIVE",
        }
    }
}

/// Limits every following statement of the open transaction: a wait for a lock where the server knows such a limit,
/// the whole statement where it does not (Greenplum 5 has no `lock_timeout`).
pub async fn limit_lock_wait(session: &Session, dialect: &Dialect, limit: Duration) -> Result<(), Error> {
    let setting = if dialect.has_lock_timeout() {
        "lock_timeout"
    } else {
        "statement_timeout"
    };
    session
        .run(
            &format!("SET LOCAL {setting} = {}", limit.as_millis()),
            "limiting the wait for locks",
        )
        .await
}

/// How messages call the taking of a lock.
pub const LOCKING: &str = "locking ";

/// Takes the lock on every table, inside the open transaction of the session.
///
/// On Greenplum's master a LOCK reaches all segments.
pub async fn lock_tables(
    session: &Session,
    dialect: &Dialect,
    names: &[QualifiedName],
    mode: LockMode,
) -> Result<(), Error> {
    // Before 8.4 LOCK takes no ONLY and never descends to children.
    let only = if dialect.pg_version.0 >= 80400 { "ONLY " } else { "" };
    for batch in names.chunks(NAMES_PER_STATEMENT) {
        let list: Vec<String> = batch.iter().map(|name| format!("{only}{}", name.sql())).collect();
        let sql = format!("LOCK TABLE {} IN {} MODE", list.join(", "), mode.sql());
        let what = match batch {
            [name] => format!("table {name}"),
            _ => format!("{} tables", batch.len()),
        };
        let doing = format!("{LOCKING}{what} in {} mode", mode.sql());
        session.run(&sql, &doing).await?;
    }
    Ok(())
}

/// Who holds or waits for a lock on these tables that keeps others from getting SHARE: `table "a"."b": pid 123 (user,
/// state, query)`. Best effort, at most `limit` lines, for messages.
pub async fn who_is_in_the_way(
    session: &Session,
    dialect: &Dialect,
    names: &[QualifiedName],
    limit: usize,
) -> Result<Vec<String>, Error> {
    let holders = Holders::of(dialect);
    let mut lines = Vec::new();
    for batch in names.chunks(NAMES_PER_STATEMENT) {
        if lines.len() >= limit || batch.is_empty() {
            break;
        }
        let sql = format!(
            "SELECT DISTINCT n.nspname || '.' || c.relname, {}, 'holds ' || h.mode, a.usename, substr(a.{}, 1, 80) \
             FROM pg_catalog.pg_locks h JOIN pg_catalog.pg_class c ON c.oid = h.relation \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace {} \
             WHERE h.locktype = 'relation' AND h.granted AND h.pid <> pg_backend_pid() \
             AND h.mode NOT IN ('AccessShareLock', 'RowShareLock', 'ShareLock') \
             AND h.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()) \
             AND (n.nspname, c.relname) IN ({}) LIMIT {}",
            holders.process(),
            holders.query(),
            holders.join(),
            name_tuples(batch.iter()),
            limit - lines.len()
        );
        lines.extend(in_words(&session.rows(&sql, "asking who holds locks").await?));
    }
    Ok(lines)
}

/// Rows of table, process, lock, user and query.
fn in_words(rows: &[Row]) -> Vec<String> {
    let in_words = |row: &Row| {
        let field = |i: usize| row.get(i).and_then(|field| field.as_deref());
        let line = InTheWay {
            table: field(0),
            process: field(1),
            lock: field(2),
            user: field(3),
            query: field(4),
        };
        line.to_string()
    };
    rows.iter().map(in_words).collect()
}

/// Who waits for a lock that this process of the server holds: as [`who_is_in_the_way`] has them.
pub async fn who_waits_for(
    session: &Session,
    dialect: &Dialect,
    holder: i32,
    limit: usize,
) -> Result<Vec<String>, Error> {
    let holders = Holders::of(dialect);
    let sql = format!(
        "SELECT DISTINCT n.nspname || '.' || c.relname, {}, 'waits for ' || h.mode, a.usename, substr(a.{}, 1, 80) \
         FROM pg_catalog.pg_locks h LEFT JOIN pg_catalog.pg_class c ON c.oid = h.relation \
         LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace {} \
         WHERE h.locktype = 'relation' AND NOT h.granted AND h.mode = 'AccessExclusiveLock' \
         AND EXISTS (SELECT 1 FROM pg_catalog.pg_locks o WHERE {}) LIMIT {limit}",
        holders.process(),
        holders.query(),
        holders.join(),
        holders.is_held_by(holder),
    );
    Ok(in_words(&session.rows(&sql, "asking who waits for locks").await?))
}
