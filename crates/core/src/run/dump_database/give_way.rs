//! Statements of others that come between the locks of one dump.
//!
//! Several sessions of a dump lock the same tables: first the one that keeps them from being changed, then those of the cut,
//! then pg_dump's. A TRUNCATE, DROP or ALTER that comes in between waits for the first and stands in front of the next,
//! which the server makes wait behind it. None of the three would ever go on. So the dump gives its locks up, lets the
//! statement through, and takes another cut.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use tracing::{debug, info};

use super::{DumpContext, Sessions, ddl_names, selection};
use crate::db::{activity, locks, relations};
use crate::exec::dump_fleet::DumpFleet;
use crate::plan::filter::Selection;
use crate::run::refusal_of;
use crate::words::ids::Oid;
use crate::words::names::QualifiedName;
use crate::words::refusal::Refusal;

/// Statements that a message names.
const NAMED: usize = 3;

/// How often a dump has given way, and since when it takes cuts anew.
#[derive(Debug, Default)]
pub(super) struct GiveWay {
    times: u32,
    since: Option<Instant>,
}

impl GiveWay {
    pub(super) fn has_been(&self) -> bool {
        self.times > 0
    }

    /// Whether cuts have been taken anew for as long as allowed. The first question starts the clock.
    pub(super) fn is_over(&mut self, limit: Duration) -> bool {
        self.since.get_or_insert_with(Instant::now).elapsed() >= limit
    }

    /// Notes that it does, and says so; refuses when the time is over.
    pub(super) fn to(&mut self, whom: &[String], limit: Duration) -> Result<(), Refusal> {
        self.times += 1;
        let whom = whom.join("; ");
        if self.is_over(limit) {
            return Err(Refusal::failed(format!(
                "For {} s statements came between the locks of this dump, and were let through {} times; the last one: {whom}",
                limit.as_secs(),
                self.times
            ))
            .with_hint(
                "run the dump when fewer tables are made, changed, truncated or dropped; --lock-timeout says how long it is tried",
            ));
        }
        // Of hundreds, a few lines.
        if self.times.is_power_of_two() {
            info!(
                "A statement came between the locks of this dump and is let through, time {}: {whom}",
                self.times
            );
        } else {
            debug!("let through, time {}: {whom}", self.times);
        }
        Ok(())
    }
}

/// Asks who waits for a lock that keeps the tables from being changed.
pub(super) fn who_stands_between<'a>(
    context: &'a DumpContext<'_>,
    sessions: &'a Sessions,
) -> impl AsyncFn() -> Vec<String> + 'a {
    async move || {
        let dialect = &context.surroundings.dialect;
        let holder = sessions.snapshot.backend_pid();
        let found = locks::who_waits_for(sessions.onlooker(), dialect, holder, NAMED).await;
        // It is a question more: what comes of the cut without an answer is said there.
        found.unwrap_or_else(|error| {
            debug!("{}", crate::db::error_chain(&error));
            Vec::new()
        })
    }
}

/// Whether one of these tables is not there any more, or bears another name.
pub(super) async fn are_gone(
    context: &DumpContext<'_>,
    sessions: &Sessions,
    tables: &[(Oid, QualifiedName)],
) -> Result<bool, Refusal> {
    let now = relations::read_relations(&sessions.barrier, &context.surroundings.dialect).await;
    let now = now.map_err(|error| refusal_of(&error))?;
    let there: HashSet<(Oid, &QualifiedName)> = now.iter().map(|relation| (relation.oid, &relation.name)).collect();
    Ok(tables.iter().any(|(oid, name)| !there.contains(&(*oid, name))))
}

/// Gives up the locks and all that was written since they were taken, pg_dump's session included, and chooses the tables
/// anew. Segments that cannot give up are among the fleet's failures.
pub(super) async fn give_up_locks(
    context: &DumpContext<'_>,
    sessions: &Sessions,
    fleet: &mut DumpFleet,
) -> Result<Selection, Refusal> {
    let given_up = sessions.snapshot.run("ROLLBACK", "giving up a cut").await;
    given_up.map_err(|error| refusal_of(&error))?;
    super::external::give_up_snapshots(sessions).await?;
    fleet.reset().await;
    // The program is gone, and its server's process does not notice while it waits for a lock.
    let left = ddl_names(context.environment, sessions);
    let ended = activity::end_processes(&sessions.barrier, &context.surroundings.dialect, &[], Some(&left)).await;
    if let Err(error) = ended {
        debug!("{}", crate::db::error_chain(&error));
    }
    selection::select(context, &sessions.barrier).await
}
