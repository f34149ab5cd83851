//! `--list-backups` at the edge: no log file, no lock, no server; what is wrong goes to standard error.

use std::io::{self, Write};

use chrono::Local;

use super::json::Troubles;
use super::program::{Program, Start};
use super::screen::Screen;
use crate::cli::failure;
use crate::format::run_report::{Action, NoBody};
use crate::gplog::{LogLevel, early_line};
use crate::plan::set_list::ListRequest;
use crate::run::list_sets;
use crate::store::files::Files;
use crate::words::exit::Exit;
use crate::words::refusal::Refusal;

/// Lists the sets on standard output, as a table or as JSON.
pub fn list_sets(
    program: &Program,
    start: &Start,
    notes: &[(LogLevel, String)],
    request: Result<(Files, ListRequest), Refusal>,
) -> Exit {
    let mut troubles = Troubles::default();
    let say = |level: LogLevel, text: &str| {
        if level >= LogLevel::Warning {
            let line = early_line(program.name, start.environment.pid, Local::now(), level, text);
            let _ = writeln!(io::stderr(), "{line}");
        }
    };
    for (level, text) in notes {
        say(*level, text);
    }
    let list = request.and_then(|(files, request)| list_sets::run(&files, &request, Local::now().naive_local()));
    match list {
        Ok(list) => {
            let exit = list.exit();
            for problem in &list.not_read {
                say(LogLevel::Warning, problem);
            }
            if start.screen == Screen::Stdout {
                // Whoever reads only the first lines of it may close the pipe.
                let _ = write!(io::stdout(), "{}", list.table());
            }
            start.json.tell(exit, None, troubles, Action::ListBackups, list);
            exit
        }
        Err(refusal) => {
            for (level, line) in failure::lines(program.name, &refusal, None) {
                // The hint too: it is all that the reader has.
                let _ = writeln!(
                    io::stderr(),
                    "{}",
                    early_line(program.name, start.environment.pid, Local::now(), level, &line)
                );
            }
            troubles.errors.push(refusal.text);
            troubles.hint = refusal.hint;
            start
                .json
                .tell(Exit::Failed, None, troubles, Action::ListBackups, NoBody {});
            Exit::Failed
        }
    }
}
