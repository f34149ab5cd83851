//! Several databases in one run, and sets that a prefix keeps apart.

use gpdump_testkit::{Cluster, ClusterSpec, Finished, Program};
use gpdump_tests::dump_files;

fn cluster(databases: &[&str]) -> Cluster {
    let cluster = Cluster::start(ClusterSpec::segments(1));
    for database in databases {
        cluster.sql("postgres", &format!("CREATE DATABASE \"{database}\""));
        cluster.sql(database, "CREATE TABLE t (a int)");
    }
    cluster
}

fn dump(cluster: &Cluster, more: &[&str]) -> Finished {
    Program::new("gpcrondump", cluster)
        .args(["-a", "-b"])
        .args(more.iter().copied())
        .run()
}

fn keys(end: &Finished) -> Vec<String> {
    end.stdout
        .lines()
        .filter_map(|line| line.split_once("Timestamp key = "))
        .map(|(_, key)| key.to_owned())
        .collect()
}

fn names(cluster: &Cluster) -> Vec<String> {
    dump_files(cluster)
        .iter()
        .map(|file| file.file_name().unwrap_or_default().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn each_database_becomes_a_set_with_a_key_of_its_own() {
    let cluster = cluster(&["one", "two", "a,b"]);
    let end = dump(&cluster, &["-x", "two", "-x", "one"]).expect_status(0);
    let found = keys(&end);
    assert!(found.len() == 2 && found[0] < found[1], "{found:?}");
    assert!(end.stdout.contains("[INFO]:-Configuring for multiple database dump"));
    assert!(
        end.stdout
            .contains(&format!("[INFO]:-Database two: dumped, timestamp key {}", found[0]))
    );
    // A list of Greenplum 4.3; and a name that only looks like one.
    assert_eq!(keys(&dump(&cluster, &["-x", "one,two"]).expect_status(0)).len(), 2);
    assert_eq!(keys(&dump(&cluster, &["-x", "a,b"]).expect_status(0)).len(), 1);
    let before = names(&cluster).len();
    let end = dump(&cluster, &["-x", "one", "-x", "nosuch"]).expect_status(2);
    assert!(
        end.stdout
            .contains("-[ERROR]:-gpcrondump error: Database nosuch does not exist.\n"),
        "{}",
        end.stdout
    );
    assert_eq!(names(&cluster).len(), before);
}

#[test]
fn a_database_that_fails_does_not_stop_the_others() {
    let cluster = cluster(&["bad", "good", "scratch"]);
    cluster.segment_sql(0, "bad", "DROP TABLE t");
    let without = ["--exclude-database", "scratch", "--exclude-database", "gone"];
    let end = dump(&cluster, &[&["--all-databases"], &without[..]].concat()).expect_status(2);
    let warning = "[WARNING]:-Database gone of --exclude-database does not exist";
    assert!(end.stdout.contains(warning), "{}", end.stdout);
    assert!(
        end.stdout.contains("[ERROR]:-Database bad: NOT dumped"),
        "{}",
        end.stdout
    );
    for name in ["good", "postgres"] {
        assert!(
            end.stdout
                .contains(&format!("[INFO]:-Database {name}: dumped, timestamp key ")),
            "{}",
            end.stdout
        );
    }
    let closing: Vec<&str> = end
        .stdout
        .lines()
        .filter(|line| line.contains("-Database good: "))
        .collect();
    // Seconds and bytes of the set: `..., timestamp key 20240102030405, in 1s, 12.3 kB`
    assert!(
        closing.len() == 1 && closing[0].contains("s, ") && closing[0].ends_with('B'),
        "{closing:?}"
    );
    assert!(!end.stdout.contains("template1: ") && !end.stdout.contains("scratch: "));
}

#[test]
fn sets_of_a_prefix_carry_it_in_every_name_and_do_not_block_others() {
    let cluster = cluster(&["one"]);
    let end = dump(&cluster, &["-x", "one", "--prefix", "foo", "-K", "20301231000000"]).expect_status(0);
    assert!(end.stdout.contains("[INFO]:-Adding --prefix\n"), "{}", end.stdout);
    assert!(end.stdout.contains(" --prefix=foo_ "), "{}", end.stdout);
    let found = names(&cluster);
    assert!(
        !found.is_empty() && found.iter().all(|name| name.starts_with("foo_gp_")),
        "{found:?}"
    );
    dump(&cluster, &["-x", "one"]).expect_status(0);
    let end = dump(&cluster, &["-x", "one", "--prefix", "foo"]).expect_status(2);
    assert!(
        end.stdout
            .contains("There is a future dated backup on the system preventing new backups"),
        "{}",
        end.stdout
    );
}
