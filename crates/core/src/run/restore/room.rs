//! Room on disk, looked at before anything is changed.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use super::definitions::{Definitions, parse_script};
use super::scene::Scene;
use super::selection::Selection;
use crate::db::{self, Session, error_chain, relations, room};
use crate::exec::restore_fleet::RestoreFleet;
use crate::plan::disk_space;
use crate::plan::restore::DataFile;
use crate::plan::restore::inventory::Inventory;
use crate::plan::restore::room::{Guess, Needs, Part, Place, Spot, TableKind, needs, table_kinds, too_full};
use crate::words::cluster::{HostName, Instance};
use crate::words::ids::ContentId;
use crate::words::names::QualifiedName;
use crate::words::refusal::Refusal;

/// What is going to be restored, and where.
pub(super) struct Planned<'a> {
    pub(super) definitions: &'a Definitions,
    pub(super) selection: Option<&'a Selection>,
    /// Of the set itself.
    pub(super) files: &'a [DataFile],
    pub(super) database_exists: bool,
}

/// Bytes that the restore itself gives back; `None`: it does, and the server does not tell how many.
type Freed = Option<BTreeMap<ContentId, u64>>;

impl Scene<'_> {
    /// Refuses only what cannot end well; what may not is a warning.
    pub(super) async fn check_room(
        &self,
        maintenance: &Session,
        fleet: &mut RestoreFleet,
        planned: Planned<'_>,
    ) -> Result<(), Refusal> {
        let cluster = &self.around.cluster;
        // Of a managed server nobody but its owner knows the disks.
        if !self.request.disk_check || cluster.is_streams() {
            return Ok(());
        }
        let compresses = room::compresses_by_default(maintenance).await;
        let needs = self.needs(&planned, !matches!(compresses, Ok(false)))?;
        let tablespaces = match needs.spots.keys().any(|(_, tablespace)| tablespace.is_some()) {
            true => room::read_tablespaces(maintenance, &self.around.dialect, cluster).await,
            false => Ok(BTreeMap::new()),
        };
        let tablespaces = tablespaces.unwrap_or_else(|error| {
            tracing::debug!("{}", error_chain(&error));
            BTreeMap::new()
        });
        let freed = self.freed(&planned).await;
        let mut wanted: Vec<(&Instance, PathBuf, Guess)> = Vec::new();
        for instance in cluster.instances() {
            let own = needs
                .spots
                .iter()
                .filter(|((content, _), _)| *content == instance.content);
            for (spot, guess) in own {
                match directory_of(instance, spot, &tablespaces) {
                    Some(directory) => wanted.push((instance, directory, *guess)),
                    None => tracing::debug!("nothing is known of the room in tablespace {:?} of {instance}", spot.1),
                }
            }
            if needs.uncounted > 0 && !instance.content.is_master() {
                wanted.push((instance, instance.data_dir.clone(), Guess::default()));
            }
        }
        let mut directories: BTreeMap<HostName, Vec<PathBuf>> = BTreeMap::new();
        for (instance, directory, _) in &wanted {
            directories
                .entry(instance.host.clone())
                .or_default()
                .push(directory.clone());
        }
        let found = fleet.room(&directories).await?;
        let mut places = Vec::new();
        for (instance, directory, guess) in wanted {
            match found.get(&(instance.host.clone(), directory.clone())) {
                Some(Ok(room)) => places.push(Place {
                    content: instance.content,
                    host: instance.host.clone(),
                    device: room.device,
                    free_bytes: room.free_bytes,
                    guess,
                }),
                Some(Err(error)) => tracing::debug!("room in {} on {}: {error}", directory.display(), instance.host),
                None => tracing::debug!("room in {} on {}: no answer", directory.display(), instance.host),
            }
        }
        self.judge(&needs, &places, freed)
    }

    fn judge(&self, needs: &Needs, places: &[Place], freed: Freed) -> Result<(), Refusal> {
        let is_known = freed.is_some();
        let freed = freed.unwrap_or_default();
        let surely = too_full(places, &freed, &|place| place.guess.at_least);
        if is_known && !surely.is_empty() {
            for place in &surely {
                tracing::error!("{place}");
            }
            return Err(Refusal::known(disk_space::cannot_continue(surely.len())).with_hint(
                "nothing was changed; make room, restore less with -T or -S, or go on all the same with \
                 --no-disk-space-check",
            ));
        }
        for place in too_full(places, &freed, &|place| place.guess.likely) {
            tracing::warn!(
                "{} may run out of disk space: what is restored there will probably take {}K, and {}K are free",
                place.host,
                place.need / 1024,
                place.free / 1024
            );
        }
        let segments = self.around.cluster.primaries().len() as u64;
        let uncounted = |place: &Place| match place.guess == Guess::default() && !place.content.is_master() {
            true => needs.uncounted / segments.max(1),
            false => 0,
        };
        for place in too_full(places, &freed, &uncounted) {
            tracing::warn!(
                "The set does not tell how large the tables are that are restored; all of its tables would probably take {}K on \
                 {}, and {}K are free",
                place.need / 1024,
                place.host,
                place.free / 1024
            );
        }
        Ok(())
    }

    fn needs(&self, planned: &Planned<'_>, compresses: bool) -> Result<Needs, Refusal> {
        let definitions = planned.definitions;
        let pre_data = parse_script(&definitions.pre_data, &definitions.pre_data_path)?;
        let post_data = parse_script(&definitions.post_data, &definitions.post_data_path)?;
        let kinds = match self.rows_only() {
            true => Default::default(),
            false => table_kinds(&pre_data, &post_data, compresses),
        };
        let kind = |table: &QualifiedName| -> TableKind {
            let here = planned.selection.map(|selection| selection.here(table));
            kinds.get(here.as_ref().unwrap_or(table)).cloned().unwrap_or_default()
        };
        let chosen: Option<HashSet<&QualifiedName>> = planned.selection.map(|selection| selection.rows().collect());
        let is_chosen = |table: &QualifiedName| chosen.as_ref().is_none_or(|chosen| chosen.contains(table));
        type Only<'a> = Box<dyn Fn(&QualifiedName) -> bool + 'a>;
        let of_older: Vec<Only> = self
            .chain
            .older
            .iter()
            .map(|older| {
                let names: HashSet<&str> = older.tables.iter().map(String::as_str).collect();
                Box::new(move |table: &QualifiedName| names.contains(table.to_string().as_str()) && is_chosen(table))
                    as Only
            })
            .collect();
        let older = self.chain.older.iter().zip(&of_older).map(|(older, only)| Part {
            set: &older.set,
            files: &older.files,
            only: Some(only.as_ref()),
        });
        let newest = Part {
            set: &self.set,
            files: planned.files,
            only: chosen.as_ref().map(|_| &is_chosen as &dyn Fn(&QualifiedName) -> bool),
        };
        let parts: Vec<Part> = std::iter::once(newest).chain(older).collect();
        let contents: Vec<ContentId> = self.around.cluster.primaries().iter().map(|one| one.content).collect();
        let mut needs = needs(&parts, &contents, &kind);
        needs.add_definitions(Inventory::read(&pre_data).tables.len());
        Ok(needs)
    }

    async fn freed(&self, planned: &Planned<'_>) -> Freed {
        if !planned.database_exists || !(self.request.recreate || self.request.truncate) {
            return Some(BTreeMap::new());
        }
        let read = async {
            let session = self.address.open(&self.database).await?;
            let dialect = &self.around.dialect;
            let sizes = match (self.request.recreate, planned.selection) {
                (false, Some(selection)) => {
                    let tables: Vec<QualifiedName> = selection.all_here().into_iter().collect();
                    room::read_sizes(&session, dialect, &tables).await
                }
                _ => relations::read_segment_sizes(&session, dialect).await,
            };
            session.close().await;
            sizes
        };
        let sizes: Result<_, db::Error> = read.await;
        match sizes {
            Ok(sizes) if sizes.is_empty() => None,
            Ok(sizes) => Some(sizes),
            Err(error) => {
                tracing::debug!("{}", error_chain(&error));
                None
            }
        }
    }
}

/// `None`: nobody knows.
fn directory_of(
    instance: &Instance,
    (content, tablespace): &Spot,
    tablespaces: &BTreeMap<(ContentId, String), PathBuf>,
) -> Option<PathBuf> {
    match tablespace {
        None => Some(instance.data_dir.clone()),
        Some(name) if name == "pg_default" => Some(instance.data_dir.clone()),
        Some(name) => tablespaces.get(&(*content, name.clone())).cloned(),
    }
}
