//! Every option of `gpdbrestore`: those of Greenplum 5 and ours. The help text is made from it.

use gpdump_core::cli::external;
use gpdump_core::cli::help::Page;
use gpdump_core::cli::optparse::{OptionGroup, Origin, flag, int, list, stops, text, word};
use gpdump_core::cli::storage;

use crate::manual::MANUAL;

const INCLUDE_OR_ONLY: &[&str] = &["include", "only"];

pub static GROUPS: &[OptionGroup] = &[
    OptionGroup {
        heading: "Which dump set (one of these)",
        options: &[
            text(&["-t"], "YYYYMMDDHHMMSS", "the set with this timestamp key"),
            text(&["-b"], "YYYYMMDD", "a set of this date; asks when there are several"),
            text(&["-s"], "DATABASE", "the newest set of this database"),
            text(&["-R"], "HOST:PATH", "a set that is first copied from another host"),
        ],
    },
    OptionGroup {
        heading: "Where the set lies",
        options: &[
            text(
                &["-u"],
                "DIRECTORY",
                "under this directory of every host instead of each server's data directory",
            ),
            text(
                &["--prefix"],
                "TEXT",
                "its file names start with TEXT and an underscore",
            ),
        ],
    },
    storage::GROUP,
    OptionGroup {
        heading: "Rows that external tables wrote into a storage",
        options: &[
            text(
                &["--external"],
                "PROTOCOL",
                "read them by this protocol (\"cos\", or a file that describes it) instead of the one in the manifest; with \
                 --verify: read and count them",
            )
            .of(Origin::Ours),
            text(
                &["--external-bucket"],
                "HOST",
                "read them from this bucket instead of the one in the manifest",
            )
            .of(Origin::Ours),
            external::SECRETS,
        ],
    },
    OptionGroup {
        heading: "What to restore",
        options: &[
            list(&["-T"], "SCHEMA.TABLE", "only this table"),
            text(&["--table-file"], "FILE", "as -T, one name per line of FILE"),
            list(&["-S"], "SCHEMA", "only this schema"),
            flag(&["-m"], "the definitions without the rows"),
            flag(&["--noplan"], "").of(Origin::Hidden),
            word(&["-G"], INCLUDE_OR_ONLY, "also the global objects, or nothing but them"),
            word(
                &["--restore-stats"],
                INCLUDE_OR_ONLY,
                "also the optimizer's statistics, or nothing but them",
            ),
            flag(&["-L"], "restore nothing, list the tables of the set of -t"),
            flag(
                &["--list-backup"],
                "restore nothing, list the sets that the incremental set of -t needs",
            ),
            flag(
                &["--verify"],
                "restore nothing and touch no database; read every file of the set on all hosts, or what -T and -S name of \
                 them, and say what could be restored",
            )
            .of(Origin::Ours),
        ],
    },
    OptionGroup {
        heading: "Where to restore it",
        options: &[
            flag(&["-e"], "drop the database, if there is one, and create it anew"),
            text(
                &["--redirect"],
                "DATABASE",
                "restore into this database; created when missing",
            ),
            text(&["--change-schema"], "SCHEMA", "put the tables of -T into this schema"),
            flag(&["--truncate"], "empty the tables of -T or -S first"),
        ],
    },
    OptionGroup {
        heading: "After the restore",
        options: &[
            flag(&["--noanalyze"], "do not collect optimizer statistics"),
            flag(
                &["--noaostats"],
                "do not renew the row counts of append-optimized tables on the master",
            ),
        ],
    },
    OptionGroup {
        heading: "How the run goes",
        options: &[
            flag(&["-a"], "do not ask for confirmation"),
            flag(
                &["--stop-on-error"],
                "end at the first statement or table that the server refuses",
            )
            .of(Origin::Ours),
            int(
                &["--jobs"],
                "N",
                "make at most N indexes at once, and analyze as many tables, 4 if not said",
            )
            .of(Origin::Ours),
            flag(
                &["--through-master"],
                "send everything through the master's port (PGHOST, PGPORT), --jobs files at once, from the directory of -u \
                 on this machine or the bucket of --storage; for managed servers, and where nobody can log in to the segments",
            )
            .of(Origin::Ours),
            flag(
                &["--dry-run"],
                "look at everything, say what would be done, and change nothing",
            )
            .of(Origin::Ours),
            flag(
                &["--resume"],
                "go on with the same restore, which was broken off or failed: tables that are known to be whole stay as they \
                 are, all others are emptied and loaded again",
            )
            .of(Origin::Ours),
            flag(
                &["--no-disk-space-check"],
                "do not compare what the set will take with the free space of the data directories' file systems before anything \
                 is changed",
            )
            .of(Origin::Ours),
            text(
                &["-d", "--master_data_directory"],
                "DIRECTORY",
                "data directory of the master; without it the one that MASTER_DATA_DIRECTORY names",
            ),
            int(
                &["-B"],
                "N",
                "work on at most N hosts at once, 64 if not said; on N tables whose rows lie in a storage, 4 if not said",
            ),
            text(
                &["--report-status-dir"],
                "DIRECTORY",
                "put report and status files here, on every host",
            ),
            int(
                &["--connect-timeout"],
                "SECONDS",
                "how long to try to log in on a host or at a server, 60 if not said",
            )
            .of(Origin::Ours),
            int(
                &["--silence-timeout"],
                "SECONDS",
                "how long a host or a server may give no sign of life, 60 if not said",
            )
            .of(Origin::Ours),
            int(
                &["--lock-timeout"],
                "SECONDS",
                "how long to wait for a lock that another session holds, 600 if not said",
            )
            .of(Origin::Ours),
            text(
                &["--remote-bin"],
                "DIRECTORY",
                "where this program lies on the other hosts, if neither where it lies here nor in $GPHOME/bin",
            )
            .of(Origin::Ours),
            flag(&["-v", "--verbose"], "tell everything"),
            flag(
                &["-q", "--quiet"],
                "show only warnings and worse; the log file has the rest",
            ),
            text(&["-l"], "DIRECTORY", "put the log file here instead of ~/gpAdminLogs"),
            flag(
                &["--json"],
                "print what came of the run as one JSON object on standard output; log lines go to standard error",
            )
            .of(Origin::Ours),
            flag(&["-K"], "accepted for old scripts, does nothing"),
            stops(&["--help", "-h", "-?"], "print this text"),
            stops(&["--version"], "print the version"),
            flag(&["--no-validate-table-name"], "").of(Origin::Hidden),
        ],
    },
    OptionGroup {
        heading: "Data Domain Boost and NetBackup (refused; the message says what to use in their place)",
        options: &[
            flag(&["--ddboost"], "read from a Data Domain"),
            text(&["--ddboost-storage-unit"], "UNIT", "its storage unit"),
            text(&["--netbackup-service-host"], "HOST", "NetBackup server"),
            text(&["--netbackup-block-size"], "BYTES", "NetBackup block size"),
        ],
    },
];

pub const HELP: Page = Page {
    program: "gpdbrestore",
    about: &[
        "Restores what gpcrondump wrote, this one or the one of Greenplum 4.3 and 5, into a Greenplum system or one \
         PostgreSQL server, whatever the number of segments. Options of the utility of the same name in Greenplum 5 keep \
         their meaning.",
    ],
    examples: &[
        (
            "gpdbrestore -t 20240102030405",
            "shows what it is going to do, asks, and restores that set into the database it was made from",
        ),
        (
            "gpdbrestore -a -e -t 20240102030405",
            "no question; the database is dropped and created anew",
        ),
        (
            "gpdbrestore -a -t 20240102030405 -u /backup --redirect sales_copy",
            "the files lie under /backup, the rows go to another database",
        ),
        (
            "gpdbrestore -a -e -t 20240102030405 --resume",
            "goes on where that restore was killed or failed",
        ),
        (
            "gpdbrestore --verify -t 20240102030405",
            "reads the set from end to end and says whether all of it could be restored",
        ),
    ],
    footer: &[
        "Exit status: 0 restored, rows counted and found complete; 1 restored, but the server refused some statements, see \
         the log; 2 failed or refused; 4 the question was answered with no.",
        "Exit status of --verify: 0 all that was asked for can be restored; 1 the same, but a file that rows do not depend on \
         is damaged or missing; 2 rows or definitions are damaged or missing, or could not be read: the log names the \
         tables, and says which can still be restored.",
        "Environment: MASTER_DATA_DIRECTORY (or COORDINATOR_DATA_DIRECTORY), GPHOME, and PGHOST PGPORT PGUSER PGPASSWORD \
         PGPASSFILE PGDATABASE PGSSLMODE PGSSLROOTCERT PGSSLCERT PGSSLKEY as for psql. Log file: ~/gpAdminLogs/gpdbrestore_YYYYMMDD.log.",
    ],
    manual: &MANUAL,
};

#[cfg(test)]
mod tests {
    use super::*;
    use gpdump_core::cli::checks::{self, Asked};
    use gpdump_core::cli::generated;
    use gpdump_core::cli::optparse::parse;

    use crate::checks::{CHECKS, NOT_BUILT};

    /// `GPDUMP_BLESS=1` writes the files anew.
    #[test]
    fn generated_files_are_those_of_the_options() {
        let write = std::env::var_os("GPDUMP_BLESS").is_some();
        let faults = generated::faults(&crate::PROGRAM, &repository(), write).unwrap();
        assert_eq!(faults, [] as [String; 0]);
    }

    #[test]
    fn everything_that_is_written_about_the_program_is_a_command_line_that_it_takes() {
        let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
        let commands = generated::shown_commands(&crate::PROGRAM, &readme);
        assert!(commands.len() > 10, "{}", commands.len());
        for words in commands {
            let options = parse(GROUPS, &words).unwrap_or_else(|error| panic!("{words:?}: {error}"));
            let environment = crate::checks::tests::environment();
            let (_, checked) = checks::run(
                CHECKS,
                &Asked {
                    options: &options,
                    environment: &environment,
                },
            );
            let built = checked.and_then(|()| checks::refuse_not_built(NOT_BUILT, &options));
            built.unwrap_or_else(|refusal| panic!("{words:?}: {refusal}"));
        }
    }

    fn repository() -> std::path::PathBuf {
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }
}

#[cfg(test)]
#[path = "options/tested.rs"]
mod tested;
