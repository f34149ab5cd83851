//! `-R`: a set that lies on another host is brought here, and then restored as any other.
//!
//! Its report and manifest are read first, into a directory of our own; nothing is copied before the whole set is known
//! to be there and the person has said yes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::definitions::parse_script;
use super::lines;
use super::selection::Selection;
use super::which::choose_key;
use crate::db::error_chain;
use crate::format::report::BackupType;
use crate::gather::cluster::{Surroundings, launcher};
use crate::gather::dump_set;
use crate::launch::Launcher;
use crate::launch::files::Error;
use crate::plan::restore::DumpSet;
use crate::plan::restore::remote::{FileCopy, Listing, RemotePlace, plan_copies};
use crate::plan::restore_request::RestoreRequest;
use crate::store::files::Files;
use crate::words::cluster::HostName;
use crate::words::environment::Environment;
use crate::words::ids::{Prefix, TimestampKey};
use crate::words::layout::{Compression, DUMP_DIR, DumpFileKind, DumpFileName, FileNaming, SetNames, dump_directory};
use crate::words::place::Place;
use crate::words::refusal::Refusal;

/// What became of it.
pub(super) enum Fetched {
    /// The set lies below the place's root now.
    Set(TimestampKey),
    /// The answer was no.
    Aborted,
    /// A dry run ends here: what it would look at is not here yet.
    Told,
}

/// Brings the set here.
pub(super) async fn fetch<C, N>(
    environment: &Environment,
    request: &RestoreRequest,
    place: &RemotePlace,
    around: &Surroundings,
    confirm: &C,
    choose: &N,
) -> Result<Fetched, Refusal>
where
    C: AsyncFn() -> Result<bool, Refusal>,
    N: AsyncFn(String, usize) -> Result<usize, Refusal>,
{
    let launcher = launcher(
        environment,
        request.remote_bin.clone(),
        request.limits,
        &Files::default(),
    );
    tracing::debug!("The host is {}", place.host);
    tracing::debug!("The path is {}", place.directory.display());
    let listing = launcher
        .list_files(&place.host, &place.directory)
        .await
        .map_err(refusal)?;
    let Some(listing) = listing else {
        return Err(Refusal::failed(format!(
            "Could not find path {} on host {}",
            place.directory.display(),
            place.host
        )));
    };
    let keys = keys_of(&listing, &request.prefix);
    if keys.is_empty() {
        return Err(Refusal::known(format!(
            "Could not locate Master database dump files at {}:{}",
            place.host,
            place.directory.display()
        )));
    }
    let date = place
        .directory
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let key = choose_key(&keys, &date, choose).await?;
    let set = read_head(&launcher, request, place, &listing, key).await?;
    if set.backup_type == BackupType::Incremental {
        return Err(Refusal::failed(format!(
            "-R is not supported for restore with incremental timestamp {key}"
        ))
        .with_hint(
            "nothing was changed and nothing was copied; copy the whole chain into place and name the set with -t",
        ));
    }
    let copies = plan_copies(place, &set, &listing, &around.cluster)?;
    for line in lines::parameters(request, &set, &around.cluster, &request.tables.names) {
        tracing::info!("{line}");
    }
    let wanted = missing_here(&launcher, &copies).await?;
    if request.dry_run {
        tracing::info!("Dry run: this is what would be done, and nothing is changed");
        for copy in &wanted {
            tracing::info!(
                "File {} on {}: {} bytes, would be copied to {} on {}",
                copy.from,
                place.host,
                copy.size,
                copy.directory.display(),
                copy.host
            );
        }
        tracing::info!("The rest can be seen once the set is here; nothing was changed");
        return Ok(Fetched::Told);
    }
    if request.confirm && !confirm().await? {
        return Ok(Fetched::Aborted);
    }
    tracing::info!("Commencing remote database dump file recovery process, please wait...");
    make_directories(&launcher, &wanted).await?;
    let (masters, segments): (Vec<_>, Vec<_>) = wanted.iter().partition(|copy| is_small(copy, &request.prefix));
    copy_all(&launcher, place, &masters, request.parallel).await?;
    // A wrong name of a table is noticed before anything big moves.
    if request.selects() && !request.only_extras() {
        let files = Files::default();
        let set = dump_set::read_dump_set(&files, &place.root.clone().into(), &request.prefix, key)?;
        let text = dump_set::read_ddl(&files, &set, DumpFileKind::Dump)?;
        Selection::read(
            request,
            &parse_script(&text, &dump_set::ddl_path(&set, DumpFileKind::Dump))?,
        )?;
    }
    copy_all(&launcher, place, &segments, request.parallel).await?;
    Ok(Fetched::Set(key))
}

fn keys_of(listing: &Listing, prefix: &Prefix) -> Vec<TimestampKey> {
    let reports = listing.keys().filter_map(|name| DumpFileName::parse(name, prefix));
    let keys: BTreeSet<TimestampKey> = reports
        .filter(|parsed| parsed.kind == DumpFileKind::Report)
        .map(|parsed| parsed.key)
        .collect();
    keys.into_iter().collect()
}

/// The set as its report and its manifest tell of it.
async fn read_head(
    launcher: &Launcher,
    request: &RestoreRequest,
    place: &RemotePlace,
    listing: &Listing,
    key: TimestampKey,
) -> Result<DumpSet, Refusal> {
    let own = tempfile::tempdir()
        .map_err(|error| Refusal::failed(format!("could not make a directory for temporary files: {error}")))?;
    let root = Place::from(own.path());
    let directory = own.path().join(DUMP_DIR).join(key.date_dir());
    let io = |error: std::io::Error| Refusal::failed(format!("could not write to {}: {error}", directory.display()));
    std::fs::create_dir_all(&directory).map_err(io)?;
    let names = SetNames {
        prefix: request.prefix.clone(),
        key,
        naming: FileNaming::New,
        compression: Compression::None,
    };
    for kind in [DumpFileKind::Report, DumpFileKind::Manifest] {
        let name = names.of_set(kind);
        if listing.contains_key(&name) {
            let text = launcher
                .read_small_file(&place.host, &place.directory.join(&name))
                .await
                .map_err(refusal)?;
            std::fs::write(directory.join(&name), text).map_err(io)?;
        }
    }
    let mut set = dump_set::read_set(&Files::default(), &root, &request.prefix, key).map_err(|refused| {
        // Where we put it for the moment helps nobody.
        let here = own.path().display().to_string();
        let there = format!("{}:{}", place.host, place.root.display());
        Refusal {
            text: refused.text.replace(&here, &there),
            ..refused
        }
    })?;
    set.directory = dump_directory(&place.root.clone().into(), key);
    Ok(set)
}

/// Files that are not where they belong. One that is there is right when it has the same size; what is in it is checked
/// by the restore.
async fn missing_here(launcher: &Launcher, copies: &[FileCopy]) -> Result<Vec<FileCopy>, Refusal> {
    let mut there: BTreeMap<(&HostName, &Path), Listing> = BTreeMap::new();
    for copy in copies {
        let place = (&copy.host, copy.directory.as_path());
        if let std::collections::btree_map::Entry::Vacant(entry) = there.entry(place) {
            let listing = launcher.list_files(place.0, place.1).await.map_err(refusal)?;
            entry.insert(listing.unwrap_or_default());
        }
    }
    let mut missing = Vec::new();
    for copy in copies {
        match there[&(&copy.host, copy.directory.as_path())].get(&copy.name) {
            None => missing.push(copy.clone()),
            Some(size) if *size == copy.size => {}
            Some(size) => {
                return Err(Refusal::failed(format!(
                    "file {} on {} has {size} bytes, and the one of the set that is to be copied there has {}",
                    copy.directory.join(&copy.name).display(),
                    copy.host,
                    copy.size
                ))
                .with_hint("nothing was changed and nothing was copied; move the other file away"));
            }
        }
    }
    Ok(missing)
}

/// The master's own: they are copied first.
fn is_small(copy: &FileCopy, prefix: &Prefix) -> bool {
    DumpFileName::parse(&copy.name, prefix)
        .is_some_and(|parsed| parsed.instance.is_none_or(|id| id.content.is_master()))
}

async fn make_directories(launcher: &Launcher, copies: &[FileCopy]) -> Result<(), Refusal> {
    let places: BTreeSet<(&HostName, &Path)> = copies
        .iter()
        .map(|copy| (&copy.host, copy.directory.as_path()))
        .collect();
    for (host, directory) in places {
        if launcher.list_files(host, directory).await.map_err(refusal)?.is_some() {
            continue;
        }
        let directory_text = directory.display();
        tracing::info!("Creating directory {directory_text} on {host}");
        launcher.make_directory(host, directory).await.map_err(|error| {
            Refusal::known(format!("Failed to create directory {directory_text} on {host}"))
                .with_hint(error_chain(&error))
        })?;
    }
    Ok(())
}

async fn copy_all(
    launcher: &Launcher,
    place: &RemotePlace,
    copies: &[&FileCopy],
    parallel: usize,
) -> Result<(), Refusal> {
    let places: BTreeSet<(&HostName, &Path)> = copies
        .iter()
        .map(|copy| (&copy.host, copy.directory.as_path()))
        .collect();
    for (host, directory) in places {
        tracing::info!(
            "Commencing remote copy from {} to {host}:{}",
            place.host,
            directory.display()
        );
    }
    let copies = copies
        .iter()
        .map(|copy| launcher.copy_file(&place.host, &place.directory, copy));
    stream::iter(copies)
        .buffer_unordered(parallel.min(MOST_COPIES))
        .try_collect::<Vec<()>>()
        .await
        .map_err(refusal)?;
    Ok(())
}

/// Copies at a time: each is a login or two, and sshd refuses a burst of them.
const MOST_COPIES: usize = 8;

fn refusal(error: Error) -> Refusal {
    Refusal::failed(error_chain(&error)).with_hint(error.hint())
}
