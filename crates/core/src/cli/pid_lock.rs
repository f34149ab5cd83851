//! One `gpcrondump` per cluster: the file `gpcrondump.pid` in the master data directory, as the original had it.
//!
//! The original trusted the number in the file: after a crash, or after any good run, a stranger's process with that
//! number made the next run go away without a dump. Here the lock is the kernel's lock on the file, which ends with the
//! process; the number is for people, and for an original that is started while we run. The other way round a number
//! counts only when it belongs to an original that is running.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// Holds the lock until it is dropped; then the file is gone.
#[derive(Debug)]
pub struct PidLock {
    path: PathBuf,
    /// Open as long as the lock is held: closing the file gives it up.
    _file: File,
}

/// Why the lock could not be had.
#[derive(Debug, thiserror::Error)]
pub enum PidLockError {
    #[error("An instance of {program} is already running (pid {pid})")]
    Held { program: String, pid: String },
    #[error("could not lock the pid file \"{}\"", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// How long to wait for the other one to end, as the original did.
const PATIENCE: Duration = Duration::from_secs(1);

impl PidLock {
    /// `<directory>/<program>.pid`. Waits up to a second for another run to end.
    pub fn acquire(directory: &Path, program: &str) -> Result<Self, PidLockError> {
        Self::acquire_file(directory.join(format!("{program}.pid")), program)
    }

    /// `<directory>/<program>_<word>.pid`, where several runs that have nothing to do with each other share a directory.
    pub fn acquire_for(directory: &Path, program: &str, word: &str) -> Result<Self, PidLockError> {
        Self::acquire_file(directory.join(format!("{program}_{word}.pid")), program)
    }

    fn acquire_file(path: PathBuf, program: &str) -> Result<Self, PidLockError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let held = match attempt(&path, program) {
                Ok(Attempt::Locked(file)) => return Ok(PidLock { path, _file: file }),
                Ok(Attempt::Held(pid)) => pid,
                Err(source) => return Err(PidLockError::Io { path, source }),
            };
            if Instant::now() >= deadline {
                return Err(PidLockError::Held {
                    program: program.to_owned(),
                    pid: held,
                });
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for PidLock {
    fn drop(&mut self) {
        // Before the lock goes, so that nobody else's file is removed. When it fails the file stays; it locks nobody out.
        let _ = fs::remove_file(&self.path);
    }
}

enum Attempt {
    Locked(File),
    /// By the process with this number.
    Held(String),
}

fn attempt(path: &Path, program: &str) -> io::Result<Attempt> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    let held = match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => false,
        Err(Errno::WOULDBLOCK) => true,
        Err(e) => return Err(e.into()),
    };
    let mut text = String::new();
    // What is no text is no number either.
    let _ = file.read_to_string(&mut text);
    let pid = text.trim().to_owned();
    if held {
        return Ok(Attempt::Held(pid));
    }
    // The one before us removed the file between our opening and locking it: what we locked is nobody's lock any more.
    let still_there = fs::metadata(path).is_ok_and(|found| match file.metadata() {
        Ok(ours) => (found.dev(), found.ino()) == (ours.dev(), ours.ino()),
        Err(_) => false,
    });
    if !still_there {
        return Ok(Attempt::Held(pid));
    }
    if is_original(&pid, program) {
        return Ok(Attempt::Held(pid));
    }
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())?;
    Ok(Attempt::Locked(file))
}

/// The process is an original: a Python that runs a script of the program's name.
fn is_original(pid: &str, program: &str) -> bool {
    if pid.is_empty() || !pid.bytes().all(|b| b.is_ascii_digit()) {
        return false;
    }
    let Ok(command) = fs::read(format!("/proc/{pid}/cmdline")) else {
        return false;
    };
    let mut words = command
        .split(|&b| b == 0)
        .map(|word| String::from_utf8_lossy(word.rsplit(|&b| b == b'/').next().unwrap_or(word)).into_owned());
    words
        .next()
        .is_some_and(|interpreter| interpreter.starts_with("python"))
        && words.any(|word| word == program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_run_is_told_the_number_of_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let first = PidLock::acquire(dir.path(), "gpcrondump").unwrap();
        let error = PidLock::acquire(dir.path(), "gpcrondump").unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "An instance of gpcrondump is already running (pid {})",
                std::process::id()
            )
        );
        drop(first);
        assert!(!dir.path().join("gpcrondump.pid").exists());
        PidLock::acquire(dir.path(), "gpcrondump").unwrap();
    }

    #[test]
    fn a_stale_number_locks_nobody_out_even_when_a_stranger_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("gpcrondump.pid");
        for stale in ["1\n", "999999999\n", "rubbish", ""] {
            fs::write(&file, stale).unwrap();
            let lock = PidLock::acquire(dir.path(), "gpcrondump").unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), format!("{}\n", std::process::id()));
            drop(lock);
        }
    }

    #[test]
    fn a_running_original_is_respected() {
        let dir = tempfile::tempdir().unwrap();
        // A process whose command line looks like the original's.
        let mut original = std::process::Command::new("/bin/bash")
            .args([
                "-c",
                "exec -a python2.7 bash -c 'read wait' /usr/local/bin/gpcrondump -a",
            ])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let wanted = format!("/proc/{}/cmdline", original.id());
        while !fs::read_to_string(&wanted).unwrap().starts_with("python2.7") {
            std::thread::sleep(Duration::from_millis(10));
        }
        fs::write(dir.path().join("gpcrondump.pid"), format!("{}\n", original.id())).unwrap();
        let result = PidLock::acquire(dir.path(), "gpcrondump");
        drop(original.stdin.take());
        original.wait().unwrap();
        assert!(matches!(result, Err(PidLockError::Held { .. })));
        PidLock::acquire(dir.path(), "gpcrondump").unwrap();
    }

    #[test]
    fn a_missing_directory_is_named() {
        let error = PidLock::acquire(Path::new("/nonexistent"), "gpcrondump").unwrap_err();
        assert_eq!(
            error.to_string(),
            "could not lock the pid file \"/nonexistent/gpcrondump.pid\""
        );
    }
}
