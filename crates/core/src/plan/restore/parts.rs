//! Which definitions of a set are run when only some of its tables are asked for.
//!
//! A table comes back whole: with its indexes, constraints, triggers, rules, defaults, its own sequences and their values,
//! comments and grants. What its definitions name and the database lacks comes with it; what the database has stays as it
//! is, whatever the set says of it.

mod here;
mod needs;
mod notes;
mod objects;
mod statements;

use std::collections::{BTreeSet, HashSet};

use self::objects::Objects;
use self::statements::owner_of_sequence;
pub(crate) use self::statements::referred_table;
use super::choice::Choice;
use super::inventory::Inventory;
use crate::format::ddl_split::choose::{host_of, kept};
use crate::format::sql_script::Script;
use crate::format::toc::EntryKind;
use crate::words::definitions::{DefinitionFilter, ObjectClass, ObjectName};
use crate::words::names::QualifiedName;
use crate::words::present::Present;

/// What the tables are restored into.
#[derive(Debug, Clone, Copy)]
pub struct Into<'a> {
    pub present: &'a Present,
    /// The schema that the tables go to in place of their own.
    pub schema: Option<&'a str>,
    /// Tables that are there are emptied first.
    pub truncates: bool,
    /// The database is made in this run.
    pub fresh: bool,
}

/// What is run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parts {
    /// For each entry of either file, whether it is run.
    pub pre_data: Vec<bool>,
    pub post_data: Vec<bool>,
    /// Schemas that are missing here and that the set does not define.
    pub schemas: Vec<String>,
    /// Relations that are made or filled in another schema than their own.
    pub moved: BTreeSet<QualifiedName>,
    /// Whole sentences for the log.
    pub notes: Vec<String>,
}

/// The two files of definitions.
#[derive(Debug, Clone, Copy)]
pub struct Files<'a> {
    pub pre_data: &'a Script<'a>,
    pub post_data: &'a Script<'a>,
}

/// Decides for every entry.
pub fn choose_parts(files: Files<'_>, inventory: &Inventory, choice: &Choice, into: Into<'_>) -> Parts {
    let objects = Objects::read(files);
    let mut chooser = Chooser {
        files,
        into,
        asked: objects.asked(inventory, choice),
        objects,
        needed: BTreeSet::new(),
        whole_schemas: choice.schemas.iter().cloned().collect(),
        notes: Vec::new(),
    };
    chooser.run(inventory, choice)
}

struct Chooser<'a> {
    files: Files<'a>,
    into: Into<'a>,
    objects: Objects,
    asked: BTreeSet<ObjectName>,
    needed: BTreeSet<ObjectName>,
    whole_schemas: HashSet<String>,
    notes: Vec<String>,
}

impl Chooser<'_> {
    fn run(&mut self, inventory: &Inventory, choice: &Choice) -> Parts {
        self.need_roots(inventory, choice);
        // Each round finds what the entries of the last one name. What there is to find is finite.
        loop {
            let (pre_data, post_data) = self.kept();
            let before = self.needed.len();
            let (pre, post) = (self.files.pre_data, self.files.post_data);
            for (script, kept) in [(pre, &pre_data), (post, &post_data)] {
                for (entry, _) in script.entries().iter().zip(kept).filter(|(_, kept)| **kept) {
                    self.need_names_of(script, entry);
                }
            }
            if self.needed.len() == before {
                let schemas = self.missing_schemas(&pre_data, &post_data);
                self.note_existing(inventory, choice);
                self.note_needed();
                self.note_keys(&post_data);
                return Parts {
                    pre_data,
                    post_data,
                    schemas,
                    moved: self.moved(inventory, choice),
                    notes: std::mem::take(&mut self.notes),
                };
            }
        }
    }

    /// The decision as far as it is known.
    fn kept(&self) -> (Vec<bool>, Vec<bool>) {
        let (pre, post) = (self.files.pre_data, self.files.post_data);
        let mut pre_data = kept(pre, &self.filter(false));
        for (entry, kept) in pre.entries().iter().zip(&mut pre_data) {
            match entry.kind {
                EntryKind::SequenceSet => *kept |= self.sets_present_sequence(pre, entry),
                EntryKind::Extension => *kept = self.into.fresh,
                _ => *kept &= !self.is_attached(pre, entry),
            }
        }
        let mut post_data = kept(post, &self.filter(true));
        for (entry, kept) in post.entries().iter().zip(&mut post_data) {
            *kept &= !self.is_attached(post, entry);
            if entry.kind == EntryKind::FkConstraint {
                *kept &= self.missing_key_target(post, entry).is_none();
            }
            if entry.kind == EntryKind::IndexAttach {
                *kept &= self.has_parent_index(post, entry);
            }
        }
        (pre_data, post_data)
    }

    /// Behind the data, what is missing of tables that are there comes too.
    fn filter(&self, behind_data: bool) -> DefinitionFilter {
        let mut filter = DefinitionFilter {
            whole_schemas: self.whole_schemas.clone(),
            ..DefinitionFilter::default()
        };
        let missing_schema = |object: &ObjectName| {
            object.class == ObjectClass::Schema && !self.into.present.schemas.contains(&object.name)
        };
        for object in self.objects.all.iter().chain(&self.asked) {
            let wanted = self.asked.contains(object) || self.needed.contains(object);
            let is_host = behind_data && object.class == ObjectClass::Relation && self.is_table(object);
            filter
                .objects
                .insert(object.clone(), wanted && (is_host || !self.is_present(object)));
        }
        // Every schema that something goes to and that is not there.
        for object in self.asked.iter().chain(&self.needed) {
            let schema = ObjectName::new(ObjectClass::Schema, "", self.place(object));
            if missing_schema(&schema) && !self.is_present(object) {
                filter.objects.insert(schema, true);
            }
        }
        filter
    }

    fn moved(&self, inventory: &Inventory, choice: &Choice) -> BTreeSet<QualifiedName> {
        if self.into.schema.is_none() {
            return BTreeSet::new();
        }
        let relations = self.asked.iter().filter(|o| o.class == ObjectClass::Relation);
        let partitions = choice.tables.iter().map(|at| inventory.tables[*at].name.clone());
        relations.map(name_of).chain(partitions).collect()
    }
}

fn relation(name: &QualifiedName) -> ObjectName {
    ObjectName::new(ObjectClass::Relation, &name.schema, &name.name)
}

fn name_of(object: &ObjectName) -> QualifiedName {
    QualifiedName::new(&object.schema, &object.name)
}

/// The sequences of a set that belong to tables: their values are asked for when the tables are there.
pub fn owned_sequences(pre_data: &Script) -> Vec<(QualifiedName, QualifiedName)> {
    let entries = pre_data.entries().iter();
    let owned = entries.filter_map(|entry| {
        let own = QualifiedName::new(entry.schema.clone()?, &entry.name);
        match entry.kind {
            EntryKind::SequenceOwnedBy => Some((own, owner_of_sequence(pre_data, entry)?)),
            EntryKind::Sequence => Some((own, name_of(&host_of(pre_data, entry)?.object))),
            _ => None,
        }
    });
    owned.collect()
}

#[cfg(test)]
#[path = "parts_tests.rs"]
mod tests;
