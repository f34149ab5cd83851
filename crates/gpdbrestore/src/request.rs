//! From what was typed to what is wanted.

use std::path::{Path, PathBuf};

use gpdump_core::cli::checks::{Asked, refuse_not_built, run};
use gpdump_core::cli::external;
use gpdump_core::cli::optparse::Parsed;
use gpdump_core::cli::program::{limits, log_directory, master_data_directory, verbosity};
use gpdump_core::cli::storage;
use gpdump_core::gplog::LogLevel;
use gpdump_core::plan::filter::NameList;
use gpdump_core::plan::restore::remote::RemotePlace;
use gpdump_core::plan::restore_request::{Extra, RestoreRequest, WhichSet};
use gpdump_core::words::environment::Environment;
use gpdump_core::words::ids::{BadPrefix, Prefix, TimestampKey};
use gpdump_core::words::place::Place;
use gpdump_core::words::refusal::Refusal;

use crate::checks::{CHECKS, NOT_BUILT};

const PARALLEL: usize = 64;
const JOBS: usize = 4;

/// Checks the options and makes the request of them; beside it the lines that belong into the log either way.
pub fn resolve(
    options: &Parsed,
    environment: &Environment,
) -> (Vec<(LogLevel, String)>, Result<RestoreRequest, Refusal>) {
    let (notes, checked) = run(CHECKS, &Asked { options, environment });
    let request = checked
        .and_then(|()| refuse_not_built(NOT_BUILT, options))
        .and_then(|()| build(options, environment));
    (notes, request)
}

fn build(options: &Parsed, environment: &Environment) -> Result<RestoreRequest, Refusal> {
    let backup_root = storage::root(options)?;
    Ok(RestoreRequest {
        which: match (options.text("-s"), options.text("-b"), options.text("-R")) {
            (Some(database), ..) => WhichSet::Latest(database.to_owned()),
            (_, Some(date), _) => WhichSet::Date(date.to_owned()),
            (.., Some(place)) => WhichSet::Remote(RemotePlace::parse(place)?),
            _ => WhichSet::Key(timestamp_key(options.text("-t").unwrap_or_default())?),
        },
        master_data_dir: master_data_directory(options, environment)
            // A set in cold storage can be looked at where there is no cluster.
            .or_else(|| {
                let needs_none = options.has("--verify") || goes_through_master(options);
                match backup_root.as_ref().filter(|_| needs_none)? {
                    Place::Local(root) => Some(root.clone()),
                    Place::Stored(_) => Some(log_directory(options, environment)),
                }
            })
            .ok_or_else(|| {
                Refusal::failed("Environment Variable MASTER_DATA_DIRECTORY not set!")
                    .with_hint("set it (or COORDINATOR_DATA_DIRECTORY), or name the data directory of the master with -d DIRECTORY.")
            })?,
        backup_root,
        prefix: Prefix::from_option(options.text("--prefix").unwrap_or_default())
            .map_err(|bad: BadPrefix| Refusal::failed(bad.to_string()))?,
        recreate: options.has("-e"),
        redirect: options.text("--redirect").map(str::to_owned),
        tables: tables(options)?,
        schemas: NameList::typed(options.values("-S")),
        metadata_only: options.has("-m"),
        truncate: options.has("--truncate"),
        change_schema: options.text("--change-schema").map(str::to_owned),
        verify: options.has("--verify"),
        globals: extra(options.text("-G")),
        statistics: extra(options.text("--restore-stats")),
        stop_on_error: options.has("--stop-on-error"),
        jobs: options.int("--jobs").and_then(|n| n.try_into().ok()).unwrap_or(JOBS),
        dry_run: options.has("--dry-run"),
        resume: options.has("--resume"),
        list_tables: options.has("-L"),
        list_backup: options.has("--list-backup"),
        noplan: options.has("--noplan"),
        analyze: !options.has("--noanalyze"),
        ao_stats: !options.has("--noaostats"),
        report_status_dir: options.text("--report-status-dir").map(absolute),
        external: external::access(options)?,
        disk_check: !options.has("--no-disk-space-check"),
        confirm: !options.has("-a"),
        parallel: options.int("-B").and_then(|n| n.try_into().ok()).unwrap_or(PARALLEL),
        remote_bin: options.text("--remote-bin").map(remote_bin).transpose()?,
        through_master: goes_through_master(options),
        limits: limits(options),
        options_text: options.argv().join(" "),
        verbosity: verbosity(options),
    })
}

/// Rows that the segments read themselves need nothing of them but the master's port.
fn goes_through_master(options: &Parsed) -> bool {
    options.has("--through-master") || (options.has(external::EXTERNAL) && !options.has("-R"))
}

fn extra(word: Option<&str>) -> Extra {
    match word {
        None => Extra::No,
        Some("only") => Extra::Only,
        Some(_) => Extra::Include,
    }
}

/// A list without names does not mean the whole set.
fn tables(options: &Parsed) -> Result<NameList, Refusal> {
    let list = match options.text("--table-file") {
        None => return Ok(NameList::typed(options.values("-T"))),
        Some(file) => {
            let text = std::fs::read_to_string(file)
                .map_err(|error| Refusal::failed(format!("could not read table file \"{file}\": {error}")))?;
            NameList::of_file(&text, PathBuf::from(file))
        }
    };
    match list.names.is_empty() {
        false => Ok(list),
        true => Err(Refusal::failed(format!(
            "There is no name of a table in file \"{}\"",
            options.text("--table-file").unwrap_or_default()
        ))
        .with_hint("a list without names does not mean the whole set: leave the option out to restore all of it.")),
    }
}

/// The texts are those of the original, which looked for 14 digits anywhere first.
fn timestamp_key(text: &str) -> Result<TimestampKey, Refusal> {
    let is_digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    if !text.as_bytes().windows(14).any(is_digits) {
        return Err(Refusal::failed(
            "Invalid timestamp specified, please specify in the following format: YYYYMMDDHHMMSS.",
        ));
    }
    text.parse().map_err(|bad| {
        let refusal = Refusal::failed(format!("Invalid timestamp: \"{text}\""));
        match text.len() {
            14 => refusal.with_hint(format!("{bad}.")),
            _ => refusal,
        }
    })
}

/// Checked to be there; other processes work in other directories.
fn absolute(directory: &str) -> PathBuf {
    std::path::absolute(directory).unwrap_or_else(|_| PathBuf::from(directory))
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

    fn request(line: &str) -> Result<RestoreRequest, Refusal> {
        let argv: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        resolve(&parse(GROUPS, &argv).unwrap(), &environment()).1
    }

    #[test]
    fn without_a_data_directory_nothing_is_begun() {
        let options = parse(GROUPS, &["-t".to_owned(), "20240102030405".to_owned()]).unwrap();
        let environment = Environment {
            master_data_directory: None,
            ..environment()
        };
        let refusal = resolve(&options, &environment).1.unwrap_err();
        assert_eq!(refusal.text, "Environment Variable MASTER_DATA_DIRECTORY not set!");
    }

    #[test]
    fn every_built_option_reaches_the_request() {
        let plain = RestoreRequest {
            external: gpdump_core::plan::external::ExternalAccess {
                streams: 4,
                ..Default::default()
            },
            options_text: "-t 20240102030405".into(),
            ..RestoreRequest::plain(
                WhichSet::Key("20240102030405".parse().unwrap()),
                "/data/master/gpseg-1".into(),
            )
        };
        assert_eq!(request("-t 20240102030405").unwrap(), plain);
        let line = "-a -e -t 20240102030405 -d / -u /backup -B 3 -v --redirect copy --noanalyze --noaostats --remote-bin /b \
                    --report-status-dir / -K --no-disk-space-check";
        assert_eq!(
            request(line).unwrap(),
            RestoreRequest {
                master_data_dir: "/".into(),
                backup_root: Some("/backup".into()),
                recreate: true,
                redirect: Some("copy".into()),
                analyze: false,
                ao_stats: false,
                disk_check: false,
                report_status_dir: Some("/".into()),
                external: gpdump_core::plan::external::ExternalAccess {
                    streams: 3,
                    ..Default::default()
                },
                confirm: false,
                parallel: 3,
                remote_bin: Some("/b".into()),
                through_master: false,
                limits: gpdump_core::words::limits::Limits::default(),
                options_text: line.split_whitespace().collect::<Vec<_>>().join(" "),
                verbosity: gpdump_core::words::environment::Verbosity {
                    quiet: false,
                    verbose: true
                },
                ..plain
            }
        );
    }

    #[test]
    fn what_is_chosen_of_a_set_reaches_the_request() {
        let chosen = request("-s shop -T a.t -T a.u -T a.t -S b -m --truncate --change-schema c").unwrap_err();
        assert_eq!(chosen.text, "-S option cannot be used with --change-schema option");
        let chosen = request("-s shop -T a.t -T a.u -T a.t -S b -m --truncate").unwrap();
        assert_eq!(chosen.which, WhichSet::Latest("shop".into()));
        assert_eq!(chosen.tables, NameList::typed(["a.t", "a.u"]));
        assert_eq!(chosen.schemas, NameList::typed(["b"]));
        assert!(chosen.metadata_only && chosen.truncate && chosen.selects() && chosen.has_phases());
        let chosen = request("-b 20240102 -T a.t --change-schema c").unwrap();
        assert_eq!(chosen.which, WhichSet::Date("20240102".into()));
        assert_eq!(chosen.change_schema.as_deref(), Some("c"));
        assert!(request("-t 20240102030405 -L").unwrap().list_tables);
        assert!(request("-t 20240102030405 --verify -T a.t").unwrap().verify);
        assert!(
            request("-t 20240102030405 --through-master -u /b")
                .unwrap()
                .through_master
        );
        let stored = request("-t 20240102030405 --through-master --storage s3://cold-copies").unwrap();
        assert!(stored.through_master && stored.backup_root.is_some());
    }

    #[test]
    fn a_key_that_is_none_is_refused_in_the_words_of_the_original() {
        let format = "Invalid timestamp specified, please specify in the following format: YYYYMMDDHHMMSS.";
        for (key, text) in [
            ("2016", format),
            ("20x60101010101", format),
            ("201601010101011", "Invalid timestamp: \"201601010101011\""),
            ("20161301010101", "Invalid timestamp: \"20161301010101\""),
        ] {
            assert_eq!(request(&format!("-t {key}")).unwrap_err().text, text);
        }
    }
}
