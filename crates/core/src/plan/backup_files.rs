//! `--list-backup-files`: which files a dump with this key will write, and which of them may be named pipes
//! (`gpcrondump.md` 4.6).

use std::path::Path;

use super::dump_request::DumpRequest;
use super::filter::TableFilter;
use crate::words::cluster::Cluster;
use crate::words::ids::TimestampKey;
use crate::words::layout::{DumpFileKind, FileNaming, InstanceId, SetNames, dump_directory};
use crate::words::place::Place;

/// Lines `host:path`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct BackupFiles {
    /// These may be named pipes, made before the dump and read while it runs.
    pub pipes: Vec<String>,
    /// The original's list of files to keep.
    pub regular: Vec<String>,
    /// Files to keep that the original's list leaves out, or that are ours.
    pub others: Vec<String>,
}

/// The chain that an incremental dump would go on with.
#[derive(Debug, Clone)]
pub struct FullSet {
    pub key: TimestampKey,
    pub directory: Place,
}

/// Lists the files; `chain` for an incremental dump.
pub fn list(request: &DumpRequest, key: TimestampKey, cluster: &Cluster, chain: Option<&FullSet>) -> BackupFiles {
    let names = SetNames {
        prefix: request.prefix.clone(),
        key,
        naming: FileNaming::New,
        compression: request.compression,
    };
    let directory_of = |data_dir: &Path| dump_directory(&request.root_of(data_dir), key);
    let master = directory_of(&request.master_data_dir);
    let host = cluster.master().host.clone();
    let of_master = |name: String| format!("{host}:{}", master.join(name).display());
    let mut files = BackupFiles::default();
    for primary in cluster.primaries() {
        let data_dir = match cluster.is_one_place() {
            true => &request.master_data_dir,
            false => &primary.data_dir,
        };
        let (directory, content) = (directory_of(data_dir), primary.content);
        let dbid = primary.dbid;
        let of_segment = |kind| {
            let name = names.of_instance(kind, InstanceId { content, dbid });
            format!("{}:{}", primary.host, directory.join(name).display())
        };
        files.pipes.push(of_segment(DumpFileKind::Dump));
        if request.chores.config_files {
            files.pipes.push(of_segment(DumpFileKind::SegmentConfig));
        }
        files
            .others
            .extend([DumpFileKind::Status, DumpFileKind::Index].map(of_segment));
    }
    let chores = &request.chores;
    let wanted = [
        (true, names.of_master(DumpFileKind::Dump)),
        (true, names.of_master(DumpFileKind::PostData)),
        (chores.globals, names.of_master(DumpFileKind::Global)),
        (chores.config_files, names.of_set(DumpFileKind::MasterConfig)),
        (chores.statistics, names.of_master(DumpFileKind::Statistics)),
    ];
    files.pipes.extend(
        wanted
            .into_iter()
            .filter(|(is_wanted, _)| *is_wanted)
            .map(|(_, name)| of_master(name)),
    );

    files.regular.push(of_master(names.of_master(DumpFileKind::Cdatabase)));
    files.regular.extend(
        [
            DumpFileKind::AoState,
            DumpFileKind::CoState,
            DumpFileKind::LastOperation,
            DumpFileKind::Report,
        ]
        .map(|kind| of_master(names.of_set(kind))),
    );
    files.regular.push(of_master(names.of_master(DumpFileKind::Status)));
    let is_filtered = request.filter != TableFilter::Everything;
    if is_filtered {
        let is_by_tables = matches!(
            request.filter,
            TableFilter::IncludeTables(_) | TableFilter::ExcludeTables(_)
        );
        let list = if is_by_tables {
            &mut files.regular
        } else {
            &mut files.others
        };
        if !request.prefix.is_empty() {
            list.push(of_master(names.of_set(DumpFileKind::Filter)));
        }
        list.push(of_master(names.of_set(DumpFileKind::Table)));
        if !is_by_tables {
            list.push(of_master(names.of_set(DumpFileKind::Schema)));
        }
    }
    if let Some(full) = chain {
        let of_full = SetNames {
            key: full.key,
            ..names.clone()
        };
        let path = full.directory.join(of_full.of_set(DumpFileKind::Increments));
        files.regular.push(format!("{host}:{}", path.display()));
        files.others.extend(
            [DumpFileKind::Table, DumpFileKind::DirtyList, DumpFileKind::TableList]
                .map(|kind| of_master(names.of_set(kind))),
        );
    }
    files.others.push(of_master(names.of_set(DumpFileKind::Manifest)));
    files
}
