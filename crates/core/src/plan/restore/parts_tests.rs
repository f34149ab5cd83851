use super::*;
use crate::plan::filter::NameList;
use crate::plan::restore::choice::choose;
use crate::words::present::PresentRelation;

fn entry(kind: &str, schema: &str, name: &str, body: &str) -> String {
    format!("--\n-- Name: {name}; Type: {kind}; Schema: {schema}; Owner: o\n--\n\n{body};\n\n\n")
}

fn pre_data() -> String {
    [
        "SET search_path = public, pg_catalog;\n\n".to_owned(),
        entry("SCHEMA", "-", "s", "CREATE SCHEMA s"),
        entry("ACL", "-", "s", "GRANT USAGE ON SCHEMA s TO r"),
        entry("TYPE", "public", "mood", "CREATE TYPE mood AS (a weather)"),
        entry("TYPE", "public", "weather", "CREATE TYPE weather AS ENUM ('x')"),
        entry("DOMAIN", "public", "unused", "CREATE DOMAIN unused AS integer"),
        entry(
            "FUNCTION",
            "public",
            "f(integer)",
            "CREATE FUNCTION f(i integer) RETURNS mood LANGUAGE sql AS $$ $$",
        ),
        entry(
            "FUNCTION",
            "public",
            "g()",
            "CREATE FUNCTION g() RETURNS trigger LANGUAGE sql AS $$ $$",
        ),
        "SET search_path = s, pg_catalog;\n\n".to_owned(),
        entry(
            "TABLE",
            "s",
            "t",
            "CREATE TABLE t (id integer, m integer DEFAULT (public.f(1)))",
        ),
        entry("COMMENT", "s", "TABLE t", "COMMENT ON TABLE t IS 'x'"),
        entry("TABLE", "s", "other", "CREATE TABLE other (id integer) INHERITS (t)"),
        entry("COMMENT", "s", "TABLE other", "COMMENT ON TABLE other IS 'x'"),
        entry("SEQUENCE", "s", "t_id_seq", "CREATE SEQUENCE t_id_seq"),
        entry(
            "SEQUENCE OWNED BY",
            "s",
            "t_id_seq",
            "ALTER SEQUENCE t_id_seq OWNED BY t.id",
        ),
        entry(
            "SEQUENCE SET",
            "s",
            "t_id_seq",
            "SELECT pg_catalog.setval('t_id_seq', 7, true)",
        ),
        entry("VIEW", "s", "v", "CREATE VIEW v AS SELECT id FROM t"),
        entry(
            "DEFAULT",
            "s",
            "id",
            "ALTER TABLE t ALTER COLUMN id SET DEFAULT nextval('t_id_seq'::regclass)",
        ),
        entry("ACL", "s", "t", "GRANT SELECT ON TABLE t TO r"),
        entry("ACL", "s", "other", "GRANT SELECT ON TABLE other TO r"),
    ]
    .concat()
}

fn post_data() -> String {
    [
        "SET search_path = s, pg_catalog;\n\n".to_owned(),
        entry(
            "CONSTRAINT",
            "s",
            "t_pkey",
            "ALTER TABLE ONLY t ADD CONSTRAINT t_pkey PRIMARY KEY (id)",
        ),
        entry("INDEX", "s", "i", "CREATE INDEX i ON t USING btree (id)"),
        entry("INDEX", "s", "j", "CREATE INDEX j ON other USING btree (\"Odd.Col\")"),
        entry("COMMENT", "s", "INDEX i", "COMMENT ON INDEX j IS 'x'"),
        entry(
            "TRIGGER",
            "s",
            "tr",
            "CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW EXECUTE PROCEDURE public.g()",
        ),
        entry(
            "FK CONSTRAINT",
            "s",
            "t_fk",
            "ALTER TABLE ONLY t ADD CONSTRAINT t_fk FOREIGN KEY (id) REFERENCES other(id)",
        ),
    ]
    .concat()
}

/// The kinds and names of what is run, and the notes.
fn parts(tables: &[&str], schemas: &[&str], into: &Into<'_>) -> (String, Vec<String>) {
    let (pre, post) = (pre_data(), post_data());
    let files = Files {
        pre_data: &Script::parse(pre.as_bytes()).unwrap(),
        post_data: &Script::parse(post.as_bytes()).unwrap(),
    };
    let inventory = Inventory::read(files.pre_data);
    let list = |names: &[&str]| NameList::typed(names.iter().copied());
    let choice = choose(&list(tables), &list(schemas), &inventory).unwrap();
    let parts = choose_parts(files, &inventory, &choice, *into);
    let shown = |script: &Script, kept: &[bool]| {
        let kept = script.entries().iter().zip(kept).filter(|(_, kept)| **kept);
        kept.map(|(entry, _)| format!("{} {}", entry.kind, entry.name))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let text = format!(
        "{} | {}",
        shown(files.pre_data, &parts.pre_data),
        shown(files.post_data, &parts.post_data)
    );
    (text, parts.notes)
}

fn into(present: &Present) -> Into<'_> {
    Into {
        present,
        schema: None,
        truncates: false,
        fresh: false,
    }
}

#[test]
fn a_table_comes_whole_and_with_what_its_definitions_name() {
    let (kept, notes) = parts(&["s.t"], &[], &into(&Present::default()));
    assert_eq!(
        kept,
        "SCHEMA s, ACL s, TYPE mood, TYPE weather, FUNCTION f(integer), FUNCTION g(), TABLE t, COMMENT TABLE t, SEQUENCE \
         t_id_seq, SEQUENCE OWNED BY t_id_seq, SEQUENCE SET t_id_seq, DEFAULT id, ACL t | CONSTRAINT t_pkey, INDEX i, \
         TRIGGER tr"
    );
    assert_eq!(
        notes,
        [
            "Type public.mood is created: it is needed by what is restored, and the database has none",
            "Type public.weather is created: it is needed by what is restored, and the database has none",
            "Function public.f(integer) is created: it is needed by what is restored, and the database has none",
            "Function public.g() is created: it is needed by what is restored, and the database has none",
            "Foreign key t_fk of s.t is left out: table s.other, which it refers to, is not in the database",
        ]
    );
}

#[test]
fn an_inherited_table_comes_without_rows() {
    let (kept, notes) = parts(&["s.other"], &[], &into(&Present::default()));
    assert!(
        kept.contains("TABLE t, COMMENT TABLE t, TABLE other, COMMENT TABLE other"),
        "{kept}"
    );
    assert!(notes.contains(
        &"Table s.t is created, without rows: it is needed by what is restored, and the database has none".to_owned()
    ));
}

#[test]
fn what_is_there_stays_and_what_it_lacks_comes() {
    let table = PresentRelation {
        is_table: true,
        external: false,
        partitioned: false,
    };
    let name = |name: &str| QualifiedName::new("s", name);
    let sequence = PresentRelation {
        is_table: false,
        ..table
    };
    let mut present = Present {
        schemas: ["s".to_owned()].into(),
        relations: [(name("t"), table), (name("other"), table), (name("t_id_seq"), sequence)].into(),
        routines: [(QualifiedName::new("public", "g"), 0)].into(),
        attachments: [(name("t"), "t_pkey".to_owned())].into(),
        sequence_values: [(name("t_id_seq"), 9)].into(),
        ..Present::default()
    };
    let (kept, notes) = parts(&["s.t"], &[], &into(&present));
    assert_eq!(kept, " | INDEX i, TRIGGER tr, FK CONSTRAINT t_fk");
    assert_eq!(
        notes,
        ["Table s.t exists: its definition stays as it is, and the rows of the set are added to those it has"]
    );
    let truncates = Into {
        truncates: true,
        ..into(&present)
    };
    let (kept, _) = parts(&["s.t"], &[], &truncates);
    assert_eq!(kept, "SEQUENCE SET t_id_seq | INDEX i, TRIGGER tr, FK CONSTRAINT t_fk");
    present.sequence_values.insert(name("t_id_seq"), 3);
    let (kept, _) = parts(&["s.t"], &[], &into(&present));
    assert_eq!(kept, "SEQUENCE SET t_id_seq | INDEX i, TRIGGER tr, FK CONSTRAINT t_fk");
}

#[test]
fn a_schema_comes_with_everything_in_it() {
    let (kept, _) = parts(&[], &["s"], &into(&Present::default()));
    assert!(
        kept.starts_with("SCHEMA s, ACL s, TYPE mood, TYPE weather, FUNCTION f(integer), FUNCTION g(), TABLE t"),
        "{kept}"
    );
    assert!(
        kept.contains("VIEW v, DEFAULT id, ACL t, ACL other | CONSTRAINT t_pkey, INDEX i, INDEX j, COMMENT INDEX i"),
        "{kept}"
    );
    assert!(kept.ends_with("TRIGGER tr, FK CONSTRAINT t_fk"));
    let (kept, _) = parts(&[], &["public"], &into(&Present::default()));
    assert_eq!(
        kept,
        "TYPE mood, TYPE weather, DOMAIN unused, FUNCTION f(integer), FUNCTION g() | "
    );
}

#[test]
fn tables_for_another_schema_leave_the_rest_where_it_is() {
    let mut present = Present::default();
    present.schemas.insert("new".to_owned());
    let moved = Into {
        schema: Some("new"),
        ..into(&present)
    };
    let (kept, _) = parts(&["s.t"], &[], &moved);
    assert!(
        kept.starts_with("TYPE mood, TYPE weather, FUNCTION f(integer), FUNCTION g(), TABLE t"),
        "{kept}"
    );
    let (pre, post) = (pre_data(), post_data());
    let files = Files {
        pre_data: &Script::parse(pre.as_bytes()).unwrap(),
        post_data: &Script::parse(post.as_bytes()).unwrap(),
    };
    let inventory = Inventory::read(files.pre_data);
    let choice = choose(&NameList::typed(["s.t"]), &NameList::default(), &inventory).unwrap();
    let parts = choose_parts(files, &inventory, &choice, moved);
    let names: Vec<String> = parts.moved.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["s.i", "s.t", "s.t_id_seq"]);
}

#[test]
fn arguments_are_counted() {
    for (signature, count) in [("f()", 0), ("f(integer)", 1), ("f(numeric(1,2), text)", 2), ("f(*)", 0)] {
        assert_eq!(super::statements::bare_routine(signature), ("f", count));
    }
}
