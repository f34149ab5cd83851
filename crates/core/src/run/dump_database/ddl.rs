//! The texts of the master: DDL before and after the data, the statement that creates the database.

use std::collections::BTreeMap;

use super::selection::{self, ChosenTables};
use super::{DumpContext, Sessions, rights};
use crate::db::catalog::DatabaseInfo;
use crate::db::{Error, Program, Session, large_objects, relations};
use crate::exec::master_files::MasterTexts;
use crate::format;
use crate::format::cdatabase::DatabaseFacts;
use crate::format::database_acl;
use crate::format::ddl_split::{self, MovedLeaf, SplitInput};
use crate::format::large_objects::PieceText;
use crate::run::refusal_of;
use crate::tools::pg_dump::{self, Definitions, RunningPgDump};
use crate::words::definitions::ObjectClass;
use crate::words::dialect::Dialect;
use crate::words::job::TableJob;
use crate::words::names::{QualifiedName, quote_ident_if_needed, quote_literal};
use crate::words::refusal::Refusal;

/// Why there are no definitions.
pub(super) enum NoDefinitions {
    /// These wait for our locks, and pg_dump behind them.
    Between(Vec<String>),
    /// pg_dump failed when it locked tables.
    NotLocked(pg_dump::Error),
    Refused(Refusal),
}

impl From<Refusal> for NoDefinitions {
    fn from(refusal: Refusal) -> Self {
        NoDefinitions::Refused(refusal)
    }
}

/// Waits for pg_dump and makes the three texts of the master. With `may_give_way` it is not waited for where it cannot go
/// on as long as our locks are held.
pub(super) async fn make_ddl(
    context: &DumpContext<'_>,
    sessions: &Sessions,
    tables: &ChosenTables,
    pg_dump: RunningPgDump,
    database: &DatabaseInfo,
    may_give_way: bool,
) -> Result<MasterTexts, NoDefinitions> {
    let snapshot = &sessions.snapshot;
    let dialect = &context.surroundings.dialect;
    let refuse = |error: crate::db::Error| refusal_of(&error);
    let keep = selection::choose_definitions(context, snapshot, &tables.selection).await?;
    let is_kept = |name: &QualifiedName| {
        let filter = keep.as_ref();
        filter.is_none_or(|filter| filter.keeps(ObjectClass::Relation, &name.schema, &name.name))
    };
    rights::check_sequences(context, sessions, is_kept)?;
    let mut sequences = relations::read_sequences(snapshot, dialect, &rights::unreadable_sequences(sessions))
        .await
        .map_err(refuse)?;
    sequences.retain(|sequence| is_kept(&sequence.name));
    if context.request.style.no_owner {
        sequences
            .iter_mut()
            .for_each(|sequence| sequence.owner = "-".to_owned());
    }
    let mut refresh = relations::read_populated_matviews(snapshot, dialect)
        .await
        .map_err(refuse)?;
    refresh.retain(|(name, _)| is_kept(name));
    let is_old = dialect.pg_version.0 < 80400;
    let enum_labels = if is_old {
        relations::read_enum_labels(snapshot).await.map_err(refuse)?
    } else {
        BTreeMap::new()
    };
    let moved = if is_old {
        relations::read_moved_leaves(snapshot).await.map_err(refuse)?
    } else {
        Vec::new()
    };
    let large_objects = match keep {
        None => read_large_objects(snapshot, dialect).await?,
        // As in the original: they belong to no table and no schema.
        Some(_) => Vec::new(),
    };
    let Definitions { text, steps } = wait_for(snapshot, pg_dump, may_give_way).await?;
    // Leaves have no DDL of their own, so no empty block either.
    let data_tables: Vec<TableJob> = (tables.relations.iter())
        .zip(&tables.jobs)
        .filter(|(relation, _)| relation.root.is_none())
        .map(|(_, job)| job.clone())
        .collect();
    let encoding = if database.encoding == "SQL_ASCII" {
        "SQL_ASCII"
    } else {
        "UTF8"
    }
    .to_owned();
    let (name, pg_version) = (context.database.clone(), dialect.pg_version);
    let split = tokio::task::spawn_blocking(move || {
        let moved_leaves: Vec<MovedLeaf> = moved.into_iter().map(|(root, leaf)| MovedLeaf { root, leaf }).collect();
        let refresh: Vec<QualifiedName> = refresh.into_iter().map(|(name, _)| name).collect();
        ddl_split::split(&SplitInput {
            database: &name,
            dump: &text,
            encoding: &encoding,
            pg_version,
            sequences: &sequences,
            data_tables: &data_tables,
            enum_labels: &enum_labels,
            moved_leaves: &moved_leaves,
            refresh: &refresh,
            keep: keep.as_ref(),
        })
    });
    let files = match split.await {
        Ok(files) => files.map_err(|error| refusal_of(&error))?,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    };
    let mut pre_data = files.pre_data;
    let pieces: Vec<PieceText<'_>> = (large_objects.iter())
        .map(|piece| PieceText {
            oid: piece.oid,
            owner: piece.owner.as_deref().filter(|_| !context.request.style.no_owner),
            offset: piece.offset,
            hex: &piece.hex,
        })
        .collect();
    format::large_objects::insert(&mut pre_data, &pieces);
    Ok(MasterTexts {
        pre_data,
        post_data: files.post_data,
        cdatabase: cdatabase_text(database, dialect, context.request.style.no_privileges).into_bytes(),
        steps,
    })
}

async fn wait_for(
    snapshot: &Session,
    pg_dump: RunningPgDump,
    may_give_way: bool,
) -> Result<Definitions, NoDefinitions> {
    let application_name = pg_dump.application_name.clone();
    let program = Program {
        application_name: &application_name,
        gives_way: may_give_way,
    };
    let waited = snapshot.watch_program(program, "waiting for pg_dump", pg_dump.finish());
    match waited.await {
        Ok(Ok(definitions)) => Ok(definitions),
        Ok(Err(error)) if error.is_about_locks() => Err(NoDefinitions::NotLocked(error)),
        Ok(Err(error)) => Err(refusal_of(&error).into()),
        Err(Error::Between { who, .. }) => Err(NoDefinitions::Between(who)),
        Err(error) => Err(refusal_of(&error).into()),
    }
}

/// Refuses where they would not fit into memory: a dump without them would be no dump.
async fn read_large_objects(snapshot: &Session, dialect: &Dialect) -> Result<Vec<large_objects::Piece>, Refusal> {
    let refuse = |error: crate::db::Error| refusal_of(&error);
    let access = large_objects::read_access(snapshot, dialect).await.map_err(refuse)?;
    let size = large_objects::read_size(snapshot, access).await.map_err(refuse)?;
    if size > large_objects::MOST_BYTES {
        return Err(Refusal::known(format!(
            "the database has large objects of {} MiB, and this program keeps at most {} MiB of them",
            size >> 20,
            large_objects::MOST_BYTES >> 20
        ))
        .with_hint(
            "dump them with pg_dump -b, and the tables with -t or -s; large objects are left out of such dumps",
        ));
    }
    large_objects::read_pieces(snapshot, dialect, access)
        .await
        .map_err(refuse)
}

pub(super) fn cdatabase_text(database: &DatabaseInfo, dialect: &Dialect, no_privileges: bool) -> String {
    let name = quote_ident_if_needed(&database.name);
    let locale = |label: &str, value: &Option<String>| {
        value
            .as_ref()
            .map(|value| format!("{label} = {}", quote_literal(value).trim_start()))
    };
    // Values of these settings are lists already and must not be quoted as one text.
    let setting = |text: &String| {
        let (parameter, value) = text.split_once('=')?;
        let is_list = parameter.eq_ignore_ascii_case("search_path") || parameter.eq_ignore_ascii_case("datestyle");
        let value = if is_list && !value.is_empty() {
            value.to_owned()
        } else {
            quote_literal(value).trim_start().to_owned()
        };
        Some(format!(
            "ALTER DATABASE {name} SET {} TO {value}",
            quote_ident_if_needed(parameter)
        ))
    };
    // From 11 on pg_dump prints the comment only beside CREATE DATABASE; before, it stands in the pre-data.
    let comment = match &database.comment {
        Some(text) if dialect.pg_version.0 >= 110_000 => Some(format!(
            "COMMENT ON DATABASE {name} IS {}",
            quote_literal(text).trim_start()
        )),
        _ => None,
    };
    let facts = DatabaseFacts {
        name: database.name.clone(),
        encoding: database.encoding.clone(),
        owner: database.owner.clone(),
        tablespace: database.tablespace.clone(),
        options: [
            locale("LC_COLLATE", &database.collate),
            locale("LC_CTYPE", &database.ctype),
        ]
        .into_iter()
        .flatten()
        .collect(),
        acl: database
            .acl
            .as_deref()
            .filter(|_| !no_privileges)
            .map(|acl| database_acl::grants(&database.name, &database.owner, acl))
            .unwrap_or_default(),
        settings: database.settings.iter().filter_map(setting).chain(comment).collect(),
    };
    facts.write()
}
