//! The status file of one instance: what its agent logged, a line per event.
//!
//! ```text
//! 20261122:10:25:08|gp_dump_agent-[INFO]:-Dumping database "demo"...
//! 20261122:10:25:10|gp_dump_agent-[ERROR]:-SQL command failed
//! 20261122:10:25:10|gp_dump_agent-[INFO]:-Finished successfully
//! ```
//!
//! Lines of other forms (`gp_dump_agent: <text>`, `WARNING:  <text>` of the server) stand between these. The moment is
//! given by the caller; times are local, as everywhere in these files. Source: `gp_dump.md` 2.3.

use chrono::NaiveDateTime;

/// Whose status file it is; the name that stands in its lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agent {
    Dump,
    Restore,
}

impl Agent {
    fn name(self) -> &'static str {
        match self {
            Agent::Dump => "gp_dump_agent",
            Agent::Restore => "gp_restore_agent",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Info,
    Warn,
    Error,
    Fatal,
}

impl Level {
    fn text(self) -> &'static str {
        match self {
            Level::Info => "INFO",
            Level::Warn => "WARN",
            Level::Error => "ERROR",
            Level::Fatal => "FATAL",
        }
    }
}

/// The text that says that an agent came to its end. The original, and scripts after it, look for these words.
pub const FINISHED: &str = "Finished successfully";

/// One event, with its line end. A text of several lines stays as it is, as the original leaves it.
pub fn line(moment: NaiveDateTime, agent: Agent, level: Level, text: &str) -> String {
    let time = moment.format("%Y%m%d:%H:%M:%S");
    format!("{time}|{}-[{}]:-{text}\n", agent.name(), level.text())
}

/// A line whose moment is not known.
pub fn untimed(agent: Agent, text: &str) -> String {
    format!("{}: {text}\n", agent.name())
}

/// The two lines that a good file ends with.
pub fn success(moment: NaiveDateTime, agent: Agent) -> String {
    line(moment, agent, Level::Info, "Succeeded") + &line(moment, agent, Level::Info, FINISHED)
}

/// What a status file amounts to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Finished,
    /// Came to its end, with these error lines on the way.
    FinishedWithErrors(Vec<String>),
    /// Did not come to its end; with its error lines, if there are any.
    Unfinished(Vec<String>),
}

/// Judges a status file (`gpcrondump.md` 2.10, step 5). The original lets a file with neither end nor errors pass; here
/// it is unfinished.
pub fn verdict(text: &str) -> Verdict {
    let mut finished = false;
    let mut errors = Vec::new();
    for line in text.lines() {
        if line.contains(FINISHED) {
            finished = true;
        } else if line.contains("ERROR:") || line.contains("[ERROR]") {
            errors.push(line.to_owned());
        }
    }
    match (finished, errors.is_empty()) {
        (true, true) => Verdict::Finished,
        (true, false) => Verdict::FinishedWithErrors(errors),
        (false, _) => Verdict::Unfinished(errors),
    }
}

/// From the beginning of the first line with an error to the end: what a report quotes of a status file (1.3, step 6).
pub fn error_extract(text: &str) -> &str {
    let marks = ["ERROR:", "ERROR]"];
    let Some(at) = marks.iter().filter_map(|mark| text.find(mark)).min() else {
        return "No extra error information available. Please examine status file.";
    };
    let line_start = text[..at].rfind('\n').map_or(0, |end| end + 1);
    &text[line_start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = include_str!("../../../../tests/data/reference/gp5/01-full/gp_dump_status_-1_1_20261122103444");
    const FAILED: &str =
        include_str!("../../../../tests/data/reference/gp5/engine/f1/gp_dump_status_0_2_20200101000000");

    fn moment() -> NaiveDateTime {
        chrono::NaiveDate::from_ymd_opt(2026, 11, 22)
            .unwrap()
            .and_hms_opt(10, 34, 48)
            .unwrap()
    }

    #[test]
    fn lines_are_the_originals() {
        let text = success(moment(), Agent::Dump);
        assert!(GOOD.ends_with(&text), "{text}");
        assert_eq!(
            line(moment(), Agent::Restore, Level::Error, "x"),
            "20261122:10:34:48|gp_restore_agent-[ERROR]:-x\n"
        );
    }

    #[test]
    fn a_file_is_finished_only_with_its_last_words_and_no_error() {
        assert_eq!(verdict(GOOD), Verdict::Finished);
        assert_eq!(verdict(""), Verdict::Unfinished(vec![]));
        assert_eq!(
            verdict(GOOD.rsplit_once("20261122").unwrap().0),
            Verdict::Unfinished(vec![])
        );
        let Verdict::Unfinished(errors) = verdict(FAILED) else {
            panic!("{FAILED}")
        };
        assert_eq!(errors.len(), 5);
        let text = format!("psql: ERROR:  x\n{GOOD}");
        assert_eq!(
            verdict(&text),
            Verdict::FinishedWithErrors(vec!["psql: ERROR:  x".into()])
        );
    }

    #[test]
    fn the_extract_is_what_the_report_of_the_same_dump_quotes() {
        let report = include_str!("../../../../tests/data/reference/gp5/engine/f1/gp_dump_20200101000000.rpt");
        assert!(report.contains(&format!("\n{{ {}}}\n", error_extract(FAILED))));
        assert!(error_extract(GOOD).starts_with("No extra error information"));
    }
}
