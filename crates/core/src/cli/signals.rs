//! What Ctrl-C, `kill` and our own bugs do to a run.

use std::io;
use std::process;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::words::exit::Exit;

/// The first SIGINT or SIGTERM cancels the token, so that the run can clean up behind itself; the second ends the process
/// at once. SIGHUP is left alone: `nohup` must keep working.
pub fn cancel_on_signals() -> io::Result<CancellationToken> {
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut terminations = signal(SignalKind::terminate())?;
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tokio::spawn(async move {
        loop {
            let name = tokio::select! {
                _ = interrupts.recv() => "SIGINT",
                _ = terminations.recv() => "SIGTERM",
            };
            if cancelled.is_cancelled() {
                process::exit(Exit::Failed.code().into());
            }
            warn!("{name} received, stopping; once more stops without cleaning up");
            cancelled.cancel();
        }
    });
    Ok(token)
}

/// A panic is a bug: it is told like any other failure, and nothing after it can make the status look good.
pub fn die_on_panic(program: &'static str) {
    std::panic::set_hook(Box::new(move |panic| {
        let payload = panic.payload();
        let what = payload.downcast_ref::<&str>().copied();
        let what = what
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("unknown");
        let at = panic.location().map(|at| format!(" at {at}")).unwrap_or_default();
        tracing::error!(
            critical = true,
            "{program} failed. (Reason='this is a bug in {program}{at}: {what}') exiting..."
        );
        process::exit(Exit::Failed.code().into());
    }));
}
