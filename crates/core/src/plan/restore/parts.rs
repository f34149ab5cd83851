//! Which definitions of a set are run when only some of its tables are asked for.
//!
//! A table comes back whole: with its indexes, constraints, triggers, rules, defaults, its own sequences and their values,
//! comments and grants. What its definitions name and the database lacks comes with it; what the database has stays as it
//! is, whatever the set says of it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::choice::Choice;
use super::inventory::Inventory;
use super::mentions::{Role, mentions};
use crate::format::ddl_split::choose::{host_of, kept, object_of, real};
use crate::format::sql_script::tokens::Tokens;
use crate::format::sql_script::{Item, Script};
use crate::format::toc::{Entry, EntryKind};
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

/// Everything that the files define.
#[derive(Default)]
struct Objects {
    all: BTreeSet<ObjectName>,
    /// Tables, sequences, views by name, and whether it is a sequence.
    relations: HashMap<QualifiedName, EntryKind>,
    routines: HashMap<QualifiedName, Vec<ObjectName>>,
    /// Sequences and indexes, and the table that they belong to.
    parts: BTreeMap<QualifiedName, QualifiedName>,
    sequences: HashSet<QualifiedName>,
    /// Extended statistics by their table.
    statistics: Vec<(QualifiedName, ObjectName)>,
}

impl Objects {
    fn read(files: Files<'_>) -> Objects {
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
    fn asked(&self, inventory: &Inventory, choice: &Choice) -> BTreeSet<ObjectName> {
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

    /// A partition that has no definition of its own is made with its table.
    fn need_roots(&mut self, inventory: &Inventory, choice: &Choice) {
        for &at in &choice.tables {
            let name = &inventory.tables[at].name;
            if !self.objects.relations.contains_key(name) && !self.has_table(name) {
                let root = &inventory.tables[inventory.root(at)].name;
                self.need(relation(root));
            }
        }
    }

    fn need(&mut self, object: ObjectName) {
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

    fn need_names_of(&mut self, script: &Script, entry: &Entry) {
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

    fn is_table(&self, object: &ObjectName) -> bool {
        let kind = self.objects.relations.get(&name_of(object));
        kind.is_none_or(|kind| *kind != EntryKind::Sequence) && !self.objects.parts.contains_key(&name_of(object))
    }

    /// The schema that an object is in, here.
    fn place<'s>(&'s self, object: &'s ObjectName) -> &'s str {
        match self.into.schema {
            Some(schema) if object.class == ObjectClass::Relation && self.asked.contains(object) => schema,
            _ => &object.schema,
        }
    }

    fn here(&self, name: &QualifiedName) -> QualifiedName {
        let object = relation(name);
        QualifiedName::new(self.place(&object), &name.name)
    }

    fn has_table(&self, name: &QualifiedName) -> bool {
        self.into.present.has_table(&self.here(name))
    }

    fn is_present(&self, object: &ObjectName) -> bool {
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
    fn is_attached(&self, script: &Script, entry: &Entry) -> bool {
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
    fn missing_key_target(&self, script: &Script, entry: &Entry) -> Option<QualifiedName> {
        let Some(Item::Statement { text, .. }) = script.items_of(entry).next() else {
            return None;
        };
        let mut tokens = Tokens::of(text);
        if !tokens.skip_past("references") {
            return None;
        }
        let (schema, name) = real(entry, tokens.name()?);
        let target = QualifiedName::new(schema, name);
        let object = relation(&target);
        let is_here = self.asked.contains(&object)
            || self.needed.contains(&object)
            || self.into.present.relations.contains_key(&target);
        (!is_here).then_some(target)
    }

    /// `ALTER INDEX s.whole ATTACH PARTITION s.part`
    fn has_parent_index(&self, script: &Script, entry: &Entry) -> bool {
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
    fn sets_present_sequence(&self, script: &Script, entry: &Entry) -> bool {
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

    fn missing_schemas(&self, pre_data: &[bool], post_data: &[bool]) -> Vec<String> {
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

    fn moved(&self, inventory: &Inventory, choice: &Choice) -> BTreeSet<QualifiedName> {
        if self.into.schema.is_none() {
            return BTreeSet::new();
        }
        let relations = self.asked.iter().filter(|o| o.class == ObjectClass::Relation);
        let partitions = choice.tables.iter().map(|at| inventory.tables[*at].name.clone());
        relations.map(name_of).chain(partitions).collect()
    }

    fn note_existing(&mut self, inventory: &Inventory, choice: &Choice) {
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

    fn note_needed(&mut self) {
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

    fn note_keys(&mut self, kept: &[bool]) {
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

fn relation(name: &QualifiedName) -> ObjectName {
    ObjectName::new(ObjectClass::Relation, &name.schema, &name.name)
}

fn name_of(object: &ObjectName) -> QualifiedName {
    QualifiedName::new(&object.schema, &object.name)
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

/// `f(integer, numeric(1,2))` as name and number of arguments.
fn bare_routine(signature: &str) -> (&str, usize) {
    let Some((name, rest)) = signature.split_once('(') else {
        return (signature, 0);
    };
    let arguments = rest.strip_suffix(')').unwrap_or(rest);
    if arguments.is_empty() || arguments == "*" {
        return (name, 0);
    }
    let mut depth = 0usize;
    let commas = arguments.chars().filter(|c| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        *c == ',' && depth == 0
    });
    (name, commas.count() + 1)
}

/// `ALTER SEQUENCE s OWNED BY [schema.]table.column`
fn owner_of_sequence(script: &Script, entry: &Entry) -> Option<QualifiedName> {
    let Some(Item::Statement { text, .. }) = script.items_of(entry).next() else {
        return None;
    };
    let mut tokens = Tokens::of(text);
    let found = tokens.skip_past("owned") && tokens.eat("by");
    let mut names = Vec::new();
    for token in tokens.filter(|_| found) {
        if token.is_name() {
            names.push(token.text);
        } else if !token.is_sign(b'.') {
            break;
        }
    }
    let name = match names[..] {
        [table, _] => crate::format::sql_script::tokens::Name {
            schema: None,
            name: table,
        },
        [schema, table, _] => crate::format::sql_script::tokens::Name {
            schema: Some(schema),
            name: table,
        },
        _ => return None,
    };
    let (schema, table) = real(entry, name);
    Some(QualifiedName::new(schema, table))
}

/// `CREATE STATISTICS x (dependencies) ON a, b FROM s.t`
fn table_of_statistics(script: &Script, entry: &Entry) -> Option<QualifiedName> {
    let Some(Item::Statement { text, .. }) = script.items_of(entry).next() else {
        return None;
    };
    let mut tokens = Tokens::of(text);
    if !tokens.skip_past("from") {
        return None;
    }
    let (schema, name) = real(entry, tokens.name()?);
    Some(QualifiedName::new(schema, name))
}

/// The number in `SELECT pg_catalog.setval('s', 7, true)`.
fn sequence_value(script: &Script, entry: &Entry) -> Option<i64> {
    let Some(Item::Statement { text, .. }) = script.items_of(entry).next() else {
        return None;
    };
    let text = String::from_utf8_lossy(text);
    let (rest, _) = text.rsplit_once(',')?;
    rest.rsplit_once(',')?.1.trim().parse().ok()
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
