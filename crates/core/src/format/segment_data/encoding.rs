//! Names in the encoding of a data file: the rows of a file are never converted, but its names are text to us.

use encoding_rs::Encoding;

/// Encodings whose bytes are those of a Rust string. What is in an SQL_ASCII database, a server sends as it is.
const AS_IS: [&str; 4] = ["UTF8", "UTF-8", "UNICODE", "SQL_ASCII"];
/// One byte is one character of the same number.
const LATIN1: [&str; 2] = ["LATIN1", "ISO88591"];

/// Servers' names of encodings (PostgreSQL documentation, "Character Set Support"), and those of the Encoding Standard that
/// have the same characters at the same places; what does not hold for single characters stands in the test
/// `encodings::names_are_the_bytes_that_the_server_has`. `EUC_TW`, `EUC_JIS_2004`, `SHIFT_JIS_2004`, `JOHAB` and
/// `MULE_INTERNAL` are not in the standard, and its `BIG5` is another one in hundreds of places.
const STANDARD: [(&str, &Encoding); 34] = [
    ("EUC_CN", encoding_rs::GBK),
    ("EUC_JP", encoding_rs::EUC_JP),
    ("EUC_KR", encoding_rs::EUC_KR),
    ("GB18030", encoding_rs::GB18030),
    ("GBK", encoding_rs::GBK),
    ("ISO_8859_5", encoding_rs::ISO_8859_5),
    ("ISO_8859_6", encoding_rs::ISO_8859_6),
    ("ISO_8859_7", encoding_rs::ISO_8859_7),
    ("ISO_8859_8", encoding_rs::ISO_8859_8),
    ("KOI8", encoding_rs::KOI8_R),
    ("KOI8R", encoding_rs::KOI8_R),
    ("KOI8U", encoding_rs::KOI8_U),
    ("LATIN10", encoding_rs::ISO_8859_16),
    ("LATIN2", encoding_rs::ISO_8859_2),
    ("LATIN3", encoding_rs::ISO_8859_3),
    ("LATIN4", encoding_rs::ISO_8859_4),
    ("LATIN5", encoding_rs::WINDOWS_1254),
    ("LATIN6", encoding_rs::ISO_8859_10),
    ("LATIN7", encoding_rs::ISO_8859_13),
    ("LATIN8", encoding_rs::ISO_8859_14),
    ("LATIN9", encoding_rs::ISO_8859_15),
    ("SJIS", encoding_rs::SHIFT_JIS),
    ("UHC", encoding_rs::EUC_KR),
    ("WIN1250", encoding_rs::WINDOWS_1250),
    ("WIN1251", encoding_rs::WINDOWS_1251),
    ("WIN1252", encoding_rs::WINDOWS_1252),
    ("WIN1253", encoding_rs::WINDOWS_1253),
    ("WIN1254", encoding_rs::WINDOWS_1254),
    ("WIN1255", encoding_rs::WINDOWS_1255),
    ("WIN1256", encoding_rs::WINDOWS_1256),
    ("WIN1257", encoding_rs::WINDOWS_1257),
    ("WIN1258", encoding_rs::WINDOWS_1258),
    ("WIN866", encoding_rs::IBM866),
    ("WIN874", encoding_rs::WINDOWS_874),
];

/// Two characters of EUC_CN are others to the servers than to the standard (standard, server).
const OTHERS_IN_EUC_CN: [(char, char); 2] = [('\u{b7}', '\u{30fb}'), ('\u{2014}', '\u{2015}')];

/// `None` when the bytes mean nothing in this encoding, or we do not know it and they are not ASCII.
pub(super) fn decode(bytes: &[u8], encoding: &str) -> Option<String> {
    if bytes.is_ascii() || is_one_of(encoding, &AS_IS) {
        return std::str::from_utf8(bytes).ok().map(str::to_owned);
    }
    if is_one_of(encoding, &LATIN1) {
        return Some(bytes.iter().map(|b| char::from(*b)).collect());
    }
    let text = standard(encoding)?.decode_without_bom_handling_and_without_replacement(bytes)?;
    Some(match encoding.eq_ignore_ascii_case("EUC_CN") {
        true => exchange(&text, OTHERS_IN_EUC_CN),
        false => text.into_owned(),
    })
}

/// The reverse of [`decode`].
pub(super) fn encode(text: &str, encoding: &str) -> Option<Vec<u8>> {
    if text.is_ascii() || is_one_of(encoding, &AS_IS) {
        return Some(text.as_bytes().to_vec());
    }
    if is_one_of(encoding, &LATIN1) {
        return text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
    }
    let for_standard = match encoding.eq_ignore_ascii_case("EUC_CN") {
        true => exchange(text, OTHERS_IN_EUC_CN.map(|(standard, server)| (server, standard))),
        false => text.to_owned(),
    };
    let (bytes, _, is_incomplete) = standard(encoding)?.encode(&for_standard);
    // A few characters would be written as others that look alike.
    let is_exact = !is_incomplete && decode(&bytes, encoding).as_deref() == Some(text);
    is_exact.then(|| bytes.into_owned())
}

fn exchange(text: &str, pairs: [(char, char); 2]) -> String {
    let exchanged = |c| pairs.iter().find(|(from, _)| *from == c).map_or(c, |(_, to)| *to);
    text.chars().map(exchanged).collect()
}

fn standard(encoding: &str) -> Option<&'static Encoding> {
    let found = STANDARD.iter().find(|(name, _)| encoding.eq_ignore_ascii_case(name));
    found.map(|(_, standard)| *standard)
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
            ("订单・―", "EUC_CN", b"\xb6\xa9\xb5\xa5\xa1\xa4\xa1\xaa"),
            ("заказ", "koi8r", b"\xda\xc1\xcb\xc1\xda"),
            ("表", "SJIS", b"\x95\x5c"),
        ] {
            assert_eq!(encode(text, encoding).as_deref(), Some(bytes));
            assert_eq!(decode(bytes, encoding).as_deref(), Some(text));
        }
        // What would be read as another name is not written.
        for (text, encoding) in [
            ("\u{b7}", "EUC_CN"),
            ("\u{2014}", "EUC_CN"),
            ("\u{2212}", "EUC_JP"),
            ("ж", "WIN1252"),
        ] {
            assert_eq!(encode(text, encoding), None, "{text} {encoding}");
        }
        assert_eq!(encode("订", "EUC_TW"), None);
        assert_eq!(encode("漢", "LATIN1"), None);
        assert_eq!(decode(b"t\xfc", "UTF8"), None);
        assert_eq!(decode(b"t\xfc", "EUC_CN"), None);
        assert_eq!(decode(b"\xb6\xa9", "MULE_INTERNAL"), None);
    }
}
