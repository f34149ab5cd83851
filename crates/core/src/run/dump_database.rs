//! One database into one set: gather, take the cut, copy, check, give names, tell.
//!
//! The order of a run is the original's (`gpcrondump.md` 2.10); what makes a set whole is ours: nothing has a final name
//! before every segment is finished, and the manifest is written when everything else is on disk.

mod after;
mod copying;
mod ddl;
mod encoding;
pub(super) mod external;
mod external_note;
mod files;
mod give_way;
mod globals;
mod increment;
mod make_set;
mod prepare;
mod rights;
mod rollback;
mod selection;
mod snapshot;
mod states;
mod statistics;
mod streams;
mod table_locks;
mod vacuum;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio_util::sync::CancellationToken;
use tracing::info;

use self::prepare::Directories;
use super::dump_lines::{self, EngineArguments};
use super::set_record::SetRecord;
use super::{interrupted, left_sessions, refusal_of};
use crate::db::rights::Unreadable;
use crate::db::{Session, catalog};
use crate::exec::dump_fleet::DumpFleet;
use crate::gather::cluster::{MasterAddress, Surroundings};
use crate::launch::Launcher;
use crate::plan::dump_request::DumpRequest;
use crate::plan::incremental::base::Base;
use crate::plan::mail::MailFacts;
use crate::store::files::Files;
use crate::words::dialect::Dialect;
use crate::words::environment::Environment;
use crate::words::exit::Exit;
use crate::words::ids::TimestampKey;
use crate::words::layout::{Compression, FileNaming, SetNames};
use crate::words::outcome::Severity;
use crate::words::place::Place;
use crate::words::progress::ProgressBoard;
use crate::words::refusal::Refusal;

/// What one database's dump is given.
#[derive(Debug)]
pub struct DumpContext<'a> {
    pub environment: &'a Environment,
    pub request: &'a DumpRequest,
    pub files: &'a Files,
    pub address: &'a MasterAddress,
    pub surroundings: &'a Surroundings,
    pub launcher: Launcher,
    pub master_data_dir: PathBuf,
    pub database: String,
    pub key: TimestampKey,
    pub now: fn() -> chrono::NaiveDateTime,
    /// Where it is noted how far the copying is.
    pub board: &'a ProgressBoard,
    /// `HH:MM:SS` when the work on this database began.
    pub started: String,
    /// The chain that an incremental dump goes on with.
    pub base: Option<Base>,
    /// `-c` is obeyed after this database: it is the last one, and those before it are dumped.
    pub may_clean_up: bool,
}

impl DumpContext<'_> {
    /// `HH:MM:SS` for reports. A key that was not given is the moment of the start, and scripts compare the two.
    fn start_time(&self) -> String {
        match self.request.key {
            None => self.key.time_of_day(),
            Some(_) => self.started.clone(),
        }
    }
}

/// How it went with one database, when it was dumped.
#[derive(Debug)]
pub(super) struct DatabaseEnd {
    pub(super) exit: Exit,
    pub(super) key: TimestampKey,
    pub(super) record: SetRecord,
    pub(super) mail: MailFacts,
}

/// Dumps the database and does what is asked for around it. Sessions and workers are gone when this returns, whatever
/// came.
pub(super) async fn run(context: &DumpContext<'_>, cancel: &CancellationToken) -> Result<DatabaseEnd, Refusal> {
    let mut exit = Exit::Ok;
    if context.request.chores.vacuum_before {
        info!("Commencing pre-dump vacuum");
        if !vacuum::vacuum(context, cancel).await {
            exit = Exit::Warnings;
        }
    }
    let sessions = tokio::select! {
        sessions = Sessions::open(context) => sessions?,
        () = cancel.cancelled() => return Err(interrupted()),
    };
    let started = tokio::select! {
        fleet = prepare::start_workers(context) => fleet,
        () = cancel.cancelled() => Err(interrupted()),
    };
    let mut fleet = match started {
        Ok(fleet) => fleet,
        Err(refusal) => {
            sessions.abort().await;
            return Err(refusal);
        }
    };
    let mut begun = None;
    let result = tokio::select! {
        result = dump(context, &sessions, &mut fleet, &mut begun) => result,
        () = cancel.cancelled() => Err(interrupted()),
    };
    context.board.end();
    let given_up = match (&result, &begun) {
        (Err(_), Some(directories)) => Some(directories),
        _ => None,
    };
    let clean = async {
        // A signal must be through within seconds: then workers clean up while they are stopped.
        tokio::select! {
            () = after::clean(context, &mut fleet, given_up) => {}
            () = cancel.cancelled() => {}
        }
        fleet.stop().await;
    };
    let has_failed = result.as_ref().map_or(true, |dumped| dumped.exit == Exit::Failed);
    let leave = async {
        let ddl = ddl_names(context.environment, &sessions);
        // A process behind a pooler may be another's by the time it is looked for.
        let pids = match context.surroundings.cluster.is_streams() {
            true => Vec::new(),
            false => sessions.pids(),
        };
        sessions.abort().await;
        if has_failed && !cancel.is_cancelled() {
            left_sessions::tell(context.address, &context.surroundings.dialect, &pids, Some(&ddl)).await;
        }
    };
    tokio::join!(clean, leave);
    external_note::take_back(context, result.as_ref().is_ok_and(|dumped| dumped.record.is_some()));
    match result {
        Ok(dumped) => after::finish(context, dumped, exit, cancel).await,
        Err(refusal) if begun.is_some() && !cancel.is_cancelled() => {
            after::gave_up(context, &refusal).await;
            Err(refusal)
        }
        Err(refusal) => Err(refusal),
    }
}

/// Our sessions on the master for one database.
struct Sessions {
    /// Holds ACCESS SHARE on all tables and, from the cut on, the snapshot.
    snapshot: Session,
    /// Holds the short locks of the cut, and looks at others' sessions.
    barrier: Session,
    /// Looks at locks, where there is a session that stays on the master; else the one above does.
    onlooker: Option<Session>,
    /// With `--external`: they let the segments write rows away.
    writers: Vec<Session>,
    /// What the role may not read, of a dump through the master.
    unreadable: Vec<Unreadable>,
    /// A cut that is taken anew has a pg_dump of its own, while the server may not know yet that the last one is gone.
    pg_dumps: AtomicU32,
}

impl Sessions {
    async fn open(context: &DumpContext<'_>) -> Result<Sessions, Refusal> {
        let open = || async {
            let opened = context.address.open(&context.database).await;
            opened.map_err(|error| refusal_of(&error))
        };
        let (snapshot, barrier) = (open().await?, open().await?);
        let unreadable = rights::read(context, &barrier).await;
        let around = context.surroundings;
        let onlooker = match around.cluster.is_streams() {
            true => None,
            false => context.address.open_alone(&context.database, &around.dialect).await,
        };
        Ok(Sessions {
            snapshot,
            onlooker,
            unreadable: unreadable.map_err(|error| refusal_of(&error))?,
            barrier,
            writers: external::open_writers(context).await?,
            pg_dumps: AtomicU32::new(0),
        })
    }

    fn pids(&self) -> Vec<i32> {
        let all = [&self.snapshot, &self.barrier]
            .into_iter()
            .chain(&self.onlooker)
            .chain(&self.writers);
        all.map(Session::backend_pid).collect()
    }

    /// The application name of another `pg_dump`.
    fn next_ddl_name(&self, environment: &Environment) -> String {
        let number = self.pg_dumps.fetch_add(1, Ordering::Relaxed) + 1;
        format!("{}{number}", ddl_names(environment, self))
    }

    /// The session that looks at locks.
    fn onlooker(&self) -> &Session {
        self.onlooker.as_ref().unwrap_or(&self.barrier)
    }

    async fn abort(self) {
        let onlooker = async {
            if let Some(session) = self.onlooker {
                session.abort().await;
            }
        };
        let writers = futures_util::future::join_all(self.writers.into_iter().map(Session::abort));
        tokio::join!(self.snapshot.abort(), self.barrier.abort(), onlooker, writers);
    }
}

/// How the application names of this dump's `pg_dump` begin. The number of our process alone could be that of one on another
/// host, or in another container.
fn ddl_names(environment: &Environment, sessions: &Sessions) -> String {
    format!(
        "gpcrondump_ddl_{}_{}_",
        environment.pid,
        sessions.snapshot.backend_pid()
    )
}

/// A dump whose data are on disk, or that failed on some instance; the small files are written.
struct Dumped {
    severity: Severity,
    exit: Exit,
    end_time: String,
    /// None when the dump failed.
    record: Option<SetRecord>,
}

/// `begun` is where there is something to be taken back, once there is.
async fn dump(
    context: &DumpContext<'_>,
    sessions: &Sessions,
    fleet: &mut DumpFleet,
    begun: &mut Option<Directories>,
) -> Result<Dumped, Refusal> {
    let started = chrono::Local::now().to_rfc3339();
    // Not before the workers are there: this goes to all segments, and of a host that is gone a worker's end tells more.
    for session in [&sessions.snapshot, &sessions.barrier] {
        let narrowed = session.run(Dialect::OWN_NAMES_ONLY, "preparing the session").await;
        narrowed.map_err(|error| refusal_of(&error))?;
    }
    selection::check_schemas(context, &sessions.barrier).await?;
    rights::check_pg_dump(context).await?;
    if !sessions.unreadable.is_empty() {
        let selection = selection::select(context, &sessions.barrier).await?;
        rights::check(context, sessions, &selection)?;
    }
    let directories = prepare::prepare_directories(context, fleet).await?;
    let selection = selection::configure(context, &sessions.barrier).await?;
    prepare::check_disk_space(context, sessions, &directories, &selection).await?;
    let names = SetNames {
        prefix: context.request.prefix.clone(),
        key: context.key,
        naming: FileNaming::New,
        compression: context.request.compression,
    };
    announce(context, &names, &directories.master);
    external::prepare(context, &sessions.barrier).await?;
    let directories = &*begun.insert(directories);
    let dialect = &context.surroundings.dialect;
    let database = catalog::read_database(&sessions.barrier, dialect, &context.database)
        .await
        .map_err(|error| refusal_of(&error))?
        .ok_or_else(|| Refusal::known(format!("Database {} does not exist.", context.database)))?;
    let set = (&names, directories);
    match copying::cut_and_copy(context, sessions, fleet, set, &database, selection).await? {
        Some(copied) => make_set::make_set(context, sessions, fleet, set, &database, copied, started).await,
        None => Ok(after::failed(context, fleet, &names, directories).await),
    }
}

/// The lines that the original prints before it starts its engine.
fn announce(context: &DumpContext<'_>, names: &SetNames, directory: &Place) {
    for kind in selection::list_kinds(context) {
        info!("Creating filter file: {}", directory.join(names.of_set(kind)).display());
    }
    if names.compression == Compression::Gzip {
        info!("Adding compression parameter");
    }
    if let Some(encoding) = &context.request.style.encoding {
        info!("Adding encoding {encoding}");
    }
    if !names.prefix.is_empty() {
        info!("Adding --prefix");
    }
    info!("Adding --no-expand-children");
    if context.base.is_some() {
        info!("Adding --incremental");
    }
    info!(
        "Dump process command line {}",
        engine_arguments(context, directory).command_line()
    );
    info!("Starting Dump process");
}

fn engine_arguments(context: &DumpContext<'_>, directory: &Place) -> EngineArguments {
    let arguments = dump_lines::engine_arguments(
        context.request,
        &context.database,
        context.address.port,
        &context.environment.user,
        directory,
        context.key,
    );
    match &context.base {
        None => arguments,
        Some(base) => {
            let filter = base.directory.join(increment::filter_name(context, base));
            arguments.incremental(base.filter.is_some().then_some(&filter))
        }
    }
}
