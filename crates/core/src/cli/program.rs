//! The beginning and the end of a run, the same for both programs: from the words of the command line to options, surroundings
//! and a log; from an error to lines and a status.

use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::Local;
use serde::Serialize;
use tokio::runtime::Runtime;
use tracing::info;

use super::environment::{login, read_environment};
use super::help::{self, Page};
use super::json::{JsonTeller, Troubles};
use super::optparse::{OptionGroup, Parsed, UsageError, parse};
use super::progress::{self, Display};
use super::screen::{JSON, Screen};
use super::{failure, signals};
use crate::format::run_report::{Action, NoBody};
use crate::gplog::{self, Log, LogLevel, LogSetup, ScreenWriter, Writer};
use crate::words::environment::{Environment, Verbosity};
use crate::words::exit::Exit;
use crate::words::limits::{LEAST_SILENCE_SECONDS, Limits};
use crate::words::progress::ProgressBoard;
use crate::worker::protocol::WORKER_ARGUMENT;

/// What a program is.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    pub name: &'static str,
    pub version: &'static str,
    pub groups: &'static [OptionGroup],
    pub page: &'static Page,
    /// Options that are refused for now, and what to do without them.
    pub not_built: &'static [(&'static str, &'static str)],
}

/// A command line that was read: somebody asks for something that is more than help.
#[derive(Debug)]
pub struct Start {
    pub options: Parsed,
    pub environment: Environment,
    pub screen: Screen,
    pub json: JsonTeller,
}

/// A run that has begun: its options are read, its log is open.
#[derive(Debug)]
pub struct Begun {
    pub options: Parsed,
    pub environment: Environment,
    pub screen: Screen,
    pub log: Log,
    pub json: JsonTeller,
    /// Where the run notes how far it is.
    pub board: Arc<ProgressBoard>,
    /// Draws it, where somebody looks.
    pub display: Option<Display>,
}

/// The program was started as a worker on a host of the cluster, not by a person.
pub fn is_worker(argv: &[OsString]) -> bool {
    argv.first().map(OsString::as_os_str) == Some(OsStr::new(WORKER_ARGUMENT))
}

/// Serves the master until it has no more to ask.
pub async fn serve_as_worker() -> Exit {
    match read_environment() {
        Ok(environment) => crate::worker::serve::run(login(&environment), environment.host_full).await,
        Err(refusal) => {
            // Standard output belongs to the protocol; what is said here is shown by the master.
            let _ = writeln!(io::stderr(), "{refusal}");
            Exit::Failed
        }
    }
}

/// Reads the command line (without the program's name) and the environment. An error is the status of a run that is over
/// already: help, version, a wrong option.
pub fn start(program: &Program, argv: &[OsString]) -> Result<Start, Exit> {
    let options = match utf8(argv).and_then(|argv| parse(program.groups, &argv)) {
        Ok(options) => options,
        Err(error) => {
            let _ = write!(io::stderr(), "{}", error.screen_text(program.name));
            let words: Vec<String> = argv.iter().map(|word| word.to_string_lossy().into_owned()).collect();
            // What cannot be parsed may still be seen to ask for JSON.
            let wanted = words.iter().take_while(|word| *word != "--").any(|word| word == JSON);
            let troubles = Troubles {
                errors: vec![error.0],
                hint: None,
            };
            JsonTeller::new(program, wanted, words.join(" ")).tell(
                Exit::Failed,
                None,
                troubles,
                Action::None,
                NoBody {},
            );
            return Err(Exit::Failed);
        }
    };
    let text = match options.order().last() {
        Some("--help") => Some(help_text(program)),
        Some("--version") => Some(format!("{} version {}\n", program.name, program.version)),
        _ => None,
    };
    if let Some(text) = text {
        // Whoever reads only the first lines of it may close the pipe.
        let _ = write!(io::stdout(), "{text}");
        return Err(Exit::Ok);
    }
    let screen = Screen::of(&options);
    let mut json = JsonTeller::new(program, screen == Screen::Stderr, options.argv().join(" "));
    let environment = read_environment().map_err(|refusal| fail_early(program, screen, &json, &refusal))?;
    json.host = Some(environment.host_full.clone());
    Ok(Start {
        options,
        environment,
        screen,
        json,
    })
}

impl Start {
    /// Opens the log and writes the first line. An error is a status: there is no log.
    pub fn begin(self, program: &Program) -> Result<Begun, Exit> {
        let board = Arc::<ProgressBoard>::default();
        let term = std::env::var("TERM").ok();
        let display = progress::is_wanted(verbosity(&self.options).quiet, term.as_deref())
            .then(|| Display::start(Arc::clone(&board)));
        let writer = match &display {
            Some(display) => display.writer(self.screen),
            None => self.screen.writer(),
        };
        let log = open_log(program, &self.options, &self.environment, writer)
            .map_err(|error| fail_early(program, self.screen, &self.json, &error))?;
        signals::die_on_panic(program.name);
        info!("Starting {} with args: {}", program.name, self.options.argv().join(" "));
        let Start {
            options,
            environment,
            screen,
            json,
        } = self;
        Ok(Begun {
            options,
            environment,
            screen,
            log,
            json,
            board,
            display,
        })
    }
}

/// The whole help text.
pub fn help_text(program: &Program) -> String {
    let not_built: Vec<&str> = program.not_built.iter().map(|(option, _)| *option).collect();
    help::render(program.page, program.groups, &not_built)
}

/// Tells how it ended, as lines when it ended badly and as JSON when that is wanted, and gives the status.
pub fn end<Body: Serialize>(
    program: &Program,
    begun: &Begun,
    result: Result<Exit, &(dyn Error + 'static)>,
    action: Action,
    body: Body,
) -> Exit {
    let mut troubles = Troubles::default();
    let exit = result.unwrap_or_else(|error| {
        for (level, line) in failure::lines(program.name, error, None) {
            level.log(&line);
        }
        troubles.hint = failure::hint(error);
        Exit::Failed
    });
    match begun.log.lost_lines() {
        0 => {}
        lost => {
            let file = begun.log.file().display();
            let _ = writeln!(
                io::stderr(),
                "{}: {lost} lines could not be written to the screen or to the log file \"{file}\"",
                program.name
            );
        }
    }
    begun.json.tell(exit, Some(&begun.log), troubles, action, body);
    exit
}

/// A name that is not UTF-8 would silently become another name.
fn utf8(argv: &[OsString]) -> Result<Vec<String>, UsageError> {
    argv.iter()
        .map(|word| {
            word.to_str()
                .map(str::to_owned)
                .ok_or_else(|| UsageError(format!("argument \"{}\" is not valid UTF-8", word.to_string_lossy())))
        })
        .collect()
}

fn open_log(
    program: &Program,
    options: &Parsed,
    environment: &Environment,
    screen: ScreenWriter,
) -> Result<Log, gplog::LogError> {
    let setup = LogSetup {
        writer: Writer {
            program: program.name.to_owned(),
            host: environment.host.clone(),
            user: environment.user.clone(),
            pid: environment.pid,
        },
        verbosity: verbosity(options),
        log_dir: log_directory(options, environment),
        other_targets: environment.log_targets.clone(),
        started: Local::now(),
    };
    gplog::init(setup, screen)
}

/// Where log files go, and all else that has no better place on this machine.
pub fn log_directory(options: &Parsed, environment: &Environment) -> PathBuf {
    match options.text("-l") {
        Some(directory) => PathBuf::from(directory),
        None => environment.home.join("gpAdminLogs"),
    }
}

/// What `-q` and `-v` ask for.
pub fn verbosity(options: &Parsed) -> Verbosity {
    Verbosity {
        quiet: options.has("-q"),
        verbose: options.has("-v"),
    }
}

/// Without a log the screen is all there is.
pub fn fail_early(program: &Program, screen: Screen, json: &JsonTeller, error: &(dyn Error + 'static)) -> Exit {
    let mut troubles = Troubles {
        errors: Vec::new(),
        hint: failure::hint(error),
    };
    for (level, line) in failure::lines(program.name, error, None) {
        let whole = gplog::early_line(program.name, std::process::id(), Local::now(), level, &line);
        let _ = writeln!(screen.writer(), "{whole}");
        if level >= LogLevel::Error {
            troubles.errors.push(line);
        }
    }
    json.tell(Exit::Failed, None, troubles, Action::None, NoBody {});
    Exit::Failed
}

/// Logs what the option checks noticed.
pub fn log_notes(notes: &[(LogLevel, String)]) {
    for (level, text) in notes {
        level.log(text);
    }
}

/// The directory of `-d`, else of `MASTER_DATA_DIRECTORY`; absolute, because other processes work elsewhere.
pub fn master_data_directory(options: &Parsed, environment: &Environment) -> Option<PathBuf> {
    let directory = match options.text("-d") {
        Some(directory) => Path::new(directory),
        None => environment.master_data_directory.as_deref()?,
    };
    Some(std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned()))
}

/// How long a file that is being written when a run is stopped may take to get its name or to go.
pub const LAST_WRITES: Duration = Duration::from_secs(1);

/// Runs the work of a program. Tasks that still block when it is over (a read from the terminal, or from the pipe of a
/// worker) keep the program no longer than `patience`.
pub fn in_runtime<T>(patience: Duration, work: impl Future<Output = T>) -> io::Result<T> {
    let runtime = Runtime::new()?;
    let result = runtime.block_on(work);
    runtime.shutdown_timeout(patience);
    Ok(result)
}

/// The longest waits, from the options that both programs have. What is not said or was refused stays as it is usually.
pub fn limits(options: &Parsed) -> Limits {
    let seconds = |option: &str, usual: Duration| {
        let said = options.int(option).and_then(|n| u64::try_from(n).ok());
        said.map_or(usual, Duration::from_secs)
    };
    let usual = Limits::default();
    Limits {
        connect: seconds("--connect-timeout", usual.connect),
        silence: seconds("--silence-timeout", usual.silence),
        lock: seconds("--lock-timeout", usual.lock),
    }
}

/// What is wrong with one of them.
pub fn bad_limit(options: &Parsed) -> Option<String> {
    [
        ("--connect-timeout", 1),
        ("--silence-timeout", LEAST_SILENCE_SECONDS),
        ("--lock-timeout", 1),
    ]
    .into_iter()
    .find(|(option, least)| {
        options
            .int(option)
            .is_some_and(|n| u64::try_from(n).is_ok_and(|n| n < *least) || n < 0)
    })
    .map(|(option, least)| format!("{option} must be {least} or more seconds"))
}
