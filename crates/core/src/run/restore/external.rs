//! Rows of a set that lie in a storage: the segments read them themselves.

use std::collections::BTreeSet;

use super::scene::Scene;
use super::selection::Selection;
use crate::db::Session;
use crate::db::external::{self, Shape};
use crate::exec::external::{ExternalDone, ExternalJob, Failure, Keep, run};
use crate::exec::restore_fleet::LoadOutcome;
use crate::format::external_rows::{ExternalRows, ExternalTable};
use crate::plan::external::{Direction, application_name, helper_name, location, shown_location};
use crate::plan::restore::routes::Routes;
use crate::run::dump_database::external::{end_lost_sessions, ensure_protocol, explain};
use crate::run::refusal_of;
use crate::words::names::QualifiedName;
use crate::words::refusal::Refusal;

impl Scene<'_> {
    fn external_rows(&self) -> Option<&ExternalRows> {
        let manifest = self.set.manifest.as_ref()?;
        manifest.external.as_ref().filter(|_| !self.request.metadata_only)
    }

    /// Tables whose rows lie in a storage, as the set calls them.
    pub(super) fn external_tables(&self) -> BTreeSet<QualifiedName> {
        let rows = self.external_rows().into_iter();
        rows.flat_map(|rows| &rows.tables)
            .map(|one| one.table.clone())
            .collect()
    }

    /// Refuses, before anything is changed, a restore that could not read the rows; says which the set does not have.
    pub(super) async fn check_external(&self, session: &Session) -> Result<(), Refusal> {
        let Some(rows) = self.external_rows() else {
            return Ok(());
        };
        const UNCHANGED: &str = "nothing was changed; -m restores the definitions alone";
        let can = external::has_external_tables(session).await;
        if !can.map_err(|error| refusal_of(&error))? && !rows.tables.is_empty() {
            return Err(Refusal::failed(format!(
                "External tables wrote the rows of {} tables of this set, and this server has no external tables that \
                 could read them",
                rows.tables.len()
            ))
            .with_hint(UNCHANGED));
        }
        if !self.request.dry_run {
            // They would keep the database from being dropped, and tables from being emptied.
            end_lost_sessions(self.environment, session, &self.around.dialect).await?;
        }
        let access = &self.request.external;
        let storage = access.storage(rows);
        if let Some(table) = rows.tables.first() {
            location(&storage, &table.path, Direction::Read, &access.secrets).map_err(|why| {
                Refusal::failed(format!(
                    "The rows of {} tables of this set lie in {}, and {why}",
                    rows.tables.len(),
                    shown_location(&storage, "", Direction::Read)
                ))
                .with_hint(UNCHANGED)
            })?;
            tracing::info!(
                "The rows of {} tables are read by the segments from {}",
                rows.tables.len(),
                shown_location(&storage, "", Direction::Read)
            );
        }
        for missing in &rows.missing {
            tracing::warn!(
                "The rows of table {} are not in the set: {}",
                missing.table,
                missing.why
            );
        }
        Ok(())
    }

    /// Reads the rows that are wanted. What went wrong with a table is noted as for those of files.
    pub(super) async fn load_external(
        &self,
        session: &Session,
        routes: &Routes,
        selection: Option<&Selection>,
        load: &mut LoadOutcome,
    ) -> Result<(), Refusal> {
        let Some(rows) = self.external_rows() else {
            return Ok(());
        };
        let storage = self.request.external.storage(rows);
        let wanted: Vec<&ExternalTable> = rows.tables.iter().filter(|one| routes.wants(&one.table)).collect();
        for table in rows.missing.iter().filter(|one| routes.wants(&one.table)) {
            note_trouble(
                load,
                &table.table,
                format!("table {}: its rows are not in the set: {}", table.table, table.why),
            );
        }
        // What is empty needs no reading, and a storage may know no empty folders.
        for empty in wanted.iter().filter(|one| one.rows == 0) {
            load.rows.insert(empty.table.clone(), 0);
        }
        let wanted: Vec<&ExternalTable> = wanted.into_iter().filter(|one| one.rows > 0).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        ensure_protocol(session, &storage.template, &self.database).await?;
        let here = |name: &QualifiedName| selection.map_or_else(|| name.clone(), |selection| selection.here(name));
        let names: Vec<QualifiedName> = wanted.iter().map(|one| here(&one.table)).collect();
        let sessions = self.open_readers(names.len()).await?;
        // Asked of a session that will read: names of types are said as its search path wants them.
        let types = external::read_column_types(sessions.first().unwrap_or(session), &names).await;
        let types = types.map_err(|error| refusal_of(&error))?;
        let mut jobs = Vec::new();
        let mut sources = Vec::new();
        for (one, name) in wanted.iter().zip(&names) {
            let of_table = types.get(name);
            let columns: Option<Vec<(String, String)>> = (one.columns.iter())
                .map(|column| Some((column.clone(), of_table?.get(column)?.clone())))
                .collect();
            let Some(columns) = columns else {
                let what = match of_table {
                    None => "it is not in the database".to_owned(),
                    Some(_) => format!("it has not all the columns of the set: {}", one.columns.join(", ")),
                };
                note_trouble(
                    load,
                    &one.table,
                    format!("table {name}: {what}, so its rows were not loaded"),
                );
                continue;
            };
            let place = location(&storage, &one.path, Direction::Read, &self.request.external.secrets);
            let shape = Shape {
                format: storage.template.format,
                encoding: &storage.encoding,
            };
            let helper = helper_name(self.set.names.key, self.environment.pid, jobs.len());
            jobs.push(ExternalJob {
                table: name.clone(),
                statements: external::reading(&helper, name, &columns, &place.map_err(Refusal::failed)?, shape),
                expected: Some(one.rows),
            });
            sources.push(*one);
        }
        let tell = |done: &ExternalDone| {
            if let Ok(rows) = done.result {
                tracing::info!(
                    "Table {}: {rows} rows in {:.3} s from {}",
                    jobs[done.at].table,
                    std::time::Duration::from_millis(done.milliseconds).as_secs_f64(),
                    shown_location(&storage, &sources[done.at].path, Direction::Read)
                );
            }
        };
        let ends = run(&sessions, &jobs, Keep::Rows, &self.request.external.secrets, tell).await;
        for reader in sessions {
            reader.close().await;
        }
        for end in ends {
            let (source, table) = (sources[end.at], &jobs[end.at].table);
            match end.result {
                Ok(rows) => {
                    load.rows.insert(source.table.clone(), rows);
                }
                Err(Failure::Count(rows)) => {
                    load.troubled.insert(source.table.clone());
                    note_failure(
                        load,
                        format!(
                            "table {table}: {rows} rows came from {}, the manifest of set {} counts {}; none of them was kept",
                            shown_location(&storage, &source.path, Direction::Read),
                            self.set.names.key,
                            source.rows
                        ),
                    );
                }
                Err(failure) => {
                    let protocol = &storage.template.protocol;
                    let why = explain(session, table, protocol, Direction::Read, &failure).await;
                    note_trouble(
                        load,
                        &source.table,
                        format!("table {table}: its rows were not loaded: {why}"),
                    );
                }
            }
        }
        Ok(())
    }

    async fn open_readers(&self, jobs: usize) -> Result<Vec<Session>, Refusal> {
        let mut spec = self.address.spec(&self.database);
        spec.application_name = application_name(self.set.names.key, self.environment.pid, &self.environment.host_full);
        let mut readers = Vec::new();
        for _ in 0..self.request.external.streams.min(jobs) {
            let reader = Session::open(&spec).await.map_err(|error| refusal_of(&error))?;
            self.stops.add(&reader);
            let prepare = async {
                for setting in self.around.dialect.dump_session_settings() {
                    reader.run(&setting, "preparing the session").await?;
                }
                external::keep_quiet(&reader).await
            };
            prepare.await.map_err(|error| refusal_of(&error))?;
            readers.push(reader);
        }
        Ok(readers)
    }
}

/// The server refused a table: the restore is done, but not all of it.
fn note_trouble(load: &mut LoadOutcome, table: &QualifiedName, text: String) {
    load.troubled.insert(table.clone());
    load.refused.insert(table.clone());
    if let Some(file) = load.files.values_mut().next() {
        file.refused.push(text);
    }
}

/// Rows are not those that were written: the restore failed.
fn note_failure(load: &mut LoadOutcome, text: String) {
    if let Some(file) = load.files.values_mut().next() {
        file.miscounted.push(text);
    }
}
