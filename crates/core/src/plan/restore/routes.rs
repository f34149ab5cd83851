//! Which server the rows of each table go to.
//!
//! Straight into the segment of the same number is the fast way, and right only where a row belongs to the segment that
//! it was dumped from. Everything else goes through the master, which is always right.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::DumpSet;
use crate::format::manifest::TableFacts;
use crate::words::cluster::Cluster;
use crate::words::dialect::{Dialect, HashFamily, TopologySource};
use crate::words::job::LoadRoute;
use crate::words::names::QualifiedName;
use crate::words::relation::{Distribution, KeyKind, TargetTable};

/// The routes of a restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routes {
    /// For tables that `exceptions` does not name.
    pub default: LoadRoute,
    pub exceptions: Vec<(QualifiedName, LoadRoute)>,
}

/// Decides for every table of the target. `preexisting` are tables that were there before the set's definitions were run:
/// they are distributed as the set's were where their keys say so. `encoding` is that of the target database.
pub fn plan_routes(
    set: &DumpSet,
    cluster: &Cluster,
    dialect: &Dialect,
    target: &[TargetTable],
    encoding: &str,
    preexisting: &BTreeSet<QualifiedName>,
) -> Routes {
    if set.is_streams() {
        // Its numbers are those of connections, and no table has a second copy.
        return Routes {
            default: LoadRoute::ThroughMaster,
            exceptions: Vec::new(),
        };
    }
    let contents = cluster.primaries().iter().map(|p| p.content);
    let same_contents = !cluster.is_streams() && set.contents().into_iter().eq(contents);
    let source: HashMap<&QualifiedName, Source<'_>> = set
        .manifest
        .iter()
        .flat_map(|manifest| &manifest.tables)
        .map(|facts| (&facts.table, Source::of(facts)))
        .collect();
    let situation = Situation {
        same_contents,
        one_segment: cluster.primaries().len() == 1 && !cluster.is_streams(),
        is_one_server: dialect.topology == TopologySource::SingleServer,
        cluster_segments: cluster.primaries().len(),
        source_family: set.hash_family(),
        same_functions: same_hash_functions(set, dialect),
        same_encoding: set
            .encoding
            .as_ref()
            .is_some_and(|source| source.eq_ignore_ascii_case(encoding)),
    };
    let default = if same_contents {
        LoadRoute::Direct
    } else {
        LoadRoute::ThroughMaster
    };
    let exceptions = target.iter().filter_map(|table| {
        let was_there = table.is_among(preexisting);
        let source = source.get(&table.name);
        // What was there may have another key since the dump, or had one before.
        let key_is_known = !was_there
            || source.is_some_and(|source| !table.distributed_by.is_empty() && source.key == table.distributed_by);
        let route = situation.route(table, source.copied(), was_there, key_is_known);
        (route != default).then(|| (table.name.clone(), route))
    });
    Routes {
        default,
        exceptions: exceptions.collect(),
    }
}

impl Routes {
    /// How the rows go, for the log of `-v`: the rule, and how many tables do not keep to it.
    pub fn in_words(&self) -> String {
        let words = |route| match route {
            LoadRoute::Direct | LoadRoute::DirectOrMaster => "straight into the segments",
            LoadRoute::ThroughMaster => "through the master",
            LoadRoute::OnceThroughMaster => "through the master, from one of the files",
            LoadRoute::Skip => "nowhere",
        };
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, route) in &self.exceptions {
            *counts.entry(words(*route)).or_default() += 1;
        }
        let others = counts
            .iter()
            .map(|(words, count)| format!("; of {count} tables {words}"));
        format!("rows go {}{}", words(self.default), others.collect::<String>())
    }

    /// The rows of this table are wanted.
    pub fn wants(&self, table: &QualifiedName) -> bool {
        let found = self.exceptions.iter().find(|(name, _)| name == table);
        found.map_or(self.default, |(_, route)| *route) != LoadRoute::Skip
    }

    /// The route of each table, for many of them.
    pub fn by_table(&self) -> impl Fn(&QualifiedName) -> LoadRoute {
        let known: HashMap<&QualifiedName, LoadRoute> =
            self.exceptions.iter().map(|(name, route)| (name, *route)).collect();
        move |table| known.get(table).copied().unwrap_or(self.default)
    }

    /// Sends the rows of these tables through the master.
    pub fn send_through_master(&mut self, tables: &HashSet<QualifiedName>) {
        self.exceptions.retain(|(name, _)| !tables.contains(name));
        let through = tables.iter().map(|table| (table.clone(), LoadRoute::ThroughMaster));
        self.exceptions.extend(through);
    }

    /// The routes for some tables of the set alone; everything else in its files is passed over.
    pub fn only<'a>(self, wanted: impl Iterator<Item = &'a QualifiedName>) -> Routes {
        let known: HashMap<QualifiedName, LoadRoute> = self.exceptions.into_iter().collect();
        let route = |table: &QualifiedName| known.get(table).copied().unwrap_or(self.default);
        Routes {
            default: LoadRoute::Skip,
            exceptions: wanted.map(|table| (table.clone(), route(table))).collect(),
        }
    }
}

/// The functions behind the operator classes are PostgreSQL's own and may change with its versions; the old ones of
/// Greenplum never changed.
fn same_hash_functions(set: &DumpSet, dialect: &Dialect) -> bool {
    match &set.manifest {
        None => true,
        Some(manifest) => {
            let server = &manifest.server;
            manifest.server.hash_family == HashFamily::Legacy
                || (server.product == dialect.product && server.pg_version.0 / 10_000 == dialect.pg_version.0 / 10_000)
        }
    }
}

/// How a table of the set was spread.
#[derive(Clone, Copy)]
struct Source<'a> {
    distribution: Distribution,
    legacy_hash: bool,
    key: &'a [String],
}

impl Source<'_> {
    fn of(facts: &TableFacts) -> Source<'_> {
        Source {
            distribution: facts.distribution,
            legacy_hash: facts.legacy_hash,
            key: &facts.distributed_by,
        }
    }
}

struct Situation {
    same_contents: bool,
    one_segment: bool,
    /// The segment is the master.
    is_one_server: bool,
    cluster_segments: usize,
    source_family: HashFamily,
    same_functions: bool,
    /// False also where the set does not say.
    same_encoding: bool,
}

impl Situation {
    fn route(&self, table: &TargetTable, source: Option<Source<'_>>, was_there: bool, key_is_known: bool) -> LoadRoute {
        // It may have triggers, and columns that the set does not know; on one server both are where they belong.
        let maybe_only_through_master = table.maybe_only_through_master || (was_there && !self.is_one_server);
        // The old functions never changed; a server that has both kinds of tables says of each which it is.
        let (source_family, same_functions) = match source.is_some_and(|source| source.legacy_hash) {
            true => (HashFamily::Legacy, true),
            false => (self.source_family, self.same_functions),
        };
        let source = source.map(|source| source.distribution);
        let was_replicated = source == Some(Distribution::Replicated);
        let is_replicated = table.distribution == Distribution::Replicated;
        if was_replicated {
            // Each file has all rows; one server takes them as they are.
            let direct = self.same_contents && (is_replicated || self.one_segment) && !maybe_only_through_master;
            return if direct {
                LoadRoute::Direct
            } else {
                LoadRoute::OnceThroughMaster
            };
        }
        let everywhere = table.segments.is_none_or(|segments| segments == self.cluster_segments);
        let direct = self.same_contents
            && everywhere
            && match table.distribution {
                _ if self.one_segment => true,
                Distribution::Random => true,
                Distribution::Hashed => {
                    key_is_known
                        && same_functions
                        && source_family != HashFamily::None
                        && table.hash_family == source_family
                        && match table.key {
                            KeyKind::Values => true,
                            KeyKind::Texts => self.same_encoding,
                            KeyKind::ObjectIds => false,
                        }
                        // A table that was spread at random, or is said to be, fits no hash.
                        && source.is_none_or(|source| source == Distribution::Hashed)
                }
                Distribution::Replicated => false,
                // On the master's own catalog such a table lies on the master alone.
                Distribution::Single => false,
            };
        match (direct, maybe_only_through_master) {
            (true, false) => LoadRoute::Direct,
            // Rows keep their segments where the server lets them.
            (true, true) => LoadRoute::DirectOrMaster,
            (false, _) => LoadRoute::ThroughMaster,
        }
    }
}

#[cfg(test)]
#[path = "routes_tests.rs"]
mod tests;
