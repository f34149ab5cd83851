//! Rows of the catalogue of errors (`gpcrondump.md` 5) that need more than a command line: a disk that is full, a program
//! that fails, something strange in the way. Which row is held by which test stands in `docs/errors.md`.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot look at its surroundings has to fail, and at once"
)]

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use gpdump_testkit::{Cluster, ClusterSpec, Finished, Plain, Program};
use gpdump_tests::{dump_files, signal, within};
use rustix::process::Signal;

fn run(server: &Cluster, arguments: &[&str]) -> Finished {
    with_path(server, arguments, None)
}

/// With other programs in front of the server's own, or with nothing but them.
fn with_path(server: &Cluster, arguments: &[&str], path: Option<OsString>) -> Finished {
    let mut program = Program::new("gpcrondump", server)
        .args(["-a", "-x", "postgres"])
        .args(arguments.iter().copied());
    if let Some(path) = path {
        program = program.env("PATH", path);
    }
    program.run()
}

/// A line of the log, and the status.
#[track_caller]
fn assert_said(end: &Finished, status: i32, lines: &[&str]) {
    for line in lines {
        assert!(
            end.stdout.contains(line),
            "not said: {line}\n{}{}",
            end.stdout,
            end.stderr
        );
    }
    assert_eq!(end.status, Some(status), "{}{}", end.stdout, end.stderr);
}

/// A folder in front of the PATH of the server, with one program in it.
fn path_with(server: &Cluster, program: &str, script: &str) -> OsString {
    let folder = server.home().join("instead");
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join(program);
    fs::write(&file, script).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    let rest = path_of(server);
    let folders = std::iter::once(folder).chain(std::env::split_paths(&rest));
    std::env::join_paths(folders).unwrap()
}

fn path_of(server: &Cluster) -> OsString {
    server.env().into_iter().find(|(name, _)| *name == "PATH").unwrap().1
}

/// Dumps with `-K` and a key of this day lie where a test can know it, whatever the time.
const DAY: &str = "20300101";
const KEY: &str = "20300101010101";

fn date_directory(root: &Path) -> PathBuf {
    root.join("db_dumps").join(DAY)
}

/// A file system of its own that ends when the test does. `None` where this may not be made.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: PathBuf, kilobytes: u32) -> Option<SmallDisk> {
        fs::create_dir_all(&at).unwrap();
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", &format!("size={kilobytes}k"), "tmpfs"])
            .arg(&at);
        match mount.output() {
            Ok(output) if output.status.success() => Some(SmallDisk(at)),
            _ => {
                eprintln!("no file system can be mounted here: the test is left out");
                None
            }
        }
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[test]
fn a_directory_that_cannot_be_made_or_written_is_told_as_ever_and_then_why() {
    let server = Plain::start();
    assert_said(
        &run(&server, &["-u", "/proc/nope"]),
        2,
        &[
            "[ERROR]:-Could not create directory /proc/nope/db_dumps/20",
            "[ERROR]:-master: Could not create /proc/nope/db_dumps/20",
            ": No such file or directory (os error 2)\n",
            "[ERROR]:-gpcrondump error: Could not create /proc/nope on master. Cannot continue.",
        ],
    );
    // Nobody can write there, root neither.
    let root = server.home().join("readonly");
    fs::create_dir_all(root.join("db_dumps")).unwrap();
    symlink("/proc/self", date_directory(&root)).unwrap();
    let root = root.to_str().unwrap();
    assert_said(
        &run(&server, &["-u", root, "-K", KEY]),
        2,
        &[
            &format!("[ERROR]:-Cannot write to {root}/db_dumps/20"),
            &format!("[ERROR]:-gpcrondump error: Could not write to {root} on master. Cannot continue."),
        ],
    );
    // On a segment.
    let cluster = Cluster::start(ClusterSpec::segments(2));
    let segment = cluster.segment(1);
    let (root, host) = (
        segment.data_dir.clone(),
        cluster.sql(
            "postgres",
            "SELECT hostname FROM gp_segment_configuration WHERE content = 1",
        )[0][0]
            .clone()
            .unwrap(),
    );
    fs::create_dir_all(root.join("db_dumps")).unwrap();
    symlink("/proc/self", date_directory(&root)).unwrap();
    assert_said(
        &run(&cluster, &["-K", KEY]),
        2,
        &[
            &format!("[ERROR]:-Could not write to {} on {host}.\n", root.display()),
            "[ERROR]:-segment 1 (dbid 3, ",
            "[ERROR]:-gpcrondump error: Cannot continue. 1 segment(s) failed directory checks",
        ],
    );
}

#[test]
fn a_disk_without_room_is_told_before_the_dump_and_a_full_one_leaves_no_data_file() {
    let cluster = Cluster::start(ClusterSpec::segments(2));
    cluster.sql("postgres", "CREATE TABLE t (a text)");
    let noise =
        "INSERT INTO t SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 40000) i GROUP BY i % 100";
    cluster.segment_sql(0, "postgres", noise);
    cluster.segment_sql(1, "postgres", noise);
    let Some(disk) = SmallDisk::mount(cluster.home().join("small"), 600) else {
        return;
    };
    let end = run(&cluster, &["-u", disk.path(), "-f", "100", "-K", KEY]);
    assert_said(
        &end,
        2,
        &[
            " has insufficient disk space. [Need: ",
            "[ERROR]:-gpcrondump error: Cannot continue. ",
            " failed disk space checks",
            "HINT: 100 percent of each file system are to stay free (-f)",
        ],
    );
    let end = run(&cluster, &["-u", disk.path(), "-b", "-K", KEY]);
    assert_said(
        &end,
        2,
        &[
            "No space left on device",
            "[WARNING]:-Dump process returned exit code 1",
            "[WARNING]:-Dump was unsuccessful. ",
        ],
    );
    let left = fs::read_dir(date_directory(&disk.0)).unwrap();
    let names: Vec<String> = left
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(
        !names
            .iter()
            .any(|name| name.starts_with("gp_dump_0_") || name.starts_with("gp_dump_1_") || name.ends_with(".partial")),
        "{names:?}"
    );
    // With room the next run works.
    run(&cluster, &[]).expect_status(0);
}

#[test]
fn a_failed_segment_is_named_with_its_status_file() {
    let cluster = Cluster::start(ClusterSpec::segments(2));
    cluster.sql("postgres", "CREATE TABLE t AS SELECT 1 AS a");
    run(&cluster, &["-b"]).expect_status(0);
    cluster.segment_sql(1, "postgres", "ALTER TABLE t RENAME COLUMN a TO b");
    let end = run(&cluster, &["-b", "--incremental"]);
    assert_said(
        &end,
        2,
        &[
            "[WARNING]:-Dump process returned exit code 1",
            "[WARNING]:-Status file ",
            " indicates errors\n",
            "[WARNING]:-Dump was unsuccessful. 1 segment(s) failed post-dump checks.",
            "[WARNING]:-Dump request was incomplete, not rolling back because -r option was not supplied",
        ],
    );
    assert!(
        !end.stdout.contains("): segment 1 (dbid"),
        "named twice\n{}",
        end.stdout
    );
    let line = end.stdout.lines().find(|line| line.contains("Status file ")).unwrap();
    let file = line.split("Status file ").nth(1).unwrap().split(" on ").next().unwrap();
    assert!(fs::read_to_string(file).unwrap().contains("[ERROR]"), "{file}");
    // An increment that failed is in no chain.
    let chains = dump_files(&cluster);
    assert!(
        !chains
            .iter()
            .any(|file| file.to_string_lossy().ends_with("_increments")),
        "{chains:?}"
    );
    cluster.segment_sql(1, "postgres", "ALTER TABLE t RENAME COLUMN b TO a");
    run(&cluster, &["-b", "--incremental"]).expect_status(0);
}

#[test]
fn a_pg_dump_that_is_missing_or_fails_is_named() {
    let server = Plain::start();
    let empty = server.home().join("empty");
    fs::create_dir(&empty).unwrap();
    let end = with_path(&server, &["-b"], Some(empty.clone().into()));
    assert_said(&end, 2, &[&format!("no pg_dump was found in {}", empty.display())]);
    let path = path_with(
        &server,
        "pg_dump",
        "#!/bin/sh\necho 'pg_dump: out of luck' >&2\nexit 1\n",
    );
    let end = with_path(&server, &["-b"], Some(path));
    assert_said(&end, 2, &["pg_dump\" failed (exit status: 1): pg_dump: out of luck"]);
    let data = dump_files(&server);
    assert!(
        !data.iter().any(|file| file.to_string_lossy().ends_with(".gz")),
        "{data:?}"
    );
}

#[test]
fn a_date_directory_that_goes_away_during_the_dump_fails_it() {
    let server = Plain::start();
    let dumps = server.master_data_dir().join("db_dumps");
    let real = std::env::split_paths(&path_of(&server))
        .map(|folder| folder.join("pg_dump"))
        .find(|file| file.is_file())
        .unwrap();
    let script = format!(
        "#!/bin/sh\nrm -rf '{}'\nexec '{}' \"$@\"\n",
        dumps.display(),
        real.display()
    );
    let path = path_with(&server, "pg_dump", &script);
    let end = with_path(&server, &["-b"], Some(path));
    assert_said(&end, 2, &["No such file or directory"]);
    run(&server, &["-b"]).expect_status(0);
}

#[test]
fn strange_files_and_names_are_no_hindrance() {
    let server = Plain::start();
    server.sql("postgres", "CREATE TABLE t AS SELECT 1 AS a");
    // Named twice, dumped once.
    let end = run(&server, &["-b", "-x", "postgres"]).expect_status(0);
    assert_eq!(end.stdout.matches(":-Timestamp key = ").count(), 1, "{}", end.stdout);
    let directory = date_directory(server.master_data_dir());
    fs::create_dir_all(&directory).unwrap();
    for name in ["gp_dump_bad.rpt", "gp_dump_20300199999999.rpt", "notes.txt"] {
        fs::write(directory.join(name), "no report\n").unwrap();
    }
    run(&server, &["-b", "-K", "20300101000001"]).expect_status(0);
    run(&server, &["-b", "-K", "20300101000002", "--incremental"]).expect_status(0);
    // A prefix is a part of file names; whatever can be one is one.
    run(&server, &["-b", "-K", KEY, "--prefix", "a b"]).expect_status(0);
    Program::new("gpdbrestore", &server)
        .args(["-a", "-t", KEY, "--prefix", "a b", "--redirect", "again"])
        .run()
        .expect_status(0);
    assert_said(&run(&server, &["-b", "--prefix", "a/b"]), 2, &["a/b"]);
    assert_said(
        &run(&server, &["-b", "-K", KEY, "-E", "it's"]),
        2,
        &["(Reason='The server knows no encoding \"it's\" (option -E)')"],
    );
}

#[test]
fn a_history_that_takes_no_row_does_not_spoil_the_dump() {
    let server = Plain::start();
    let failed = "[ERROR]:-Unable to create public.gpcrondump_history in postgres database";
    server.sql("postgres", "CREATE VIEW public.gpcrondump_history AS SELECT 1 AS one");
    let end = run(&server, &["-b"]);
    assert_said(&end, 1, &[failed, "[WARNING]:-Exit code not zero, check log file"]);
    server.sql("postgres", "DROP SCHEMA public CASCADE");
    let end = run(&server, &["-b"]);
    assert_said(&end, 1, &["gpcrondump_history", "schema \"public\" does not exist"]);
    run(&server, &["-b", "-H"]).expect_status(0);
}

#[test]
fn what_fails_beside_the_dump_is_status_1() {
    let server = Plain::start();
    if ["/bin", "/usr/bin", "/usr/local/bin", "/usr/sbin", "/sbin", "/usr/lib"]
        .iter()
        .flat_map(|folder| ["mail", "mailx", "sendmail"].map(|name| Path::new(folder).join(name)))
        .any(|file| file.exists())
    {
        eprintln!("this machine can really send mail: that part is left out");
    } else {
        fs::write(server.home().join("mail_contacts"), "a@x\n").unwrap();
        assert_said(
            &run(&server, &["-b"]),
            1,
            &[
                "[INFO]:-Sending mail to a@x",
                "could not be sent: none of the programs mail, mailx, sendmail was found",
            ],
        );
        fs::remove_file(server.home().join("mail_contacts")).unwrap();
    }
    let large = server.master_data_dir().join("large.conf");
    fs::File::create(&large).unwrap().set_len(300 << 20).unwrap();
    assert_said(&run(&server, &["-b", "-g"]), 1, &["are larger than 256 MiB"]);
    fs::remove_file(&large).unwrap();
    // Others vacuum the table; the dump's own locks are no hindrance to that, and the other way round but for the cut.
    server.sql("postgres", "CREATE TABLE t (a int)");
    let holder = server.master().session("postgres");
    holder.sql("BEGIN; LOCK public.t IN SHARE UPDATE EXCLUSIVE MODE");
    let end = run(&server, &["-b", "-k", "--lock-timeout", "2", "--cut-timeout", "1"]);
    assert_said(
        &end,
        1,
        &[
            "[ERROR]:-Error encountered with vacuum of postgres database",
            "waited more than 2 s for a lock while vacuuming the database",
        ],
    );
}

#[test]
fn who_keeps_a_dump_waiting_is_named_and_so_is_a_session_that_cannot_be_ended() {
    let server = Plain::start();
    server.sql("postgres", "CREATE TABLE t (a int)");
    let limits = ["--lock-timeout", "2", "--silence-timeout", "4"];
    let waits_for = |sql: &'static str| {
        let condition = format!("wait_event_type = 'Lock' AND query LIKE '{sql}%'");
        let asked = format!("SELECT pid FROM pg_stat_activity WHERE {condition}");
        let mut pid = None;
        within(Duration::from_secs(30), "it waits for a lock", || {
            let rows = server.sql("postgres", &asked);
            pid = rows.first().and_then(|row| row[0].clone());
            pid.is_some()
        });
        pid.unwrap()
    };
    // The reader is in nobody's way. The one who wants to drop the table is, though it has no lock yet.
    let reader = server.master().session("postgres");
    reader.sql("BEGIN; LOCK public.t IN ACCESS SHARE MODE");
    let dropper = server.master().session("postgres");
    let dropping = dropper.clone();
    let thread = std::thread::spawn(move || dropping.try_sql("DROP TABLE public.t"));
    let pid = waits_for("DROP");
    let end = run(&server, &limits);
    let in_the_way = format!("in the way: table public.t: process {pid} of user ");
    assert_said(
        &end,
        2,
        &[&in_the_way, "waits for AccessExclusiveLock (DROP TABLE public.t)"],
    );
    assert!(!end.stdout.contains("holds AccessShareLock"), "{}", end.stdout);
    reader.sql("ROLLBACK");
    thread.join().unwrap().unwrap();

    // A process that is stopped takes no request to end, like one of Greenplum's that waits for a host which is gone.
    server.sql("postgres", "CREATE TABLE t (a int)");
    let holder = server.master().session("postgres");
    holder.sql("BEGIN; LOCK public.t");
    let mut program = Program::new("gpcrondump", &server).args(["-a", "-x", "postgres"]);
    program = program.args(limits);
    let waiting = std::thread::spawn(move || program.run());
    let pid = waits_for("LOCK");
    signal(pid.parse().unwrap(), Signal::STOP);
    let end = waiting.join().unwrap();
    signal(pid.parse().unwrap(), Signal::CONT);
    assert_said(
        &end,
        2,
        &[
            "holds AccessExclusiveLock (BEGIN; LOCK public.t)",
            &format!("[WARNING]:-process {pid} (LOCK TABLE "),
            "on the master was told to end and has not",
        ],
    );
}

#[test]
fn cleaning_up_where_nothing_was_ever_dumped_is_told_as_ever() {
    let server = Plain::start();
    let end = Program::new("gpcrondump", &server).args(["-a", "-o"]).run();
    let dumps = server.master_data_dir().join("db_dumps");
    assert_said(
        &end,
        2,
        &[&format!(
            "[CRITICAL]:-gpcrondump failed. (Reason='[Errno 2] No such file or directory: '{}'') exiting...",
            dumps.display()
        )],
    );
}

#[test]
fn every_row_of_the_page_names_a_test_that_is_there() {
    let page = fs::read_to_string(gpdump_testkit::repository().join("docs/errors.md")).unwrap();
    let mut rows = 0;
    for line in page
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| ---"))
    {
        let last = line.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        if last == "test" {
            continue;
        }
        rows += 1;
        // A row that cannot occur says why, in words.
        for name in last.split('`').skip(1).step_by(2) {
            let (file, function) = name.split_once("::").unwrap_or((name, ""));
            assert!(is_there(file, function), "{name} is not there: {line}");
        }
        assert!(
            last.contains('`') || last.starts_with("cannot occur"),
            "no test: {line}"
        );
    }
    assert!(rows > 60, "only {rows} rows");
}

/// A function of that name in a test file, beside the programs, or in a module of the library.
fn is_there(file: &str, function: &str) -> bool {
    let root = gpdump_testkit::repository();
    let places = [
        root.join(format!("tests/tests/{file}.rs")),
        root.join(format!("crates/gpcrondump/tests/{file}.rs")),
        root.join(format!("crates/gpcrondump/src/{file}.rs")),
        root.join(format!("crates/core/src/{file}.rs")),
    ];
    places
        .iter()
        .filter_map(|place| fs::read_to_string(place).ok())
        .any(|text| function.is_empty() || text.contains(&format!("fn {function}(")))
}
