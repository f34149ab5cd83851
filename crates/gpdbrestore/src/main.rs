//! `gpdbrestore`: restores what `gpcrondump` wrote. The work is done by the library; here stands what it is done with.

mod checks;
mod manual;
mod options;
mod request;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use gpdump_core::cli::program::{self, Begun, Program};
use gpdump_core::cli::prompt::{self, Answer};
use gpdump_core::cli::signals::cancel_on_signals;
use gpdump_core::cli::storage::{end_with, open_files};
use gpdump_core::format::run_report::{Action, RestoreBody};
use gpdump_core::plan::restore_request::RestoreRequest;
use gpdump_core::run::Telling;
use gpdump_core::run::restore::Questions;
use gpdump_core::store::files::Files;
use gpdump_core::words::exit::Exit;
use tokio_util::sync::CancellationToken;

static PROGRAM: Program = Program {
    name: "gpdbrestore",
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
    let begun = program::start(&PROGRAM, argv)?.begin(&PROGRAM)?;
    let mut told = RestoreBody::default();
    let result = work(&begun, &mut told);
    let result = result.as_ref().map(|exit| *exit).map_err(AsRef::as_ref);
    let others = [
        ("-L", Action::ListTables),
        ("--list-backup", Action::ListBackup),
        ("--verify", Action::Verify),
    ];
    let action = others
        .into_iter()
        .find_map(|(option, action)| begun.options.has(option).then_some(action))
        .unwrap_or(Action::Restore);
    Ok(program::end(&PROGRAM, &begun, result, action, told))
}

fn work(begun: &Begun, told: &mut RestoreBody) -> anyhow::Result<Exit> {
    let (notes, request) = request::resolve(&begun.options, &begun.environment);
    program::log_notes(&notes);
    let request = request?;
    begun.log.hide(&request.external.secrets);
    let cancel = CancellationToken::new();
    let files = open_files(
        request.backup_root.as_ref(),
        &begun.options,
        &begun.environment,
        cancel.clone(),
    )?;
    program::in_runtime(program::LAST_WRITES, async {
        let signals = cancel_on_signals().context("could not listen for signals")?;
        end_with(&signals, &cancel);
        restore(begun, &request, &files, told, signals).await
    })
    .context("could not start the threads of the program")?
}

async fn restore(
    begun: &Begun,
    request: &RestoreRequest,
    files: &Files,
    told: &mut RestoreBody,
    cancel: CancellationToken,
) -> anyhow::Result<Exit> {
    let screen = begun.screen;
    let confirm = async || Ok(prompt::confirm(prompt::CONTINUE_RESTORE, screen, &cancel).await? == Answer::Yes);
    let choose = async |list: String, count: usize| prompt::choose(list, count, screen, &cancel).await;
    let now = || chrono::Local::now().naive_local();
    let questions = Questions { confirm, choose };
    let told = Telling {
        told,
        board: &begun.board,
    };
    Ok(gpdump_core::run::restore::run(&begun.environment, request, files, now, questions, told, &cancel).await?)
}
