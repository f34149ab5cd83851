//! Each rewrite with statements as the original gpcrondump, or pg_dump of Greenplum 5 and 6, wrote them on a real server.

use super::*;
use crate::words::dialect::{PgVersion, Product};

/// Sets of the originals, of our own from Greenplum 5, of our own from Greenplum 6.
const ORIGINAL: Origin = Origin {
    by_originals: true,
    product: Product::Greenplum,
    base: PgVersion(80_323),
};
const OURS5: Origin = Origin {
    by_originals: false,
    ..ORIGINAL
};
const OURS6: Origin = Origin {
    base: PgVersion(90_426),
    ..OURS5
};

pub(super) fn target(server: Server) -> Target {
    let base = match server {
        Server::Greenplum5 => 80_323,
        Server::Greenplum6 => 90_426,
        Server::Greenplum7 => 120_012,
        Server::Postgres => 150_018,
    };
    Target {
        server,
        base: PgVersion(base),
        has_quicklz: false,
    }
}

/// A script in schema `s`: kind, name and statements of each entry.
pub(super) fn script(entries: &[(&str, &str, &str)]) -> String {
    let mut text = String::from("SET search_path = s, pg_catalog;\n");
    for (kind, name, statements) in entries {
        text.push_str(&format!(
            "\n--\n-- Name: {name}; Type: {kind}; Schema: s; Owner: o\n--\n\n{statements}\n"
        ));
    }
    text
}

/// What is left of a script: its statements, one a line.
pub(super) fn run(translator: &mut Translator, text: &str, part: Part) -> String {
    let script = Script::parse(text.as_bytes()).unwrap();
    let translated = translator.translate(&script, part);
    let translated = translated.unwrap_or_else(|| text.as_bytes().to_vec());
    let script = Script::parse(&translated).unwrap();
    let statements = script.items().filter_map(|item| match item {
        Item::Statement {
            text, entry: Some(_), ..
        } => Some(String::from_utf8_lossy(text).into_owned()),
        _ => None,
    });
    statements.collect::<Vec<_>>().join("\n")
}

/// One entry for one server.
fn one(origin: &Origin, server: Server, kind: &str, name: &str, statements: &str) -> (String, Translator) {
    let mut translator = Translator::new(origin, target(server));
    let out = run(&mut translator, &script(&[(kind, name, statements)]), Part::PreData);
    (out, translator)
}

struct Case {
    rewrite: &'static str,
    origin: Origin,
    server: Server,
    kind: &'static str,
    from: &'static str,
    to: &'static str,
}

const fn case(
    rewrite: &'static str,
    origin: Origin,
    server: Server,
    kind: &'static str,
    from: &'static str,
    to: &'static str,
) -> Case {
    Case {
        rewrite,
        origin,
        server,
        kind,
        from,
        to,
    }
}

use Server::{Greenplum5, Greenplum6, Greenplum7, Postgres};

const CASES: &[Case] = &[
    case(
        "disabled-triggers",
        ORIGINAL,
        Greenplum5,
        "TRIGGER",
        "CREATE TRIGGER trg_heap\n    BEFORE INSERT ON fk_child\n    FOR EACH ROW\n    EXECUTE PROCEDURE trg_fn();\n\nALTER TABLE fk_child DISABLE TRIGGER trg_heap;",
        "CREATE TRIGGER trg_heap\n    BEFORE INSERT ON fk_child\n    FOR EACH ROW\n    EXECUTE PROCEDURE trg_fn()",
    ),
    case(
        "disabled-triggers",
        OURS5,
        Greenplum5,
        "TRIGGER",
        "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW EXECUTE PROCEDURE f();\nALTER TABLE t DISABLE TRIGGER g;",
        "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW EXECUTE PROCEDURE f()\nALTER TABLE t DISABLE TRIGGER g",
    ),
    case(
        "external-tables",
        ORIGINAL,
        Postgres,
        "EXTERNAL TABLE",
        "CREATE EXTERNAL WEB TABLE ext_web (\n    a text\n) EXECUTE E'echo hi' ON MASTER \nFORMAT 'text' (delimiter E'\t' null E'\\\\N' escape E'\\\\')\nENCODING 'UTF8';\n\n\nALTER EXTERNAL TABLE s.ext_web OWNER TO gpadmin;",
        "",
    ),
    case(
        "protocols",
        OURS5,
        Postgres,
        "PROTOCOL",
        "CREATE TRUSTED PROTOCOL x_s3 ( readfunc = 'rf', writefunc = 'rf');",
        "",
    ),
    case(
        "large-objects",
        ORIGINAL,
        Greenplum6,
        "BLOBS",
        "BEGIN;\n\nSELECT lo_open(lo_create(12345), 131072);\nSELECT lo_close(0);\n\nCOMMIT;",
        "",
    ),
    case(
        "subpartition-templates",
        ORIGINAL,
        Postgres,
        "TABLE",
        " ALTER TABLE region_heap \nSET SUBPARTITION TEMPLATE  \n          (\n          SUBPARTITION y20 START (2020) END (2021) WITH (tablename='region_heap')\n          )\n;",
        "",
    ),
    case(
        "exchanged-partitions",
        OURS5,
        Postgres,
        "TABLE",
        "ALTER TABLE pt EXCHANGE PARTITION p2 WITH TABLE other WITHOUT VALIDATION; ",
        "",
    ),
    case(
        "quicklz",
        OURS5,
        Greenplum6,
        "TABLE",
        "CREATE TABLE o_quick (\n    a integer ENCODING (compresstype=quicklz,compresslevel=1,blocksize=32768),\n    quicklz text\n)\nWITH (appendonly=true, orientation=column, compresstype=quicklz, compresslevel=1) DISTRIBUTED BY (a);",
        "CREATE TABLE o_quick (\n    a integer ENCODING (compresstype=zlib,compresslevel=1,blocksize=32768),\n    quicklz text\n)\nWITH (appendonly=true, orientation=column, compresstype=zlib, compresslevel=1) DISTRIBUTED BY (a)",
    ),
    case(
        "storage-options",
        OURS6,
        Postgres,
        "TABLE",
        "CREATE TABLE s.ao (\n    a integer\n)\nWITH (appendonly='true', compresslevel='5', fillfactor='70', blocksize='65536')\n DISTRIBUTED BY (a);",
        "CREATE TABLE s.ao (\n    a integer\n)\nWITH (fillfactor='70')",
    ),
    case(
        "storage-options",
        OURS6,
        Postgres,
        "MATERIALIZED VIEW",
        "CREATE MATERIALIZED VIEW s.mv AS\n SELECT 1 AS a\n  WITH NO DATA\n DISTRIBUTED BY (a);",
        "CREATE MATERIALIZED VIEW s.mv AS\n SELECT 1 AS a\n  WITH NO DATA",
    ),
    case(
        "column-encodings",
        ORIGINAL,
        Postgres,
        "TABLE",
        "CREATE TABLE ao_col (\n    id integer ENCODING (compresstype=zlib,compresslevel=1,blocksize=32768),\n    encoding text DEFAULT 'x ENCODING (y)'::text NOT NULL ENCODING (compresstype=none),\n    d date\n)\nWITH (appendonly=true, orientation=column) DISTRIBUTED BY (id);",
        "CREATE TABLE ao_col (\n    id integer,\n    encoding text DEFAULT 'x ENCODING (y)'::text NOT NULL,\n    d date\n)",
    ),
    case(
        "distribution",
        ORIGINAL,
        Postgres,
        "TABLE",
        "CREATE TABLE nocol (\n) DISTRIBUTED RANDOMLY;",
        "CREATE TABLE nocol (\n)",
    ),
    case(
        "distribution",
        OURS6,
        Postgres,
        "TABLE",
        "CREATE TABLE s.r (a integer) DISTRIBUTED REPLICATED;",
        "CREATE TABLE s.r (a integer)",
    ),
    case(
        "distribution",
        ORIGINAL,
        Postgres,
        "TABLE",
        "CREATE TABLE inh_child (\n    c integer\n)\nINHERITS (inh_parent) DISTRIBUTED BY (a ,b);",
        "CREATE TABLE inh_child (\n    c integer\n)\nINHERITS (inh_parent)",
    ),
    case(
        "redistribution",
        OURS5,
        Postgres,
        "TABLE",
        "ALTER TABLE t SET WITH (REORGANIZE=true) DISTRIBUTED BY (a);",
        "",
    ),
    case(
        "money-keys",
        ORIGINAL,
        Greenplum6,
        "TABLE",
        "CREATE TABLE d_money (\n    a money,\n    v integer\n) DISTRIBUTED BY (a ,v);",
        "CREATE TABLE d_money (\n    a money,\n    v integer\n) DISTRIBUTED BY (a cdbhash_cash_ops ,v)",
    ),
    case(
        "oids",
        OURS5,
        Greenplum7,
        "TABLE",
        "CREATE TABLE o (a integer) WITH (oids=true, fillfactor=80) DISTRIBUTED BY (a);",
        "CREATE TABLE o (a integer) WITH (fillfactor=80) DISTRIBUTED BY (a)",
    ),
    case(
        "storage-defaults",
        ORIGINAL,
        Postgres,
        "AOSTORAGEOPTS",
        "SET gp_default_storage_options = 'appendonly=false,blocksize=32768,compresstype=none,checksum=true,orientation=row';",
        "",
    ),
    case(
        "type-encodings",
        ORIGINAL,
        Postgres,
        "TYPE STORAGE OPTIONS",
        "ALTER TYPE bt  SET DEFAULT ENCODING (compresstype=zlib, compresslevel=1, blocksize=32768);",
        "",
    ),
    case(
        "removed-types",
        ORIGINAL,
        Postgres,
        "TABLE",
        "CREATE TABLE d_abs (\n    a abstime DEFAULT ('now'::text)::pg_catalog.abstime,\n    reltime reltime,\n    t tinterval[],\n    u \"unknown\"\n) DISTRIBUTED BY (a);",
        "CREATE TABLE d_abs (\n    a timestamptz DEFAULT ('now'::text)::timestamptz,\n    reltime interval,\n    t text[],\n    u text\n)",
    ),
    case(
        "greenplum-types",
        ORIGINAL,
        Postgres,
        "TABLE",
        "CREATE TABLE d_complex (\n    a integer,\n    c complex\n) DISTRIBUTED BY (a);",
        "CREATE TABLE d_complex (\n    a integer,\n    c text\n)",
    ),
    case(
        "reserved-words",
        ORIGINAL,
        Greenplum6,
        "TABLE",
        "CREATE TABLE lateral (\n    collation integer,\n    \"select\" integer\n) DISTRIBUTED BY (collation);",
        "CREATE TABLE \"lateral\" (\n    \"collation\" integer,\n    \"select\" integer\n) DISTRIBUTED BY (\"collation\")",
    ),
    case(
        "comments-on-external-tables",
        ORIGINAL,
        Greenplum5,
        "COMMENT",
        "COMMENT ON EXTERNAL TABLE ext IS 'e';",
        "COMMENT ON TABLE ext IS 'e'",
    ),
    case(
        "comments-on-foreign-tables",
        ORIGINAL,
        Greenplum7,
        "COMMENT",
        "COMMENT ON EXTERNAL TABLE ext IS 'e';",
        "COMMENT ON FOREIGN TABLE ext IS 'e'",
    ),
    case(
        "error-tables",
        OURS5,
        Greenplum6,
        "EXTERNAL TABLE",
        "CREATE EXTERNAL TABLE e (a integer) LOCATION ('gpfdist://h/a') FORMAT 'text' LOG ERRORS INTO s.\"Err\" SEGMENT REJECT LIMIT 10 ROWS;",
        "CREATE EXTERNAL TABLE e (a integer) LOCATION ('gpfdist://h/a') FORMAT 'text' LOG ERRORS SEGMENT REJECT LIMIT 10 ROWS",
    ),
    case(
        "routine-attributes",
        ORIGINAL,
        Postgres,
        "FUNCTION",
        "CREATE FUNCTION tax(n numeric) RETURNS numeric\n    AS $$\nBEGIN\n  RETURN n; -- NO SQL\nEND;\n$$\n    LANGUAGE plpgsql IMMUTABLE NO SQL;",
        "CREATE FUNCTION tax(n numeric) RETURNS numeric\n    AS $$\nBEGIN\n  RETURN n; -- NO SQL\nEND;\n$$\n    LANGUAGE plpgsql IMMUTABLE",
    ),
    case(
        "routine-attributes",
        OURS6,
        Postgres,
        "FUNCTION",
        "CREATE FUNCTION s.f(integer) RETURNS SETOF integer\n    LANGUAGE sql ROWS 7 READS SQL DATA EXECUTE ON ALL SEGMENTS\n    AS $$ select 1 $$;",
        "CREATE FUNCTION s.f(integer) RETURNS SETOF integer\n    LANGUAGE sql ROWS 7\n    AS $$ select 1 $$",
    ),
    case(
        "python",
        OURS5,
        Greenplum7,
        "FUNCTION",
        "CREATE FUNCTION py(a integer) RETURNS integer\n    AS $$ return a $$\n    LANGUAGE plpythonu NO SQL;",
        "CREATE FUNCTION py(a integer) RETURNS integer\n    AS $$ return a $$\n    LANGUAGE plpython3u NO SQL",
    ),
    case(
        "language-handlers",
        ORIGINAL,
        Greenplum6,
        "PROCEDURAL LANGUAGE",
        "CREATE PROCEDURAL LANGUAGE plpgsql;\nALTER FUNCTION plpgsql_call_handler() OWNER TO gpadmin;\nALTER FUNCTION plpgsql_validator(oid) OWNER TO gpadmin;",
        "CREATE PROCEDURAL LANGUAGE plpgsql",
    ),
    case(
        "aggregates",
        ORIGINAL,
        Greenplum7,
        "AGGREGATE",
        "CREATE ORDERED AGGREGATE psum(bigint) (\n    SFUNC = pre,\n    STYPE = bigint,\n    PREFUNC = pre\n);",
        "CREATE AGGREGATE psum(bigint) (\n    SFUNC = pre,\n    STYPE = bigint,\n    COMBINEFUNC = pre\n)",
    ),
    case(
        "array-aggregates",
        ORIGINAL,
        Postgres,
        "AGGREGATE",
        "CREATE ORDERED AGGREGATE x(anyelement) (\n    SFUNC = array_append,\n    STYPE = anyarray,\n    INITCOND = '{}'\n);\n\n\nALTER AGGREGATE s.x(anyelement) OWNER TO gpadmin;",
        "CREATE AGGREGATE x(anycompatible) (\n    SFUNC = array_append,\n    STYPE = anycompatiblearray,\n    INITCOND = '{}'\n)\nALTER AGGREGATE s.x(anycompatible) OWNER TO gpadmin",
    ),
    case(
        "string-agg",
        ORIGINAL,
        Greenplum6,
        "VIEW",
        "CREATE VIEW v_sa AS\n    SELECT string_agg(t.a) AS s, string_agg(t.a, ','::text) AS s2, string_agg(t.a ORDER BY t.b) AS o FROM t;",
        "CREATE VIEW v_sa AS\n    SELECT string_agg(t.a, ''::text) AS s, string_agg(t.a, ','::text) AS s2, string_agg(t.a, ''::text ORDER BY t.b) AS o FROM t",
    ),
    case(
        "median",
        ORIGINAL,
        Postgres,
        "VIEW",
        "CREATE VIEW v AS\n    SELECT median(float8(p.id)) AS m, p.median FROM p;",
        "CREATE VIEW v AS\n    SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY float8(p.id)) AS m, p.median FROM p",
    ),
    case(
        "bitmap-indexes",
        ORIGINAL,
        Postgres,
        "INDEX",
        "CREATE INDEX ao_col_bm ON ao_col USING bitmap (d);",
        "CREATE INDEX ao_col_bm ON ao_col USING btree (d)",
    ),
];

#[test]
fn statements_of_real_sets_are_put_in_other_words() {
    for case in CASES {
        let (out, _) = one(&case.origin, case.server, case.kind, "x", case.from);
        assert_eq!(out, case.to, "{}", case.rewrite);
    }
}

#[test]
fn every_rewrite_has_a_case() {
    // These are held by tests of their own: they need more than one entry, or the file of global objects.
    let others = [
        "doubled-definitions",
        "followers",
        "resources",
        "role-options",
        "filespaces",
        "partitions",
        "ends-of-partitions",
        "templates-of-inherited-partitions",
        "moved-partitions",
        "owners-of-partitions",
        "constraints-of-partitioned-tables",
        "default-with-oids",
    ];
    for rewrite in REWRITES {
        let held = others.contains(&rewrite.name) || CASES.iter().any(|case| case.rewrite == rewrite.name);
        assert!(held, "{}", rewrite.name);
        assert!(
            rewrite.note.is_empty() || !rewrite.note.ends_with('.'),
            "{}",
            rewrite.name
        );
    }
}

#[test]
fn a_set_of_the_same_server_stays_as_it_is() {
    for (origin, server) in [(OURS5, Greenplum5), (OURS6, Greenplum6)] {
        for case in CASES.iter().filter(|case| {
            !["quicklz", "comments-on-external-tables", "comments-on-foreign-tables"].contains(&case.rewrite)
        }) {
            let text = script(&[(case.kind, "x", case.from)]);
            let script = Script::parse(text.as_bytes()).unwrap();
            let mut translator = Translator::new(&origin, target(server));
            let same = case.rewrite != "error-tables" || server == Greenplum6;
            assert_eq!(
                translator.translate(&script, Part::PreData).is_none(),
                same,
                "{}",
                case.rewrite
            );
        }
    }
    let postgres = Origin {
        product: Product::Postgres,
        base: PgVersion(150_018),
        by_originals: false,
    };
    assert!(Translator::new(&postgres, target(Postgres)).rewrites.is_empty());
}

#[test]
fn what_is_said_of_an_external_table_goes_where_it_goes() {
    let text = script(&[
        (
            "EXTERNAL TABLE",
            "pt_1_prt_p2_ext_partition__",
            "CREATE EXTERNAL TABLE pt_1_prt_p2_ext_partition__ (id integer) LOCATION ('file://vm/x') FORMAT 'csv';",
        ),
        (
            "COMMENT",
            "COLUMN pt_1_prt_p2_ext_partition__.id",
            "COMMENT ON COLUMN pt_1_prt_p2_ext_partition__.id IS 'c';",
        ),
        ("COMMENT", "COLUMN other.id", "COMMENT ON COLUMN other.id IS 'c';"),
        (
            "TABLE",
            "pt",
            "ALTER TABLE s.pt EXCHANGE PARTITION p2 WITH TABLE pt_1_prt_p2_ext_partition__ WITHOUT VALIDATION; \nDROP TABLE pt_1_prt_p2_ext_partition__; \n\nALTER TABLE s.pt OWNER TO o;",
        ),
        (
            "ACL",
            "pt_1_prt_p2_ext_partition__",
            "GRANT SELECT ON TABLE pt_1_prt_p2_ext_partition__ TO r;\nGRANT ALL ON SCHEMA s TO r;",
        ),
    ]);
    let mut translator = Translator::new(&ORIGINAL, target(Postgres));
    assert_eq!(
        run(&mut translator, &text, Part::PreData),
        "COMMENT ON COLUMN other.id IS 'c'\nALTER TABLE s.pt OWNER TO o\nGRANT ALL ON SCHEMA s TO r"
    );
    let [item] = translator.left_out() else {
        panic!("{:?}", translator.left_out())
    };
    assert_eq!(item.what, "EXTERNAL TABLE s.pt_1_prt_p2_ext_partition__");
    assert_eq!(item.sql.lines().count(), 5, "{}", item.sql);
    assert_eq!(item.search_path.as_deref(), Some("SET search_path = s, pg_catalog;"));
}

#[test]
fn what_the_originals_write_twice_is_made_once() {
    let drops =
        "SET search_path = s, pg_catalog;\n\nDROP TEXT SEARCH CONFIGURATION s.tsc;\nDROP INDEX IF EXISTS s.i;\n";
    let entries = script(&[
        (
            "TEXT SEARCH CONFIGURATION",
            "tsc",
            "CREATE TEXT SEARCH CONFIGURATION tsc (\n    PARSER = pg_catalog.\"default\" );\n\nALTER TEXT SEARCH CONFIGURATION tsc\n    ADD MAPPING FOR asciiword WITH simple;",
        ),
        ("INDEX", "i", "CREATE INDEX i ON t USING btree (a);"),
    ]);
    let text = format!("{drops}{entries}");
    let mut translator = Translator::new(&ORIGINAL, target(Greenplum5));
    let script = Script::parse(text.as_bytes()).unwrap();
    let out = translator.translate(&script, Part::PostData).unwrap();
    let out = String::from_utf8(out).unwrap();
    assert!(
        !out.contains("TEXT SEARCH CONFIGURATION tsc") && !out.contains("DROP TEXT"),
        "{out}"
    );
    assert!(
        out.contains("DROP INDEX IF EXISTS s.i;") && out.contains("CREATE INDEX i"),
        "{out}"
    );
    assert!(translator.translate(&script, Part::PreData).is_none());
}

#[test]
fn tables_with_oids_by_a_setting_are_told_of() {
    let text = format!(
        "{}\nSET default_with_oids = true;\n{}",
        script(&[("TABLE", "a", "CREATE TABLE a (i integer) DISTRIBUTED BY (i);")]),
        script(&[("TABLE", "b", "CREATE TABLE b (i integer) DISTRIBUTED BY (i);")])
    );
    let mut translator = Translator::new(&ORIGINAL, target(Greenplum7));
    let out = run(&mut translator, &text, Part::PreData);
    assert!(!out.contains("default_with_oids"), "{out}");
    let notes = translator.notes();
    let note = notes.iter().find(|note| note.text.contains("OIDs")).unwrap();
    assert!(
        note.warns && note.text.starts_with("Translated (oids): s.b: "),
        "{note:?}"
    );
}

#[test]
fn global_objects_of_greenplum_are_for_greenplum() {
    let text = "CREATE RESOURCE QUEUE lab_queue WITH (ACTIVE_STATEMENTS=20);\nALTER RESOURCE GROUP admin_group SET cpu_rate_limit 1;\nCREATE ROLE \"App Own\";\nALTER ROLE \"App Own\" WITH NOSUPERUSER INHERIT NOLOGIN RESOURCE QUEUE pg_default RESOURCE GROUP default_group CREATEEXTTABLE (protocol='gphdfs', type='readable') CREATEEXTTABLE (protocol='http');\nCREATE FILESPACE fs (1: '/x');\nCREATE TABLESPACE ts OWNER o FILESPACE fs;\n";
    let out = |server| {
        let mut translator = Translator::new(&ORIGINAL, target(server));
        let script = Script::parse(text.as_bytes()).unwrap();
        let out = translator.translate(&script, Part::Globals);
        (
            out.map(|out| String::from_utf8(out).unwrap()).unwrap_or_default(),
            translator,
        )
    };
    let (plain, translator) = out(Postgres);
    assert_eq!(
        plain.trim(),
        "CREATE ROLE \"App Own\";\nALTER ROLE \"App Own\" WITH NOSUPERUSER INHERIT NOLOGIN;"
    );
    let missing: Vec<&str> = translator.left_out().iter().map(|item| item.what.as_str()).collect();
    assert_eq!(missing, ["CREATE FILESPACE fs (1:", "CREATE TABLESPACE ts OWNER"]);
    let (six, _) = out(Greenplum6);
    assert!(
        six.contains("RESOURCE QUEUE pg_default RESOURCE GROUP default_group CREATEEXTTABLE (protocol='http');"),
        "{six}"
    );
    assert!(six.starts_with("CREATE RESOURCE QUEUE"), "{six}");
}

#[test]
fn a_type_that_the_originals_left_out_is_named() {
    let original = Translator::new(&ORIGINAL, target(Greenplum6));
    let hint = original.explanation("type \"s1.mood\" does not exist").unwrap();
    assert!(hint.contains("create type s1.mood"), "{hint}");
    assert_eq!(original.explanation("relation \"x\" does not exist"), None);
    assert_eq!(
        Translator::new(&OURS5, target(Greenplum6)).explanation("type \"mood\" does not exist"),
        None
    );
}

#[test]
fn bytes_that_are_no_utf8_stay() {
    let mut text = script(&[(
        "TABLE",
        "x",
        "CREATE TABLE x (a integer DEFAULT '?') DISTRIBUTED BY (a);",
    )])
    .into_bytes();
    let at = text.iter().position(|byte| *byte == b'?').unwrap();
    text[at] = 0xe9;
    let script = Script::parse(&text).unwrap();
    let out = Translator::new(&ORIGINAL, target(Postgres))
        .translate(&script, Part::PreData)
        .unwrap();
    assert!(out.windows(3).any(|three| three == [b'\'', 0xe9, b'\'']));
    assert!(!out.windows(11).any(|word| word == b"DISTRIBUTED"));
}
