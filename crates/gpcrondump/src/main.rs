//! `gpcrondump`: dumps databases. The work is done by the library; here stands what it is done with.

mod checks;
mod options;
mod request;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use gpdump_core::cli::pid_lock::{PidLock, PidLockError};
use gpdump_core::cli::program::{self, Begun, Program};
use gpdump_core::cli::prompt::{self, Answer};
use gpdump_core::cli::signals::cancel_on_signals;
use gpdump_core::plan::dump_request::DumpRequest;
use gpdump_core::words::environment::Environment;
use gpdump_core::words::exit::Exit;
use tokio_util::sync::CancellationToken;

static PROGRAM: Program = Program {
    name: "gpcrondump",
    version: env!("CARGO_PKG_VERSION"),
    groups: options::GROUPS,
    page: &options::HELP,
    not_built: checks::NOT_BUILT,
};

fn main() -> ExitCode {
    let argv: Vec<OsString> = std::env::args_os().skip(1).collect();
    let exit = if program::is_worker(&argv) {
        program::in_runtime(Duration::ZERO, program::serve_as_worker()).unwrap_or(Exit::Failed)
    } else {
        match program::begin(&PROGRAM, &argv) {
            Err(exit) => exit,
            Ok(begun) => {
                let result = work(&begun);
                program::end(
                    &PROGRAM,
                    &begun.log,
                    result.as_ref().map(|exit| *exit).map_err(AsRef::as_ref),
                    None,
                )
            }
        }
    };
    ExitCode::from(exit.code())
}

fn work(begun: &Begun) -> anyhow::Result<Exit> {
    let (notes, request) = request::resolve(&begun.options, &begun.environment);
    program::log_notes(&notes);
    let request = request?;
    let _lock = match PidLock::acquire(&request.master_data_dir, PROGRAM.name) {
        Ok(lock) => lock,
        Err(held @ PidLockError::Held { .. }) => {
            tracing::error!("{held}");
            return Ok(Exit::Failed);
        }
        Err(error) => return Err(error.into()),
    };
    program::in_runtime(program::LAST_WRITES, async {
        let cancel = cancel_on_signals().context("could not listen for signals")?;
        dump(&begun.environment, &request, cancel).await
    })
    .context("could not start the threads of the program")?
}

async fn dump(environment: &Environment, request: &DumpRequest, cancel: CancellationToken) -> anyhow::Result<Exit> {
    let confirm = async || Ok(prompt::confirm(prompt::CONTINUE_DUMP, &cancel).await? == Answer::Yes);
    let now = || chrono::Local::now().naive_local();
    Ok(gpdump_core::run::dump::run(environment, request, now, confirm, &cancel).await?)
}
