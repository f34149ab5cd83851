//! One row of COPY TEXT: fields with tabs between them, `\N` for NULL, backslash escapes.
//!
//! ```text
//! 1<tab>a'b\\c\td<tab>\N
//! ```
//!
//! The data path never looks into rows; this is for tests and for messages that show a row.

/// Escapes a field as the server does; `None` is NULL.
pub fn escape(field: Option<&[u8]>) -> Vec<u8> {
    let Some(field) = field else {
        return b"\\N".to_vec();
    };
    let mut out = Vec::with_capacity(field.len());
    for &byte in field {
        let letter = match byte {
            0x08 => b'b',
            0x0c => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x0b => b'v',
            b'\\' => b'\\',
            _ => {
                out.push(byte);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', letter]);
    }
    out
}

/// Undoes [`escape`]; also reads octal (`\101`) and hex (`\x41`) escapes. A backslash before anything else is dropped.
pub fn unescape(field: &[u8]) -> Option<Vec<u8>> {
    if field == b"\\N" {
        return None;
    }
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let Some((&escaped, tail)) = rest.split_first() else {
            // A backslash at the very end stands for itself.
            out.push(b'\\');
            break;
        };
        rest = match escaped {
            b'0'..=b'7' => number(rest, 8, 3, &mut out),
            b'x' if tail.first().is_some_and(u8::is_ascii_hexdigit) => number(tail, 16, 2, &mut out),
            _ => {
                out.push(match escaped {
                    b'b' => 0x08,
                    b'f' => 0x0c,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'v' => 0x0b,
                    other => other,
                });
                tail
            }
        };
    }
    Some(out)
}

/// Takes up to `most` digits; the server keeps the low byte.
fn number<'a>(text: &'a [u8], radix: u32, most: usize, out: &mut Vec<u8>) -> &'a [u8] {
    let digits = text.iter().take(most).map_while(|b| char::from(*b).to_digit(radix));
    let (value, count) = digits.fold((0u32, 0), |(value, count), digit| (value * radix + digit, count + 1));
    out.push((value & 0xff) as u8);
    &text[count..]
}

/// The line of a row, with its line end.
pub fn write_row(fields: &[Option<Vec<u8>>]) -> Vec<u8> {
    let fields: Vec<Vec<u8>> = fields.iter().map(|f| escape(f.as_deref())).collect();
    let mut line = fields.join(&b'\t');
    line.push(b'\n');
    line
}

/// The fields of a row, with or without its line end. A row of a table without columns reads as one empty field.
pub fn parse_row(line: &[u8]) -> Vec<Option<Vec<u8>>> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.split(|b| *b == b'\t').map(unescape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    macro_rules! reference {
        ($name:literal) => {
            include_bytes!(concat!("../../../../tests/data/reference/gp5/01-full/", $name)).as_slice()
        };
    }

    #[test]
    fn special_characters_are_the_servers() {
        assert_eq!(
            escape(Some(b"a'b\\c\td\r\n\x0b\x0c\x08")),
            b"a'b\\\\c\\td\\r\\n\\v\\f\\b"
        );
        assert_eq!(escape(None), b"\\N");
        assert_eq!(escape(Some(b"\\N")), b"\\\\N");
        assert_eq!(unescape(b"\\101\\x42\\x4\\q\\"), Some(b"AB\x04q\\".to_vec()));
        assert_eq!(unescape(b"\\xg"), Some(b"xg".to_vec()));
        assert_eq!(unescape(b"\\1234"), Some(b"S4".to_vec()));
    }

    #[test]
    fn rows_of_the_original_are_the_same_after_reading_and_writing() {
        for (text, expected) in [
            (reference!("gp_dump_0_2_20261122103444.first-rows"), 2),
            (reference!("gp_dump_1_3_20261122103444.first-rows"), 5),
            (reference!("gp_dump_2_4_20261122103444.first-rows"), 5),
        ] {
            let begin = b"COPY special_text (id, t, c) FROM stdin;\n".as_slice();
            let at = text.windows(begin.len()).position(|w| w == begin).unwrap() + begin.len();
            let lines = text[at..].split_inclusive(|b| *b == b'\n');
            let rows: Vec<&[u8]> = lines.take_while(|line| *line != b"\\.\n").collect();
            assert!(rows.len() >= expected);
            for row in rows {
                let fields = parse_row(row);
                assert_eq!(fields.len(), 3);
                assert_eq!(write_row(&fields), row);
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            fields in proptest::collection::vec(proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20)), 1..6),
        ) {
            let line = write_row(&fields);
            prop_assert_eq!(line.iter().filter(|b| **b == b'\n').count(), 1);
            prop_assert_ne!(line.as_slice(), b"\\.\n".as_slice());
            prop_assert_eq!(parse_row(&line), fields);
        }

        #[test]
        fn no_bytes_make_it_panic(line in proptest::collection::vec(any::<u8>(), 0..40)) {
            parse_row(&line);
        }
    }
}
