use proptest::prelude::*;

use super::*;
use crate::format::state::{ModCount, write_counts, write_operations};
use crate::words::names::QualifiedName;
use crate::words::relation::Distribution;

fn relation(oid: u32, schema: &str, name: &str, storage: StorageKind) -> Relation {
    Relation {
        oid: Oid(oid),
        name: QualifiedName::new(schema, name),
        owner: "o".into(),
        storage,
        distribution: Distribution::Hashed,
        legacy_hash: false,
        distributed_by: Vec::new(),
        columns: Vec::new(),
        root: None,
        condition: None,
        insert: Default::default(),
        has_oids: false,
        estimated_bytes: 0,
    }
}

/// A little server: tables, counters, operations, and a clock.
#[derive(Debug, Clone, Default)]
struct Server {
    relations: Vec<Relation>,
    states: TableStates,
    clock: u32,
    next_oid: u32,
    /// What is in each table, by name: what a dump would copy.
    contents: BTreeMap<String, u32>,
}

impl Server {
    fn log(&mut self, table: &Relation, action: &str, subtype: &str) {
        self.clock += 1;
        let operations = &mut self.states.operations;
        operations.retain(|o| (o.oid, o.action.as_str()) != (table.oid, action));
        operations.push(LastOperation {
            table: table.name.clone(),
            oid: table.oid,
            action: action.into(),
            subtype: subtype.into(),
            moment: format!("2026-11-22 10:00:{:06}", self.clock),
        });
    }

    fn create(&mut self, name: &str, storage: StorageKind) {
        if self.relations.iter().any(|r| r.name.name == name) {
            return;
        }
        self.next_oid += 1;
        let table = relation(self.next_oid, "s", name, storage);
        self.log(&table, "CREATE", "TABLE");
        self.set_count(&table, 0);
        self.contents.insert(table.name.to_string(), 0);
        self.relations.push(table);
    }

    fn counts(&mut self, storage: StorageKind) -> Option<&mut Vec<ModCount>> {
        match storage {
            StorageKind::Heap => None,
            StorageKind::AoRow => Some(&mut self.states.counts.rows),
            StorageKind::AoColumn => Some(&mut self.states.counts.columns),
        }
    }

    fn set_count(&mut self, table: &Relation, count: u64) {
        if let Some(counts) = self.counts(table.storage) {
            counts.retain(|c| c.table != table.name);
            counts.push(ModCount {
                table: table.name.clone(),
                count,
            });
        }
    }

    fn count(&mut self, table: &Relation) -> u64 {
        let counts = self.counts(table.storage);
        counts
            .and_then(|c| c.iter().find(|c| c.table == table.name))
            .map_or(0, |c| c.count)
    }

    fn change(&mut self, at: usize, how: Change, new_name: &str) {
        self.clock += 1;
        let Some(table) = self.relations.get(at % self.relations.len().max(1)).cloned() else {
            return;
        };
        let content = self.clock;
        match how {
            Change::Insert => {
                let count = self.count(&table);
                self.set_count(&table, count + 1);
                self.contents.insert(table.name.to_string(), content);
            }
            Change::Truncate => {
                self.set_count(&table, 0);
                self.log(&table, "TRUNCATE", "");
                self.contents.insert(table.name.to_string(), 0);
            }
            Change::Alter => {
                self.log(&table, "ALTER", "ADD COLUMN");
                self.contents.insert(table.name.to_string(), content);
            }
            Change::Drop => {
                self.relations.retain(|r| r.oid != table.oid);
                self.states.counts.rows.retain(|c| c.table != table.name);
                self.states.counts.columns.retain(|c| c.table != table.name);
                self.states.operations.retain(|o| o.oid != table.oid);
                self.contents.remove(&table.name.to_string());
            }
            Change::Rename => {
                if self.relations.iter().any(|r| r.name.name == new_name) {
                    return;
                }
                let content = self.contents.remove(&table.name.to_string()).unwrap();
                let count = self.count(&table);
                if let Some(counts) = self.counts(table.storage) {
                    counts.retain(|c| c.table != table.name);
                }
                let mut renamed = table.clone();
                renamed.name.name = new_name.into();
                for operation in self.states.operations.iter_mut().filter(|o| o.oid == table.oid) {
                    operation.table = renamed.name.clone();
                }
                self.relations.retain(|r| r.oid != table.oid);
                self.relations.push(renamed.clone());
                self.set_count(&renamed, count);
                self.log(&renamed, "ALTER", "RENAME");
                self.contents.insert(renamed.name.to_string(), content);
            }
            Change::Create(storage) => self.create(new_name, storage),
        }
    }

    fn written_down(&self) -> StatesBefore {
        StatesBefore {
            rows: ModCounts::parse(&write_counts(&self.states.counts.rows)).unwrap(),
            columns: ModCounts::parse(&write_counts(&self.states.counts.columns)).unwrap(),
            operations: LastOperations::parse(&write_operations(&self.states.operations)).unwrap(),
        }
    }

    fn dirty(&self, before: &StatesBefore) -> BTreeMap<String, WhyDirty> {
        let dirty = dirty_tables(&self.relations, &HashSet::new(), &self.states, before, None);
        let name = |oid: Oid| self.relations.iter().find(|r| r.oid == oid).unwrap().name.to_string();
        dirty.into_iter().map(|(oid, why)| (name(oid), why)).collect()
    }
}

#[derive(Debug, Clone, Copy)]
enum Change {
    Insert,
    Truncate,
    Alter,
    Drop,
    Rename,
    Create(StorageKind),
}

fn server() -> Server {
    let mut server = Server::default();
    server.create("heap", StorageKind::Heap);
    server.create("row", StorageKind::AoRow);
    server.create("col", StorageKind::AoColumn);
    server.change(1, Change::Insert, "");
    server
}

#[test]
fn only_heap_tables_are_dirty_when_nothing_happened() {
    let server = server();
    let dirty = server.dirty(&server.written_down());
    assert_eq!(dirty, BTreeMap::from([("s.heap".to_owned(), WhyDirty::Heap)]));
}

#[test]
fn each_change_makes_its_table_dirty_and_says_why() {
    let before = server().written_down();
    let why = |changes: &[Change]| {
        let mut server = server();
        for change in changes {
            let at = server.relations.iter().position(|r| r.name.name == "row").unwrap_or(0);
            server.change(at, *change, "row");
        }
        server.dirty(&before).remove("s.row").unwrap().to_string()
    };
    assert_eq!(why(&[Change::Insert]), "it was changed (counter 1, now 2)");
    assert_eq!(why(&[Change::Alter]), "ALTER ADD COLUMN since the dump before");
    assert_eq!(why(&[Change::Truncate]), "it was changed (counter 1, now 0)");
    // The counter is back where it was.
    assert_eq!(
        why(&[Change::Truncate, Change::Insert]),
        "TRUNCATE since the dump before"
    );
    let anew = [Change::Drop, Change::Create(StorageKind::AoRow), Change::Insert];
    assert!(!why(&anew).is_empty());
}

#[test]
fn a_table_about_which_the_server_tells_nothing_is_dirty() {
    let mut server = server();
    let before = server.written_down();
    server.states.operations.clear();
    assert_eq!(server.dirty(&before)["s.row"], WhyDirty::NoEvidence);
    server.states.counts.rows.clear();
    assert_eq!(server.dirty(&before)["s.row"], WhyDirty::NoEvidence);
    assert_eq!(server.dirty(&StatesBefore::default())["s.col"], WhyDirty::NoCountBefore);
}

#[test]
fn names_that_look_the_same_in_lists_are_dirty() {
    let mut server = Server::default();
    for (schema, name) in [("a.b", "c"), ("a", "b.c"), ("x", "y\nz")] {
        server.next_oid += 1;
        let table = relation(server.next_oid, schema, name, StorageKind::AoRow);
        server.log(&table, "CREATE", "TABLE");
        server.set_count(&table, 1);
        server.relations.push(table);
    }
    let dirty = server.dirty(&server.written_down());
    assert!(dirty.values().all(|why| *why == WhyDirty::UnclearName));
    assert_eq!(
        dirty_tables(
            &server.relations,
            &HashSet::new(),
            &server.states,
            &server.written_down(),
            None
        )
        .len(),
        3
    );
}

#[test]
fn parents_of_partitions_are_never_dirty() {
    let server = server();
    let parents = HashSet::from([Oid(1), Oid(2), Oid(3)]);
    assert!(
        dirty_tables(
            &server.relations,
            &parents,
            &server.states,
            &StatesBefore::default(),
            None
        )
        .is_empty()
    );
}

fn change() -> impl Strategy<Value = (usize, Change, &'static str)> {
    let kind = prop_oneof![
        4 => Just(Change::Insert),
        2 => Just(Change::Truncate),
        1 => Just(Change::Alter),
        1 => Just(Change::Drop),
        1 => Just(Change::Rename),
        1 => Just(Change::Create(StorageKind::AoRow)),
        1 => Just(Change::Create(StorageKind::AoColumn)),
    ];
    (0usize..6, kind, prop::sample::select(vec!["row", "col", "x", "y"]))
}

proptest! {
    /// Whatever happened: a table that is left out has the content that it had in the set before.
    #[test]
    fn no_order_of_events_loses_a_row(rounds in prop::collection::vec(prop::collection::vec(change(), 0..8), 1..6)) {
        let mut server = server();
        // What a restore of the newest set would give.
        let mut restored = server.contents.clone();
        let mut before = server.written_down();
        for changes in rounds {
            for (at, how, name) in changes {
                server.change(at, how, name);
            }
            let dirty = server.dirty(&before);
            restored.retain(|name, _| server.contents.contains_key(name));
            for (name, content) in &server.contents {
                if dirty.contains_key(name) {
                    restored.insert(name.clone(), *content);
                }
            }
            prop_assert_eq!(&restored, &server.contents);
            before = server.written_down();
        }
    }
}

#[test]
fn heap_tables_are_left_out_only_when_they_were_proven_to_be_the_same() {
    let heap = |oid, name| relation(oid, "public", name, StorageKind::Heap);
    let mut configuration = heap(3, "configuration");
    configuration.condition = Some("WHERE mine".into());
    let relations = [heap(1, "same"), heap(2, "other"), configuration];
    let proven = [&relations[0].name, &relations[2].name].into_iter().cloned().collect();
    let decide = |proven| {
        let states = TableStates::default();
        dirty_tables(&relations, &HashSet::new(), &states, &StatesBefore::default(), proven)
    };
    assert_eq!(decide(None).len(), 3);
    let dirty = decide(Some(&proven));
    assert_eq!(dirty.keys().collect::<Vec<_>>(), [&relations[1].oid, &relations[2].oid]);
    assert!(dirty.values().all(|why| *why == WhyDirty::HeapChanged));
}
