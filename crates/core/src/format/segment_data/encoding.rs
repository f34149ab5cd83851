//! Names in the encoding of a data file: the rows of a file are never converted, but its names are text to us.

/// Encodings whose bytes are those of a Rust string. What is in an SQL_ASCII database, a server sends as it is.
const AS_IS: [&str; 4] = ["UTF8", "UTF-8", "UNICODE", "SQL_ASCII"];
/// One byte is one character of the same number.
const LATIN1: [&str; 2] = ["LATIN1", "ISO88591"];

/// `None` when the bytes mean nothing in this encoding, or we do not know it and they are not ASCII.
pub(super) fn decode(bytes: &[u8], encoding: &str) -> Option<String> {
    if bytes.is_ascii() || is_one_of(encoding, &AS_IS) {
        return std::str::from_utf8(bytes).ok().map(str::to_owned);
    }
    is_one_of(encoding, &LATIN1).then(|| bytes.iter().map(|b| char::from(*b)).collect())
}

/// The reverse of [`decode`].
pub(super) fn encode(text: &str, encoding: &str) -> Option<Vec<u8>> {
    if text.is_ascii() || is_one_of(encoding, &AS_IS) {
        return Some(text.as_bytes().to_vec());
    }
    if !is_one_of(encoding, &LATIN1) {
        return None;
    }
    text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect()
}

fn is_one_of(encoding: &str, names: &[&str]) -> bool {
    names.iter().any(|name| encoding.eq_ignore_ascii_case(name))
}

/// Encodings of clients in which the second byte of a character may look like a backslash. None of them has a byte
/// below 0x30 there, so tabs, line feeds and apostrophes are what they look like.
const SECOND_BYTES: [&str; 8] = [
    "SJIS",
    "SHIFT_JIS_2004",
    "BIG5",
    "GBK",
    "UHC",
    "GB18030",
    "JOHAB",
    "MSKANJI",
];

/// What has to be known of an encoding to tell a backslash from a part of a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lengths {
    /// Bytes below 0x80 are characters.
    Plain,
    /// A byte from 0x80 takes the next one with it; in the Japanese encodings not those of the half-width letters.
    Pairs { half_width: bool },
}

impl Lengths {
    pub(super) fn of(encoding: &str) -> Lengths {
        if is_one_of(encoding, &SECOND_BYTES) {
            let half_width = is_one_of(encoding, &["SJIS", "SHIFT_JIS_2004", "MSKANJI"]);
            Lengths::Pairs { half_width }
        } else {
            Lengths::Plain
        }
    }

    /// Bytes at the front of `text` without a character that is `special`, at most `limit` or a byte more.
    pub(super) fn run(self, text: &[u8], limit: usize, special: impl Fn(u8) -> bool) -> usize {
        let limit = limit.min(text.len());
        let Lengths::Pairs { half_width } = self else {
            return text[..limit].iter().position(|b| special(*b)).unwrap_or(limit);
        };
        let mut at = 0;
        while at < limit && !special(text[at]) {
            let is_single = text[at] < 0x80 || (half_width && (0xa1..=0xdf).contains(&text[at]));
            at += if is_single { 1 } else { 2 };
        }
        at.min(text.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backslash_inside_a_character_is_none() {
        let special = |b: u8| b == b'\\';
        // The second character of "\u{8868}\u{793a}" in SJIS is 0x95 0x5c.
        assert_eq!(Lengths::of("SJIS").run(b"\x95\x5ca\\", 9, special), 3);
        assert_eq!(Lengths::of("sjis").run(b"\xb1\\", 9, special), 1);
        assert_eq!(Lengths::of("GBK").run(b"\xb1\\", 9, special), 2);
        assert_eq!(Lengths::of("UTF8").run(b"\xc3\xbc\\", 9, special), 2);
    }

    #[test]
    fn what_can_be_encoded_is_decoded_to_the_same() {
        for (text, encoding, bytes) in [
            ("t", "EUC_CN", b"t".as_slice()),
            ("tü", "UTF8", "tü".as_bytes()),
            ("tü", "latin1", b"t\xfc"),
        ] {
            assert_eq!(encode(text, encoding).as_deref(), Some(bytes));
            assert_eq!(decode(bytes, encoding).as_deref(), Some(text));
        }
        assert_eq!(encode("tü", "EUC_CN"), None);
        assert_eq!(encode("漢", "LATIN1"), None);
        assert_eq!(decode(b"t\xfc", "UTF8"), None);
        assert_eq!(decode(b"t\xfc", "WIN1252"), None);
    }
}
