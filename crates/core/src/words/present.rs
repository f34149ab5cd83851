//! What a database has already, as far as a restore of some tables must know.

use std::collections::{HashMap, HashSet};

use super::names::QualifiedName;

/// A relation that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PresentRelation {
    pub is_table: bool,
    /// Its rows lie outside of the database.
    pub external: bool,
    /// It is divided into partitions.
    pub partitioned: bool,
}

/// A foreign key that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresentKey {
    pub name: String,
    pub from: QualifiedName,
    pub to: QualifiedName,
}

/// Objects of the user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Present {
    pub schemas: HashSet<String>,
    pub relations: HashMap<QualifiedName, PresentRelation>,
    /// Row types among them.
    pub types: HashSet<QualifiedName>,
    /// By name, with the number of arguments.
    pub routines: HashSet<(QualifiedName, usize)>,
    pub languages: HashSet<String>,
    pub extensions: HashSet<String>,
    /// Constraints, triggers and rules by table and name.
    pub attachments: HashSet<(QualifiedName, String)>,
    pub foreign_keys: Vec<PresentKey>,
    /// The values of sequences that were asked for.
    pub sequence_values: HashMap<QualifiedName, i64>,
}

impl Present {
    pub fn has_table(&self, name: &QualifiedName) -> bool {
        self.relations.get(name).is_some_and(|relation| relation.is_table)
    }
}
