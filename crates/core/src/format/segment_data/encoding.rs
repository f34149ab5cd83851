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

#[cfg(test)]
mod tests {
    use super::*;

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
