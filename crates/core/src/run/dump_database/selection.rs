//! The filter of a dump: made into tables, told, written into the set, and made into definitions.

use tracing::{debug, info, warn};

use super::{DumpContext, increment};
use crate::db::{self, Session};
use crate::format::table_list;
use crate::plan::definitions;
use crate::plan::filter::{self, Scope, Selection, TableFilter};
use crate::run::refusal_of;
use crate::words::definitions::DefinitionFilter;
use crate::words::job::TableJob;
use crate::words::layout::DumpFileKind;
use crate::words::names::QualifiedName;
use crate::words::refusal::Refusal;
use crate::words::relation::Relation;

/// Notes that are shown one by one; the rest is for the log of `-v`.
const NOTES_SHOWN: usize = 50;

/// The tables of a dump at its cut.
#[derive(Debug)]
pub(super) struct ChosenTables {
    pub(super) selection: Selection,
    /// Those with rows.
    pub(super) relations: Vec<Relation>,
    /// For each of them.
    pub(super) jobs: Vec<TableJob>,
}

/// A schema that is not there ends the run before anything is made, as it always did.
pub(super) async fn check_schemas(context: &DumpContext<'_>, session: &Session) -> Result<(), Refusal> {
    if let TableFilter::IncludeSchemas(_) = context.request.filter {
        select(context, session).await?;
    }
    Ok(())
}

/// Makes tables of the filter for the first time, and says so.
pub(super) async fn configure(context: &DumpContext<'_>, session: &Session) -> Result<Selection, Refusal> {
    if context.base.is_none() {
        info!(
            "{}",
            match context.request.filter {
                TableFilter::Everything => "Configuring for single database dump",
                TableFilter::ExcludeTables(_) => "Configuring for single-database, exclude-table dump",
                _ => "Configuring for single-database, include-table dump",
            }
        );
    }
    let selection = select(context, session).await?;
    for warning in &selection.warnings {
        warn!("{warning}");
    }
    Ok(selection)
}

/// Makes tables of the filter, as the session sees the database.
pub(super) async fn select(context: &DumpContext<'_>, session: &Session) -> Result<Selection, Refusal> {
    let of_chain;
    let filter = match &context.base {
        None => &context.request.filter,
        Some(base) => {
            of_chain = increment::filter_of(context, base, session).await?;
            &of_chain
        }
    };
    if *filter == TableFilter::Everything {
        return Ok(Selection::everything());
    }
    let dialect = &context.surroundings.dialect;
    let refuse = |error: db::Error| refusal_of(&error);
    let schemas = db::definitions::read_schemas(session).await.map_err(refuse)?;
    let relations = db::definitions::read_named_relations(session, dialect)
        .await
        .map_err(refuse)?;
    filter::select(filter, &context.database, &relations, &schemas)
}

/// What the definitions of this dump are cut down to; `None`: they are all in.
pub(super) async fn choose_definitions(
    context: &DumpContext<'_>,
    snapshot: &Session,
    selection: &Selection,
) -> Result<Option<DefinitionFilter>, Refusal> {
    if selection.scope == Scope::Everything {
        return Ok(None);
    }
    let dialect = &context.surroundings.dialect;
    let facts = db::definitions::read_catalog_facts(snapshot, dialect)
        .await
        .map_err(|error| refusal_of(&error))?;
    let Some(chosen) = definitions::choose(selection, &facts) else {
        return Ok(None);
    };
    for note in chosen.notes.iter().take(NOTES_SHOWN) {
        info!("{note}");
    }
    if chosen.notes.len() > NOTES_SHOWN {
        info!(
            "{} more notes of this kind are shown with -v",
            chosen.notes.len() - NOTES_SHOWN
        );
        for note in &chosen.notes[NOTES_SHOWN..] {
            debug!("{note}");
        }
    }
    Ok(Some(chosen.filter))
}

/// The lists that the original announces, in its order.
pub(super) fn list_kinds(context: &DumpContext<'_>) -> Vec<DumpFileKind> {
    let mut kinds = Vec::new();
    if !context.request.prefix.is_empty() && context.base.is_none() {
        kinds.push(DumpFileKind::Filter);
    }
    // Said of every dump, with or without a filter.
    kinds.push(DumpFileKind::Table);
    kinds
}

/// The lists that tell what a filtered set holds.
pub(super) fn list_files(
    context: &DumpContext<'_>,
    selection: &Selection,
) -> Result<Vec<(DumpFileKind, String)>, Refusal> {
    if context.request.filter == TableFilter::Everything {
        return Ok(Vec::new());
    }
    let fits = |name: &&QualifiedName| {
        let fits = !name.schema.contains('\n') && !name.name.contains('\n');
        if !fits {
            warn!(
                "Table {} is not in the lists of this set: its name has a line break",
                name.sql()
            );
        }
        fits
    };
    let names = selection.listed.iter().filter(fits);
    let text = table_list::write_tables(names).map_err(|error| Refusal::known(error.to_string()))?;
    let mut files: Vec<(DumpFileKind, String)> = list_kinds(context)
        .into_iter()
        .map(|kind| (kind, text.clone()))
        .collect();
    if let Some(schemas) = &selection.schemas {
        let names = schemas.iter().map(String::as_str).filter(|name| !name.contains('\n'));
        let text = table_list::write_schemas(names).map_err(|error| Refusal::known(error.to_string()))?;
        files.push((DumpFileKind::Schema, text));
    }
    Ok(files)
}
