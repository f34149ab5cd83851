//! `--external`: the segments write the rows into a storage themselves, and what is told of it.

use std::collections::BTreeSet;

use futures_util::future::try_join_all;
use tracing::{error, info, warn};

use super::{DumpContext, Sessions, external_note};
use crate::db::external::{self, Shape};
use crate::db::rights::{Unreadable, UnreadableKind};
use crate::db::{Session, table_states};
use crate::exec::external::{ExternalDone, ExternalJob, Failure, Keep, open_snapshot, run};
use crate::format::external_rows::{ExternalRows, ExternalTable, MissingTable};
use crate::plan::external::{
    APPLICATION, Direction, ExternalRequest, Rights, Way, application_name, grants, helper_name, location, path_of,
    process_of, shown_location, way_of,
};
use crate::plan::filter::Selection;
use crate::run::refusal_of;
use crate::words::dialect::Dialect;
use crate::words::environment::Environment;
use crate::words::names::QualifiedName;
use crate::words::outcome::{InstanceOutcome, InstanceResult};
use crate::words::refusal::Refusal;
use crate::words::relation::Relation;
use crate::words::secret::hide_parameters;

/// Protocols that every server has and no catalog lists.
const BUILT_IN: [&str; 5] = ["gpfdist", "gpfdists", "file", "http", "https"];

/// The sessions that let the segments write. None without `--external`.
pub(super) async fn open_writers(context: &DumpContext<'_>) -> Result<Vec<Session>, Refusal> {
    let Some(request) = &context.request.external else {
        return Ok(Vec::new());
    };
    let environment = context.environment;
    let mut spec = context.address.spec(&context.database);
    spec.application_name = application_name(context.key, environment.pid, &environment.host_full);
    let open = async || {
        let session = Session::open(&spec).await?;
        for setting in context.surroundings.dialect.dump_session_settings() {
            session.run(&setting, "preparing the session").await?;
        }
        let is_quiet = external::keep_quiet(&session).await?;
        Ok::<_, crate::db::Error>((session, is_quiet))
    };
    let opened = try_join_all((0..request.streams).map(|_| open())).await;
    let opened = opened.map_err(|error| refusal_of(&error))?;
    if opened.iter().any(|(_, is_quiet)| !is_quiet) && !request.template.secrets.is_empty() {
        info!(
            "Role {} may not keep its statements out of the server's log: where that server logs statements, its log holds \
             the secrets of the storage (log_statement, log_min_duration_statement, log_min_error_statement)",
            context.address.login.user
        );
    }
    Ok(opened.into_iter().map(|(session, _)| session).collect())
}

/// What must be so before anything is locked: the protocol, and no session of a run that is gone.
pub(super) async fn prepare(context: &DumpContext<'_>, session: &Session) -> Result<(), Refusal> {
    let Some(request) = &context.request.external else {
        return Ok(());
    };
    let refuse = |error: crate::db::Error| refusal_of(&error);
    if !external::has_external_tables(session).await.map_err(refuse)? {
        return Err(Refusal::failed(format!(
            "--external: the server of database {} has no external tables, which only Greenplum and its relatives have",
            context.database
        ))
        .with_hint("leave --external away"));
    }
    end_lost_sessions(context.environment, session, &context.surroundings.dialect).await?;
    external_note::tell_of_others(context, is_running);
    ensure_protocol(session, &request.template, &context.database).await?;
    let left_out = external::read_left_out(session, &context.surroundings.dialect);
    let left_out = left_out.await.map_err(refuse)?;
    info!(
        "Rows go from the segments to {}; left out: the rows of {} external and {} temporary tables and of {} views",
        shown_location(
            &request.storage(context.request.compression, ""),
            &request.template.path,
            Direction::Write
        ),
        left_out.external,
        left_out.temporary,
        left_out.views
    );
    external_note::leave(context)?;
    if !request.template.keeps_runs_apart() {
        warn!(
            "The path {} is the same for all runs of a day: rows of a second run would be added to those of the first",
            request.template.path
        );
    }
    Ok(())
}

/// A server goes on with a statement whose client was killed, and holds its locks.
pub(in crate::run) async fn end_lost_sessions(
    environment: &Environment,
    session: &Session,
    dialect: &Dialect,
) -> Result<(), Refusal> {
    let host = &environment.host_full;
    let found = external::sessions_named(session, dialect, APPLICATION).await;
    for (pid, name) in found.map_err(|error| refusal_of(&error))? {
        let Some(process) = process_of(&name, host) else {
            // Of another host: nobody here knows whether its program lives.
            continue;
        };
        if process == environment.pid || is_running(process) {
            continue;
        }
        match external::end_session(session, &pid).await {
            Ok(true) => info!("Ended session {pid} of the run {name}, whose program is gone"),
            Ok(false) => {}
            Err(error) => warn!(
                "Session {pid} of the run {name} goes on, whose program is gone: {}",
                crate::db::error_chain(&error)
            ),
        }
    }
    Ok(())
}

/// Whether a process is, or may be, one of these programs: a restore has such sessions too.
fn is_running(process: u32) -> bool {
    match std::fs::read(format!("/proc/{process}/cmdline")) {
        Ok(line) => {
            let line = String::from_utf8_lossy(&line);
            ["gpcrondump", "gpdbrestore"].iter().any(|name| line.contains(name))
        }
        // One that may not be looked at lives.
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}

/// Sees to it that the database knows the protocol.
pub(in crate::run) async fn ensure_protocol(
    session: &Session,
    template: &crate::format::external_template::Template,
    database: &str,
) -> Result<(), Refusal> {
    let name = &template.protocol;
    let refuse = |error: crate::db::Error| refusal_of(&error);
    if BUILT_IN.contains(&name.as_str()) || external::read_protocol(session, name).await.map_err(refuse)?.is_some() {
        return Ok(());
    }
    let Some(extension) = &template.extension else {
        return Err(Refusal::failed(format!(
            "Database {database} has no protocol {name} for external tables"
        ))
        .with_hint(format!(
            "run CREATE PROTOCOL {name} or CREATE EXTENSION in that database first"
        )));
    };
    let schema = template.extension_schema.as_deref().unwrap_or("public");
    match external::create_extension(session, extension, schema).await {
        Ok(()) => info!("Created extension {extension} in schema {schema} of database {database}"),
        Err(error) => {
            return Err(Refusal::failed(format!(
                "Database {database} has no protocol {name}, and its extension could not be created: {}",
                crate::db::error_chain(&error)
            ))
            .with_hint(format!(
                "let a superuser run in that database: CREATE EXTENSION {extension} WITH SCHEMA {schema};"
            )));
        }
    }
    match external::read_protocol(session, name).await.map_err(refuse)? {
        Some(_) => Ok(()),
        None => Err(Refusal::failed(format!(
            "Extension {extension} is in database {database}, but it has no protocol {name}"
        ))),
    }
}

/// Takes the tables out of the list whose rows do not go into the data file, and gives those back that the segments write.
pub(super) async fn take_out(
    context: &DumpContext<'_>,
    session: &Session,
    dumped: &mut Vec<Relation>,
) -> Result<Vec<Relation>, Refusal> {
    let Some(request) = &context.request.external else {
        return Ok(Vec::new());
    };
    let parents = table_states::read_partition_parents(session, &context.surroundings.dialect)
        .await
        .map_err(|error| refusal_of(&error))?;
    let parents: BTreeSet<_> = parents.into_iter().collect();
    let mut away = Vec::new();
    let mut left_out = 0;
    dumped.retain(|relation| match way_of(relation, &parents, request) {
        Way::ThroughMaster => true,
        Way::External => {
            away.push(relation.clone());
            false
        }
        Way::NoRows => false,
        Way::LeftOut => {
            left_out += 1;
            false
        }
    });
    if left_out > 0 {
        info!(
            "The rows of {left_out} tables are left out, because they belong to {}",
            request.not_of.join(", ")
        );
    }
    // The largest first, so that the last ones to end are short.
    away.sort_by(|a, b| {
        b.estimated_bytes
            .cmp(&a.estimated_bytes)
            .then_with(|| a.name.cmp(&b.name))
    });
    Ok(away)
}

/// Takes the snapshots of all writers: the one of this name, or each its own.
pub(super) async fn open_snapshots(
    sessions: &Sessions,
    dialect: &Dialect,
    exported: Option<&str>,
) -> Result<(), Refusal> {
    let open = |session| open_snapshot(session, dialect, exported);
    let opened = try_join_all(sessions.writers.iter().map(open)).await;
    opened.map(drop).map_err(|error| refusal_of(&error))
}

/// For a cut that is taken anew.
pub(super) async fn give_up_snapshots(sessions: &Sessions) -> Result<(), Refusal> {
    for session in &sessions.writers {
        let given_up = session.run("ROLLBACK", "giving up a cut").await;
        given_up.map_err(|error| refusal_of(&error))?;
    }
    Ok(())
}

/// Writes the rows away and tells of each table. `None` without `--external`.
pub(super) async fn write(
    context: &DumpContext<'_>,
    sessions: &Sessions,
    cut: (&Selection, &[Relation]),
    encoding: &str,
) -> Option<ExternalRows> {
    let request = context.request.external.as_ref()?;
    let (selection, relations) = cut;
    let mut storage = request.storage(context.request.compression, encoding);
    storage.missing = unreadable(context, sessions, selection);
    let places: Vec<String> = (relations.iter())
        .map(|relation| path_of(&request.template.path, context.key, &context.database, &relation.name))
        .collect();
    let jobs: Result<Vec<ExternalJob>, String> = (relations.iter().zip(&places).enumerate())
        .map(|(number, (relation, path))| job(context, request, &storage, relation, path, number))
        .collect();
    let jobs = match jobs {
        Ok(jobs) => jobs,
        // What a location needs was checked before: all tables lack the same.
        Err(why) => {
            let missing = relations.iter().map(|relation| MissingTable {
                table: relation.name.clone(),
                why: why.clone(),
            });
            storage.missing.extend(missing);
            error!("No row could be written: {why}");
            return Some(storage);
        }
    };
    let started = std::time::Instant::now();
    let tell = |done: &ExternalDone| {
        if let Ok(rows) = done.result {
            info!(
                "Table {}: {rows} rows in {:.3} s to {}",
                jobs[done.at].table,
                std::time::Duration::from_millis(done.milliseconds).as_secs_f64(),
                shown_location(&storage, &places[done.at], Direction::Write)
            );
        }
    };
    let ends = run(&sessions.writers, &jobs, Keep::Nothing, &request.secrets, tell).await;
    let mut rows_in_all = 0;
    for end in ends {
        let relation = &relations[end.at];
        match end.result {
            Ok(rows) => {
                rows_in_all += rows;
                storage.tables.push(ExternalTable {
                    table: relation.name.clone(),
                    path: places[end.at].clone(),
                    columns: relation.columns.clone(),
                    rows,
                    milliseconds: end.milliseconds,
                });
            }
            Err(failure) => {
                let protocol = &request.template.protocol;
                let why = explain(&sessions.barrier, &relation.name, protocol, Direction::Write, &failure).await;
                let left = match failure.is_denied() {
                    true => String::new(),
                    false => format!(
                        "; what was written of it before may be left in {}",
                        shown_location(&storage, &places[end.at], Direction::Write)
                    ),
                };
                error!("Table {}: its rows were not written: {why}{left}", relation.name);
                storage.missing.push(MissingTable {
                    table: relation.name.clone(),
                    why,
                });
            }
        }
    }
    storage.tables.sort_by(|a, b| a.table.cmp(&b.table));
    storage.missing.sort_by(|a, b| a.table.cmp(&b.table));
    info!(
        "{} tables with {rows_in_all} rows were written in {:.3} s, {} were not",
        storage.tables.len(),
        started.elapsed().as_secs_f64(),
        storage.missing.len()
    );
    Some(storage)
}

/// What the role may not read: it is left out, and named with the statements that help.
fn unreadable(context: &DumpContext<'_>, sessions: &Sessions, selection: &Selection) -> Vec<MissingTable> {
    let role = &context.address.login.user;
    let is_wanted = |found: &&Unreadable| match found.kind {
        UnreadableKind::Table => selection.has(found.oid),
        UnreadableKind::Sequence | UnreadableKind::LargeObject => selection.tables.is_none(),
    };
    let missing = |found: &Unreadable| {
        let what = match found.kind {
            UnreadableKind::Table => "Table",
            UnreadableKind::Sequence => "Sequence",
            UnreadableKind::LargeObject => "Large object",
        };
        let why = format!("role {role} may not read it; what helps is: {}", found.grants(role));
        error!("{what} {} is not in the set: {why}", found.name);
        MissingTable {
            table: found.name.clone(),
            why,
        }
    };
    sessions.unreadable.iter().filter(is_wanted).map(missing).collect()
}

fn job(
    context: &DumpContext<'_>,
    request: &ExternalRequest,
    storage: &ExternalRows,
    relation: &Relation,
    path: &str,
    number: usize,
) -> Result<ExternalJob, String> {
    let location = location(storage, path, Direction::Write, &request.secrets)?;
    let shape = Shape {
        format: storage.template.format,
        encoding: &storage.encoding,
    };
    let helper = helper_name(context.key, context.environment.pid, number);
    Ok(ExternalJob {
        table: relation.name.clone(),
        statements: external::writing(&helper, &relation.name, &relation.columns, &location, shape),
        expected: None,
    })
}

/// What the server said, and the statement that helps where a right is lacking.
pub(in crate::run) async fn explain(
    session: &Session,
    table: &QualifiedName,
    protocol: &str,
    direction: Direction,
    failure: &Failure,
) -> String {
    let text = failure.text();
    if !failure.is_denied() {
        return text;
    }
    let privilege = match direction {
        Direction::Write => "SELECT",
        Direction::Read => "INSERT",
    };
    let (Ok(answers), Ok(known)) = (
        external::read_rights(session, table, privilege).await,
        external::read_protocol(session, protocol).await,
    ) else {
        return text;
    };
    let rights = Rights {
        role: answers.role,
        database: answers.database,
        is_superuser: answers.is_superuser,
        temporary: answers.temporary,
        schema: answers.schema,
        table: answers.table,
        protocol_is_trusted: known.map(|protocol| protocol.is_trusted),
    };
    match grants(&rights, table, protocol, direction).as_slice() {
        [] if rights.protocol_is_trusted == Some(false) => {
            format!("{text}; protocol {protocol} is not trusted, and only superusers can use such a one")
        }
        [] => text,
        grants => format!("{text}; what helps is: {}", grants.join(" ")),
    }
}

/// The report of a set in which rows are missing says so.
pub(super) fn note_missing(written: Option<&ExternalRows>, outcomes: &mut [InstanceOutcome]) {
    let (Some(rows), Some(first)) = (written, outcomes.first_mut()) else {
        return;
    };
    if !rows.missing.is_empty() {
        let lines = rows
            .missing
            .iter()
            .map(|one| format!("table {}: {}", one.table, one.why));
        first.result = InstanceResult::Errors(lines.collect());
    }
}

pub(super) fn is_complete(written: Option<&ExternalRows>) -> bool {
    written.is_none_or(|rows| rows.missing.is_empty())
}

/// External tables of the user's whose definitions hold secrets: whoever has the set has them.
pub(super) async fn secrets_in_definitions(session: &Session) -> Vec<QualifiedName> {
    let locations = match external::read_locations(session).await {
        Ok(locations) => locations,
        // A dump does not depend on it.
        Err(error) => {
            tracing::debug!(
                "external tables were not looked at for secrets: {}",
                crate::db::error_chain(&error)
            );
            return Vec::new();
        }
    };
    let found: Vec<QualifiedName> = (locations.into_iter())
        .filter(|(_, location)| hide_parameters(location).is_some())
        .map(|(table, _)| table)
        .collect();
    if let Some(first) = found.first() {
        info!(
            "The definitions in this set hold secrets, as the database does: {} external tables have some in their LOCATION, \
             {first} is one",
            found.len()
        );
    }
    found
}
