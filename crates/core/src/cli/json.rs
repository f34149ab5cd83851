//! `--json`: how a run tells a program what came of it.

use std::io::{self, Write};
use std::time::Instant;

use chrono::{DateTime, Local};
use serde::Serialize;

use super::program::Program;
use crate::format::run_report::{self, Action, Outcome, RunReport};
use crate::gplog::{Log, Told};
use crate::words::exit::Exit;

/// What is known of a run when it begins.
#[derive(Debug, Clone)]
pub struct JsonTeller {
    /// `--json` was given; else nothing is printed.
    wanted: bool,
    program: &'static str,
    version: &'static str,
    command_line: String,
    started: DateTime<Local>,
    clock: Instant,
    pub(super) host: Option<String>,
}

/// What is wrong, beside or instead of what stands in the log.
#[derive(Debug, Clone, Default)]
pub struct Troubles {
    pub errors: Vec<String>,
    pub hint: Option<String>,
}

impl JsonTeller {
    pub(super) fn new(program: &Program, wanted: bool, command_line: String) -> Self {
        JsonTeller {
            wanted,
            program: program.name,
            version: program.version,
            command_line,
            started: Local::now(),
            clock: Instant::now(),
            host: None,
        }
    }

    /// Prints the object, if it is wanted. Called once, when nothing is left to be done.
    pub fn tell<Body: Serialize>(&self, exit: Exit, log: Option<&Log>, troubles: Troubles, action: Action, body: Body) {
        if !self.wanted {
            return;
        }
        let told = log.map_or_else(Told::default, Log::told);
        let report = RunReport {
            format: run_report::FORMAT,
            program: self.program.to_owned(),
            version: self.version.to_owned(),
            action,
            exit_status: exit.code(),
            outcome: Outcome::from(exit),
            command_line: self.command_line.clone(),
            host: self.host.clone(),
            started: self.started.to_rfc3339(),
            ended: Local::now().to_rfc3339(),
            seconds: (self.clock.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
            log_file: log.map(|log| log.file().to_owned()),
            warnings: told.warnings,
            errors: told.errors.into_iter().chain(troubles.errors).collect(),
            hint: troubles.hint,
            body,
        };
        let mut out = io::stdout();
        if let Err(error) = out.write_all(report.line().as_bytes()).and_then(|()| out.flush()) {
            let _ = writeln!(
                io::stderr(),
                "{}: the JSON object could not be written to standard output: {error}",
                self.program
            );
        }
    }
}
