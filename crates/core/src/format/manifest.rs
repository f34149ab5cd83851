//! The manifest: what a set consists of, written last, on the master.
//!
//! ```text
//! {
//!   "format": 1,
//!   "program": "gpcrondump 0.1.0",
//!   "key": "20240102030405",
//!   ...
//!   "instances": [{"content": -1, "dbid": 1, "host": "mdw", "directory": "/data/...", "files": [...]}, ...],
//!   "tables": [{"schema": "public", "name": "t", "rows": 3, "bytes": 60, "distribution": "hashed"}]
//! }
//! ```
//!
//! A set whose report bears our mark and that has no valid manifest is incomplete. Whether the files are there and hash
//! to what is written here is for whoever can open files to find out; [`Manifest::problems`] sees what the text alone
//! can tell.

use std::collections::BTreeSet;

use chrono::DateTime;
use serde::{Deserialize, Serialize};

use super::external_rows::ExternalRows;
use super::report::BackupType;
use crate::words::cluster::HostName;
use crate::words::dialect::{HashFamily, PgVersion, Product};
use crate::words::ids::{ContentId, DbId, Prefix, TimestampKey};
use crate::words::job::{FileStamp, TableTotals};
use crate::words::layout::{Compression, DumpFileKind, DumpFileName, FileNaming, InstanceId};
use crate::words::names::QualifiedName;
use crate::words::place::Place;
use crate::words::relation::Distribution;

/// The version of this format; a reader refuses others.
pub const FORMAT: u32 = 1;
/// That of a set whose rows are not all in its files: who knows only the other would restore empty tables.
pub const FORMAT_EXTERNAL: u32 = 2;

/// Everything that is promised about a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    /// Name and version of the program that wrote the set.
    pub program: String,
    pub key: TimestampKey,
    pub prefix: Prefix,
    pub database: String,
    /// The server's name of the database's encoding.
    pub encoding: String,
    pub server: ServerFacts,
    pub compression: Compression,
    pub naming: FileNaming,
    pub backup_type: BackupType,
    /// Of an increment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<BaseSets>,
    /// The options as they were typed.
    pub command_line: String,
    /// RFC 3339.
    pub started: String,
    /// RFC 3339.
    pub ended: String,
    pub consistency: Consistency,
    /// Of a set that was read through the master alone: its "segments" are connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streams: Option<Streams>,
    pub instances: Vec<InstanceFiles>,
    pub tables: Vec<TableFacts>,
    /// Rows that are in no file of the set; their tables are not among `tables`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalRows>,
    /// External tables whose LOCATION holds what looks like a secret: it stands in the definitions of this set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets_in_definitions: Vec<QualifiedName>,
}

/// How a set was read through the master. Each table is whole in the file of one stream, and has an empty block in those
/// of the others; where its rows lay is not known, so that no row may go straight into a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Streams {
    /// `host:port` as it was connected to.
    pub address: String,
    pub connections: usize,
    pub snapshot: StreamSnapshot,
}

/// What the streams of a set saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StreamSnapshot {
    /// There was one stream, and all of it was one transaction.
    OneTransaction,
    /// The same snapshot, exported by another session.
    Exported,
    /// Snapshots of one moment, taken while nobody could write.
    Locked,
    /// Each its own.
    Own,
}

/// The sets that an increment needs beside itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseSets {
    pub full: TimestampKey,
    /// The set it was compared with: the increment before it, or the full dump.
    pub previous: TimestampKey,
}

/// The server that was dumped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerFacts {
    /// `version()` in full.
    pub banner: String,
    pub pg_version: PgVersion,
    pub product: Product,
    /// Where rows of hashed tables lie; decides whether segments can be loaded directly.
    pub hash_family: HashFamily,
}

/// Whether all segments show the same set of committed transactions, and what that took.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consistency {
    pub one_cut: bool,
    /// How often the lock was asked for.
    pub attempts: u32,
    /// Milliseconds for which the lock was held.
    pub held_ms: u64,
    /// Milliseconds until it was had or given up.
    pub waited_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Tables and sessions that stood in the way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub in_the_way: Vec<String>,
}

/// What one instance wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceFiles {
    pub content: ContentId,
    pub dbid: DbId,
    pub host: HostName,
    pub directory: Place,
    pub files: Vec<FileStamp>,
}

/// One table, summed over all segments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableFacts {
    #[serde(flatten)]
    pub table: QualifiedName,
    #[serde(flatten)]
    pub totals: TableTotals,
    pub distribution: Distribution,
    /// Its rows lie by the hash functions of Greenplum up to 5, and `hash_family` of the server is another.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub legacy_hash: bool,
    /// Of a hashed table the columns of its key in their order: name, type and operator class.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub distributed_by: Vec<String>,
}

/// Why a text is no manifest.
#[derive(Debug, thiserror::Error)]
pub enum BadManifest {
    #[error("the manifest could not be read: it is damaged or was cut off")]
    Unreadable(#[source] serde_json::Error),
    #[error(
        "the manifest has format {0}, and this program reads formats up to {FORMAT_EXTERNAL}: use the program that wrote it, or a newer one"
    )]
    OtherFormat(u32),
}

impl Manifest {
    pub fn parse(text: &str) -> Result<Manifest, BadManifest> {
        #[derive(Deserialize)]
        struct FormatOnly {
            format: u32,
        }
        // The version first: another version may have other fields.
        let FormatOnly { format } = serde_json::from_str(text).map_err(BadManifest::Unreadable)?;
        if format != FORMAT && format != FORMAT_EXTERNAL {
            return Err(BadManifest::OtherFormat(format));
        }
        serde_json::from_str(text).map_err(BadManifest::Unreadable)
    }

    /// The whole file, for people and programs, with a line end.
    pub fn write(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a manifest has only strings as keys");
        text.push('\n');
        text
    }

    /// What is missing or contradicts itself, a sentence each; empty when the manifest is sound.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        self.check_times(&mut problems);
        self.check_instances(&mut problems);
        for instance in &self.instances {
            self.check_files(instance, &mut problems);
        }
        let mut seen = BTreeSet::new();
        for facts in &self.tables {
            if !seen.insert(&facts.table) {
                problems.push(format!("table {} is listed twice", facts.table));
            }
        }
        problems
    }

    /// The stamp of a file of one instance.
    pub fn file(&self, content: ContentId, name: &str) -> Option<&FileStamp> {
        let of_content = self.instances.iter().filter(|i| i.content == content);
        of_content.flat_map(|i| &i.files).find(|f| f.name == name)
    }

    /// How long the dump took.
    pub fn seconds(&self) -> u64 {
        let moment = |text: &str| DateTime::parse_from_rfc3339(text).ok();
        match (moment(&self.started), moment(&self.ended)) {
            (Some(started), Some(ended)) => u64::try_from((ended - started).num_seconds()).unwrap_or(0),
            _ => 0,
        }
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.instances.iter().flat_map(|i| &i.files).map(|file| file.size).sum()
    }

    fn check_times(&self, problems: &mut Vec<String>) {
        let mut read = |what: &str, text: &str| match DateTime::parse_from_rfc3339(text) {
            Ok(moment) => Some(moment),
            Err(_) => {
                problems.push(format!("the {what} time \"{text}\" is not a time of RFC 3339"));
                None
            }
        };
        let (started, ended) = (read("start", &self.started), read("end", &self.ended));
        if let (Some(started), Some(ended)) = (started, ended)
            && ended < started
        {
            problems.push(format!(
                "the dump ended ({}) before it started ({})",
                self.ended, self.started
            ));
        }
    }

    fn check_instances(&self, problems: &mut Vec<String>) {
        let masters = self.instances.iter().filter(|i| i.content.is_master()).count();
        if masters != 1 {
            problems.push(format!("{masters} masters are listed, expected one"));
        }
        let mut contents: Vec<i32> = self.instances.iter().map(|i| i.content.0).filter(|c| *c >= 0).collect();
        contents.sort_unstable();
        if contents.is_empty() {
            problems.push("no segment is listed".to_owned());
        }
        for (expected, found) in (0..).zip(&contents) {
            if expected != *found {
                problems.push(format!("segment {expected} is missing, or another is listed twice"));
                break;
            }
        }
        let dbids: BTreeSet<DbId> = self.instances.iter().map(|i| i.dbid).collect();
        if dbids.len() != self.instances.len() {
            problems.push("two instances have the same dbid".to_owned());
        }
    }

    fn check_files(&self, instance: &InstanceFiles, problems: &mut Vec<String>) {
        let whose = if instance.content.is_master() {
            "the master".to_owned()
        } else {
            format!("segment {}", instance.content)
        };
        let mut names = BTreeSet::new();
        let mut has_data = false;
        for file in &instance.files {
            if !names.insert(&file.name) {
                problems.push(format!("file \"{}\" of {whose} is listed twice", file.name));
            }
            if file.sha256.len() != 64 || !file.sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
                problems.push(format!("file \"{}\" of {whose} has no SHA-256", file.name));
            }
            match DumpFileName::parse(&file.name, &self.prefix) {
                // The chain of increments is named after the full dump, and everything else after this set.
                Some(name) if name.key != self.key && name.kind != DumpFileKind::Increments => {
                    problems.push(format!("file \"{}\" of {whose} belongs to another set", file.name));
                }
                Some(name) => has_data |= name.kind == DumpFileKind::Dump && self.is_data_file(instance, file),
                None => problems.push(format!("file \"{}\" of {whose} is no file of a dump set", file.name)),
            }
        }
        // A master may have none: a dump of data alone writes no DDL.
        if !has_data && !instance.content.is_master() {
            problems.push(format!("the data file of {whose} is not listed"));
        }
    }

    fn is_data_file(&self, instance: &InstanceFiles, file: &FileStamp) -> bool {
        let name = DumpFileName {
            prefix: self.prefix.clone(),
            kind: DumpFileKind::Dump,
            instance: Some(InstanceId {
                content: instance.content,
                dbid: instance.dbid,
            }),
            key: self.key,
            naming: self.naming,
            compression: self.compression,
        };
        name.text() == file.name
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn instance(content: i32, dbid: i32, files: &[&str]) -> InstanceFiles {
        InstanceFiles {
            content: ContentId(content),
            dbid: DbId(dbid),
            host: HostName("sdw1".into()),
            directory: "/data/db_dumps/20240102".into(),
            files: files
                .iter()
                .map(|name| FileStamp {
                    name: (*name).to_owned(),
                    size: 10,
                    sha256: "0a".repeat(32),
                })
                .collect(),
        }
    }

    pub(crate) fn sound() -> Manifest {
        Manifest {
            format: FORMAT,
            program: "gpcrondump 0.1.0".into(),
            key: "20240102030405".parse().unwrap(),
            prefix: Prefix::none(),
            database: "shop".into(),
            encoding: "UTF8".into(),
            server: ServerFacts {
                banner: "PostgreSQL 9.4.26 (Greenplum Database 6.24.3)".into(),
                pg_version: PgVersion(90426),
                product: Product::Greenplum,
                hash_family: HashFamily::Jump,
            },
            compression: Compression::Gzip,
            naming: FileNaming::New,
            backup_type: BackupType::Full,
            base: None,
            command_line: "-a -x shop".into(),
            started: "2024-01-02T03:04:05+01:00".into(),
            ended: "2024-01-02T03:05:00+01:00".into(),
            consistency: Consistency {
                one_cut: true,
                attempts: 1,
                held_ms: 21,
                waited_ms: 53,
                ..Consistency::default()
            },
            streams: None,
            instances: vec![
                instance(-1, 1, &["gp_dump_-1_1_20240102030405.gz", "gp_dump_20240102030405.rpt"]),
                instance(
                    0,
                    2,
                    &["gp_dump_0_2_20240102030405.gz", "gp_dump_0_2_20240102030405_index"],
                ),
                instance(1, 3, &["gp_dump_1_3_20240102030405.gz"]),
            ],
            tables: vec![TableFacts {
                table: QualifiedName::new("public", "t"),
                totals: TableTotals { rows: 3, bytes: 60 },
                distribution: Distribution::Hashed,
                legacy_hash: false,
                distributed_by: vec!["id integer pg_catalog.int4_ops".into()],
            }],
            external: None,
            secrets_in_definitions: Vec::new(),
        }
    }

    #[test]
    fn a_sound_manifest_has_no_problems_and_reads_back() {
        let manifest = sound();
        assert_eq!(manifest.problems(), Vec::<String>::new());
        assert_eq!(Manifest::parse(&manifest.write()).unwrap(), manifest);
    }

    #[test]
    fn every_contradiction_is_a_sentence() {
        type Damage = fn(&mut Manifest);
        let cases: [(Damage, &str); 12] = [
            (|m| m.instances.clear(), "0 masters are listed, expected one"),
            (|m| m.instances.truncate(1), "no segment is listed"),
            (
                |m| drop(m.instances.remove(1)),
                "segment 0 is missing, or another is listed twice",
            ),
            (|m| m.instances[2].dbid = DbId(2), "two instances have the same dbid"),
            (
                |m| m.instances[2].files.clear(),
                "the data file of segment 1 is not listed",
            ),
            (
                |m| m.compression = Compression::None,
                "the data file of segment 0 is not listed",
            ),
            (
                |m| m.instances[1].files[0].sha256.clear(),
                "file \"gp_dump_0_2_20240102030405.gz\" of segment 0 has no SHA-256",
            ),
            (
                |m| m.instances[0].files[0].name = "passwd".into(),
                "file \"passwd\" of the master is no file of a dump set",
            ),
            (
                |m| m.instances[0].files[1].name = "gp_dump_20240102030406.rpt".into(),
                "file \"gp_dump_20240102030406.rpt\" of the master belongs to another set",
            ),
            (|m| m.tables.push(m.tables[0].clone()), "table public.t is listed twice"),
            (
                |m| m.ended = "yesterday".into(),
                "the end time \"yesterday\" is not a time of RFC 3339",
            ),
            (
                |m| m.ended = "2024-01-02T03:04:04+01:00".into(),
                "the dump ended (2024-01-02T03:04:04+01:00) before it started (2024-01-02T03:04:05+01:00)",
            ),
        ];
        for (damage, sentence) in cases {
            let mut manifest = sound();
            damage(&mut manifest);
            let problems = manifest.problems();
            assert!(problems.iter().any(|p| p == sentence), "{sentence}: {problems:?}");
        }
    }

    #[test]
    fn a_cut_manifest_and_another_format_are_refused() {
        let text = sound().write();
        for cut in 0..text.trim_end().len() {
            assert!(Manifest::parse(&text[..cut]).is_err(), "{cut}");
        }
        let newer = text.replacen("\"format\": 1", "\"format\": 3", 1);
        assert!(matches!(Manifest::parse(&newer), Err(BadManifest::OtherFormat(3))));
    }

    #[test]
    fn a_file_is_found_by_its_instance_and_name() {
        let manifest = sound();
        assert!(manifest.file(ContentId(1), "gp_dump_1_3_20240102030405.gz").is_some());
        assert!(manifest.file(ContentId(0), "gp_dump_1_3_20240102030405.gz").is_none());
    }

    proptest! {
        #[test]
        fn any_names_survive(database in ".*", schema in ".*", name in ".*", note in proptest::option::of(".*")) {
            let mut manifest = sound();
            manifest.database = database;
            manifest.tables[0].table = QualifiedName { schema, name };
            manifest.consistency.note = note;
            prop_assert_eq!(Manifest::parse(&manifest.write()).unwrap(), manifest);
        }
    }
}
