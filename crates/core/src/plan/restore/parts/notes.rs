//! The sentences about what is run and what is not.

use super::objects::Objects;
use super::{Chooser, name_of};
use crate::format::ddl_split::choose::host_of;
use crate::format::toc::EntryKind;
use crate::plan::restore::choice::Choice;
use crate::plan::restore::inventory::Inventory;
use crate::words::definitions::{ObjectClass, ObjectName};
use crate::words::names::QualifiedName;

impl Chooser<'_> {
    pub(super) fn note_existing(&mut self, inventory: &Inventory, choice: &Choice) {
        let heads: Vec<&QualifiedName> = choice.heads(inventory).collect();
        for name in heads {
            if self.has_table(name) {
                let here = self.here(name);
                self.notes.push(match self.into.truncates {
                    true => format!("Table {here} exists: its definition stays as it is, its rows are replaced"),
                    false => format!(
                        "Table {here} exists: its definition stays as it is, and the rows of the set are added to those it has"
                    ),
                });
            }
        }
    }

    pub(super) fn note_needed(&mut self) {
        for object in &self.needed {
            if self.objects.parts.contains_key(&name_of(object)) && object.class == ObjectClass::Relation {
                continue;
            }
            // A new database has its languages from its template.
            if object.class == ObjectClass::Language && self.into.fresh {
                continue;
            }
            let without = match self.objects.relations.get(&name_of(object)) {
                Some(EntryKind::Table) if object.class == ObjectClass::Relation => ", without rows",
                _ => "",
            };
            self.notes.push(format!(
                "{} is created{without}: it is needed by what is restored, and the database has none",
                words(object, &self.objects)
            ));
        }
    }

    pub(super) fn note_keys(&mut self, kept: &[bool]) {
        let post = self.files.post_data;
        for (entry, kept) in post.entries().iter().zip(kept) {
            if *kept || entry.kind != EntryKind::FkConstraint {
                continue;
            }
            let Some(host) = host_of(post, entry) else { continue };
            let ours = self.asked.contains(&host.object) || self.needed.contains(&host.object);
            if let Some(target) = self.missing_key_target(post, entry).filter(|_| ours) {
                let key = host.added_constraint.as_deref().unwrap_or(&entry.name);
                self.notes.push(format!(
                    "Foreign key {key} of {} is left out: table {target}, which it refers to, is not in the database",
                    name_of(&host.object)
                ));
            }
        }
    }
}

/// `Function public.f(integer)`
fn words(object: &ObjectName, objects: &Objects) -> String {
    let kind = match object.class {
        ObjectClass::Relation => match objects.relations.get(&name_of(object)) {
            Some(EntryKind::Sequence) => "Sequence",
            Some(EntryKind::View | EntryKind::MaterializedView) => "View",
            _ => "Table",
        },
        ObjectClass::Type => "Type",
        ObjectClass::Routine => "Function",
        ObjectClass::Language => "Language",
        ObjectClass::Schema => "Schema",
        ObjectClass::Collation => "Collation",
        ObjectClass::OperatorClass => "Operator class",
        ObjectClass::OperatorFamily => "Operator family",
        _ => "Object",
    };
    match object.schema.is_empty() {
        true => format!("{kind} {}", object.name),
        false => format!("{kind} {}.{}", object.schema, object.name),
    }
}
