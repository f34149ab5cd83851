//! The other sets that an incremental one needs: read, checked and planned before anything is changed.

use std::collections::{HashMap, HashSet};

use crate::exec::restore_fleet::LoadOutcome;
use crate::format::plan_file::{self, PlanLine};
use crate::format::report::BackupType;
use crate::gather::{chain, dump_set};
use crate::plan::restore::inventory::Inventory;
use crate::plan::restore::routes::{Routes, plan_routes};
use crate::plan::restore::{DataFile, DumpSet};
use crate::plan::restore_request::RestoreRequest;
use crate::store::files::Files;
use crate::words::cluster::Cluster;
use crate::words::dialect::Dialect;
use crate::words::ids::TimestampKey;
use crate::words::job::LoadRoute;
use crate::words::layout::{DumpFileKind, SetNames};
use crate::words::names::QualifiedName;
use crate::words::place::Place;
use crate::words::refusal::Refusal;
use crate::words::relation::TargetTable;
use crate::worker::host_ops;

/// A set before the one that is restored, and what is taken from it.
#[derive(Debug)]
pub(super) struct OlderSet {
    pub(super) set: DumpSet,
    /// As the lists have them: `schema.table`.
    pub(super) tables: Vec<String>,
    /// Its data files, once they were found.
    pub(super) files: Vec<DataFile>,
}

/// What the restore of an increment needs.
#[derive(Debug, Default)]
pub(super) struct Chain {
    /// Newest first; empty for a full dump.
    pub(super) plan: Vec<PlanLine>,
    /// Sets that give tables, without the newest.
    pub(super) older: Vec<OlderSet>,
}

/// The tables that the sets of a restore have rows of, as lists have them; `None`: nobody knows before the data files are
/// read (full sets of the originals).
#[derive(Debug)]
pub(super) struct Provided(Option<HashSet<String>>);

impl Provided {
    /// Whether rows of the table can come, if none at all.
    pub(super) fn may_have(&self, table: &QualifiedName) -> bool {
        self.0.as_ref().is_none_or(|tables| tables.contains(&table.to_string()))
    }
}

/// Reads the chain of a set. Nothing is left to be found missing on the master later.
pub(super) fn read(files: &Files, root: &Place, request: &RestoreRequest, set: &DumpSet) -> Result<Chain, Refusal> {
    if set.backup_type == BackupType::Full {
        return match request.list_backup {
            true => Err(Refusal::failed(
                "--list-backup is not supported for restore with full timestamps",
            )),
            false => Ok(Chain::default()),
        };
    }
    if (request.noplan || request.metadata_only) && !request.list_backup {
        if request.recreate && request.noplan {
            return Err(Refusal::known(format!(
                "--noplan restores the rows of set {} and no definitions, and with -e there would be no table for them",
                set.names.key
            ))
            .with_hint("leave out one of the two"));
        }
        return Ok(Chain::default());
    }
    let plan =
        chain::read_plan(files, root, &request.prefix, set.names.key).map_err(|refusal| name_list(refusal, set))?;
    let mut older = Vec::new();
    for line in plan.iter().skip(1) {
        let member = dump_set::read_dump_set(files, root, &request.prefix, line.key)
            .map_err(|refusal| of_chain(refusal, set.names.key, line.key))?;
        if member.database != set.database {
            return Err(Refusal::failed(format!(
                "set {} is of database {}, and set {}, which it belongs to, is of database {}",
                line.key, member.database, set.names.key, set.database
            )));
        }
        let is_full = member.backup_type == BackupType::Full;
        let should_be_full = Some(line.key) == plan.last().map(|last| last.key);
        if is_full != should_be_full {
            return Err(Refusal::failed(format!(
                "set {} of the chain of {} is {}, and the list of increments says otherwise",
                line.key,
                set.names.key,
                if is_full { "a full dump" } else { "an increment" }
            )));
        }
        if !line.tables.is_empty() {
            older.push(OlderSet {
                set: member,
                tables: line.tables.clone(),
                files: Vec::new(),
            });
        }
    }
    Ok(Chain { plan, older })
}

/// The manifest of an increment knows which list it should stand in.
fn name_list(refusal: Refusal, set: &DumpSet) -> Refusal {
    let Some(base) = set.manifest.as_ref().and_then(|manifest| manifest.base) else {
        return refusal;
    };
    let names = SetNames {
        key: base.full,
        ..set.names.clone()
    };
    let hint = refusal.hint.clone().unwrap_or_default();
    let separator = if hint.is_empty() { "" } else { "; " };
    let list = names.of_set(DumpFileKind::Increments);
    refusal.with_hint(format!(
        "{hint}{separator}it goes on full dump {}, so it should stand in {list} beside that",
        base.full
    ))
}

fn of_chain(refusal: Refusal, key: TimestampKey, member: TimestampKey) -> Refusal {
    let why = format!("set {key} is incremental and needs set {member}");
    let hint = match &refusal.hint {
        Some(hint) => format!("{why}; {hint}"),
        None => why,
    };
    refusal.with_hint(hint)
}

impl Chain {
    pub(super) fn provided(&self, set: &DumpSet) -> Provided {
        if !self.plan.is_empty() {
            let tables = self.plan.iter().flat_map(|line| &line.tables);
            return Provided(Some(tables.cloned().collect()));
        }
        let manifest = set.manifest.as_ref();
        Provided(manifest.map(|manifest| manifest.tables.iter().map(|facts| facts.table.to_string()).collect()))
    }

    /// Lists without sums can be cut or changed unseen: each table that the definitions create must come from some set.
    pub(super) fn check_lists(
        &self,
        set: &DumpSet,
        inventory: impl FnOnce() -> Result<Inventory, Refusal>,
    ) -> Result<(), Refusal> {
        if self.plan.is_empty() || set.manifest.is_some() {
            return Ok(());
        }
        let inventory = inventory()?;
        let planned: HashSet<&str> = self
            .plan
            .iter()
            .flat_map(|line| &line.tables)
            .map(String::as_str)
            .collect();
        let path = set.directory.join(set.names.of_set(DumpFileKind::TableList));
        let unlisted = inventory.with_rows().find(|table| !planned.contains(table.as_str()));
        match unlisted {
            None => Ok(()),
            Some(table) => Err(Refusal::failed(format!(
                "{} does not name table {table}, which the definitions of the set create: the list is damaged",
                path.display()
            ))
            .with_hint("nothing was changed; without the list nobody can tell which set has the rows of that table")),
        }
    }

    /// Leaves the plan where the original left it. It is for people: a restore goes on without.
    pub(super) fn write_plan(&self, files: &Files, set: &DumpSet) {
        // Nothing is written into a bucket: who restores needs no right for that.
        if self.plan.is_empty() || set.directory.is_stored() {
            return;
        }
        let path = set.directory.join(set.names.of_set(DumpFileKind::RestorePlan));
        if let Err(error) = host_ops::write_file(files, &path, &plan_file::write(&self.plan)) {
            tracing::warn!("could not write the plan file {}: {error}", path.display());
        }
    }

    /// Routes for all tables: each by the set that its rows come from, all in the terms of the newest.
    pub(super) fn plan_routes(
        &self,
        newest: &DumpSet,
        cluster: &Cluster,
        dialect: &Dialect,
        tables: &[TargetTable],
        encoding: &str,
        existing: &std::collections::BTreeSet<QualifiedName>,
    ) -> Routes {
        let mut routes = plan_routes(newest, cluster, dialect, tables, encoding, existing);
        for older in &self.older {
            let of_set: HashSet<&str> = older.tables.iter().map(String::as_str).collect();
            let theirs = plan_routes(&older.set, cluster, dialect, tables, encoding, existing);
            let way = theirs.by_table();
            let is_theirs = |name: &QualifiedName| of_set.contains(name.to_string().as_str());
            routes.exceptions.retain(|(name, _)| !is_theirs(name));
            for table in tables.iter().filter(|table| is_theirs(&table.name)) {
                let route = way(&table.name);
                if route != routes.default {
                    routes.exceptions.push((table.name.clone(), route));
                }
            }
        }
        routes
    }

    /// Tables of the target that a set of the chain should have held, and that no data file had: a sentence each.
    pub(super) fn missing(&self, tables: &[TargetTable], routes: &Routes, load: &LoadOutcome) -> Vec<String> {
        let way = routes.by_table();
        let is_skipped = |name: &QualifiedName| way(name) == LoadRoute::Skip;
        let mut source: HashMap<&str, TimestampKey> = HashMap::new();
        for line in &self.plan {
            source.extend(line.tables.iter().map(|table| (table.as_str(), line.key)));
        }
        let mut sentences = Vec::new();
        for table in tables {
            let Some(key) = source.get(table.name.to_string().as_str()) else {
                continue;
            };
            let is_in = load.rows.contains_key(&table.name) || load.troubled.contains(&table.name);
            if !is_in && !is_skipped(&table.name) {
                sentences.push(format!(
                    "table {}: its rows should be in set {key}, and no data file of that set has them",
                    table.name
                ));
            }
        }
        sentences
    }
}
