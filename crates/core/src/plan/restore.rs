//! What a restore will do: where its files lie, which server the rows of each table go to, what the session says.
//!
//! The input types are owned here; `gather` fills them.

pub mod chain;
pub mod choice;
pub mod inventory;
pub mod lanes;
mod mentions;
pub mod moves;
pub mod parts;
pub mod places;
pub mod remote;
pub mod resume;
pub mod room;
pub mod routes;

use crate::format::manifest::Manifest;
use crate::format::report::BackupType;
use crate::words::cluster::HostName;
use crate::words::dialect::HashFamily;
use crate::words::ids::{ContentId, DbId};
use crate::words::layout::SetNames;
use crate::words::place::Place;

/// A set that was found on the master.
#[derive(Debug, Clone)]
pub struct DumpSet {
    pub names: SetNames,
    pub database: String,
    pub backup_type: BackupType,
    /// It holds chosen tables only, and what they need.
    pub is_filtered: bool,
    /// `<root>/db_dumps/<date>` on the master.
    pub directory: Place,
    /// Of the database that was dumped, as the server called it; the originals' sets say it in one of their files.
    pub encoding: Option<String>,
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
    pub directory: Place,
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

    /// It was read through the master: its "segments" are connections, and each table is whole in one file.
    pub fn is_streams(&self) -> bool {
        self.manifest
            .as_ref()
            .is_some_and(|manifest| manifest.streams.is_some())
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
    pub path: Place,
    /// As it lies there, in bytes.
    pub size: u64,
    pub sha256: Option<String>,
}

#[cfg(test)]
pub(crate) mod test_sets {
    //! Sets and clusters for the tests of this folder.

    use super::*;
    use crate::format::manifest::{Consistency, FORMAT, InstanceFiles, ServerFacts, TableFacts};
    use crate::words::cluster::{Cluster, Instance, Role};
    use crate::words::dialect::{Dialect, DistributionCatalog, PartitionCatalog, PgVersion, Product, TopologySource};
    use crate::words::ids::Prefix;
    use crate::words::layout::{Compression, DumpFileKind, FileNaming, InstanceId};

    /// Master on `mdw`, segment `n` on `sdw<n+1>`, all in `/data/<content>`.
    pub fn cluster(segments: i32) -> Cluster {
        let instance = |content: i32| Instance {
            dbid: DbId(content + 2),
            content: ContentId(content),
            role: Role::Primary,
            up: true,
            host: host_of(content),
            address: host_of(content),
            port: 5432,
            data_dir: format!("/data/{content}").into(),
        };
        Cluster::new((-1..segments).map(instance).collect()).unwrap()
    }

    pub fn host_of(content: i32) -> HostName {
        HostName(if content < 0 {
            "mdw".into()
        } else {
            format!("sdw{}", content + 1)
        })
    }

    pub fn dialect(product: Product, version: u32) -> Dialect {
        Dialect {
            product,
            banner: String::new(),
            pg_version: PgVersion(version),
            utility_setting: None,
            topology: TopologySource::DatadirColumn,
            partitions: PartitionCatalog::None,
            distribution: DistributionCatalog::None,
            has_relstorage: false,
            has_appendonly: false,
            has_last_operation: false,
        }
    }

    /// A set of the originals, written by a cluster on other hosts: `old<n>`, `/old/<content>`.
    pub fn original_set(segments: i32, naming: FileNaming) -> DumpSet {
        let names = SetNames {
            prefix: Prefix::none(),
            key: "20240102030405".parse().unwrap(),
            naming,
            compression: Compression::Gzip,
        };
        let segment = |content: i32| {
            let id = InstanceId {
                content: ContentId(content),
                // Not the dbids that the new cluster has.
                dbid: DbId(content + 12),
            };
            SetSegment {
                content: id.content,
                dbid: id.dbid,
                host: HostName(format!("old{content}")),
                directory: Place::from(format!("/old/{content}/db_dumps/20240102").as_str()),
                name: names.of_instance(DumpFileKind::Dump, id),
                size: None,
                sha256: None,
            }
        };
        DumpSet {
            database: "shop".into(),
            backup_type: BackupType::Full,
            is_filtered: false,
            directory: "/data/-1/db_dumps/20240102".into(),
            encoding: Some("UTF8".into()),
            manifest: None,
            segments: (0..segments).map(segment).collect(),
            names,
        }
    }

    /// The same as a set of ours.
    pub fn own_set(segments: i32, family: HashFamily, version: u32, tables: Vec<TableFacts>) -> DumpSet {
        let mut set = original_set(segments, FileNaming::New);
        set.manifest = Some(Manifest {
            format: FORMAT,
            program: "gpcrondump 0".into(),
            key: set.names.key,
            prefix: Prefix::none(),
            database: "shop".into(),
            encoding: "UTF8".into(),
            server: ServerFacts {
                banner: String::new(),
                pg_version: PgVersion(version),
                product: Product::Greenplum,
                hash_family: family,
            },
            compression: Compression::Gzip,
            naming: FileNaming::New,
            backup_type: BackupType::Full,
            base: None,
            command_line: String::new(),
            started: String::new(),
            ended: String::new(),
            consistency: Consistency::default(),
            streams: None,
            instances: Vec::<InstanceFiles>::new(),
            tables,
            external: None,
            secrets_in_definitions: Vec::new(),
        });
        set
    }
}
