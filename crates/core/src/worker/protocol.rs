//! The whole conversation between the program on the master and its worker on a host, on one page.
//!
//! One JSON value per line. The worker's standard input carries [`Request`]s, its standard output [`Event`]s. The first
//! event is [`Event::Hello`], the first request [`Request::Limits`]. End of standard input means: the master is gone,
//! clean up and leave.
//!
//! A dump: `Prepare`, `StartDump`, `Tables`*, `TablesEnd` -> a `Ready` per segment (transaction open, tables locked);
//! `OpenSnapshots` -> a `SnapshotOpen` per segment; `Tables`* (what the cut has shown to be needed too); `CopyData` -> `Progress`*, a `Finished` per segment, `Totals`*;
//! `Publish` (all segments of all hosts are finished: give the files their names) -> a `Published` per segment. `Reset`
//! at any time before `Publish` drops sessions and unfinished files and makes the worker ready for a new `StartDump`.

use serde::{Deserialize, Serialize};

use crate::format::state::TableCounts;
use crate::words::dialect::Dialect;
use crate::words::ids::ContentId;
use crate::words::job::{FileStamp, LoginAs, SegmentTarget, TableJob, TableTotals};
use crate::words::layout::SetNames;
use crate::words::limits::Limits;
use crate::words::names::QualifiedName;
use crate::words::place::Place;
use crate::words::storage::StorageAccess;

/// Raised when a message changes its meaning; a worker of another number is refused.
pub const PROTOCOL: u32 = 5;

/// The hidden first word of the command line that makes the program a worker.
pub const WORKER_ARGUMENT: &str = "__worker";

/// Longest line that either side accepts.
pub const MAX_LINE_BYTES: usize = 64 << 20;

/// Tables in one `Tables` request.
pub const TABLES_PER_REQUEST: usize = 500;

/// Each side says at least this often that it lives.
pub const HEARTBEAT_SECONDS: u64 = 1;

/// What the master asks.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// The first of all: how long to wait for others, the master included.
    Limits(Limits),
    /// The way to a bucket, secrets included. They go this way and no other: never in arguments, where others see them.
    Storage(StorageAccess),
    /// Sent every [`HEARTBEAT_SECONDS`]; a worker that hears nothing for too long is cut off, cleans up and leaves.
    Alive,
    /// Make the directories, try to write in them, tell the free space.
    Prepare {
        directories: Vec<PreparedDirectory>,
    },
    StartDump(DumpStart),
    Tables(Vec<TableJob>),
    TablesEnd,
    /// Take the snapshots; those of streams may be one that the master's session has exported.
    OpenSnapshots {
        exported: Option<String>,
    },
    /// Tables that the next `ReadStates` is about.
    StatesOf(Vec<QualifiedName>),
    /// Tell, from the snapshots, in what state those tables are. Answered by [`Event::States`] of every segment.
    ReadStates(StatesAsked),
    CopyData,
    Publish,
    Reset,
    /// Look for files of a dump set. Answered by [`Event::Found`].
    Find {
        directory: Place,
        names: Vec<String>,
    },
    /// Do something that needs no session. Answered by [`Event::TaskEnded`].
    Task(super::host_tasks::HostTask),
    /// Load data files; see [`super::restore_segment`].
    Restore(super::restore_segment::RestoreStart),
    /// Read data files and change nothing; see [`super::verify_segment`].
    Verify(super::verify_segment::VerifyStart),
    /// Write a small file (a restore's status file) under its final name. Answered by [`Event::Written`].
    WriteFile {
        path: Place,
        text: String,
    },
}

/// A dump directory of one segment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PreparedDirectory {
    pub content: ContentId,
    pub directory: Place,
}

/// What all segments of a host need to know before the list of tables.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DumpStart {
    pub dialect: Dialect,
    pub login: LoginAs,
    pub names: SetNames,
    pub segments: Vec<SegmentTarget>,
    /// Let members of compressed files end where the text says so.
    pub rsyncable: bool,
    /// Of the rows, as the server calls it.
    pub encoding: String,
    /// Of the names in front of them.
    pub names_in: String,
    /// The states of heap tables will be asked for.
    pub heap_states: bool,
    /// Longest wait for the locks on one segment, in seconds.
    pub lock_wait_seconds: u64,
    /// The "segments" are connections to the master: each copies the tables that name it, at these addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_hosts: Option<Vec<String>>,
}

/// What a dump wants to know of the tables on the segments, for the increments that come after it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatesAsked {
    /// The counters of append-optimized tables, on servers that keep them on the segments.
    pub counters: bool,
    /// The states of heap tables: a file of the set.
    pub heap: bool,
    /// Which of them are as in these files of the set before.
    pub heap_before: Vec<HeapBefore>,
}

/// The heap states of one segment in the set before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeapBefore {
    pub content: ContentId,
    pub path: Place,
    pub sha256: String,
}

/// A piece of one segment's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StatesPart {
    Counts(TableCounts),
    /// Heap tables whose rows are those of the set before.
    UnchangedHeap(Vec<QualifiedName>),
    /// Why nothing is known of the heap tables.
    NoHeap(String),
    /// Nothing more comes.
    End,
}

/// What the worker answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    Hello {
        version: String,
        protocol: u32,
        pid: u32,
        host: String,
    },
    /// Sent every [`HEARTBEAT_SECONDS`].
    Alive,
    /// One for each directory of `Prepare`.
    Prepared {
        content: ContentId,
        result: Result<DirectoryState, String>,
    },
    Ready {
        content: ContentId,
        /// The data file is a named pipe: what was written into it cannot be taken back.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_pipe: bool,
    },
    SnapshotOpen {
        content: ContentId,
    },
    States {
        content: ContentId,
        part: StatesPart,
    },
    Progress {
        content: ContentId,
        tables: u64,
        rows: u64,
        bytes: u64,
    },
    /// Rows and bytes of tables `first..`, summed over the segments of this host. A table whose distribution gives
    /// every segment all rows is summed like any other.
    Totals {
        first: usize,
        totals: Vec<TableTotals>,
    },
    Finished {
        content: ContentId,
        files: Vec<FileStamp>,
    },
    Published {
        content: ContentId,
    },
    /// A segment's work has ended in failure; its unfinished files are gone, or the message names them.
    Failed {
        content: ContentId,
        message: String,
    },
    /// The worker is back where it was before `StartDump`.
    ResetDone,
    Found {
        files: Vec<FoundFile>,
        /// Of files that could not be looked for: they may be there.
        problems: Vec<String>,
    },
    Written {
        path: Place,
        result: Result<(), String>,
    },
    TaskEnded(Result<super::host_tasks::TaskOutcome, String>),
    /// Something about the progress or the end of a restore.
    Restore(super::restore_segment::RestoreEvent),
    /// What data files hold.
    Verify(super::verify_segment::VerifyEvent),
    Log {
        level: LogLevel,
        text: String,
    },
}

/// What `Prepare` found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DirectoryState {
    pub created: bool,
    /// Bytes that an ordinary user can still write to the file system.
    pub free_bytes: u64,
    /// The same number means the same file system on that host.
    pub device: u64,
}

/// A file that `Find` was asked for and that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundFile {
    pub name: String,
    /// `None`: a named pipe, of which nobody knows how much will come.
    pub size: Option<u64>,
}

/// How loud a worker's words are on the master.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Debug,
    Info,
    Warning,
}
