//! What happened, per instance, and how bad it is.

use serde::{Deserialize, Serialize};

use super::cluster::Instance;
use super::job::FileStamp;

/// How a dump went; the text is what the history table says (`gpcrondump.md` 2.10.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Severity {
    Completed,
    Warning,
    Fatal,
}

impl Severity {
    pub fn text(self) -> &'static str {
        match self {
            Severity::Completed => "COMPLETED",
            Severity::Warning => "WARNING",
            Severity::Fatal => "FATAL",
        }
    }

    /// The number in the history table: 0, 1, 2.
    pub fn number(self) -> i16 {
        self as i16
    }
}

/// What one instance has to say in the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceOutcome {
    pub instance: Instance,
    /// The dump or data file, as an absolute path on its host.
    pub file: String,
    pub result: InstanceResult,
}

/// How it went on one instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceResult {
    /// With the files that it wrote.
    Succeeded(Vec<FileStamp>),
    /// Finished, with errors on the way; one message each.
    Errors(Vec<String>),
    Failed(String),
}

impl InstanceResult {
    pub fn is_success(&self) -> bool {
        matches!(self, InstanceResult::Succeeded(_))
    }
}
