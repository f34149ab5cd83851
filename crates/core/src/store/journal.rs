//! A file that lines are added to while the work goes on, by a thread of its own: a slow disk does not slow the work.
//!
//! What was handed over is written at once and synced once a second. A file that cannot be written ends the journal and not
//! the work; whoever keeps it is told by [`Journal::trouble`].

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::data_file::{self, replace_file};
use crate::words::place::Place;

const SYNC_EVERY: Duration = Duration::from_secs(1);

/// Longest wait for the last lines to be on disk.
const CLOSE_LIMIT: Duration = Duration::from_secs(10);

/// The end of a file that grows. Dropping it waits for what was handed over, for a time.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    lines: Option<Sender<String>>,
    /// Says nothing; ends with the thread.
    done: Receiver<()>,
    trouble: Arc<Mutex<Option<String>>>,
}

impl Journal {
    /// Writes the file anew (mode 0600), whole or not at all, with this in it.
    pub fn begin(path: &Path, text: &str) -> Result<Journal, data_file::Error> {
        let place = Place::Local(path.to_owned());
        replace_file(path, text.as_bytes())?;
        let opened = OpenOptions::new().append(true).open(path);
        let file = opened.map_err(data_file::io_error("open", &place))?;
        let (lines, waiting) = channel();
        let (ending, done) = channel();
        let trouble: Arc<Mutex<Option<String>>> = Arc::default();
        let journal = Journal {
            path: path.to_owned(),
            lines: Some(lines),
            done,
            trouble: Arc::clone(&trouble),
        };
        std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || {
                if let Err(error) = write_lines(file, &waiting) {
                    *trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
                }
                drop(ending);
            })
            .map_err(data_file::io_error("start the thread for", &place))?;
        Ok(journal)
    }

    /// Hands over a line with its line end. Never waits.
    pub fn add(&self, line: String) {
        if let Some(lines) = &self.lines {
            // A thread that has ended has said why.
            let _ = lines.send(line);
        }
    }

    /// Why nothing more is written, with the name of the file.
    pub fn trouble(&self) -> Option<String> {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble
            .as_ref()
            .map(|error| format!("could not write \"{}\": {error}", self.path.display()))
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        drop(self.lines.take());
        // A disk that hangs keeps its thread and not the program.
        let _ = self.done.recv_timeout(CLOSE_LIMIT);
    }
}

fn write_lines(mut file: File, waiting: &Receiver<String>) -> std::io::Result<()> {
    let mut unsynced_since: Option<Instant> = None;
    loop {
        let wait = match unsynced_since {
            Some(since) => SYNC_EVERY.saturating_sub(since.elapsed()),
            None => Duration::MAX,
        };
        match waiting.recv_timeout(wait) {
            Ok(line) => {
                file.write_all(line.as_bytes())?;
                unsynced_since.get_or_insert_with(Instant::now);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return file.sync_data(),
        }
        if unsynced_since.is_some_and(|since| since.elapsed() >= SYNC_EVERY) {
            file.sync_data()?;
            unsynced_since = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stand_in_the_file_in_their_order_when_the_journal_is_closed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let journal = Journal::begin(&path, "first\n").unwrap();
        (0..1000).for_each(|number| journal.add(format!("{number}\n")));
        assert_eq!(journal.trouble(), None);
        drop(journal);
        let expected: String = (0..1000).map(|number| format!("{number}\n")).collect();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("first\n{expected}"));
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).unwrap());
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_cannot_be_made_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        assert!(Journal::begin(&directory.path().join("no/journal"), "").is_err());
    }
}
