//! The comment line in front of an entry.
//!
//! ```text
//! -- Name: heap1_pkey; Type: CONSTRAINT; Schema: s1; Owner: gpadmin; Tablespace:
//! -- Data for Name: t; Type: TABLE DATA; Schema: s1; Owner: gpadmin
//! ```
//!
//! Nothing in it is quoted, so a name may hold `; Type: ` itself. Then there is more than one way to read the line, and
//! the definition below it must decide.

use memchr::memmem;

use super::EntryKind;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header<'a> {
    pub is_data: bool,
    pub name: &'a [u8],
    pub kind: EntryKind,
    pub schema: &'a [u8],
    pub owner: &'a [u8],
    pub tablespace: Option<&'a [u8]>,
}

/// So many marks of a kind are looked at in one line. Names of 63 bytes hold seven of them at most, so this is more
/// than any server writes; without it a line made for it costs time and memory by the square of its length.
const MOST_MARKS: usize = 32;

/// True for a line that could be such a header; cheap.
pub(super) fn looks_like_header(line: &[u8]) -> bool {
    line.starts_with(b"-- Name: ") || line.starts_with(b"-- Data for Name: ")
}

/// All ways to read the line, the most likely first. Empty if it is no header.
pub(super) fn readings(line: &[u8]) -> Vec<Header<'_>> {
    let (is_data, rest) = if let Some(rest) = line.strip_prefix(b"-- Name: ") {
        (false, rest)
    } else if let Some(rest) = line.strip_prefix(b"-- Data for Name: ") {
        (true, rest)
    } else {
        return Vec::new();
    };
    let rest = rest.strip_suffix(b"\r").unwrap_or(rest);
    let mut found = Vec::new();
    // Names with a semicolon are rarer than anything; where both are odd the name of the object is the odder one: the
    // rightmost mark is tried first.
    for type_at in memmem::rfind_iter(rest, b"; Type: ").take(MOST_MARKS) {
        let after_type = &rest[type_at + 8..];
        // A kind holds no semicolon, so it ends at the first mark or is none.
        let Some(schema_at) = memmem::find(after_type, b"; Schema: ") else {
            continue;
        };
        let Some(kind) = kind(&after_type[..schema_at]) else {
            continue;
        };
        let after_schema = &after_type[schema_at + 10..];
        for owner_at in memmem::find_iter(after_schema, b"; Owner: ").take(MOST_MARKS) {
            let mut reading = Header {
                is_data,
                name: &rest[..type_at],
                kind: kind.clone(),
                schema: &after_schema[..owner_at],
                owner: &after_schema[owner_at + 9..],
                tablespace: None,
            };
            if let Some(at) = memmem::rfind(reading.owner, b"; Tablespace: ") {
                reading.tablespace = Some(&reading.owner[at + 14..]);
                reading.owner = &reading.owner[..at];
            }
            found.push(reading);
        }
    }
    found
}

fn kind(word: &[u8]) -> Option<EntryKind> {
    let plain = !word.is_empty() && word.iter().all(|b| b.is_ascii_uppercase() || *b == b' ');
    plain.then(|| EntryKind::parse(&String::from_utf8_lossy(word)))
}

/// Chooses among several readings the first whose names the text of the entry also has.
pub(super) fn choose<'a>(mut readings: Vec<Header<'a>>, body: &[u8], search_path: &[u8]) -> Option<Header<'a>> {
    if readings.len() > 1 {
        let fits = readings.iter().position(|reading| {
            let name = doubled(reading.name);
            let schema = doubled(reading.schema);
            let has_schema = reading.schema == b"-" || contains(body, &schema) || contains(search_path, &schema);
            let has_owner = reading.owner.is_empty() || contains(body, &doubled(reading.owner));
            // The owner stands in an ALTER ... OWNER only, so it may be missing; it counts when nothing else decides.
            contains(body, &name) && has_schema && has_owner
        });
        let fits = fits.or_else(|| {
            readings
                .iter()
                .position(|reading| contains(body, &doubled(reading.name)) && !reading.owner.contains(&b';'))
        });
        readings.swap(0, fits.unwrap_or(0));
    }
    readings.into_iter().next()
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    memmem::find(text, part).is_some()
}

fn doubled(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    for &b in name {
        if b == b'"' {
            out.push(b);
        }
        out.push(b);
    }
    out
}
