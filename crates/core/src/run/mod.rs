//! The tables of contents: what a run does, in order.

mod cleanup;
mod config_files;
pub mod dump;
pub mod dump_database;
mod dump_key;
pub mod dump_lines;
mod left_sessions;
pub mod list_sets;
mod mail;
pub mod restore;
mod script;
mod set_record;

use crate::db::error_chain;
use crate::words::progress::ProgressBoard;
use crate::words::refusal::Refusal;

/// What a run keeps up to date while it goes on, whatever its end.
#[derive(Debug)]
pub struct Telling<'a, Body> {
    /// For `--json`.
    pub told: &'a mut Body,
    /// For the line at the foot of the terminal.
    pub board: &'a ProgressBoard,
}

/// A failure that ends a run, with every cause that is known and what helps.
pub fn refusal_of(error: &(dyn std::error::Error + 'static)) -> Refusal {
    let refusal = Refusal::failed(error_chain(error));
    let mut cause = Some(error);
    while let Some(error) = cause {
        let hint = error
            .downcast_ref::<crate::db::Error>()
            .and_then(crate::db::Error::hint)
            .or_else(|| {
                error
                    .downcast_ref::<crate::launch::Error>()
                    .and_then(crate::launch::Error::hint)
            });
        if let Some(hint) = hint {
            return refusal.with_hint(hint);
        }
        cause = error.source();
    }
    refusal
}

/// Signals ended the run.
pub fn interrupted() -> Refusal {
    Refusal::known("interrupted by a signal; queries were cancelled and unfinished files removed")
}
