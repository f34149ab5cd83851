//! How far a run is, for whoever wants to show it. The run writes, somebody else reads; nobody waits for the other.

use std::sync::{Mutex, PoisonError};

/// Sums over all segments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    /// `Dumping sales`.
    pub subject: String,
    pub segments: u64,
    /// Segments that are through.
    pub segments_done: u64,
    /// Tables that every segment is through with; 0 of 0 where nobody counts them.
    pub tables: u64,
    pub tables_done: u64,
    pub rows: u64,
    /// Of the rows as text.
    pub bytes: u64,
    /// How many bytes it will be, roughly; `None`: nobody can tell.
    pub bytes_total: Option<u64>,
}

/// The one place that a run and its display share.
#[derive(Debug, Default)]
pub struct ProgressBoard {
    /// `None` while there is nothing to be shown.
    figures: Mutex<Option<Figures>>,
}

impl ProgressBoard {
    pub fn begin(&self, figures: Figures) {
        *self.lock() = Some(figures);
    }

    pub fn update(&self, change: impl FnOnce(&mut Figures)) {
        if let Some(figures) = &mut *self.lock() {
            change(figures);
        }
    }

    pub fn end(&self) {
        *self.lock() = None;
    }

    pub fn figures(&self) -> Option<Figures> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Figures>> {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
