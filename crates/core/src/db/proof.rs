//! What tells that a table still holds what a restore has brought into it.

use std::collections::{BTreeSet, HashMap};

use super::holders::Holders;
use super::relations::USER_SCHEMAS;
use super::{Error, Session};
use crate::words::dialect::Dialect;
use crate::words::ids::Oid;
use crate::words::names::{QualifiedName, quote_literal};

/// The object id of a database; another of the same name has another.
pub async fn database_oid(session: &Session, database: &str) -> Result<Option<Oid>, Error> {
    let sql = format!(
        "SELECT oid FROM pg_catalog.pg_database WHERE datname = {}",
        quote_literal(database)
    );
    let oid = session.one(&sql, "looking for the database").await?;
    Ok(oid.and_then(|text| text.parse().ok()).map(Oid))
}

/// The object ids of the tables that can hold rows.
pub async fn table_oids(session: &Session) -> Result<HashMap<QualifiedName, Oid>, Error> {
    let sql = format!(
        "SELECT n.nspname, c.relname, c.oid FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND {USER_SCHEMAS}"
    );
    let mut oids = HashMap::new();
    session
        .for_each_row(&sql, "reading the object ids of the tables", |row| {
            let oid = row.get(2).and_then(|text| text.parse().ok());
            if let (Some(schema), Some(name), Some(oid)) = (row.get(0), row.get(1), oid) {
                oids.insert(QualifiedName::new(schema, name), Oid(oid));
            }
            Ok(())
        })
        .await?;
    Ok(oids)
}

/// The schemas that are there.
pub async fn schemas(session: &Session) -> Result<BTreeSet<String>, Error> {
    let rows = session.rows("SELECT nspname FROM pg_catalog.pg_namespace", "reading the schemas");
    Ok(rows
        .await?
        .into_iter()
        .filter_map(|row| row.into_iter().next().flatten())
        .collect())
}

/// Everything that has a name among tables, indexes, views and sequences.
pub async fn relation_names(session: &Session) -> Result<BTreeSet<QualifiedName>, Error> {
    let sql = format!(
        "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind <> 't' AND {USER_SCHEMAS}"
    );
    let mut names = BTreeSet::new();
    session
        .for_each_row(&sql, "reading what the database has", |row| {
            if let (Some(schema), Some(name)) = (row.get(0), row.get(1)) {
                names.insert(QualifiedName::new(schema, name));
            }
            Ok(())
        })
        .await?;
    Ok(names)
}

/// The rows of one table, without those of tables below it.
pub async fn count_rows(session: &Session, table: &QualifiedName) -> Result<u64, Error> {
    let doing = format!("counting the rows of {table}");
    let sql = format!("SELECT count(*) FROM ONLY {}", table.sql());
    let count = session.one(&sql, &doing).await?;
    // A server that counts answers with a number.
    Ok(count.and_then(|text| text.parse().ok()).unwrap_or(u64::MAX))
}

/// The rows of all copies of a replicated table; `None` for any other. A server that reads one gives those of one copy.
pub async fn count_copies(session: &Session, table: &QualifiedName, oid: Oid) -> Result<Option<u64>, Error> {
    let doing = format!("counting the copies of {table}");
    let sql = format!(
        "SELECT 1 FROM pg_catalog.gp_distribution_policy WHERE localoid = {} AND policytype = 'r'",
        oid.0
    );
    if session.one(&sql, &doing).await?.is_none() {
        return Ok(None);
    }
    let sql = format!(
        "SELECT pg_catalog.count(*) FROM gp_dist_random({})",
        quote_literal(&table.sql())
    );
    let count = session.one(&sql, &doing).await?;
    Ok(count.and_then(|text| text.parse().ok()))
}

/// Ends what an earlier run of the program has left in a database: sessions of its name that are older than this one. A server goes on
/// with a statement whose client was killed. Gives the number of those that are there still.
pub async fn end_older_sessions(
    session: &Session,
    dialect: &Dialect,
    database: &str,
    application_name: &str,
) -> Result<usize, Error> {
    let pid = Holders::of(dialect).pid();
    let sql = format!(
        "SELECT pg_catalog.pg_terminate_backend(a.{pid}) FROM pg_catalog.pg_stat_activity a WHERE a.datname = {} \
         AND a.application_name = {} AND a.backend_start < \
         (SELECT o.backend_start FROM pg_catalog.pg_stat_activity o WHERE o.{pid} = pg_catalog.pg_backend_pid())",
        quote_literal(database),
        quote_literal(application_name)
    );
    Ok(session.rows(&sql, "ending sessions of an earlier run").await?.len())
}
