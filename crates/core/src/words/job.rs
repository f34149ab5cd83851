//! What one host is asked to do and what it answers: shared by planning, the worker and those who drive it.

use serde::{Deserialize, Serialize};

use super::cluster::Instance;
use super::dialect::Dialect;
use super::ids::ContentId;
use super::layout::{InstanceId, SetNames};
use super::names::QualifiedName;
use super::place::Place;
use super::relation::InsertShape;

/// Where and as whom to connect. Never holds a password: each process finds its own in the environment or `~/.pgpass`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginAs {
    pub user: String,
    pub database: String,
}

/// One segment of a dump: which server, and the directory its files go to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentTarget {
    pub instance: Instance,
    /// How the file names call it; differs from `instance` only for a promoted standby.
    pub id: InstanceId,
    /// `<root>/db_dumps/<YYYYMMDD>`.
    pub directory: Place,
}

/// A table to be dumped, as short as it can be: a host gets one list for all its segments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableJob {
    pub name: QualifiedName,
    pub owner: String,
    pub columns: Vec<String>,
    /// `WHERE ...`: the rows of an extension's configuration table that are the user's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    #[serde(default, skip_serializing_if = "RowForm::is_copy")]
    pub form: RowForm,
    /// When the "segments" are connections to the master: the one that copies this table. The files of the others hold an
    /// empty block, so that every file of every set has the same tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<ContentId>,
}

/// How the rows of a table stand in a data file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RowForm {
    #[default]
    Copy,
    /// Each row begins with its object id.
    CopyWithOids,
    /// A statement for each row.
    Inserts { shape: InsertShape, list_columns: bool },
}

impl RowForm {
    fn is_copy(&self) -> bool {
        *self == RowForm::Copy
    }
}

/// All that one host does for a dump.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DumpHostJob {
    pub dialect: Dialect,
    pub login: LoginAs,
    pub names: SetNames,
    pub segments: Vec<SegmentTarget>,
    /// In the order in which they are dumped: by schema and name.
    pub tables: Vec<TableJob>,
    /// Encoding of the database as the server calls it (`UTF8`, `GBK`, `SQL_ASCII`): data files are written in it.
    pub encoding: String,
}

/// Rows and bytes of one table, summed over whatever the context says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableTotals {
    pub rows: u64,
    /// Bytes of row text, without the frame around it.
    pub bytes: u64,
}

/// A finished file: what the manifest says of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStamp {
    pub name: String,
    pub size: u64,
    /// Lower-case hex.
    pub sha256: String,
}

/// How the rows of one table in a data file are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoadRoute {
    /// Into the segment of the same content, in utility mode.
    Direct,
    /// The same, and into the master when the server does not do that with this table: Greenplum 6 copies into no parent
    /// of an inheritance hierarchy in utility mode.
    DirectOrMaster,
    /// Into the master, which distributes the rows.
    ThroughMaster,
    /// Into the master, and from one file of the set only: every file holds all rows.
    OnceThroughMaster,
    /// Not at all: not asked for.
    Skip,
}
