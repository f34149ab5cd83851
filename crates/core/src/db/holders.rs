//! Whose a lock is: the words of a catalog query that lead from a row of `pg_locks` to the session a DBA can end.
//!
//! A Greenplum master's `pg_locks` shows the locks of all segments too, with the processes that serve a session there.
//! These are not in the master's `pg_stat_activity`, but the number of their session is.

use std::fmt::{self, Write as _};

use crate::words::dialect::{Dialect, Product};

/// One that stands in the way, as a message says it.
pub(super) struct InTheWay<'a> {
    pub(super) table: Option<&'a str>,
    pub(super) process: Option<&'a str>,
    pub(super) user: Option<&'a str>,
    /// `holds ExclusiveLock`
    pub(super) lock: Option<&'a str>,
    pub(super) query: Option<&'a str>,
}

impl fmt::Display for InTheWay<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(table) = self.table {
            write!(f, "table {}: ", on_one_line(table))?;
        }
        let Some(process) = self.process else {
            return f.write_str("a session that is not shown any more");
        };
        let (lock, query) = (self.lock.unwrap_or("?"), on_one_line(self.query.unwrap_or("?")));
        match self.user {
            Some(user) => write!(f, "process {process} of user {} {lock} ({query})", on_one_line(user)),
            None => write!(f, "process {process} {lock} (no session of this server)"),
        }
    }
}

/// For messages.
pub(super) fn on_one_line(text: &str) -> String {
    text.replace(['\n', '\t'], " ")
}

/// The columns that this server has. Aliases in the queries: `h` a held lock, `a` the activity of its session.
#[derive(Debug, Clone, Copy)]
pub(super) struct Holders {
    /// Before 9.2 two columns have other names.
    pub(super) is_old: bool,
    /// `pg_locks` tells session and segment of each lock.
    pub(super) has_sessions: bool,
}

impl Holders {
    /// Asks a server whose product is not known whether its `pg_locks` tells sessions: one row when so.
    pub(super) const HAS_SESSIONS: &'static str = "SELECT 1 FROM pg_catalog.pg_attribute \
         WHERE attrelid = 'pg_catalog.pg_locks'::pg_catalog.regclass AND attname = 'mppsessionid'";

    pub(super) fn of(dialect: &Dialect) -> Holders {
        Holders {
            is_old: dialect.pg_version.0 < 90_200,
            has_sessions: dialect.product != Product::Postgres,
        }
    }

    /// Column of `pg_stat_activity` with the process.
    pub(super) fn pid(self) -> &'static str {
        if self.is_old { "procpid" } else { "pid" }
    }

    /// Column of `pg_stat_activity` with the statement.
    pub(super) fn query(self) -> &'static str {
        if self.is_old { "current_query" } else { "query" }
    }

    /// The process to be ended: on the master where the session is one of the master's.
    pub(super) fn process(self) -> String {
        let pid = self.pid();
        match self.has_sessions {
            false => "h.pid::pg_catalog.text".to_owned(),
            true => format!(
                "CASE WHEN a.{pid} IS NOT NULL THEN a.{pid}::pg_catalog.text \
                 ELSE h.pid || ' on segment ' || h.gp_segment_id END"
            ),
        }
    }

    /// Joins `a` to `h`.
    pub(super) fn join(self) -> String {
        let pid = self.pid();
        match self.has_sessions {
            false => format!("LEFT JOIN pg_catalog.pg_stat_activity a ON a.{pid} = h.pid"),
            // Our own locks are among the rows: the lowest number is that of the server that is asked.
            true => format!(
                "LEFT JOIN pg_catalog.pg_stat_activity a ON CASE \
                 WHEN h.gp_segment_id = (SELECT min(o.gp_segment_id) FROM pg_catalog.pg_locks o) THEN a.{pid} = h.pid \
                 ELSE h.mppsessionid > 0 AND a.sess_id = h.mppsessionid END"
            ),
        }
    }

    /// The lock `h` is of the same server as the lock `w`, and not of its session.
    pub(super) fn is_of_another_session(self) -> &'static str {
        match self.has_sessions {
            false => "h.pid <> w.pid",
            // Sessions of a segment's own have no number.
            true => {
                "h.gp_segment_id = w.gp_segment_id AND h.pid <> w.pid \
                 AND (h.mppsessionid <= 0 OR h.mppsessionid <> w.mppsessionid)"
            }
        }
    }

    /// The lock `o` is held by this process, on the same object as the lock `h`, which another waits for.
    pub(super) fn is_held_by(self, process: i32) -> String {
        let on_this_server = match self.has_sessions {
            false => "",
            true => " AND o.gp_segment_id = h.gp_segment_id",
        };
        format!(
            "o.granted AND o.pid = {process} AND o.locktype = h.locktype \
             AND o.database IS NOT DISTINCT FROM h.database AND o.relation IS NOT DISTINCT FROM h.relation{on_this_server}"
        )
    }

    /// The lock `w` is one of the sessions that `whose` (a condition on `pg_stat_activity m`) names; on a segment too.
    pub(super) fn belongs_to(self, whose: &str) -> String {
        let by_process = format!(
            "w.pid IN (SELECT m.{} FROM pg_catalog.pg_stat_activity m WHERE {whose})",
            self.pid()
        );
        match self.has_sessions {
            false => by_process,
            true => format!(
                "({by_process} OR w.mppsessionid IN \
                 (SELECT m.sess_id FROM pg_catalog.pg_stat_activity m WHERE m.sess_id > 0 AND {whose}))"
            ),
        }
    }

    /// The lock `h`, held or waited for, keeps others from the lock that `w` waits for. A waiter counts, because those who
    /// come later stand behind it: a DROP TABLE that waits for our own lock stops the next reader.
    ///
    /// Source: "Table-level locks" of PostgreSQL's documentation, the table of conflicting modes.
    pub(super) fn conflicts() -> String {
        const CONFLICTS: [(&str, &str); 7] = [
            ("AccessShare", "AccessExclusive"),
            ("RowShare", "Exclusive AccessExclusive"),
            ("RowExclusive", "Share ShareRowExclusive Exclusive AccessExclusive"),
            (
                "ShareUpdateExclusive",
                "ShareUpdateExclusive Share ShareRowExclusive Exclusive AccessExclusive",
            ),
            (
                "Share",
                "RowExclusive ShareUpdateExclusive ShareRowExclusive Exclusive AccessExclusive",
            ),
            (
                "ShareRowExclusive",
                "RowExclusive ShareUpdateExclusive Share ShareRowExclusive Exclusive AccessExclusive",
            ),
            (
                "Exclusive",
                "RowShare RowExclusive ShareUpdateExclusive Share ShareRowExclusive Exclusive AccessExclusive",
            ),
        ];
        let mut sql = "CASE w.mode".to_owned();
        for (wanted, others) in CONFLICTS {
            let others: Vec<String> = others.split(' ').map(|mode| format!("'{mode}Lock'")).collect();
            let _ = write!(sql, " WHEN '{wanted}Lock' THEN h.mode IN ({})", others.join(", "));
        }
        // ACCESS EXCLUSIVE conflicts with all.
        sql + " ELSE true END"
    }
}
