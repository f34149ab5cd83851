//! Starts our worker on a host and talks to it: a child process here, the system's ssh elsewhere.
//!
//! The conversation itself is [`crate::worker::protocol`]; this module only moves lines, watches the process and sees to
//! it that nothing is left behind.

pub mod files;

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::store::files::Files;
use crate::words::cluster::HostName;
use crate::words::limits::Limits;
use crate::worker::protocol::{Event, HEARTBEAT_SECONDS, MAX_LINE_BYTES, PROTOCOL, Request, WORKER_ARGUMENT};

/// How workers are started.
#[derive(Debug, Clone)]
pub struct Launcher {
    /// The program to run as worker: our own path.
    pub program: PathBuf,
    /// Folder of the program on other hosts, when it is not the same path as here.
    pub remote_bin: Option<PathBuf>,
    /// The ssh program, `ssh` unless the environment says otherwise.
    pub ssh: PathBuf,
    /// `GPHOME`: another place to look.
    pub gphome: Option<PathBuf>,
    /// Names under which the cluster may know this host.
    pub own_names: Vec<String>,
    pub limits: Limits,
    /// The files of the run; workers are told the way to its bucket.
    pub files: Files,
}

/// Pauses between logins that ssh could not make; a worker has done nothing before its first word.
const LOGIN_PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];

/// The status by which our words on the other host say that the program is not there.
const NOT_THERE: i32 = 127;

/// How often each side says that it lives.
const PING_EVERY: Duration = Duration::from_secs(HEARTBEAT_SECONDS);

/// Why a worker could not be started or talked to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not start {what} for host {host}")]
    Start {
        what: String,
        host: HostName,
        #[source]
        source: std::io::Error,
    },
    #[error("the worker on host {host} did not answer within {seconds} s{said}")]
    Silent { host: HostName, seconds: u64, said: String },
    #[error("the worker on host {host} ended unexpectedly ({status}){said}")]
    Ended {
        host: HostName,
        status: String,
        /// Exit status, when it has one.
        code: Option<i32>,
        said: String,
    },
    #[error("the program is not on host {host}; looked for {}", places.join(", "))]
    NotThere { host: HostName, places: Vec<String> },
    #[error("the worker on host {host} is version {theirs}, this program is {ours}")]
    Version {
        host: HostName,
        theirs: String,
        ours: String,
    },
    #[error("the worker on host {host} sent something that is not an answer: {what}")]
    Garbled { host: HostName, what: String },
}

impl Error {
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Error::NotThere { .. } => {
                Some("install it there, in $GPHOME/bin for instance, or say with --remote-bin where it lies")
            }
            Error::Version { .. } => Some("install the same version of this program on every host of the cluster"),
            Error::Ended { .. } | Error::Silent { .. } | Error::Start { .. } => Some(
                "try `ssh HOST true` as this user: it must log in without a password; the program must be installed \
                 there at the same path, in $GPHOME/bin, or where --remote-bin says",
            ),
            Error::Garbled { .. } => {
                Some("a login script of that host may print text; it must be silent without a terminal")
            }
        }
    }
}

/// One running worker and both ends of its conversation.
#[derive(Debug)]
pub struct Channel {
    pub host: HostName,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    line: Vec<u8>,
    stderr_tail: Arc<Mutex<VecDeque<u8>>>,
    stderr_task: JoinHandle<()>,
    /// A worker that says nothing for this long is taken for dead; it promises a word every second.
    silence: Duration,
    heard: Instant,
    pinged: Instant,
}

impl Launcher {
    /// Whether a host of the catalog is the one we run on.
    pub fn is_local(&self, host: &HostName) -> bool {
        host.0 == "localhost" || self.own_names.contains(&host.0)
    }

    /// The command line that starts a worker on the host.
    pub fn command_line(&self, host: &HostName) -> Vec<OsString> {
        if self.is_local(host) {
            return vec![self.program.clone().into(), WORKER_ARGUMENT.into()];
        }
        let words: Vec<String> = self
            .places()
            .iter()
            .map(|place| quote_for_shell(&place.to_string_lossy()))
            .collect();
        // $GPHOME of that host may differ from ours. ssh joins its words with blanks and hands them to whatever shell the
        // user has there, so all of it is one word for that shell and the work is done by a plain one.
        let own_place = match (&self.remote_bin, self.program.file_name()) {
            (None, Some(name)) => format!(" ${{GPHOME:+\"$GPHOME/bin/{}\"}}", name.to_string_lossy()),
            _ => String::new(),
        };
        let script = format!(
            "for p in {}{own_place}; do [ -x \"$p\" ] && exec \"$p\" {WORKER_ARGUMENT}; done; exit {NOT_THERE}",
            words.join(" ")
        );
        let remote = format!("exec /bin/sh -c {}", quote_for_shell(&script));
        let mut words = self.ssh_words();
        // A host name from the catalog that begins with a dash must not become an option.
        words.extend(["--".into(), OsString::from(&host.0), OsString::from(remote)]);
        words
    }

    /// The ssh program with its options, the host still to come.
    fn ssh_words(&self) -> Vec<OsString> {
        let options = [
            "-T",
            "-x",
            "-oBatchMode=yes",
            "-oServerAliveCountMax=3",
            "-oStrictHostKeyChecking=accept-new",
        ];
        let mut words: Vec<OsString> = vec![self.ssh.clone().into()];
        words.extend(options.iter().map(OsString::from));
        let limits = self.limits;
        words.push(format!("-oConnectTimeout={}", (limits.connect.as_secs() / 2).max(1)).into());
        words.push(format!("-oServerAliveInterval={}", (limits.silence.as_secs() / 4).max(1)).into());
        words
    }

    /// Where the program is looked for on another host, in this order; that host's own `$GPHOME/bin` comes last.
    fn places(&self) -> Vec<PathBuf> {
        match (&self.remote_bin, self.program.file_name()) {
            (Some(folder), Some(name)) => vec![folder.join(name)],
            (None, Some(name)) => {
                let mut places = vec![self.program.clone()];
                let at_home = self.gphome.as_ref().map(|home| home.join("bin").join(name));
                places.extend(at_home.filter(|place| *place != self.program));
                places
            }
            _ => vec![self.program.clone()],
        }
    }

    /// Starts a worker and waits for its first word. A login that ssh could not make is tried again, within the limit for
    /// connecting.
    pub async fn start(&self, host: &HostName) -> Result<Channel, Error> {
        let deadline = Instant::now() + self.limits.connect;
        let mut pauses = LOGIN_PAUSES.into_iter();
        loop {
            let error = match self.start_once(host, deadline).await {
                Ok(channel) => return Ok(channel),
                Err(error) => error,
            };
            match pauses.next() {
                Some(pause) if may_pass(&error) && Instant::now() + pause < deadline => {
                    tracing::warn!("{error}; trying again in {} s", pause.as_secs());
                    tokio::time::sleep(pause).await;
                }
                _ => return Err(error),
            }
        }
    }

    async fn start_once(&self, host: &HostName, deadline: Instant) -> Result<Channel, Error> {
        let words = self.command_line(host);
        let what = words[0].to_string_lossy().into_owned();
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C on the terminal goes to this program alone; the worker is told by us, or by the end of its input.
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(|source| Error::Start {
            what,
            host: host.clone(),
            source,
        })?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().expect("stdout was piped");
        let mut stderr = child.stderr.take().expect("stderr was piped");
        let stderr_tail = Arc::new(Mutex::new(VecDeque::new()));
        let tail = Arc::clone(&stderr_tail);
        let stderr_task = tokio::spawn(async move {
            let mut buffer = [0u8; 4096];
            while let Ok(n @ 1..) = stderr.read(&mut buffer).await {
                let mut tail = tail.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                tail.extend(&buffer[..n]);
                let excess = tail.len().saturating_sub(4096);
                tail.drain(..excess);
            }
        });
        let stdout = BufReader::with_capacity(1 << 16, stdout);
        let mut channel = Channel {
            host: host.clone(),
            child,
            stdin,
            stdout,
            line: Vec::new(),
            stderr_tail,
            stderr_task,
            silence: self.limits.silence,
            heard: Instant::now(),
            pinged: Instant::now(),
        };
        match tokio::time::timeout_at(deadline, channel.next_line_event()).await {
            Err(_) => Err(channel.silent(self.limits.connect)),
            Ok(Ok(Event::Hello { version, protocol, .. })) => {
                let ours = env!("CARGO_PKG_VERSION");
                if protocol != PROTOCOL || version != ours {
                    let theirs = format!("{version} (protocol {protocol})");
                    let ours = format!("{ours} (protocol {PROTOCOL})");
                    return Err(Error::Version {
                        host: host.clone(),
                        theirs,
                        ours,
                    });
                }
                channel.heard = Instant::now();
                channel.send(&Request::Limits(self.limits)).await;
                if let Some(access) = self.files.access() {
                    channel.send(&Request::Storage(access.clone())).await;
                }
                Ok(channel)
            }
            Ok(Ok(other)) => Err(Error::Garbled {
                host: host.clone(),
                what: format!("{other:?} before hello"),
            }),
            Ok(Err(Error::Ended {
                code: Some(NOT_THERE), ..
            })) if !self.is_local(host) => Err(Error::NotThere {
                host: host.clone(),
                places: self
                    .places()
                    .iter()
                    .map(|place| format!("\"{}\"", place.display()))
                    .collect(),
            }),
            Ok(Err(error)) => Err(error),
        }
    }
}

impl Channel {
    /// Sends one request. A broken pipe is reported by the next [`Channel::recv`], which knows why.
    pub async fn send(&mut self, request: &Request) {
        let mut line = serde_json::to_vec(request).expect("a request is plain data");
        line.push(b'\n');
        self.send_raw(&line).await;
    }

    /// Sends lines that were made once for many hosts.
    pub async fn send_raw(&mut self, lines: &[u8]) {
        if let Some(stdin) = &mut self.stdin {
            let sent = async {
                stdin.write_all(lines).await?;
                stdin.flush().await
            };
            // A worker that no longer reads must not hold us for ever; its silence is noticed by recv.
            if !matches!(tokio::time::timeout(self.silence, sent).await, Ok(Ok(()))) {
                self.stdin = None;
            }
        }
    }

    /// The next event. Fails when the worker ends, garbles, or is silent for too long. Cancel safe.
    pub async fn recv(&mut self) -> Result<Event, Error> {
        loop {
            if self.pinged.elapsed() >= PING_EVERY {
                self.pinged = Instant::now();
                self.ping();
            }
            match tokio::time::timeout(PING_EVERY, self.next_line_event()).await {
                // Only now: what it said while nobody listened has been read.
                Err(_) if self.heard.elapsed() > self.silence => return Err(self.silent(self.silence)),
                Err(_) => {}
                Ok(Ok(event)) => {
                    self.heard = Instant::now();
                    if !matches!(event, Event::Alive) {
                        return Ok(event);
                    }
                }
                Ok(error) => return error,
            }
        }
    }

    /// All of it or nothing: so few bytes are never split by a pipe. A full pipe has something to read in it anyway.
    fn ping(&mut self) {
        if let Some(stdin) = &mut self.stdin {
            let mut line = serde_json::to_vec(&Request::Alive).expect("a request is plain data");
            line.push(b'\n');
            let _ = stdin.write(&line).now_or_never();
        }
    }

    async fn next_line_event(&mut self) -> Result<Event, Error> {
        // `line` keeps what a cancelled call had read.
        loop {
            let available = match self.stdout.fill_buf().await {
                Ok(bytes) => bytes,
                Err(_) => &[],
            };
            if available.is_empty() {
                return Err(self.ended().await);
            }
            let newline = memchr::memchr(b'\n', available);
            let taken = newline.map_or(available.len(), |at| at + 1);
            self.line.extend_from_slice(&available[..taken]);
            self.stdout.consume(taken);
            if self.line.len() > MAX_LINE_BYTES {
                return Err(Error::Garbled {
                    host: self.host.clone(),
                    what: "a line without end".to_owned(),
                });
            }
            if newline.is_some() {
                let parsed = serde_json::from_slice(&self.line);
                let result = parsed.map_err(|_| Error::Garbled {
                    host: self.host.clone(),
                    what: String::from_utf8_lossy(&self.line).trim().chars().take(200).collect(),
                });
                self.line.clear();
                return result;
            }
        }
    }

    async fn ended(&mut self) -> Error {
        let (status, code) = match tokio::time::timeout(Duration::from_secs(5), self.child.wait()).await {
            Ok(Ok(status)) => (status.to_string(), status.code()),
            _ => ("its output was closed".to_owned(), None),
        };
        let _ = tokio::time::timeout(Duration::from_secs(1), &mut self.stderr_task).await;
        let said = match (self.said(), code) {
            (said, Some(255)) if said.is_empty() => ": ssh lost the connection".to_owned(),
            (said, _) => said,
        };
        Error::Ended {
            host: self.host.clone(),
            status,
            code,
            said,
        }
    }

    fn silent(&self, limit: Duration) -> Error {
        Error::Silent {
            host: self.host.clone(),
            seconds: limit.as_secs(),
            said: self.said(),
        }
    }

    /// What the process wrote to its standard error, as `: last words`.
    fn said(&self) -> String {
        let tail = self.stderr_tail.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let bytes: Vec<u8> = tail.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        if lines.is_empty() {
            String::new()
        } else {
            format!(": {}", lines.join("; "))
        }
    }

    /// Tells the worker to stop by closing its input, and makes sure that it is gone after `patience`.
    pub async fn stop(mut self, patience: Duration) {
        self.stdin = None;
        // Its last words may fill the pipe: read them, so that it can end.
        let drain = async {
            let mut sink = [0u8; 8192];
            while let Ok(1..) = self.stdout.read(&mut sink).await {}
            let _ = self.child.wait().await;
        };
        if tokio::time::timeout(patience, drain).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}

/// Whether another try may get in: ssh itself failed (255), and not because it is not let in.
fn may_pass(error: &Error) -> bool {
    const FOR_GOOD: [&str; 4] = [
        "Permission denied",
        "verification failed",
        "not known",
        "Could not resolve",
    ];
    matches!(error, Error::Ended { code: Some(255), said, .. } if !FOR_GOOD.iter().any(|words| said.contains(words)))
}

/// One word for a POSIX shell.
fn quote_for_shell(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launcher() -> Launcher {
        Launcher {
            files: Files::default(),
            program: PathBuf::from("/opt/it's here/gpcrondump"),
            remote_bin: None,
            ssh: PathBuf::from("ssh"),
            gphome: Some(PathBuf::from("/usr/local/gp")),
            own_names: vec!["mdw".to_owned()],
            limits: Limits::default(),
        }
    }

    #[test]
    fn a_remote_path_is_one_shell_word_and_a_host_is_never_an_option() {
        let words = launcher().command_line(&HostName("-oProxyCommand=x".to_owned()));
        let texts: Vec<_> = words.iter().map(|w| w.to_string_lossy().into_owned()).collect();
        let [dashes, host, remote] = &texts[texts.len() - 3..] else {
            panic!("{texts:?}");
        };
        assert_eq!((dashes.as_str(), host.as_str()), ("--", "-oProxyCommand=x"));
        // What the shell there makes of it: with `echo` in the place of the loop's work, the places it looks at.
        let shown = remote.replace("[ -x", "echo \"$p\"; [ -x");
        let output = std::process::Command::new("/bin/sh")
            .args(["-c", &shown])
            .env("GPHOME", "/home/gp here")
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "/opt/it's here/gpcrondump\n/usr/local/gp/bin/gpcrondump\n/home/gp here/bin/gpcrondump\n"
        );
        assert_eq!(output.status.code(), Some(127));
    }

    #[test]
    fn the_own_host_needs_no_ssh() {
        let words = launcher().command_line(&HostName("mdw".to_owned()));
        assert_eq!(words, ["/opt/it's here/gpcrondump", "__worker"]);
    }
}
