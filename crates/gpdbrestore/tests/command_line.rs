//! The program as a shell sees it, up to the point where it would connect to a server.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// Runs the program with a home of its own and nothing else in the environment.
fn run(home: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gpdbrestore"))
        .args(arguments)
        .env_clear()
        .env("HOME", home)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The lines without their heads: `[INFO]:-...`.
fn messages(output: &[u8]) -> Vec<String> {
    text(output)
        .lines()
        .map(|line| line.find("-[").map_or(line, |at| &line[at + 1..]).to_owned())
        .collect()
}

/// Compares with a file that scripts/bless.sh writes.
fn assert_golden(file: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(file);
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        actual, expected,
        "{file} differs; run scripts/bless.sh, look at the difference and commit it"
    );
}

#[test]
fn help_is_printed_whatever_the_environment_and_fits_the_screen() {
    let home = tempfile::tempdir().unwrap();
    let help = run(home.path(), &["--help"]);
    assert_eq!((help.status.code(), text(&help.stderr)), (Some(0), String::new()));
    let help = text(&help.stdout);
    for other in ["-h", "-?"] {
        assert_eq!(text(&run(home.path(), &[other]).stdout), help);
    }
    assert!(
        help.lines()
            .all(|line| line.chars().count() <= 100 && line.trim_end() == line)
    );
    assert_golden("help.txt", &help);
}

#[test]
fn version_and_usage_errors_are_as_ever() {
    let home = tempfile::tempdir().unwrap();
    let version = run(home.path(), &["--version"]);
    assert_eq!(
        text(&version.stdout),
        format!("gpdbrestore version {}\n", env!("CARGO_PKG_VERSION"))
    );
    let wrong = run(home.path(), &["-t"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert_eq!(
        text(&wrong.stderr),
        "Usage: gpdbrestore [--help] [options] \n\ngpdbrestore: error: -t option requires an argument\n"
    );
}

#[test]
fn each_kind_of_refusal_has_the_frame_of_the_original() {
    let home = tempfile::tempdir().unwrap();
    for (arguments, expected) in [
        (
            vec!["-a"],
            "[ERROR]:-gpdbrestore: error: Must supply one of -t, -b, -R, or -s.",
        ),
        (
            vec!["-a", "-t", "2020"],
            "[CRITICAL]:-gpdbrestore failed. (Reason='Invalid timestamp specified, please specify in the following \
             format: YYYYMMDDHHMMSS.') exiting...",
        ),
        (
            vec!["-a", "--ddboost", "-R", "sdw1:/backup/db_dumps/20240102"],
            "[ERROR]:-gpdbrestore error: -R cannot be used with DDBoost parameters.",
        ),
        (
            vec!["-a", "-t", "20240102030405", "--ddboost-storage-unit", "unit"],
            "[CRITICAL]:-gpdbrestore failed. (Reason='Cannot use ddboost storage unit option without specifying \
             --ddboost option.') exiting...",
        ),
        (
            vec!["-a", "-s", "demo", "--netbackup-service-host", "h"],
            "[CRITICAL]:-gpdbrestore failed. (Reason='-s is not supported with NetBackup.') exiting...",
        ),
        (
            vec!["-a", "-t", "20240102030405", "--netbackup-block-size", "1024"],
            "[CRITICAL]:-gpdbrestore failed. (Reason='The --netbackup-service-host option must be supplied to use \
             NetBackup.') exiting...",
        ),
    ] {
        let refused = run(home.path(), &arguments);
        assert_eq!(refused.status.code(), Some(2));
        assert_eq!(
            messages(&refused.stdout)[..2],
            [
                format!("[INFO]:-Starting gpdbrestore with args: {}", arguments.join(" ")),
                expected.to_owned()
            ]
        );
    }
}
