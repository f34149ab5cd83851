//! Runs another program: arguments as a list, never through a shell; what it says is kept, within bounds.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::task::JoinHandle;

/// What is done with the standard output of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    Discard,
    /// Kept, at most so many bytes; a program that says more has failed.
    Keep(usize),
}

/// What to run.
#[derive(Debug, Clone)]
pub struct Invocation {
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
    pub variables: Vec<(&'static str, OsString)>,
    /// Its standard input.
    pub input: Vec<u8>,
    pub output: Output,
    pub time_limit: Option<Duration>,
}

/// Why a program did not do its work. What it wrote to its standard output is never shown: it may hold secrets.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not start \"{program}\"")]
    Start {
        program: String,
        #[source]
        source: std::io::Error,
    },
    #[error("\"{program}\" failed ({status}){}", after_colon(.said))]
    Failed {
        program: String,
        status: ExitStatus,
        said: String,
    },
    #[error("\"{program}\" was stopped, because it did not end within {seconds} s")]
    TimedOut { program: String, seconds: u64 },
    #[error("could not read what \"{program}\" wrote: {reason}")]
    Output { program: String, reason: String },
}

fn after_colon(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!(": {text}")
    }
}

/// The most of its error output that is told.
const SAID_LIMIT: usize = 2000;

/// How long a pipe is read on when the program has ended: what it started in the background may hold it open.
const PIPE_PATIENCE: Duration = Duration::from_secs(5);

impl Invocation {
    pub fn new(program: &Path, arguments: impl IntoIterator<Item = OsString>) -> Self {
        Invocation {
            program: program.to_owned(),
            arguments: arguments.into_iter().collect(),
            variables: Vec::new(),
            input: Vec::new(),
            output: Output::Discard,
            time_limit: None,
        }
    }

    /// Waits for the end; gives what the program wrote to its standard output. Dropped before, it kills the program.
    pub async fn run(self) -> Result<Vec<u8>, Error> {
        let program = self.program.display().to_string();
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| Error::Start {
                program: program.clone(),
                source,
            })?;
        let (limit, discard) = match self.output {
            Output::Discard => (0, true),
            Output::Keep(limit) => (limit, false),
        };
        let stdout = keep_first(child.stdout.take().expect("stdout was piped"), limit);
        let stderr = keep_first(child.stderr.take().expect("stderr was piped"), SAID_LIMIT);
        let mut stdin = child.stdin.take().expect("stdin was piped");
        let input = self.input;
        let work = async {
            // A program that does not read its input says by its status whether that is an error.
            let feed = async {
                let _ = stdin.write_all(&input).await;
                drop(stdin);
            };
            let ((), status) = tokio::join!(feed, child.wait());
            status
        };
        let status = match self.time_limit {
            None => work.await,
            Some(limit) => match tokio::time::timeout(limit, work).await {
                Ok(status) => status,
                Err(_) => {
                    let seconds = limit.as_secs();
                    return Err(Error::TimedOut { program, seconds });
                }
            },
        };
        let status = status.map_err(|source| Error::Start {
            program: program.clone(),
            source,
        })?;
        if !status.success() {
            let said = match tokio::time::timeout(PIPE_PATIENCE, stderr).await {
                Ok(Ok(Ok((bytes, _)))) => String::from_utf8_lossy(&bytes).trim().replace('\n', "; "),
                _ => String::new(),
            };
            return Err(Error::Failed { program, status, said });
        }
        let failed = |reason: String| Error::Output {
            program: program.clone(),
            reason,
        };
        if discard {
            return Ok(Vec::new());
        }
        match tokio::time::timeout(PIPE_PATIENCE, stdout).await {
            Ok(Ok(Ok((bytes, false)))) => Ok(bytes),
            Ok(Ok(Ok((_, true)))) => Err(failed(format!("more than {limit} bytes"))),
            Ok(Ok(Err(error))) => Err(failed(error.to_string())),
            Ok(Err(_)) | Err(_) => Err(failed("it has ended, but its output is held open".to_owned())),
        }
    }
}

/// Reads to the end, so that the program never waits; keeps the first bytes, and whether there were more.
fn keep_first(
    mut pipe: impl AsyncRead + Unpin + Send + 'static,
    limit: usize,
) -> JoinHandle<std::io::Result<(Vec<u8>, bool)>> {
    tokio::spawn(async move {
        let mut kept = Vec::new();
        let mut more = false;
        let mut part = vec![0; 1 << 16];
        loop {
            let read = pipe.read(&mut part).await?;
            if read == 0 {
                return Ok((kept, more));
            }
            let room = limit - kept.len();
            kept.extend_from_slice(&part[..read.min(room)]);
            more |= read > room;
        }
    })
}

/// The first file of this name in the folders.
pub fn find_in(name: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    folders
        .iter()
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Invocation {
        Invocation::new(Path::new("/bin/sh"), ["-c".into(), script.into()])
    }

    #[tokio::test]
    async fn input_goes_in_output_comes_out_and_failures_say_why() {
        let mut echo = shell("cat; echo \"$WORD\"");
        echo.input = b"in\n".to_vec();
        echo.output = Output::Keep(100);
        echo.variables = vec![("WORD", "a b".into())];
        assert_eq!(echo.run().await.unwrap(), b"in\na b\n");
        let failed = shell("echo secret; echo wrong >&2; exit 3").run().await.unwrap_err();
        assert_eq!(failed.to_string(), "\"/bin/sh\" failed (exit status: 3): wrong");
        let missing = Invocation::new(Path::new("/nonexistent"), []).run().await.unwrap_err();
        assert_eq!(missing.to_string(), "could not start \"/nonexistent\"");
    }

    #[tokio::test]
    async fn a_program_that_never_ends_or_says_too_much_is_an_error() {
        let mut slow = shell("sleep 60");
        slow.time_limit = Some(Duration::from_millis(50));
        assert!(matches!(slow.run().await, Err(Error::TimedOut { .. })));
        let mut loud = shell("echo 123456");
        loud.output = Output::Keep(3);
        assert!(matches!(loud.run().await, Err(Error::Output { .. })));
        // Input that nobody reads is no error.
        let mut deaf = shell("exit 0");
        deaf.input = vec![b'x'; 1 << 20];
        deaf.run().await.unwrap();
    }
}
