//! What is said at the end of a part and of the whole.

use crate::exec::restore_fleet::{FileOutcome, LoadOutcome};
use crate::exec::restore_records::MasterOutcome;
use crate::words::exit::Exit;
use crate::words::refusal::Refusal;

/// SQL errors that are told on the screen; the status files have all.
const TOLD_ERRORS: usize = 50;

pub(super) fn tell_end_of_phase(master: &MasterOutcome) {
    match master.errors.is_empty() {
        true => tracing::info!("gpdbrestore finished successfully"),
        false => tracing::warn!(
            "gpdbrestore finished but ERRORS were found, please check the restore report file for details"
        ),
    }
}

pub(super) fn tell_end_of_load(load: &LoadOutcome) {
    let is_good = |file: &FileOutcome| file.refused.is_empty() && file.miscounted.is_empty();
    match load.files.values().all(is_good) {
        true => tracing::info!("gpdbrestore finished successfully"),
        false => tracing::warn!(
            "gpdbrestore finished but ERRORS were found, please check the restore report file for details"
        ),
    }
}

/// Tells every error and says what they amount to.
/// `can_go_on`: what was done is written down.
pub(super) fn verdict(master: &MasterOutcome, load: &LoadOutcome, can_go_on: bool) -> Result<Exit, Refusal> {
    let files = || load.files.values();
    let failures: Vec<&String> = master
        .failure
        .iter()
        .chain(files().filter_map(|file| file.failure.as_ref()))
        .chain(files().flat_map(|file| &file.miscounted))
        .collect();
    let errors: Vec<&String> = master
        .errors
        .iter()
        .chain(files().flat_map(|file| &file.refused))
        .collect();
    for message in failures.iter().chain(&errors).take(TOLD_ERRORS) {
        tracing::error!("{message}");
    }
    let more = (failures.len() + errors.len()).saturating_sub(TOLD_ERRORS);
    if more > 0 {
        tracing::error!("{more} more errors stand in the restore report and the status files");
    }
    if !failures.is_empty() {
        let go_on = match can_go_on {
            true => "; the same options and --resume go on from here",
            false => "",
        };
        return Err(
            Refusal::failed("gpdbrestore finished unsuccessfully").with_hint(format!(
                "the restore report and the status files have every error; the database is not complete{go_on}"
            )),
        );
    }
    if !errors.is_empty() {
        tracing::warn!("gpdbrestore finished but ERRORS were found, please check the restore report file for details");
        return Ok(Exit::Warnings);
    }
    tracing::info!("gpdbrestore finished successfully");
    Ok(Exit::Ok)
}
