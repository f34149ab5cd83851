//! Ends of ranges: the value behind a value, and conditions that say the same as a partition.

use super::clause::{Level, Partition};

/// The value behind this one, as SQL; nothing when a type has none.
pub(super) fn next(value: &[u8], type_name: &str) -> Option<Vec<u8>> {
    let step: String = match type_name {
        "smallint" | "integer" | "bigint" | "date" => " + 1".to_owned(),
        // No text stands between one and the same with the first of all characters behind it.
        "text" | "character varying" => " || chr(1)".to_owned(),
        name if name.starts_with("timestamp") && !name.contains('(') => " + '1 microsecond'::interval".to_owned(),
        "timestamp(0) without time zone" | "timestamp(0) with time zone" => " + '1 second'::interval".to_owned(),
        name => {
            let digits = name.strip_prefix("numeric(")?.strip_suffix(')')?;
            let scale: usize = digits.split_once(',')?.1.trim().parse().ok()?;
            match scale {
                0 => " + 1".to_owned(),
                scale => format!(" + 0.{}1", "0".repeat(scale - 1)),
            }
        }
    };
    Some([b"(", value, b")", step.as_bytes()].concat())
}

/// Whether Greenplum 7 itself knows the value behind one of this type (`convert_exclusive_start_inclusive_end` in its
/// parser): then a start may be EXCLUSIVE and an end INCLUSIVE.
pub(super) fn has_next_in_greenplum7(type_name: &str) -> bool {
    let is_time = ["time ", "timestamp ", "interval"]
        .iter()
        .any(|name| type_name.starts_with(name));
    matches!(type_name, "smallint" | "integer" | "bigint" | "date") || (is_time && !type_name.contains('('))
}

/// What rows of a partition have in common; nothing for the one that takes all others.
pub(super) fn check(level: &Level<'_>, partition: &Partition<'_>) -> Option<Vec<u8>> {
    let columns = level.columns.join(&b", "[..]);
    if partition.is_default {
        return None;
    }
    if let Some(values) = partition.values {
        let columns = match level.columns.len() {
            1 => columns,
            _ => [b"(", columns.as_slice(), b")"].concat(),
        };
        return Some([columns.as_slice(), b" IN (", values, b")"].concat());
    }
    let side = |sign: &[u8], value: &[u8]| [columns.as_slice(), b" ", sign, b" ", value].concat();
    let start = partition.start.as_ref();
    let end = partition.end.as_ref();
    let sides: Vec<Vec<u8>> = start
        .map(|start| side(if start.is_edge { b">=" } else { b">" }, start.value))
        .into_iter()
        .chain(end.map(|end| side(if end.is_edge { b"<" } else { b"<=" }, end.value)))
        .collect();
    (!sides.is_empty()).then(|| sides.join(&b" AND "[..]))
}
