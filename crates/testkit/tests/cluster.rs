//! The test cluster behaves like a Greenplum where the programs can tell.

use std::process::Command;
use std::time::{Duration, Instant};

use gpdump_testkit::compare::{Snapshot, assert_same};
use gpdump_testkit::{Cluster, ClusterSpec, Plain};

fn one(rows: &[Vec<Option<String>>]) -> &str {
    rows[0][0].as_deref().expect("a value")
}

#[test]
fn ddl_reaches_the_segments_and_pg_dump_sees_nothing_of_the_catalog() {
    let cluster = Cluster::start(ClusterSpec::segments(2));
    let rows = cluster.sql(
        "postgres",
        "SELECT content, port, datadir FROM gp_segment_configuration ORDER BY 1",
    );
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[0][1].as_deref(), Some(cluster.master_port().to_string().as_str()));
    assert_eq!(rows[2][2].as_deref(), cluster.segment(1).data_dir.to_str());

    cluster.sql("postgres", "CREATE DATABASE d TEMPLATE template0");
    assert_eq!(
        one(&cluster.sql("d", "SELECT count(*) FROM gp_segment_configuration")),
        "3"
    );
    let dump = cluster.tool("pg_dump").args(["-s", "d"]).output().unwrap();
    assert!(!String::from_utf8_lossy(&dump.stdout).contains("gp_"), "{dump:?}");

    cluster.sql("d", "BEGIN; CREATE TABLE t (a int PRIMARY KEY); COMMIT");
    for content in 0..2 {
        assert_eq!(one(&cluster.segment_sql(content, "d", "SELECT count(*) FROM t")), "0");
    }
    assert_eq!(
        one(&cluster.sql("d", "SELECT policytype FROM gp_distribution_policy")),
        "p"
    );
}

#[test]
fn an_error_on_a_segment_aborts_the_masters_transaction() {
    let cluster = Cluster::start(ClusterSpec::segments(2));
    cluster.segment_sql(1, "postgres", "CREATE TABLE t ()");
    let session = cluster.session("postgres");
    session.sql("BEGIN");
    assert!(
        session
            .try_sql("CREATE TABLE t ()")
            .unwrap_err()
            .contains("already exists")
    );
    assert!(session.try_sql("SELECT 1").unwrap_err().contains("aborted"));
    session.sql("COMMIT");
    assert!(
        cluster.segments()[0]
            .session("postgres")
            .try_sql("SELECT * FROM t")
            .is_err()
    );
}

#[test]
fn copy_through_the_master_brings_rows_to_all_segments() {
    let cluster = Cluster::start(ClusterSpec::segments(3));
    cluster.sql("postgres", "CREATE TABLE t (a int CHECK (a < 5000), b text)");
    let psql = |script: &str| {
        cluster
            .tool("psql")
            .args(["-X", "-d", "postgres", "-c", script])
            .output()
            .unwrap()
    };
    let rows = "\\copy t from program 'for i in $(seq 1 1000); do printf \"$i\\tx\\n\"; done'";
    let end = psql(rows);
    assert_eq!(String::from_utf8_lossy(&end.stdout), "COPY 1000\n", "{end:?}");
    let counts: Vec<u32> = (0..3)
        .map(|c| {
            one(&cluster.segment_sql(c, "postgres", "SELECT count(*) FROM t"))
                .parse()
                .unwrap()
        })
        .collect();
    assert_eq!(counts.iter().sum::<u32>(), 1000);
    assert!(counts.iter().all(|n| *n > 200), "{counts:?}");
    // Counting through the master adds up; other queries see what the master has.
    assert_eq!(one(&cluster.sql("postgres", "SELECT count(*) FROM t")), "1000");
    assert_eq!(one(&cluster.sql("postgres", "SELECT count(*) + 0 FROM t")), "0");

    let end = psql(r"\copy t from program 'printf 1\\tx\\n9999\\ty\\n'");
    assert!(
        String::from_utf8_lossy(&end.stderr).contains("check constraint"),
        "{end:?}"
    );
    assert_eq!(one(&cluster.sql("postgres", "SELECT 1")), "1");
}

#[test]
fn a_cancel_reaches_the_segment_that_waits_for_a_lock() {
    let cluster = Cluster::start(ClusterSpec::segments(1));
    cluster.sql("postgres", "CREATE TABLE t ()");
    let holder = cluster.segment(0).session("postgres");
    holder.sql("BEGIN; LOCK t");
    let mut psql = cluster
        .tool("psql")
        .args(["-X", "-c", "DROP TABLE t", "-d", "postgres"])
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(300));
    // psql cancels its query when it is interrupted.
    let pid = rustix::process::Pid::from_raw(psql.id().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while psql.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "psql still waits");
        std::thread::sleep(Duration::from_millis(10));
    }
    holder.sql("COMMIT");
}

#[test]
fn the_warehouse_is_the_same_as_itself_and_a_changed_one_is_not() {
    let cluster = Cluster::start(ClusterSpec::segments(2));
    cluster.load_warehouse("demo");
    let before = Snapshot::take(&cluster, "demo");
    assert!(before.row_count() > 50_000, "{}", before.row_count());
    assert_same(&before, &Snapshot::take(&cluster, "demo"));
    cluster.segment_sql(1, "demo", "UPDATE public.everything SET words = '' WHERE id = 3");
    cluster.sql("demo", "ALTER TABLE sales.customer DROP COLUMN since");
    cluster.sql("demo", "SELECT nextval('public.tickets')");
    let differences = before.differences(&Snapshot::take(&cluster, "demo"));
    for part in [
        "rows of public.everything, content 1",
        "since date",
        "sequence public.tickets",
    ] {
        assert!(differences.contains(part), "{part}: {differences}");
    }
}

#[test]
fn the_same_rows_on_one_server_and_on_three_have_the_same_sums() {
    let (plain, cluster) = (Plain::start(), Cluster::start(ClusterSpec::segments(3)));
    plain.load_warehouse("demo");
    cluster.load_warehouse("demo");
    let one = Snapshot::take(&plain, "demo").gathered();
    let differences = one.differences(&Snapshot::take(&cluster, "demo").gathered());
    // Each segment makes its own row of an aggregate.
    let others: Vec<&str> = differences
        .lines()
        .filter(|line| !line.contains("sales.per_region"))
        .collect();
    assert!(others.is_empty(), "{others:#?}");
}

#[test]
fn servers_end_when_their_test_is_killed() {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_demo-cluster"))
        .arg("1")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(demo.stdout.take().unwrap()));
    let data_dir = lines
        .find_map(|line| {
            Some(
                line.unwrap()
                    .strip_prefix("export MASTER_DATA_DIRECTORY='")?
                    .trim_end_matches('\'')
                    .to_owned(),
            )
        })
        .unwrap();
    assert!(lines.any(|line| line.unwrap() == "# ready"));
    demo.kill().unwrap();
    demo.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while std::path::Path::new(&data_dir).exists() {
        assert!(Instant::now() < deadline, "{data_dir} is still there");
        std::thread::sleep(Duration::from_millis(20));
    }
}
