//! Which tables an incremental dump takes again, and why.
//!
//! A table is left out only when there is proof that the set before has its rows: the counter of its changes and the
//! last operations on it are those that were written down then. Without proof it is dumped (`gpcrondump.md` 3.4).

pub mod base;

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::format::state::{LastOperation, LastOperations, ModCounts, TableStates};
use crate::words::ids::Oid;
use crate::words::names::QualifiedName;
use crate::words::relation::{Relation, StorageKind};

/// What the set before wrote down.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatesBefore {
    pub rows: ModCounts,
    pub columns: ModCounts,
    pub operations: LastOperations,
}

/// Why a table is dumped again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhyDirty {
    /// The server counts no changes of it.
    Heap,
    /// It was looked at, and it changed, or cannot be proven to be as it was.
    HeapChanged,
    /// The set before has no counter for this name.
    NoCountBefore,
    Changed {
        before: u64,
        now: u64,
    },
    /// An operation that the set before does not know.
    Operation {
        action: String,
        subtype: String,
    },
    /// The server tells no counter, or not even that the table was created.
    NoEvidence,
    /// Its name cannot be told from another one in lists of one name a line.
    UnclearName,
}

impl std::fmt::Display for WhyDirty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            WhyDirty::Heap => f.write_str("it is a heap table"),
            WhyDirty::HeapChanged => f.write_str("nothing proves that this heap table is as it was"),
            WhyDirty::NoCountBefore => f.write_str("the dump before does not know it"),
            WhyDirty::Changed { before, now } => write!(f, "it was changed (counter {before}, now {now})"),
            WhyDirty::Operation { action, subtype } if subtype.is_empty() => {
                write!(f, "{action} since the dump before")
            }
            WhyDirty::Operation { action, subtype } => write!(f, "{action} {subtype} since the dump before"),
            WhyDirty::NoEvidence => f.write_str("the server does not tell whether it was changed"),
            WhyDirty::UnclearName => f.write_str("its name looks like another one in the lists of a dump"),
        }
    }
}

/// Decides for all tables with rows of their own: `parents` are those without. All of `relations`, `parents` and `now`
/// belong to one snapshot. `unchanged_heap`: heap tables that were proven to be the same, when they were looked at.
pub fn dirty_tables(
    relations: &[Relation],
    parents: &HashSet<Oid>,
    now: &TableStates,
    before: &StatesBefore,
    unchanged_heap: Option<&HashSet<QualifiedName>>,
) -> BTreeMap<Oid, WhyDirty> {
    let evidence = Evidence::new(now);
    let mut names: HashMap<String, u32> = HashMap::with_capacity(relations.len());
    for relation in relations {
        *names.entry(relation.name.to_string()).or_default() += 1;
    }
    let data_tables = relations.iter().filter(|relation| !parents.contains(&relation.oid));
    let dirty = data_tables.filter_map(|relation| {
        let text = relation.name.to_string();
        let why = if text.contains('\n') || names.get(&text).is_some_and(|count| *count > 1) {
            Some(WhyDirty::UnclearName)
        } else if relation.storage == StorageKind::Heap {
            why_heap_dirty(relation, unchanged_heap)
        } else {
            why_dirty(relation, &evidence, before)
        };
        why.map(|why| (relation.oid, why))
    });
    dirty.collect()
}

fn why_heap_dirty(relation: &Relation, unchanged: Option<&HashSet<QualifiedName>>) -> Option<WhyDirty> {
    match unchanged {
        None => Some(WhyDirty::Heap),
        // Which rows are dumped of an extension's table hangs on more than the table.
        Some(unchanged) if relation.condition.is_none() && unchanged.contains(&relation.name) => None,
        Some(_) => Some(WhyDirty::HeapChanged),
    }
}

fn why_dirty(relation: &Relation, evidence: &Evidence<'_>, before: &StatesBefore) -> Option<WhyDirty> {
    let (counts_now, counts_before) = match relation.storage {
        StorageKind::Heap => return Some(WhyDirty::Heap),
        StorageKind::AoRow => (&evidence.rows, &before.rows),
        StorageKind::AoColumn => (&evidence.columns, &before.columns),
    };
    let Some(&now) = counts_now.get(&relation.name) else {
        return Some(WhyDirty::NoEvidence);
    };
    match counts_before.of(&relation.name) {
        None => return Some(WhyDirty::NoCountBefore),
        Some(before) if before != now => return Some(WhyDirty::Changed { before, now }),
        Some(_) => {}
    }
    // A counter can come back to what it was: TRUNCATE and one INSERT, a table of the same name. Each of these writes an
    // operation; a table about which none is told may be any of them.
    let Some(operations) = evidence.operations.get(&relation.oid) else {
        return Some(WhyDirty::NoEvidence);
    };
    let new = operations
        .iter()
        .find(|operation| operation.table != relation.name || !before.operations.contains(operation))?;
    Some(WhyDirty::Operation {
        action: new.action.clone(),
        subtype: new.subtype.clone(),
    })
}

struct Evidence<'a> {
    rows: HashMap<&'a QualifiedName, u64>,
    columns: HashMap<&'a QualifiedName, u64>,
    operations: HashMap<Oid, Vec<&'a LastOperation>>,
}

impl<'a> Evidence<'a> {
    fn new(now: &'a TableStates) -> Self {
        let mut operations: HashMap<Oid, Vec<&LastOperation>> = HashMap::new();
        for operation in &now.operations {
            operations.entry(operation.oid).or_default().push(operation);
        }
        Evidence {
            rows: now
                .counts
                .rows
                .iter()
                .map(|count| (&count.table, count.count))
                .collect(),
            columns: now
                .counts
                .columns
                .iter()
                .map(|count| (&count.table, count.count))
                .collect(),
            operations,
        }
    }
}

#[cfg(test)]
#[path = "incremental/tests.rs"]
mod tests;
