//! Everything that the files of a set define, and what belongs to what.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::statements::{owner_of_sequence, table_of_statistics};
use super::{Files, name_of, relation};
use crate::format::ddl_split::choose::{host_of, object_of, real};
use crate::format::sql_script::tokens::Tokens;
use crate::format::sql_script::{Item, Script};
use crate::format::toc::{Entry, EntryKind};
use crate::plan::restore::choice::Choice;
use crate::plan::restore::inventory::Inventory;
use crate::words::definitions::{ObjectClass, ObjectName};
use crate::words::names::QualifiedName;

/// Everything that the files define.
#[derive(Default)]
pub(super) struct Objects {
    pub(super) all: BTreeSet<ObjectName>,
    /// Tables, sequences, views by name, and whether it is a sequence.
    pub(super) relations: HashMap<QualifiedName, EntryKind>,
    pub(super) routines: HashMap<QualifiedName, Vec<ObjectName>>,
    /// Sequences and indexes, and the table that they belong to.
    pub(super) parts: BTreeMap<QualifiedName, QualifiedName>,
    pub(super) sequences: HashSet<QualifiedName>,
    /// Extended statistics by their table.
    pub(super) statistics: Vec<(QualifiedName, ObjectName)>,
}

impl Objects {
    pub(super) fn read(files: Files<'_>) -> Objects {
        let mut objects = Objects::default();
        for script in [files.pre_data, files.post_data] {
            for entry in script.entries() {
                objects.entry(script, entry);
            }
        }
        objects
    }

    fn entry(&mut self, script: &Script, entry: &Entry) {
        let own = || QualifiedName::new(entry.schema.clone().unwrap_or_default(), &entry.name);
        match entry.kind {
            EntryKind::Index => {
                if let Some(host) = host_of(script, entry) {
                    self.parts.insert(own(), name_of(&host.object));
                }
            }
            EntryKind::Statistics => {
                if let (Some(table), Some(object)) = (table_of_statistics(script, entry), object_of(entry)) {
                    self.statistics.push((table, object));
                }
            }
            // Exchanged for a partition: `ALTER TABLE t EXCHANGE PARTITION ... WITH TABLE x`.
            EntryKind::Table => {
                for item in script.items_of(entry) {
                    let Item::Statement { text, .. } = item else { continue };
                    let mut tokens = Tokens::of(text);
                    let exchanges = tokens.eat_all(&["alter", "table"]) && tokens.skip_past("exchange");
                    if exchanges
                        && tokens.skip_past("with")
                        && tokens.eat("table")
                        && let Some(name) = tokens.name()
                    {
                        let (schema, name) = real(entry, name);
                        self.parts.insert(QualifiedName::new(schema, name), own());
                    }
                }
            }
            EntryKind::SequenceOwnedBy => {
                if let Some(table) = owner_of_sequence(script, entry) {
                    self.parts.insert(own(), table);
                }
            }
            EntryKind::Sequence => {
                self.sequences.insert(own());
                // GENERATED ... AS IDENTITY: the statement alters the table.
                if let Some(host) = host_of(script, entry) {
                    self.parts.insert(own(), name_of(&host.object));
                }
            }
            _ => {}
        }
        let Some(object) = object_of(entry) else { return };
        match object.class {
            ObjectClass::Relation if entry.kind.is_relation() => {
                self.relations.insert(own(), entry.kind.clone());
            }
            ObjectClass::Routine => {
                let bare = object.name.split('(').next().unwrap_or_default();
                let overloads = self
                    .routines
                    .entry(QualifiedName::new(&object.schema, bare))
                    .or_default();
                overloads.push(object.clone());
            }
            _ => {}
        }
        self.all.insert(object);
    }

    /// Tables that were chosen with what belongs to them, and all of the schemas that were chosen.
    pub(super) fn asked(&self, inventory: &Inventory, choice: &Choice) -> BTreeSet<ObjectName> {
        let mut asked: BTreeSet<ObjectName> = choice
            .tables
            .iter()
            .map(|at| relation(&inventory.tables[*at].name))
            .collect();
        let in_schema = |object: &&ObjectName| match object.class {
            ObjectClass::Schema => choice.schemas.contains(&object.name),
            _ => choice.schemas.contains(&object.schema),
        };
        asked.extend(self.all.iter().filter(in_schema).cloned());
        // `public` is defined by nobody and may have grants and a comment.
        asked.extend(
            choice
                .schemas
                .iter()
                .map(|schema| ObjectName::new(ObjectClass::Schema, "", schema)),
        );
        let parts = self.parts.iter().filter(|(_, table)| asked.contains(&relation(table)));
        let parts: Vec<ObjectName> = parts.map(|(part, _)| relation(part)).collect();
        asked.extend(parts);
        let statistics = self.statistics.iter();
        let statistics = statistics.filter(|(table, _)| asked.contains(&relation(table)));
        let statistics: Vec<ObjectName> = statistics.map(|(_, object)| object.clone()).collect();
        asked.extend(statistics);
        asked
    }
}
