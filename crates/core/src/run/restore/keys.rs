//! By which columns tables that were there are distributed: where they are the set's, rows go straight into the segments.

use std::collections::{BTreeSet, HashMap};

use crate::db::Session;
use crate::db::distribution::read_keys;
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

/// Tables that were there, whose rows go straight into the segments for their keys alone, as they are called in the database.
pub(super) fn relied_on(
    tables: &[TargetTable],
    routes: &Routes,
    existing: &BTreeSet<QualifiedName>,
    here: impl Fn(&QualifiedName) -> QualifiedName,
) -> Vec<(QualifiedName, Vec<String>)> {
    let ways: HashMap<&QualifiedName, LoadRoute> =
        routes.exceptions.iter().map(|(name, route)| (name, *route)).collect();
    let is_direct = |table: &TargetTable| {
        let way = ways.get(&table.name).copied().unwrap_or(routes.default);
        matches!(way, LoadRoute::Direct | LoadRoute::DirectOrMaster)
    };
    let was_there = |table: &TargetTable| {
        existing.contains(&table.name) || table.root.as_ref().is_some_and(|root| existing.contains(root))
    };
    tables
        .iter()
        // Where there is one segment a key may be unknown, and does not matter.
        .filter(|table| !table.distributed_by.is_empty() && was_there(table) && is_direct(table))
        .map(|table| (here(&table.name), table.distributed_by.clone()))
        .collect()
}

/// Those that have another key now, a sentence each: nothing keeps others from changing it while rows are loaded.
pub(super) async fn changed(
    session: &Session,
    dialect: &Dialect,
    relied_on: Vec<(QualifiedName, Vec<String>)>,
) -> Result<Vec<String>, Refusal> {
    if relied_on.is_empty() {
        return Ok(Vec::new());
    }
    let keys = read(session, dialect).await?;
    let changed = relied_on
        .into_iter()
        .filter(|(table, key)| keys.get(table) != Some(key));
    let sentence = |(table, _)| {
        format!(
            "table {table} was given another distribution key while its rows were loaded, so that they may lie on wrong \
             segments: empty it and restore it again"
        )
    };
    Ok(changed.map(sentence).collect())
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
    fn keys_are_relied_on_where_they_are_known_and_rows_go_straight() {
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
        let here = |table: &QualifiedName| QualifiedName::new("elsewhere", &table.name);
        let found: Vec<String> = relied_on(&tables, &routes, &existing, here)
            .into_iter()
            .map(|(table, key)| format!("{table} {}", key.join(", ")))
            .collect();
        assert_eq!(found, ["elsewhere.there a integer", "elsewhere.leaf a integer"]);
    }
}
