//! From what was typed to what is wanted.

use std::path::{Path, PathBuf};
use std::time::Duration;

use gpdump_core::cli::checks::{Asked, refuse_not_built, run};
use gpdump_core::cli::external;
use gpdump_core::cli::optparse::{Parsed, python_int};
use gpdump_core::cli::program::{limits, log_directory, master_data_directory, verbosity};
use gpdump_core::cli::storage;
use gpdump_core::format::email_file::{self, MailRule};
use gpdump_core::format::report::BackupType;
use gpdump_core::gplog::LogLevel;
use gpdump_core::plan::chores::{AskedDate, Chores, CleanupRequest, CleanupTime};
use gpdump_core::plan::databases::Databases;
use gpdump_core::plan::dump_request::{DiskCheck, DumpRequest, OutputStyle, RowStyle, ThroughMaster};
use gpdump_core::plan::filter::{NameList, TableFilter};
use gpdump_core::plan::set_list::ListRequest;
use gpdump_core::words::environment::Environment;
use gpdump_core::words::ids::{BadKey, BadPrefix, Prefix, TimestampKey};
use gpdump_core::words::layout::Compression;
use gpdump_core::words::place::Place;
use gpdump_core::words::refusal::Refusal;

use crate::checks::{CHECKS, NOT_BUILT, unreadable};

const PARALLEL: usize = 64;
const KEEP_FREE_PERCENT: u8 = 10;
const CUT_TIMEOUT_SECONDS: u64 = 60;

/// Checks the options and makes the request of them; beside it the lines that belong into the log either way.
pub fn resolve(options: &Parsed, environment: &Environment) -> (Vec<(LogLevel, String)>, Result<DumpRequest, Refusal>) {
    let (notes, checked) = run(CHECKS, &Asked { options, environment });
    let request = checked
        .and_then(|()| refuse_not_built(NOT_BUILT, options))
        .and_then(|()| build(options, environment));
    (notes, request)
}

/// The same for `--list-backups`.
pub fn resolve_list(
    options: &Parsed,
    environment: &Environment,
) -> (Vec<(LogLevel, String)>, Result<ListRequest, Refusal>) {
    let (notes, checked) = run(CHECKS, &Asked { options, environment });
    let request = checked.and_then(|()| build_list(options, environment));
    (notes, request)
}

fn build_list(options: &Parsed, environment: &Environment) -> Result<ListRequest, Refusal> {
    let root = match storage::root(options)? {
        Some(root) => root,
        None => required_data_directory(options, environment)?.into(),
    };
    Ok(ListRequest {
        root,
        databases: options.values("-x").into_iter().map(str::to_owned).collect(),
        prefix: options.text("--prefix").map(|_| prefix(options)).transpose()?,
    })
}

fn required_data_directory(options: &Parsed, environment: &Environment) -> Result<PathBuf, Refusal> {
    master_data_directory(options, environment).ok_or_else(|| {
        Refusal::failed("Environment Variable MASTER_DATA_DIRECTORY not set!").with_hint(
            "set it (or COORDINATOR_DATA_DIRECTORY), or name the data directory of the master with -d DIRECTORY.",
        )
    })
}

/// The directory of the run on this machine: the master's data directory, where there need be one.
fn own_directory(options: &Parsed, environment: &Environment) -> Result<PathBuf, Refusal> {
    let through_master = options.has("--through-master");
    match storage::root(options)? {
        Some(Place::Local(root)) if through_master => Ok(root),
        Some(Place::Stored(_)) if through_master => Ok(log_directory(options, environment)),
        Some(Place::Local(root)) if options.has(external::EXTERNAL) => {
            Ok(master_data_directory(options, environment).unwrap_or(root))
        }
        _ => required_data_directory(options, environment),
    }
}

fn prefix(options: &Parsed) -> Result<Prefix, Refusal> {
    Prefix::from_option(options.text("--prefix").unwrap_or_default())
        .map_err(|bad: BadPrefix| Refusal::failed(bad.to_string()))
}

fn build(options: &Parsed, environment: &Environment) -> Result<DumpRequest, Refusal> {
    let key = options.text("-K").map(str::parse::<TimestampKey>).transpose();
    Ok(DumpRequest {
        databases: databases(options, environment),
        filter: filter(options)?,
        backup_type: match options.has("--incremental") {
            true => BackupType::Incremental,
            false => BackupType::Full,
        },
        incremental_heap: options.has("--incremental-heap"),
        list_filter: options.has("--list-filter-tables"),
        list_files: options.has("--list-backup-files"),
        master_data_dir: own_directory(options, environment)?,
        backup_root: storage::root(options)?,
        prefix: prefix(options)?,
        key: key.map_err(|bad: BadKey| Refusal::failed(bad.to_string()))?,
        compression: if options.has("-z") {
            Compression::None
        } else {
            Compression::Gzip
        },
        disk_check: disk_check(options),
        chores: chores(options)?,
        style: style(options),
        external: external::dump_request(options)?,
        history: !options.has("-H"),
        confirm: !options.has("-a"),
        parallel: options.int("-B").and_then(|n| n.try_into().ok()).unwrap_or(PARALLEL),
        cut_timeout: Duration::from_secs(
            options
                .int("--cut-timeout")
                .and_then(|n| n.try_into().ok())
                .unwrap_or(CUT_TIMEOUT_SECONDS),
        ),
        remote_bin: options.text("--remote-bin").map(remote_bin).transpose()?,
        through_master: through_master(options),
        limits: limits(options),
        options_text: options.argv().join(" "),
        verbosity: verbosity(options),
    })
}

/// With `--external` everything but the rows goes through the master, and so do the rows that segments cannot write: few,
/// which one connection copies.
fn through_master(options: &Parsed) -> Option<ThroughMaster> {
    let is_external = options.has(external::EXTERNAL);
    (is_external || options.has("--through-master")).then(|| ThroughMaster {
        connections: match is_external {
            true => Some(1),
            false => options.int("--jobs").and_then(|n| n.try_into().ok()),
        },
        history_asked: options.has("-h"),
    })
}

fn databases(options: &Parsed, environment: &Environment) -> Databases {
    if options.has("--all-databases") {
        let but = options.values("--exclude-database").into_iter().map(str::to_owned);
        return Databases::All { but: but.collect() };
    }
    let mut names: Vec<String> = options.values("-x").into_iter().map(str::to_owned).collect();
    if names.is_empty() {
        names.extend(environment.pg.database.clone());
    }
    Databases::Named(names)
}

fn chores(options: &Parsed) -> Result<Chores, Refusal> {
    Ok(Chores {
        vacuum_before: options.has("-j"),
        vacuum_after: options.has("-k"),
        globals: options.has("-G"),
        config_files: options.has("-g"),
        statistics: options.has("--dump-stats"),
        rollback: options.has("-r"),
        cleanup: cleanup(options)?,
        script: options.text("-R").map(str::to_owned),
        mail_rules: options
            .text("--email-file")
            .map(mail_rules)
            .transpose()?
            .unwrap_or_default(),
    })
}

/// What the original handed on to its engine as it was typed.
const PASS_THROUGH: [&str; 8] = [
    "--clean",
    "--inserts",
    "--column-inserts",
    "--oids",
    "--no-owner",
    "--no-privileges",
    "--use-set-session-authorization",
    "--rsyncable",
];

fn style(options: &Parsed) -> OutputStyle {
    OutputStyle {
        clean: options.has("-C") || options.has("--clean"),
        clean_by_letter: options.has("-C"),
        rsyncable: options.has("--rsyncable"),
        no_owner: options.has("--no-owner"),
        no_privileges: options.has("--no-privileges"),
        session_authorization: options.has("--use-set-session-authorization"),
        rows: if options.has("--column-inserts") {
            RowStyle::ColumnInserts
        } else if options.has("--inserts") {
            RowStyle::Inserts
        } else if options.has("--oids") {
            RowStyle::CopyWithOids
        } else {
            RowStyle::Copy
        },
        // An empty one was none to the original.
        encoding: options.text("-E").filter(|name| !name.is_empty()).map(str::to_owned),
        pass_through: options
            .order()
            .filter(|id| PASS_THROUGH.contains(id))
            .map(str::to_owned)
            .collect(),
    }
}

/// That there is such a file was checked before.
fn mail_rules(file: &str) -> Result<Vec<MailRule>, Refusal> {
    let bad = |reason: String| Refusal::failed(format!("'{file}' file is not formatted properly:")).with_hint(reason);
    match std::fs::metadata(file) {
        Ok(meta) if meta.len() > email_file::LARGEST => return Err(bad("the file is larger than 1 MiB".to_owned())),
        _ => {}
    }
    let text = std::fs::read_to_string(file).map_err(|error| bad(error.to_string()))?;
    email_file::parse(&text).map_err(bad)
}

fn cleanup(options: &Parsed) -> Result<Option<CleanupRequest>, Refusal> {
    let when = match (options.has("-o"), options.has("-c")) {
        (true, _) => CleanupTime::InsteadOfDump,
        (false, true) => CleanupTime::AfterDump,
        (false, false) => return Ok(None),
    };
    let date = options.text("--cleanup-date").map(str::parse::<AskedDate>).transpose();
    let date = date.map_err(|bad| Refusal::failed(format!("--cleanup-date {bad}")))?;
    let total = options.text("--cleanup-total").and_then(python_int);
    Ok(Some(CleanupRequest {
        when,
        total: match (total, &date) {
            (None, None) => Some(1),
            (total, _) => total.and_then(|n| n.try_into().ok()),
        },
        date,
        force: options.has("--force"),
        dry_run: options.has("--dry-run"),
    }))
}

/// At most one filter is given: others were refused before.
fn filter(options: &Parsed) -> Result<TableFilter, Refusal> {
    type Make = fn(NameList) -> TableFilter;
    let kinds: [(&str, &str, Make); 4] = [
        ("-t", "--table-file", TableFilter::IncludeTables),
        ("-T", "--exclude-table-file", TableFilter::ExcludeTables),
        ("-s", "--schema-file", TableFilter::IncludeSchemas),
        ("-S", "--exclude-schema-file", TableFilter::ExcludeSchemas),
    ];
    for (names, file, make) in kinds {
        if options.has(names) {
            return Ok(make(NameList::typed(options.values(names))));
        }
        // An empty name of a file was given all the same: it must not become a dump of everything.
        if let Some(file) = options.values(file).last() {
            let text = std::fs::read_to_string(file).map_err(|error| Refusal::failed(unreadable(file, &error)))?;
            return Ok(make(NameList::of_file(&text, PathBuf::from(file))));
        }
    }
    Ok(TableFilter::Everything)
}

/// The number was checked before.
fn disk_check(options: &Parsed) -> DiskCheck {
    // Rows that go into a storage need no room here, and a bucket has no end that could be looked at.
    let is_stored = options.text("--storage").is_some_and(|url| !url.starts_with("file://"));
    if options.has("--incremental") || options.has(external::EXTERNAL) || is_stored {
        return DiskCheck::Bypassed;
    }
    let percent = match options.text("-f") {
        Some(text) => text.trim().parse().unwrap_or(KEEP_FREE_PERCENT),
        None => KEEP_FREE_PERCENT,
    };
    if options.has("-b") || percent == 0 {
        DiskCheck::Bypassed
    } else {
        DiskCheck::KeepFree(percent)
    }
}

fn remote_bin(directory: &str) -> Result<PathBuf, Refusal> {
    if Path::new(directory).is_absolute() {
        Ok(PathBuf::from(directory))
    } else {
        Err(Refusal::failed(format!(
            "--remote-bin \"{directory}\" is not an absolute path"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::tests::environment;
    use crate::options::GROUPS;
    use gpdump_core::cli::optparse::parse;

    fn request(line: &str) -> Result<DumpRequest, Refusal> {
        let argv: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        resolve(&parse(GROUPS, &argv).unwrap(), &environment(Some("sales"))).1
    }

    #[test]
    fn a_plain_cron_line_gets_the_defaults_of_the_original() {
        assert_eq!(
            request("-a").unwrap(),
            DumpRequest {
                databases: Databases::Named(vec!["sales".into()]),
                filter: TableFilter::Everything,
                backup_type: BackupType::Full,
                incremental_heap: false,
                list_filter: false,
                list_files: false,
                master_data_dir: "/data/master/gpseg-1".into(),
                backup_root: None,
                prefix: Prefix::none(),
                key: None,
                compression: Compression::Gzip,
                disk_check: DiskCheck::KeepFree(10),
                chores: Chores::default(),
                style: OutputStyle::default(),
                external: None,
                history: true,
                confirm: false,
                parallel: 64,
                cut_timeout: Duration::from_secs(60),
                remote_bin: None,
                through_master: None,
                limits: gpdump_core::words::limits::Limits::default(),
                options_text: "-a".into(),
                verbosity: Default::default(),
            }
        );
    }

    #[test]
    fn every_built_option_reaches_the_request() {
        let line = "-x a -x b,c --prefix nightly -z -u /backup -d /m -B 3 -H -q -v -f 0 --cut-timeout 5 --remote-bin /opt/bin -y f stray";
        assert_eq!(
            request(line).unwrap(),
            DumpRequest {
                databases: Databases::Named(vec!["a".into(), "b,c".into()]),
                master_data_dir: "/m".into(),
                backup_root: Some("/backup".into()),
                prefix: Prefix::from_option("nightly").unwrap(),
                compression: Compression::None,
                disk_check: DiskCheck::Bypassed,
                history: false,
                confirm: true,
                parallel: 3,
                cut_timeout: Duration::from_secs(5),
                remote_bin: Some("/opt/bin".into()),
                limits: gpdump_core::words::limits::Limits::default(),
                options_text: line.into(),
                verbosity: gpdump_core::words::environment::Verbosity {
                    quiet: true,
                    verbose: true
                },
                ..request("-a").unwrap()
            }
        );
        assert_eq!(
            request("-a -K 20240102030405").unwrap().key,
            Some("20240102030405".parse().unwrap())
        );
        assert_eq!(
            request("--all-databases --exclude-database a --exclude-database b")
                .unwrap()
                .databases,
            Databases::All {
                but: vec!["a".into(), "b".into()]
            }
        );
        let through = request("--through-master -u /backup --jobs 2 -h -d /elsewhere").unwrap();
        assert_eq!(through.master_data_dir, Path::new("/backup"));
        let asked = ThroughMaster {
            connections: Some(2),
            history_asked: true,
        };
        assert_eq!(through.through_master, Some(asked));
        assert_eq!(through.lock_word(), None);
        let stored = request("--through-master --storage s3://cold-copies/wh.1 -l /logs").unwrap();
        assert_eq!(stored.master_data_dir, Path::new("/logs"));
        assert_eq!(stored.lock_word().as_deref(), Some("s3_cold-copies_wh.1"));
        assert_eq!(request("--storage s3://cold-copies").unwrap().lock_word(), None);
        let local = request("--through-master --storage file:///backup").unwrap();
        assert_eq!(local.master_data_dir, Path::new("/backup"));
        assert_eq!(request("-f 25").unwrap().disk_check, DiskCheck::KeepFree(25));
        assert_eq!(request("-b").unwrap().disk_check, DiskCheck::Bypassed);
    }

    #[test]
    fn how_the_sql_is_written_is_one_value_and_keeps_the_words_in_their_order() {
        let style = |line: &str| request(line).unwrap().style;
        assert_eq!(
            style("--no-privileges -C --no-owner --use-set-session-authorization -E LATIN1"),
            OutputStyle {
                clean: true,
                clean_by_letter: true,
                rsyncable: false,
                no_owner: true,
                no_privileges: true,
                session_authorization: true,
                rows: RowStyle::Copy,
                encoding: Some("LATIN1".into()),
                pass_through: ["--no-privileges", "--no-owner", "--use-set-session-authorization"]
                    .map(str::to_owned)
                    .to_vec(),
            }
        );
        assert!(style("--rsyncable").rsyncable);
        assert_eq!(style("--oids").rows, RowStyle::CopyWithOids);
        assert_eq!(style("--inserts").rows, RowStyle::Inserts);
        assert_eq!(style("--column-inserts --inserts").rows, RowStyle::ColumnInserts);
        let clean = style("--clean");
        assert!(clean.clean && !clean.clean_by_letter);
        assert_eq!(clean.pass_through, ["--clean"]);
    }

    #[test]
    fn what_is_asked_for_around_the_dump_is_one_value() {
        let options = parse(
            GROUPS,
            &["-jkgGr", "--dump-stats", "-R", "after it", "-x", "d"].map(str::to_owned),
        )
        .unwrap();
        assert_eq!(
            chores(&options).unwrap(),
            Chores {
                vacuum_before: true,
                vacuum_after: true,
                globals: true,
                config_files: true,
                statistics: true,
                rollback: true,
                cleanup: None,
                script: Some("after it".to_owned()),
                mail_rules: Vec::new(),
            }
        );
    }

    #[test]
    fn cleaning_up_takes_the_oldest_unless_something_else_is_said() {
        let cleanup = |line: &str| request(line).unwrap().chores.cleanup.unwrap();
        let oldest = CleanupRequest {
            when: CleanupTime::AfterDump,
            date: None,
            total: Some(1),
            force: false,
            dry_run: false,
        };
        assert_eq!(cleanup("-c"), oldest);
        let named = CleanupRequest {
            when: CleanupTime::InsteadOfDump,
            date: Some("20240102".parse().unwrap()),
            total: None,
            force: true,
            dry_run: true,
        };
        assert_eq!(cleanup("-o --cleanup-date 20240102 --force --dry-run"), named);
        assert_eq!(cleanup("-c --cleanup-date 20240102 --cleanup-total 3").total, Some(3));
    }

    #[test]
    fn every_filter_reaches_the_request() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "a.b\r\n\r\nc.d \na.b\n").unwrap();
        let path = file.path().to_str().unwrap();
        let of_file = || NameList {
            names: vec!["a.b".into(), "c.d ".into()],
            file: Some(path.into()),
        };
        let typed = || NameList::typed(["a.b", "c,d"]);
        for (line, expected) in [
            ("-t a.b -t c,d -t a.b".to_owned(), TableFilter::IncludeTables(typed())),
            ("-T a.b -T c,d".to_owned(), TableFilter::ExcludeTables(typed())),
            ("-s a.b -s c,d".to_owned(), TableFilter::IncludeSchemas(typed())),
            ("-S a.b -S c,d".to_owned(), TableFilter::ExcludeSchemas(typed())),
            (format!("--table-file {path}"), TableFilter::IncludeTables(of_file())),
            (
                format!("--exclude-table-file={path}"),
                TableFilter::ExcludeTables(of_file()),
            ),
            (format!("--schema-file {path}"), TableFilter::IncludeSchemas(of_file())),
            (
                format!("--exclude-schema-file {path}"),
                TableFilter::ExcludeSchemas(of_file()),
            ),
        ] {
            assert_eq!(request(&format!("-a {line}")).unwrap().filter, expected, "{line}");
        }
        for (line, text) in [
            ("--table-file /nosuch", "[Errno 2] No such file or directory: '/nosuch'"),
            ("--exclude-table-file=", "[Errno 2] No such file or directory: ''"),
            ("--schema-file=", "[Errno 2] No such file or directory: ''"),
        ] {
            assert_eq!(request(line).unwrap_err(), Refusal::failed(text), "{line}");
        }
    }

    #[test]
    fn values_that_mean_nothing_are_refused() {
        for (line, text) in [
            ("-K 2021", "Invalid timestamp key"),
            ("-K 20241301000000", "month must be in 1..12"),
            ("--remote-bin bin", "--remote-bin \"bin\" is not an absolute path"),
        ] {
            assert_eq!(request(line).unwrap_err(), Refusal::failed(text), "{line}");
        }
        let mut environment = environment(Some("sales"));
        environment.master_data_directory = None;
        let refusal = resolve(&parse(GROUPS, &[]).unwrap(), &environment).1.unwrap_err();
        assert_eq!(refusal.text, "Environment Variable MASTER_DATA_DIRECTORY not set!");
    }
}
