//! `pg_dump -s -v`: the server's own program writes the DDL, and says how far it is.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use super::process::{self, Invocation, Output};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::words::names::quote_conninfo;

/// What to dump and how to reach it.
#[derive(Debug, Clone)]
pub struct PgDump {
    pub program: PathBuf,
    /// Folder of its own libpq (`$GPHOME/lib`), for sessions that have not sourced `greenplum_path.sh`.
    pub libraries: Option<PathBuf>,
    /// Host name or socket directory.
    pub host: String,
    pub port: u16,
    pub user: String,
    pub database: String,
    /// `None` leaves the encoding of the database.
    pub encoding: Option<String>,
    /// A snapshot exported by another session.
    pub snapshot: Option<String>,
    /// Patterns of tables and sequences that it shall not touch.
    pub left_out: Vec<String>,
    /// Further options, such as `--no-owner`; every version knows them.
    pub options: Vec<&'static str>,
    /// By this name the session is found in `pg_stat_activity`.
    pub application_name: String,
    /// Greenplum's setting that keeps a session on the server that it is opened on; `None` for an ordinary session.
    pub utility_setting: Option<String>,
}

/// Why there is no DDL.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not start \"{program}\"")]
    Start {
        program: String,
        #[source]
        source: std::io::Error,
    },
    #[error("no {0} was found in {1}")]
    NotFound(&'static str, String),
    #[error("\"{program}\" failed ({status}): {said}")]
    Failed {
        program: String,
        status: String,
        said: String,
    },
}

impl Error {
    /// It failed while it locked tables. Its own words are in the language of the session, the statement that it repeats is
    /// not.
    pub fn is_about_locks(&self) -> bool {
        matches!(self, Error::Failed { said, .. } if said.contains("LOCK TABLE "))
    }
}

/// Finds the program: `$GPHOME/bin`, then every folder of PATH.
pub fn find(gphome: Option<&Path>, path: &[PathBuf]) -> Result<PathBuf, Error> {
    find_program("pg_dump", gphome, path)
}

/// The same for any program of the server.
pub fn find_program(name: &'static str, gphome: Option<&Path>, path: &[PathBuf]) -> Result<PathBuf, Error> {
    let folders: Vec<PathBuf> = gphome
        .map(|home| home.join("bin"))
        .into_iter()
        .chain(path.iter().cloned())
        .collect();
    super::process::find_in(name, &folders).ok_or_else(|| {
        let names: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
        Error::NotFound(name, names.join(", "))
    })
}

/// Whether this pg_dump writes what only Greenplum has: that of PostgreSQL reads such a server too, and leaves out how
/// tables are distributed.
pub async fn knows_greenplum(program: &Path, libraries: Option<&Path>) -> Result<bool, process::Error> {
    let mut invocation = Invocation::new(program, ["--help".into()]);
    invocation.output = Output::Keep(1 << 20);
    invocation.time_limit = Some(HELP_LIMIT);
    if let Some(libraries) = libraries {
        invocation.variables.push(("LD_LIBRARY_PATH", libraries.into()));
    }
    let help = invocation.run().await?;
    Ok(String::from_utf8_lossy(&help).contains("--gp-syntax"))
}

const HELP_LIMIT: Duration = Duration::from_secs(20);

impl PgDump {
    /// The arguments behind the program's name. No password is ever among them.
    pub fn argv(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec!["-s".into(), "-v".into(), "-w".into()];
        words.extend(["-h".into(), OsString::from(&self.host)]);
        words.extend(["-p".into(), OsString::from(self.port.to_string())]);
        words.extend(["-U".into(), OsString::from(&self.user)]);
        if let Some(encoding) = &self.encoding {
            words.extend(["-E".into(), OsString::from(encoding)]);
        }
        words.extend(self.options.iter().map(OsString::from));
        for pattern in &self.left_out {
            words.push(format!("--exclude-table={pattern}").into());
        }
        if let Some(snapshot) = &self.snapshot {
            words.push(format!("--snapshot={snapshot}").into());
        }
        // libpq takes a name with "=" in it, or one that begins like a URI, for a connection string; such names come as
        // one. Programs of an 8.3 base know no connection strings, and take every name as it is.
        let is_plain = !self.database.contains('=') && !self.database.starts_with("postgres");
        words.push(match is_plain && !self.database.starts_with('-') {
            true => OsString::from(&self.database),
            false => format!("dbname={}", quote_conninfo(&self.database)).into(),
        });
        words
    }

    /// For PGOPTIONS.
    fn session_settings(&self) -> String {
        let mut settings = format!("-c application_name={}", self.application_name);
        if let Some(setting) = &self.utility_setting {
            settings.push_str(&format!(" -c {setting}=utility"));
        }
        settings
    }

    /// Starts the program; its output is collected beside the caller.
    pub fn start(&self) -> Result<RunningPgDump, Error> {
        let program = self.program.display().to_string();
        let mut command = Command::new(&self.program);
        command
            .args(self.argv())
            // Both: libpq before 9.0 knows no PGAPPNAME, and a later one would override the option by its own name.
            .env("PGAPPNAME", &self.application_name)
            .env("PGOPTIONS", self.session_settings())
            .env_remove("PGDATABASE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        if let Some(libraries) = &self.libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        let mut child = command.spawn().map_err(|source| Error::Start {
            program: program.clone(),
            source,
        })?;
        let stdout = collect(child.stdout.take().expect("stdout was piped"));
        let messages = tokio::spawn(Messages::read(child.stderr.take().expect("stderr was piped")));
        Ok(RunningPgDump {
            application_name: self.application_name.clone(),
            program,
            child,
            stdout,
            messages,
        })
    }
}

/// A pg_dump on its way. Dropped, it is killed.
#[derive(Debug)]
pub struct RunningPgDump {
    /// The name of its sessions.
    pub application_name: String,
    program: String,
    child: Child,
    stdout: JoinHandle<std::io::Result<Vec<u8>>>,
    messages: JoinHandle<Messages>,
}

/// What a pg_dump that ended well has left.
#[derive(Debug)]
pub struct Definitions {
    pub text: Vec<u8>,
    /// What it read on the way, in its own words, such as `reading schemas`.
    pub steps: Vec<String>,
}

impl RunningPgDump {
    /// Whether it has ended already; before its snapshot was seen that is a failure.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for the end and gives the DDL.
    pub async fn finish(mut self) -> Result<Definitions, Error> {
        let status = self.child.wait().await;
        let messages = self.messages.await.unwrap_or_default();
        let failed = |status: String| Error::Failed {
            program: self.program.clone(),
            status,
            said: messages.others.join("; "),
        };
        let text = match self.stdout.await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(error)) => return Err(failed(format!("its output could not be read: {error}"))),
            Err(_) => return Err(failed("its output was not read to the end".to_owned())),
        };
        match status {
            Ok(status) if status.success() => Ok(Definitions {
                text,
                steps: messages.steps,
            }),
            Ok(status) => Err(failed(status.to_string())),
            Err(error) => Err(failed(error.to_string())),
        }
    }
}

/// What pg_dump says while it works: two lines and more for each table, of which few are worth keeping.
#[derive(Debug, Default, PartialEq, Eq)]
struct Messages {
    steps: Vec<String>,
    /// The first and the last lines that are no progress: the reason, when it fails.
    others: Vec<String>,
}

impl Messages {
    /// There are about forty steps; the limit is for what later versions may say.
    const MOST_STEPS: usize = 200;
    const MOST_OTHERS: usize = 20;
    /// Of these so many are the first ones: a statement of many lines that is repeated behind an error would hide it.
    const FIRST_OTHERS: usize = 10;
    /// Characters of such a line: a LOCK names hundreds of tables.
    const LONGEST: usize = 500;

    async fn read(pipe: impl AsyncRead + Unpin) -> Self {
        let mut messages = Messages::default();
        let mut lines = BufReader::new(pipe);
        let mut line = Vec::new();
        while matches!(lines.read_until(b'\n', &mut line).await, Ok(1..)) {
            messages.add(String::from_utf8_lossy(&line).trim());
            line.clear();
        }
        messages
    }

    fn add(&mut self, line: &str) {
        match progress(line) {
            Some(step) => {
                let is_reading = ["reading ", "finding ", "flagging "]
                    .iter()
                    .any(|verb| step.starts_with(verb));
                // What names an object is one of thousands.
                if is_reading && !step.contains('"') && self.steps.len() < Self::MOST_STEPS {
                    self.steps.push(step.to_owned());
                }
            }
            None if line.is_empty() => {}
            None => {
                if self.others.len() == Self::MOST_OTHERS {
                    self.others.remove(Self::FIRST_OTHERS);
                }
                self.others.push(match line.char_indices().nth(Self::LONGEST) {
                    Some((end, _)) => format!("{}...", &line[..end]),
                    None => line.to_owned(),
                });
            }
        }
    }
}

/// The text of a line that only tells how far pg_dump is. Greenplum 5 has two forms of them:
/// `pg_dump: reading triggers` and `20261122:16:25:05|pg_dump-[INFO]:-reading triggers`.
fn progress(line: &str) -> Option<&str> {
    const VERBS: &[&str] = &[
        "reading ",
        "finding ",
        "flagging ",
        "identifying ",
        "saving ",
        "creating ",
        "dropping ",
        "setting ",
        "processing ",
        "dumping ",
        "executing ",
        "last built-in OID ",
    ];
    if let Some((_, step)) = line.split_once("|pg_dump-[INFO]:-") {
        return Some(step);
    }
    let step = line.strip_prefix("pg_dump: ")?;
    VERBS.iter().any(|verb| step.starts_with(verb)).then_some(step)
}

fn collect(mut pipe: impl AsyncRead + Unpin + Send + 'static) -> JoinHandle<std::io::Result<Vec<u8>>> {
    tokio::spawn(async move {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).await?;
        Ok(bytes)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_name_is_never_an_option_nor_a_connection_string() {
        let dump = |database: &str| PgDump {
            program: PathBuf::from("/x/pg_dump"),
            libraries: None,
            host: "/tmp".to_owned(),
            port: 5432,
            user: "gpadmin".to_owned(),
            database: database.to_owned(),
            encoding: Some("UTF8".to_owned()),
            snapshot: None,
            left_out: Vec::new(),
            options: vec!["--no-owner"],
            application_name: "a".to_owned(),
            utility_setting: Some("gp_session_role".to_owned()),
        };
        let last = |database: &str| dump(database).argv().pop().unwrap();
        assert_eq!(last("demo"), "demo");
        assert_eq!(last("-x"), "dbname='-x'");
        assert_eq!(last("a=b'c"), "dbname='a=b\\'c'");
        let settings = dump("demo").session_settings();
        assert_eq!(settings, "-c application_name=a -c gp_session_role=utility");
        assert_eq!(
            dump("demo").argv(),
            [
                "-s",
                "-v",
                "-w",
                "-h",
                "/tmp",
                "-p",
                "5432",
                "-U",
                "gpadmin",
                "-E",
                "UTF8",
                "--no-owner",
                "demo"
            ]
        );
    }

    #[tokio::test]
    async fn steps_are_kept_and_errors_told_apart_from_them() {
        let said = b"pg_dump: reading schemas\n\
            20261122:16:25:05|pg_dump-[INFO]:-reading indexes\n\
            pg_dump: reading indexes for table \"s.t\"\n\
            pg_dump: creating TABLE reading schemas\n\
            pg_dump: error: query failed: ERROR:  gone\n\
            20261122:16:25:05|pg_dump-[ERROR]:-*** aborted because of error\n";
        let messages = Messages::read(&said[..]).await;
        assert_eq!(messages.steps, ["reading schemas", "reading indexes"]);
        assert_eq!(
            messages.others,
            [
                "pg_dump: error: query failed: ERROR:  gone",
                "20261122:16:25:05|pg_dump-[ERROR]:-*** aborted because of error"
            ]
        );
    }

    #[tokio::test]
    async fn an_error_is_not_lost_behind_the_statement_that_it_is_about() {
        let mut said = "pg_dump: error: query failed: ERROR:  gone\n".to_owned();
        said.push_str(&format!(
            "pg_dump: detail: Query was: LOCK TABLE {}\n",
            "public.tä, ".repeat(999)
        ));
        (0..99).for_each(|line| said.push_str(&format!("line {line}\n")));
        let messages = Messages::read(said.as_bytes()).await;
        assert_eq!(messages.others.len(), Messages::MOST_OTHERS);
        assert!(messages.others[0].ends_with("ERROR:  gone"));
        assert!(messages.others[1].contains("LOCK TABLE public.tä, "));
        assert!(messages.others[1].ends_with("..."));
        assert_eq!(messages.others[1].chars().count(), Messages::LONGEST + 3);
        assert_eq!(messages.others.last().map(String::as_str), Some("line 98"));
    }
}
