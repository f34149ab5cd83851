//! The file of `--email-file`: sender and subject of completion mails, by database (`gpcrondump.md` 2.10.4).
//!
//! ```yaml
//! EMAIL_DETAILS:
//!     -
//!         DBNAME: [hr, payroll]
//!         FROM: backup@example.org
//!         SUBJECT: hr and payroll are dumped
//! ```

use serde::{Deserialize, Deserializer, Serialize};

/// Larger files are no list of mails.
pub const LARGEST: u64 = 1 << 20;

/// One entry: databases by their exact names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailRule {
    pub databases: Vec<String>,
    pub sender: Option<String>,
    pub subject: Option<String>,
}

#[derive(Deserialize)]
struct Document {
    #[serde(rename = "EMAIL_DETAILS")]
    details: Vec<Entry>,
}

/// All three keys must be there; two of them may be empty.
#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "DBNAME")]
    databases: Names,
    #[serde(rename = "FROM", deserialize_with = "present")]
    sender: Option<String>,
    #[serde(rename = "SUBJECT", deserialize_with = "present")]
    subject: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Names {
    One(String),
    Many(Vec<String>),
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Option::deserialize(deserializer)
}

/// Reads the file; the error is what is wrong with it, for a person.
pub fn parse(text: &str) -> Result<Vec<MailRule>, String> {
    let document: Document = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    let filled = |text: Option<String>| text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let mut rules = Vec::new();
    for entry in document.details {
        let databases = match entry.databases {
            Names::One(name) => vec![name],
            Names::Many(names) => names,
        };
        if databases.is_empty() || databases.iter().any(String::is_empty) {
            return Err("an entry has an empty DBNAME".to_owned());
        }
        rules.push(MailRule {
            databases,
            sender: filled(entry.sender),
            subject: filled(entry.subject),
        });
    }
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_name_one_database_or_several() {
        let text = "EMAIL_DETAILS:\n    -\n        DBNAME: sales\n        FROM: backup@example.org\n        SUBJECT: \
                    nightly sales dump done\n    -\n        DBNAME: [hr, pay roll]\n        FROM:\n        SUBJECT:\n";
        let rule = |databases: &[&str], sender: Option<&str>, subject: Option<&str>| MailRule {
            databases: databases.iter().map(|&name| name.to_owned()).collect(),
            sender: sender.map(str::to_owned),
            subject: subject.map(str::to_owned),
        };
        assert_eq!(
            parse(text).unwrap(),
            [
                rule(&["sales"], Some("backup@example.org"), Some("nightly sales dump done")),
                rule(&["hr", "pay roll"], None, None)
            ]
        );
    }

    #[test]
    fn what_is_no_such_list_is_refused() {
        for text in [
            "",
            "x",
            "EMAIL: []",
            "EMAIL_DETAILS:\n  - DBNAME: a\n    FROM: b\n",
            "EMAIL_DETAILS:\n  - DBNAME: a\n    SUBJECT: b\n",
            "EMAIL_DETAILS:\n  - DBNAME:\n    FROM: b\n    SUBJECT: c\n",
            "EMAIL_DETAILS:\n  - DBNAME: []\n    FROM: b\n    SUBJECT: c\n",
            "EMAIL_DETAILS: [\n",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        let bomb = (0..30).fold("a0: &a0 [x]\n".to_owned(), |text, i| {
            format!(
                "{text}a{}: &a{} [{}]\n",
                i + 1,
                i + 1,
                vec![format!("*a{i}"); 9].join(",")
            )
        });
        assert!(parse(&format!("{bomb}EMAIL_DETAILS: *a30\n")).is_err());
    }
}
