//! Completions for bash, zsh and fish, made from the option table.
//!
//! Beside names of options they know files, directories, databases (asked from the server, if it answers) and timestamp
//! keys (of the sets that `gpcrondump --list-backups` shows).

use super::optparse::{Argument, OptionDef, Origin};
use super::program::Program;

/// What can stand behind an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Follows {
    Nothing,
    File,
    Directory,
    Database,
    Key,
    Words(&'static [&'static str]),
    /// Something that nobody can guess.
    Text,
}

/// By the word that the help text shows.
fn follows(option: &OptionDef) -> Follows {
    match option.argument {
        Argument::None | Argument::NoneAndStop => Follows::Nothing,
        Argument::OptionalWord(words) => Follows::Words(words),
        Argument::Int(_) => Follows::Text,
        Argument::Text(shown) => match shown {
            "FILE" | "FILE.yaml" | "PROGRAM" => Follows::File,
            "DIRECTORY" => Follows::Directory,
            "DATABASE" => Follows::Database,
            "YYYYMMDDHHMMSS" => Follows::Key,
            _ => Follows::Text,
        },
    }
}

const DATABASES: &str =
    "psql -AtXqw -d template1 -c \"SELECT datname FROM pg_database WHERE datallowconn\" 2>/dev/null";
const KEYS: &str = "gpcrondump --list-backups 2>/dev/null | sed -n \"s/^\\([0-9]\\{14\\}\\) .*/\\1/p\"";

/// Options that a person would type, without `-?`, which shells read as a pattern.
fn offered(program: &Program) -> Vec<(&'static OptionDef, Vec<&'static str>)> {
    let options = program.groups.iter().flat_map(|group| group.options);
    let is_built = |option: &&OptionDef| !program.not_built.iter().any(|(id, _)| *id == option.id());
    options
        .filter(|option| matches!(option.origin, Origin::Original | Origin::Ours))
        .filter(is_built)
        .map(|option| {
            let names = option.names.iter().copied().filter(|name| *name != "-?");
            (option, names.collect())
        })
        .collect()
}

fn made(program: &Program) -> String {
    format!(
        "# Completions for {}. Made from its options; change those, then run scripts/bless.sh.\n",
        program.name
    )
}

/// For `/usr/share/bash-completion/completions`.
pub fn bash(program: &Program) -> String {
    let options = offered(program);
    let name = program.name;
    let names_of = |wanted: &dyn Fn(Follows) -> bool| -> Vec<&str> {
        let options = options.iter().filter(|(option, _)| wanted(follows(option)));
        options.flat_map(|(_, names)| names.iter().copied()).collect()
    };
    let mut out = made(program);
    // Not by `compgen -W`, which would run what a name of a database says.
    out.push_str(&format!(
        "_{name}_of_lines() {{\n    local word\n    while IFS= read -r word; do\n        \
         [[ $word == \"$cur\"* ]] && COMPREPLY+=(\"$(printf %q \"$word\")\")\n    done\n}}\n"
    ));
    out.push_str(&format!(
        "_{name}() {{\n    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}}\n    \
         [[ $prev == = ]] && prev=${{COMP_WORDS[COMP_CWORD-2]}}\n    \
         [[ $cur == = ]] && cur=\n    COMPREPLY=()\n    case $prev in\n"
    ));
    let mut case = |names: Vec<&str>, action: &str| {
        if !names.is_empty() {
            out.push_str(&format!("        {})\n            {action} ;;\n", names.join(" | ")));
        }
    };
    let of_compgen = |what: &str| format!("mapfile -t COMPREPLY < <(compgen {what} -- \"$cur\")");
    let of_lines = |command: &str| format!("_{name}_of_lines < <({command}); return");
    case(
        names_of(&|follows| follows == Follows::File),
        &format!("compopt -o filenames; {}; return", of_compgen("-f")),
    );
    case(
        names_of(&|follows| follows == Follows::Directory),
        &format!("compopt -o filenames; {}; return", of_compgen("-d")),
    );
    case(names_of(&|follows| follows == Follows::Database), &of_lines(DATABASES));
    case(names_of(&|follows| follows == Follows::Key), &of_lines(KEYS));
    case(names_of(&|follows| follows == Follows::Text), "return");
    for (option, names) in &options {
        if let Follows::Words(words) = follows(option) {
            // They may be left out: then another option follows.
            let words = of_compgen(&format!("-W \"{}\"", words.join(" ")));
            case(names.clone(), &format!("[[ $cur == -* ]] || {{ {words}; return; }}"));
        }
    }
    let all = names_of(&|_| true);
    out.push_str(&format!(
        "    esac\n    {}\n}}\ncomplete -F _{name} {name}\n",
        of_compgen(&format!("-W \"{}\"", all.join(" ")))
    ));
    out
}

/// For a directory of `$fpath`.
pub fn zsh(program: &Program) -> String {
    let mut out = format!("#compdef {}\n{}", program.name, made(program));
    out.push_str(&format!(
        "_{name}_databases() {{\n    compadd -- ${{(f)\"$({DATABASES})\"}}\n}}\n_{name}_keys() {{\n    compadd -- \
         ${{(f)\"$({KEYS})\"}}\n}}\n_arguments -s",
        name = program.name
    ));
    for (option, names) in offered(program) {
        let argument = match follows(option) {
            Follows::Nothing => String::new(),
            Follows::File => format!(":{}:_files", shown(option)),
            Follows::Directory => format!(":{}:_files -/", shown(option)),
            Follows::Database => format!(":{}:_{}_databases", shown(option), program.name),
            Follows::Key => format!(":{}:_{}_keys", shown(option), program.name),
            Follows::Text => format!(":{}: ", shown(option)),
            Follows::Words(words) => format!("::word:({})", words.join(" ")),
        };
        let help = zsh_escaped(option.help);
        for name in &names {
            let others = match option.collects {
                true => "*".to_owned(),
                false => format!("({})", names.join(" ")),
            };
            let equals = match name.starts_with("--") && !argument.is_empty() && !argument.starts_with("::") {
                true => "=",
                false => "",
            };
            out.push_str(&format!(" \\\n    '{others}{name}{equals}[{help}]{argument}'"));
        }
    }
    out.push('\n');
    out
}

fn shown(option: &OptionDef) -> &'static str {
    match option.argument {
        Argument::Text(shown) | Argument::Int(shown) => shown,
        _ => "",
    }
}

fn zsh_escaped(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('[', "\\[").replace(']', "\\]");
    one_line(&text.replace(':', "\\:").replace('\'', "'\\''"))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// For `/usr/share/fish/vendor_completions.d`.
pub fn fish(program: &Program) -> String {
    let name = program.name;
    let mut out = made(program);
    out.push_str(&format!("complete -c {name} -f\n"));
    for (option, names) in offered(program) {
        let mut line = format!("complete -c {name}");
        for name in names {
            match name.strip_prefix("--") {
                Some(long) => line.push_str(&format!(" -l {long}")),
                None => line.push_str(&format!(" -s {}", name.trim_start_matches('-'))),
            }
        }
        line.push_str(&match follows(option) {
            Follows::Nothing => String::new(),
            Follows::File => " -r -F".to_owned(),
            Follows::Directory => " -x -a '(__fish_complete_directories)'".to_owned(),
            Follows::Database => format!(" -x -a '({DATABASES})'"),
            Follows::Key => format!(" -x -a '({KEYS})'"),
            Follows::Text => " -x".to_owned(),
            Follows::Words(words) => format!(" -a '{}'", words.join(" ")),
        });
        let help = one_line(&option.help.replace('\\', "\\\\").replace('\'', "\\'"));
        out.push_str(&format!("{line} -d '{help}'\n"));
    }
    out
}
