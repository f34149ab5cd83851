//! The option checks of the original in its order (`gpcrondump.md` 1.4), and what is refused for other reasons.
//!
//! Not here: 2 and 3 (they need the server), 11 (a default, no check), 17d (what stands in the file is looked at when mails
//! are sent).

use std::path::Path;

use gpdump_core::cli::checks::{Asked, Check, Finding, ask, failed};
use gpdump_core::cli::external::external_companion;
use gpdump_core::cli::optparse::{python_int, python_list, python_repr};
use gpdump_core::cli::program::bad_limit;
use gpdump_core::cli::storage;
use gpdump_core::plan::chores::AskedDate;

const INCREMENTAL: &[&str] = &["--incremental"];
const TABLE_FILES: &[&str] = &["--table-file", "--exclude-table-file"];
const TABLES: &[&str] = &["-t", "-T"];
const CLEANUP: &[&str] = &["-c", "-o"];
const NETBACKUP: &[&str] = &["--netbackup-service-host", "--netbackup-policy", "--netbackup-schedule"];

/// Schemas that belong to the server and are never dumped by name.
const CATALOG_SCHEMAS: [&str; 6] = [
    "gp_toolkit",
    "information_schema",
    "pg_aoseg",
    "pg_bitmapindex",
    "pg_catalog",
    "pg_toast",
];

#[rustfmt::skip]
pub static CHECKS: &[Check] = &[
    ask("1", stray_words),
    ask("4.3 -y", |asked| note_if(asked, "-y", "-y is a deprecacted option.  Report files are always generated with the backup set.", true)),
    ask("4.3 -w", |asked| note_if(asked, "-w", "-w is no longer supported, will continue with dump of primary segments.", false)),
    failed("4", &[&["-h"], &["-H"]], "-H option cannot be selected with -h option. "),
    ask("5", |asked| refuse_if(is_given(asked, INCREMENTAL) && !asked.options.has("-x"), || Finding::known("Must supply -x <database name> with incremental option"))),
    ask("6", incremental_of_several),
    ask("7", |asked| refuse_if(asked.options.has("-K") && databases(asked) > 1, || Finding::known("multi-database backup is not supported with -K option"))),
    failed("8", &[&["-o"], INCREMENTAL], "-o option cannot be selected with incremental backup"),
    ask("9", |asked| refuse_if(asked.options.has("--cleanup-date") && !is_given(asked, CLEANUP), || Finding::known("Must supply -c or -o with --cleanup-date option"))),
    ask("10", |asked| refuse_if(asked.options.has("--cleanup-total") && !is_given(asked, CLEANUP), || Finding::known("Must supply -c or -o with --cleanup-total option"))),
    ask("12", |asked| refuse_if(asked.options.has("--list-backup-files") && !asked.options.has("-K"), || Finding::failed("Must supply -K option when listing backup files"))),
    ask("13", database_of_the_environment),
    ask("14", storage_unit_alone),
    failed("15", &[&["--list-backup-files"], &["--ddboost", "--ddboost-verify", "--ddboost-host", "--ddboost-user", "--ddboost-config-remove"]], "list backup files not supported with ddboost option"),
    ask("16", |asked| refuse_if(asked.options.has("--list-filter-tables") && !(asked.options.has("--prefix") && is_given(asked, INCREMENTAL)), || Finding::failed("list filter tables option requires --prefix and --incremental"))),
    ask("17", email_file),
    ask("18", netbackup),
    failed("19", &[&["--ddboost"], &["--netbackup-service-host"]], "--ddboost is not supported with NetBackup"),
    failed("20", &[&["-f"], &["--ddboost"]], "-f option cannot be selected with ddboost"),
    failed("21", &[&["-f"], INCREMENTAL], "-f option cannot be selected with incremental backup"),
    ask("22", free_space_number),
    ask("23", disk_check_bypassed),
    ask("24", relative_directory),
    ask("25", replication),
    failed("26", &[&["--exclude-schema-file"], &["-s"]], "-s can not be selected with --exclude-schema-file option"),
    failed("27", &[&["--schema-file"], &["-s"]], "-s can not be selected with --schema-file option"),
    failed("28", &[&["-s"], &["-S"]], "-s can not be selected with -S option"),
    failed("29", &[&["--exclude-schema-file"], &["-S"]], "-S can not be selected with --exclude-schema-file option"),
    failed("30", &[&["--schema-file"], &["-S"]], "-S can not be selected with --schema-file option"),
    failed("31", &[&["--schema-file"], &["--exclude-schema-file"]], "--exclude-schema-file can not be selected with --schema-file option"),
    failed("32", &[&["-s"], INCREMENTAL], "-s option can not be selected with incremental backup"),
    failed("33", &[&["-S"], INCREMENTAL], "-S option can not be selected with incremental backup"),
    failed("34", &[&["--schema-file"], INCREMENTAL], "--schema-file option can not be selected with incremental backup"),
    failed("35", &[&["--exclude-schema-file"], INCREMENTAL], "--exclude-schema-file option can not be selected with incremental backup"),
    failed("36", &[&["--exclude-schema-file"], TABLE_FILES], "--table-file and --exclude-table-file can not be selected with --exclude-schema-file option"),
    failed("37", &[&["--schema-file"], TABLE_FILES], "--table-file and --exclude-table-file can not be selected with --schema-file option"),
    failed("38", &[&["-s"], TABLE_FILES], "--table-file and --exclude-table-file can not be selected with -s option"),
    failed("39", &[&["-S"], TABLE_FILES], "--table-file and --exclude-table-file can not be selected with -S option"),
    failed("40", &[&["--exclude-schema-file"], TABLES], "-t and -T can not be selected with --exclude-schema-file option"),
    failed("41", &[&["--schema-file"], TABLES], "-t and -T can not be selected with --schema-file option"),
    failed("42", &[&["-s"], TABLES], "-t and -T can not be selected with -s option"),
    failed("43", &[&["-S"], TABLES], "-t and -T can not be selected with -S option"),
    failed("44", &[&["-t"], INCREMENTAL], "include table list can not be selected with incremental backup"),
    failed("45", &[&["-T"], INCREMENTAL], "exclude table list can not be selected with incremental backup"),
    failed("46", &[&["--table-file"], INCREMENTAL], "include table file can not be selected with incremental backup"),
    failed("47", &[&["--exclude-table-file"], INCREMENTAL], "exclude table file can not be selected with incremental backup"),
    failed("48", &[&["-c"], INCREMENTAL], "-c option can not be selected with incremental backup"),
    failed("49", &[&["-C"], INCREMENTAL], "-C option can not be selected with incremental backup"),
    failed("50", &[&["-t"], &["--table-file"]], "-t can not be selected with --table-file option"),
    failed("51", &[&["-t"], &["--exclude-table-file"]], "-t can not be selected with --exclude-table-file option"),
    failed("52", &[&["-T"], &["--exclude-table-file"]], "-T can not be selected with --exclude-table-file option"),
    failed("53", &[&["-T"], &["--table-file"]], "-T can not be selected with --table-file option"),
    failed("54", &[&["-t"], &["-T"]], "-t can not be selected with -T option"),
    failed("55", &[&["--table-file"], &["--exclude-table-file"]], "--table-file can not be selected with --exclude-table-file option"),
    failed("56", &[&["--inserts", "--oids", "--column-inserts"], INCREMENTAL], "--inserts, --column-inserts, --oids cannot be selected with incremental backup"),
    ask("57", catalog_schema),
    // The original's engine refused this, when it ran already.
    failed("4.1", &[&["--oids"], &["--inserts", "--column-inserts"]], "--oids can not be selected with --inserts or --column-inserts option"),
    // From here on what the original checks later (1.5), or stumbles over in the middle of a dump.
    ask("1.5", filter_for_several),
    failed("--all-databases", &[&["--all-databases"], &["-x"]], "-x can not be selected with --all-databases option"),
    failed("--all-databases", &[&["--all-databases"], &["-K"]], "-K can not be selected with --all-databases option"),
    failed("--external", &[&["--external"], INCREMENTAL], "--external option can not be selected with incremental backup"),
    failed("--external", &[&["--external"], &["--incremental-heap"]], "--external option can not be selected with --incremental-heap option"),
    failed("--external", &[&["--external"], &["--inserts", "--column-inserts", "--oids", "-E"]], "--inserts, --column-inserts, --oids and -E can not be selected with --external option"),
    failed("--external", &[&["--external"], &["--list-backup-files"]], "--list-backup-files can not be selected with --external option"),
    failed("--external", &[&["--external"], &["-g", "--remote-bin"]], "-g and --remote-bin can not be selected with --external option, which goes to no host of the cluster"),
    ask("--external", |asked| external_companion(asked.options).and_then(Finding::failed)),
    ask("--exclude-database", |asked| refuse_if(asked.options.has("--exclude-database") && !asked.options.has("--all-databases"), || Finding::failed("--exclude-database can only be selected with --all-databases option"))),
    ask("2.11", cleanup_values),
    ask("--dry-run", |asked| refuse_if(asked.options.has("--dry-run") && !asked.options.has("-o"), || Finding::failed("--dry-run can only be selected with -o option"))),
    ask("--force", |asked| refuse_if(asked.options.has("--force") && !is_given(asked, CLEANUP), || Finding::known("Must supply -c or -o with --force option"))),
    ask("--list-backups", list_alone),
    ask("-B", |asked| refuse_if(asked.options.int("-B").is_some_and(|n| n <= 0), || Finding::failed("WorkerPool(): numWorkers should be greater than 0."))),
    ask("--through-master", through_master),
    ask("--cut-timeout", |asked| refuse_if(asked.options.int("--cut-timeout").is_some_and(|n| n < 0), || Finding::failed("--cut-timeout must be 0 or more seconds"))),
    ask("limits", |asked| bad_limit(asked.options).and_then(Finding::failed)),
    failed("--storage", &[&["--storage"], &["-u"]], "-u can not be selected with --storage option"),
    failed("--storage", &[&["--storage"], &["--list-backup-files"]], "--list-backup-files can not be selected with --storage option: there are no named pipes in a bucket, and every file of a set lies in it"),
    failed("--storage", &[&["--storage"], &["-f"]], "-f can not be selected with --storage option: a bucket has no end"),
    failed("--storage", &[&["--storage"], &["--external"]], "--external can not be selected with --storage option: its rows go into a storage by themselves, and its other files where -u says"),
    ask("--storage", |asked| storage::companion(asked.options).and_then(Finding::failed)),
    ask("--storage", odd_prefix),
    ask("Data Domain", data_domain_and_netbackup),
];

/// Options that the original has and this program has not yet, each with what to do without it.
#[rustfmt::skip]
pub static NOT_BUILT: &[(&str, &str)] = &[
];

/// The original took any text and looked at it after the dump.
fn cleanup_values(asked: &Asked) -> Option<Finding> {
    if let Some(date) = asked.options.text("--cleanup-date")
        && let Err(bad) = date.parse::<AskedDate>()
    {
        return Finding::failed(format!("--cleanup-date {bad}"));
    }
    let total = asked.options.text("--cleanup-total")?;
    match python_int(total) {
        None => Finding::failed(format!(
            "invalid literal for int() with base 10: {}",
            python_repr(total)
        )),
        Some(n) if n < 0 => Finding::failed(format!("--cleanup-total {n} is not a number of dump directories")),
        Some(_) => None,
    }
}

fn is_given(asked: &Asked, set: &[&str]) -> bool {
    set.iter().any(|id| asked.options.has(id))
}

fn databases(asked: &Asked) -> usize {
    asked.options.values("-x").len()
}

fn refuse_if(wrong: bool, finding: impl FnOnce() -> Option<Finding>) -> Option<Finding> {
    if wrong { finding() } else { None }
}

fn note_if(asked: &Asked, option: &str, text: &str, warn: bool) -> Option<Finding> {
    match asked.options.has(option) {
        false => None,
        true if warn => Finding::warning(text),
        true => Finding::info(text),
    }
}

fn stray_words(asked: &Asked) -> Option<Finding> {
    let words = asked.options.words();
    refuse_if(!words.is_empty(), || {
        Finding::warning(format!(
            "please note that some of the arguments ({}) aren't valid and will be ignored.",
            python_list(words)
        ))
    })
}

fn incremental_of_several(asked: &Asked) -> Option<Finding> {
    let count = databases(asked);
    refuse_if(is_given(asked, INCREMENTAL) && count > 1, || {
        Finding::known(format!(
            "multi-database backup is not supported with incremental backup: {count} databases selected"
        ))
    })
}

fn database_of_the_environment(asked: &Asked) -> Option<Finding> {
    let needs_none = [
        "-x",
        "-o",
        "--ddboost-host",
        "--ddboost-user",
        "--ddboost-config-remove",
        "--ddboost-show-config",
        "--all-databases",
        "--list-backups",
    ];
    if is_given(asked, &needs_none) {
        return None;
    }
    match &asked.environment.pg.database {
        Some(database) => Finding::info(format!(
            "Setting dump database to value of $PGDATABASE which is {database}"
        )),
        None if asked.options.has("--ddboost-verify") => None,
        None => Finding::known("Must supply -x <database name> because $PGDATABASE is not set"),
    }
}

/// Names of files stand in URLs there.
fn odd_prefix(asked: &Asked) -> Option<Finding> {
    let prefix = asked
        .options
        .text("--prefix")
        .filter(|_| asked.options.has("--storage"))?;
    let is_plain = prefix.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    refuse_if(!is_plain, || {
        Finding::failed(format!(
            "--prefix \"{prefix}\" can not be selected with --storage option: names in a bucket have letters, digits and - _ ."
        ))
    })
}

/// Who asks for something else as well would wait for it in vain.
fn list_alone(asked: &Asked) -> Option<Finding> {
    const WITH: [&str; 14] = [
        "--storage",
        "--storage-credentials",
        "--storage-endpoint",
        "--storage-path-style",
        "--list-backups",
        "-x",
        "--prefix",
        "-u",
        "-d",
        "-a",
        "-l",
        "-q",
        "-v",
        "--json",
    ];
    if !asked.options.has("--list-backups") {
        return None;
    }
    let other = asked.options.order().find(|id| !WITH.contains(id))?;
    Finding::failed(format!("{other} can not be selected with --list-backups option"))
}

/// What needs more of the cluster than the master's port, and what is of no use without.
fn through_master(asked: &Asked) -> Option<Finding> {
    const NOT_WITH: [(&str, &str); 4] = [
        (
            "--external",
            "with it everything but the rows goes through the master's port already",
        ),
        ("-g", "configuration files lie on hosts that it does not go to"),
        ("--incremental-heap", "its proof is read in the files of the segments"),
        ("--remote-bin", "it starts no program on another host"),
    ];
    if !asked.options.has("--through-master") {
        return refuse_if(asked.options.has("--jobs"), || {
            Finding::failed("--jobs can only be selected with --through-master option")
        });
    }
    if asked.options.int("--jobs").is_some_and(|n| n <= 0) {
        return Finding::failed("--jobs must be greater than 0");
    }
    if let Some((option, why)) = NOT_WITH.into_iter().find(|(option, _)| asked.options.has(option)) {
        return Finding::failed(format!(
            "{option} can not be selected with --through-master option: {why}"
        ));
    }
    refuse_if(!is_given(asked, &["-u", "--storage"]), || {
        Finding::failed(
            "Must supply -u <directory> or --storage <URL> with --through-master option: the files go into that directory \
             of this machine, or into that bucket",
        )
    })
}

fn storage_unit_alone(asked: &Asked) -> Option<Finding> {
    let with = [
        "--ddboost",
        "--ddboost-host",
        "--ddboost-user",
        "--ddboost-config-remove",
        "--ddboost-verify",
        "--ddboost-show-config",
    ];
    refuse_if(
        asked.options.has("--ddboost-storage-unit") && !is_given(asked, &with),
        || Finding::failed("Must specify --ddboost option together with the --ddboost-storage-unit"),
    )
}

fn email_file(asked: &Asked) -> Option<Finding> {
    let file = asked.options.text("--email-file")?;
    match std::fs::metadata(file) {
        Ok(found) if found.is_file() => {
            if !file.ends_with(".yaml") {
                Finding::failed(format!(
                    "'{file}' is not '.yaml' file. File containing email details should be '.yaml' file."
                ))
            } else if found.len() == 0 {
                Finding::failed(format!("'{file}' file is empty."))
            } else {
                None
            }
        }
        _ => Finding::failed(format!("'{file}' file does not exist.")),
    }
}

fn netbackup(asked: &Asked) -> Option<Finding> {
    if !is_given(asked, NETBACKUP) {
        return None;
    }
    for (id, what) in [
        ("--netbackup-service-host", "service hostname"),
        ("--netbackup-policy", "policy name"),
        ("--netbackup-schedule", "schedule name"),
    ] {
        if !asked.options.has(id) {
            return Finding::failed(format!(
                "NetBackup {what} ({id}) param should be provided in order to use NetBackup"
            ));
        }
    }
    for (id, what) in [
        ("--netbackup-service-host", "Service Hostname"),
        ("--netbackup-policy", "Policy Name"),
        ("--netbackup-schedule", "Schedule Name"),
        ("--netbackup-keyword", "Keyword"),
    ] {
        if let Some(value) = asked.options.text(id).filter(|value| value.len() > 127) {
            return Finding::failed(format!(
                "Netbackup {what} ({value}) exceeds the maximum length of 127 characters"
            ));
        }
    }
    None
}

fn free_space_number(asked: &Asked) -> Option<Finding> {
    let text = asked.options.text("-f")?;
    match text.trim().parse::<i64>() {
        Err(_) => Finding::failed(format!("invalid literal for int() with base 10: {}", python_repr(text))),
        // The original takes any number and fails later, or checks nothing.
        Ok(percent) => refuse_if(!(0..=100).contains(&percent), || {
            Finding::failed(format!(
                "-f {percent} is not a share of a disk that can stay free: give 0 to 100 percent"
            ))
        }),
    }
}

fn disk_check_bypassed(asked: &Asked) -> Option<Finding> {
    if asked.options.has("--ddboost") {
        Finding::info("Bypassing disk space checks due to DDBoost parameters")
    } else if is_given(asked, INCREMENTAL) {
        Finding::info("Bypassing disk space checks for incremental backup")
    } else if asked.options.has("-b") {
        Finding::info("Bypassing disk space check as '-b' option is specified")
    } else {
        None
    }
}

fn relative_directory(asked: &Asked) -> Option<Finding> {
    let directory = asked.options.text("-u")?;
    refuse_if(!Path::new(directory).is_absolute(), || {
        Finding::failed(format!(
            "\"{directory}\" is not an absolute path. Please specify the absolute path where the backup files will be placed on each host."
        ))
    })
}

fn replication(asked: &Asked) -> Option<Finding> {
    let (replicate, streams) = (asked.options.has("--replicate"), asked.options.text("--max-streams"));
    if !asked.options.has("--ddboost") {
        return refuse_if(replicate || streams.is_some(), || {
            Finding::known("--replicate and --max-streams cannot be used without --ddboost")
        });
    }
    if replicate != streams.is_some() {
        return Finding::known("--max-streams must be specified along with --replicate");
    }
    if streams.is_some_and(|n| python_int(n).is_none_or(|n| n <= 0)) {
        return Finding::known("--max-streams must be a number greater than zero");
    }
    refuse_if(asked.options.has("-u"), || {
        Finding::known("-u cannot be used with DDBoost parameters.")
    })
}

fn catalog_schema(asked: &Asked) -> Option<Finding> {
    let of_catalog = |name: &&str| CATALOG_SCHEMAS.contains(name);
    for (option, file_option, verb) in [
        ("-s", "--schema-file", "include"),
        ("-S", "--exclude-schema-file", "exclude"),
    ] {
        if let Some(name) = asked.options.values(option).into_iter().find(of_catalog) {
            return Finding::failed(format!("can not specify catalog schema '{name}' using {option} option"));
        }
        let Some(file) = asked.options.text(file_option) else {
            continue;
        };
        match std::fs::read_to_string(file) {
            Err(e) => return Finding::failed(unreadable(file, &e)),
            Ok(text) => {
                if let Some(name) = text.lines().map(str::trim).find(of_catalog) {
                    return Finding::failed(format!(
                        "can not {verb} catalog schema '{name}' in schema file '{file}'"
                    ));
                }
            }
        }
    }
    None
}

/// As Python words it, for those who look for the words; without a number where the system gave none.
pub fn unreadable(file: &str, error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(2) => format!("[Errno 2] No such file or directory: '{file}'"),
        Some(13) => format!("[Errno 13] Permission denied: '{file}'"),
        Some(21) => format!("[Errno 21] Is a directory: '{file}'"),
        _ => format!("could not read '{file}': {error}"),
    }
}

fn filter_for_several(asked: &Asked) -> Option<Finding> {
    if databases(asked) < 2 && !asked.options.has("--all-databases") {
        return None;
    }
    for (set, text) in [
        (
            ["-s", "--schema-file"],
            "Cannot include specific schema if multiple database dumps are requested",
        ),
        (
            ["-S", "--exclude-schema-file"],
            "Cannot exclude specific schema if multiple database dumps are requested",
        ),
        (
            ["-t", "--table-file"],
            "Cannot supply a table dump list if multiple database dumps are requested",
        ),
        (
            ["-T", "--exclude-table-file"],
            "Cannot exclude specific tables if multiple database dumps are requested",
        ),
    ] {
        if is_given(asked, &set) {
            return Finding::known(text);
        }
    }
    None
}

fn data_domain_and_netbackup(asked: &Asked) -> Option<Finding> {
    let find = |start: &str| asked.options.order().find(|id| id.starts_with(start));
    if let Some(option) = find("--ddboost") {
        return Finding::known(format!(
            "option {option} is not supported, because Data Domain Boost needs a closed library: export a directory of \
             the Data Domain over NFS, mount it on every host, and dump into it with -u DIRECTORY"
        ));
    }
    let option = find("--netbackup")?;
    Finding::known(format!(
        "option {option} is not supported, because NetBackup needs a closed library: dump with -u DIRECTORY into a file \
         system that NetBackup saves, or into named pipes that its agent reads"
    ))
}

#[cfg(test)]
pub mod tests;
