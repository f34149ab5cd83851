//! The instant of a dump: locks, snapshots of all segments, DDL of the same moment.

use std::time::Duration;

use tracing::{debug, warn};

use super::give_way::{self, GiveWay};
use super::increment::{self, Increment};
use super::prepare::Directories;
use super::selection::{self, ChosenTables};
use super::table_locks::{self, Encodings, Locking, jobs_of};
use super::{DumpContext, Sessions, encoding, rights, states, streams};
use crate::db::catalog::DatabaseInfo;
use crate::db::relations;
use crate::exec::cut::{self, CutLimits, LockedTables};
use crate::exec::dump_fleet::DumpFleet;
use crate::format::manifest::Consistency;
use crate::format::state::TableCounts;
use crate::plan::dump_request::OutputStyle;
use crate::plan::filter::Selection;
use crate::run::refusal_of;
use crate::tools::pg_dump::{self, PgDump, RunningPgDump};
use crate::words::dialect::Dialect;
use crate::words::ids::Oid;
use crate::words::layout::SetNames;
use crate::words::names::QualifiedName;
use crate::words::refusal::Refusal;
use crate::words::relation::Relation;

/// How often in a row tables of the catalog cannot be locked until that is no DDL that happens to be quick.
const MOST_NOT_LOCKED: u32 = 5;

/// How long pg_dump may take from its start to its snapshot.
const PG_DUMP_START_LIMIT: Duration = Duration::from_secs(10);

/// Everything that the moment of the cut fixes.
pub(super) struct CutState {
    pub(super) tables: ChosenTables,
    /// Those of the whole database.
    pub(super) all_tables: Vec<(Oid, QualifiedName)>,
    /// Those whose rows are copied, in the order of the data files.
    pub(super) dumped: Vec<Relation>,
    /// What an increment found out.
    pub(super) increment: Option<Increment>,
    /// Of a full dump, when the segments had to be asked.
    pub(super) counts: Option<TableCounts>,
    /// With `--external`: those whose rows the segments write away.
    pub(super) external: Vec<Relation>,
    pub(super) consistency: Consistency,
}

/// How the taking of snapshots ended.
pub(super) enum Snapshots {
    Open(Consistency, Box<RunningPgDump>),
    /// These wait for our locks, and stop us.
    Between(Vec<String>),
}

/// Locks, snapshots, DDL of one instant. `None` when a segment failed on the way: the fleet knows which and why.
pub(super) async fn take_cut(
    context: &DumpContext<'_>,
    sessions: &Sessions,
    fleet: &mut DumpFleet,
    (names, directories): (&SetNames, &Directories),
    database: &DatabaseInfo,
    mut selection: Selection,
    give_way: &mut GiveWay,
) -> Result<Option<(CutState, RunningPgDump)>, Refusal> {
    let dialect = &context.surroundings.dialect;
    let refuse = |error: crate::db::Error| refusal_of(&error);
    for setting in dialect.dump_session_settings() {
        sessions
            .snapshot
            .run(&setting, "preparing the session")
            .await
            .map_err(refuse)?;
        sessions
            .barrier
            .run(&setting, "preparing the session")
            .await
            .map_err(refuse)?;
    }
    let encodings = Encodings {
        rows: encoding::of_rows(context, &sessions.barrier, database).await?,
        database: &database.encoding,
    };
    let limit = context.request.limits.lock;
    let mut not_locked = 0;
    loop {
        let listed = table_locks::list(context, sessions, &selection).await?;
        let locking = table_locks::lock(context, sessions, fleet, (names, directories), &encodings, &listed);
        let took = match locking.await? {
            Locking::Done(took) => took,
            Locking::Again(said) => {
                not_locked += 1;
                if not_locked == MOST_NOT_LOCKED {
                    return match fleet.all_well() {
                        true => Err(cannot_be_locked(&said)),
                        false => Ok(None),
                    };
                }
                selection = give_way::give_up_locks(context, sessions, fleet).await?;
                fleet.forget_failures();
                if !fleet.all_well() {
                    return Ok(None);
                }
                continue;
            }
            Locking::Failed => return Ok(None),
        };
        not_locked = 0;
        let locked_tables = LockedTables {
            names: &listed.names,
            took,
        };
        let opened = match context.surroundings.cluster.is_streams() {
            true => streams::open_snapshots(context, sessions, fleet, database, locked_tables).await?,
            false => take_cut_of_segments(context, sessions, fleet, database, locked_tables).await?,
        };
        if !fleet.all_well() {
            return Ok(None);
        }
        let (consistency, pg_dump) = match opened {
            Snapshots::Open(consistency, pg_dump) => (consistency, *pg_dump),
            Snapshots::Between(whom) => {
                give_way.to(&whom, limit)?;
                selection = give_way::give_up_locks(context, sessions, fleet).await?;
                if !fleet.all_well() {
                    return Ok(None);
                }
                continue;
            }
        };
        // The list was read before the locks: a table that came in between would be in the DDL and not in the data.
        selection = selection::select(context, &sessions.snapshot).await?;
        let mut relations = relations::read_relations(&sessions.snapshot, dialect)
            .await
            .map_err(refuse)?;
        let all_tables = (relations.iter())
            .map(|relation| (relation.oid, relation.name.clone()))
            .collect();
        table_locks::choose(context, sessions, &selection, &mut relations);
        if same_tables(&listed.relations, &relations) {
            let (mut dumped, external) = (listed.dumped, listed.external);
            tell_about_cut(&consistency);
            let jobs = jobs_of(&relations, &context.request.style);
            let told = states::ask_segments(context, fleet, directories, &relations).await;
            if !fleet.all_well() {
                return Ok(None);
            }
            let (increment, counts) = match &context.base {
                Some(base) => {
                    let increment = increment::decide(context, base, sessions, fleet, &relations, &mut dumped, told);
                    (Some(increment.await?), None)
                }
                None => (None, told.counts),
            };
            debug!("the rows of {} tables are copied", dumped.len());
            let cut = CutState {
                tables: ChosenTables {
                    selection,
                    relations,
                    jobs,
                },
                all_tables,
                dumped,
                increment,
                counts,
                external,
                consistency,
            };
            return Ok(Some((cut, pg_dump)));
        }
        debug!("tables were created, altered or dropped in the moment before the cut; taking another one");
        drop(pg_dump);
        selection = give_way::give_up_locks(context, sessions, fleet).await?;
        if !fleet.all_well() {
            return Ok(None);
        }
        if give_way.is_over(limit) {
            return Err(Refusal::known(format!(
                "For {} s tables of database {} were created, altered or dropped faster than a snapshot of them can be taken",
                limit.as_secs(),
                context.database
            ))
            .with_hint("run the dump when no DDL runs; --lock-timeout says how long it is tried"));
        }
    }
}

fn cannot_be_locked(said: &str) -> Refusal {
    Refusal::known(format!(
        "Tables that the catalog of the master has could not be locked: {said}"
    ))
    .with_hint(
        "run the dump when no DDL runs; if none did, the catalogs of master and segments differ, and gpcheckcat says where",
    )
}

/// Takes the snapshots of all segments, under locks or without them.
async fn take_cut_of_segments(
    context: &DumpContext<'_>,
    sessions: &Sessions,
    fleet: &mut DumpFleet,
    database: &DatabaseInfo,
    tables: LockedTables<'_>,
) -> Result<Snapshots, Refusal> {
    let dialect = &context.surroundings.dialect;
    let mut pg_dump = None;
    let limits = CutLimits::new(context.request.cut_timeout, tables);
    let cut = cut::take(
        (&sessions.barrier, sessions.onlooker()),
        dialect,
        (tables.names, cut::Catalog::Locked),
        limits,
        give_way::who_stands_between(context, sessions),
        async || {
            // The master first: should there be no one cut, then what the master shows is on all segments by the time
            // they take theirs, and the states of tables never tell more than the rows that are copied.
            pg_dump = Some(open_master_snapshots(context, sessions, database).await?);
            fleet.open_snapshots(None).await;
            Ok::<(), Refusal>(())
        },
    )
    .await;
    match cut {
        Ok(consistency) => opened(consistency, pg_dump),
        Err(cut::Failure::Between(whom)) => Ok(Snapshots::Between(whom)),
        Err(cut::Failure::Lock(error)) => Err(refusal_of(&error)),
        Err(cut::Failure::Snapshots(refusal)) => Err(refusal),
    }
}

pub(super) fn opened(consistency: Consistency, pg_dump: Option<RunningPgDump>) -> Result<Snapshots, Refusal> {
    match pg_dump {
        Some(pg_dump) => Ok(Snapshots::Open(consistency, Box::new(pg_dump))),
        None => Err(Refusal::failed("pg_dump was not started")),
    }
}

/// Takes the master's snapshot and sees to it that pg_dump has one of the same instant.
pub(super) async fn open_master_snapshots(
    context: &DumpContext<'_>,
    sessions: &Sessions,
    database: &DatabaseInfo,
) -> Result<RunningPgDump, Refusal> {
    let dialect = &context.surroundings.dialect;
    let refuse = |error: crate::db::Error| refusal_of(&error);
    let mut dump = PgDump {
        program: pg_dump::find(context.environment.gphome.as_deref(), &context.environment.path)
            .map_err(|error| refusal_of(&error))?,
        libraries: context.environment.gphome.as_ref().map(|home| home.join("lib")),
        host: context
            .address
            .hosts
            .first()
            .cloned()
            .unwrap_or_else(|| "localhost".to_owned()),
        port: context.address.port,
        user: context.address.login.user.clone(),
        database: context.database.clone(),
        // DDL is UTF-8 wherever the server can convert; SQL_ASCII has no encoding to convert from.
        encoding: (database.encoding != "SQL_ASCII").then(|| "UTF8".to_owned()),
        snapshot: None,
        left_out: rights::left_out(sessions),
        options: pg_dump_options(&context.request.style, dialect),
        application_name: sessions.next_ddl_name(context.environment),
        // It reads the master's catalog alone. Its locks need not go to all segments, one table after the other where it is
        // old: the segments' tables are locked there. Who may open such a session has one already.
        utility_setting: (dialect.utility_setting.clone())
            .filter(|_| sessions.onlooker.is_some() && !dialect.pg_dump_takes_snapshot()),
    };
    let around = context.surroundings;
    // Who goes through the master alone may be a role that is kept from it.
    let may_export = !around.cluster.is_streams() || around.shares_snapshots;
    if dialect.pg_dump_takes_snapshot() && may_export {
        let name = sessions
            .snapshot
            .one("SELECT pg_catalog.pg_export_snapshot()", "taking the snapshot")
            .await;
        dump.snapshot = name.map_err(refuse)?;
        return dump.start().map_err(|error| refusal_of(&error));
    }
    let mut running = dump.start().map_err(|error| refusal_of(&error))?;
    let deadline = tokio::time::Instant::now() + PG_DUMP_START_LIMIT;
    while !relations::has_read_catalog(sessions.onlooker(), dialect, &dump.application_name)
        .await
        .map_err(refuse)?
    {
        // It ran from its beginning to its end under the locks, or failed: who reads its text hears of that.
        if running.has_ended() {
            break;
        }
        if tokio::time::Instant::now() > deadline {
            return Err(Refusal::failed(format!(
                "pg_dump did not take its snapshot within {} s",
                PG_DUMP_START_LIMIT.as_secs()
            ))
            .with_hint("the master is very busy, or hangs: look at its load and its log, and run the dump again"));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // After pg_dump's: what this snapshot does not show, the DDL does not have.
    sessions
        .snapshot
        .one("SELECT 1", "taking the snapshot")
        .await
        .map_err(refuse)?;
    Ok(running)
}

/// The words that the server's program knows what we are asked for by.
fn pg_dump_options(style: &OutputStyle, dialect: &Dialect) -> Vec<&'static str> {
    let words = [
        (style.no_owner, "--no-owner"),
        (style.no_privileges, "--no-privileges"),
        (style.session_authorization, "--use-set-session-authorization"),
        (style.clean, "--clean"),
        (style.clean && dialect.pg_version.0 >= 90_400, "--if-exists"),
    ];
    words
        .iter()
        .filter(|(is_asked, _)| *is_asked)
        .map(|(_, word)| *word)
        .collect()
}

fn same_tables(before: &[Relation], after: &[Relation]) -> bool {
    before.len() == after.len()
        && before.iter().zip(after).all(|(a, b)| {
            (
                a.oid,
                &a.name,
                &a.columns,
                &a.insert,
                &a.condition,
                a.distribution,
                a.legacy_hash,
                &a.distributed_by,
                a.root,
            ) == (
                b.oid,
                &b.name,
                &b.columns,
                &b.insert,
                &b.condition,
                b.distribution,
                b.legacy_hash,
                &b.distributed_by,
                b.root,
            )
        })
}

fn tell_about_cut(consistency: &Consistency) {
    debug!(
        "one cut: {}, attempts: {}, waited: {} ms, held: {} ms",
        consistency.one_cut, consistency.attempts, consistency.waited_ms, consistency.held_ms
    );
    if let Some(note) = &consistency.note {
        warn!("The dump is not one cut across all segments: {note}");
        for line in &consistency.in_the_way {
            warn!("In the way: {line}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::relation::{Distribution, InsertShape, StorageKind};

    #[test]
    fn a_table_with_another_distribution_key_is_another_table() {
        let table = |key: &str, legacy_hash: bool| Relation {
            oid: Oid(1),
            name: QualifiedName::new("s", "t"),
            owner: "o".into(),
            storage: StorageKind::Heap,
            distribution: Distribution::Hashed,
            legacy_hash,
            distributed_by: vec![key.to_owned()],
            columns: vec!["a".into(), "b".into()],
            root: None,
            condition: None,
            insert: InsertShape::default(),
            has_oids: false,
            estimated_bytes: 0,
        };
        let before = [table("a integer", false)];
        assert!(same_tables(&before, &before));
        assert!(!same_tables(&before, &[table("b integer", false)]));
        assert!(!same_tables(&before, &[table("a integer", true)]));
        assert!(!same_tables(&before, &[]));
    }
}
