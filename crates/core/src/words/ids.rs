//! Ids: content, dbid, timestamp key, prefix, oid.

use std::fmt;
use std::str::FromStr;

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use serde::{Deserialize, Serialize};

/// The number of a segment: -1 is the master, 0 and up are segments. A primary and its mirror share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContentId(pub i32);

impl ContentId {
    pub const MASTER: ContentId = ContentId(-1);

    pub fn is_master(self) -> bool {
        self.0 < 0
    }
}

impl fmt::Display for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of one server process of the cluster, unique across masters, primaries and mirrors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DbId(pub i32);

impl fmt::Display for DbId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A server's object id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Oid(pub u32);

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a text is not a timestamp key. The texts are those of the original (`gpcrondump.md` 2.2).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    #[error("Invalid timestamp key")]
    NotFourteenDigits,
    #[error("month must be in 1..12")]
    Month,
    #[error("day is out of range for month")]
    Day,
    #[error("hour must be in 0..23")]
    Hour,
    #[error("minute must be in 0..59")]
    Minute,
    #[error("second must be in 0..59")]
    Second,
    #[error("year is out of range")]
    Year,
}

/// The 14 digits `YYYYMMDDHHMMSS` that name a dump set; always a real date and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimestampKey(NaiveDateTime);

impl TimestampKey {
    /// The key of a moment; fractions of a second are cut off.
    pub fn of(moment: NaiveDateTime) -> Self {
        let whole = moment.format("%Y%m%d%H%M%S").to_string();
        whole.parse().expect("a moment written as a key is a key")
    }

    /// `YYYYMMDD`, the name of the dump directory.
    pub fn date_dir(self) -> String {
        self.0.format("%Y%m%d").to_string()
    }

    /// `HH:MM:SS`, as the report and the history table show it.
    pub fn time_of_day(self) -> String {
        self.0.format("%H:%M:%S").to_string()
    }

    pub fn moment(self) -> NaiveDateTime {
        self.0
    }
}

impl FromStr for TimestampKey {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        if text.len() != 14 || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(BadKey::NotFourteenDigits);
        }
        let number = |from: usize, to: usize| text[from..to].parse::<u32>().expect("digits were checked above");
        let (year, month, day) = (number(0, 4), number(4, 6), number(6, 8));
        let (hour, minute, second) = (number(8, 10), number(10, 12), number(12, 14));
        if year == 0 {
            return Err(BadKey::Year);
        }
        if !(1..=12).contains(&month) {
            return Err(BadKey::Month);
        }
        let date = NaiveDate::from_ymd_opt(year as i32, month, day).ok_or(BadKey::Day)?;
        if hour > 23 {
            return Err(BadKey::Hour);
        }
        if minute > 59 {
            return Err(BadKey::Minute);
        }
        let time = NaiveTime::from_hms_opt(hour, minute, second).ok_or(BadKey::Second)?;
        Ok(TimestampKey(date.and_time(time)))
    }
}

impl fmt::Display for TimestampKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.format("%Y%m%d%H%M%S").fmt(f)
    }
}

impl TryFrom<String> for TimestampKey {
    type Error = BadKey;

    fn try_from(text: String) -> Result<Self, BadKey> {
        text.parse()
    }
}

impl From<TimestampKey> for String {
    fn from(key: TimestampKey) -> String {
        key.to_string()
    }
}

/// A day, as date directories are called: `YYYYMMDD`, always a real date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DumpDate(NaiveDate);

/// Why a text is not a [`DumpDate`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a date of the form YYYYMMDD")]
pub struct BadDate(pub String);

impl DumpDate {
    /// The day whose directory holds the set.
    pub fn of(key: TimestampKey) -> Self {
        DumpDate(key.0.date())
    }

    pub fn of_moment(moment: NaiveDateTime) -> Self {
        DumpDate(moment.date())
    }
}

impl FromStr for DumpDate {
    type Err = BadDate;

    fn from_str(text: &str) -> Result<Self, BadDate> {
        let midnight = format!("{text}000000").parse::<TimestampKey>();
        match midnight {
            Ok(key) if text.len() == 8 => Ok(DumpDate::of(key)),
            _ => Err(BadDate(text.to_owned())),
        }
    }
}

impl fmt::Display for DumpDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.format("%Y%m%d").fmt(f)
    }
}

impl TryFrom<String> for DumpDate {
    type Error = BadDate;

    fn try_from(text: String) -> Result<Self, BadDate> {
        text.parse()
    }
}

impl From<DumpDate> for String {
    fn from(date: DumpDate) -> String {
        date.to_string()
    }
}

/// Why a text cannot be a file name prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("prefix \"{0}\" cannot be part of a file name: \"/\", NUL and line breaks are not allowed")]
pub struct BadPrefix(pub String);

/// What stands in front of every file name of a set: empty, or the `--prefix` value and one underscore.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Prefix(String);

impl Prefix {
    pub fn none() -> Self {
        Prefix::default()
    }

    /// From the value of `--prefix`; an empty value is no prefix.
    pub fn from_option(value: &str) -> Result<Self, BadPrefix> {
        if value.contains(['/', '\0', '\n', '\r']) {
            return Err(BadPrefix(value.to_owned()));
        }
        Ok(if value.is_empty() {
            Prefix::none()
        } else {
            Prefix(format!("{value}_"))
        })
    }

    /// As written in front of a file name, with the underscore.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_reads_what_it_writes() {
        let key: TimestampKey = "20240229235959".parse().unwrap();
        assert_eq!(key.to_string(), "20240229235959");
        assert_eq!(key.date_dir(), "20240229");
        assert_eq!(key.time_of_day(), "23:59:59");
    }

    #[test]
    fn key_refuses_with_the_words_of_the_original() {
        for (text, reason) in [
            ("2024", "Invalid timestamp key"),
            ("2024010203040x", "Invalid timestamp key"),
            ("20241301000000", "month must be in 1..12"),
            ("20240230000000", "day is out of range for month"),
            ("20240201240000", "hour must be in 0..23"),
            ("20240201006000", "minute must be in 0..59"),
            ("20240201000060", "second must be in 0..59"),
            ("00000101000000", "year is out of range"),
        ] {
            assert_eq!(text.parse::<TimestampKey>().unwrap_err().to_string(), reason, "{text}");
        }
    }

    #[test]
    fn only_a_real_date_of_eight_digits_is_a_date() {
        assert_eq!("20240229".parse::<DumpDate>().unwrap().to_string(), "20240229");
        for text in [
            "",
            "2024022",
            "202402290",
            "20230229",
            "2024022x",
            "../../..",
            "20240229/",
        ] {
            assert_eq!(text.parse::<DumpDate>().unwrap_err(), BadDate(text.to_owned()));
        }
    }

    #[test]
    fn prefix_gets_one_underscore_and_no_slash() {
        assert_eq!(Prefix::from_option("nightly").unwrap().as_str(), "nightly_");
        assert_eq!(Prefix::from_option("").unwrap(), Prefix::none());
        assert!(Prefix::from_option("../x").is_err());
    }
}
