//! Reads the data files of one host for `gpdbrestore --verify`: no server is asked, nothing is written.
//!
//! As many files at once as the host has cores: unpacking is what takes the time. What one file holds is found out in
//! [`super::verify_file`]; here is who does it, and how it is told.

use std::collections::HashSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::protocol::Event;
use super::verify_file;
use crate::format::data_check::CheckedBlock;
use crate::store::files::Files;
use crate::words::job::FileStamp;
use crate::words::layout::Compression;
use crate::words::place::Place;

/// Tables told to the master in one event.
const TABLES_PER_EVENT: usize = 200;

/// What is read on one host.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct VerifyStart {
    pub files: Vec<VerifyFile>,
    /// Tables, as `schema.table`, that `only` of a file can refer to.
    pub choices: Vec<Vec<String>>,
}

/// One data file with what lies beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyFile {
    /// The master's number for it; comes back with the answers.
    pub number: usize,
    pub path: Place,
    pub compression: Compression,
    /// Lower-case hex of the file as it lies there, when a manifest tells it.
    pub sha256: Option<String>,
    /// Name of its index; the set need not have one.
    pub index: String,
    /// Name of the status file of the dump.
    pub status: String,
    /// Files in the same directory that the manifest lists too.
    pub beside: Vec<FileStamp>,
    /// The tables to look at: a place in `choices`; `None`: all.
    pub only: Option<usize>,
}

/// What a host answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VerifyEvent {
    Tables {
        number: usize,
        tables: Vec<CheckedBlock>,
    },
    /// Nothing more comes about this file.
    Finished {
        number: usize,
        findings: Findings,
    },
}

/// What a file is like, beside its tables.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// Why the file, or what is not told of it by `Tables`, cannot be used.
    pub problem: Option<String>,
    /// What is wrong with the files beside it; rows do not depend on them.
    pub beside: Vec<String>,
    /// What could not be checked.
    pub unchecked: Vec<String>,
}

/// Reads every file of `start`; answers with one `Finished` for each, whatever happens.
pub async fn run(start: VerifyStart, files: &Files, events: &mpsc::Sender<Event>, cancel: CancellationToken) {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let turns = Arc::new(Semaphore::new(cores));
    let choices = start.choices.into_iter().map(|names| names.into_iter().collect());
    let choices: Arc<Vec<HashSet<String>>> = Arc::new(choices.collect());
    let mut tasks = JoinSet::new();
    for file in start.files {
        let (turns, choices, cancel) = (Arc::clone(&turns), Arc::clone(&choices), cancel.clone());
        let (events, files) = (events.clone(), files.clone());
        tasks.spawn(async move {
            let _turn = turns.acquire_owned().await;
            let number = file.number;
            let looked = tokio::task::spawn_blocking(move || {
                let only = file.only.and_then(|choice| choices.get(choice));
                verify_file::check(&files, &file, only, &cancel)
            });
            let (tables, findings) = looked.await.unwrap_or_else(|panic| {
                let problem = Some(format!(
                    "looking at it failed, which is a fault of this program: {panic}"
                ));
                (
                    Vec::new(),
                    Findings {
                        problem,
                        ..Findings::default()
                    },
                )
            });
            for part in tables.chunks(TABLES_PER_EVENT) {
                let tables = part.to_vec();
                let _ = events.send(Event::Verify(VerifyEvent::Tables { number, tables })).await;
            }
            // Nobody listens any more when the master is gone.
            let _ = events
                .send(Event::Verify(VerifyEvent::Finished { number, findings }))
                .await;
        });
    }
    while tasks.join_next().await.is_some() {}
}
