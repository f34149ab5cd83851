//! The instant of a dump: locks, snapshots of all segments, DDL of the same moment.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tracing::{debug, warn};

use super::give_way::{self, GiveWay};
use super::increment::{self, Increment};
use super::prepare::Directories;
use super::selection::{self, ChosenTables};
use super::{DumpContext, Sessions, encoding, external, rights, states, streams};
use crate::db::catalog::DatabaseInfo;
use crate::db::locks::{LOCKING, LockMode, limit_lock_wait, lock_tables};
use crate::db::{Session, relations};
use crate::exec::cut::{self, CutLimits, LockedTables};
use crate::exec::dump_fleet::DumpFleet;
use crate::format::manifest::Consistency;
use crate::format::state::TableCounts;
use crate::plan::dump_request::{OutputStyle, RowStyle};
use crate::plan::filter::Selection;
use crate::run::refusal_of;
use crate::tools::pg_dump::{self, PgDump, RunningPgDump};
use crate::words::dialect::Dialect;
use crate::words::ids::{ContentId, Oid};
use crate::words::job::{LoginAs, RowForm, SegmentTarget, TableJob};
use crate::words::layout::{InstanceId, SetNames};
use crate::words::names::QualifiedName;
use crate::words::refusal::Refusal;
use crate::words::relation::Relation;
use crate::worker::protocol::DumpStart;

/// How often in a row the master may have tables in its catalog that cannot be locked: this is no DDL that happens to be
/// quick.
const MOST_GONE: u32 = 5;

/// How long pg_dump may take from its start to its snapshot.
const PG_DUMP_START_LIMIT: Duration = Duration::from_secs(10);

/// Everything that the moment of the cut fixes.
pub(super) struct CutState {
    pub(super) tables: ChosenTables,
    /// Those of the whole database.
    pub(super) all_tables: Vec<(Oid, QualifiedName)>,
    /// Those whose rows are copied, in the order of the data files.
    pub(super) dumped: Vec<Relation>,
    /// What an increment found out.
    pub(super) increment: Option<Increment>,
    /// Of a full dump, when the segments had to be asked.
    pub(super) counts: Option<TableCounts>,
    /// With `--external`: those whose rows the segments write away.
    pub(super) external: Vec<Relation>,
    pub(super) consistency: Consistency,
}

/// How the taking of snapshots ended.
pub(super) enum Snapshots {
    Open(Consistency, Box<RunningPgDump>),
    /// These wait for our locks, and stop us.
    Between(Vec<String>),
}

/// Locks, snapshots, DDL of one instant. `None` when a segment failed on the way: the fleet knows which and why.
pub(super) async fn take_cut(
    context: &DumpContext<'_>,
    sessions: &Sessions,
    fleet: &mut DumpFleet,
    (names, directories): (&SetNames, &Directories),
    database: &DatabaseInfo,
    mut selection: Selection,
    give_way: &mut GiveWay,
) -> Result<Option<(CutState, RunningPgDump)>, Refusal> {
    let dialect = &context.surroundings.dialect;
    let refuse = |error: crate::db::Error| refusal_of(&error);
    let rows_in = encoding::of_rows(context, &sessions.barrier, database).await?;
    for setting in dialect.dump_session_settings() {
        sessions
            .snapshot
            .run(&setting, "preparing the session")
            .await
            .map_err(refuse)?;
        sessions
            .barrier
            .run(&setting, "preparing the session")
            .await
            .map_err(refuse)?;
    }
    // Then the workers' sessions lock what ours has locked already.
    let is_one_server = {
        let cluster = &context.surroundings.cluster;
        cluster.is_streams() || cluster.is_single_server()
    };
    let limit = context.request.limits.lock;
    let mut gone = 0;
    loop {
        let mut expected = relations::read_relations(&sessions.barrier, dialect)
            .await
            .map_err(refuse)?;
        // Tables that no filter chose are neither locked nor looked at.
        let may_read = |relation: &Relation| rights::may_read(context, sessions, relation.oid);
        expected.retain(|relation| selection.has(relation.oid) && may_read(relation));
        let table_names: Vec<QualifiedName> = expected.iter().map(|relation| relation.name.clone()).collect();
        let mut dumped = match &context.base {
            Some(base) => increment::surely_dirty(context, base, &sessions.barrier, &expected).await?,
            None => expected.clone(),
        };
        let external = external::take_out(context, &sessions.barrier, &mut dumped).await?;
        let mut jobs = jobs_of(&dumped, &context.request.style);
        streams::assign(context, sessions, &dumped, &mut jobs).await?;
        debug!("{} tables are chosen", table_names.len());
        let asked = Instant::now();
        let locked = fleet.alongside(lock_for_dump(
            &sessions.snapshot,
            dialect,
            &table_names,
            lock_wait(context),
        ));
        let Some(locked) = locked.await else { return Ok(None) };
        if let Some(said) = locked? {
            gone += 1;
            if gone == MOST_GONE {
                return Err(cannot_be_locked(&said));
            }
            selection = selection::select(context, &sessions.barrier).await?;
            continue;
        }
        gone = 0;
        debug!("the tables are locked on the master");
        let locked_tables = LockedTables {
            names: &table_names,
            took: asked.elapsed(),
        };
        let start_of = |contents: &[ContentId]| DumpStart {
            dialect: dialect.clone(),
            login: LoginAs {
                user: context.address.login.user.clone(),
                database: context.database.clone(),
            },
            names: names.clone(),
            segments: contents
                .iter()
                .filter_map(|content| segment_target(context, directories, *content))
                .collect(),
            rsyncable: context.request.style.rsyncable,
            encoding: rows_in.clone(),
            names_in: names_in(&rows_in, &database.encoding).to_owned(),
            heap_states: context.request.incremental_heap,
            lock_wait_seconds: match is_one_server {
                true => second_lock_wait(dialect).as_secs(),
                false => lock_wait(context).as_secs(),
            },
            stream_hosts: streams::hosts(context),
        };
        fleet
            .start(start_of, &jobs, lock_wait(context) + Duration::from_secs(30))
            .await;
        if !fleet.all_well() && is_one_server && may_pass(&fleet.failures) && !give_way.is_over(limit) {
            selection = give_way::give_up_locks(context, sessions, fleet).await?;
            fleet.forget_failures();
            if !fleet.all_well() {
                return Ok(None);
            }
            continue;
        }
        if !fleet.all_well() {
            return Ok(None);
        }
        debug!("the tables are locked on the segments");
        let opened = match context.surroundings.cluster.is_streams() {
            true => streams::open_snapshots(context, sessions, fleet, database, locked_tables).await?,
            false => take_cut_of_segments(context, sessions, fleet, database, locked_tables).await?,
        };
        if !fleet.all_well() {
            return Ok(None);
        }
        let (consistency, pg_dump) = match opened {
            Snapshots::Open(consistency, pg_dump) => (consistency, *pg_dump),
            Snapshots::Between(whom) => {
                give_way.to(&whom, limit)?;
                selection = give_way::give_up_locks(context, sessions, fleet).await?;
                if !fleet.all_well() {
                    return Ok(None);
                }
                continue;
            }
        };
        // The list was read before the locks: a table that came in between would be in the DDL and not in the data.
        selection = selection::select(context, &sessions.snapshot).await?;
        let mut relations = relations::read_relations(&sessions.snapshot, dialect)
            .await
            .map_err(refuse)?;
        let all_tables = (relations.iter())
            .map(|relation| (relation.oid, relation.name.clone()))
            .collect();
        relations.retain(|relation| selection.has(relation.oid) && may_read(relation));
        if same_tables(&expected, &relations) {
            tell_about_cut(&consistency);
            let jobs = jobs_of(&relations, &context.request.style);
            let told = states::ask_segments(context, fleet, directories, &relations).await;
            if !fleet.all_well() {
                return Ok(None);
            }
            let (increment, counts) = match &context.base {
                Some(base) => {
                    let increment = increment::decide(context, base, sessions, fleet, &relations, &mut dumped, told);
                    (Some(increment.await?), None)
                }
                None => (None, told.counts),
            };
            debug!("the rows of {} tables are copied", dumped.len());
            let cut = CutState {
                tables: ChosenTables {
                    selection,
                    relations,
                    jobs,
                },
                all_tables,
                dumped,
                increment,
                counts,
                external,
                consistency,
            };
            return Ok(Some((cut, pg_dump)));
        }
        debug!("tables were created, altered or dropped in the moment before the cut; taking another one");
        drop(pg_dump);
        selection = give_way::give_up_locks(context, sessions, fleet).await?;
        if !fleet.all_well() {
            return Ok(None);
        }
        if give_way.is_over(limit) {
            return Err(Refusal::known(format!(
                "For {} s tables of database {} were created, altered or dropped faster than a snapshot of them can be taken",
                limit.as_secs(),
                context.database
            ))
            .with_hint("run the dump when no DDL runs; --lock-timeout says how long it is tried"));
        }
    }
}

fn cannot_be_locked(said: &str) -> Refusal {
    Refusal::known(format!(
        "Tables that the catalog of the master has could not be locked: {said}"
    ))
    .with_hint(
        "run the dump when no DDL runs; if none did, the catalogs of master and segments differ, and gpcheckcat says where",
    )
}

/// Takes the snapshots of all segments, under locks or without them.
async fn take_cut_of_segments(
    context: &DumpContext<'_>,
    sessions: &Sessions,
    fleet: &mut DumpFleet,
    database: &DatabaseInfo,
    tables: LockedTables<'_>,
) -> Result<Snapshots, Refusal> {
    let dialect = &context.surroundings.dialect;
    let mut pg_dump = None;
    let limits = CutLimits::new(context.request.cut_timeout, tables);
    let cut = cut::take(
        (&sessions.barrier, sessions.onlooker()),
        dialect,
        (tables.names, cut::Catalog::Locked),
        limits,
        give_way::who_stands_between(context, sessions),
        async || {
            // The master first: should there be no one cut, then what the master shows is on all segments by the time
            // they take theirs, and the states of tables never tell more than the rows that are copied.
            pg_dump = Some(open_master_snapshots(context, sessions, database).await?);
            fleet.open_snapshots(None).await;
            Ok::<(), Refusal>(())
        },
    )
    .await;
    match cut {
        Ok(consistency) => opened(consistency, pg_dump),
        Err(cut::Failure::Between(whom)) => Ok(Snapshots::Between(whom)),
        Err(cut::Failure::Lock(error)) => Err(refusal_of(&error)),
        Err(cut::Failure::Snapshots(refusal)) => Err(refusal),
    }
}

pub(super) fn opened(consistency: Consistency, pg_dump: Option<RunningPgDump>) -> Result<Snapshots, Refusal> {
    match pg_dump {
        Some(pg_dump) => Ok(Snapshots::Open(consistency, Box::new(pg_dump))),
        None => Err(Refusal::failed("pg_dump was not started")),
    }
}

/// Longest wait of a session for the lock on a table that the snapshot session has locked already: another session that
/// waits for a stronger lock stands between the two, and would wait for ever.
fn second_lock_wait(dialect: &Dialect) -> Duration {
    // Without a limit for locks it is one for the whole statement, with its 500 tables.
    Duration::from_secs(if dialect.has_lock_timeout() { 4 } else { 20 })
}

/// Whether another try may come further: a table went, or somebody stands between two locks. Said in a log that is asked for
/// everything.
fn may_pass(failures: &BTreeMap<ContentId, String>) -> bool {
    let is_lock = failures.values().all(|message| message.contains(LOCKING));
    for (content, message) in failures {
        debug!("segment {content}: {message}");
    }
    is_lock
}

/// The servers' own limit for a lock. Ours is shorter and can say who is in the way.
fn lock_wait(context: &DumpContext<'_>) -> Duration {
    let limits = context.request.limits;
    limits.lock + 3 * limits.first_question()
}

/// Opens the transaction that keeps the tables from being dropped. When one of them is gone already: what the server says.
pub(super) async fn lock_for_dump(
    session: &Session,
    dialect: &Dialect,
    tables: &[QualifiedName],
    longest: Duration,
) -> Result<Option<String>, Refusal> {
    let begin = format!(
        "BEGIN; SET TRANSACTION ISOLATION LEVEL {}",
        dialect.snapshot_isolation()
    );
    let lock = async {
        session.run(&begin, "opening the transaction").await?;
        limit_lock_wait(session, dialect, longest).await?;
        lock_tables(session, dialect, tables, LockMode::AccessShare).await?;
        limit_lock_wait(session, dialect, Duration::ZERO).await
    };
    match lock.await {
        Ok(()) => Ok(None),
        // undefined_table, invalid_schema_name
        Err(error) if matches!(error.code(), Some("42P01" | "3F000")) => {
            session
                .run("ROLLBACK", "giving up locks")
                .await
                .map_err(|error| refusal_of(&error))?;
            Ok(Some(crate::db::error_chain(&error)))
        }
        Err(error) => Err(refusal_of(&error)),
    }
}

/// Takes the master's snapshot and sees to it that pg_dump has one of the same instant.
pub(super) async fn open_master_snapshots(
    context: &DumpContext<'_>,
    sessions: &Sessions,
    database: &DatabaseInfo,
) -> Result<RunningPgDump, Refusal> {
    let dialect = &context.surroundings.dialect;
    let refuse = |error: crate::db::Error| refusal_of(&error);
    let mut dump = PgDump {
        program: pg_dump::find(context.environment.gphome.as_deref(), &context.environment.path)
            .map_err(|error| refusal_of(&error))?,
        libraries: context.environment.gphome.as_ref().map(|home| home.join("lib")),
        host: context
            .address
            .hosts
            .first()
            .cloned()
            .unwrap_or_else(|| "localhost".to_owned()),
        port: context.address.port,
        user: context.address.login.user.clone(),
        database: context.database.clone(),
        // DDL is UTF-8 wherever the server can convert; SQL_ASCII has no encoding to convert from.
        encoding: (database.encoding != "SQL_ASCII").then(|| "UTF8".to_owned()),
        snapshot: None,
        left_out: rights::left_out(sessions),
        options: pg_dump_options(&context.request.style, dialect),
        application_name: sessions.next_ddl_name(context.environment),
    };
    let around = context.surroundings;
    // Who goes through the master alone may be a role that is kept from it.
    let may_export = !around.cluster.is_streams() || around.shares_snapshots;
    if dialect.pg_dump_takes_snapshot() && may_export {
        let name = sessions
            .snapshot
            .one("SELECT pg_catalog.pg_export_snapshot()", "taking the snapshot")
            .await;
        dump.snapshot = name.map_err(refuse)?;
        return dump.start().map_err(|error| refusal_of(&error));
    }
    let mut running = dump.start().map_err(|error| refusal_of(&error))?;
    let deadline = tokio::time::Instant::now() + PG_DUMP_START_LIMIT;
    while !relations::has_read_catalog(sessions.onlooker(), dialect, &dump.application_name)
        .await
        .map_err(refuse)?
    {
        // It ran from its beginning to its end under the locks, or failed: who reads its text hears of that.
        if running.has_ended() {
            break;
        }
        if tokio::time::Instant::now() > deadline {
            return Err(Refusal::failed(format!(
                "pg_dump did not take its snapshot within {} s",
                PG_DUMP_START_LIMIT.as_secs()
            ))
            .with_hint("the master is very busy, or hangs: look at its load and its log, and run the dump again"));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // After pg_dump's: what this snapshot does not show, the DDL does not have.
    sessions
        .snapshot
        .one("SELECT 1", "taking the snapshot")
        .await
        .map_err(refuse)?;
    Ok(running)
}

/// The words that the server's program knows what we are asked for by.
fn pg_dump_options(style: &OutputStyle, dialect: &Dialect) -> Vec<&'static str> {
    let words = [
        (style.no_owner, "--no-owner"),
        (style.no_privileges, "--no-privileges"),
        (style.session_authorization, "--use-set-session-authorization"),
        (style.clean, "--clean"),
        (style.clean && dialect.pg_version.0 >= 90_400, "--if-exists"),
    ];
    words
        .iter()
        .filter(|(is_asked, _)| *is_asked)
        .map(|(_, word)| *word)
        .collect()
}

/// Rows that no server converts are in the encoding of the database, and so must be the names beside them.
fn names_in<'a>(rows_in: &'a str, database: &'a str) -> &'a str {
    if rows_in == "SQL_ASCII" { database } else { rows_in }
}

pub(super) fn same_tables(before: &[Relation], after: &[Relation]) -> bool {
    before.len() == after.len()
        && before.iter().zip(after).all(|(a, b)| {
            (
                a.oid,
                &a.name,
                &a.columns,
                &a.insert,
                &a.condition,
                a.distribution,
                a.root,
            ) == (
                b.oid,
                &b.name,
                &b.columns,
                &b.insert,
                &b.condition,
                b.distribution,
                b.root,
            )
        })
}

pub(super) fn tell_about_cut(consistency: &Consistency) {
    debug!(
        "one cut: {}, attempts: {}, waited: {} ms, held: {} ms",
        consistency.one_cut, consistency.attempts, consistency.waited_ms, consistency.held_ms
    );
    if let Some(note) = &consistency.note {
        warn!("The dump is not one cut across all segments: {note}");
        for line in &consistency.in_the_way {
            warn!("In the way: {line}");
        }
    }
}

pub(super) fn jobs_of(relations: &[Relation], style: &OutputStyle) -> Vec<TableJob> {
    let job_of = |relation: &Relation| TableJob {
        name: relation.name.clone(),
        // As pg_dump has it in its headers.
        owner: if style.no_owner {
            "-".to_owned()
        } else {
            relation.owner.clone()
        },
        columns: relation.columns.clone(),
        condition: relation.condition.clone(),
        form: form_of(relation, style.rows),
        stream: None,
    };
    relations.iter().map(job_of).collect()
}

fn form_of(relation: &Relation, style: RowStyle) -> RowForm {
    let inserts = |list_columns| RowForm::Inserts {
        shape: relation.insert.clone(),
        list_columns: list_columns || relation.insert.must_name_columns,
    };
    match style {
        // Rows chosen by a condition come out of a query, which has no object ids.
        RowStyle::CopyWithOids if relation.has_oids && relation.condition.is_none() => RowForm::CopyWithOids,
        RowStyle::Copy | RowStyle::CopyWithOids => RowForm::Copy,
        RowStyle::Inserts => inserts(false),
        RowStyle::ColumnInserts => inserts(true),
    }
}

pub(super) fn segment_target(
    context: &DumpContext<'_>,
    directories: &Directories,
    content: ContentId,
) -> Option<SegmentTarget> {
    let instance = context.surroundings.cluster.primary(content)?.clone();
    let id = InstanceId {
        content,
        dbid: instance.dbid,
    };
    Some(SegmentTarget {
        instance,
        id,
        directory: directories.segments.get(&content)?.clone(),
    })
}
