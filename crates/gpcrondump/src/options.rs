//! Every option of `gpcrondump`: those of Greenplum 5, what is left of 4.3, and ours. The help text is made from it.

use gpdump_core::cli::external;
use gpdump_core::cli::help::Page;
use gpdump_core::cli::optparse::{OptionGroup, Origin, flag, int, list, stops, text, word};
use gpdump_core::cli::storage;

use crate::manual::MANUAL;

pub static GROUPS: &[OptionGroup] = &[
    OptionGroup {
        heading: "What to dump",
        options: &[
            list(
                &["-x"],
                "DATABASE",
                "database to dump; without it the one that PGDATABASE names",
            ),
            flag(
                &["--all-databases"],
                "dump every database but templates, gpperfmon and those that allow no connections",
            )
            .of(Origin::Ours),
            list(
                &["--exclude-database"],
                "DATABASE",
                "with --all-databases: but not this one",
            )
            .of(Origin::Ours),
            list(&["-s"], "SCHEMA", "dump only this schema"),
            text(&["--schema-file"], "FILE", "as -s, one name per line of FILE"),
            list(&["-S"], "SCHEMA", "dump all but this schema"),
            text(&["--exclude-schema-file"], "FILE", "as -S, one name per line of FILE"),
            list(&["-t"], "SCHEMA.TABLE", "dump only this table"),
            text(&["--table-file"], "FILE", "as -t, one name per line of FILE"),
            list(&["-T"], "SCHEMA.TABLE", "dump all but this table"),
            text(&["--exclude-table-file"], "FILE", "as -T, one name per line of FILE"),
            flag(
                &["--incremental"],
                "dump only the append-optimized tables that changed, and all heap tables",
            ),
            flag(
                &["--incremental-heap"],
                "note in the set what proves that a heap table did not change; with --incremental: leave out those of \
                 which the set before proves it",
            )
            .of(Origin::Ours),
            flag(
                &["--list-filter-tables"],
                "print the filter of the set of --prefix and stop",
            ),
        ],
    },
    OptionGroup {
        heading: "Where the files go and what they are called",
        options: &[
            text(
                &["-u"],
                "DIRECTORY",
                "put the files under this directory of every host instead of each server's data directory",
            ),
            text(
                &["--prefix"],
                "TEXT",
                "start every file name with TEXT and an underscore",
            ),
            text(
                &["-K"],
                "YYYYMMDDHHMMSS",
                "use this timestamp key instead of the present time",
            ),
            flag(
                &["--list-backup-files"],
                "write lists of the files that a dump with -K would have, and stop",
            ),
            flag(&["-z"], "do not compress"),
            flag(&["--rsyncable"], "compress so that rsync finds the unchanged parts"),
        ],
    },
    storage::GROUP,
    OptionGroup {
        heading: "Rows straight from the segments into a storage (Greenplum)",
        options: &[
            text(
                &["--external"],
                "PROTOCOL",
                "write the rows by external tables: \"cos\", or a file that describes another protocol; definitions, report \
                 and manifest stay files on this host",
            )
            .of(Origin::Ours),
            text(
                &["--external-bucket"],
                "HOST",
                "address of the bucket, without protocol and path",
            )
            .of(Origin::Ours),
            text(
                &["--external-path"],
                "PATH",
                "where a table lies in the bucket, with {date} {key} {database} {schema} {table}; \"script\" stands for \
                 backup/{date}/{database}/{schema}.{table}/, which all runs of a day share",
            )
            .of(Origin::Ours),
            word(
                &["--external-format"],
                &["text", "csv"],
                "how a row is written, text if not said",
            )
            .of(Origin::Ours),
            external::SECRETS,
            list(
                &["--external-exclude-owner"],
                "ROLE",
                "leave out the rows of tables that belong to ROLE",
            )
            .of(Origin::Ours),
        ],
    },
    OptionGroup {
        heading: "What there is",
        options: &[flag(
            &["--list-backups"],
            "dump nothing, list the sets on the master with kind, age, size and what they need; takes -x, --prefix, \
                 -u, -d and --json, needs no server",
        )
        .of(Origin::Ours)],
    },
    OptionGroup {
        heading: "What else to save",
        options: &[
            flag(&["-g"], "save the configuration files of master and segments"),
            flag(&["-G"], "save roles, resource queues and other global objects"),
            flag(&["--dump-stats"], "save the optimizer's statistics"),
        ],
    },
    OptionGroup {
        heading: "How the SQL is written",
        options: &[
            flag(&["-C"], "drop each object before it is created"),
            text(&["-E"], "ENCODING", "write in this encoding instead of the database's"),
            flag(&["--clean"], "as -C, handed to the DDL part of the dump"),
            flag(&["--inserts"], "write INSERT statements instead of COPY blocks"),
            flag(&["--column-inserts"], "as --inserts, with the names of the columns"),
            flag(&["--oids"], "save object ids of rows"),
            flag(&["--no-owner"], "leave out who owns an object"),
            flag(&["--no-privileges"], "leave out who may use an object"),
            flag(
                &["--use-set-session-authorization"],
                "set owners by SET SESSION AUTHORIZATION instead of ALTER OWNER",
            ),
        ],
    },
    OptionGroup {
        heading: "Before and after the dump",
        options: &[
            flag(&["-j"], "vacuum before the dump"),
            flag(&["-k"], "vacuum after a good dump"),
            flag(&["-c"], "delete old dump directories after a good dump"),
            flag(&["-o"], "only delete old dump directories"),
            text(&["--cleanup-date"], "YYYYMMDD", "which date -c and -o delete"),
            text(
                &["--cleanup-total"],
                "N",
                "how many of the oldest dates -c and -o delete, 1 if not said",
            ),
            flag(
                &["--dry-run"],
                "with -o: only print which dates would go, which would stay, and why",
            )
            .of(Origin::Ours),
            flag(
                &["--force"],
                "let -c and -o delete what an incremental dump that stays needs",
            )
            .of(Origin::Ours),
            flag(&["-r"], "delete the files of a dump that failed"),
            flag(
                &["-H"],
                "do not note the dump in public.gpcrondump_history of its database",
            ),
            flag(
                &["-h"],
                "note the dump in the history table; that is the default (this is not help)",
            ),
            text(
                &["-R"],
                "PROGRAM",
                "run PROGRAM when all databases are dumped; arguments may follow it within the same quotes",
            ),
            text(
                &["--email-file"],
                "FILE.yaml",
                "senders and subjects of the completion mails, by database",
            ),
        ],
    },
    OptionGroup {
        heading: "How the run goes",
        options: &[
            flag(&["-a"], "do not ask for confirmation"),
            text(
                &["-d", "--master_data_directory"],
                "DIRECTORY",
                "data directory of the master; without it the one that MASTER_DATA_DIRECTORY names",
            ),
            int(
                &["-B"],
                "N",
                "work on at most N hosts at once, 64 if not said; with --external: on N tables, 4 if not said",
            ),
            flag(
                &["--through-master"],
                "read everything through the master's port (PGHOST, PGPORT), with rights to read and no more, into the \
                 directory of -u on this machine or the bucket of --storage; for managed servers, and where nobody can log in \
                 to the segments",
            )
            .of(Origin::Ours),
            int(
                &["--jobs"],
                "N",
                "with --through-master: copy through N connections, if not said 4 where they can share a snapshot, else 1",
            )
            .of(Origin::Ours),
            flag(&["-b"], "do not check for free disk space"),
            text(
                &["-f"],
                "PERCENT",
                "keep this much of each disk free, 10 if not said; 0 checks nothing",
            ),
            int(
                &["--cut-timeout"],
                "SECONDS",
                "how long to try for the instant in which all segments show the same transactions, 60 if \
                         not said; after it the dump goes on without and ends with status 1",
            )
            .of(Origin::Ours),
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
            stops(&["--help", "-?"], "print this text"),
            stops(&["--version"], "print the version"),
        ],
    },
    OptionGroup {
        heading: "Data Domain Boost and NetBackup (refused; the message says what to use in their place)",
        options: &[
            flag(&["--ddboost"], "write to a Data Domain"),
            flag(&["--replicate"], "copy to a second Data Domain"),
            text(&["--max-streams"], "N", "streams of that copy"),
            list(&["--ddboost-host"], "HOST", "Data Domain to configure"),
            text(&["--ddboost-user"], "USER", "its user"),
            text(&["--ddboost-backupdir"], "DIRECTORY", "its directory"),
            flag(&["--ddboost-remote"], "the second Data Domain is meant"),
            text(&["--ddboost-storage-unit"], "UNIT", "its storage unit"),
            flag(&["--ddboost-config-remove"], "forget the configuration"),
            flag(&["--ddboost-verify"], "try the stored credentials").of(Origin::Hidden),
            flag(&["--ddboost-skip-ping"], "do not ping it"),
            flag(&["--ddboost-show-config"], "show the configuration"),
            text(&["--netbackup-service-host"], "HOST", "NetBackup server"),
            text(&["--netbackup-policy"], "NAME", "NetBackup policy"),
            text(&["--netbackup-schedule"], "NAME", "NetBackup schedule"),
            text(&["--netbackup-block-size"], "BYTES", "NetBackup block size"),
            text(&["--netbackup-keyword"], "WORD", "NetBackup keyword"),
        ],
    },
    OptionGroup {
        heading: "Of Greenplum 4.3",
        options: &[
            text(&["-y"], "FILE", "").of(Origin::Legacy),
            text(&["-w"], "DBIDS", "").of(Origin::Legacy),
            flag(&["-i"], "").of(Origin::Legacy),
            flag(&["-p"], "").of(Origin::Legacy),
        ],
    },
];

pub const HELP: Page = Page {
    program: "gpcrondump",
    about: &[
        "Dumps databases of a Greenplum system, or of one PostgreSQL server, into files that gpdbrestore reads: the DDL \
         on the master's host, the rows of each segment on the segment's host. Options of the utility of the same name \
         in Greenplum 4.3 and 5 keep their meaning.",
    ],
    examples: &[
        (
            "gpcrondump -x sales",
            "shows what it is going to do, asks, and dumps database sales",
        ),
        (
            "gpcrondump -a -x sales -x hr -q",
            "as a cron job: two databases, no question, only warnings on the screen",
        ),
        (
            "gpcrondump -a -x sales -u /backup",
            "puts the files of each host under its directory /backup",
        ),
        (
            "gpcrondump -a -x sales -z -K 20240102030405 -l /var/log/dumps",
            "plain text files under a timestamp key of your own, log file in /var/log/dumps",
        ),
    ],
    footer: &[
        "Exit status: 0 every database is dumped; 1 dumped, but something beside it was not done, see the log; 2 failed \
         or refused; 4 the question was answered with no.",
        "Environment: MASTER_DATA_DIRECTORY (or COORDINATOR_DATA_DIRECTORY), GPHOME, and PGHOST PGPORT PGUSER PGPASSWORD \
         PGPASSFILE PGDATABASE PGSSLMODE PGSSLROOTCERT PGSSLCERT PGSSLKEY as for psql. Log file: ~/gpAdminLogs/gpcrondump_YYYYMMDD.log.",
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
            let environment = crate::checks::tests::environment(Some("sales"));
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
