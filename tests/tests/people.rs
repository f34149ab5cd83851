//! What people and their monitoring see of a run: `--json`, `--list-backups`.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot look at its surroundings has to fail, and at once"
)]

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::process::{Child, ChildStdout, Command, Stdio};

use gpdump_testkit::{Cluster, ClusterSpec, Finished, Program, bin, repository};
use serde_json::Value;

fn run(program: &str, cluster: &Cluster, line: &str) -> Finished {
    Program::new(program, cluster).args(line.split_whitespace()).run()
}

/// The one object on standard output.
#[track_caller]
fn object(end: &Finished) -> Value {
    assert_eq!(end.stdout.lines().count(), 1, "{}\n{}", end.stdout, end.stderr);
    serde_json::from_str(&end.stdout).unwrap_or_else(|error| panic!("{error}: {}", end.stdout))
}

/// `databases[].set.rows` and the like, of all that is in a value.
fn paths(value: &Value, at: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if at.is_empty() {
                    name.clone()
                } else {
                    format!("{at}.{name}")
                };
                found.insert(path.clone());
                paths(value, &path, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| paths(item, &format!("{at}[]"), found)),
        _ => {}
    }
}

/// The fields of a section of `docs/formats/json.md`: those that are always there, and those that are sometimes.
fn documented(sections: &[&str]) -> (BTreeSet<String>, BTreeSet<String>) {
    let text = fs::read_to_string(repository().join("docs/formats/json.md")).unwrap();
    let (mut always, mut sometimes) = (BTreeSet::new(), BTreeSet::new());
    for section in sections {
        let (_, rest) = text.split_once(&format!("\n## {section}\n")).unwrap();
        let rest = rest.split("\n## ").next().unwrap();
        for row in rest.lines().filter_map(|line| line.strip_prefix("| `")) {
            let (field, meaning) = row.split_once("` | ").unwrap();
            let fields = if meaning.starts_with("sometimes") {
                &mut sometimes
            } else {
                &mut always
            };
            fields.insert(field.to_owned());
        }
    }
    (always, sometimes)
}

#[track_caller]
fn assert_documented(value: &Value, sections: &[&str]) {
    let (always, sometimes) = documented(sections);
    let mut found = BTreeSet::new();
    paths(value, "", &mut found);
    let found: BTreeSet<String> = found.difference(&sometimes).cloned().collect();
    assert_eq!(
        found, always,
        "docs/formats/json.md and the program differ in {sections:?}"
    );
}

fn cluster() -> Cluster {
    let cluster = Cluster::start(ClusterSpec::segments(2));
    for database in ["one", "two"] {
        cluster.sql("postgres", &format!("CREATE DATABASE {database}"));
        cluster.sql(database, "CREATE TABLE t (a int)");
        cluster.segment_sql(0, database, "INSERT INTO t SELECT generate_series(1, 6)");
        cluster.segment_sql(1, database, "INSERT INTO t SELECT generate_series(7, 10)");
    }
    cluster
}

#[test]
fn json_says_what_came_of_a_run_and_the_list_knows_every_set() {
    let cluster = cluster();

    let end = run("gpcrondump", &cluster, "-a -b -x one --json").expect_status(0);
    let dumped = object(&end);
    assert_documented(&dumped, &["Every run", "A dump"]);
    assert!(
        end.stderr
            .contains("-[INFO]:-Starting gpcrondump with args: -a -b -x one --json\n")
    );
    let one = &dumped["databases"][0];
    let key = one["key"].as_str().unwrap().to_owned();
    assert_eq!((&one["outcome"], &one["set"]["rows"]), (&"ok".into(), &10.into()));
    assert_eq!(
        (&one["set"]["segments"], &one["set"]["cut"]["one_cut"]),
        (&2.into(), &true.into())
    );

    // One database of two fails; the object has both.
    cluster.segment_sql(0, "two", "DROP TABLE t");
    let end = run("gpcrondump", &cluster, "-a -b -q -x two -x one --prefix p --json").expect_status(2);
    let dumped = object(&end);
    assert_eq!(
        (&dumped["exit_status"], &dumped["outcome"]),
        (&2.into(), &"failed".into())
    );
    let outcomes: Vec<&Value> = (0..2).map(|at| &dumped["databases"][at]["outcome"]).collect();
    assert_eq!(outcomes, ["failed", "ok"]);
    let error = dumped["databases"][0]["error"].as_str().unwrap();
    assert!(!error.is_empty());
    let chained = run("gpcrondump", &cluster, "-a -b -q -x one --incremental").expect_status(0);
    assert_eq!(chained.stderr, "");

    // What is refused is told too, from the first moment on.
    for (line, error) in [
        (
            "-x one -x two -t public.t --json",
            "gpcrondump error: Cannot supply a table dump list",
        ),
        ("--json --nosuch", "no such option: --nosuch"),
        (
            "-a -x nosuch --json -q",
            "gpcrondump error: Database nosuch does not exist.",
        ),
        ("-a -x one --json -l /nosuch/deep", "could not create the log directory"),
    ] {
        let refused = object(&run("gpcrondump", &cluster, line).expect_status(2));
        assert_eq!(refused["exit_status"], 2, "{line}");
        assert!(
            refused["errors"][0].as_str().unwrap().contains(error),
            "{line}: {refused}"
        );
    }

    // The list needs no server, no lock, and leaves nothing behind.
    let home = cluster.home().join("nobody");
    fs::create_dir(&home).unwrap();
    let list = |line: &str| {
        Program::new("gpcrondump", &cluster)
            .env("HOME", &home)
            .env("PGPORT", "1")
            .args(format!("--list-backups {line}").split_whitespace())
            .run()
    };
    let listed = object(&list("--json").expect_status(0));
    assert_documented(&listed, &["Every run", "`gpcrondump --list-backups`"]);
    let sets = listed["sets"].as_array().unwrap();
    let set = |kind: &str, prefix: &str| {
        let found: Vec<&Value> = sets
            .iter()
            .filter(|set| set["kind"] == kind && set["prefix"] == prefix)
            .collect();
        assert_eq!(found.len(), 1, "{listed}");
        assert_eq!(
            (&found[0]["database"], &found[0]["status"]),
            (&"one".into(), &"complete".into())
        );
        found[0]
    };
    let (full, prefixed, increment) = (set("full", ""), set("full", "p"), set("incremental", ""));
    assert_eq!(increment["needs"], serde_json::json!([key]));
    assert_eq!(full["needed_by"], serde_json::json!([increment["key"]]));
    assert_eq!(
        object(&list("--json -x one --prefix p"))["sets"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let table = list("").expect_status(0);
    assert!(
        table
            .stdout
            .starts_with("KEY             DATABASE  KIND         PREFIX  AGE"),
        "{}",
        table.stdout
    );
    assert!(table.stdout.contains("3 sets, 3 of them complete"), "{}", table.stdout);
    assert_eq!(table.stderr, "");
    assert_eq!(fs::read_dir(&home).unwrap().count(), 0);
    // The base goes, and what needs it says so.
    let lost = cluster.master_data_dir().join("db_dumps").join(&key[..8]);
    fs::remove_file(lost.join(format!("gp_dump_-1_1_{key}.gz"))).unwrap();
    let broken = list("").expect_status(0).stdout;
    assert!(
        broken.contains(&format!("{key}: its file gp_dump_-1_1_{key}.gz is missing\n")),
        "{broken}"
    );
    assert!(
        broken.contains(&format!(": it needs the set {key}, which is incomplete\n")),
        "{broken}"
    );
    let refused = list("-o").expect_status(2);
    assert!(
        refused
            .stderr
            .contains("-o can not be selected with --list-backups option"),
        "{}",
        refused.stderr
    );

    let other = prefixed["key"].as_str().unwrap();
    let line = format!("-a -t {other} --prefix p --redirect copy --json");
    let restored = object(&run("gpdbrestore", &cluster, &line).expect_status(0));
    assert_documented(&restored, &["Every run", "A restore"]);
    assert_eq!((&restored["tables"], &restored["rows"]), (&2.into(), &10.into()));
    assert_eq!(
        (&restored["database"], &restored["set_database"]),
        (&"copy".into(), &"one".into())
    );
    let tables = object(&run(
        "gpdbrestore",
        &cluster,
        &format!("-a -t {other} --prefix p -L --json"),
    ));
    assert_eq!(tables["listed"][1], "public.t");
    let missing = object(&run("gpdbrestore", &cluster, "-a -t 20200101000000 --json").expect_status(2));
    assert_documented(&missing, &["Every run", "A restore"]);
    assert!(
        missing["hint"].as_str().unwrap().contains("it was looked for at"),
        "{missing}"
    );
    // A question is no part of the object.
    let asked = run(
        "gpdbrestore",
        &cluster,
        &format!("-t {other} --prefix p --redirect copy --json"),
    );
    assert_eq!(
        (asked.status, object(&asked)["exit_status"].as_i64()),
        (Some(2), Some(2))
    );
    assert!(
        asked.stderr.contains("Continue with Greenplum restore"),
        "{}",
        asked.stderr
    );
}

/// Starts a program on a terminal of its own and gives back what it shows.
fn on_terminal(program: &str, cluster: &Cluster, line: &str, term: &str) -> (Child, ChildStdout) {
    let command = format!("stty cols 150; {} {line}", bin(program).display());
    let mut child = Command::new("script")
        .args(["-q", "-e", "-c", &command, "/dev/null"])
        .envs(cluster.env())
        .env("TERM", term)
        .env_remove("PGDATABASE")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let screen = child.stdout.take().unwrap();
    (child, screen)
}

/// What a terminal shows up to these words.
fn read_until(screen: &mut impl Read, words: &str) -> Vec<u8> {
    let mut shown = Vec::new();
    let mut part = [0; 4096];
    while !String::from_utf8_lossy(&shown).contains(words) {
        let read = screen.read(&mut part).unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&shown));
        shown.extend_from_slice(&part[..read]);
    }
    shown
}

#[test]
fn how_far_a_dump_is_can_be_seen_on_a_terminal_and_nowhere_else() {
    let cluster = cluster();
    // The dump lasts as long as nobody reads this pipe.
    let key = "20301231000000";
    let segment = cluster.segment(0);
    let directory = segment.data_dir.join("db_dumps").join(&key[..8]);
    let pipe = directory.join(format!("gp_dump_0_{}_{key}.gz", segment.dbid));
    fs::create_dir_all(&directory).unwrap();
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, mode).unwrap();
    let (mut child, mut screen) = on_terminal("gpcrondump", &cluster, &format!("-a -b -x one -K {key}"), "xterm");
    let mut shown = read_until(&mut screen, "1 of 2 segments");
    fs::read(&pipe).unwrap();
    screen.read_to_end(&mut shown).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let shown = String::from_utf8_lossy(&shown);
    assert!(shown.contains("Dumping one ["), "{shown}");
    // A line of the log is a line of its own: nothing is left in front of it or behind.
    let end = shown.rsplit("-Dump key ").next().unwrap();
    assert!(
        end.starts_with(&format!("                                = {key}\r\n")),
        "{end:?}"
    );
    assert!(!end.contains("Dumping one"), "{end:?}");

    for (line, term) in [
        ("-a -b -x two --prefix d", "dumb"),
        ("-a -b -x two -q --prefix q", "xterm"),
    ] {
        let (mut child, mut screen) = on_terminal("gpcrondump", &cluster, line, term);
        let mut shown = String::new();
        screen.read_to_string(&mut shown).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{shown}");
        assert!(!shown.contains("segments") && !shown.contains('\x1b'), "{shown:?}");
    }
    let piped = run("gpcrondump", &cluster, "-a -b -x two --prefix piped").expect_status(0);
    assert_eq!(piped.stderr, "");
}

#[test]
fn how_far_a_restore_is_can_be_seen_on_a_terminal_and_nowhere_else() {
    let cluster = cluster();
    let key = run("gpcrondump", &cluster, "-a -b -H -x one")
        .expect_status(0)
        .timestamp_key();
    // The restore lasts as long as somebody holds up the rows of a segment.
    cluster.sql(
        "one",
        "CREATE FUNCTION public.gate() RETURNS boolean LANGUAGE plpgsql AS \
         'BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN true; END'; \
         ALTER TABLE public.t ADD CHECK (public.gate())",
    );
    let holder = cluster.segment(0).session("one");
    holder.sql("BEGIN; SELECT pg_advisory_xact_lock(1)");
    let line = format!("-a -t {key} -T public.t");
    let (mut child, mut screen) = on_terminal("gpdbrestore", &cluster, &line, "xterm");
    let mut shown = read_until(&mut screen, "1 of 2 segments");
    holder.sql("ROLLBACK");
    drop(holder);
    screen.read_to_end(&mut shown).unwrap();
    let shown = String::from_utf8_lossy(&shown);
    assert_eq!(child.wait().unwrap().code(), Some(0), "{shown}");
    assert!(shown.contains("Restoring one ["), "{shown}");
    // What stands last is a line of the log.
    let end = shown.trim_end().rsplit('\n').next().unwrap_or_default();
    assert!(
        end.contains("gpdbrestore:") && !end.contains("Restoring one ["),
        "{end:?}"
    );

    for (more, term) in [("", "dumb"), ("-q", "xterm")] {
        let line = format!("-a -t {key} -e {more}");
        let (mut child, mut screen) = on_terminal("gpdbrestore", &cluster, &line, term);
        let mut shown = String::new();
        screen.read_to_string(&mut shown).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{shown}");
        assert!(!shown.contains("segments,") && !shown.contains('\x1b'), "{shown:?}");
    }
    // As from cron.
    let piped = run("gpdbrestore", &cluster, &format!("-a -t {key} -e")).expect_status(0);
    assert_eq!(piped.stderr, "");
}

#[test]
fn sets_of_the_original_are_listed_by_their_reports() {
    let cluster = tempfile::tempdir().unwrap();
    let directory = cluster.path().join("db_dumps/20261122");
    fs::create_dir_all(&directory).unwrap();
    for set in ["01-full", "07-prefix-incremental"] {
        for entry in fs::read_dir(repository().join("tests/data/reference/gp5").join(set)).unwrap() {
            let entry = entry.unwrap();
            if entry.path().is_file() {
                fs::copy(entry.path(), directory.join(entry.file_name())).unwrap();
            }
        }
    }
    fs::write(directory.join("gp_dump_-1_1_20261122103444.gz"), "").unwrap();
    fs::write(directory.join("foo_gp_dump_-1_1_20261122105431.gz"), "").unwrap();
    let end = Command::new(bin("gpcrondump"))
        .args(["--list-backups", "-d"])
        .arg(cluster.path())
        .output()
        .unwrap();
    let text = String::from_utf8(end.stdout).unwrap();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[1][..4], ["20261122103444", "demo", "full", "-"], "{text}");
    // Of the full dump of this chain only its list is here.
    assert_eq!(lines[2][..4], ["20261122105424", "?", "full", "foo"], "{text}");
    assert_eq!(
        lines[3][..4],
        ["20261122105431", "demo", "incremental", "foo"],
        "{text}"
    );
    assert!(text.contains("broken      20261122105424\n"), "{text}");
    assert!(text.contains("foo_20261122105424: it has no report"), "{text}");
}
