//! Restores of increments with options: tables, schemas, other names, other databases; the rows come from several sets.

use std::fs;
use std::path::{Path, PathBuf};

use gpdump_testkit::compare::{Snapshot, assert_same};
use gpdump_testkit::{Cluster, ClusterSpec, Finished, Program};

const SHOP: &str = "shop";

/// A full dump and two increments: `early` has its rows in the first set, `middle` in the second, `late` in the third.
struct Chain {
    cluster: Cluster,
    keys: [String; 3],
    state: Snapshot,
}

impl Chain {
    fn make() -> Chain {
        let cluster = Cluster::start(ClusterSpec::segments(2));
        cluster.sql("postgres", &format!("CREATE DATABASE {SHOP}"));
        cluster.sql(SHOP, "CREATE SCHEMA s");
        for table in ["early", "middle", "s.early", "s.late"] {
            cluster.sql(SHOP, &format!("CREATE TABLE {table} (a int, b text) USING ao_row"));
            insert(&cluster, table, "first");
        }
        let dump = |more: &[&str]| {
            let program = Program::new("gpcrondump", &cluster).args(["-a", "-x", SHOP]);
            program
                .args(more.iter().copied())
                .run()
                .expect_status(0)
                .timestamp_key()
        };
        let full = dump(&[]);
        insert(&cluster, "middle", "second");
        let one = dump(&["--incremental"]);
        insert(&cluster, "s.late", "third");
        let two = dump(&["--incremental"]);
        let state = Snapshot::take(&cluster, SHOP);
        Chain {
            keys: [full, one, two],
            state,
            cluster,
        }
    }

    fn run(&self, more: &[&str]) -> Finished {
        Program::new("gpdbrestore", &self.cluster)
            .args(["-a", "-t", &self.keys[2]])
            .args(more.iter().copied())
            .run()
    }

    fn restore(&self, more: &[&str]) -> Finished {
        self.run(more).expect_status(0)
    }

    fn count(&self, database: &str, table: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        let of = |content| self.cluster.segment_sql(content, database, &sql)[0][0].clone();
        (0..2).map(|content| of(content).unwrap().parse::<i64>().unwrap()).sum()
    }

    fn data_files(&self, key: &str) -> Vec<PathBuf> {
        let of = |content: usize| {
            let directory = self.cluster.segment(content).data_dir.join("db_dumps").join(&key[..8]);
            directory.join(format!("gp_dump_{content}_{}_{key}.gz", content + 2))
        };
        (0..2).map(of).collect()
    }
}

fn insert(cluster: &Cluster, table: &str, text: &str) {
    for content in 0..2 {
        let rows = format!("INSERT INTO {table} SELECT g, '{text} ' || g FROM generate_series(1, 500) g");
        cluster.segment_sql(content, SHOP, &rows);
    }
}

/// Spoils the bytes of a table's block, found by the index.
fn spoil(file: &Path, table: &str) {
    let index = fs::read_to_string(file.to_string_lossy().replace(".gz", "_index")).unwrap();
    let line = index
        .lines()
        .find(|line| line.contains(&format!("\"name\":\"{table}\"")))
        .unwrap();
    let number = |name: &str| {
        let (_, rest) = line.split_once(&format!("\"{name}\":")).unwrap();
        rest.split(',').next().unwrap().parse::<usize>().unwrap()
    };
    let mut bytes = fs::read(file).unwrap();
    bytes[number("offset") + number("length") / 2] ^= 0x55;
    fs::write(file, bytes).unwrap();
}

#[test]
fn tables_and_schemas_come_from_the_sets_that_have_them() {
    let chain = Chain::make();
    let cluster = &chain.cluster;
    for table in ["early", "middle", "s.late"] {
        cluster.sql(SHOP, &format!("DROP TABLE {table}"));
        let name = if table.contains('.') {
            table.to_owned()
        } else {
            format!("public.{table}")
        };
        chain.restore(&["-T", &name]);
        assert_same(&chain.state, &Snapshot::take(cluster, SHOP));
    }
    // Into a table that is there: added, or in the place of what there was.
    chain.restore(&["-T", "public.early"]);
    assert_eq!(chain.count(SHOP, "early"), 2000);
    chain.restore(&["-T", "public.early", "-T", "s.late", "--truncate"]);
    assert_same(&chain.state, &Snapshot::take(cluster, SHOP));

    cluster.sql(SHOP, "DROP SCHEMA s CASCADE");
    chain.restore(&["-S", "s"]);
    assert_same(&chain.state, &Snapshot::take(cluster, SHOP));

    cluster.sql(SHOP, "CREATE SCHEMA elsewhere");
    chain.restore(&["-T", "public.early", "-T", "s.late", "--change-schema", "elsewhere"]);
    assert_eq!(chain.count(SHOP, "elsewhere.early"), 1000);
    assert_eq!(chain.count(SHOP, "elsewhere.late"), 2000);
    assert_eq!(chain.count(SHOP, "early"), 1000);

    let end = chain.run(&["-T", "public.stranger"]).expect_status(2);
    assert!(end.stdout.contains("not found in backup"), "{}", end.stdout);
}

#[test]
fn whole_increments_go_where_they_are_sent() {
    let chain = Chain::make();
    chain.restore(&["--redirect", "elsewhere"]);
    assert_same(&chain.state, &Snapshot::take(&chain.cluster, "elsewhere"));
    chain.restore(&["-e", "-m"]);
    assert_eq!(chain.count(SHOP, "early") + chain.count(SHOP, "s.late"), 0);
    chain.restore(&["-e"]);
    assert_same(&chain.state, &Snapshot::take(&chain.cluster, SHOP));
}

#[test]
fn of_older_sets_only_the_bytes_of_the_tables_needed_are_read() {
    let chain = Chain::make();
    for (key, stale) in [(&chain.keys[0], "middle"), (&chain.keys[0], "late")] {
        for file in chain.data_files(key) {
            spoil(&file, stale);
        }
    }
    chain.restore(&["-e"]);
    assert_same(&chain.state, &Snapshot::take(&chain.cluster, SHOP));
    // What is needed is held against its index.
    for file in chain.data_files(&chain.keys[1]) {
        spoil(&file, "middle");
    }
    let end = chain.run(&["-e"]).expect_status(2);
    assert!(end.stdout.contains("are damaged"), "{}", end.stdout);
}
