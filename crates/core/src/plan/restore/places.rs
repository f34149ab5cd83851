//! Where the data files of a set may lie, best place first, and which of those that were found are taken.
//!
//! The first place is where this cluster would write the file itself; then where the report or the manifest says that it
//! was written, on that host and, for a set that was copied together, on every other host; then the master's own
//! directories.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{DataFile, DumpSet, SetSegment};
use crate::words::cluster::{Cluster, HostName};
use crate::words::ids::ContentId;
use crate::words::layout::{DumpFileKind, FileNaming, InstanceId, dump_directory};
use crate::words::place::Place;

/// What to look for: names by directory by host.
pub type Search = BTreeMap<HostName, BTreeMap<Place, BTreeSet<String>>>;

/// What is there: sizes by host, directory and name; a named pipe has none.
pub type Found = BTreeMap<(HostName, Place, String), Option<u64>>;

/// A file that was not found where it can be restored from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    pub content: ContentId,
    pub name: String,
    /// The first place that was looked at.
    pub host: HostName,
    pub directory: Place,
    /// Files of that name and another size than the manifest says.
    pub wrong_size: Option<WrongSize>,
    pub expected_host: HostName,
    pub expected_directory: Place,
}

/// A file that was changed or cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrongSize {
    pub found: u64,
    pub expected: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Spot {
    host: HostName,
    directory: Place,
    name: String,
}

/// Everything worth looking for. `own_names` are the names of the host that we run on.
pub fn search(set: &DumpSet, cluster: &Cluster, backup_root: Option<&Place>, own_names: &[String]) -> Search {
    let mut search = Search::new();
    for segment in &set.segments {
        for place in places(set, segment, cluster, backup_root, own_names) {
            let directories = search.entry(place.host).or_default();
            directories.entry(place.directory).or_default().insert(place.name);
        }
    }
    search
}

/// The files to load, by content; or what is missing.
pub fn choose(
    set: &DumpSet,
    cluster: &Cluster,
    backup_root: Option<&Place>,
    own_names: &[String],
    found: &Found,
) -> Result<Vec<DataFile>, Vec<Missing>> {
    let (files, missing) = choose_each(set, cluster, backup_root, own_names, found);
    if missing.is_empty() { Ok(files) } else { Err(missing) }
}

/// What there is of the files, and what is missing.
pub fn choose_each(
    set: &DumpSet,
    cluster: &Cluster,
    backup_root: Option<&Place>,
    own_names: &[String],
    found: &Found,
) -> (Vec<DataFile>, Vec<Missing>) {
    let (mut files, mut missing) = (Vec::new(), Vec::new());
    for segment in &set.segments {
        let places = places(set, segment, cluster, backup_root, own_names);
        let mut wrong_size = None;
        let fitting = places.iter().find(|place| {
            let key = (place.host.clone(), place.directory.clone(), place.name.clone());
            match (found.get(&key), segment.size) {
                (Some(&Some(size)), Some(expected)) if size != expected => {
                    wrong_size.get_or_insert(WrongSize { found: size, expected });
                    false
                }
                (found, _) => found.is_some(),
            }
        });
        match fitting {
            Some(place) => files.push(DataFile {
                content: segment.content,
                dbid: segment.dbid,
                host: place.host.clone(),
                path: place.directory.join(&place.name),
                size: found
                    .get(&(place.host.clone(), place.directory.clone(), place.name.clone()))
                    .copied()
                    .flatten()
                    .unwrap_or_default(),
                sha256: segment.sha256.clone(),
            }),
            None => {
                let first = places.first();
                missing.push(Missing {
                    content: segment.content,
                    name: segment.name.clone(),
                    host: first.map_or_else(|| segment.host.clone(), |p| p.host.clone()),
                    directory: first.map_or_else(|| segment.directory.clone(), |p| p.directory.clone()),
                    wrong_size,
                    expected_host: segment.host.clone(),
                    expected_directory: segment.directory.clone(),
                });
            }
        }
    }
    (files, missing)
}

fn places(
    set: &DumpSet,
    segment: &SetSegment,
    cluster: &Cluster,
    backup_root: Option<&Place>,
    own_names: &[String],
) -> Vec<Spot> {
    let key = set.names.key;
    let master = cluster.master();
    let primary = cluster.primary(segment.content);
    let mut names = vec![segment.name.clone()];
    // A new name tells the content, so the file of another instance of it is as good. An old name tells the dbid alone,
    // and only the set itself knows which content that was.
    if let Some(primary) = primary
        && set.names.naming == FileNaming::New
    {
        let id = InstanceId {
            content: segment.content,
            dbid: primary.dbid,
        };
        names.push(set.names.of_instance(DumpFileKind::Dump, id));
    }
    let root_of = |data_dir: &Path| match backup_root {
        Some(root) => dump_directory(root, key),
        None => dump_directory(&data_dir.into(), key),
    };
    let written_in = match backup_root {
        Some(root) => dump_directory(root, key),
        None => segment.directory.clone(),
    };
    // A host that the set names is asked only when this cluster knows it: a name in an old report is no reason to log in
    // anywhere.
    let known_host = |host: &HostName| {
        if own_names.contains(&host.0) {
            Some(master.host.clone())
        } else {
            cluster.instances().any(|i| i.host == *host).then(|| host.clone())
        }
    };
    // A bucket looks the same from everywhere: one host asks it.
    if let Some(root) = backup_root.filter(|root| root.is_stored()) {
        let host = primary.map_or(&master.host, |primary| &primary.host);
        let spot = |name: String| Spot {
            host: host.clone(),
            directory: dump_directory(root, key),
            name,
        };
        return vec![spot(segment.name.clone())];
    }
    let mut spots: Vec<(HostName, Place)> = Vec::new();
    spots.extend(primary.map(|p| (p.host.clone(), root_of(&p.data_dir))));
    spots.extend(known_host(&segment.host).map(|host| (host, written_in.clone())));
    let hosts: BTreeSet<&HostName> = cluster.instances().map(|i| &i.host).collect();
    spots.extend(hosts.into_iter().map(|host| (host.clone(), written_in.clone())));
    spots.push((master.host.clone(), set.directory.clone()));
    spots.push((master.host.clone(), root_of(&master.data_dir)));
    let mut places: Vec<Spot> = Vec::new();
    for (host, directory) in spots {
        for name in &names {
            let place = Spot {
                host: host.clone(),
                directory: directory.clone(),
                name: name.clone(),
            };
            if !places.contains(&place) {
                places.push(place);
            }
        }
    }
    places
}

#[cfg(test)]
#[path = "places_tests.rs"]
mod tests;
