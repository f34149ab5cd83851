//! Which mails a dump sends, to whom, and their words (`gpcrondump.md` 2.10.2, 2.10.4).

use crate::format::email_file::MailRule;

/// One mail; all contacts get it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    pub subject: String,
    pub sender: Option<String>,
    pub body: String,
}

/// How the dump of a database ended, for its mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailFacts {
    pub database: String,
    /// `HH:MM:SS`.
    pub start: String,
    pub end: String,
    pub status: u8,
    /// The command line.
    pub options: String,
}

/// What became of the files of a dump that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilesOfFailure {
    Kept,
    RolledBack,
}

/// The addresses of a contacts file, one a line. Lines that cannot be an address are given apart: a mail program would
/// take `-x` for an option.
pub fn contacts(text: &str) -> (Vec<String>, Vec<String>) {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .partition(|line| !line.starts_with('-') && !line.contains(|c: char| c.is_whitespace() || c.is_control()))
}

/// The mails of a dump that is complete: one for each rule that names the database, else the usual one.
pub fn completed(facts: &MailFacts, rules: &[MailRule], host: &str) -> Vec<Letter> {
    let body = format!(
        "Completed for database {} with return code {} [Start={} End={}] Options passed [{}]",
        facts.database, facts.status, facts.start, facts.end, facts.options
    );
    let usual = format!("Report from gpcrondump on host {host} [COMPLETED]");
    let letter = |subject: Option<&String>, sender: Option<&String>| Letter {
        subject: one_line(subject.unwrap_or(&usual)),
        sender: sender.map(|sender| one_line(sender)),
        body: body.clone(),
    };
    let letters: Vec<Letter> = rules
        .iter()
        .filter(|rule| rule.databases.contains(&facts.database))
        .map(|rule| letter(rule.subject.as_ref(), rule.sender.as_ref()))
        .collect();
    if letters.is_empty() {
        vec![letter(None, None)]
    } else {
        letters
    }
}

/// The mail of a dump that failed.
pub fn failed(facts: &MailFacts, files: FilesOfFailure, host: &str) -> Letter {
    let what = match files {
        FilesOfFailure::Kept => "dump files not rolled back",
        FilesOfFailure::RolledBack => "dump files rolled back",
    };
    Letter {
        subject: format!("Report from gpcrondump on host {host} [FAILED]"),
        sender: None,
        body: format!(
            "Failed for database {} with return code {} {what}. [Start={} End={}] Options passed [{}]",
            facts.database, facts.status, facts.start, facts.end, facts.options
        ),
    }
}

/// A line break in a header would begin another header.
fn one_line(text: &str) -> String {
    text.split(|c: char| c.is_control()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(database: &str) -> MailFacts {
        MailFacts {
            database: database.to_owned(),
            start: "01:02:03".to_owned(),
            end: "01:03:00".to_owned(),
            status: 0,
            options: "-a -x sales".to_owned(),
        }
    }

    #[test]
    fn a_rule_holds_for_the_exact_name_only() {
        let rule = |database: &str, sender: Option<&str>, subject: Option<&str>| MailRule {
            databases: vec![database.to_owned()],
            sender: sender.map(str::to_owned),
            subject: subject.map(str::to_owned),
        };
        let rules = [
            rule("sales1", None, Some("other")),
            rule("sales", Some("a@b"), None),
            rule("sales", None, Some("done\nBcc: x@y")),
        ];
        let of = |database: &str| -> Vec<(String, Option<String>)> {
            completed(&facts(database), &rules, "mdw")
                .into_iter()
                .map(|letter| (letter.subject, letter.sender))
                .collect()
        };
        let usual = "Report from gpcrondump on host mdw [COMPLETED]".to_owned();
        assert_eq!(
            of("sales"),
            [
                (usual.clone(), Some("a@b".to_owned())),
                ("done Bcc: x@y".to_owned(), None)
            ]
        );
        assert_eq!(of("sale"), [(usual, None)]);
    }

    #[test]
    fn bodies_are_those_of_the_original() {
        assert_eq!(
            completed(&facts("sales"), &[], "mdw")[0].body,
            "Completed for database sales with return code 0 [Start=01:02:03 End=01:03:00] Options passed [-a -x sales]"
        );
        let mut facts = facts("sales");
        facts.status = 1;
        assert_eq!(
            failed(&facts, FilesOfFailure::Kept, "mdw").body,
            "Failed for database sales with return code 1 dump files not rolled back. [Start=01:02:03 End=01:03:00] \
             Options passed [-a -x sales]"
        );
    }

    #[test]
    fn what_a_mail_program_would_misread_is_no_address() {
        let (addresses, others) = contacts(" a@x \r\n\n-oQ/tmp@x\nb@y c@z\nroot\n");
        assert_eq!(
            (addresses, others),
            (
                vec!["a@x".to_owned(), "root".to_owned()],
                vec!["-oQ/tmp@x".to_owned(), "b@y c@z".to_owned()]
            )
        );
    }
}
