use super::*;
use crate::format::report;

const DAY: &str = "/root/db_dumps/20240101";

fn key(text: &str) -> TimestampKey {
    text.parse().unwrap()
}

/// A set of the original, as its report tells it.
fn original(prefix: &str, at: &str, kind: BackupType, words: &str) -> SetTraces {
    let prefix = Prefix::from_option(prefix).unwrap();
    let text = format!(
        "\nGreenplum Database Backup Report\nTimestamp Key: {at}\ngp_dump Command Line: -p 5432 --gp-c demo{words}\n\
         Pass through Command Line Options: None\nCompression Program: gzip\nBackup Type: {}\n\nIndividual Results\n\
         \tMaster (dbid 1) Host mdw Port 5432 Database demo BackupFile {DAY}/gp_dump_-1_1_{at}.gz: Succeeded \n\n\
         gp_dump utility finished successfully.\n",
        kind.text()
    );
    SetTraces {
        key: key(at),
        directory: DAY.into(),
        files: 3,
        bytes: 4096,
        report: Some(report::parse(&text, &prefix, key(at))),
        manifest: None,
        problems: Vec::new(),
        has_dump: true,
        has_increment_lists: kind == BackupType::Incremental,
        increments: Vec::new(),
        increments_problem: None,
        prefix,
    }
}

fn full(prefix: &str, at: &str, increments: &[&str]) -> SetTraces {
    SetTraces {
        increments: increments.iter().map(|at| key(at)).collect(),
        ..original(prefix, at, BackupType::Full, "")
    }
}

fn increment(prefix: &str, at: &str) -> SetTraces {
    let words = " --table-file=/tmp/dirty_backup_list_x --incremental";
    original(prefix, at, BackupType::Incremental, words)
}

fn all() -> ListRequest {
    ListRequest {
        root: "/root".into(),
        databases: Vec::new(),
        prefix: None,
    }
}

fn listed(traces: &[SetTraces]) -> Vec<ListedSet> {
    list(traces, &all(), key("20240103000000").moment())
}

#[test]
fn a_set_of_the_original_is_told_by_its_report() {
    let sets = listed(&[full("", "20240102000000", &[])]);
    assert_eq!(
        sets,
        [ListedSet {
            key: key("20240102000000"),
            database: Some("demo".into()),
            prefix: String::new(),
            kind: BackupType::Full,
            filtered: false,
            status: SetStatus::Complete,
            problems: Vec::new(),
            taken: key("20240102000000").moment(),
            age_seconds: 86_400,
            directory: DAY.into(),
            files: 3,
            bytes: 4096,
            bytes_of: SizeOf::MasterOnly,
            tables: None,
            rows: None,
            seconds: None,
            one_cut: None,
            written_by: None,
            needs: Vec::new(),
            missing: Vec::new(),
            needed_by: Vec::new(),
        }]
    );
}

#[test]
fn a_chain_is_followed_both_ways_and_its_gaps_are_named() {
    let (a, b, c, d) = ("20240101000000", "20240101000001", "20240101000002", "20240101000003");
    let sets = listed(&[
        increment("p", d),
        full("p", a, &[b, c, d]),
        increment("p", b),
        // The same key with another prefix is another set.
        full("", c, &[]),
    ]);
    let keys: Vec<&str> = sets.iter().map(|set| set.status.word()).collect();
    assert_eq!(keys, ["complete", "complete", "complete", "broken"]);
    assert_eq!(sets[0].needed_by, [key(b), key(d)]);
    assert_eq!(sets[1].needs, [key(a)]);
    assert_eq!(sets[3].needs, [key(c), key(b), key(a)]);
    assert_eq!(sets[3].missing, [key(c)]);
    assert_eq!(sets[3].problems, [format!("it needs the set {c}, which is not there")]);
}

#[test]
fn an_increment_of_an_incomplete_or_unknown_full_is_broken() {
    let (a, b, c) = ("20240101000000", "20240101000001", "20240101000002");
    let mut lost = full("", a, &[b]);
    lost.has_dump = false;
    let sets = listed(&[lost, increment("", b), increment("q", c)]);
    assert_eq!(sets[0].status, SetStatus::Incomplete);
    assert_eq!(
        (sets[1].status, sets[1].problems.as_slice()),
        (
            SetStatus::Broken,
            [format!("it needs the set {a}, which is incomplete")].as_slice()
        )
    );
    assert_eq!(sets[2].problems, ["no full dump names it in its list of increments"]);
}

#[test]
fn what_is_not_whole_says_why() {
    type Damage = fn(&mut SetTraces);
    let cases: [(Damage, &str); 6] = [
        (
            |set| set.report = None,
            "it has no report: its dump was ended, or is still going on",
        ),
        (
            |set| set.report.as_mut().unwrap().program = Some("0.1.0".into()),
            "it has no manifest: its dump failed, was ended, or is still going on",
        ),
        (
            |set| set.report.as_mut().unwrap().conclusion = Some(Conclusion::Failures(2)),
            "its report says that the dump failed on 2 instances",
        ),
        (
            |set| set.report.as_mut().unwrap().conclusion = None,
            "its report was cut off",
        ),
        (
            |set| set.has_dump = false,
            "the definitions are missing: there is no dump file of the master",
        ),
        (
            |set| set.problems.push("could not read x: no".into()),
            "could not read x: no",
        ),
    ];
    for (damage, problem) in cases {
        let mut set = full("", "20240101000000", &[]);
        damage(&mut set);
        let sets = listed(&[set]);
        assert_eq!(sets[0].status, SetStatus::Incomplete, "{problem}");
        assert_eq!(sets[0].problems, [problem]);
    }
}

#[test]
fn a_damaged_list_of_increments_does_not_spoil_the_full_dump() {
    let mut set = full("", "20240101000000", &[]);
    set.increments_problem = Some("it is empty".into());
    let sets = listed(&[set]);
    assert_eq!(sets[0].status, SetStatus::Complete);
    assert_eq!(sets[0].problems, ["it is empty"]);
}

#[test]
fn a_filter_is_seen_in_full_dumps_and_inherited_by_increments() {
    let (a, b) = ("20240101000000", "20240101000001");
    let words = " --table-file=/tmp/include_dump_tables_fileX";
    let filtered = SetTraces {
        increments: vec![key(b)],
        ..original("p", a, BackupType::Full, words)
    };
    assert!(listed(&[filtered, increment("p", b)]).iter().all(|set| set.filtered));
    assert!(
        listed(&[full("p", a, &[b]), increment("p", b)])
            .iter()
            .all(|set| !set.filtered)
    );
}

#[test]
fn database_and_prefix_choose_but_do_not_break_chains() {
    let (a, b) = ("20240101000000", "20240101000001");
    let traces = [full("p", a, &[b]), increment("p", b), full("", a, &[])];
    let count = |databases: &[&str], prefix: Option<&str>| {
        let request = ListRequest {
            databases: databases.iter().map(|name| (*name).to_owned()).collect(),
            prefix: prefix.map(|text| Prefix::from_option(text).unwrap()),
            ..all()
        };
        list(&traces, &request, key(b).moment()).len()
    };
    assert_eq!(count(&[], None), 3);
    assert_eq!(count(&["demo"], Some("p")), 2);
    assert_eq!(count(&["other", "demo"], None), 3);
    assert_eq!(count(&["other"], None), 0);
    assert_eq!(count(&[], Some("q")), 0);
}
