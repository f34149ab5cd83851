//! `gpcrondump`: dumps databases. The work is done by the library; here stands what it is done with.

mod checks;
mod manual;
mod options;
mod request;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use gpdump_core::cli::list_sets::list_sets;
use gpdump_core::cli::pid_lock::{PidLock, PidLockError};
use gpdump_core::cli::program::{self, Begun, Program};
use gpdump_core::cli::prompt::{self, Answer};
use gpdump_core::cli::signals::cancel_on_signals;
use gpdump_core::cli::storage::{end_with, open_files};
use gpdump_core::format::run_report::{Action, DumpBody};
use gpdump_core::plan::dump_request::DumpRequest;
use gpdump_core::run::Telling;
use gpdump_core::store::files::Files;
use gpdump_core::words::exit::Exit;
use gpdump_core::words::refusal::Refusal;
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
        run(&argv).unwrap_or_else(|over| over)
    };
    ExitCode::from(exit.code())
}

/// An error is the status of a run that never began.
fn run(argv: &[OsString]) -> Result<Exit, Exit> {
    let start = program::start(&PROGRAM, argv)?;
    if start.options.has("--list-backups") {
        let (notes, request) = request::resolve_list(&start.options, &start.environment);
        let request = request.and_then(|request| {
            let cancel = CancellationToken::new();
            let files = open_files(Some(&request.root), &start.options, &start.environment, cancel)?;
            Ok((files, request))
        });
        return Ok(list_sets(&PROGRAM, &start, &notes, request));
    }
    let begun = start.begin(&PROGRAM)?;
    let mut told = DumpBody::default();
    let result = work(&begun, &mut told);
    let result = result.as_ref().map(|exit| *exit).map_err(AsRef::as_ref);
    let action = [
        ("-o", Action::CleanUp),
        ("--list-filter-tables", Action::ListFilterTables),
    ]
    .into_iter()
    .find_map(|(option, action)| begun.options.has(option).then_some(action))
    .unwrap_or(Action::Dump);
    Ok(program::end(&PROGRAM, &begun, result, action, told))
}

fn work(begun: &Begun, told: &mut DumpBody) -> anyhow::Result<Exit> {
    let (notes, request) = request::resolve(&begun.options, &begun.environment);
    program::log_notes(&notes);
    let request = request?;
    if let Some(external) = &request.external {
        begun.log.hide(&external.secrets);
    }
    let cancel = CancellationToken::new();
    let files = open_files(
        request.backup_root.as_ref(),
        &begun.options,
        &begun.environment,
        cancel.clone(),
    )?;
    let locked = match request.lock_word() {
        None => PidLock::acquire(&request.master_data_dir, PROGRAM.name),
        Some(word) => PidLock::acquire_for(&request.master_data_dir, PROGRAM.name, &word),
    };
    let _lock = match locked {
        Ok(lock) => lock,
        Err(held @ PidLockError::Held { .. }) => {
            tracing::error!("{held}");
            return Ok(Exit::Failed);
        }
        Err(PidLockError::Io { path, source }) if source.kind() == std::io::ErrorKind::NotFound => {
            let directory = path.parent().unwrap_or(&path);
            let text = format!("directory {} is not there", directory.display());
            return Err(Refusal::failed(text)
                .with_hint("nothing was dumped; make it, or name another with -d or -u")
                .into());
        }
        Err(error) => return Err(error.into()),
    };
    program::in_runtime(program::LAST_WRITES, async {
        let signals = cancel_on_signals().context("could not listen for signals")?;
        end_with(&signals, &cancel);
        dump(begun, &request, &files, told, signals).await
    })
    .context("could not start the threads of the program")?
}

async fn dump(
    begun: &Begun,
    request: &DumpRequest,
    files: &Files,
    told: &mut DumpBody,
    cancel: CancellationToken,
) -> anyhow::Result<Exit> {
    let confirm = async || Ok(prompt::confirm(prompt::CONTINUE_DUMP, begun.screen, &cancel).await? == Answer::Yes);
    let now = || chrono::Local::now().naive_local();
    let told = Telling {
        told,
        board: &begun.board,
    };
    Ok(gpdump_core::run::dump::run(&begun.environment, request, files, now, confirm, told, &cancel).await?)
}
