//! The files that are made from an option table and lie in the repository, for packagers and readers.
//!
//! Each program has a test that makes them anew and compares; `scripts/bless.sh` writes them.

use std::fs;
use std::io;
use std::path::Path;

use super::help::render;
use super::optparse::Origin;
use super::program::{Program, help_text};
use super::{completions, manual};

/// Path in the repository and text of each file.
pub fn files(program: &Program) -> Vec<(String, String)> {
    let name = program.name;
    vec![
        (format!("crates/{name}/tests/help.txt"), help_text(program)),
        (format!("docs/man/{name}.1"), manual::render(program)),
        (format!("completions/bash/{name}"), completions::bash(program)),
        (format!("completions/zsh/_{name}"), completions::zsh(program)),
        (format!("completions/fish/{name}.fish"), completions::fish(program)),
    ]
}

/// What is wrong with an option table, or with the files that were made from it; a sentence each. With `write` the files are
/// made anew first.
pub fn faults(program: &Program, repository: &Path, write: bool) -> io::Result<Vec<String>> {
    let mut faults = faults_of_help(program);
    let mut names: Vec<&str> = program
        .groups
        .iter()
        .flat_map(|group| group.options)
        .flat_map(|option| option.names)
        .copied()
        .collect();
    names.sort_unstable();
    let twice = names.windows(2).filter(|pair| pair[0] == pair[1]);
    faults.extend(twice.map(|pair| format!("{} belongs to two options", pair[0])));
    for (file, text) in files(program) {
        let path = repository.join(&file);
        if write {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::write(&path, &text)?;
        }
        if fs::read_to_string(&path).unwrap_or_default() != text {
            faults.push(format!(
                "{file} is not what the options make; run scripts/bless.sh, look at the difference and commit it"
            ));
        }
    }
    Ok(faults)
}

/// Each option is in the help text, with a word about it, unless it is meant not to be.
fn faults_of_help(program: &Program) -> Vec<String> {
    let help = render(program.page, program.groups, &[]);
    let mut faults = Vec::new();
    for option in program.groups.iter().flat_map(|group| group.options) {
        let shown = matches!(option.origin, Origin::Original | Origin::Ours);
        for name in option.names {
            let is_name = |word: &str| word.trim_end_matches(',') == *name;
            let listed = help.lines().filter(|line| line.starts_with("  -")).any(|line| {
                let mut words = line.split_whitespace().take_while(|word| word.starts_with('-'));
                words.any(is_name)
            });
            if listed != shown {
                faults.push(format!("{name} is in the help text: {listed}, and should be: {shown}"));
            }
        }
        if shown && option.help.is_empty() {
            faults.push(format!("{} has no word about it", option.id()));
        }
    }
    faults
}

/// The commands that the manual, the examples and a page of the documents show for this program, without its name.
pub fn shown_commands(program: &Program, page: &str) -> Vec<Vec<String>> {
    let tasks = program.page.manual.tasks.iter().flat_map(|task| task.commands);
    let commands = tasks.chain(program.page.examples).map(|(line, _)| *line);
    let indented = page.lines().filter_map(|line| line.strip_prefix("    "));
    let first = |line: &str, end: &str| line.split(end).next().unwrap_or_default().to_owned();
    commands
        .chain(indented)
        .filter_map(|line| {
            let command = first(&first(line, " #"), " | ");
            let rest = command.trim().strip_prefix(program.name)?.strip_prefix(' ')?;
            Some(rest.split_whitespace().map(str::to_owned).collect())
        })
        .collect()
}
