//! Tables that were there: where their distribution keys are the set's, rows go straight into the segments, and the tables are
//! kept as they are meanwhile.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::scene::Scene;
use crate::db::distribution::read_keys;
use crate::db::locks::{LockMode, lock_tables};
use crate::db::{Session, error_chain};
use crate::plan::restore::routes::Routes;
use crate::run::refusal_of;
use crate::words::dialect::Dialect;
use crate::words::job::LoadRoute;
use crate::words::names::QualifiedName;
use crate::words::refusal::Refusal;
use crate::words::relation::TargetTable;

/// The keys of all tables. `here` says how a table of the set is called in the database.
pub(super) async fn fill_in(
    session: &Session,
    dialect: &Dialect,
    tables: &mut [TargetTable],
    here: impl Fn(&QualifiedName) -> QualifiedName,
) -> Result<(), Refusal> {
    let mut keys = read(session, dialect).await?;
    for table in tables {
        table.distributed_by = keys.remove(&here(&table.name)).unwrap_or_default();
    }
    Ok(())
}

/// A session of the master that keeps tables as they are.
pub(super) struct Held(Option<Session>);

impl Held {
    /// Lets others alter them again. A sentence where they were not kept all the time.
    pub(super) async fn release(self) -> Option<String> {
        let session = self.0?;
        let ended = session.run("COMMIT", "keeping tables as they are").await;
        session.close().await;
        let error = ended.err()?;
        Some(format!(
            "{}: a table that was altered since may have lost rows; empty the tables and restore them again",
            error_chain(&error)
        ))
    }
}

/// Keeps tables that were there from being altered while rows go straight into the segments, where the master would know
/// nothing of it: a statement that rewrites a table takes its snapshot before it waits for the segments, and the rows that came
/// meanwhile would be gone. Those that cannot be kept, or have another key by now, go through the master.
pub(super) async fn hold(
    scene: &Scene<'_>,
    session: &Session,
    tables: &[TargetTable],
    existing: &BTreeSet<QualifiedName>,
    here: impl Fn(&QualifiedName) -> QualifiedName,
    routes: &mut Routes,
) -> Result<Held, Refusal> {
    let direct = straight_into(tables, routes, existing);
    if direct.is_empty() || scene.around.cluster.is_single_server() {
        return Ok(Held(None));
    }
    let dialect = &scene.around.dialect;
    // A partition is altered with its root.
    let roots: HashSet<&QualifiedName> = direct.iter().filter_map(|table| table.root.as_ref()).collect();
    let roots = tables.iter().filter(|table| roots.contains(&table.name));
    let names: BTreeSet<QualifiedName> = (direct.iter().copied().chain(roots))
        .map(|table| here(&table.name))
        .collect();
    let names: Vec<QualifiedName> = names.into_iter().collect();
    let all = || direct.iter().map(|table| table.name.clone()).collect();
    // Locks of a session that stays on the master are not sent to all segments; where there is no such session they may be.
    let holder = match dialect.utility_setting {
        Some(_) => {
            (scene.address.open_alone(&scene.database, dialect).await).inspect(|session| scene.stops.add(session))
        }
        None => Some(scene.open(&scene.database).await?),
    };
    let Some(holder) = holder else {
        routes.send_through_master(&all());
        return Ok(Held(None));
    };
    let locked = async {
        for setting in dialect.dump_session_settings() {
            holder.run(&setting, "preparing the session").await?;
        }
        holder.run("BEGIN", "keeping tables as they are").await?;
        lock_tables(&holder, dialect, &names, LockMode::RowExclusive).await
    };
    match locked.await {
        Ok(()) => {}
        Err(error) if error.is_out_of_locks() => {
            tracing::debug!(
                "{}; the rows of these tables go through the master",
                error_chain(&error)
            );
            routes.send_through_master(&all());
            return Ok(Held(None));
        }
        Err(error) => return Err(refusal_of(&error)),
    }
    let keys = read(session, dialect).await?;
    let is_changed = |table: &&&TargetTable| {
        let key = keys.get(&here(&table.name));
        !table.distributed_by.is_empty() && key != Some(&table.distributed_by)
    };
    let changed = direct
        .iter()
        .filter(is_changed)
        .map(|table| table.name.clone())
        .collect();
    routes.send_through_master(&changed);
    Ok(Held(Some(holder)))
}

/// Tables that were there, whose rows go straight into the segments.
fn straight_into<'a>(
    tables: &'a [TargetTable],
    routes: &Routes,
    existing: &BTreeSet<QualifiedName>,
) -> Vec<&'a TargetTable> {
    let way = routes.by_table();
    let is_direct = |table: &&TargetTable| matches!(way(&table.name), LoadRoute::Direct | LoadRoute::DirectOrMaster);
    tables
        .iter()
        .filter(|table| table.is_among(existing))
        .filter(is_direct)
        .collect()
}

async fn read(session: &Session, dialect: &Dialect) -> Result<HashMap<QualifiedName, Vec<String>>, Refusal> {
    let keys = read_keys(session, dialect).await.map_err(|error| refusal_of(&error))?;
    Ok(keys.into_iter().map(|key| (key.table, key.columns)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::dialect::HashFamily;
    use crate::words::relation::{Distribution, KeyKind};

    #[test]
    fn those_that_were_there_and_go_straight_into_the_segments_are_kept() {
        let name = |name: &str| QualifiedName::new("s", name);
        let table = |of: &str, root: Option<&str>, key: &[&str]| TargetTable {
            name: name(of),
            root: root.map(name),
            distribution: Distribution::Hashed,
            hash_family: HashFamily::Jump,
            key: KeyKind::Values,
            distributed_by: key.iter().map(ToString::to_string).collect(),
            segments: None,
            maybe_only_through_master: false,
        };
        let tables = [
            table("there", None, &["a integer"]),
            table("leaf", Some("there"), &["a integer"]),
            table("new", None, &["a integer"]),
            table("unknown", None, &[]),
            table("through_master", None, &["a integer"]),
        ];
        let routes = Routes {
            default: LoadRoute::DirectOrMaster,
            exceptions: vec![(name("through_master"), LoadRoute::ThroughMaster)],
        };
        let existing = ["there", "unknown", "through_master"].map(name).into();
        let found: Vec<String> = straight_into(&tables, &routes, &existing)
            .into_iter()
            .map(|table| table.name.to_string())
            .collect();
        assert_eq!(found, ["s.there", "s.leaf", "s.unknown"]);
    }
}
