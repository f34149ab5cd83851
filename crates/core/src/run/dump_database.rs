//! One database into one set: gather, take the cut, copy, check, give names, tell.
//!
//! The order of a run is the original's (`gpcrondump.md` 2.10); what makes a set whole is ours: nothing has a final name
//! before every segment is finished, and the manifest is written when everything else is on disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::dump_lines::{self, DASH};
use super::{interrupted, refusal_of};
use crate::db::catalog::{self, DatabaseInfo};
use crate::db::locks::{LockMode, limit_lock_wait, lock_tables};
use crate::db::{Session, relations};
use crate::exec::cut::{self, CutLimits};
use crate::exec::dump_fleet::DumpFleet;
use crate::exec::fanout::{Fleet, HostSegments};
use crate::exec::history::{self, HistoryRow, HistoryTable};
use crate::exec::master_files::{MasterFiles, MasterTexts};
use crate::format::cdatabase::DatabaseFacts;
use crate::format::database_acl;
use crate::format::ddl_split::{self, MovedLeaf, SplitInput};
use crate::format::manifest::{self, Consistency, InstanceFiles, Manifest, ServerFacts, TableFacts};
use crate::format::report::{self, BackupReport, BackupType};
use crate::format::state;
use crate::format::status::{self, Agent, Level};
use crate::gather::cluster::{MasterAddress, Surroundings};
use crate::launch::Launcher;
use crate::plan::dump_request::{DiskCheck, DumpRequest};
use crate::tools::pg_dump::{self, PgDump, RunningPgDump};
use crate::words::dialect::Dialect;
use crate::words::environment::Environment;
use crate::words::exit::Exit;
use crate::words::ids::{ContentId, TimestampKey};
use crate::words::job::{FileStamp, LoginAs, SegmentTarget, TableJob, TableTotals};
use crate::words::layout::{Compression, DumpFileKind, FileNaming, InstanceId, SetNames, dump_directory};
use crate::words::names::{QualifiedName, quote_ident_if_needed, quote_literal};
use crate::words::outcome::{InstanceOutcome, InstanceResult, Severity};
use crate::words::refusal::Refusal;
use crate::words::relation::Relation;
use crate::worker::data_file::write_small_file;
use crate::worker::host_ops;
use crate::worker::protocol::DumpStart;

/// What one database's dump is given.
#[derive(Debug)]
pub struct DumpContext<'a> {
    pub environment: &'a Environment,
    pub request: &'a DumpRequest,
    pub address: &'a MasterAddress,
    pub surroundings: &'a Surroundings,
    pub launcher: Launcher,
    pub master_data_dir: PathBuf,
    pub database: String,
    pub key: TimestampKey,
    pub now: fn() -> chrono::NaiveDateTime,
}

/// How often a cut is taken anew because tables came or went in the moment before it.
const CUTS: u32 = 5;

/// Longest wait for the ACCESS SHARE locks that keep the tables from being dropped: an ALTER TABLE may be at work.
const TABLE_LOCK_WAIT: Duration = Duration::from_secs(600);

/// How long pg_dump may take from its start to its snapshot.
const PG_DUMP_START_LIMIT: Duration = Duration::from_secs(10);

/// Dumps the database. Sessions and workers are gone when this returns, whatever came.
pub async fn run(context: &DumpContext<'_>, cancel: &CancellationToken) -> Result<Exit, Refusal> {
    let sessions = tokio::select! {
        sessions = Sessions::open(context) => sessions?,
        () = cancel.cancelled() => return Err(interrupted()),
    };
    let started = tokio::select! {
        fleet = start_workers(context) => fleet,
        () = cancel.cancelled() => Err(interrupted()),
    };
    let mut fleet = match started {
        Ok(fleet) => fleet,
        Err(refusal) => {
            sessions.abort().await;
            return Err(refusal);
        }
    };
    let result = tokio::select! {
        result = dump(context, &sessions, &mut fleet) => result,
        () = cancel.cancelled() => Err(interrupted()),
    };
    // Workers clean up while our sessions are cancelled: a signal must be through within seconds.
    tokio::join!(fleet.stop(), sessions.abort());
    let dumped = result?;
    finish(context, dumped).await
}

/// Our sessions on the master for one database.
struct Sessions {
    /// Holds ACCESS SHARE on all tables and, from the cut on, the snapshot.
    snapshot: Session,
    /// Holds the short locks of the cut, and looks at others' sessions.
    barrier: Session,
}

impl Sessions {
    async fn open(context: &DumpContext<'_>) -> Result<Sessions, Refusal> {
        let open = || async {
            context
                .address
                .open(&context.database)
                .await
                .map_err(|error| refusal_of(&error))
        };
        Ok(Sessions {
            snapshot: open().await?,
            barrier: open().await?,
        })
    }

    async fn abort(self) {
        tokio::join!(self.snapshot.abort(), self.barrier.abort());
    }
}

async fn start_workers(context: &DumpContext<'_>) -> Result<DumpFleet, Refusal> {
    let cluster = &context.surroundings.cluster;
    let down: Vec<String> = cluster
        .primaries()
        .iter()
        .filter(|primary| !primary.up)
        .map(|primary| primary.dbid.to_string())
        .collect();
    if !down.is_empty() {
        warn!("Failed primary segment instances detected");
        return Err(Refusal::known(format!(
            "Detected failed segment(s) with dbid={}",
            down.join(",")
        )));
    }
    let hosts = cluster.hosts().into_iter().map(|(host, primaries)| HostSegments {
        host,
        contents: primaries.iter().map(|primary| primary.content).collect(),
    });
    let fleet = Fleet::start(&context.launcher, hosts.collect(), context.request.parallel).await;
    let fleet = fleet.map_err(|errors| {
        for error in &errors {
            error!("{}", crate::db::error_chain(error));
        }
        let hint = errors.iter().find_map(|error| error.hint());
        let refusal = Refusal::known(format!(
            "Cannot continue. No worker could be started on {} host(s)",
            errors.len()
        ));
        match hint {
            Some(hint) => refusal.with_hint(hint),
            None => refusal,
        }
    })?;
    Ok(DumpFleet::new(fleet, cluster.primaries()))
}

/// A dump whose data are on disk, or that failed on some instance; the small files are written.
struct Dumped {
    severity: Severity,
    exit: Exit,
    end_time: String,
}

/// Everything that the moment of the cut fixes.
struct CutState {
    relations: Vec<Relation>,
    jobs: Vec<TableJob>,
    consistency: Consistency,
    pg_dump: RunningPgDump,
}

async fn dump(context: &DumpContext<'_>, sessions: &Sessions, fleet: &mut DumpFleet) -> Result<Dumped, Refusal> {
    let started = chrono::Local::now().to_rfc3339();
    let directories = prepare_directories(context, fleet).await?;
    info!("Configuring for single database dump");
    check_disk_space(context, sessions, &directories).await?;
    let names = SetNames {
        prefix: context.request.prefix.clone(),
        key: context.key,
        naming: FileNaming::New,
        compression: context.request.compression,
    };
    announce(context, &names, &directories.master);
    let dialect = &context.surroundings.dialect;
    let database = catalog::read_database(&sessions.barrier, dialect, &context.database)
        .await
        .map_err(|error| refusal_of(&error))?
        .ok_or_else(|| Refusal::known(format!("Database {} does not exist.", context.database)))?;

    let cut = match take_cut(context, sessions, fleet, &names, &directories, &database).await? {
        Some(cut) => cut,
        None => return Ok(failed(context, fleet, &names, &directories).await),
    };
    // DDL is read and split while the rows are copied.
    let (texts, ()) = {
        let ddl = make_ddl(
            context,
            &sessions.snapshot,
            &cut.relations,
            &cut.jobs,
            cut.pg_dump,
            &database,
        );
        let copying = fleet.copy();
        tokio::pin!(ddl, copying);
        tokio::select! {
            texts = &mut ddl => match texts {
                Ok(texts) => (Ok(texts), copying.await),
                // Without DDL there is no dump; the workers are stopped by the caller.
                Err(refusal) => return Err(refusal),
            },
            () = &mut copying => (ddl.await, ()),
        }
    };
    let texts = texts?;
    if !fleet.all_well() {
        return Ok(failed(context, fleet, &names, &directories).await);
    }
    let state = read_state(&sessions.snapshot, dialect).await?;
    // The locks were held to the end if, and only if, this session is still in its transaction.
    sessions
        .snapshot
        .run("COMMIT", "ending the dump's transaction on the master")
        .await
        .map_err(|error| {
            refusal_of(&error).with_hint(
            "the session that kept the tables from being changed was lost, so the copy cannot be trusted; run again",
        )
        })?;

    let io = |error: crate::worker::data_file::Error| refusal_of(&error);
    let files = MasterFiles::write(&directories.master, &names, &texts).map_err(io)?;
    fleet.publish().await;
    if !fleet.all_well() {
        return Ok(failed(context, fleet, &names, &directories).await);
    }
    let mut master_stamps = files.publish(&directories.master).map_err(io)?;
    let end_time = (context.now)().format("%H:%M:%S").to_string();
    write_status_files(context, fleet, &names, &directories, &mut master_stamps).await?;
    let outcomes = outcomes_of(context, fleet, &names, &directories, &master_stamps);
    master_stamps.push(write_report(context, &names, &directories.master, &outcomes).map_err(io)?);
    for (kind, text) in state {
        let path = directories.master.join(names.of_set(kind));
        master_stamps.push(write_small_file(&path, text.as_bytes()).map_err(io)?);
    }
    info!("Dump process returned exit code 0");
    info!("Timestamp key = {}", context.key);
    post_dump_check(fleet, &directories, &master_stamps).await?;
    let manifest = Manifest {
        format: manifest::FORMAT,
        program: format!("gpcrondump {}", env!("CARGO_PKG_VERSION")),
        key: context.key,
        prefix: context.request.prefix.clone(),
        database: context.database.clone(),
        encoding: database.encoding.clone(),
        server: ServerFacts {
            banner: dialect.banner.clone(),
            pg_version: dialect.pg_version,
            product: dialect.product,
            hash_family: dialect.hash_family(),
        },
        compression: names.compression,
        naming: names.naming,
        backup_type: BackupType::Full,
        command_line: context.request.options_text.clone(),
        started,
        ended: chrono::Local::now().to_rfc3339(),
        consistency: cut.consistency.clone(),
        instances: instance_files(context, fleet, &directories, master_stamps),
        tables: table_facts(&cut.relations, &fleet.totals),
    };
    let path = directories.master.join(names.of_set(DumpFileKind::Manifest));
    write_small_file(&path, manifest.write().as_bytes()).map_err(io)?;
    info!("Checked master status file and master dump file.");
    let exit = if cut.consistency.one_cut {
        Exit::Ok
    } else {
        Exit::Warnings
    };
    Ok(Dumped {
        severity: Severity::Completed,
        exit,
        end_time,
    })
}

/// Dump directories of the master and of every segment.
struct Directories {
    master: PathBuf,
    segments: BTreeMap<ContentId, PathBuf>,
    states: BTreeMap<ContentId, crate::worker::protocol::DirectoryState>,
}

async fn prepare_directories(context: &DumpContext<'_>, fleet: &mut DumpFleet) -> Result<Directories, Refusal> {
    let root_of = |data_dir: &Path| {
        context
            .request
            .backup_root
            .clone()
            .unwrap_or_else(|| data_dir.to_owned())
    };
    let master_root = root_of(&context.master_data_dir);
    let master = dump_directory(&master_root, context.key);
    if master.is_dir() {
        info!("Directory {} exists", master.display());
    } else {
        info!("Directory {} not found, will try to create", master.display());
    }
    let existed = master.is_dir();
    if let Err(error) = host_ops::prepare_directory(&master) {
        let what = match error {
            host_ops::DirectoryError::Create(..) => {
                error!(
                    "Could not create directory {}: {}",
                    master.display(),
                    crate::db::error_chain(&error)
                );
                "create"
            }
            host_ops::DirectoryError::Write(..) => {
                error!(
                    "Cannot write to {}: {}",
                    master.display(),
                    crate::db::error_chain(&error)
                );
                "write to"
            }
        };
        return Err(Refusal::known(format!(
            "Could not {what} {} on master. Cannot continue.",
            master.display()
        )));
    }
    if !existed {
        info!("Created {}", master.display());
    }
    info!("Checked {} on master", master_root.display());
    let primaries = context.surroundings.cluster.primaries();
    let segments: BTreeMap<ContentId, PathBuf> = primaries
        .iter()
        .map(|primary| {
            // A single server's segment lives where the master's files go.
            let single = context.surroundings.cluster.is_single_server();
            let data_dir = if single {
                &context.master_data_dir
            } else {
                &primary.data_dir
            };
            (primary.content, dump_directory(&root_of(data_dir), context.key))
        })
        .collect();
    let answers = fleet.prepare(&segments).await;
    let mut states = BTreeMap::new();
    let mut failed = 0;
    for primary in primaries {
        match answers.get(&primary.content) {
            Some(Ok(state)) => {
                states.insert(primary.content, state.clone());
            }
            Some(Err(reason)) => {
                failed += 1;
                error!("{reason} on {}, {primary}.", primary.host);
            }
            None => {
                failed += 1;
                error!(
                    "No answer about directory {} from {primary}",
                    segments[&primary.content].display()
                );
            }
        }
    }
    if failed > 0 {
        return Err(Refusal::known(format!(
            "Cannot continue. {failed} segment(s) failed directory checks"
        )));
    }
    Ok(Directories {
        master,
        segments,
        states,
    })
}

/// Need against room, summed for each file system of each host. A guess that spares a doomed dump; what decides is the
/// checked write.
async fn check_disk_space(
    context: &DumpContext<'_>,
    sessions: &Sessions,
    directories: &Directories,
) -> Result<(), Refusal> {
    let DiskCheck::KeepFree(percent) = context.request.disk_check else {
        return Ok(());
    };
    info!("Validating disk space");
    let dialect = &context.surroundings.dialect;
    let sizes = relations::read_segment_sizes(&sessions.barrier, dialect)
        .await
        .map_err(|error| refusal_of(&error))?;
    // What COPY text and fast compression make of a database's files, by the original's measure.
    let factor = if context.request.compression == Compression::Gzip {
        12
    } else {
        1
    };
    let mut needs: BTreeMap<(String, u64), (u64, u64)> = BTreeMap::new();
    for primary in context.surroundings.cluster.primaries() {
        let (Some(state), Some(size)) = (directories.states.get(&primary.content), sizes.get(&primary.content)) else {
            continue;
        };
        let sum = needs
            .entry((primary.host.0.clone(), state.device))
            .or_insert((0, state.free_bytes));
        sum.0 += size / factor;
    }
    let keep = u64::from(percent.min(100));
    let mut failed = 0;
    for ((host, _), (need, free)) in &needs {
        let usable = free / 100 * (100 - keep);
        if *need > usable {
            failed += 1;
            error!(
                "{host} has insufficient disk space. [Need: {}K, Free {}K]",
                need / 1024,
                free / 1024
            );
        }
    }
    match failed {
        0 => Ok(()),
        n => Err(Refusal::known(format!(
            "Cannot continue. {n} segment(s) failed disk space checks"
        ))),
    }
}

/// The lines that the original prints before it starts its engine.
fn announce(context: &DumpContext<'_>, names: &SetNames, directory: &Path) {
    info!(
        "Creating filter file: {}",
        directory.join(names.of_set(DumpFileKind::Table)).display()
    );
    if names.compression == Compression::Gzip {
        info!("Adding compression parameter");
    }
    info!("Adding --no-expand-children");
    info!(
        "Dump process command line {}",
        dump_lines::engine_command_line(&engine_arguments(context, directory))
    );
    info!("Starting Dump process");
}

fn engine_arguments(context: &DumpContext<'_>, directory: &Path) -> Vec<String> {
    dump_lines::engine_arguments(
        context.request,
        &context.database,
        context.address.port,
        &context.environment.user,
        directory,
        context.key,
    )
}

/// Locks, snapshots, DDL of one instant. `None` when a segment failed on the way: the fleet knows which and why.
async fn take_cut(
    context: &DumpContext<'_>,
    sessions: &Sessions,
    fleet: &mut DumpFleet,
    names: &SetNames,
    directories: &Directories,
    database: &DatabaseInfo,
) -> Result<Option<CutState>, Refusal> {
    let dialect = &context.surroundings.dialect;
    let refuse = |error: crate::db::Error| refusal_of(&error);
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
    for _ in 0..CUTS {
        let expected = relations::read_relations(&sessions.barrier, dialect)
            .await
            .map_err(refuse)?;
        let table_names: Vec<QualifiedName> = expected.iter().map(|relation| relation.name.clone()).collect();
        let jobs: Vec<TableJob> = expected.iter().map(job_of).collect();
        if !lock_for_dump(&sessions.snapshot, dialect, &table_names).await? {
            continue;
        }
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
            encoding: database.encoding.clone(),
            lock_wait_seconds: TABLE_LOCK_WAIT.as_secs(),
        };
        fleet
            .start(start_of, &jobs, TABLE_LOCK_WAIT + Duration::from_secs(30))
            .await;
        if !fleet.all_well() {
            return Ok(None);
        }
        let mut pg_dump = None;
        let limits = CutLimits::new(context.request.cut_timeout, table_names.len());
        let consistency = cut::take(&sessions.barrier, dialect, &table_names, limits, async || {
            fleet.open_snapshots().await;
            if !fleet.all_well() {
                return Ok(());
            }
            pg_dump = Some(open_master_snapshots(context, sessions, database).await?);
            Ok::<(), Refusal>(())
        })
        .await
        .map_err(|failure| match failure {
            cut::Failure::Lock(error) => refuse(error),
            cut::Failure::Snapshots(refusal) => refusal,
        })?;
        let Some(pg_dump) = pg_dump else { return Ok(None) };
        // The list was read before the locks: a table that came in between would be in the DDL and not in the data.
        let relations = relations::read_relations(&sessions.snapshot, dialect)
            .await
            .map_err(refuse)?;
        if same_tables(&expected, &relations) {
            tell_about_cut(&consistency);
            return Ok(Some(CutState {
                relations,
                jobs,
                consistency,
                pg_dump,
            }));
        }
        tracing::debug!("tables were created, altered or dropped in the moment before the cut; taking another one");
        drop(pg_dump);
        sessions
            .snapshot
            .run("ROLLBACK", "giving up a cut")
            .await
            .map_err(refuse)?;
        fleet.reset().await;
        if !fleet.all_well() {
            return Ok(None);
        }
    }
    Err(Refusal::known(format!(
        "Tables of database {} are created, altered or dropped faster than a snapshot of them can be taken",
        context.database
    ))
    .with_hint("run the dump when no DDL runs"))
}

/// Opens the transaction that keeps the tables from being dropped. False when one of them is gone already.
async fn lock_for_dump(session: &Session, dialect: &Dialect, tables: &[QualifiedName]) -> Result<bool, Refusal> {
    let begin = format!(
        "BEGIN; SET TRANSACTION ISOLATION LEVEL {}",
        dialect.snapshot_isolation()
    );
    let lock = async {
        session.run(&begin, "opening the transaction").await?;
        limit_lock_wait(session, dialect, TABLE_LOCK_WAIT).await?;
        lock_tables(session, dialect, tables, LockMode::AccessShare).await?;
        limit_lock_wait(session, dialect, Duration::ZERO).await
    };
    match lock.await {
        Ok(()) => Ok(true),
        // undefined_table, invalid_schema_name
        Err(error) if matches!(error.code(), Some("42P01" | "3F000")) => {
            session
                .run("ROLLBACK", "giving up locks")
                .await
                .map_err(|error| refusal_of(&error))?;
            Ok(false)
        }
        Err(error) => Err(refusal_of(&error)),
    }
}

/// Takes the master's snapshot and sees to it that pg_dump has one of the same instant.
async fn open_master_snapshots(
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
        application_name: format!("gpcrondump_ddl_{}", context.environment.pid),
    };
    if dialect.pg_dump_takes_snapshot() {
        let name = sessions
            .snapshot
            .one("SELECT pg_catalog.pg_export_snapshot()", "taking the snapshot")
            .await;
        dump.snapshot = name.map_err(refuse)?;
        return dump.start().map_err(|error| refusal_of(&error));
    }
    let mut running = dump.start().map_err(|error| refusal_of(&error))?;
    let deadline = tokio::time::Instant::now() + PG_DUMP_START_LIMIT;
    while !relations::has_read_catalog(&sessions.barrier, dialect, &dump.application_name)
        .await
        .map_err(refuse)?
    {
        if running.has_ended() {
            return match running.finish().await {
                Err(error) => Err(refusal_of(&error)),
                Ok(_) => Err(Refusal::failed("pg_dump ended before its snapshot was seen")),
            };
        }
        if tokio::time::Instant::now() > deadline {
            return Err(Refusal::failed(format!(
                "pg_dump did not take its snapshot within {} s",
                PG_DUMP_START_LIMIT.as_secs()
            )));
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

fn same_tables(before: &[Relation], after: &[Relation]) -> bool {
    before.len() == after.len()
        && before.iter().zip(after).all(|(a, b)| {
            (a.oid, &a.name, &a.columns, &a.condition, a.distribution, a.root)
                == (b.oid, &b.name, &b.columns, &b.condition, b.distribution, b.root)
        })
}

fn tell_about_cut(consistency: &Consistency) {
    tracing::debug!(
        "one cut: {}, attempts: {}, waited: {} ms, held: {} ms",
        consistency.one_cut,
        consistency.attempts,
        consistency.waited_ms,
        consistency.held_ms
    );
    if let Some(note) = &consistency.note {
        warn!("The dump is not one cut across all segments: {note}");
        for line in &consistency.in_the_way {
            warn!("In the way: {line}");
        }
    }
}

fn job_of(relation: &Relation) -> TableJob {
    TableJob {
        name: relation.name.clone(),
        owner: relation.owner.clone(),
        columns: relation.columns.clone(),
        condition: relation.condition.clone(),
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

/// Waits for pg_dump and makes the three texts of the master.
async fn make_ddl(
    context: &DumpContext<'_>,
    snapshot: &Session,
    relations: &[Relation],
    jobs: &[TableJob],
    pg_dump: RunningPgDump,
    database: &DatabaseInfo,
) -> Result<MasterTexts, Refusal> {
    let dialect = &context.surroundings.dialect;
    let refuse = |error: crate::db::Error| refusal_of(&error);
    let sequences = relations::read_sequences(snapshot, dialect).await.map_err(refuse)?;
    let refresh = relations::read_populated_matviews(snapshot, dialect)
        .await
        .map_err(refuse)?;
    let is_old = dialect.pg_version.0 < 80400;
    let enum_labels = if is_old {
        relations::read_enum_labels(snapshot).await.map_err(refuse)?
    } else {
        BTreeMap::new()
    };
    let moved = if is_old {
        relations::read_moved_leaves(snapshot).await.map_err(refuse)?
    } else {
        Vec::new()
    };
    let dump = pg_dump.finish().await.map_err(|error| refusal_of(&error))?;
    // Leaves have no DDL of their own, so no empty block either.
    let data_tables: Vec<TableJob> = relations
        .iter()
        .zip(jobs)
        .filter(|(relation, _)| relation.root.is_none())
        .map(|(_, job)| job.clone())
        .collect();
    let encoding = if database.encoding == "SQL_ASCII" {
        "SQL_ASCII"
    } else {
        "UTF8"
    }
    .to_owned();
    let (name, pg_version) = (context.database.clone(), dialect.pg_version);
    let split = tokio::task::spawn_blocking(move || {
        let moved_leaves: Vec<MovedLeaf> = moved.into_iter().map(|(root, leaf)| MovedLeaf { root, leaf }).collect();
        let refresh: Vec<QualifiedName> = refresh.into_iter().map(|(name, _)| name).collect();
        ddl_split::split(&SplitInput {
            database: &name,
            dump: &dump,
            encoding: &encoding,
            pg_version,
            sequences: &sequences,
            data_tables: &data_tables,
            enum_labels: &enum_labels,
            moved_leaves: &moved_leaves,
            refresh: &refresh,
        })
    });
    let files = match split.await {
        Ok(files) => files.map_err(|error| refusal_of(&error))?,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    };
    Ok(MasterTexts {
        pre_data: files.pre_data,
        post_data: files.post_data,
        cdatabase: cdatabase_text(database).into_bytes(),
    })
}

fn cdatabase_text(database: &DatabaseInfo) -> String {
    let name = quote_ident_if_needed(&database.name);
    let locale = |label: &str, value: &Option<String>| {
        value
            .as_ref()
            .map(|value| format!("{label} = {}", quote_literal(value).trim_start()))
    };
    // Values of these settings are lists already and must not be quoted as one text.
    let setting = |text: &String| {
        let (parameter, value) = text.split_once('=')?;
        let is_list = parameter.eq_ignore_ascii_case("search_path") || parameter.eq_ignore_ascii_case("datestyle");
        let value = if is_list && !value.is_empty() {
            value.to_owned()
        } else {
            quote_literal(value).trim_start().to_owned()
        };
        Some(format!(
            "ALTER DATABASE {name} SET {} TO {value}",
            quote_ident_if_needed(parameter)
        ))
    };
    let facts = DatabaseFacts {
        name: database.name.clone(),
        encoding: database.encoding.clone(),
        owner: database.owner.clone(),
        tablespace: database.tablespace.clone(),
        options: [
            locale("LC_COLLATE", &database.collate),
            locale("LC_CTYPE", &database.ctype),
        ]
        .into_iter()
        .flatten()
        .collect(),
        acl: database
            .acl
            .as_deref()
            .map(|acl| database_acl::grants(&database.name, &database.owner, acl))
            .unwrap_or_default(),
        settings: database.settings.iter().filter_map(setting).collect(),
    };
    facts.write()
}

/// The files that a later incremental dump compares with.
async fn read_state(snapshot: &Session, dialect: &Dialect) -> Result<Vec<(DumpFileKind, String)>, Refusal> {
    let refuse = |error: crate::db::Error| refusal_of(&error);
    let (rows, columns) = relations::read_mod_counts(snapshot, dialect).await.map_err(refuse)?;
    let operations = relations::read_last_operations(snapshot, dialect)
        .await
        .map_err(refuse)?;
    Ok(vec![
        (DumpFileKind::AoState, state::write_counts(&rows)),
        (DumpFileKind::CoState, state::write_counts(&columns)),
        (DumpFileKind::LastOperation, state::write_operations(&operations)),
    ])
}

/// Status files of all instances: what the original's check, and people, read.
async fn write_status_files(
    context: &DumpContext<'_>,
    fleet: &mut DumpFleet,
    names: &SetNames,
    directories: &Directories,
    master_stamps: &mut Vec<FileStamp>,
) -> Result<(), Refusal> {
    let moment = (context.now)();
    let text_of = |failure: Option<&String>| {
        let mut text = status::line(
            moment,
            Agent::Dump,
            Level::Info,
            &format!(
                "Dumping database {}...",
                crate::words::names::quote_ident(&context.database)
            ),
        );
        match failure {
            None => text.push_str(&status::success(moment, Agent::Dump)),
            Some(message) => text.push_str(&status::line(moment, Agent::Dump, Level::Error, message)),
        }
        text
    };
    let files: BTreeMap<ContentId, (PathBuf, String)> = context
        .surroundings
        .cluster
        .primaries()
        .iter()
        .filter_map(|primary| {
            let id = InstanceId {
                content: primary.content,
                dbid: primary.dbid,
            };
            let path = directories
                .segments
                .get(&primary.content)?
                .join(names.of_instance(DumpFileKind::Status, id));
            Some((primary.content, (path, text_of(fleet.failures.get(&primary.content)))))
        })
        .collect();
    let was_well = fleet.all_well();
    for problem in fleet.write_files(files).await {
        error!("could not write a status file: {problem}");
        if was_well {
            return Err(Refusal::known(
                "The data are complete, but their status files could not be written",
            ));
        }
    }
    let path = directories.master.join(names.of_master(DumpFileKind::Status));
    let others_failed = (!was_well).then(|| "the dump was given up because of failures on segments".to_owned());
    let stamp = write_small_file(&path, text_of(others_failed.as_ref()).as_bytes()).map_err(|e| refusal_of(&e))?;
    master_stamps.push(stamp);
    Ok(())
}

fn outcomes_of(
    context: &DumpContext<'_>,
    fleet: &DumpFleet,
    names: &SetNames,
    directories: &Directories,
    master_stamps: &[FileStamp],
) -> Vec<InstanceOutcome> {
    let cluster = &context.surroundings.cluster;
    let given_up = "given up because of failures on other segments\n".to_owned();
    let mut outcomes: Vec<InstanceOutcome> = cluster
        .primaries()
        .iter()
        .map(|primary| {
            let id = InstanceId {
                content: primary.content,
                dbid: primary.dbid,
            };
            let directory = directories.segments.get(&primary.content).cloned().unwrap_or_default();
            let result = match (fleet.failures.get(&primary.content), fleet.all_well()) {
                (Some(message), _) => InstanceResult::Failed(format!("{message}\n")),
                (None, false) => InstanceResult::Failed(given_up.clone()),
                (None, true) => {
                    InstanceResult::Succeeded(fleet.stamps.get(&primary.content).cloned().unwrap_or_default())
                }
            };
            InstanceOutcome {
                instance: primary.clone(),
                file: directory
                    .join(names.of_instance(DumpFileKind::Dump, id))
                    .display()
                    .to_string(),
                result,
            }
        })
        .collect();
    let result = match fleet.all_well() {
        true => InstanceResult::Succeeded(master_stamps.to_vec()),
        false => InstanceResult::Failed(given_up),
    };
    outcomes.push(InstanceOutcome {
        instance: cluster.master().clone(),
        file: directories
            .master
            .join(names.of_master(DumpFileKind::Dump))
            .display()
            .to_string(),
        result,
    });
    outcomes
}

fn write_report(
    context: &DumpContext<'_>,
    names: &SetNames,
    directory: &Path,
    outcomes: &[InstanceOutcome],
) -> Result<FileStamp, crate::worker::data_file::Error> {
    let arguments = engine_arguments(context, directory);
    let text = BackupReport {
        key: context.key.to_string(),
        command_line: report::join_arguments(arguments.iter().map(String::as_str)),
        pass_through: None,
        compression: names.compression,
        backup_type: BackupType::Full,
        program: Some(format!("gpcrondump {}", env!("CARGO_PKG_VERSION"))),
        rows: report::rows_of(outcomes, &context.database),
    }
    .write();
    write_small_file(&directory.join(names.of_set(DumpFileKind::Report)), text.as_bytes())
}

/// Looks once more for every file that was promised, on every host.
async fn post_dump_check(
    fleet: &mut DumpFleet,
    directories: &Directories,
    master_stamps: &[FileStamp],
) -> Result<(), Refusal> {
    let mut problems = fleet.check_files(&directories.segments).await;
    for stamp in master_stamps {
        let path = directories.master.join(&stamp.name);
        if !std::fs::metadata(&path).is_ok_and(|meta| meta.len() == stamp.size || !meta.is_file()) {
            problems.push(format!(
                "file \"{}\" is not there with its {} bytes",
                path.display(),
                stamp.size
            ));
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    for problem in &problems {
        error!("{problem}");
    }
    Err(Refusal::known(format!(
        "Dump was unsuccessful. {} file(s) failed post-dump checks.",
        problems.len()
    )))
}

fn instance_files(
    context: &DumpContext<'_>,
    fleet: &DumpFleet,
    directories: &Directories,
    master_stamps: Vec<FileStamp>,
) -> Vec<InstanceFiles> {
    let cluster = &context.surroundings.cluster;
    let master = InstanceFiles {
        content: InstanceId::MASTER.content,
        dbid: InstanceId::MASTER.dbid,
        host: cluster.master().host.clone(),
        directory: directories.master.clone(),
        files: master_stamps,
    };
    let segments = cluster.primaries().iter().map(|primary| InstanceFiles {
        content: primary.content,
        dbid: primary.dbid,
        host: primary.host.clone(),
        directory: directories.segments.get(&primary.content).cloned().unwrap_or_default(),
        files: fleet.stamps.get(&primary.content).cloned().unwrap_or_default(),
    });
    std::iter::once(master).chain(segments).collect()
}

fn table_facts(relations: &[Relation], totals: &[TableTotals]) -> Vec<TableFacts> {
    let facts = relations.iter().zip(totals).map(|(relation, totals)| TableFacts {
        table: relation.name.clone(),
        totals: *totals,
        distribution: relation.distribution,
    });
    facts.collect()
}

/// Tells every failure, leaves a report and status files that say so, and no data file.
async fn failed(
    context: &DumpContext<'_>,
    fleet: &mut DumpFleet,
    names: &SetNames,
    directories: &Directories,
) -> Dumped {
    fleet.reset().await;
    let end_time = (context.now)().format("%H:%M:%S").to_string();
    for (content, message) in &fleet.failures {
        match context.surroundings.cluster.primary(*content) {
            Some(primary) => error!("{primary}: {message}"),
            None => error!("segment {content}: {message}"),
        }
    }
    if let Err(refusal) = write_status_files(context, fleet, names, directories, &mut Vec::new()).await {
        error!("{refusal}");
    }
    let outcomes = outcomes_of(context, fleet, names, directories, &[]);
    if let Err(error) = write_report(context, names, &directories.master, &outcomes) {
        error!("{}", crate::db::error_chain(&error));
    }
    warn!("Dump process returned exit code 1");
    info!("Timestamp key = {}", context.key);
    warn!(
        "Dump was unsuccessful. {} segment(s) failed post-dump checks.",
        fleet.failures.len()
    );
    Dumped {
        severity: Severity::Warning,
        exit: Exit::Failed,
        end_time,
    }
}

/// What follows the dump itself: history, report, mail.
async fn finish(context: &DumpContext<'_>, dumped: Dumped) -> Result<Exit, Refusal> {
    let mut exit = dumped.exit;
    if context.request.history && record_history(context, &dumped).await.is_none() {
        exit = exit.max(Exit::Warnings);
    }
    if dumped.exit == Exit::Failed {
        warn!("Dump request was incomplete, not rolling back because -r option was not supplied");
        return Err(Refusal::known("Dump incomplete, rollback not processed"));
    }
    for line in dump_lines::status_report(
        &context.database,
        context.key,
        &dumped.end_time,
        context.request.compression,
    ) {
        info!("{line}");
    }
    match exit {
        Exit::Ok => info!("Exit code zero, no warnings generated"),
        _ => warn!("Exit code not zero, check log file"),
    }
    info!("{DASH}");
    tell_about_mail(context.environment);
    Ok(exit)
}

/// `None` when the row could not be written; the log says why.
async fn record_history(context: &DumpContext<'_>, dumped: &Dumped) -> Option<()> {
    let dialect = &context.surroundings.dialect;
    let database = &context.database;
    let session = match context.address.open(database).await {
        Ok(session) => session,
        Err(failure) => {
            error!("Unable to create public.gpcrondump_history in {database} database");
            error!("{}", crate::db::error_chain(&failure));
            return None;
        }
    };
    match history::ensure_table(&session, dialect).await {
        Ok(HistoryTable::Created) => info!("Created public.gpcrondump_history in {database} database"),
        Ok(HistoryTable::WasThere) => {}
        Err(failure) => {
            error!("Unable to create public.gpcrondump_history in {database} database");
            error!("{}", crate::db::error_chain(&failure));
            return None;
        }
    }
    let row = HistoryRow {
        key: context.key,
        end_time: dumped.end_time.clone(),
        options: context.request.options_text.clone(),
        dump_exit_status: i16::from(dumped.exit == Exit::Failed),
        severity: dumped.severity,
    };
    let inserted = history::insert(&session, &row).await;
    session.close().await;
    match inserted {
        Ok(()) => {
            info!("Inserted dump record into public.gpcrondump_history in {database} database");
            Some(())
        }
        Err(failure) => {
            error!("Failed to insert record into public.gpcrondump_history in {database} database");
            error!("{}", crate::db::error_chain(&failure));
            None
        }
    }
}

/// Where nobody is to be mailed the original says so, and cron users know the lines. Sending is not built yet.
fn tell_about_mail(environment: &Environment) {
    let home = environment.home.join("mail_contacts");
    let server = environment
        .gphome
        .as_ref()
        .map(|gphome| gphome.join("bin/mail_contacts"));
    if home.is_file() || server.as_ref().is_some_and(|file| file.is_file()) {
        warn!("mail_contacts was found, but sending mail is not built yet: no mail was sent");
        return;
    }
    let places = match server {
        Some(file) => (file.display().to_string(), home.display().to_string()),
        None => ("$GPHOME/bin/mail_contacts".to_owned(), home.display().to_string()),
    };
    warn!("Found neither {} nor {}", places.0, places.1);
    warn!("Unable to send dump email notification");
    info!(
        "To enable email notification, create {} or {} containing required email addresses",
        places.0, places.1
    );
}
