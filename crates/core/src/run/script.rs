//! `-R`: a program that runs once, when all databases are dumped (`gpcrondump.md` 2.12).

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use tracing::{debug, error, info, warn};

use crate::db::error_chain;
use crate::tools::process::{Invocation, find_in};

/// A program that was found, and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Script {
    program: PathBuf,
    arguments: Vec<String>,
}

/// Looks for the program. The text is the path of a file, or words as a shell would split them; no shell ever sees it.
pub(super) fn locate(text: &str, path: &[PathBuf]) -> Option<Script> {
    let found = find(text, path);
    match &found {
        Some(_) => info!("Located {text}, will call after dump completed"),
        None => warn!("Could not locate {text}"),
    }
    found
}

fn find(text: &str, path: &[PathBuf]) -> Option<Script> {
    if Path::new(text).is_file() {
        return Some(Script {
            program: absolute(Path::new(text))?,
            arguments: Vec::new(),
        });
    }
    let mut words = shell_words::split(text).ok()?.into_iter();
    let name = words.next()?;
    let program = if name.contains('/') || Path::new(&name).is_file() {
        Some(PathBuf::from(&name)).filter(|file| file.is_file())
    } else {
        find_in(&name, path)
    };
    Some(Script {
        program: absolute(&program?)?,
        arguments: words.collect(),
    })
}

/// A name without `/` would be looked for in PATH when it is started.
fn absolute(file: &Path) -> Option<PathBuf> {
    std::path::absolute(file).ok()
}

/// False when it could not be run or ended badly; the log says so.
pub(super) async fn run(script: &Script) -> bool {
    let arguments = script.arguments.iter().map(OsString::from);
    // What it says is its own business; only a failure is told.
    match Invocation::new(&script.program, arguments).run().await {
        Ok(_) => {
            debug!("{} ended with status 0", script.program.display());
            true
        }
        Err(failure) => {
            error!("The program of -R failed: {}", error_chain(&failure));
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_taken_as_it_is_and_words_are_split_without_a_shell() {
        let root = tempfile::tempdir().unwrap();
        let odd = root.path().join("after all.sh");
        std::fs::write(&odd, "").unwrap();
        std::fs::write(root.path().join("tool"), "").unwrap();
        let folders = [root.path().to_owned()];
        let script = |program: PathBuf, arguments: &[&str]| {
            Some(Script {
                program,
                arguments: arguments.iter().map(|&word| word.to_owned()).collect(),
            })
        };
        assert_eq!(find(odd.to_str().unwrap(), &folders), script(odd.clone(), &[]));
        let quoted = format!("'{}' -x 'a b' \"$HOME\" ;", odd.display());
        assert_eq!(find(&quoted, &folders), script(odd, &["-x", "a b", "$HOME", ";"]));
        assert_eq!(find("tool 1", &folders), script(root.path().join("tool"), &["1"]));
        for missing in ["nosuch", "/nonexistent/x", "", "'"] {
            assert_eq!(find(missing, &folders), None, "{missing}");
        }
    }
}
