//! What is told to end when the run is stopped, and what is said then.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::db::Session;
use crate::db::tls::Canceller;
use crate::words::refusal::Refusal;

/// Longest wait for servers to take cancel requests when the run is stopped.
const CANCEL_LIMIT: Duration = Duration::from_secs(3);

/// Statements to cancel when the run is stopped.
#[derive(Default)]
pub(super) struct Stops {
    tokens: Mutex<Vec<Canceller>>,
    /// Processes of the master that serve us.
    pids: Mutex<Vec<i32>>,
    /// The name of the database from the moment in which it is changed.
    changed: Mutex<Option<String>>,
}

impl Stops {
    pub(super) fn add(&self, session: &Session) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.push(session.canceller());
        let mut pids = self.pids.lock().unwrap_or_else(PoisonError::into_inner);
        pids.push(session.backend_pid());
    }

    /// Of sessions on the master.
    pub(super) fn pids(&self) -> Vec<i32> {
        self.pids.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn changing(&self, database: &str) {
        *self.changed.lock().unwrap_or_else(PoisonError::into_inner) = Some(database.to_owned());
    }

    pub(super) fn interrupted(&self) -> Refusal {
        let changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        match &*changed {
            None => Refusal::known("interrupted by a signal; nothing was changed"),
            Some(database) => Refusal::known(format!(
                "interrupted by a signal; queries were cancelled, and database {database} is not complete"
            )),
        }
    }

    pub(super) async fn cancel_all(&self) {
        let tokens = std::mem::take(&mut *self.tokens.lock().unwrap_or_else(PoisonError::into_inner));
        let asked = tokens.into_iter().map(Canceller::cancel);
        // A server that is gone must not hold us.
        let _ = tokio::time::timeout(CANCEL_LIMIT, futures_util::future::join_all(asked)).await;
    }
}
