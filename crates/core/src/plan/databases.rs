//! Which databases a run dumps, in which order, and with which keys.

use crate::words::database::DatabaseEntry;
use crate::words::refusal::Refusal;
use crate::words::units::{bytes_text, duration_text};

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Databases {
    /// As typed, in this order: a name may hold a comma, or be a list of the 4.3 kind.
    Named(Vec<String>),
    /// `--all-databases`, without those of `--exclude-database`.
    All { but: Vec<String> },
}

impl Databases {
    /// The names that were typed.
    pub fn named(&self) -> &[String] {
        match self {
            Databases::Named(names) => names,
            Databases::All { .. } => &[],
        }
    }
}

/// Databases that belong to the monitoring of the server; it writes them anew by itself.
const OF_THE_SERVER: &[&str] = &["gpperfmon"];

/// Names every database of the run once. All of them exist.
///
/// Greenplum 4.3 took one comma-separated list with `-x`, Greenplum 5 a name that may hold commas: a name that exists is
/// that name, else a list whose every part exists is that list.
pub fn choose(asked: &Databases, existing: &[DatabaseEntry]) -> Result<Vec<String>, Refusal> {
    let exists = |name: &str| existing.iter().any(|database| database.name == name);
    let mut chosen: Vec<String> = Vec::new();
    match asked {
        Databases::All { but } => chosen.extend(
            existing
                .iter()
                .filter(|database| {
                    !database.is_template
                        && database.allows_connections
                        && !OF_THE_SERVER.contains(&database.name.as_str())
                        && !but.contains(&database.name)
                })
                .map(|database| database.name.clone()),
        ),
        Databases::Named(names) => {
            for name in names {
                if exists(name) {
                    chosen.push(name.clone());
                    continue;
                }
                let parts: Vec<&str> = name.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
                let missing: Vec<&str> = parts.iter().copied().filter(|part| !exists(part)).collect();
                if parts.is_empty() || !missing.is_empty() {
                    let refusal = Refusal::known(format!("Database {name} does not exist."));
                    return Err(match parts.len() {
                        0 | 1 => refusal.with_hint(advice(name, existing)),
                        _ => refusal.with_hint(format!(
                            "taken as a list of names, {} of them does not exist either: {}.",
                            missing.len(),
                            missing.join(", ")
                        )),
                    });
                }
                chosen.extend(parts.into_iter().map(str::to_owned));
            }
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    chosen.retain(|name| seen.insert(name.clone()));
    if chosen.is_empty() {
        return Err(Refusal::known("There is no database to dump").with_hint(
            "--all-databases leaves out templates, databases that allow no connections, gpperfmon, and those of \
                 --exclude-database.",
        ));
    }
    Ok(chosen)
}

/// Names that may be meant; a few, in the order of the server.
fn advice(typed: &str, existing: &[DatabaseEntry]) -> String {
    let plain = |text: &str| text.trim().replace('"', "").to_lowercase();
    let wanted = plain(typed);
    let near: Vec<&str> = existing
        .iter()
        .filter(|database| database.allows_connections && is_near(&wanted, &plain(&database.name)))
        .map(|database| database.name.as_str())
        .take(SHOWN)
        .collect();
    match near[..] {
        [] => "names are taken as they are, without quotes and in their upper and lower case; psql -l lists them"
            .to_owned(),
        _ => format!("did you mean {}?", near.join(", ")),
    }
}

const SHOWN: usize = 3;

/// The same, or with one letter more, less, other, or two of them swapped.
fn is_near(typed: &str, name: &str) -> bool {
    let (typed, name): (Vec<char>, Vec<char>) = (typed.chars().collect(), name.chars().collect());
    let head = typed.iter().zip(&name).take_while(|(a, b)| a == b).count();
    let (typed, name) = (&typed[head..], &name[head..]);
    let tail = typed
        .iter()
        .rev()
        .zip(name.iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    match (&typed[..typed.len() - tail], &name[..name.len() - tail]) {
        ([], []) | ([_], [] | [_]) | ([], [_]) => head + tail > 0,
        ([a, b], [c, d]) => a == d && b == c,
        _ => false,
    }
}

/// A database of a run of several that was dumped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpedDatabase {
    pub key: String,
    /// All that was asked for beside it was done too.
    pub well: bool,
    pub seconds: u64,
    /// Of all files of the set, on all hosts.
    pub bytes: u64,
}

/// One line per database when a run of several is over.
pub fn outcome_line(database: &str, dumped: Option<&DumpedDatabase>) -> String {
    let Some(dumped) = dumped else {
        return format!("Database {database}: NOT dumped");
    };
    let how = if dumped.well { "dumped" } else { "dumped with warnings" };
    format!(
        "Database {database}: {how}, timestamp key {}, in {}, {}",
        dumped.key,
        duration_text(dumped.seconds),
        bytes_text(dumped.bytes)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(names: &[&str]) -> Vec<DatabaseEntry> {
        let entry = |name: &&str| DatabaseEntry {
            name: (*name).to_owned(),
            is_template: name.starts_with("template"),
            allows_connections: *name != "template0" && *name != "closed",
        };
        names.iter().map(entry).collect()
    }

    fn named(names: &[&str]) -> Databases {
        Databases::Named(names.iter().map(|&name| name.to_owned()).collect())
    }

    #[test]
    fn a_comma_is_part_of_a_name_that_exists_and_else_makes_a_list() {
        let existing = server(&["a", "b", "a,b", "c d"]);
        for (asked, chosen) in [
            (&["a"][..], &["a"][..]),
            (&["b", "a", "b"], &["b", "a"]),
            (&["a,b"], &["a,b"]),
            (&["b,a"], &["b", "a"]),
            (&["b, a,", "c d"], &["b", "a", "c d"]),
        ] {
            assert_eq!(choose(&named(asked), &existing).unwrap(), chosen, "{asked:?}");
        }
    }

    #[test]
    fn a_name_that_does_not_exist_is_refused_before_anything_is_dumped() {
        let existing = server(&["a", "b"]);
        for (asked, text) in [
            (&["a", "nosuch"][..], "Database nosuch does not exist."),
            (&["a,nosuch"], "Database a,nosuch does not exist."),
            (&[","], "Database , does not exist."),
            (&["A"], "Database A does not exist."),
        ] {
            assert_eq!(choose(&named(asked), &existing).unwrap_err().text, text, "{asked:?}");
        }
        let hint = choose(&named(&["a,nosuch"]), &existing).unwrap_err().hint.unwrap();
        assert!(hint.contains("nosuch"), "{hint}");
    }

    #[test]
    fn a_name_that_may_be_meant_is_told() {
        let existing = server(&["sales", "Sales Archive", "hr"]);
        let hint = |asked: &str| choose(&named(&[asked]), &existing).unwrap_err().hint.unwrap();
        for typed in ["slaes", "SALES", "\"sales\"", "sale", "saless", "salas"] {
            assert_eq!(hint(typed), "did you mean sales?", "{typed}");
        }
        assert_eq!(hint("sales archive"), "did you mean Sales Archive?");
        assert!(hint("x").starts_with("names are taken as they are"));
    }

    #[test]
    fn all_databases_are_those_that_people_fill() {
        let existing = server(&["a", "closed", "gpperfmon", "postgres", "template0", "template1"]);
        let all = |but: &[&str]| Databases::All {
            but: but.iter().map(|&name| name.to_owned()).collect(),
        };
        assert_eq!(choose(&all(&[]), &existing).unwrap(), ["a", "postgres"]);
        assert_eq!(choose(&all(&["postgres", "nosuch"]), &existing).unwrap(), ["a"]);
        assert!(choose(&all(&[]), &server(&["template1"])).is_err());
    }
}
