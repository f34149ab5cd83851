//! Waiting for a server without a limit on its work, and yet not for ever: does it live, and does it wait for a lock?
//!
//! A long statement and a dead server look the same from here. So after a while the server is asked over a second
//! connection. It counts as alive when it says anything at all, "too many clients" included. What this cannot see is one
//! stuck backend of a server that is well; such a thing is not ended by us.

use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;
use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow};

use super::beneath::Beneath;
use super::connect::{Again, ConnectSpec, Session, Wire, connect};
use super::holders::{Holders, InTheWay};
use super::{Error, error_chain};
use crate::words::names::quote_literal;

/// What the second connection told.
enum Life {
    Working,
    /// Our backend waits for a lock.
    Waiting(InFront),
    /// Nobody listens there.
    Gone(Box<Error>),
    Silent(Box<Error>),
}

/// Who is in front of what is waited for, in words.
#[derive(Default)]
struct InFront {
    who: Vec<String>,
    /// One of them waits for a lock that the watched session holds: neither can go on.
    waits_for_us: bool,
}

/// Another program that works on the same server for the watched session.
#[derive(Debug, Clone, Copy)]
pub struct Program<'a> {
    /// Its sessions bear this name.
    pub application_name: &'a str,
    /// Whether to end with [`Error::Between`] when it waits behind a session that waits for ours.
    pub gives_way: bool,
}

/// Refusals in a row that are believed.
const GONE_TWICE: u32 = 2;

/// How soon it is asked for the first time whether another session stands between two of ours; then later and later.
const FIRST_LOOK: Duration = Duration::from_millis(500);

/// From a look that sees one to the look that confirms it: the other may give up by itself.
const SECOND_LOOK: Duration = Duration::from_millis(500);

/// Names of sessions that a message bears.
const BLOCKERS: usize = 3;

/// Locks of a whole cluster that a master may be made to gather for one question. It gathers all that there are.
const MOST_LOCKS: usize = 200_000;

/// See [`Session::watch`].
pub(super) async fn watch<T>(
    session: &Session,
    spec: &ConnectSpec,
    program: Option<Program<'_>>,
    doing: &str,
    work: impl Future<Output = T>,
) -> Result<T, Error> {
    tokio::pin!(work);
    // Rows that have arrived already must not cost a timer each.
    if let Poll::Ready(done) = futures_util::poll!(&mut work) {
        return Ok(done);
    }
    let limits = spec.login.limits;
    let name = program.map(|program| program.application_name);
    let mut waiting_since = None;
    let mut gone = 0;
    let gives_way = program.is_some_and(|program| program.gives_way);
    let mut stood_between = false;
    let mut pause = match gives_way {
        true => FIRST_LOOK.min(limits.first_question()),
        false => limits.first_question(),
    };
    loop {
        tokio::select! {
            done = &mut work => return Ok(done),
            () = tokio::time::sleep(pause) => {}
        }
        // An early look is for who stands between two of ours, on the master: it leaves the segments alone.
        let is_early = pause < limits.first_question();
        // Both at once: what the master tells of locks it has to ask its segments for.
        let beneath = async {
            let beneath = spec.beneath.as_ref().filter(|_| !is_early)?;
            beneath.silent(limits.silence, limits.first_question()).await
        };
        let question = ask(spec, session.backend_pid(), name, !is_early);
        let (life, silent_segment) = tokio::select! {
            done = &mut work => return Ok(done),
            both = async { tokio::join!(question, beneath) }.boxed() => both,
        };
        let stands_between = gives_way && matches!(&life, Life::Waiting(in_front) if in_front.waits_for_us);
        let again = std::mem::replace(&mut stood_between, stands_between);
        pause = match stands_between {
            true => SECOND_LOOK.min(limits.first_question()),
            false => (2 * pause).min(limits.first_question()),
        };
        match life {
            Life::Waiting(in_front) if again && stands_between => {
                return Err(Error::Between {
                    whom: session.whom().to_owned(),
                    doing: doing.to_owned(),
                    who: in_front.who,
                });
            }
            Life::Working => {
                waiting_since = None;
                gone = 0;
                if let Some(segment) = silent_segment {
                    session.canceller().cancel().await;
                    return Err(Error::Silent {
                        whom: segment,
                        doing: format!("{} waits for it, {doing}", session.whom()),
                        source: "a connection of our own to it was not answered either".into(),
                    });
                }
            }
            Life::Waiting(in_front) => {
                gone = 0;
                let since = *waiting_since.get_or_insert_with(Instant::now);
                // The server's own limit is a little longer: it could not say who is in the way.
                if since.elapsed() > limits.lock {
                    session.canceller().cancel().await;
                    return Err(Error::LockWait {
                        whom: session.whom().to_owned(),
                        doing: doing.to_owned(),
                        seconds: limits.lock.as_secs(),
                        blockers: in_front.who,
                    });
                }
            }
            // Two refusals within a second are less than two within many.
            Life::Gone(_) if is_early => {}
            Life::Gone(error) => {
                gone += 1;
                if gone >= GONE_TWICE {
                    return Err(silent(session, doing, &error));
                }
            }
            Life::Silent(error) => return Err(silent(session, doing, &error)),
        }
    }
}

fn silent(session: &Session, doing: &str, error: &Error) -> Error {
    Error::Silent {
        whom: session.whom().to_owned(),
        doing: doing.to_owned(),
        source: format!("asked over a second connection: {}", error_chain(error)).into(),
    }
}

async fn ask(spec: &ConnectSpec, backend_pid: i32, program: Option<&str>, asks_segments: bool) -> Life {
    let limit = spec.login.limits.silence;
    let Some(host) = spec.hosts.first() else {
        return Life::Working;
    };
    let beneath = spec.beneath.as_deref();
    let alone = beneath.and_then(|beneath| beneath.utility_setting.clone());
    let first = ConnectSpec {
        utility_setting: alone.clone().or_else(|| spec.utility_setting.clone()),
        ..spec.clone()
    };
    let wire = match connect(&first, host, limit).await {
        Ok(wire) => wire,
        Err(failed) => {
            return match failed.again {
                Again::FewTimes => Life::Gone(failed.error),
                // It spoke.
                Again::WhileTimeIsLeft => Life::Working,
                Again::Never if failed.is_answer => Life::Working,
                Again::Never => Life::Silent(failed.error),
            };
        }
    };
    let answer = tokio::time::timeout(limit, async {
        let mut in_front = who_is_waited_for(&wire, backend_pid, program).await?;
        // On the master alone nothing is seen of a lock that is waited for on a segment.
        if in_front.who.is_empty()
            && asks_segments
            && alone.is_some()
            && let Some(beneath) = beneath
            && are_few(&wire, beneath).await?
            && let Ok(wire) = connect(spec, host, limit).await
        {
            in_front = who_is_waited_for(&wire, backend_pid, program).await?;
            wire.driver.abort();
        }
        Ok::<_, tokio_postgres::Error>(in_front)
    });
    let answer = answer.await;
    wire.driver.abort();
    match answer {
        Ok(Ok(in_front)) if !in_front.who.is_empty() => Life::Waiting(in_front),
        // It took the connection a moment ago; should it have died since, the next question shows it.
        _ => Life::Working,
    }
}

/// Whether the locks of the whole cluster are few enough to be gathered: by those of the master, most of which each
/// segment has too, for the master's session and for a worker's.
async fn are_few(alone: &Wire, beneath: &Beneath) -> Result<bool, tokio_postgres::Error> {
    let messages = alone
        .client
        .simple_query("SELECT count(*) FROM pg_catalog.pg_locks")
        .await?;
    let count = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).and_then(|count| count.parse::<usize>().ok()),
        _ => None,
    });
    Ok(count.is_some_and(|count| count.saturating_mul(2 * beneath.count()) <= MOST_LOCKS))
}

fn in_words(row: &SimpleQueryRow) -> String {
    let line = InTheWay {
        process: row.get(0),
        user: row.get(1),
        query: row.get(2),
        table: row.get(3),
        lock: row.get(4),
    };
    line.to_string()
}

/// Who is in front of what our backend (or a program's) waits for. Nobody: it does not wait for a lock.
async fn who_is_waited_for(
    wire: &Wire,
    backend_pid: i32,
    program: Option<&str>,
) -> Result<InFront, tokio_postgres::Error> {
    let found = wire.client.simple_query(Holders::HAS_SESSIONS).await?;
    let holders = Holders {
        is_old: wire.is_old,
        has_sessions: found
            .iter()
            .any(|message| matches!(message, SimpleQueryMessage::Row(_))),
    };
    let whose = match program {
        None => format!("m.{} = {backend_pid}", holders.pid()),
        Some(name) => format!("m.application_name = {}", quote_literal(name)),
    };
    let sql = format!(
        "SELECT DISTINCT {}, a.usename, substr(a.{}, 1, 80), n.nspname || '.' || c.relname, \
         CASE WHEN h.granted THEN 'holds ' ELSE 'waits for ' END || h.mode, \
         CASE WHEN NOT h.granted AND EXISTS (SELECT 1 FROM pg_catalog.pg_locks o WHERE {}) THEN 1 ELSE 0 END \
         FROM pg_catalog.pg_locks w \
         LEFT JOIN pg_catalog.pg_class c ON c.oid = w.relation \
         LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_catalog.pg_locks h ON {} AND {} AND h.locktype = w.locktype \
           AND h.database IS NOT DISTINCT FROM w.database AND h.relation IS NOT DISTINCT FROM w.relation \
           AND h.transactionid IS NOT DISTINCT FROM w.transactionid AND h.objid IS NOT DISTINCT FROM w.objid \
         {} WHERE NOT w.granted AND {} ORDER BY 6 DESC, 5 LIMIT {BLOCKERS}",
        holders.process(),
        holders.query(),
        holders.is_held_by(backend_pid),
        holders.is_of_another_session(),
        Holders::conflicts(),
        holders.join(),
        holders.belongs_to(&whose)
    );
    let messages = wire.client.simple_query(&sql).await?;
    let mut in_front = InFront::default();
    for message in &messages {
        if let SimpleQueryMessage::Row(row) = message {
            in_front.who.push(in_words(row));
            in_front.waits_for_us |= row.get(5) == Some("1");
        }
    }
    Ok(in_front)
}
