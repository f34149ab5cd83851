//! `-G` and `--restore-stats`: read and checked before anything is changed, restored alone or beside the database.

use std::collections::HashMap;

use super::definitions::parse_script;
use super::lines;
use super::scene::Scene;
use super::selection::Selection;
use crate::db::Session;
use crate::exec::restore_extras::{self, StatisticsOf};
use crate::format::global_objects::{self, GlobalStatement};
use crate::format::statistics::read::{self, StoredBlock};
use crate::gather::dump_set;
use crate::plan::restore::DumpSet;
use crate::plan::restore_request::{Extra, RestoreRequest, WhichSet};
use crate::run::refusal_of;
use crate::store::files::Files;
use crate::words::exit::Exit;
use crate::words::layout::DumpFileKind;
use crate::words::names::QualifiedName;
use crate::words::place::Place;
use crate::words::refusal::Refusal;

/// What was asked for beside tables.
#[derive(Debug, Default)]
pub(super) struct Extras {
    pub(super) globals: Option<(Place, Vec<GlobalStatement>)>,
    pub(super) statistics: Option<(Place, Vec<StoredBlock>)>,
}

impl Extras {
    /// Reads the files that the request wants; refuses when they are not there or not whole.
    pub(super) fn read(files: &Files, request: &RestoreRequest, set: &DumpSet) -> Result<Extras, Refusal> {
        let mut extras = Extras::default();
        if request.globals != Extra::No {
            let (path, text) = file(files, set, DumpFileKind::Global, "global")?;
            let statements = global_objects::read(&text).map_err(|error| unreadable(&path, &error))?;
            extras.globals = Some((path, statements));
        }
        if request.statistics != Extra::No {
            let (path, text) = file(files, set, DumpFileKind::Statistics, "statistics")?;
            let blocks = read::read(&text).map_err(|error| unreadable(&path, &error))?;
            extras.statistics = Some((path, blocks));
        }
        Ok(extras)
    }

    pub(super) async fn restore_globals(&self, scene: &Scene<'_>, session: &Session) -> Result<Vec<String>, Refusal> {
        let Some((_, statements)) = &self.globals else {
            return Ok(Vec::new());
        };
        tracing::info!("Commencing restore of global objects");
        restore_extras::restore_globals(session, &scene.around.dialect, statements).await
    }

    pub(super) async fn restore_statistics(
        &self,
        scene: &Scene<'_>,
        session: &Session,
        selection: Option<&Selection>,
    ) -> Result<Vec<String>, Refusal> {
        let Some((_, blocks)) = &self.statistics else {
            return Ok(Vec::new());
        };
        tracing::info!("Commencing restore of statistics");
        let tables: Option<HashMap<QualifiedName, QualifiedName>> = selection.map(Selection::names_in_set);
        let of = StatisticsOf {
            tables: tables.as_ref(),
        };
        restore_extras::restore_statistics(session, &scene.around.dialect, blocks, of).await
    }
}

fn file(files: &Files, set: &DumpSet, kind: DumpFileKind, words: &str) -> Result<(Place, Vec<u8>), Refusal> {
    let path = dump_set::ddl_path(set, kind);
    let is_there = files
        .is_file(&path)
        .map_err(|error| Refusal::failed(format!("could not look for {words} file {}: {error}", path.display())))?;
    if !is_there {
        return Err(
            Refusal::failed(format!("Unable to locate {words} file {} in dump set", path.display())).with_hint(
                "nothing was changed; the dump has it when it was taken with the option for it (-G, --dump-stats)",
            ),
        );
    }
    dump_set::check_master_file(files, set, kind)?;
    Ok((path, dump_set::read_ddl(files, set, kind)?))
}

fn unreadable(path: &Place, error: &dyn std::fmt::Display) -> Refusal {
    Refusal::failed(format!("{}: {error}", path.display()))
        .with_hint("nothing was changed; the file was cut off, or its dump failed")
}

/// Nothing but what the extras have: `-G only`, `--restore-stats only`.
pub(super) async fn restore_only<C>(scene: &Scene<'_>, extras: &Extras, confirm: C) -> Result<Exit, Refusal>
where
    C: AsyncFn() -> Result<bool, Refusal>,
{
    let request = scene.request;
    let maintenance = scene.open_maintenance().await?;
    if extras.statistics.is_some() && !scene.database_exists(&maintenance).await? {
        return Err(Refusal::known(format!(
            "Database {} does not exist and -e option not supplied",
            scene.database
        )));
    }
    let selection = match extras.statistics.is_some() && request.selects() {
        false => None,
        true => {
            let text = dump_set::read_ddl(scene.files, &scene.set, DumpFileKind::Dump)?;
            let script = parse_script(&text, &dump_set::ddl_path(&scene.set, DumpFileKind::Dump))?;
            Selection::read(request, &script)?
        }
    };
    let named = selection.as_ref().map(Selection::named).unwrap_or_default();
    if !matches!(request.which, WhichSet::Remote(_)) {
        for line in lines::parameters(request, &scene.set, &scene.around.cluster, &named) {
            tracing::info!("{line}");
        }
    }
    if request.dry_run {
        extras.tell();
        return Ok(Exit::Ok);
    }
    if request.confirm && !confirm().await? {
        tracing::info!("User abort requested, Exiting...");
        return Ok(Exit::Aborted);
    }
    scene.stops.changing(&scene.database);
    let mut errors = extras.restore_globals(scene, &maintenance).await?;
    maintenance.close().await;
    if extras.statistics.is_some() {
        let session = scene.open(&scene.database).await?;
        for setting in scene.around.dialect.dump_session_settings() {
            session
                .run(&setting, "preparing the session")
                .await
                .map_err(|error| refusal_of(&error))?;
        }
        errors.extend(extras.restore_statistics(scene, &session, selection.as_ref()).await?);
        session.close().await;
    }
    Ok(tell_errors(&errors))
}

/// Says every error; what they amount to.
pub(super) fn tell_errors(errors: &[String]) -> Exit {
    for error in errors {
        tracing::error!("{error}");
    }
    match errors.is_empty() {
        true => Exit::Ok,
        false => Exit::Warnings,
    }
}

impl Extras {
    /// What a dry run says of them.
    pub(super) fn tell(&self) {
        if let Some((path, statements)) = &self.globals {
            tracing::info!(
                "Global objects: {} statements of {} would be run",
                statements.len(),
                path.display()
            );
        }
        if let Some((path, blocks)) = &self.statistics {
            tracing::info!(
                "Statistics: {} blocks of {} would be restored",
                blocks.len(),
                path.display()
            );
        }
    }
}
