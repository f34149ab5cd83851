//! `-j`, `-k`: VACUUM of the whole database, outside of any transaction.

use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::DumpContext;
use crate::db::error_chain;

/// False when it could not be done; the log says why. A signal ends it.
pub(super) async fn vacuum(context: &DumpContext<'_>, cancel: &CancellationToken) -> bool {
    let database = &context.database;
    info!("Commencing vacuum of {database} database, please wait");
    let failure = match context.address.open(database).await {
        Ok(session) => {
            let result = tokio::select! {
                result = session.run("VACUUM", "vacuuming the database") => result,
                () = cancel.cancelled() => {
                    session.abort().await;
                    return false;
                }
            };
            session.close().await;
            result.err()
        }
        Err(failure) => Some(failure),
    };
    match failure {
        None => {
            info!("Vacuum of {database} completed without error");
            true
        }
        Some(failure) => {
            error!("Error encountered with vacuum of {database} database");
            error!("{}", error_chain(&failure));
            false
        }
    }
}
