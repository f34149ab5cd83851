use super::*;
use chrono::TimeZone;
use tracing::{debug, error, info, warn};

/// A screen that the test can read, or that is closed like a pipe whose reader is gone.
#[derive(Clone, Default)]
struct Screen {
    text: Arc<Mutex<Vec<u8>>>,
    closed: bool,
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.text.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn noon() -> DateTime<Local> {
    Local.with_ymd_and_hms(2016, 4, 8, 12, 0, 1).unwrap()
}

fn setup(dir: &Path, quiet: bool, verbose: bool) -> LogSetup {
    LogSetup {
        writer: Writer {
            program: "gpcrondump".into(),
            host: "mdw".into(),
            user: "gpadmin".into(),
            pid: 4711,
        },
        verbosity: Verbosity { quiet, verbose },
        log_dir: dir.to_owned(),
        other_targets: None,
        started: noon(),
    }
}

/// Runs `what` under a log and returns the texts of the screen and of the file.
fn written(setup: LogSetup, screen: Screen, what: impl FnOnce()) -> (String, String, Log) {
    let (lines, log) = Lines::open_with(setup, screen.clone(), noon).unwrap();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), what);
    let screen = String::from_utf8(screen.text.lock().unwrap().clone()).unwrap();
    let file = std::fs::read_to_string(log.file()).unwrap();
    (screen, file, log)
}

fn all_levels() {
    debug!(rows = 5, table = %"sales.orders", "counted");
    info!(rows = 5, "Starting Dump process");
    warn!("Dump process returned exit code 1");
    error!("gpcrondump error: no");
    error!(critical = true, "gpcrondump failed. (Reason='a\nb') exiting...");
    warn!(target: "tokio_postgres::query", "of a library");
}

const HEAD: &str = "20160408:12:00:01:004711 gpcrondump:mdw:gpadmin-";

#[test]
fn lines_have_the_head_and_the_level_words_of_the_original() {
    let dir = tempfile::tempdir().unwrap();
    let (screen, file, log) = written(setup(dir.path(), false, false), Screen::default(), all_levels);
    let expected = [
        "[INFO]:-Starting Dump process",
        "[WARNING]:-Dump process returned exit code 1",
        "[ERROR]:-gpcrondump error: no",
        "[CRITICAL]:-gpcrondump failed. (Reason='a\nb') exiting...",
    ]
    .map(|line| format!("{HEAD}{line}\n"))
    .concat();
    assert_eq!(screen, expected);
    assert_eq!(file, expected);
    assert_eq!(log.file(), dir.path().join("gpcrondump_20160408.log"));
    assert_eq!(log.lost_lines(), 0);
}

#[test]
fn quiet_keeps_info_off_the_screen_only_and_verbose_adds_debug_with_fields() {
    let dir = tempfile::tempdir().unwrap();
    let (screen, file, _) = written(setup(dir.path(), true, false), Screen::default(), all_levels);
    assert!(screen.starts_with(&format!("{HEAD}[WARNING]:-")), "{screen}");
    assert!(file.starts_with(&format!("{HEAD}[INFO]:-")), "{file}");

    let dir = tempfile::tempdir().unwrap();
    let (screen, file, _) = written(setup(dir.path(), false, true), Screen::default(), all_levels);
    let first = format!("{HEAD}[DEBUG]:-counted rows=5 table=sales.orders\n");
    assert!(screen.starts_with(&first) && file.starts_with(&first), "{screen}");

    let dir = tempfile::tempdir().unwrap();
    let (screen, file, _) = written(setup(dir.path(), true, true), Screen::default(), all_levels);
    assert!(screen.starts_with(&format!("{HEAD}[WARNING]:-")) && file.starts_with(&first));
}

#[test]
fn events_of_libraries_go_to_the_file_when_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let asked = LogSetup {
        other_targets: Some("tokio_postgres=debug".into()),
        ..setup(dir.path(), false, false)
    };
    let (screen, file, _) = written(asked, Screen::default(), all_levels);
    assert!(!screen.contains("of a library"));
    assert!(file.contains("[WARNING]:-of a library"));
    let nonsense = LogSetup {
        other_targets: Some("a=b=c".into()),
        ..setup(dir.path(), false, false)
    };
    assert!(matches!(
        Lines::open_with(nonsense, Screen::default(), noon),
        Err(LogError::Targets { .. })
    ));
}

#[test]
fn a_closed_screen_or_a_full_disk_loses_lines_but_not_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let closed = Screen {
        closed: true,
        ..Screen::default()
    };
    let (_, file, log) = written(setup(dir.path(), false, false), closed, all_levels);
    assert_eq!(file.lines().count(), 5);
    assert_eq!(log.lost_lines(), 4);

    let full = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/dev/full", full.path().join("gpcrondump_20160408.log")).unwrap();
    let (lines, log) = Lines::open_with(setup(full.path(), false, false), Screen::default(), noon).unwrap();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), all_levels);
    assert_eq!(log.lost_lines(), 4);
}

#[test]
fn the_log_directory_is_created_one_level_deep_and_the_file_is_appended_to() {
    let dir = tempfile::tempdir().unwrap();
    let new = dir.path().join("gpAdminLogs");
    written(setup(&new, false, false), Screen::default(), || info!("one"));
    let (_, file, _) = written(setup(&new, false, false), Screen::default(), || info!("two"));
    assert_eq!(file, format!("{HEAD}[INFO]:-one\n{HEAD}[INFO]:-two\n"));
    let deep = dir.path().join("a/b");
    let error = Lines::open_with(setup(&deep, false, false), Screen::default(), noon)
        .err()
        .unwrap();
    assert_eq!(
        error.to_string(),
        format!("could not create the log directory \"{}\"", deep.display())
    );
}

#[test]
fn warnings_and_errors_of_our_own_are_kept_for_those_who_ask_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let (.., log) = written(setup(dir.path(), true, false), Screen::default(), all_levels);
    assert_eq!(
        log.told(),
        Told {
            warnings: vec!["Dump process returned exit code 1".into()],
            errors: vec![
                "gpcrondump error: no".into(),
                "gpcrondump failed. (Reason='a\nb') exiting...".into()
            ],
        }
    );
}

#[test]
fn no_line_has_a_secret_in_it_whoever_writes_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut wanted = setup(dir.path(), false, true);
    wanted.other_targets = Some("tokio_postgres=debug".to_owned());
    let screen = Screen::default();
    let (lines, log) = Lines::open_with(wanted, screen.clone(), noon).unwrap();
    let mut secrets = Secrets::default();
    secrets.add("KEY", "s3cr3tKEYvalue").unwrap();
    log.hide(&secrets);
    tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), || {
        debug!(target: "tokio_postgres::query", "executing CREATE ... LOCATION ('x://b k=s3cr3tKEYvalue z=1')");
        info!(statement = "s3cr3tKEYvalue", "moved");
        error!("could not run CREATE EXTERNAL TABLE t LOCATION ('cos://theirs secretKey=of-somebody-else')");
    });
    let screen = String::from_utf8(screen.text.lock().unwrap().clone()).unwrap();
    let file = std::fs::read_to_string(log.file()).unwrap();
    let told = format!("{:?}", log.told());
    for text in [&screen, &file, &told] {
        assert!(!text.contains("s3cr3t") && !text.contains("of-somebody-else"), "{text}");
    }
    assert!(file.contains("k=*** z=1") && file.contains("secretKey=***"), "{file}");
}
