//! What a dump is asked to be: the command line after all its checks, without a word about how it was typed.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::chores::Chores;
use super::databases::Databases;
use crate::format::report::BackupType;
use crate::plan::filter::TableFilter;
use crate::words::environment::Verbosity;
use crate::words::ids::{Prefix, TimestampKey};
use crate::words::layout::Compression;

/// Everything that one run of `gpcrondump` was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DumpRequest {
    pub databases: Databases,
    pub filter: TableFilter,
    pub backup_type: BackupType,
    /// `--list-filter-tables`: only tell what an increment would be filtered by.
    pub list_filter: bool,
    /// Absolute.
    pub master_data_dir: PathBuf,
    /// Absolute; `None`: each instance's own data directory.
    pub backup_root: Option<PathBuf>,
    pub prefix: Prefix,
    pub key: Option<TimestampKey>,
    pub compression: Compression,
    pub disk_check: DiskCheck,
    pub chores: Chores,
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
    /// The command line, joined by blanks: for the report and the history row.
    pub options_text: String,
    pub verbosity: Verbosity,
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
