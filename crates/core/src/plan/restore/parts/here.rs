//! What is in the database already, and where a thing of the set is when it is there.

use std::collections::BTreeSet;

use super::statements::{bare_routine, referred_table, sequence_value};
use super::{Chooser, name_of, relation};
use crate::format::ddl_split::choose::{host_of, object_of, real};
use crate::format::sql_script::tokens::Tokens;
use crate::format::sql_script::{Item, Script};
use crate::format::toc::{Entry, EntryKind};
use crate::words::definitions::{ObjectClass, ObjectName};
use crate::words::names::QualifiedName;

impl Chooser<'_> {
    pub(super) fn is_table(&self, object: &ObjectName) -> bool {
        let kind = self.objects.relations.get(&name_of(object));
        kind.is_none_or(|kind| *kind != EntryKind::Sequence) && !self.objects.parts.contains_key(&name_of(object))
    }

    /// The schema that an object is in, here.
    pub(super) fn place<'s>(&'s self, object: &'s ObjectName) -> &'s str {
        match self.into.schema {
            Some(schema) if object.class == ObjectClass::Relation && self.asked.contains(object) => schema,
            _ => &object.schema,
        }
    }

    pub(super) fn here(&self, name: &QualifiedName) -> QualifiedName {
        let object = relation(name);
        QualifiedName::new(self.place(&object), &name.name)
    }

    pub(super) fn has_table(&self, name: &QualifiedName) -> bool {
        self.into.present.has_table(&self.here(name))
    }

    pub(super) fn is_present(&self, object: &ObjectName) -> bool {
        use ObjectClass as Class;
        let present = self.into.present;
        match object.class {
            Class::Relation => present.relations.contains_key(&self.here(&name_of(object))),
            Class::Type => present.types.contains(&name_of(object)),
            Class::Routine => {
                let (name, arguments) = bare_routine(&object.name);
                present
                    .routines
                    .contains(&(QualifiedName::new(&object.schema, name), arguments))
            }
            Class::Schema => object.name == "public" || present.schemas.contains(&object.name),
            Class::Language => present.languages.contains(&object.name),
            Class::Extension => present.extensions.contains(&object.name),
            _ => false,
        }
    }

    /// A constraint, trigger or rule that its table has.
    pub(super) fn is_attached(&self, script: &Script, entry: &Entry) -> bool {
        if !matches!(
            entry.kind,
            EntryKind::Constraint
                | EntryKind::FkConstraint
                | EntryKind::CheckConstraint
                | EntryKind::Trigger
                | EntryKind::Rule
                | EntryKind::Policy
        ) {
            return false;
        }
        let Some(host) = host_of(script, entry) else {
            return false;
        };
        let table = name_of(&host.object);
        let here = self.here(&table);
        let attachments = &self.into.present.attachments;
        // Later dumps call an entry by table and name.
        let short = entry.name.strip_prefix(&format!("{} ", table.name));
        [host.added_constraint.as_deref(), Some(entry.name.as_str()), short]
            .into_iter()
            .flatten()
            .any(|name| attachments.contains(&(here.clone(), name.to_owned())))
    }

    /// The table that a foreign key refers to, when it is not there and does not come.
    pub(super) fn missing_key_target(&self, script: &Script, entry: &Entry) -> Option<QualifiedName> {
        let target = referred_table(script, entry)?;
        let object = relation(&target);
        let is_here = self.asked.contains(&object)
            || self.needed.contains(&object)
            || self.into.present.relations.contains_key(&target);
        (!is_here).then_some(target)
    }

    /// `ALTER INDEX s.whole ATTACH PARTITION s.part`
    pub(super) fn has_parent_index(&self, script: &Script, entry: &Entry) -> bool {
        let Some(Item::Statement { text, .. }) = script.items_of(entry).next() else {
            return false;
        };
        let mut tokens = Tokens::of(text);
        if !tokens.eat_all(&["alter", "index"]) {
            return false;
        }
        let Some(name) = tokens.name() else { return false };
        let (schema, name) = real(entry, name);
        let index = QualifiedName::new(schema, name);
        // Where both are there they are attached.
        let part = QualifiedName::new(entry.schema.clone().unwrap_or_default(), &entry.name);
        let present = &self.into.present.relations;
        let is_there = present.contains_key(&self.here(&index));
        let wanted = self.asked.contains(&relation(&index)) || self.needed.contains(&relation(&index));
        (is_there && !present.contains_key(&self.here(&part))) || (wanted && !is_there)
    }

    /// The value of a sequence that belongs to a table which is there: it must not fall behind the rows that come, and not
    /// go back behind those that are there.
    pub(super) fn sets_present_sequence(&self, script: &Script, entry: &Entry) -> bool {
        let name = QualifiedName::new(entry.schema.clone().unwrap_or_default(), &entry.name);
        if !self.asked.contains(&relation(&name)) {
            return false;
        }
        let owned = self.objects.parts.contains_key(&name);
        let Some(now) = self.into.present.sequence_values.get(&self.here(&name)) else {
            return false;
        };
        owned && (self.into.truncates || sequence_value(script, entry).is_some_and(|value| value > *now))
    }

    pub(super) fn missing_schemas(&self, pre_data: &[bool], post_data: &[bool]) -> Vec<String> {
        let mut used: BTreeSet<&str> = BTreeSet::new();
        for (script, kept) in [(self.files.pre_data, pre_data), (self.files.post_data, post_data)] {
            for (entry, _) in script.entries().iter().zip(kept).filter(|(_, kept)| **kept) {
                match (object_of(entry), &entry.schema) {
                    (Some(object), _) if object.class == ObjectClass::Schema => {}
                    (Some(object), Some(_)) => {
                        used.insert(match self.into.schema {
                            Some(schema) if self.asked.contains(&object) => schema,
                            _ => entry.schema.as_deref().unwrap_or_default(),
                        });
                    }
                    (None, Some(schema)) if self.into.schema.is_none() => {
                        used.insert(schema);
                    }
                    _ => {}
                }
            }
        }
        let defined = |schema: &str| {
            let object = ObjectName::new(ObjectClass::Schema, "", schema);
            self.objects.all.contains(&object)
        };
        used.into_iter()
            .filter(|schema| *schema != "public" && *schema != "pg_catalog")
            .filter(|schema| !self.into.present.schemas.contains(*schema) && !defined(schema))
            .map(str::to_owned)
            .collect()
    }
}
