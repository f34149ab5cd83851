//! A set on another host (`-R`): what the argument means, and which file of it goes where here.
//!
//! `host:/backup/db_dumps/20240102`: the files of the set lie in that directory, all of them, and come into
//! `/backup/db_dumps/20240102` of the master and of the segments' hosts, as if `-u /backup` had been said.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::DumpSet;
use crate::words::cluster::{Cluster, HostName};
use crate::words::ids::ContentId;
use crate::words::layout::{DUMP_DIR, DumpFileKind, DumpFileName, InstanceId};
use crate::words::refusal::Refusal;

/// Where a set is fetched from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemotePlace {
    pub host: HostName,
    /// The date directory, absolute.
    pub directory: PathBuf,
    /// The part before `db_dumps`.
    pub root: PathBuf,
}

/// The names of a directory with their sizes.
pub type Listing = BTreeMap<String, u64>;

const USAGE: &str = "The arguments of the -R flag are incorrect. The correct form should be as follows:\n\
    IPv4_address:path_to_dumpset\n-OR-\n[IPv6_address]:path_to_dumpset\n";

impl RemotePlace {
    /// `host:path`, `[ipv6]:path`, or an absolute path of this host.
    pub fn parse(text: &str) -> Result<RemotePlace, Refusal> {
        let (host, path) = if text.starts_with('/') && !text.contains(':') {
            ("localhost", text)
        } else if let Some(rest) = text.strip_prefix('[') {
            rest.split_once("]:").ok_or_else(|| Refusal::argument(USAGE))?
        } else {
            let mut pieces = text.split(':');
            match (pieces.next(), pieces.next(), pieces.next()) {
                (Some(host), Some(path), None) => (host, path),
                _ => return Err(Refusal::argument(USAGE)),
            }
        };
        if host.is_empty() || path.is_empty() {
            return Err(Refusal::argument(USAGE));
        }
        let path = path.trim_end_matches('/');
        let Some((root, _)) = path.split_once(&format!("/{DUMP_DIR}")) else {
            return Err(Refusal::failed(format!(
                "Path {path} does not contain expected \"{DUMP_DIR}\" directory"
            )));
        };
        let directory = Path::new(path);
        let expected = Path::new(root).join(DUMP_DIR);
        let date = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_date = date.len() == 8 && date.bytes().all(|b| b.is_ascii_digit());
        if !directory.is_absolute() || !is_date || directory.parent() != Some(expected.as_path()) {
            return Err(
                Refusal::failed(format!("Path {path} does not name the directory of a dump set"))
                    .with_hint("it must be absolute and end with db_dumps/YYYYMMDD"),
            );
        }
        Ok(RemotePlace {
            host: HostName(host.to_owned()),
            directory: directory.to_owned(),
            root: match root {
                "" => PathBuf::from("/"),
                root => PathBuf::from(root),
            },
        })
    }
}

/// One file to be brought here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileCopy {
    /// Its name there.
    pub from: String,
    pub host: HostName,
    pub directory: PathBuf,
    /// Its name here.
    pub name: String,
    pub size: u64,
    /// From the manifest, lower-case hex.
    pub sha256: Option<String>,
}

/// Files that belong to the set as a whole or to its master and that a restore may want.
const MASTERS: &[DumpFileKind] = &[
    DumpFileKind::Report,
    DumpFileKind::Manifest,
    DumpFileKind::Dump,
    DumpFileKind::PostData,
    DumpFileKind::Cdatabase,
    DumpFileKind::Global,
    DumpFileKind::Statistics,
    DumpFileKind::AoState,
    DumpFileKind::CoState,
    DumpFileKind::LastOperation,
    DumpFileKind::Filter,
    DumpFileKind::Table,
    DumpFileKind::Schema,
    DumpFileKind::TableList,
];

/// What is copied: the master's files first. Refuses when a file is not there, or not what the manifest says.
pub fn plan_copies(
    place: &RemotePlace,
    set: &DumpSet,
    listing: &Listing,
    cluster: &Cluster,
) -> Result<Vec<FileCopy>, Refusal> {
    let names = &set.names;
    let directory = &place.directory;
    let stamps: HashMap<&str, _> = set
        .manifest
        .iter()
        .flat_map(|manifest| manifest.instances.iter().flat_map(|instance| &instance.files))
        .map(|stamp| (stamp.name.as_str(), stamp))
        .collect();
    // The report may be written again after the manifest.
    let report = names.of_set(DumpFileKind::Report);
    let copy = |from: &str, name: String, host: &HostName, size: u64| {
        let stamp = stamps.get(name.as_str()).filter(|_| name != report);
        if let Some(stamp) = stamp.filter(|stamp| stamp.size != size) {
            return Err(Refusal::known(format!(
                "Dump file {from} on {} in {} has {size} bytes, the manifest of the set says {}",
                place.host,
                place.directory.display(),
                stamp.size
            ))
            .with_hint("nothing was changed and nothing was copied"));
        }
        Ok(FileCopy {
            from: from.to_owned(),
            host: host.clone(),
            directory: directory.clone(),
            sha256: stamp.map(|stamp| stamp.sha256.clone()),
            name,
            size,
        })
    };
    let master = &cluster.master().host;
    let mut copies = Vec::new();
    for (name, size) in listing {
        let Some(parsed) = DumpFileName::parse(name, &names.prefix) else {
            continue;
        };
        let is_masters = parsed.instance.is_none_or(|id| id == InstanceId::MASTER);
        // The restore looks at all that the manifest vouches for.
        let is_wanted = MASTERS.contains(&parsed.kind) || stamps.contains_key(name.as_str());
        if parsed.key == names.key && is_masters && is_wanted {
            copies.push(copy(name, name.clone(), master, *size)?);
        }
    }
    for required in stamps.keys().filter(|name| is_of_master(name, set)) {
        if !listing.contains_key(*required) {
            return Err(missing(place, required, ContentId::MASTER));
        }
    }
    for segment in &set.segments {
        let host = cluster.primary(segment.content).map_or(master, |primary| &primary.host);
        let found = match listing.get_key_value(&segment.name) {
            Some(found) => Some(found),
            // A mirror may have written it: another dbid, the same rows.
            None => listing.iter().find(|(name, _)| {
                DumpFileName::parse(name, &names.prefix).is_some_and(|parsed| {
                    parsed.key == names.key
                        && parsed.kind == DumpFileKind::Dump
                        && parsed.instance.is_some_and(|id| id.content == segment.content)
                        && segment.sha256.is_none()
                })
            }),
        };
        let (from, size) = found.ok_or_else(|| missing(place, &segment.name, segment.content))?;
        copies.push(copy(from, segment.name.clone(), host, *size)?);
        let id = InstanceId {
            content: segment.content,
            dbid: segment.dbid,
        };
        let index = names.of_instance(DumpFileKind::Index, id);
        if let Some(size) = listing.get(&index) {
            copies.push(copy(&index, index.clone(), host, *size)?);
        }
    }
    Ok(copies)
}

fn is_of_master(name: &str, set: &DumpSet) -> bool {
    let parsed = DumpFileName::parse(name, &set.names.prefix);
    parsed.is_some_and(|parsed| parsed.instance.is_none_or(|id| id == InstanceId::MASTER))
}

fn missing(place: &RemotePlace, name: &str, content: ContentId) -> Refusal {
    let of = match content.is_master() {
        true => "the master".to_owned(),
        false => format!("segment {content}"),
    };
    Refusal::known(format!(
        "No dump file on {} in {}",
        place.host,
        place.directory.display()
    ))
    .with_hint(format!(
        "nothing was changed and nothing was copied; file {name} of {of} is missing there"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::restore::test_sets::{cluster, host_of, original_set};
    use crate::words::layout::FileNaming;

    #[test]
    fn a_place_is_read_as_the_original_reads_it_or_refused_in_its_words() {
        let place = |host: &str, root: &str| {
            Ok(RemotePlace {
                host: HostName(host.into()),
                directory: format!("{root}/db_dumps/20240102").into(),
                root: root.into(),
            })
        };
        for (text, expected) in [
            ("h:/b/db_dumps/20240102", place("h", "/b")),
            ("[fe80::1]:/b/db_dumps/20240102/", place("fe80::1", "/b")),
            ("/b/db_dumps/20240102", place("localhost", "/b")),
        ] {
            assert_eq!(RemotePlace::parse(text), expected, "{text}");
        }
        for text in [
            "h",
            "h:/a:/b",
            "fe80::1:/b/db_dumps/20240102",
            ":/b/db_dumps/20240102",
            "h:",
            "[::1]/b",
        ] {
            assert_eq!(RemotePlace::parse(text), Err(Refusal::argument(USAGE)), "{text}");
        }
        let refused = |text: &str| RemotePlace::parse(text).unwrap_err().text;
        assert_eq!(
            refused("h:/b/dumps/20240102"),
            "Path /b/dumps/20240102 does not contain expected \"db_dumps\" directory"
        );
        for text in [
            "h:b/db_dumps/20240102",
            "h:/b/db_dumps",
            "h:/b/db_dumps/x/20240102",
            "h:/b/db_dumps2/20240102",
        ] {
            assert!(refused(text).contains("does not name the directory"), "{text}");
        }
    }

    #[test]
    fn each_segments_file_goes_to_its_host_and_those_without_a_segment_to_the_master() {
        let set = original_set(3, FileNaming::New);
        let place = RemotePlace::parse("h:/b/db_dumps/20240102").unwrap();
        let mut listing: Listing = set.segments.iter().map(|segment| (segment.name.clone(), 7)).collect();
        listing.insert("gp_dump_-1_1_20240102030405.gz".into(), 1);
        listing.insert("gp_dump_20240102030405.rpt".into(), 2);
        listing.insert("gp_dump_20240102030406.rpt".into(), 2);
        listing.insert("gp_restore_20240102030405.rpt".into(), 2);
        // Written by the mirror of segment 1.
        let name = set.segments[1].name.clone();
        listing.remove(&name);
        listing.insert("gp_dump_1_99_20240102030405.gz".into(), 8);
        let copies = plan_copies(&place, &set, &listing, &cluster(2)).unwrap();
        let told: Vec<_> = copies
            .iter()
            .map(|c| (c.from.as_str(), c.name.as_str(), &c.host, c.size))
            .collect();
        let (mdw, sdw1, sdw2) = (host_of(-1), host_of(0), host_of(1));
        assert_eq!(
            told,
            [
                (
                    "gp_dump_-1_1_20240102030405.gz",
                    "gp_dump_-1_1_20240102030405.gz",
                    &mdw,
                    1
                ),
                ("gp_dump_20240102030405.rpt", "gp_dump_20240102030405.rpt", &mdw, 2),
                (
                    "gp_dump_0_12_20240102030405.gz",
                    "gp_dump_0_12_20240102030405.gz",
                    &sdw1,
                    7
                ),
                (
                    "gp_dump_1_99_20240102030405.gz",
                    "gp_dump_1_13_20240102030405.gz",
                    &sdw2,
                    8
                ),
                (
                    "gp_dump_2_14_20240102030405.gz",
                    "gp_dump_2_14_20240102030405.gz",
                    &mdw,
                    7
                ),
            ]
        );
        listing.remove("gp_dump_2_14_20240102030405.gz");
        let refusal = plan_copies(&place, &set, &listing, &cluster(2)).unwrap_err();
        assert_eq!(refusal.text, "No dump file on h in /b/db_dumps/20240102");
    }
}
