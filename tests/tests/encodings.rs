//! Databases in other encodings: names beyond ASCII in data files.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot look at its surroundings has to fail, and at once"
)]

use std::fs;
use std::path::PathBuf;

use gpdump_core::format::segment_data::{BlockReader, DataEvent, block_head_in};
use gpdump_core::words::job::{RowForm, TableJob};
use gpdump_core::words::names::QualifiedName;
use gpdump_testkit::compare::Snapshot;
use gpdump_testkit::{Cluster, ClusterSpec, Plain, Program};
use gpdump_tests::{assert_restored, assert_said, dump_files, dump_of, restore};

/// Encodings of databases, and a name in them: of a schema, a table, a column.
const NAMES: [(&str, &str); 5] = [
    ("EUC_CN", "订单・\"表"),
    ("EUC_JP", "注文ソ表"),
    ("EUC_KR", "주문 표"),
    ("LATIN9", "we\"ird. näme €"),
    ("WIN1251", "Заказы"),
];

#[test]
fn names_of_every_language_come_back() {
    let cluster = Cluster::start(ClusterSpec::segments(2));
    for (encoding, name) in NAMES {
        let database = format!("in_{}", encoding.to_lowercase());
        cluster.sql(
            "postgres",
            &format!("CREATE DATABASE {database} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"),
        );
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        let table = format!("{quoted}.{quoted}");
        cluster.sql(
            &database,
            &format!("CREATE SCHEMA {quoted}; CREATE TABLE {table} (id int, {quoted} text, \"UPPER\" int)"),
        );
        for content in 0..2 {
            cluster.segment_sql(
                content,
                &database,
                &format!("INSERT INTO {table} SELECT g, '{name}' || g, {content} FROM generate_series(1, 50) g"),
            );
        }
        let before = Snapshot::take(&cluster, &database);

        let key = dump_of(&database, &cluster, &["-z"]);
        // As the server writes it: the original reads such a file.
        let in_bytes = format!("SELECT encode(convert_to('{quoted}', '{encoding}'), 'hex')");
        let bytes = unhex(cluster.sql(&database, &in_bytes)[0][0].as_deref().unwrap());
        let is_data = |path: &PathBuf| path.ends_with(format!("gp_dump_0_2_{key}"));
        let text = fs::read(dump_files(&cluster).into_iter().find(is_data).unwrap()).unwrap();
        let copy = [b"COPY ", &bytes[..], b" (id, ", &bytes, b", \"UPPER\") FROM stdin;\n"].concat();
        assert!(text.windows(copy.len()).any(|window| window == copy), "{encoding}");
        cluster.sql(&database, &format!("DROP SCHEMA {quoted} CASCADE"));
        restore(&cluster, &key, &["-e"]);
        assert_restored(&before, &Snapshot::take(&cluster, &database));
        if encoding != "EUC_JP" {
            continue;
        }

        let key = dump_of(&database, &cluster, &["--column-inserts"]);
        cluster.sql(&database, &format!("TRUNCATE {table}"));
        restore(&cluster, &key, &["-T", &format!("{name}.{name}")]);
        assert_restored(&before, &Snapshot::take(&cluster, &database));
    }
}

#[test]
fn in_sql_ascii_rows_are_any_bytes_and_names_are_utf8() {
    let server = Plain::start();
    server.sql(
        "postgres",
        "CREATE DATABASE bytes ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0",
    );
    let all =
        "SELECT string_agg(convert_from(set_byte('\\x00', 0, b), 'SQL_ASCII'), '') FROM generate_series(1, 255) b";
    server.sql(
        "bytes",
        &format!("CREATE TABLE \"订单\" (t text); INSERT INTO \"订单\" {all}"),
    );
    let rows = || {
        server.sql(
            "bytes",
            "SELECT encode(convert_to(t, 'SQL_ASCII'), 'hex') FROM \"订单\"",
        )
    };
    let before = rows();
    assert_eq!(before[0][0].as_deref().unwrap().len(), 510);
    let key = dump_of("bytes", &server, &[]);
    server.sql("bytes", "DROP TABLE \"订单\"");
    restore(&server, &key, &["-e"]);
    assert_eq!(rows(), before);

    server.sql(
        "bytes",
        "DO $$ BEGIN EXECUTE 'CREATE TABLE ' || convert_from('\\xb6a9', 'SQL_ASCII') || ' (a int)'; END $$",
    );
    let end = Program::new("gpcrondump", &server)
        .args(["-a", "-x", "bytes"])
        .run()
        .expect_status(2);
    assert_said(&end, "invalid byte sequence for encoding \"UTF8\": 0xb6");
    assert_said(
        &end,
        "HINT: something in this database has a name that is not UTF-8: rename it",
    );
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}

/// All characters of one and of two bytes that the server has: encoding, bytes, character.
const CHARACTERS: &str = "
CREATE FUNCTION pg_temp.characters(encoding name, last int) RETURNS TABLE (bytes text, c text) LANGUAGE plpgsql AS $$
DECLARE raw bytea;
BEGIN
    FOR lead IN 128 .. 255 LOOP
        FOR trail IN 160 .. last LOOP
            BEGIN
                -- 160 is in no encoding a second byte: it stands for none.
                raw := set_byte('\\x00', 0, lead);
                IF trail > 160 THEN raw := raw || set_byte('\\x00', 0, trail); END IF;
                c := convert_from(raw, encoding);
                bytes := encode(raw, 'hex');
                IF length(c) = 1 THEN RETURN NEXT; END IF;
            EXCEPTION WHEN OTHERS THEN NULL;
            END;
        END LOOP;
    END LOOP;
END $$;
SELECT e, bytes, c FROM unnest(ARRAY['LATIN1', 'LATIN2', 'LATIN3', 'LATIN4', 'LATIN5', 'LATIN6', 'LATIN7', 'LATIN8', 'LATIN9',
    'LATIN10', 'ISO_8859_5', 'ISO_8859_6', 'ISO_8859_7', 'ISO_8859_8', 'KOI8R', 'KOI8U', 'WIN866', 'WIN874', 'WIN1250', 'WIN1251',
    'WIN1252', 'WIN1253', 'WIN1254', 'WIN1255', 'WIN1256', 'WIN1257', 'WIN1258']) e, pg_temp.characters(e::name, 160)
UNION ALL SELECT e, bytes, c FROM unnest(ARRAY['EUC_CN', 'EUC_JP', 'EUC_KR']) e, pg_temp.characters(e::name, 254)";

#[test]
fn names_are_the_bytes_that_the_server_has() {
    let server = Plain::start();
    let (mut same, mut refused, mut others) = (0, Vec::new(), Vec::new());
    for row in server.sql("postgres", CHARACTERS) {
        let row: Vec<String> = row.into_iter().flatten().collect();
        let (encoding, hex, name) = (&row[0], &row[1], format!("t{}", row[2]));
        let bytes = [b"t", &unhex(hex)[..]].concat();
        let what = format!("{encoding} {hex}");
        match (written(&name, encoding), read(&bytes, encoding)) {
            (Some(written), Some(read)) if written == bytes && read == name => same += 1,
            (None, None) => refused.push(what),
            _ => others.push(what),
        }
    }
    assert!(same > 25_000, "{same}");
    assert_eq!(refused, ["EUC_KR a2e8"]);
    // Nobody names a table with these: the control characters of LATIN5 from 0x80, two lines of boxes, and symbols that
    // EUC_JP has twice.
    others.retain(|what| {
        !what.starts_with("LATIN5 8") && !what.starts_with("LATIN5 9") && !what.starts_with("EUC_JP adf")
    });
    assert_eq!(others, ["KOI8U ae", "KOI8U be"]);
}

/// The name of a table as it is written, between its quotes.
fn written(name: &str, encoding: &str) -> Option<Vec<u8>> {
    let table = TableJob {
        name: QualifiedName::new("s", name),
        owner: "o".to_owned(),
        columns: vec!["a".to_owned()],
        condition: None,
        form: RowForm::Copy,
        stream: None,
    };
    let head = block_head_in(&table, encoding).ok()?;
    let (before, behind) = (b"\nCOPY \"", b"\" (a) FROM stdin;\n");
    let from = head.windows(before.len()).position(|window| window == before).unwrap() + before.len();
    Some(head[from..].strip_suffix(behind).unwrap().to_vec())
}

/// The name of the table as it is read.
fn read(name: &[u8], encoding: &str) -> Option<String> {
    let set = format!("SET client_encoding = '{encoding}';\nCOPY s.\"");
    let text = [set.as_bytes(), name, b"\" (a) FROM stdin;\n\\.\n"].concat();
    let mut reader = BlockReader::new();
    reader.push(text.into());
    reader.close();
    loop {
        match reader.next_event() {
            Ok(Some(DataEvent::Begin(block))) => return Some(block.table.name),
            Ok(Some(_)) => {}
            Ok(None) => panic!("no block in {encoding}"),
            Err(_) => return None,
        }
    }
}
