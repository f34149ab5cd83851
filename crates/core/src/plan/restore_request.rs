//! What a restore is asked to be: the command line after all its checks, without a word about how it was typed.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::words::environment::Verbosity;
use crate::words::ids::{Prefix, TimestampKey};

/// Everything that one run of `gpdbrestore` was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreRequest {
    pub key: TimestampKey,
    /// Absolute.
    pub master_data_dir: PathBuf,
    /// Absolute; `None`: each instance's own data directory.
    pub backup_root: Option<PathBuf>,
    pub prefix: Prefix,
    /// Drop the database, if there is one, and create it anew.
    pub recreate: bool,
    /// The database to restore into, instead of the one in the report.
    pub redirect: Option<String>,
    /// Only tell which sets are needed.
    pub list_backup: bool,
    /// Of an increment, restore the rows that it holds itself, and nothing else.
    pub noplan: bool,
    /// ANALYZE afterwards.
    pub analyze: bool,
    /// Renew the row counts of append-optimized tables on the master.
    pub ao_stats: bool,
    /// Absolute; on every host.
    pub report_status_dir: Option<PathBuf>,
    /// Show the parameters and ask first.
    pub confirm: bool,
    /// Most hosts worked on at once; at least 1.
    pub parallel: usize,
    /// Directory of the program on other hosts, absolute; `None`: where it lies here.
    pub remote_bin: Option<PathBuf>,
    /// The command line, joined by blanks.
    pub options_text: String,
    pub verbosity: Verbosity,
}
