//! The database itself: made, emptied, and looked after when the rows are in.

use super::definitions::FirstSteps;
use super::lines;
use super::scene::Scene;
use super::selection::Selection;
use crate::db::{Session, definitions, target};
use crate::exec::{restore_after, restore_database};
use crate::format::cdatabase::Cdatabase;
use crate::gather::dump_set;
use crate::plan::restore_request::Extra;
use crate::run::refusal_of;
use crate::words::layout::DumpFileKind;
use crate::words::refusal::Refusal;

impl Scene<'_> {
    /// Drops and creates as asked; returns the errors that do not end the restore.
    pub(super) async fn prepare_database(
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

    pub(super) async fn take_first_steps(&self, session: &Session, steps: &FirstSteps) -> Result<(), Refusal> {
        for note in &steps.notes {
            tracing::info!("{note}");
        }
        for warning in &steps.warnings {
            tracing::warn!("{warning}");
        }
        self.make_schemas_not_in_set(session, &steps.not_in_set).await?;
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

    async fn make_schemas_not_in_set(&self, session: &Session, schemas: &[String]) -> Result<(), Refusal> {
        if schemas.is_empty() {
            return Ok(());
        }
        let there = definitions::read_schemas(session)
            .await
            .map_err(|error| refusal_of(&error))?;
        for schema in schemas.iter().filter(|schema| !there.contains(schema)) {
            tracing::warn!(
                "Schema {schema} is neither in set {} nor in database {}, and is created without its owner and its privileges",
                self.set.names.key,
                self.database
            );
            target::create_schema(session, schema)
                .await
                .map_err(|error| refusal_of(&error))?;
        }
        Ok(())
    }

    /// Returns a sentence for each table that could not be analyzed.
    pub(super) async fn finish(
        &self,
        session: &Session,
        selection: Option<&Selection>,
    ) -> Result<Vec<String>, Refusal> {
        // The settings of the set's files end here.
        session
            .run("RESET ALL; SET statement_timeout = 0", "going on after the restore")
            .await
            .map_err(|error| refusal_of(&error))?;
        let only = selection.map(Selection::all_here);
        if self.around.cluster.is_streams() {
            // All rows came through the master, which has counted them.
        } else if self.request.ao_stats {
            restore_after::update_ao_statistics(session, &self.around.dialect, only.as_ref()).await?;
        } else if self.around.dialect.has_appendonly && !self.request.metadata_only {
            // Rows that went straight into segments move the master's counters only through these statistics, or so.
            let touched = restore_after::touch_ao_tables(session, &self.around.dialect, only.as_ref()).await;
            if let Err(refusal) = touched {
                tracing::warn!("{refusal}");
                tracing::warn!(
                    "--noaostats: the next incremental dump may leave out append-optimized tables that were loaded now; \
                     make the next dump a full one, or run gp_update_ao_master_stats on them"
                );
            }
        }
        // There is nothing to be counted.
        if self.request.metadata_only {
            return Ok(Vec::new());
        }
        let heads = selection.map(Selection::heads);
        // The planner is told what it knew.
        if self.request.statistics != Extra::No {
            return Ok(Vec::new());
        }
        if !self.request.analyze {
            for line in lines::ANALYZE_BYPASSED {
                tracing::warn!("{line}");
            }
            return Ok(Vec::new());
        }
        if heads.as_ref().is_some_and(Vec::is_empty) {
            return Ok(Vec::new());
        }
        let others = self.open_more(heads.as_ref().map_or(usize::MAX, Vec::len)).await;
        let sessions: Vec<&Session> = std::iter::once(session).chain(&others).collect();
        let errors = match &heads {
            Some(heads) => restore_after::analyze_tables(&sessions, &self.database, heads).await,
            None => restore_after::analyze_database(&sessions, &self.around.dialect, &self.database).await,
        };
        for other in others {
            other.close().await;
        }
        Ok(errors)
    }
}
