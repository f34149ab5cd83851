//! `--dry-run`: what a restore would do, after all the looking and checking that a restore does first.
//!
//! That nothing is changed does not hang on this module alone: the sessions of a dry run are read-only for the server
//! (`Scene::open`).

use std::collections::{BTreeMap, BTreeSet};

use super::definitions::parse_script;
use super::scene::Scene;
use super::{Ready, selection::Selection};
use crate::db::target;
use crate::format::report::BackupType;
use crate::plan::restore::inventory::Inventory;
use crate::plan::restore::routes::{Routes, plan_routes};
use crate::plan::restore::{DataFile, DumpSet};
use crate::run::refusal_of;
use crate::words::exit::Exit;
use crate::words::job::{LoadRoute, TableTotals};
use crate::words::names::QualifiedName;
use crate::words::present::Present;
use crate::words::refusal::Refusal;
use crate::words::relation::{KeyKind, TargetTable};

/// Says the plan.
pub(super) async fn tell(scene: &Scene<'_>, ready: Ready) -> Result<Exit, Refusal> {
    tracing::info!("Dry run: this is what would be done, and nothing is changed");
    let request = scene.request;
    let fresh = request.recreate || scene.created;
    tell_set(&scene.set);
    ready.extras.tell();
    tracing::info!(
        "Database {}: {}",
        scene.database,
        match (request.recreate, scene.created) {
            (true, false) => "would be dropped and created anew",
            (_, true) => "does not exist and would be created",
            (false, false) => "exists and is restored into as it is",
        }
    );
    for note in &ready.first_steps.notes {
        tracing::info!("{note}");
    }
    for warning in &ready.first_steps.warnings {
        tracing::warn!("{warning}");
    }
    for schema in &ready.first_steps.schemas {
        tracing::info!("Schema {schema}: would be created");
    }
    for schema in &ready.first_steps.not_in_set {
        tracing::info!("Schema {schema}: is not in the set, would be created if the database lacks it");
    }
    for truncation in &ready.first_steps.truncations {
        tracing::info!("Table {}: would be emptied first", truncation.table);
    }
    let pre_data = parse_script(&ready.definitions.pre_data, &ready.definitions.pre_data_path)?;
    let post_data = parse_script(&ready.definitions.post_data, &ready.definitions.post_data_path)?;
    if !scene.rows_only() {
        tracing::info!(
            "Definitions: {} before the rows and {} behind them would be run",
            pre_data.entries().len(),
            post_data.entries().len()
        );
    }
    for sentence in ready.definitions.left_out() {
        tracing::warn!("{sentence}");
    }
    let present = match (&ready.selection, fresh) {
        (None, false) => {
            let session = scene.open(&scene.database).await?;
            let present = target::read_present(&session, &scene.around.dialect, &[]).await;
            session.close().await;
            present.map_err(|error| refusal_of(&error))?
        }
        _ => ready.present.clone(),
    };
    if !request.metadata_only {
        let inventory = Inventory::read(&pre_data);
        let routes = routes(scene);
        tell_files(scene, &scene.set, &ready.files, &routes);
        for older in &scene.chain.older {
            tell_set(&older.set);
            tell_files(scene, &older.set, &older.files, &routes);
        }
        tell_tables(scene, &inventory, ready.selection.as_ref(), &present, &routes);
    } else {
        tracing::info!("Rows: none would be restored (-m)");
    }
    ready.fleet.stop().await;
    ready.maintenance.close().await;
    tracing::info!("Dry run ended; nothing was changed");
    Ok(Exit::Ok)
}

fn tell_set(set: &DumpSet) {
    let by = match &set.manifest {
        Some(manifest) => format!("written by {} on {}", manifest.program, manifest.server.banner),
        None => "without manifest".to_owned(),
    };
    tracing::info!(
        "Set {}: {} dump of database {} with {} segments, {by}",
        set.names.key,
        match set.backup_type {
            BackupType::Full => "full",
            BackupType::Incremental => "incremental",
        },
        set.database,
        set.segments.len()
    );
}

/// As far as the set itself tells how its tables are spread; the rest is seen when they are there.
fn routes(scene: &Scene<'_>) -> Routes {
    let dialect = &scene.around.dialect;
    let facts = scene.set.manifest.iter().flat_map(|manifest| &manifest.tables);
    let tables: Vec<TargetTable> = facts
        .map(|facts| TargetTable {
            name: facts.table.clone(),
            root: None,
            distribution: facts.distribution,
            hash_family: dialect.hash_family(),
            key: KeyKind::Values,
            distributed_by: Vec::new(),
            segments: None,
            maybe_only_through_master: false,
        })
        .collect();
    let encoding = scene.set.encoding.as_deref().unwrap_or_default();
    plan_routes(
        &scene.set,
        &scene.around.cluster,
        dialect,
        &tables,
        encoding,
        &BTreeSet::new(),
    )
}

fn tell_files(scene: &Scene<'_>, set: &DumpSet, files: &[DataFile], routes: &Routes) {
    for file in files {
        let into = match (routes.default, scene.around.cluster.primary(file.content)) {
            (LoadRoute::Direct | LoadRoute::DirectOrMaster, Some(primary)) => {
                format!(
                    "straight into segment {} on {}:{}",
                    file.content, primary.host, primary.port
                )
            }
            _ => "through the master".to_owned(),
        };
        tracing::info!(
            "File {} on {}: {} bytes, rows of segment {} of set {}, {into}",
            file.path.display(),
            file.host,
            file.size,
            file.content,
            set.names.key
        );
    }
}

fn tell_tables(
    scene: &Scene<'_>,
    inventory: &Inventory,
    selection: Option<&Selection>,
    present: &Present,
    routes: &Routes,
) {
    let mut totals: BTreeMap<&QualifiedName, TableTotals> = BTreeMap::new();
    let older = scene.chain.older.iter().map(|older| &older.set);
    for set in older.chain(std::iter::once(&scene.set)) {
        for facts in set.manifest.iter().flat_map(|manifest| &manifest.tables) {
            totals.insert(&facts.table, facts.totals);
        }
    }
    let tables: Vec<&QualifiedName> = match selection {
        Some(selection) => selection.rows().collect(),
        None => (0..inventory.tables.len())
            .filter(|at| inventory.has_rows(*at))
            .map(|at| &inventory.tables[at].name)
            .collect(),
    };
    let (mut rows, mut bytes) = (0, 0);
    for table in &tables {
        let here = selection.map_or_else(|| (*table).clone(), |selection| selection.here(table));
        let size = match totals.get(table) {
            Some(totals) => {
                rows += totals.rows;
                bytes += totals.bytes;
                format!("{} rows, {} bytes", totals.rows, totals.bytes)
            }
            None => "rows not counted by the set".to_owned(),
        };
        let state = match present.has_table(&here) {
            false => "created",
            true if scene.request.truncate => "exists, its rows are replaced",
            true if selection.is_some() || scene.rows_only() => "exists, rows are added",
            true => "exists: its definition will be refused (status 1), rows are added",
        };
        let route = routes.exceptions.iter().find(|(name, _)| name == *table);
        let way = match route.map_or(routes.default, |(_, route)| *route) {
            LoadRoute::Direct | LoadRoute::DirectOrMaster => "segment by segment",
            LoadRoute::ThroughMaster => "through the master",
            LoadRoute::OnceThroughMaster => "one copy through the master",
            LoadRoute::Skip => "not at all",
        };
        tracing::info!("Table {here}: {size}, {state}, {way}");
    }
    tracing::info!(
        "{} tables, {rows} rows, {bytes} bytes as far as the set counts them",
        tables.len()
    );
}
