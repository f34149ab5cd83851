//! What the definitions that are run name, and the database lacks.

use super::{Chooser, name_of, relation};
use crate::format::sql_script::Script;
use crate::format::toc::{Entry, EntryKind};
use crate::plan::restore::choice::Choice;
use crate::plan::restore::inventory::Inventory;
use crate::plan::restore::mentions::{Role, mentions};
use crate::words::definitions::{ObjectClass, ObjectName};
use crate::words::names::QualifiedName;

impl Chooser<'_> {
    /// A partition that has no definition of its own is made with its table.
    pub(super) fn need_roots(&mut self, inventory: &Inventory, choice: &Choice) {
        for &at in &choice.tables {
            let name = &inventory.tables[at].name;
            if !self.objects.relations.contains_key(name) && !self.has_table(name) {
                let root = &inventory.tables[inventory.root(at)].name;
                self.need(relation(root));
            }
        }
    }

    pub(super) fn need(&mut self, object: ObjectName) {
        if self.asked.contains(&object) || !self.objects.all.contains(&object) || self.is_present(&object) {
            return;
        }
        if object.class == ObjectClass::Relation {
            let table = name_of(&object);
            let parts = self.objects.parts.iter().filter(|(_, owner)| **owner == table);
            let parts: Vec<ObjectName> = parts.map(|(part, _)| relation(part)).collect();
            self.needed.extend(parts);
        }
        self.needed.insert(object);
    }

    pub(super) fn need_names_of(&mut self, script: &Script, entry: &Entry) {
        use ObjectClass as Class;
        // Their functions are named without a call.
        let names_functions = matches!(
            entry.kind,
            EntryKind::Type
                | EntryKind::Aggregate
                | EntryKind::Operator
                | EntryKind::OperatorClass
                | EntryKind::ProceduralLanguage
                | EntryKind::Conversion
        );
        let reads_relations = matches!(entry.kind, EntryKind::View | EntryKind::MaterializedView);
        if entry.kind == EntryKind::Acl {
            return;
        }
        for mention in mentions(script, entry) {
            if mention.role == Role::Language {
                self.need(ObjectName::new(Class::Language, "", &mention.name));
                continue;
            }
            let Some(schema) = &mention.schema else { continue };
            let name = QualifiedName::new(schema, &mention.name);
            let is_sequence = self.objects.sequences.contains(&name);
            match mention.role {
                Role::Literal if is_sequence => self.need(relation(&name)),
                Role::Parent => self.need(relation(&name)),
                Role::Call | Role::Other => {
                    if mention.role == Role::Call || names_functions {
                        for routine in self.objects.routines.get(&name).cloned().unwrap_or_default() {
                            self.need(routine);
                        }
                    }
                    if reads_relations && mention.qualified && self.objects.relations.contains_key(&name) {
                        self.need(relation(&name));
                    }
                    for class in [
                        Class::Type,
                        Class::Collation,
                        Class::OperatorClass,
                        Class::OperatorFamily,
                        Class::TextSearchConfiguration,
                        Class::TextSearchDictionary,
                        Class::TextSearchParser,
                        Class::TextSearchTemplate,
                    ] {
                        self.need(ObjectName::new(class, schema, &mention.name));
                    }
                }
                _ => {}
            }
        }
    }
}
