//! Random changes with increments between them: every key restores to what was there, and what was not touched is left out.
//!
//! `GPDUMP_PROPERTY_CASES` and `GPDUMP_PROPERTY_SEED` ask for more than CI has time for, `GPDUMP_PROPERTY_INCREMENTS` and
//! `GPDUMP_PROPERTY_CHANGES` for longer cases; with `GPDUMP_TEST_CLUSTER=env` the servers are a real Greenplum.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use gpdump_testkit::compare::Snapshot;
use gpdump_testkit::{Cluster, Program};

const DATABASE: &str = "incr_property";

/// Tables that stand alone. Beside them there is table `p` with its partitions.
const TABLES: [&str; 4] = ["t0", "t1", "t2", "t3"];

/// A sequence that depends on its seed alone, on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        ((self.0 >> 33) % below as u64) as usize
    }

    fn choose<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len())].clone()
    }
}

/// The database, what is in it, and what was touched since the last dump.
struct Model<'a> {
    cluster: &'a Cluster,
    dice: Dice,
    /// Names of heap tables, and of all tables.
    heap: BTreeSet<String>,
    tables: BTreeSet<String>,
    /// Partitions of table `p` by the first value of their range; the default partition is not among them.
    leaves: Vec<usize>,
    touched: BTreeSet<String>,
    /// Heap tables too are left out where that can be.
    with_heap: bool,
    /// Ever-growing number for values and column names.
    next: usize,
    log: Vec<String>,
}

impl<'a> Model<'a> {
    fn new(cluster: &'a Cluster, seed: u64) -> Self {
        let mut model = Model {
            cluster,
            dice: Dice(seed),
            heap: BTreeSet::new(),
            tables: BTreeSet::new(),
            leaves: vec![0, 10],
            touched: BTreeSet::new(),
            with_heap: seed.is_multiple_of(2),
            next: 0,
            log: Vec::new(),
        };
        let _ = cluster.try_sql("postgres", &format!("DROP DATABASE {DATABASE}"));
        cluster.sql("postgres", &format!("CREATE DATABASE {DATABASE}"));
        model.run("CREATE SCHEMA other");
        for table in TABLES {
            model.create(table);
            model.insert(table);
        }
        model.create_partitioned();
        for _ in 0..3 {
            model.insert("p");
        }
        model
    }

    fn is_greenplum(&self) -> bool {
        !self.cluster.is_own()
    }

    fn run(&mut self, sql: &str) {
        self.log.push(sql.to_owned());
        self.cluster.sql(DATABASE, sql);
    }

    /// On one segment, where nobody distributes rows.
    fn run_on(&mut self, segment: usize, sql: &str) {
        self.log.push(format!("{sql} -- on segment {segment}"));
        self.cluster.segment_sql(segment, DATABASE, sql);
    }

    fn storage(&self, kind: usize) -> &'static str {
        match (self.is_greenplum(), kind) {
            (_, 0) => "",
            (false, 1) => " USING ao_row",
            (false, _) => " USING ao_column",
            (true, 1) => " WITH (appendonly=true)",
            (true, _) => " WITH (appendonly=true, orientation=column)",
        }
    }

    fn by_a(&self) -> &'static str {
        if self.is_greenplum() { " DISTRIBUTED BY (a)" } else { "" }
    }

    fn create(&mut self, table: &str) {
        let kind = self.dice.roll(5) % 3;
        let (storage, by) = (self.storage(kind), self.by_a());
        self.run(&format!("CREATE TABLE {table} (a int, d int, b text){storage}{by}"));
        self.tables.insert(table.to_owned());
        self.heap.remove(table);
        if kind == 0 {
            self.heap.insert(table.to_owned());
        }
        self.touched.insert(table.to_owned());
    }

    fn create_partitioned(&mut self) {
        let storage = self.storage(1);
        if self.is_greenplum() {
            self.run(&format!(
                "CREATE TABLE p (a int, d int, b text){storage} DISTRIBUTED BY (a) PARTITION BY RANGE (d) \
                 (PARTITION x0 START (0) END (10), PARTITION x10 START (10) END (20), DEFAULT PARTITION rest)"
            ));
        } else {
            self.run("CREATE TABLE p (a int, d int, b text) PARTITION BY RANGE (d)");
            for first in [0, 10] {
                let (leaf, end) = (leaf(first), first + 10);
                self.run(&format!(
                    "CREATE TABLE {leaf} PARTITION OF p FOR VALUES FROM ({first}) TO ({end}){storage}"
                ));
            }
            self.run(&format!("CREATE TABLE {REST} PARTITION OF p DEFAULT{storage}"));
        }
        self.touch_partitions();
    }

    fn touch_partitions(&mut self) {
        let mut leaves: Vec<String> = self.leaves.iter().map(|first| leaf(*first)).collect();
        leaves.push(REST.to_owned());
        self.tables.extend(leaves.iter().cloned());
        self.touched.extend(leaves);
    }

    fn insert(&mut self, table: &str) {
        let (from, count) = (self.next, 1 + self.dice.roll(4));
        self.next += count;
        let (d, to) = (self.dice.roll(40), from + count - 1);
        let rows =
            format!("INSERT INTO {table} (a, d, b) SELECT g, {d}, 'row ' || g FROM generate_series({from}, {to}) g");
        if self.is_greenplum() {
            self.run(&rows);
        } else {
            let segment = self.dice.roll(self.cluster.segments().len());
            self.run_on(segment, &rows);
        }
        self.touch(table);
    }

    fn touch(&mut self, table: &str) {
        if table == "p" {
            self.touch_partitions();
        } else {
            self.touched.insert(table.to_owned());
        }
    }

    /// Tables that are no partitions and never were: on Greenplum what was exchanged keeps the bounds of its partition.
    fn alone(&self) -> Vec<String> {
        let is_alone = |table: &&String| !table.starts_with("p_") && *table != "newcomer";
        self.tables.iter().filter(is_alone).cloned().collect()
    }

    /// The table has another name now, and that of another table maybe.
    fn renamed(&mut self, old: &str, new: &str) {
        self.tables.remove(old);
        self.tables.insert(new.to_owned());
        self.heap.remove(new);
        if self.heap.remove(old) {
            self.heap.insert(new.to_owned());
        }
        self.touched.insert(new.to_owned());
    }

    fn rename(&mut self, old: &str, new: &str) {
        self.run(&format!("ALTER TABLE {old} RENAME TO {new}"));
        self.renamed(old, new);
    }

    fn change(&mut self) {
        self.next += 1;
        let n = self.next;
        let mut names = self.alone();
        names.push("p".to_owned());
        let table = self.dice.choose(&names);
        match self.dice.roll(17) {
            0..=3 => self.insert(&table),
            4 => {
                let rest = self.dice.roll(3);
                self.run(&format!("DELETE FROM {table} WHERE a % 3 = {rest}"));
                self.touch(&table);
            }
            5 => {
                self.run(&format!("UPDATE {table} SET b = b || '{n}' WHERE a % 2 = 0"));
                self.touch(&table);
            }
            6 => {
                self.run(&format!("TRUNCATE {table}"));
                self.touch(&table);
                // The counter may come to where it was.
                if self.dice.roll(2) == 0 {
                    self.insert(&table);
                }
            }
            7 => {
                self.run(&format!("ALTER TABLE {table} ADD COLUMN c{n} int DEFAULT {n}"));
                self.touch(&table);
            }
            8 => {
                self.run(&format!("ALTER TABLE {table} ALTER COLUMN b TYPE varchar(100)"));
                self.run(&format!("ALTER TABLE {table} ALTER COLUMN b TYPE text"));
                self.touch(&table);
            }
            9 => self.drop_one(),
            10 => {
                let missing = TABLES.into_iter().find(|table| !self.tables.contains(*table));
                if let Some(table) = missing {
                    self.create(table);
                }
            }
            11 => self.swap_two(),
            12 => self.exchange(),
            13 => self.split(),
            14 => self.run(&format!("VACUUM {table}")),
            15 => self.roll_back(&table),
            _ => self.move_one(),
        }
    }

    /// A table goes, and most times one of the same name comes.
    fn drop_one(&mut self) {
        let alone = self.alone();
        if alone.is_empty() {
            return;
        }
        let table = self.dice.choose(&alone);
        self.run(&format!("DROP TABLE {table}"));
        self.tables.remove(&table);
        self.heap.remove(&table);
        if self.dice.roll(3) > 0 {
            self.create(&table);
            self.insert(&table);
        }
    }

    fn move_one(&mut self) {
        let movable: Vec<String> = self.alone().into_iter().filter(|t| !t.contains('.')).collect();
        if movable.is_empty() {
            return;
        }
        let table = self.dice.choose(&movable);
        let moved = format!("other.{table}");
        if !self.tables.contains(&moved) {
            self.run(&format!("ALTER TABLE {table} SET SCHEMA other"));
            self.renamed(&table, &moved);
        }
    }

    fn swap_two(&mut self) {
        let names: Vec<String> = self.alone().into_iter().filter(|t| !t.contains('.')).collect();
        if names.len() < 2 {
            return;
        }
        let (one, two) = (self.dice.choose(&names), self.dice.choose(&names));
        if one != two {
            self.rename(&one, "t_aside");
            self.rename(&two, &one);
            self.rename("t_aside", &two);
        }
    }

    /// The rows of a partition and of a table change places.
    fn exchange(&mut self) {
        let first = self.dice.choose(&self.leaves.clone());
        let (leaf, end, n) = (leaf(first), first + 10, self.next);
        let (storage, by) = (self.storage(1), self.by_a());
        self.run("DROP TABLE IF EXISTS newcomer");
        self.run(&format!("CREATE TABLE newcomer (LIKE p){storage}{by}"));
        let row = format!("INSERT INTO newcomer (a, d, b) VALUES ({n}, {first}, 'new')");
        if self.is_greenplum() {
            self.run(&row);
            self.run(&format!(
                "ALTER TABLE p EXCHANGE PARTITION FOR ({first}) WITH TABLE newcomer"
            ));
        } else {
            self.run_on(0, &row);
            self.run(&format!("ALTER TABLE p DETACH PARTITION {leaf}"));
            self.run(&format!("ALTER TABLE {leaf} RENAME TO aside"));
            self.run(&format!("ALTER TABLE newcomer RENAME TO {leaf}"));
            self.run("ALTER TABLE aside RENAME TO newcomer");
            self.run(&format!(
                "ALTER TABLE p ATTACH PARTITION {leaf} FOR VALUES FROM ({first}) TO ({end})"
            ));
        }
        self.tables.insert("newcomer".into());
        self.heap.remove("newcomer");
        self.touched.extend(["newcomer".into(), leaf]);
    }

    /// A part of the default partition becomes a partition of its own.
    fn split(&mut self) {
        let first = self.leaves.iter().max().unwrap() + 10;
        let (end, leaf) = (first + 10, leaf(first));
        if self.is_greenplum() {
            self.run(&format!(
                "ALTER TABLE p SPLIT DEFAULT PARTITION START ({first}) END ({end}) \
                 INTO (PARTITION x{first}, DEFAULT PARTITION)"
            ));
        } else {
            self.run(&format!("CREATE TABLE {leaf} (LIKE p INCLUDING DEFAULTS) USING ao_row"));
            for content in 0..self.cluster.segments().len() {
                let theirs = format!("d >= {first} AND d < {end}");
                self.run_on(
                    content,
                    &format!(
                        "INSERT INTO {leaf} SELECT * FROM {REST} WHERE {theirs}; DELETE FROM {REST} WHERE {theirs}"
                    ),
                );
            }
            self.run(&format!(
                "ALTER TABLE p ATTACH PARTITION {leaf} FOR VALUES FROM ({first}) TO ({end})"
            ));
        }
        self.leaves.push(first);
        self.touch_partitions();
    }

    /// What never happened; a counter may tell otherwise.
    fn roll_back(&mut self, table: &str) {
        for change in [
            format!("TRUNCATE {table}"),
            format!("DELETE FROM {table}"),
            format!("ALTER TABLE {table} ADD COLUMN never int"),
        ] {
            self.run(&format!("BEGIN; {change}; ROLLBACK"));
        }
    }

    /// Dumps; gives back the key and the state.
    fn dump(&mut self, incremental: bool, directory: &str) -> (String, Snapshot) {
        let end = Program::new("gpcrondump", self.cluster)
            .args(["-a", "-x", DATABASE, "-u", directory])
            .args(incremental.then_some("--incremental"))
            .args(self.with_heap.then_some("--incremental-heap"))
            .run()
            .expect_status(0);
        let key = end.timestamp_key();
        self.log.push(format!("-- dump {key}"));
        if incremental {
            self.check_dirty_list(&key, directory);
        }
        self.touched.clear();
        (key, Snapshot::take(self.cluster, DATABASE))
    }

    /// What was not touched is left out.
    fn check_dirty_list(&self, key: &str, directory: &str) {
        let path = PathBuf::from(directory).join(format!("db_dumps/{}/gp_dump_{key}_dirty_list", &key[..8]));
        let dirty: BTreeSet<String> = fs::read_to_string(path)
            .unwrap()
            .lines()
            .map(|line| line.strip_prefix("public.").unwrap_or(line).to_owned())
            .collect();
        let needless: Vec<&String> = self
            .tables
            .difference(&self.touched)
            .filter(|table| dirty.contains(*table) && !self.heap.contains(*table))
            .collect();
        assert!(
            needless.is_empty(),
            "dumped without need: {needless:?}\n{}",
            self.log.join("\n")
        );
    }
}

/// The default partition.
const REST: &str = "p_1_prt_rest";

fn leaf(first: usize) -> String {
    format!("p_1_prt_x{first}")
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().expect("a number"))
}

#[test]
fn every_key_of_a_random_history_restores_to_what_was_there() {
    let first = number("GPDUMP_PROPERTY_SEED", 20261122);
    let increments = number("GPDUMP_PROPERTY_INCREMENTS", 3);
    let changes = number("GPDUMP_PROPERTY_CHANGES", 10);
    let cluster = Cluster::for_tests(2);
    for seed in first..first + number("GPDUMP_PROPERTY_CASES", 1) {
        let directory = cluster.home().join(format!("dumps-{seed}")).display().to_string();
        fs::create_dir_all(&directory).unwrap();
        let mut model = Model::new(&cluster, seed);
        let mut states = vec![model.dump(false, &directory)];
        for _ in 0..increments {
            for _ in 0..changes {
                model.change();
            }
            states.push(model.dump(true, &directory));
        }
        for (key, state) in &states {
            Program::new("gpdbrestore", &cluster)
                .args(["-a", "-e", "-t", key, "-u", &directory])
                .run()
                .expect_status(0);
            let differences = state.differences(&Snapshot::take(&cluster, DATABASE));
            assert!(
                differences.is_empty(),
                "seed {seed}: key {key} is not what was there:\n{differences}\nafter:\n{}",
                model.log.join("\n")
            );
        }
        cluster.sql("postgres", &format!("DROP DATABASE {DATABASE}"));
    }
}
