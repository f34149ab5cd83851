//! What is done to a file of a set, and what each way of using the set says to it: never status 0 with rows missing or
//! wrong, never a changed database where a look could have seen it before, always the name of the file.
//!
//! `GPDUMP_DAMAGE=all` tries every combination; without it restores are tried for the damage that differs most.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use gpdump_core::format::index::Index;
use gpdump_testkit::{Cluster, ClusterSpec, Program};
use gpdump_tests::dump_of;

const SHOP: &str = "shop";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    Missing,
    Empty,
    Cut,
    CutBetweenMembers,
    BitFlipped,
    OfAnotherSet,
    Unreadable,
}

const DAMAGES: [Damage; 7] = [
    Damage::Missing,
    Damage::Empty,
    Damage::Cut,
    Damage::CutBetweenMembers,
    Damage::BitFlipped,
    Damage::OfAnotherSet,
    Damage::Unreadable,
];

/// What depends on a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weight {
    /// Every restore: it must be refused before anything is changed.
    Definitions,
    /// Every restore, and some damage shows only when the rows are read.
    Rows,
    /// Only a restore that makes the database.
    Creation,
    /// No restore.
    Beside,
}

/// `KEY` and `FULL` stand for the set and the full dump of its chain.
const FILES: &[(&str, Weight)] = &[
    ("gp_dump_-1_1_KEY.gz", Weight::Definitions),
    ("gp_dump_-1_1_KEY_post_data.gz", Weight::Definitions),
    ("gp_cdatabase_-1_1_KEY", Weight::Creation),
    ("gp_dump_0_2_KEY.gz", Weight::Rows),
    ("gp_dump_1_3_KEY.gz", Weight::Rows),
    ("gp_dump_KEY_manifest.json", Weight::Definitions),
    ("gp_dump_KEY.rpt", Weight::Definitions),
    ("gp_dump_KEY_table_list", Weight::Definitions),
    ("gp_dump_KEY_dirty_list", Weight::Definitions),
    ("gp_dump_FULL_increments", Weight::Definitions),
    ("gp_dump_FULL_manifest.json", Weight::Definitions),
    ("gp_dump_FULL.rpt", Weight::Definitions),
    ("gp_dump_1_3_KEY_index", Weight::Beside),
    ("gp_dump_status_1_3_KEY", Weight::Beside),
    ("gp_dump_status_-1_1_KEY", Weight::Beside),
    ("gp_global_-1_1_KEY", Weight::Beside),
    ("gp_statistics_-1_1_KEY", Weight::Beside),
    ("gp_dump_KEY_ao_state_file", Weight::Beside),
    ("gp_dump_KEY_co_state_file", Weight::Beside),
    ("gp_dump_KEY_last_operation", Weight::Beside),
    ("gp_dump_KEY_table", Weight::Beside),
    ("gp_master_config_files_KEY.tar", Weight::Beside),
];

/// Sets without manifest and index, as the originals wrote them.
const FILES_OF_ORIGINALS: &[(&str, Weight)] = &[
    ("gp_dump_-1_1_KEY.gz", Weight::Definitions),
    ("gp_dump_-1_1_KEY_post_data.gz", Weight::Definitions),
    ("gp_cdatabase_-1_1_KEY", Weight::Creation),
    ("gp_dump_0_2_KEY.gz", Weight::Rows),
    ("gp_dump_1_3_KEY.gz", Weight::Rows),
    ("gp_dump_KEY.rpt", Weight::Definitions),
    ("gp_dump_KEY_table_list", Weight::Definitions),
    ("gp_dump_KEY_dirty_list", Weight::Definitions),
    ("gp_dump_FULL_increments", Weight::Definitions),
    ("gp_dump_status_1_3_KEY", Weight::Beside),
];

struct Sets {
    root: PathBuf,
    ours: bool,
    full: String,
    key: String,
    /// Another full set and its increment.
    other_full: String,
    other: String,
}

impl Sets {
    fn make(cluster: &Cluster) -> Sets {
        let root = cluster.home().join("sets");
        fs::create_dir(&root).unwrap();
        let at = root.display().to_string();
        cluster.sql("postgres", &format!("CREATE DATABASE {SHOP}"));
        cluster.sql(
            SHOP,
            "CREATE TABLE item (a int, b text); CREATE TABLE big (a int, b text); CREATE INDEX item_a ON item (a)",
        );
        let fill = |from: i32| {
            for content in 0..2 {
                let sql = format!(
                    "INSERT INTO item SELECT g, 'item ' || g FROM generate_series({from}, {from} + 19) g; \
                     INSERT INTO big SELECT g, md5(g::text) FROM generate_series({from}, {from} + 4999) g"
                );
                cluster.segment_sql(content, SHOP, &sql);
            }
        };
        let dump = |more: &[&str]| {
            let options = ["-u", &at, "-g", "-G", "--dump-stats"];
            let options: Vec<&str> = options.into_iter().chain(more.iter().copied()).collect();
            dump_of(SHOP, cluster, &options)
        };
        fill(1);
        let other_full = dump(&[]);
        let other = dump(&["--incremental"]);
        fill(3);
        let full = dump(&[]);
        fill(5);
        let key = dump(&["--incremental"]);
        Sets {
            root,
            ours: true,
            full,
            key,
            other_full,
            other,
        }
    }

    /// The same without what only our own sets have.
    fn as_of_originals(&self, cluster: &Cluster) -> Sets {
        let sets = Sets {
            root: cluster.home().join("originals"),
            ours: false,
            full: self.full.clone(),
            key: self.key.clone(),
            other_full: self.other_full.clone(),
            other: self.other.clone(),
        };
        let directory = sets.directory(&sets.root);
        fs::create_dir_all(&directory).unwrap();
        for entry in fs::read_dir(self.directory(&self.root)).unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap();
            let bytes = fs::read(entry.path()).unwrap();
            let bytes = match name.ends_with(".rpt") {
                true => {
                    let text = String::from_utf8(bytes).unwrap();
                    let lines = text.lines().filter(|line| !line.starts_with("Program: "));
                    lines.map(|line| format!("{line}\n")).collect::<String>().into_bytes()
                }
                false => bytes,
            };
            if !name.ends_with("_manifest.json") && !name.ends_with("_index") {
                fs::write(directory.join(name), bytes).unwrap();
            }
        }
        sets
    }

    fn directory(&self, root: &Path) -> PathBuf {
        root.join("db_dumps").join(&self.key[..8])
    }

    fn name(&self, pattern: &str) -> String {
        pattern.replace("KEY", &self.key).replace("FULL", &self.full)
    }

    /// A copy of all sets, in which one file is damaged. `None`: the file cannot be damaged like that.
    fn damaged(&self, root: &Path, pattern: &str, damage: Damage) -> Option<String> {
        let _ = fs::remove_dir_all(root);
        let directory = self.directory(root);
        fs::create_dir_all(&directory).unwrap();
        for entry in fs::read_dir(self.directory(&self.root)).unwrap().flatten() {
            fs::hard_link(entry.path(), directory.join(entry.file_name())).unwrap();
        }
        let name = self.name(pattern);
        let path = directory.join(&name);
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        let damaged = match damage {
            Damage::Missing | Damage::Unreadable => Vec::new(),
            Damage::Empty if bytes.is_empty() => return None,
            Damage::Empty => Vec::new(),
            Damage::Cut if bytes.len() < 2 => return None,
            Damage::Cut => bytes[..bytes.len() / 2].to_vec(),
            Damage::CutBetweenMembers => {
                let index = name.strip_suffix(".gz").filter(|_| self.ours)?.to_owned() + "_index";
                let index = Index::read(&fs::read(directory.join(index)).ok()?[..]).unwrap();
                let last = index.tables.last().unwrap();
                bytes[..usize::try_from(last.offset).unwrap()].to_vec()
            }
            Damage::BitFlipped if bytes.is_empty() => return None,
            Damage::BitFlipped => {
                let mut flipped = bytes.clone();
                flipped[bytes.len() / 2] ^= 4;
                flipped
            }
            Damage::OfAnotherSet => {
                let other = pattern.replace("KEY", &self.other).replace("FULL", &self.other_full);
                let other = fs::read(directory.join(other)).unwrap();
                if other == bytes {
                    return None;
                }
                other
            }
        };
        fs::remove_file(&path).unwrap();
        match damage {
            Damage::Missing => {}
            // Not even root can open it.
            Damage::Unreadable => std::os::unix::fs::symlink(&path, &path).unwrap(),
            _ => fs::write(&path, damaged).unwrap(),
        }
        Some(name)
    }
}

/// One lane of the test: a copy of the sets, and a database to restore into.
struct Lane<'a> {
    cluster: &'a Cluster,
    sets: &'a Sets,
    root: PathBuf,
    database: String,
    expected: Vec<String>,
}

impl Lane<'_> {
    fn run(&self, more: &[&str]) -> (i32, String) {
        let root = self.root.display().to_string();
        let end = Program::new("gpdbrestore", self.cluster)
            .args(["-a", "-t", &self.sets.key, "-u", &root, "-l", &root])
            .args(more.iter().copied())
            .run();
        (end.status.unwrap_or(-1), end.stdout)
    }

    /// Rows of a table with a sum of their values.
    fn sum(&self, database: &str, table: &str) -> String {
        let holders = self.cluster.row_holders().iter();
        let sums = holders.map(|holder| {
            let sql = format!("SELECT count(*) || ' ' || coalesce(sum(hashtext(t::text)), 0) FROM {table} t");
            holder.sql(database, &sql).remove(0).remove(0).unwrap_or_default()
        });
        sums.collect::<Vec<_>>().join(", ")
    }

    /// The database as it is before a restore.
    fn mark(&self) {
        self.cluster
            .sql("postgres", &format!("DROP DATABASE IF EXISTS {}", self.database));
        self.cluster
            .sql("postgres", &format!("CREATE DATABASE {}", self.database));
        self.cluster.sql(&self.database, "CREATE TABLE mark (a int)");
    }

    fn is_unchanged(&self) -> bool {
        let tables = "SELECT string_agg(relname, ' ') FROM pg_class WHERE relnamespace = 'public'::regnamespace";
        let found = self.cluster.try_sql(&self.database, tables);
        found.is_ok_and(|rows| rows[0][0].as_deref() == Some("mark"))
    }

    /// Everything that is wrong with how one damage was met.
    fn meet(&self, pattern: &str, weight: Weight, damage: Damage, restores: bool) -> Vec<String> {
        let Some(name) = self.sets.damaged(&self.root, pattern, damage) else {
            return Vec::new();
        };
        let mut wrong = Vec::new();
        let mut say = |way: &str, what: &str, text: &str| {
            let tail: Vec<&str> = text.lines().rev().take(12).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            wrong.push(format!("{name} {damage:?}, {way}: {what}\n    {}", tail.join("\n    ")));
        };
        let (status, text) = self.run(&["--verify"]);
        let right = match weight {
            Weight::Beside => status == 1,
            Weight::Creation => status == 2 || status == 1,
            Weight::Definitions | Weight::Rows => status == 2,
        };
        // These are for people; what they say is in the manifest too.
        let is_text = pattern.ends_with(".rpt") || pattern.starts_with("gp_dump_status_");
        let harmless = is_text && matches!(damage, Damage::Cut | Damage::BitFlipped | Damage::OfAnotherSet)
            // Of a set of the originals nothing tells what was in them.
            || !self.sets.ours && weight == Weight::Creation && damage == Damage::BitFlipped
            || !self.sets.ours && weight == Weight::Beside && damage == Damage::Missing;
        // Which file the increment should be named in, only a manifest of ours tells.
        let names_file = |text: &str| {
            text.contains(&name) || !self.sets.ours && name.ends_with("_increments") && text.contains("_increments")
        };
        if !(right || harmless && status <= 1) {
            say("--verify", &format!("status {status}"), &text);
        }
        if status != 0 && !names_file(&text) {
            say("--verify", "does not name the file", &text);
        }
        let lists = weight == Weight::Definitions;
        let (status, text) = if lists {
            self.run(&["-L"])
        } else {
            (0, "Table public.big Owner".to_owned())
        };
        match status {
            0 if !text.contains("Table public.big Owner") => say("-L", "status 0 without the tables", &text),
            0 => {}
            2 if names_file(&text) => {}
            _ => say("-L", &format!("status {status}"), &text),
        }
        for way in [&["-e"][..], &["-T", "public.item"]].into_iter().filter(|_| restores) {
            if !self.is_unchanged() {
                self.mark();
            }
            let options: Vec<&str> = way
                .iter()
                .copied()
                .chain(["--redirect", &self.database, "--noanalyze"])
                .collect();
            let shown = way.join(" ");
            let (status, text) = self.run(&options);
            match status {
                0 | 1 => {
                    if status == 1 {
                        say(&shown, "status 1", &text);
                    }
                    let tables = if shown == "-e" { &["item", "big"][..] } else { &["item"] };
                    for (table, expected) in tables.iter().zip(&self.expected) {
                        let found = self.sum(&self.database, table);
                        if found != *expected {
                            say(
                                &shown,
                                &format!("status {status}, and table {table} has {found}, not {expected}"),
                                &text,
                            );
                        }
                    }
                }
                2 => {
                    if weight == Weight::Beside {
                        say(&shown, "refused, and needs no such file", &text);
                    }
                    if !names_file(&text) {
                        say(&shown, "does not name the file", &text);
                    }
                    // Nobody reads all rows twice: what leaves the length as it was shows when they are loaded.
                    let same_length = matches!(damage, Damage::BitFlipped | Damage::OfAnotherSet);
                    let gone = matches!(damage, Damage::Missing | Damage::Unreadable);
                    let by_rows_only = match self.sets.ours {
                        true => weight == Weight::Rows && same_length,
                        false => (weight == Weight::Rows || name.ends_with("_dirty_list")) && !gone,
                    };
                    if !by_rows_only && !self.is_unchanged() {
                        say(&shown, "the database was changed", &text);
                    }
                }
                _ => say(&shown, &format!("status {status}"), &text),
            }
        }
        wrong
    }
}

#[test]
fn no_damage_goes_unseen() {
    let cluster = Cluster::start(ClusterSpec::segments(2));
    let sets = Sets::make(&cluster);
    try_all(&cluster, &sets, FILES);
    try_all(&cluster, &sets.as_of_originals(&cluster), FILES_OF_ORIGINALS);
}

fn try_all(cluster: &Cluster, sets: &Sets, files: &[(&'static str, Weight)]) {
    let all = std::env::var_os("GPDUMP_DAMAGE").is_some_and(|value| value == "all");
    let mut cases: Vec<(&str, Weight, Damage, bool)> = Vec::new();
    for &(name, weight) in files {
        for damage in DAMAGES {
            let rows = weight == Weight::Rows && name.contains("_1_3_");
            let differs = match damage {
                Damage::Missing => sets.ours || weight == Weight::Rows,
                Damage::Empty | Damage::Cut | Damage::BitFlipped if !sets.ours && name.ends_with("_list") => true,
                Damage::BitFlipped => sets.ours && weight == Weight::Definitions,
                _ => false,
            };
            let quick = weight != Weight::Beside || matches!(damage, Damage::Missing | Damage::BitFlipped);
            let quick = quick && (sets.ours || damage != Damage::Unreadable);
            // Nothing tells that a list or rows of the same form are those of another day.
            let invisible = !sets.ours && damage == Damage::OfAnotherSet;
            if (all || quick) && !invisible {
                cases.push((name, weight, damage, all || rows || differs));
            }
        }
    }
    let expected = {
        let lane = lane(cluster, sets, 9, Vec::new());
        vec![lane.sum(SHOP, "item"), lane.sum(SHOP, "big")]
    };
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for number in 0..2 {
            let lane = lane(cluster, sets, number, expected.clone());
            let (next, cases, wrong) = (&next, &cases, &wrong);
            scope.spawn(move || {
                while let Some((name, weight, damage, restores)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = lane.meet(name, *weight, *damage, *restores);
                    wrong.lock().unwrap().extend(found);
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(
        wrong.is_empty(),
        "{} of the answers are wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn lane<'a>(cluster: &'a Cluster, sets: &'a Sets, number: usize, expected: Vec<String>) -> Lane<'a> {
    Lane {
        cluster,
        sets,
        root: cluster.home().join(format!("lane{number}")),
        database: format!("lane{number}"),
        expected,
    }
}
