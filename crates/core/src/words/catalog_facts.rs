//! What a catalog says about the objects of a database: their names, and what depends on what.

use std::collections::HashMap;

use super::definitions::ObjectName;
use super::ids::Oid;
use super::relation::NamedRelation;

/// An object: the catalog table that its row is in, and the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId {
    pub catalog: Oid,
    pub oid: Oid,
}

/// One row of `pg_depend`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dependency {
    pub object: ObjectId,
    pub on: ObjectId,
    /// `deptype`.
    pub kind: u8,
}

/// A foreign key of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKey {
    pub constraint: Oid,
    pub name: String,
    pub table: Oid,
    pub references: Oid,
}

/// What the catalog says about a database's objects, at one moment.
#[derive(Debug, Clone, Default)]
pub struct CatalogFacts {
    /// Names of the catalog tables that dependencies speak of (`pg_class`), by oid.
    pub catalogs: HashMap<Oid, String>,
    /// Objects that a dump may have an entry for.
    pub objects: Vec<(ObjectId, ObjectName)>,
    pub dependencies: Vec<Dependency>,
    pub foreign_keys: Vec<ForeignKey>,
    pub relations: Vec<NamedRelation>,
}
