//! `--list-backups`: what each set is, whether it is whole, and which other sets it cannot be restored without.
//!
//! Decided from what lies on the master alone; whether the segments' files are still on their hosts nobody asks here.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDateTime;
use serde::Serialize;

use crate::format::manifest_summary::ManifestSummary;
use crate::format::report::{BackupType, Conclusion, ReportFacts};
use crate::words::ids::{Prefix, TimestampKey};
use crate::words::place::Place;

/// Which sets are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListRequest {
    /// The `-u` directory, or the master's data directory.
    pub root: Place,
    /// Empty: all.
    pub databases: Vec<String>,
    /// `None`: all, those without a prefix too.
    pub prefix: Option<Prefix>,
}

/// What was found of one set on the master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetTraces {
    pub prefix: Prefix,
    pub key: TimestampKey,
    pub directory: Place,
    /// Number and bytes of its files there.
    pub files: u64,
    pub bytes: u64,
    pub report: Option<ReportFacts>,
    pub manifest: Option<ManifestSummary>,
    /// Files that could not be read, or that are not what the manifest says; a sentence each.
    pub problems: Vec<String>,
    /// The master's dump file is there.
    pub has_dump: bool,
    /// Lists that only increments have are there.
    pub has_increment_lists: bool,
    /// For a full dump: its increments, oldest first.
    pub increments: Vec<TimestampKey>,
    /// Why they could not be read; the set itself is none the worse for it.
    pub increments_problem: Option<String>,
}

/// Whether a set can be restored, as far as the master can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SetStatus {
    Complete,
    /// It was never finished, or failed, or lost files.
    Incomplete,
    /// It is whole itself, and a set that it needs is not.
    Broken,
}

impl SetStatus {
    pub fn word(self) -> &'static str {
        match self {
            SetStatus::Complete => "complete",
            SetStatus::Incomplete => "incomplete",
            SetStatus::Broken => "broken",
        }
    }
}

/// Which hosts' files a size counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SizeOf {
    AllHosts,
    MasterOnly,
}

/// One set of the list; also its JSON (`docs/formats/json.md`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedSet {
    pub key: TimestampKey,
    /// `None`: its report cannot be read.
    pub database: Option<String>,
    /// Without the underscore; empty: none.
    pub prefix: String,
    pub kind: BackupType,
    /// It does not hold all tables of the database, by `-t`, `-T`, `-s` or `-S`.
    pub filtered: bool,
    pub status: SetStatus,
    /// Why it is not complete; sentences.
    pub problems: Vec<String>,
    /// Local time.
    pub taken: NaiveDateTime,
    pub age_seconds: i64,
    pub directory: Place,
    pub files: u64,
    pub bytes: u64,
    pub bytes_of: SizeOf,
    pub tables: Option<u64>,
    pub rows: Option<u64>,
    /// From start to end of its dump.
    pub seconds: Option<i64>,
    pub one_cut: Option<bool>,
    /// Our program and its version; `None`: the original.
    pub written_by: Option<String>,
    /// The sets that it needs, newest first; the last is the full dump.
    pub needs: Vec<TimestampKey>,
    /// Those of them that are not there.
    pub missing: Vec<TimestampKey>,
    /// Increments that need this set, oldest first.
    pub needed_by: Vec<TimestampKey>,
}

/// Makes the list, oldest set first.
pub fn list(traces: &[SetTraces], request: &ListRequest, now: NaiveDateTime) -> Vec<ListedSet> {
    let chains = Chains::of(traces);
    let mut sets: Vec<ListedSet> = traces.iter().map(|set| listed(set, &chains, now)).collect();
    mend_by_chain(&mut sets);
    sets.retain(|set| {
        let database = |wanted: &String| set.database.as_ref() == Some(wanted);
        let prefix = |wanted: &Prefix| set.prefix == without_underscore(wanted);
        (request.databases.is_empty() || request.databases.iter().any(database))
            && request.prefix.as_ref().is_none_or(prefix)
    });
    sets.sort_by(|a, b| (a.key, &a.prefix).cmp(&(b.key, &b.prefix)));
    sets
}

/// Who stands in whose list of increments.
struct Chains<'a> {
    /// By prefix and full dump; all increments, oldest first.
    increments: BTreeMap<(&'a Prefix, TimestampKey), Vec<TimestampKey>>,
    /// The full dump of an increment.
    full_of: BTreeMap<(&'a Prefix, TimestampKey), TimestampKey>,
}

impl<'a> Chains<'a> {
    fn of(traces: &'a [SetTraces]) -> Chains<'a> {
        let mut chains = Chains {
            increments: BTreeMap::new(),
            full_of: BTreeMap::new(),
        };
        for set in traces {
            for key in &set.increments {
                chains.full_of.insert((&set.prefix, *key), set.key);
            }
            chains.increments.insert((&set.prefix, set.key), set.increments.clone());
        }
        // A full dump that is gone took its list with it: what the manifests say is left.
        for set in traces {
            let Some(base) = set.manifest.as_ref().and_then(|manifest| manifest.base) else {
                continue;
            };
            chains.full_of.entry((&set.prefix, set.key)).or_insert_with(|| {
                let others = chains.increments.entry((&set.prefix, base.full)).or_default();
                others.push(set.key);
                if base.previous != base.full {
                    others.push(base.previous);
                }
                others.sort_unstable();
                others.dedup();
                base.full
            });
        }
        chains
    }

    /// The sets that an increment needs, newest first.
    fn needs(&self, prefix: &Prefix, key: TimestampKey) -> Vec<TimestampKey> {
        let Some(full) = self.full_of.get(&(prefix, key)) else {
            return Vec::new();
        };
        let increments = self.increments.get(&(prefix, *full)).into_iter().flatten();
        let mut needs: Vec<TimestampKey> = increments.copied().filter(|other| *other < key).collect();
        needs.reverse();
        needs.push(*full);
        needs
    }
}

fn listed(set: &SetTraces, chains: &Chains<'_>, now: NaiveDateTime) -> ListedSet {
    let manifest = set.manifest.as_ref();
    let report = set.report.as_ref();
    let kind = manifest
        .map(|manifest| manifest.backup_type)
        .or_else(|| report.and_then(|report| report.backup_type))
        .unwrap_or(match set.has_increment_lists {
            true => BackupType::Incremental,
            false => BackupType::Full,
        });
    let needs = match kind {
        BackupType::Full => Vec::new(),
        BackupType::Incremental => chains.needs(&set.prefix, set.key),
    };
    let mut problems = problems(set);
    let status = match problems.is_empty() {
        true => SetStatus::Complete,
        false => SetStatus::Incomplete,
    };
    problems.extend(set.increments_problem.clone());
    let (files, bytes, bytes_of) = match manifest {
        Some(manifest) => {
            let (files, bytes) = manifest.files();
            (files, bytes, SizeOf::AllHosts)
        }
        None => (set.files, set.bytes, SizeOf::MasterOnly),
    };
    ListedSet {
        key: set.key,
        database: manifest
            .map(|manifest| manifest.database.clone())
            .or_else(|| report.and_then(|report| report.database.clone())),
        prefix: without_underscore(&set.prefix).to_owned(),
        kind,
        filtered: report.is_some_and(|report| is_filtered(report, kind)),
        status,
        problems,
        taken: set.key.moment(),
        age_seconds: (now - set.key.moment()).num_seconds(),
        directory: set.directory.clone(),
        files,
        bytes,
        bytes_of,
        tables: manifest.map(|manifest| manifest.sums.tables),
        rows: manifest.map(ManifestSummary::rows),
        seconds: manifest.and_then(ManifestSummary::seconds),
        one_cut: manifest.map(|manifest| manifest.consistency.one_cut),
        written_by: manifest
            .map(|manifest| manifest.program.clone())
            .or_else(|| report.and_then(|report| report.program.clone())),
        needs,
        missing: Vec::new(),
        needed_by: Vec::new(),
    }
}

/// Why a set is not whole, whatever others are.
fn problems(set: &SetTraces) -> Vec<String> {
    let mut problems = set.problems.clone();
    let Some(report) = &set.report else {
        if problems.is_empty() {
            problems.push("it has no report: its dump was ended, or is still going on".to_owned());
        }
        return problems;
    };
    if let Some(Conclusion::Failures(count)) = report.conclusion {
        // What is missing is missing for that reason.
        problems.insert(0, format!("its report says that the dump failed on {count} instances"));
        return problems;
    }
    // A damaged manifest is among the problems already.
    if report.program.is_some() && set.manifest.is_none() && problems.is_empty() {
        problems.push("it has no manifest: its dump failed, was ended, or is still going on".to_owned());
    }
    match report.conclusion {
        Some(Conclusion::Success | Conclusion::Failures(_)) => {}
        Some(Conclusion::Errors) => problems.push("its report says that errors were found".to_owned()),
        None => problems.push("its report was cut off".to_owned()),
    }
    if !set.has_dump && set.manifest.is_none() {
        problems.push("the definitions are missing: there is no dump file of the master".to_owned());
    }
    problems
}

/// Increments always have a list of tables; theirs is a filter only when their base had one.
fn is_filtered(report: &ReportFacts, kind: BackupType) -> bool {
    let starts: &[&str] = match kind {
        BackupType::Full => &[
            "--table-file=",
            "--exclude-table-file=",
            "--schema-file=",
            "--exclude-schema-file=",
        ],
        BackupType::Incremental => &["--incremental-filter="],
    };
    let line = report.command_line.as_deref().unwrap_or_default();
    line.split(' ')
        .any(|word| starts.iter().any(|start| word.starts_with(start)))
}

/// What a set is worth also depends on those that it needs.
fn mend_by_chain(sets: &mut [ListedSet]) {
    let known: BTreeMap<(String, TimestampKey), usize> = sets
        .iter()
        .enumerate()
        .map(|(at, set)| ((set.prefix.clone(), set.key), at))
        .collect();
    for at in 0..sets.len() {
        if sets[at].kind != BackupType::Incremental {
            continue;
        }
        let (prefix, key) = (sets[at].prefix.clone(), sets[at].key);
        let mut broken = Vec::new();
        if sets[at].needs.is_empty() {
            broken.push("no full dump names it in its list of increments".to_owned());
        }
        for need in sets[at].needs.clone() {
            match known.get(&(prefix.clone(), need)) {
                None => {
                    sets[at].missing.push(need);
                    broken.push(format!("it needs the set {need}, which is not there"));
                }
                Some(&other) => {
                    sets[other].needed_by.push(key);
                    if sets[other].status == SetStatus::Incomplete {
                        broken.push(format!("it needs the set {need}, which is incomplete"));
                    }
                    if sets[other].kind == BackupType::Full && sets[other].filtered {
                        sets[at].filtered = true;
                    }
                }
            }
        }
        if !broken.is_empty() {
            sets[at].problems.extend(broken);
            if sets[at].status == SetStatus::Complete {
                sets[at].status = SetStatus::Broken;
            }
        }
    }
    for set in sets {
        let needed_by: BTreeSet<TimestampKey> = set.needed_by.drain(..).collect();
        set.needed_by.extend(needed_by);
    }
}

fn without_underscore(prefix: &Prefix) -> &str {
    prefix.as_str().strip_suffix('_').unwrap_or_default()
}

#[cfg(test)]
#[path = "set_list/tests.rs"]
mod tests;
