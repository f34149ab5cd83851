//! INSERT statements of a data file, made back into the text that COPY takes: loading them one by one would take a
//! hundred times as long, and would need a way of its own through the whole restore.

use super::copy_statement::Scan;
use super::encoding::Lengths;

/// What stands in front of the values; names unquoted, still in the encoding of the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InsertHead {
    pub(super) schema: Option<Vec<u8>>,
    pub(super) table: Vec<u8>,
    /// `Some` and empty: the table has none.
    pub(super) columns: Option<Vec<Vec<u8>>>,
    /// Bytes in front of the first value: the same bytes mean the same head.
    pub(super) length: usize,
}

/// `INSERT INTO [s.]t [(a, b)] [OVERRIDING SYSTEM VALUE] VALUES (` or `... DEFAULT VALUES`.
pub(super) fn parse_head(statement: &[u8]) -> Result<InsertHead, &'static str> {
    let mut scan = Scan::new(statement);
    if !(scan.word("insert") && scan.word("into")) {
        return Err("it does not begin with INSERT INTO");
    }
    let first = scan.name().ok_or("no table name was found")?;
    let (schema, table) = if scan.symbol(b'.') {
        (Some(first), scan.name().ok_or("no table name was found")?)
    } else {
        (None, first)
    };
    let mut columns = None;
    if scan.symbol(b'(') {
        let mut names = vec![scan.name().ok_or("a column name is missing")?];
        while scan.symbol(b',') {
            names.push(scan.name().ok_or("a column name is missing")?);
        }
        if !scan.symbol(b')') {
            return Err("the list of columns does not end");
        }
        columns = Some(names);
    }
    if scan.word("overriding") && !((scan.word("system") || scan.word("user")) && scan.word("value")) {
        return Err("OVERRIDING has no SYSTEM VALUE behind it");
    }
    if scan.word("default") {
        if columns.is_some() || !scan.word("values") || !scan.is_done() {
            return Err("only DEFAULT VALUES of a table without columns can be read");
        }
        columns = Some(Vec::new());
    } else if !(scan.word("values") && scan.symbol(b'(')) {
        return Err("VALUES is missing");
    }
    Ok(InsertHead {
        schema,
        table,
        columns,
        length: statement.len() - scan.rest().len(),
    })
}

/// Appends the rows behind the head as COPY text and tells how many they are. On an error `out` holds a part of a row.
pub(super) fn append_rows(
    values: &[u8],
    standard_strings: bool,
    encoding: Lengths,
    out: &mut Vec<u8>,
) -> Result<u64, &'static str> {
    let mut reader = Values {
        rest: values,
        standard_strings,
        encoding,
        out,
    };
    let mut rows = 0;
    loop {
        reader.value()?;
        match reader.next_symbol() {
            Some(b',') => reader.out.push(b'\t'),
            Some(b')') => {
                reader.out.push(b'\n');
                rows += 1;
                match (reader.next_symbol(), reader.next_symbol()) {
                    (None, _) if reader.rest.is_empty() => return Ok(rows),
                    (Some(b','), Some(b'(')) => {}
                    _ => return Err("something stands behind the values"),
                }
            }
            _ => return Err("the list of values does not end"),
        }
    }
}

struct Values<'a, 'b> {
    rest: &'a [u8],
    standard_strings: bool,
    encoding: Lengths,
    out: &'b mut Vec<u8>,
}

impl Values<'_, '_> {
    /// Takes the next byte when it is one of those that values stand between.
    fn next_symbol(&mut self) -> Option<u8> {
        self.rest = self.rest.trim_ascii_start();
        let symbol = *self.rest.first()?;
        if !b",()".contains(&symbol) {
            return None;
        }
        self.rest = &self.rest[1..];
        Some(symbol)
    }

    fn value(&mut self) -> Result<(), &'static str> {
        self.rest = self.rest.trim_ascii_start();
        match self.rest {
            [b'\'', ..] => self.literal(1, !self.standard_strings),
            [b'e' | b'E', b'\'', ..] => self.literal(2, true),
            [b'b' | b'B', b'\'', ..] => self.literal(2, false),
            // The server reads hexadecimal bits by the letter in front.
            [b'x' | b'X', b'\'', ..] => {
                self.out.push(b'X');
                self.literal(2, false)
            }
            _ => self.bare(),
        }
    }

    fn bare(&mut self) -> Result<(), &'static str> {
        let end = self.rest.iter().position(|b| b",)".contains(b));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        let word = word.trim_ascii();
        let is_number = !word.is_empty() && word.iter().all(|b| b"0123456789 +-eE.".contains(b));
        if word.eq_ignore_ascii_case(b"null") {
            self.out.extend_from_slice(b"\\N");
        } else if word.eq_ignore_ascii_case(b"true") {
            self.out.push(b't');
        } else if word.eq_ignore_ascii_case(b"false") {
            self.out.push(b'f');
        } else if is_number {
            self.out.extend_from_slice(word);
        } else {
            return Err("a value is no literal, no number, NULL, true or false");
        }
        Ok(())
    }

    fn literal(&mut self, opening: usize, escapes: bool) -> Result<(), &'static str> {
        self.rest = &self.rest[opening..];
        loop {
            match self.rest {
                [] => return Err("a literal does not end"),
                [b'\'', b'\'', ..] => {
                    self.out.push(b'\'');
                    self.rest = &self.rest[2..];
                }
                [b'\'', ..] => {
                    self.rest = &self.rest[1..];
                    return Ok(());
                }
                [b'\\', ..] if escapes => self.escape(),
                // What the server's own COPY escapes, in its way: the bytes come out as they went in.
                [byte @ (0x08 | 0x0b | 0x0c | b'\n' | b'\r' | b'\t' | b'\\'), ..] => {
                    let byte = *byte;
                    self.rest = &self.rest[1..];
                    self.put(byte);
                }
                _ => {
                    let rest = self.rest;
                    let special = |b: u8| matches!(b, b'\'' | b'\\' | 0x08..=0x0d);
                    let run = self.encoding.run(rest, rest.len(), special);
                    self.out.extend_from_slice(&rest[..run]);
                    self.rest = &rest[run..];
                }
            }
        }
    }

    /// A backslash and what follows it, in a literal that has escapes.
    fn escape(&mut self) {
        let rest = &self.rest[1..];
        let digits = |radix: u32, from: usize, most: usize| {
            let run = rest[from.min(rest.len())..].iter().take(most);
            run.take_while(|b| char::from(**b).is_digit(radix)).count()
        };
        let number = |from: usize, count: usize, radix: u32| {
            let text = std::str::from_utf8(&rest[from..from + count]).unwrap_or_default();
            u32::from_str_radix(text, radix).unwrap_or_default() as u8
        };
        let (byte, taken) = match rest.first() {
            Some(b'b') => (0x08, 1),
            Some(b'f') => (0x0c, 1),
            Some(b'n') => (b'\n', 1),
            Some(b'r') => (b'\r', 1),
            Some(b't') => (b'\t', 1),
            Some(b'0'..=b'7') => {
                let count = digits(8, 0, 3);
                (number(0, count, 8), count)
            }
            Some(b'x') if digits(16, 1, 2) > 0 => {
                let count = digits(16, 1, 2);
                (number(1, count, 16), 1 + count)
            }
            Some(other) => (*other, 1),
            None => (b'\\', 0),
        };
        self.rest = &rest[taken..];
        self.put(byte);
    }

    fn put(&mut self, byte: u8) {
        let letter = match byte {
            0x08 => b'b',
            0x0b => b'v',
            0x0c => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            b'\\' => b'\\',
            plain => return self.out.push(plain),
        };
        self.out.extend_from_slice(&[b'\\', letter]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(statement: &str, standard_strings: bool) -> Result<String, &'static str> {
        let head = parse_head(statement.as_bytes())?;
        let mut out = Vec::new();
        let values = &statement.as_bytes()[head.length..];
        append_rows(values, standard_strings, Lengths::of("UTF8"), &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn values_become_copy_text() {
        for (statement, expected) in [
            (
                "INSERT INTO t VALUES (1, -2.5e+7, NULL, true, false, B'101')",
                "1\t-2.5e+7\t\\N\tt\tf\t101\n",
            ),
            (
                "insert into s.\"t t\" (a, \"b)\") VALUES ('it''s\\', '')",
                "it's\\\\\t\n",
            ),
            ("INSERT INTO t VALUES ('a\tb\nc\r'), ( 'NaN' )", "a\\tb\\nc\\r\nNaN\n"),
            (
                "INSERT INTO t VALUES (E'\\\\x\\'\\n\\101\\x41', 'NULL')",
                "\\\\x'\\nAA\tNULL\n",
            ),
            ("INSERT INTO t (a) OVERRIDING SYSTEM VALUE VALUES (7)", "7\n"),
        ] {
            assert_eq!(rows(statement, true).as_deref(), Ok(expected), "{statement}");
        }
        assert_eq!(
            rows("INSERT INTO t VALUES ('a\\\\b\\'c')", false).as_deref(),
            Ok("a\\\\b'c\n")
        );
    }

    #[test]
    fn a_head_says_what_it_is_for() {
        let head = parse_head(b"INSERT INTO \"S\".t (a, \"B\") VALUES (1, 2)").unwrap();
        assert_eq!(head.schema.as_deref(), Some(b"S".as_slice()));
        assert_eq!(head.columns, Some(vec![b"a".to_vec(), b"B".to_vec()]));
        assert_eq!(head.length, "INSERT INTO \"S\".t (a, \"B\") VALUES (".len());
        assert_eq!(
            parse_head(b"INSERT INTO t DEFAULT VALUES").unwrap().columns,
            Some(vec![])
        );
        assert_eq!(parse_head(b"INSERT INTO t VALUES (1)").unwrap().columns, None);
    }

    #[test]
    fn anything_else_is_refused() {
        for statement in [
            "INSERT INTO t SELECT 1",
            "INSERT INTO t (a) DEFAULT VALUES",
            "INSERT INTO t VALUES (1",
            "INSERT INTO t VALUES (now())",
            "INSERT INTO t VALUES (1) RETURNING a",
            "INSERT INTO t VALUES (DEFAULT)",
            "INSERT INTO t VALUES ('a'::text)",
            "INSERT INTO t VALUES ()",
        ] {
            assert!(rows(statement, true).is_err(), "{statement}");
        }
    }
}
