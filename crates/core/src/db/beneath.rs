//! The servers that a master hands statements on to, asked beside it: a statement that waits for a segment that hangs looks,
//! from the master, like one that works.
//!
//! Only a segment that takes a connection and then says nothing at all counts as silent. One that refuses, or that cannot be
//! found, is left to the master, whose own dispatcher notices that.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::connect::{ConnectSpec, connect};

/// Segments asked at the same time.
const AT_ONCE: usize = 64;

/// All segments of a cluster; sessions on its master share one.
#[derive(Debug, Default)]
pub struct Beneath {
    segments: Vec<ConnectSpec>,
    /// Start-up setting for a session that stays on the master.
    pub(super) utility_setting: Option<String>,
    /// When they were asked last, and which of them was silent.
    last: Mutex<Option<(Instant, Option<String>)>>,
}

impl Beneath {
    pub fn new(segments: Vec<ConnectSpec>, utility_setting: Option<String>) -> Arc<Beneath> {
        Arc::new(Beneath {
            segments,
            utility_setting,
            last: Mutex::default(),
        })
    }

    pub(super) fn count(&self) -> usize {
        self.segments.len()
    }

    /// A segment that gives no sign of life within `limit`. Sessions that wait at the same time ask once.
    pub(super) async fn silent(&self, limit: Duration, every: Duration) -> Option<String> {
        let mut last = self.last.lock().await;
        if let Some((at, found)) = &*last
            && at.elapsed() < every
        {
            return found.clone();
        }
        let asked = stream::iter(self.segments.clone()).map(|spec: ConnectSpec| async move {
            let host = spec.hosts.first()?;
            // Its own limit must not be the shorter one: then its failure would look like an answer.
            let answer = tokio::time::timeout(limit, connect(&spec, host, 2 * limit)).await;
            match answer {
                Err(_) => Some(spec.whom),
                Ok(Ok(wire)) => {
                    wire.driver.abort();
                    None
                }
                Ok(Err(_)) => None,
            }
        });
        let silent = asked.buffer_unordered(AT_ONCE).filter_map(std::future::ready);
        let found = std::pin::pin!(silent).next().await;
        *last = Some((Instant::now(), found.clone()));
        found
    }
}
