use super::*;

/// `(oid, schema, name, parent)`; oids from 900 on are views.
fn relations() -> Vec<NamedRelation> {
    [
        (1, "public", "t", None),
        (2, "public", "MixedCase", None),
        (3, "Odd Schema", "we\"ird. näme", None),
        (4, "a", "b.c", None),
        (5, "a.b", "c", None),
        (6, "public", " blanks ", None),
        (7, "public", "blanks", None),
        (8, "public", "star*", None),
        (10, "sales", "orders", None),
        (11, "sales", "orders_1_prt_m1", Some(10)),
        (12, "sales", "orders_1_prt_m2", Some(10)),
        (13, "sales", "orders_1_prt_m2_2_prt_eu", Some(12)),
        (14, "archive", "orders_1_prt_m2_2_prt_us", Some(12)),
        (900, "public", "v", None),
    ]
    .into_iter()
    .map(|(oid, schema, name, parent)| NamedRelation {
        oid: Oid(oid),
        name: QualifiedName::new(schema, name),
        kind: if oid < 900 {
            RelationKind::Table
        } else {
            RelationKind::View
        },
        parent: parent.map(Oid),
    })
    .collect()
}

fn schemas() -> Vec<String> {
    ["public", "Odd Schema", "a", "a.b", "sales", "archive", "empty"]
        .map(str::to_owned)
        .to_vec()
}

fn chosen(filter: &TableFilter) -> Result<Vec<u32>, String> {
    let selection = select(filter, "demo", &relations(), &schemas()).map_err(|refusal| {
        let hint = refusal.hint.unwrap_or_default();
        format!("{} | {hint}", refusal.text)
    })?;
    Ok(selection.tables.unwrap().keys().map(|oid| oid.0).collect())
}

fn list(lines: &str) -> NameList {
    NameList::of_file(lines, "/l".into())
}

#[test]
fn tables_are_found_as_typed_then_as_sql_then_without_blanks() {
    for (lines, expected) in [
        ("public.t", &[1][..]),
        ("public.MixedCase", &[2]),
        ("Odd Schema.we\"ird. näme", &[3]),
        ("\"Odd Schema\".\"we\"\"ird. näme\"", &[3]),
        ("public.\"MixedCase\"", &[2]),
        ("\"a\".\"b.c\"", &[4]),
        ("\"a.b\".\"c\"", &[5]),
        ("public. blanks ", &[6]),
        ("public.blanks", &[7]),
        ("public.blanks \t", &[7]),
        ("  public.t", &[1]),
        ("public.star*", &[8]),
        ("public.t\r\npublic.MixedCase\r\n", &[1, 2]),
        ("\u{feff}public.t\n\n  \n\npublic.t\n", &[1]),
        ("sales.orders", &[10, 11, 12, 13, 14]),
        ("sales.orders_1_prt_m2", &[12, 13, 14]),
        ("sales.orders_1_prt_m1", &[11]),
        ("pg_temp_7.x\npublic.t", &[1]),
    ] {
        assert_eq!(
            chosen(&TableFilter::IncludeTables(list(lines))),
            Ok(expected.to_vec()),
            "{lines}"
        );
    }
}

#[test]
fn a_table_that_is_not_there_is_an_error_with_what_may_be_meant() {
    let plain = "names are those that the server has, as schema.table, without quotes and in their upper and lower case; \
         wildcards are not understood";
    for (lines, expected) in [
        ("public.x", format!("Table public.x does not exist in demo database | {plain}")),
        ("public.sta*", format!("Table public.sta* does not exist in demo database | {plain}")),
        (
            "public.mixedcase",
            "Table public.mixedcase does not exist in demo database | did you mean public.MixedCase?".into(),
        ),
        (
            "public.orders\npublic.t\nx.y",
            "Table public.orders does not exist in demo database | did you mean sales.orders?; 1 more of the names are \
             unknown: x.y"
                .into(),
        ),
        ("t", "No schema name supplied for table t | did you mean public.t?".into()),
        (
            "a.b.c",
            "Table a.b.c does not exist in demo database | this may be \"a\".\"b.c\" or \"a.b\".\"c\": write it in that way"
                .into(),
        ),
        (
            "public.v",
            "Table public.v does not exist in demo database | that is a view: only tables are dumped by name, and what \
             else a schema has is dumped with -s"
                .into(),
        ),
        (
            "\n\r\n ",
            "There is no name of a table to dump in file \"/l\" | a list without names does not mean the whole database: \
             leave the option out to dump all of it"
                .into(),
        ),
        (
            "pg_temp_1.x",
            "There is no name of a table to dump in file \"/l\" | a list without names does not mean the whole database: \
             leave the option out to dump all of it"
                .into(),
        ),
    ] {
        assert_eq!(chosen(&TableFilter::IncludeTables(list(lines))), Err(expected), "{lines:?}");
    }
    assert_eq!(
        chosen(&TableFilter::IncludeTables(NameList::typed([""])))
            .unwrap_err()
            .split(" | ")
            .next(),
        Some("No schema name supplied for table ")
    );
}

#[test]
fn what_is_excluded_takes_its_partitions_along_and_what_is_unknown_is_a_warning() {
    let all = [1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14];
    let without = |out: &[u32]| -> Vec<u32> { all.into_iter().filter(|oid| !out.contains(oid)).collect() };
    for (lines, expected, warnings) in [
        ("public.t", without(&[1]), vec![]),
        ("sales.orders", without(&[10, 11, 12, 13, 14]), vec![]),
        ("sales.orders_1_prt_m2", without(&[12, 13, 14]), vec![]),
        (
            "public.T\npublic.t",
            without(&[1]),
            vec!["Exclude table public.T does not exist in demo database, ignoring"],
        ),
        (
            "public.v",
            without(&[]),
            vec![
                "Exclude table public.v does not exist in demo database, ignoring",
                "All exclude table names have been removed due to issues, see log file",
            ],
        ),
    ] {
        let filter = TableFilter::ExcludeTables(list(lines));
        let selection = select(&filter, "demo", &relations(), &schemas()).unwrap();
        assert_eq!(selection.warnings, warnings, "{lines}");
        assert_eq!(chosen(&filter), Ok(expected), "{lines}");
    }
    let nameless = chosen(&TableFilter::ExcludeTables(list("t"))).unwrap_err();
    assert!(
        nameless.starts_with("No schema name supplied for exclude table t | "),
        "{nameless}"
    );
    let empty = chosen(&TableFilter::ExcludeTables(list("\n"))).unwrap_err();
    assert!(
        empty.starts_with("There is no name of a table to leave out in file \"/l\" | "),
        "{empty}"
    );
}

#[test]
fn schemas_bring_their_tables_and_partitions_that_lie_elsewhere() {
    for (lines, expected) in [
        ("sales", Ok(vec![10, 11, 12, 13, 14])),
        ("archive", Ok(vec![14])),
        ("\"Odd Schema\"\r\na.b ", Ok(vec![3, 5])),
        ("empty", Ok(vec![])),
        (
            "Sales",
            Err("Schema Sales does not exist in database demo. | did you mean sales?".to_owned()),
        ),
    ] {
        assert_eq!(chosen(&TableFilter::IncludeSchemas(list(lines))), expected, "{lines}");
    }
    let none = chosen(&TableFilter::IncludeSchemas(NameList::default())).unwrap_err();
    assert!(
        none.starts_with("There is no name of a schema to dump in option -s | "),
        "{none}"
    );
}

#[test]
fn excluded_schemas_leave_the_others_and_never_nothing() {
    let filter = TableFilter::ExcludeSchemas(list("sales\npublic\nnosuch"));
    let selection = select(&filter, "demo", &relations(), &schemas()).unwrap();
    assert_eq!(chosen(&filter), Ok(vec![3, 4, 5]));
    assert_eq!(
        selection.schemas.unwrap(),
        ["Odd Schema", "a", "a.b", "archive", "empty"]
    );
    assert_eq!(
        selection.warnings,
        ["Exclude schema nosuch does not exist in demo database, ignoring"]
    );
    // The partition in `archive` belongs to a table whose other rows stay.
    assert_eq!(
        chosen(&TableFilter::ExcludeSchemas(list("archive"))),
        Ok(vec![1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13])
    );
    let all = schemas().join("\n");
    let refused = chosen(&TableFilter::ExcludeSchemas(list(&all))).unwrap_err();
    assert!(
        refused.starts_with("Every schema of database demo is excluded by file \"/l\" | "),
        "{refused}"
    );
}

#[test]
fn the_list_in_the_set_has_roots_and_leaves_in_order() {
    let filter = TableFilter::IncludeTables(list("sales.orders\npublic.t"));
    let selection = select(&filter, "demo", &relations(), &schemas()).unwrap();
    let names: Vec<String> = selection.listed.iter().map(ToString::to_string).collect();
    assert_eq!(
        names,
        [
            "archive.orders_1_prt_m2_2_prt_us",
            "public.t",
            "sales.orders",
            "sales.orders_1_prt_m1",
            "sales.orders_1_prt_m2_2_prt_eu",
        ]
    );
    assert_eq!(selection.scope, Scope::Tables(vec![Oid(1), Oid(10)]));
    let why = selection.tables.unwrap();
    assert_eq!(why[&Oid(1)], Why::Named("public.t".into()));
    assert_eq!(why[&Oid(14)], Why::PartitionOf(Oid(12)));
}

#[test]
fn fifty_thousand_names_take_no_time() {
    let relations: Vec<NamedRelation> = (0..50_000)
        .map(|n| NamedRelation {
            oid: Oid(20_000 + n),
            name: QualifiedName::new("public", format!("t{n}")),
            kind: RelationKind::Table,
            parent: None,
        })
        .collect();
    let names: String = (0..50_000).map(|n| format!("public.t{n} \r\n")).collect();
    let started = std::time::Instant::now();
    let filter = TableFilter::IncludeTables(list(&names));
    let selection = select(&filter, "demo", &relations, &["public".to_owned()]).unwrap();
    assert_eq!(selection.tables.unwrap().len(), 50_000);
    // Without any optimization, on a slow machine; quadratic would be minutes.
    assert!(
        started.elapsed() < std::time::Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
}
