//! Where words for people go: to standard output, or to standard error when standard output belongs to `--json`.

use std::io::{self, Write};

use super::optparse::Parsed;

/// The screen of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Screen {
    Stdout,
    Stderr,
}

/// The option that makes standard output a JSON object.
pub const JSON: &str = "--json";

impl Screen {
    pub fn of(options: &Parsed) -> Screen {
        match options.knows(JSON) && options.has(JSON) {
            true => Screen::Stderr,
            false => Screen::Stdout,
        }
    }

    pub fn writer(self) -> Box<dyn Write + Send> {
        match self {
            Screen::Stdout => Box::new(io::stdout()),
            Screen::Stderr => Box::new(io::stderr()),
        }
    }
}
