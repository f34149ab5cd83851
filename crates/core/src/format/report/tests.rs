use proptest::prelude::*;

use super::*;
use crate::words::cluster::{HostName, Instance, Role};
use crate::words::ids::{Prefix, TimestampKey};
use crate::words::layout::FileNaming;

macro_rules! reference {
    ($path:literal) => {
        include_str!(concat!("../../../../../tests/data/reference/gp5/", $path))
    };
}

fn facts(text: &str, prefix: &str, key: &str) -> ReportFacts {
    parse(text, &Prefix::from_option(prefix).unwrap(), key.parse().unwrap())
}

/// A report that says what was read.
fn report_of(facts: &ReportFacts) -> BackupReport {
    BackupReport {
        key: facts.key.clone().unwrap(),
        command_line: facts.command_line.clone().unwrap(),
        pass_through: facts.pass_through.clone(),
        compression: facts.compression.unwrap(),
        backup_type: facts.backup_type.unwrap(),
        program: facts.program.clone(),
        rows: facts.rows.clone(),
    }
}

#[test]
fn every_report_of_the_original_is_read_and_written_to_the_byte() {
    for (text, prefix, key) in [
        (reference!("01-full/gp_dump_20261122103444.rpt"), "", "20261122103444"),
        (
            reference!("01-full/oldformat/gp_dump_20261122103444.rpt"),
            "",
            "20261122103444",
        ),
        (
            reference!("07-prefix-incremental/foo_gp_dump_20261122105431.rpt"),
            "foo",
            "20261122105431",
        ),
        (
            reference!("engine/full/gp_dump_20200101000000.rpt"),
            "",
            "20200101000000",
        ),
        (reference!("engine/f1/gp_dump_20200101000000.rpt"), "", "20200101000000"),
        (
            reference!("engine/nodb/gp_dump_20200101000000.rpt"),
            "",
            "20200101000000",
        ),
        (
            reference!("engine/conflict/gp_dump_20200101000000.rpt"),
            "",
            "20200101000000",
        ),
    ] {
        let read = facts(text, prefix, key);
        let report = report_of(&read);
        assert_eq!(report.write(), text);
        assert_eq!(Some(report.conclusion()), read.conclusion);
    }
}

#[test]
fn the_facts_of_a_full_dump_are_found() {
    let read = facts(reference!("01-full/gp_dump_20261122103444.rpt"), "", "20261122103444");
    assert_eq!(read.compression, Some(Compression::Gzip));
    assert_eq!(read.database.as_deref(), Some("demo"));
    assert_eq!(read.backup_type, Some(BackupType::Full));
    assert_eq!((read.naming, read.program), (FileNaming::New, None));
    let rows: Vec<_> = read.rows.iter().map(|r| (r.content.0, r.dbid.0, r.port)).collect();
    assert_eq!(
        rows,
        [
            (2, 4, 25434),
            (1, 3, 25433),
            (0, 2, 25432),
            (-1, 1, 15432),
            (-1, 1, 15432)
        ]
    );
}

#[test]
fn old_names_and_increments_are_recognised() {
    let read = facts(
        reference!("01-full/oldformat/gp_dump_20261122103444.rpt"),
        "",
        "20261122103444",
    );
    assert_eq!(read.naming, FileNaming::Old);
    let text = reference!("07-prefix-incremental/foo_gp_dump_20261122105431.rpt");
    let read = facts(text, "foo", "20261122105431");
    assert_eq!(
        (read.naming, read.backup_type),
        (FileNaming::New, Some(BackupType::Incremental))
    );
}

#[test]
fn a_failure_keeps_its_message() {
    let read = facts(reference!("engine/f1/gp_dump_20200101000000.rpt"), "", "20200101000000");
    assert_eq!(read.conclusion, Some(Conclusion::Failures(1)));
    let RowResult::Failed(message) = &read.rows[1].result else {
        panic!("{:?}", read.rows[1])
    };
    assert!(message.starts_with("20261122:10:38:49|gp_dump_agent-[ERROR]:-SQL command failed\n"));
    assert!(message.ends_with("No such file or directory\n\n"));
    assert_eq!(read.rows.len(), 4);
}

#[test]
fn early_failures_are_the_originals() {
    let text = reference!("engine/nodb/gp_dump_20200101000000.rpt");
    let message = "connection to database \"nosuchdb\" failed : FATAL:  database \"nosuchdb\" does not exist";
    let mut report = report_of(&facts(text, "", "20200101000000"));
    report.rows = BackupReport::early_failure_rows(None, 35432, Some("nosuchdb"), message);
    assert_eq!(report.write(), text);
}

#[test]
fn our_mark_stands_behind_the_type_and_is_read() {
    let mut report = report_of(&facts(
        reference!("01-full/gp_dump_20261122103444.rpt"),
        "",
        "20261122103444",
    ));
    report.program = Some("0.1.0".into());
    let text = report.write();
    assert!(text.contains("\nBackup Type: Full\nProgram: gpcrondump 0.1.0\n\nIndividual Results\n"));
    assert_eq!(facts(&text, "", "20261122103444").program.as_deref(), Some("0.1.0"));
}

#[test]
fn a_report_that_is_cut_or_empty_says_what_it_can() {
    let text = reference!("01-full/gp_dump_20261122103444.rpt");
    for cut in 0..text.len() - 1 {
        assert_eq!(facts(&text[..cut], "", "20261122103444").conclusion, None, "{cut}");
    }
    let read = facts("", "", "20261122103444");
    assert_eq!((read.compression, read.database, read.backup_type), (None, None, None));
}

#[test]
fn outcomes_become_rows_in_the_originals_order() {
    let outcome = |content: i32, dbid: i32, result: InstanceResult| InstanceOutcome {
        instance: Instance {
            dbid: DbId(dbid),
            content: ContentId(content),
            role: Role::Primary,
            up: true,
            host: HostName("h".into()),
            address: HostName("h-1".into()),
            port: 1,
            data_dir: "/d".into(),
        },
        file: format!("/f{content}.gz"),
        result,
    };
    let rows = rows_of(
        &[
            outcome(-1, 1, InstanceResult::Succeeded(vec![])),
            outcome(0, 2, InstanceResult::Errors(vec!["a".into(), "b".into()])),
            outcome(1, 3, InstanceResult::Failed("c".into())),
        ],
        "shop",
    );
    let files: Vec<_> = rows.iter().map(|r| r.file.as_str()).collect();
    assert_eq!(files, ["/f1.gz", "/f0.gz", "/f-1.gz", "/f-1.gz_post_data"]);
    assert_eq!(rows[1].result, RowResult::Errors("a\nb\n".into()));
}

#[test]
fn arguments_with_blanks_quotes_and_dollars_are_quoted() {
    assert_eq!(
        join_arguments(["-p", "1", "a b", "c\"$", ""]),
        "-p 1 \"a b\" \"c\\\"\\$\" \"\""
    );
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        // Databases are named by people: no line breaks, which a report cannot show.
        database in "[^\\n\\r\u{85}\u{2028}\u{2029}]{1,20}",
        path in "/[a-zA-Z0-9 ./_-]{0,30}",
        message in "[a-z {}\\n]{0,40}",
        kinds in proptest::collection::vec(0..3, 0..6),
    ) {
        prop_assume!(!database.contains(" BackupFile") && !database.contains("Port "));
        let rows = kinds.iter().enumerate().map(|(at, kind)| ReportRow {
            content: ContentId(at as i32 - 1),
            dbid: DbId(at as i32 + 1),
            host: "h".into(),
            port: 5432,
            database: database.clone(),
            file: path.clone(),
            result: match kind {
                0 => RowResult::Succeeded,
                1 => RowResult::Errors(message.clone()),
                _ => RowResult::Failed(message.clone()),
            },
        });
        let report = BackupReport {
            key: "20240102030405".into(),
            command_line: join_arguments(["-x", database.as_str()]),
            pass_through: None,
            compression: Compression::None,
            backup_type: BackupType::Incremental,
            program: Some("1.2".into()),
            rows: rows.collect(),
        };
        let key: TimestampKey = "20240102030405".parse().unwrap();
        let read = parse(&report.write(), &Prefix::none(), key);
        prop_assert_eq!(report_of(&read), report.clone());
        prop_assert_eq!(read.conclusion, Some(report.conclusion()));
        prop_assert_eq!(read.database, (!kinds.is_empty()).then_some(database));
    }
}
