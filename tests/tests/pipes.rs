//! `--list-backup-files`, and named pipes in the place of files: a dump goes into them, a restore comes out of them.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot look at its surroundings has to fail, and at once"
)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gpdump_testkit::compare::Snapshot;
use gpdump_testkit::{Cluster, ClusterSpec, Program};
use gpdump_tests::{DEMO, assert_restored, dump, dump_files, end_within, sessions, signal, spoil, within};
use rustix::process::Signal;

const KEY: &str = "20990203040506";

fn list(cluster: &Cluster, more: &[&str]) -> (Vec<PathBuf>, Vec<PathBuf>, String) {
    let args = ["-a", "-x", DEMO, "--list-backup-files", "-K", KEY];
    let end = Program::new("gpcrondump", cluster)
        .args(args.iter().chain(more).copied())
        .run()
        .expect_status(0);
    let read = |what: &str| -> Vec<PathBuf> {
        let mark = format!("Added the list of {what} names to the file: ");
        let line = end.stdout.lines().find_map(|line| line.split_once(&mark)).unwrap();
        let text = fs::read_to_string(line.1).unwrap();
        text.lines()
            .map(|line| line.split_once(':').unwrap().1.into())
            .collect()
    };
    assert!(
        end.stdout
            .contains("Successfully listed the names of backup files and pipes")
    );
    (read("pipe"), read("file"), end.stdout)
}

fn make_pipes(pipes: &[PathBuf]) {
    for path in pipes {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, path, mode).unwrap();
    }
}

fn names(paths: &[PathBuf]) -> Vec<String> {
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    paths.iter().map(name).collect()
}

#[test]
fn a_set_goes_through_pipes_and_comes_back_through_them() {
    let cluster = Cluster::start(ClusterSpec::segments(2));
    cluster.load_warehouse(DEMO);
    let more = ["-g", "-G", "--dump-stats"];
    let (pipes, regular, said) = list(&cluster, &more);
    assert_eq!(
        names(&pipes),
        [
            format!("gp_dump_0_2_{KEY}.gz"),
            format!("gp_segment_config_files_0_2_{KEY}.tar"),
            format!("gp_dump_1_3_{KEY}.gz"),
            format!("gp_segment_config_files_1_3_{KEY}.tar"),
            format!("gp_dump_-1_1_{KEY}.gz"),
            format!("gp_dump_-1_1_{KEY}_post_data.gz"),
            format!("gp_global_-1_1_{KEY}"),
            format!("gp_master_config_files_{KEY}.tar"),
            format!("gp_statistics_-1_1_{KEY}"),
        ]
    );
    let suffixes = ["_ao_state_file", "_co_state_file", "_last_operation", ".rpt"];
    let mut expected = vec![format!("gp_cdatabase_-1_1_{KEY}")];
    expected.extend(suffixes.map(|suffix| format!("gp_dump_{KEY}{suffix}")));
    expected.push(format!("gp_dump_status_-1_1_{KEY}"));
    assert_eq!(names(&regular), expected);

    make_pipes(&pipes);
    let before = Snapshot::take(&cluster, DEMO);
    // One opening each: a reader sees the end when the writer closes, and would miss what a second one writes.
    let readers: Vec<JoinHandle<Vec<u8>>> = pipes
        .iter()
        .map(|path| {
            let path = path.clone();
            std::thread::spawn(move || fs::read(path).unwrap())
        })
        .collect();
    Program::new("gpcrondump", &cluster)
        .args(["-a", "-x", DEMO, "-H", "-K", KEY].iter().chain(&more).copied())
        .run()
        .expect_status(0);
    let contents: Vec<Vec<u8>> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
    for (path, bytes) in pipes.iter().zip(&contents) {
        assert!(fs::metadata(path).unwrap().file_type().is_fifo(), "{}", path.display());
        assert!(bytes.len() > 20, "{}", path.display());
    }
    for path in &regular {
        assert!(path.is_file(), "{}", path.display());
    }
    // Whatever else was written was told.
    for path in dump_files(&cluster) {
        let is_list = ["_pipes", "_regular_files"]
            .iter()
            .any(|end| path.to_string_lossy().ends_with(end));
        let is_known = is_list || pipes.contains(&path) || regular.contains(&path);
        assert!(
            is_known || said.contains(&format!(":{}", path.display())),
            "{}",
            path.display()
        );
    }

    spoil(&cluster);
    for (path, bytes) in pipes.iter().cloned().zip(contents) {
        // Those that the restore does not read are never opened.
        std::thread::spawn(move || {
            let _ = fs::write(path, bytes);
        });
    }
    Program::new("gpdbrestore", &cluster)
        .args(["-a", "-e", "-t", KEY])
        .run()
        .expect_status(0);
    assert_restored(&before, &Snapshot::take(&cluster, DEMO));
}

#[test]
fn a_pipe_that_nobody_reads_holds_no_one() {
    let cluster = Cluster::start(ClusterSpec::segments(1));
    cluster.sql("postgres", "CREATE DATABASE demo");
    let (pipes, _, _) = list(&cluster, &[]);
    make_pipes(&pipes[..1]);
    let mut program = Program::new("gpcrondump", &cluster)
        .args(["-a", "-x", DEMO, "-K", KEY])
        .spawn();
    within(Duration::from_secs(20), "the dump copies", || {
        sessions(&cluster).iter().any(|session| session.contains("gpcrondump"))
            && dump_files(&cluster)
                .iter()
                .any(|path| path.to_string_lossy().contains("_index"))
    });
    signal(program.id(), Signal::INT);
    assert_eq!(end_within(Duration::from_secs(5), &mut program).code(), Some(2));
    within(Duration::from_secs(5), "no session is left", || {
        sessions(&cluster).is_empty()
    });
    let left: Vec<PathBuf> = dump_files(&cluster)
        .into_iter()
        .filter(|path| path.to_string_lossy().ends_with(".partial"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn what_a_reader_has_is_not_written_again_for_a_statement_that_comes_between() {
    let cluster = Cluster::start(ClusterSpec::segments(1));
    cluster.sql("postgres", &format!("CREATE DATABASE {DEMO}"));
    cluster.sql(DEMO, "CREATE TABLE held (id int)");
    cluster.sql(DEMO, "CREATE TABLE spare (id int)");
    let (pipes, _, _) = list(&cluster, &[]);
    let data = pipes[..1].to_vec();
    assert_eq!(names(&data), [format!("gp_dump_0_2_{KEY}.gz")]);
    make_pipes(&data);
    let reader = std::thread::spawn(move || fs::read(&data[0]).unwrap());
    let open = || cluster.session_behind(cluster.master(), DEMO);
    let (holder, other) = (open(), open());
    holder.sql("BEGIN; LOCK TABLE held IN ACCESS EXCLUSIVE MODE");
    let limits = ["--silence-timeout", "3", "--lock-timeout", "3"];
    let program = Program::new("gpcrondump", &cluster)
        .args(["-a", "-x", DEMO, "-K", KEY, "-T", "public.held"])
        .args(limits)
        .spawn();
    let waits_for = |table: &str| {
        let sql = format!("SELECT 1 FROM pg_locks WHERE NOT granted AND relation = '{table}'::regclass");
        !cluster.try_sql_behind(cluster.master(), DEMO, &sql).unwrap().is_empty()
    };
    within(Duration::from_secs(30), "pg_dump waits", || waits_for("held"));
    let truncate = std::thread::spawn(move || other.try_sql("TRUNCATE spare").map(drop));
    within(Duration::from_secs(10), "the TRUNCATE waits", || waits_for("spare"));
    holder.sql("ROLLBACK");
    let finished = program.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&finished.stdout).into_owned();
    assert_eq!(finished.status.code(), Some(2), "{said}");
    assert!(
        said.contains("waited more than 3 s for a lock while waiting for pg_dump"),
        "{said}"
    );
    assert!(
        said.contains("waits for AccessExclusiveLock (TRUNCATE spare)"),
        "{said}"
    );
    assert!(!said.contains("is let through"), "{said}");
    truncate.join().unwrap().unwrap();
    reader.join().unwrap();
}

/// Writes `head` and then good rows, as long as somebody reads (a minute at most).
fn feed_endlessly(pipe: &Path, head: &str) -> JoinHandle<()> {
    let (pipe, head) = (pipe.to_owned(), head.to_owned());
    std::thread::spawn(move || {
        let mut pipe = fs::OpenOptions::new().write(true).open(pipe).unwrap();
        pipe.write_all(head.as_bytes()).unwrap();
        let end = Instant::now() + Duration::from_secs(60);
        while Instant::now() < end && pipe.write_all("1\tgood\n".repeat(5_000).as_bytes()).is_ok() {
            std::thread::sleep(Duration::from_millis(5));
        }
    })
}

#[test]
fn a_refused_row_ends_a_table_before_its_rows_end() {
    let cluster = Cluster::start(ClusterSpec::segments(2));
    cluster.sql("postgres", &format!("CREATE DATABASE {DEMO}"));
    cluster.sql(
        DEMO,
        "CREATE TABLE endless (id int, t text); CREATE TABLE small (id int)",
    );
    for content in 0..2 {
        let rows = format!("INSERT INTO endless VALUES ({content}, 'x'); INSERT INTO small VALUES (1)");
        cluster.segment_sql(content, DEMO, &rows);
    }
    let key = dump(&cluster, &["-z"]);
    cluster.sql(DEMO, "TRUNCATE endless, small; ALTER TABLE endless ADD CHECK (id <> 0)");
    let is_data = |path: &PathBuf| path.ends_with(format!("gp_dump_0_2_{key}"));
    let file = dump_files(&cluster).into_iter().find(is_data).unwrap();
    let text = fs::read_to_string(&file).unwrap();
    let row = "0\tx\n";
    let behind_row = text.find(row).unwrap() + row.len();
    fs::remove_file(&file).unwrap();
    make_pipes(std::slice::from_ref(&file));
    let head = &text[..behind_row];
    let feed = feed_endlessly(&file, head);
    let mut program = Program::new("gpdbrestore", &cluster)
        .args(["-a", "-t", &key, "-T", "public.endless", "-T", "public.small"])
        .spawn();
    // It is told while the rows still come; that of the other segment is in.
    let mut lines = BufReader::new(program.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let told = lines.find(|line| line.contains("COPY endless, line 1")).unwrap();
    assert!(
        told.contains("loading table public.endless from \"") && told.ends_with("the other tables go on"),
        "{told}"
    );
    assert!(!feed.is_finished());
    signal(program.id(), Signal::TERM);
    assert_eq!(end_within(Duration::from_secs(5), &mut program).code(), Some(2));
    feed.join().unwrap();

    // So is the last word of a server that ends the session.
    cluster.sql(DEMO, "ALTER TABLE endless DROP CONSTRAINT endless_id_check");
    let feed = feed_endlessly(&file, head);
    let program = Program::new("gpdbrestore", &cluster)
        .args(["-a", "-t", &key, "-T", "public.endless"])
        .spawn();
    // The master knows nothing of rows that go straight into a segment: there a session keeps the table as it is.
    let keeps = "SELECT 1 FROM pg_locks WHERE relation = 'endless'::regclass AND mode = 'RowExclusiveLock' AND granted";
    within(Duration::from_secs(20), "the table is kept", || {
        !cluster
            .try_sql_behind(cluster.master(), DEMO, keeps)
            .unwrap()
            .is_empty()
    });
    let ends = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY%endless%FROM STDIN%' AND \
                application_name = 'gpdbrestore' AND pid <> pg_backend_pid()";
    within(Duration::from_secs(20), "the segment takes rows", || {
        !cluster.segment_sql(0, DEMO, ends).is_empty()
    });
    let finished = program.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&finished.stdout).into_owned();
    assert_eq!(finished.status.code(), Some(2), "{said}");
    assert!(
        said.contains("terminating connection due to administrator command"),
        "{said}"
    );
    feed.join().unwrap();
    cluster.sql(
        DEMO,
        "TRUNCATE endless; ALTER TABLE endless ADD CONSTRAINT endless_id_check CHECK (id <> 0)",
    );

    // The one that nothing comes behind is not read to its end.
    let feed = feed_endlessly(&file, head);
    let mut program = Program::new("gpdbrestore", &cluster)
        .args(["-a", "-t", &key, "-T", "public.endless"])
        .spawn();
    assert_eq!(end_within(Duration::from_secs(20), &mut program).code(), Some(1));
    feed.join().unwrap();
}
