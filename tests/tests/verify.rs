//! `--verify` says what could be restored, and what it says is so.

use std::fs;
use std::path::PathBuf;

use gpdump_core::format::index::Index;
use gpdump_testkit::{Cluster, ClusterSpec, Finished, Program};
use gpdump_tests::dump_of;

fn cluster() -> Cluster {
    let cluster = Cluster::start(ClusterSpec::segments(2));
    cluster.sql("postgres", "CREATE DATABASE shop");
    cluster.sql(
        "shop",
        "CREATE SCHEMA \"Odd, one\"; CREATE TABLE \"Odd, one\".\"t\"\"b\" (a int, b text); CREATE TABLE item (a int); \
         CREATE TABLE none ()",
    );
    for content in 0..2 {
        let sql = "INSERT INTO item SELECT generate_series(1, 500); INSERT INTO \"Odd, one\".\"t\"\"b\" VALUES (1, E'x\\ty\\n')";
        cluster.segment_sql(content, "shop", sql);
    }
    cluster
}

fn verify(cluster: &Cluster, key: &str, more: &[&str]) -> Finished {
    let options = ["--verify", "-t", key].into_iter().chain(more.iter().copied());
    Program::new("gpdbrestore", cluster).args(options).run()
}

#[track_caller]
fn says(end: &Finished, words: &str) {
    assert!(end.stdout.contains(words), "{words:?} is not in\n{}", end.stdout);
}

fn data_file(cluster: &Cluster, content: usize, key: &str, prefix: &str) -> PathBuf {
    let directory = cluster.segment(content).data_dir.join("db_dumps").join(&key[..8]);
    directory.join(format!("{prefix}gp_dump_{content}_{}_{key}.gz", content + 2))
}

#[test]
fn one_damaged_table_is_named_and_the_others_can_be_restored() {
    let cluster = cluster();
    let key = dump_of("shop", &cluster, &["--prefix", "p"]);
    // Nobody is asked anything, and no database is needed.
    cluster.sql("postgres", "DROP DATABASE shop");
    let prefix = ["--prefix", "p"];
    let whole = verify(&cluster, &key, &prefix).expect_status(0);
    says(&whole, "All of it can be restored: 3 tables, 1002 rows");
    let part = verify(&cluster, &key, &["--prefix", "p", "-S", "Odd, one"]).expect_status(0);
    says(&part, "All of it can be restored: 1 tables, 2 rows");

    let path = data_file(&cluster, 1, &key, "p_");
    let mut bytes = fs::read(&path).unwrap();
    let index = path.with_file_name(format!("p_gp_dump_1_3_{key}_index"));
    let index = Index::read(&fs::read(index).unwrap()[..]).unwrap();
    let item = index.tables.iter().find(|entry| entry.table.name == "item").unwrap();
    let middle = usize::try_from(item.offset + item.length / 2).unwrap();
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let end = verify(&cluster, &key, &prefix).expect_status(2);
    says(&end, "1 of 3 tables of set");
    says(&end, "-Table public.item is damaged: data file");
    says(
        &end,
        "2 tables that are whole, can be restored: name them with -T or --table-file",
    );
    verify(&cluster, &key, &["--prefix", "p", "-T", "Odd, one.t\"b"]).expect_status(0);
    verify(&cluster, &key, &["--prefix", "p", "-T", "public.item"]).expect_status(2);
    let restored = Program::new("gpdbrestore", &cluster)
        .args([
            "-a",
            "-t",
            &key,
            "--prefix",
            "p",
            "--redirect",
            "shop",
            "-T",
            "Odd, one.t\"b",
        ])
        .run();
    restored.expect_status(0);
    let rows = |content| cluster.segment_sql(content, "shop", "SELECT b FROM \"Odd, one\".\"t\"\"b\"");
    assert_eq!((rows(0), rows(1)).0[0][0].as_deref(), Some("x\ty\n"));
}

#[test]
fn a_set_is_read_where_no_server_runs() {
    let cluster = cluster();
    let root = cluster.home().join("cold");
    fs::create_dir(&root).unwrap();
    let root = root.display().to_string();
    let key = dump_of("shop", &cluster, &["-u", &root, "--inserts"]);
    let cold = |more: &[&str]| {
        let options = ["--verify", "-t", &key, "-u", &root]
            .into_iter()
            .chain(more.iter().copied());
        Program::new("gpdbrestore", &cluster)
            .env("PGPORT", "1")
            .env("PGHOST", "/nonexistent")
            .env("MASTER_DATA_DIRECTORY", "")
            .args(options)
            .run()
    };
    let end = cold(&[]).expect_status(0);
    says(&end, "files are looked for on this host alone");
    says(&end, "All of it can be restored: 3 tables, 1002 rows");
    fs::remove_file(format!("{root}/db_dumps/{}/gp_dump_0_2_{key}_index", &key[..8])).unwrap();
    let end = cold(&[]).expect_status(1);
    says(&end, "_index\": No such file or directory");
    fs::remove_file(format!("{root}/db_dumps/{}/gp_dump_0_2_{key}.gz", &key[..8])).unwrap();
    let end = cold(&[]).expect_status(2);
    says(&end, "3 of 3 tables of set");
    // What changes something has no place here.
    let end = cold(&["-e"]).expect_status(2);
    says(&end, "Cannot specify --verify and -e together");
}
