//! What a set has beside tables, and the restore that only says what it would do.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use gpdump_testkit::compare::{Snapshot, assert_same};
use gpdump_testkit::{Cluster, ClusterSpec, Plain, Program};
use gpdump_tests::{DEMO, assert_said as said, dump, dump_files, one, try_restore as run};

#[test]
fn roles_come_back_with_their_passwords_which_nobody_reads() {
    let cluster = Cluster::start(ClusterSpec::segments(1));
    cluster.sql("postgres", "CREATE DATABASE demo");
    cluster.sql(
        DEMO,
        "CREATE TABLE public.t (a int); INSERT INTO t VALUES (1); SET password_encryption = 'md5'; \
         CREATE ROLE \"App Owner\" LOGIN PASSWORD 'very secret'; CREATE ROLE app_reader; GRANT app_reader TO \"App Owner\"",
    );
    let secret = "SELECT rolpassword FROM pg_authid WHERE rolname = 'App Owner'";
    let hash = one(&cluster, secret);
    let key = dump(&cluster, &["-G"]);
    let before = Snapshot::take(&cluster, DEMO);
    let drop_roles = || cluster.sql("postgres", "DROP ROLE \"App Owner\"; DROP ROLE app_reader");
    drop_roles();
    // Nothing else of the set is needed.
    for file in dump_files(&cluster) {
        if file.extension().is_some_and(|extension| extension == "gz") {
            fs::rename(&file, file.with_extension("away")).expect("it is ours");
        }
    }
    let end = run(&cluster, &["-t", &key, "-G", "only"]).expect_status(0);
    said(&end, "Restore global objects     = On");
    said(&end, "-Commencing restore of global objects");
    assert_eq!(one(&cluster, secret), hash);
    let members = "SELECT pg_has_role('App Owner', 'app_reader', 'MEMBER')";
    assert_eq!(one(&cluster, members), "t");
    assert!(!end.stdout.contains("md5"), "{}", end.stdout);
    for file in dump_files(&cluster) {
        if file.extension().is_some_and(|extension| extension == "away") {
            fs::rename(&file, file.with_extension("gz")).expect("it is ours");
        }
    }
    // Once more, with the database: roles that are there are no error.
    drop_roles();
    let end = run(&cluster, &["-e", "-t", &key, "-v", "-G"]).expect_status(0);
    said(&end, ": it exists");
    assert!(!end.stdout.contains(&hash), "{}", end.stdout);
    assert_eq!(one(&cluster, secret), hash);
    assert_same(&before, &Snapshot::take(&cluster, DEMO));
    let without = dump(&cluster, &[]);
    let end = run(&cluster, &["-e", "-t", &without, "-G"]).expect_status(2);
    said(&end, "Unable to locate global file ");
    said(&end, " in dump set");
    let end = run(&cluster, &["-e", "-t", &without, "--restore-stats"]).expect_status(2);
    said(&end, "Unable to locate statistics file ");
    assert_same(&before, &Snapshot::take(&cluster, DEMO));
}

const NUMBERS: &str = "SELECT coalesce(string_agg(s::text, E'\\n' ORDER BY s::text), '') FROM (SELECT schemaname, tablename, \
    attname, inherited, round(null_frac::numeric, 4), avg_width, round(n_distinct::numeric, 4), most_common_vals::text, most_common_freqs, \
    histogram_bounds::text, correlation, most_common_elems::text FROM pg_stats WHERE schemaname !~ '^(pg_|information)' AND tablename IN \
    (SELECT relname FROM pg_class WHERE relkind IN ('r', 'p', 'm'))) s";
const SIZES: &str = "SELECT string_agg(relname || ' ' || relpages || ' ' || reltuples, E'\\n' ORDER BY oid::regclass::text) FROM \
    pg_class WHERE relkind IN ('r', 'p') AND relnamespace::regnamespace::text !~ '^(pg_|information)'";

#[track_caller]
fn assert_same_lines(found: &str, expected: &str) {
    for (found, expected) in found.lines().zip(expected.lines()) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.lines().count(), expected.lines().count());
}

#[test]
fn the_planner_knows_what_it_knew() {
    let cluster = Plain::start();
    cluster.load_warehouse(DEMO);
    cluster.sql(
        DEMO,
        "CREATE TABLE public.words (w text[], n numeric); INSERT INTO words SELECT ARRAY['a;''' || g % 3, E'\\\\'], \
         g FROM generate_series(1, 300) g",
    );
    cluster.sql(DEMO, "ANALYZE");
    let (numbers, sizes) = (one(&cluster, NUMBERS), one(&cluster, SIZES));
    assert!(numbers.contains("words") && numbers.lines().count() > 20, "{numbers}");
    let key = dump(&cluster, &["--dump-stats"]);
    let end = run(&cluster, &["-e", "-t", &key, "--restore-stats"]).expect_status(0);
    said(&end, "-Commencing restore of statistics");
    assert!(!end.stdout.contains("nalyze"), "{}", end.stdout);
    assert_same_lines(&one(&cluster, NUMBERS), &numbers);
    assert_same_lines(&one(&cluster, SIZES), &sizes);
    cluster.sql(
        DEMO,
        "DELETE FROM pg_statistic WHERE starelid >= 16384; DROP TABLE public.wide",
    );
    let end = run(
        &cluster,
        &[
            "-t",
            &key,
            "--restore-stats",
            "only",
            "-T",
            "public.words",
            "-T",
            "public.wide",
        ],
    )
    .expect_status(0);
    said(
        &end,
        "Cannot restore statistics for table public.wide: Table does not exist.  Skipping...",
    );
    let again = one(&cluster, NUMBERS);
    let expected: Vec<&str> = numbers.lines().filter(|line| line.contains("(public,words,")).collect();
    assert_eq!(again.lines().collect::<Vec<_>>(), expected);
}

/// Everything on disk that belongs to dumps and restores, with sizes and times.
fn on_disk(cluster: &Cluster) -> BTreeMap<PathBuf, (u64, std::time::SystemTime)> {
    let mut files = dump_files(cluster);
    for instance in std::iter::once(cluster.master()).chain(cluster.segments()) {
        let entries = fs::read_dir(&instance.data_dir).expect("a data directory").flatten();
        files.extend(entries.map(|entry| entry.path()).filter(|path| path.is_file()));
    }
    let stamp = |path: PathBuf| {
        let meta = fs::metadata(&path).ok()?;
        Some((path, (meta.len(), meta.modified().ok()?)))
    };
    files.into_iter().filter_map(stamp).collect()
}

#[test]
fn a_dry_run_says_all_and_changes_nothing() {
    let cluster = Cluster::start(ClusterSpec::segments(2));
    cluster.load_warehouse(DEMO);
    let key = dump(&cluster, &["-G", "--dump-stats"]);
    cluster.sql(DEMO, "DROP TABLE sales.line");
    let (before, files) = (Snapshot::take(&cluster, DEMO), on_disk(&cluster));
    let databases = "SELECT string_agg(datname || oid, ' ' ORDER BY oid) FROM pg_database";
    let known = one(&cluster, databases);
    for (args, words) in [
        (
            vec!["-e", "-G", "--restore-stats"],
            vec![
                "Database demo: would be dropped and created anew",
                "Global objects: ",
                "Statistics: ",
            ],
        ),
        (
            vec!["-T", "public.wide", "-T", "sales.line", "--truncate"],
            vec![
                "Table public.wide: would be emptied first",
                "exists, its rows are replaced, segment by segment",
                "Table sales.line: ",
                " bytes, created, segment by segment",
                "straight into segment 1 on ",
            ],
        ),
        (
            vec!["-m"],
            vec!["Database demo: exists and is restored into as it is", "Rows: none"],
        ),
        (
            vec!["--redirect", "elsewhere"],
            vec!["Database elsewhere: does not exist and would be created"],
        ),
        (vec!["-G", "only"], vec!["Global objects: "]),
        (
            vec![],
            vec!["exists: its definition will be refused (status 1), rows are added"],
        ),
    ] {
        let end = Program::new("gpdbrestore", &cluster)
            .args(["-t", &key, "--dry-run"])
            .args(args.iter().copied())
            .run()
            .expect_status(0);
        for word in words {
            said(&end, word);
        }
    }
    let refused = Program::new("gpdbrestore", &cluster)
        .args(["-t", &key, "--dry-run", "-T", "no.such"])
        .run()
        .expect_status(2);
    said(&refused, "Tables ['no.such'] not found in backup");
    assert_same(&before, &Snapshot::take(&cluster, DEMO));
    assert_eq!(one(&cluster, databases), known);
    let after = on_disk(&cluster);
    let changed: Vec<_> = after
        .iter()
        .filter(|(path, stamp)| files.get(*path) != Some(stamp))
        .collect();
    // The server's own files of the moment.
    let changed: Vec<_> = changed
        .iter()
        .filter(|(path, _)| !path.ends_with("postmaster.pid") && !path.ends_with("current_logfiles"))
        .collect();
    assert!(changed.is_empty(), "{changed:#?}");
    assert_eq!(after.len(), files.len());
}
