//! The help text of a program, made from its option table: grouped by task, at most 100 columns, examples at the end.

use super::manual::Manual;
use super::optparse::{Argument, OptionDef, OptionGroup, Origin};

const WIDTH: usize = 100;
/// Column in which explanations start.
const TEXT_COLUMN: usize = 30;

/// What a help text says beside the options.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    pub program: &'static str,
    /// Below the usage line: what the program does, in a paragraph or several.
    pub about: &'static [&'static str],
    /// Command line and what it does.
    pub examples: &'static [(&'static str, &'static str)],
    /// The last lines: exit status, files, where to read on.
    pub footer: &'static [&'static str],
    pub manual: &'static Manual,
}

/// The whole text, line end included. Options in `not_built` are marked, so that nobody plans with them.
pub fn render(page: &Page, groups: &[OptionGroup], not_built: &[&str]) -> String {
    let mut out = format!("Usage: {} [options]\n", page.program);
    for paragraph in page.about {
        out.push('\n');
        push_wrapped(&mut out, paragraph, 0);
    }
    for group in groups {
        let shown: Vec<&OptionDef> = group
            .options
            .iter()
            .filter(|option| matches!(option.origin, Origin::Original | Origin::Ours))
            .collect();
        if shown.is_empty() {
            continue;
        }
        out.push_str(&format!("\n{}:\n", group.heading));
        for option in shown {
            push_option(&mut out, option, not_built.contains(&option.id()));
        }
    }
    out.push_str("\nExamples:\n");
    for (command, meaning) in page.examples {
        out.push_str(&format!("  {command}\n"));
        push_wrapped(&mut out, meaning, 6);
    }
    for paragraph in page.footer {
        out.push('\n');
        push_wrapped(&mut out, paragraph, 0);
    }
    out
}

fn push_option(out: &mut String, option: &OptionDef, not_built: bool) {
    let argument = match option.argument {
        Argument::None | Argument::NoneAndStop => String::new(),
        Argument::Text(name) | Argument::Int(name) => format!(" {name}"),
        Argument::OptionalWord(words) => format!(" [{}]", words.join("|")),
    };
    let head = format!("  {}{argument}", option.names.join(", "));
    let mut text = option.help.to_owned();
    if option.collects {
        text.push_str("; may be repeated");
    }
    if not_built {
        text.push_str(" (not built yet)");
    }
    let mut body = String::new();
    push_wrapped(&mut body, &text, TEXT_COLUMN);
    if head.len() + 2 <= TEXT_COLUMN {
        out.push_str(&head);
        out.push_str(&body[head.len()..]);
    } else {
        out.push_str(&head);
        out.push('\n');
        out.push_str(&body);
    }
}

/// Words in lines of at most [`WIDTH`] columns, each behind `indent` blanks.
fn push_wrapped(out: &mut String, text: &str, indent: usize) {
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && indent + line.chars().count() + 1 + word.chars().count() > WIDTH {
            out.push_str(&format!("{:indent$}{line}\n", ""));
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    out.push_str(&format!("{:indent$}{line}\n", ""));
}
