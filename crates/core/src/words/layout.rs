//! Names of the files of a dump set, and where they lie. The only module that builds or parses a dump file name.
//!
//! `<root>/db_dumps/<YYYYMMDD>/<prefix>gp_<infix>_<timestamp key><suffix>`, where `<root>` is the `-u` directory or the
//! instance's own data directory (`gpcrondump.md` 4.1).

use serde::{Deserialize, Serialize};

use super::ids::{ContentId, DbId, Prefix, TimestampKey};
use super::place::Place;

/// The directory under a root that holds the date directories.
pub const DUMP_DIR: &str = "db_dumps";

/// A file that is being written carries this behind its final name; it is never part of a set.
pub const PARTIAL_SUFFIX: &str = ".partial";

/// How instance ids stand in file names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileNaming {
    /// 5.x: `<content>_<dbid>`, the master `-1_1`.
    New,
    /// 4.x: the master `1_1`, segments `0_<dbid>`.
    Old,
}

/// Whether names of data and DDL files end in `.gz`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    Gzip,
    None,
}

/// The instance that a file belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InstanceId {
    pub content: ContentId,
    pub dbid: DbId,
}

impl InstanceId {
    /// The master. Its dbid in names is always 1, whatever a promoted standby's is: the original tools look for no other.
    pub const MASTER: InstanceId = InstanceId {
        content: ContentId::MASTER,
        dbid: DbId(1),
    };
}

/// Every kind of file that a dump set can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DumpFileKind {
    // per instance
    /// The master's: DDL before the data. A segment's: its rows.
    Dump,
    PostData,
    Index,
    /// What a later dump needs to leave out heap tables that did not change.
    HeapState,
    Status,
    Cdatabase,
    Global,
    Statistics,
    SegmentConfig,
    // one per set, on the master
    MasterConfig,
    Report,
    AoState,
    CoState,
    LastOperation,
    Filter,
    Table,
    Schema,
    DirtyList,
    TableList,
    Increments,
    Pipes,
    RegularFiles,
    Manifest,
    // written by a restore
    RestoreReport,
    RestoreStatus,
    RestorePlan,
    /// What could not be made, as the set defines it.
    RestoreRest,
    /// Tables that a restore did not bring back whole.
    FailedTables,
    /// What a restore has done so far.
    Resume,
}

struct Shape {
    kind: DumpFileKind,
    infix: &'static str,
    per_instance: bool,
    suffix: &'static str,
    compressible: bool,
}

const fn shape(
    kind: DumpFileKind,
    infix: &'static str,
    per_instance: bool,
    suffix: &'static str,
    compressible: bool,
) -> Shape {
    Shape {
        kind,
        infix,
        per_instance,
        suffix,
        compressible,
    }
}

/// The whole table: a kind, what stands between `gp_` and the ids or key, and what stands behind the key.
const SHAPES: &[Shape] = &[
    shape(DumpFileKind::Dump, "dump", true, "", true),
    shape(DumpFileKind::PostData, "dump", true, "_post_data", true),
    shape(DumpFileKind::Index, "dump", true, "_index", false),
    shape(DumpFileKind::HeapState, "dump", true, "_heap_state_file", false),
    shape(DumpFileKind::Status, "dump_status", true, "", false),
    shape(DumpFileKind::Cdatabase, "cdatabase", true, "", false),
    shape(DumpFileKind::Global, "global", true, "", false),
    shape(DumpFileKind::Statistics, "statistics", true, "", false),
    shape(DumpFileKind::SegmentConfig, "segment_config_files", true, ".tar", false),
    shape(DumpFileKind::MasterConfig, "master_config_files", false, ".tar", false),
    shape(DumpFileKind::Report, "dump", false, ".rpt", false),
    shape(DumpFileKind::AoState, "dump", false, "_ao_state_file", false),
    shape(DumpFileKind::CoState, "dump", false, "_co_state_file", false),
    shape(DumpFileKind::LastOperation, "dump", false, "_last_operation", false),
    shape(DumpFileKind::Filter, "dump", false, "_filter", false),
    shape(DumpFileKind::Table, "dump", false, "_table", false),
    shape(DumpFileKind::Schema, "dump", false, "_schema", false),
    shape(DumpFileKind::DirtyList, "dump", false, "_dirty_list", false),
    shape(DumpFileKind::TableList, "dump", false, "_table_list", false),
    shape(DumpFileKind::Increments, "dump", false, "_increments", false),
    shape(DumpFileKind::Pipes, "dump", false, "_pipes", false),
    shape(DumpFileKind::RegularFiles, "dump", false, "_regular_files", false),
    shape(DumpFileKind::Manifest, "dump", false, "_manifest.json", false),
    shape(DumpFileKind::RestoreReport, "restore", false, ".rpt", false),
    shape(DumpFileKind::RestoreStatus, "restore_status", true, "", false),
    shape(DumpFileKind::RestorePlan, "restore", false, "_plan", false),
    shape(DumpFileKind::RestoreRest, "restore", false, "_not_restored.sql", false),
    shape(DumpFileKind::FailedTables, "restore", false, "_failed_tables", false),
    shape(DumpFileKind::Resume, "restore", false, "_resume", false),
];

/// The name of one file: all that its text is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DumpFileName {
    pub prefix: Prefix,
    pub kind: DumpFileKind,
    /// The instance for kinds that have one, else `None`.
    pub instance: Option<InstanceId>,
    pub key: TimestampKey,
    pub naming: FileNaming,
    pub compression: Compression,
}

/// What all names of one set share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetNames {
    pub prefix: Prefix,
    pub key: TimestampKey,
    pub naming: FileNaming,
    pub compression: Compression,
}

impl SetNames {
    /// The name of a file that belongs to the set as a whole.
    pub fn of_set(&self, kind: DumpFileKind) -> String {
        self.name(kind, None)
    }

    /// The name of a file that belongs to one instance.
    pub fn of_instance(&self, kind: DumpFileKind, instance: InstanceId) -> String {
        self.name(kind, Some(instance))
    }

    /// The name of a file of the master.
    pub fn of_master(&self, kind: DumpFileKind) -> String {
        self.name(kind, Some(InstanceId::MASTER))
    }

    fn name(&self, kind: DumpFileKind, instance: Option<InstanceId>) -> String {
        let name = DumpFileName {
            prefix: self.prefix.clone(),
            kind,
            instance,
            key: self.key,
            naming: self.naming,
            compression: self.compression,
        };
        name.text()
    }
}

impl DumpFileName {
    /// The name as it stands in the directory.
    pub fn text(&self) -> String {
        let shape = SHAPES
            .iter()
            .find(|s| s.kind == self.kind)
            .expect("every kind has a row in SHAPES");
        let ids = match (shape.per_instance, self.instance) {
            (true, Some(id)) => match self.naming {
                FileNaming::New => format!("{}_{}_", id.content, id.dbid),
                FileNaming::Old if id.content.is_master() => "1_1_".to_owned(),
                FileNaming::Old => format!("0_{}_", id.dbid),
            },
            (true, None) => panic!("a file of kind {:?} belongs to an instance", self.kind),
            (false, _) => String::new(),
        };
        let gz = if shape.compressible && self.compression == Compression::Gzip {
            ".gz"
        } else {
            ""
        };
        format!(
            "{}gp_{}_{ids}{}{}{gz}",
            self.prefix, shape.infix, self.key, shape.suffix
        )
    }

    /// Takes a name apart. `None` when no file of a dump set with this prefix is called that.
    ///
    /// `gp_dump_1_1_<key>` can be the master of an old set or segment 1 with dbid 1; dbid 1 is always a master, so it
    /// reads as the old master. Old segment names (`0_<dbid>`) carry no content id: they read as [`FileNaming::New`]
    /// with content 0, and only the set's report can say otherwise.
    pub fn parse(text: &str, prefix: &Prefix) -> Option<DumpFileName> {
        let rest = text.strip_prefix(prefix.as_str())?.strip_prefix("gp_")?;
        // Longest infix first, so that `dump_status_` is not read as `dump_` with odd ids.
        let mut shapes: Vec<&Shape> = SHAPES.iter().collect();
        shapes.sort_by_key(|s| std::cmp::Reverse((s.infix.len(), s.suffix.len())));
        let found = shapes.into_iter().find_map(|shape| parse_shape(rest, shape, prefix));
        // A number that is written in another way (`00`, `+1`) is somebody else's file.
        found.filter(|name| name.text() == text)
    }
}

/// As [`DumpFileName::parse`], for whatever prefix there is.
pub fn parse_any_prefix(text: &str) -> Option<DumpFileName> {
    text.match_indices("gp_").find_map(|(at, _)| {
        let word = match &text[..at] {
            "" => "",
            prefix => prefix.strip_suffix('_').filter(|word| !word.is_empty())?,
        };
        DumpFileName::parse(text, &Prefix::from_option(word).ok()?)
    })
}

fn parse_shape(rest: &str, shape: &Shape, prefix: &Prefix) -> Option<DumpFileName> {
    let rest = rest.strip_prefix(shape.infix)?.strip_prefix('_')?;
    let (rest, compression) = match rest.strip_suffix(".gz") {
        Some(cut) if shape.compressible => (cut, Compression::Gzip),
        _ => (rest, Compression::None),
    };
    let rest = rest.strip_suffix(shape.suffix)?;
    let (instance, naming, key) = if shape.per_instance {
        let mut parts = rest.splitn(3, '_');
        let content: i32 = parts.next()?.parse().ok()?;
        let dbid: i32 = parts.next()?.parse().ok()?;
        let key = parts.next()?;
        match (content, dbid) {
            (1, 1) => (Some(InstanceId::MASTER), FileNaming::Old, key),
            _ => (
                Some(InstanceId {
                    content: ContentId(content),
                    dbid: DbId(dbid),
                }),
                FileNaming::New,
                key,
            ),
        }
    } else {
        (None, FileNaming::New, rest)
    };
    Some(DumpFileName {
        prefix: prefix.clone(),
        kind: shape.kind,
        instance,
        key: key.parse().ok()?,
        naming,
        compression,
    })
}

/// `<root>/db_dumps/<YYYYMMDD>`.
pub fn dump_directory(root: &Place, key: TimestampKey) -> Place {
    root.join(DUMP_DIR).join(key.date_dir())
}

const EXTERNAL_NOTE: &str = "unfinished_external_";

/// Lies in [`DUMP_DIR`] while a run writes rows into a storage.
pub fn external_note(key: TimestampKey) -> String {
    format!("{EXTERNAL_NOTE}{key}.json")
}

/// The key of such a name.
pub fn parse_external_note(name: &str) -> Option<TimestampKey> {
    name.strip_prefix(EXTERNAL_NOTE)?.strip_suffix(".json")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(naming: FileNaming, compression: Compression, prefix: &str) -> SetNames {
        SetNames {
            prefix: Prefix::from_option(prefix).unwrap(),
            key: "20240102030405".parse().unwrap(),
            naming,
            compression,
        }
    }

    #[test]
    fn names_are_those_of_the_original() {
        let new = names(FileNaming::New, Compression::Gzip, "nightly");
        let segment = InstanceId {
            content: ContentId(1),
            dbid: DbId(3),
        };
        assert_eq!(
            new.of_master(DumpFileKind::Dump),
            "nightly_gp_dump_-1_1_20240102030405.gz"
        );
        assert_eq!(
            new.of_master(DumpFileKind::PostData),
            "nightly_gp_dump_-1_1_20240102030405_post_data.gz"
        );
        assert_eq!(new.of_set(DumpFileKind::Report), "nightly_gp_dump_20240102030405.rpt");
        assert_eq!(
            new.of_instance(DumpFileKind::Dump, segment),
            "nightly_gp_dump_1_3_20240102030405.gz"
        );
        assert_eq!(
            new.of_instance(DumpFileKind::Status, segment),
            "nightly_gp_dump_status_1_3_20240102030405"
        );
        let old = names(FileNaming::Old, Compression::Gzip, "");
        assert_eq!(old.of_master(DumpFileKind::Dump), "gp_dump_1_1_20240102030405.gz");
        assert_eq!(
            old.of_instance(DumpFileKind::Dump, segment),
            "gp_dump_0_3_20240102030405.gz"
        );
        assert_eq!(
            old.of_master(DumpFileKind::Cdatabase),
            "gp_cdatabase_1_1_20240102030405"
        );
    }

    #[test]
    fn every_kind_reads_back_from_its_name() {
        for shape in SHAPES {
            for compression in [Compression::Gzip, Compression::None] {
                let set = names(FileNaming::New, compression, "p");
                let instance = shape.per_instance.then_some(InstanceId {
                    content: ContentId(7),
                    dbid: DbId(9),
                });
                let text = set.name(shape.kind, instance);
                let parsed = DumpFileName::parse(&text, &set.prefix).unwrap_or_else(|| panic!("{text}"));
                assert_eq!(
                    (parsed.kind, parsed.instance, parsed.key),
                    (shape.kind, instance, set.key),
                    "{text}"
                );
                assert_eq!(parsed.text(), text);
            }
        }
    }

    #[test]
    fn the_prefix_is_what_stands_before_the_name() {
        for prefix in ["", "nightly", "gp", "gp_dump", "_", "a_b"] {
            let set = names(FileNaming::New, Compression::Gzip, prefix);
            let text = set.of_set(DumpFileKind::Report);
            assert_eq!(parse_any_prefix(&text).unwrap().prefix, set.prefix, "{text}");
        }
        assert_eq!(parse_any_prefix("xgp_dump_20240102030405.rpt"), None);
    }

    #[test]
    fn other_prefixes_partial_files_and_strangers_are_not_ours() {
        let none = Prefix::none();
        for text in [
            "p_gp_dump_20240102030405.rpt",
            "gp_dump_20240102030405.rpt.partial",
            "gp_dump_2024.rpt",
            "x",
            "gp_dump_0_2_x",
        ] {
            assert_eq!(DumpFileName::parse(text, &none), None, "{text}");
        }
    }
}
