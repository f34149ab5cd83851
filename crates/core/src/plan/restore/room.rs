//! Is there room for what is going to be restored?
//!
//! Two figures for each place: what the rows cannot do without, and what they will probably take. Only the first may end a
//! restore: a person who needs a table at night must not be sent away by a guess.
//!
//! Not counted: mirrors, the transaction log, what sorting takes while indexes are made.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::inventory::Inventory;
use super::{DataFile, DumpSet};
use crate::format::ddl_split::choose::host_of;
use crate::format::sql_script::tokens::{Token, Tokens};
use crate::format::sql_script::{Item, Script};
use crate::format::toc::{EntryKind, Setting};
use crate::plan::disk_space::{self, BYTES_PER_TABLE, Need, TooFull};
use crate::words::cluster::HostName;
use crate::words::ids::ContentId;
use crate::words::job::TableTotals;
use crate::words::layout::Compression;
use crate::words::names::QualifiedName;
use crate::words::relation::Distribution;

/// Header and line pointer of a row in a heap.
const ROW: u64 = 28;
/// An entry of a B-tree with a short key.
const INDEX_ENTRY: u64 = 16;
/// Rows that are wider may be compressed by the server, column by column.
const WIDE_ROW: u64 = 2000;

/// How the rows of a table are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Storage {
    Heap,
    AppendOptimized,
    /// Or nobody knows how: the table is there already.
    #[default]
    Compressed,
}

/// What the definitions say of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableKind {
    pub storage: Storage,
    /// Indexes that have an entry for each row.
    pub btrees: u64,
    /// `None`: the default one.
    pub tablespace: Option<String>,
}

/// Bytes on disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Guess {
    pub at_least: u64,
    pub likely: u64,
}

impl Guess {
    fn add(&mut self, other: Guess) {
        self.at_least = self.at_least.saturating_add(other.at_least);
        self.likely = self.likely.saturating_add(other.likely);
    }

    fn part(self, of: u64, whole: u64) -> Guess {
        let part = |bytes: u64| u64::try_from(u128::from(bytes) * u128::from(of) / u128::from(whole.max(1)));
        Guess {
            at_least: part(self.at_least).unwrap_or(u64::MAX),
            likely: part(self.likely).unwrap_or(u64::MAX),
        }
    }
}

/// What so many rows, of so many bytes of text, become.
pub fn of_rows(totals: TableTotals, kind: &TableKind) -> Guess {
    let TableTotals { rows, bytes } = totals;
    // Binary is shorter than text for dates and bytea, at most by half or so; long values are compressed.
    let packed = if bytes / rows.max(1) > WIDE_ROW {
        bytes / 4
    } else {
        bytes / 2
    };
    let mut guess = match kind.storage {
        Storage::Heap => Guess {
            at_least: packed + rows * ROW,
            likely: bytes + rows * ROW,
        },
        Storage::AppendOptimized => Guess {
            at_least: packed / 2,
            likely: bytes,
        },
        Storage::Compressed => Guess {
            at_least: bytes / 20,
            likely: bytes / 4,
        },
    };
    let indexes = rows * INDEX_ENTRY * kind.btrees;
    guess.add(Guess {
        at_least: indexes,
        likely: indexes / 2 * 3,
    });
    guess
}

/// Where bytes go: a segment's data directory, or a tablespace of that segment.
pub type Spot = (ContentId, Option<String>);

/// What is to be restored of one set.
#[derive(Clone, Copy)]
pub(crate) struct Part<'a> {
    pub set: &'a DumpSet,
    pub files: &'a [DataFile],
    /// `None`: all its tables.
    pub only: Option<&'a dyn Fn(&QualifiedName) -> bool>,
}

/// What all sets of a restore need, place by place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    pub spots: BTreeMap<Spot, Guess>,
    /// Sets whose chosen tables nobody has counted: so much they can be at most, probably.
    pub uncounted: u64,
}

/// `contents`: the segments of the target; `kind` knows the tables by the names of the set.
pub(crate) fn needs(parts: &[Part<'_>], contents: &[ContentId], kind: &dyn Fn(&QualifiedName) -> TableKind) -> Needs {
    let mut needs = Needs::default();
    for part in parts {
        part.add_to(&mut needs, contents, kind);
    }
    needs
}

impl Part<'_> {
    fn add_to(&self, needs: &mut Needs, contents: &[ContentId], kind: &dyn Fn(&QualifiedName) -> TableKind) {
        let in_files: u64 = self.files.iter().map(|file| file.size).sum();
        let Some(manifest) = &self.set.manifest else {
            let likely = match self.set.names.compression {
                Compression::Gzip => in_files.saturating_mul(4),
                Compression::None => in_files,
            };
            if self.only.is_some() {
                needs.uncounted = needs.uncounted.saturating_add(likely);
                return;
            }
            // Compressed text is about as small as rows can be; tables that the server compresses are smaller than text.
            let at_least = match self.set.names.compression {
                Compression::Gzip => in_files / 2,
                Compression::None => in_files / 20,
            };
            return self.spread(needs, contents, None, Guess { at_least, likely });
        };
        let dumped_segments = self.set.segments.len() as u64;
        for facts in &manifest.tables {
            if self.only.is_some_and(|only| !only(&facts.table)) {
                continue;
            }
            let kind = kind(&facts.table);
            let guess = of_rows(facts.totals, &kind);
            match facts.distribution {
                // Its rows were counted on every segment, and every segment gets all.
                Distribution::Replicated => {
                    let one = guess.part(1, dumped_segments);
                    for content in contents {
                        needs.add((*content, kind.tablespace.clone()), one);
                    }
                }
                _ => self.spread(needs, contents, kind.tablespace, guess),
            }
        }
    }

    /// As the files are large, where all of each goes into the segment that it comes from; else evenly.
    fn spread(&self, needs: &mut Needs, contents: &[ContentId], tablespace: Option<String>, guess: Guess) {
        let in_files: u64 = self.files.iter().map(|file| file.size).sum();
        let is_same = self.only.is_none() && in_files > 0 && self.set.contents() == contents && !self.set.is_streams();
        for content in contents {
            let share = match is_same {
                true => {
                    let own = self.files.iter().filter(|file| file.content == *content);
                    guess.part(own.map(|file| file.size).sum(), in_files)
                }
                false => guess.part(1, contents.len() as u64),
            };
            needs.add((*content, tablespace.clone()), share);
        }
    }
}

/// A place on disk that something goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub content: ContentId,
    pub host: HostName,
    /// The same number means the same file system on that host.
    pub device: u64,
    pub free_bytes: u64,
    pub guess: Guess,
}

/// The file systems without room for so many bytes at each place. `freed`: bytes that the restore itself gives back first, by
/// segment; they are in its data directory, or nobody knows where else.
pub fn too_full(places: &[Place], freed: &BTreeMap<ContentId, u64>, bytes: &dyn Fn(&Place) -> u64) -> Vec<TooFull> {
    let mut given_back: BTreeMap<(&HostName, u64), u64> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for place in places {
        let back = given_back.entry((&place.host, place.device)).or_default();
        if seen.insert(place.content) {
            *back += freed.get(&place.content).copied().unwrap_or(0);
        }
    }
    let need = |place: &Place| Need {
        host: place.host.clone(),
        device: place.device,
        free_bytes: place
            .free_bytes
            .saturating_add(given_back[&(&place.host, place.device)]),
        bytes: bytes(place),
    };
    disk_space::too_full(&places.iter().map(need).collect::<Vec<_>>(), 0)
}

impl Needs {
    fn add(&mut self, spot: Spot, guess: Guess) {
        self.spots.entry(spot).or_default().add(guess);
    }

    /// The master's own: its catalog.
    pub fn add_definitions(&mut self, tables: usize) {
        let bytes = tables as u64 * BYTES_PER_TABLE;
        let guess = Guess {
            at_least: bytes,
            likely: bytes,
        };
        self.add((ContentId::MASTER, None), guess);
    }
}

/// How the tables that these definitions make are kept; `compresses`: the server may compress what does not say how it is
/// kept.
pub fn table_kinds(pre_data: &Script, post_data: &Script, compresses: bool) -> HashMap<QualifiedName, TableKind> {
    let mut kinds: HashMap<QualifiedName, TableKind> = HashMap::new();
    let compresses = compresses || pre_data.entries().iter().any(|e| e.kind == EntryKind::AoStorageOptions);
    for entry in pre_data.entries().iter().filter(|e| e.kind == EntryKind::Table) {
        let Some(schema) = &entry.schema else { continue };
        let Some(Item::Statement { text, .. }) = pre_data.items_of(entry).next() else {
            continue;
        };
        let method = entry.state.get(Setting::DefaultTableAccessMethod);
        let is_heap_by_default = method.is_none_or(|span| !span.of(pre_data.text()).windows(3).any(|w| w == b"ao_"));
        let storage = storage_of(text, compresses || !is_heap_by_default);
        kinds.insert(
            QualifiedName::new(schema, &entry.name),
            TableKind {
                storage,
                btrees: 0,
                tablespace: entry.tablespace.clone().filter(|name| !name.is_empty()),
            },
        );
    }
    for entry in post_data.entries() {
        let Some(Item::Statement { text, .. }) = post_data.items_of(entry).next() else {
            continue;
        };
        let has = |word: &str| Tokens::of(text).any(|token| token.is(word));
        let counts = match entry.kind {
            EntryKind::Index => has("btree") && !has("where"),
            EntryKind::Constraint => has("primary") || has("unique"),
            _ => false,
        };
        let host = counts.then(|| host_of(post_data, entry)).flatten();
        let name = host.map(|host| QualifiedName::new(host.object.schema, host.object.name));
        if let Some(kind) = name.and_then(|name| kinds.get_mut(&name)) {
            kind.btrees += 1;
        }
    }
    // Partitions without an entry of their own are kept as the statement of their table says, somewhere.
    let inventory = Inventory::read(pre_data);
    for at in 0..inventory.tables.len() {
        let root = &inventory.tables[inventory.root(at)].name;
        if let Some(kind) = kinds.get(root).cloned() {
            kinds.entry(inventory.tables[at].name.clone()).or_insert(kind);
        }
    }
    kinds
}

/// Of the statement that makes a table, with those of its partitions.
fn storage_of(statement: &[u8], compresses: bool) -> Storage {
    let (mut storage, mut says) = (Storage::Heap, false);
    let tokens: Vec<Token> = Tokens::of(statement).collect();
    for (at, token) in tokens.iter().enumerate() {
        if token.is("ao_row") || token.is("ao_column") {
            storage = storage.max(Storage::AppendOptimized);
        }
        // `appendonly=true`, `compresstype='zlib'`: columns may have these names.
        let value = match (tokens.get(at + 1), tokens.get(at + 2)) {
            (Some(sign), Some(value)) if sign.is_sign(b'=') => value.text.trim_ascii(),
            _ => continue,
        };
        let is = |word: &str| value == word.as_bytes() || value == format!("'{word}'").as_bytes();
        if token.is("appendonly") || token.is("appendoptimized") {
            says = true;
            if is("true") {
                storage = storage.max(Storage::AppendOptimized);
            }
        }
        if token.is("compresstype") && !is("none") {
            storage = Storage::Compressed;
        }
    }
    match compresses && !says {
        true => Storage::Compressed,
        false => storage,
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_sets;
    use super::*;
    use crate::format::manifest::TableFacts;
    use crate::words::dialect::HashFamily;
    use crate::words::ids::DbId;
    use crate::words::layout::FileNaming;

    fn kind(storage: Storage, btrees: u64) -> TableKind {
        TableKind {
            storage,
            btrees,
            tablespace: None,
        }
    }

    #[test]
    fn rows_take_what_their_storage_makes_of_them() {
        let rows = |rows, bytes| TableTotals { rows, bytes };
        let at_least_and_likely = |totals, kind| {
            let guess = of_rows(totals, &kind);
            (guess.at_least, guess.likely)
        };
        assert_eq!(
            at_least_and_likely(rows(100, 5000), kind(Storage::Heap, 0)),
            (5300, 7800)
        );
        assert_eq!(
            at_least_and_likely(rows(100, 5000), kind(Storage::Heap, 2)),
            (8500, 12_600)
        );
        // Two values of 4000 bytes may be compressed by the server.
        assert_eq!(at_least_and_likely(rows(2, 8000), kind(Storage::Heap, 0)), (2056, 8056));
        assert_eq!(
            at_least_and_likely(rows(100, 5000), kind(Storage::AppendOptimized, 0)),
            (1250, 5000)
        );
        assert_eq!(
            at_least_and_likely(rows(100, 5000), kind(Storage::Compressed, 0)),
            (250, 1250)
        );
        assert_eq!(at_least_and_likely(rows(0, 0), TableKind::default()), (0, 0));
    }

    #[test]
    fn definitions_say_how_rows_are_kept() {
        let pre = r#"
SET default_tablespace = fast;

--
-- Name: heap; Type: TABLE; Schema: s; Owner: o; Tablespace: fast
--

CREATE TABLE heap (appendonly integer, compresstype text) WITH (appendonly=false) DISTRIBUTED BY (appendonly);


SET default_tablespace = '';

--
-- Name: plain; Type: TABLE; Schema: s; Owner: o; Tablespace: 
--

CREATE TABLE s.plain (a integer);


--
-- Name: rows; Type: TABLE; Schema: s; Owner: o; Tablespace: 
--

CREATE TABLE s.rows (a integer) WITH (appendonly='true', compresstype=none);


--
-- Name: parts; Type: TABLE; Schema: s; Owner: o; Tablespace: 
--

CREATE TABLE s.parts (a integer) DISTRIBUTED BY (a) PARTITION BY RANGE(a)
          (
          PARTITION p1 START (1) END (9) WITH (tablename='parts_1_prt_p1', appendonly=true, compresstype=zlib)
          );


"#;
        let post = "--\n-- Name: i; Type: INDEX; Schema: s; Owner: o; Tablespace: \n--\n\nCREATE INDEX i ON s.plain USING btree (a);\n\n\n\
                    --\n-- Name: j; Type: INDEX; Schema: s; Owner: o; Tablespace: \n--\n\nCREATE INDEX j ON s.plain USING bitmap (a);\n\n\n\
                    --\n-- Name: k; Type: INDEX; Schema: s; Owner: o; Tablespace: \n--\n\nCREATE INDEX k ON s.plain USING btree (a) WHERE a > 1;\n\n\n\
                    --\n-- Name: p; Type: CONSTRAINT; Schema: s; Owner: o; Tablespace: \n--\n\n\
                    ALTER TABLE ONLY s.plain ADD CONSTRAINT p PRIMARY KEY (a);\n\n\n";
        let (pre, post) = (
            Script::parse(pre.as_bytes()).unwrap(),
            Script::parse(post.as_bytes()).unwrap(),
        );
        let kinds = table_kinds(&pre, &post, false);
        let of = |name: &str| kinds[&QualifiedName::new("s", name)].clone();
        assert_eq!(of("heap").tablespace.as_deref(), Some("fast"));
        assert_eq!(of("plain"), kind(Storage::Heap, 2));
        assert_eq!(of("parts_1_prt_p1"), kind(Storage::Compressed, 0));
        assert_eq!(of("rows").storage, Storage::AppendOptimized);
        let kinds = table_kinds(&pre, &post, true);
        assert_eq!(kinds[&QualifiedName::new("s", "plain")].storage, Storage::Compressed);
        assert_eq!(
            kinds[&QualifiedName::new("s", "rows")].storage,
            Storage::AppendOptimized
        );
    }

    #[test]
    fn what_the_restore_gives_back_is_room_too() {
        let place = |content: i32, host: &str, device, free_bytes, likely| Place {
            content: ContentId(content),
            host: HostName(host.into()),
            device,
            free_bytes,
            guess: Guess { at_least: 0, likely },
        };
        // Two segments share a file system, a tablespace of the second lies on another.
        let places = [
            place(0, "sdw1", 1, 1000, 900),
            place(1, "sdw1", 1, 1000, 900),
            place(1, "sdw1", 2, 1000, 900),
            place(2, "sdw2", 1, 1000, 1100),
        ];
        let hosts = |freed: &[(i32, u64)]| {
            let freed = freed
                .iter()
                .map(|(content, bytes)| (ContentId(*content), *bytes))
                .collect();
            let found = too_full(&places, &freed, &|place| place.guess.likely);
            found
                .into_iter()
                .map(|one| (one.host.0, one.need, one.free))
                .collect::<Vec<_>>()
        };
        let first = ("sdw1".to_owned(), 1800, 1000);
        assert_eq!(hosts(&[]), [first.clone(), ("sdw2".to_owned(), 1100, 1000)]);
        assert_eq!(hosts(&[(2, 100)]), [first]);
        assert_eq!(hosts(&[(0, 700), (1, 100), (2, 5000)]), []);
    }

    #[test]
    fn rows_are_spread_as_the_files_are_or_evenly() {
        let facts = |name: &str, distribution, rows, bytes| TableFacts {
            table: QualifiedName::new("s", name),
            totals: TableTotals { rows, bytes },
            distribution,
            legacy_hash: false,
            distributed_by: Vec::new(),
        };
        let set = test_sets::own_set(
            2,
            HashFamily::Jump,
            90_400,
            vec![
                facts("hashed", Distribution::Hashed, 100, 8000),
                facts("all", Distribution::Replicated, 20, 1600),
            ],
        );
        let file = |content: i32, size| DataFile {
            content: ContentId(content),
            dbid: DbId(2),
            host: test_sets::host_of(content),
            path: "/f".into(),
            size,
            sha256: None,
        };
        let files = [file(0, 100), file(1, 300)];
        let contents = |count: i32| (0..count).map(ContentId).collect::<Vec<_>>();
        let heap = |_: &QualifiedName| kind(Storage::Heap, 0);
        let whole = Part {
            set: &set,
            files: &files,
            only: None,
        };
        let likely = |needs: &Needs| needs.spots.values().map(|guess| guess.likely).collect::<Vec<_>>();
        // 10,800 bytes as the files lie, and on each segment a copy of 1080.
        assert_eq!(
            likely(&needs(&[whole], &contents(2), &heap)),
            [2700 + 1080, 8100 + 1080]
        );
        assert_eq!(likely(&needs(&[whole], &contents(3), &heap)), [3600 + 1080; 3]);
        let only = |table: &QualifiedName| table.name == "all";
        let some = Part {
            only: Some(&only),
            ..whole
        };
        assert_eq!(likely(&needs(&[some], &contents(2), &heap)), [1080; 2]);
        let fast = |_: &QualifiedName| TableKind {
            tablespace: Some("fast".into()),
            ..kind(Storage::Heap, 0)
        };
        let found = needs(&[some], &contents(1), &fast);
        assert_eq!(
            found.spots.keys().collect::<Vec<_>>(),
            [&(ContentId(0), Some("fast".to_owned()))]
        );
        // What the original wrote is not counted: what it is at least follows from its files, of some tables nothing does.
        let original = test_sets::original_set(2, FileNaming::New);
        let whole = Part {
            set: &original,
            ..whole
        };
        let found = needs(&[whole], &contents(2), &heap);
        let both: Vec<_> = found
            .spots
            .values()
            .map(|guess| (guess.at_least, guess.likely))
            .collect();
        assert_eq!((both, found.uncounted), (vec![(50, 400), (150, 1200)], 0));
        let some = Part { set: &original, ..some };
        let found = needs(&[some], &contents(2), &heap);
        assert!(found.spots.is_empty() && found.uncounted == 1600);
    }
}
