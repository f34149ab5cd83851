//! Some tables or schemas of a set, restored alone.

use std::fs;

use gpdump_testkit::compare::{Snapshot, assert_same};
use gpdump_testkit::{Cluster, ClusterSpec, Finished, Program};
use gpdump_tests::{DEMO, assert_lines_in_order, assert_said, dump, dump_files, golden, restore};

/// Where single tables go, to be looked at without the others.
const OTHER: &str = "picked";

fn warehouse() -> Cluster {
    let cluster = Cluster::start(ClusterSpec::segments(2));
    cluster.load_warehouse(DEMO);
    cluster
}

fn run(cluster: &Cluster, key: &str, more: &[&str]) -> Finished {
    Program::new("gpdbrestore", cluster)
        .args(["-a", "-t", key])
        .args(more.iter().copied())
        .run()
}

#[track_caller]
fn refused(cluster: &Cluster, key: &str, more: &[&str], words: &str) {
    let end = run(cluster, key, more).expect_status(2);
    assert!(end.stdout.contains(words), "{words:?} is not in\n{}", end.stdout);
}

fn one(cluster: &Cluster, database: &str, sql: &str) -> String {
    cluster.sql(database, sql).remove(0).remove(0).unwrap_or_default()
}

/// Rows of a table on all segments.
fn count(cluster: &Cluster, database: &str, table: &str) -> i64 {
    let counts = cluster.row_holders().iter().map(|holder| {
        let count = holder.sql(database, &format!("SELECT count(*) FROM {table}"));
        count[0][0]
            .as_deref()
            .and_then(|n| n.parse::<i64>().ok())
            .expect("a count")
    });
    counts.sum()
}

#[test]
fn a_dropped_table_comes_back_whole() {
    let cluster = warehouse();
    // They would be given to what is created anew, as to any table.
    cluster.sql(
        DEMO,
        "ALTER DEFAULT PRIVILEGES IN SCHEMA sales REVOKE SELECT ON TABLES FROM \"reader of sales\"",
    );
    let before = Snapshot::take(&cluster, DEMO);
    let key = dump(&cluster, &[]);
    cluster.sql(
        DEMO,
        "DROP TABLE sales.line; DROP TABLE public.numbered; DROP TABLE sales.orders_2021_eu; DROP TABLE public.child",
    );
    restore(&cluster, &key, &["-T", "sales.line", "-T", "public.numbered"]);
    let file = cluster.master_data_dir().join("tables");
    fs::write(&file, "sales.orders_2021_eu\r\n\npublic.child\n").expect("a list");
    restore(&cluster, &key, &["--table-file", &file.display().to_string()]);
    let after = Snapshot::take(&cluster, DEMO);
    assert_same(&before.gathered(), &after.gathered());
}

#[test]
fn a_table_goes_into_an_empty_database_with_what_it_needs() {
    let cluster = warehouse();
    let key = dump(&cluster, &[]);
    let end = run(
        &cluster,
        &key,
        &["--redirect", OTHER, "-T", "sales.invoice", "-T", "sales.orders"],
    )
    .expect_status(0);
    assert!(
        end.stdout
            .contains("Foreign key invoice_customer_id_fkey of sales.invoice is left out: table sales.customer"),
        "{}",
        end.stdout
    );
    assert_eq!(
        count(&cluster, OTHER, "sales.invoice"),
        count(&cluster, DEMO, "sales.invoice")
    );
    assert_eq!(
        count(&cluster, OTHER, "sales.orders"),
        count(&cluster, DEMO, "sales.orders")
    );
    let relations = "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class c JOIN pg_namespace n \
        ON n.oid = relnamespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' AND relkind NOT IN ('c', 't')";
    assert_eq!(
        one(&cluster, OTHER, relations),
        "Invoice by Amount invoice invoice_pkey invoice_via orders orders_2020 orders_2020_day_idx orders_2021 \
         orders_2021_day_idx orders_2021_eu orders_2021_eu_day_idx orders_2021_rest orders_2021_rest_day_idx orders_2021_us \
         orders_2021_us_day_idx orders_day orders_rest orders_rest_day_idx"
    );
    assert_eq!(
        one(
            &cluster,
            OTHER,
            "SELECT has_table_privilege('reader of sales', 'sales.orders', 'SELECT')"
        ),
        "t"
    );
}

#[test]
fn a_schema_called_as_the_mark_for_none_is_found() {
    let cluster = Cluster::start(ClusterSpec::segments(2));
    cluster.sql("postgres", "CREATE DATABASE demo");
    cluster.sql(
        DEMO,
        "CREATE ROLE \"-\"; CREATE SCHEMA \"-\"; COMMENT ON SCHEMA \"-\" IS 'a dash'; \
         CREATE TABLE \"-\".t (id serial PRIMARY KEY, b text); CREATE INDEX ON \"-\".t (b); CREATE TABLE \"-\".\"-\" (a int); \
         COMMENT ON TABLE \"-\".t IS 'its comment'; GRANT SELECT ON \"-\".t TO \"-\"; CREATE TABLE public.t (a int)",
    );
    for content in 0..2 {
        let fill = format!("INSERT INTO \"-\".t SELECT i, 'x' FROM generate_series({content}1, {content}9) i");
        cluster.segment_sql(content, DEMO, &fill);
    }
    let before = Snapshot::take(&cluster, DEMO);
    let key = dump(&cluster, &[]);
    let only = dump(&cluster, &["-t", "-.t", "--prefix", "only"]);
    cluster.sql(DEMO, "DROP TABLE \"-\".t");
    restore(&cluster, &key, &["-T", "-.t"]);
    assert_same(&before.gathered(), &Snapshot::take(&cluster, DEMO).gathered());
    cluster.sql(DEMO, "DROP SCHEMA \"-\" CASCADE");
    restore(&cluster, &key, &["-S", "-"]);
    assert_same(&before.gathered(), &Snapshot::take(&cluster, DEMO).gathered());
    restore(&cluster, &only, &["--prefix", "only", "--redirect", OTHER]);
    assert_eq!(count(&cluster, OTHER, "\"-\".t"), 18);
    cluster.sql(OTHER, "CREATE SCHEMA moved");
    restore(
        &cluster,
        &key,
        &["--redirect", OTHER, "-T", "\"-\".\"t\"", "--change-schema", "moved"],
    );
    assert_eq!(count(&cluster, OTHER, "moved.t"), 18);
    refused(&cluster, &key, &["-T", "-.no"], "not found in backup");
}

#[test]
fn what_the_disks_have_no_room_for_is_refused_before_anything_is_changed() {
    let cluster = Cluster::start(ClusterSpec::segments(2));
    cluster.sql("postgres", "CREATE DATABASE demo");
    cluster.sql(DEMO, "CREATE TABLE public.t (a int); CREATE TABLE public.u (a int)");
    let key = dump(&cluster, &[]);
    // The manifest says how much it is: more than any disk has.
    let set = dump_files(&cluster);
    let manifest = set
        .iter()
        .find(|path| path.to_string_lossy().ends_with("_manifest.json"))
        .expect("a manifest");
    let text = fs::read_to_string(manifest).expect("a text");
    let (before, of_t) = text.split_at(text.find("\"name\": \"t\"").expect("the table"));
    let of_t = of_t.replacen("\"rows\": 0", "\"rows\": 100000000000000", 1);
    fs::write(manifest, before.to_owned() + &of_t).expect("a manifest again");
    let databases = || {
        one(
            &cluster,
            "postgres",
            "SELECT count(*) FROM pg_database WHERE datname = 'picked'",
        )
    };
    for more in [&[][..], &["--dry-run"], &["-T", "public.t"]] {
        let options = [&["--redirect", OTHER], more].concat();
        let end = run(&cluster, &key, &options).expect_status(2);
        for words in [
            " has insufficient disk space. [Need: ",
            "Cannot continue. 1 segment(s) failed disk space checks",
            "nothing was changed; make room, restore less with -T or -S, or go on all the same with --no-disk-space-check",
        ] {
            assert!(
                end.stdout.contains(words),
                "{more:?}: {words:?} is not in\n{}",
                end.stdout
            );
        }
        assert_eq!(databases(), "0", "{more:?}");
    }
    // What the database gives back when it is dropped this server does not tell: no reason to refuse.
    let end = run(&cluster, &key, &["-e", "-T", "public.t"]).expect_status(2);
    assert!(end.stdout.contains(" may run out of disk space: "), "{}", end.stdout);
    restore(&cluster, &key, &["--redirect", OTHER, "-T", "public.u"]);
    restore(&cluster, &key, &["--redirect", OTHER, "-e", "-m"]);
    let end = run(
        &cluster,
        &key,
        &[
            "--redirect",
            OTHER,
            "--truncate",
            "-T",
            "public.t",
            "--no-disk-space-check",
        ],
    );
    assert!(!end.stdout.contains("disk space."), "{}", end.stdout);
    assert!(end.stdout.contains("public.t"), "{}", end.stdout);
}

#[test]
fn the_lines_are_those_of_the_originals() {
    let cluster = Cluster::start(ClusterSpec::segments(2));
    cluster.sql("postgres", "CREATE DATABASE demo");
    cluster.sql(DEMO, "CREATE TABLE public.fk_child (a int)");
    let key = dump(&cluster, &[]);
    cluster.sql(DEMO, "DROP TABLE public.fk_child");
    let end = run(&cluster, &key, &["-T", "public.fk_child"]).expect_status(0);
    let said = gpdump_testkit::console::redacted(&end.stdout);
    // What the originals met with errors (functions that were there, drops of what was not) goes well here.
    let lines: Vec<String> = golden("gp5-01-full/restore-table.console.txt")
        .into_iter()
        .filter(|line| !line.contains("gp_restore -i") && !line.contains("finished"))
        .filter(|line| !line.contains("Starting gpdbrestore"))
        .filter(|line| !line.contains("AO/CO tables"))
        .collect();
    assert_lines_in_order(&lines, &said);
    let list = run(&cluster, &key, &["-L"]).expect_status(0);
    assert!(list.stdout.contains("-Table public.fk_child Owner "), "{}", list.stdout);
}

#[test]
fn rows_are_added_to_a_table_that_is_there_or_replace_its_rows() {
    let cluster = warehouse();
    let before = Snapshot::take(&cluster, DEMO);
    let key = dump(&cluster, &[]);
    let rows = count(&cluster, DEMO, "public.wide");
    assert!(rows > 0);
    let end = run(&cluster, &key, &["-T", "public.wide"]).expect_status(0);
    assert!(
        end.stdout
            .contains("Table public.wide exists: its definition stays as it is, and the rows of the set are added"),
        "{}",
        end.stdout
    );
    assert_eq!(count(&cluster, DEMO, "public.wide"), 2 * rows);
    restore(&cluster, &key, &["-T", "public.wide", "--truncate"]);
    restore(&cluster, &key, &["-T", "sales.orders", "--truncate"]);
    // What inherits from a table keeps its rows.
    restore(&cluster, &key, &["-T", "public.parent", "--truncate"]);
    let after = Snapshot::take(&cluster, DEMO);
    assert_same(&before.gathered(), &after.gathered());
}

#[test]
fn a_table_that_others_refer_to_is_not_emptied() {
    let cluster = warehouse();
    let before = Snapshot::take(&cluster, DEMO);
    let key = dump(&cluster, &[]);
    let end = run(
        &cluster,
        &key,
        &["-T", "sales.customer", "-T", "public.wide", "--truncate"],
    )
    .expect_status(2);
    assert!(
        end.stdout.contains(
            "Failure from truncating tables, Could not truncate table demo.\"sales\".\"customer\": foreign key \
             \"invoice_customer_id_fkey\" of table sales.invoice refers to it"
        ),
        "{}",
        end.stdout
    );
    assert_same(&before, &Snapshot::take(&cluster, DEMO));
}

#[test]
fn a_table_that_the_set_has_no_rows_of_is_not_emptied() {
    let cluster = Cluster::start(ClusterSpec::segments(1));
    cluster.sql("postgres", "CREATE DATABASE demo");
    cluster.sql(
        DEMO,
        "CREATE SCHEMA s; CREATE TABLE s.grows (a integer) PARTITION BY RANGE (a); CREATE TABLE s.t (a integer)",
    );
    let key = dump(&cluster, &[]);
    cluster.sql(
        DEMO,
        "CREATE TABLE s.grows_1 PARTITION OF s.grows FOR VALUES FROM (1) TO (9)",
    );
    cluster.row_holders()[0].sql(DEMO, "INSERT INTO s.grows VALUES (1), (2); INSERT INTO s.t VALUES (3)");
    refused(
        &cluster,
        &key,
        &["-T", "s.t", "-T", "s.grows", "--truncate"],
        "Failure from truncating tables, demo.s.grows would stay empty: the set has no rows of s.grows",
    );
    assert_eq!(count(&cluster, DEMO, "s.t"), 1);
    let end = run(&cluster, &key, &["-S", "s", "--truncate"]).expect_status(0);
    assert!(
        end.stdout
            .contains("[WARNING]:-Skipping truncate of demo.s.grows because the set has no rows of s.grows"),
        "{}",
        end.stdout
    );
    assert_eq!((count(&cluster, DEMO, "s.grows"), count(&cluster, DEMO, "s.t")), (2, 0));

    // What the originals wrote has no manifest: there it turns out behind the last row.
    for file in dump_files(&cluster) {
        let name = file.to_string_lossy().into_owned();
        if name.ends_with("_manifest.json") {
            fs::remove_file(&file).unwrap();
        } else if name.ends_with(".rpt") {
            let text = fs::read_to_string(&file).unwrap();
            let mark = format!("Program: gpcrondump {}\n", env!("CARGO_PKG_VERSION"));
            assert!(text.contains(&mark), "{text}");
            fs::write(&file, text.replace(&mark, "")).unwrap();
        }
    }
    let end = run(&cluster, &key, &["-T", "s.grows", "--truncate"]).expect_status(2);
    let words = "table s.grows: it was emptied, and no data file of the set has rows of it";
    assert!(end.stdout.contains(words), "{}", end.stdout);
}

#[test]
fn a_schema_comes_back_with_everything_in_it() {
    let cluster = warehouse();
    let before = Snapshot::take(&cluster, DEMO);
    let key = dump(&cluster, &[]);
    cluster.sql(DEMO, "DROP SCHEMA \"Odd Schema\" CASCADE");
    restore(&cluster, &key, &["-S", "Odd Schema"]);
    assert_same(&before, &Snapshot::take(&cluster, DEMO));
    cluster.sql(DEMO, "DROP SCHEMA \"Odd Schema\" CASCADE; DROP TABLE public.wide");
    restore(&cluster, &key, &["-S", "Odd Schema", "-T", "public.wide"]);
    assert_same(&before, &Snapshot::take(&cluster, DEMO));
}

#[test]
fn definitions_come_without_rows() {
    let cluster = warehouse();
    let key = dump(&cluster, &[]);
    restore(&cluster, &key, &["-m", "--redirect", OTHER]);
    assert_eq!(count(&cluster, OTHER, "public.wide"), 0);
    assert_eq!(
        one(
            &cluster,
            OTHER,
            "SELECT count(*) FROM pg_indexes WHERE indexname = 'invoice_via'"
        ),
        "1"
    );
}

#[test]
fn tables_go_to_another_schema_with_all_that_is_theirs() {
    let cluster = Cluster::start(ClusterSpec::segments(2));
    cluster.sql("postgres", "CREATE DATABASE demo");
    cluster.sql(
        DEMO,
        "CREATE SCHEMA cat; CREATE TYPE cat.mood AS ENUM ('a', 'b'); \
         CREATE FUNCTION cat.stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; \
         CREATE TABLE cat.t (id serial PRIMARY KEY, m cat.mood DEFAULT 'a', note text DEFAULT 'cat.t' CHECK (note <> '')); \
         CREATE INDEX t_m ON cat.t (m); COMMENT ON TABLE cat.t IS 'a cat.t'; \
         CREATE TRIGGER stamp BEFORE INSERT ON cat.t FOR EACH ROW EXECUTE FUNCTION cat.stamp(); \
         CREATE TABLE cat.left_alone (id int REFERENCES cat.t); SELECT nextval('cat.t_id_seq'); CREATE SCHEMA \"New \"\"x\"",
    );
    for content in 0..2 {
        cluster.segment_sql(
            content,
            DEMO,
            &format!("INSERT INTO cat.t (id, m) SELECT {content} * 20 + g, 'b' FROM generate_series(1, 20) g"),
        );
    }
    let key = dump(&cluster, &[]);
    let new = "New \"x";
    restore(&cluster, &key, &["-T", "cat.t", "--change-schema", new]);
    let table = "\"New \"\"x\".t";
    assert_eq!(count(&cluster, DEMO, table), 40);
    assert_eq!(count(&cluster, DEMO, "cat.t"), 40);
    assert_eq!(
        one(
            &cluster,
            DEMO,
            &format!(
                "SELECT obj_description('{table}'::regclass) || ', ' || pg_get_serial_sequence('{table}', 'id') || ', ' \
                 || (SELECT string_agg(pg_get_expr(adbin, adrelid), ', ' ORDER BY adnum) FROM pg_attrdef \
                 WHERE adrelid = '{table}'::regclass) || ', ' || (SELECT string_agg(indexdef, ', ' ORDER BY indexdef) \
                 FROM pg_indexes WHERE schemaname = 'New \"x') || ', ' || (SELECT tgfoid::regproc FROM pg_trigger \
                 WHERE tgrelid = '{table}'::regclass AND NOT tgisinternal)"
            )
        ),
        "a cat.t, \"New \"\"x\".t_id_seq, nextval('\"New \"\"x\".t_id_seq'::regclass), 'a'::cat.mood, 'cat.t'::text, \
         CREATE INDEX t_m ON \"New \"\"x\".t USING btree (m), CREATE UNIQUE INDEX t_pkey ON \"New \"\"x\".t USING btree \
         (id), cat.stamp"
    );
    // Emptied is the table that is filled.
    restore(&cluster, &key, &["-T", "cat.t", "--change-schema", new, "--truncate"]);
    assert_eq!(count(&cluster, DEMO, table), 40);
    assert_eq!(count(&cluster, DEMO, "cat.t"), 40);
    refused(
        &cluster,
        &key,
        &["-T", "cat.t", "--change-schema", "nosuch"],
        "Cannot restore tables to schema nosuch: schema does not exist",
    );
    refused(
        &cluster,
        &key,
        &["-T", "cat.t", "--truncate", "--redirect", "nosuch"],
        "Failure from truncating tables, FATAL:  database \"nosuch\" does not exist",
    );
    let end = run(
        &cluster,
        &key,
        &["-T", "cat.t", "--change-schema", "made", "--redirect", OTHER],
    )
    .expect_status(0);
    assert!(end.stdout.contains("Creating schema made"), "{}", end.stdout);
    assert_eq!(count(&cluster, OTHER, "made.t"), 40);
}

#[test]
fn names_that_the_set_does_not_have_change_nothing() {
    let cluster = warehouse();
    let before = Snapshot::take(&cluster, DEMO);
    let key = dump(&cluster, &[]);
    let view = "Tables ['sales.open_invoices'] not found in backup";
    refused(&cluster, &key, &["-T", "sales.open_invoices"], view);
    refused(
        &cluster,
        &key,
        &["-S", "nosuch", "--truncate"],
        "Schemas ['nosuch'] not found in backup",
    );
    refused(
        &cluster,
        &key,
        &["-T", "wide"],
        "No schema name supplied for wide, removing from list of tables to restore",
    );
    let file = cluster.master_data_dir().join("tables");
    fs::write(&file, "\n\n").expect("a list");
    refused(
        &cluster,
        &key,
        &["--table-file", &file.display().to_string()],
        "There is no name of a table in file",
    );
    assert_same(&before, &Snapshot::take(&cluster, DEMO));
}

#[test]
fn with_its_index_one_table_is_read_and_a_damaged_other_does_not_matter() {
    let cluster = warehouse();
    let before = Snapshot::take(&cluster, DEMO);
    let key = dump(&cluster, &[]);
    cluster.sql(DEMO, "DROP TABLE public.wide");
    let files = dump_files(&cluster);
    let is_data = |name: &str| name.ends_with(&format!("{key}.gz")) && !name.contains("dump_-1_1");
    let mut damaged = 0;
    for path in &files {
        if !is_data(&path.file_name().unwrap_or_default().to_string_lossy()) {
            continue;
        }
        let mut bytes = fs::read(path).expect("a data file");
        // In the block of the first table, which lies in "Odd Schema".
        let index = fs::read_to_string(path.to_string_lossy().replace(".gz", "_index")).expect("its index");
        let line = index.lines().nth(1).expect("a table");
        assert!(!line.contains("\"wide\""), "{line}");
        let number = |name: &str| {
            let (_, rest) = line.split_once(&format!("\"{name}\":")).expect("a number");
            rest.split(',')
                .next()
                .and_then(|n| n.parse::<usize>().ok())
                .expect("a number")
        };
        let at = number("offset") + number("length") / 2;
        bytes[at] ^= 0x55;
        fs::write(path, bytes).expect("a damaged file");
        damaged += 1;
    }
    assert_eq!(damaged, 2);
    restore(&cluster, &key, &["-T", "public.wide"]);
    assert_same(&before, &Snapshot::take(&cluster, DEMO));
    // Without the index the file is read from its beginning.
    for path in files.iter().filter(|path| path.to_string_lossy().ends_with("_index")) {
        fs::remove_file(path).expect("an index");
    }
    cluster.sql(DEMO, "DROP TABLE public.wide");
    run(&cluster, &key, &["-T", "public.wide"]).expect_status(2);
}

#[test]
fn the_newest_whole_set_of_a_database_is_found_and_a_date_asks() {
    let cluster = Cluster::start(ClusterSpec::segments(1));
    cluster.sql("postgres", "CREATE DATABASE demo");
    cluster.sql("postgres", "CREATE DATABASE other");
    cluster.sql(DEMO, "CREATE TABLE public.t (a int)");
    let first = dump(&cluster, &[]);
    let second = dump(&cluster, &[]);
    Program::new("gpcrondump", &cluster)
        .args(["-a", "-x", "other"])
        .run()
        .expect_status(0);
    let latest = |status| {
        Program::new("gpdbrestore", &cluster)
            .args(["-a", "-e", "-s", DEMO])
            .run()
            .expect_status(status)
    };
    let end = latest(0);
    assert!(
        end.stdout
            .contains(&format!("-Identified latest dump timestamp for demo as {second}")),
        "{}",
        end.stdout
    );
    // A set that is not whole is no set.
    let manifest = dump_files(&cluster)
        .into_iter()
        .find(|path| path.to_string_lossy().ends_with(&format!("{second}_manifest.json")));
    fs::remove_file(manifest.expect("a manifest")).expect("it goes");
    let end = latest(0);
    assert!(
        end.stdout.contains(&format!("Dump set {second} is not whole")),
        "{}",
        end.stdout
    );
    assert!(end.stdout.contains(&format!("demo as {first}")), "{}", end.stdout);
    let date = &first[..8];
    let of_date = || Program::new("gpdbrestore", &cluster).args(["-a", "-e", "-b", date]);
    let end = of_date().run().expect_status(2);
    assert!(end.stdout.contains("EOF when reading a line"), "{}", end.stdout);
    assert!(
        end.stdout.contains(&format!("sets of {date}: {first}")),
        "{}",
        end.stdout
    );
    // Scripts that were written for the original answer, with -a too.
    let time = &first[8..];
    let line = end
        .stdout
        .lines()
        .find(|line| line.contains("] ...... ") && line.ends_with(time));
    let number = line.and_then(|line| line.trim().strip_prefix('[')?.split_once(']'));
    let (number, _) = number.expect("the list has the first set");
    let end = of_date().input(&format!("{number}\n")).run().expect_status(0);
    assert!(
        end.stdout.contains(&format!("Restore timestamp          = {first}")),
        "{}",
        end.stdout
    );
    let end = Program::new("gpdbrestore", &cluster)
        .args(["-a", "-e", "-b", "20200101"])
        .run()
        .expect_status(2);
    assert!(
        end.stdout.contains("db_dumps/20200101 does not exist"),
        "{}",
        end.stdout
    );
    let end = Program::new("gpdbrestore", &cluster)
        .args(["-a", "-s", "nosuch"])
        .run()
        .expect_status(2);
    assert!(
        end.stdout.contains("No report files located with database nosuch"),
        "{}",
        end.stdout
    );
}

#[test]
fn what_only_the_master_can_fill_in_is_loaded_through_it() {
    let cluster = Cluster::start(ClusterSpec::segments(2));
    cluster.sql("postgres", &format!("CREATE DATABASE {DEMO}"));
    let tables = ["numbered", "triggered", "plain"];
    for table in tables {
        cluster.sql(DEMO, &format!("CREATE TABLE {table} (a int, b int DEFAULT 1)"));
        for content in 0..2 {
            let rows = format!("INSERT INTO {table} SELECT g FROM generate_series(1, 10) g");
            cluster.segment_sql(content, DEMO, &rows);
        }
    }
    let key = dump(&cluster, &[]);
    cluster.sql(DEMO, "ALTER TABLE numbered ADD COLUMN id serial");
    cluster.sql(
        DEMO,
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; \
         CREATE TRIGGER tr BEFORE INSERT ON triggered FOR EACH ROW EXECUTE FUNCTION f()",
    );
    let end = Program::new("gpdbrestore", &cluster)
        .args(["-a", "-v", "-t", &key, "--truncate"])
        .args(
            tables
                .iter()
                .flat_map(|table| ["-T".to_owned(), format!("public.{table}")]),
        )
        .run()
        .expect_status(0);
    assert_said(
        &end,
        "table public.numbered is loaded through the master for its column id",
    );
    assert_said(
        &end,
        "table public.triggered is loaded through the master for its trigger tr",
    );
    let count = |table: &str| one(&cluster, DEMO, &format!("SELECT count(*) FROM {table}"));
    assert_eq!(tables.map(count), ["20", "20", "20"]);
    assert!(!end.stdout.contains("table public.plain is loaded through the master"));
    for content in 0..2 {
        let rows = cluster.segment_sql(content, DEMO, "SELECT count(*) FROM plain");
        assert_eq!(rows[0][0].as_deref(), Some("10"));
    }
}
