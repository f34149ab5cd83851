//! The timestamp key of a set: later than every set that is there (`gpcrondump.md` 2.2, 2.4).

use std::time::Duration;

use tracing::info;

use crate::format::report::{self, Conclusion};
use crate::plan::dump_request::DumpRequest;
use crate::store::files::{EntryKind, Files};
use crate::words::ids::{Prefix, TimestampKey};
use crate::words::layout::{Compression, DUMP_DIR, DumpFileKind, DumpFileName, FileNaming, SetNames};
use crate::words::place::Place;
use crate::words::refusal::Refusal;

/// The key of `-K`, or the present second; `used` is that of the database before in this run. Waits for the next second
/// where a set has this one already.
pub(super) async fn choose(
    files: &Files,
    root: &Place,
    request: &DumpRequest,
    now: fn() -> chrono::NaiveDateTime,
    used: Option<TimestampKey>,
) -> Result<TimestampKey, Refusal> {
    loop {
        let key = request.key.unwrap_or_else(|| TimestampKey::of(now()));
        let newest = match newest_set(files, root, &request.prefix)? {
            Some((newest, directory)) if Some(newest) > used => Some((newest, Some(directory))),
            _ => used.map(|used| (used, None)),
        };
        match newest {
            // A run that ended within this second is no sign of a clock that was set back.
            Some((newest, _)) if newest == key && request.key.is_none() => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            // The same key again after a dump of it that failed: there is nothing that it could hide.
            Some((newest, Some(directory)))
                if newest == key && request.key.is_some() && has_failed(files, &directory, &request.prefix, key) =>
            {
                info!("The dump with key {key} had failed; it is made anew");
                return Ok(key);
            }
            Some((newest, directory)) if newest >= key => {
                let place = directory.map_or_else(
                    || "of this run".to_owned(),
                    |directory| format!("in \"{}\"", directory.display()),
                );
                return Err(
                    Refusal::failed("There is a future dated backup on the system preventing new backups")
                        .with_hint(format!("the set {newest} {place} is not older than {key}")),
                );
            }
            _ => return Ok(key),
        }
    }
}

/// The report of this set says that its dump failed, and no data of it are on the master.
fn has_failed(files: &Files, directory: &Place, prefix: &Prefix, key: TimestampKey) -> bool {
    let names = |compression| SetNames {
        prefix: prefix.clone(),
        key,
        naming: FileNaming::New,
        compression,
    };
    let report = directory.join(names(Compression::None).of_set(DumpFileKind::Report));
    let has_data = [Compression::None, Compression::Gzip]
        .into_iter()
        .map(|compression| directory.join(names(compression).of_master(DumpFileKind::Dump)))
        // Where nobody can look there may be some.
        .any(|data| files.is_file(&data).unwrap_or(true));
    let text = files.read(&report).unwrap_or_default();
    let facts = report::parse(&String::from_utf8_lossy(&text), prefix, key);
    !has_data && facts.conclusion != Some(Conclusion::Success)
}

/// The newest set with this prefix, by the reports in the newest date directory that has one.
fn newest_set(files: &Files, root: &Place, prefix: &Prefix) -> Result<Option<(TimestampKey, Place)>, Refusal> {
    let place = root.join(DUMP_DIR);
    let entries = match files.list(&place) {
        Ok(entries) => entries,
        // Of a disk the directory check says more, and says it next; a bucket that cannot be listed is no empty one.
        Err(error) if place.is_stored() && error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Refusal::failed(format!("could not list {place}: {error}")));
        }
        Err(_) => return Ok(None),
    };
    // A link of a disk may lead to one.
    let is_dir = |place: &Place| files.is_dir(place).unwrap_or(false);
    let is_date = |name: &str| name.len() == 8 && name.bytes().all(|b| b.is_ascii_digit());
    let mut dates: Vec<Place> = entries
        .into_iter()
        .filter(|entry| is_date(&entry.name))
        .filter(|entry| entry.kind == EntryKind::Directory || is_dir(&place.join(&entry.name)))
        .map(|entry| place.join(&entry.name))
        .collect();
    dates.sort_unstable_by(|a, b| b.cmp(a));
    for date in dates {
        let entries = (files.list(&date))
            .map_err(|error| Refusal::failed(format!("could not list directory \"{}\": {error}", date.display())))?;
        let newest = entries
            .iter()
            .filter_map(|entry| DumpFileName::parse(&entry.name, prefix))
            .filter(|name| name.kind == DumpFileKind::Report)
            .map(|name| name.key)
            .max();
        if let Some(newest) = newest {
            return Ok(Some((newest, date)));
        }
    }
    Ok(None)
}
