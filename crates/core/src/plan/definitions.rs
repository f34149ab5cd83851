//! Which definitions a filtered dump holds: what its tables need to be restored into an empty database.
//!
//! The catalog says what depends on what. Two directions are walked:
//!
//! * **needs**: a table needs its schema, the types of its columns, the functions of its defaults and triggers, the
//!   sequences it draws from, the table it inherits from. And its parts come with it: indexes, constraints, triggers, rules,
//!   owned sequences; a partitioned table is whole, whichever of its partitions have their rows in the dump.
//! * **what hangs on it**: a view hangs on the tables it reads. When a table is excluded, so is what hangs on it, except
//!   where a table that stays needs it: then its definition stays, without rows.
//!
//! A foreign key is in when the table it refers to is there with all its rows, and left out otherwise.
//! What stands in the text of a function is not known to the catalog, and so not to this.

mod graph;

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::plan::filter::{Scope, Selection};
use crate::words::catalog_facts::{CatalogFacts, ObjectId};
use crate::words::definitions::{DefinitionFilter, ObjectClass, ObjectName};
use crate::words::ids::Oid;
use crate::words::relation::{NamedRelation, RelationKind};

use graph::{Graph, Reached};

/// What is kept, and what a person should know about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Definitions {
    pub filter: DefinitionFilter,
    /// Whole sentences, in order.
    pub notes: Vec<String>,
}

/// Chooses the definitions for a selection. `None` when nothing is to be cut out.
pub fn choose(selection: &Selection, facts: &CatalogFacts) -> Option<Definitions> {
    if selection.scope == Scope::Everything {
        return None;
    }
    let graph = Graph::new(facts);
    let chooser = Chooser {
        selection,
        facts,
        graph: &graph,
        by_oid: facts
            .relations
            .iter()
            .map(|relation| (relation.oid, relation))
            .collect(),
        names: facts.objects.iter().map(|(id, name)| (*id, name)).collect(),
    };
    Some(chooser.choose())
}

struct Chooser<'a> {
    selection: &'a Selection,
    facts: &'a CatalogFacts,
    graph: &'a Graph,
    by_oid: HashMap<Oid, &'a NamedRelation>,
    names: HashMap<ObjectId, &'a ObjectName>,
}

impl Chooser<'_> {
    fn choose(&self) -> Definitions {
        let mut notes = Vec::new();
        let kept = match &self.selection.scope {
            Scope::Everything => unreachable!("nothing is cut out of a dump of everything"),
            Scope::Tables(_) => self.needed_by(self.selected_tables(), &mut notes),
            Scope::Schemas(schemas) => {
                let wanted: HashSet<&str> = schemas.iter().map(String::as_str).collect();
                let seeds = self.objects_in(&wanted).chain(self.selected_tables());
                self.needed_by(seeds, &mut notes)
            }
            Scope::AllButTables(tables) => {
                let excluded = tables.iter().filter(|oid| !self.is_partition(**oid));
                let excluded = excluded.map(|oid| self.graph.relation(*oid)).collect();
                self.all_but(excluded, &HashSet::new(), &mut notes)
            }
            Scope::AllButSchemas(schemas) => {
                let out: HashSet<&str> = schemas.iter().map(String::as_str).collect();
                let excluded = self.objects_in(&out).collect();
                self.all_but(excluded, &out, &mut notes)
            }
        };
        let mut filter = self.filter(&kept);
        self.foreign_keys(&kept, &mut filter, &mut notes);
        Definitions { filter, notes }
    }

    fn selected_tables(&self) -> impl Iterator<Item = ObjectId> {
        let tables = self.selection.tables.iter().flatten();
        tables.map(|(oid, _)| self.graph.relation(*oid))
    }

    fn objects_in<'a>(&'a self, schemas: &'a HashSet<&str>) -> impl Iterator<Item = ObjectId> + 'a {
        let is_in = |name: &ObjectName| match name.class {
            ObjectClass::Schema => schemas.contains(name.name.as_str()),
            _ => !name.schema.is_empty() && schemas.contains(name.schema.as_str()),
        };
        let objects = self.facts.objects.iter().filter(move |(_, name)| is_in(name));
        objects.map(|(id, _)| *id)
    }

    fn is_partition(&self, table: Oid) -> bool {
        self.by_oid
            .get(&table)
            .is_some_and(|relation| relation.parent.is_some())
    }

    /// Seeds and all they need; overloads of an operator, which a dump cannot tell apart, stay together.
    fn needed_by(&self, seeds: impl Iterator<Item = ObjectId>, notes: &mut Vec<String>) -> HashSet<ObjectId> {
        let mut reached = self.graph.needs(seeds);
        self.add_namesakes(&mut reached);
        self.note_pulled_in(&reached, notes);
        let mut kept = reached.into_set();
        self.add_satellites(&mut kept);
        kept
    }

    fn all_but(&self, excluded: HashSet<ObjectId>, out: &HashSet<&str>, notes: &mut Vec<String>) -> HashSet<ObjectId> {
        let required = self.graph.needs(self.selected_tables());
        let removed = self.graph.hanging_on(&excluded, &required);
        self.note_pulled_in(&required, notes);
        self.note_removed(&removed, &excluded, out, notes);
        let objects = self.facts.objects.iter().map(|(id, _)| *id);
        let mut kept = self.graph.needs(objects.filter(|id| !removed.contains(*id)));
        self.add_namesakes(&mut kept);
        kept.into_set()
    }

    fn add_namesakes(&self, reached: &mut Reached) {
        let mut groups: HashMap<&ObjectName, Vec<ObjectId>> = HashMap::new();
        for (id, name) in &self.facts.objects {
            if matches!(
                name.class,
                ObjectClass::Operator | ObjectClass::OperatorClass | ObjectClass::OperatorFamily
            ) {
                groups.entry(name).or_default().push(*id);
            }
        }
        groups.retain(|_, ids| ids.len() > 1);
        loop {
            let split = groups.values().filter(|ids| ids.iter().any(|id| reached.contains(*id)));
            let missing: Vec<ObjectId> = split.flatten().filter(|id| !reached.contains(**id)).copied().collect();
            if missing.is_empty() {
                return;
            }
            self.graph.add_needs(reached, missing.into_iter());
        }
    }

    /// Casts and transforms: nothing depends on them, and they are of use as soon as their types are there.
    fn add_satellites(&self, kept: &mut HashSet<ObjectId>) {
        for (id, name) in &self.facts.objects {
            if matches!(name.class, ObjectClass::Cast | ObjectClass::Transform) {
                let mut needs = self.graph.needs_of(*id).peekable();
                if needs.peek().is_some() && needs.all(|need| kept.contains(&need)) {
                    kept.insert(*id);
                }
            }
        }
    }

    fn filter(&self, kept: &HashSet<ObjectId>) -> DefinitionFilter {
        let (excludes, whole) = match &self.selection.scope {
            Scope::Schemas(schemas) => (false, schemas.iter().cloned().collect()),
            Scope::AllButTables(_) | Scope::AllButSchemas(_) => (true, HashSet::new()),
            _ => (false, HashSet::new()),
        };
        let mut objects: HashMap<ObjectName, bool> = HashMap::with_capacity(self.facts.objects.len());
        let mut schemas: HashSet<&str> = HashSet::new();
        let mut has_routine = false;
        for (id, name) in &self.facts.objects {
            let is_kept = kept.contains(id);
            *objects.entry(name.clone()).or_default() |= is_kept;
            if is_kept {
                schemas.insert(&name.schema);
                has_routine |= name.class == ObjectClass::Routine;
            }
        }
        for schema in schemas.into_iter().filter(|schema| !schema.is_empty()) {
            objects.insert(ObjectName::new(ObjectClass::Schema, "", schema), true);
        }
        for (sequence, table) in self.graph.owned_sequences() {
            if let Some(name) = self.names.get(&sequence) {
                let name = ObjectName::new(ObjectClass::SequenceOwner, &name.schema, &name.name);
                objects.insert(name, kept.contains(&sequence) && kept.contains(&table));
            }
        }
        let partitions = self
            .facts
            .relations
            .iter()
            .filter(|relation| relation.parent.is_some())
            .map(|relation| (relation.oid, kept.contains(&self.graph.relation(relation.oid))));
        DefinitionFilter {
            objects,
            partitions: partitions.collect(),
            others: excludes,
            // As the original has them in every dump of a schema.
            languages: excludes || !whole.is_empty() || has_routine,
            whole_schemas: whole,
        }
    }

    /// Tables whose rows are all in the dump, partitions included.
    fn is_complete(&self, table: Oid) -> bool {
        let mut open = vec![self.graph.relation(table)];
        let mut seen = HashSet::new();
        while let Some(part) = open.pop() {
            if !self.selection.has(part.oid) {
                return false;
            }
            if seen.insert(part) {
                open.extend(self.graph.partitions_of(part));
            }
        }
        true
    }

    fn foreign_keys(&self, kept: &HashSet<ObjectId>, filter: &mut DefinitionFilter, notes: &mut Vec<String>) {
        let mut complete: HashMap<Oid, bool> = HashMap::new();
        for key in &self.facts.foreign_keys {
            let Some(table) = self.by_oid.get(&key.table) else {
                continue;
            };
            let target = *complete
                .entry(key.references)
                .or_insert_with(|| self.is_complete(key.references));
            let table_is_in = kept.contains(&self.graph.relation(key.table));
            let name = ObjectName::new(
                ObjectClass::ForeignKey,
                &table.name.schema,
                format!("{} {}", table.name.name, key.name),
            );
            filter.objects.insert(name, table_is_in && target);
            if self.selection.has(key.table) && !target && table.parent.is_none() {
                let references = self.by_oid.get(&key.references);
                let references = references.map_or_else(|| key.references.to_string(), |r| r.name.to_string());
                notes.push(format!(
                    "Foreign key {} of table {} is left out: it refers to table {references}, whose rows are not all in \
                     this dump",
                    key.name, table.name
                ));
            }
        }
    }

    /// Tables that are in as definitions only.
    fn note_pulled_in(&self, reached: &Reached, notes: &mut Vec<String>) {
        let mut pulled: BTreeMap<String, String> = BTreeMap::new();
        for relation in &self.facts.relations {
            let id = self.graph.relation(relation.oid);
            let is_part = relation.parent.is_some();
            if relation.kind != RelationKind::Table
                || is_part
                || self.selection.has(relation.oid)
                || !reached.contains(id)
            {
                continue;
            }
            let needer = reached.way_to(id).find_map(|id| self.described(id));
            let needer = needer.unwrap_or_else(|| "an object of the dump".to_owned());
            pulled.insert(relation.name.to_string(), needer);
        }
        notes.extend(pulled.into_iter().map(|(table, needer)| {
            format!("Table {table} is in this dump without its rows, because {needer} needs it")
        }));
    }

    fn note_removed(
        &self,
        removed: &Reached,
        excluded: &HashSet<ObjectId>,
        out: &HashSet<&str>,
        notes: &mut Vec<String>,
    ) {
        let mut gone: BTreeMap<String, String> = BTreeMap::new();
        for (id, name) in &self.facts.objects {
            let is_told = removed.contains(*id)
                && !excluded.contains(id)
                && !out.contains(name.schema.as_str())
                && !self.graph.is_part(*id);
            if is_told && let Some(what) = self.described(*id) {
                let why = removed.way_to(*id).find_map(|id| self.described(id));
                gone.insert(what, why.unwrap_or_else(|| "what is excluded".to_owned()));
            }
        }
        notes.extend(gone.into_iter().map(|(what, why)| {
            let mut what = what;
            what[..1].make_ascii_uppercase();
            format!("{what} is left out, because it needs {why}")
        }));
    }

    /// `view a.b`; `None` for what has no name of its own.
    fn described(&self, id: ObjectId) -> Option<String> {
        let name = self.names.get(&id)?;
        let kind = match name.class {
            ObjectClass::Relation => match self.by_oid.get(&id.oid)?.kind {
                RelationKind::Table => "table",
                RelationKind::View => "view",
                RelationKind::MaterializedView => "materialized view",
                RelationKind::Sequence => "sequence",
            },
            ObjectClass::Type => "type",
            ObjectClass::Routine => "function",
            ObjectClass::Operator => "operator",
            ObjectClass::OperatorClass => "operator class",
            ObjectClass::Extension => "extension",
            ObjectClass::Schema => "schema",
            ObjectClass::Server => "server",
            ObjectClass::Cast | ObjectClass::Transform => "",
            ObjectClass::EventTrigger => "event trigger",
            _ => "object",
        };
        let dot = if name.schema.is_empty() { "" } else { "." };
        Some(
            format!("{kind} {}{dot}{}", name.schema, name.name)
                .trim_start()
                .to_owned(),
        )
    }
}

#[cfg(test)]
mod tests;
