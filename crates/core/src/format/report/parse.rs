//! Reads a report: ours, the original's, or what is left of one.
//!
//! Never fails: what cannot be read is absent, and who needs it says so. The rules for compression, database, type and
//! naming are those of the original restore (`gpdbrestore.md` 0.4).

use super::{BackupType, Conclusion, ReportRow, RowResult};
use crate::words::ids::{ContentId, DbId, Prefix, TimestampKey};
use crate::words::layout::{Compression, FileNaming};

/// What a report says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportFacts {
    pub key: Option<String>,
    pub command_line: Option<String>,
    /// `None` also when the report says `None`.
    pub pass_through: Option<String>,
    pub compression: Option<Compression>,
    pub backup_type: Option<BackupType>,
    /// Version of our program; a set with this mark must have a manifest.
    pub program: Option<String>,
    pub database: Option<String>,
    pub naming: FileNaming,
    /// As far as they could be read.
    pub rows: Vec<ReportRow>,
    /// `None` when there is no last line: the dump did not get that far.
    pub conclusion: Option<Conclusion>,
}

impl ReportFacts {
    /// Whether the set holds chosen tables only: what the original tells its engine, and so its report.
    pub fn is_filtered(&self) -> bool {
        const FILTERS: [&str; 3] = ["--table-file=", "--exclude-table-file=", "--schema-file="];
        let words = self.command_line.iter().flat_map(|line| line.split(' '));
        words
            .map(|word| word.trim_start_matches('"'))
            .any(|word| FILTERS.iter().any(|filter| word.starts_with(filter)))
    }
}

/// Reads the report of the set with this prefix and key.
pub fn parse(text: &str, prefix: &Prefix, key: TimestampKey) -> ReportFacts {
    let head = || text.lines().take_while(|line| *line != "Individual Results");
    let value = |label: &str| head().find_map(|line| line.strip_prefix(label)).map(str::to_owned);
    let old_master = format!("/{prefix}gp_dump_1_1_{key}");
    ReportFacts {
        key: value("Timestamp Key: "),
        command_line: value("gp_dump Command Line: "),
        pass_through: value("Pass through Command Line Options: ").filter(|options| options != "None"),
        compression: text.lines().find_map(compression),
        backup_type: head()
            .find(|line| line.starts_with("Backup Type"))
            .and_then(backup_type),
        program: value("Program: gpcrondump "),
        database: text.lines().rev().find_map(database).map(str::to_owned),
        naming: if text.lines().any(|line| line.contains(&old_master)) {
            FileNaming::Old
        } else {
            FileNaming::New
        },
        rows: rows(text),
        conclusion: text.lines().rev().find_map(conclusion),
    }
}

fn compression(line: &str) -> Option<Compression> {
    if line.contains("Compression Program: gzip") {
        Some(Compression::Gzip)
    } else if line.contains("Compression Program: None") {
        Some(Compression::None)
    } else {
        None
    }
}

fn backup_type(line: &str) -> Option<BackupType> {
    match line.rsplit(':').next()?.trim() {
        "Full" => Some(BackupType::Full),
        "Incremental" => Some(BackupType::Incremental),
        _ => None,
    }
}

/// The text between `Port <digits> Database ` and the last ` BackupFile` of a line.
fn database(line: &str) -> Option<&str> {
    line.match_indices("Port ").find_map(|(at, label)| {
        let rest = &line[at + label.len()..];
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let name = rest[digits..].strip_prefix(" Database ").filter(|_| digits > 0)?;
        name.rfind(" BackupFile").map(|end| &name[..end])
    })
}

fn conclusion(line: &str) -> Option<Conclusion> {
    match line.trim().strip_prefix("gp_dump utility finished ")? {
        "successfully." => Some(Conclusion::Success),
        "but errors were found." => Some(Conclusion::Errors),
        other => {
            let count = other.strip_prefix("unsuccessfully with ")?.strip_suffix("failures.")?;
            count.trim().parse().ok().map(Conclusion::Failures)
        }
    }
}

/// The rows; a message goes on until a brace at a line's end that a new row, the last line or nothing follows.
fn rows(text: &str) -> Vec<ReportRow> {
    let Some((_, mut rest)) = text.split_once("\nIndividual Results\n") else {
        return Vec::new();
    };
    let mut rows = Vec::new();
    while let Some((line, tail)) = rest.split_once('\n') {
        rest = tail;
        let Some((row, has_message)) = row(line) else { continue };
        let mut row = row;
        if has_message && let Some(body) = rest.strip_prefix("{ ") {
            let end = body.match_indices("}\n").find(|(at, _)| ends_message(&body[at + 2..]));
            let (message, tail) = match end {
                Some((at, _)) => (&body[..at], &body[at + 2..]),
                None => (body, ""),
            };
            rest = tail;
            match &mut row.result {
                RowResult::Errors(text) | RowResult::Failed(text) => *text = message.to_owned(),
                RowResult::Succeeded => {}
            }
        }
        rows.push(row);
    }
    rows
}

fn ends_message(rest: &str) -> bool {
    rest.is_empty()
        || rest.starts_with("\ngp_dump utility finished ")
        || rest.lines().next().is_some_and(|l| row(l).is_some())
}

/// One row without its message, and whether a message follows.
fn row(line: &str) -> Option<(ReportRow, bool)> {
    let line = line.strip_prefix('\t')?;
    // 3.x says "Primary segment".
    let line = line.strip_prefix("Primary ").unwrap_or(line);
    let (who, rest) = line.split_once(" (dbid ")?;
    let content = match who.strip_prefix("segment ") {
        Some(number) => ContentId(number.parse().ok()?),
        None if who == "Master" => ContentId::MASTER,
        None => return None,
    };
    let (dbid, rest) = rest.split_once(") Host ")?;
    let (host, rest) = rest.split_once(" Port ")?;
    let (port, rest) = rest.split_once(" Database ")?;
    let (rest, result, has_message) = if let Some(rest) = rest.strip_suffix(": Succeeded ") {
        (rest, RowResult::Succeeded, false)
    } else if let Some(rest) = rest.strip_suffix(": Finished but errors were found: ") {
        (rest, RowResult::Errors(String::new()), true)
    } else {
        let rest = rest.strip_suffix(": Failed with error: ")?;
        (rest, RowResult::Failed(String::new()), true)
    };
    let (database, file) = rest.rsplit_once(" BackupFile ")?;
    let row = ReportRow {
        content,
        dbid: DbId(dbid.parse().ok()?),
        host: host.to_owned(),
        port: port.parse().ok()?,
        database: database.to_owned(),
        file: file.to_owned(),
        result,
    };
    Some((row, has_message))
}
