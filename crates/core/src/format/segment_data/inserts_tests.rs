use proptest::prelude::*;

use super::super::{BlockReader, DataEvent, block_end, block_head, file_header, file_trailer};
use super::*;
use crate::words::job::RowForm;
use crate::words::names::QualifiedName;

fn shape(kinds: &str) -> InsertShape {
    let kind = |letter| match letter {
        'n' => ValueKind::Number,
        'b' => ValueKind::Bits,
        'o' => ValueKind::Boolean,
        _ => ValueKind::Text,
    };
    InsertShape {
        values: kinds.chars().map(kind).collect(),
        ..InsertShape::default()
    }
}

fn job(name: &str, columns: &[&str], shape: InsertShape, list_columns: bool) -> TableJob {
    TableJob {
        name: QualifiedName::new("s", name),
        owner: "o".into(),
        columns: columns.iter().map(|c| (*c).to_owned()).collect(),
        condition: None,
        form: RowForm::Inserts { shape, list_columns },
        stream: None,
    }
}

/// `limit` is small in tests, so that every place is one where the text is cut.
fn written(table: &TableJob, copy_text: &[u8], encoding: &str, limit: usize) -> Vec<u8> {
    let RowForm::Inserts { shape, list_columns } = &table.form else {
        unreachable!()
    };
    let mut writer = InsertWriter::new(table, shape, *list_columns, encoding, "UTF8").unwrap();
    let mut rest = copy_text;
    let mut all = Vec::new();
    while !rest.is_empty() {
        let mut out = Vec::new();
        writer.write(&mut rest, &mut out, limit);
        all.extend_from_slice(&out);
    }
    all
}

#[test]
fn the_statements_are_those_of_the_originals_engine() {
    let table = job("heap1", &[], shape("nntttbottnt"), false);
    let copied = b"1\t1.00\ta'b\\\\c\\td\tsad\t\\N\t1010\tt\t2020-01-02\t2020-01-02 03:04:05+00\t0.10000000000000001\t\\\\000ab\n\
                   3\tNaN\trow1\t\\N\t\\N\t\\N\tf\t\\N\t\\N\t-1e+20\t\\N\n";
    let expected = "INSERT INTO heap1 VALUES (1, 1.00, 'a''b\\c\td', 'sad', NULL, B'1010', true, '2020-01-02', \
                    '2020-01-02 03:04:05+00', 0.10000000000000001, '\\000ab');\n\
                    INSERT INTO heap1 VALUES (3, 'NaN', 'row1', NULL, NULL, NULL, false, NULL, NULL, -1e+20, NULL);\n";
    for limit in [1, 7, 1 << 20] {
        assert_eq!(
            String::from_utf8(written(&table, copied, "UTF8", limit)).unwrap(),
            expected
        );
    }
    let named = job("T \"q", &["C x", "select", "user_name"], shape("ntt"), true);
    assert_eq!(
        String::from_utf8(written(&named, b"1\ta\tb\n", "UTF8", 99)).unwrap(),
        "INSERT INTO \"T \"\"q\" (\"C x\", \"select\", user_name) VALUES (1, 'a', 'b');\n"
    );
    let bare = job("nocol", &[], shape(""), true);
    assert_eq!(
        written(&bare, b"\n\n", "UTF8", 1),
        b"INSERT INTO nocol DEFAULT VALUES;\n".repeat(2)
    );
    let identity = InsertShape {
        overrides_identity: true,
        ..shape("n")
    };
    assert_eq!(
        written(&job("i", &["a"], identity, true), b"1\n", "UTF8", 99),
        b"INSERT INTO i (a) OVERRIDING SYSTEM VALUE VALUES (1);\n"
    );
}

/// Blocks as they stand in the originals' own files (`gp_dump -d`): with two empty lines behind them.
#[test]
fn a_block_looks_like_the_originals() {
    let table = job("ao", &["a", "b"], shape("nt"), false);
    let text = [
        block_head(&table),
        written(&table, b"1\tx\n", "UTF8", 99),
        block_end(&table).to_vec(),
    ];
    assert_eq!(
        String::from_utf8(text.concat()).unwrap(),
        "SET search_path = s, pg_catalog;\n\n--\n-- Data for Name: ao; Type: TABLE DATA; Schema: s; Owner: o\n--\n\n\
         INSERT INTO ao VALUES (1, 'x');\n\n\n"
    );
}

#[test]
fn the_second_byte_of_a_character_is_no_backslash() {
    let table = job("t", &["a"], shape("t"), false);
    // 0x95 0x5c is one character; the server doubles the backslash behind it, and not that in it.
    let sql = written(&table, b"\x95\x5c\\\\x\n", "SJIS", 1);
    assert_eq!(sql, b"INSERT INTO t VALUES ('\x95\x5c\\x');\n");
    let text = [
        file_header("SJIS"),
        block_head(&table),
        sql,
        block_end(&table).to_vec(),
        file_trailer(),
    ]
    .concat();
    assert_eq!(
        copy_text_of(&text, 3),
        [("s.t".to_owned(), b"\x95\x5c\\\\x\n".to_vec(), 1)]
    );
}

/// Tables with their rows as COPY text and the number of rows, read in chunks of this size.
fn copy_text_of(text: &[u8], chunk: usize) -> Vec<(String, Vec<u8>, u64)> {
    let mut reader = BlockReader::new();
    let mut found = Vec::new();
    let mut take = |reader: &mut BlockReader| {
        while let Some(event) = reader.next_event().unwrap() {
            match event {
                DataEvent::Begin(block) => found.push((block.table.to_string(), Vec::new(), 0)),
                DataEvent::Rows(rows) => found.last_mut().unwrap().1.extend_from_slice(&rows),
                DataEvent::End(ended) => {
                    let last = found.last_mut().unwrap();
                    assert_eq!(ended.bytes, last.1.len() as u64);
                    last.2 = ended.rows;
                }
                DataEvent::Encoding(_) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    for part in text.chunks(chunk) {
        reader.push(bytes::Bytes::copy_from_slice(part));
        take(&mut reader);
    }
    reader.close();
    take(&mut reader);
    reader.finish().unwrap();
    found
}

#[test]
fn a_table_without_rows_is_told_by_its_comment() {
    let empty = job("empty", &["a"], shape("n"), false);
    let full = job("full", &["a"], shape("n"), false);
    let text = [
        file_header("UTF8"),
        block_head(&empty),
        block_end(&empty).to_vec(),
        block_head(&full),
        written(&full, b"1\n2\n", "UTF8", 99),
        block_end(&full).to_vec(),
        block_head(&empty),
        block_end(&empty).to_vec(),
        file_trailer(),
    ]
    .concat();
    let found = copy_text_of(&text, 5);
    let expected = [
        ("s.empty", b"".as_slice(), 0),
        ("s.full", b"1\n2\n", 2),
        ("s.empty", b"", 0),
    ];
    assert_eq!(
        found,
        expected.map(|(table, rows, count)| (table.to_owned(), rows.to_vec(), count))
    );
}

#[test]
fn a_block_that_ends_with_the_bytes_is_whole() {
    let table = job("t", &["a"], shape("n"), false);
    let mut reader = BlockReader::new();
    let text = [
        block_head(&table),
        written(&table, b"1\n", "UTF8", 99),
        block_end(&table).to_vec(),
    ]
    .concat();
    reader.push(text.into());
    reader.close();
    let mut events = Vec::new();
    while let Some(event) = reader.next_event().unwrap() {
        events.push(event);
    }
    assert!(
        matches!(events.as_slice(), [_, _, DataEvent::End(totals)] if totals.rows == 1),
        "{events:?}"
    );
    assert_eq!(reader.finish_part(), Ok(()));
}

#[test]
fn files_of_the_originals_engine_are_read() {
    for (options, text) in [
        (
            "-d",
            include_bytes!("../../../../../tests/data/reference/gp5/engine/d1/gp_dump_0_2_20200101000000").as_slice(),
        ),
        (
            "-D",
            include_bytes!("../../../../../tests/data/reference/gp5/engine/col/gp_dump_0_2_20200101000000").as_slice(),
        ),
    ] {
        let found = copy_text_of(text, 1000);
        let plain = include_bytes!("../../../../../tests/data/reference/gp5/engine/full/gp_dump_0_2_20200101000000");
        let copied = copy_text_of(plain, 1000);
        assert_eq!(found.len(), copied.len(), "{options}");
        for (inserted, copied) in found.iter().zip(&copied) {
            assert_eq!(inserted, copied, "{options}");
        }
    }
}

/// A row as COPY sends it: no value has a byte 0, tabs and line ends are escaped.
fn row(kinds: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let number = prop_oneof![Just("\\N"), Just("12"), Just("-1.5e-07"), Just("NaN"), Just("Infinity")];
    let bits = prop_oneof![Just("\\N"), Just("101"), Just("")];
    let boolean = prop_oneof![Just("\\N"), Just("t"), Just("f")];
    let piece = prop_oneof![
        Just("'"),
        Just("\\\\"),
        Just("\\n"),
        Just("\\t"),
        Just("\\b"),
        Just("--"),
        Just(";"),
        Just("\\r"),
        Just("''"),
        Just("\""),
        Just("x"),
        Just("ü"),
        Just("\\v"),
        Just("\\f")
    ];
    let text = prop_oneof![
        Just("\\N".to_owned()),
        proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    ];
    (number, bits, boolean, text).prop_map(move |(number, bits, boolean, text)| {
        let values = kinds.chars().map(|kind| match kind {
            'n' => number,
            'b' => bits,
            'o' => boolean,
            _ => text.as_str(),
        });
        let mut line = values.collect::<Vec<_>>().join("\t").into_bytes();
        line.push(b'\n');
        line
    })
}

proptest! {
    #[test]
    fn copy_text_comes_back_as_it_was(
        tables in proptest::collection::vec((any::<bool>(), proptest::collection::vec(row("tnbot"), 0..5)), 1..4),
        limit in 1usize..60,
        chunk in 1usize..60,
    ) {
        let mut text = file_header("UTF8");
        let mut expected = Vec::new();
        for (at, (list_columns, rows)) in tables.into_iter().enumerate() {
            let columns = ["a", "B c", "d\"", "select", "e"];
            let table = job(&format!("t {at}"), &columns, shape("tnbot"), list_columns);
            let copied = rows.concat();
            text.extend(block_head(&table));
            text.extend(written(&table, &copied, "UTF8", limit));
            text.extend_from_slice(block_end(&table));
            expected.push((table.name.to_string(), copied, rows.len() as u64));
        }
        text.extend(file_trailer());
        prop_assert_eq!(copy_text_of(&text, chunk), expected);
    }
}
