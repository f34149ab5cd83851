//! Reads the few statements of a data file that matter: `COPY ... FROM stdin` and `SET`.
//!
//! Works on bytes: names are decoded by the caller, who knows the encoding of the file.

/// A `COPY` statement taken apart; names unquoted, still in the encoding of the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CopyParts {
    pub(super) schema: Option<Vec<u8>>,
    pub(super) table: Vec<u8>,
    pub(super) columns: Option<Vec<Vec<u8>>>,
    pub(super) with_oids: bool,
}

/// `COPY [s.]t [(a, b)] [WITH OIDS] FROM stdin`; the reason when it is anything else.
pub(super) fn parse_copy(statement: &[u8]) -> Result<CopyParts, &'static str> {
    let mut scan = Scan { rest: statement };
    if !scan.word("copy") {
        return Err("it does not begin with COPY");
    }
    let first = scan.name().ok_or("no table name was found")?;
    let (schema, table) = if scan.symbol(b'.') {
        (Some(first), scan.name().ok_or("no table name was found")?)
    } else {
        (None, first)
    };
    let columns = if scan.symbol(b'(') {
        let mut columns = vec![scan.name().ok_or("a column name is missing")?];
        while scan.symbol(b',') {
            columns.push(scan.name().ok_or("a column name is missing")?);
        }
        if !scan.symbol(b')') {
            return Err("the list of columns does not end");
        }
        Some(columns)
    } else {
        None
    };
    let with_oids = scan.word("with");
    if with_oids && !scan.word("oids") {
        return Err("only WITH OIDS may stand in front of FROM");
    }
    if !(scan.word("from") && scan.word("stdin")) {
        return Err("FROM stdin is missing");
    }
    if !scan.is_done() {
        return Err("COPY options are not supported");
    }
    Ok(CopyParts {
        schema,
        table,
        columns,
        with_oids,
    })
}

/// `SET name = value` or `SET name TO value`: name in lower case, and the value's text.
pub(super) fn parse_set(statement: &[u8]) -> Option<(String, &[u8])> {
    let mut scan = Scan { rest: statement };
    if !scan.word("set") {
        return None;
    }
    let name = String::from_utf8(scan.name()?).ok()?.to_ascii_lowercase();
    if !(scan.symbol(b'=') || scan.word("to")) {
        return None;
    }
    Some((name, scan.rest.trim_ascii()))
}

/// The first name of a search path; `None` for an empty one.
pub(super) fn first_schema(value: &[u8]) -> Option<Vec<u8>> {
    if value.starts_with(b"'") {
        // SET search_path = '' or a literal with one name
        let inner = literal(value)?;
        return (!inner.is_empty()).then_some(inner);
    }
    Scan { rest: value }.name()
}

/// The content of a plain literal.
pub(super) fn literal(value: &[u8]) -> Option<Vec<u8>> {
    let inner = value.strip_prefix(b"'")?.strip_suffix(b"'")?;
    Some(undouble(inner, b'\''))
}

/// Whether a statement begins with these words, separated by any white space.
pub(super) fn begins_with(statement: &[u8], words: &[&str]) -> bool {
    let mut scan = Scan { rest: statement };
    words.iter().all(|word| scan.word(word))
}

/// Whether a statement is `ALTER TABLE ... ENABLE|DISABLE TRIGGER ...`, as `--disable-triggers` writes it.
pub(super) fn is_trigger_switch(statement: &[u8]) -> bool {
    let mut scan = Scan { rest: statement };
    if !(scan.word("alter") && scan.word("table")) {
        return false;
    }
    scan.word("only");
    let Some(_) = scan.name() else { return false };
    if scan.symbol(b'.') && scan.name().is_none() {
        return false;
    }
    (scan.word("disable") || scan.word("enable")) && scan.word("trigger")
}

fn undouble(text: &[u8], quote: u8) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        out.push(byte);
        if byte == quote {
            bytes.next();
        }
    }
    out
}

pub(super) struct Scan<'a> {
    rest: &'a [u8],
}

impl<'a> Scan<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Scan { rest: text }
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn is_done(&self) -> bool {
        self.rest.trim_ascii().is_empty()
    }

    /// Takes a key word, in any case of letters, when it comes next.
    pub(super) fn word(&mut self, word: &str) -> bool {
        let rest = self.rest.trim_ascii_start();
        let Some((head, tail)) = rest.split_at_checked(word.len()) else {
            return false;
        };
        if !head.eq_ignore_ascii_case(word.as_bytes()) || tail.first().is_some_and(|b| is_name_byte(*b)) {
            return false;
        }
        self.rest = tail;
        true
    }

    pub(super) fn symbol(&mut self, symbol: u8) -> bool {
        match self.rest.trim_ascii_start() {
            [first, tail @ ..] if *first == symbol => {
                self.rest = tail;
                true
            }
            _ => false,
        }
    }

    /// A name, quoted or bare; bare ones are folded as the server folds them.
    pub(super) fn name(&mut self) -> Option<Vec<u8>> {
        let rest = self.rest.trim_ascii_start();
        if let Some(quoted) = rest.strip_prefix(b"\"") {
            let mut from = 0;
            loop {
                let quote = from + memchr::memchr(b'"', &quoted[from..])?;
                if quoted.get(quote + 1) == Some(&b'"') {
                    from = quote + 2;
                    continue;
                }
                self.rest = &quoted[quote + 1..];
                return (quote > 0).then(|| undouble(&quoted[..quote], b'"'));
            }
        }
        let end = rest.iter().position(|b| !is_name_byte(*b)).unwrap_or(rest.len());
        let (name, tail) = rest.split_at(end);
        if name.is_empty() || name[0].is_ascii_digit() {
            return None;
        }
        self.rest = tail;
        Some(name.to_ascii_lowercase())
    }
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(schema: Option<&str>, table: &str, columns: Option<&[&str]>, with_oids: bool) -> CopyParts {
        CopyParts {
            schema: schema.map(|s| s.into()),
            table: table.into(),
            columns: columns.map(|list| list.iter().map(|c| c.as_bytes().to_vec()).collect()),
            with_oids,
        }
    }

    #[test]
    fn every_form_of_copy_is_read() {
        for (text, expected) in [
            ("COPY t (a, b) FROM stdin", parts(None, "t", Some(&["a", "b"]), false)),
            ("COPY nocol  FROM stdin", parts(None, "nocol", None, false)),
            (
                "COPY \"S 2\".\"T \"\"q\" (\"C x\", \"select\", user_name) FROM stdin",
                parts(Some("S 2"), "T \"q", Some(&["C x", "select", "user_name"]), false),
            ),
            (
                "COPY witho (a) WITH OIDS FROM stdin",
                parts(None, "witho", Some(&["a"]), true),
            ),
            (
                "COPY \"a (b) FROM stdin;\n\" (\"x)\", \"y,\") FROM stdin",
                parts(None, "a (b) FROM stdin;\n", Some(&["x)", "y,"]), false),
            ),
            ("copy \"from\" from STDIN", parts(None, "from", None, false)),
        ] {
            assert_eq!(parse_copy(text.as_bytes()), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_plain_copy_from_stdin_is_refused() {
        for text in [
            "COPY t FROM stdin WITH CSV",
            "COPY t (a FROM stdin",
            "COPY t FROM '/etc/passwd'",
            "COPY t FROM PROGRAM 'x'",
            "COPY \"\" FROM stdin",
            "COPY t WITH BINARY FROM stdin",
        ] {
            assert!(parse_copy(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn search_paths_are_read() {
        for (text, expected) in [
            ("SET search_path = s1, pg_catalog", Some("s1")),
            ("SET search_path = \"a, \"\"b\", pg_catalog", Some("a, \"b")),
            ("SET search_path = pg_catalog", Some("pg_catalog")),
            ("SET search_path = ''", None),
        ] {
            let (name, value) = parse_set(text.as_bytes()).unwrap();
            assert_eq!(name, "search_path");
            assert_eq!(first_schema(value), expected.map(|e| e.as_bytes().to_vec()), "{text}");
        }
    }
}
