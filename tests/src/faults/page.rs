//! `docs/reliability.md`, between its two marks: written from the cells of a whole run, held against them by every run.

use std::collections::BTreeMap;
use std::fmt::Write;

use gpdump_testkit::release_of;

use super::stage::gphome;
use super::{BOUND, CONNECT, Cell, FAULTS, LOCK, PHASES, Phase, SILENCE};

/// Where the tables of these servers stand: PostgreSQL in Greenplum's shape, or a real Greenplum.
fn marks() -> (String, String) {
    let on = gphome().map_or(String::new(), |home| format!(" on Greenplum {}", release_of(&home)));
    (
        format!("<!-- written by the tests{on}: begin -->\n"),
        format!("<!-- written by the tests{on}: end -->\n"),
    )
}

/// The page with new tables.
pub fn page_of(page: &str, cells: &[Cell]) -> String {
    let (begin, end) = marks();
    let (head, old, tail) = parts(page);
    format!("{head}{begin}{}{end}{tail}", tables(cells, old))
}

/// The page before the tables, these, and what follows.
fn parts(page: &str) -> (&str, &str, &str) {
    let (begin, end) = marks();
    let (head, rest) = page.split_once(&begin).expect("the page has its first mark");
    let (old, tail) = rest.split_once(&end).expect("the page has its second mark");
    (head, old, tail)
}

/// What the page has for a cell.
fn on_page<'a>(page: &'a str, fault: &str, phase: Phase) -> Option<&'a str> {
    let mut rows = page.lines().filter(|line| line.starts_with(&format!("| {fault} |")));
    let (row, column) = match PHASES.iter().position(|one| *one == phase)? {
        at @ 0..5 => (rows.next(), at),
        at => (rows.nth(1), at - 5),
    };
    let text = row?.trim_end_matches(" |").split(" | ").nth(column + 1)?;
    Some(text.trim())
}

/// Cells that were not run now stay as they are on the page.
fn tables(cells: &[Cell], old: &str) -> String {
    let at: BTreeMap<(&str, Phase), &Cell> = cells.iter().map(|cell| ((cell.fault, cell.phase), cell)).collect();
    let told = |fault: &str, phase: Phase| match at.get(&(fault, phase)) {
        Some(cell) => shown(cell),
        None => on_page(old, fault, phase).unwrap_or("-").to_owned(),
    };
    let count = FAULTS
        .iter()
        .flat_map(|fault| PHASES.iter().map(|phase| told(fault.name, *phase)))
        .filter(|text| text != "-")
        .count();
    let mut text = format!(
        "\n{} cells. The programs ran with `--connect-timeout {CONNECT} --silence-timeout {SILENCE} --lock-timeout {LOCK}`; \
         the bound for every cell is {BOUND} s.\n",
        count
    );
    for (title, phases) in [("A dump", &PHASES[..5]), ("A restore", &PHASES[5..])] {
        let names: Vec<&str> = phases
            .iter()
            .map(|phase| phase.name().split_once(": ").map_or("", |(_, name)| name))
            .collect();
        let _ = write!(
            text,
            "\n### {title}\n\n| fault | {} |\n| --- |{}\n",
            names.join(" | "),
            " --- |".repeat(phases.len())
        );
        for fault in FAULTS {
            let columns: Vec<String> = phases.iter().map(|phase| told(fault.name, *phase)).collect();
            let _ = writeln!(text, "| {} | {} |", fault.name, columns.join(" | "));
        }
    }
    text.push_str("\n### What was said\n\nThe first complaint of the first phase that ended with status 2.\n\n");
    for fault in FAULTS {
        let failed = cells
            .iter()
            .find(|cell| cell.fault == fault.name && cell.status == Some(2));
        let begin = format!("- **{}** (", fault.name);
        let line = old.lines().find(|line| line.starts_with(&begin));
        let is_run_anew = |line: &str| {
            let phase = line[begin.len()..].split_once(')').map_or("", |(phase, _)| phase);
            cells
                .iter()
                .any(|cell| cell.fault == fault.name && cell.phase.name() == phase)
        };
        if let (None, Some(line)) = (failed, line.filter(|line| !is_run_anew(line))) {
            let _ = writeln!(text, "{line}");
        }
        if let Some(cell) = failed {
            let _ = writeln!(
                text,
                "- **{}** ({}): {}",
                fault.name,
                cell.phase.name(),
                redacted(&cell.message)
            );
        }
    }
    text.push('\n');
    text
}

fn shown(cell: &Cell) -> String {
    let status = cell.status.map_or("killed".to_owned(), |status| status.to_string());
    let left = match cell.named_leftovers.len() {
        0 => String::new(),
        n => format!(", {n} named"),
    };
    let wrong = if cell.wrong.is_empty() { "" } else { " **WRONG**" };
    format!("{status}, {:.1} s{left}{wrong}", cell.seconds)
}

/// Without what is different each time.
fn redacted(message: &str) -> String {
    let mut text = String::new();
    for word in message.split(' ') {
        let shown = match word {
            _ if word.contains("/gpdump-") || word.contains("/gpcrondump\"") => "PATH",
            _ if word.chars().filter(char::is_ascii_digit).count() >= 5 && !word.contains("sdw") => "N",
            _ => word,
        };
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(shown);
    }
    text.replace('|', "\\|")
}

/// Complains when a cell of the list is not on the page, or has another status there.
pub fn check_page(page: &str, cells: &[Cell]) -> Vec<String> {
    let (_, page, _) = parts(page);
    let mut problems = Vec::new();
    for fault in FAULTS {
        let rows = page
            .lines()
            .filter(|line| line.starts_with(&format!("| {} |", fault.name)));
        if rows.count() != 2 {
            problems.push(format!("fault {:?} has not its two rows", fault.name));
        }
    }
    if page.contains("WRONG") {
        problems.push("the page has a cell that is wrong".to_owned());
    }
    for cell in cells {
        let on_page = on_page(page, cell.fault, cell.phase).unwrap_or_default();
        let status = cell.status.map_or("killed".to_owned(), |status| status.to_string());
        if !on_page.starts_with(&format!("{status},")) {
            problems.push(format!(
                "{} at {}: status {status}, the page says {on_page:?}",
                cell.fault,
                cell.phase.name()
            ));
        }
    }
    problems
}
