//! What a restore will do: where its files lie, which server the rows of each table go to, what the session says.
//!
//! The input types are owned here; `gather` fills them.

pub mod places;
pub mod routes;

use std::path::PathBuf;

use crate::format::manifest::Manifest;
use crate::format::report::BackupType;
use crate::words::cluster::HostName;
use crate::words::dialect::HashFamily;
use crate::words::ids::{ContentId, DbId};
use crate::words::layout::SetNames;

/// A set that was found on the master.
#[derive(Debug, Clone)]
pub struct DumpSet {
    pub names: SetNames,
    pub database: String,
    pub backup_type: BackupType,
    /// `<root>/db_dumps/<date>` on the master.
    pub directory: PathBuf,
    /// Ours have one, the originals' do not.
    pub manifest: Option<Manifest>,
    /// One for each segment that was dumped, by content.
    pub segments: Vec<SetSegment>,
}

/// The data file of one segment, as the report or the manifest tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetSegment {
    pub content: ContentId,
    pub dbid: DbId,
    /// Where it was written.
    pub host: HostName,
    pub directory: PathBuf,
    pub name: String,
    /// From the manifest.
    pub size: Option<u64>,
    pub sha256: Option<String>,
}

impl DumpSet {
    /// The contents that were dumped, ascending.
    pub fn contents(&self) -> Vec<ContentId> {
        self.segments.iter().map(|s| s.content).collect()
    }

    /// How rows of hashed tables were spread.
    pub fn hash_family(&self) -> HashFamily {
        // Without a manifest it is a set of the originals, and those ended with Greenplum 5.
        self.manifest
            .as_ref()
            .map_or(HashFamily::Legacy, |manifest| manifest.server.hash_family)
    }
}

/// A data file that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFile {
    pub content: ContentId,
    pub dbid: DbId,
    pub host: HostName,
    pub path: PathBuf,
    pub sha256: Option<String>,
}
