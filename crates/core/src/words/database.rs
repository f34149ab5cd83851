//! A database as the server lists it.

/// One row of `pg_database`, as far as choosing needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseEntry {
    pub name: String,
    pub is_template: bool,
    pub allows_connections: bool,
}
