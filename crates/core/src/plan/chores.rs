//! What is asked for beside the dump itself: before it, after it, and when it fails.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::format::email_file::MailRule;
use crate::words::ids::{BadDate, DumpDate};

/// All of them; the default is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chores {
    /// `-j`.
    pub vacuum_before: bool,
    /// `-k`.
    pub vacuum_after: bool,
    /// `-G`.
    pub globals: bool,
    /// `-g`.
    pub config_files: bool,
    /// `--dump-stats`.
    pub statistics: bool,
    /// `-r`: remove the files of a dump that failed.
    pub rollback: bool,
    /// `-c`, `-o`.
    pub cleanup: Option<CleanupRequest>,
    /// `-R`: a file, or a program and its arguments.
    pub script: Option<String>,
    /// `--email-file`.
    pub mail_rules: Vec<MailRule>,
}

/// Which date directories are to go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CleanupRequest {
    pub when: CleanupTime,
    /// `--cleanup-date`: eight digits; those that are no date of the calendar are no directory of ours either.
    pub date: Option<AskedDate>,
    /// `--cleanup-total`: this many of the oldest.
    pub total: Option<usize>,
    /// `--force`: also what a kept set needs.
    pub force: bool,
    /// `--dry-run`: say what would go, and why.
    pub dry_run: bool,
}

/// What was asked for with `--cleanup-date`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AskedDate(String);

impl AskedDate {
    pub fn date(&self) -> Option<DumpDate> {
        self.0.parse().ok()
    }
}

impl FromStr for AskedDate {
    type Err = BadDate;

    fn from_str(text: &str) -> Result<Self, BadDate> {
        match text.len() == 8 && text.bytes().all(|b| b.is_ascii_digit()) {
            true => Ok(AskedDate(text.to_owned())),
            false => Err(BadDate(text.to_owned())),
        }
    }
}

impl fmt::Display for AskedDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CleanupTime {
    /// `-c`: when every database of the run is dumped.
    AfterDump,
    /// `-o`: and nothing else is done.
    InsteadOfDump,
}

impl Chores {
    /// Nothing is dumped at all.
    pub fn is_cleanup_only(&self) -> bool {
        matches!(&self.cleanup, Some(cleanup) if cleanup.when == CleanupTime::InsteadOfDump)
    }

    /// What the report shows: `pre-dump, post-dump`, one of them, or `Off`.
    pub fn vacuum_mode(&self) -> &'static str {
        match (self.vacuum_before, self.vacuum_after) {
            (true, true) => "pre-dump, post-dump",
            (true, false) => "pre-dump",
            (false, true) => "post-dump",
            (false, false) => "Off",
        }
    }
}
