//! Loads the data files of one host: read, unpack, find the COPY blocks, send the rows to a server, count.
//!
//! All files of a host are loaded at the same time, the tables of a file one after the other, as they stand in it. What
//! goes where was decided by the master (`plan::restore`); here is only one choice left: a table without rows needs no
//! COPY at all.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::protocol::Event;
use super::restore_file;
use crate::db::connect::Login;
use crate::db::tls::Canceller;
use crate::store::files::Files;
use crate::words::cluster::Instance;
use crate::words::dialect::Dialect;
use crate::words::ids::ContentId;
use crate::words::job::{LoadRoute, LoginAs};
use crate::words::layout::Compression;
use crate::words::names::QualifiedName;
use crate::words::place::Place;

/// Threads that unpack one file: more give nothing, for one thread finds the rows in what they unpack.
const MOST_DECODERS: usize = 4;

/// What all files of a host need to know.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RestoreStart {
    pub dialect: Dialect,
    pub login: LoginAs,
    pub master: LoadTarget,
    pub files: Vec<RestoreFile>,
    /// The route of tables that `routes` does not name.
    pub default_route: LoadRoute,
    pub routes: Vec<(QualifiedName, LoadRoute)>,
    /// Tables, as `schema.table`, that `only` of a file can refer to.
    #[serde(default)]
    pub choices: Vec<Vec<String>>,
    /// Most files loaded at the same time; `None`: all.
    #[serde(default)]
    pub at_once: Option<usize>,
    /// Rows go to the table of the same name in this schema.
    #[serde(default)]
    pub schema: Option<String>,
}

/// One data file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RestoreFile {
    /// The segment of the set that it holds the rows of.
    pub content: ContentId,
    pub path: Place,
    pub compression: Compression,
    /// Lower-case hex of the file as it lies there, when a manifest tells it.
    pub sha256: Option<String>,
    /// Where its index lies, if it has one.
    pub index: Place,
    /// Where rows with a direct route go.
    pub segment: Option<LoadTarget>,
    /// The tables to take out of it: a place in `choices`; `None`: all.
    #[serde(default)]
    pub only: Option<usize>,
    /// Rows of a table that is not among `only` mean that the list which says so is damaged: this one.
    #[serde(default)]
    pub list: Option<String>,
    /// This file is the one that [`LoadRoute::OnceThroughMaster`] takes the rows from.
    pub loads_copies: bool,
}

/// A server that rows go to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LoadTarget {
    pub instance: Instance,
    /// It runs on the worker's host: its unix socket can be tried.
    pub local: bool,
    /// The session is opened on this one instance alone.
    pub utility: bool,
}

/// What a restore answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestoreEvent {
    /// Tables whose rows are in, and committed.
    Loaded {
        content: ContentId,
        tables: Vec<LoadedTable>,
    },
    /// The rows of one table of this file are not in; the others go on.
    TableFailed {
        content: ContentId,
        table: QualifiedName,
        trouble: TableTrouble,
        message: String,
    },
    /// What was read since the last time; at most once a second for each file.
    Progress {
        content: ContentId,
        rows: u64,
        /// Of the text of the file.
        bytes: u64,
    },
    /// The file was read to its end and is what the manifest says.
    Finished {
        content: ContentId,
        tables: u64,
        rows: u64,
        bytes: u64,
    },
    /// The file could not be read or its server not be reached: some tables of it were not loaded.
    Failed { content: ContentId, message: String },
}

/// Rows of one table that came out of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadedTable {
    pub table: QualifiedName,
    pub rows: u64,
}

/// Whose fault it is that the rows of a table are not in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TableTrouble {
    /// The server refused them: an SQL error.
    Refused,
    /// The server counted other rows than the file has.
    RowCount,
}

/// Cancel requests for the statements that run for one `Restore`.
pub(super) type Cancels = Arc<Mutex<Vec<Canceller>>>;

/// Loads every file of `start`; answers with one `Finished` or `Failed` for each content, whatever happens. Files of one
/// content, which come from several sets of a chain, are loaded one after the other: each segment has one session.
pub async fn run(
    start: RestoreStart,
    login: &Login,
    data_files: &Files,
    events: &mpsc::Sender<Event>,
    cancel: CancellationToken,
) {
    let login = Login {
        user: start.login.user.clone(),
        ..login.clone()
    };
    let mut start = start;
    let files = std::mem::take(&mut start.files);
    let routes: HashMap<QualifiedName, LoadRoute> = std::mem::take(&mut start.routes).into_iter().collect();
    let choices = std::mem::take(&mut start.choices);
    let choices: Vec<HashSet<String>> = choices.into_iter().map(|names| names.into_iter().collect()).collect();
    let mut of_content: BTreeMap<ContentId, Vec<RestoreFile>> = BTreeMap::new();
    for file in files {
        of_content.entry(file.content).or_default().push(file);
    }
    let shared = Arc::new(restore_file::Shared {
        start,
        routes,
        choices,
        login,
        events: events.clone(),
        cancels: Cancels::default(),
        files: data_files.clone(),
        decoders: decoders(of_content.len()),
    });
    let mut tasks = JoinSet::new();
    let turns = Arc::new(Semaphore::new(shared.start.at_once.unwrap_or(Semaphore::MAX_PERMITS)));
    for (content, files) in of_content {
        let (shared, cancel, turns) = (Arc::clone(&shared), cancel.clone(), Arc::clone(&turns));
        tasks.spawn(async move {
            let load = async {
                // Never closed, so it is always had.
                let _turn = turns.acquire().await;
                load_content(&shared, content, files).await
            };
            let event = tokio::select! {
                event = load => event,
                () = cancel.cancelled() => RestoreEvent::Failed {
                    content,
                    message: "the restore was stopped".to_owned(),
                },
            };
            // Nobody listens any more when the master is gone.
            let _ = shared.events.send(Event::Restore(event)).await;
        });
    }
    loop {
        tokio::select! {
            joined = tasks.join_next() => match joined {
                None => break,
                // A panic is a bug; the master sees that the file's answer is missing when the worker ends.
                Some(Err(error)) => tracing::error!("loading a data file: {error}"),
                Some(Ok(())) => {}
            },
            () = cancel.cancelled() => {
                cancel_statements(&shared.cancels).await;
                while tasks.join_next().await.is_some() {}
                break;
            }
        }
    }
}

/// The cores are for all files of the host, and most of them for the servers that take the rows.
fn decoders(files_at_once: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    (cores / files_at_once.max(1)).clamp(1, MOST_DECODERS)
}

/// What can be loaded is loaded: a file that is damaged does not keep the others out.
async fn load_content(shared: &restore_file::Shared, content: ContentId, files: Vec<RestoreFile>) -> RestoreEvent {
    let (mut tables, mut rows, mut bytes) = (0, 0, 0);
    let mut failures = Vec::new();
    for file in files {
        match restore_file::load(shared, file).await {
            Ok(totals) => {
                tables += totals.tables;
                rows += totals.rows;
                bytes += totals.bytes;
            }
            Err(message) => failures.push(message),
        }
    }
    match failures.is_empty() {
        true => RestoreEvent::Finished {
            content,
            tables,
            rows,
            bytes,
        },
        false => RestoreEvent::Failed {
            content,
            message: failures.join("; "),
        },
    }
}

async fn cancel_statements(cancels: &Cancels) {
    let tokens = std::mem::take(&mut *cancels.lock().unwrap_or_else(PoisonError::into_inner));
    let asked = tokens.into_iter().map(Canceller::cancel);
    futures_util::future::join_all(asked).await;
}
