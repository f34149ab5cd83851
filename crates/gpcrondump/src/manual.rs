//! What the manual page of `gpcrondump` says beside the options.

use gpdump_core::cli::manual::{ENVIRONMENT, Manual, Section, Task};

pub const MANUAL: Manual = Manual {
    summary: "dump Greenplum and PostgreSQL databases into files on every host",
    date: "2026-11-22",
    tasks: &[
        Task {
            title: "Every night, from cron",
            commands: &[
                (
                    "gpcrondump -a -q -x sales -x hr",
                    "Two databases, no question, only warnings and errors on the screen. Look at the exit status: 0 is a good \
                     dump of both.",
                ),
                (
                    "gpcrondump -a -q --all-databases -G -g",
                    "All databases, with roles and other global objects, and the configuration files of all servers.",
                ),
                (
                    "gpcrondump -a -q -x sales --json",
                    "For monitoring: one JSON object on standard output at the end, also when it fails.",
                ),
            ],
        },
        Task {
            title: "A full dump on Sunday, what changed on the other days",
            commands: &[
                (
                    "gpcrondump -a -q -x sales --prefix weekly",
                    "A full dump. The prefix keeps its chain apart from other dumps of the database.",
                ),
                (
                    "gpcrondump -a -q -x sales --prefix weekly --incremental",
                    "Append-optimized tables that changed since the last dump with this prefix, and all heap tables.",
                ),
            ],
        },
        Task {
            title: "Before a risky change",
            commands: &[
                (
                    "gpcrondump -a -x sales -t public.orders -t public.items",
                    "Two tables, with what they need to be restored alone.",
                ),
                ("gpcrondump -a -x sales -s public", "One schema."),
            ],
        },
        Task {
            title: "Somewhere else",
            commands: &[(
                "gpcrondump -a -x sales -u /backup",
                "The files of each host go under /backup of that host: a disk of its own or a mount. Give -u /backup to \
                 gpdbrestore too.",
            )],
        },
        Task {
            title: "A server that nobody can log in to",
            commands: &[
                (
                    "gpcrondump -a -x sales --through-master -u /backup",
                    "Over the SQL port that PGHOST and PGPORT name, from any machine, by a role that may read. Needs the pg_dump of \
                     the server's version in PATH, and no MASTER_DATA_DIRECTORY.",
                ),
                (
                    "gpcrondump -a -q -x sales --through-master --storage s3://cold-copies/warehouse1",
                    "The same into a bucket: nothing of the set touches a disk. The account is in AWS_ACCESS_KEY_ID and \
                     AWS_SECRET_ACCESS_KEY, or in a file that --storage-credentials names.",
                ),
                (
                    "gpcrondump -a -q --all-databases --exclude-database scratch --through-master -u /backup --jobs 8",
                    "Every database but one, through eight connections.",
                ),
                (
                    "gpcrondump -a -q --all-databases -u /backup --external cos --external-bucket \
                     nightly-125.cos.ap-guangzhou.myqcloud.com --external-secrets /home/backup/cos.keys",
                    "Greenplum: the segments write their rows into a bucket by external tables; definitions and manifest go \
                     under /backup on this machine.",
                ),
            ],
        },
        Task {
            title: "What is there, and what may go",
            commands: &[
                (
                    "gpcrondump --list-backups",
                    "Every set on the master: database, kind, age, size, whether it is complete, and which sets it needs. Works \
                     while the database is down.",
                ),
                (
                    "gpcrondump --list-backups -x sales -u /backup --json",
                    "The same for programs, of one database and another directory.",
                ),
                (
                    "gpcrondump -o --cleanup-total 3 --dry-run",
                    "Which three dates would be deleted, and what speaks against it.",
                ),
                (
                    "gpcrondump -a -x sales -c",
                    "Dumps, and then deletes the oldest date on all hosts.",
                ),
            ],
        },
    ],
    sections: &[
        Section {
            heading: "How it works",
            text: &[
                "The definitions are written on the host of the master, the rows of each segment on the host of the segment; \
                 no rows pass through the master. Other hosts are reached by ssh as the user who runs the program; the program \
                 must lie there at the same path, or where --remote-bin says.",
                "All segments show the same committed transactions. For that the tables are locked against writers for a \
                 moment, seconds at most; ACCESS SHARE locks are held until the end, as pg_dump does. When no such moment is \
                 found within --cut-timeout, the dump goes on without, warns, and ends with status 1. A TRUNCATE, DROP or ALTER \
                 that comes before all locks are there is let through, and the dump takes its locks anew; one that comes later \
                 waits for the end of the dump.",
                "A set is whole when its manifest is there: it is written last and has the size and the SHA-256 of every file. \
                 gpdbrestore refuses a set without.",
            ],
            terms: &[],
        },
        Section {
            heading: "Files",
            text: &[
                "All below db_dumps/YYYYMMDD in the data directory of each instance, or below the directory of -u. KEY is the \
                 timestamp key, fourteen digits; with --prefix all names start with the prefix and an underscore.",
            ],
            terms: &[
                (
                    "gp_dump_-1_1_KEY.gz, gp_dump_-1_1_KEY_post_data.gz",
                    "the definitions in front of and behind the rows, on the master",
                ),
                (
                    "gp_dump_CONTENT_DBID_KEY.gz",
                    "the rows of one segment; gzip -dc shows SQL with COPY blocks. Beside it lies its index, _index",
                ),
                ("gp_dump_KEY.rpt", "the report: how it went on each instance"),
                (
                    "gp_dump_KEY_manifest.json",
                    "every file of the set with size and sum, every table with its rows",
                ),
                ("gp_dump_KEY_increments", "the increments of a full dump"),
                ("gp_global_-1_1_KEY", "what -G saves"),
                ("~/gpAdminLogs/gpcrondump_YYYYMMDD.log", "the log; -l puts it elsewhere"),
                (
                    "~/mail_contacts, $GPHOME/bin/mail_contacts",
                    "whom to mail, an address a line",
                ),
            ],
        },
        Section {
            heading: "Exit status",
            text: &[],
            terms: &[
                (
                    "0",
                    "Every database is dumped, complete, on disk, and one consistent cut.",
                ),
                (
                    "1",
                    "Every set is complete, but something else was not done: mail, clean-up, vacuum, script, history, \
                     configuration files, or the one cut could not be had. The log says what.",
                ),
                (
                    "2",
                    "A database was not dumped, or the options were refused. Others of the run may be dumped.",
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
                    "An instance of gpcrondump is already running (pid N)",
                    "The other run holds the lock of gpcrondump.pid in the data directory of the master. The lock ends with the \
                     process; there is nothing to remove by hand.",
                ),
                (
                    "There is a future dated backup on the system preventing new backups",
                    "A set has a later key than now: the clock was set back, or the set was made with -K. Move it away.",
                ),
                (
                    "No full backup found for incremental",
                    "Make a full dump with the same --prefix and -u first; gpcrondump --list-backups shows what is there.",
                ),
            ],
        },
    ],
    see_also: &[("gpdbrestore", "1"), ("pg_dump", "1"), ("ssh_config", "5")],
};
