//! `pg_dump -s`: the server's own program writes the DDL.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::AsyncReadExt;
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
    /// Further options, such as `--no-owner`; every version knows them.
    pub options: Vec<&'static str>,
    /// By this name the session is found in `pg_stat_activity`.
    pub application_name: String,
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

impl PgDump {
    /// The arguments behind the program's name. No password is ever among them.
    pub fn argv(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec!["-s".into(), "-w".into()];
        words.extend(["-h".into(), OsString::from(&self.host)]);
        words.extend(["-p".into(), OsString::from(self.port.to_string())]);
        words.extend(["-U".into(), OsString::from(&self.user)]);
        if let Some(encoding) = &self.encoding {
            words.extend(["-E".into(), OsString::from(encoding)]);
        }
        words.extend(self.options.iter().map(OsString::from));
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

    /// Starts the program; its output is collected beside the caller.
    pub fn start(&self) -> Result<RunningPgDump, Error> {
        let program = self.program.display().to_string();
        let mut command = Command::new(&self.program);
        command
            .args(self.argv())
            // Both: libpq before 9.0 knows no PGAPPNAME, and a later one would override the option by its own name.
            .env("PGAPPNAME", &self.application_name)
            .env("PGOPTIONS", format!("-c application_name={}", self.application_name))
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
        let stderr = collect(child.stderr.take().expect("stderr was piped"));
        Ok(RunningPgDump {
            program,
            child,
            stdout,
            stderr,
        })
    }
}

/// A pg_dump on its way. Dropped, it is killed.
#[derive(Debug)]
pub struct RunningPgDump {
    program: String,
    child: Child,
    stdout: JoinHandle<std::io::Result<Vec<u8>>>,
    stderr: JoinHandle<std::io::Result<Vec<u8>>>,
}

impl RunningPgDump {
    /// Whether it has ended already; before its snapshot was seen that is a failure.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for the end and gives the DDL.
    pub async fn finish(mut self) -> Result<Vec<u8>, Error> {
        let status = self.child.wait().await;
        let said = match self.stderr.await {
            Ok(Ok(bytes)) => String::from_utf8_lossy(&bytes).trim().replace('\n', "; "),
            _ => String::new(),
        };
        let failed = |status: String, said: String| Error::Failed {
            program: self.program.clone(),
            status,
            said,
        };
        let output = match self.stdout.await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(error)) => return Err(failed(format!("its output could not be read: {error}"), said)),
            Err(_) => return Err(failed("its output was not read to the end".to_owned(), said)),
        };
        match status {
            Ok(status) if status.success() => Ok(output),
            Ok(status) => Err(failed(status.to_string(), said)),
            Err(error) => Err(failed(error.to_string(), said)),
        }
    }
}

fn collect(mut pipe: impl tokio::io::AsyncRead + Unpin + Send + 'static) -> JoinHandle<std::io::Result<Vec<u8>>> {
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
            options: vec!["--no-owner"],
            application_name: "a".to_owned(),
        };
        let last = |database: &str| dump(database).argv().pop().unwrap();
        assert_eq!(last("demo"), "demo");
        assert_eq!(last("-x"), "dbname='-x'");
        assert_eq!(last("a=b'c"), "dbname='a=b\\'c'");
        assert_eq!(
            dump("demo").argv(),
            [
                "-s",
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
}
