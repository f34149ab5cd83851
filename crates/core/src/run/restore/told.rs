//! What `--json` says of a restore.

use crate::exec::restore_fleet::LoadOutcome;
use crate::exec::restore_records::MasterOutcome;
use crate::format::run_report::{MESSAGES, RestoreBody};
use crate::plan::restore::DumpSet;
use crate::words::ids::TimestampKey;
use crate::words::secret::without_parameters;

/// The set was found; `sets` are all that rows come from, newest first.
pub(super) fn of_set(told: &mut RestoreBody, set: &DumpSet, sets: impl Iterator<Item = TimestampKey>) {
    told.key = Some(set.names.key);
    let prefix = set.names.prefix.as_str();
    told.prefix = prefix.strip_suffix('_').unwrap_or(prefix).to_owned();
    told.kind = Some(set.backup_type);
    told.set_database = Some(set.database.clone());
    told.sets = sets.collect();
    if told.sets.is_empty() {
        told.sets.push(set.names.key);
    }
}

/// It is over, well or not.
pub(super) fn of_end(told: &mut RestoreBody, master: &MasterOutcome, load: &LoadOutcome) {
    told.tables = load.rows.len() as u64;
    told.rows = load.rows.values().sum();
    let files = || load.files.values();
    let errors = master
        .failure
        .iter()
        .chain(files().filter_map(|file| file.failure.as_ref()))
        .chain(files().flat_map(|file| &file.miscounted))
        .chain(&master.errors)
        .chain(files().flat_map(|file| &file.refused));
    // Servers quote statements, and those of external tables have secrets in them.
    told.restore_errors = errors.take(MESSAGES).map(|text| without_parameters(text)).collect();
    told.failed_tables = load.troubled.iter().map(ToString::to_string).collect();
}
