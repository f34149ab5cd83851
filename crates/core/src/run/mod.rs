//! The tables of contents: what a run does, in order.

mod cleanup;
mod config_files;
pub mod dump;
pub mod dump_database;
mod dump_key;
pub mod dump_lines;
pub mod list_sets;
mod mail;
pub mod restore;
mod script;
mod set_record;

use crate::db::error_chain;
use crate::words::refusal::Refusal;

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
