//! Which heap tables of a segment can be those of the dump before, as far as its catalog tells; their pages decide
//! (`docs/incremental-heap.md`).

use std::collections::HashMap;

use crate::format::heap_state::{HeapStates, HeapTable, Lsn};
use crate::words::names::QualifiedName;

/// Why the segment cannot be compared at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotComparable {
    #[error("the server was set up anew since the dump before")]
    OtherSystem,
    #[error("the server was promoted, or recovered to a point in time, since the dump before")]
    OtherTimeline,
    #[error("the database was created anew since the dump before")]
    OtherDatabase,
    #[error("the server's log stands at {now}, and at the dump before it stood at {before}: the server was put back")]
    LogWentBack { before: Lsn, now: Lsn },
}

/// The place in the log behind which a change shows in a page, and the tables of which the pages have to be looked at,
/// as they are now. All others have changed, or nobody can tell.
pub(super) fn candidates<'a>(
    before: &HeapStates,
    now: &'a HeapStates,
) -> Result<(Lsn, Vec<&'a HeapTable>), NotComparable> {
    let (old, new) = (&before.server, &now.server);
    if (old.system, old.page_bytes) != (new.system, new.page_bytes) {
        return Err(NotComparable::OtherSystem);
    }
    if old.timeline != new.timeline {
        return Err(NotComparable::OtherTimeline);
    }
    if old.database != new.database {
        return Err(NotComparable::OtherDatabase);
    }
    if new.lsn < old.lsn {
        return Err(NotComparable::LogWentBack {
            before: old.lsn,
            now: new.lsn,
        });
    }
    let known: HashMap<&QualifiedName, &HeapTable> = before.tables.iter().map(|table| (&table.table, table)).collect();
    let same = now.tables.iter().filter(|table| {
        known.get(&table.table).is_some_and(|old| {
            (old.oid, &old.file, &old.columns) == (table.oid, &table.file, &table.columns)
                // Pages that VACUUM cut off took the traces of a DELETE with them.
                && table.pages >= old.pages
        })
    });
    Ok((old.lsn, same.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::heap_state::{FORMAT, HeapServer};
    use crate::words::ids::Oid;

    fn states() -> HeapStates {
        HeapStates {
            server: HeapServer {
                format: FORMAT,
                system: 7,
                timeline: 1,
                database: Oid(5),
                lsn: Lsn(100),
                page_bytes: 8192,
            },
            tables: vec![HeapTable {
                table: QualifiedName::new("public", "t"),
                oid: Oid(20),
                file: "base/5/20".into(),
                pages: 3,
                columns: "a int".into(),
            }],
        }
    }

    #[test]
    fn a_table_is_looked_at_when_all_that_the_catalog_tells_is_the_same() {
        let before = states();
        let mut now = states();
        now.server.lsn = Lsn(900);
        now.tables[0].pages = 4;
        assert_eq!(candidates(&before, &now), Ok((Lsn(100), vec![&now.tables[0]])));
        let changes: [fn(&mut HeapTable); 5] = [
            |t| t.table.name = "u".into(),
            |t| t.oid = Oid(21),
            |t| t.file = "base/5/22".into(),
            |t| t.columns = "b int".into(),
            |t| t.pages = 2,
        ];
        for change in changes {
            let mut now = states();
            change(&mut now.tables[0]);
            assert_eq!(candidates(&before, &now), Ok((Lsn(100), vec![])));
        }
    }

    #[test]
    fn another_server_or_database_proves_nothing() {
        let changes: [fn(&mut HeapServer); 5] = [
            |s| s.system = 8,
            |s| s.page_bytes = 32768,
            |s| s.timeline = 2,
            |s| s.database = Oid(6),
            |s| s.lsn = Lsn(99),
        ];
        for change in changes {
            let mut now = states();
            change(&mut now.server);
            assert!(candidates(&states(), &now).is_err());
        }
    }
}
