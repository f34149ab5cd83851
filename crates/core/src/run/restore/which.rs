//! The set that is meant, and what `-L` shows of it.

use super::definitions::parse_script;
use super::selection;
use crate::gather::{dump_set, which_set};
use crate::plan::restore::DumpSet;
use crate::plan::restore::inventory::Inventory;
use crate::plan::restore_request::{RestoreRequest, WhichSet};
use crate::store::files::Files;
use crate::words::ids::TimestampKey;
use crate::words::layout::DumpFileKind;
use crate::words::place::Place;
use crate::words::refusal::Refusal;

/// The set that is meant.
pub(super) async fn find_key(
    files: &Files,
    root: &Place,
    request: &RestoreRequest,
    choose: &impl AsyncFn(String, usize) -> Result<usize, Refusal>,
) -> Result<TimestampKey, Refusal> {
    let date = match &request.which {
        WhichSet::Key(key) => return Ok(*key),
        WhichSet::Latest(database) => return which_set::latest_key(files, root, &request.prefix, database),
        WhichSet::Date(date) => date.clone(),
        WhichSet::Remote(place) => place
            .directory
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
    };
    let keys = which_set::keys_of_date(files, root, &request.prefix, &date)?;
    choose_key(&keys, &date, choose).await
}

/// One of the sets of a date. Asked even with `-a`, as by the original: scripts give the answer on standard input.
pub(super) async fn choose_key(
    keys: &[TimestampKey],
    date: &str,
    choose: &impl AsyncFn(String, usize) -> Result<usize, Refusal>,
) -> Result<TimestampKey, Refusal> {
    if let [only] = keys {
        return Ok(*only);
    }
    let chosen = choose(which_set::choice_list(keys), keys.len()).await;
    let chosen = chosen.map_err(|refusal| {
        let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
        refusal.with_hint(format!(
            "there are {} sets of {date}: {}; name the one that is meant with -t",
            keys.len(),
            keys.join(", ")
        ))
    })?;
    keys.get(chosen)
        .copied()
        .ok_or_else(|| Refusal::known("Invalid or null input"))
}

/// `-L`
/// Their names are given back, for programs.
pub(super) fn list_tables(files: &Files, set: &DumpSet) -> Result<Vec<String>, Refusal> {
    dump_set::require(files, set, DumpFileKind::Dump)?;
    let text = dump_set::read_ddl(files, set, DumpFileKind::Dump)?;
    let script = parse_script(&text, &dump_set::ddl_path(set, DumpFileKind::Dump))?;
    let inventory = Inventory::read(&script);
    for line in selection::list_of_tables(&inventory, set.names.key) {
        tracing::info!("{line}");
    }
    Ok(inventory.tables.iter().map(|table| table.name.to_string()).collect())
}
