//! The options of a program beside the tests that show what they do.

use std::fs;
use std::path::Path;

/// Each option (all its names, the first is the one that it is listed by) has one test, as `file::function`, which is
/// there and uses it. `command_line` lies beside the program, in `crate_directory`; the others run the programs on servers.
#[track_caller]
pub fn assert_tested(options: &[&[&str]], tested: &[(&str, &str)], crate_directory: &Path) {
    let mut wrong = Vec::new();
    for names in options {
        let tests: Vec<&str> = tested
            .iter()
            .filter(|(option, _)| *option == names[0])
            .map(|(_, test)| *test)
            .collect();
        match tests[..] {
            [test] => wrong.extend(fault_of(names, test, crate_directory)),
            _ => wrong.push(format!("{} has {} tests", names[0], tests.len())),
        }
    }
    let is_option = |option: &str| options.iter().any(|names| names[0] == option);
    let strangers = tested.iter().filter(|(option, _)| !is_option(option));
    wrong.extend(strangers.map(|(option, _)| format!("{option} is no option")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn fault_of(names: &[&str], test: &str, crate_directory: &Path) -> Option<String> {
    let (file, function) = test.split_once("::")?;
    let folder = match file {
        "command_line" => crate_directory.join("tests"),
        _ => crate_directory.join("../../tests/tests"),
    };
    let Ok(text) = fs::read_to_string(folder.join(format!("{file}.rs"))) else {
        return Some(format!("there is no file of {test}"));
    };
    let Some(body) = text
        .split("#[test]")
        .find(|part| part.contains(&format!("\nfn {function}(")))
    else {
        return Some(format!("there is no test {test}"));
    };
    // Words may be made by what the tests of a file share, which stands in front of the first of them.
    let shared = text.split("#[test]").next().unwrap_or_default();
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let has_word = |text: &str, word: &str| text.split(|c: char| !is_part(c)).any(|other| other == word);
    let uses = names.iter().any(|name| has_word(body, name) || has_word(shared, name));
    (!uses).then(|| format!("{test} does not use {}", names[0]))
}
