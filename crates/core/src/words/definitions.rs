//! Which definitions of a database are in a dump: the answer that a plan gives and that the DDL is cut by.

use std::collections::{HashMap, HashSet};

use super::ids::Oid;

/// Kinds of objects that are told apart by name; one per kind of name in a schema or database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectClass {
    /// Tables, views, sequences and indexes: they share one space of names.
    Relation,
    /// Domains among them.
    Type,
    /// Functions, procedures, aggregates; the name is the signature `name(type, type)`.
    Routine,
    Operator,
    OperatorClass,
    OperatorFamily,
    Conversion,
    Collation,
    TextSearchConfiguration,
    TextSearchDictionary,
    TextSearchParser,
    TextSearchTemplate,
    /// `CAST (a AS b)`.
    Cast,
    /// `TRANSFORM FOR a LANGUAGE b`.
    Transform,
    Language,
    Extension,
    Schema,
    Server,
    ForeignDataWrapper,
    Protocol,
    AccessMethod,
    Statistics,
    EventTrigger,
    Publication,
    /// A foreign key; the name is `table constraint`.
    ForeignKey,
    /// That a sequence goes with a column; the name is the sequence's.
    SequenceOwner,
}

/// A name as the server holds it. `schema` is empty for what lies in no schema.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    pub class: ObjectClass,
    pub schema: String,
    pub name: String,
}

impl ObjectName {
    pub fn new(class: ObjectClass, schema: impl Into<String>, name: impl Into<String>) -> Self {
        ObjectName {
            class,
            schema: schema.into(),
            name: name.into(),
        }
    }
}

/// What is kept of a database's definitions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DefinitionFilter {
    /// Every object of the user, and whether it is kept.
    pub objects: HashMap<ObjectName, bool>,
    /// Partitions by object id: Greenplum 6 names external ones by it.
    pub partitions: HashMap<Oid, bool>,
    /// For objects that the catalog was not asked about.
    pub others: bool,
    /// Procedural languages that came with the server.
    pub languages: bool,
    /// Schemas that are in with all they hold, default privileges among it.
    pub whole_schemas: HashSet<String>,
}

impl DefinitionFilter {
    pub fn keeps(&self, class: ObjectClass, schema: &str, name: &str) -> bool {
        let known = self.objects.get(&ObjectName::new(class, schema, name));
        known.copied().unwrap_or(match class {
            ObjectClass::Language => self.languages,
            _ => self.others,
        })
    }

    /// As [`keeps`](Self::keeps), but `None` for a name that the catalog does not have.
    pub fn known(&self, class: ObjectClass, schema: &str, name: &str) -> Option<bool> {
        self.objects.get(&ObjectName::new(class, schema, name)).copied()
    }
}
