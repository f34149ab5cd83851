use super::*;
use crate::format::report;

const ORIGINAL: &str = include_str!("../../../../../tests/data/reference/gp5/01-full/gp_dump_20261122103444.rpt");

fn candidate(change: impl Fn(&str) -> String) -> Candidate {
    let key = "20261122103444".parse().unwrap();
    let report = report::parse(&change(ORIGINAL), &Prefix::none(), key);
    Candidate {
        key,
        manifest_problem: None,
        database: report.database.clone(),
        has_cdatabase: true,
        has_filter_file: false,
        tables: None,
        report,
    }
}

fn judge(change: impl Fn(&str) -> String, fix: impl Fn(&mut Candidate)) -> Verdict {
    let mut candidate = candidate(change);
    fix(&mut candidate);
    judge_full(&candidate, "demo", &Prefix::none())
}

#[test]
fn a_good_full_dump_of_the_same_database_is_a_base() {
    assert_eq!(judge(str::to_owned, |_| {}), Verdict::Usable);
    assert_eq!(
        judge_full(&candidate(str::to_owned), "other", &Prefix::none()),
        Verdict::Other
    );
    let incremental = |text: &str| text.replace("Type: Full", "Type: Incremental");
    assert_eq!(judge(incremental, |_| {}), Verdict::Other);
    assert_eq!(why_no_increment(&candidate(incremental), "demo"), None);
    assert!(
        why_no_increment(&candidate(incremental), "x")
            .unwrap()
            .contains("of database demo")
    );
    assert!(why_no_increment(&candidate(str::to_owned), "demo").is_some());
}

#[test]
fn a_dump_that_is_not_whole_is_passed_over_and_told() {
    let failed = |text: &str| text.replace("finished successfully", "finished but errors were found");
    let cut = |text: &str| text.replace("gp_dump utility finished successfully.", "");
    type Fix = fn(&mut Candidate);
    let fixes: [Fix; 2] = [
        |c| c.manifest_problem = Some("its manifest is missing".into()),
        |c| c.has_cdatabase = false,
    ];
    assert!(matches!(judge(failed, |_| {}), Verdict::Passed(_)));
    assert!(matches!(judge(cut, |_| {}), Verdict::Passed(_)));
    for fix in fixes {
        assert!(matches!(judge(str::to_owned, fix), Verdict::Passed(_)));
    }
}

#[test]
fn a_report_with_another_key_ends_the_search() {
    let other = |text: &str| text.replace("Key: 2026", "Key: x");
    match judge(other, |_| {}) {
        Verdict::Refused(refusal) => assert_eq!(refusal.text, "Invalid timestamp value found in report_file"),
        verdict => panic!("{verdict:?}"),
    }
}

#[test]
fn a_filtered_dump_is_a_base_only_when_its_filter_is_known() {
    for option in [
        "--table-file=/tmp/x",
        "--exclude-table-file=/tmp/x",
        "\"--schema-file=/a b\"",
    ] {
        let filtered = |text: &str| text.replace(" --no-expand-children", &format!(" --no-expand-children {option}"));
        assert!(matches!(judge(filtered, |_| {}), Verdict::Passed(_)), "{option}");
        assert_eq!(judge(filtered, |c| c.has_filter_file = true), Verdict::Usable);
        let held = vec![QualifiedName::new("s", "t")];
        assert_eq!(judge(filtered, |c| c.tables = Some(held.clone())), Verdict::Usable);
        let mut known = candidate(filtered);
        known.tables = Some(held.clone());
        assert_eq!(known.chosen_tables(), Some(&held[..]));
        known.has_filter_file = true;
        assert_eq!(known.chosen_tables(), None);
    }
}
