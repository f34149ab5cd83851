use super::*;

/// `(name, type, schema, statement)`
type Sample<'a> = (&'a str, &'a str, &'a str, &'a str);

fn kept_of(samples: &[Sample], filter: &DefinitionFilter) -> Vec<bool> {
    let mut dump = String::from("--\n-- PostgreSQL database dump\n--\n\nSET client_encoding = 'UTF8';\n\n");
    for (name, kind, schema, statement) in samples {
        dump.push_str(&format!(
            "--\n-- Name: {name}; Type: {kind}; Schema: {schema}; Owner: o\n--\n\n{statement}\n\n\n"
        ));
    }
    dump.push_str("--\n-- PostgreSQL database dump complete\n--\n\n");
    kept(&Script::parse(dump.as_bytes()).unwrap(), filter)
}

fn filter(others: bool, objects: &[(ObjectClass, &str, &str, bool)]) -> DefinitionFilter {
    DefinitionFilter {
        objects: objects
            .iter()
            .map(|(class, schema, name, kept)| (ObjectName::new(*class, *schema, *name), *kept))
            .collect(),
        partitions: Default::default(),
        others,
        languages: others,
        whole_schemas: Default::default(),
    }
}

#[test]
fn every_way_an_entry_names_its_object_is_understood() {
    use ObjectClass as C;
    let cases: &[(Sample, C, &str, &str)] = &[
        (
            (
                "p_1_prt_a_external_partition__",
                "EXTERNAL TABLE",
                "s",
                "CREATE EXTERNAL TABLE x ();",
            ),
            C::Relation,
            "s",
            "p_1_prt_a",
        ),
        (("t", "TABLE", "s", "CREATE TABLE t ();"), C::Relation, "s", "t"),
        (
            (
                "t c",
                "DEFAULT",
                "s",
                "ALTER TABLE ONLY s.t ALTER COLUMN c SET DEFAULT 1;",
            ),
            C::Relation,
            "s",
            "t",
        ),
        (
            ("c", "DEFAULT", "s", "ALTER TABLE t ALTER COLUMN c SET DEFAULT 1;"),
            C::Relation,
            "s",
            "t",
        ),
        (
            (
                "t_pkey",
                "CONSTRAINT",
                "s",
                "ALTER TABLE ONLY t\n    ADD CONSTRAINT t_pkey PRIMARY KEY (id);",
            ),
            C::Relation,
            "s",
            "t",
        ),
        (
            (
                "T x",
                "CONSTRAINT",
                "s",
                "ALTER TABLE ONLY s.\"T \"\"\"\n    ADD CONSTRAINT x UNIQUE (id);",
            ),
            C::Relation,
            "s",
            "T \"",
        ),
        (
            (
                "d c",
                "CHECK CONSTRAINT",
                "s",
                "ALTER DOMAIN s.d ADD CONSTRAINT c CHECK (true) NOT VALID;",
            ),
            C::Type,
            "s",
            "d",
        ),
        (
            ("t_i", "INDEX", "s", "CREATE INDEX t_i ON s.t USING btree (id);"),
            C::Relation,
            "s",
            "t_i",
        ),
        (
            (
                "t t_p",
                "TABLE ATTACH",
                "s",
                "ALTER TABLE ONLY s.r ATTACH PARTITION s.x DEFAULT;",
            ),
            C::Relation,
            "s",
            "t t_p",
        ),
        (
            (
                "t tr",
                "TRIGGER",
                "s",
                "CREATE TRIGGER \"a on\" BEFORE UPDATE OF \"on\" ON s.t FOR EACH ROW EXECUTE FUNCTION s.f();",
            ),
            C::Relation,
            "s",
            "t",
        ),
        (
            (
                "tr",
                "TRIGGER",
                "s",
                "CREATE CONSTRAINT TRIGGER tr AFTER INSERT ON t FOR EACH ROW EXECUTE PROCEDURE f();",
            ),
            C::Relation,
            "s",
            "t",
        ),
        (
            ("r", "RULE", "s", "CREATE RULE r AS ON UPDATE TO t DO ALSO NOTHING;"),
            C::Relation,
            "s",
            "t",
        ),
        (
            ("v _RETURN", "RULE", "s", "CREATE OR REPLACE VIEW s.v AS\n SELECT 1;"),
            C::Relation,
            "s",
            "v",
        ),
        (
            (
                "_RETURN",
                "RULE",
                "s",
                "CREATE RULE \"_RETURN\" AS ON SELECT TO v DO INSTEAD SELECT 1;",
            ),
            C::Relation,
            "s",
            "v",
        ),
        (
            ("t p", "POLICY", "s", "CREATE POLICY p ON s.t USING (true);"),
            C::Relation,
            "s",
            "t",
        ),
        (
            ("t", "ROW SECURITY", "s", "ALTER TABLE s.t ENABLE ROW LEVEL SECURITY;"),
            C::Relation,
            "s",
            "t",
        ),
        (("e", "TYPE", "s", "CREATE TYPE e AS ENUM ();"), C::Type, "s", "e"),
        (
            (
                "f(integer, c)",
                "FUNCTION",
                "s",
                "CREATE FUNCTION f(integer, c) RETURNS integer;",
            ),
            C::Routine,
            "s",
            "f(integer, s.c)",
        ),
        (
            ("f(o.c)", "FUNCTION", "s", "CREATE FUNCTION s.f(o.c) RETURNS integer;"),
            C::Routine,
            "s",
            "f(o.c)",
        ),
        (
            ("a(*)", "AGGREGATE", "s", "CREATE AGGREGATE a(*) ();"),
            C::Routine,
            "s",
            "a(*)",
        ),
        (
            ("odd(", "FUNCTION", "s", "CREATE FUNCTION \"odd(\" ...;"),
            C::Routine,
            "s",
            "odd(",
        ),
        (
            ("CAST (a AS b)", "CAST", "pg_catalog", "CREATE CAST (a AS b);"),
            C::Cast,
            "",
            "CAST (a AS b)",
        ),
        (("s", "SCHEMA", "-", "CREATE SCHEMA s;"), C::Schema, "", "s"),
        (
            ("SCHEMA public", "COMMENT", "-", "COMMENT ON SCHEMA public IS 'x';"),
            C::Schema,
            "",
            "public",
        ),
        (
            (
                "plpgsql",
                "PROCEDURAL LANGUAGE",
                "-",
                "CREATE PROCEDURAL LANGUAGE plpgsql;",
            ),
            C::Language,
            "",
            "plpgsql",
        ),
        (
            (
                "t",
                "ACL",
                "s",
                "REVOKE ALL ON TABLE t FROM PUBLIC;\nGRANT SELECT ON TABLE t TO r;",
            ),
            C::Relation,
            "s",
            "t",
        ),
        (
            (
                "COLUMN t.c",
                "ACL",
                "s",
                "GRANT SELECT(c),UPDATE(\"on\") ON TABLE s.t TO r;",
            ),
            C::Relation,
            "s",
            "t",
        ),
        (
            ("f(c)", "ACL", "s", "REVOKE ALL ON FUNCTION f(c) FROM PUBLIC;"),
            C::Routine,
            "s",
            "f(s.c)",
        ),
        (
            ("FUNCTION f(s.c)", "ACL", "s", "GRANT ALL ON FUNCTION s.f(s.c) TO r;"),
            C::Routine,
            "s",
            "f(s.c)",
        ),
        (
            ("SCHEMA s", "ACL", "-", "GRANT USAGE ON SCHEMA s TO r;"),
            C::Schema,
            "",
            "s",
        ),
        (
            ("s", "ACL", "-", "REVOKE ALL ON SCHEMA s FROM PUBLIC;"),
            C::Schema,
            "",
            "s",
        ),
        (
            ("SEQUENCE q", "ACL", "s", "GRANT USAGE ON SEQUENCE s.q TO r;"),
            C::Relation,
            "s",
            "q",
        ),
    ];
    for (sample, class, schema, name) in cases {
        let known = filter(
            false,
            &[(*class, schema, name, true), (*class, schema, "another", false)],
        );
        assert_eq!(kept_of(&[*sample], &known), [true], "{sample:?}");
        let unknown = filter(false, &[(*class, schema, "another", true)]);
        assert_eq!(kept_of(&[*sample], &unknown), [false], "{sample:?}");
        let excluded = filter(true, &[(*class, schema, name, false)]);
        assert_eq!(kept_of(&[*sample], &excluded), [false], "{sample:?}");
        assert_eq!(kept_of(&[*sample], &filter(true, &[])), [true], "{sample:?}");
    }
}

#[test]
fn comments_follow_the_object_in_front_of_them() {
    let samples = [
        ("a", "TABLE", "s", "CREATE TABLE s.a ();"),
        ("COLUMN a.c", "COMMENT", "s", "COMMENT ON COLUMN s.a.c IS 'x';"),
        ("q", "SEQUENCE", "s", "CREATE SEQUENCE s.q;"),
        ("q", "SEQUENCE OWNED BY", "s", "ALTER SEQUENCE s.q OWNED BY s.b.id;"),
        ("SEQUENCE q", "COMMENT", "s", "COMMENT ON SEQUENCE s.q IS 'x';"),
        ("b", "TABLE", "s", "CREATE TABLE s.b ();"),
        ("TABLE b", "COMMENT", "s", "COMMENT ON TABLE s.b IS 'x';"),
    ];
    let filter = filter(
        false,
        &[
            (ObjectClass::Relation, "s", "a", true),
            (ObjectClass::Relation, "s", "q", true),
            (ObjectClass::SequenceOwner, "s", "q", false),
            (ObjectClass::Relation, "s", "b", false),
        ],
    );
    assert_eq!(
        kept_of(&samples, &filter),
        [true, true, true, false, true, false, false]
    );
}

#[test]
fn a_foreign_key_is_looked_up_by_its_own_name() {
    let sample =
        |only: &str| format!("ALTER TABLE {only}s.t\n    ADD CONSTRAINT \"F k\" FOREIGN KEY (a) REFERENCES s.o(a);");
    for (kept, only) in [(true, "ONLY "), (false, "ONLY "), (true, ""), (false, "")] {
        let filter = filter(
            false,
            &[
                (ObjectClass::Relation, "s", "t", true),
                (ObjectClass::ForeignKey, "s", "t F k", kept),
            ],
        );
        assert_eq!(
            kept_of(&[("t F k", "FK CONSTRAINT", "s", &sample(only))], &filter),
            [kept]
        );
    }
}

#[test]
fn default_privileges_go_with_whole_schemas_only() {
    let samples = [
        (
            "DEFAULT PRIVILEGES FOR TABLES",
            "DEFAULT ACL",
            "s",
            "ALTER DEFAULT PRIVILEGES IN SCHEMA s GRANT SELECT ON TABLES TO r;",
        ),
        (
            "DEFAULT PRIVILEGES FOR TABLES",
            "DEFAULT ACL",
            "-",
            "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO r;",
        ),
    ];
    let schema = [(ObjectClass::Schema, "", "s", true)];
    assert_eq!(kept_of(&samples, &filter(false, &schema)), [false, false]);
    let whole = DefinitionFilter {
        whole_schemas: ["s".to_owned()].into(),
        ..filter(false, &schema)
    };
    assert_eq!(kept_of(&samples, &whole), [true, false]);
    assert_eq!(
        kept_of(&samples, &filter(true, &[(ObjectClass::Schema, "", "s", false)])),
        [false, true]
    );
}

#[test]
fn a_function_that_cannot_be_told_from_its_namesakes_is_kept_with_them() {
    let sample = (
        "f(something strange)",
        "FUNCTION",
        "s",
        "CREATE FUNCTION f(x) RETURNS integer;",
    );
    let overloads = [
        (ObjectClass::Routine, "s", "f(integer)", false),
        (ObjectClass::Routine, "s", "f(text)", true),
    ];
    assert_eq!(kept_of(&[sample], &filter(false, &overloads)), [true]);
    assert_eq!(kept_of(&[sample], &filter(true, &overloads[..1])), [false]);
}

#[test]
fn an_external_partition_of_greenplum_6_is_found_by_its_number() {
    let sample = (
        "_external_partition_parrelid_5_relid_7",
        "EXTERNAL TABLE",
        "s",
        "CREATE EXTERNAL TABLE x ();",
    );
    for kept in [true, false] {
        let filter = DefinitionFilter {
            partitions: [(Oid(7), kept)].into(),
            ..filter(!kept, &[])
        };
        assert_eq!(kept_of(&[sample], &filter), [kept]);
    }
}
