//! The longest waits of a run: nothing waits without one of them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long to wait for others before they count as lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// For a login on a host or at a server, retries included.
    pub connect: Duration,
    /// For any sign of life of a worker, of the master (as a worker sees it) or of a server. A statement may take as long
    /// as it wants while its server answers others.
    pub silence: Duration,
    /// For a lock that another session holds.
    pub lock: Duration,
}

/// The least that `silence` can be: workers say every second that they live.
pub const LEAST_SILENCE_SECONDS: u64 = 3;

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connect: Duration::from_secs(60),
            silence: Duration::from_secs(60),
            lock: Duration::from_secs(600),
        }
    }
}

impl Limits {
    /// How long a server may think about a statement before it is asked, over another connection, whether it lives.
    pub fn first_question(&self) -> Duration {
        (self.silence / 4).clamp(Duration::from_millis(500), Duration::from_secs(15))
    }
}
