use std::path::PathBuf;

use gpdump_core::cli::checks::{refuse_not_built, run};
use gpdump_core::cli::optparse::{Parsed, parse};
use gpdump_core::gplog::LogLevel;
use gpdump_core::words::environment::{Environment, PgEnvironment};
use gpdump_core::words::refusal::RefusalClass;

use super::*;
use crate::options::GROUPS;

pub fn environment(database: Option<&str>) -> Environment {
    Environment {
        home: PathBuf::from("/home/gpadmin"),
        user: "gpadmin".into(),
        host: "mdw".into(),
        host_full: "mdw.example".into(),
        gphome: None,
        master_data_directory: Some(PathBuf::from("/data/master/gpseg-1")),
        pg: PgEnvironment {
            database: database.map(str::to_owned),
            ..PgEnvironment::default()
        },
        ssh: PathBuf::from("ssh"),
        log_targets: None,
        path: Vec::new(),
        program_path: PathBuf::from("/usr/local/bin/gpcrondump"),
        pid: 1,
    }
}

fn parsed(words: &[&str]) -> Parsed {
    let argv: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
    parse(GROUPS, &argv).unwrap()
}

type Notes = Vec<(LogLevel, String)>;

/// Log lines and the refusal, as (frame, text).
fn outcome(words: &[&str], database: Option<&str>) -> (Notes, Option<(RefusalClass, String)>) {
    let options = parsed(words);
    let asked = Asked {
        options: &options,
        environment: &environment(database),
    };
    let (notes, result) = run(CHECKS, &asked);
    (notes, result.err().map(|refusal| (refusal.class, refusal.text)))
}

const EX: RefusalClass = RefusalClass::Failed;
const NST: RefusalClass = RefusalClass::Known;

#[test]
fn every_check_speaks_the_words_of_the_original() {
    let long = "x".repeat(128);
    let cases: &[(&str, &str, RefusalClass, &str)] = &[
        ("4", "-x d -h -H", EX, "-H option cannot be selected with -h option. "),
        (
            "5",
            "--incremental",
            NST,
            "Must supply -x <database name> with incremental option",
        ),
        (
            "6",
            "--incremental -x a -x b -x c",
            NST,
            "multi-database backup is not supported with incremental backup: 3 databases selected",
        ),
        (
            "7",
            "-K 20240102030405 -x a -x b",
            NST,
            "multi-database backup is not supported with -K option",
        ),
        (
            "8",
            "-o --incremental -x d",
            EX,
            "-o option cannot be selected with incremental backup",
        ),
        (
            "9",
            "-x d --cleanup-date 20240102 --cleanup-total 1",
            NST,
            "Must supply -c or -o with --cleanup-date option",
        ),
        (
            "10",
            "-x d --cleanup-total 1",
            NST,
            "Must supply -c or -o with --cleanup-total option",
        ),
        (
            "12",
            "-x d --list-backup-files",
            EX,
            "Must supply -K option when listing backup files",
        ),
        (
            "13",
            "-a",
            NST,
            "Must supply -x <database name> because $PGDATABASE is not set",
        ),
        (
            "14",
            "-x d --ddboost-storage-unit u",
            EX,
            "Must specify --ddboost option together with the --ddboost-storage-unit",
        ),
        (
            "15",
            "-x d -K 20240102030405 --list-backup-files --ddboost",
            EX,
            "list backup files not supported with ddboost option",
        ),
        (
            "16",
            "-x d --list-filter-tables --prefix p",
            EX,
            "list filter tables option requires --prefix and --incremental",
        ),
        (
            "16",
            "-x d --list-filter-tables --incremental",
            EX,
            "list filter tables option requires --prefix and --incremental",
        ),
        (
            "17",
            "-x d --email-file /nonexistent.yaml",
            EX,
            "'/nonexistent.yaml' file does not exist.",
        ),
        (
            "18",
            "-x d --netbackup-policy p --netbackup-schedule s",
            EX,
            "NetBackup service hostname (--netbackup-service-host) param should be provided in order to use NetBackup",
        ),
        (
            "18",
            "-x d --netbackup-service-host h --netbackup-schedule s",
            EX,
            "NetBackup policy name (--netbackup-policy) param should be provided in order to use NetBackup",
        ),
        (
            "18",
            "-x d --netbackup-service-host h --netbackup-policy p",
            EX,
            "NetBackup schedule name (--netbackup-schedule) param should be provided in order to use NetBackup",
        ),
        (
            "19",
            "-x d --ddboost --netbackup-service-host h --netbackup-policy p --netbackup-schedule s",
            EX,
            "--ddboost is not supported with NetBackup",
        ),
        (
            "20",
            "-x d -f 5 --ddboost",
            EX,
            "-f option cannot be selected with ddboost",
        ),
        (
            "21",
            "-x d -f 5 --incremental",
            EX,
            "-f option cannot be selected with incremental backup",
        ),
        ("22", "-x d -f abc", EX, "invalid literal for int() with base 10: 'abc'"),
        (
            "22",
            "-x d -f 120",
            EX,
            "-f 120 is not a share of a disk that can stay free: give 0 to 100 percent",
        ),
        (
            "24",
            "-x d -u rel/dir",
            EX,
            "\"rel/dir\" is not an absolute path. Please specify the absolute path where the backup files will be placed on each host.",
        ),
        (
            "25",
            "-x d --ddboost --replicate",
            NST,
            "--max-streams must be specified along with --replicate",
        ),
        (
            "25",
            "-x d --ddboost --max-streams 3",
            NST,
            "--max-streams must be specified along with --replicate",
        ),
        (
            "25",
            "-x d --ddboost --replicate --max-streams 0",
            NST,
            "--max-streams must be a number greater than zero",
        ),
        (
            "25",
            "-x d --ddboost --replicate --max-streams x",
            NST,
            "--max-streams must be a number greater than zero",
        ),
        (
            "25",
            "-x d --ddboost -u /b",
            NST,
            "-u cannot be used with DDBoost parameters.",
        ),
        (
            "25",
            "-x d --replicate",
            NST,
            "--replicate and --max-streams cannot be used without --ddboost",
        ),
        (
            "26",
            "-x d --exclude-schema-file f -s a",
            EX,
            "-s can not be selected with --exclude-schema-file option",
        ),
        (
            "27",
            "-x d --schema-file f -s a",
            EX,
            "-s can not be selected with --schema-file option",
        ),
        ("28", "-x d -s a -S b", EX, "-s can not be selected with -S option"),
        (
            "29",
            "-x d --exclude-schema-file f -S a",
            EX,
            "-S can not be selected with --exclude-schema-file option",
        ),
        (
            "30",
            "-x d --schema-file f -S a",
            EX,
            "-S can not be selected with --schema-file option",
        ),
        (
            "31",
            "-x d --schema-file f --exclude-schema-file g",
            EX,
            "--exclude-schema-file can not be selected with --schema-file option",
        ),
        (
            "32",
            "-x d -s a --incremental",
            EX,
            "-s option can not be selected with incremental backup",
        ),
        (
            "33",
            "-x d -S a --incremental",
            EX,
            "-S option can not be selected with incremental backup",
        ),
        (
            "34",
            "-x d --schema-file f --incremental",
            EX,
            "--schema-file option can not be selected with incremental backup",
        ),
        (
            "35",
            "-x d --exclude-schema-file f --incremental",
            EX,
            "--exclude-schema-file option can not be selected with incremental backup",
        ),
        (
            "36",
            "-x d --exclude-schema-file f --table-file t",
            EX,
            "--table-file and --exclude-table-file can not be selected with --exclude-schema-file option",
        ),
        (
            "37",
            "-x d --schema-file f --exclude-table-file t",
            EX,
            "--table-file and --exclude-table-file can not be selected with --schema-file option",
        ),
        (
            "38",
            "-x d -s a --table-file t",
            EX,
            "--table-file and --exclude-table-file can not be selected with -s option",
        ),
        (
            "39",
            "-x d -S a --exclude-table-file t",
            EX,
            "--table-file and --exclude-table-file can not be selected with -S option",
        ),
        (
            "40",
            "-x d --exclude-schema-file f -t a.b",
            EX,
            "-t and -T can not be selected with --exclude-schema-file option",
        ),
        (
            "41",
            "-x d --schema-file f -T a.b",
            EX,
            "-t and -T can not be selected with --schema-file option",
        ),
        (
            "42",
            "-x d -s a -t a.b",
            EX,
            "-t and -T can not be selected with -s option",
        ),
        (
            "43",
            "-x d -S a -T a.b",
            EX,
            "-t and -T can not be selected with -S option",
        ),
        (
            "44",
            "-x d -t a.b --incremental",
            EX,
            "include table list can not be selected with incremental backup",
        ),
        (
            "45",
            "-x d -T a.b --incremental",
            EX,
            "exclude table list can not be selected with incremental backup",
        ),
        (
            "46",
            "-x d --table-file t --incremental",
            EX,
            "include table file can not be selected with incremental backup",
        ),
        (
            "47",
            "-x d --exclude-table-file t --incremental",
            EX,
            "exclude table file can not be selected with incremental backup",
        ),
        (
            "48",
            "-x d -c --incremental",
            EX,
            "-c option can not be selected with incremental backup",
        ),
        (
            "49",
            "-x d -C --incremental",
            EX,
            "-C option can not be selected with incremental backup",
        ),
        (
            "50",
            "-x d -t a.b --table-file t",
            EX,
            "-t can not be selected with --table-file option",
        ),
        (
            "51",
            "-x d -t a.b --exclude-table-file t",
            EX,
            "-t can not be selected with --exclude-table-file option",
        ),
        (
            "52",
            "-x d -T a.b --exclude-table-file t",
            EX,
            "-T can not be selected with --exclude-table-file option",
        ),
        (
            "53",
            "-x d -T a.b --table-file t",
            EX,
            "-T can not be selected with --table-file option",
        ),
        ("54", "-x d -t a.b -T a.c", EX, "-t can not be selected with -T option"),
        (
            "55",
            "-x d --table-file t --exclude-table-file u",
            EX,
            "--table-file can not be selected with --exclude-table-file option",
        ),
        (
            "56",
            "-x d --oids --incremental",
            EX,
            "--inserts, --column-inserts, --oids cannot be selected with incremental backup",
        ),
        (
            "4.1",
            "-x d --oids --column-inserts",
            EX,
            "--oids can not be selected with --inserts or --column-inserts option",
        ),
        (
            "57",
            "-x d -s a -s pg_catalog",
            EX,
            "can not specify catalog schema 'pg_catalog' using -s option",
        ),
        (
            "57",
            "-x d -S gp_toolkit",
            EX,
            "can not specify catalog schema 'gp_toolkit' using -S option",
        ),
        (
            "57",
            "-x d --schema-file /nonexistent",
            EX,
            "[Errno 2] No such file or directory: '/nonexistent'",
        ),
        (
            "1.5",
            "-x d -x e -s a",
            NST,
            "Cannot include specific schema if multiple database dumps are requested",
        ),
        (
            "1.5",
            "-x d -x e -S a",
            NST,
            "Cannot exclude specific schema if multiple database dumps are requested",
        ),
        (
            "1.5",
            "-x d -x e --table-file t",
            NST,
            "Cannot supply a table dump list if multiple database dumps are requested",
        ),
        (
            "1.5",
            "-x d -x e -T a.b",
            NST,
            "Cannot exclude specific tables if multiple database dumps are requested",
        ),
        (
            "1.5",
            "--all-databases -t a.b",
            NST,
            "Cannot supply a table dump list if multiple database dumps are requested",
        ),
        (
            "--all-databases",
            "--all-databases -x d",
            EX,
            "-x can not be selected with --all-databases option",
        ),
        (
            "--all-databases",
            "--all-databases -K 20240102030405",
            EX,
            "-K can not be selected with --all-databases option",
        ),
        (
            "--external",
            "-x d --external cos --incremental",
            EX,
            "--external option can not be selected with incremental backup",
        ),
        (
            "--external",
            "-x d --external cos --incremental-heap",
            EX,
            "--external option can not be selected with --incremental-heap option",
        ),
        (
            "--external",
            "-x d --external cos -E UTF8",
            EX,
            "--inserts, --column-inserts, --oids and -E can not be selected with --external option",
        ),
        (
            "--external",
            "-x d --external cos --list-backup-files -K 20240102030405",
            EX,
            "--list-backup-files can not be selected with --external option",
        ),
        (
            "--external",
            "-x d --external cos -g",
            EX,
            "-g and --remote-bin can not be selected with --external option, which goes to no host of the cluster",
        ),
        (
            "--external",
            "-x d --external-path script",
            EX,
            "--external-path can only be selected with --external option",
        ),
        (
            "2.11",
            "-o --cleanup-date x",
            EX,
            "--cleanup-date \"x\" is not a date of the form YYYYMMDD",
        ),
        (
            "2.11",
            "-o --cleanup-total x",
            EX,
            "invalid literal for int() with base 10: 'x'",
        ),
        (
            "2.11",
            "-o --cleanup-total -1",
            EX,
            "--cleanup-total -1 is not a number of dump directories",
        ),
        (
            "--dry-run",
            "-x d -c --dry-run",
            EX,
            "--dry-run can only be selected with -o option",
        ),
        (
            "--force",
            "-x d --force",
            NST,
            "Must supply -c or -o with --force option",
        ),
        (
            "--list-backups",
            "--list-backups -x d --prefix p -u /b -o",
            EX,
            "-o can not be selected with --list-backups option",
        ),
        (
            "-B",
            "-x d -B 0",
            EX,
            "WorkerPool(): numWorkers should be greater than 0.",
        ),
        (
            "--cut-timeout",
            "-x d --cut-timeout -1",
            EX,
            "--cut-timeout must be 0 or more seconds",
        ),
        (
            "limits",
            "-x d --silence-timeout 2",
            EX,
            "--silence-timeout must be 3 or more seconds",
        ),
        (
            "--through-master",
            "-x d --jobs 3",
            EX,
            "--jobs can only be selected with --through-master option",
        ),
        (
            "--through-master",
            "-x d --through-master",
            EX,
            "Must supply -u <directory> or --storage <URL> with --through-master option: the files go into that directory of \
             this machine, or into that bucket",
        ),
        (
            "--exclude-database",
            "-x d --exclude-database e",
            EX,
            "--exclude-database can only be selected with --all-databases option",
        ),
        (
            "--storage",
            "-x d --storage s3://shop -u /b",
            EX,
            "-u can not be selected with --storage option",
        ),
        (
            "--storage",
            "-x d --storage-path-style",
            EX,
            "--storage-path-style can only be selected with --storage option",
        ),
        (
            "--storage",
            "-x d -K 20240102030405 --storage s3://shop --list-backup-files",
            EX,
            "--list-backup-files can not be selected with --storage option: there are no named pipes in a bucket, and every file of a set lies in it",
        ),
        (
            "--storage",
            "-x d --storage s3://shop --external cos://b/p",
            EX,
            "--external can not be selected with --storage option: its rows go into a storage by themselves, and its other files where -u says",
        ),
        (
            "--storage",
            "-x d --storage s3://shop -f 5",
            EX,
            "-f can not be selected with --storage option: a bucket has no end",
        ),
        (
            "--storage",
            "-x d --storage s3://shop --prefix a:b",
            EX,
            "--prefix \"a:b\" can not be selected with --storage option: names in a bucket have letters, digits and - _ .",
        ),
    ];
    for (number, line, class, text) in cases {
        let words: Vec<&str> = line.split(' ').collect();
        let (_, refused) = outcome(&words, None);
        assert_eq!(refused, Some((*class, (*text).to_owned())), "check {number}: {line}");
    }
    let with_long_name = [
        "-x",
        "d",
        "--netbackup-service-host",
        "h",
        "--netbackup-schedule",
        "s",
        "--netbackup-policy",
        &long,
    ];
    assert_eq!(
        outcome(&with_long_name, None).1,
        Some((
            EX,
            format!("Netbackup Policy Name ({long}) exceeds the maximum length of 127 characters")
        ))
    );
    // The list of cases is complete: each check that refuses has one.
    let speaks_only = ["1", "4.3 -y", "4.3 -w", "23", "Data Domain"];
    for check in CHECKS.iter().filter(|check| !speaks_only.contains(&check.number)) {
        assert!(
            cases.iter().any(|(number, ..)| *number == check.number),
            "check {} has no case",
            check.number
        );
    }
}

#[test]
fn the_order_of_the_checks_is_that_of_the_original() {
    let numbers: Vec<u32> = CHECKS.iter().filter_map(|check| check.number.parse().ok()).collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
    let missing: Vec<u32> = (1..=57).filter(|n| !numbers.contains(n)).collect();
    assert_eq!(missing, [2, 3, 11]);
}

#[test]
fn notes_are_logged_up_to_the_refusal() {
    let info = |text: &str| (LogLevel::Info, text.to_owned());
    let warning = |text: &str| (LogLevel::Warning, text.to_owned());
    assert_eq!(
        outcome(&["-y", "f", "-w", "2,3", "-i", "-p", "w1", "it's"], Some("sales")),
        (
            vec![
                warning("please note that some of the arguments (['w1', \"it's\"]) aren't valid and will be ignored."),
                warning("-y is a deprecacted option.  Report files are always generated with the backup set."),
                info("-w is no longer supported, will continue with dump of primary segments."),
                info("Setting dump database to value of $PGDATABASE which is sales"),
            ],
            None
        )
    );
    assert_eq!(
        outcome(&["-x", "d", "-b"], Some("other")).0,
        [info("Bypassing disk space check as '-b' option is specified")]
    );
    let (notes, refused) = outcome(&["-x", "d", "--incremental", "-c"], None);
    assert_eq!(notes, [info("Bypassing disk space checks for incremental backup")]);
    assert_eq!(
        refused.unwrap().1,
        "-c option can not be selected with incremental backup"
    );
}

#[test]
fn list_files_and_mail_files_are_looked_into() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (schemas, text, empty) = (file("s", "a\npg_toast\n"), file("mail.txt", "x"), file("mail.yaml", ""));
    for (option, path, expected) in [
        (
            "--schema-file",
            &schemas,
            format!("can not include catalog schema 'pg_toast' in schema file '{schemas}'"),
        ),
        (
            "--exclude-schema-file",
            &schemas,
            format!("can not exclude catalog schema 'pg_toast' in schema file '{schemas}'"),
        ),
        (
            "--email-file",
            &text,
            format!("'{text}' is not '.yaml' file. File containing email details should be '.yaml' file."),
        ),
        ("--email-file", &empty, format!("'{empty}' file is empty.")),
    ] {
        assert_eq!(outcome(&["-x", "d", option, path], None).1, Some((EX, expected)));
    }
}

#[test]
fn what_is_not_there_is_refused_with_a_way_out() {
    let refused = outcome(&["-x", "d", "--ddboost"], None).1.unwrap();
    assert!(
        refused.1.starts_with("option --ddboost is not supported, because"),
        "{}",
        refused.1
    );
    assert!(refused.1.contains("-u DIRECTORY"));
    let netbackup = [
        "-x",
        "d",
        "--netbackup-service-host",
        "h",
        "--netbackup-policy",
        "p",
        "--netbackup-schedule",
        "s",
    ];
    assert!(outcome(&netbackup, None).1.unwrap().1.contains("named pipes"));

    refuse_not_built(NOT_BUILT, &parsed(&["-x", "d", "-a", "-z", "--prefix", ""])).unwrap();
    let names: Vec<&str> = GROUPS
        .iter()
        .flat_map(|group| group.options)
        .map(|option| option.id())
        .collect();
    for (option, _) in NOT_BUILT {
        assert!(names.contains(option), "{option} is in the list but is no option");
    }
}
