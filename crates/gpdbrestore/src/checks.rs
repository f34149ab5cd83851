//! The option checks of the original in its order (`gpdbrestore.md` 1.3), and what is refused for other reasons.
//!
//! Not here: 14 (an empty `--change-schema` counts as not given). Different: `-m` with `--restore-stats` is not refused;
//! the original did so by mistake, its own help offers the combination.

use std::path::Path;

use gpdump_core::cli::checks::{Asked, Check, Finding, argument, ask, failed, known};
use gpdump_core::cli::program::bad_limit;
use gpdump_core::cli::storage;
use gpdump_core::words::refusal::Refusal;

const NETBACKUP: &[&str] = &["--netbackup-service-host"];
const WAYS: [&str; 4] = ["-t", "-b", "-R", "-s"];

#[rustfmt::skip]
pub static CHECKS: &[Check] = &[
    ask("-d", data_directory),
    ask("1", |asked| refuse_if(ways(asked) == 0, "Must supply one of -t, -b, -R, or -s.")),
    ask("2", |asked| refuse_if(ways(asked) > 1, "Only supply one of -t, -b, -R, or -s.")),
    ask("3", |asked| refuse_if(asked.options.has("-L") && !asked.options.has("-t"), "Need to supply -t <timestamp> for -L option")),
    ask("4", |asked| refuse_if(asked.options.has("--list-backup") && !asked.options.has("-t"), "Need to supply -t <timestamp> for --list-backup option")),
    argument("5", &[&["--list-backup"], &["-e"]], "Cannot specify --list-backup and -e together"),
    ask("6", |asked| refuse_if(asked.options.int("-B").is_some_and(|n| n <= 0), "-B <parallel processes> must be greater than 0")),
    ask("7", truncate_everything),
    failed("8", &[&["--truncate"], &["-e"]], "Cannot specify --truncate and -e together"),
    ask("9", only_statistics_of_a_new_database),
    failed("10", &[&["--table-file"], &["-T"]], "Cannot specify -T and --table-file together"),
    failed("11", &[&["--list-backup"], &["-T"]], "Cannot specify -T and --list-backup together"),
    failed("12", &[&["-m"], &["--noplan"]], "Cannot specify --noplan and -m together."),
    failed("13", &[&["-m"], &["--noanalyze"]], "Cannot specify --noanalyze and -m together."),
    ask("15", change_schema_of_everything),
    failed("16", &[&["--change-schema"], &["-S"]], "-S option cannot be used with --change-schema option"),
    ask("17", table_file),
    failed("18", &[&["-R"], NETBACKUP], "-R is not supported for restore with NetBackup."),
    failed("19", &[&["-s"], NETBACKUP], "-s is not supported with NetBackup."),
    failed("20", &[&["-b"], NETBACKUP], "-b is not supported with NetBackup."),
    failed("21", &[&["-L"], NETBACKUP], "-L is not supported with NetBackup."),
    ask("22", block_size_alone),
    ask("23", long_netbackup_host),
    ask("24", |asked| bad_name(asked, "--redirect")),
    ask("25", |asked| bad_name(asked, "-s")),
    ask("26", status_directory),
    ask("27", storage_unit_alone),
    failed("28", &[&["--ddboost"], NETBACKUP], "--ddboost option is not supported with NetBackup"),
    known("29", &[&["--ddboost"], &["-R"]], "-R cannot be used with DDBoost parameters."),
    known("30", &[&["--ddboost"], &["-u"]], "-u cannot be used with DDBoost parameters."),
    // From here on what the original does not check.
    ask("-u", relative_directory),
    ask("--verify", verify_and_change),
    ask("--through-master", through_master),
    ask("--resume", resume_of_nothing),
    ask("--jobs", |asked| refuse_if(asked.options.int("--jobs").is_some_and(|n| n <= 0), "--jobs must be greater than 0")),
    ask("limits", |asked| bad_limit(asked.options).map(|text| Finding::Refused(Refusal::argument(text)))),
    failed("--storage", &[&["--storage"], &["-u"]], "-u can not be selected with --storage option"),
    failed("--storage", &[&["--storage"], &["-R"]], "-R can not be selected with --storage option: the files of a bucket need not be brought from another host"),
    failed("--storage", &[&["--storage"], &["--external"]], "--external can not be selected with --storage option: the files of a set whose rows external tables wrote lie where -u says"),
    ask("--storage", |asked| storage::companion(asked.options).and_then(Finding::failed)),
    ask("Data Domain", data_domain_and_netbackup),
];

/// Options that the original has and this program has not yet, each with what to do without it.
pub static NOT_BUILT: &[(&str, &str)] = &[];

/// Refused as a bad argument.
fn refuse_if(wrong: bool, text: &str) -> Option<Finding> {
    wrong.then(|| Finding::Refused(Refusal::argument(text)))
}

fn ways(asked: &Asked) -> usize {
    WAYS.iter().filter(|id| asked.options.has(id)).count()
}

fn has_any(asked: &Asked, ids: &[&str]) -> bool {
    ids.iter().any(|id| asked.options.has(id))
}

/// The original read `postgresql.conf` there before it looked at any option.
fn data_directory(asked: &Asked) -> Option<Finding> {
    let directory = asked.options.text("-d")?;
    let error = std::fs::metadata(directory).err()?;
    Some(Finding::Refused(
        Refusal::failed(format!("the data directory \"{directory}\" cannot be read: {error}"))
            .with_hint("-d names the data directory of the master; without it MASTER_DATA_DIRECTORY counts"),
    ))
}

fn truncate_everything(asked: &Asked) -> Option<Finding> {
    if asked.options.has("--truncate") && !has_any(asked, &["-S", "-T", "--table-file"]) {
        return Finding::failed("--truncate can be specified only with -S, -T, or --table-file option");
    }
    None
}

fn only_statistics_of_a_new_database(asked: &Asked) -> Option<Finding> {
    if asked.options.text("--restore-stats") == Some("only") && asked.options.has("-e") {
        return Finding::failed("Cannot specify --restore-stats only and -e together");
    }
    None
}

fn change_schema_of_everything(asked: &Asked) -> Option<Finding> {
    if asked.options.has("--change-schema") && !has_any(asked, &["-T", "--table-file"]) {
        return Finding::failed("-T or --table-file option must be specified with the --change-schema option");
    }
    None
}

fn table_file(asked: &Asked) -> Option<Finding> {
    let file = asked.options.text("--table-file")?;
    if Path::new(file).is_file() {
        return None;
    }
    Finding::failed(format!("Table file does not exist \"{file}\""))
}

fn block_size_alone(asked: &Asked) -> Option<Finding> {
    if asked.options.has("--netbackup-block-size") && !has_any(asked, NETBACKUP) {
        return Finding::failed("The --netbackup-service-host option must be supplied to use NetBackup.");
    }
    None
}

fn long_netbackup_host(asked: &Asked) -> Option<Finding> {
    let host = asked
        .options
        .text("--netbackup-service-host")
        .filter(|host| host.len() > 127)?;
    Finding::failed(format!(
        "Netbackup Service Hostname ({host}) exceeds the maximum length of 127 characters"
    ))
}

fn bad_name(asked: &Asked, option: &str) -> Option<Finding> {
    let name = asked.options.text(option)?;
    if !name.contains(['\t', '\n', '!', ',', '.']) {
        return None;
    }
    Finding::failed(format!(
        "Name has an invalid character \"\\t\" \"\\n\" \"!\" \",\" \".\": \"{name}\""
    ))
}

/// Tried with a file that has no name, so that nothing of the user's is touched and nothing stays behind.
fn status_directory(asked: &Asked) -> Option<Finding> {
    let directory = asked.options.text("--report-status-dir")?;
    let error = tempfile::tempfile_in(directory).err()?;
    Some(Finding::Refused(
        Refusal::failed(format!("No write access permission on {directory}")).with_hint(format!(
            "--report-status-dir must be a directory that can be written to: {error}."
        )),
    ))
}

fn storage_unit_alone(asked: &Asked) -> Option<Finding> {
    if asked.options.has("--ddboost-storage-unit") && !asked.options.has("--ddboost") {
        return Finding::failed("Cannot use ddboost storage unit option without specifying --ddboost option.");
    }
    None
}

/// The original looked for it below the current directory here and below each data directory there.
fn relative_directory(asked: &Asked) -> Option<Finding> {
    let directory = asked.options.text("-u")?;
    if Path::new(directory).is_absolute() {
        return None;
    }
    Finding::failed(format!(
        "\"{directory}\" is not an absolute path. Please specify the absolute path where the backup files are on each host."
    ))
}

/// What says how to restore, to a run that restores nothing.
fn verify_and_change(asked: &Asked) -> Option<Finding> {
    const OTHERS: [&str; 9] = [
        "-e",
        "--truncate",
        "--redirect",
        "--change-schema",
        "-L",
        "--list-backup",
        "-R",
        "-G",
        "--restore-stats",
    ];
    if !asked.options.has("--verify") {
        return None;
    }
    let other = OTHERS.into_iter().find(|other| asked.options.has(other))?;
    Finding::failed(format!("Cannot specify --verify and {other} together"))
}

/// What needs more of the cluster than the master's port.
fn through_master(asked: &Asked) -> Option<Finding> {
    if !asked.options.has("--through-master") {
        return None;
    }
    if asked.options.has("-R") {
        return Finding::failed(
            "Cannot specify --through-master and -R together: copy the set into a directory of this machine, and name that \
             with -u",
        );
    }
    if !has_any(asked, &["-u", "--storage"]) {
        return Finding::failed(
            "Must supply -u <directory> or --storage <URL> with --through-master: the set lies in that directory of this \
             machine, or in that bucket",
        );
    }
    None
}

/// What restores nothing, or adds rows to tables that are not ours to empty, cannot be gone on with.
fn resume_of_nothing(asked: &Asked) -> Option<Finding> {
    const OTHERS: [&str; 6] = ["-L", "--list-backup", "--verify", "--dry-run", "--noplan", "-R"];
    if !asked.options.has("--resume") {
        return None;
    }
    if let Some(other) = OTHERS.into_iter().find(|other| asked.options.has(other)) {
        return Finding::failed(match other {
            "-R" => "Cannot specify --resume and -R together: the set is on this host by now; name it with -t and -u"
                .to_owned(),
            _ => format!("Cannot specify --resume and {other} together"),
        });
    }
    let only = ["-G", "--restore-stats"]
        .into_iter()
        .find(|option| asked.options.text(option) == Some("only"))?;
    Finding::failed(format!("Cannot specify --resume and {only} only together"))
}

fn data_domain_and_netbackup(asked: &Asked) -> Option<Finding> {
    if asked.options.has("--ddboost") {
        return Finding::known(
            "option --ddboost is not supported, because Data Domain Boost needs a closed library: export the directory \
             of the Data Domain over NFS, mount it on every host, and restore from it with -u DIRECTORY",
        );
    }
    if has_any(asked, NETBACKUP) {
        return Finding::known(
            "option --netbackup-service-host is not supported, because NetBackup needs a closed library: let NetBackup \
             put the files back on every host, and restore them with -u DIRECTORY",
        );
    }
    None
}

#[cfg(test)]
pub mod tests;
