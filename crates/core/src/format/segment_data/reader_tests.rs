use proptest::prelude::*;

use super::super::{BLOCK_END, block_head, file_header, file_trailer};
use super::*;
use crate::words::job::TableJob;

macro_rules! reference {
    ($path:literal) => {
        include_bytes!(concat!("../../../../../tests/data/reference/", $path)).as_slice()
    };
}

/// Feeds chunks of the given sizes (the last one again and again) and joins neighbouring `Rows`.
fn read(text: &[u8], sizes: &[usize]) -> (Vec<DataEvent>, Result<(), DataError>) {
    let mut reader = BlockReader::new();
    let mut events: Vec<DataEvent> = Vec::new();
    let mut rest = Bytes::copy_from_slice(text);
    let mut sizes = sizes.iter().copied().chain(std::iter::repeat(*sizes.last().unwrap()));
    while !rest.is_empty() {
        let size = sizes.next().unwrap().max(1).min(rest.len());
        reader.push(rest.split_to(size));
        loop {
            match reader.next_event() {
                Ok(None) => break,
                Ok(Some(DataEvent::Rows(more))) => {
                    if let Some(DataEvent::Rows(text)) = events.last_mut() {
                        *text = [&text[..], &more[..]].concat().into();
                    } else {
                        events.push(DataEvent::Rows(more));
                    }
                }
                Ok(Some(event)) => events.push(event),
                Err(error) => return (events, Err(error)),
            }
        }
    }
    (events, reader.finish())
}

fn tables(events: &[DataEvent]) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    for event in events {
        match event {
            DataEvent::Begin(block) => found.push((block.table.to_string(), 0)),
            DataEvent::End(totals) => found.last_mut().unwrap().1 = totals.rows,
            _ => {}
        }
    }
    found
}

fn block<'a>(events: &'a [DataEvent], table: &str) -> (&'a CopyBlock, &'a [u8]) {
    let at = events
        .iter()
        .position(|e| matches!(e, DataEvent::Begin(b) if b.table.to_string() == table))
        .unwrap();
    let DataEvent::Begin(head) = &events[at] else {
        unreachable!()
    };
    match &events[at + 1] {
        DataEvent::Rows(rows) => (head, rows),
        _ => (head, b""),
    }
}

#[test]
fn every_table_of_an_original_file_is_read() {
    let (events, end) = read(reference!("gp5/engine/full/gp_dump_0_2_20200101000000"), &[1 << 20]);
    assert_eq!(end, Ok(()));
    assert_eq!(events[0], DataEvent::Encoding("UTF8".into()));
    let expected: Vec<(String, u64)> = [
        ("S 2.T \"q", 1),
        ("s1.ao", 5),
        ("s1.aoc", 5),
        ("s1.chi", 0),
        ("s1.child", 0),
        ("s1.clus", 0),
        ("s1.exl", 10),
        ("s1.fillf", 0),
        ("s1.heap1", 4),
        ("s1.nocol", 0),
        ("s1.par", 0),
        ("s1.pt", 0),
        ("s1.pt_1_prt_3", 0),
        ("s1.pt_1_prt_p1", 15),
        ("s1.witho", 1),
    ]
    .map(|(name, rows)| (name.to_owned(), rows))
    .to_vec();
    assert_eq!(tables(&events), expected);
    let (head, rows) = block(&events, "S 2.T \"q");
    assert_eq!(
        head.columns,
        Some(vec!["C x".into(), "select".into(), "user_name".into()])
    );
    assert_eq!(
        head.copy_statement,
        "COPY \"T \"\"q\" (\"C x\", \"select\", user_name) FROM stdin"
    );
    assert_eq!(rows, b"1\ta\tb\n");
    assert_eq!(block(&events, "s1.nocol").0.columns, None);
    assert!(!events.iter().any(|e| matches!(e, DataEvent::Statement { .. })));
}

#[test]
fn rows_with_special_characters_and_odd_names_survive() {
    for text in [
        reference!("gp5/01-full/gp_dump_0_2_20261122103444.first-rows"),
        reference!("gp5/01-full/gp_dump_1_3_20261122103444.first-rows"),
        reference!("gp5/01-full/gp_dump_2_4_20261122103444.first-rows"),
    ] {
        let (events, end) = read(text, &[777]);
        assert_eq!(end, Ok(()));
        for odd in [
            "Odd Schema.quo\"te",
            "Odd Schema.it's",
            "public.ünïcode täble",
            "public.dollar$#%",
        ] {
            assert!(
                tables(&events).iter().any(|(name, rows)| name == odd && *rows > 0),
                "{odd}"
            );
        }
        assert!(tables(&events).iter().all(|(_, rows)| *rows <= 12));
    }
}

#[test]
fn greenplum_6_blocks_with_qualified_names_are_read() {
    let (events, end) = read(reference!("gp6/seg6.sql"), &[100]);
    assert_eq!(end, Ok(()));
    assert!(tables(&events).contains(&("s1.aoc".into(), 9)));
    assert!(tables(&events).contains(&("S 2.T \"q".into(), 0)));
    assert!(!events.iter().any(|e| matches!(e, DataEvent::Statement { .. })));
}

#[test]
fn oids_and_trigger_switches_are_understood() {
    let (events, end) = read(reference!("gp5/engine/oids/gp_dump_0_2_20200101000000"), &[64]);
    assert_eq!(end, Ok(()));
    assert!(block(&events, "s1.witho").0.with_oids);
    let (events, end) = read(reference!("gp5/engine/distrig/gp_dump_0_2_20200101000000"), &[64]);
    assert_eq!(end, Ok(()));
    assert!(!events.iter().any(|e| matches!(e, DataEvent::Statement { .. })));
    assert_eq!(tables(&events).len(), 15);
}

#[test]
fn a_file_of_a_failed_segment_is_cut_though_its_block_is_closed() {
    let (events, end) = read(reference!("gp5/engine/f1/gp_dump_0_2_20200101000000"), &[1000]);
    assert_eq!(end, Err(DataError::NoTrailer));
    assert!(matches!(events.last(), Some(DataEvent::End(_))));
}

#[test]
fn a_file_that_ends_anywhere_before_its_trailer_is_refused() {
    let text = reference!("gp5/engine/full/gp_dump_0_2_20200101000000");
    let whole = text.windows(8).rposition(|w| w == b"complete").unwrap() + 9;
    for cut in 0..whole {
        assert!(read(&text[..cut], &[4096]).1.is_err(), "{cut}");
    }
    let inside = text.windows(4).position(|w| w == b"row3").unwrap();
    assert_eq!(
        read(&text[..inside], &[4096]).1,
        Err(DataError::EndedInsideBlock {
            table: QualifiedName::new("s1", "heap1"),
            rows: 2
        })
    );
}

#[test]
fn the_end_mark_is_a_line_of_its_own() {
    let rows = "\\.x\nx\\.\n\\\\.\n\n\\N\n\\..\n";
    let text = format!("COPY s.t (a) FROM stdin;\n{rows}\\.\n\n\n");
    for size in 1..12 {
        let (events, _) = read(text.as_bytes(), &[size]);
        assert_eq!(block(&events, "s.t").1, rows.as_bytes(), "{size}");
        assert_eq!(tables(&events), [("s.t".to_owned(), 6)]);
    }
}

#[test]
fn what_cannot_be_copied_is_an_error_with_its_statement() {
    let message = |text: &str| read(text.as_bytes(), &[4096]).1.unwrap_err().to_string();
    assert_eq!(
        message("COPY t (a) FROM stdin;\n"),
        "the statement \"COPY t (a) FROM stdin\" at byte 22 of the data file names no schema, and no search_path was set \
         before it"
    );
    assert!(message("COPY s.t FROM '/etc/passwd';\n").contains("FROM stdin is missing"));
    assert!(message("COPY s.t FROM stdin; x\n").contains("something stands behind it"));
    assert!(message("SET search_path = s").contains("inside the statement"));
}

#[test]
fn names_are_decoded_and_unknown_encodings_refused() {
    let mut text = b"SET client_encoding = 'LATIN1';\nCOPY s.\"t\xfc\" (a) FROM stdin;\n\xfc\n\\.\n".to_vec();
    assert_eq!(tables(&read(&text, &[9]).0), [("s.tü".to_owned(), 1)]);
    text.splice(23..29, *b"KOI8-R");
    assert!(matches!(read(&text, &[9]).1, Err(DataError::NameNotDecoded { .. })));
    text.splice(23..29, *b"LATIN2");
    assert_eq!(tables(&read(&text, &[9]).0), [("s.tü".to_owned(), 1)]);
    text.splice(23..29, *b"EUC_CN");
    assert!(matches!(read(&text, &[9]).1, Err(DataError::NameNotDecoded { .. })));
}

#[test]
fn one_block_can_be_read_alone() {
    let table = TableJob {
        name: QualifiedName::new("S", "t"),
        owner: "o".into(),
        columns: vec!["a".into()],
        condition: None,
        form: Default::default(),
        stream: None,
    };
    let mut reader = BlockReader::new();
    reader.push([&block_head(&table), b"1\n".as_slice(), BLOCK_END].concat().into());
    let mut events = Vec::new();
    while let Some(event) = reader.next_event().unwrap() {
        events.push(event);
    }
    assert_eq!(tables(&events), [("S.t".to_owned(), 1)]);
    assert_eq!(reader.finish_part(), Ok(()));
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z_][a-z0-9_]{0,8}",
        "[^\u{0}]{1,8}",
        Just("a;\nCOPY x FROM stdin;\n".to_owned()),
        Just("-- \"x\"\"".to_owned()),
    ]
}

fn rows() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"\n".to_vec()),
        Just(b"\\".to_vec()),
        Just(b".".to_vec()),
        Just(b"\\.".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..6),
    ];
    proptest::collection::vec(piece, 0..20).prop_map(|pieces| {
        let mut text = pieces.concat();
        if !text.is_empty() {
            text.push(b'\n');
        }
        // The server never sends the end mark as a row.
        text.split_inclusive(|b| *b == b'\n')
            .filter(|line| *line != b"\\.\n")
            .collect::<Vec<_>>()
            .concat()
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_wherever_chunks_are_cut(
        blocks in proptest::collection::vec((name(), name(), proptest::collection::vec(name(), 0..4), rows()), 0..5),
        sizes in proptest::collection::vec(1usize..40, 1..20),
    ) {
        let mut text = file_header("UTF8");
        let mut expected = vec![DataEvent::Encoding("UTF8".into())];
        for (schema, table, columns, rows) in &blocks {
            let job = TableJob {
                name: QualifiedName::new(schema.as_str(), table.as_str()),
                owner: "o".into(),
                columns: columns.clone(),
                condition: None,
                form: Default::default(),
                stream: None,
            };
            let head = block_head(&job);
            text.extend_from_slice(&head);
            text.extend_from_slice(rows);
            text.extend_from_slice(BLOCK_END);
            expected.push(DataEvent::Begin(CopyBlock {
                table: job.name,
                columns: (!columns.is_empty()).then(|| columns.clone()),
                with_oids: false,
                copy_statement: Bytes::new(),
            }));
            if !rows.is_empty() {
                expected.push(DataEvent::Rows(rows.clone().into()));
            }
            expected.push(DataEvent::End(TableTotals {
                rows: rows.iter().filter(|b| **b == b'\n').count() as u64,
                bytes: rows.len() as u64,
            }));
        }
        text.extend_from_slice(&file_trailer());
        let (mut events, end) = read(&text, &sizes);
        for event in &mut events {
            if let DataEvent::Begin(block) = event {
                prop_assert!(block.copy_statement.starts_with(b"COPY "));
                block.copy_statement = Bytes::new();
            }
        }
        prop_assert_eq!(end, Ok(()));
        prop_assert_eq!(events, expected);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(text in proptest::collection::vec(any::<u8>(), 0..200), size in 1usize..50) {
        let _ = read(&text, &[size]);
    }
}

/// Not a benchmark, a guard: run it with `--release -- --ignored --nocapture` after a change of the reader.
#[test]
#[ignore = "measures speed; needs a release build"]
fn rows_are_read_at_more_than_a_gigabyte_a_second() {
    let line = b"12345\tsome text\t2020-01-01 00:00:00\t\\N\n".repeat(25_000);
    let mut reader = BlockReader::new();
    reader.push(Bytes::from_static(b"COPY s.t (a, b, c, d) FROM stdin;\n"));
    while reader.next_event().unwrap().is_some() {}
    let chunk = Bytes::from(line);
    let begun = std::time::Instant::now();
    let mut bytes = 0;
    for _ in 0..2000 {
        reader.push(chunk.clone());
        while let Some(event) = reader.next_event().unwrap() {
            if let DataEvent::Rows(text) = event {
                bytes += text.len();
            }
        }
    }
    let rate = bytes as f64 / begun.elapsed().as_secs_f64() / 1e9;
    println!("{rate:.1} GB/s");
    assert!(rate > 1.0, "{rate} GB/s");
}
