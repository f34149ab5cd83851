//! `-c` and `-o`: old dump directories go from all hosts, and only they.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot look at its surroundings has to fail, and at once"
)]

use std::fs;
use std::path::PathBuf;

use gpdump_testkit::{Cluster, ClusterSpec, Finished, Program, Sshd};

const DATES: [&str; 3] = ["20210101", "20210102", "20210103"];

fn run(cluster: &Cluster, line: &str) -> Finished {
    Program::new("gpcrondump", cluster).args(line.split_whitespace()).run()
}

/// A cluster with a set of each date.
fn with_sets(cluster: Cluster, more: &str) -> Cluster {
    cluster.sql("postgres", "CREATE TABLE t (a int)");
    for date in DATES {
        run(&cluster, &format!("-a -b -H -x postgres -K {date}010203 {more}")).expect_status(0);
    }
    cluster
}

fn roots(cluster: &Cluster) -> Vec<PathBuf> {
    std::iter::once(cluster.master())
        .chain(cluster.segments())
        .map(|instance| instance.data_dir.clone())
        .collect()
}

/// The date directories that every one of the roots has.
#[track_caller]
fn dates(roots: &[PathBuf]) -> Vec<String> {
    let of = |root: &PathBuf| {
        let mut names: Vec<String> = fs::read_dir(root.join("db_dumps"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with("2021"))
            .collect();
        names.sort_unstable();
        names
    };
    let all: Vec<Vec<String>> = roots.iter().map(of).collect();
    assert!(all.iter().all(|names| *names == all[0]), "{all:?}");
    all[0].clone()
}

#[test]
fn the_oldest_date_goes_everywhere_after_a_good_dump() {
    let cluster = with_sets(Cluster::start(ClusterSpec::segments(2)), "");
    let end = run(&cluster, "-a -b -x postgres -c").expect_status(0);
    let lines: Vec<&str> = end
        .stdout
        .lines()
        .map(|line| &line[line.find("-[").unwrap() + 1..])
        .collect();
    for expected in [
        "[INFO]:-Preparing to remove dump 20210101 from all hosts",
        "[INFO]:-Clear old dump directories               = On",
        "[INFO]:-Backup set deleted                       = ['20210101']",
    ] {
        assert!(lines.contains(&expected), "{expected}\n{}", end.stdout);
    }
    assert_eq!(dates(&roots(&cluster)), DATES[1..]);
    // A dump that fails removes nothing.
    run(&cluster, "-a -b -x nosuch -c").expect_status(2);
    assert_eq!(dates(&roots(&cluster)), DATES[1..]);
}

#[test]
fn without_a_dump_the_named_and_the_oldest_go_and_strangers_stay() {
    let cluster = with_sets(Cluster::start(ClusterSpec::segments(1)), "");
    let dumps = cluster.master_data_dir().join("db_dumps");
    fs::create_dir(dumps.join("lost+found")).unwrap();
    fs::write(dumps.join("notes"), "").unwrap();
    let end = run(&cluster, "-o --cleanup-total 2 --dry-run").expect_status(0);
    for expected in [
        "20210102 (1 sets) would be removed: it is one of the 2 oldest",
        "20210103 (1 sets) stays: nothing asks for its removal",
    ] {
        assert!(end.stdout.contains(expected), "{}", end.stdout);
    }
    assert_eq!(dates(&roots(&cluster)), DATES);
    let end = run(&cluster, "-o --cleanup-total 4").expect_status(0);
    assert!(
        end.stdout
            .contains("[WARNING]:-Unable to delete 4 backups.  Only have 3 backups."),
        "{}",
        end.stdout
    );
    run(&cluster, "-o --cleanup-date 19990101").expect_status(0);
    // No day of the calendar, so no directory either: a mistake in a cron line, which the original only told.
    let end = run(&cluster, "-o --cleanup-date 20210100").expect_status(0);
    assert!(
        end.stdout.contains("Timestamp dump 20210100 does not exist."),
        "{}",
        end.stdout
    );
    assert_eq!(dates(&roots(&cluster)), DATES);
    run(&cluster, "-o --cleanup-date 20210102").expect_status(0);
    assert_eq!(dates(&roots(&cluster)), [DATES[0], DATES[2]]);
    let end = run(&cluster, "-o").expect_status(0);
    assert!(end.stdout.contains("[INFO]:-Clearing dumps only..."), "{}", end.stdout);
    run(&cluster, "-o").expect_status(0);
    let end = run(&cluster, "-o").expect_status(0);
    assert!(
        end.stdout.contains("[INFO]:-No old backup sets to remove"),
        "{}",
        end.stdout
    );
    assert!(dumps.join("lost+found").exists() && dumps.join("notes").exists());
}

#[test]
fn what_an_incremental_dump_needs_stays_unless_forced() {
    let cluster = with_sets(Cluster::start(ClusterSpec::segments(1)), "");
    let dumps = cluster.master_data_dir().join("db_dumps");
    fs::write(
        dumps.join("20210101/gp_dump_20210101010203_increments"),
        "20210103010203\n",
    )
    .unwrap();
    let report = dumps.join("20210103/gp_dump_20210103010203.rpt");
    let text = fs::read_to_string(&report)
        .unwrap()
        .replace("Backup Type: Full", "Backup Type: Incremental");
    fs::write(&report, text).unwrap();
    let end = run(&cluster, "-o").expect_status(2);
    assert!(
        end.stdout
            .contains("incremental 20210103010203 needs 20210101010203 in 20210101"),
        "{}",
        end.stdout
    );
    // After a dump it is no reason to call the dump failed.
    run(&cluster, "-a -b -x postgres -c").expect_status(1);
    assert_eq!(dates(&roots(&cluster)), DATES);
    run(&cluster, "-o --force").expect_status(0);
    assert_eq!(dates(&roots(&cluster)), DATES[1..]);
}

#[test]
fn the_directory_of_u_is_cleaned_and_not_the_data_directories() {
    let cluster = with_sets(Cluster::start(ClusterSpec::segments(2)), "");
    let root = cluster.home().join("backup");
    let more = format!("-u {}", root.display());
    for date in DATES {
        run(&cluster, &format!("-a -b -H -x postgres -K {date}010203 {more}")).expect_status(0);
    }
    run(&cluster, &format!("-o {more}")).expect_status(0);
    assert_eq!(dates(&[root]), DATES[1..]);
    assert_eq!(dates(&roots(&cluster)), DATES);
}

#[test]
fn other_hosts_are_cleaned_over_ssh_and_a_host_that_cannot_be_reached_keeps_the_date_on_record() {
    let sshd = Sshd::start("127.0.0.2");
    let cluster = Cluster::start(ClusterSpec {
        segments: 2,
        hostnames: vec!["localhost".into(), "127.0.0.2".into()],
        ..ClusterSpec::segments(2)
    });
    let client = sshd.client();
    let run = |line: &str| {
        Program::new("gpcrondump", &cluster)
            .args(line.split_whitespace())
            .env("GPDUMP_SSH", &client)
            .run()
    };
    for date in DATES {
        run(&format!("-a -b -H -x postgres -K {date}010203")).expect_status(0);
    }
    run("-o").expect_status(0);
    assert_eq!(dates(&roots(&cluster)), DATES[1..]);
    let broken = cluster.home().join("ssh");
    fs::copy(&client, &broken).unwrap();
    drop(sshd);
    let end = Program::new("gpcrondump", &cluster)
        .args(["-o"])
        .env("GPDUMP_SSH", &broken)
        .run()
        .expect_status(1);
    assert!(
        end.stdout
            .contains("[WARNING]:-Error encountered during deletion of 20210102 on 127.0.0.2"),
        "{}",
        end.stdout
    );
    assert_eq!(dates(&[cluster.master_data_dir().to_owned()]), DATES[1..]);
}
