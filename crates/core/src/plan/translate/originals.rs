//! What the original programs wrote wrongly, and no server should be told.

use super::foreign::shown;
use super::rewrite::{Change, Known};
use super::statement::{Kind, Part, Statement};
use crate::format::toc::EntryKind;

/// `ALTER TABLE t DISABLE TRIGGER g` behind every trigger, whatever its state was.
pub(super) fn disabled_triggers(statement: &Statement<'_>, _: &mut Known) -> Change {
    let in_trigger = statement.entry.is_some_and(|entry| entry.kind == EntryKind::Trigger);
    match in_trigger && statement.find(2, &["disable", "trigger"]).is_some() {
        true => Change::Goes,
        false => Change::Keep,
    }
}

/// Text search objects and operator families stand in both files, and the second drops them first: the drop fails where
/// an index needs them, and what follows finds them there.
pub(super) fn doubled_definitions(statement: &Statement<'_>, _: &mut Known) -> Change {
    let doubled = match statement.entry {
        Some(entry) => matches!(
            entry.kind,
            EntryKind::OperatorFamily
                | EntryKind::TextSearchConfiguration
                | EntryKind::TextSearchDictionary
                | EntryKind::TextSearchParser
                | EntryKind::TextSearchTemplate
        ),
        None => {
            statement.kind == Kind::Drop
                && (statement.are(1, &["text", "search"]) || statement.are(1, &["operator", "family"]))
        }
    };
    match statement.part == Part::PostData && doubled {
        true => Change::Goes,
        false => Change::Keep,
    }
}

/// What a server says of a type that it has not: the original programs leave out ENUM types.
pub(super) fn missing_enum(message: &str) -> Option<String> {
    let rest = message.split_once("type \"")?.1;
    let (name, rest) = rest.split_once('"')?;
    rest.starts_with(" does not exist").then(|| {
        let name = shown(name.as_bytes());
        format!(
            "the original gpcrondump leaves ENUM types out of its sets; create type {name} with its labels and restore the \
             table again (-T)"
        )
    })
}
