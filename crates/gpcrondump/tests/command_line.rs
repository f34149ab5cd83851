//! The program as a shell sees it, up to the point where it would connect to a server.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// Runs the program with a home of its own and nothing else in the environment.
fn run(home: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gpcrondump"))
        .args(arguments)
        .env_clear()
        .env("HOME", home)
        .envs(variables.iter().copied())
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
    let help = run(home.path(), &["--help"], &[]);
    assert_eq!((help.status.code(), text(&help.stderr)), (Some(0), String::new()));
    let help = text(&help.stdout);
    assert_eq!(text(&run(home.path(), &["-a", "-?", "--nosuch"], &[]).stdout), help);
    assert!(
        help.lines()
            .all(|line| line.chars().count() <= 100 && line.trim_end() == line)
    );
    assert_golden("help.txt", &help);
    assert!(!home.path().join("gpAdminLogs").exists());
}

#[test]
fn version_and_usage_errors_are_as_ever() {
    let home = tempfile::tempdir().unwrap();
    let version = run(home.path(), &["--version"], &[]);
    assert_eq!(
        text(&version.stdout),
        format!("gpcrondump version {}\n", env!("CARGO_PKG_VERSION"))
    );
    let wrong = run(home.path(), &["--nosuch"], &[]);
    assert_eq!(wrong.status.code(), Some(2));
    assert_eq!(
        text(&wrong.stderr),
        "Usage: gpcrondump [--help] [options] \n\ngpcrondump: error: no such option: --nosuch\n"
    );
    assert_eq!(text(&wrong.stdout), "");
}

#[test]
fn a_refusal_is_told_on_the_screen_and_in_the_log() {
    let home = tempfile::tempdir().unwrap();
    let refused = run(
        home.path(),
        &["-a", "-x", "demo", "-x", "postgres", "-t", "public.heap_a"],
        &[],
    );
    assert_eq!(refused.status.code(), Some(2));
    assert_eq!(
        messages(&refused.stdout),
        [
            "[INFO]:-Starting gpcrondump with args: -a -x demo -x postgres -t public.heap_a",
            "[ERROR]:-gpcrondump error: Cannot supply a table dump list if multiple database dumps are requested",
        ]
    );
    let logs: Vec<_> = fs::read_dir(home.path().join("gpAdminLogs")).unwrap().collect();
    assert_eq!(logs.len(), 1);
    let log = fs::read(logs[0].as_ref().unwrap().path()).unwrap();
    assert_eq!(log, refused.stdout);
    assert_eq!(text(&refused.stderr), "");

    let quiet = run(home.path(), &["-aqx", "demo", "-u", "rel"], &[]);
    assert_eq!(
        messages(&quiet.stdout),
        [
            "[CRITICAL]:-gpcrondump failed. (Reason='\"rel\" is not an absolute path. Please specify the absolute path \
             where the backup files will be placed on each host.') exiting..."
        ]
    );
}

#[test]
fn what_needs_a_vendors_library_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let netbackup = "--netbackup-service-host h --netbackup-policy p --netbackup-schedule s";
    for (line, text) in [
        (
            "-x demo --ddboost",
            "option --ddboost is not supported, because Data Domain Boost",
        ),
        (
            "-x demo --ddboost --ddboost-storage-unit u",
            "option --ddboost is not supported",
        ),
        (
            "-x demo --ddboost --replicate --max-streams 2",
            "option --ddboost is not supported",
        ),
        (
            "--ddboost-host h --ddboost-user u --ddboost-backupdir d --ddboost-skip-ping",
            "option --ddboost-host is not supported",
        ),
        (
            "--ddboost-config-remove",
            "option --ddboost-config-remove is not supported",
        ),
        (
            "--ddboost-show-config --ddboost-remote",
            "option --ddboost-show-config is not supported",
        ),
        ("--ddboost-verify", "option --ddboost-verify is not supported"),
        (
            "-x demo --replicate",
            "--replicate and --max-streams cannot be used without --ddboost",
        ),
        (
            &format!("-x demo {netbackup}"),
            "option --netbackup-service-host is not supported, because NetBackup",
        ),
        (
            &format!("-x demo --netbackup-keyword k --netbackup-block-size 512 {netbackup}"),
            "option --netbackup-keyword is not supported",
        ),
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let refused = run(home.path(), &words, &[]);
        assert_eq!(refused.status.code(), Some(2), "{line}");
        let said = messages(&refused.stdout);
        let last = said.iter().rfind(|line| line.contains("[ERROR]:-")).unwrap();
        assert!(
            last.starts_with(&format!("[ERROR]:-gpcrondump error: {text}")),
            "{line}: {last}"
        );
    }
}

#[test]
fn without_a_log_directory_or_a_data_directory_there_is_a_clear_word() {
    let home = tempfile::tempdir().unwrap();
    let no_log = run(home.path(), &["-x", "demo", "-l", "/nonexistent/a"], &[]);
    assert_eq!(no_log.status.code(), Some(2));
    let lines = text(&no_log.stdout);
    assert!(
        lines.contains(
            " gpcrondump:default-[CRITICAL]:-gpcrondump failed. (Reason='could not create the log directory \
             \"/nonexistent/a\"') exiting...\n"
        ),
        "{lines}"
    );
    assert!(
        lines.ends_with("[ERROR]:-caused by: No such file or directory (os error 2)\n"),
        "{lines}"
    );

    let no_data = run(home.path(), &["-x", "demo"], &[]);
    assert_eq!(no_data.status.code(), Some(2));
    assert_eq!(
        messages(&no_data.stdout)[1..],
        [
            "[CRITICAL]:-gpcrondump failed. (Reason='Environment Variable MASTER_DATA_DIRECTORY not set!') exiting...",
            "[INFO]:-HINT: set it (or COORDINATOR_DATA_DIRECTORY), or name the data directory of the master with -d DIRECTORY.",
        ]
    );

    // A port alone does not make a server of a directory: the set would lie where nobody looks for it.
    let wrong = home.path().to_str().unwrap();
    let no_server = run(home.path(), &["-x", "demo", "-d", wrong], &[("PGPORT", "1")]);
    assert_eq!(no_server.status.code(), Some(2));
    let expected = format!("(Reason='[Errno 2] No such file or directory: '{wrong}/postgresql.conf'') exiting...");
    assert!(
        text(&no_server.stdout).contains(&expected),
        "{}",
        text(&no_server.stdout)
    );
}

#[test]
fn what_the_surroundings_lack_is_named() {
    for (variables, expected) in [
        (
            &[][..],
            "(Reason='the environment variable HOME is not set') exiting...",
        ),
        (
            &[("HOME", "/tmp"), ("PGPORT", "many")][..],
            "(Reason='PGPORT=\"many\" is not a port number') exiting...",
        ),
        (
            &[("HOME", "/tmp"), ("MASTER_DATA_DIRECTORY", "/nonexistent/master")][..],
            "(Reason='directory /nonexistent/master is not there') exiting...",
        ),
        // As Greenplum 7 and Cloudberry call it; the old name goes first.
        (
            &[("HOME", "/tmp"), ("COORDINATOR_DATA_DIRECTORY", "/nonexistent/new")][..],
            "(Reason='directory /nonexistent/new is not there') exiting...",
        ),
        (
            &[
                ("HOME", "/tmp"),
                ("COORDINATOR_DATA_DIRECTORY", "/nonexistent/new"),
                ("MASTER_DATA_DIRECTORY", "/nonexistent/old"),
            ][..],
            "(Reason='directory /nonexistent/old is not there') exiting...",
        ),
    ] {
        let end = Command::new(env!("CARGO_BIN_EXE_gpcrondump"))
            .args(["-a", "-x", "demo"])
            .env_clear()
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        let said = text(&end.stdout) + &text(&end.stderr);
        assert!(end.status.code() == Some(2) && said.contains(expected), "{said}");
    }
}

#[test]
fn a_second_run_ends_with_status_2_and_names_the_first() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().to_str().unwrap();
    let lock = gpdump_core::cli::pid_lock::PidLock::acquire(home.path(), "gpcrondump").unwrap();
    let second = run(home.path(), &["-a", "-x", "demo"], &[("MASTER_DATA_DIRECTORY", data)]);
    assert_eq!(second.status.code(), Some(2));
    assert_eq!(
        messages(&second.stdout)[1],
        format!(
            "[ERROR]:-An instance of gpcrondump is already running (pid {})",
            std::process::id()
        )
    );
    drop(lock);
}

#[test]
fn an_argument_that_is_no_text_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let bad = std::ffi::OsStr::from_bytes(b"-x\xff");
    let refused = Command::new(env!("CARGO_BIN_EXE_gpcrondump"))
        .arg(bad)
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("is not valid UTF-8"));
}

#[test]
fn a_closed_screen_does_not_end_the_run_in_a_panic() {
    let home = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_gpcrondump");
    let line = format!(
        "'{program}' -x demo -u rel 2>'{}' | true; exit ${{PIPESTATUS[0]}}",
        home.path().join("err").display()
    );
    let status = Command::new("/bin/bash")
        .args(["-c", &line])
        .env("HOME", home.path())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(2));
    let said = fs::read_to_string(home.path().join("err")).unwrap();
    assert!(!said.contains("panic"), "{said}");
}

#[test]
fn bash_completes_names_of_options_and_databases_and_runs_none_of_them() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../completions/bash/gpcrondump");
    let line = r#"source "$1"
psql() { printf 'sales\n$(touch evil)\n'; }
ask() { COMP_WORDS=("$@"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _gpcrondump; printf '%s\n' "${COMPREPLY[@]}"; }
ask gpcrondump --list-b
ask gpcrondump -a -x ''"#;
    let directory = tempfile::tempdir().unwrap();
    let asked = Command::new("/bin/bash")
        .args(["-c", line, "bash"])
        .arg(script)
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert_eq!(text(&asked.stderr), "");
    let said = text(&asked.stdout);
    assert!(said.starts_with("--list-b"), "{said}");
    assert!(
        said.ends_with("--list-backups\nsales\n\\$\\(touch\\ evil\\)\n"),
        "{said}"
    );
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}
