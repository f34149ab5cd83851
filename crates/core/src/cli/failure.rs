//! How an error is told: the frame that scripts know around the first sentence, then causes, then what helps.

use std::error::Error;

use crate::gplog::LogLevel;
use crate::words::refusal::{Refusal, RefusalClass};

/// The lines for the log. An error that is no [`Refusal`] and has none among its causes is a failure.
pub fn lines(program: &str, error: &(dyn Error + 'static), hint: Option<&str>) -> Vec<(LogLevel, String)> {
    let chain: Vec<&(dyn Error + 'static)> = std::iter::successors(Some(error), |&error| error.source()).collect();
    let refusal = chain.iter().find_map(|error| error.downcast_ref::<Refusal>());
    let class = refusal.map_or(RefusalClass::Failed, |refusal| refusal.class);
    let mut told = error.to_string();
    let mut lines = vec![match class {
        RefusalClass::Known => (LogLevel::Error, format!("{program} error: {told}")),
        RefusalClass::Argument => (LogLevel::Error, format!("{program}: error: {told}")),
        RefusalClass::Failed => (
            LogLevel::Critical,
            format!("{program} failed. (Reason='{told}') exiting..."),
        ),
    }];
    for cause in &chain[1..] {
        let text = cause.to_string();
        // Drivers like to repeat their cause in their own text.
        if !told.contains(&text) {
            lines.push((LogLevel::Error, format!("caused by: {text}")));
            told = text;
        }
    }
    if let Some(hint) = refusal.and_then(|refusal| refusal.hint.as_deref()).or(hint) {
        lines.push((LogLevel::Info, format!("HINT: {hint}")));
    }
    lines
}

/// What helps, if somebody knew it.
pub fn hint(error: &(dyn Error + 'static)) -> Option<String> {
    let mut chain = std::iter::successors(Some(error), |&error| error.source());
    chain.find_map(|error| error.downcast_ref::<Refusal>()?.hint.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("could not lock table \"sales\".\"orders\" on segment 3 (dbid 5, sdw2:40001)")]
    struct Locking(#[source] std::io::Error);

    #[test]
    fn each_class_has_its_frame() {
        for (refusal, expected) in [
            (Refusal::known("no"), (LogLevel::Error, "gpdbrestore error: no")),
            (Refusal::argument("no"), (LogLevel::Error, "gpdbrestore: error: no")),
            (
                Refusal::failed("no"),
                (LogLevel::Critical, "gpdbrestore failed. (Reason='no') exiting..."),
            ),
        ] {
            assert_eq!(
                lines("gpdbrestore", &refusal, None),
                [(expected.0, expected.1.to_owned())]
            );
        }
    }

    #[test]
    fn causes_and_hint_follow_on_lines_of_their_own() {
        let error = Locking(std::io::Error::other("relation does not exist (SQLSTATE 42P01)"));
        assert_eq!(
            lines("gpcrondump", &error, Some("run the dump again.")),
            [
                (
                    LogLevel::Critical,
                    "gpcrondump failed. (Reason='could not lock table \"sales\".\"orders\" on segment 3 (dbid 5, \
                     sdw2:40001)') exiting..."
                        .to_owned()
                ),
                (
                    LogLevel::Error,
                    "caused by: relation does not exist (SQLSTATE 42P01)".to_owned()
                ),
                (LogLevel::Info, "HINT: run the dump again.".to_owned()),
            ]
        );
    }
}
