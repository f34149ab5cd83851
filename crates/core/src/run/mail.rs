//! Sends the mails of a dump through the system's mail program, without a shell; tells where nobody is to be mailed.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::{debug, info, warn};

use crate::db::error_chain;
use crate::plan::mail::{Letter, contacts};
use crate::tools::process::{Invocation, find_in};
use crate::words::environment::Environment;

/// Where the original looked for `mail`; `PATH` of cron is short.
const FOLDERS: &[&str] = &[
    "/usr/kerberos/bin",
    "/usr/sfw/bin",
    "/opt/sfw/bin",
    "/bin",
    "/usr/local/bin",
    "/usr/bin",
    "/sbin",
    "/usr/sbin",
    "/usr/ucb",
    "/sw/bin",
    "/opt/Navisphere/bin",
    "/usr/lib",
];

/// A mail program hands over and ends; one that waits for a network must not hold up the dumps that follow.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// Addresses are a screenful, not a table.
const LARGEST_CONTACTS: u64 = 1 << 20;

/// What to do where nobody is to be mailed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WithoutContacts {
    /// As the original does at the end of a dump: cron users know the lines.
    Tell,
    Silent,
}

/// False when a mail that is wanted could not be sent; the log says why.
pub(super) async fn send(environment: &Environment, letters: &[Letter], without: WithoutContacts) -> bool {
    let home = environment.home.join("mail_contacts");
    let server = environment
        .gphome
        .as_ref()
        .map(|gphome| gphome.join("bin/mail_contacts"));
    let Some(file) = [Some(&home), server.as_ref()]
        .into_iter()
        .flatten()
        .find(|file| file.is_file())
    else {
        if without == WithoutContacts::Tell {
            tell_nobody(&home, server.as_deref());
        }
        return true;
    };
    let text = match std::fs::metadata(file) {
        Ok(meta) if meta.len() > LARGEST_CONTACTS => Err("it is larger than 1 MiB".to_owned()),
        _ => std::fs::read(file).map_err(|error| error.to_string()),
    };
    let text = match text {
        Ok(text) => text,
        Err(reason) => {
            warn!("No mail was sent: could not read \"{}\": {reason}", file.display());
            return false;
        }
    };
    let (addresses, others) = contacts(&String::from_utf8_lossy(&text));
    for line in &others {
        warn!(
            "\"{line}\" in \"{}\" is not a mail address and is left out",
            file.display()
        );
    }
    if addresses.is_empty() {
        warn!("No mail was sent: there is no address in \"{}\"", file.display());
        return false;
    }
    let mut all = others.is_empty();
    for letter in letters {
        info!("Sending mail to {}", addresses.join(","));
        let sent = match find_mailer(environment) {
            Some(mailer) => {
                let invocation = mailer.invocation(letter, &addresses);
                debug!("Email command string={}", as_typed(&invocation));
                invocation.run().await.map_err(|error| error_chain(&error))
            }
            None => Err("none of the programs mail, mailx, sendmail was found".to_owned()),
        };
        if let Err(reason) = sent {
            warn!("The mail \"{}\" could not be sent: {reason}", letter.subject);
            all = false;
        }
    }
    all
}

/// The command as a person would type it, with the subject quoted as in the original's log.
fn as_typed(invocation: &Invocation) -> String {
    let mut text = invocation.program.display().to_string();
    for argument in &invocation.arguments {
        let argument = argument.to_string_lossy();
        match argument.contains(' ') {
            true => text.push_str(&format!(" \"{argument}\"")),
            false => text.push_str(&format!(" {argument}")),
        }
    }
    text
}

fn tell_nobody(home: &Path, server: Option<&Path>) {
    let server = server.map_or_else(
        || "$GPHOME/bin/mail_contacts".to_owned(),
        |file| file.display().to_string(),
    );
    warn!("Found neither {server} nor {}", home.display());
    warn!("Unable to send dump email notification");
    info!(
        "To enable email notification, create {server} or {} containing required email addresses",
        home.display()
    );
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Mailer {
    /// `mail` and `mailx`: subject as an option, body as input.
    Mail(PathBuf),
    /// `sendmail`: the whole letter as input.
    Sendmail(PathBuf),
}

fn find_mailer(environment: &Environment) -> Option<Mailer> {
    let mut folders: Vec<PathBuf> = FOLDERS.iter().map(PathBuf::from).collect();
    folders.extend(environment.gphome.clone());
    folders.extend(environment.path.iter().cloned());
    ["mail", "mailx"]
        .iter()
        .find_map(|name| find_in(name, &folders).map(Mailer::Mail))
        .or_else(|| find_in("sendmail", &folders).map(Mailer::Sendmail))
}

impl Mailer {
    fn invocation(&self, letter: &Letter, addresses: &[String]) -> Invocation {
        let mut arguments: Vec<OsString> = Vec::new();
        let (program, input) = match self {
            Mailer::Mail(program) => {
                arguments.extend(["-s".into(), (&letter.subject).into()]);
                // All mail programs of today know -r; what the original gave (-- -f) some take for addresses.
                if let Some(sender) = &letter.sender {
                    arguments.extend(["-r".into(), sender.into()]);
                }
                (program, format!("{}\n", letter.body))
            }
            Mailer::Sendmail(program) => {
                arguments.push("-i".into());
                let from = match &letter.sender {
                    Some(sender) => {
                        arguments.extend(["-f".into(), sender.into()]);
                        format!("From: {sender}\n")
                    }
                    None => String::new(),
                };
                let head = format!("{from}To: {}\nSubject: {}\n", addresses.join(", "), letter.subject);
                let kind = "MIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\n";
                (program, format!("{head}{kind}\n{}\n", letter.body))
            }
        };
        arguments.extend(addresses.iter().map(OsString::from));
        let mut invocation = Invocation::new(program, arguments);
        invocation.input = input.into_bytes();
        invocation.time_limit = Some(TIME_LIMIT);
        invocation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_of_a_mail_goes_through_a_shell() {
        let letter = Letter {
            subject: "done `x`".to_owned(),
            sender: Some("backup@example.org".to_owned()),
            body: "Options passed [$(x)]".to_owned(),
        };
        let addresses = ["a@x".to_owned(), "b@y".to_owned()];
        let mail = Mailer::Mail("/bin/mail".into()).invocation(&letter, &addresses);
        assert_eq!(
            mail.arguments,
            ["-s", "done `x`", "-r", "backup@example.org", "a@x", "b@y"]
        );
        assert_eq!(mail.input, b"Options passed [$(x)]\n");
        let sendmail = Mailer::Sendmail("/usr/sbin/sendmail".into()).invocation(&letter, &addresses);
        assert_eq!(sendmail.arguments, ["-i", "-f", "backup@example.org", "a@x", "b@y"]);
        assert_eq!(
            String::from_utf8(sendmail.input).unwrap(),
            "From: backup@example.org\nTo: a@x, b@y\nSubject: done `x`\nMIME-Version: 1.0\nContent-Type: text/plain; \
             charset=UTF-8\n\nOptions passed [$(x)]\n"
        );
    }
}
