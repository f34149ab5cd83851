//! What an increment does otherwise than a full dump: most rows stay where they are.

use std::collections::{BTreeMap, HashSet};

use tracing::{debug, info, warn};

use super::states::SegmentsTold;
use super::{DumpContext, Sessions, states};
use crate::db::{Session, table_states};
use crate::exec::dump_fleet::DumpFleet;
use crate::format::state::TableStates;
use crate::format::{increments, table_list};
use crate::gather::chain;
use crate::plan::filter::{NameList, TableFilter};
use crate::plan::incremental::base::Base;
use crate::plan::incremental::{WhyDirty, dirty_tables};
use crate::run::refusal_of;
use crate::store::data_file::write_small_file;
use crate::words::ids::{Oid, TimestampKey};
use crate::words::layout::{DumpFileKind, SetNames};
use crate::words::names::QualifiedName;
use crate::words::place::Place;
use crate::words::refusal::Refusal;
use crate::words::relation::{NamedRelation, Relation, RelationKind, StorageKind};

/// What was found out at the cut of an increment.
#[derive(Debug)]
pub(super) struct Increment {
    pub(super) states: TableStates,
    parents: HashSet<Oid>,
    pub(super) dirty: BTreeMap<Oid, WhyDirty>,
}

/// Tables that an increment takes whatever the counters say; their locks can be taken before the cut.
pub(super) async fn surely_dirty(
    context: &DumpContext<'_>,
    base: &Base,
    session: &Session,
    tables: &[Relation],
) -> Result<Vec<Relation>, Refusal> {
    // Heap tables may be left out too: nothing is sure before they are looked at.
    if base.heap.is_some() {
        return Ok(Vec::new());
    }
    let parents = table_states::read_partition_parents(session, &context.surroundings.dialect)
        .await
        .map_err(|error| refusal_of(&error))?;
    let heap = |table: &&Relation| table.storage == StorageKind::Heap && !parents.contains(&table.oid);
    Ok(tables.iter().filter(heap).cloned().collect())
}

/// Reads the states in the snapshots of the cut, decides, and hands the workers what they do not have yet.
///
/// The master's snapshot was taken before those of the segments. A change that it shows is on every segment already, so
/// it is in the rows that are copied; one that it does not show is not in the states that are written down, so the next
/// increment takes the table again. There is no third case. Counters that stand on the segments are read in the very
/// snapshots that the rows are copied from.
pub(super) async fn decide(
    context: &DumpContext<'_>,
    base: &Base,
    sessions: &Sessions,
    fleet: &mut DumpFleet,
    tables: &[Relation],
    dumped: &mut Vec<Relation>,
    told: SegmentsTold,
) -> Result<Increment, Refusal> {
    let snapshot = &sessions.snapshot;
    let parents = table_states::read_partition_parents(snapshot, &context.surroundings.dialect)
        .await
        .map_err(|error| refusal_of(&error))?;
    let states = states::read(context, snapshot, tables, &parents, told.counts).await?;
    let states = states.ok_or_else(|| {
        Refusal::known(format!(
            "Role {} cannot read on the master which append-optimized tables of database {} were changed",
            context.address.login.user, context.database
        ))
        .with_hint("make a full dump, or an increment with a role that may read schema pg_aoseg")
    })?;
    let dirty = dirty_tables(tables, &parents, &states, &base.before, told.unchanged_heap.as_ref());
    let has: HashSet<Oid> = dumped.iter().map(|table| table.oid).collect();
    let more: Vec<Relation> = tables
        .iter()
        .filter(|table| dirty.contains_key(&table.oid) && !has.contains(&table.oid))
        .cloned()
        .collect();
    let mut jobs = super::table_locks::jobs_of(&more, &context.request.style);
    super::streams::assign(context, sessions, &more, &mut jobs).await?;
    fleet.add_tables(&jobs).await;
    for table in &more {
        debug!("Table {} is dumped: {}", table.name, dirty[&table.oid]);
    }
    dumped.extend(more);
    let heap = |tables: &[Relation]| tables.iter().filter(|t| t.storage == StorageKind::Heap).count();
    let (heap_dumped, append_optimized) = (heap(dumped), states.counts.len());
    let heap_words = match &told.unchanged_heap {
        None => heap_dumped.to_string(),
        Some(_) => format!("{heap_dumped} of {}", heap(tables)),
    };
    info!(
        "{} of {append_optimized} append-optimized tables and {heap_words} heap tables are dumped, compared with dump {}",
        dumped.len() - heap_dumped,
        base.last()
    );
    Ok(Increment { states, parents, dirty })
}

/// The filter of the chain, as far as what it names still exists. An increment with nothing left to dump is refused: it
/// would look like one of everything.
pub(super) async fn filter_of(
    context: &DumpContext<'_>,
    base: &Base,
    session: &Session,
) -> Result<TableFilter, Refusal> {
    let Some(lines) = &base.filter else {
        return Ok(TableFilter::Everything);
    };
    let refuse = |error: crate::db::Error| refusal_of(&error);
    let file = base.directory.join(filter_name(context, base));
    if let Some(schemas) = &base.schemas {
        let existing = crate::db::definitions::read_schemas(session).await.map_err(refuse)?;
        let names: Vec<&str> = schemas
            .iter()
            .map(String::as_str)
            .filter(|s| existing.iter().any(|e| e == s))
            .collect();
        return Ok(TableFilter::IncludeSchemas(of_file(names, &file)?));
    }
    let existing: Vec<NamedRelation> =
        crate::db::definitions::read_named_relations(session, &context.surroundings.dialect)
            .await
            .map_err(refuse)?;
    let known: HashSet<String> = existing
        .iter()
        .filter(|relation| relation.kind == RelationKind::Table)
        .map(|relation| relation.name.to_string())
        .collect();
    let names: Vec<&str> = lines
        .iter()
        .map(String::as_str)
        .filter(|line| known.contains(*line))
        .collect();
    Ok(TableFilter::IncludeTables(of_file(names, &file)?))
}

fn of_file(names: Vec<&str>, file: &Place) -> Result<NameList, Refusal> {
    if names.is_empty() {
        return Err(Refusal::known(format!(
            "Nothing that the filter {} names exists any more",
            file.display()
        ))
        .with_hint("make a full dump with the options that choose tables"));
    }
    let mut list = NameList::typed(names);
    // For messages alone: the names were read.
    list.file = Some(file.to_string().into());
    Ok(list)
}

/// The name of the filter of a chain.
pub(super) fn filter_name(context: &DumpContext<'_>, base: &Base) -> String {
    base_names(context, base).of_set(DumpFileKind::Filter)
}

fn base_names(context: &DumpContext<'_>, base: &Base) -> SetNames {
    SetNames {
        prefix: context.request.prefix.clone(),
        key: base.full,
        naming: crate::words::layout::FileNaming::New,
        compression: context.request.compression,
    }
}

/// The lists that make a set an increment: what it holds, and what there is.
pub(super) fn list_files(increment: &Increment, tables: &[Relation]) -> Result<Vec<(DumpFileKind, String)>, Refusal> {
    let write = |chosen: &dyn Fn(&Relation) -> bool| {
        let names: Vec<&QualifiedName> = tables
            .iter()
            .filter(|table| chosen(table) && is_one_line(&table.name))
            .map(|table| &table.name)
            .collect();
        table_list::write_tables(names).map_err(|error| Refusal::known(error.to_string()))
    };
    for table in tables.iter().filter(|table| !is_one_line(&table.name)) {
        warn!(
            "Table {} is not in the lists of this set: its name has a line break",
            table.name.sql()
        );
    }
    let dirty = write(&|table| increment.dirty.contains_key(&table.oid))?;
    let all = write(&|table| !increment.parents.contains(&table.oid))?;
    let mut files = Vec::new();
    if !dirty.is_empty() {
        files.push((DumpFileKind::Table, dirty.clone()));
    }
    files.extend([(DumpFileKind::DirtyList, dirty), (DumpFileKind::TableList, all)]);
    Ok(files)
}

fn is_one_line(name: &QualifiedName) -> bool {
    !name.schema.contains('\n') && !name.name.contains('\n')
}

/// Makes the set, which is whole by now, a part of its chain.
pub(super) fn append_to_chain(context: &DumpContext<'_>, base: &Base) -> Result<(), Refusal> {
    let path = base
        .directory
        .join(base_names(context, base).of_set(DumpFileKind::Increments));
    let found = chain::read_increments(context.files, &path)?;
    if found != base.increments {
        return Err(Refusal::failed(format!(
            "trouble adding timestamp '{}' to file '{}'",
            context.key,
            path.display()
        ))
        .with_hint("the file was changed while this dump was made, so what this dump was compared with is no longer the last one; run again"));
    }
    let keys: Vec<TimestampKey> = found.into_iter().chain([context.key]).collect();
    write_small_file(context.files, &path, increments::write(&keys).as_bytes()).map_err(|error| refusal_of(&error))?;
    Ok(())
}
