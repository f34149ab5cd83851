//! What others could do to a run: who owns the database, who may write where dumps lie, who looks at the processes of a
//! host. `docs/security.md` has the list, and the other tests of it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use gpdump_testkit::{Cluster, ClusterSpec, Plain, Program};
use gpdump_tests::{DEMO, descendants, dump, dump_files, end_within, restore};

#[test]
fn no_name_in_a_database_is_run_by_a_shell_or_a_server_and_no_operator_of_its_owner() {
    let cluster = Plain::start();
    let bait = cluster.home().join("bait");
    cluster.sql("postgres", "CREATE DATABASE demo");
    let names = [
        format!("$(touch {0})`touch {0}`", bait.display()),
        format!("x'; DROP TABLE public.victim; \\! touch {}", bait.display()),
        "; DROP TABLE public.victim; --".to_owned(),
        "../../../../tmp/x".to_owned(),
        "-oProxyCommand=x".to_owned(),
    ];
    cluster.sql(
        DEMO,
        "CREATE TABLE public.victim (a int); INSERT INTO public.victim VALUES (1)",
    );
    for name in &names {
        let table = format!("\"{0}\".\"{0}\"", &name[..name.len().min(60)]);
        let schema = format!("\"{}\"", &name[..name.len().min(60)]);
        cluster.sql(
            DEMO,
            &format!("CREATE SCHEMA {schema}; CREATE TABLE {table} (a int); INSERT INTO {table} VALUES (7)"),
        );
    }
    // For each of these the server would sooner take the owner's than its own, which needs a conversion.
    for (name, left, right) in [("=", "name", "text"), ("<>", "name", "text"), ("=", "\"char\"", "text")] {
        let function = format!("public.hostile_{}", left.trim_matches('"'));
        cluster.sql(
            DEMO,
            &format!(
                "CREATE OR REPLACE FUNCTION {function}(a {left}, b {right}) RETURNS boolean LANGUAGE plpgsql AS \
                 $$ BEGIN RAISE EXCEPTION 'the owner of the database runs with our rights'; END $$; \
                 CREATE OPERATOR public.{name} (PROCEDURE = {function}, LEFTARG = {left}, RIGHTARG = {right})"
            ),
        );
    }
    // This one shows whose names a session sees.
    cluster.sql(
        DEMO,
        "CREATE TABLE public.shown (r regclass); INSERT INTO public.shown VALUES ('public.victim')",
    );
    dump(&cluster, &["-z"]);
    let is_shown =
        |file: &std::path::PathBuf| fs::read_to_string(file).is_ok_and(|text| text.contains("\npublic.victim\n"));
    assert!(
        dump_files(&cluster).iter().any(is_shown),
        "the session saw the schema public"
    );
    cluster.sql(
        DEMO,
        "DROP TABLE public.shown; DROP FUNCTION public.hostile_name(name, text) CASCADE; DROP FUNCTION public.hostile_char(\"char\", text) CASCADE",
    );
    let key = dump(&cluster, &[]);
    cluster.sql(DEMO, "DROP TABLE public.victim");
    restore(&cluster, &key, &["-e"]);
    let rows = cluster.sql(DEMO, "SELECT count(*) FROM public.victim");
    assert_eq!(rows[0][0].as_deref(), Some("1"));
    for name in &names {
        let table = format!("\"{0}\".\"{0}\"", &name[..name.len().min(60)]);
        assert_eq!(
            cluster.sql(DEMO, &format!("SELECT a FROM {table}"))[0][0].as_deref(),
            Some("7"),
            "{name}"
        );
    }
    assert!(!bait.exists(), "a name was run by a shell");
}

#[test]
fn a_link_that_waits_for_an_unfinished_file_is_not_followed_and_files_are_for_their_owner() {
    let cluster = Plain::start();
    cluster.sql("postgres", "CREATE DATABASE demo");
    cluster.sql(DEMO, "CREATE TABLE t (a int); INSERT INTO t VALUES (1)");
    let key = dump(&cluster, &["-K", "20240102030405"]);
    assert_eq!(key, "20240102030405");
    let files: Vec<_> = dump_files(&cluster);
    let victim = cluster.home().join("victim");
    fs::write(&victim, "precious").unwrap();
    for file in &files {
        assert_eq!(
            fs::metadata(file).unwrap().permissions().mode() & 0o777,
            0o600,
            "{}",
            file.display()
        );
        fs::remove_file(file).unwrap();
        let mut partial = file.clone().into_os_string();
        partial.push(".partial");
        symlink(&victim, partial).unwrap();
    }
    let directory = files[0].parent().unwrap();
    assert_eq!(fs::metadata(directory).unwrap().permissions().mode() & 0o777, 0o700);
    dump(&cluster, &["-K", "20240102030405"]);
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    for file in dump_files(&cluster) {
        let meta = fs::symlink_metadata(&file).unwrap();
        assert!(meta.is_file(), "{} is a link", file.display());
        assert_eq!(meta.permissions().mode() & 0o777, 0o600, "{}", file.display());
    }
}

#[test]
fn a_password_stands_in_no_argument_list_and_no_log() {
    const PASSWORD: &str = "pass-for-nobody-7411";
    let cluster = Cluster::start(ClusterSpec::segments(1));
    cluster.sql("postgres", "CREATE DATABASE demo");
    cluster.sql(DEMO, "CREATE TABLE t (a int); INSERT INTO t VALUES (1)");
    // It is held while it copies, so that all processes of a run can be looked at.
    let session = cluster.segment(0).session(DEMO);
    session.sql("BEGIN; LOCK TABLE public.t");
    let mut program = Program::new("gpcrondump", &cluster)
        .args(["-a", "-x", DEMO])
        .env("PGPASSWORD", PASSWORD)
        .spawn();
    let shows = |pid: u32| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut seen = 0;
    for _ in 0..100 {
        for pid in descendants(program.id()).into_iter().chain([program.id()]) {
            let words = String::from_utf8_lossy(&shows(pid)).into_owned();
            assert!(!words.contains(PASSWORD), "{words:?}");
            seen += usize::from(words.contains("__worker"));
        }
        if seen > 10 {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(seen > 0, "no worker was seen");
    session.sql("ROLLBACK");
    assert!(end_within(Duration::from_secs(60), &mut program).success());
    let mut texts = dump_files(&cluster);
    texts.extend(files_below(&cluster.home().join("gpAdminLogs")));
    for file in texts {
        let bytes = fs::read(&file).unwrap();
        let found = bytes.windows(PASSWORD.len()).any(|part| part == PASSWORD.as_bytes());
        assert!(!found, "the password stands in {}", file.display());
    }
}

fn files_below(directory: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect()
}
