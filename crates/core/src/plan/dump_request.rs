//! What a dump is asked to be: the command line after all its checks, without a word about how it was typed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::chores::Chores;
use super::databases::Databases;
use super::external::ExternalRequest;
use crate::format::report::BackupType;
use crate::plan::filter::TableFilter;
use crate::words::environment::Verbosity;
use crate::words::ids::{Prefix, TimestampKey};
use crate::words::layout::Compression;
use crate::words::limits::Limits;
use crate::words::place::Place;

/// Everything that one run of `gpcrondump` was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DumpRequest {
    pub databases: Databases,
    pub filter: TableFilter,
    pub backup_type: BackupType,
    /// Write down the states of heap tables; an increment leaves out those that did not change.
    pub incremental_heap: bool,
    /// `--list-filter-tables`: only tell what an increment would be filtered by.
    pub list_filter: bool,
    /// `--list-backup-files`: only tell which files a dump would write.
    pub list_files: bool,
    /// Absolute.
    pub master_data_dir: PathBuf,
    /// `-u` or `--storage`; `None`: each instance's own data directory.
    pub backup_root: Option<Place>,
    pub prefix: Prefix,
    pub key: Option<TimestampKey>,
    pub compression: Compression,
    pub disk_check: DiskCheck,
    pub chores: Chores,
    pub style: OutputStyle,
    /// `--external`: the segments write the rows into a storage themselves.
    pub external: Option<ExternalRequest>,
    /// Write a row into `public.gpcrondump_history`.
    pub history: bool,
    /// Show the parameters and ask before each database.
    pub confirm: bool,
    /// Most hosts worked on at once; at least 1.
    pub parallel: usize,
    /// How long to try for the one cut across all segments.
    pub cut_timeout: Duration,
    /// Directory of the program on other hosts, absolute; `None`: where it lies here.
    pub remote_bin: Option<PathBuf>,
    /// `--through-master`: one address and nothing else of the cluster.
    pub through_master: Option<ThroughMaster>,
    /// The longest waits.
    pub limits: Limits,
    /// The command line, joined by blanks: for the report and the history row.
    pub options_text: String,
    pub verbosity: Verbosity,
}

/// What a dump through the master is asked beside that.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThroughMaster {
    /// `--jobs`; `None`: as many as the server's snapshots allow, up to a few.
    pub connections: Option<usize>,
    /// `-h` was typed: that the history could not be written is worth an exit status.
    pub history_asked: bool,
}

impl DumpRequest {
    /// The root of what belongs to an instance with this data directory.
    pub fn root_of(&self, data_dir: &Path) -> Place {
        self.backup_root.clone().unwrap_or_else(|| data_dir.into())
    }

    /// The root on the master.
    pub fn root(&self) -> Place {
        self.root_of(&self.master_data_dir)
    }

    /// What tells the lock of this run from those of others in the same directory, where that directory is not one
    /// cluster's. A prefix of a bucket is.
    pub fn lock_word(&self) -> Option<String> {
        let Some(Place::Stored(url)) = self.through_master.as_ref().and(self.backup_root.as_ref()) else {
            return None;
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "-.".contains(c);
        Some(url.to_string().replace("://", "_").replace(|c| !plain(c), "_"))
    }
}

/// How the SQL of a set is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputStyle {
    /// Drop each object before it is created.
    pub clean: bool,
    /// It was asked for by `-C`: the original then handed `-c` on to its engine, else the word that was typed.
    pub clean_by_letter: bool,
    /// Compressed files whose unchanged parts stay the same bytes.
    pub rsyncable: bool,
    pub no_owner: bool,
    pub no_privileges: bool,
    /// Owners by `SET SESSION AUTHORIZATION`.
    pub session_authorization: bool,
    pub rows: RowStyle,
    /// Of the data files, as typed; `None`: that of the database.
    pub encoding: Option<String>,
    /// The words that the original handed on to its engine unread, in the order typed.
    pub pass_through: Vec<String>,
}

/// How rows are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RowStyle {
    #[default]
    Copy,
    /// With object ids, where a table has them.
    CopyWithOids,
    Inserts,
    /// Each statement names its columns.
    ColumnInserts,
}

/// Whether to look for free disk space before the dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskCheck {
    /// `-b`, or `-f 0`.
    Bypassed,
    /// This many percent of each disk must stay free, 1 to 99.
    KeepFree(u8),
}
