//! What follows the dump itself: history, report, mail; or the words for a dump that failed.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::files::{outcomes_of, write_report, write_status_files};
use super::prepare::Directories;
use super::{DatabaseEnd, DumpContext, Dumped, globals, rollback, statistics, vacuum};
use crate::db::rights;
use crate::exec::dump_fleet::DumpFleet;
use crate::exec::history::{self, HistoryRow, HistoryTable};
use crate::exec::host_tasks;
use crate::plan::mail::{self, FilesOfFailure, MailFacts};
use crate::run::cleanup::{self, Cleaned};
use crate::run::dump_lines::{self, DASH};
use crate::run::mail::{WithoutContacts, send};
use crate::words::cluster::HostName;
use crate::words::exit::Exit;
use crate::words::ids::DumpDate;
use crate::words::layout::{DumpFileKind, InstanceId, PARTIAL_SUFFIX, SetNames};
use crate::words::outcome::Severity;
use crate::words::refusal::Refusal;
use crate::worker::host_tasks::{HostTask, TaskOutcome};

/// Tells every failure, leaves a report and status files that say so, and no data file.
pub(super) async fn failed(
    context: &DumpContext<'_>,
    fleet: &mut DumpFleet,
    names: &SetNames,
    directories: &Directories,
) -> Dumped {
    fleet.reset().await;
    let end_time = (context.now)().format("%H:%M:%S").to_string();
    for (content, message) in &fleet.failures {
        match context.surroundings.cluster.primary(*content) {
            // What a server said begins with its name already.
            Some(primary) if message.starts_with(&primary.to_string()) => error!("{message}"),
            Some(primary) => error!("{primary}: {message}"),
            None => error!("segment {content}: {message}"),
        }
    }
    clean_after_lost_workers(context, fleet, directories).await;
    let status_files = write_status_files(context, fleet, names, directories, &[], &mut Vec::new()).await;
    if let Err(refusal) = &status_files {
        error!("{refusal}");
    }
    let outcomes = outcomes_of(context, fleet, names, directories, &[]);
    if let Err(error) = write_report(context, names, &directories.master, &outcomes) {
        error!("{}", crate::db::error_chain(&error));
    }
    warn!("Dump process returned exit code 1");
    info!("Timestamp key = {}", context.key);
    if status_files.is_ok() {
        for primary in fleet
            .failures
            .keys()
            .filter_map(|content| context.surroundings.cluster.primary(*content))
        {
            let id = InstanceId {
                content: primary.content,
                dbid: primary.dbid,
            };
            let name = names.of_instance(DumpFileKind::Status, id);
            if let Some(directory) = directories.segments.get(&primary.content) {
                let path = directory.join(name);
                warn!("Status file {} on {} indicates errors", path.display(), primary.host);
            }
        }
    }
    warn!(
        "Dump was unsuccessful. {} segment(s) failed post-dump checks.",
        fleet.failures.len()
    );
    Dumped {
        severity: Severity::Warning,
        exit: Exit::Failed,
        end_time,
        record: None,
    }
}

/// Takes back what segments have written for a dump that the master gave up: `given_up` is where. Nothing else may have noticed
/// that a host died in the same moment.
pub(super) async fn clean(context: &DumpContext<'_>, fleet: &mut DumpFleet, given_up: Option<&Directories>) {
    if let Some(directories) = given_up {
        fleet.reset().await;
        clean_after_lost_workers(context, fleet, directories).await;
    }
}

/// How long a host that was lost may take to let us in again.
const SECOND_LOOK: Duration = Duration::from_secs(10);

/// Removes the unfinished files of workers that ended before they could, wherever their hosts can be reached; names what
/// may be left on the others.
async fn clean_after_lost_workers(context: &DumpContext<'_>, fleet: &DumpFleet, directories: &Directories) {
    let mut tasks: BTreeMap<HostName, Vec<HostTask>> = BTreeMap::new();
    for instance in fleet.not_cleaned() {
        if let Some(directory) = directories.segments.get(&instance.content) {
            // Uploads can be taken back from anywhere, and the host may be gone.
            let host = match directory.is_stored() {
                true => HostName("localhost".to_owned()),
                false => instance.host.clone(),
            };
            tasks.entry(host).or_default().push(HostTask::RemoveUnfinished {
                directory: directory.clone(),
                prefix: context.request.prefix.clone(),
                key: context.key,
            });
        }
    }
    if tasks.is_empty() {
        return;
    }
    // A worker that is only cut off removes them itself when it has heard nothing for as long as it may.
    // It has just been lost: most likely it is not there, and nobody shall wait long for that to be known.
    let mut launcher = context.launcher.clone();
    launcher.limits.connect = launcher.limits.connect.min(SECOND_LOOK);
    for end in host_tasks::run(&launcher, tasks, context.request.parallel).await {
        let HostTask::RemoveUnfinished { directory, .. } = &end.task else {
            continue;
        };
        match end.result {
            Ok(TaskOutcome::SetRemoved(names)) if names.is_empty() => {}
            Ok(_) => info!(
                "Removed the unfinished files of the worker that is gone from {} on {}",
                directory.display(),
                end.host
            ),
            Err(reason) => warn!(
                "Host {} cannot be reached: files named *{}*{PARTIAL_SUFFIX} may be left there in {} and can be \
                 removed; the worker there, if it lives, removes them and ends within {} s ({reason})",
                end.host,
                context.key,
                directory.display(),
                context.request.limits.silence.as_secs()
            ),
        }
    }
}

/// What follows the dump itself: history, globals, clean-up, vacuum, report. `exit` is what came of the work before it.
pub(super) async fn finish(
    context: &DumpContext<'_>,
    dumped: Dumped,
    exit: Exit,
    cancel: &CancellationToken,
) -> Result<DatabaseEnd, Refusal> {
    let mut exit = exit.max(dumped.exit);
    let chores = &context.request.chores;
    let mut dumped = dumped;
    if let Some(record) = dumped.record.as_mut().filter(|_| chores.statistics) {
        let saved = tokio::select! {
            saved = statistics::dump_statistics(context, record) => saved,
            () = cancel.cancelled() => return Err(interrupted_after(context)),
        };
        if !saved {
            exit = exit.max(Exit::Warnings);
        }
    }
    if wants_history(context).await && record_history(context, &dumped).await.is_none() {
        exit = exit.max(Exit::Warnings);
    }
    let Some(mut record) = dumped.record else {
        if chores.globals {
            info!("Skipping global dump due to issues during post-dump checks.");
        }
        let (files, said) = after_failure(context).await;
        let letter = mail::failed(
            &mail_facts(context, dumped.end_time, 1),
            files,
            &context.environment.host_full,
        );
        send(context.environment, &[letter], WithoutContacts::Tell).await;
        return Err(Refusal::known(said));
    };
    let chores = async {
        let mut all = true;
        if chores.globals {
            all &= globals::dump_globals(context, &mut record).await;
        }
        let cleaned = clean_up(context).await;
        exit = exit.max(cleaned.exit);
        if chores.vacuum_after {
            info!("Commencing post-dump vacuum...");
            all &= vacuum::vacuum(context, cancel).await;
        }
        if !all {
            exit = exit.max(Exit::Warnings);
        }
        cleaned
    };
    let cleaned = tokio::select! {
        cleaned = chores => cleaned,
        () = cancel.cancelled() => return Err(interrupted_after(context)),
    };
    if cancel.is_cancelled() {
        return Err(interrupted_after(context));
    }
    for line in dump_lines::status_report(
        context.request,
        &context.database,
        context.key,
        (&context.start_time(), &dumped.end_time),
        &cleaned.deleted,
    ) {
        info!("{line}");
    }
    match exit {
        Exit::Ok => info!("Exit code zero, no warnings generated"),
        _ => warn!("Exit code not zero, check log file"),
    }
    info!("{DASH}");
    Ok(DatabaseEnd {
        exit,
        key: context.key,
        record,
        mail: mail_facts(context, dumped.end_time, exit.code()),
    })
}

fn interrupted_after(context: &DumpContext<'_>) -> Refusal {
    Refusal::known(format!(
        "interrupted by a signal; the dump {} of database {} is complete, but not all that was to follow it is done",
        context.key, context.database
    ))
}

/// For a dump that was given up on the way: history, and the files that may have got their names already.
pub(super) async fn gave_up(context: &DumpContext<'_>, refusal: &Refusal) {
    warn!("Dump of database {} is given up: {refusal}", context.database);
    let dumped = Dumped {
        severity: Severity::Fatal,
        exit: Exit::Failed,
        end_time: (context.now)().format("%H:%M:%S").to_string(),
        record: None,
    };
    if wants_history(context).await {
        record_history(context, &dumped).await;
    }
    let (files, _) = after_failure(context).await;
    let letter = mail::failed(
        &mail_facts(context, dumped.end_time, 2),
        files,
        &context.environment.host_full,
    );
    send(context.environment, &[letter], WithoutContacts::Silent).await;
}

fn mail_facts(context: &DumpContext<'_>, end: String, status: u8) -> MailFacts {
    MailFacts {
        database: context.database.clone(),
        start: context.started.clone(),
        end,
        status,
        options: context.request.options_text.clone(),
    }
}

/// Rolls back where that is wanted; gives the words that the run ends with.
async fn after_failure(context: &DumpContext<'_>) -> (FilesOfFailure, &'static str) {
    if !context.request.chores.rollback {
        warn!("Dump request was incomplete, not rolling back because -r option was not supplied");
        (FilesOfFailure::Kept, "Dump incomplete, rollback not processed")
    } else if rollback::roll_back(context).await {
        (FilesOfFailure::RolledBack, "Dump incomplete, completed rollback")
    } else {
        (FilesOfFailure::Kept, "Dump incomplete, rollback not completed")
    }
}

/// `-c`. A dump stays good whatever happens here.
async fn clean_up(context: &DumpContext<'_>) -> Cleaned {
    let asked = match &context.request.chores.cleanup {
        Some(asked) if context.may_clean_up => asked,
        _ => return Cleaned::nothing(Exit::Ok),
    };
    let spared = [DumpDate::of(context.key), DumpDate::of_moment((context.now)())];
    let cluster = &context.surroundings.cluster;
    match cleanup::clean_up(
        context.request,
        context.files,
        cluster,
        &context.launcher,
        asked,
        &spared,
    )
    .await
    {
        Ok(cleaned) => cleaned,
        Err(refusal) => {
            error!("{refusal}");
            if let Some(hint) = &refusal.hint {
                info!("HINT: {hint}");
            }
            Cleaned::nothing(Exit::Warnings)
        }
    }
}

/// Who goes through the master with a role that reads has no history to write, unless it was asked for by name.
async fn wants_history(context: &DumpContext<'_>) -> bool {
    let by_default = context
        .request
        .through_master
        .as_ref()
        .is_some_and(|through| !through.history_asked);
    if !context.request.history || !by_default {
        return context.request.history;
    }
    let may = async {
        let session = context.address.open(&context.database).await?;
        let may = rights::may_write_history(&session, &context.surroundings.dialect).await;
        session.close().await;
        may
    };
    // Where nobody can be asked, writing it says why.
    let may = may.await.unwrap_or(true);
    if !may {
        info!(
            "Not noted in public.gpcrondump_history: role {} may not write there (-H says that none is wanted)",
            context.address.login.user
        );
    }
    may
}

/// `None` when the row could not be written; the log says why.
pub(super) async fn record_history(context: &DumpContext<'_>, dumped: &Dumped) -> Option<()> {
    let dialect = &context.surroundings.dialect;
    let database = &context.database;
    let session = match context.address.open(database).await {
        Ok(session) => session,
        Err(failure) => {
            error!("Unable to create public.gpcrondump_history in {database} database");
            error!("{}", crate::db::error_chain(&failure));
            return None;
        }
    };
    match history::ensure_table(&session, dialect).await {
        Ok(HistoryTable::Created) => info!("Created public.gpcrondump_history in {database} database"),
        Ok(HistoryTable::WasThere) => {}
        Err(failure) => {
            error!("Unable to create public.gpcrondump_history in {database} database");
            error!("{}", crate::db::error_chain(&failure));
            return None;
        }
    }
    let row = HistoryRow {
        key: context.key,
        start_time: context.start_time(),
        end_time: dumped.end_time.clone(),
        options: context.request.options_text.clone(),
        dump_exit_status: i16::from(dumped.exit == Exit::Failed),
        severity: dumped.severity,
    };
    let inserted = history::insert(&session, &row).await;
    session.close().await;
    match inserted {
        Ok(()) => {
            info!("Inserted dump record into public.gpcrondump_history in {database} database");
            Some(())
        }
        Err(failure) => {
            error!("Failed to insert record into public.gpcrondump_history in {database} database");
            error!("{}", crate::db::error_chain(&failure));
            None
        }
    }
}
