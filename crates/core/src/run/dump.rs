//! `gpcrondump`: every database in turn, each as a set of its own.

use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::config_files::save_config_files;
use super::dump_database::{self, DatabaseEnd, DumpContext};
use super::mail::{self, WithoutContacts};
use super::script::{self, Script};
use super::{Telling, cleanup, dump_key, dump_lines, interrupted, refusal_of};
use crate::cli::failure;
use crate::db::catalog;
use crate::format::report::BackupType;
use crate::format::run_report::{DatabaseDump, DumpBody};
use crate::gather::chain;
use crate::gather::cluster::{
    MasterAddress, Surroundings, launcher, master_address, read_server, read_surroundings, server_address, streams,
};
use crate::plan::backup_files::{self, FullSet};
use crate::plan::databases::{Databases, DumpedDatabase};
use crate::plan::dump_request::{DumpRequest, RowStyle};
use crate::plan::filter::TableFilter;
use crate::plan::{self, databases};
use crate::store::data_file::write_small_file;
use crate::store::files::Files;
use crate::words::environment::Environment;
use crate::words::exit::Exit;
use crate::words::ids::{DumpDate, TimestampKey};
use crate::words::layout::{DumpFileKind, FileNaming, SetNames, dump_directory};
use crate::words::progress::ProgressBoard;
use crate::words::refusal::Refusal;
use crate::worker::host_ops;

/// The name under which failures are told.
const PROGRAM: &str = "gpcrondump";

/// Dumps all databases of the request. `now` gives the local time; `confirm` asks whether to go on, and is not called
/// when the request says that nobody is to be asked. `told` is kept up to date whatever the end.
pub async fn run(
    environment: &Environment,
    request: &DumpRequest,
    files: &Files,
    now: fn() -> chrono::NaiveDateTime,
    confirm: impl AsyncFn() -> Result<bool, Refusal>,
    told: Telling<'_, DumpBody>,
    cancel: &CancellationToken,
) -> Result<Exit, Refusal> {
    let Telling { told, board } = told;
    // On the master's host its data directory may be all that tells the port.
    let by_directory = request.external.is_some() && environment.pg.names_no_server();
    let mut address = match request.through_master.is_some() && !by_directory {
        true => server_address(environment, request.databases.named(), PROGRAM, request.limits),
        false => master_address(environment, Some(&request.master_data_dir), PROGRAM, request.limits)?,
    };
    let gather = async {
        let surroundings = surroundings(environment, request, &address).await?;
        let databases = match request.chores.is_cleanup_only() {
            true => Vec::new(),
            false => choose_databases(&address, request).await?,
        };
        Ok((surroundings, databases))
    };
    let (surroundings, databases) = tokio::select! {
        gathered = gather => gathered?,
        () = cancel.cancelled() => return Err(interrupted()),
    };
    if request.through_master.is_none() {
        address.watch_segments(&surroundings, &environment.host_full);
    }
    if request.style.rows == RowStyle::CopyWithOids && !surroundings.dialect.rows_can_have_oids() {
        return Err(Refusal::known(
            "--oids: this server has no object ids for rows, so there is nothing that it could save",
        )
        .with_hint("leave --oids away; a dump without it holds everything"));
    }
    let run = Run {
        environment,
        request,
        files,
        address: &address,
        surroundings: &surroundings,
        now,
        board,
    };
    if databases.is_empty() {
        return run.clean_up_only(cancel).await;
    }
    if request.list_filter {
        return run.list_filter(&databases[0]);
    }
    if let (true, Some(key)) = (request.list_files, request.key) {
        return run.list_files(&databases[0], key);
    }
    let script = request
        .chores
        .script
        .as_deref()
        .map(|text| script::locate(text, &environment.path));
    told.databases = databases
        .iter()
        .map(|database| DatabaseDump::waiting(database))
        .collect();
    let (mut exit, mut ends) = match databases.as_slice() {
        [database] => {
            let told = &mut told.databases[0];
            match run.dump(database, Turn::last(None), &confirm, told, cancel).await? {
                Some(end) => (end.exit, vec![end]),
                None => return Ok(Exit::Aborted),
            }
        }
        _ => {
            run.dump_several(&databases, &confirm, &mut told.databases, cancel)
                .await?
        }
    };
    // A program that counts on all sets must not run when one is missing.
    let script = script.filter(|_| exit < Exit::Failed);
    tokio::select! {
        after = run.after_all(&mut ends, script.as_ref()) => exit = exit.max(after),
        () = cancel.cancelled() => {
            let text = "interrupted by a signal; all databases are dumped, but not all that was to follow is done";
            return Err(Refusal::known(text));
        }
    }
    Ok(exit)
}

async fn surroundings(
    environment: &Environment,
    request: &DumpRequest,
    address: &MasterAddress,
) -> Result<Surroundings, Refusal> {
    let own_host = &environment.host_full;
    let Some(through) = &request.through_master else {
        let around = read_surroundings(address, own_host).await;
        return around.map_err(|error| refusal_of(&error));
    };
    let root = &request.master_data_dir;
    let mut around = read_server(address, own_host, root)
        .await
        .map_err(|error| refusal_of(&error))?;
    let connections = plan::streams::connections(around.shares_snapshots, through.connections);
    around.cluster = streams(address, own_host, root, connections);
    if request.external.is_some() {
        return Ok(around);
    }
    info!(
        "Going through the master alone: {}:{}, {connections} connection(s), {}",
        around.cluster.master().address,
        around.cluster.master().port,
        match (around.shares_snapshots, connections) {
            (true, _) => "one snapshot",
            (false, 1) => "one transaction, because the server shares no snapshots",
            (false, _) => "each with a snapshot of its own, because the server shares none",
        }
    );
    Ok(around)
}

/// What every database of a run is dumped with.
struct Run<'a> {
    environment: &'a Environment,
    request: &'a DumpRequest,
    files: &'a Files,
    address: &'a MasterAddress,
    surroundings: &'a Surroundings,
    now: fn() -> chrono::NaiveDateTime,
    board: &'a ProgressBoard,
}

/// The place of a database in the run.
struct Turn {
    /// The key of the database before.
    used: Option<TimestampKey>,
    /// This is the last one, and all before it are dumped: old sets may go now.
    may_clean_up: bool,
}

impl Turn {
    fn last(used: Option<TimestampKey>) -> Self {
        let may_clean_up = true;
        Turn { used, may_clean_up }
    }
}

impl Run<'_> {
    /// `-o`.
    async fn clean_up_only(&self, cancel: &CancellationToken) -> Result<Exit, Refusal> {
        info!("Clearing dumps only...");
        let Some(asked) = &self.request.chores.cleanup else {
            return Ok(Exit::Ok);
        };
        let launcher = launcher(
            self.environment,
            self.request.remote_bin.clone(),
            self.request.limits,
            self.files,
        );
        let key = self.request.key.unwrap_or_else(|| TimestampKey::of((self.now)()));
        let spared = [DumpDate::of(key), DumpDate::of_moment((self.now)())];
        let cleaning = cleanup::clean_up(
            self.request,
            self.files,
            &self.surroundings.cluster,
            &launcher,
            asked,
            &spared,
        );
        tokio::select! {
            cleaned = cleaning => Ok(cleaned?.exit),
            () = cancel.cancelled() => Err(interrupted()),
        }
    }

    /// `--list-filter-tables`.
    fn list_filter(&self, database: &str) -> Result<Exit, Refusal> {
        let request = self.request;
        let root = request.root();
        let filter = chain::find_filter(self.files, &root, &request.prefix, database)?;
        for line in dump_lines::filter_lines(request, database, filter.as_deref()) {
            info!("{line}");
        }
        Ok(Exit::Ok)
    }

    /// `--list-backup-files`.
    fn list_files(&self, database: &str, key: TimestampKey) -> Result<Exit, Refusal> {
        let request = self.request;
        let root = request.root();
        let chain = match request.backup_type {
            BackupType::Full => None,
            BackupType::Incremental => {
                let base = chain::find_base(
                    self.files,
                    &root,
                    &request.prefix,
                    database,
                    &self.surroundings.cluster,
                    false,
                )?;
                Some(FullSet {
                    key: base.full,
                    directory: base.directory,
                })
            }
        };
        let files = backup_files::list(request, key, &self.surroundings.cluster, chain.as_ref());
        let directory = dump_directory(&root, key);
        host_ops::prepare_directory(self.files, &directory).map_err(|error| refusal_of(&error))?;
        let names = SetNames {
            prefix: request.prefix.clone(),
            key,
            naming: FileNaming::New,
            compression: request.compression,
        };
        for (kind, what, lines) in [
            (DumpFileKind::Pipes, "pipe", &files.pipes),
            (DumpFileKind::RegularFiles, "file", &files.regular),
        ] {
            let path = directory.join(names.of_set(kind));
            let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
            write_small_file(self.files, &path, text.as_bytes()).map_err(|error| refusal_of(&error))?;
            info!("Added the list of {what} names to the file: {}", path.display());
        }
        // The lists are the original's, whose sets had no more; without its manifest a set of ours is not whole.
        for line in &files.others {
            info!("To be kept with the files of the list: {line}");
        }
        info!("Successfully listed the names of backup files and pipes");
        Ok(Exit::Ok)
    }

    /// A failure is told at once and does not keep the others from being dumped; a signal and the word "no" do.
    async fn dump_several(
        &self,
        databases: &[String],
        confirm: &impl AsyncFn() -> Result<bool, Refusal>,
        told: &mut [DatabaseDump],
        cancel: &CancellationToken,
    ) -> Result<(Exit, Vec<DatabaseEnd>), Refusal> {
        refuse_filter_for_several(&self.request.filter)?;
        info!("Configuring for multiple database dump");
        let mut used = None;
        let mut ends = Vec::new();
        for (at, (database, told)) in databases.iter().zip(told).enumerate() {
            let is_last = at + 1 == databases.len();
            let all_dumped = ends.iter().all(Option::is_some);
            if is_last && !all_dumped && self.request.chores.cleanup.is_some() {
                warn!("Old dump directories are kept, because a database was not dumped");
            }
            let turn = Turn {
                used,
                may_clean_up: is_last && all_dumped,
            };
            match self.dump(database, turn, confirm, told, cancel).await {
                Ok(None) => return Ok((Exit::Aborted, Vec::new())),
                Ok(Some(end)) => {
                    used = Some(end.key);
                    ends.push(Some(end));
                }
                Err(refusal) if cancel.is_cancelled() => return Err(refusal),
                Err(refusal) => {
                    for (level, line) in failure::lines(PROGRAM, &refusal, None) {
                        level.log(&line);
                    }
                    ends.push(None);
                }
            }
        }
        let mut worst = Exit::Ok;
        for (database, end) in databases.iter().zip(&ends) {
            let exit = end.as_ref().map_or(Exit::Failed, |end| end.exit);
            let dumped = end.as_ref().map(|end| DumpedDatabase {
                key: end.key.to_string(),
                well: exit == Exit::Ok,
                seconds: end.record.manifest.seconds(),
                bytes: end.record.manifest.bytes(),
            });
            let line = databases::outcome_line(database, dumped.as_ref());
            match exit {
                Exit::Ok => info!("{line}"),
                Exit::Warnings => warn!("{line}"),
                _ => error!("{line}"),
            }
            worst = worst.max(exit);
        }
        Ok((worst, ends.into_iter().flatten().collect()))
    }

    /// False when a mail could not be sent.
    async fn mail_about(&self, end: &DatabaseEnd) -> bool {
        let rules = &self.request.chores.mail_rules;
        let letters = plan::mail::completed(&end.mail, rules, &self.environment.host_full);
        mail::send(self.environment, &letters, WithoutContacts::Tell).await
    }

    /// What follows once, when all databases are dumped.
    async fn after_all(&self, ends: &mut [DatabaseEnd], script: Option<&Option<Script>>) -> Exit {
        let mut all = true;
        if let Some(last) = ends.last_mut().filter(|_| self.request.chores.config_files) {
            let launcher = launcher(
                self.environment,
                self.request.remote_bin.clone(),
                self.request.limits,
                self.files,
            );
            let saving = save_config_files(
                self.request,
                self.address,
                self.surroundings,
                &launcher,
                &mut last.record,
            );
            all &= saving.await;
            for end in ends.iter() {
                all &= self.mail_about(end).await;
            }
        }
        all &= match script {
            None => true,
            Some(None) => false,
            Some(Some(script)) => script::run(script).await,
        };
        if all { Exit::Ok } else { Exit::Warnings }
    }

    /// `None` when the answer was no.
    async fn dump(
        &self,
        database: &str,
        turn: Turn,
        confirm: &impl AsyncFn() -> Result<bool, Refusal>,
        told: &mut DatabaseDump,
        cancel: &CancellationToken,
    ) -> Result<Option<DatabaseEnd>, Refusal> {
        let end = self.dump_one(database, turn, confirm, told, cancel).await;
        match &end {
            Ok(Some(end)) => told.dumped(end.exit, end.record.directory.clone(), &end.record.manifest),
            Ok(None) => {}
            Err(refusal) => told.failed(refusal),
        }
        end
    }

    async fn dump_one(
        &self,
        database: &str,
        turn: Turn,
        confirm: &impl AsyncFn() -> Result<bool, Refusal>,
        told: &mut DatabaseDump,
        cancel: &CancellationToken,
    ) -> Result<Option<DatabaseEnd>, Refusal> {
        let request = self.request;
        let master_data_dir = &request.master_data_dir;
        let root = request.root();
        let base = match request.backup_type {
            BackupType::Full => None,
            BackupType::Incremental => Some(chain::find_base(
                self.files,
                &root,
                &request.prefix,
                database,
                &self.surroundings.cluster,
                request.incremental_heap,
            )?),
        };
        let key = dump_key::choose(self.files, &root, request, self.now, turn.used).await?;
        told.key = Some(key);
        if request.confirm {
            let mdd = master_data_dir.display().to_string();
            let filtered_by = (base.as_ref())
                .filter(|base| base.filter.is_some())
                .map(|base| base.full);
            for line in dump_lines::dump_parameters(request, database, self.address.port, &mdd, filtered_by) {
                info!("{line}");
            }
            if !confirm().await? {
                info!("User abort requested, Exiting...");
                return Ok(None);
            }
        }
        let context = DumpContext {
            environment: self.environment,
            request,
            files: self.files,
            address: self.address,
            surroundings: self.surroundings,
            launcher: launcher(self.environment, request.remote_bin.clone(), request.limits, self.files),
            master_data_dir: master_data_dir.clone(),
            database: database.to_owned(),
            key,
            now: self.now,
            board: self.board,
            started: (self.now)().format("%H:%M:%S").to_string(),
            base,
            may_clean_up: turn.may_clean_up,
        };
        let mut end = dump_database::run(&context, cancel).await?;
        // With -g the mails wait for the configuration files.
        if !request.chores.config_files && !self.mail_about(&end).await {
            end.exit = end.exit.max(Exit::Warnings);
        }
        Ok(Some(end))
    }
}

/// All databases must be there before the first is dumped.
async fn choose_databases(address: &MasterAddress, request: &DumpRequest) -> Result<Vec<String>, Refusal> {
    let session = address.open_maintenance().await.map_err(|error| refusal_of(&error))?;
    let existing = catalog::read_databases(&session)
        .await
        .map_err(|error| refusal_of(&error))?;
    session.close().await;
    if let Databases::All { but } = &request.databases {
        for name in but
            .iter()
            .filter(|&name| existing.iter().all(|database| database.name != *name))
        {
            warn!("Database {name} of --exclude-database does not exist");
        }
    }
    let chosen = databases::choose(&request.databases, &existing)?;
    if chosen.len() > 1 && request.key.is_some() {
        // A list of the 4.3 kind is seen to be one only here.
        return Err(Refusal::known("multi-database backup is not supported with -K option"));
    }
    Ok(chosen)
}

/// A list of databases that is known as one only when the server was asked (4.3's comma list); others were refused before.
fn refuse_filter_for_several(filter: &TableFilter) -> Result<(), Refusal> {
    Err(Refusal::known(match filter {
        TableFilter::Everything => return Ok(()),
        TableFilter::IncludeSchemas(_) => "Cannot include specific schema if multiple database dumps are requested",
        TableFilter::ExcludeSchemas(_) => "Cannot exclude specific schema if multiple database dumps are requested",
        TableFilter::IncludeTables(_) => "Cannot supply a table dump list if multiple database dumps are requested",
        TableFilter::ExcludeTables(_) => "Cannot exclude specific tables if multiple database dumps are requested",
    }))
}
