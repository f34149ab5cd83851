//! The log lines of both programs: what operators read and what their scripts grep.
//!
//! ```text
//! 20160408:01:22:40:031337 gpcrondump:mdw:gpadmin-[INFO]:-Starting gpcrondump with args: -a -x sales
//! ```
//!
//! The rest of the library emits plain `tracing` events: the message is the sentence, facts go into fields. This module
//! writes them to the screen and to the log file. It does not colour, rotate or buffer: the last line before a crash is the
//! one that matters.

use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Local};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::format::run_report::MESSAGES;
use crate::words::environment::Verbosity;
use crate::words::secret::{Secrets, hide_parameters};

/// Events of these crates are printed; those of libraries only when `other_targets` asks for them.
const OWN_TARGETS: [&str; 3] = ["gpdump_core", "gpcrondump", "gpdbrestore"];

/// What stands in the head of each line: who writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writer {
    pub program: String,
    /// The host name up to the first dot.
    pub host: String,
    pub user: String,
    pub pid: u32,
}

impl Writer {
    /// One whole line without its line end. A message may hold line breaks; they are written as they are.
    pub fn line(&self, now: DateTime<Local>, level: LogLevel, message: &str) -> String {
        format!(
            "{}:{:06} {}:{}:{}-[{}]:-{message}",
            now.format("%Y%m%d:%H:%M:%S"),
            self.pid,
            self.program,
            self.host,
            self.user,
            level.word()
        )
    }
}

/// A line from before the log is set up, when the names in its head are not known yet: as the original wrote it then.
pub fn early_line(program: &str, pid: u32, now: DateTime<Local>, level: LogLevel, message: &str) -> String {
    let stamp = now.format("%Y%m%d:%H:%M:%S");
    format!("{stamp}:{pid:06} {program}:default-[{}]:-{message}", level.word())
}

/// How bad a line is, in the words of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    Debug,
    Info,
    Warning,
    Error,
    Critical,
}

impl LogLevel {
    pub fn word(self) -> &'static str {
        match self {
            LogLevel::Debug => "DEBUG",
            LogLevel::Info => "INFO",
            LogLevel::Warning => "WARNING",
            LogLevel::Error => "ERROR",
            LogLevel::Critical => "CRITICAL",
        }
    }

    fn of(level: Level, critical: bool) -> Self {
        match level {
            _ if critical => LogLevel::Critical,
            Level::ERROR => LogLevel::Error,
            Level::WARN => LogLevel::Warning,
            Level::INFO => LogLevel::Info,
            Level::DEBUG | Level::TRACE => LogLevel::Debug,
        }
    }

    /// Emits one line at this level, for text whose level is known only at run time (a worker's, an error's).
    pub fn log(self, message: &str) {
        match self {
            LogLevel::Debug => tracing::debug!("{message}"),
            LogLevel::Info => tracing::info!("{message}"),
            LogLevel::Warning => tracing::warn!("{message}"),
            LogLevel::Error => tracing::error!("{message}"),
            LogLevel::Critical => tracing::error!(critical = true, "{message}"),
        }
    }
}

/// Everything the log needs to know, but for the screen.
#[derive(Debug, Clone)]
pub struct LogSetup {
    pub writer: Writer,
    pub verbosity: Verbosity,
    /// Created (one level) when missing.
    pub log_dir: PathBuf,
    /// The text of `GPDUMP_LOG` (`tokio_postgres=debug,...`): which events of libraries go to the log file too.
    pub other_targets: Option<String>,
    /// The moment the program started: names the log file.
    pub started: DateTime<Local>,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("could not create the log directory \"{}\"", path.display())]
    CreateDirectory { path: PathBuf, source: io::Error },
    #[error("could not open the log file \"{}\"", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("GPDUMP_LOG=\"{text}\" is not a list of targets and levels such as \"tokio_postgres=debug\"")]
    Targets { text: String },
    #[error("the log was set up twice in one process")]
    Twice,
}

/// Keeps the count of lines that could not be written, and the lines that say that something is wrong.
#[derive(Debug, Clone)]
pub struct Log {
    lost: Arc<AtomicU64>,
    told: Arc<Mutex<Told>>,
    secrets: Arc<Mutex<Secrets>>,
    file: PathBuf,
}

/// Warnings and errors of a run, in their order; the first [`MESSAGES`] of each kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    pub warnings: Vec<String>,
    pub errors: Vec<String>,
}

impl Told {
    fn note(&mut self, level: LogLevel, message: &str) {
        let kept = match level {
            LogLevel::Debug | LogLevel::Info => return,
            LogLevel::Warning => &mut self.warnings,
            LogLevel::Error | LogLevel::Critical => &mut self.errors,
        };
        if kept.len() < MESSAGES {
            kept.push(message.to_owned());
        }
    }
}

impl Log {
    /// Lines that reached the screen or the file only in part or not at all (closed pipe, full disk). The run goes on
    /// without them: a dump is worth more than its log.
    pub fn lost_lines(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// What was wrong so far.
    pub fn told(&self) -> Told {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on no line has any of these in it, not even one of a library that somebody wanted to see.
    pub fn hide(&self, secrets: &Secrets) {
        *self.secrets.lock().unwrap_or_else(PoisonError::into_inner) = secrets.clone();
    }

    /// `<dir>/<program>_<YYYYMMDD>.log`.
    pub fn file(&self) -> &Path {
        &self.file
    }
}

/// Where lines for people go.
pub type ScreenWriter = Box<dyn Write + Send>;

/// Opens the log file and makes this the log of the process.
pub fn init(setup: LogSetup, screen: ScreenWriter) -> Result<Log, LogError> {
    let (lines, log) = Lines::open_with(setup, screen, Local::now)?;
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(lines)).map_err(|_| LogError::Twice)?;
    Ok(log)
}

/// The layer: formats an event once, writes it where its level is wanted.
struct Lines<Screen: Write> {
    writer: Writer,
    screen: Sink<Screen>,
    file: Sink<File>,
    others: Targets,
    lost: Arc<AtomicU64>,
    told: Arc<Mutex<Told>>,
    secrets: Arc<Mutex<Secrets>>,
    clock: fn() -> DateTime<Local>,
}

struct Sink<W> {
    out: Mutex<W>,
    from: LevelFilter,
}

impl<Screen: Write> Lines<Screen> {
    fn open_with(setup: LogSetup, screen: Screen, clock: fn() -> DateTime<Local>) -> Result<(Self, Log), LogError> {
        let others = match setup.other_targets.as_deref() {
            None | Some("") => Targets::new(),
            Some(text) => text.parse().map_err(|_| LogError::Targets { text: text.to_owned() })?,
        };
        let path = setup.log_dir.join(format!(
            "{}_{}.log",
            setup.writer.program,
            setup.started.format("%Y%m%d")
        ));
        let file = open_log_file(&setup.log_dir, &path)?;
        let (lost, told) = (Arc::new(AtomicU64::new(0)), Arc::<Mutex<Told>>::default());
        let secrets = Arc::<Mutex<Secrets>>::default();
        let (screen_from, file_from) = thresholds(setup.verbosity);
        let lines = Lines {
            writer: setup.writer,
            screen: Sink::new(screen, screen_from),
            file: Sink::new(file, file_from),
            others,
            lost: Arc::clone(&lost),
            told: Arc::clone(&told),
            secrets: Arc::clone(&secrets),
            clock,
        };
        let log = Log {
            lost,
            told,
            secrets,
            file: path,
        };
        Ok((lines, log))
    }
}

impl<Screen: Write> Lines<Screen> {
    /// Those of this run, and what stands where others keep theirs: servers and statements quote LOCATIONs.
    fn hide_secrets(&self, message: &mut String) {
        let secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        if !secrets.is_empty() {
            *message = secrets.hide(message);
        }
        if let Some(hidden) = hide_parameters(message) {
            *message = hidden;
        }
    }

    /// Whether the screen and the file want events of this kind.
    fn wanted(&self, metadata: &Metadata<'_>) -> (bool, bool) {
        let level = metadata.level();
        if is_own(metadata.target()) {
            (*level <= self.screen.from, *level <= self.file.from)
        } else {
            // Somebody who asks for a library's events wants them in the file, whatever -v says.
            (false, self.others.would_enable(metadata.target(), level))
        }
    }
}

/// From which level on the screen and the file get lines.
fn thresholds(verbosity: Verbosity) -> (LevelFilter, LevelFilter) {
    let file = if verbosity.verbose {
        LevelFilter::DEBUG
    } else {
        LevelFilter::INFO
    };
    let screen = if verbosity.quiet { LevelFilter::WARN } else { file };
    (screen, file)
}

fn open_log_file(dir: &Path, path: &Path) -> Result<File, LogError> {
    match std::fs::create_dir(dir) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        Err(source) => {
            return Err(LogError::CreateDirectory {
                path: dir.to_owned(),
                source,
            });
        }
    }
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .map_err(|source| LogError::Open {
            path: path.to_owned(),
            source,
        })
}

impl<W: Write> Sink<W> {
    fn new(out: W, from: LevelFilter) -> Self {
        Sink {
            out: Mutex::new(out),
            from,
        }
    }

    /// One write per line, so that lines of several processes in one file do not mix.
    fn write(&self, line: &str, lost: &AtomicU64) {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        if out.write_all(line.as_bytes()).and_then(|()| out.flush()).is_err() {
            lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl<Screen: Write + 'static, S: Subscriber> Layer<S> for Lines<Screen>
where
    Sink<Screen>: Send + Sync,
{
    /// Called once per call site, so that events nobody wants cost next to nothing afterwards.
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.wanted(metadata) != (false, false)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = *event.metadata().level();
        let (to_screen, to_file) = self.wanted(event.metadata());
        let mut text = Text::default();
        event.record(&mut text);
        let severity = LogLevel::of(level, text.critical);
        if severity == LogLevel::Debug {
            text.message.push_str(&text.fields);
        }
        self.hide_secrets(&mut text.message);
        if is_own(event.metadata().target()) {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            told.note(severity, &text.message);
        }
        let mut line = self.writer.line((self.clock)(), severity, &text.message);
        line.push('\n');
        if to_screen {
            self.screen.write(&line, &self.lost);
        }
        if to_file {
            self.file.write(&line, &self.lost);
        }
    }
}

fn is_own(target: &str) -> bool {
    let root = target.split("::").next().unwrap_or(target);
    OWN_TARGETS.contains(&root)
}

/// Message and fields of one event. Fields are printed at DEBUG only: the text above that is what scripts match.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
    critical: bool,
}

impl Visit for Text {
    fn record_bool(&mut self, field: &Field, value: bool) {
        if field.name() == "critical" {
            self.critical = value;
        } else {
            self.record_debug(field, &value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a String cannot fail; a Debug implementation that returns an error just ends its own text.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests;
