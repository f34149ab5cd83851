//! What a restore is asked to be: the command line after all its checks, without a word about how it was typed.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::external::ExternalAccess;
use super::filter::NameList;
use super::restore::remote::RemotePlace;
use crate::words::environment::Verbosity;
use crate::words::ids::{Prefix, TimestampKey};
use crate::words::limits::Limits;
use crate::words::place::Place;

/// How the set was named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhichSet {
    /// `-t`
    Key(TimestampKey),
    /// `-b`: a set of this date directory.
    Date(String),
    /// `-s`: the newest of this database.
    Latest(String),
    /// `-R`: one that lies on another host.
    Remote(RemotePlace),
}

/// Whether something beside the tables is restored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Extra {
    #[default]
    No,
    Include,
    /// And no table.
    Only,
}

/// Everything that one run of `gpdbrestore` was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreRequest {
    pub which: WhichSet,
    /// Absolute.
    pub master_data_dir: PathBuf,
    /// `-u` or `--storage`; `None`: each instance's own data directory.
    pub backup_root: Option<Place>,
    pub prefix: Prefix,
    /// Drop the database, if there is one, and create it anew.
    pub recreate: bool,
    /// The database to restore into, instead of the one in the report.
    pub redirect: Option<String>,
    /// `-T`, `--table-file`: these tables and no others.
    pub tables: NameList,
    /// `-S`: these schemas too.
    pub schemas: NameList,
    /// `-m`: definitions without rows.
    pub metadata_only: bool,
    /// Empty the tables first.
    pub truncate: bool,
    /// The schema that the tables go to.
    pub change_schema: Option<String>,
    /// `--verify`: only read the files of the set and say what could be restored.
    pub verify: bool,
    /// `-G`: roles, queues and what else the cluster has.
    pub globals: Extra,
    /// `--restore-stats`: what the planner knew.
    pub statistics: Extra,
    /// End at the first statement or table that the server refuses.
    pub stop_on_error: bool,
    /// Most indexes made, and tables analyzed, at the same time; at least 1.
    pub jobs: usize,
    /// Say what would be done, and change nothing.
    pub dry_run: bool,
    /// Go on with the same restore, which was broken off.
    pub resume: bool,
    /// `-L`: only list the tables of the set.
    pub list_tables: bool,
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
    /// What is needed for rows in a storage.
    pub external: ExternalAccess,
    /// End before anything is changed when the disks surely have no room.
    pub disk_check: bool,
    /// Show the parameters and ask first.
    pub confirm: bool,
    /// Most hosts worked on at once; at least 1.
    pub parallel: usize,
    /// Directory of the program on other hosts, absolute; `None`: where it lies here.
    pub remote_bin: Option<PathBuf>,
    /// `--through-master`: one address and nothing else of the cluster.
    pub through_master: bool,
    /// The longest waits.
    pub limits: Limits,
    /// The command line, joined by blanks.
    pub options_text: String,
    pub verbosity: Verbosity,
}

impl RestoreRequest {
    /// What is meant by a command line that names a set and nothing else.
    pub fn plain(which: WhichSet, master_data_dir: PathBuf) -> RestoreRequest {
        RestoreRequest {
            which,
            master_data_dir,
            backup_root: None,
            prefix: Prefix::none(),
            recreate: false,
            redirect: None,
            tables: NameList::default(),
            schemas: NameList::default(),
            metadata_only: false,
            truncate: false,
            change_schema: None,
            verify: false,
            globals: Extra::No,
            statistics: Extra::No,
            stop_on_error: false,
            jobs: 4,
            dry_run: false,
            resume: false,
            list_tables: false,
            list_backup: false,
            noplan: false,
            analyze: true,
            ao_stats: true,
            report_status_dir: None,
            external: ExternalAccess::default(),
            disk_check: true,
            confirm: true,
            parallel: 64,
            remote_bin: None,
            through_master: false,
            limits: Limits::default(),
            options_text: String::new(),
            verbosity: Verbosity::default(),
        }
    }

    /// The root of what belongs to an instance with this data directory.
    pub fn root_of(&self, data_dir: &Path) -> Place {
        self.backup_root.clone().unwrap_or_else(|| data_dir.into())
    }

    /// The root on the master.
    pub fn root(&self) -> Place {
        self.root_of(&self.master_data_dir)
    }

    /// Not all of the set is asked for.
    pub fn selects(&self) -> bool {
        !self.tables.names.is_empty() || !self.schemas.names.is_empty()
    }

    /// No table is asked for, and no definition.
    pub fn only_extras(&self) -> bool {
        self.globals == Extra::Only || self.statistics == Extra::Only
    }

    /// The definitions before and behind the data are phases of their own, in the log.
    pub fn has_phases(&self) -> bool {
        !self.tables.names.is_empty() || self.metadata_only
    }
}
