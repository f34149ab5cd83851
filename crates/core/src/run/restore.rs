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
use super::restore_lines::{EnginePlace, Phase};
use super::restore_selection::{self, Selection};
use super::{refusal_of, restore_lines};
use crate::db::target::Truncation;
use crate::db::{Session, catalog, target};
use crate::exec::restore_fleet::{FileOutcome, LoadOutcome, RestoreFleet};
use crate::exec::restore_records::{self, MasterOutcome, Records};
use crate::exec::restore_script::{Batches, ScriptContext, ScriptOutcome, encoding_of, run_script};
use crate::exec::{restore_after, restore_database};
use crate::format::cdatabase::Cdatabase;
use crate::format::report::BackupType;
use crate::format::sql_script::Script;
use crate::gather::cluster::{MasterAddress, Surroundings, launcher, master_address, read_surroundings};
use crate::gather::{dump_set, which_set};
use crate::plan::restore::inventory::Inventory;
use crate::plan::restore::parts::Files;
use crate::plan::restore::places::{self, Missing};
use crate::plan::restore::routes::Routes;
use crate::plan::restore::{DataFile, DumpSet};
use crate::plan::restore_request::{RestoreRequest, WhichSet};
use crate::words::cluster::{HostName, Instance};
use crate::words::environment::Environment;
use crate::words::exit::Exit;
use crate::words::ids::TimestampKey;
use crate::words::job::{LoadRoute, LoginAs};
use crate::words::layout::{DumpFileKind, InstanceId, dump_directory};
use crate::words::names::QualifiedName;
use crate::words::present::Present;
use crate::words::refusal::Refusal;
use crate::worker::host_ops;
use crate::worker::restore_segment::{LoadTarget, RestoreFile, RestoreStart};

const PROGRAM: &str = "gpdbrestore";

/// SQL errors that are told on the screen; the status files have all.
const TOLD_ERRORS: usize = 50;

/// Longest wait for servers to take cancel requests when the run is stopped.
const CANCEL_LIMIT: Duration = Duration::from_secs(3);

/// What a person is asked; nobody is when the request says so.
#[allow(missing_debug_implementations)]
pub struct Questions<C, N> {
    /// Whether to go on.
    pub confirm: C,
    /// Which line of a list of so many.
    pub choose: N,
}

/// Restores the set that the request names. `now` gives the local time.
pub async fn run<C, N>(
    environment: &Environment,
    request: &RestoreRequest,
    now: fn() -> NaiveDateTime,
    questions: Questions<C, N>,
    cancel: &CancellationToken,
) -> Result<Exit, Refusal>
where
    C: AsyncFn() -> Result<bool, Refusal>,
    N: AsyncFn(String, usize) -> Result<usize, Refusal>,
{
    let stops = Stops::default();
    tokio::select! {
        result = restore(environment, request, now, questions, &stops) => result,
        // The sessions and the workers went with the future above; what runs on the servers is told to end.
        () = cancel.cancelled() => {
            stops.cancel_all().await;
            Err(stops.interrupted())
        }
    }
}

async fn restore<C, N>(
    environment: &Environment,
    request: &RestoreRequest,
    now: fn() -> NaiveDateTime,
    questions: Questions<C, N>,
    stops: &Stops,
) -> Result<Exit, Refusal>
where
    C: AsyncFn() -> Result<bool, Refusal>,
    N: AsyncFn(String, usize) -> Result<usize, Refusal>,
{
    let address = master_address(environment, Some(&request.master_data_dir), PROGRAM)?;
    let around = read_surroundings(&address, &environment.host_full)
        .await
        .map_err(|error| refusal_of(&error))?;
    let root = request.backup_root.as_deref().unwrap_or(&request.master_data_dir);
    let key = find_key(root, request, &questions.choose).await?;
    let set = dump_set::read_dump_set(root, &request.prefix, key)?;
    if request.list_tables {
        return list_tables(&set);
    }
    let chain = restore_chain::read(root, request, &set)?;
    if request.list_backup {
        for line in restore_lines::parameters(request, &set, &around.cluster, &[]) {
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
    let fresh = request.recreate || scene.created;
    // Names are looked up before anybody is asked; a restore of everything reads the files when it needs them.
    let early = match request.selects() {
        true => Some(Definitions::read(&scene.set, fresh)?),
        false => None,
    };
    let selection = match &early {
        Some(definitions) => Selection::read(
            request,
            &parse_script(&definitions.pre_data, &definitions.pre_data_path)?,
        )?,
        None => None,
    };
    let present = match &early {
        Some(definitions) if !fresh => scene.read_present(selection.as_ref(), definitions).await?,
        _ => Present::default(),
    };
    if let Some(selection) = &selection {
        selection.check_schema(&present, fresh, request.redirect.as_deref())?;
    }
    let named = selection.as_ref().map(Selection::named).unwrap_or_default();
    for line in restore_lines::parameters(request, &scene.set, &scene.around.cluster, &named) {
        tracing::info!("{line}");
    }
    if request.confirm && !(questions.confirm)().await? {
        tracing::info!("User abort requested, Exiting...");
        return Ok(Exit::Aborted);
    }

    let mut definitions = match early {
        Some(definitions) => definitions,
        None => Definitions::read(&scene.set, fresh)?,
    };
    let mut first_steps = FirstSteps::default();
    if let Some(selection) = &selection {
        first_steps = definitions.cut(selection, &present, &scene.database, fresh)?;
    }
    let pre_data = parse_script(&definitions.pre_data, &definitions.pre_data_path)?;
    let post_data = parse_script(&definitions.post_data, &definitions.post_data_path)?;
    let mut fleet = scene.start_fleet().await?;
    let mut files = Vec::new();
    if !request.metadata_only {
        files = scene.find_files(&scene.set, &mut fleet).await?;
        let mut older = std::mem::take(&mut scene.chain.older);
        for member in &mut older {
            member.files = scene.find_files(&member.set, &mut fleet).await?;
        }
        scene.chain.older = older;
        scene.chain.write_plan(&scene.set);
    }

    stops.changing(&scene.database);
    let mut master = MasterOutcome {
        errors: scene
            .prepare_database(&maintenance, definitions.cdatabase.as_ref())
            .await?,
        failure: None,
    };
    maintenance.close().await;
    let report_directory = scene.report_directory();
    if !scene.set.names.prefix.is_empty() {
        tracing::info!("Adding --prefix");
    }
    let engine = |phase: Phase<'_>| {
        let place = EnginePlace {
            host: &environment.host_full,
            port: scene.around.cluster.master().port,
            user: &environment.user,
            database: &scene.database,
            report_directory: report_directory.as_deref(),
        };
        restore_lines::engine_arguments(request, &scene.set, place, phase)
    };

    let session = scene.open(&scene.database).await?;
    for setting in scene.around.dialect.dump_session_settings() {
        session
            .run(&setting, "preparing the session")
            .await
            .map_err(|error| refusal_of(&error))?;
    }
    scene.take_first_steps(&session, &first_steps).await?;
    let is_full = scene.set.backup_type == BackupType::Full;
    let has_phases = (request.has_phases() || !scene.chain.plan.is_empty()) && !scene.rows_only();
    match has_phases {
        false => tracing::info!("gp_restore commandline: gp_restore {}: ", engine(Phase::Single)),
        true => {
            let file = &definitions.pre_data_path;
            tracing::info!("Running metadata restore");
            tracing::info!(
                "Invoking commandline: gp_restore {}",
                engine(Phase::Metadata { file, full: is_full })
            );
        }
    }
    let mut load = LoadOutcome::default();
    let mut existing = BTreeSet::new();
    if !scene.rows_only() {
        let outcome = scene
            .run_definitions(
                &session,
                &pre_data,
                &definitions.pre_data_path,
                &pre_data,
                selection.is_some(),
            )
            .await;
        match outcome {
            Ok(outcome) => {
                master.errors.extend(outcome.errors);
                existing = outcome.existing_tables;
            }
            Err(failure) => master.failure = Some(failure.text),
        }
    }
    if has_phases && master.failure.is_none() {
        tell_end_of_phase(&master);
        tracing::info!("Expanding parent partitions if any in table filter");
        if !request.metadata_only && is_full {
            tracing::info!("gp_restore commandline: gp_restore {}: ", engine(Phase::Data));
        }
    }
    if master.failure.is_none() && !request.metadata_only {
        let wanted = Wanted {
            selection: selection.as_ref(),
            present: &present,
        };
        if let Err(failure) = scene
            .load_rows(&session, &mut fleet, &files, wanted, existing, &mut load)
            .await
        {
            master.failure = Some(failure.text);
        }
    }
    if master.failure.is_none() && load.all_read() && !scene.rows_only() {
        if has_phases && is_full {
            if !request.metadata_only {
                tell_end_of_load(&load);
            }
            tracing::info!("Running post data restore");
            tracing::info!("gp_restore commandline: gp_restore {}: ", engine(Phase::PostData));
        }
        let outcome = scene
            .run_definitions(
                &session,
                &post_data,
                &definitions.post_data_path,
                &pre_data,
                selection.is_some(),
            )
            .await;
        match outcome {
            Ok(outcome) => master.errors.extend(outcome.errors),
            Err(failure) => master.failure = Some(failure.text),
        }
    }
    let arguments = engine(Phase::Single);
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
    scene.finish(&session, selection.as_ref()).await?;
    session.close().await;
    Ok(exit)
}

/// The set that is meant.
async fn find_key(
    root: &Path,
    request: &RestoreRequest,
    choose: &impl AsyncFn(String, usize) -> Result<usize, Refusal>,
) -> Result<TimestampKey, Refusal> {
    let date = match &request.which {
        WhichSet::Key(key) => return Ok(*key),
        WhichSet::Latest(database) => return which_set::latest_key(root, &request.prefix, database),
        WhichSet::Date(date) => date,
    };
    let keys = which_set::keys_of_date(root, &request.prefix, date)?;
    if let [only] = keys[..] {
        return Ok(only);
    }
    if !request.confirm {
        let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
        return Err(Refusal::known(format!(
            "there are {} sets of {date}, and -a says that nobody is to be asked which one: {}",
            keys.len(),
            keys.join(", ")
        ))
        .with_hint("name the one that is meant with -t"));
    }
    let chosen = choose(which_set::choice_list(&keys), keys.len()).await?;
    keys.get(chosen)
        .copied()
        .ok_or_else(|| Refusal::known("Invalid or null input"))
}

/// `-L`
fn list_tables(set: &DumpSet) -> Result<Exit, Refusal> {
    dump_set::require(set, DumpFileKind::Dump)?;
    let text = dump_set::read_ddl(set, DumpFileKind::Dump)?;
    let script = parse_script(&text, &dump_set::ddl_path(set, DumpFileKind::Dump))?;
    for line in restore_selection::list_of_tables(&Inventory::read(&script), set.names.key) {
        tracing::info!("{line}");
    }
    Ok(Exit::Ok)
}

/// What is done right before the definitions are run.
#[derive(Debug, Default)]
struct FirstSteps {
    notes: Vec<String>,
    warnings: Vec<String>,
    schemas: Vec<String>,
    truncations: Vec<Truncation>,
}

/// The rows to be loaded, when not all of them.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    selection: Option<&'a Selection>,
    /// What the database had before.
    present: &'a Present,
}

fn tell_end_of_phase(master: &MasterOutcome) {
    match master.errors.is_empty() {
        true => tracing::info!("gpdbrestore finished successfully"),
        false => tracing::warn!(
            "gpdbrestore finished but ERRORS were found, please check the restore report file for details"
        ),
    }
}

fn tell_end_of_load(load: &LoadOutcome) {
    let is_good = |file: &FileOutcome| file.refused.is_empty() && file.miscounted.is_empty();
    match load.files.values().all(is_good) {
        true => tracing::info!("gpdbrestore finished successfully"),
        false => tracing::warn!(
            "gpdbrestore finished but ERRORS were found, please check the restore report file for details"
        ),
    }
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

impl Definitions {
    /// Leaves what is asked for.
    fn cut(
        &mut self,
        selection: &Selection,
        present: &Present,
        database: &str,
        fresh: bool,
    ) -> Result<FirstSteps, Refusal> {
        let (truncations, warnings) = selection.truncations(present, database)?;
        let cut = {
            let pre_data = parse_script(&self.pre_data, &self.pre_data_path)?;
            let post_data = parse_script(&self.post_data, &self.post_data_path)?;
            let files = Files {
                pre_data: &pre_data,
                post_data: &post_data,
            };
            selection.cut(files, present, fresh)?
        };
        self.pre_data = cut.pre_data;
        self.post_data = cut.post_data;
        Ok(FirstSteps {
            notes: cut.notes,
            warnings,
            schemas: cut.schemas,
            truncations,
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
        partial: bool,
    ) -> Result<ScriptOutcome, Refusal> {
        let fallback = encoding_of(pre_data).unwrap_or_else(|| "UTF8".to_owned());
        let context = ScriptContext {
            file: &path.display().to_string(),
            set_database: &self.set.database,
            target_database: &self.database,
            fallback_encoding: &fallback,
            fresh: self.request.recreate || self.created,
            partial,
            // Definitions before the data are quick; an index or a constraint may take hours.
            batches: if std::ptr::eq(script, pre_data) {
                Batches::Yes
            } else {
                Batches::No
            },
        };
        run_script(session, script, context).await
    }

    /// What the database has of what is asked for.
    async fn read_present(&self, selection: Option<&Selection>, definitions: &Definitions) -> Result<Present, Refusal> {
        let Some(selection) = selection else {
            return Ok(Present::default());
        };
        let script = parse_script(&definitions.pre_data, &definitions.pre_data_path)?;
        let session = self.open(&self.database).await?;
        let present = target::read_present(&session, &self.around.dialect, &selection.sequences(&script)).await;
        session.close().await;
        present.map_err(|error| refusal_of(&error))
    }

    async fn take_first_steps(&self, session: &Session, steps: &FirstSteps) -> Result<(), Refusal> {
        for note in &steps.notes {
            tracing::info!("{note}");
        }
        for warning in &steps.warnings {
            tracing::warn!("{warning}");
        }
        for schema in &steps.schemas {
            tracing::info!("Creating schema {schema}");
            target::create_schema(session, schema)
                .await
                .map_err(|error| refusal_of(&error))?;
        }
        if !steps.truncations.is_empty() {
            target::truncate(session, &self.around.dialect, &steps.truncations)
                .await
                .map_err(|error| {
                    Refusal::failed(format!(
                        "Failure from truncating tables, {}",
                        crate::db::error_chain(&error)
                    ))
                    .with_hint("no table was emptied and no row was restored")
                })?;
        }
        Ok(())
    }

    async fn load_rows(
        &self,
        session: &Session,
        fleet: &mut RestoreFleet,
        files: &[DataFile],
        wanted: Wanted<'_>,
        mut existing: BTreeSet<QualifiedName>,
        load: &mut LoadOutcome,
    ) -> Result<(), Refusal> {
        let dialect = &self.around.dialect;
        let mut tables = target::read_target_tables(session, dialect)
            .await
            .map_err(|error| refusal_of(&error))?;
        if let Some(selection) = wanted.selection {
            tables = selection.as_in_set(tables);
            existing.extend(selection.existing(wanted.present));
        }
        if self.rows_only() {
            existing = tables.iter().map(|table| table.name.clone()).collect();
        }
        if !self.chain.plan.is_empty() {
            tracing::info!("Running data restore");
            for line in self.chain.plan.iter().filter(|line| !line.tables.is_empty()) {
                tracing::info!("{} tables come from set {}", line.tables.len(), line.key);
            }
        }
        let cluster = &self.around.cluster;
        let mut routes = self.chain.plan_routes(&self.set, cluster, dialect, &tables, &existing);
        if let Some(selection) = wanted.selection {
            routes = routes.only(selection.rows());
        }
        *load = fleet.load(self.jobs(files, &routes, wanted.selection)).await;
        if load.all_read() {
            let mut differences = compare_rows(&self.set, None, &routes, load);
            for older in &self.chain.older {
                differences.extend(compare_rows(&older.set, Some(&older.tables), &routes, load));
            }
            differences.extend(self.chain.missing(&tables, &routes, load));
            if let Some(file) = load.files.values_mut().next() {
                file.miscounted.extend(differences);
            }
            for table in wanted.selection.into_iter().flat_map(Selection::rows) {
                if !load.rows.contains_key(table) && !load.troubled.contains(table) {
                    tracing::warn!("Table {table}: no data file of the set has rows of it; it was dumped without rows");
                }
            }
        }
        Ok(())
    }

    /// What each host is to load.
    fn jobs(
        &self,
        files: &[DataFile],
        routes: &Routes,
        selection: Option<&Selection>,
    ) -> BTreeMap<HostName, RestoreStart> {
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
                    schema: selection.and_then(Selection::schema),
                });
                start.files.push(RestoreFile {
                    content: file.content,
                    path: file.path.clone(),
                    compression: set.names.compression,
                    sha256: file.sha256.clone(),
                    index: self.index_of(set, file),
                    segment: cluster.primary(file.content).map(|p| target(p, &file.host, true)),
                    only,
                    loads_copies: Some(file.content) == first,
                });
            }
        }
        jobs
    }

    /// Where the index of a data file lies, if it has one. Its name follows that of the file, whoever wrote it.
    fn index_of(&self, set: &DumpSet, file: &DataFile) -> PathBuf {
        let id = InstanceId {
            content: file.content,
            dbid: file.dbid,
        };
        file.path.with_file_name(set.names.of_instance(DumpFileKind::Index, id))
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

    async fn finish(&self, session: &Session, selection: Option<&Selection>) -> Result<(), Refusal> {
        // The settings of the set's files end here.
        session
            .run("RESET ALL; SET statement_timeout = 0", "going on after the restore")
            .await
            .map_err(|error| refusal_of(&error))?;
        let only = selection.map(Selection::all_here);
        if self.request.ao_stats {
            restore_after::update_ao_statistics(session, &self.around.dialect, only.as_ref()).await?;
        } else if self.around.dialect.has_appendonly && !self.request.metadata_only {
            // Rows that went straight into segments move the master's counters only through these statistics.
            tracing::warn!(
                "--noaostats: the next incremental dump may leave out append-optimized tables that were loaded now; \
                 make the next dump a full one, or run gp_update_ao_master_stats on them"
            );
        }
        // There is nothing to be counted.
        if self.request.metadata_only {
            return Ok(());
        }
        match selection {
            _ if !self.request.analyze => {
                for line in restore_lines::ANALYZE_BYPASSED {
                    tracing::warn!("{line}");
                }
            }
            Some(selection) if !selection.heads().is_empty() => {
                restore_after::analyze_tables(session, &self.database, &selection.heads()).await;
            }
            Some(_) => {}
            None => {
                restore_after::analyze_database(session, &self.database).await;
            }
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
    let routed: HashSet<&QualifiedName> = routes.exceptions.iter().map(|(name, _)| name).collect();
    let copies = set.segments.len() as u64;
    let mut differences = Vec::new();
    for facts in &manifest.tables {
        let is_routed = routes.default != LoadRoute::Skip || routed.contains(&facts.table);
        let is_wanted = is_routed
            && only
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
