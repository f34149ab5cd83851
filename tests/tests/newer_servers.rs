//! Sets that the original gpcrondump made on a Greenplum 5 go into PostgreSQL: every row is there, and what is not is named.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use gpdump_testkit::{Cluster, ClusterSpec, Plain, Program, repository};

/// `tests/data/reference/gp5/newer-servers`: a database with what later servers do not know.
const KEY: &str = "20261122162519";

/// A copy of a set's directory, for reports are written beside it.
fn copied(set: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(set).unwrap().flatten() {
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

fn with_roles(server: &Cluster, roles: &[&str]) {
    for role in roles {
        let missing = server
            .sql("postgres", &format!("SELECT 1 FROM pg_roles WHERE rolname = '{role}'"))
            .is_empty();
        if missing {
            server.sql("postgres", &format!("CREATE ROLE \"{role}\""));
        }
    }
}

/// `table|rows sum` of each table, the sum over pieces of each row's MD5, as it was taken on the Greenplum.
fn rows(server: &Cluster, tables: &[&str]) -> BTreeSet<String> {
    let one = |table: &&str| {
        format!(
            "SELECT '{}', count(*), coalesce(sum(('x' || substr(md5(textin(record_out(q_q))), 1, 8))::bit(32)::bigint), 0) \
             FROM {table} q_q",
            table.replace('\'', "''")
        )
    };
    let sql = tables.iter().map(one).collect::<Vec<_>>().join(" UNION ALL ");
    let mut found: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for holder in server.row_holders() {
        let session = holder.session("shop");
        session.sql("SET timezone = 'UTC'; SET bytea_output = escape; SET extra_float_digits = 0");
        for row in session.sql(&sql) {
            let number = |at: usize| -> u64 { row[at].as_deref().unwrap().parse().unwrap() };
            let sums = found.entry(row[0].clone().unwrap()).or_default();
            *sums = (sums.0 + number(1), sums.1 + number(2));
        }
    }
    let lines = found
        .into_iter()
        .map(|(table, (count, sum))| format!("{table}|{count} {sum}"));
    lines.collect()
}

/// The objects that the file of a restore names.
fn named_in(file: &Path) -> BTreeSet<String> {
    assert_eq!(
        fs::metadata(file).unwrap().permissions().mode() & 0o777,
        0o600,
        "{}",
        file.display()
    );
    let text = fs::read_to_string(file).unwrap();
    let blocks = text.split("\n\n-- ").skip(1);
    blocks
        .filter_map(|block| Some(block.lines().next()?.to_owned()))
        .collect()
}

#[test]
fn a_set_of_greenplum_5_goes_into_postgresql_with_every_row() {
    let data = repository().join("tests/data/reference/gp5/newer-servers");
    let expected = fs::read_to_string(data.join("rows")).unwrap();
    for (server, is_plain) in [
        (Plain::start(), true),
        (Cluster::start(ClusterSpec::segments(2)), false),
    ] {
        with_roles(&server, &["gpadmin", "App Own", "app", "rd", "translate_r"]);
        let root = server.home().join("set");
        copied(&data.join("db_dumps/20261122"), &root.join("db_dumps/20261122"));
        let root = root.to_str().unwrap();
        let restored = Program::new("gpdbrestore", &server)
            .args(["-a", "-e", "--redirect", "shop", "-t", KEY, "-u", root])
            .run()
            .expect_status(1);

        let tables: Vec<&str> = expected.lines().map(|line| line.rsplit_once('|').unwrap().0).collect();
        let found = rows(&server, &tables);
        let missing: Vec<&str> = expected.lines().filter(|line| !found.contains(*line)).collect();
        assert!(missing.is_empty(), "these differ: {missing:#?}");

        let file = Path::new(root).join(format!("db_dumps/20261122/gp_restore_{KEY}_not_restored.sql"));
        let named = named_in(&file);
        for what in [
            "EXTERNAL TABLE x.ext",
            "EXTERNAL TABLE s1.pt_1_prt_p2_ext_partition__",
            "TABLE s1.heap1",
            "TABLE x.p_list2",
            "VIEW x.v_seg",
            "OPERATOR x.=>",
        ] {
            assert!(named.contains(what), "{what} is not among {named:#?}");
        }
        for line in [
            "-[WARNING]:-TABLE s1.heap1: the original gpcrondump leaves ENUM types out of its sets; create type mood",
            "-[WARNING]:-Translated (disabled-triggers): s1.tr1, s1.tr2, x.t_off, x.t_on: left enabled",
            "-[INFO]:-Translated (partitions): s1.pt, x.p_deep, ",
            "-[ERROR]:-VIEW x.v_seg: column p_every.gp_segment_id does not exist",
        ] {
            assert!(restored.stdout.contains(line), "{line}\nis not in\n{}", restored.stdout);
        }
        let about = restored.stdout.lines().filter(|line| line.contains("x.v_seg")).count();
        assert_eq!(
            about, 1,
            "owner, comment and grants of what is not there say nothing new"
        );
        assert!(restored.stdout.contains(file.to_str().unwrap()));

        if is_plain {
            // New rows find their partitions, and what was made for the table holds for them.
            let one = |sql: &str| server.sql("shop", sql)[0][0].clone().unwrap();
            assert_eq!(
                one("INSERT INTO x.p_deep VALUES (1, 2003, 2, 'usa') RETURNING tableoid::regclass"),
                "x.p_deep_1_prt_3_2_prt_3_3_prt_usa"
            );
            assert!(
                server
                    .try_sql("shop", "INSERT INTO x.p_pk VALUES (1, '2020-01-02', 'again')")
                    .is_err()
            );
            assert!(server.try_sql("shop", "INSERT INTO x.p_excl VALUES (1, 1)").is_err());
            let valid = "SELECT bool_and(indisvalid) FROM pg_index WHERE indexrelid >= 16384";
            assert_eq!(one(valid), "t");
            let owners = "SELECT string_agg(DISTINCT tableowner, ',') FROM pg_tables WHERE schemaname = 'x'";
            assert_eq!(one(owners), "gpadmin");
            assert_eq!(
                one("SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal AND tgenabled = 'O'"),
                "2"
            );
            assert_eq!(one("SELECT x.oagg(a) FROM (VALUES (1), (2)) t (a)"), "{1,2}");
        }
    }
}

/// The recorded sets of the original programs, which lie beside the repository where there is room for them.
fn goldens() -> Option<PathBuf> {
    let named = std::env::var_os("GPDUMP_GOLDENS").map(PathBuf::from);
    let goldens = named
        .unwrap_or_else(|| repository().join("../shared/golden"))
        .join("gp5");
    goldens.is_dir().then_some(goldens)
}

/// What `checksum.sh` says of a table: rows, and MD5 of its sorted text.
fn checksum(server: &Cluster, table: &str) -> String {
    let copy = server
        .tool("psql")
        .args([
            "-X",
            "-d",
            "shop",
            "-c",
            &format!("COPY (SELECT * FROM {table}) TO STDOUT"),
        ])
        .env("PGOPTIONS", "-c bytea_output=escape -c extra_float_digits=0")
        .output()
        .unwrap();
    assert!(
        copy.status.success(),
        "{table}: {}",
        String::from_utf8_lossy(&copy.stderr)
    );
    let mut lines: Vec<&[u8]> = copy.stdout.split_inclusive(|byte| *byte == b'\n').collect();
    lines.sort_unstable();
    let mut sum = Command::new("md5sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    sum.stdin.take().unwrap().write_all(&lines.concat()).unwrap();
    let sum = String::from_utf8(sum.wait_with_output().unwrap().stdout).unwrap();
    format!("{table}|{}|{}", lines.len(), sum.split(' ').next().unwrap())
}

#[test]
fn the_recorded_full_dump_goes_into_postgresql_under_new_and_old_file_names() {
    let Some(goldens) = goldens() else {
        eprintln!("the recorded sets are not here; GPDUMP_GOLDENS names their directory");
        return;
    };
    let sums = fs::read_to_string(goldens.join("01-full/base.sums")).unwrap();
    let server = Plain::start();
    with_roles(&server, &["gpadmin", "App Owner", "app_reader"]);
    for dumps in ["db_dumps", "db_dumps_oldformat"] {
        let root = server.home().join(dumps);
        for instance in ["master", "gpseg0", "gpseg1", "gpseg2"] {
            let from = goldens.join("01-full").join(dumps).join(instance).join("20261122");
            copied(&from, &root.join("db_dumps/20261122"));
        }
        let root = root.to_str().unwrap();
        let key = "20261122103444";
        Program::new("gpdbrestore", &server)
            .args(["-a", "-e", "--redirect", "shop", "-t", key, "-u", root, "--noanalyze"])
            .run()
            .expect_status(1);
        let named = named_in(&Path::new(root).join(format!("db_dumps/20261122/gp_restore_{key}_not_restored.sql")));
        let expected = ["EXTERNAL TABLE public.ext_t", "EXTERNAL TABLE public.ext_web"];
        assert_eq!(named, expected.map(str::to_owned).into(), "{dumps}");
        for line in sums.lines() {
            let parts: Vec<&str> = line.split('|').collect();
            match parts[..] {
                [leaf, rows] if leaf.starts_with("leaf:") => {
                    let table = leaf.trim_start_matches("leaf:");
                    let found = server.sql("shop", &format!("SELECT count(*) FROM {table}"));
                    assert_eq!(found[0][0].as_deref(), Some(rows), "{table}");
                }
                [table, _, md5] if md5.len() == 32 => assert_eq!(checksum(&server, table), line),
                _ => {}
            }
        }
    }
}
