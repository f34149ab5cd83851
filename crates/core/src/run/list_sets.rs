//! `--list-backups`: the sets of a root as a table for people. Needs no server, no worker and no lock.

use chrono::NaiveDateTime;
use serde::Serialize;

use crate::format::report::BackupType;
use crate::gather::set_list::read_sets;
use crate::plan::set_list::{self, ListRequest, ListedSet, SetStatus, SizeOf};
use crate::store::files::Files;
use crate::words::exit::Exit;
use crate::words::place::Place;
use crate::words::refusal::Refusal;
use crate::words::units::{bytes_text, duration_text};

/// The list, and what it may lack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SetList {
    /// The root that was looked into.
    pub directory: Place,
    /// Oldest first.
    pub sets: Vec<ListedSet>,
    /// Directories that could not be read; a sentence each.
    pub not_read: Vec<String>,
}

/// Reads and decides.
pub fn run(files: &Files, request: &ListRequest, now: NaiveDateTime) -> Result<SetList, Refusal> {
    let found = read_sets(files, &request.root)?;
    Ok(SetList {
        directory: request.root.clone(),
        sets: set_list::list(&found.sets, request, now),
        not_read: found.not_read,
    })
}

impl SetList {
    /// A list that lacks something is told by the status, not only by words.
    pub fn exit(&self) -> Exit {
        match self.not_read.is_empty() {
            true => Exit::Ok,
            false => Exit::Warnings,
        }
    }

    /// The table, then a line for each reason why a set is not complete, then the sums.
    pub fn table(&self) -> String {
        if self.sets.is_empty() {
            return format!("There are no such dump sets in {}.\n", self.directory.display());
        }
        let mut rows = vec![["KEY", "DATABASE", "KIND", "PREFIX", "AGE", "SIZE", "STATUS", "NEEDS"].map(str::to_owned)];
        rows.extend(self.sets.iter().map(row));
        let mut text = aligned(&rows);
        let problems: Vec<String> = self.sets.iter().flat_map(problem_lines).collect();
        if !problems.is_empty() {
            text.push('\n');
            text.push_str(&problems.concat());
        }
        let complete = self.sets.iter().filter(|set| set.status == SetStatus::Complete).count();
        let bytes: u64 = self.sets.iter().map(|set| set.bytes).sum();
        text.push_str(&format!(
            "\n{} sets, {complete} of them complete, {} in {}\n",
            self.sets.len(),
            bytes_text(bytes),
            self.directory.display()
        ));
        if self.sets.iter().any(|set| set.bytes_of == SizeOf::MasterOnly) {
            text.push_str("> before a size: only the files on this host are known.\n");
        }
        text
    }
}

fn row(set: &ListedSet) -> [String; 8] {
    let dash = || "-".to_owned();
    let kind = match (set.kind, set.filtered) {
        (BackupType::Full, false) => "full",
        (BackupType::Full, true) => "full, filtered",
        (BackupType::Incremental, false) => "incremental",
        (BackupType::Incremental, true) => "incremental, filtered",
    };
    let size = bytes_text(set.bytes);
    [
        set.key.to_string(),
        set.database.as_deref().map_or_else(|| "?".to_owned(), printable),
        kind.to_owned(),
        match set.prefix.is_empty() {
            true => dash(),
            false => printable(&set.prefix),
        },
        match u64::try_from(set.age_seconds) {
            Ok(seconds) => duration_text(seconds),
            Err(_) => "future".to_owned(),
        },
        match set.bytes_of {
            SizeOf::AllHosts => size,
            SizeOf::MasterOnly => format!("> {size}"),
        },
        set.status.word().to_owned(),
        match set.needs.split_last() {
            None => dash(),
            Some((full, [])) => full.to_string(),
            Some((full, increments)) => format!("{full} and {} more", increments.len()),
        },
    ]
}

fn problem_lines(set: &ListedSet) -> Vec<String> {
    let prefix = match set.prefix.is_empty() {
        true => String::new(),
        false => format!("{}_", printable(&set.prefix)),
    };
    let line = |problem: &String| format!("{prefix}{}: {}\n", set.key, printable(problem));
    set.problems.iter().map(line).collect()
}

/// Names may hold anything; the screen shall not obey it.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// Columns as wide as their widest cell, two blanks between them; sizes to the right.
fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    const SIZE: usize = 5;
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (at, (cell, width)) in row.iter().zip(widths).enumerate() {
            let gap = if at == 0 { "" } else { "  " };
            line.push_str(gap);
            match at {
                SIZE => line.push_str(&format!("{cell:>width$}")),
                _ => line.push_str(&format!("{cell:<width$}")),
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
