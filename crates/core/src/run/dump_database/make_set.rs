//! Rows that are copied become a set: nothing has a final name before every segment is finished, and the manifest is written
//! when everything else is on disk.

use tracing::info;

use super::copying::Copied;
use super::prepare::{self, Directories};
use super::snapshot::CutState;
use super::{DumpContext, Dumped, Sessions, after, external, files, increment, selection, states, streams};
use crate::db::catalog::{self, DatabaseInfo};
use crate::db::table_states;
use crate::exec::dump_fleet::DumpFleet;
use crate::exec::master_files::{MasterFiles, MasterTexts};
use crate::format::external_rows::ExternalRows;
use crate::format::manifest::{self, BaseSets, Manifest, ServerFacts};
use crate::run::refusal_of;
use crate::run::set_record::SetRecord;
use crate::store::data_file::write_small_file;
use crate::store::pipe::GiveUpOnDrop;
use crate::words::dialect::HashFamily;
use crate::words::exit::Exit;
use crate::words::job::FileStamp;
use crate::words::layout::{DumpFileKind, SetNames};
use crate::words::names::QualifiedName;
use crate::words::outcome::Severity;
use crate::words::place::Place;
use crate::words::refusal::Refusal;

/// Ends the dump's transaction, gives all files their names, checks them, and writes the manifest. `started` is when the dump
/// began, for the manifest.
pub(super) async fn make_set(
    context: &DumpContext<'_>,
    sessions: &Sessions,
    fleet: &mut DumpFleet,
    (names, directories): (&SetNames, &Directories),
    database: &DatabaseInfo,
    copied: Copied,
    started: String,
) -> Result<Dumped, Refusal> {
    let Copied {
        mut cut,
        mut texts,
        written,
    } = copied;
    let state = state_texts(context, sessions, &mut cut).await?;
    check_roles(context, sessions).await?;
    // The locks were held to the end if, and only if, this session is still in its transaction.
    let ended = sessions
        .snapshot
        .run("COMMIT", "ending the dump's transaction on the master");
    ended.await.map_err(|error| {
        refusal_of(&error).with_hint(
            "the session that kept the tables from being changed was lost, so the copy cannot be trusted; run again",
        )
    })?;

    let io = |error: crate::store::data_file::Error| refusal_of(&error);
    let steps = std::mem::take(&mut texts.steps);
    let files = write_master_files(context, &directories.master, names, texts).await?;
    fleet.publish().await;
    if !fleet.all_well() {
        return Ok(after::failed(context, fleet, names, directories).await);
    }
    let mut master_stamps = files.publish(&directories.master).map_err(io)?;
    prepare::take_back_uploads(context);
    let end_time = (context.now)().format("%H:%M:%S").to_string();
    files::write_status_files(context, fleet, names, directories, &steps, &mut master_stamps).await?;
    let mut outcomes = files::outcomes_of(context, fleet, names, directories, &master_stamps);
    external::note_missing(written.as_ref(), &mut outcomes);
    master_stamps.push(files::write_report(context, names, &directories.master, &outcomes).map_err(io)?);
    for (kind, text) in state {
        let path = directories.master.join(names.of_set(kind));
        master_stamps.push(write_small_file(context.files, &path, text.as_bytes()).map_err(io)?);
    }
    info!("Dump process returned exit code 0");
    info!("Timestamp key = {}", context.key);
    files::post_dump_check(context.files, fleet, directories, &master_stamps).await?;
    let facts = EndFacts {
        started,
        master_stamps,
        secrets_in_definitions: external::secrets_in_definitions(&sessions.barrier).await,
        written,
    };
    let manifest = manifest_of(context, fleet, (names, directories), database, &cut, facts);
    let path = directories.master.join(names.of_set(DumpFileKind::Manifest));
    write_small_file(context.files, &path, manifest.write().as_bytes()).map_err(io)?;
    info!("Checked master status file and master dump file.");
    if let Some(base) = &context.base {
        increment::append_to_chain(context, base)?;
    }
    let exit = if !external::is_complete(manifest.external.as_ref()) {
        Exit::Failed
    } else if cut.consistency.one_cut {
        Exit::Ok
    } else {
        Exit::Warnings
    };
    Ok(Dumped {
        severity: Severity::Completed,
        exit,
        end_time,
        record: Some(SetRecord {
            directory: directories.master.clone(),
            names: names.clone(),
            manifest,
        }),
    })
}

/// The small files that later increments, and restores of parts, go by.
async fn state_texts(
    context: &DumpContext<'_>,
    sessions: &Sessions,
    cut: &mut CutState,
) -> Result<Vec<(DumpFileKind, String)>, Refusal> {
    if let Some(increment) = &cut.increment {
        let mut texts = files::state_files(&increment.states);
        texts.extend(increment::list_files(increment, &cut.tables.relations)?);
        return Ok(texts);
    }
    let (snapshot, dialect) = (&sessions.snapshot, &context.surroundings.dialect);
    let parents = table_states::read_partition_parents(snapshot, dialect)
        .await
        .map_err(|error| refusal_of(&error))?;
    let states = states::read(context, snapshot, &cut.tables.relations, &parents, cut.counts.take()).await?;
    // No increment goes on from rows that are not in files.
    let mut texts = match &states {
        _ if context.request.external.is_some() => Vec::new(),
        Some(states) => files::state_files(states),
        None => {
            info!("No increments can go on this set: what changed of append-optimized tables is not to be read");
            Vec::new()
        }
    };
    texts.extend(selection::list_files(context, &cut.tables.selection)?);
    Ok(texts)
}

/// What is known at the end of a dump.
struct EndFacts {
    started: String,
    master_stamps: Vec<FileStamp>,
    secrets_in_definitions: Vec<QualifiedName>,
    written: Option<ExternalRows>,
}

fn manifest_of(
    context: &DumpContext<'_>,
    fleet: &DumpFleet,
    (names, directories): (&SetNames, &Directories),
    database: &DatabaseInfo,
    cut: &CutState,
    facts: EndFacts,
) -> Manifest {
    let dialect = &context.surroundings.dialect;
    Manifest {
        format: match facts.written {
            None => manifest::FORMAT,
            Some(_) => manifest::FORMAT_EXTERNAL,
        },
        program: format!("gpcrondump {}", env!("CARGO_PKG_VERSION")),
        key: context.key,
        prefix: context.request.prefix.clone(),
        database: context.database.clone(),
        encoding: database.encoding.clone(),
        server: ServerFacts {
            banner: dialect.banner.clone(),
            pg_version: dialect.pg_version,
            product: dialect.product,
            // Where rows lay is not known of a set that was read through the master.
            hash_family: match context.surroundings.cluster.is_streams() {
                true => HashFamily::None,
                false => dialect.hash_family(),
            },
        },
        compression: names.compression,
        naming: names.naming,
        backup_type: context.request.backup_type,
        base: context.base.as_ref().map(|base| BaseSets {
            full: base.full,
            previous: base.last(),
        }),
        command_line: context.request.options_text.clone(),
        started: facts.started,
        ended: chrono::Local::now().to_rfc3339(),
        consistency: cut.consistency.clone(),
        streams: streams::of_manifest(context, &cut.consistency),
        instances: files::instance_files(context, fleet, directories, facts.master_stamps),
        tables: files::table_facts(context, &cut.dumped, &fleet.totals),
        secrets_in_definitions: facts.secrets_in_definitions,
        external: facts.written,
    }
}

/// Beside the async work: a named pipe may have to wait for its reader.
async fn write_master_files(
    context: &DumpContext<'_>,
    directory: &Place,
    names: &SetNames,
    texts: MasterTexts,
) -> Result<MasterFiles, Refusal> {
    let guard = GiveUpOnDrop::default();
    let (directory, names, give_up) = (directory.clone(), names.clone(), guard.0.clone());
    let (files, rsyncable) = (context.files.clone(), context.request.style.rsyncable);
    let writing = tokio::task::spawn_blocking(move || {
        MasterFiles::write(&files, &directory, &names, &texts, rsyncable, &give_up)
    });
    match writing.await {
        Ok(written) => written.map_err(|error| refusal_of(&error)),
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// A segment that failed over while its rows were read has lost what its mirror had not: the copy cannot be trusted.
async fn check_roles(context: &DumpContext<'_>, sessions: &Sessions) -> Result<(), Refusal> {
    let around = context.surroundings;
    // Rows that come through the master stand and fall with its transaction.
    if context.request.external.is_some() || around.cluster.is_streams() {
        return Ok(());
    }
    // The barrier, not the snapshot: that one shows the cluster as it was.
    let now = catalog::read_cluster(&sessions.barrier, &around.dialect, &context.environment.host_full)
        .await
        .map_err(|error| refusal_of(&error))?;
    let changes = around.cluster.changed_roles(&now);
    match changes.is_empty() {
        true => Ok(()),
        false => Err(
            Refusal::failed(format!("The cluster changed during the dump: {}", changes.join("; ")))
                .with_hint("recover the cluster (gprecoverseg) and run the dump again"),
        ),
    }
}
