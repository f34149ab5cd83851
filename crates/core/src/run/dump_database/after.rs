//! What follows the dump itself: history, report, mail; or the words for a dump that failed.

use tracing::{error, info, warn};

use super::files::{outcomes_of, write_report, write_status_files};
use super::prepare::Directories;
use super::{DumpContext, Dumped};
use crate::exec::dump_fleet::DumpFleet;
use crate::exec::history::{self, HistoryRow, HistoryTable};
use crate::run::cleanup::{self, Cleaned};
use crate::run::dump_lines::{self, DASH};
use crate::words::environment::Environment;
use crate::words::exit::Exit;
use crate::words::ids::DumpDate;
use crate::words::layout::SetNames;
use crate::words::outcome::Severity;
use crate::words::refusal::Refusal;

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
            Some(primary) => error!("{primary}: {message}"),
            None => error!("segment {content}: {message}"),
        }
    }
    if let Err(refusal) = write_status_files(context, fleet, names, directories, &mut Vec::new()).await {
        error!("{refusal}");
    }
    let outcomes = outcomes_of(context, fleet, names, directories, &[]);
    if let Err(error) = write_report(context, names, &directories.master, &outcomes) {
        error!("{}", crate::db::error_chain(&error));
    }
    warn!("Dump process returned exit code 1");
    info!("Timestamp key = {}", context.key);
    warn!(
        "Dump was unsuccessful. {} segment(s) failed post-dump checks.",
        fleet.failures.len()
    );
    Dumped {
        severity: Severity::Warning,
        exit: Exit::Failed,
        end_time,
    }
}

/// What follows the dump itself: history, report, mail.
pub(super) async fn finish(context: &DumpContext<'_>, dumped: Dumped) -> Result<Exit, Refusal> {
    let mut exit = dumped.exit;
    if context.request.history && record_history(context, &dumped).await.is_none() {
        exit = exit.max(Exit::Warnings);
    }
    if dumped.exit == Exit::Failed {
        warn!("Dump request was incomplete, not rolling back because -r option was not supplied");
        return Err(Refusal::known("Dump incomplete, rollback not processed"));
    }
    let cleaned = clean_up(context).await;
    exit = exit.max(cleaned.exit);
    for line in dump_lines::status_report(
        context.request,
        &context.database,
        context.key,
        &dumped.end_time,
        &cleaned.deleted,
    ) {
        info!("{line}");
    }
    match exit {
        Exit::Ok => info!("Exit code zero, no warnings generated"),
        _ => warn!("Exit code not zero, check log file"),
    }
    info!("{DASH}");
    tell_about_mail(context.environment);
    Ok(exit)
}

/// `-c`. A dump stays good whatever happens here.
async fn clean_up(context: &DumpContext<'_>) -> Cleaned {
    let asked = match &context.request.chores.cleanup {
        Some(asked) if context.may_clean_up => asked,
        _ => return Cleaned::nothing(Exit::Ok),
    };
    let spared = [DumpDate::of(context.key), DumpDate::of_moment((context.now)())];
    let cluster = &context.surroundings.cluster;
    match cleanup::clean_up(context.request, cluster, &context.launcher, asked, &spared).await {
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

/// Where nobody is to be mailed the original says so, and cron users know the lines. Sending is not built yet.
pub(super) fn tell_about_mail(environment: &Environment) {
    let home = environment.home.join("mail_contacts");
    let server = environment
        .gphome
        .as_ref()
        .map(|gphome| gphome.join("bin/mail_contacts"));
    if home.is_file() || server.as_ref().is_some_and(|file| file.is_file()) {
        warn!("mail_contacts was found, but sending mail is not built yet: no mail was sent");
        return;
    }
    let places = match server {
        Some(file) => (file.display().to_string(), home.display().to_string()),
        None => ("$GPHOME/bin/mail_contacts".to_owned(), home.display().to_string()),
    };
    warn!("Found neither {} nor {}", places.0, places.1);
    warn!("Unable to send dump email notification");
    info!(
        "To enable email notification, create {} or {} containing required email addresses",
        places.0, places.1
    );
}
