//! Clauses as Greenplum 5 prints them.

use crate::plan::translate::tests::{run, script, target};
use crate::plan::translate::{Origin, Part, Server, Translator};
use crate::words::dialect::{PgVersion, Product};

const ORIGINAL: Origin = Origin {
    by_originals: true,
    product: Product::Greenplum,
    base: PgVersion(80_323),
};

fn declared(columns: &str, clause: &str) -> (String, Translator) {
    let statement = format!("CREATE TABLE p (\n    {columns}\n)\nWITH (appendonly=true) DISTRIBUTED BY (id) {clause};");
    let mut translator = Translator::new(&ORIGINAL, target(Server::Postgres));
    let out = run(&mut translator, &script(&[("TABLE", "p", &statement)]), Part::PreData);
    (out, translator)
}

fn lines(columns: &str, clause: &str) -> String {
    let (out, translator) = declared(columns, clause);
    assert_eq!(translator.left_out(), [], "{clause}");
    let start = out.find(" PARTITION BY").unwrap();
    out[start + 1..].to_owned()
}

#[test]
fn ranges_and_lists_keep_their_names_and_bounds() {
    for (columns, clause, expected) in [
        (
            "id integer, d date",
            "PARTITION BY RANGE(d) \n (\n START ('2020-01-01'::date) END ('2020-02-01'::date) EVERY ('1 mon'::interval) WITH \
             (tablename='p_1_prt_1', appendonly=false ), \n PARTITION m3 START ('2020-02-01'::date) END ('2020-03-01'::date) WITH \
             (tablename='p_1_prt_m3', appendonly=true, orientation=column ) \n COLUMN id ENCODING (compresstype=zlib) \n COLUMN d \
             ENCODING (compresstype=zlib), \n DEFAULT PARTITION other  WITH (tablename='p_1_prt_other', appendonly=false )\n )",
            "PARTITION BY RANGE (d)\n\
             CREATE TABLE p_1_prt_1 PARTITION OF p FOR VALUES FROM ('2020-01-01'::date) TO ('2020-02-01'::date)\n\
             CREATE TABLE p_1_prt_m3 PARTITION OF p FOR VALUES FROM ('2020-02-01'::date) TO ('2020-03-01'::date)\n\
             CREATE TABLE p_1_prt_other PARTITION OF p DEFAULT",
        ),
        (
            "id integer, n integer",
            "PARTITION BY RANGE(n) (PARTITION a START (1) EXCLUSIVE END (10) INCLUSIVE WITH (tablename='p_1_prt_a'))",
            "PARTITION BY RANGE (n)\nCREATE TABLE p_1_prt_a PARTITION OF p FOR VALUES FROM ((1) + 1) TO ((10) + 1)",
        ),
        (
            "id integer, n bigint",
            "PARTITION BY RANGE(n) (PARTITION a  END (0::bigint) WITH (tablename='p_1_prt_a'), PARTITION c START (100::bigint) \
             WITH (tablename='p_1_prt_c'))",
            "PARTITION BY RANGE (n)\n\
             CREATE TABLE p_1_prt_a PARTITION OF p FOR VALUES FROM (MINVALUE) TO (0::bigint)\n\
             CREATE TABLE p_1_prt_c PARTITION OF p FOR VALUES FROM (100::bigint) TO (MAXVALUE)",
        ),
        (
            "id integer, a text",
            "PARTITION BY LIST(a) (PARTITION p1 VALUES(NULL, 'n') WITH (tablename='p_1_prt_p1'), PARTITION \"P \"\"2\"\"\" \
             VALUES('it''s', 'back\\slash') WITH (tablename='p_1_prt_P \"2\"'))",
            "PARTITION BY LIST (a)\n\
             CREATE TABLE p_1_prt_p1 PARTITION OF p FOR VALUES IN (NULL, 'n')\n\
             CREATE TABLE \"p_1_prt_P \"\"2\"\"\" PARTITION OF p FOR VALUES IN ('it''s', 'back\\slash')",
        ),
        (
            "id integer, r text, y integer",
            "PARTITION BY LIST(r)\n SUBPARTITION BY RANGE(y) \n (\n PARTITION eu VALUES('de', 'fr') WITH (tablename='p_1_prt_eu') \n \
             (\n SUBPARTITION y20 START (2020) END (2021) WITH (tablename='p_1_prt_eu_2_prt_y20'), \n DEFAULT SUBPARTITION yo  WITH \
             (tablename='p_1_prt_eu_2_prt_yo')\n )\n )",
            "PARTITION BY LIST (r)\n\
             CREATE TABLE p_1_prt_eu PARTITION OF p FOR VALUES IN ('de', 'fr') PARTITION BY RANGE (y)\n\
             CREATE TABLE p_1_prt_eu_2_prt_y20 PARTITION OF p_1_prt_eu FOR VALUES FROM (2020) TO (2021)\n\
             CREATE TABLE p_1_prt_eu_2_prt_yo PARTITION OF p_1_prt_eu DEFAULT",
        ),
    ] {
        assert_eq!(lines(columns, clause), expected);
    }
}

#[test]
fn a_bound_that_cannot_be_said_makes_tables_that_inherit() {
    let (out, translator) = declared(
        "id integer, n numeric",
        "PARTITION BY RANGE(n) (PARTITION a START (0::numeric) END (10::numeric) INCLUSIVE WITH (tablename='p_1_prt_a'), PARTITION b \
         START (10::numeric) EXCLUSIVE WITH (tablename='p_1_prt_b'))",
    );
    let made: Vec<&str> = out.lines().skip(3).collect();
    assert_eq!(
        made,
        [
            "CREATE TABLE p_1_prt_a (CHECK (n >= 0::numeric AND n <= 10::numeric)) INHERITS (p)",
            "CREATE TABLE p_1_prt_b (CHECK (n > 10::numeric)) INHERITS (p)",
        ]
    );
    let [item] = translator.left_out() else { panic!("{out}") };
    assert!(
        item.why[0].contains("the value behind 10::numeric of type numeric"),
        "{item:?}"
    );
    assert!(
        item.sql.contains("PARTITION BY RANGE"),
        "the statement of the set: {item:?}"
    );

    let (out, translator) = declared(
        "id integer, a integer, b text",
        "PARTITION BY LIST(a, b) (PARTITION p1 VALUES( (1, 'x'),  (2, 'y')) WITH (tablename='p_1_prt_p1'), DEFAULT PARTITION o  WITH \
         (tablename='p_1_prt_o'))",
    );
    assert!(
        out.contains("CREATE TABLE p_1_prt_p1 (CHECK ((a, b) IN ((1, 'x'),  (2, 'y')))) INHERITS (p)"),
        "{out}"
    );
    assert!(out.contains("CREATE TABLE p_1_prt_o () INHERITS (p)"), "{out}");
    assert_eq!(translator.left_out().len(), 1);
}

/// What MatrixDB 5 (Greenplum 7.0.0 build dev) refuses of the clauses of Greenplum 5.
#[test]
fn greenplum_7_gets_the_ends_that_it_cannot_find() {
    let on_7 = |statement: &str| {
        let mut translator = Translator::new(&ORIGINAL, target(Server::Greenplum7));
        let out = run(&mut translator, &script(&[("TABLE", "p", statement)]), Part::PreData);
        let losses: Vec<String> = translator.left_out().iter().map(|item| item.why.join(" ")).collect();
        (out, losses)
    };
    let table = |columns: &str, clause: &str| {
        format!("CREATE TABLE p (\n    {columns}\n) DISTRIBUTED BY (id) {clause};\n\n\nALTER TABLE s.p OWNER TO o;")
    };
    // What it knows stays byte for byte; what it does not is said.
    for (columns, clause, expected) in [
        (
            "id integer, d date",
            "PARTITION BY RANGE(d) (PARTITION a START ('2020-01-01'::date) EXCLUSIVE END ('2020-02-01'::date) INCLUSIVE WITH \
             (tablename='p_1_prt_a'))",
            None,
        ),
        (
            "id integer, v text",
            "PARTITION BY RANGE(v) (PARTITION a START ('a'::text) END ('m'::text) INCLUSIVE WITH (tablename='p_1_prt_a', \
             appendonly=true), PARTITION b START ('m'::text) EXCLUSIVE WITH (tablename='p_1_prt_b'))",
            Some(
                "PARTITION BY RANGE(v) (PARTITION a START ('a'::text) END (('m'::text) || chr(1)) WITH (tablename='p_1_prt_a', \
                 appendonly=true), PARTITION b START (('m'::text) || chr(1)) WITH (tablename='p_1_prt_b'))",
            ),
        ),
    ] {
        let statement = table(columns, clause);
        let (out, losses) = on_7(&statement);
        let expected = table(columns, expected.unwrap_or(clause));
        assert_eq!(out, expected.replace(";\n\n\n", "\n").trim_end_matches(';'));
        assert!(losses.is_empty(), "{losses:?}");
    }
    // What nobody can say becomes tables that inherit, stored as they were.
    let statement = table(
        "id integer, a integer, b text",
        "PARTITION BY LIST(a, b) (PARTITION p1 VALUES( (1, 'x')) WITH (tablename='p_1_prt_p1', appendonly=true, orientation=column))",
    ) + "\n\nALTER TABLE s.p SET SUBPARTITION TEMPLATE (SUBPARTITION x VALUES (1));";
    let (out, losses) = on_7(&statement);
    let made: Vec<&str> = out.lines().skip(2).collect();
    assert_eq!(
        made,
        [
            ") DISTRIBUTED BY (id)",
            "CREATE TABLE p_1_prt_p1 (CHECK ((a, b) IN ((1, 'x')))) INHERITS (p) WITH (appendonly=true, orientation=column)",
            "ALTER TABLE s.p OWNER TO o",
            "ALTER TABLE p_1_prt_p1 OWNER TO o",
        ]
    );
    assert!(
        losses[0].contains("this server has no lists over several columns"),
        "{losses:?}"
    );
}

#[test]
fn what_is_done_to_a_table_is_done_to_its_partitions() {
    let pre = script(&[(
        "TABLE",
        "pm",
        "CREATE TABLE pm (\n    id integer,\n    d date\n) DISTRIBUTED BY (id) PARTITION BY RANGE(d) \n (\n PARTITION p1 START \
         ('2020-01-01'::date) END ('2020-02-01'::date) WITH (tablename='pm_1_prt_p1', appendonly=false ), \n PARTITION p2 START \
         ('2020-02-01'::date) END ('2020-03-01'::date) WITH (tablename='pm_1_prt_p2', appendonly=false )\n );\n\nALTER TABLE \
         pm_1_prt_p2 SET SCHEMA x2;\n\n\nALTER TABLE s.pm OWNER TO \"App Owner\";",
    )]);
    let post = script(&[
        (
            "CONSTRAINT",
            "pm_pkey",
            "ALTER TABLE ONLY pm\n    ADD CONSTRAINT pm_pkey PRIMARY KEY (id, d);",
        ),
        (
            "CONSTRAINT",
            "t_pkey",
            "ALTER TABLE ONLY t\n    ADD CONSTRAINT t_pkey PRIMARY KEY (id);",
        ),
    ]);
    let mut translator = Translator::new(&ORIGINAL, target(Server::Postgres));
    let out = run(&mut translator, &pre, Part::PreData);
    let owners: Vec<&str> = out.lines().filter(|line| line.contains("OWNER")).collect();
    assert_eq!(
        owners,
        [
            "ALTER TABLE s.pm OWNER TO \"App Owner\"",
            "ALTER TABLE pm_1_prt_p1 OWNER TO \"App Owner\"",
            "ALTER TABLE x2.pm_1_prt_p2 OWNER TO \"App Owner\"",
        ]
    );
    let whole = "ALTER TABLE pm\n    ADD CONSTRAINT pm_pkey PRIMARY KEY (id, d)";
    let only = "ALTER TABLE ONLY t\n    ADD CONSTRAINT t_pkey PRIMARY KEY (id)";
    assert_eq!(run(&mut translator, &post, Part::PostData), format!("{whole}\n{only}"));
    // Greenplum 7 reads the old clause, but wants the whole table too.
    let mut seven = Translator::new(&ORIGINAL, target(Server::Greenplum7));
    assert!(run(&mut seven, &pre, Part::PreData).contains("WITH (tablename='pm_1_prt_p1', appendonly=false )"));
    assert_eq!(run(&mut seven, &post, Part::PostData), format!("{whole}\n{only}"));
}

#[test]
fn the_value_behind_a_value_depends_on_its_type() {
    for (name, expected) in [
        ("date", Some("('x') + 1")),
        ("timestamp without time zone", Some("('x') + '1 microsecond'::interval")),
        ("timestamp(3) with time zone", None),
        ("numeric(10,2)", Some("('x') + 0.01")),
        ("numeric(10,0)", Some("('x') + 1")),
        ("numeric", None),
        ("double precision", None),
        ("text", Some("('x') || chr(1)")),
        ("character varying(10)", None),
    ] {
        let next = super::bounds::next(b"'x'", name).map(|next| String::from_utf8(next).unwrap());
        assert_eq!(next.as_deref(), expected, "{name}");
    }
}
