//! The manual page of a program, made from its option table and what a person has to know beside it.
//!
//! ```text
//! .TP
//! \fB\-x\fR \fIDATABASE\fR
//! database to dump; without it the one that PGDATABASE names
//! ```
//!
//! Written with the macros of man(7), which every formatter knows. Tasks with their commands come first: who opens the page
//! at three in the morning looks for a line to copy.

use super::help::Page;
use super::optparse::{Argument, OptionDef, OptionGroup, Origin};
use super::program::Program;

/// What a manual page says beside the options.
#[derive(Debug, Clone, Copy)]
pub struct Manual {
    /// Behind the name in the first line, and in lists of pages.
    pub summary: &'static str,
    /// The day of the last change of its words, `YYYY-MM-DD`.
    pub date: &'static str,
    /// What somebody wants, then commands with their meanings.
    pub tasks: &'static [Task],
    /// Behind the options.
    pub sections: &'static [Section],
    /// Other pages.
    pub see_also: &'static [(&'static str, &'static str)],
}

/// Something that people do, and how.
#[derive(Debug, Clone, Copy)]
pub struct Task {
    pub title: &'static str,
    pub commands: &'static [(&'static str, &'static str)],
}

/// A part of the page under a heading of its own.
#[derive(Debug, Clone, Copy)]
pub struct Section {
    pub heading: &'static str,
    pub text: &'static [&'static str],
    /// A term and what it means.
    pub terms: &'static [(&'static str, &'static str)],
}

/// Both programs read the same variables.
pub const ENVIRONMENT: Section = Section {
    heading: "Environment",
    text: &[],
    terms: &[
        (
            "MASTER_DATA_DIRECTORY",
            "data directory of the master, unless -d names it; of a plain PostgreSQL server its data directory. Where it is not \
             set COORDINATOR_DATA_DIRECTORY counts, as Greenplum 7 and Cloudberry call it",
        ),
        (
            "GPHOME",
            "where the server's programs are; then PATH is searched for them",
        ),
        ("PGHOST, PGPORT, PGUSER", "as for psql"),
        ("PGDATABASE", "the database that gpcrondump dumps when no -x is given"),
        (
            "PGPASSWORD, PGPASSFILE",
            "as for psql. Each host uses its own ~/.pgpass; no password is handed to another",
        ),
        (
            "PGSSLMODE, PGSSLROOTCERT, PGSSLCERT, PGSSLKEY",
            "TLS to the servers, as for psql",
        ),
        (
            "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_PROFILE, AWS_REGION, AWS_ENDPOINT_URL_S3",
            "the account and the place of --storage s3://, as for other programs; a file of --storage-credentials goes before them",
        ),
        (
            "TENCENTCLOUD_SECRET_ID, TENCENTCLOUD_SECRET_KEY, TENCENTCLOUD_SESSION_TOKEN",
            "the account of --storage cos://",
        ),
        (
            "AWS_CA_BUNDLE",
            "a PEM file with the authority that signed the certificate of the storage",
        ),
        ("GPDUMP_SSH", "another program instead of ssh"),
        (
            "GPDUMP_LOG",
            "events of libraries for the log file, such as tokio_postgres=debug",
        ),
    ],
};

/// Longest line of the source; formatters break lines anew.
const SOURCE_WIDTH: usize = 78;

/// The whole page.
pub fn render(program: &Program) -> String {
    let Page { manual, about, .. } = program.page;
    let mut out = format!(
        ".\\\" Made from the options of {name}; change those, then run scripts/bless.sh.\n\
         .TH {upper} 1 \"{date}\" \"{name} {version}\" \"User Commands\"\n.SH NAME\n{name} \\- {summary}\n\
         .SH SYNOPSIS\n.B {name}\n[\\fIoption\\fR ...]\n",
        name = program.name,
        upper = program.name.to_uppercase(),
        version = program.version,
        date = manual.date,
        summary = escaped(manual.summary),
    );
    out.push_str(".SH EXAMPLES\n");
    for task in manual.tasks {
        out.push_str(&format!(".SS {}\n", escaped(task.title)));
        for (command, meaning) in task.commands {
            out.push_str(&format!(".TP\n\\fB{}\\fR\n", escaped(command)));
            push_text(&mut out, meaning);
        }
    }
    out.push_str(".SH DESCRIPTION\n");
    push_paragraphs(&mut out, about);
    out.push_str(
        ".SH OPTIONS\nLong names may be shortened as long as they stay clear, those marked \\(dqnew\\(dq excepted.\n",
    );
    let not_built: Vec<&str> = program.not_built.iter().map(|(id, _)| *id).collect();
    for group in program.groups {
        push_group(&mut out, group, &not_built);
    }
    for section in manual.sections {
        out.push_str(&format!(".SH {}\n", escaped(&section.heading.to_uppercase())));
        push_paragraphs(&mut out, section.text);
        for (term, meaning) in section.terms {
            out.push_str(&format!(".TP\n\\fB{}\\fR\n", escaped(term)));
            push_text(&mut out, meaning);
        }
    }
    out.push_str(".SH SEE ALSO\n");
    let pages: Vec<String> = manual
        .see_also
        .iter()
        .map(|(name, section)| format!(".BR {} ({section})", escaped(name)))
        .collect();
    out.push_str(&pages.join(" ,\n"));
    out.push('\n');
    out
}

fn push_group(out: &mut String, group: &OptionGroup, not_built: &[&str]) {
    let shown: Vec<&OptionDef> = group
        .options
        .iter()
        .filter(|option| option.origin != Origin::Hidden)
        .collect();
    if shown.is_empty() {
        return;
    }
    out.push_str(&format!(".SS {}\n", escaped(group.heading)));
    for option in shown {
        let argument = match option.argument {
            Argument::None | Argument::NoneAndStop => String::new(),
            Argument::Text(name) | Argument::Int(name) => format!(" \\fI{}\\fR", escaped(name)),
            Argument::OptionalWord(words) => format!(" [{}]", words.join("|")),
        };
        let names: Vec<String> = option
            .names
            .iter()
            .map(|name| format!("\\fB{}\\fR", escaped(name)))
            .collect();
        out.push_str(&format!(".TP\n{}{argument}\n", names.join(", ")));
        let mut text = option.help.to_owned();
        if option.origin == Origin::Legacy {
            text.push_str("accepted for old scripts, without effect");
        }
        if option.collects {
            text.push_str("; may be repeated");
        }
        if not_built.contains(&option.id()) {
            text.push_str(" (not built yet)");
        }
        if option.origin == Origin::Ours {
            text.push_str(" (new: the original had no such option)");
        }
        push_text(out, &text);
    }
}

fn push_paragraphs(out: &mut String, paragraphs: &[&str]) {
    for (at, paragraph) in paragraphs.iter().enumerate() {
        if at > 0 {
            out.push_str(".PP\n");
        }
        push_text(out, paragraph);
    }
}

/// Words in lines that no formatter takes for a request.
fn push_text(out: &mut String, text: &str) {
    let mut line = String::new();
    let mut push = |line: &mut String| {
        if line.starts_with(['.', '\'']) {
            out.push_str("\\&");
        }
        out.push_str(line);
        out.push('\n');
        line.clear();
    };
    for word in text.split_whitespace().map(escaped) {
        if !line.is_empty() && line.len() + 1 + word.len() > SOURCE_WIDTH {
            push(&mut line);
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&word);
    }
    if !line.is_empty() {
        push(&mut line);
    }
}

/// Signs that mean something to a formatter, and those that it would make typographic: a copied command must work.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\e"),
            '-' => out.push_str("\\-"),
            '\'' => out.push_str("\\(aq"),
            '"' => out.push_str("\\(dq"),
            '`' => out.push_str("\\(ga"),
            '^' => out.push_str("\\(ha"),
            '~' => out.push_str("\\(ti"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_wrapped_and_never_becomes_a_request() {
        let mut out = String::new();
        push_text(&mut out, ".profile 'a' ~/x-y \\n");
        assert_eq!(out, "\\&.profile \\(aqa\\(aq \\(ti/x\\-y \\en\n");
        out.clear();
        push_text(&mut out, &"word ".repeat(40));
        assert!(out.lines().all(|line| line.len() <= SOURCE_WIDTH), "{out}");
    }
}
