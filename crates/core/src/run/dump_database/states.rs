//! In what state the tables are at the cut: what the next increment is compared with.

use std::collections::HashSet;

use super::DumpContext;
use crate::db::{Session, table_states};
use crate::exec::dump_fleet::DumpFleet;
use crate::format::state::{TableCounts, TableStates};
use crate::run::refusal_of;
use crate::words::ids::Oid;
use crate::words::names::QualifiedName;
use crate::words::refusal::Refusal;
use crate::words::relation::{Relation, StorageKind};
use crate::worker::protocol::StatesAsked;

/// What only the segments can tell. They have to be asked before they copy: their snapshots end with that.
pub(super) async fn ask_segments(
    context: &DumpContext<'_>,
    fleet: &mut DumpFleet,
    relations: &[Relation],
) -> Option<TableCounts> {
    let asked = StatesAsked {
        counters: context.surroundings.dialect.has_counters_on_segments(),
    };
    if !asked.counters {
        return None;
    }
    let tables: Vec<QualifiedName> = append_optimized(relations).cloned().collect();
    let states = fleet.read_states(&tables, asked).await;
    let counts = states.into_values().map(|segment| segment.counts).collect();
    Some(TableCounts::sum(counts))
}

/// The states of all tables, read in the master's snapshot as far as `counts` does not have them from the segments.
pub(super) async fn read(
    context: &DumpContext<'_>,
    snapshot: &Session,
    relations: &[Relation],
    parents: &HashSet<Oid>,
    counts: Option<TableCounts>,
) -> Result<TableStates, Refusal> {
    let dialect = &context.surroundings.dialect;
    let refuse = |error: crate::db::Error| refusal_of(&error);
    let counts = match counts {
        Some(counts) => counts,
        None => {
            let leaves = relations.iter().filter(|relation| !parents.contains(&relation.oid));
            let wanted = append_optimized(leaves).cloned().collect();
            table_states::read_mod_counts(snapshot, dialect, &wanted)
                .await
                .map_err(refuse)?
        }
    };
    let operations = table_states::read_last_operations(snapshot, dialect, parents)
        .await
        .map_err(refuse)?;
    Ok(TableStates { counts, operations })
}

fn append_optimized<'a>(relations: impl IntoIterator<Item = &'a Relation>) -> impl Iterator<Item = &'a QualifiedName> {
    relations
        .into_iter()
        .filter(|relation| relation.storage != StorageKind::Heap)
        .map(|relation| &relation.name)
}
