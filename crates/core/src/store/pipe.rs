//! Named pipes that somebody made in the place of files (`gpcrondump --list-backup-files` tells their names): written and
//! read where they are, opened once, and never waited for without end.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::OFlags;

/// Longest wait for the program at the other end to open a pipe.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// How soon a wait is given up when nobody wants its end any more.
const STEP: Duration = Duration::from_millis(100);

/// A named pipe lies there.
pub fn is_pipe(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.file_type().is_fifo())
}

/// Tells a thread that waits for a pipe to leave.
#[derive(Debug, Clone, Default)]
pub struct GiveUp(Arc<AtomicBool>);

impl GiveUp {
    pub fn say(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn is_said(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Says it when it goes out of scope, as the future of a task that was cancelled does.
#[derive(Debug, Default)]
pub struct GiveUpOnDrop(pub GiveUp);

impl Drop for GiveUpOnDrop {
    fn drop(&mut self) {
        self.0.say();
    }
}

/// The writing end; opened by the first write, because that may have to wait for a reader.
#[derive(Debug)]
pub struct PipeWriter {
    path: PathBuf,
    file: Option<File>,
    patience: Duration,
    give_up: GiveUp,
}

impl PipeWriter {
    pub fn new(path: &Path, patience: Duration, give_up: GiveUp) -> Self {
        PipeWriter {
            path: path.to_owned(),
            file: None,
            patience,
            give_up,
        }
    }

    fn open(&mut self) -> io::Result<&File> {
        if self.file.is_none() {
            let begun = Instant::now();
            // Without a reader a blocking open would wait for ever; this one fails at once and can be tried again.
            let file = loop {
                let opened = OpenOptions::new()
                    .write(true)
                    .custom_flags(OFlags::NONBLOCK.bits() as i32)
                    .open(&self.path);
                match opened {
                    Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => {
                        wait_on(begun, self.patience, || self.give_up.is_said(), "reads from")?;
                        std::thread::sleep(STEP);
                    }
                    other => break other?,
                }
            };
            self.file = Some(file);
        }
        self.file.as_ref().ok_or_else(|| ErrorKind::NotConnected.into())
    }
}

impl Write for PipeWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.open()?;
        let mut file = self.open()?;
        loop {
            match file.write(bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    poll(file, PollFlags::OUT)?;
                    if self.give_up.is_said() {
                        return Err(given_up());
                    }
                    file = self.file.as_ref().ok_or(ErrorKind::NotConnected)?;
                }
                other => return other,
            }
        }
    }

    /// Opens the pipe even when there was nothing to write: its reader waits for an end.
    fn flush(&mut self) -> io::Result<()> {
        self.open().map(|_| ())
    }
}

/// The reading end.
#[derive(Debug)]
pub struct PipeReader<G> {
    file: File,
    begun: Instant,
    patience: Duration,
    /// A writer has been there.
    has_begun: bool,
    give_up: G,
}

impl<G: Fn() -> bool> PipeReader<G> {
    /// Opens the pipe at once; the first read waits for its writer.
    pub fn open(path: &Path, patience: Duration, give_up: G) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(OFlags::NONBLOCK.bits() as i32)
            .open(path)?;
        Ok(PipeReader {
            file,
            begun: Instant::now(),
            patience,
            has_begun: false,
            give_up,
        })
    }
}

impl<G: Fn() -> bool> Read for PipeReader<G> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            // Before the first writer a read would say "end": only poll tells that none was there yet.
            if !self.has_begun {
                self.has_begun = poll(&self.file, PollFlags::IN)?;
                if !self.has_begun {
                    wait_on(self.begun, self.patience, &self.give_up, "writes into")?;
                    continue;
                }
            }
            match self.file.read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    poll(&self.file, PollFlags::IN)?;
                    if (self.give_up)() {
                        return Err(given_up());
                    }
                }
                other => return other,
            }
        }
    }
}

fn wait_on(begun: Instant, patience: Duration, give_up: impl Fn() -> bool, does: &str) -> io::Result<()> {
    if give_up() {
        return Err(given_up());
    }
    if begun.elapsed() >= patience {
        return Err(io::Error::new(
            ErrorKind::TimedOut,
            format!(
                "it is a named pipe, and for {} seconds there was no program that {does} it",
                patience.as_secs()
            ),
        ));
    }
    Ok(())
}

/// False when nothing happened within [`STEP`].
fn poll(file: &File, what: PollFlags) -> io::Result<bool> {
    let step = Timespec {
        tv_sec: 0,
        tv_nsec: STEP.subsec_nanos().into(),
    };
    match rustix::event::poll(&mut [PollFd::new(file, what)], Some(&step)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

fn given_up() -> io::Error {
    io::Error::other("the work was given up while it waited for a named pipe")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipe() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
        (dir, path)
    }

    #[test]
    fn bytes_go_through_whoever_comes_first() {
        for writer_first in [true, false] {
            let (_dir, path) = pipe();
            let text: Vec<u8> = (0..300_000u32).map(|n| n as u8).collect();
            let (from, to) = (path.clone(), text.clone());
            let pause = Duration::from_millis(if writer_first { 150 } else { 0 });
            let reading = std::thread::spawn(move || {
                std::thread::sleep(pause);
                let mut found = Vec::new();
                let mut reader = PipeReader::open(&from, PATIENCE, || false).unwrap();
                reader.read_to_end(&mut found).unwrap();
                found
            });
            std::thread::sleep(Duration::from_millis(150) - pause);
            let mut writer = PipeWriter::new(&path, PATIENCE, GiveUp::default());
            writer.write_all(&to).unwrap();
            drop(writer);
            assert!(reading.join().unwrap() == text);
        }
    }

    #[test]
    fn nobody_is_waited_for_without_end() {
        let (_dir, path) = pipe();
        let soon = Duration::from_millis(50);
        let error = PipeWriter::new(&path, soon, GiveUp::default()).write(b"x").unwrap_err();
        assert_eq!(
            error.to_string(),
            "it is a named pipe, and for 0 seconds there was no program that reads from it"
        );
        let mut reader = PipeReader::open(&path, soon, || false).unwrap();
        let error = reader.read(&mut [0; 9]).unwrap_err();
        assert!(error.to_string().ends_with("no program that writes into it"), "{error}");
    }

    #[test]
    fn a_wait_ends_when_it_is_given_up() {
        let (_dir, path) = pipe();
        let give_up = GiveUp::default();
        let guard = GiveUpOnDrop(give_up.clone());
        let waiting = std::thread::spawn(move || PipeWriter::new(&path, PATIENCE, give_up).flush());
        drop(guard);
        assert!(waiting.join().unwrap().unwrap_err().to_string().contains("given up"));
    }
}
