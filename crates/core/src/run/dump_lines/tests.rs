use std::path::PathBuf;

use super::*;

fn list(names: &[&str], file: Option<&str>) -> NameList {
    NameList {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        file: file.map(PathBuf::from),
    }
}

#[test]
fn the_kind_of_dump_is_shown_with_what_was_asked_for() {
    let cases: [(TableFilter, &[&str]); 6] = [
        (
            TableFilter::Everything,
            &["Dump type                            = Full database"],
        ),
        (
            TableFilter::IncludeTables(list(&["a.b", "c.d e"], None)),
            &[
                "Dump type                            = Single database, specific table",
                DASH,
                "Table inclusion list ",
                DASH,
                "Table name                             = a.b",
                "Table name                             = c.d e",
                DASH,
            ],
        ),
        (
            TableFilter::IncludeTables(list(&["a.b"], Some("/f"))),
            &[
                "Dump type                            = Single database, specific table",
                DASH,
                "Table file name                      = /f",
                DASH,
            ],
        ),
        (
            TableFilter::ExcludeTables(list(&["a.b"], None)),
            &[
                "Dump type                            = Single database, exclude table",
                DASH,
                "Table exclusion list ",
                DASH,
                "Table name                               = a.b",
                DASH,
            ],
        ),
        (
            TableFilter::IncludeSchemas(list(&["a"], None)),
            &["Dump type                            = Single database, specific schema"],
        ),
        (
            TableFilter::ExcludeSchemas(list(&["a"], Some("/f"))),
            &["Dump type                            = Single database, exclude schema"],
        ),
    ];
    for (filter, expected) in cases {
        assert_eq!(dump_type(&filter), expected, "{filter:?}");
    }
}

#[test]
fn the_engines_words_stand_where_the_original_had_them() {
    for (filter, words) in [
        (TableFilter::Everything, ""),
        (
            TableFilter::IncludeTables(list(&["a.b"], None)),
            " --table-file=include_dump_tables_file",
        ),
        (
            TableFilter::ExcludeTables(list(&["a.b"], None)),
            " --exclude-table-file=exclude_dump_tables_file",
        ),
        (
            TableFilter::IncludeSchemas(list(&["a"], None)),
            " --schema-file=schema_list",
        ),
        (
            TableFilter::ExcludeSchemas(list(&["a"], None)),
            " --schema-file=schema_list",
        ),
    ] {
        let arguments = EngineArguments {
            options: vec!["--gp-c".to_owned()],
            database: "a\"b".to_owned(),
            lists: filter_argument(&filter).map(str::to_owned).into_iter().collect(),
            pass_through: Vec::new(),
            increment: Vec::new(),
        };
        assert_eq!(arguments.command_line(), format!("gp_dump --gp-c \"a\\\"b\"{words}"));
        let joined: Vec<&str> = arguments.words().collect();
        assert_eq!(joined.join(" "), format!("--gp-c a\"b{words}"));
    }
}

#[test]
fn what_was_typed_for_the_engine_stands_behind_its_lists_and_in_the_report() {
    let arguments = EngineArguments {
        options: ["-p", "5432", "-c", "--gp-c", "--encoding=LATIN1", "--prefix=a_"]
            .map(str::to_owned)
            .to_vec(),
        database: "d".to_owned(),
        lists: Vec::new(),
        pass_through: vec!["--no-privileges".to_owned(), "--rsyncable".to_owned()],
        increment: Vec::new(),
    };
    assert_eq!(
        arguments.handed_on().unwrap(),
        "-c -E LATIN1 --prefix a_ -x --rsyncable"
    );
    let increment = arguments.incremental(Some(&Place::from("/d/f")));
    let line = increment.command_line();
    assert!(
        line.ends_with(
            "\"d\" --table-file=dirty_backup_list --no-privileges --rsyncable --incremental --incremental-filter=/d/f"
        ),
        "{line}"
    );
    assert!(
        increment
            .handed_on()
            .unwrap()
            .ends_with("--table-file /tmp/dirty_backup_list -x --rsyncable --incremental --incremental-filter /d/f"),
        "{increment:?}"
    );
}
