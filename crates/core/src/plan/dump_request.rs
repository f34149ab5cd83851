//! What a dump is asked to do: the options of `gpcrondump`, checked and typed.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::words::ids::{Prefix, TimestampKey};
use crate::words::layout::Compression;

/// One run of `gpcrondump`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DumpRequest {
    /// In the order of the command line; at least one.
    pub databases: Vec<String>,
    /// `-d` or `$MASTER_DATA_DIRECTORY`; without it `PGPORT` leads to the server, and the server says where it lives.
    pub master_data_dir: Option<PathBuf>,
    /// `-u`: the root of dump directories on every host.
    pub backup_root: Option<PathBuf>,
    pub prefix: Prefix,
    /// `-K`.
    pub key: Option<TimestampKey>,
    pub compression: Compression,
    /// Record the dump in `public.gpcrondump_history`.
    pub history: bool,
    /// `-B`: hosts that are logged in to at a time.
    pub parallel: usize,
    /// False with `-b` and with `-f 0`.
    pub check_disk: bool,
    /// `-f`: percent of the disk that must stay free.
    pub free_space_percent: u32,
    /// The command line's words joined by blanks, for the history and the manifest.
    pub options_text: String,
    /// How long to try for one cut across all segments.
    pub cut_timeout: Duration,
    /// `--remote-bin`: folder of the program on other hosts.
    pub remote_bin: Option<PathBuf>,
}
