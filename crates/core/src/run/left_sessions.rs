//! Sessions of ours that are still on the master after a run that failed.
//!
//! A process of Greenplum's master that waits for a segment on a host which is gone hears neither a cancel request nor the
//! end of its client. It ends when TCP gives the connection up, or when the host is back, and keeps its locks until then.

use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use crate::db::activity;
use crate::gather::cluster::MasterAddress;
use crate::words::dialect::Dialect;

/// How long sessions have to end by themselves.
const FIRST_LOOK: Duration = Duration::from_millis(200);

/// How long an ordinary session may take to end after its client has gone.
const PATIENCE: Duration = Duration::from_secs(3);

/// For the whole look: the run has failed already, and a master that hangs must not hold it.
const LIMIT: Duration = Duration::from_secs(5);

/// Ends what is left of these processes, and of the sessions whose application name begins so; names those that do not
/// end.
pub(super) async fn tell(address: &MasterAddress, dialect: &Dialect, pids: &[i32], name_begins: Option<&str>) {
    let look = async {
        let session = address.open_maintenance().await.ok()?;
        let deadline = Instant::now() + PATIENCE;
        // Most end by themselves, and write no word of it into the server's log.
        tokio::time::sleep(FIRST_LOOK).await;
        loop {
            let left = activity::end_processes(&session, dialect, pids, name_begins).await;
            match left.ok()? {
                left if left.is_empty() || Instant::now() > deadline => {
                    session.close().await;
                    return Some(left);
                }
                _ => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    };
    // Where nobody can be asked, the failure itself has said so.
    let left = tokio::time::timeout(LIMIT, look).await.ok().flatten();
    for session in left.unwrap_or_default() {
        warn!(
            "{session} on the master was told to end and has not: most likely it waits for a server that does not answer; it \
             keeps its locks until that host is back or the network gives the connection up; where that cannot be waited for, \
             only a restart of the master ends it"
        );
    }
}
