//! `--verify --external`: rows that external tables wrote are counted by external tables that read them.
//!
//! A protocol tells neither the names nor the sizes of its objects, so this is all that can be held against the manifest.
//! Every column is read as text: no table of the set need be there, and nothing is written.

use super::selection::Selection;
use crate::db::external::{self, Shape};
use crate::db::{Session, catalog};
use crate::exec::external::{ExternalDone, ExternalJob, Failure, Keep, run};
use crate::format::external_rows::{ExternalRows, ExternalTable};
use crate::gather::cluster::{master_address, server_address};
use crate::plan::external::{Direction, application_name, helper_name, location, shown_location};
use crate::plan::restore::DumpSet;
use crate::plan::restore_request::RestoreRequest;
use crate::plan::verify::Tally;
use crate::run::refusal_of;
use crate::words::environment::Environment;
use crate::words::names::QualifiedName;
use crate::words::refusal::Refusal;

use super::PROGRAM;

/// Counts the rows of all tables that are asked for. Those of which other rows come are damaged.
pub(super) async fn count(
    environment: &Environment,
    request: &RestoreRequest,
    set: &DumpSet,
    selection: Option<&Selection>,
    rows: &ExternalRows,
    tally: &mut Tally,
) -> Result<(), Refusal> {
    let is_wanted =
        |table: &QualifiedName| selection.is_none_or(|selection| selection.rows().any(|name| name == table));
    // What is empty needs no reading, and a storage may know no empty folders.
    let wanted: Vec<&ExternalTable> = (rows.tables.iter())
        .filter(|one| one.rows > 0 && is_wanted(&one.table))
        .collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let storage = request.external.storage(rows);
    let secrets = &request.external.secrets;
    let shape = Shape {
        format: storage.template.format,
        encoding: &storage.encoding,
    };
    let mut jobs = Vec::new();
    for (number, one) in wanted.iter().enumerate() {
        let place = location(&storage, &one.path, Direction::Read, secrets).map_err(Refusal::failed)?;
        let helper = helper_name(set.names.key, environment.pid, number);
        jobs.push(ExternalJob {
            table: one.table.clone(),
            statements: external::counting(&helper, &one.columns, &place, shape),
            expected: Some(one.rows),
        });
    }
    let sessions = open(environment, request, set, jobs.len()).await?;
    let tell = |done: &ExternalDone| {
        if let Ok(count) = done.result {
            tracing::info!(
                "Table {}: {count} rows in {}",
                jobs[done.at].table,
                shown_location(&storage, &wanted[done.at].path, Direction::Read)
            );
        }
    };
    let ends = run(&sessions, &jobs, Keep::Count, secrets, tell).await;
    for session in sessions {
        session.close().await;
    }
    let (mut rows_in_all, mut tables) = (0, 0);
    for end in ends {
        let one = wanted[end.at];
        let (found, reason) = match end.result {
            Ok(rows) => (rows, None),
            Err(Failure::Count(rows)) => {
                let place = shown_location(&storage, &one.path, Direction::Read);
                let counts = one.rows;
                (
                    rows,
                    Some(format!("{rows} rows are in {place}, the manifest counts {counts}")),
                )
            }
            Err(failure) => (0, Some(format!("its rows could not be read: {}", failure.text()))),
        };
        tally.elsewhere(found);
        match reason {
            None => {
                rows_in_all += found;
                tables += 1;
            }
            Some(reason) => tally.without_rows(one.table.to_string(), reason),
        }
    }
    if tables == 0 {
        return Ok(());
    }
    tracing::info!(
        "{rows_in_all} rows of {tables} tables in {} are as many as the manifest counts",
        shown_location(&storage, "", Direction::Read)
    );
    Ok(())
}

/// In the database of the set: it knows the protocol.
async fn open(
    environment: &Environment,
    request: &RestoreRequest,
    set: &DumpSet,
    jobs: usize,
) -> Result<Vec<Session>, Refusal> {
    let refuse = |error: crate::db::Error| refusal_of(&error);
    let database = &set.database;
    let address = match environment.pg.names_no_server() {
        true => master_address(environment, Some(&request.master_data_dir), PROGRAM, request.limits)?,
        false => server_address(environment, &[], PROGRAM, request.limits),
    };
    let mut spec = address.spec(database);
    spec.application_name = application_name(set.names.key, environment.pid, &environment.host_full);
    let mut sessions = Vec::new();
    for _ in 0..request.external.streams.min(jobs) {
        let session = Session::open(&spec).await.map_err(|error| {
            refuse(error).with_hint(
                "rows in a storage are counted by external tables of the database that they were dumped from; a restore \
                 with -m makes it again; without --external everything but these rows is verified",
            )
        })?;
        if !external::has_external_tables(&session).await.map_err(refuse)? {
            return Err(Refusal::failed(format!(
                "the rows of this set lie in a storage, and the server of database {database} has no external tables that \
                 could read them"
            ))
            .with_hint("without --external everything but these rows is verified"));
        }
        let dialect = catalog::read_dialect(&session).await.map_err(refuse)?;
        for setting in dialect.dump_session_settings() {
            session.run(&setting, "preparing the session").await.map_err(refuse)?;
        }
        external::keep_quiet(&session).await.map_err(refuse)?;
        sessions.push(session);
    }
    Ok(sessions)
}
