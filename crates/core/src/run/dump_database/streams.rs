//! A dump through the master alone: connections instead of segments, one snapshot instead of one cut.
//!
//! Each table is copied whole by one connection. Where the server shares snapshots all of them look through one; where it
//! does not, one connection has one transaction, and several are tried under a lock that keeps writers out, if the role
//! may take it.

use std::collections::HashMap;
use std::time::Instant;

use tracing::debug;

use super::snapshot::{Snapshots, open_master_snapshots, opened};
use super::{DumpContext, Sessions, external, give_way};
use crate::db::catalog::DatabaseInfo;
use crate::db::relations;
use crate::exec::cut::{self, CutLimits, LockedTables};
use crate::exec::dump_fleet::DumpFleet;
use crate::format::manifest::{Consistency, StreamSnapshot, Streams};
use crate::plan::streams;
use crate::run::refusal_of;
use crate::words::dialect::PartitionCatalog;
use crate::words::ids::ContentId;
use crate::words::job::TableJob;
use crate::words::refusal::Refusal;
use crate::words::relation::{Distribution, Relation};

/// The streams' place in the start of a dump: their addresses.
pub(super) fn hosts(context: &DumpContext<'_>) -> Option<Vec<String>> {
    let is_streams = context.surroundings.cluster.is_streams();
    is_streams.then(|| context.address.hosts.clone())
}

/// Says of each table which stream copies it.
pub(super) async fn assign(
    context: &DumpContext<'_>,
    sessions: &Sessions,
    tables: &[Relation],
    jobs: &mut [TableJob],
) -> Result<(), Refusal> {
    let around = context.surroundings;
    if !around.cluster.is_streams() {
        return Ok(());
    }
    let session = &sessions.barrier;
    let refuse = |error: crate::db::Error| refusal_of(&error);
    let bytes = relations::read_table_bytes(session, &around.dialect)
        .await
        .map_err(refuse)?;
    let parents = match around.dialect.partitions {
        // A COPY of such a table gives the rows of its partitions, which are copied by themselves.
        PartitionCatalog::PgPartitionRule => crate::db::table_states::read_partition_parents(session, &around.dialect)
            .await
            .map_err(refuse)?,
        PartitionCatalog::Declarative | PartitionCatalog::None => Default::default(),
    };
    let sizes: HashMap<usize, u64> = (tables.iter().enumerate())
        .filter(|(_, table)| !parents.contains(&table.oid))
        .map(|(at, table)| (at, bytes.get(&table.oid).copied().unwrap_or(table.estimated_bytes)))
        .collect();
    for (at, stream) in streams::spread(sizes, around.cluster.primaries().len()) {
        jobs[at].stream = Some(ContentId(i32::try_from(stream).unwrap_or(0)));
    }
    Ok(())
}

/// Takes the snapshots of master, pg_dump and streams.
pub(super) async fn open_snapshots(
    context: &DumpContext<'_>,
    sessions: &Sessions,
    fleet: &mut DumpFleet,
    database: &DatabaseInfo,
    tables: LockedTables<'_>,
) -> Result<Snapshots, Refusal> {
    let dialect = &context.surroundings.dialect;
    let started = Instant::now();
    if context.surroundings.shares_snapshots {
        let pg_dump = open_master_snapshots(context, sessions, database).await?;
        let export = "SELECT pg_catalog.pg_export_snapshot()";
        let exported = sessions.snapshot.one(export, "sharing the snapshot").await;
        let exported = exported.map_err(|error| refusal_of(&error))?;
        external::open_snapshots(sessions, dialect, exported.as_deref()).await?;
        fleet.open_snapshots(exported).await;
        return opened(one_cut(started), Some(pg_dump));
    }
    let connections = context.surroundings.cluster.primaries().len() + sessions.writers.len();
    if connections == 1 {
        let pg_dump = open_master_snapshots(context, sessions, database).await?;
        fleet.open_snapshots(None).await;
        return opened(one_cut(started), Some(pg_dump));
    }
    let mut pg_dump = None;
    let limits = CutLimits::new(context.request.cut_timeout, tables);
    let cut = cut::take(
        (&sessions.barrier, sessions.onlooker()),
        dialect,
        (tables.names, cut::Catalog::Open),
        limits,
        give_way::who_stands_between(context, sessions),
        async || {
            pg_dump = Some(open_master_snapshots(context, sessions, database).await?);
            external::open_snapshots(sessions, dialect, None).await?;
            fleet.open_snapshots(None).await;
            Ok::<(), Refusal>(())
        },
    )
    .await;
    let consistency = match cut {
        Ok(consistency) => consistency,
        Err(cut::Failure::Snapshots(refusal)) => return Err(refusal),
        Err(cut::Failure::Between(whom)) => return Ok(Snapshots::Between(whom)),
        // insufficient_privilege: a role that only reads takes no such lock.
        Err(cut::Failure::Lock(error)) if error.code() == Some("42501") && pg_dump.is_none() => {
            debug!("no lock against writers: {error}");
            pg_dump = Some(open_master_snapshots(context, sessions, database).await?);
            external::open_snapshots(sessions, dialect, None).await?;
            fleet.open_snapshots(None).await;
            let hint = match sessions.writers.is_empty() {
                true => " (--jobs 1 gives one cut)",
                false => "",
            };
            Consistency {
                attempts: 1,
                waited_ms: millis(started),
                note: Some(format!(
                    "this server shares no snapshot between connections, and role {} may not keep writers out of the \
                     tables while {connections} connections take theirs: a transaction that committed in between may be \
                     in one table and not in another{hint}",
                    context.address.login.user
                )),
                ..Consistency::default()
            }
        }
        Err(cut::Failure::Lock(error)) => return Err(refusal_of(&error)),
    };
    opened(consistency, pg_dump)
}

fn one_cut(started: Instant) -> Consistency {
    Consistency {
        one_cut: true,
        attempts: 1,
        waited_ms: millis(started),
        ..Consistency::default()
    }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// What the manifest says of it.
pub(super) fn of_manifest(context: &DumpContext<'_>, consistency: &Consistency) -> Option<Streams> {
    let cluster = &context.surroundings.cluster;
    let connections = cluster.primaries().len();
    let shares = context.surroundings.shares_snapshots;
    cluster.is_streams().then(|| Streams {
        address: format!("{}:{}", cluster.master().address, cluster.master().port),
        connections,
        snapshot: match (shares, consistency.one_cut) {
            _ if connections == 1 && context.request.external.is_none() => StreamSnapshot::OneTransaction,
            (true, _) => StreamSnapshot::Exported,
            (false, true) => StreamSnapshot::Locked,
            (false, false) => StreamSnapshot::Own,
        },
    })
}

/// Each table is whole in one file, wherever its rows lay.
pub(super) fn distribution(context: &DumpContext<'_>, relation: &Relation) -> Distribution {
    match context.surroundings.cluster.is_streams() {
        true => Distribution::Single,
        false => relation.distribution,
    }
}
