//! What follows the data: row counts of append-optimized tables on the master, ANALYZE.

use crate::db::{Session, error_chain, target};
use crate::words::dialect::Dialect;
use crate::words::refusal::Refusal;

/// Refreshes what the master believes of append-optimized tables.
pub async fn update_ao_statistics(session: &Session, dialect: &Dialect) -> Result<(), Refusal> {
    tracing::info!("Updating AO/CO statistics on master");
    let failed = |error: crate::db::Error| {
        tracing::info!("Error updating ao statistics after restore");
        Refusal::failed(error_chain(&error))
    };
    let tables = target::read_ao_tables(session, dialect).await.map_err(failed)?;
    match tables {
        Some(tables) if !tables.is_empty() => target::update_ao_statistics(session, &tables).await.map_err(failed),
        _ => {
            tracing::info!("No AO/CO tables restored, skipping statistics update...");
            Ok(())
        }
    }
}

/// ANALYZE of the whole database; whether it was done.
pub async fn analyze_database(session: &Session, database: &str) -> bool {
    tracing::info!("Commencing analyze of {database} database, please wait");
    match session
        .run("ANALYZE", &format!("analyzing database \"{database}\""))
        .await
    {
        Ok(()) => {
            tracing::info!("Analyze of {database} completed without error");
            true
        }
        Err(error) => {
            tracing::warn!("Issue with analyze of {database} database");
            tracing::warn!("{}", error_chain(&error));
            false
        }
    }
}
