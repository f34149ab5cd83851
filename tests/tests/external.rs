//! `--external` as far as a server without external tables can show it: what is refused, in which words, and that no secret
//! comes out. That rows go and come is proven on a real Greenplum; `docs/external-tables.md` says how.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use gpdump_testkit::{Finished, Plain, Program};
use gpdump_tests::traces::Traces;

const KEY: &str = "s3cr3tKEYvalue/99+x";
const ID: &str = "AKIDtest0001";

fn said(end: &Finished) -> String {
    format!("{}{}", end.stdout, end.stderr)
}

/// All that was said, and all that is left on the machine and the server: no secret but in the file that it came from.
fn assert_kept(server: &gpdump_testkit::Cluster, ends: &[&Finished]) {
    let mut traces = Traces::default();
    ends.iter().for_each(|end| traces.said(end));
    traces.of(server, &["postgres"]);
    for secret in [KEY, ID] {
        let mut found = traces.with(secret);
        found.retain(|place| !place.ends_with("/keys"));
        assert_eq!(found, [] as [&str; 0], "{secret}");
    }
}

#[test]
fn what_could_not_be_done_is_refused_before_anything_is_and_no_secret_is_told() {
    let server = Plain::start();
    server.sql("postgres", "CREATE TABLE t AS SELECT 1 AS a");
    let (home, bucket) = (server.home().to_owned(), "nightly-125.cos.ap-guangzhou.myqcloud.com");
    let keys = home.join("keys");
    fs::write(
        &keys,
        format!("# of the bucket\nCOS_SECRET_ID={ID}\nCOS_SECRET_KEY={KEY}\n"),
    )
    .unwrap();
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o644)).unwrap();
    let template = home.join("disk.yaml");
    fs::write(
        &template,
        "protocol: disk\nlocation: disk://{bucket}/{path} key={DISK_KEY}\npath: \
         '{key}/{database}/{schema}.{table}'\nsecrets: [DISK_KEY]\n",
    )
    .unwrap();
    let run = |line: &str, environment: &[(&str, &str)]| {
        let mut program = Program::new("gpcrondump", &server)
            .args(["-a", "-x", "postgres"])
            .args(line.split_whitespace());
        for (name, value) in environment {
            program = program.env(name, *value);
        }
        program.run().expect_status(2)
    };
    let secrets = [("COS_SECRET_ID", ID), ("COS_SECRET_KEY", KEY)];
    let of_file = format!("--external cos --external-bucket {bucket} --external-secrets keys");
    let no_tables = "has no external tables";
    type Case<'a> = (String, &'a [(&'a str, &'a str)], &'a str);
    let cases: Vec<Case> = vec![
        (
            "--external cos".into(),
            &secrets,
            "--external needs the host name of the bucket: give it with --external-bucket",
        ),
        (
            format!("--external cos --external-bucket cos://{bucket}"),
            &secrets,
            "is no host name",
        ),
        (
            format!("--external cos --external-bucket {bucket}"),
            &secrets[..1],
            "the secret COS_SECRET_KEY is missing",
        ),
        (of_file.clone(), &[], "others than its owner can read or write it"),
        (
            format!("--external-bucket {bucket}"),
            &secrets,
            "--external-bucket can only be selected with --external option",
        ),
        (
            "--external s4".into(),
            &[],
            "is neither \"cos\" nor a file that describes a protocol",
        ),
        (
            format!("--external {} --external-bucket b", template.display()),
            &[],
            "the secret DISK_KEY is missing",
        ),
        (
            format!("--external cos --external-bucket {bucket} --external-path backup/{{table}}"),
            &secrets,
            "path has no {database}",
        ),
        (
            format!("--external cos --external-bucket {bucket} --inserts"),
            &secrets,
            "--inserts, --column-inserts, --oids and -E can not be selected with --external option",
        ),
        (
            format!(
                "--external cos --external-bucket {bucket} --external-path script --external-format csv \
                 --external-exclude-owner dbadmin -v"
            ),
            &secrets,
            no_tables,
        ),
        (
            format!("--external {} --external-bucket b", template.display()),
            &[("DISK_KEY", KEY)],
            no_tables,
        ),
    ];
    let mut ends = Vec::new();
    for (line, environment, why) in &cases {
        let end = run(line, environment);
        assert!(said(&end).contains(why), "{line}\n{}", said(&end));
        ends.push(end);
    }
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o600)).unwrap();
    let end = run(&of_file, &[]);
    assert!(said(&end).contains(no_tables), "{}", said(&end));
    ends.push(end);
    assert_kept(&server, &ends.iter().collect::<Vec<_>>());
}

#[test]
fn rows_in_a_storage_are_not_passed_over_by_a_restore_that_cannot_read_them() {
    let server = Plain::start();
    server.sql("postgres", "CREATE TABLE t AS SELECT 1 AS a");
    let key = gpdump_tests::dump_of("postgres", &server, &[]);
    // The set as one that has the rows of another table elsewhere.
    let path = gpdump_tests::dump_files(&server)
        .into_iter()
        .find(|path| path.to_string_lossy().ends_with("_manifest.json"))
        .unwrap();
    let mut manifest: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    manifest["format"] = 2.into();
    manifest["external"] = serde_json::json!({
        "template": {
            "protocol": "cos",
            "location": "cos://{bucket}/{path} secretKey={COS_SECRET_KEY}",
            "path": "{date}/{database}/{schema}.{table}/{key}/",
            "secrets": ["COS_SECRET_KEY"]
        },
        "bucket": "b", "compress": "gzip", "encoding": "UTF8",
        "tables": [{"schema": "public", "name": "far", "path": "20240102/postgres/public.far/1/",
                    "columns": ["a"], "rows": 3, "milliseconds": 1}],
        "missing": [{"schema": "public", "name": "denied", "why": "permission denied"}]
    });
    fs::write(&path, manifest.to_string()).unwrap();
    fs::write(server.home().join("keys"), format!("COS_SECRET_KEY={KEY}\n")).unwrap();
    fs::set_permissions(server.home().join("keys"), fs::Permissions::from_mode(0o600)).unwrap();
    let restore = |words: &[&str], status| {
        Program::new("gpdbrestore", &server)
            .args(["-a", "-t", &key, "--redirect", "other"])
            .args(words.iter().copied())
            .run()
            .expect_status(status)
    };
    let refused = restore(
        &[
            "--external",
            "cos",
            "--external-bucket",
            "elsewhere",
            "--external-secrets",
            "keys",
        ],
        2,
    );
    let why = "External tables wrote the rows of 1 tables of this set, and this server has no external tables";
    assert!(said(&refused).contains(why), "{}", said(&refused));
    assert!(server.try_sql("other", "SELECT 1").is_err(), "nothing was changed");
    let bad = restore(&["--external", "cos", "--external-bucket", "a/b"], 2);
    assert!(said(&bad).contains("is no host name"), "{}", said(&bad));
    let definitions = restore(&["-m"], 0);
    let verified = Program::new("gpdbrestore", &server)
        .args(["-a", "-t", &key, "--verify"])
        .run()
        .expect_status(2);
    let text = said(&verified);
    assert!(
        text.contains("Not checked: 3 rows of 1 tables: they lie in cos://b/")
            && text.contains("Table public.denied is damaged: its rows were not written"),
        "{text}"
    );
    assert_kept(&server, &[&refused, &bad, &definitions, &verified]);
}
