//! The rows: which file goes where, and whether all of them came.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::keys;
use super::resume::{Begun, Counting, Keeping};
use super::scene::Scene;
use super::selection::Selection;
use crate::db::target::Truncation;
use crate::db::{Session, proof, target};
use crate::exec::restore_fleet::{LoadOutcome, RestoreFleet};
use crate::plan::restore::routes::Routes;
use crate::plan::restore::{DataFile, DumpSet};
use crate::run::refusal_of;
use crate::words::cluster::{HostName, Instance};
use crate::words::ids::ContentId;
use crate::words::job::{LoadRoute, LoginAs};
use crate::words::layout::{DumpFileKind, InstanceId};
use crate::words::names::QualifiedName;
use crate::words::place::Place;
use crate::words::present::Present;
use crate::words::progress::Figures;
use crate::words::refusal::Refusal;
use crate::words::relation::TargetTable;
use crate::worker::restore_segment::{LoadTarget, LoadedTable, RestoreFile, RestoreStart};

/// Tables that one statement empties.
const TABLES_EMPTIED_AT_ONCE: usize = 100;

/// The rows to be loaded, when not all of them.
pub(super) struct Wanted<'a> {
    pub(super) selection: Option<&'a Selection>,
    /// What the database had before.
    pub(super) present: &'a Present,
    /// A restore that is gone on with.
    pub(super) begun: Option<&'a Begun>,
    /// Tables that the definitions found there.
    pub(super) existing: BTreeSet<QualifiedName>,
}

impl Scene<'_> {
    pub(super) async fn load_rows(
        &self,
        session: &Session,
        fleet: &mut RestoreFleet,
        files: &[DataFile],
        wanted: Wanted<'_>,
        keeping: &mut Keeping,
        load: &mut LoadOutcome,
    ) -> Result<(), Refusal> {
        let dialect = &self.around.dialect;
        let mut existing = wanted.existing;
        let mut tables = target::read_target_tables(session, dialect)
            .await
            .map_err(|error| refusal_of(&error))?;
        if let Some(selection) = wanted.selection {
            tables = selection.as_in_set(tables);
            existing.extend(selection.existing(wanted.present));
        }
        let here = |table: &QualifiedName| {
            let selection = wanted.selection;
            selection.map_or_else(|| table.clone(), |selection| selection.here(table))
        };
        if wanted.begun.is_some() {
            // What is there now says nothing: the restore has made it itself.
            let was_there = |name: &&QualifiedName| keeping.there().contains(&here(name));
            existing = tables
                .iter()
                .map(|table| &table.name)
                .filter(was_there)
                .cloned()
                .collect();
        }
        if self.rows_only() {
            existing = tables.iter().map(|table| table.name.clone()).collect();
        }
        if !existing.is_empty() {
            keys::fill_in(session, dialect, &mut tables, here).await?;
        }
        if !self.chain.plan.is_empty() {
            tracing::info!("Running data restore");
            for line in self.chain.plan.iter().filter(|line| !line.tables.is_empty()) {
                tracing::info!("{} tables come from set {}", line.tables.len(), line.key);
            }
        }
        let cluster = &self.around.cluster;
        let encoding = session.one("SHOW server_encoding", "asking for the encoding of the database");
        let encoding = encoding.await.map_err(|error| refusal_of(&error))?.unwrap_or_default();
        let mut routes = self
            .chain
            .plan_routes(&self.set, cluster, dialect, &tables, &encoding, &existing);
        if let Some(selection) = wanted.selection {
            routes = routes.only(selection.rows());
        }
        if let Some(begun) = wanted.begun {
            self.empty_unproven(session, &tables, begun, here).await?;
        }
        let held = keys::hold(self, session, &tables, &existing, here, &mut routes).await?;
        let all_routes = routes.clone();
        if let Some(begun) = wanted.begun {
            routes = routes.only(begun.left());
        }
        tracing::debug!("{} data files; {}", files.len(), routes.in_words());
        let contents: BTreeSet<ContentId> = files.iter().map(|file| file.content).collect();
        self.board.begin(Figures {
            subject: format!("Restoring {}", self.database),
            segments: contents.len() as u64,
            bytes_total: self.expected_bytes(&routes),
            ..Figures::default()
        });
        let jobs = self.jobs(files, &routes, wanted.selection);
        let oids = proof::table_oids(session).await.map_err(|error| refusal_of(&error))?;
        let mut counting = Counting {
            keeping,
            selection: wanted.selection,
            oids,
            files_of: Box::new(self.files_of(&routes, files.len())),
            elsewhere: self.external_tables(),
            open: HashMap::new(),
        };
        let mut on_loaded = |tables: &[LoadedTable]| {
            counting.loaded(tables.iter().map(|one| (one.table.clone(), one.rows)));
        };
        *load = fleet
            .load(jobs, self.request.stop_on_error, self.board, &mut on_loaded)
            .await;
        self.load_external(session, &routes, wanted.selection, load).await?;
        let not_kept = held.release().await;
        if load.all_read() {
            counting.all_read(load);
        }
        drop(counting);
        self.board.end();
        for (table, loaded) in wanted.begun.iter().flat_map(|begun| &begun.record.loaded) {
            load.rows.insert(table.clone(), loaded.rows);
        }
        let routes = all_routes;
        self.empty_again(session, &existing, wanted.selection, load).await;
        if load.all_read() {
            let mut differences = compare_rows(&self.set, None, &routes, load);
            for older in &self.chain.older {
                differences.extend(compare_rows(&older.set, Some(&older.tables), &routes, load));
            }
            differences.extend(self.chain.missing(&tables, &routes, load));
            differences.extend(not_kept);
            let provided = self.chain.provided(&self.set);
            for table in wanted.selection.into_iter().flat_map(Selection::rows) {
                if load.rows.contains_key(table) || load.troubled.contains(table) {
                    continue;
                }
                let relation = wanted.present.relations.get(&here(table));
                let was_emptied = self.request.truncate
                    && existing.contains(table)
                    && relation.is_some_and(|relation| !relation.external);
                match was_emptied && provided.may_have(table) {
                    true => differences.push(format!(
                        "table {table}: it was emptied, and no data file of the set has rows of it"
                    )),
                    false => tracing::warn!(
                        "Table {table}: no data file of the set has rows of it; it was dumped without rows"
                    ),
                }
            }
            if let Some(file) = load.files.values_mut().next() {
                file.miscounted.extend(differences);
            }
        }
        Ok(())
    }

    /// Files that the rows of a table come out of.
    fn files_of<'a>(&'a self, routes: &Routes, newest: usize) -> impl Fn(&QualifiedName) -> usize + use<'a> {
        let once = |(_, route): &&(QualifiedName, LoadRoute)| *route == LoadRoute::OnceThroughMaster;
        let once: HashSet<QualifiedName> = routes
            .exceptions
            .iter()
            .filter(once)
            .map(|(name, _)| name.clone())
            .collect();
        let mut older: HashMap<&str, usize> = HashMap::new();
        for set in &self.chain.older {
            older.extend(set.tables.iter().map(|table| (table.as_str(), set.files.len())));
        }
        move |table| match once.contains(table) {
            true => 1,
            false => older.get(table.to_string().as_str()).copied().unwrap_or(newest),
        }
    }

    /// What is loaded again is emptied first: a file may have come in half, or some files of several.
    async fn empty_unproven(
        &self,
        session: &Session,
        tables: &[TargetTable],
        begun: &Begun,
        here: impl Fn(&QualifiedName) -> QualifiedName,
    ) -> Result<(), Refusal> {
        let there: HashSet<&QualifiedName> = tables.iter().map(|table| &table.name).collect();
        let left: Vec<Truncation> = begun
            .left()
            .filter(|table| there.contains(table))
            .map(|table| Truncation {
                table: here(table),
                with_partitions: false,
            })
            .collect();
        tracing::info!("{} tables are emptied and loaded", left.len());
        for some in left.chunks(TABLES_EMPTIED_AT_ONCE) {
            if target::truncate(session, &self.around.dialect, some).await.is_ok() {
                continue;
            }
            // One of them is referred to by another: it may be empty all the same.
            for one in some {
                let Err(error) = target::truncate(session, &self.around.dialect, std::slice::from_ref(one)).await
                else {
                    continue;
                };
                let is_empty =
                    session.is_open() && proof::count_rows(session, &one.table).await.is_ok_and(|rows| rows == 0);
                if !is_empty {
                    return Err(Refusal::failed(format!(
                        "Table {} is not known to be loaded, and could not be emptied: {}",
                        one.table,
                        crate::db::error_chain(&error)
                    )));
                }
            }
        }
        Ok(())
    }

    /// The rows to be read, as text, where manifests tell; `None` where they do not.
    fn expected_bytes(&self, routes: &Routes) -> Option<u64> {
        let older = self.chain.older.iter().map(|older| (&older.set, Some(&older.tables)));
        let sets = std::iter::once((&self.set, None)).chain(older);
        let routed: HashSet<&QualifiedName> = routes.exceptions.iter().map(|(name, _)| name).collect();
        let mut sum = 0;
        for (set, only) in sets {
            let only: Option<HashSet<&str>> = only.map(|names| names.iter().map(String::as_str).collect());
            for facts in &set.manifest.as_ref()?.tables {
                let is_routed = routes.default != LoadRoute::Skip || routed.contains(&facts.table);
                let is_chosen = only
                    .as_ref()
                    .is_none_or(|only| only.contains(facts.table.to_string().as_str()));
                if is_routed && is_chosen {
                    sum += facts.totals.bytes;
                }
            }
        }
        Some(sum)
    }

    /// A table that one server took and another refused is worth nothing to anybody: where it was made by this run it is
    /// emptied again, else it is said to be partial.
    async fn empty_again(
        &self,
        session: &Session,
        existing: &BTreeSet<QualifiedName>,
        selection: Option<&Selection>,
        load: &mut LoadOutcome,
    ) {
        for table in load.refused.clone() {
            let Some(rows) = load.rows.get(&table).copied().filter(|rows| *rows > 0) else {
                continue;
            };
            let here = selection.map_or_else(|| table.clone(), |selection| selection.here(&table));
            if existing.contains(&table) {
                tracing::warn!(
                    "Table {here} is partial: {rows} rows of the set were added to those it had, others were refused"
                );
                continue;
            }
            let truncation = Truncation {
                table: here.clone(),
                with_partitions: false,
            };
            match target::truncate(session, &self.around.dialect, &[truncation]).await {
                Ok(()) => {
                    load.rows.insert(table, 0);
                    tracing::warn!("Table {here} was emptied again: {rows} rows had come, others were refused");
                }
                Err(error) => tracing::warn!(
                    "Table {here} is partial: {rows} rows came, others were refused, and it could not be emptied again: {}",
                    crate::db::error_chain(&error)
                ),
            }
        }
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
            // Streams have one address, on whatever host.
            local: instance.host == *from && !cluster.is_streams(),
            instance: instance.clone(),
            utility,
        };
        let mut choices: Vec<Vec<String>> = self.chain.older.iter().map(|older| older.tables.clone()).collect();
        // Lists of ours are vouched for by the manifest; those of others are held against the rows.
        let unproven = self.chain.plan.first().filter(|_| self.set.manifest.is_none());
        let newest = unproven.map(|line| {
            choices.push(line.tables.clone());
            choices.len() - 1
        });
        let list = newest.map(|_| self.set.names.of_set(DumpFileKind::DirtyList));
        let older = self.chain.older.iter().enumerate();
        let sets = std::iter::once((&self.set, files, newest))
            .chain(older.map(|(at, older)| (&older.set, older.files.as_slice(), Some(at))));
        let is_newest = |set: &DumpSet| set.names.key == self.set.names.key;
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
                    at_once: self.request.through_master.then_some(self.request.jobs),
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
                    list: list.clone().filter(|_| is_newest(set)),
                    loads_copies: Some(file.content) == first,
                });
            }
        }
        jobs
    }

    /// Where the index of a data file lies, if it has one. Its name follows that of the file, whoever wrote it.
    fn index_of(&self, set: &DumpSet, file: &DataFile) -> Place {
        let id = InstanceId {
            content: file.content,
            dbid: file.dbid,
        };
        file.path.with_file_name(set.names.of_instance(DumpFileKind::Index, id))
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
