//! Restores one set: look at everything, ask, then change.
//!
//! Up to the line that drops the database nothing is changed, and all that can be known to be missing or damaged has been
//! refused by then.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::NaiveDateTime;
use tokio_postgres::{CancelToken, NoTls};
use tokio_util::sync::CancellationToken;

use super::restore_chain::{self, Chain};
use super::{refusal_of, restore_lines};
use crate::db::{Session, catalog, target};
use crate::exec::restore_fleet::{LoadOutcome, RestoreFleet};
use crate::exec::restore_records::{self, MasterOutcome, Records};
use crate::exec::restore_script::{Batches, ScriptContext, ScriptOutcome, encoding_of, run_script};
use crate::exec::{restore_after, restore_database};
use crate::format::cdatabase::Cdatabase;
use crate::format::report::BackupType;
use crate::format::sql_script::Script;
use crate::gather::cluster::{MasterAddress, Surroundings, launcher, master_address, read_surroundings};
use crate::gather::dump_set;
use crate::plan::restore::places::{self, Missing};
use crate::plan::restore::routes::Routes;
use crate::plan::restore::{DataFile, DumpSet};
use crate::plan::restore_request::RestoreRequest;
use crate::words::cluster::{HostName, Instance};
use crate::words::environment::Environment;
use crate::words::exit::Exit;
use crate::words::job::{LoadRoute, LoginAs};
use crate::words::layout::{DumpFileKind, dump_directory};
use crate::words::names::QualifiedName;
use crate::words::refusal::Refusal;
use crate::worker::host_ops;
use crate::worker::restore_segment::{LoadTarget, RestoreFile, RestoreStart};

const PROGRAM: &str = "gpdbrestore";

/// SQL errors that are told on the screen; the status files have all.
const TOLD_ERRORS: usize = 50;

/// Longest wait for servers to take cancel requests when the run is stopped.
const CANCEL_LIMIT: Duration = Duration::from_secs(3);

/// Restores the set that the request names. `now` gives the local time; `confirm` asks whether to go on, and is not called
/// when the request says that nobody is to be asked.
pub async fn run(
    environment: &Environment,
    request: &RestoreRequest,
    now: fn() -> NaiveDateTime,
    confirm: impl AsyncFn() -> Result<bool, Refusal>,
    cancel: &CancellationToken,
) -> Result<Exit, Refusal> {
    let stops = Stops::default();
    tokio::select! {
        result = restore(environment, request, now, confirm, &stops) => result,
        // The sessions and the workers went with the future above; what runs on the servers is told to end.
        () = cancel.cancelled() => {
            stops.cancel_all().await;
            Err(stops.interrupted())
        }
    }
}

async fn restore(
    environment: &Environment,
    request: &RestoreRequest,
    now: fn() -> NaiveDateTime,
    confirm: impl AsyncFn() -> Result<bool, Refusal>,
    stops: &Stops,
) -> Result<Exit, Refusal> {
    let address = master_address(environment, Some(&request.master_data_dir), PROGRAM)?;
    let around = read_surroundings(&address, &environment.host_full)
        .await
        .map_err(|error| refusal_of(&error))?;
    let root = request.backup_root.as_deref().unwrap_or(&request.master_data_dir);
    let set = dump_set::read_dump_set(root, &request.prefix, request.key)?;
    let chain = restore_chain::read(root, request, &set)?;
    if request.list_backup {
        for line in restore_lines::parameters(request, &set, &around.cluster) {
            tracing::info!("{line}");
        }
        chain.write_plan(&set);
        for line in restore_lines::needed_sets(set.names.key, chain.plan.iter().map(|line| line.key)) {
            tracing::info!("{line}");
        }
        return Ok(Exit::Ok);
    }
    let mut scene = Scene {
        environment,
        request,
        chain,
        created: false,
        database: request.redirect.clone().unwrap_or_else(|| set.database.clone()),
        address,
        around,
        set,
        stops,
    };
    let maintenance = scene.open("template1").await?;
    let exists = scene.database_exists(&maintenance).await?;
    scene.created = !exists;
    if !exists && !request.recreate && request.redirect.is_none() {
        return Err(Refusal::known(format!(
            "Database {} does not exist and -e option not supplied",
            scene.database
        )));
    }
    for line in restore_lines::parameters(request, &scene.set, &scene.around.cluster) {
        tracing::info!("{line}");
    }
    if request.confirm && !confirm().await? {
        tracing::info!("User abort requested, Exiting...");
        return Ok(Exit::Aborted);
    }

    let definitions = Definitions::read(&scene.set, request.recreate || scene.created)?;
    let pre_data = parse_script(&definitions.pre_data, &definitions.pre_data_path)?;
    let post_data = parse_script(&definitions.post_data, &definitions.post_data_path)?;
    let mut fleet = scene.start_fleet().await?;
    let files = scene.find_files(&scene.set, &mut fleet).await?;
    let mut older = std::mem::take(&mut scene.chain.older);
    for member in &mut older {
        member.files = scene.find_files(&member.set, &mut fleet).await?;
    }
    scene.chain.older = older;
    scene.chain.write_plan(&scene.set);

    stops.changing(&scene.database);
    let mut master = MasterOutcome {
        errors: scene
            .prepare_database(&maintenance, definitions.cdatabase.as_ref())
            .await?,
        failure: None,
    };
    maintenance.close().await;
    let report_directory = scene.report_directory();
    let arguments = restore_lines::engine_arguments(
        request,
        &scene.set,
        &environment.host_full,
        scene.around.cluster.master().port,
        &environment.user,
        &scene.database,
        report_directory.as_deref(),
    );
    if !scene.set.names.prefix.is_empty() {
        tracing::info!("Adding --prefix");
    }
    match scene.chain.plan.is_empty() {
        true => tracing::info!("gp_restore commandline: gp_restore {arguments}: "),
        false => {
            tracing::info!("Running metadata restore");
            tracing::info!(
                "Invoking commandline: gp_restore {arguments} -s {}",
                dump_set::ddl_path(&scene.set, DumpFileKind::Dump).display()
            );
        }
    }

    let session = scene.open(&scene.database).await?;
    for setting in scene.around.dialect.dump_session_settings() {
        session
            .run(&setting, "preparing the session")
            .await
            .map_err(|error| refusal_of(&error))?;
    }
    let mut load = LoadOutcome::default();
    let data = scene
        .pre_data_and_data(
            &session,
            &pre_data,
            &definitions,
            &mut fleet,
            &files,
            &mut master,
            &mut load,
        )
        .await;
    if let Err(failure) = &data {
        master.failure = Some(failure.text.clone());
    }
    let all_read = data.is_ok() && load.all_read();
    if all_read && !scene.rows_only() {
        let outcome = scene
            .run_definitions(&session, &post_data, &definitions.post_data_path, &pre_data)
            .await;
        match outcome {
            Ok(outcome) => master.errors.extend(outcome.errors),
            Err(failure) => master.failure = Some(failure.text),
        }
    }
    let records = restore_records::compose(Records {
        set: &scene.set,
        cluster: &scene.around.cluster,
        database: &scene.database,
        command_line: &arguments,
        files: &files,
        master: &master,
        load: &load,
        directory: report_directory.as_deref(),
        master_directory: &request.master_data_dir,
        now: now(),
    });
    for problem in write_records(&mut fleet, &scene.around.cluster.master().host, records).await {
        tracing::warn!("{problem}");
    }
    fleet.stop().await;
    let exit = verdict(&master, &load)?;
    scene.finish(&session).await?;
    session.close().await;
    Ok(exit)
}

/// What is known once the set was found.
struct Scene<'a> {
    environment: &'a Environment,
    request: &'a RestoreRequest,
    /// The database did not exist and was made.
    created: bool,
    /// The database that is restored into.
    database: String,
    address: MasterAddress,
    around: Surroundings,
    set: DumpSet,
    /// The other sets that it needs.
    chain: Chain,
    stops: &'a Stops,
}

/// The small files of the set, read before anything is changed.
struct Definitions {
    pre_data: Vec<u8>,
    pre_data_path: PathBuf,
    post_data: Vec<u8>,
    post_data_path: PathBuf,
    /// Read only when the database is to be made.
    cdatabase: Option<Cdatabase>,
}

impl Definitions {
    fn read(set: &DumpSet, creates: bool) -> Result<Definitions, Refusal> {
        for kind in [DumpFileKind::Dump, DumpFileKind::PostData] {
            dump_set::require(set, kind)?;
        }
        let cdatabase = if creates { Some(read_cdatabase(set)?) } else { None };
        dump_set::check_master_files(set)?;
        Ok(Definitions {
            pre_data: dump_set::read_ddl(set, DumpFileKind::Dump)?,
            pre_data_path: dump_set::ddl_path(set, DumpFileKind::Dump),
            post_data: dump_set::read_ddl(set, DumpFileKind::PostData)?,
            post_data_path: dump_set::ddl_path(set, DumpFileKind::PostData),
            cdatabase,
        })
    }
}

fn read_cdatabase(set: &DumpSet) -> Result<Cdatabase, Refusal> {
    dump_set::require(set, DumpFileKind::Cdatabase)?;
    let text = dump_set::read_ddl(set, DumpFileKind::Cdatabase)?;
    let path = dump_set::ddl_path(set, DumpFileKind::Cdatabase);
    Cdatabase::parse(&String::from_utf8_lossy(&text))
        .map_err(|error| Refusal::failed(format!("{}: {error}", path.display())))
}

fn parse_script<'a>(text: &'a [u8], path: &Path) -> Result<Script<'a>, Refusal> {
    let cut = "nothing was changed; the file was cut off, or its dump failed: restore another set";
    let script =
        Script::parse(text).map_err(|error| Refusal::failed(format!("{}: {error}", path.display())).with_hint(cut))?;
    if script.toc().trailer.is_none() {
        return Err(Refusal::failed(format!(
            "{} does not end with the line \"-- Greenplum Database database dump complete\"",
            path.display()
        ))
        .with_hint(cut));
    }
    Ok(script)
}

impl Scene<'_> {
    async fn open(&self, database: &str) -> Result<Session, Refusal> {
        let session = self.address.open(database).await.map_err(|error| refusal_of(&error))?;
        self.stops.add(&session);
        Ok(session)
    }

    async fn database_exists(&self, session: &Session) -> Result<bool, Refusal> {
        let info = catalog::read_database(session, &self.around.dialect, &self.database).await;
        Ok(info.map_err(|error| refusal_of(&error))?.is_some())
    }

    async fn start_fleet(&self) -> Result<RestoreFleet, Refusal> {
        for primary in self.around.cluster.primaries() {
            if !primary.up {
                return Err(Refusal::known(format!(
                    "Host {} dir {} dbid {} marked as invalid",
                    primary.host,
                    primary.data_dir.display(),
                    primary.dbid
                )));
            }
        }
        let hosts: BTreeSet<HostName> = self.around.cluster.instances().map(|i| i.host.clone()).collect();
        let launcher = launcher(self.environment, self.request.remote_bin.clone());
        RestoreFleet::start(&launcher, hosts, self.request.parallel).await
    }

    async fn find_files(&self, set: &DumpSet, fleet: &mut RestoreFleet) -> Result<Vec<DataFile>, Refusal> {
        let own_names = [self.environment.host.clone(), self.environment.host_full.clone()];
        let root = self.request.backup_root.as_deref();
        let search = places::search(set, &self.around.cluster, root, &own_names);
        let found = fleet.find(&search).await?;
        places::choose(set, &self.around.cluster, root, &own_names, &found).map_err(|missing| refuse_missing(&missing))
    }

    /// Drops and creates as asked; returns the errors that do not end the restore.
    async fn prepare_database(
        &self,
        maintenance: &Session,
        cdatabase: Option<&Cdatabase>,
    ) -> Result<Vec<String>, Refusal> {
        let name = &self.database;
        let Some(cdatabase) = cdatabase else {
            return Ok(Vec::new());
        };
        restore_database::check_creatable(maintenance, cdatabase).await?;
        if self.request.recreate {
            tracing::info!("Dropping Database {name}");
            restore_database::drop_database(maintenance, &self.around.dialect, name).await?;
            tracing::info!("Dropped Database {name}");
        }
        if self.request.redirect.is_none() {
            tracing::info!(
                "Invoking sql file: {}",
                dump_set::ddl_path(&self.set, DumpFileKind::Cdatabase).display()
            );
            return restore_database::create_database(maintenance, &self.around.dialect, name, &cdatabase.statements)
                .await;
        }
        tracing::info!("Creating Database {name}");
        // Rights and settings are those of the other database.
        let statements: Vec<String> = cdatabase
            .renamed(name)
            .into_iter()
            .filter(|statement| statement.starts_with("CREATE DATABASE "))
            .collect();
        let messages = restore_database::create_database(maintenance, &self.around.dialect, name, &statements).await?;
        tracing::info!("Created Database {name}");
        Ok(messages)
    }

    async fn run_definitions(
        &self,
        session: &Session,
        script: &Script<'_>,
        path: &Path,
        pre_data: &Script<'_>,
    ) -> Result<ScriptOutcome, Refusal> {
        let fallback = encoding_of(pre_data).unwrap_or_else(|| "UTF8".to_owned());
        let context = ScriptContext {
            file: &path.display().to_string(),
            set_database: &self.set.database,
            target_database: &self.database,
            fallback_encoding: &fallback,
            fresh: self.request.recreate || self.created,
            // Definitions before the data are quick; an index or a constraint may take hours.
            batches: if std::ptr::eq(script, pre_data) {
                Batches::Yes
            } else {
                Batches::No
            },
        };
        run_script(session, script, context).await
    }

    #[allow(clippy::too_many_arguments)]
    async fn pre_data_and_data(
        &self,
        session: &Session,
        pre_data: &Script<'_>,
        definitions: &Definitions,
        fleet: &mut RestoreFleet,
        files: &[DataFile],
        master: &mut MasterOutcome,
        load: &mut LoadOutcome,
    ) -> Result<(), Refusal> {
        let outcome = match self.rows_only() {
            true => ScriptOutcome::default(),
            false => {
                self.run_definitions(session, pre_data, &definitions.pre_data_path, pre_data)
                    .await?
            }
        };
        master.errors.extend(outcome.errors);
        let dialect = &self.around.dialect;
        let tables = target::read_target_tables(session, dialect)
            .await
            .map_err(|error| refusal_of(&error))?;
        let existing = match self.rows_only() {
            true => tables.iter().map(|table| table.name.clone()).collect(),
            false => outcome.existing_tables,
        };
        if !self.chain.plan.is_empty() {
            tracing::info!("Running data restore");
            for line in self.chain.plan.iter().filter(|line| !line.tables.is_empty()) {
                tracing::info!("{} tables come from set {}", line.tables.len(), line.key);
            }
        }
        let cluster = &self.around.cluster;
        let routes = self.chain.plan_routes(&self.set, cluster, dialect, &tables, &existing);
        *load = fleet.load(self.jobs(files, &routes)).await;
        if load.all_read() {
            let mut differences = compare_rows(&self.set, None, &routes, load);
            for older in &self.chain.older {
                differences.extend(compare_rows(&older.set, Some(&older.tables), &routes, load));
            }
            differences.extend(self.chain.missing(&tables, &routes, load));
            if let Some(file) = load.files.values_mut().next() {
                file.miscounted.extend(differences);
            }
        }
        Ok(())
    }

    /// What each host is to load.
    fn jobs(&self, files: &[DataFile], routes: &Routes) -> BTreeMap<HostName, RestoreStart> {
        let cluster = &self.around.cluster;
        let target = |instance: &Instance, from: &HostName, utility: bool| LoadTarget {
            local: instance.host == *from,
            instance: instance.clone(),
            utility,
        };
        let choices: Vec<Vec<String>> = self.chain.older.iter().map(|older| older.tables.clone()).collect();
        let older = self.chain.older.iter().enumerate();
        let sets = std::iter::once((&self.set, files, None))
            .chain(older.map(|(at, older)| (&older.set, older.files.as_slice(), Some(at))));
        let mut jobs: BTreeMap<HostName, RestoreStart> = BTreeMap::new();
        for (set, files, only) in sets {
            let first = files.first().map(|file| file.content);
            for file in files {
                let start = jobs.entry(file.host.clone()).or_insert_with(|| RestoreStart {
                    dialect: self.around.dialect.clone(),
                    login: LoginAs {
                        user: self.address.login.user.clone(),
                        database: self.database.clone(),
                    },
                    master: target(cluster.master(), &file.host, false),
                    files: Vec::new(),
                    default_route: routes.default,
                    routes: routes.exceptions.clone(),
                    choices: choices.clone(),
                });
                start.files.push(RestoreFile {
                    content: file.content,
                    path: file.path.clone(),
                    compression: set.names.compression,
                    sha256: file.sha256.clone(),
                    segment: cluster.primary(file.content).map(|p| target(p, &file.host, true)),
                    only,
                    loads_copies: Some(file.content) == first,
                });
            }
        }
        jobs
    }

    /// `--noplan` of an increment: the tables are there.
    fn rows_only(&self) -> bool {
        self.request.noplan && self.set.backup_type == BackupType::Incremental
    }

    /// Where report and status files go, when not to the data directories.
    fn report_directory(&self) -> Option<PathBuf> {
        if let Some(directory) = &self.request.report_status_dir {
            return Some(directory.clone());
        }
        let directory = dump_directory(self.request.backup_root.as_deref()?, self.set.names.key);
        if tempfile::tempfile_in(&directory).is_ok() {
            return Some(directory);
        }
        let directory = directory.display();
        tracing::warn!("Backup directory {directory} is not writable. Error No write access permission on {directory}");
        tracing::warn!(
            "Since --report-status-dir option is not specified, report and status file will be written in segment data \
             directory."
        );
        None
    }

    async fn finish(&self, session: &Session) -> Result<(), Refusal> {
        // The settings of the set's files end here.
        session
            .run("RESET ALL; SET statement_timeout = 0", "going on after the restore")
            .await
            .map_err(|error| refusal_of(&error))?;
        if self.request.ao_stats {
            restore_after::update_ao_statistics(session, &self.around.dialect).await?;
        }
        if !self.request.analyze {
            for line in restore_lines::ANALYZE_BYPASSED {
                tracing::warn!("{line}");
            }
        } else {
            restore_after::analyze_database(session, &self.database).await;
        }
        Ok(())
    }
}

/// Compares the rows that went in with those that the manifest of a set counted; `only`: for these tables.
fn compare_rows(set: &DumpSet, only: Option<&[String]>, routes: &Routes, load: &LoadOutcome) -> Vec<String> {
    let Some(manifest) = &set.manifest else {
        return Vec::new();
    };
    let once: BTreeSet<&QualifiedName> = routes
        .exceptions
        .iter()
        .filter(|(_, route)| *route == LoadRoute::OnceThroughMaster)
        .map(|(name, _)| name)
        .collect();
    let only: Option<HashSet<&str>> = only.map(|tables| tables.iter().map(String::as_str).collect());
    let copies = set.segments.len() as u64;
    let mut differences = Vec::new();
    for facts in &manifest.tables {
        let is_wanted = only
            .as_ref()
            .is_none_or(|only| only.contains(facts.table.to_string().as_str()));
        if !is_wanted || load.troubled.contains(&facts.table) {
            continue;
        }
        let expected = match once.contains(&facts.table) {
            true => facts.totals.rows / copies.max(1),
            false => facts.totals.rows,
        };
        let loaded = load.rows.get(&facts.table).copied().unwrap_or(0);
        if loaded != expected {
            differences.push(format!(
                "table {}: {loaded} rows were loaded, the manifest of set {} counts {expected}",
                facts.table, set.names.key
            ));
        }
    }
    differences
}

/// The master's records are written right here: they matter most when a worker was lost.
async fn write_records(
    fleet: &mut RestoreFleet,
    own_host: &HostName,
    records: Vec<(HostName, PathBuf, String)>,
) -> Vec<String> {
    let (own, others): (Vec<_>, Vec<_>) = records.into_iter().partition(|(host, ..)| host == own_host);
    let mut problems = fleet.write_files(others).await;
    for (_, path, text) in own {
        if let Err(error) = host_ops::write_file(&path, &text) {
            problems.push(format!("could not write {}: {error}", path.display()));
        }
    }
    problems
}

fn refuse_missing(missing: &[Missing]) -> Refusal {
    let Some(first) = missing.first() else {
        return Refusal::failed("data files are missing");
    };
    let text = match first.wrong_size {
        None => format!("No dump file on {} in {}", first.host, first.directory.display()),
        Some(size) => format!(
            "Dump file {} on {} in {} has {} bytes, the manifest of the set says {}",
            first.name,
            first.host,
            first.directory.display(),
            size.found,
            size.expected
        ),
    };
    let mut hint = format!(
        "nothing was changed; file {} of segment {} was written to {} on {}",
        first.name,
        first.content,
        first.expected_directory.display(),
        first.expected_host
    );
    if missing.len() > 1 {
        hint.push_str(&format!(", and {} more data files are missing", missing.len() - 1));
    }
    Refusal::known(text).with_hint(hint)
}

/// Tells every error and says what they amount to.
fn verdict(master: &MasterOutcome, load: &LoadOutcome) -> Result<Exit, Refusal> {
    let files = || load.files.values();
    let failures: Vec<&String> = master
        .failure
        .iter()
        .chain(files().filter_map(|file| file.failure.as_ref()))
        .chain(files().flat_map(|file| &file.miscounted))
        .collect();
    let errors: Vec<&String> = master
        .errors
        .iter()
        .chain(files().flat_map(|file| &file.refused))
        .collect();
    for message in failures.iter().chain(&errors).take(TOLD_ERRORS) {
        tracing::error!("{message}");
    }
    let more = (failures.len() + errors.len()).saturating_sub(TOLD_ERRORS);
    if more > 0 {
        tracing::error!("{more} more errors stand in the restore report and the status files");
    }
    if !failures.is_empty() {
        return Err(Refusal::failed("gpdbrestore finished unsuccessfully")
            .with_hint("the restore report and the status files have every error; the database is not complete"));
    }
    if !errors.is_empty() {
        tracing::warn!("gpdbrestore finished but ERRORS were found, please check the restore report file for details");
        return Ok(Exit::Warnings);
    }
    tracing::info!("gpdbrestore finished successfully");
    Ok(Exit::Ok)
}

/// Statements to cancel when the run is stopped.
#[derive(Default)]
struct Stops {
    tokens: Mutex<Vec<CancelToken>>,
    /// The name of the database from the moment in which it is changed.
    changed: Mutex<Option<String>>,
}

impl Stops {
    fn add(&self, session: &Session) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.push(session.cancel_token());
    }

    fn changing(&self, database: &str) {
        *self.changed.lock().unwrap_or_else(PoisonError::into_inner) = Some(database.to_owned());
    }

    fn interrupted(&self) -> Refusal {
        let changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        match &*changed {
            None => Refusal::known("interrupted by a signal; nothing was changed"),
            Some(database) => Refusal::known(format!(
                "interrupted by a signal; queries were cancelled, and database {database} is not complete"
            )),
        }
    }

    async fn cancel_all(&self) {
        let tokens = std::mem::take(&mut *self.tokens.lock().unwrap_or_else(PoisonError::into_inner));
        let asked = tokens
            .into_iter()
            .map(|token| async move { token.cancel_query(NoTls).await });
        // A server that is gone must not hold us.
        let _ = tokio::time::timeout(CANCEL_LIMIT, futures_util::future::join_all(asked)).await;
    }
}
