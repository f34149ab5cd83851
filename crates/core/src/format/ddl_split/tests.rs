use super::*;

fn dump(head: &str, entries: &str) -> String {
    format!(
        "--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\n\n{head}\n{entries}--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict abc\n\n"
    )
}

fn entry(name: &str, kind: &str, sql: &str) -> String {
    format!("--\n-- Name: {name}; Type: {kind}; Schema: s; Owner: o\n--\n\n{sql}\n\n\n")
}

const QUALIFIED: &str = "SET client_encoding = 'UTF8';\nSELECT pg_catalog.set_config('search_path', '', false);\n";
const RELATIVE: &str = "SET client_encoding = 'UTF8';\n\nSET search_path = s, pg_catalog;\n";

fn input<'a>(dump: &'a str, version: u32, labels: &'a BTreeMap<QualifiedName, Vec<String>>) -> SplitInput<'a> {
    SplitInput {
        database: "d",
        dump: dump.as_bytes(),
        encoding: "UTF8",
        pg_version: PgVersion(version),
        sequences: &[],
        data_tables: &[],
        enum_labels: labels,
        moved_leaves: &[],
        refresh: &[],
        keep: None,
    }
}

fn split_texts(input: &SplitInput) -> (String, String) {
    let files = split(input).unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(files.pre_data), text(files.post_data))
}

fn names(text: &str) -> Vec<String> {
    let script = Script::parse(text.as_bytes()).unwrap();
    script
        .entries()
        .iter()
        .map(|e| format!("{} {}", e.kind, e.name))
        .collect()
}

fn statements(text: &str) -> Vec<String> {
    let script = Script::parse(text.as_bytes()).unwrap();
    let text = |item: Item| match item {
        Item::Statement {
            text, entry: Some(_), ..
        } => Some(String::from_utf8_lossy(text).into_owned()),
        _ => None,
    };
    script.items().filter_map(text).collect()
}

fn key_dump() -> String {
    let entries = [
        entry("t", "TABLE", "CREATE TABLE s.t (id integer);"),
        entry(
            "CONSTRAINT c ON t",
            "COMMENT",
            "COMMENT ON CONSTRAINT c ON s.t IS 'inline';",
        ),
        entry("v", "VIEW", "CREATE VIEW s.v AS\nSELECT\n    NULL::integer AS id;"),
        entry(
            "t t_pkey",
            "CONSTRAINT",
            "ALTER TABLE ONLY s.t\n    ADD CONSTRAINT t_pkey PRIMARY KEY (id);",
        ),
        entry(
            "CONSTRAINT t_pkey ON t",
            "COMMENT",
            "COMMENT ON CONSTRAINT t_pkey ON s.t IS 'pk';",
        ),
        entry(
            "mv",
            "MATERIALIZED VIEW",
            "CREATE MATERIALIZED VIEW s.mv AS\n SELECT t.id FROM s.t GROUP BY t.id\n  WITH NO DATA;",
        ),
        entry(
            "MATERIALIZED VIEW mv",
            "COMMENT",
            "COMMENT ON MATERIALIZED VIEW s.mv IS 'm';",
        ),
        entry("mi", "INDEX", "CREATE UNIQUE INDEX mi ON s.mv USING btree (id);"),
        entry(
            "v _RETURN",
            "RULE",
            "CREATE OR REPLACE VIEW s.v AS\n SELECT t.id FROM s.t GROUP BY t.id;",
        ),
        entry(
            "t tr",
            "TRIGGER",
            "CREATE TRIGGER \"a on\" BEFORE UPDATE OF id ON s.t FOR EACH ROW EXECUTE FUNCTION s.f();",
        ),
        entry("TABLE t", "ACL", "GRANT SELECT ON TABLE s.t TO r;"),
        entry("COLUMN mv.id", "ACL", "GRANT SELECT(id) ON TABLE s.mv TO r;"),
        entry(
            "DEFAULT PRIVILEGES FOR TABLES",
            "DEFAULT ACL",
            "ALTER DEFAULT PRIVILEGES FOR ROLE o GRANT SELECT ON TABLES TO r;",
        ),
    ];
    dump(QUALIFIED, &entries.concat())
}

#[test]
fn what_needs_a_key_follows_it_into_post_data() {
    let (text, none) = (key_dump(), BTreeMap::new());
    let view = [QualifiedName::new("s", "mv")];
    let (pre, post) = split_texts(&SplitInput {
        refresh: &view,
        keep: None,
        ..input(&text, 150000, &none)
    });
    assert_eq!(
        names(&pre),
        ["TABLE t", "COMMENT CONSTRAINT c ON t", "VIEW v", "ACL TABLE t"]
    );
    assert_eq!(
        names(&post),
        [
            "CONSTRAINT t t_pkey",
            "COMMENT CONSTRAINT t_pkey ON t",
            "MATERIALIZED VIEW mv",
            "COMMENT MATERIALIZED VIEW mv",
            "INDEX mi",
            "RULE v _RETURN",
            "TRIGGER t tr",
            "ACL COLUMN mv.id",
            "DEFAULT ACL DEFAULT PRIVILEGES FOR TABLES",
            "MATERIALIZED VIEW DATA mv",
        ]
    );
    let drops = "DROP TRIGGER IF EXISTS \"a on\" ON s.t;
CREATE OR REPLACE VIEW s.v AS\nSELECT\n    NULL::integer AS id;
DROP INDEX IF EXISTS s.mi;
DROP MATERIALIZED VIEW IF EXISTS s.mv;
ALTER TABLE IF EXISTS ONLY s.t DROP CONSTRAINT IF EXISTS t_pkey;\n";
    let head = format!("--\n-- Greenplum Database database dump\n--\n\n{QUALIFIED}\n{drops}\n--\n-- Name: t t_pkey;");
    assert!(post.starts_with(&head), "{post}");
    for file in [&pre, &post] {
        assert!(file.ends_with("\n--\n-- Greenplum Database database dump complete\n--\n\n"));
        assert!(!file.contains("restrict"));
    }
}

#[test]
fn no_statement_is_lost_or_made() {
    let (text, none) = (key_dump(), BTreeMap::new());
    let (pre, post) = split_texts(&input(&text, 150000, &none));
    let mut both = [statements(&pre), statements(&post)].concat();
    let mut all = statements(&text);
    both.sort();
    all.sort();
    assert_eq!(both, all);
}

#[test]
fn before_9_1_the_kind_decides_and_names_stand_under_their_search_path() {
    let entries = [
        entry("i", "INDEX", "CREATE INDEX i ON t USING bitmap (a);"),
        entry("t", "TABLE", "CREATE TABLE t (a integer);"),
        entry(
            "_RETURN",
            "RULE",
            "CREATE RULE \"_RETURN\" AS ON SELECT TO v DO INSTEAD SELECT 1 AS x;",
        ),
        entry(
            "u",
            "CONSTRAINT",
            "ALTER TABLE ONLY t\n    ADD CONSTRAINT u UNIQUE (a);",
        ),
        entry(
            "r",
            "RULE",
            "CREATE RULE r AS ON UPDATE TO t DO (SELECT 1; SELECT ';'; );",
        ),
    ];
    let (text, none) = (dump(RELATIVE, &entries.concat()), BTreeMap::new());
    let (pre, post) = split_texts(&input(&text, 80323, &none));
    assert_eq!(names(&pre), ["AOSTORAGEOPTS AOSTORAGEOPTS", "TABLE t", "RULE _RETURN"]);
    assert_eq!(names(&post), ["INDEX i", "CONSTRAINT u", "RULE r"]);
    let drops = "SET search_path = s, pg_catalog;

DROP RULE IF EXISTS r ON s.t;
select pg_temp.drop_table_constraint_only_if_exists('s', 't', 'u');
DROP INDEX IF EXISTS s.i;\n";
    assert!(post.contains(drops), "{post}");
    // A helper that is not needed is not made: it wants plpgsql.
    let no_constraint = dump(RELATIVE, &entries[..3].concat());
    assert!(!split_texts(&input(&no_constraint, 80323, &none)).1.contains("plpgsql"));
}

#[test]
fn attached_indexes_are_not_dropped_alone() {
    let entries = [
        entry("pi", "INDEX", "CREATE INDEX pi ON ONLY s.p USING btree (a);"),
        entry("ci", "INDEX", "CREATE INDEX ci ON s.c USING btree (a);"),
        entry(
            "c c_pkey",
            "CONSTRAINT",
            "ALTER TABLE ONLY s.c\n    ADD CONSTRAINT c_pkey PRIMARY KEY (a);",
        ),
        entry("ci", "INDEX ATTACH", "ALTER INDEX s.pi ATTACH PARTITION s.ci;"),
        entry(
            "c_pkey",
            "INDEX ATTACH",
            "ALTER INDEX s.p_pkey ATTACH PARTITION s.c_pkey;",
        ),
    ];
    let (text, none) = (dump(QUALIFIED, &entries.concat()), BTreeMap::new());
    let post = split_texts(&input(&text, 150000, &none)).1;
    let drops: Vec<&str> = post.lines().filter(|line| line.contains("IF EXISTS")).collect();
    assert_eq!(drops, ["DROP INDEX IF EXISTS s.pi;"]);
}

/// As pg_dump 12.1 and MatrixDB 5 (Greenplum 7.0.0 build dev) print them.
#[test]
fn partitions_attached_in_their_own_entry_get_one_for_it() {
    let odd = r#"we"ird; Type: TABLE; Schema: n"#;
    let entries = [
        entry("p", "TABLE", "CREATE TABLE s.p (a integer)\nPARTITION BY RANGE (a);"),
        entry(
            odd,
            "TABLE",
            "CREATE TABLE s.\"we\"\"ird; Type: TABLE; Schema: n\" (a integer);\n\
             ALTER TABLE ONLY s.p ATTACH PARTITION s.\"we\"\"ird; Type: TABLE; Schema: n\" FOR VALUES FROM (1) TO (2);\n\n\n\
             ALTER TABLE s.\"we\"\"ird; Type: TABLE; Schema: n\" OWNER TO o;",
        )
        .replace("; Owner: o\n--", "; Owner: o; Tablespace: \n--"),
        entry("q", "TABLE", "CREATE TABLE s.q (a integer);"),
    ];
    let (text, none) = (dump(QUALIFIED, &entries.concat()), BTreeMap::new());
    let pre = split_texts(&input(&text, 120000, &none)).0;
    let expected = [
        "TABLE p".to_owned(),
        format!("TABLE {odd}"),
        format!("TABLE ATTACH {odd}"),
        "TABLE q".to_owned(),
    ];
    assert_eq!(names(&pre), expected, "{pre}");
    let owner = "ALTER TABLE s.\"we\"\"ird; Type: TABLE; Schema: n\" OWNER TO o";
    let attach =
        "ALTER TABLE ONLY s.p ATTACH PARTITION s.\"we\"\"ird; Type: TABLE; Schema: n\" FOR VALUES FROM (1) TO (2)";
    assert_eq!(statements(&pre)[2..4], [owner, attach]);
    assert!(pre.contains("; Type: TABLE ATTACH; Schema: s; Owner: o\n--\n"), "{pre}");
    // Where they have one, nothing is changed.
    assert_eq!(
        split_texts(&input(&dump(QUALIFIED, &pre_entries(&pre)), 140000, &none)).0,
        pre
    );
}

/// The entries of a file as text.
fn pre_entries(text: &str) -> String {
    let script = Script::parse(text.as_bytes()).unwrap();
    let entries = script.entries().iter();
    entries.map(|entry| &text[entry.span.start..entry.span.end]).collect()
}

#[test]
fn values_copy_blocks_labels_and_moved_leaves_are_added() {
    let entries = [
        entry(
            "mood",
            "TYPE",
            "CREATE TYPE mood AS ENUM (\n    '16799',\n    '16800'\n);",
        ),
        entry(
            "t",
            "TABLE",
            "CREATE TABLE t (a integer);\n\n\nALTER TABLE s.t OWNER TO o;",
        ),
        entry("q", "SEQUENCE", "CREATE SEQUENCE q;"),
        entry("q", "SEQUENCE OWNED BY", "ALTER SEQUENCE q OWNED BY t.a;"),
        entry("t", "ACL", "GRANT SELECT ON TABLE t TO r;"),
    ];
    let text = dump(RELATIVE, &entries.concat());
    let labels = BTreeMap::from([(
        QualifiedName::new("s", "mood"),
        vec!["it's".to_owned(), "\\".to_owned()],
    )]);
    let sequence = |name: &str| SequenceState {
        name: QualifiedName::new("s", name),
        owner: "o".to_owned(),
        last_value: 7,
        is_called: name == "q",
    };
    let table = TableJob {
        name: QualifiedName::new("S 2", "T"),
        owner: "o".to_owned(),
        columns: vec!["a".to_owned(), "B".to_owned()],
        condition: None,
        form: Default::default(),
        stream: None,
    };
    let leaf = MovedLeaf {
        root: QualifiedName::new("s", "t"),
        leaf: QualifiedName::new("es", "t_1_prt_x"),
    };
    let all = SplitInput {
        sequences: &[sequence("other"), sequence("q")],
        data_tables: &[table],
        moved_leaves: &[leaf],
        ..input(&text, 80323, &labels)
    };
    let (pre, _) = split_texts(&all);
    let expected = [
        "AOSTORAGEOPTS AOSTORAGEOPTS",
        "TYPE mood",
        "TABLE t",
        "SEQUENCE q",
        "SEQUENCE OWNED BY q",
        "SEQUENCE SET q",
        "SEQUENCE SET other",
        "TABLE DATA T",
        "ACL t",
    ];
    assert_eq!(names(&pre), expected);
    for part in [
        "CREATE TYPE mood AS ENUM (\n    'it''s',\n    E'\\\\'\n);",
        "CREATE TABLE t (a integer);\n\nALTER TABLE t_1_prt_x SET SCHEMA es;\n\n\nALTER TABLE s.t OWNER TO o;",
        "SELECT pg_catalog.setval('q', 7, true);\n\n\n",
        "SELECT pg_catalog.setval('other', 7, false);\n\n\n",
        "SET search_path = \"S 2\", pg_catalog;\n\n--\n-- Data for Name: T; Type: TABLE DATA; Schema: S 2; Owner: o\n--\n\nCOPY \"T\" (a, \"B\") FROM stdin;\n\\.\n\n\nSET search_path = s, pg_catalog;\n\n--\n-- Name: t; Type: ACL;",
    ] {
        assert!(pre.contains(part), "{part}\n--- not in ---\n{pre}");
    }
}

#[test]
fn what_must_not_be_is_refused() {
    let none = BTreeMap::new();
    let whole = key_dump();
    let cut = &whole[..whole.len() - 80];
    assert!(matches!(
        split(&input(cut, 150000, &none)),
        Err(SplitError::Truncated { .. })
    ));
    let meta = dump(QUALIFIED, "\\connect other\n");
    assert!(matches!(
        split(&input(&meta, 150000, &none)),
        Err(SplitError::MetaCommand { .. })
    ));
    let view = [QualifiedName::new("s", "größe")];
    let latin = SplitInput {
        refresh: &view,
        keep: None,
        encoding: "LATIN1",
        ..input(&whole, 150000, &none)
    };
    assert!(matches!(split(&latin), Err(SplitError::Encoding { .. })));
}

const DROPS: &str = "SET search_path = s, pg_catalog;\n\nDROP INDEX s.i;\nALTER TABLE ONLY s.t DROP CONSTRAINT c;\nDROP FUNCTION s.f(integer);\nDROP TABLE s.t;\nDROP TABLE s.u;\nDROP SCHEMA s;\nSET default_with_oids = false;\n\n";

fn clean_dump() -> String {
    let entries = [
        entry("t", "TABLE", "CREATE TABLE t (id integer);"),
        entry("u", "TABLE", "CREATE TABLE u (id integer);"),
        entry("i", "INDEX", "CREATE INDEX i ON t USING btree (id);"),
    ];
    dump(
        &format!("SET client_encoding = 'UTF8';\n\n{DROPS}SET search_path = s, pg_catalog;\n"),
        &entries.concat(),
    )
}

#[test]
fn drops_go_to_the_head_of_pre_data_and_nowhere_else() {
    let labels = BTreeMap::new();
    let dump = clean_dump();
    let (pre_data, post_data) = split_texts(&input(&dump, 80300, &labels));
    let drops =
        "DROP INDEX s.i;\nALTER TABLE ONLY s.t DROP CONSTRAINT c;\nDROP FUNCTION s.f(integer);\nDROP TABLE s.t;\n";
    let (drops_at, table_at) = (pre_data.find(drops).unwrap(), pre_data.find("CREATE TABLE t").unwrap());
    assert!(drops_at < table_at, "{pre_data}");
    assert!(
        pre_data[drops_at..table_at].contains("SET search_path = s, pg_catalog;"),
        "{pre_data}"
    );
    assert!(
        !post_data.contains("DROP TABLE") && !post_data.contains("DROP CONSTRAINT"),
        "{post_data}"
    );
    let script = Script::parse(pre_data.as_bytes()).unwrap();
    let found = script.toc().drops.as_ref().unwrap();
    assert!(
        found
            .span
            .of(pre_data.as_bytes())
            .starts_with(b"SET search_path = s, pg_catalog;\n\nDROP INDEX")
    );
}

#[test]
fn a_filtered_dump_drops_only_what_it_makes_again() {
    use crate::words::definitions::{ObjectClass, ObjectName};
    let labels = BTreeMap::new();
    let dump = clean_dump();
    let objects = [("t", true), ("i", true), ("u", false)]
        .map(|(name, kept)| (ObjectName::new(ObjectClass::Relation, "s", name), kept));
    let filter = DefinitionFilter {
        objects: objects.into_iter().collect(),
        ..DefinitionFilter::default()
    };
    let whole = input(&dump, 80300, &labels);
    let (pre_data, _) = split_texts(&SplitInput {
        keep: Some(&filter),
        ..whole
    });
    for (drop, is_there) in [
        ("DROP INDEX s.i;", true),
        ("ALTER TABLE ONLY s.t DROP CONSTRAINT c;", true),
        ("DROP TABLE s.t;", true),
        ("DROP TABLE s.u;", false),
        ("DROP FUNCTION", false),
        ("DROP SCHEMA", false),
    ] {
        assert_eq!(pre_data.contains(drop), is_there, "{drop}\n{pre_data}");
    }
}

#[test]
fn under_session_authorization_blocks_of_our_own_are_nobody_elses() {
    let labels = BTreeMap::new();
    let dump = dump(
        "SET client_encoding = 'UTF8';\n\nSET SESSION AUTHORIZATION 'o';\n",
        &entry("t", "TABLE", "CREATE TABLE s.t (id integer);"),
    );
    let tables = [TableJob {
        name: QualifiedName::new("s", "t"),
        owner: "o".into(),
        columns: vec!["id".into()],
        condition: None,
        form: Default::default(),
        stream: None,
    }];
    let whole = input(&dump, 150000, &labels);
    let (pre_data, _) = split_texts(&SplitInput {
        data_tables: &tables,
        ..whole
    });
    let at = |text: &str| pre_data.find(text).unwrap_or_else(|| panic!("{text}\n{pre_data}"));
    assert!(at("SET SESSION AUTHORIZATION 'o'") < at("CREATE TABLE"));
    assert!(at("CREATE TABLE") < at("SET SESSION AUTHORIZATION DEFAULT;"));
    assert!(at("SET SESSION AUTHORIZATION DEFAULT;") < at("COPY "));
}

#[test]
fn a_talkative_dump_splits_into_the_same_text_as_a_quiet_one() {
    let none = BTreeMap::new();
    let quiet = dump(
        QUALIFIED,
        &(entry("t", "TABLE", "CREATE TABLE s.t (a integer);") + &entry("i", "INDEX", "CREATE INDEX i ON s.t (a);")),
    );
    let talkative = quiet
        .replace("-- Name: t;", "-- TOC entry 7 (class 1259 OID 16385)\n-- Name: t;")
        .replace(
            "-- Name: i;",
            "-- TOC entry 8 (class 1259 OID 16390)\n-- Dependencies: 7\n-- Name: i;",
        );
    let talkative = talkative.replacen(
        QUALIFIED,
        &format!("-- Started on 2026-11-22 16:25:05 UTC\n\n{QUALIFIED}"),
        1,
    );
    assert_ne!(talkative, quiet);
    assert_eq!(
        split_texts(&input(&talkative, 150000, &none)),
        split_texts(&input(&quiet, 150000, &none))
    );
}
