//! Whether a restore can be gone on with, and which of its tables need nothing more.

use std::collections::{BTreeMap, BTreeSet};

use crate::format::resume_record::LoadedWhole;
use crate::plan::filter::NameList;
use crate::plan::restore_request::{Extra, RestoreRequest};
use crate::words::ids::Oid;
use crate::words::names::QualifiedName;

/// What of a request decides what is restored, by option. How a run goes (waits, parallel work, logs) may be another when
/// it is gone on with.
pub fn request_facts(request: &RestoreRequest) -> BTreeMap<String, String> {
    let flag = |given: bool| given.then(String::new);
    let names = |list: &NameList| {
        let mut names = list.names.clone();
        names.sort_unstable();
        (!names.is_empty()).then(|| names.join(" "))
    };
    let extra = |extra: Extra| match extra {
        Extra::No => None,
        Extra::Include => Some("include".to_owned()),
        Extra::Only => Some("only".to_owned()),
    };
    let facts = [
        ("-e", flag(request.recreate)),
        ("--redirect", request.redirect.clone()),
        ("-T", names(&request.tables)),
        ("-S", names(&request.schemas)),
        ("-m", flag(request.metadata_only)),
        ("--truncate", flag(request.truncate)),
        ("--change-schema", request.change_schema.clone()),
        ("-G", extra(request.globals)),
        ("--restore-stats", extra(request.statistics)),
    ];
    let given = facts.into_iter().filter_map(|(option, value)| Some((option, value?)));
    given.map(|(option, value)| (option.to_owned(), value)).collect()
}

/// The first option that is not what it was, as a sentence.
pub fn difference(then: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Option<String> {
    let shown = |option: &str, value: &str| format!("{option} {value}").trim_end().to_owned();
    let options: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
    options
        .into_iter()
        .find_map(|option| match (then.get(option), now.get(option)) {
            (Some(then), None) => Some(format!("it was asked for with {}", shown(option, then))),
            (None, Some(now)) => Some(format!("it was asked for without {}", shown(option, now))),
            (Some(then), Some(now)) if then != now => Some(format!("it was asked for with {}", shown(option, then))),
            _ => None,
        })
}

/// Why a table that was loaded is loaded again; `None`: it is what it was. `count` is `None` when nobody could count.
pub fn why_again(loaded: &LoadedWhole, oid: Option<Oid>, count: Option<u64>) -> Option<String> {
    match (oid, count) {
        (None, _) => Some("it is gone".to_owned()),
        (Some(oid), _) if oid != loaded.oid => Some("it is another table of that name".to_owned()),
        (_, None) => Some("its rows could not be counted".to_owned()),
        (_, Some(count)) if count != loaded.rows => {
            Some(format!("it has {count} rows, and {} were loaded", loaded.rows))
        }
        _ => None,
    }
}

/// Tables that would have to be emptied, and that had perhaps rows of their own before the restore. `here`: what the
/// database calls them.
pub fn not_ours_to_empty<'a>(
    wanted: impl Iterator<Item = &'a QualifiedName>,
    is_whole: impl Fn(&QualifiedName) -> bool,
    here: impl Fn(&QualifiedName) -> QualifiedName,
    there: &BTreeSet<QualifiedName>,
) -> Vec<QualifiedName> {
    wanted
        .filter(|table| !is_whole(table))
        .map(here)
        .filter(|table| there.contains(table))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    #[test]
    fn another_request_is_told_by_its_option() {
        let plain = facts(&[("-e", "")]);
        assert_eq!(difference(&plain, &plain), None);
        for (then, now, sentence) in [
            (&plain, facts(&[]), "it was asked for with -e"),
            (
                &plain,
                facts(&[("-e", ""), ("--truncate", "")]),
                "it was asked for without --truncate",
            ),
            (
                &facts(&[("-T", "a.b")]),
                facts(&[("-T", "a.b a.c")]),
                "it was asked for with -T a.b",
            ),
        ] {
            assert_eq!(difference(then, &now).as_deref(), Some(sentence));
        }
    }

    #[test]
    fn a_table_is_whole_only_when_it_is_the_same_and_has_as_many_rows() {
        let loaded = LoadedWhole {
            table: QualifiedName::new("a", "b"),
            oid: Oid(7),
            rows: 3,
        };
        assert_eq!(why_again(&loaded, Some(Oid(7)), Some(3)), None);
        for (oid, count) in [
            (None, None),
            (Some(Oid(8)), Some(3)),
            (Some(Oid(7)), Some(2)),
            (Some(Oid(7)), None),
        ] {
            assert!(why_again(&loaded, oid, count).is_some(), "{oid:?} {count:?}");
        }
    }

    #[test]
    fn only_tables_that_were_there_and_are_not_whole_keep_a_restore_from_going_on() {
        let name = |name: &str| QualifiedName::new("a", name);
        let wanted = [name("old"), name("new"), name("done")];
        let there = [name("old"), name("done")].into();
        let found = not_ours_to_empty(wanted.iter(), |table| table.name == "done", Clone::clone, &there);
        assert_eq!(found, [name("old")]);
    }
}
