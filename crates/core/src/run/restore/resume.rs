//! What a restore writes down while it runs, and how one that was broken off is gone on with.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::PROGRAM;
use super::definitions::{Definitions, FirstSteps};
use super::scene::Scene;
use super::selection::Selection;
use crate::db::{Session, error_chain, proof};
use crate::exec::restore_fleet::LoadOutcome;
use crate::exec::restore_script::ScriptOutcome;
use crate::format::resume_record::{Begin, DefinitionsDone, FORMAT, Line, LoadedWhole, Refused, ResumeRecord};
use crate::plan::restore::resume::{difference, not_ours_to_empty, request_facts, why_again};
use crate::plan::restore::{DataFile, DumpSet};
use crate::plan::translate::not_restored::NotRestored;
use crate::run::refusal_of;
use crate::store::data_file::hex;
use crate::store::journal::Journal;
use crate::words::ids::Oid;
use crate::words::layout::DumpFileKind;
use crate::words::names::QualifiedName;
use crate::words::refusal::Refusal;

/// Tables that are told one by one.
const TOLD_TABLES: usize = 50;

/// How long what an earlier run left may take to end.
const LEAVE_LIMIT: Duration = Duration::from_secs(60);

/// What `--resume` found.
pub(super) enum Found {
    GoOn(Box<ResumeRecord>),
    /// The restore had come to its end.
    Ended,
}

/// A sum over everything in the set that decides what is restored.
pub(super) fn sum_of(scene: &Scene<'_>, definitions: &Definitions, files: &[DataFile]) -> String {
    let mut sum = Sha256::new();
    let mut add = |bytes: &[u8]| {
        sum.update((bytes.len() as u64).to_le_bytes());
        sum.update(bytes);
    };
    let mut add_set = |set: &DumpSet, files: &[DataFile]| {
        let manifest = set.directory.join(set.names.of_set(DumpFileKind::Manifest));
        // Without one the sizes have to do.
        add(&scene.files.read(&manifest).unwrap_or_default());
        for file in files {
            add(format!("{} {} {:?}", file.content, file.size, file.sha256).as_bytes());
        }
    };
    add_set(&scene.set, files);
    for older in &scene.chain.older {
        add_set(&older.set, &older.files);
    }
    for line in &scene.chain.plan {
        add(format!("{} {:?}", line.key, line.tables).as_bytes());
    }
    add(definitions.sum.as_bytes());
    hex(&sum.finalize())
}

/// A restore that is gone on with, and what is known of it.
pub(super) struct Begun {
    /// With the tables that are whole, and no others.
    pub(super) record: ResumeRecord,
    /// Tables whose rows the set has, as it calls them.
    row_tables: BTreeSet<QualifiedName>,
    /// A table that the definitions make is not there.
    lacks_tables: bool,
    schemas: BTreeSet<String>,
}

impl Begun {
    /// How the definitions before the data went; `None`: they have to be run.
    pub(super) fn definitions(&self) -> Option<ScriptOutcome> {
        let done = self.record.definitions.as_ref().filter(|_| !self.lacks_tables)?;
        Some(outcome_of(done))
    }

    /// What is left of them: nothing is emptied but what is loaded again.
    pub(super) fn first_steps(&self, steps: FirstSteps) -> FirstSteps {
        FirstSteps {
            schemas: steps
                .schemas
                .into_iter()
                .filter(|schema| !self.schemas.contains(schema))
                .collect(),
            truncations: Vec::new(),
            ..steps
        }
    }

    pub(super) fn is_whole(&self, table: &QualifiedName) -> bool {
        self.record.loaded.contains_key(table)
    }

    /// Tables that are to be loaded, as the set calls them.
    pub(super) fn left(&self) -> impl Iterator<Item = &QualifiedName> {
        self.row_tables.iter().filter(|table| !self.is_whole(table))
    }
}

impl Scene<'_> {
    /// Counts what was loaded, and refuses when what is left cannot be loaded again. Changes nothing.
    pub(super) async fn take_up(
        &self,
        maintenance: &Session,
        mut record: ResumeRecord,
        definitions: &Definitions,
        selection: Option<&Selection>,
    ) -> Result<Begun, Refusal> {
        let here = |table: &QualifiedName| selection.map_or_else(|| table.clone(), |selection| selection.here(table));
        self.end_older_sessions(maintenance).await?;
        let session = self.open(&self.database).await?;
        let row_tables = self.row_tables(selection, definitions)?;
        record.loaded = self.prove(&session, &record, selection).await?;
        self.check_emptying(&record, &row_tables, selection)?;
        let oids = proof::table_oids(&session).await.map_err(|error| refusal_of(&error))?;
        let schemas = proof::schemas(&session).await.map_err(|error| refusal_of(&error))?;
        session.close().await;
        Ok(Begun {
            lacks_tables: row_tables.iter().any(|table| !oids.contains_key(&here(table))),
            record,
            row_tables,
            schemas,
        })
    }

    fn resume_path(&self) -> PathBuf {
        let directory = self.writable_report_directory().ok().flatten();
        let directory = directory.unwrap_or_else(|| self.request.master_data_dir.clone());
        directory.join(self.set.names.of_set(DumpFileKind::Resume))
    }

    /// Reads what the broken-off restore has written down, and refuses when this is not the same restore.
    pub(super) async fn read_resume(&self, maintenance: &Session) -> Result<Found, Refusal> {
        let path = self.resume_path();
        let (key, database) = (self.set.names.key, &self.database);
        let anew = "run the restore without --resume: it begins anew";
        let bytes = std::fs::read(&path).map_err(|error| {
            Refusal::known(format!(
                "There is no restore of set {key} that could be gone on with: \"{}\" cannot be read ({error})",
                path.display()
            ))
            .with_hint(anew)
        })?;
        let record = ResumeRecord::parse(&bytes).map_err(|error| {
            Refusal::known(format!("\"{}\" cannot be gone on from: {error}", path.display())).with_hint(anew)
        })?;
        let begin = &record.begin;
        if begin.key != key || begin.database != *database {
            return Err(Refusal::known(format!(
                "\"{}\" is of a restore of set {} into database {}, and this one is of set {key} into database {database}",
                path.display(),
                begin.key,
                begin.database
            ))
            .with_hint(anew));
        }
        let oid = proof::database_oid(maintenance, database).await;
        if oid.map_err(|error| refusal_of(&error))? != Some(begin.database_oid) {
            return Err(Refusal::known(format!(
                "Database {database} was dropped or made anew after the restore of set {key} had begun, so there is nothing \
                 to go on with"
            ))
            .with_hint(anew));
        }
        if let Some(difference) = difference(&begin.request, &request_facts(self.request)) {
            return Err(Refusal::known(format!(
                "This is not the restore of set {key} that was broken off: {difference}"
            ))
            .with_hint("give the options of that one and --resume, or leave --resume out to begin anew"));
        }
        if record.ended {
            return Ok(Found::Ended);
        }
        if record.definitions.is_none() && !begin.made_database {
            return Err(Refusal::known(format!(
                "The restore of set {key} into database {database} was broken off before its definitions were made, and no row \
                 was loaded"
            ))
            .with_hint(anew));
        }
        Ok(Found::GoOn(Box::new(record)))
    }

    /// The set is that of the record, still.
    pub(super) fn check_sum(&self, record: &ResumeRecord, sum: &str) -> Result<(), Refusal> {
        if record.begin.set == sum {
            return Ok(());
        }
        Err(Refusal::known(format!(
            "Set {} is not what it was when its restore began: files of it were changed",
            self.set.names.key
        ))
        .with_hint("run the restore without --resume: it begins anew"))
    }

    /// Tables whose rows the set has, as it calls them.
    fn row_tables(
        &self,
        selection: Option<&Selection>,
        definitions: &Definitions,
    ) -> Result<BTreeSet<QualifiedName>, Refusal> {
        if let Some(selection) = selection {
            return Ok(selection.rows().cloned().collect());
        }
        let sets = || std::iter::once(&self.set).chain(self.chain.older.iter().map(|older| &older.set));
        if sets().all(|set| set.manifest.is_some()) {
            let manifests = sets().filter_map(|set| set.manifest.as_ref());
            let tables = manifests.flat_map(|manifest| &manifest.tables);
            let tables = tables.map(|facts| facts.table.clone());
            return Ok(tables.chain(self.external_tables()).collect());
        }
        let inventory = definitions.inventory()?;
        let tables = inventory.tables.iter().enumerate();
        Ok(tables
            .filter(|(at, _)| inventory.has_rows(*at))
            .map(|(_, table)| table.name.clone())
            .collect())
    }

    /// What was killed may still make an index, or fill a table: nobody else shall do it meanwhile.
    async fn end_older_sessions(&self, maintenance: &Session) -> Result<(), Refusal> {
        let deadline = Instant::now() + LEAVE_LIMIT;
        let mut told = false;
        loop {
            let ended = proof::end_older_sessions(maintenance, &self.around.dialect, &self.database, PROGRAM).await;
            match ended.map_err(|error| refusal_of(&error))? {
                0 => return Ok(()),
                left if Instant::now() > deadline => {
                    return Err(Refusal::known(format!(
                        "{left} sessions of the restore that was broken off are still in database {} after {} s, though they were \
                         told to end",
                        self.database,
                        LEAVE_LIMIT.as_secs()
                    ))
                    .with_hint("nothing was changed; run the restore again when they are gone (pg_stat_activity shows them)"));
                }
                left if !told => {
                    told = true;
                    tracing::info!("Ended {left} sessions of the restore that was broken off");
                }
                _ => {}
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Looks which of the tables that were loaded are so still. Changes nothing.
    async fn prove(
        &self,
        session: &Session,
        record: &ResumeRecord,
        selection: Option<&Selection>,
    ) -> Result<BTreeMap<QualifiedName, LoadedWhole>, Refusal> {
        let here = |table: &QualifiedName| selection.map_or_else(|| table.clone(), |selection| selection.here(table));
        let oids = proof::table_oids(session).await.map_err(|error| refusal_of(&error))?;
        let others = self.open_more(record.loaded.len()).await;
        let sessions = std::iter::once(session).chain(&others);
        let waiting: Mutex<VecDeque<&LoadedWhole>> = Mutex::new(record.loaded.values().collect());
        let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let work = sessions.map(async |session| {
            let mut found = Vec::new();
            while let Some(loaded) = next() {
                let table = here(&loaded.table);
                let oid = oids.get(&table).copied();
                let count = match oid == Some(loaded.oid) {
                    false => None,
                    true => match proof::count_rows(session, &table).await {
                        // Copies are counted one by one as they are loaded, unless the master made them.
                        Ok(count) if count != loaded.rows => {
                            let copies = proof::count_copies(session, &table, loaded.oid).await;
                            copies.ok().flatten().or(Some(count))
                        }
                        Ok(count) => Some(count),
                        Err(error) if error.code().is_some() && session.is_open() => None,
                        Err(error) => return Err(refusal_of(&error)),
                    },
                };
                found.push((loaded, why_again(loaded, oid, count)));
            }
            Ok(found)
        });
        let results = futures_util::future::join_all(work).await;
        for other in others {
            other.close().await;
        }
        let (mut whole, mut again) = (BTreeMap::new(), Vec::new());
        for result in results {
            for (loaded, why) in result? {
                match why {
                    None => drop(whole.insert(loaded.table.clone(), loaded.clone())),
                    Some(why) => again.push((loaded.table.clone(), why)),
                }
            }
        }
        again.sort();
        tracing::info!(
            "Going on with the restore of set {} into database {}: {} tables have all their rows and stay as they are",
            self.set.names.key,
            self.database,
            whole.len()
        );
        for (table, why) in again.iter().take(TOLD_TABLES) {
            tracing::warn!("Table {} was loaded, and is loaded again: {why}", here(table));
        }
        if again.len() > TOLD_TABLES {
            tracing::warn!("{} more tables are loaded again", again.len() - TOLD_TABLES);
        }
        Ok(whole)
    }

    /// Rows that were in a table before the restore cannot be told from those that it brought.
    fn check_emptying(
        &self,
        record: &ResumeRecord,
        wanted: &BTreeSet<QualifiedName>,
        selection: Option<&Selection>,
    ) -> Result<(), Refusal> {
        if self.request.truncate {
            return Ok(());
        }
        let here = |table: &QualifiedName| selection.map_or_else(|| table.clone(), |selection| selection.here(table));
        let ours = not_ours_to_empty(
            wanted.iter(),
            |table| record.loaded.contains_key(table),
            here,
            &record.there,
        );
        let Some(first) = ours.first() else { return Ok(()) };
        let more = match ours.len() - 1 {
            0 => String::new(),
            1 => " and one more".to_owned(),
            more => format!(" and {more} more"),
        };
        Err(Refusal::known(format!(
            "Table {first}{more} was in database {} before the restore began, and is not known to be loaded: nobody can tell \
             its own rows from those that have come",
            self.database
        ))
        .with_hint("nothing was changed; look at the table, and restore it alone with -T, with --truncate if it may be emptied"))
    }
}

/// The record of the restore that runs.
pub(super) struct Keeping {
    journal: Option<Journal>,
    /// What is written down was said to be incomplete.
    is_told: bool,
    begin: Begin,
    there: BTreeSet<QualifiedName>,
}

impl Keeping {
    /// Begins a record in place of that of an earlier restore. Where none can be kept the restore goes on without.
    pub(super) async fn begin(
        scene: &Scene<'_>,
        session: &Session,
        sum: String,
        made_database: bool,
        errors: &[String],
    ) -> Result<Keeping, Refusal> {
        let failed = |error: crate::db::Error| refusal_of(&error);
        let oid = proof::database_oid(session, &scene.database).await.map_err(failed)?;
        let there = match made_database {
            true => BTreeSet::new(),
            false => proof::relation_names(session).await.map_err(failed)?,
        };
        let begin = Begin {
            format: FORMAT,
            program: format!("{PROGRAM} {}", env!("CARGO_PKG_VERSION")),
            key: scene.set.names.key,
            database: scene.database.clone(),
            database_oid: oid.unwrap_or(Oid(0)),
            set: sum,
            request: request_facts(scene.request),
            made_database,
            errors: errors.to_vec(),
        };
        let record = ResumeRecord {
            begin,
            there,
            definitions: None,
            loaded: BTreeMap::new(),
            ended: false,
        };
        Ok(Keeping::of(scene, record))
    }

    /// Goes on with a record that says no more than what is so.
    pub(super) fn of(scene: &Scene<'_>, record: ResumeRecord) -> Keeping {
        let path = scene.resume_path();
        let text: String = record.lines().iter().map(Line::text).collect();
        // One that noplan adds rows with cannot be gone on with.
        let journal = match scene.rows_only() {
            true => None,
            false => match Journal::begin(&path, &text) {
                Ok(journal) => Some(journal),
                Err(error) => {
                    tracing::warn!(
                        "This restore could not be gone on with, should it be broken off: {}",
                        error_chain(&error)
                    );
                    None
                }
            },
        };
        Keeping {
            journal,
            is_told: false,
            begin: record.begin,
            there: record.there,
        }
    }

    pub(super) fn begin_errors(&self) -> &[String] {
        &self.begin.errors
    }

    /// What was in the database before, as the database calls it.
    pub(super) fn there(&self) -> &BTreeSet<QualifiedName> {
        &self.there
    }

    /// Whether `--resume` can go on from here.
    pub(super) fn can_go_on(&self) -> bool {
        self.journal.as_ref().is_some_and(|journal| journal.trouble().is_none())
    }

    pub(super) fn add(&mut self, line: &Line) {
        let Some(journal) = &self.journal else { return };
        journal.add(line.text());
        if let Some(trouble) = journal.trouble().filter(|_| !self.is_told) {
            self.is_told = true;
            tracing::warn!(
                "{trouble}; should this restore be broken off, --resume would load more again than it has to"
            );
        }
    }
}

/// Says of a table that it is loaded when all files that have rows of it have been read.
pub(super) struct Counting<'a> {
    pub(super) keeping: &'a mut Keeping,
    pub(super) selection: Option<&'a Selection>,
    pub(super) oids: HashMap<QualifiedName, Oid>,
    /// Files that each table comes out of.
    pub(super) files_of: Box<dyn Fn(&QualifiedName) -> usize + 'a>,
    /// Tables whose rows come out of no file.
    pub(super) elsewhere: BTreeSet<QualifiedName>,
    /// Files that were read and rows so far, of tables that are not complete.
    pub(super) open: HashMap<QualifiedName, (usize, u64)>,
}

impl Counting<'_> {
    pub(super) fn loaded(&mut self, tables: impl Iterator<Item = (QualifiedName, u64)>) {
        let mut whole = Vec::new();
        for (table, rows) in tables.filter(|(table, _)| !self.elsewhere.contains(table)) {
            let so_far = self.open.entry(table.clone()).or_default();
            *so_far = (so_far.0 + 1, so_far.1 + rows);
            if so_far.0 >= (self.files_of)(&table) {
                let rows = so_far.1;
                self.open.remove(&table);
                whole.extend(self.line_of(table, rows));
            }
        }
        if !whole.is_empty() {
            self.keeping.add(&Line::Loaded(whole));
        }
    }

    /// Everything was read to its end: what has come of a table is all of it.
    pub(super) fn all_read(&mut self, load: &LoadOutcome) {
        let open = std::mem::take(&mut self.open);
        let of_files = open.into_iter().map(|(table, (_, rows))| (table, rows));
        let elsewhere = std::mem::take(&mut self.elsewhere);
        let others = elsewhere
            .into_iter()
            .filter_map(|table| Some((table.clone(), *load.rows.get(&table)?)));
        let whole: Vec<LoadedWhole> = of_files
            .chain(others)
            .filter(|(table, _)| !load.troubled.contains(table))
            .filter_map(|(table, rows)| self.line_of(table, rows))
            .collect();
        if !whole.is_empty() {
            self.keeping.add(&Line::Loaded(whole));
        }
    }

    fn line_of(&self, table: QualifiedName, rows: u64) -> Option<LoadedWhole> {
        let here = self
            .selection
            .map_or_else(|| table.clone(), |selection| selection.here(&table));
        let oid = *self.oids.get(&here)?;
        Some(LoadedWhole { table, oid, rows })
    }
}

/// How the definitions went, to be written down.
pub(super) fn definitions_done(outcome: &ScriptOutcome) -> Line {
    let refused = |one: &NotRestored| Refused {
        what: one.what.clone(),
        why: one.why.clone(),
        search_path: one.search_path.clone(),
        sql: one.sql.clone(),
    };
    Line::Definitions(DefinitionsDone {
        errors: outcome.errors.clone(),
        not_restored: outcome.not_restored.iter().map(refused).collect(),
        failed_tables: outcome.failed_tables.clone(),
    })
}

/// The same when it was written down.
pub(super) fn outcome_of(done: &DefinitionsDone) -> ScriptOutcome {
    let not_restored = |one: &Refused| NotRestored {
        what: one.what.clone(),
        why: one.why.clone(),
        search_path: one.search_path.clone(),
        sql: one.sql.clone(),
    };
    ScriptOutcome {
        errors: done.errors.clone(),
        not_restored: done.not_restored.iter().map(not_restored).collect(),
        failed_tables: done.failed_tables.clone(),
        ..ScriptOutcome::default()
    }
}
