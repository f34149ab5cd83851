//! Finds the set that is meant when its timestamp key is not given: by date, or the newest of a database.

use std::collections::BTreeSet;
use tracing::{debug, info, warn};

use super::dump_set;
use crate::format::report;
use crate::store::files::{Entry, EntryKind, Files};
use crate::words::ids::{Prefix, TimestampKey};
use crate::words::layout::{DUMP_DIR, DumpFileKind, DumpFileName};
use crate::words::place::Place;
use crate::words::refusal::Refusal;

/// The keys of the sets of a date directory, ascending.
pub fn keys_of_date(files: &Files, root: &Place, prefix: &Prefix, date: &str) -> Result<Vec<TimestampKey>, Refusal> {
    // Digits only: it becomes part of a path.
    let directory = root.join(DUMP_DIR).join(date);
    let is_date = date.len() == 8 && date.bytes().all(|b| b.is_ascii_digit());
    let is_there = files
        .is_dir(&directory)
        .map_err(|error| Refusal::failed(format!("could not look for directory {}: {error}", directory.display())));
    if !is_date || !is_there? {
        return Err(Refusal::known(format!(
            "Directory {} does not exist",
            directory.display()
        )));
    }
    let keys = reports(files, &directory, prefix)?;
    if keys.is_empty() {
        return Err(Refusal::known(format!(
            "Could not locate Master database dump files in {}",
            directory.display()
        )));
    }
    Ok(keys.into_iter().map(|(key, _)| key).collect())
}

/// The newest whole set of a database. Sets that are not whole are passed over, and said to be.
pub fn latest_key(files: &Files, root: &Place, prefix: &Prefix, database: &str) -> Result<TimestampKey, Refusal> {
    info!("Scanning Master host for latest dump file set for database {database}");
    let mut found: BTreeSet<(TimestampKey, String)> = BTreeSet::new();
    let top = root.join(DUMP_DIR);
    let entries = match files.list(&top) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Refusal::failed(format!("could not read directory {top}: {error}")));
        }
        entries => entries.unwrap_or_default(),
    };
    for entry in entries {
        let is_date = entry.name.len() == 8 && entry.name.bytes().all(|b| b.is_ascii_digit());
        let directory = top.join(&entry.name);
        if is_date && (entry.kind == EntryKind::Directory || files.is_dir(&directory).unwrap_or(false)) {
            found.extend(reports(files, &directory, prefix)?);
        }
    }
    if found.is_empty() {
        return Err(
            Refusal::failed("No report files located").with_hint(format!("nothing lies below {}", top.display()))
        );
    }
    let mut candidates = Vec::new();
    for (key, name) in &found {
        let path = top.join(key.date_dir()).join(name);
        let text = match files.read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => {
                warn!(
                    "Could not read report file {}, it is passed over: {error}",
                    path.display()
                );
                continue;
            }
        };
        let facts = report::parse(&text, prefix, *key);
        match &facts.database {
            Some(other) if other == database => {
                info!("Located report file {name} for database {database}, adding to list");
                candidates.push(*key);
            }
            Some(other) => debug!("Report file has incorrect database name of {other}, skipping..."),
            None => warn!(
                "Could not determine database name and compression type from report file {}, it is passed over",
                path.display()
            ),
        }
    }
    while let Some(key) = candidates.pop() {
        match dump_set::read_dump_set(files, root, prefix, key) {
            Ok(_) => {
                info!("Identified latest dump timestamp for {database} as {key}");
                return Ok(key);
            }
            Err(refusal) => warn!("Dump set {key} is not whole, it is passed over: {refusal}"),
        }
    }
    let refusal = Refusal::known(format!("No report files located with database {database}"));
    Err(refusal.with_hint(format!(
        "no whole set of it lies below {}; gpcrondump --list-backups shows those that do, -u names another place, --prefix \
         the prefix of the sets",
        top.display()
    )))
}

/// Reports of dumps in a directory, with their names.
fn reports(files: &Files, directory: &Place, prefix: &Prefix) -> Result<Vec<(TimestampKey, String)>, Refusal> {
    let entries = (files.list(directory))
        .map_err(|error| Refusal::failed(format!("could not read directory {}: {error}", directory.display())))?;
    let mut found = Vec::new();
    for Entry { name, .. } in entries {
        if let Some(parsed) = DumpFileName::parse(&name, prefix)
            && parsed.kind == DumpFileKind::Report
        {
            found.push((parsed.key, name));
        }
    }
    found.sort();
    Ok(found)
}

/// The list to choose from, as the original prints it.
pub fn choice_list(keys: &[TimestampKey]) -> String {
    let mut text = String::from(
        "        Select required dump file timestamp to restore\n         #           Date    Time\n        \
         --------------------------\n",
    );
    for (at, key) in keys.iter().enumerate() {
        text.push_str(&format!(
            "        [{at}] ...... {} {}\n",
            key.date_dir(),
            &key.to_string()[8..]
        ));
    }
    text.push_str("        Enter timestamp number to restore >");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_the_originals() {
        let keys = ["20160101010101", "20160101010102"].map(|key| key.parse().unwrap());
        assert_eq!(
            choice_list(&keys),
            "        Select required dump file timestamp to restore\n         #           Date    Time\n        \
             --------------------------\n        [0] ...... 20160101 010101\n        [1] ...... 20160101 010102\n        \
             Enter timestamp number to restore >"
        );
    }
}
