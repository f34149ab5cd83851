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
