//! In what state the tables are at the cut: what the next increment is compared with.

use std::collections::HashSet;

use tracing::warn;

use super::DumpContext;
use super::prepare::Directories;
use crate::db::{Session, rights, table_states};
use crate::exec::dump_fleet::DumpFleet;
use crate::format::state::{TableCounts, TableStates};
use crate::plan::incremental::base::Base;
use crate::run::refusal_of;
use crate::words::ids::Oid;
use crate::words::names::QualifiedName;
use crate::words::refusal::Refusal;
use crate::words::relation::{Relation, StorageKind};
use crate::worker::protocol::{HeapBefore, StatesAsked};

/// What the segments told.
#[derive(Debug, Default)]
pub(super) struct SegmentsTold {
    /// Where it is the segments that count changes.
    pub(super) counts: Option<TableCounts>,
    /// Heap tables whose rows on every segment are those of the set before; `None` when nobody looked.
    pub(super) unchanged_heap: Option<HashSet<QualifiedName>>,
}

/// What only the segments can tell. They have to be asked before they copy: their snapshots end with that.
pub(super) async fn ask_segments(
    context: &DumpContext<'_>,
    fleet: &mut DumpFleet,
    directories: &Directories,
    relations: &[Relation],
) -> SegmentsTold {
    let heap_before = context
        .base
        .as_ref()
        .and_then(|base| heap_before(context, base, directories));
    let asked = StatesAsked {
        // Streams see no segment.
        counters: context.surroundings.dialect.has_counters_on_segments() && !context.surroundings.cluster.is_streams(),
        heap: context.request.incremental_heap,
        heap_before: heap_before.clone().unwrap_or_default(),
    };
    if !asked.counters && !asked.heap {
        return SegmentsTold::default();
    }
    let is_wanted = |relation: &&Relation| asked.heap || relation.storage != StorageKind::Heap;
    let wanted = relations.iter().filter(is_wanted).map(|relation| relation.name.clone());
    let counters = asked.counters;
    let states = fleet.read_states(&wanted.collect::<Vec<_>>(), asked).await;
    for (content, reason) in states
        .iter()
        .filter_map(|(content, state)| Some((content, state.no_heap.as_ref()?)))
    {
        warn!("Nothing is known about changes of heap tables on segment {content}: {reason}");
    }
    let (counts, unchanged): (Vec<_>, Vec<_>) = states
        .into_values()
        .map(|state| (state.counts, state.unchanged_heap))
        .unzip();
    SegmentsTold {
        counts: counters.then(|| TableCounts::sum(counts)),
        unchanged_heap: heap_before.map(|_| on_all(unchanged)),
    }
}

/// The files that the segments compare with; `None` when one of them has none of the same instance.
fn heap_before(context: &DumpContext<'_>, base: &Base, directories: &Directories) -> Option<Vec<HeapBefore>> {
    let files = base.heap.as_ref()?;
    let primaries = context.surroundings.cluster.primaries();
    let before = primaries.iter().map(|primary| {
        let file = files.get(&primary.content).filter(|file| file.dbid == primary.dbid)?;
        let dates = directories.segments.get(&primary.content)?.parent()?;
        Some(HeapBefore {
            content: primary.content,
            path: dates.join(base.last().date_dir()).join(&file.name),
            sha256: file.sha256.clone(),
        })
    });
    before.collect()
}

fn on_all(segments: Vec<HashSet<QualifiedName>>) -> HashSet<QualifiedName> {
    let mut segments = segments.into_iter();
    let first = segments.next().unwrap_or_default();
    segments.fold(first, |all, segment| all.intersection(&segment).cloned().collect())
}

/// The states of all tables, read in the master's snapshot as far as `counts` does not have them from the segments.
/// `None`: through the master alone, this role cannot know them.
pub(super) async fn read(
    context: &DumpContext<'_>,
    snapshot: &Session,
    relations: &[Relation],
    parents: &HashSet<Oid>,
    counts: Option<TableCounts>,
) -> Result<Option<TableStates>, Refusal> {
    let dialect = &context.surroundings.dialect;
    let refuse = |error: crate::db::Error| refusal_of(&error);
    if context.surroundings.cluster.is_streams()
        && !rights::may_read_counters(snapshot, dialect).await.map_err(refuse)?
    {
        return Ok(None);
    }
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
    Ok(Some(TableStates { counts, operations }))
}

fn append_optimized<'a>(relations: impl IntoIterator<Item = &'a Relation>) -> impl Iterator<Item = &'a QualifiedName> {
    relations
        .into_iter()
        .filter(|relation| relation.storage != StorageKind::Heap)
        .map(|relation| &relation.name)
}
