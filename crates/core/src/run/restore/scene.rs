//! What is known once the set was found, and what all parts of a restore do with it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::chain::Chain;
use super::definitions::{Definitions, parse_script};
use super::selection::Selection;
use super::stops::Stops;
use crate::db::{Session, catalog, target};
use crate::exec::post_data::run_stages;
use crate::exec::restore_fleet::RestoreFleet;
use crate::exec::restore_script::{Batches, ScriptContext, ScriptOutcome, encoding_of, run_script};
use crate::format::report::BackupType;
use crate::format::sql_script::{Item, Script};
use crate::gather::cluster::{MasterAddress, Surroundings, launcher};
use crate::plan::restore::inventory::Inventory;
use crate::plan::restore::lanes::{Stage, plan_lanes};
use crate::plan::restore::places::{self, Missing};
use crate::plan::restore::{DataFile, DumpSet};
use crate::plan::restore_request::RestoreRequest;
use crate::run::refusal_of;
use crate::store::files::Files;
use crate::words::cluster::HostName;
use crate::words::dialect::PartitionCatalog;
use crate::words::environment::Environment;
use crate::words::layout::dump_directory;
use crate::words::names::QualifiedName;
use crate::words::place::Place;
use crate::words::present::Present;
use crate::words::progress::ProgressBoard;
use crate::words::refusal::Refusal;
use crate::worker::host_ops;

/// What is known once the set was found.
pub(super) struct Scene<'a> {
    pub(super) environment: &'a Environment,
    pub(super) request: &'a RestoreRequest,
    pub(super) files: &'a Files,
    /// The database did not exist and was made.
    pub(super) created: bool,
    /// The database that is restored into.
    pub(super) database: String,
    pub(super) address: MasterAddress,
    pub(super) around: Surroundings,
    pub(super) set: DumpSet,
    /// The other sets that it needs.
    pub(super) chain: Chain,
    pub(super) stops: &'a Stops,
    pub(super) board: &'a ProgressBoard,
}

/// What a run of definitions must know beside them.
#[derive(Clone, Copy)]
pub(super) struct HowDefined<'a> {
    /// Not all of the set is asked for.
    pub(super) partial: bool,
    /// What was there before the restore that is gone on with.
    pub(super) goes_on: Option<&'a BTreeSet<QualifiedName>>,
}

impl Scene<'_> {
    pub(super) async fn open(&self, database: &str) -> Result<Session, Refusal> {
        let session = self.address.open(database).await.map_err(|error| refusal_of(&error))?;
        self.prepared(session).await
    }

    /// A session beside the database that is restored into.
    pub(super) async fn open_maintenance(&self) -> Result<Session, Refusal> {
        let session = self.address.open_maintenance().await;
        self.prepared(session.map_err(|error| refusal_of(&error))?).await
    }

    async fn prepared(&self, session: Session) -> Result<Session, Refusal> {
        self.stops.add(&session);
        if self.request.dry_run {
            session
                .run("SET default_transaction_read_only = on", "making the session read-only")
                .await
                .map_err(|error| refusal_of(&error))?;
        }
        Ok(session)
    }

    pub(super) async fn database_exists(&self, session: &Session) -> Result<bool, Refusal> {
        let info = catalog::read_database(session, &self.around.dialect, &self.database).await;
        Ok(info.map_err(|error| refusal_of(&error))?.is_some())
    }

    pub(super) async fn start_fleet(&self) -> Result<RestoreFleet, Refusal> {
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
        let launcher = launcher(
            self.environment,
            self.request.remote_bin.clone(),
            self.request.limits,
            self.files,
        );
        RestoreFleet::start(&launcher, hosts, self.request.parallel).await
    }

    pub(super) async fn find_files(&self, set: &DumpSet, fleet: &mut RestoreFleet) -> Result<Vec<DataFile>, Refusal> {
        let own_names = [self.environment.host.clone(), self.environment.host_full.clone()];
        let root = self.request.backup_root.as_ref();
        let search = places::search(set, &self.around.cluster, root, &own_names);
        let found = fleet.find(&search).await?;
        places::choose(set, &self.around.cluster, root, &own_names, &found).map_err(|missing| refuse_missing(&missing))
    }

    pub(super) async fn run_definitions(
        &self,
        session: &Session,
        script: &Script<'_>,
        path: &Place,
        pre_data: &Script<'_>,
        how: HowDefined<'_>,
    ) -> Result<ScriptOutcome, Refusal> {
        let HowDefined { partial, goes_on } = how;
        let fallback = encoding_of(pre_data).unwrap_or_else(|| "UTF8".to_owned());
        let is_pre_data = std::ptr::eq(script, pre_data);
        // What a restore that is gone on with had to drop it has dropped.
        let fresh = self.request.recreate || self.created || (is_pre_data && goes_on.is_some());
        let context = ScriptContext {
            file: &path.display().to_string(),
            set_database: &self.set.database,
            target_database: &self.database,
            fallback_encoding: &fallback,
            fresh,
            partial,
            filtered_set: self.set.is_filtered,
            goes_on,
            stops: self.request.stop_on_error,
            // Definitions before the data are quick; an index or a constraint may take hours.
            batches: if is_pre_data { Batches::Yes } else { Batches::No },
        };
        // Partitions of tables that were there before are known to the database alone.
        let knows_partitions = !partial || self.around.dialect.partitions != PartitionCatalog::PgPartitionRule;
        if is_pre_data || self.request.jobs < 2 || !knows_partitions || !can_be_cut(script) {
            return run_script(session, script, context).await;
        }
        let mut done = ScriptOutcome::default();
        if let Some(drops) = script.toc().drops.as_ref().filter(|_| !fresh) {
            // They clear the way for all that follows.
            let head = Script::parse(&script.text()[..drops.span.end])
                .map_err(|error| Refusal::failed(crate::db::error_chain(&error)))?;
            done = run_script(session, &head, context).await?;
        }
        let stages = self.stages(script, pre_data);
        let widest = stages.iter().map(|stage| match stage {
            Stage::OneByOne(_) => 1,
            Stage::AtOnce(lanes) => lanes.len(),
        });
        let others = self.open_more(widest.max().unwrap_or(1)).await;
        let sessions: Vec<&Session> = std::iter::once(session).chain(&others).collect();
        let outcome = run_stages(&sessions, script, stages, context).await;
        for other in others {
            other.close().await;
        }
        done.add(outcome?);
        Ok(done)
    }

    fn stages(&self, post_data: &Script<'_>, pre_data: &Script<'_>) -> Vec<Stage> {
        if self.around.dialect.partitions != PartitionCatalog::PgPartitionRule {
            return plan_lanes(post_data, QualifiedName::clone);
        }
        let inventory = Inventory::read(pre_data);
        plan_lanes(post_data, |table| match inventory.find(table) {
            Some(at) => inventory.tables[inventory.root(at)].name.clone(),
            None => table.clone(),
        })
    }

    /// Sessions beside the one that there is, for so many things at the same time. Where the server has no room for all
    /// of them, fewer do.
    pub(super) async fn open_more(&self, at_once: usize) -> Vec<Session> {
        let mut sessions = Vec::new();
        while sessions.len() + 1 < self.request.jobs.min(at_once) {
            let session = match self.open(&self.database).await {
                Ok(session) => session,
                Err(refusal) => {
                    tracing::info!("Going on with {} sessions: {refusal}", sessions.len() + 1);
                    break;
                }
            };
            let mut is_ready = true;
            for setting in self.around.dialect.dump_session_settings() {
                is_ready &= session.run(&setting, "preparing the session").await.is_ok();
            }
            if !is_ready {
                break;
            }
            sessions.push(session);
        }
        sessions
    }

    /// What the database has of what is asked for.
    pub(super) async fn read_present(
        &self,
        selection: Option<&Selection>,
        definitions: &Definitions,
    ) -> Result<Present, Refusal> {
        let Some(selection) = selection else {
            return Ok(Present::default());
        };
        let script = parse_script(&definitions.pre_data, &definitions.pre_data_path)?;
        let session = self.open(&self.database).await?;
        let present = target::read_present(&session, &self.around.dialect, &selection.sequences(&script)).await;
        session.close().await;
        present.map_err(|error| refusal_of(&error))
    }

    /// `--noplan` of an increment: the tables are there.
    pub(super) fn rows_only(&self) -> bool {
        self.request.noplan && self.set.backup_type == BackupType::Incremental
    }

    /// Where report and status files go, when not to the data directories; an error is the directory of the set, which
    /// cannot be written to.
    pub(super) fn writable_report_directory(&self) -> Result<Option<PathBuf>, PathBuf> {
        if let Some(directory) = &self.request.report_status_dir {
            return Ok(Some(directory.clone()));
        }
        let Some(root) = self.request.backup_root.as_ref() else {
            return Ok(None);
        };
        // Nothing is written into a bucket: who restores needs no right for that.
        let directory = dump_directory(root, self.set.names.key);
        let Some(directory) = directory.local().map(Path::to_owned) else {
            return Ok(None);
        };
        match tempfile::tempfile_in(&directory) {
            Ok(_) => Ok(Some(directory)),
            Err(_) => Err(directory),
        }
    }

    /// The same, and says what is wrong with it.
    pub(super) fn report_directory(&self) -> Option<PathBuf> {
        let directory = match self.writable_report_directory() {
            Ok(directory) => return directory,
            Err(directory) => directory,
        };
        let directory = directory.display();
        tracing::warn!("Backup directory {directory} is not writable. Error No write access permission on {directory}");
        tracing::warn!(
            "Since --report-status-dir option is not specified, report and status file will be written in segment data \
             directory."
        );
        None
    }
}

/// The master's records are written right here: they matter most when a worker was lost.
pub(super) async fn write_records(
    fleet: &mut RestoreFleet,
    own_host: &HostName,
    records: Vec<(HostName, Place, String)>,
) -> Vec<String> {
    let (own, others): (Vec<_>, Vec<_>) = records.into_iter().partition(|(host, ..)| host == own_host);
    let mut problems = fleet.write_files(others).await;
    for (_, path, text) in own {
        if let Err(error) = host_ops::write_file(&Files::default(), &path, &text) {
            problems.push(format!("could not write {}: {error}", path.display()));
        }
    }
    problems
}

pub(super) fn refuse_missing(missing: &[Missing]) -> Refusal {
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

/// Nothing but settings, and drops in front of all, stands outside of the entries, so that some of them can be run without
/// the others.
fn can_be_cut(script: &Script) -> bool {
    let drops = script.toc().drops.as_ref().map(|drops| drops.span);
    let is_drop = |at: usize| drops.is_some_and(|drops| (drops.start..drops.end).contains(&at));
    let mut outside = script.items().filter(|item| item.entry().is_none());
    outside.all(|item| match item {
        Item::Statement { span, .. } if is_drop(span.start) => true,
        Item::Statement { text, .. } => text.starts_with(b"SET ") || text.starts_with(b"SELECT pg_catalog.set_config("),
        Item::MetaCommand { .. } => true,
        Item::CopyBlock { .. } => false,
    })
}
