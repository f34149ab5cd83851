//! Dumps of some tables or schemas: what is in them restores alone, into an empty database.

use std::collections::BTreeMap;
use std::fs;

use gpdump_testkit::{Cluster, ClusterSpec, Program};
use gpdump_tests::{DEMO, dump, dump_files, restore};

/// Where filtered sets are restored to.
const OTHER: &str = "filtered";

fn warehouse() -> Cluster {
    let cluster = Cluster::start(ClusterSpec::segments(2));
    cluster.load_warehouse(DEMO);
    cluster
}

/// Dumps with a filter and restores the set into a new database.
fn there_and_back(cluster: &Cluster, filter: &[&str]) -> String {
    let key = dump(cluster, filter);
    restore(cluster, &key, &["-e", "--redirect", OTHER]);
    key
}

/// `table sales.customer`, `function tax`, ... of the user.
fn objects(cluster: &Cluster, database: &str) -> Vec<String> {
    let rows = cluster.sql(
        database,
        "SELECT CASE relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'matview' \
           WHEN 'i' THEN 'index' WHEN 'I' THEN 'index' ELSE 'sequence' END || ' ' || nspname || '.' || relname AS what \
         FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
         WHERE relkind IN ('r', 'p', 'v', 'm', 'S', 'i', 'I') AND nspname !~ '^pg_' AND nspname <> 'information_schema' \
           AND relname <> 'gpcrondump_history' \
         UNION ALL SELECT 'function ' || nspname || '.' || proname FROM pg_proc JOIN pg_namespace n ON n.oid = pronamespace \
         WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' \
         UNION ALL SELECT 'type ' || nspname || '.' || typname FROM pg_type t JOIN pg_namespace n ON n.oid = typnamespace \
         WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' AND typtype IN ('e', 'd', 'c', 'r') \
           AND NOT EXISTS (SELECT 1 FROM pg_class c WHERE c.oid = typrelid AND relkind <> 'c') \
         UNION ALL SELECT 'key ' || conname FROM pg_constraint WHERE contype = 'f' AND conparentid = 0 \
         ORDER BY 1",
    );
    rows.into_iter().filter_map(|mut row| row.remove(0)).collect()
}

/// Rows and their sum, by table and content.
fn rows(cluster: &Cluster, database: &str, tables: &[&str]) -> BTreeMap<(String, i32), Vec<Option<String>>> {
    let mut found = BTreeMap::new();
    for holder in cluster.row_holders() {
        for table in tables {
            let sql = format!("SELECT count(*), sum(hashtext(textin(record_out(x)))::bigint) FROM ONLY {table} x");
            found.insert(
                ((*table).to_owned(), holder.content),
                holder.sql(database, &sql).remove(0),
            );
        }
    }
    found
}

/// That these tables have the rows they had, and that there were some.
#[track_caller]
fn assert_rows(cluster: &Cluster, tables: &[&str]) {
    let before = rows(cluster, DEMO, tables);
    assert!(
        before.values().any(|row| row[0].as_deref() != Some("0")),
        "no rows to compare"
    );
    assert_eq!(rows(cluster, OTHER, tables), before);
}

fn count(cluster: &Cluster, table: &str) -> u64 {
    let rows = cluster.row_holders().iter().map(|holder| {
        let count = holder
            .sql(OTHER, &format!("SELECT count(*) FROM ONLY {table}"))
            .remove(0)
            .remove(0);
        count.and_then(|count| count.parse::<u64>().ok()).expect("a count")
    });
    rows.sum()
}

#[track_caller]
fn refused(cluster: &Cluster, filter: &[&str], words: &str) {
    let end = Program::new("gpcrondump", cluster)
        .args(["-a", "-x", DEMO])
        .args(filter.iter().copied())
        .run()
        .expect_status(2);
    assert!(end.stdout.contains(words), "{words:?} is not in\n{}", end.stdout);
    assert_eq!(
        dump_files(cluster),
        [] as [std::path::PathBuf; 0],
        "{filter:?} left files"
    );
}

#[test]
fn tables_by_name_restore_alone_with_what_they_need() {
    let cluster = warehouse();
    let filter = [
        "-t",
        "sales.invoice",
        "-t",
        "Odd Schema.we\"ird. näme",
        "-t",
        "public.numbered",
        "-t",
        "public.\"select\"",
    ];
    let key = there_and_back(&cluster, &filter);
    assert_eq!(
        objects(&cluster, OTHER),
        [
            "function public.stamp",
            "index Odd Schema.Odd Idx; --",
            "index sales.Invoice by Amount",
            "index sales.invoice_pkey",
            "index sales.invoice_via",
            "sequence public.numbered_i_seq",
            "sequence public.numbered_n_seq",
            "table Odd Schema.we\"ird. näme",
            "table public.numbered",
            "table public.select",
            "table sales.invoice",
            "type sales.channel",
        ]
    );
    let tables = [
        "sales.invoice",
        "\"Odd Schema\".\"we\"\"ird. näme\"",
        "public.numbered",
        "public.\"select\"",
    ];
    assert_rows(&cluster, &tables);
    assert_eq!(
        cluster.sql(OTHER, "SELECT last_value FROM public.numbered_n_seq"),
        cluster.sql(DEMO, "SELECT last_value FROM public.numbered_n_seq")
    );
    let list = dump_files(&cluster)
        .into_iter()
        .find(|file| file.to_string_lossy().ends_with(&format!("{key}_table")));
    assert_eq!(
        fs::read_to_string(list.expect("a list of tables")).expect("readable"),
        "Odd Schema.we\"ird. näme\npublic.numbered\npublic.select\nsales.invoice\n"
    );

    // Where the tables are gone and what they need is not, nothing is in the way.
    cluster.sql(OTHER, &format!("DROP TABLE {}", tables.join(", ")));
    restore(&cluster, &key, &["--redirect", OTHER]);
    assert_rows(&cluster, &tables);
}

#[test]
fn a_list_may_come_from_windows_and_have_anything_in_it() {
    let cluster = warehouse();
    let list = cluster.home().join("tables");
    fs::write(
        &list,
        "\u{feff}sales.customer\r\n\r\n  \r\n\"sales\".\"invoice\"\r\nsales.customer\r\npublic.漢字 \r\nOdd Schema.it's, a\\b $1 % table",
    )
    .expect("the home is ours");
    let path = list.to_str().expect("made of ASCII");
    there_and_back(&cluster, &["--table-file", path]);
    assert_rows(
        &cluster,
        &[
            "sales.customer",
            "sales.invoice",
            "public.\"漢字\"",
            "\"Odd Schema\".\"it's, a\\b $1 % table\"",
        ],
    );
    let objects = objects(&cluster, OTHER);
    assert!(
        objects.contains(&"key invoice_customer_id_fkey".to_owned()),
        "{objects:?}"
    );
    assert_eq!(
        objects.iter().filter(|name| name.starts_with("table ")).count(),
        4,
        "{objects:?}"
    );
    there_and_back(&cluster, &[&format!("--exclude-table-file={path}")]);
    assert_rows(&cluster, &["sales.line", "public.everything"]);
    let rest = self::objects(&cluster, OTHER);
    for gone in [
        "table sales.customer",
        "table sales.invoice",
        "table public.漢字",
        "view sales.open_invoices",
    ] {
        assert!(!rest.contains(&gone.to_owned()), "{gone} is in {rest:?}");
    }
    assert!(rest.contains(&"function public.nothing".to_owned()), "{rest:?}");
}

#[test]
fn partitions_bring_their_table_whole_and_their_own_rows() {
    let cluster = warehouse();
    let leaves = [
        "sales.orders_2020",
        "sales.orders_2021_eu",
        "sales.orders_2021_us",
        "sales.orders_2021_rest",
        "sales.orders_rest",
    ];
    there_and_back(&cluster, &["-t", "sales.orders"]);
    assert_rows(&cluster, &leaves);
    there_and_back(&cluster, &["-t", "sales.orders_2021_eu"]);
    assert_rows(&cluster, &leaves[1..2]);
    for empty in ["sales.orders_2020", "sales.orders_2021_us", "sales.orders_rest"] {
        assert_eq!(count(&cluster, empty), 0, "{empty}");
    }
    there_and_back(&cluster, &["-t", "sales.orders_2021"]);
    assert_rows(&cluster, &leaves[1..4]);
    assert_eq!(count(&cluster, leaves[0]), 0);
    there_and_back(&cluster, &["-T", "sales.orders_2021"]);
    assert_rows(&cluster, &[leaves[0], leaves[4]]);
    assert_eq!(
        count(&cluster, leaves[1]) + count(&cluster, leaves[2]) + count(&cluster, leaves[3]),
        0
    );
}

#[test]
fn schemas_come_with_all_they_hold_and_need() {
    let cluster = warehouse();
    there_and_back(&cluster, &["-s", "sales"]);
    let sales = |database: &str| -> Vec<String> {
        let all = objects(&cluster, database);
        all.into_iter()
            .filter(|name| name.contains(" sales.") || name.starts_with("key "))
            .collect()
    };
    assert_eq!(sales(OTHER), sales(DEMO));
    assert_rows(
        &cluster,
        &["sales.customer", "sales.invoice", "sales.line", "sales.orders_2020"],
    );
    let all = objects(&cluster, OTHER);
    for needed in [
        "type public.mail",
        "type public.address",
        "type public.posint",
        "function public.stamp",
    ] {
        assert!(all.contains(&needed.to_owned()), "{needed} is missing in {all:?}");
    }
    assert!(!all.iter().any(|name| name.starts_with("table public.")), "{all:?}");

    let list = cluster.home().join("schemas");
    fs::write(&list, "sales\r\nnosuch\r\n").expect("the home is ours");
    there_and_back(
        &cluster,
        &["--exclude-schema-file", list.to_str().expect("made of ASCII")],
    );
    let all = objects(&cluster, OTHER);
    // A type that a table of another schema needs.
    let of_sales: Vec<&String> = all.iter().filter(|name| name.contains(" sales.")).collect();
    assert_eq!(of_sales, ["type sales.channel"]);
    assert_rows(&cluster, &["public.everything", "\"Odd Schema\".\"we\"\"ird. näme\""]);
}

#[test]
fn excluded_tables_take_along_what_cannot_be_without_them() {
    let cluster = warehouse();
    let key = dump(
        &cluster,
        &["-T", "sales.customer", "-T", "public.parent", "-T", "public.nosuch"],
    );
    restore(&cluster, &key, &["-e", "--redirect", OTHER]);
    let all = objects(&cluster, OTHER);
    assert!(!all.contains(&"table sales.customer".to_owned()), "{all:?}");
    assert!(!all.contains(&"key invoice_customer_id_fkey".to_owned()), "{all:?}");
    assert!(all.contains(&"key line_customer_id_number_fkey".to_owned()), "{all:?}");
    // The parent of a table that is in: its definition stays.
    assert_rows(&cluster, &["public.child", "sales.invoice", "sales.line"]);
    assert_eq!(count(&cluster, "public.parent"), 0);
}

#[test]
fn what_cannot_be_dumped_is_refused_and_never_becomes_a_dump_of_everything() {
    let cluster = warehouse();
    let file = |name: &str, text: &str| {
        let path = cluster.home().join(name);
        fs::write(&path, text).expect("the home is ours");
        path.to_str().expect("made of ASCII").to_owned()
    };
    let (blank, temporary, all) = (
        file("blank", " \r\n\n"),
        file("temporary", "pg_temp_3.x\n"),
        file("all", "public\nsales\nOdd Schema\n"),
    );
    for (filter, words) in [
        (
            ["-t", "sales.nosuch"],
            "Table sales.nosuch does not exist in demo database",
        ),
        (["-t", "public.mixedcase"], "did you mean public.MixedCase?"),
        (["-t", "sales.*"], "Table sales.* does not exist in demo database"),
        (["-t", "sales.open_invoices"], "that is a view"),
        (["-t", "customer"], "No schema name supplied for table customer"),
        (["-T", "customer"], "No schema name supplied for exclude table customer"),
        (["-s", "Sales"], "Schema Sales does not exist in database demo."),
        (
            ["-s", "pg_catalog"],
            "can not specify catalog schema 'pg_catalog' using -s option",
        ),
        (["-t", ""], "No schema name supplied for table "),
        (["-s", ""], "Schema  does not exist in database demo."),
        (["--table-file", &blank], "There is no name of a table to dump in file"),
        (
            ["--table-file", &temporary],
            "There is no name of a table to dump in file",
        ),
        (
            ["--exclude-table-file", &blank],
            "There is no name of a table to leave out in file",
        ),
        (
            ["--schema-file", &blank],
            "There is no name of a schema to dump in file",
        ),
        (
            ["--exclude-schema-file", &blank],
            "There is no name of a schema to leave out in file",
        ),
        (
            ["--exclude-schema-file", &all],
            "Every schema of database demo is excluded",
        ),
        (
            ["--table-file", "/nosuch"],
            "[Errno 2] No such file or directory: '/nosuch'",
        ),
    ] {
        refused(&cluster, &filter, words);
    }
}

#[test]
fn writers_of_other_tables_are_not_waited_for() {
    let cluster = warehouse();
    let writer = cluster.session(DEMO);
    writer.sql("BEGIN; INSERT INTO public.wide VALUES (-1, 'not committed')");
    // Status 0: one cut was had; with a lock on all tables it could not.
    dump(&cluster, &["-t", "sales.customer", "--cut-timeout", "2"]);
    writer.sql("ROLLBACK");
}
