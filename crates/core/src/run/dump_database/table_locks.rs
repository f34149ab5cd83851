//! The tables of a cut: listed, and locked by all sessions that read them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tracing::debug;

use super::prepare::Directories;
use super::{DumpContext, Sessions, external, increment, rights, streams};
use crate::db::locks::{LOCKING, LockMode, limit_lock_wait, lock_tables};
use crate::db::{Session, error_chain, relations};
use crate::exec::dump_fleet::DumpFleet;
use crate::plan::dump_request::{OutputStyle, RowStyle};
use crate::plan::filter::Selection;
use crate::run::refusal_of;
use crate::words::dialect::Dialect;
use crate::words::ids::ContentId;
use crate::words::job::{LoginAs, RowForm, SegmentTarget, TableJob};
use crate::words::layout::{InstanceId, SetNames};
use crate::words::names::QualifiedName;
use crate::words::refusal::Refusal;
use crate::words::relation::Relation;
use crate::worker::protocol::DumpStart;

/// The chosen tables as they were before they were locked.
pub(super) struct Listed {
    /// Those with rows.
    pub(super) relations: Vec<Relation>,
    /// Their names.
    pub(super) names: Vec<QualifiedName>,
    /// Those whose rows go into the data files: of an increment only those that it copies in any case.
    pub(super) dumped: Vec<Relation>,
    /// With `--external`: those whose rows the segments write away.
    pub(super) external: Vec<Relation>,
    jobs: Vec<TableJob>,
}

/// How the locking ended.
pub(super) enum Locking {
    /// After so long on the master.
    Done(Duration),
    /// A table went, or somebody stands between two locks: what was said.
    Again(String),
    /// The fleet knows where and why.
    Failed,
}

/// Encodings of a dump.
pub(super) struct Encodings<'a> {
    pub(super) rows: String,
    pub(super) database: &'a str,
}

impl Encodings<'_> {
    /// Rows that no server converts are in the encoding of the database, and so must be the names beside them.
    fn names(&self) -> &str {
        match self.rows.as_str() {
            "SQL_ASCII" => self.database,
            rows => rows,
        }
    }
}

/// Tables that no filter chose are neither locked nor looked at.
pub(super) fn choose(context: &DumpContext<'_>, sessions: &Sessions, selection: &Selection, all: &mut Vec<Relation>) {
    all.retain(|relation| selection.has(relation.oid) && rights::may_read(context, sessions, relation.oid));
}

pub(super) async fn list(
    context: &DumpContext<'_>,
    sessions: &Sessions,
    selection: &Selection,
) -> Result<Listed, Refusal> {
    let read = relations::read_relations(&sessions.barrier, &context.surroundings.dialect).await;
    let mut relations = read.map_err(|error| refusal_of(&error))?;
    choose(context, sessions, selection, &mut relations);
    let mut dumped = match &context.base {
        Some(base) => increment::surely_dirty(context, base, &sessions.barrier, &relations).await?,
        None => relations.clone(),
    };
    let external = external::take_out(context, &sessions.barrier, &mut dumped).await?;
    let mut jobs = jobs_of(&dumped, &context.request.style);
    streams::assign(context, sessions, &dumped, &mut jobs).await?;
    debug!("{} tables are chosen", relations.len());
    Ok(Listed {
        names: relations.iter().map(|relation| relation.name.clone()).collect(),
        relations,
        dumped,
        external,
        jobs,
    })
}

/// Opens the transactions that keep the tables from being changed: on the master first, then on the segments.
pub(super) async fn lock(
    context: &DumpContext<'_>,
    sessions: &Sessions,
    fleet: &mut DumpFleet,
    (names, directories): (&SetNames, &Directories),
    encodings: &Encodings<'_>,
    listed: &Listed,
) -> Result<Locking, Refusal> {
    let dialect = &context.surroundings.dialect;
    let longest = lock_wait(context);
    let asked = Instant::now();
    let locked = fleet.alongside(lock_for_dump(&sessions.snapshot, dialect, &listed.names, longest));
    let Some(locked) = locked.await else {
        return Ok(Locking::Failed);
    };
    if let Some(said) = locked? {
        return Ok(Locking::Again(said));
    }
    let took = asked.elapsed();
    debug!("the tables are locked on the master");
    // On one server the workers' sessions lock what ours has locked already.
    let cluster = &context.surroundings.cluster;
    let is_one_server = cluster.is_streams() || cluster.is_single_server();
    let segment_wait = match is_one_server {
        true => second_lock_wait(dialect),
        false => longest,
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
        encoding: encodings.rows.clone(),
        names_in: encodings.names().to_owned(),
        heap_states: context.request.incremental_heap,
        lock_wait_seconds: segment_wait.as_secs(),
        stream_hosts: streams::hosts(context),
    };
    fleet
        .start(start_of, &listed.jobs, longest + Duration::from_secs(30))
        .await;
    if fleet.all_well() {
        debug!("the tables are locked on the segments");
        return Ok(Locking::Done(took));
    }
    match is_one_server && may_pass(&fleet.failures) {
        true => Ok(Locking::Again(String::new())),
        false => Ok(Locking::Failed),
    }
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

/// Longest wait of a session for the lock on a table that the snapshot session has locked already: another session that
/// waits for a stronger lock stands between the two, and would wait for ever.
fn second_lock_wait(dialect: &Dialect) -> Duration {
    // Without a limit for locks it is one for the whole statement, with its 500 tables.
    Duration::from_secs(if dialect.has_lock_timeout() { 4 } else { 20 })
}

/// Opens the transaction that keeps the tables from being dropped. When one of them is gone already: what the server says.
async fn lock_for_dump(
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
        Err(error) if matches!(error.code(), Some("42P01" | "3F000")) => Ok(Some(error_chain(&error))),
        Err(error) => Err(refusal_of(&error)),
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

fn segment_target(context: &DumpContext<'_>, directories: &Directories, content: ContentId) -> Option<SegmentTarget> {
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
