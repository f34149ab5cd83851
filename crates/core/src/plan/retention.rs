//! Which old date directories go, which stay, and why (`gpcrondump.md` 2.11).
//!
//! A directory is removed as a whole, with the sets of all databases and prefixes in it, as the original did; so what
//! must be known of every set is who needs it.

use std::collections::BTreeSet;
use std::fmt;

use super::chores::{AskedDate, CleanupRequest};
use crate::words::ids::{DumpDate, Prefix, TimestampKey};

/// A date directory of the master with the sets that it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DateDirectory {
    pub date: DumpDate,
    pub sets: Vec<FoundSet>,
}

/// A dump set, by its report, or by what is left of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FoundSet {
    pub prefix: Prefix,
    pub key: TimestampKey,
    pub database: Option<String>,
    pub is_incremental: bool,
    /// For a full dump: the incremental dumps that are based on it, oldest first.
    pub increments: Vec<TimestampKey>,
}

/// What happens to one directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DateVerdict {
    pub date: DumpDate,
    pub sets: usize,
    pub goes: bool,
    pub why: String,
}

/// The decision, for all directories, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CleanupPlan {
    pub verdicts: Vec<DateVerdict>,
}

impl CleanupPlan {
    /// The directories to remove, oldest first.
    pub fn removals(&self) -> impl Iterator<Item = DumpDate> + '_ {
        self.verdicts
            .iter()
            .filter(|verdict| verdict.goes)
            .map(|verdict| verdict.date)
    }
}

/// Why nothing is removed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NothingGoes {
    #[error("No old backup sets to remove")]
    NoneThere,
    #[error("Unable to delete {asked} backups.  Only have {there} backups.")]
    TooFew { asked: usize, there: usize },
    #[error("Timestamp dump {0} does not exist.")]
    NoSuchDate(AskedDate),
    #[error("No dump directory is removed, because sets that stay need sets in them: {}", join(.0))]
    Needed(Vec<Need>),
}

/// A set that stays and one that it cannot be restored without.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    pub prefix: Prefix,
    pub kept: TimestampKey,
    pub needed: TimestampKey,
    /// Where the needed one lies.
    pub date: DumpDate,
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "incremental {}{} needs {}{} in {}",
            self.prefix, self.kept, self.prefix, self.needed, self.date
        )
    }
}

fn join(needs: &[Need]) -> String {
    needs.iter().map(Need::to_string).collect::<Vec<_>>().join("; ")
}

/// Decides. `spared` are dates that never go: today and that of the present run.
pub fn plan(
    directories: &[DateDirectory],
    asked: &CleanupRequest,
    spared: &[DumpDate],
) -> Result<CleanupPlan, NothingGoes> {
    let mut old: Vec<DumpDate> = directories
        .iter()
        .map(|directory| directory.date)
        .filter(|date| !spared.contains(date))
        .collect();
    old.sort_unstable();
    old.dedup();
    if old.is_empty() {
        return Err(NothingGoes::NoneThere);
    }
    let mut chosen = BTreeSet::new();
    if let Some(total) = asked.total {
        if total > old.len() {
            return Err(NothingGoes::TooFew {
                asked: total,
                there: old.len(),
            });
        }
        chosen.extend(old.iter().take(total).copied());
    }
    if let Some(asked) = &asked.date {
        match asked.date().filter(|date| old.contains(date)) {
            Some(date) => chosen.insert(date),
            None => return Err(NothingGoes::NoSuchDate(asked.clone())),
        };
    }
    let needs = broken_needs(directories, &chosen);
    if !needs.is_empty() && !asked.force {
        return Err(NothingGoes::Needed(needs));
    }
    let mut verdicts: Vec<DateVerdict> = directories
        .iter()
        .map(|directory| verdict(directory, asked, &chosen, spared, &needs))
        .collect();
    verdicts.sort_by_key(|verdict| verdict.date);
    Ok(CleanupPlan { verdicts })
}

fn verdict(
    directory: &DateDirectory,
    asked: &CleanupRequest,
    chosen: &BTreeSet<DumpDate>,
    spared: &[DumpDate],
    needs: &[Need],
) -> DateVerdict {
    let date = directory.date;
    let mut why = if spared.contains(&date) {
        "it is of today or of this run".to_owned()
    } else if asked.date.as_ref().and_then(AskedDate::date) == Some(date) {
        "--cleanup-date names it".to_owned()
    } else if chosen.contains(&date) {
        match asked.total {
            Some(1) | None => "it is the oldest".to_owned(),
            Some(total) => format!("it is one of the {total} oldest"),
        }
    } else {
        "nothing asks for its removal".to_owned()
    };
    for need in needs.iter().filter(|need| need.date == date) {
        why.push_str(&format!("; --force, although {need}"));
    }
    DateVerdict {
        date,
        sets: directory.sets.len(),
        goes: chosen.contains(&date),
        why,
    }
}

/// Sets outside of the chosen directories that need one inside.
fn broken_needs(directories: &[DateDirectory], chosen: &BTreeSet<DumpDate>) -> Vec<Need> {
    let all: Vec<(DumpDate, &FoundSet)> = directories
        .iter()
        .flat_map(|directory| directory.sets.iter().map(|set| (directory.date, set)))
        .collect();
    let mut needs = Vec::new();
    for (_, kept) in all
        .iter()
        .filter(|(date, set)| set.is_incremental && !chosen.contains(date))
    {
        for needed in chain_of(&all, kept) {
            let date = DumpDate::of(needed);
            if chosen.contains(&date) {
                needs.push(Need {
                    prefix: kept.prefix.clone(),
                    kept: kept.key,
                    needed,
                    date,
                });
            }
        }
    }
    needs.sort();
    needs
}

/// The full dump and the earlier increments without which an incremental one cannot be restored.
fn chain_of(all: &[(DumpDate, &FoundSet)], kept: &FoundSet) -> Vec<TimestampKey> {
    let same_line = || all.iter().map(|(_, set)| *set).filter(|set| set.prefix == kept.prefix);
    if let Some(full) = same_line().find(|set| set.increments.contains(&kept.key)) {
        let earlier = full.increments.iter().copied().filter(|key| *key < kept.key);
        return std::iter::once(full.key).chain(earlier).collect();
    }
    // Its chain is not on record: the newest full dump before it, and all increments since, are what it can be based on.
    let before = |set: &&FoundSet| set.key < kept.key && (set.database == kept.database || set.database.is_none());
    let base = same_line()
        .filter(|set| !set.is_incremental)
        .filter(before)
        .map(|set| set.key)
        .max();
    same_line()
        .filter(before)
        .map(|set| set.key)
        .filter(|key| base.is_none_or(|base| *key >= base))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::chores::CleanupTime;
    use super::*;

    fn date(text: &str) -> DumpDate {
        text.parse().unwrap()
    }

    fn key(text: &str) -> TimestampKey {
        text.parse().unwrap()
    }

    fn set(at: &str, is_incremental: bool, increments: &[&str]) -> FoundSet {
        FoundSet {
            prefix: Prefix::none(),
            key: key(at),
            database: Some("sales".to_owned()),
            is_incremental,
            increments: increments.iter().map(|text| key(text)).collect(),
        }
    }

    fn directories(sets: &[FoundSet]) -> Vec<DateDirectory> {
        let mut found: Vec<DateDirectory> = Vec::new();
        for set in sets {
            let date = DumpDate::of(set.key);
            match found.iter_mut().find(|directory| directory.date == date) {
                Some(directory) => directory.sets.push(set.clone()),
                None => found.push(DateDirectory {
                    date,
                    sets: vec![set.clone()],
                }),
            }
        }
        found
    }

    fn fulls(days: &[&str]) -> Vec<DateDirectory> {
        let sets: Vec<FoundSet> = days
            .iter()
            .map(|day| set(&format!("{day}010203"), false, &[]))
            .collect();
        directories(&sets)
    }

    fn request(total: Option<usize>, day: Option<&str>) -> CleanupRequest {
        CleanupRequest {
            when: CleanupTime::AfterDump,
            date: day.map(|day| day.parse().unwrap()),
            total,
            force: false,
            dry_run: false,
        }
    }

    fn removed(directories: &[DateDirectory], asked: &CleanupRequest) -> Result<Vec<String>, String> {
        match plan(directories, asked, &[date("20240109")]) {
            Ok(plan) => Ok(plan.removals().map(|date| date.to_string()).collect()),
            Err(reason) => Err(reason.to_string()),
        }
    }

    #[test]
    fn the_oldest_go_and_the_named_one_but_never_that_of_the_run() {
        let days = fulls(&["20240109", "20240103", "20240101", "20240102"]);
        let ok = |days: &[&str]| Ok(days.iter().map(|&day| day.to_owned()).collect::<Vec<String>>());
        assert_eq!(removed(&days, &request(Some(1), None)), ok(&["20240101"]));
        assert_eq!(
            removed(&days, &request(Some(3), None)),
            ok(&["20240101", "20240102", "20240103"])
        );
        assert_eq!(removed(&days, &request(None, Some("20240103"))), ok(&["20240103"]));
        assert_eq!(
            removed(&days, &request(Some(1), Some("20240103"))),
            ok(&["20240101", "20240103"])
        );
        assert_eq!(removed(&days, &request(Some(0), None)), ok(&[]));
    }

    #[test]
    fn what_cannot_be_done_is_said_in_the_words_of_the_original() {
        let days = fulls(&["20240109", "20240103"]);
        let no = |text: &str| Err(text.to_owned());
        assert_eq!(
            removed(&days, &request(Some(2), None)),
            no("Unable to delete 2 backups.  Only have 1 backups.")
        );
        assert_eq!(
            removed(&days, &request(Some(1), Some("20240109"))),
            no("Timestamp dump 20240109 does not exist.")
        );
        assert_eq!(
            removed(&fulls(&["20240109"]), &request(Some(1), None)),
            no("No old backup sets to remove")
        );
    }

    #[test]
    fn what_a_kept_incremental_needs_goes_only_by_force_or_with_it() {
        let days = directories(&[
            set("20240101010203", false, &["20240102010203", "20240103010203"]),
            set("20240102010203", true, &[]),
            set("20240103010203", true, &[]),
            set("20240104010203", false, &[]),
        ]);
        let refused = removed(&days, &request(Some(2), None)).unwrap_err();
        assert_eq!(
            refused,
            "No dump directory is removed, because sets that stay need sets in them: incremental 20240103010203 needs \
             20240101010203 in 20240101; incremental 20240103010203 needs 20240102010203 in 20240102"
        );
        assert_eq!(removed(&days, &request(Some(3), None)).unwrap().len(), 3);
        assert_eq!(removed(&days, &request(None, Some("20240103"))).unwrap().len(), 1);
        let force = CleanupRequest {
            force: true,
            ..request(Some(1), None)
        };
        let forced = plan(&days, &force, &[]).unwrap();
        assert!(forced.verdicts[0].goes && forced.verdicts[0].why.contains("although incremental"));
    }

    #[test]
    fn an_incremental_whose_chain_is_lost_keeps_the_newest_full_before_it() {
        let days = directories(&[
            set("20240101010203", false, &[]),
            set("20240102010203", false, &[]),
            set("20240103010203", true, &[]),
        ]);
        assert_eq!(removed(&days, &request(Some(1), None)).unwrap(), ["20240101"]);
        assert!(removed(&days, &request(Some(2), None)).is_err());
    }

    #[test]
    fn a_chain_of_another_prefix_is_another_chain() {
        let mut other = set("20240103010203", true, &[]);
        other.prefix = Prefix::from_option("other").unwrap();
        let days = directories(&[set("20240101010203", false, &[]), other]);
        assert_eq!(removed(&days, &request(Some(1), None)).unwrap(), ["20240101"]);
    }
}
