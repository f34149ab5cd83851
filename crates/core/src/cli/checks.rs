//! Which options go together: each program has one list of checks in the order of the original, run by this module.
//!
//! Nothing here needs a server, so that a wrong command line is told as such even when the cluster is down (the
//! originals connected first).

use crate::gplog::LogLevel;
use crate::words::environment::Environment;
use crate::words::refusal::{Refusal, RefusalClass};

use super::optparse::Parsed;

/// What a check may look at.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub options: &'a Parsed,
    pub environment: &'a Environment,
}

/// What a check has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// A line for the log; the run goes on.
    Note(LogLevel, String),
    Refused(Refusal),
}

impl Finding {
    pub fn info(text: impl Into<String>) -> Option<Self> {
        Some(Finding::Note(LogLevel::Info, text.into()))
    }

    pub fn warning(text: impl Into<String>) -> Option<Self> {
        Some(Finding::Note(LogLevel::Warning, text.into()))
    }

    pub fn known(text: impl Into<String>) -> Option<Self> {
        Some(Finding::Refused(Refusal::known(text)))
    }

    pub fn failed(text: impl Into<String>) -> Option<Self> {
        Some(Finding::Refused(Refusal::failed(text)))
    }
}

/// One check, with its number in the specification's list (`gpcrondump.md` 1.4, `gpdbrestore.md` 1.3).
#[derive(Debug, Clone, Copy)]
pub struct Check {
    pub number: &'static str,
    rule: Rule,
}

#[derive(Debug, Clone, Copy)]
enum Rule {
    /// Refused when of each of these sets at least one option is given.
    Clash(RefusalClass, &'static [&'static [&'static str]], &'static str),
    Ask(fn(&Asked) -> Option<Finding>),
}

/// CRITICAL `... failed. (Reason='<text>') exiting...` when one option of each set is given.
pub const fn failed(number: &'static str, sets: &'static [&'static [&'static str]], text: &'static str) -> Check {
    Check {
        number,
        rule: Rule::Clash(RefusalClass::Failed, sets, text),
    }
}

/// ERROR `... error: <text>` when one option of each set is given.
pub const fn known(number: &'static str, sets: &'static [&'static [&'static str]], text: &'static str) -> Check {
    Check {
        number,
        rule: Rule::Clash(RefusalClass::Known, sets, text),
    }
}

/// ERROR `...: error: <text>` when one option of each set is given.
pub const fn argument(number: &'static str, sets: &'static [&'static [&'static str]], text: &'static str) -> Check {
    Check {
        number,
        rule: Rule::Clash(RefusalClass::Argument, sets, text),
    }
}

/// Whatever the function finds.
pub const fn ask(number: &'static str, question: fn(&Asked) -> Option<Finding>) -> Check {
    Check {
        number,
        rule: Rule::Ask(question),
    }
}

/// Runs the checks in order up to the first refusal. The notes are those made before it.
pub fn run(checks: &[Check], asked: &Asked) -> (Vec<(LogLevel, String)>, Result<(), Refusal>) {
    let mut notes = Vec::new();
    for check in checks {
        match check.find(asked) {
            None => {}
            Some(Finding::Note(level, text)) => notes.push((level, text)),
            Some(Finding::Refused(refusal)) => return (notes, Err(refusal)),
        }
    }
    (notes, Ok(()))
}

impl Check {
    fn find(&self, asked: &Asked) -> Option<Finding> {
        match self.rule {
            Rule::Ask(question) => question(asked),
            Rule::Clash(class, sets, text) => {
                let clash = sets.iter().all(|set| set.iter().any(|id| asked.options.has(id)));
                clash.then(|| {
                    Finding::Refused(Refusal {
                        class,
                        ..Refusal::known(text)
                    })
                })
            }
        }
    }
}

/// The first option on the command line that is in the list of those not built, as a refusal. The list holds options
/// and what to do without them; building one is deleting its line.
pub fn refuse_not_built(not_built: &[(&str, &str)], options: &Parsed) -> Result<(), Refusal> {
    for id in options.order() {
        if let Some((_, advice)) = not_built.iter().find(|(option, _)| *option == id)
            && options.has(id)
        {
            return Err(Refusal::known(format!("option {id} is not built yet: {advice}")));
        }
    }
    Ok(())
}
