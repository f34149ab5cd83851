//! What follows the data: row counts of append-optimized tables on the master, ANALYZE.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::db::{Session, error_chain, target};
use crate::words::dialect::Dialect;
use crate::words::names::QualifiedName;
use crate::words::refusal::Refusal;

/// Refreshes what the master believes of append-optimized tables; `only`: of these.
pub async fn update_ao_statistics(
    session: &Session,
    dialect: &Dialect,
    only: Option<&BTreeSet<QualifiedName>>,
) -> Result<(), Refusal> {
    tracing::info!("Updating AO/CO statistics on master");
    let failed = |error: crate::db::Error| {
        tracing::info!("Error updating ao statistics after restore");
        Refusal::failed(error_chain(&error))
    };
    let mut tables = target::read_ao_tables(session, dialect).await.map_err(failed)?;
    if let (Some(tables), Some(only)) = (&mut tables, only) {
        tables.retain(|table| only.contains(table));
    }
    match tables {
        Some(tables) if !tables.is_empty() => target::update_ao_statistics(session, &tables).await.map_err(failed),
        _ => {
            tracing::info!("No AO/CO tables restored, skipping statistics update...");
            Ok(())
        }
    }
}

/// Moves the master's counters of changes without counting rows, as the original does by the COPY of no rows that its
/// files have: the next incremental dump sees that these tables were loaded.
pub async fn touch_ao_tables(
    session: &Session,
    dialect: &Dialect,
    only: Option<&BTreeSet<QualifiedName>>,
) -> Result<(), Refusal> {
    let failed = |error: crate::db::Error| Refusal::failed(error_chain(&error));
    let tables = target::read_ao_tables(session, dialect).await.map_err(failed)?;
    let is_wanted = |table: &&QualifiedName| only.is_none_or(|only| only.contains(*table));
    for table in tables.iter().flatten().filter(is_wanted) {
        target::copy_no_rows(session, table).await.map_err(failed)?;
    }
    Ok(())
}

/// ANALYZE of the whole database, in all sessions; a sentence for each table that could not be.
pub async fn analyze_database(sessions: &[&Session], dialect: &Dialect, database: &str) -> Vec<String> {
    tracing::info!("Commencing analyze of {database} database, please wait");
    let tables = match sessions.first() {
        Some(session) => target::read_analyzed_tables(session, dialect).await,
        None => Ok(Vec::new()),
    };
    let errors = match tables {
        Ok(tables) => analyze(sessions, &tables).await,
        Err(error) => vec![error_chain(&error)],
    };
    match errors.is_empty() {
        true => tracing::info!("Analyze of {database} completed without error"),
        false => tracing::warn!("Issue with analyze of {database} database"),
    }
    errors
}

/// ANALYZE of these tables; a sentence for each that could not be.
pub async fn analyze_tables(sessions: &[&Session], database: &str, tables: &[QualifiedName]) -> Vec<String> {
    tracing::info!("Commencing analyze of restored tables in '{database}' database, please wait");
    let errors = analyze(sessions, tables).await;
    if errors.is_empty() {
        tracing::info!("'Analyze' of restored tables in '{database}' database completed without error");
    } else {
        tracing::warn!("Restore of '{database}' database succeeded but 'ANALYZE' of restored tables failed");
        tracing::warn!(
            "Please run ANALYZE manually on restored tables. Failure to run ANALYZE might result in poor database \
             performance"
        );
    }
    errors
}

/// Each session takes one table after the other.
async fn analyze(sessions: &[&Session], tables: &[QualifiedName]) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let workers = sessions.iter().map(|session| async {
        let mut errors = Vec::new();
        while let Some(table) = tables.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = target::analyze(session, table).await {
                errors.push(error_chain(&error));
            }
        }
        errors
    });
    futures_util::future::join_all(workers).await.concat()
}
