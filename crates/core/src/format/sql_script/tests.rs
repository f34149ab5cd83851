use super::*;

fn texts(script: &str) -> Vec<String> {
    let script = Script::parse(script.as_bytes()).unwrap();
    script
        .items()
        .map(|item| match item {
            Item::Statement { text, .. } => String::from_utf8_lossy(text).into_owned(),
            Item::CopyBlock {
                statement,
                data,
                rows,
                complete,
                ..
            } => format!(
                "{} => {rows} {complete} {:?}",
                String::from_utf8_lossy(statement),
                String::from_utf8_lossy(data)
            ),
            Item::MetaCommand { text, .. } => format!("meta {}", String::from_utf8_lossy(text)),
        })
        .collect()
}

#[test]
fn statements_end_at_semicolons_that_are_not_quoted_nested_or_commented() {
    let cases: &[(&str, &[&str])] = &[
        ("a;b ; ;c", &["a", "b", "c"]),
        (
            "select ';', \"x;\"\"y\", $$;$$, $t$ $$;$$ $t$;z;",
            &["select ';', \"x;\"\"y\", $$;$$, $t$ $$;$$ $t$", "z"],
        ),
        ("-- a;b\n/* ; /* ; */ ; */ select 1 -- ;\n;x;", &["select 1 -- ;", "x"]),
        ("select E'\\';', E'a''\\';' ; x;", &["select E'\\';', E'a''\\';'", "x"]),
        ("select '\\'; x;", &["select '\\'", "x"]),
        (
            "SET standard_conforming_strings = off; select '\\';'; x;",
            &["SET standard_conforming_strings = off", "select '\\';'", "x"],
        ),
        (
            "CREATE RULE r AS ON INSERT TO t DO (a; b;); x;",
            &["CREATE RULE r AS ON INSERT TO t DO (a; b;)", "x"],
        ),
        ("select a$b$c; select $1;", &["select a$b$c", "select $1"]),
        ("select 1 - 2 / 3; x", &["select 1 - 2 / 3", "x"]),
        (
            "CREATE FUNCTION f(begin int) RETURNS int\n BEGIN ATOMIC\n SELECT CASE WHEN t.begin THEN 1 END; SELECT 2;\nEND; x;",
            &[
                "CREATE FUNCTION f(begin int) RETURNS int\n BEGIN ATOMIC\n SELECT CASE WHEN t.begin THEN 1 END; SELECT 2;\nEND",
                "x",
            ],
        ),
        ("BEGIN; END;", &["BEGIN", "END"]),
        ("a;\n\\connect x\nb;", &["a", "meta \\connect x", "b"]),
        ("drop table\n\\! rm\nx;", &["drop table", "meta \\! rm", "x"]),
        ("select '\n\\! rm\n';", &["select '\n\\! rm\n'"]),
    ];
    for (script, expected) in cases {
        assert_eq!(&texts(script), expected, "{script}");
    }
}

#[test]
fn copy_blocks_are_taken_whole() {
    assert_eq!(
        texts(
            "COPY \"from\" (a, b) FROM stdin;\n1;\t'\n--\n\\.\n\nCOPY t  FROM STDIN;\n\\.\nCOPY u FROM stdin;\n\\.x\n"
        ),
        [
            "COPY \"from\" (a, b) FROM stdin => 2 true \"1;\\t'\\n--\\n\"",
            "COPY t  FROM STDIN => 0 true \"\"",
            "COPY u FROM stdin => 1 false \"\\\\.x\\n\"",
        ]
    );
    assert_eq!(texts("COPY t TO stdout; COPY t FROM '/f'; x;").len(), 3);
}

#[test]
fn what_is_never_closed_is_named_with_its_line() {
    for (text, what) in [
        ("a;\nb 'c", Unclosed::QuotedText),
        ("a;\nb \"c", Unclosed::QuotedName),
        ("a;\nb $x$ c $$", Unclosed::DollarQuote),
        ("a;\n/* /* */", Unclosed::Comment),
    ] {
        let error = Script::parse(text.as_bytes()).unwrap_err();
        assert_eq!((error.what, error.line), (what, 2));
    }
}

#[test]
fn bytes_that_are_no_text_are_kept() {
    let script = Script::parse(b"select '\xff\xfe;\x80'; x;").unwrap();
    assert_eq!(script.items().count(), 2);
}

proptest::proptest! {
    /// Any quoting of any text stays one statement.
    #[test]
    fn quoted_text_never_splits(inner in "[ -~\n]{0,40}") {
        let script = format!(
            "select {}, {}, $q_q$ {} $q_q$;\nx;",
            crate::words::names::quote_literal(&inner),
            crate::words::names::quote_ident(&inner),
            inner.replace("$q_q$", ""),
        );
        proptest::prop_assert_eq!(texts(&script).len(), 2);
    }
}
