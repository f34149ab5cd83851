//! Dependencies as a graph: what an object needs, what its parts are, what hangs on it.

use std::collections::{HashMap, HashSet};

use crate::words::catalog_facts::{CatalogFacts, ObjectId};
use crate::words::ids::Oid;

/// Catalogs whose rows tie things together that have nothing to do with each other's restore.
const TIES: &[&str] = &[
    "pg_default_acl",
    "pg_publication_rel",
    "pg_publication_namespace",
    "pg_subscription_rel",
    "pg_user_mapping",
];

/// Catalogs whose objects have parts that a definition brings along.
const WHOLES: &[&str] = &["pg_class", "pg_type", "pg_constraint", "pg_opclass", "pg_opfamily"];

pub(super) struct Graph {
    pg_class: Oid,
    ids: Vec<ObjectId>,
    index: HashMap<ObjectId, u32>,
    /// Sorted by the first: it needs the second.
    needs: Edges,
    /// Sorted by the first: the second needs it.
    needed_by: Edges,
    /// Sorted by the first: the second is a part of it.
    parts: Edges,
    /// Sorted by the first: it is a part of the second, which is nothing without it.
    wholes: Edges,
    partitions: Edges,
    is_part: Vec<bool>,
    /// Foreign keys: decided apart, so never walked through.
    blocked: Vec<bool>,
    owned_sequences: Vec<(ObjectId, ObjectId)>,
}

/// Pairs by their first; the neighbours of one lie side by side.
struct Edges(Vec<(u32, u32)>);

impl Edges {
    fn new(mut pairs: Vec<(u32, u32)>) -> Self {
        pairs.sort_unstable();
        pairs.dedup();
        Edges(pairs)
    }

    fn of(&self, from: u32) -> impl Iterator<Item = u32> + '_ {
        let start = self.0.partition_point(|edge| edge.0 < from);
        self.0[start..]
            .iter()
            .take_while(move |edge| edge.0 == from)
            .map(|edge| edge.1)
    }
}

/// Objects that were reached, and for each which one led to it.
pub(super) struct Reached<'g> {
    graph: &'g Graph,
    came_from: HashMap<u32, u32>,
}

impl Reached<'_> {
    pub(super) fn contains(&self, id: ObjectId) -> bool {
        let index = self.graph.index.get(&id);
        index.is_some_and(|index| self.came_from.contains_key(index))
    }

    /// The objects that led to this one, the nearest first; without itself.
    pub(super) fn way_to(&self, id: ObjectId) -> impl Iterator<Item = ObjectId> + '_ {
        let mut at = self.graph.index.get(&id).copied();
        std::iter::from_fn(move || {
            let here = at?;
            let next = *self.came_from.get(&here)?;
            at = Some(next);
            (next != here).then(|| self.graph.ids[next as usize])
        })
    }

    pub(super) fn into_set(self) -> HashSet<ObjectId> {
        let ids = &self.graph.ids;
        self.came_from.keys().map(|&index| ids[index as usize]).collect()
    }
}

impl Graph {
    pub(super) fn new(facts: &CatalogFacts) -> Graph {
        let catalog = |name: &str| {
            facts
                .catalogs
                .iter()
                .find(|(_, known)| *known == name)
                .map(|(oid, _)| *oid)
        };
        let some = |names: &[&str]| -> HashSet<Oid> { names.iter().filter_map(|name| catalog(name)).collect() };
        let (ties, wholes) = (some(TIES), some(WHOLES));
        let pg_class = catalog("pg_class").unwrap_or(Oid(1259));
        let mut graph = Graph {
            pg_class,
            ids: Vec::new(),
            index: HashMap::with_capacity(facts.objects.len() * 2),
            needs: Edges(Vec::new()),
            needed_by: Edges(Vec::new()),
            parts: Edges(Vec::new()),
            wholes: Edges(Vec::new()),
            partitions: Edges(Vec::new()),
            is_part: Vec::new(),
            blocked: Vec::new(),
            owned_sequences: Vec::new(),
        };
        for (id, _) in &facts.objects {
            graph.add(*id);
        }
        let sequences: HashSet<Oid> = facts
            .relations
            .iter()
            .filter(|relation| relation.kind == crate::words::relation::RelationKind::Sequence)
            .map(|relation| relation.oid)
            .collect();
        let (mut needs, mut parts, mut wholes_of) = (Vec::new(), Vec::new(), Vec::new());
        for dependency in &facts.dependencies {
            let (object, on) = (dependency.object, dependency.on);
            if ties.contains(&object.catalog) || object == on {
                continue;
            }
            let (from, to) = (graph.add(object), graph.add(on));
            // Automatic, internal, of a partition: the one goes when the other goes.
            let is_part = matches!(dependency.kind, b'a' | b'i' | b'P' | b'S') && wholes.contains(&on.catalog);
            let is_sequence = object.catalog == pg_class && sequences.contains(&object.oid);
            if is_part && is_sequence && on.catalog == pg_class {
                // It comes with its table, but another table may draw from it without that one.
                graph.owned_sequences.push((object, on));
                parts.push((to, from));
                continue;
            }
            needs.push((from, to));
            if is_part {
                parts.push((to, from));
                // A view without its rule, a domain without its check would be another one.
                wholes_of.push((from, to));
            }
        }
        let mut partitions = Vec::new();
        for relation in &facts.relations {
            if let Some(parent) = relation.parent {
                let (child, parent) = (graph.relation(relation.oid), graph.relation(parent));
                let (child, parent) = (graph.add(child), graph.add(parent));
                needs.push((child, parent));
                parts.push((parent, child));
                partitions.push((parent, child));
            }
        }
        let pg_constraint = catalog("pg_constraint").unwrap_or(Oid(2606));
        graph.blocked = vec![false; graph.ids.len()];
        for key in &facts.foreign_keys {
            let id = ObjectId {
                catalog: pg_constraint,
                oid: key.constraint,
            };
            if let Some(&index) = graph.index.get(&id) {
                graph.blocked[index as usize] = true;
            }
        }
        graph.is_part = vec![false; graph.ids.len()];
        for (_, part) in &parts {
            graph.is_part[*part as usize] = true;
        }
        graph.needed_by = Edges::new(needs.iter().map(|&(from, to)| (to, from)).collect());
        graph.needs = Edges::new(needs);
        graph.parts = Edges::new(parts);
        graph.wholes = Edges::new(wholes_of);
        graph.partitions = Edges::new(partitions);
        graph
    }

    fn add(&mut self, id: ObjectId) -> u32 {
        let next = u32::try_from(self.ids.len()).expect("a catalog has fewer than four billion rows");
        let ids = &mut self.ids;
        *self.index.entry(id).or_insert_with(|| {
            ids.push(id);
            next
        })
    }

    pub(super) fn relation(&self, oid: Oid) -> ObjectId {
        ObjectId {
            catalog: self.pg_class,
            oid,
        }
    }

    /// What these need, all the way, and their parts; themselves included.
    pub(super) fn needs(&self, seeds: impl Iterator<Item = ObjectId>) -> Reached<'_> {
        let mut reached = Reached {
            graph: self,
            came_from: HashMap::new(),
        };
        self.add_needs(&mut reached, seeds);
        reached
    }

    pub(super) fn add_needs(&self, reached: &mut Reached, seeds: impl Iterator<Item = ObjectId>) {
        let mut open: Vec<u32> = Vec::new();
        for seed in seeds.filter_map(|id| self.index.get(&id).copied()) {
            if let std::collections::hash_map::Entry::Vacant(place) = reached.came_from.entry(seed) {
                place.insert(seed);
                open.push(seed);
            }
        }
        while let Some(at) = open.pop() {
            for next in self.needs.of(at).chain(self.parts.of(at)) {
                if !self.blocked[next as usize]
                    && let std::collections::hash_map::Entry::Vacant(place) = reached.came_from.entry(next)
                {
                    place.insert(at);
                    open.push(next);
                }
            }
        }
    }

    /// What goes with these: all that needs them, their parts, and what they are parts of, but nothing that is required. Themselves included, as
    /// far as they are not required.
    pub(super) fn hanging_on(&self, seeds: &HashSet<ObjectId>, required: &Reached) -> Reached<'_> {
        let mut came_from = HashMap::new();
        let mut open: Vec<u32> = Vec::new();
        for seed in seeds.iter().filter_map(|id| self.index.get(id).copied()) {
            if !required.came_from.contains_key(&seed) && came_from.insert(seed, seed).is_none() {
                open.push(seed);
            }
        }
        while let Some(at) = open.pop() {
            let neighbours = self.needed_by.of(at).chain(self.parts.of(at)).chain(self.wholes.of(at));
            for next in neighbours {
                if !required.came_from.contains_key(&next)
                    && let std::collections::hash_map::Entry::Vacant(place) = came_from.entry(next)
                {
                    place.insert(at);
                    open.push(next);
                }
            }
        }
        Reached { graph: self, came_from }
    }

    pub(super) fn needs_of(&self, id: ObjectId) -> impl Iterator<Item = ObjectId> + '_ {
        let index = self.index.get(&id).copied().into_iter();
        index
            .flat_map(|index| self.needs.of(index))
            .map(|index| self.ids[index as usize])
    }

    pub(super) fn partitions_of(&self, table: ObjectId) -> impl Iterator<Item = ObjectId> + '_ {
        let index = self.index.get(&table).copied().into_iter();
        index
            .flat_map(|index| self.partitions.of(index))
            .map(|index| self.ids[index as usize])
    }

    pub(super) fn is_part(&self, id: ObjectId) -> bool {
        self.index.get(&id).is_some_and(|&index| self.is_part[index as usize])
    }

    pub(super) fn owned_sequences(&self) -> impl Iterator<Item = (ObjectId, ObjectId)> + '_ {
        self.owned_sequences.iter().copied()
    }
}
