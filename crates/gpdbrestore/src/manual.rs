//! What the manual page of `gpdbrestore` says beside the options.

use gpdump_core::cli::manual::{ENVIRONMENT, Manual, Section, Task};

pub const MANUAL: Manual = Manual {
    summary: "restore what gpcrondump wrote",
    date: "2026-11-22",
    tasks: &[
        Task {
            title: "Find the set",
            commands: &[
                (
                    "gpcrondump --list-backups",
                    "Every set on the master with its timestamp key, the first column. Add -u DIRECTORY for sets that lie \
                     elsewhere. Works while the database is down.",
                ),
                ("gpdbrestore -a -t 20240102030405 -L", "The tables of one set."),
            ],
        },
        Task {
            title: "A table is gone",
            commands: &[(
                "gpdbrestore -a -t 20240102030405 -T public.orders",
                "Brings it back whole: rows, indexes, constraints, triggers, sequences, comments, grants. Rows are added if the \
                 table is there.",
            )],
        },
        Task {
            title: "A table has wrong rows",
            commands: &[
                (
                    "gpdbrestore -a -t 20240102030405 -T public.orders --change-schema rescue",
                    "Puts the old table into another schema, to be compared. The schema must exist.",
                ),
                (
                    "gpdbrestore -a -t 20240102030405 -T public.orders --truncate",
                    "Empties the table, then loads the rows of the set. All is checked before it is emptied.",
                ),
            ],
        },
        Task {
            title: "A server that nobody can log in to",
            commands: &[(
                "gpdbrestore -a -t 20240102030405 --through-master -u /backup --redirect sales_copy",
                "Over the SQL port that PGHOST and PGPORT name, from any machine that has the files of the set under /backup.",
            )],
        },
        Task {
            title: "The whole database",
            commands: &[
                (
                    "gpdbrestore -t 20240102030405 -e",
                    "Shows what it is going to do and asks; then drops the database, creates it anew and restores.",
                ),
                (
                    "gpdbrestore -a -t 20240102030405 --redirect sales_copy",
                    "Into another database, which is created if it is not there. Nothing happens to the first.",
                ),
                ("gpdbrestore -a -e -s sales", "The newest whole set of that database."),
                (
                    "gpdbrestore -a -t 20240102030405 -S public -e --redirect sales_copy",
                    "One schema of it, into a new database.",
                ),
            ],
        },
        Task {
            title: "A restore was killed or failed",
            commands: &[(
                "gpdbrestore -a -t 20240102030405 -e --resume",
                "Goes on with it; the options must be the same. Nothing is dropped: tables that were loaded and still have as many \
                 rows stay as they are, all others are emptied and loaded again.",
            )],
        },
        Task {
            title: "A set that lies elsewhere, or has a prefix",
            commands: &[
                (
                    "gpdbrestore -a -t 20240102030405 -u /backup --prefix weekly",
                    "As it was dumped with gpcrondump -u /backup --prefix weekly.",
                ),
                (
                    "gpdbrestore -a -t 20240109030405 --list-backup --prefix weekly",
                    "The sets that an incremental one needs. A restore of it reads them all by itself.",
                ),
            ],
        },
    ],
    sections: &[
        Section {
            heading: "How it works",
            text: &[
                "Everything that can be looked at is looked at before anything is changed: the files of all segments on all \
                 hosts, their sizes and ends, the names that were asked for, what the database has already. Sums are checked as \
                 the files are read.",
                "Definitions are run in front of the rows, indexes and constraints behind them. Rows go straight to the segment \
                 they lay on where the cluster has as many segments and places rows in the same way; else through the master. \
                 The rows are counted, and compared with the set.",
                "A statement that the server refuses does not end the restore: it is told with the object it belongs to, and \
                 the status is 1. Sets of the gpcrondump of Greenplum 4.3 and 5 are restored too.",
            ],
            terms: &[],
        },
        Section {
            heading: "Files",
            text: &["In the data directory of each instance, or in the directory of --report-status-dir or -u."],
            terms: &[
                (
                    "gp_restore_KEY.rpt",
                    "the report: how it went on each instance, with every error",
                ),
                ("gp_restore_status_CONTENT_DBID_KEY", "the same of one instance"),
                (
                    "gp_restore_KEY_plan",
                    "of an increment: which tables came from which set",
                ),
                (
                    "gp_restore_KEY_resume",
                    "what the restore has done so far, for --resume",
                ),
                (
                    "~/gpAdminLogs/gpdbrestore_YYYYMMDD.log",
                    "the log; -l puts it elsewhere",
                ),
            ],
        },
        Section {
            heading: "Exit status",
            text: &[],
            terms: &[
                (
                    "0",
                    "Restored; the rows were counted and are complete, the server refused nothing.",
                ),
                (
                    "1",
                    "Restored, but the server refused some statements. Each is in the log; gp_restore_KEY.rpt has all.",
                ),
                (
                    "2",
                    "Failed or refused. The last lines of the log say whether anything was changed.",
                ),
                ("4", "The question was answered with no."),
            ],
        },
        ENVIRONMENT,
        Section {
            heading: "When something is wrong",
            text: &[],
            terms: &[
                (
                    "Unable to locate report file for timestamp KEY",
                    "The set lies elsewhere or has a prefix: give -u or --prefix as it was dumped.",
                ),
                (
                    "the dump set KEY is incomplete or damaged",
                    "Its dump was not finished, or a file is not what the manifest says. Nothing was changed; take another set.",
                ),
                (
                    "Database NAME does not exist and -e option not supplied",
                    "Add -e to create it, or --redirect to restore into another.",
                ),
                (
                    "No dump file on HOST in DIRECTORY",
                    "Files of segments are looked for on the hosts that have the segments now, and where they were written. Copy \
                     the missing one to the named directory.",
                ),
            ],
        },
    ],
    see_also: &[("gpcrondump", "1"), ("psql", "1"), ("pg_restore", "1")],
};
