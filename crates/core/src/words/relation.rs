//! Tables as the catalog of the master shows them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::dialect::HashFamily;
use super::ids::Oid;
use super::names::QualifiedName;

/// How the rows of a table are stored, and so whether and how they are dumped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StorageKind {
    Heap,
    /// Append-optimized, by row.
    AoRow,
    /// Append-optimized, by column.
    AoColumn,
}

/// How a table's rows are spread over the segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Distribution {
    /// By a hash of columns: a row belongs to one segment and no other.
    Hashed,
    /// Anywhere.
    Random,
    /// Every segment has all rows.
    Replicated,
    /// One server has all rows (plain PostgreSQL), or the catalog does not say.
    Single,
}

/// A table that holds rows of its own: what a data file has one COPY block for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relation {
    pub oid: Oid,
    pub name: QualifiedName,
    pub owner: String,
    pub storage: StorageKind,
    pub distribution: Distribution,
    /// Its rows lie by the hash functions of Greenplum up to 5, on a server that has newer ones.
    #[serde(default)]
    pub legacy_hash: bool,
    /// The columns of its key (`db::distribution::read_keys`); empty where it is not hashed.
    #[serde(default)]
    pub distributed_by: Vec<String>,
    /// Live columns in attribute order, real names; generated columns are left out.
    pub columns: Vec<String>,
    /// The root of the partition hierarchy that this table is a leaf or intermediate level of.
    pub root: Option<Oid>,
    /// `WHERE ...`: set for an extension's configuration table, of which only the user's own rows are dumped.
    pub condition: Option<String>,
    /// What INSERT statements of its rows look like.
    pub insert: InsertShape,
    /// Its rows have object ids (servers before PostgreSQL 12).
    pub has_oids: bool,
    /// Planner's estimate of the whole table in bytes on all segments; for progress and disk space, never for truth.
    pub estimated_bytes: u64,
}

/// What must be known of a table to write its rows as INSERT statements.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InsertShape {
    /// For each column that is dumped.
    pub values: Vec<ValueKind>,
    /// There are generated columns too, which no statement may give a value: the others must be named.
    pub must_name_columns: bool,
    /// An identity column takes no other value than its own without `OVERRIDING SYSTEM VALUE`.
    pub overrides_identity: bool,
}

/// How a value is written in an INSERT statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ValueKind {
    /// Bare, unless it is a word such as NaN.
    #[serde(rename = "n")]
    Number,
    /// `B'101'`
    #[serde(rename = "b")]
    Bits,
    /// `true`, `false`
    #[serde(rename = "o")]
    Boolean,
    /// A literal.
    #[serde(rename = "t")]
    Text,
}

/// A sequence and its state at the cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceState {
    pub name: QualifiedName,
    pub owner: String,
    pub last_value: i64,
    pub is_called: bool,
}

/// What the segment of a hashed table's row depends on beside the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// Nothing: numbers, times and the like, and tables that are not hashed.
    Values,
    /// The encoding of the database: the bytes of texts are hashed as they are stored there.
    Texts,
    /// Numbers that each database gives its objects: an enum's value is hashed by the object id of its label, a `regclass` by
    /// that of the table. Types that somebody made count as such: nothing is known of their hash.
    ObjectIds,
}

/// A table of the target database, after the set's own definitions were applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetTable {
    pub name: QualifiedName,
    /// The root of its partition hierarchy.
    pub root: Option<QualifiedName>,
    pub distribution: Distribution,
    /// Of this table: Greenplum 6 and later can have both kinds.
    pub hash_family: HashFamily,
    /// Of the columns that it is hashed by.
    pub key: KeyKind,
    /// These columns (`db::distribution::read_keys`), as far as somebody needs to know; else empty.
    pub distributed_by: Vec<String>,
    /// Segments that it is spread over; `None` when the catalog does not say: all.
    pub segments: Option<usize>,
    /// It has children, and the server may refuse to load such a table on a segment alone.
    pub maybe_only_through_master: bool,
}

impl TargetTable {
    /// It is one of these tables, or a partition of one.
    pub fn is_among(&self, tables: &BTreeSet<QualifiedName>) -> bool {
        tables.contains(&self.name) || self.root.as_ref().is_some_and(|root| tables.contains(root))
    }
}

/// What a relation is, as far as a filter can tell relations apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RelationKind {
    /// Partitioned, external and foreign ones among them.
    Table,
    View,
    MaterializedView,
    Sequence,
}

impl RelationKind {
    /// For messages: `a view`.
    pub fn words(self) -> &'static str {
        match self {
            RelationKind::Table => "a table",
            RelationKind::View => "a view",
            RelationKind::MaterializedView => "a materialized view",
            RelationKind::Sequence => "a sequence",
        }
    }
}

/// A relation that a filter may name, with or without rows of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedRelation {
    pub oid: Oid,
    pub name: QualifiedName,
    pub kind: RelationKind,
    /// The table that this one is a partition of, one level up.
    pub parent: Option<Oid>,
}
