//! Rows of the original's catalogue of failures (`gpdbrestore.md` 1.4, 6.2, 6.3) that need a set or a server of their own;
//! which test holds which row is said in `docs/refusals.md`.

use std::fs;
use std::path::{Path, PathBuf};

use gpdump_core::words::names::quote_literal;
use gpdump_testkit::{Cluster, ClusterSpec, Finished, Plain, Program};
use gpdump_tests::{DEMO, dump, dump_files, dump_of};

fn run(server: &Cluster, args: &[&str]) -> Finished {
    Program::new("gpdbrestore", server).args(args.iter().copied()).run()
}

/// A file of the set, by the end of its name without `.gz`.
fn file(server: &Cluster, key: &str, end: &str) -> PathBuf {
    let ends = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.contains(key) && name.trim_end_matches(".gz").ends_with(end)
    };
    dump_files(server)
        .into_iter()
        .find(|path| ends(path))
        .expect("it is in the set")
}

#[test]
fn sets_that_lack_what_is_asked_of_them_are_refused_in_the_words_of_the_original() {
    let server = Plain::start();
    server.sql("postgres", "CREATE DATABASE demo");
    server.sql("postgres", "CREATE DATABASE bare");
    server.sql(DEMO, "CREATE TABLE t (a int); INSERT INTO t VALUES (1), (2)");
    let key = dump(&server, &[]);
    let bare = dump_of("bare", &server, &["-h"]);
    // The history is a table of the database.
    server.sql("bare", "DROP TABLE IF EXISTS public.gpcrondump_history");
    let bare_again = dump_of("bare", &server, &[]);
    server.sql("postgres", "CREATE ROLE landlord");
    server.sql("postgres", "CREATE DATABASE owned OWNER landlord");
    let owned = dump_of("owned", &server, &[]);
    server.sql("postgres", "DROP DATABASE owned");
    server.sql("postgres", "DROP ROLE landlord");
    let cut = dump(&server, &[]);
    let missing = file(&server, &cut, &format!("gp_dump_-1_1_{cut}"));
    fs::remove_file(&missing).expect("it goes");

    // A directory with nothing but an increment in it, as somebody may have copied it.
    let root = server.home().join("backups");
    let root = root.to_str().expect("a path of ours");
    dump(&server, &["-u", root]);
    let increment = dump(&server, &["-u", root, "--incremental"]);
    let date = format!("{root}/db_dumps/{}", &increment[..8]);
    let alone = server.home().join("alone/db_dumps").join(&increment[..8]);
    fs::create_dir_all(&alone).expect("the home is ours");
    for entry in fs::read_dir(&date).expect("the sets").flatten() {
        if entry.file_name().to_string_lossy().contains(&increment) {
            fs::copy(entry.path(), alone.join(entry.file_name())).expect("a copy");
        }
    }
    let alone = alone.to_str().expect("a path of ours");

    let failed = |text: &str| format!("[CRITICAL]:-gpdbrestore failed. (Reason='{text}') exiting...");
    let known = |text: &str| format!("[ERROR]:-gpdbrestore error: {text}");
    let today = &key[..8];
    let incremental = format!("-R is not supported for restore with incremental timestamp {increment}");
    let cases: Vec<(&str, Vec<&str>, String)> = vec![
        (
            "1.4 no tables",
            vec!["-a", "-t", &bare_again, "-T", "public.t"],
            failed("No dumped tables to restore."),
        ),
        ("1.4 after -R", vec!["-a", "-R", alone], failed(&incremental)),
        (
            "6.2 master dump missing",
            vec!["-a", "-t", &cut],
            known(&format!("Unable to find {}. Skipping restore.", missing.display())),
        ),
        (
            "6.3 owner of the database",
            vec!["-a", "-e", "-t", &owned],
            known("database owned cannot be created: its owner, role \"landlord\", does not exist here"),
        ),
        ("6.2 end of input", vec!["-b", today], failed("EOF when reading a line")),
        (
            "6.2 -R host",
            vec!["-a", "-R", "host"],
            "The arguments of the -R flag are incorrect. The correct form should be as follows:".to_owned(),
        ),
    ];
    let mut wrong = String::new();
    for (row, args, wanted) in &cases {
        let end = run(&server, args);
        let rows = server.sql(DEMO, "SELECT count(*) FROM t");
        if end.status != Some(2) || !end.stdout.contains(wanted) || rows[0][0].as_deref() != Some("2") {
            wrong += &format!(
                "{row}: status {:?}, wanted: {wanted}\n{}{}\n",
                end.status, end.stdout, end.stderr
            );
        }
    }
    assert!(wrong.is_empty(), "{bare} {wrong}");
}

#[test]
fn a_segment_that_is_marked_as_down_ends_it_before_anything_is_changed() {
    let cluster = Cluster::start(ClusterSpec::segments(2));
    cluster.sql("postgres", "CREATE DATABASE demo");
    cluster.sql(DEMO, "CREATE TABLE public.t (a int)");
    let key = dump(&cluster, &[]);
    let shown = cluster.sql("postgres", "SHOW testkit.instances")[0][0]
        .clone()
        .expect("instances");
    // The second segment's is the last.
    let (head, tail) = shown.rsplit_once("\"status\":\"u\"").expect("a status");
    let down = format!("{head}\"status\":\"d\"{tail}");
    for database in ["postgres", "template1", DEMO] {
        cluster.sql(
            "postgres",
            &format!(
                "ALTER DATABASE {database} SET testkit.instances = {}",
                quote_literal(&down)
            ),
        );
    }
    let end = run(&cluster, &["-a", "-e", "-t", &key]).expect_status(2);
    let segment = &cluster.segments()[1];
    let said = format!(" dir {} dbid 3 marked as invalid", segment.data_dir.display());
    assert!(
        end.stdout.contains("-[ERROR]:-gpdbrestore error: Host "),
        "{}",
        end.stdout
    );
    assert!(end.stdout.contains(&said), "{said}\n{}", end.stdout);
    assert_eq!(cluster.sql(DEMO, "SELECT count(*) FROM public.t").len(), 1);
}
