use std::path::PathBuf;

use gpdump_core::cli::checks::run;
use gpdump_core::cli::optparse::{Parsed, parse};
use gpdump_core::words::environment::{Environment, PgEnvironment};
use gpdump_core::words::refusal::RefusalClass;

use super::*;
use crate::options::GROUPS;

const A: RefusalClass = RefusalClass::Argument;
const N: RefusalClass = RefusalClass::Known;
const F: RefusalClass = RefusalClass::Failed;

pub fn environment() -> Environment {
    Environment {
        home: PathBuf::from("/home/gpadmin"),
        user: "gpadmin".into(),
        host: "mdw".into(),
        host_full: "mdw.example".into(),
        gphome: None,
        master_data_directory: Some(PathBuf::from("/data/master/gpseg-1")),
        pg: PgEnvironment::default(),
        ssh: PathBuf::from("ssh"),
        log_targets: None,
        path: Vec::new(),
        program_path: PathBuf::from("/usr/local/bin/gpdbrestore"),
        pid: 1,
    }
}

fn parsed(words: &[&str]) -> Parsed {
    let argv: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
    parse(GROUPS, &argv).unwrap()
}

fn refused(words: &[&str]) -> Option<(RefusalClass, String)> {
    let options = parsed(words);
    let asked = Asked {
        options: &options,
        environment: &environment(),
    };
    run(CHECKS, &asked).1.err().map(|refusal| (refusal.class, refusal.text))
}

#[test]
fn every_check_speaks_the_words_of_the_original() {
    let cases: &[(&str, &str, RefusalClass, &str)] = &[
        (
            "-d",
            "-t 1 -d /no/such/directory",
            F,
            "the data directory \"/no/such/directory\" cannot be read: No such file or directory (os error 2)",
        ),
        ("1", "-a", A, "Must supply one of -t, -b, -R, or -s."),
        ("2", "-t 1 -s d", A, "Only supply one of -t, -b, -R, or -s."),
        ("3", "-s d -L", A, "Need to supply -t <timestamp> for -L option"),
        (
            "4",
            "-s d --list-backup",
            A,
            "Need to supply -t <timestamp> for --list-backup option",
        ),
        (
            "5",
            "-t 1 --list-backup -e",
            A,
            "Cannot specify --list-backup and -e together",
        ),
        (
            "limits",
            "-t 1 --lock-timeout 0",
            A,
            "--lock-timeout must be 1 or more seconds",
        ),
        ("6", "-t 1 -B 0", A, "-B <parallel processes> must be greater than 0"),
        (
            "7",
            "-t 1 --truncate",
            F,
            "--truncate can be specified only with -S, -T, or --table-file option",
        ),
        (
            "8",
            "-t 1 --truncate -S s -e",
            F,
            "Cannot specify --truncate and -e together",
        ),
        (
            "9",
            "-t 1 --restore-stats only -e",
            F,
            "Cannot specify --restore-stats only and -e together",
        ),
        (
            "10",
            "-t 1 --table-file f -T a.b",
            F,
            "Cannot specify -T and --table-file together",
        ),
        (
            "11",
            "-t 1 --list-backup -T a.b",
            F,
            "Cannot specify -T and --list-backup together",
        ),
        ("12", "-t 1 -m --noplan", F, "Cannot specify --noplan and -m together."),
        (
            "13",
            "-t 1 -m --noanalyze",
            F,
            "Cannot specify --noanalyze and -m together.",
        ),
        (
            "15",
            "-t 1 --change-schema s",
            F,
            "-T or --table-file option must be specified with the --change-schema option",
        ),
        (
            "16",
            "-t 1 --change-schema s -T a.b -S c",
            F,
            "-S option cannot be used with --change-schema option",
        ),
        (
            "17",
            "-t 1 --table-file /nonexistent",
            F,
            "Table file does not exist \"/nonexistent\"",
        ),
        (
            "18",
            "-R h:/p --netbackup-service-host h",
            F,
            "-R is not supported for restore with NetBackup.",
        ),
        (
            "19",
            "-s d --netbackup-service-host h",
            F,
            "-s is not supported with NetBackup.",
        ),
        (
            "20",
            "-b 20240102 --netbackup-service-host h",
            F,
            "-b is not supported with NetBackup.",
        ),
        (
            "21",
            "-t 1 -L --netbackup-service-host h",
            F,
            "-L is not supported with NetBackup.",
        ),
        (
            "22",
            "-t 1 --netbackup-block-size 512",
            F,
            "The --netbackup-service-host option must be supplied to use NetBackup.",
        ),
        (
            "24",
            "-t 1 --redirect a.b",
            F,
            "Name has an invalid character \"\\t\" \"\\n\" \"!\" \",\" \".\": \"a.b\"",
        ),
        (
            "25",
            "-s a!b",
            F,
            "Name has an invalid character \"\\t\" \"\\n\" \"!\" \",\" \".\": \"a!b\"",
        ),
        (
            "26",
            "-t 1 --report-status-dir /nonexistent",
            F,
            "No write access permission on /nonexistent",
        ),
        (
            "27",
            "-t 1 --ddboost-storage-unit u",
            F,
            "Cannot use ddboost storage unit option without specifying --ddboost option.",
        ),
        (
            "28",
            "-t 1 --ddboost --netbackup-service-host h",
            F,
            "--ddboost option is not supported with NetBackup",
        ),
        (
            "29",
            "-R h:/p --ddboost",
            N,
            "-R cannot be used with DDBoost parameters.",
        ),
        (
            "30",
            "-t 1 -u /b --ddboost",
            N,
            "-u cannot be used with DDBoost parameters.",
        ),
        (
            "-u",
            "-t 1 -u b",
            F,
            "\"b\" is not an absolute path. Please specify the absolute path where the backup files are on each host.",
        ),
        (
            "--verify",
            "-t 1 --verify -e",
            F,
            "Cannot specify --verify and -e together",
        ),
        (
            "--through-master",
            "-t 1 --through-master",
            F,
            "Must supply -u <directory> or --storage <URL> with --through-master: the set lies in that directory of this \
             machine, or in that bucket",
        ),
        (
            "--resume",
            "-t 1 --resume --noplan",
            F,
            "Cannot specify --resume and --noplan together",
        ),
        (
            "--resume",
            "-t 1 --resume -G only",
            F,
            "Cannot specify --resume and -G only together",
        ),
        ("--jobs", "-t 1 --jobs 0", A, "--jobs must be greater than 0"),
        (
            "--storage",
            "-t 1 --storage s3://shop -u /b",
            F,
            "-u can not be selected with --storage option",
        ),
        (
            "--storage",
            "-t 1 --storage s3://shop --external cos",
            F,
            "--external can not be selected with --storage option: the files of a set whose rows external tables wrote lie \
             where -u says",
        ),
        (
            "--storage",
            "-t 1 --storage-path-style",
            F,
            "--storage-path-style can only be selected with --storage option",
        ),
        (
            "--storage",
            "-R h:/b/db_dumps/20240102 --storage s3://shop",
            F,
            "-R can not be selected with --storage option: the files of a bucket need not be brought from another host",
        ),
    ];
    for (number, line, class, text) in cases {
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!(
            refused(&words),
            Some((*class, (*text).to_owned())),
            "check {number}: {line}"
        );
    }
    let long = "h".repeat(128);
    assert_eq!(
        refused(&["-t", "1", "--netbackup-service-host", &long]),
        Some((
            F,
            format!("Netbackup Service Hostname ({long}) exceeds the maximum length of 127 characters")
        ))
    );
    for check in CHECKS
        .iter()
        .filter(|check| !["23", "Data Domain"].contains(&check.number))
    {
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
    let missing: Vec<u32> = (1..=30).filter(|n| !numbers.contains(n)).collect();
    assert_eq!(missing, [14]);
}

#[test]
fn empty_values_count_as_not_given() {
    assert_eq!(refused(&["-t", ""]).unwrap().1, "Must supply one of -t, -b, -R, or -s.");
    assert_eq!(refused(&["-t", "1", "--change-schema", "", "-u", "", "-K"]), None);
}

#[test]
fn a_status_directory_is_tried_without_leaving_anything() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().display().to_string();
    assert_eq!(refused(&["-t", "1", "--report-status-dir", &path]), None);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn what_is_not_there_is_refused_with_a_way_out() {
    assert!(refused(&["-t", "1", "--ddboost"]).unwrap().1.contains("-u DIRECTORY"));
    assert!(
        refused(&["-t", "1", "--netbackup-service-host", "h"])
            .unwrap()
            .1
            .contains("-u DIRECTORY")
    );
    let names: Vec<&str> = GROUPS
        .iter()
        .flat_map(|group| group.options)
        .map(|option| option.id())
        .collect();
    for (option, _) in NOT_BUILT {
        assert!(names.contains(option), "{option} is in the list but is no option");
    }
}
