//! Rows between the segments and a storage, table after table, several sessions at a time.
//!
//! A session works inside one transaction that is never committed when it writes rows away: each helper table is made
//! behind a savepoint and taken back with it, and so goes whatever else comes of a table that fails.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use futures_util::future::join_all;

use crate::db::external::{self, Statements};
use crate::db::{Error, Session};
use crate::words::dialect::Dialect;
use crate::words::names::{QualifiedName, quote_literal};
use crate::words::secret::Secrets;

/// One table and what is said for it.
#[derive(Debug, Clone)]
pub struct ExternalJob {
    pub table: QualifiedName,
    pub statements: Statements,
    /// How many rows it must be; another number is taken back.
    pub expected: Option<u64>,
}

/// What came of a job.
#[derive(Debug)]
pub struct ExternalDone {
    /// In the list of jobs.
    pub at: usize,
    pub result: Result<u64, Failure>,
    pub milliseconds: u64,
}

/// Why the rows of a table did not go.
#[derive(Debug)]
pub enum Failure {
    /// Without any secret in it.
    Server(Error),
    /// Other rows came than must: this many.
    Count(u64),
    /// No session was left to do it with.
    NoSession(String),
}

impl Failure {
    /// `permission denied`, as the server codes it.
    pub fn is_denied(&self) -> bool {
        matches!(self, Failure::Server(error) if error.code() == Some("42501"))
    }

    pub fn text(&self) -> String {
        match self {
            Failure::Server(error) => crate::db::error_and_hint(error),
            Failure::Count(rows) => {
                format!("{rows} rows came, which is not what the manifest counts; none of them was kept")
            }
            Failure::NoSession(why) => format!("it was not tried: {why}"),
        }
    }
}

/// Whether the transaction of a table is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// All tables share one snapshot, and the database is left as it was.
    Nothing,
    /// Each table is a transaction of its own: its rows are in when it ends.
    Rows,
    /// Rows are counted and go nowhere.
    Count,
}

/// Opens the transaction of a session that writes rows away, and takes the snapshot of this name, or one of its own.
pub async fn open_snapshot(session: &Session, dialect: &Dialect, exported: Option<&str>) -> Result<(), Error> {
    let begin = format!(
        "BEGIN; SET TRANSACTION ISOLATION LEVEL {}",
        dialect.snapshot_isolation()
    );
    session.run(&begin, "opening the transaction").await?;
    if let Some(name) = exported {
        let sql = format!("SET TRANSACTION SNAPSHOT {}", quote_literal(name));
        session.run(&sql, "taking over the snapshot").await?;
    }
    session.one("SELECT 1", "taking the snapshot").await.map(drop)
}

/// Does all jobs and tells of each as soon as it is done. A session that breaks does no more; the others go on.
pub async fn run(
    sessions: &[Session],
    jobs: &[ExternalJob],
    keep: Keep,
    secrets: &Secrets,
    tell: impl Fn(&ExternalDone),
) -> Vec<ExternalDone> {
    let waiting: Mutex<VecDeque<usize>> = Mutex::new((0..jobs.len()).collect());
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let done: Mutex<Vec<ExternalDone>> = Mutex::new(Vec::new());
    let note = |one: ExternalDone| {
        tell(&one);
        done.lock().unwrap_or_else(PoisonError::into_inner).push(one);
    };
    let work = async |session: &Session| {
        while let Some(at) = next() {
            let started = Instant::now();
            let (result, is_usable) = one_table(session, &jobs[at], keep).await;
            let result = result.map_err(|failure| match failure {
                Failure::Server(error) => Failure::Server(external::hidden(error, secrets)),
                other => other,
            });
            note(ExternalDone {
                at,
                result,
                milliseconds: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            });
            if !is_usable {
                break;
            }
        }
    };
    join_all(sessions.iter().map(work)).await;
    while let Some(at) = next() {
        note(ExternalDone {
            at,
            result: Err(Failure::NoSession("all sessions were lost before".to_owned())),
            milliseconds: 0,
        });
    }
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|one| one.at);
    done
}

/// False when the session can do no more.
async fn one_table(session: &Session, job: &ExternalJob, keep: Keep) -> (Result<u64, Failure>, bool) {
    let (begin, give_up) = match keep {
        Keep::Nothing => ("SAVEPOINT gpcrondump_table", "ROLLBACK TO SAVEPOINT gpcrondump_table"),
        Keep::Rows | Keep::Count => ("BEGIN", "ROLLBACK"),
    };
    if let Err(error) = session.run(begin, "beginning with a table").await {
        return (Err(Failure::Server(error)), false);
    }
    let moved = move_rows(session, job, keep).await;
    let end = match (&moved, keep) {
        (Ok(_), Keep::Rows) => match session.run("COMMIT", "keeping the rows of a table").await {
            Ok(()) => return (moved, true),
            Err(error) => return (Err(Failure::Server(error)), false),
        },
        _ => session.run(give_up, "taking back the helper table").await,
    };
    let is_usable = end.is_ok();
    (moved, is_usable)
}

async fn move_rows(session: &Session, job: &ExternalJob, keep: Keep) -> Result<u64, Failure> {
    let doing = format!("making the external table for {}", job.table);
    let create = session.run(&job.statements.create, &doing).await;
    create.map_err(Failure::Server)?;
    let doing = format!("moving the rows of {}", job.table);
    let rows = match keep {
        Keep::Count => session.one(&job.statements.insert, &doing).await.and_then(|count| {
            let rows = count.as_deref().and_then(|text| text.parse().ok());
            rows.ok_or_else(|| Error::Unexpected {
                whom: session.whom().to_owned(),
                doing,
                what: format!("{count:?} as a number of rows"),
            })
        }),
        Keep::Nothing | Keep::Rows => session.change(&job.statements.insert, &doing).await,
    };
    let rows = rows.map_err(Failure::Server)?;
    if job.expected.is_some_and(|expected| expected != rows) {
        return Err(Failure::Count(rows));
    }
    if keep == Keep::Rows {
        // Within the transaction that made it: it is never in a catalog that others see.
        let drop = session.run(&job.statements.drop, "dropping the external table").await;
        drop.map_err(Failure::Server)?;
    }
    Ok(rows)
}
