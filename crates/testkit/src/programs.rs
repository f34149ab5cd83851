//! The programs under test, as a person would start them.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use crate::Cluster;

/// The repository's top directory.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("crates/testkit")
        .to_path_buf()
}

/// A program of the workspace, brought up to date once per test process. `GPDUMP_BIN_DIR` names a directory with
/// programs to take instead, such as those of a release.
pub fn bin(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    if let Some(dir) = std::env::var_os("GPDUMP_BIN_DIR") {
        return Path::new(&dir).join(name);
    }
    let dir = BUILT.get_or_init(|| {
        // target/debug/deps/<test> or target/debug/<program>
        let this = std::env::current_exe().unwrap();
        let dir = this
            .ancestors()
            .skip(1)
            .find(|d| !d.ends_with("deps"))
            .unwrap()
            .to_path_buf();
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build
            .args(["build", "--quiet", "-p", "gpcrondump", "-p", "gpdbrestore"])
            .current_dir(repository());
        if dir.ends_with("release") {
            build.arg("--release");
        }
        crate::postgres::run(&mut build);
        dir
    });
    dir.join(name)
}

/// A program, its arguments and the cluster it shall work on.
#[derive(Debug)]
pub struct Program {
    command: Command,
}

impl Program {
    pub fn new(name: &str, cluster: &Cluster) -> Self {
        let mut command = match cluster.hosts() {
            None => Command::new(bin(name)),
            Some(hosts) => {
                let words = hosts.on_master();
                let mut command = Command::new(&words[0]);
                command.args(&words[1..]).arg(bin(name));
                command
            }
        };
        command
            .envs(cluster.env())
            .env_remove("PGDATABASE")
            .env_remove("PGOPTIONS")
            .current_dir(cluster.home())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Program { command }
    }

    pub fn args<S: Into<OsString>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args.into_iter().map(Into::into));
        self
    }

    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.command.env(name, value.into());
        self
    }

    /// What it reads on standard input, a few lines: all of it has to fit into a pipe.
    pub fn input(mut self, text: &str) -> Self {
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        writer.write_all(text.as_bytes()).expect("room in the pipe");
        self.command.stdin(reader);
        self
    }

    /// Where its standard output goes, when not into a pipe.
    pub fn stdout(mut self, file: std::fs::File) -> Self {
        self.command.stdout(file);
        self
    }

    /// Starts the program and does not wait for it.
    pub fn spawn(mut self) -> Child {
        self.command
            .spawn()
            .unwrap_or_else(|e| panic!("{:?}: {e}", self.command))
    }

    pub fn run(self) -> Finished {
        let shown = format!("{:?}", self.command.get_args().collect::<Vec<_>>());
        Finished::new(self.spawn().wait_with_output().unwrap(), shown)
    }
}

/// What a program left behind.
#[derive(Debug)]
pub struct Finished {
    /// `None` when a signal ended it.
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    args: String,
}

impl Finished {
    fn new(output: Output, args: String) -> Self {
        Finished {
            status: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            args,
        }
    }

    /// Fails with all that was said when the status is another.
    #[track_caller]
    pub fn expect_status(self, status: i32) -> Self {
        assert_eq!(
            self.status,
            Some(status),
            "status of the program with {}\n--- stdout\n{}\n--- stderr\n{}",
            self.args,
            self.stdout,
            self.stderr
        );
        self
    }

    /// The key of the dump set, as gpcrondump says it.
    #[track_caller]
    pub fn timestamp_key(&self) -> String {
        let (_, rest) = self
            .stdout
            .split_once("Timestamp key = ")
            .unwrap_or_else(|| panic!("no timestamp key was said:\n{}", self.stdout));
        rest.split_whitespace().next().unwrap_or_default().to_owned()
    }
}
