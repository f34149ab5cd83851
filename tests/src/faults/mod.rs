//! The fault matrix: what goes wrong, when, and what a run must have done about it.
//!
//! Four hosts, two segments each. A cell is one run of a program that is held at a phase by a lock of the test, meets the
//! fault there, and is let go. It has to end in time, with a status that is true, a message that names what is to blame,
//! and nothing left behind; and the next run has to work.

mod cell;
mod kinds;
mod page;
mod record;
mod stage;

pub use cell::{Cell, run_cell};
pub use kinds::{FAULTS, Fault, When, fault_named};
pub use page::{check_page, page_of};
pub use record::Record;
pub use stage::{Stage, gphome};

/// Where a run is when the fault comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    DumpStart,
    DumpLocks,
    DumpDdl,
    DumpData,
    DumpFinish,
    RestoreCheck,
    RestoreDdl,
    RestoreData,
    RestorePostData,
    /// Rows go into tables that were there, emptied before (`--truncate -T`).
    RestoreExisting,
}

pub const PHASES: [Phase; 10] = [
    Phase::DumpStart,
    Phase::DumpLocks,
    Phase::DumpDdl,
    Phase::DumpData,
    Phase::DumpFinish,
    Phase::RestoreCheck,
    Phase::RestoreDdl,
    Phase::RestoreData,
    Phase::RestorePostData,
    Phase::RestoreExisting,
];

impl Phase {
    pub fn is_dump(self) -> bool {
        self <= Phase::DumpFinish
    }

    /// Nothing has begun yet.
    pub fn is_first(self) -> bool {
        matches!(self, Phase::DumpStart | Phase::RestoreCheck)
    }

    pub fn name(self) -> &'static str {
        match self {
            Phase::DumpStart => "dump: start",
            Phase::DumpLocks => "dump: locks",
            Phase::DumpDdl => "dump: DDL",
            Phase::DumpData => "dump: data",
            Phase::DumpFinish => "dump: finish",
            Phase::RestoreCheck => "restore: check",
            Phase::RestoreDdl => "restore: DDL",
            Phase::RestoreData => "restore: data",
            Phase::RestorePostData => "restore: post-data",
            Phase::RestoreExisting => "restore: existing tables",
        }
    }
}

/// The limits that the programs are given, in seconds.
pub const CONNECT: u64 = 20;
pub const SILENCE: u64 = 6;
pub const LOCK: u64 = 6;

/// Longest time from the fault to the end of the program: the longest chain of waits, one after the other.
pub const BOUND: u64 = CONNECT + SILENCE + LOCK + 20;
