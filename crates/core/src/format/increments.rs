//! The chain of a full dump, `gp_dump_<key of the full dump>_increments`: the keys of its increments, oldest first.
//!
//! ```text
//! 20240103030405
//! 20240104030405
//! ```
//!
//! It lies beside the full dump; there is none before the first increment. Source: `gpcrondump.md` 3.6.

use crate::words::ids::TimestampKey;

/// What is wrong with a list; the texts are those of the original, which names the file in them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadIncrements {
    #[error("increments file exists but is empty: '{file}'")]
    Empty { file: String },
    #[error("get_last_dump_timestamp found invalid ts in file '{file}': '{line}'")]
    BadKey { file: String, line: String },
    #[error("increments file '{file}' is not in order: {later} stands before {earlier}")]
    OutOfOrder {
        file: String,
        later: TimestampKey,
        earlier: TimestampKey,
    },
}

/// Reads a list; `file` is for messages. Blank lines are passed over, and a list without a key is an error.
pub fn parse(text: &str, file: &str) -> Result<Vec<TimestampKey>, BadIncrements> {
    let mut keys: Vec<TimestampKey> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let key = line.parse().map_err(|_| BadIncrements::BadKey {
            file: file.to_owned(),
            line: line.to_owned(),
        })?;
        // Each increment was compared with the one before it: in another order the chain means something else.
        if let Some(&last) = keys.last()
            && last >= key
        {
            return Err(BadIncrements::OutOfOrder {
                file: file.to_owned(),
                later: last,
                earlier: key,
            });
        }
        keys.push(key);
    }
    match keys.is_empty() {
        true => Err(BadIncrements::Empty { file: file.to_owned() }),
        false => Ok(keys),
    }
}

/// The text of a list.
pub fn write(keys: &[TimestampKey]) -> String {
    keys.iter().map(|key| format!("{key}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGINAL: &str = include_str!(
        "../../../../tests/data/reference/gp5/07-prefix-incremental/foo_gp_dump_20261122105424_increments"
    );

    fn key(text: &str) -> TimestampKey {
        text.parse().unwrap()
    }

    #[test]
    fn the_list_of_the_original_is_read_and_written_to_the_byte() {
        let keys = parse(ORIGINAL, "f").unwrap();
        assert_eq!(keys.first(), Some(&key("20261122105431")));
        assert_eq!(write(&keys), ORIGINAL);
    }

    #[test]
    fn what_is_no_list_is_refused_in_the_words_of_the_original() {
        for (text, message) in [
            ("", "increments file exists but is empty: '/d/f'"),
            ("\n \n", "increments file exists but is empty: '/d/f'"),
            (
                "20240103030405\n2024\n",
                "get_last_dump_timestamp found invalid ts in file '/d/f': '2024'",
            ),
            (
                "20240104030405\n20240103030405\n",
                "increments file '/d/f' is not in order: 20240104030405 stands before 20240103030405",
            ),
        ] {
            assert_eq!(parse(text, "/d/f").unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn blanks_and_a_missing_last_line_end_do_not_matter() {
        let keys = [key("20240103030405"), key("20240104030405")];
        assert_eq!(parse(" 20240103030405\r\n\n20240104030405", "f").unwrap(), keys);
    }
}
