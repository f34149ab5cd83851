//! What a run that writes into a storage leaves word of while it goes: should it be killed, the next one can say where
//! objects may be left that belong to no set.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tracing::warn;

use super::DumpContext;
use crate::plan::external::{Direction, path_pattern, shown_location};
use crate::words::ids::TimestampKey;
use crate::words::layout::{DUMP_DIR, external_note, parse_external_note};
use crate::words::refusal::Refusal;

#[derive(Debug, Serialize, Deserialize)]
struct Note {
    database: String,
    host: String,
    pid: u32,
    /// Of all tables, with stars for their names.
    place: String,
}

/// The folder of the date folders: always one of this host, whatever else a root may be.
fn folder(context: &DumpContext<'_>) -> PathBuf {
    let named = context
        .request
        .backup_root
        .as_ref()
        .map(|root| root.display().to_string());
    let root = named.map_or_else(|| context.master_data_dir.clone(), PathBuf::from);
    root.join(DUMP_DIR)
}

/// Before the first row is written.
pub(super) fn leave(context: &DumpContext<'_>) -> Result<(), Refusal> {
    let Some(request) = &context.request.external else {
        return Ok(());
    };
    let storage = request.storage(context.request.compression, "");
    let path = path_pattern(&request.template.path, context.key, &context.database);
    let note = Note {
        database: context.database.clone(),
        host: context.environment.host_full.clone(),
        pid: context.environment.pid,
        place: shown_location(&storage, &path, Direction::Write),
    };
    let text = serde_json::to_string(&note).unwrap_or_default();
    let path = folder(context).join(external_note(context.key));
    std::fs::write(&path, text).map_err(|error| Refusal::failed(format!("could not write {}: {error}", path.display())))
}

/// When the run is over, however. What was written for no set is named.
pub(super) fn take_back(context: &DumpContext<'_>, is_set: bool) {
    let path = folder(context).join(external_note(context.key));
    let Some(note) = read(&path) else { return };
    if !is_set {
        warn!(
            "Objects that this run wrote may be left in {}; they belong to no set and can be removed",
            note.place
        );
    }
    let _ = std::fs::remove_file(&path);
}

/// Names what runs may have left that were killed.
pub(super) fn tell_of_others(context: &DumpContext<'_>, is_running: fn(u32) -> bool) {
    let folder = folder(context);
    for (key, path) in notes(&folder) {
        let Some(note) = read(&path) else { continue };
        // Of a program on another host nobody here knows whether it lives.
        let may_live = note.host != context.environment.host_full || is_running(note.pid);
        if key == context.key || (may_live && note.pid != context.environment.pid) {
            continue;
        }
        warn!(
            "Run {key} of database {} was killed: objects that it wrote may be left in {}; they belong to no set and can \
             be removed",
            note.database, note.place
        );
        if let Err(error) = std::fs::remove_file(&path) {
            warn!("Could not remove the note {} about that run: {error}", path.display());
        }
    }
}

fn notes(folder: &Path) -> Vec<(TimestampKey, PathBuf)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut notes: Vec<(TimestampKey, PathBuf)> = entries
        .filter_map(|entry| Some((parse_external_note(entry.file_name().to_str()?)?, entry.path())))
        .collect();
    notes.sort();
    notes
}

fn read(path: &Path) -> Option<Note> {
    serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()
}
