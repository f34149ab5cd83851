//! Restores one set: look at everything, ask, then change.
//!
//! Up to the line that drops the database nothing is changed, and all that can be known to be missing or damaged has been
//! refused by then.

mod chain;
mod database;
mod definitions;
mod dry_run;
mod external;
mod external_verify;
mod extras;
mod failed_tables;
mod fetch;
mod keys;
mod lines;
mod resume;
mod room;
mod rows;
mod scene;
mod selection;
mod stops;
mod told;
mod verdict;
mod verify;
mod which;

use std::collections::BTreeSet;

use chrono::NaiveDateTime;
use tokio_util::sync::CancellationToken;

use self::chain::Chain;
use self::definitions::{Definitions, FirstSteps, parse_script};
use self::extras::Extras;
use self::fetch::{Fetched, fetch};
use self::lines::{EnginePlace, Phase};
use self::resume::{Begun, Found, Keeping};
use self::room::Planned;
use self::rows::Wanted;
use self::scene::{HowDefined, Scene, write_records};
use self::selection::Selection;
use self::stops::Stops;
use self::verdict::{tell_end_of_load, tell_end_of_phase, verdict};
use self::which::{find_key, list_tables};
use super::{Telling, left_sessions, refusal_of};
use crate::db::Session;
use crate::exec::restore_fleet::{LoadOutcome, RestoreFleet};
use crate::exec::restore_records::{self, MasterOutcome, Records};
use crate::format::report::BackupType;
use crate::format::resume_record::{Line, ResumeRecord};
use crate::format::run_report::RestoreBody;
use crate::gather::cluster::{master_address, read_server, read_surroundings, server_address, streams};
use crate::gather::dump_set;
use crate::plan::restore::DataFile;
use crate::plan::restore_request::{RestoreRequest, WhichSet};
use crate::store::files::Files;
use crate::words::environment::Environment;
use crate::words::exit::Exit;
use crate::words::layout::DumpFileKind;
use crate::words::present::Present;
use crate::words::refusal::Refusal;

const PROGRAM: &str = "gpdbrestore";

/// What a person is asked; nobody is when the request says so.
#[allow(missing_debug_implementations)]
pub struct Questions<C, N> {
    /// Whether to go on.
    pub confirm: C,
    /// Which line of a list of so many.
    pub choose: N,
}

/// Restores the set that the request names. `now` gives the local time. `told` is kept up to date whatever the end.
pub async fn run<C, N>(
    environment: &Environment,
    request: &RestoreRequest,
    files: &Files,
    now: fn() -> NaiveDateTime,
    questions: Questions<C, N>,
    told: Telling<'_, RestoreBody>,
    cancel: &CancellationToken,
) -> Result<Exit, Refusal>
where
    C: AsyncFn() -> Result<bool, Refusal>,
    N: AsyncFn(String, usize) -> Result<usize, Refusal>,
{
    let stops = Stops::default();
    let board = told.board;
    let result = tokio::select! {
        result = restore(environment, request, files, now, questions, told, &stops) => result,
        // The sessions and the workers went with the future above; what runs on the servers is told to end.
        () = cancel.cancelled() => {
            stops.cancel_all().await;
            Err(stops.interrupted())
        }
    };
    board.end();
    result
}

async fn restore<C, N>(
    environment: &Environment,
    request: &RestoreRequest,
    files: &Files,
    now: fn() -> NaiveDateTime,
    questions: Questions<C, N>,
    told: Telling<'_, RestoreBody>,
    stops: &Stops,
) -> Result<Exit, Refusal>
where
    C: AsyncFn() -> Result<bool, Refusal>,
    N: AsyncFn(String, usize) -> Result<usize, Refusal>,
{
    let Telling { told, board } = told;
    if request.verify {
        return verify::verify(environment, request, files, &questions.choose, told).await;
    }
    let own_host = &environment.host_full;
    let by_directory = request.external.template.is_some() && environment.pg.names_no_server();
    let mut address = match request.through_master && !by_directory {
        true => server_address(environment, &[], PROGRAM, request.limits),
        false => master_address(environment, Some(&request.master_data_dir), PROGRAM, request.limits)?,
    };
    let mut around = match request.through_master {
        true => read_server(&address, own_host, &request.master_data_dir).await,
        false => read_surroundings(&address, own_host).await,
    }
    .map_err(|error| refusal_of(&error))?;
    if !request.through_master {
        address.watch_segments(&around, own_host);
    }
    let at_place;
    let (request, key) = match &request.which {
        WhichSet::Remote(place) => {
            let Questions { confirm, choose } = &questions;
            let key = match fetch(environment, request, place, &around, confirm, choose).await? {
                Fetched::Set(key) => key,
                Fetched::Told => return Ok(Exit::Ok),
                Fetched::Aborted => {
                    tracing::info!("User abort requested, Exiting...");
                    return Ok(Exit::Aborted);
                }
            };
            at_place = RestoreRequest {
                backup_root: Some(place.root.clone().into()),
                // Asked and answered.
                confirm: false,
                ..request.clone()
            };
            (&at_place, Some(key))
        }
        _ => (request, None),
    };
    let root = &request.root();
    let key = match key {
        Some(key) => key,
        None => find_key(files, root, request, &questions.choose).await?,
    };
    let set = match request.only_extras() {
        true => dump_set::read_set(files, root, &request.prefix, key)?,
        false => dump_set::read_dump_set(files, root, &request.prefix, key)?,
    };
    told::of_set(told, &set, std::iter::empty());
    if request.through_master {
        // A connection for each of its files, wherever they were written.
        around.cluster = streams(&address, own_host, &request.master_data_dir, set.segments.len());
    }
    if request.list_tables {
        told.listed = list_tables(files, &set)?;
        return Ok(Exit::Ok);
    }
    let chain = match request.only_extras() {
        true => Chain::default(),
        false => chain::read(files, root, request, &set)?,
    };
    if set
        .manifest
        .as_ref()
        .is_some_and(|manifest| manifest.external.is_some())
    {
        around = around.through_master(
            &address,
            &environment.host_full,
            root.local().unwrap_or(&request.master_data_dir),
        );
    }
    let extras = Extras::read(files, request, &set)?;
    told::of_set(told, &set, chain.plan.iter().map(|line| line.key));
    let mut scene = Scene {
        environment,
        request,
        files,
        chain,
        created: false,
        database: request.redirect.clone().unwrap_or_else(|| set.database.clone()),
        address,
        around,
        set,
        stops,
        board,
    };
    told.database = Some(scene.database.clone());
    if request.list_backup {
        list_backup(&scene);
        told.listed = told.sets.iter().map(ToString::to_string).collect();
        return Ok(Exit::Ok);
    }
    if request.only_extras() {
        return extras::restore_only(&scene, &extras, questions.confirm).await;
    }
    let ready = match look(&mut scene, extras, &questions.confirm).await? {
        Looked::Ready(ready) => *ready,
        Looked::NothingLeft => {
            tracing::info!(
                "The restore of set {} into database {} came to its end: nothing is left to be done",
                scene.set.names.key,
                scene.database
            );
            return Ok(Exit::Ok);
        }
        Looked::Aborted => {
            tracing::info!("User abort requested, Exiting...");
            return Ok(Exit::Aborted);
        }
    };
    told.notes.clone_from(&ready.first_steps.notes);
    if request.dry_run {
        return dry_run::tell(&scene, ready).await;
    }
    let result = change(&scene, ready, now, told).await;
    if result.as_ref().map_or(true, |exit| *exit == Exit::Failed) {
        // The statements that ran on after a failure elsewhere.
        stops.cancel_all().await;
        // A process behind a pooler may be another's by the time it is looked for.
        if !scene.around.cluster.is_streams() {
            left_sessions::tell(&scene.address, &scene.around.dialect, &stops.pids(), None).await;
        }
    }
    result
}

/// `--list-backup`
fn list_backup(scene: &Scene<'_>) {
    let (set, plan) = (&scene.set, &scene.chain.plan);
    for line in lines::parameters(scene.request, set, &scene.around.cluster, &[]) {
        tracing::info!("{line}");
    }
    scene.chain.write_plan(scene.files, set);
    for line in lines::needed_sets(set.names.key, plan.iter().map(|line| line.key)) {
        tracing::info!("{line}");
    }
}

/// Everything that is known when nothing has been changed yet.
struct Ready {
    maintenance: Session,
    extras: Extras,
    definitions: Definitions,
    selection: Option<Selection>,
    /// What the database had before.
    present: Present,
    first_steps: FirstSteps,
    fleet: RestoreFleet,
    /// The data files of the set itself.
    files: Vec<DataFile>,
    /// A sum over all that decides what is restored.
    sum: String,
    /// What a restore that is gone on with has written down.
    goes_on: Option<ResumeRecord>,
}

/// What came of looking.
enum Looked {
    Ready(Box<Ready>),
    /// The answer was no.
    Aborted,
    /// `--resume` of a restore that had come to its end.
    NothingLeft,
}

/// Reads and checks, and asks in between.
async fn look<C>(scene: &mut Scene<'_>, extras: Extras, confirm: &C) -> Result<Looked, Refusal>
where
    C: AsyncFn() -> Result<bool, Refusal>,
{
    let request = scene.request;
    let maintenance = scene.open_maintenance().await?;
    let exists = scene.database_exists(&maintenance).await?;
    scene.created = !exists;
    let mut goes_on = None;
    if request.resume {
        match scene.read_resume(&maintenance).await? {
            Found::Ended => return Ok(Looked::NothingLeft),
            Found::GoOn(record) => {
                scene.created = record.begin.made_database;
                goes_on = Some(*record);
            }
        }
    }
    if !exists && !request.recreate && request.redirect.is_none() {
        return Err(Refusal::known(format!(
            "Database {} does not exist and -e option not supplied",
            scene.database
        )));
    }
    // Who empties a table believes that it is there: a database made for it would hide a wrong name.
    if !exists && request.truncate {
        return Err(Refusal::failed(format!(
            "Failure from truncating tables, FATAL:  database \"{}\" does not exist",
            scene.database
        ))
        .with_hint("without --truncate it is created"));
    }
    let fresh = request.recreate || scene.created;
    let creates = fresh && goes_on.is_none();
    // Names are looked up before anybody is asked; a restore of everything reads the files when it needs them.
    let early = match request.selects() {
        true => {
            if scene.files.is_pipe(&dump_set::ddl_path(&scene.set, DumpFileKind::Dump)) {
                // There is nothing to be looked up before the definitions come, and then they are looked up all the same.
                tracing::warn!("Skipping validation of tables in dump file due to the use of named pipes");
            }
            Some(Definitions::read(scene.files, &scene.set, creates).await?)
        }
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
    // Of a set that was fetched they were shown before that.
    if !matches!(request.which, WhichSet::Remote(_)) {
        for line in lines::parameters(request, &scene.set, &scene.around.cluster, &named) {
            tracing::info!("{line}");
        }
    }
    if request.confirm && !request.dry_run && !confirm().await? {
        return Ok(Looked::Aborted);
    }

    let mut definitions = match early {
        Some(definitions) => definitions,
        None => Definitions::read(scene.files, &scene.set, creates).await?,
    };
    scene.chain.check_lists(&scene.set, || definitions.inventory())?;
    let mut first_steps = FirstSteps::default();
    if let Some(selection) = &selection {
        first_steps = definitions.cut(
            selection,
            &present,
            &scene.chain.provided(&scene.set),
            &scene.database,
            fresh,
        )?;
    } else if scene.set.manifest.is_none() && !scene.rows_only() {
        // Only the original forgot schemas; what lies in others that are not in a set belongs to an extension.
        first_steps.not_in_set = definitions.inventory()?.schemas_not_made();
    }
    definitions
        .translate(&scene.set, &maintenance, &scene.around.dialect)
        .await?;
    // Both are whole, or nothing is changed.
    parse_script(&definitions.pre_data, &definitions.pre_data_path)?;
    parse_script(&definitions.post_data, &definitions.post_data_path)?;
    scene.check_external(&maintenance).await?;
    let mut fleet = scene.start_fleet().await?;
    let mut files = Vec::new();
    if !request.metadata_only {
        files = scene.find_files(&scene.set, &mut fleet).await?;
        let mut older = std::mem::take(&mut scene.chain.older);
        for member in &mut older {
            member.files = scene.find_files(&member.set, &mut fleet).await?;
        }
        scene.chain.older = older;
    }
    // What a restore that is gone on with has loaded already takes its room.
    if !request.metadata_only && goes_on.is_none() {
        let planned = Planned {
            definitions: &definitions,
            selection: selection.as_ref(),
            files: &files,
            database_exists: exists,
        };
        scene.check_room(&maintenance, &mut fleet, planned).await?;
    }
    let sum = resume::sum_of(scene, &definitions, &files);
    if let Some(record) = &goes_on {
        scene.check_sum(record, &sum)?;
    }
    Ok(Looked::Ready(Box::new(Ready {
        maintenance,
        extras,
        definitions,
        selection,
        present,
        first_steps,
        fleet,
        files,
        sum,
        goes_on,
    })))
}

/// Does it.
async fn change(
    scene: &Scene<'_>,
    ready: Ready,
    now: fn() -> NaiveDateTime,
    told: &mut RestoreBody,
) -> Result<Exit, Refusal> {
    let Ready {
        maintenance,
        extras,
        definitions,
        selection,
        present,
        first_steps,
        mut fleet,
        files,
        sum,
        goes_on,
    } = ready;
    let request = scene.request;
    let pre_data = parse_script(&definitions.pre_data, &definitions.pre_data_path)?;
    let post_data = parse_script(&definitions.post_data, &definitions.post_data_path)?;
    // Tables are counted before anything is changed.
    let begun = match goes_on {
        None => None,
        Some(record) => Some(
            scene
                .take_up(&maintenance, record, &definitions, selection.as_ref())
                .await?,
        ),
    };
    if !request.metadata_only {
        scene.chain.write_plan(scene.files, &scene.set);
    }
    scene.stops.changing(&scene.database);
    let mut master = MasterOutcome::default();
    if begun.is_none() {
        master.errors = extras.restore_globals(scene, &maintenance).await?;
        let messages = scene.prepare_database(&maintenance, definitions.cdatabase.as_ref());
        master.errors.extend(messages.await?);
    }
    maintenance.close().await;
    let report_directory = scene.report_directory();
    if !scene.set.names.prefix.is_empty() {
        tracing::info!("Adding --prefix");
    }
    let engine = |phase: Phase<'_>| {
        let place = EnginePlace {
            host: &scene.environment.host_full,
            port: scene.around.cluster.master().port,
            user: &scene.environment.user,
            database: &scene.database,
            report_directory: report_directory.as_deref(),
        };
        lines::engine_arguments(request, &scene.set, place, phase)
    };

    let session = scene.open(&scene.database).await?;
    for setting in scene.around.dialect.dump_session_settings() {
        session
            .run(&setting, "preparing the session")
            .await
            .map_err(|error| refusal_of(&error))?;
    }
    let (mut keeping, begun) = match begun {
        Some(begun) => (Keeping::of(scene, begun.record.clone()), Some(begun)),
        None => {
            let made = request.recreate || scene.created;
            (Keeping::begin(scene, &session, sum, made, &master.errors).await?, None)
        }
    };
    if begun.is_some() {
        master.errors.extend_from_slice(keeping.begin_errors());
    }
    let definitions_done = begun.as_ref().and_then(Begun::definitions);
    if definitions_done.is_none() {
        let steps = match &begun {
            None => first_steps,
            Some(begun) => begun.first_steps(first_steps),
        };
        scene.take_first_steps(&session, &steps).await?;
    }
    let there = begun.is_some().then(|| keeping.there().clone());
    let how = HowDefined {
        partial: selection.is_some(),
        goes_on: there.as_ref(),
    };
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
    let mut failed = BTreeSet::new();
    if !scene.rows_only() {
        let outcome = match definitions_done {
            Some(done) => Ok(done),
            None => {
                let path = &definitions.pre_data_path;
                let run = scene.run_definitions(&session, &pre_data, path, &pre_data, how).await;
                if let Ok(outcome) = &run {
                    keeping.add(&resume::definitions_done(outcome));
                }
                run
            }
        };
        match outcome {
            Ok(outcome) => {
                master.errors.extend(outcome.errors);
                master.not_restored.extend(outcome.not_restored);
                failed.extend(outcome.failed_tables);
                existing = outcome.existing_tables;
            }
            Err(failure) => master.failure = Some(failure.text),
        }
    }
    stop_at_error(request, &mut master);
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
            begun: begun.as_ref(),
            existing,
        };
        if let Err(failure) = scene
            .load_rows(&session, &mut fleet, &files, wanted, &mut keeping, &mut load)
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
        let path = &definitions.post_data_path;
        let outcome = scene.run_definitions(&session, &post_data, path, &pre_data, how).await;
        match outcome {
            Ok(outcome) => {
                master.errors.extend(outcome.errors);
                master.not_restored.extend(outcome.not_restored);
                failed.extend(outcome.failed_tables);
            }
            Err(failure) => master.failure = Some(failure.text),
        }
        stop_at_error(request, &mut master);
    }
    let directory = report_directory.as_deref().unwrap_or(&request.master_data_dir);
    let rest = directory.join(scene.set.names.of_set(DumpFileKind::RestoreRest));
    definitions.tell_missing(&mut master, &rest);
    failed_tables::tell(scene, selection.as_ref(), failed, &load, directory);
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
    told::of_end(told, &master, &load);
    let exit = verdict(&master, &load, keeping.can_go_on())?;
    let mut errors = scene.finish(&session, selection.as_ref()).await?;
    errors.extend(extras.restore_statistics(scene, &session, selection.as_ref()).await?);
    session.close().await;
    let exit = match extras::tell_errors(&errors) {
        Exit::Ok => exit,
        worse => worse,
    };
    if exit == Exit::Ok {
        keeping.add(&Line::Ended);
    }
    Ok(exit)
}

/// `--stop-on-error`: nothing is done behind an error.
fn stop_at_error(request: &RestoreRequest, master: &mut MasterOutcome) {
    if request.stop_on_error && !master.errors.is_empty() && master.failure.is_none() {
        master.failure = Some("the restore was ended at its first error, as --stop-on-error asks".to_owned());
    }
}
