use super::*;

const DUMP: &str = r#"--
-- Greenplum Database database dump
--

SET client_encoding = 'UTF8';

SET search_path = s1, pg_catalog;

SET default_tablespace = '';

--
-- Name: t; Type: TABLE; Schema: s1; Owner: gpadmin; Tablespace: 
--

CREATE TABLE t (a integer);


ALTER TABLE s1.t OWNER TO gpadmin;

--
-- Name: f(); Type: FUNCTION; Schema: s1; Owner: gpadmin
--

CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$
--
-- Name: evil; Type: TABLE; Schema: s1; Owner: x
--
$$;


--
-- Data for Name: t; Type: TABLE DATA; Schema: s1; Owner: gpadmin
--

COPY t (a) FROM stdin;
--
-- Name: evil; Type: TABLE; Schema: s1; Owner: x
--
\.


SET search_path = "S 2", pg_catalog;

--
-- Name: a; Type: TABLE; Schema: public; Owner: bob; Type: VIEW; Schema: S 2; Owner: 
--

CREATE VIEW "a; Type: TABLE; Schema: public; Owner: bob" AS SELECT 1;


--
-- Name: t; Type: ACL; Schema: s1; Owner: gpadmin
--

SET SESSION AUTHORIZATION bob;
GRANT SELECT ON TABLE t TO rd;
RESET SESSION AUTHORIZATION;


--
-- Greenplum Database database dump complete
--

"#;

fn state<'a>(entry: &Entry, text: &'a str, setting: Setting) -> &'a str {
    entry.state.get(setting).map_or("", |span| &text[span.start..span.end])
}

#[test]
fn entries_are_found_and_lookalikes_are_not() {
    let toc = Toc::scan(DUMP.as_bytes()).unwrap();
    let found: Vec<_> = (toc.entries.iter())
        .map(|e| {
            (
                e.kind.as_str(),
                e.name.as_str(),
                e.schema.as_deref(),
                e.owner.as_deref(),
                e.is_data,
            )
        })
        .collect();
    let gpadmin = Some("gpadmin");
    assert_eq!(
        found,
        [
            ("TABLE", "t", Some("s1"), gpadmin, false),
            ("FUNCTION", "f()", Some("s1"), gpadmin, false),
            ("TABLE DATA", "t", Some("s1"), gpadmin, true),
            (
                "VIEW",
                "a; Type: TABLE; Schema: public; Owner: bob",
                Some("S 2"),
                None,
                false
            ),
            ("ACL", "t", Some("s1"), gpadmin, false),
        ]
    );
    assert_eq!(toc.entries[0].tablespace.as_deref(), Some(""));
    assert_eq!(toc.entries[1].tablespace, None);
    assert!(toc.trailer.is_some());
}

#[test]
fn entries_know_the_settings_they_stand_under() {
    let toc = Toc::scan(DUMP.as_bytes()).unwrap();
    let paths: Vec<_> = toc
        .entries
        .iter()
        .map(|e| state(e, DUMP, Setting::SearchPath))
        .collect();
    let (s1, s2) = (
        "SET search_path = s1, pg_catalog;",
        "SET search_path = \"S 2\", pg_catalog;",
    );
    assert_eq!(paths, [s1, s1, s1, s2, s2]);
    assert_eq!(
        state(&toc.entries[0], DUMP, Setting::DefaultTablespace),
        "SET default_tablespace = '';"
    );
    // The change of user inside an entry is its own, not a setting of the next one.
    let acl = toc.entries.last().unwrap();
    assert_eq!(acl.pieces.len(), 3);
    assert_eq!(acl.state.get(Setting::SessionAuthorization), None);
}

#[test]
fn spans_cover_the_file_without_gap() {
    let toc = Toc::scan(DUMP.as_bytes()).unwrap();
    let mut text = toc.head.unwrap().of(DUMP.as_bytes()).to_vec();
    for entry in &toc.entries {
        text.extend_from_slice(&DUMP.as_bytes()[entry.preamble_start..entry.span.end]);
    }
    text.extend_from_slice(&DUMP.as_bytes()[toc.trailer.unwrap().start..]);
    assert_eq!(String::from_utf8(text).unwrap(), DUMP);
}

#[test]
fn a_file_that_is_cut_off_has_no_trailer() {
    let cut = DUMP.len() - 60;
    assert_eq!(Toc::scan(&DUMP.as_bytes()[..cut]).unwrap().trailer, None);
}

#[test]
fn verbose_headers_and_unknown_kinds_are_entries() {
    let text = "--\n-- TOC entry 5 (class 0 OID 0)\n-- Dependencies: 6\n-- Name: x; Type: NEW KIND; Schema: -; Owner: \n--\n\nselect 1;\n";
    let toc = Toc::scan(text.as_bytes()).unwrap();
    assert_eq!(toc.entries[0].kind, EntryKind::Other("NEW KIND".to_owned()));
    assert_eq!(toc.entries[0].schema, None);
}

#[test]
fn a_schema_whose_name_is_the_mark_for_none_is_told_from_none() {
    let entries = [
        // What is said, the header, whether it lies in "-": behind SET search_path = "-", and under none with names in full.
        ("CREATE SCHEMA \"-\";", "-; Type: SCHEMA", false),
        ("CREATE TABLE @t (a integer);", "t; Type: TABLE", true),
        (
            "CREATE FUNCTION @f() RETURNS integer AS $$ SELECT 1 $$ LANGUAGE sql;",
            "f(); Type: FUNCTION",
            true,
        ),
        ("COPY @t (a) FROM stdin;\n1\n\\.", "t; Type: TABLE DATA", true),
        (
            "SELECT pg_catalog.setval('@t_seq', 7, true);",
            "t_seq; Type: SEQUENCE SET",
            true,
        ),
        ("GRANT SELECT(a) ON TABLE @t TO joe;", "t; Type: ACL", true),
        ("GRANT ALL ON SCHEMA \"-\" TO joe;", "-; Type: ACL", false),
        ("GRANT ALL ON FOREIGN SERVER \"-\" TO joe;", "-; Type: ACL", false),
        ("GRANT USAGE ON PROTOCOL \"-\" TO joe;", "-; Type: ACL", false),
        ("COMMENT ON TABLE @t IS 'x';", "TABLE t; Type: COMMENT", true),
        ("COMMENT ON SCHEMA \"-\" IS 'x';", "SCHEMA -; Type: COMMENT", false),
        ("COMMENT ON DATABASE \"-\" IS 'x';", "-; Type: COMMENT", false),
        (
            "ALTER DEFAULT PRIVILEGES FOR ROLE o IN SCHEMA \"-\" GRANT ALL ON TABLES TO joe;",
            "x; Type: DEFAULT ACL",
            true,
        ),
        (
            "ALTER DEFAULT PRIVILEGES FOR ROLE \"-\" GRANT ALL ON TABLES TO joe;",
            "x; Type: DEFAULT ACL",
            false,
        ),
        (
            "CREATE CAST (\"-\".c AS integer) WITHOUT FUNCTION;",
            "CAST (\"-\".c AS integer); Type: CAST",
            false,
        ),
        (
            "CREATE TRUSTED PROTOCOL p (readfunc = '@f');",
            "p; Type: PROTOCOL",
            false,
        ),
        ("CREATE INDEX i ON @t USING btree (a);", "i; Type: INDEX", true),
    ];
    for (path, schema) in [("SET search_path = \"-\", pg_catalog;\n\n", ""), ("", "\"-\".")] {
        for (statement, header, lies_in_it) in &entries {
            let statement = statement.replace('@', schema);
            let text = format!("{path}--\n-- Name: {header}; Schema: -; Owner: o\n--\n\n{statement}\n\n");
            let toc = Toc::scan(text.as_bytes()).unwrap();
            let expected = lies_in_it.then_some("-");
            assert_eq!(toc.entries[0].schema.as_deref(), expected, "{text}");
        }
    }
    // Nothing says that it is one: another schema leads the path.
    let text = "SET search_path = a, \"-\";\n\n--\n-- Name: t; Type: TABLE; Schema: -; Owner: o\n--\n\nCREATE TABLE t (a integer);\n\n";
    assert_eq!(Toc::scan(text.as_bytes()).unwrap().entries[0].schema, None);
}

#[test]
fn names_made_of_marks_are_read_and_a_line_made_of_them_costs_no_square() {
    let (name, schema, owner) = (
        "a; Type: B; Schema: c",
        "s; Owner: x; Type: D",
        "o; Schema: y; Owner: z",
    );
    let body = format!("CREATE TABLE \"{name}\" ();\n\nALTER TABLE \"{schema}\".\"{name}\" OWNER TO \"{owner}\";\n\n");
    let text = format!("--\n-- Name: {name}; Type: TABLE; Schema: {schema}; Owner: {owner}\n--\n\n{body}");
    let toc = Toc::scan(text.as_bytes()).unwrap();
    let entry = &toc.entries[0];
    assert_eq!(
        (&*entry.name, entry.schema.as_deref(), entry.owner.as_deref()),
        (name, Some(schema), Some(owner))
    );

    let line = format!("-- Name: {}", "; Type: A; Schema: s; Owner: o".repeat(10_000));
    assert!(header::readings(line.as_bytes()).len() <= 2_000);
}
