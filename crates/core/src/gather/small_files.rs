//! The files of the master that a restore can do without: whether they are still worth something.

use crate::db::error_chain;
use crate::format::report::{self, Conclusion};
use crate::format::sql_script::Script;
use crate::format::state::{LastOperations, ModCounts};
use crate::format::status::{self, Verdict};
use crate::format::{cdatabase::Cdatabase, increments};
use crate::plan::restore::DumpSet;
use crate::store::files::Files;
use crate::words::layout::DumpFileKind;
use crate::words::place::Place;

/// A sentence for each file that is damaged, and for each that every set has and this one has not.
pub fn problems(files: &Files, set: &DumpSet) -> Vec<String> {
    let mut problems = Vec::new();
    for (kind, look) in FILES {
        let name = match kind {
            DumpFileKind::Cdatabase | DumpFileKind::Global | DumpFileKind::Statistics | DumpFileKind::Status => {
                set.names.of_master(*kind)
            }
            _ => set.names.of_set(*kind),
        };
        let path = set.directory.join(name);
        let problem = match files.read(&path) {
            Ok(bytes) => look(&bytes, &path, set).err(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let always = matches!(kind, DumpFileKind::Cdatabase | DumpFileKind::Status);
                always.then(|| "it is missing".to_owned())
            }
            Err(error) => Some(format!("it could not be read: {error}")),
        };
        problems.extend(problem.map(|problem| format!("file \"{}\": {problem}", path.display())));
    }
    problems
}

type Look = fn(&[u8], &Place, &DumpSet) -> Result<(), String>;

const FILES: &[(DumpFileKind, Look)] = &[
    (DumpFileKind::Cdatabase, |bytes, _, _| {
        let text = String::from_utf8_lossy(bytes);
        Cdatabase::parse(&text).map(drop).map_err(|error| error_chain(&error))
    }),
    (DumpFileKind::Global, |bytes, _, _| script(bytes)),
    (DumpFileKind::Statistics, |bytes, _, _| script(bytes)),
    (DumpFileKind::Status, |bytes, _, _| {
        match status::verdict(&String::from_utf8_lossy(bytes)) {
            Verdict::Finished => Ok(()),
            Verdict::FinishedWithErrors(errors) | Verdict::Unfinished(errors) => Err(match errors.first() {
                Some(error) => format!("it tells of an error of the dump: {error}"),
                None => "it does not say that the dump came to its end".to_owned(),
            }),
        }
    }),
    (DumpFileKind::Report, |bytes, _, set| {
        let facts = report::parse(&String::from_utf8_lossy(bytes), &set.names.prefix, set.names.key);
        match facts.conclusion {
            Some(Conclusion::Success) => Ok(()),
            Some(_) => Err("it says that the dump had errors".to_owned()),
            None => Err("it has no last line".to_owned()),
        }
    }),
    (DumpFileKind::AoState, |bytes, _, _| counts(bytes)),
    (DumpFileKind::CoState, |bytes, _, _| counts(bytes)),
    (DumpFileKind::LastOperation, |bytes, _, _| {
        let text = String::from_utf8_lossy(bytes);
        LastOperations::parse(&text)
            .map(drop)
            .map_err(|bad| format!("the next increment cannot compare with it: {bad:?}"))
    }),
    (DumpFileKind::Increments, |bytes, path, _| {
        let text = String::from_utf8_lossy(bytes);
        increments::parse(&text, &path.display().to_string())
            .map(drop)
            .map_err(|bad| bad.to_string())
    }),
];

fn script(bytes: &[u8]) -> Result<(), String> {
    if bytes.is_empty() {
        return Err("it is empty".to_owned());
    }
    Script::parse(bytes).map(drop).map_err(|error| error.to_string())
}

fn counts(bytes: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(bytes);
    ModCounts::parse(&text)
        .map(drop)
        .map_err(|bad| format!("the next increment cannot compare with it: {bad:?}"))
}
