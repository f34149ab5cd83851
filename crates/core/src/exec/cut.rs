//! One cut across all segments: the instant in which every snapshot of a dump is taken.
//!
//! All writes go through the master and hold ROW EXCLUSIVE or more there until their commit has reached every segment.
//! So while the master holds SHARE on the tables of the dump nothing is half committed, and snapshots taken then agree.
//! The lock is asked for with short waits and given back when it is not had at once, so that no writer queues long
//! behind it; when it cannot be had in the time allowed, the snapshots are taken without it and the dump says so.

use std::time::{Duration, Instant};

use crate::db::locks::{LockMode, limit_lock_wait, lock_tables, who_is_in_the_way};
use crate::db::{self, Session};
use crate::format::manifest::Consistency;
use crate::words::dialect::Dialect;
use crate::words::names::QualifiedName;

/// How hard to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutLimits {
    /// How long to try in all.
    pub total: Duration,
    /// Longest wait for one LOCK statement: a writer queues behind us no longer than this while we queue behind another.
    pub lock_wait: Duration,
    /// Longest time from the first lock to the release of all: with the wait above, the bound for every writer.
    pub attempt: Duration,
}

/// The tables of a dump, locked so that nobody drops them.
#[derive(Debug, Clone, Copy)]
pub struct LockedTables<'a> {
    pub names: &'a [QualifiedName],
    /// How long the locks took, waits for others included: the locks of the cut take as long on this server.
    pub took: Duration,
}

impl CutLimits {
    /// The limits for a run that may try for `total`. One attempt has 2 s and what taking as many locks has taken, half as
    /// much again, but no less than 0.1 ms and no more than 1 ms a table: that some lock was waited for says nothing.
    pub fn new(total: Duration, tables: LockedTables<'_>) -> Self {
        let count = u32::try_from(tables.names.len()).unwrap_or(u32::MAX);
        let (least, most) = (Duration::from_micros(100) * count, Duration::from_millis(1) * count);
        CutLimits {
            total,
            lock_wait: Duration::from_millis(250),
            attempt: Duration::from_secs(2) + (tables.took * 3 / 2).clamp(least, most),
        }
    }
}

/// Pauses between attempts: long enough for the one in the way to end, and for those behind us to get through.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// Lines about who is in the way that a message can bear.
const IN_THE_WAY_LINES: usize = 10;

/// Why no snapshots could be taken at all.
#[derive(Debug)]
pub enum Failure<E> {
    Lock(db::Error),
    /// Sessions that wait for us stand in front of the lock: who.
    Between(Vec<String>),
    Snapshots(E),
}

/// Whether `pg_class` is locked too, so that no table comes or goes while the snapshots are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Catalog {
    Locked,
    /// For a role that may lock no catalog: tables may come and go, and are looked at again afterwards.
    Open,
}

/// Takes the lock, runs `open_snapshots`, releases. `barrier` is a session of its own on the master; `onlooker` looks who is
/// in the way. When the lock is not had a second time, `stand_between` is asked who waits for our other locks, and thereby
/// stops us: then the caller has to give those up.
///
/// `open_snapshots` is run exactly once: under the lock, or without it when the lock cannot be had; it has its own limits.
pub async fn take<E, F, B>(
    (barrier, onlooker): (&Session, &Session),
    dialect: &Dialect,
    (tables, catalog): (&[QualifiedName], Catalog),
    limits: CutLimits,
    stand_between: B,
    open_snapshots: F,
) -> Result<Consistency, Failure<E>>
where
    F: AsyncFnOnce() -> Result<(), E>,
    B: AsyncFn() -> Vec<String>,
{
    let started = Instant::now();
    let mut consistency = Consistency::default();
    let mut pause = FIRST_PAUSE;
    let mut order = tables.to_vec();
    let reason = loop {
        consistency.attempts += 1;
        let asked = Instant::now();
        match tokio::time::timeout(limits.attempt, lock_all(barrier, dialect, &order, catalog, limits)).await {
            Ok(Ok(())) => {
                consistency.waited_ms = millis(started);
                let opened = open_snapshots().await;
                // The lock goes first, whatever came of the snapshots.
                let released = barrier.run("ROLLBACK", "releasing the locks of the cut").await;
                consistency.held_ms = millis(asked);
                opened.map_err(Failure::Snapshots)?;
                released.map_err(Failure::Lock)?;
                consistency.one_cut = true;
                return Ok(consistency);
            }
            Ok(Err(error)) if error.is_timeout() => {}
            Ok(Err(error)) if error.is_out_of_locks() => {
                let _ = barrier.run("ROLLBACK", "giving up the locks of the cut").await;
                break format!("the server has no room for locks on {} tables ({error})", tables.len());
            }
            Ok(Err(error)) => {
                let _ = barrier.run("ROLLBACK", "giving up the locks of the cut").await;
                return Err(Failure::Lock(error));
            }
            Err(_) => {
                barrier.canceller().cancel().await;
            }
        }
        // Fails when the statement was cancelled and the server has ended the transaction already: that is as good.
        let _ = barrier.run("ROLLBACK", "giving up the locks of the cut").await;
        // Once is no more than a writer that is quick; and who waits only for a moment has gone by the second time.
        if consistency.attempts > 1 {
            let between = stand_between().await;
            if !between.is_empty() {
                return Err(Failure::Between(between));
            }
        }
        if started.elapsed() + pause >= limits.total {
            break format!("no moment without writers was found in {} s", limits.total.as_secs());
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        // Who writes several tables in one transaction may come to them in another order than we: it waits for one that we
        // have locked, we for one that it has, and in the same order it would be so as often as we try. All is well as soon
        // as the first table of such transactions is the first of them for us too.
        match consistency.attempts {
            1 => order.reverse(),
            _ => fastrand::shuffle(&mut order),
        }
    };
    consistency.waited_ms = millis(started);
    let mut watched = vec![QualifiedName::new("pg_catalog", "pg_class")];
    watched.extend_from_slice(tables);
    consistency.in_the_way = who_is_in_the_way(onlooker, dialect, &watched, IN_THE_WAY_LINES)
        .await
        .unwrap_or_default();
    consistency.note = Some(format!(
        "{reason}: the segments' snapshots were taken one after the other, and a transaction that committed in between \
         may be in the dump of one segment and not of another"
    ));
    open_snapshots().await.map_err(Failure::Snapshots)?;
    Ok(consistency)
}

async fn lock_all(
    barrier: &Session,
    dialect: &Dialect,
    tables: &[QualifiedName],
    catalog: Catalog,
    limits: CutLimits,
) -> Result<(), db::Error> {
    barrier.run("BEGIN", "opening the transaction of the cut").await?;
    limit_lock_wait(barrier, dialect, limits.lock_wait).await?;
    // First, so that the list of tables cannot grow while its locks are taken.
    if catalog == Catalog::Locked {
        barrier
            .run("LOCK TABLE pg_catalog.pg_class IN EXCLUSIVE MODE", "locking pg_class")
            .await?;
    }
    lock_tables(barrier, dialect, tables, LockMode::Share).await?;
    // Before 9.3 the limit is one for statements of all kinds, and pg_locks is slow when thousands of tables are locked.
    limit_lock_wait(barrier, dialect, limits.attempt).await
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_lasts_as_long_as_locks_take_on_this_server() {
        let names = vec![QualifiedName::new("s", "t"); 10_000];
        let attempt = |took| {
            let names = &names;
            CutLimits::new(Duration::from_secs(300), LockedTables { names, took }).attempt
        };
        assert_eq!(attempt(Duration::from_millis(20)), Duration::from_secs(3));
        assert_eq!(attempt(Duration::from_secs(4)), Duration::from_secs(8));
        assert_eq!(attempt(Duration::from_secs(600)), Duration::from_secs(12));
    }
}
