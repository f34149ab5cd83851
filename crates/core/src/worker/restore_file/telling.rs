//! What the master hears of a data file that is loaded.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::words::ids::ContentId;
use crate::words::names::QualifiedName;
use crate::worker::protocol::{Event, LogLevel};
use crate::worker::restore_segment::{LoadedTable, RestoreEvent, TableTrouble};

/// How often progress is told at most.
pub(super) const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// Tables told to the master in one event.
const TABLES_PER_EVENT: usize = 200;

/// Gathers what is not urgent.
pub(super) struct Telling {
    events: mpsc::Sender<Event>,
    content: ContentId,
    loaded: Vec<LoadedTable>,
    /// Of loaded tables, all and those told.
    rows: u64,
    rows_told: u64,
    /// Read and not told yet.
    bytes: u64,
    told: Instant,
}

impl Telling {
    pub(super) fn new(events: mpsc::Sender<Event>, content: ContentId) -> Self {
        Telling {
            events,
            content,
            loaded: Vec::new(),
            rows: 0,
            rows_told: 0,
            bytes: 0,
            told: Instant::now(),
        }
    }

    pub(super) async fn read(&mut self, bytes: u64) {
        self.bytes += bytes;
        if self.told.elapsed() >= PROGRESS_EVERY {
            let event = RestoreEvent::Progress {
                content: self.content,
                rows: self.rows - self.rows_told,
                bytes: std::mem::take(&mut self.bytes),
            };
            self.rows_told = self.rows;
            self.told = Instant::now();
            self.tell(event).await;
            // Soon: what the master knows to be loaded is not loaded again when the restore is gone on with.
            self.all_loaded().await;
        }
    }

    pub(super) async fn loaded(&mut self, table: QualifiedName, rows: u64) {
        self.rows += rows;
        self.loaded.push(LoadedTable { table, rows });
        if self.loaded.len() >= TABLES_PER_EVENT {
            self.all_loaded().await;
        }
    }

    /// Tells of all tables that are in.
    pub(super) async fn all_loaded(&mut self) {
        let tables = std::mem::take(&mut self.loaded);
        if !tables.is_empty() {
            let content = self.content;
            self.tell(RestoreEvent::Loaded { content, tables }).await;
        }
    }

    pub(super) async fn failed(&self, table: QualifiedName, trouble: TableTrouble, message: String) {
        let content = self.content;
        self.tell(RestoreEvent::TableFailed {
            content,
            table,
            trouble,
            message,
        })
        .await;
    }

    pub(super) async fn debug(&self, text: String) {
        let level = LogLevel::Debug;
        let _ = self.events.send(Event::Log { level, text }).await;
    }

    async fn tell(&self, event: RestoreEvent) {
        let _ = self.events.send(Event::Restore(event)).await;
    }
}
