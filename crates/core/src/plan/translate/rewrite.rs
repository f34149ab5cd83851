//! What a rewrite is.

use std::collections::{BTreeMap, BTreeSet};

use super::statement::{Kind, Statement};
use crate::plan::restore::DumpSet;
use crate::words::dialect::{Dialect, PgVersion, Product};
use crate::words::names::QualifiedName;

/// Servers as far as their SQL differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// Up to 5.
    Greenplum5,
    Greenplum6,
    /// 7 and later, and Cloudberry: what has declarative partitions and access methods.
    Greenplum7,
    /// Plain PostgreSQL, 12 or newer.
    Postgres,
}

/// Every server.
pub(super) const ALL: &[Server] = &[
    Server::Greenplum5,
    Server::Greenplum6,
    Server::Greenplum7,
    Server::Postgres,
];
/// Greenplum 6 and everything later.
pub(super) const NEWER: &[Server] = &[Server::Greenplum6, Server::Greenplum7, Server::Postgres];
/// What stands on PostgreSQL 12 or later.
pub(super) const MODERN: &[Server] = &[Server::Greenplum7, Server::Postgres];
pub(super) const POSTGRES: &[Server] = &[Server::Postgres];

/// The server that definitions are run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    pub server: Server,
    pub base: PgVersion,
    /// Tables may be compressed with quicklz, which not every build can.
    pub has_quicklz: bool,
}

impl Target {
    pub fn of(dialect: &Dialect, has_quicklz: bool) -> Target {
        let server = match (dialect.product, dialect.pg_version.0) {
            (Product::Postgres, _) => Server::Postgres,
            (_, ..90_000) => Server::Greenplum5,
            (_, ..120_000) => Server::Greenplum6,
            _ => Server::Greenplum7,
        };
        Target {
            server,
            base: dialect.pg_version,
            has_quicklz,
        }
    }
}

/// Where a set comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// Written by the original programs, with their defects.
    pub by_originals: bool,
    pub product: Product,
    pub base: PgVersion,
}

impl Origin {
    pub fn of(set: &DumpSet) -> Origin {
        match &set.manifest {
            Some(manifest) => Origin {
                by_originals: false,
                product: manifest.server.product,
                base: manifest.server.pg_version,
            },
            // The originals ended with Greenplum 5.
            None => Origin {
                by_originals: true,
                product: Product::Greenplum,
                base: PgVersion(80_323),
            },
        }
    }
}

/// The sets that a rewrite is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// Those of the original programs.
    Originals,
    /// Those of Greenplum 5 and 4.3, whoever wrote them.
    Old,
    /// Those of any Greenplum.
    Greenplum,
}

impl From {
    pub(super) fn holds(self, origin: &Origin) -> bool {
        match self {
            From::Originals => origin.by_originals,
            From::Old => origin.product != Product::Postgres && origin.base.0 < 90_000,
            From::Greenplum => origin.product != Product::Postgres,
        }
    }
}

/// What becomes of a statement.
#[derive(Debug, PartialEq, Eq)]
pub enum Change {
    /// It stays, and nothing is said.
    Keep,
    /// It stays, and the note is said of it.
    Tell,
    /// These take its place.
    Becomes(Vec<Vec<u8>>),
    /// It is not needed here.
    Goes,
    /// These take its place, and something is lost: what.
    Loses(Vec<Vec<u8>>, String),
    /// What it makes cannot be made here: why. The rest of its entry goes too.
    Cannot(String),
    /// It is about something that could not be made.
    Follows(Thing),
}

impl Change {
    /// One text in place of another.
    pub(super) fn to(text: Option<Vec<u8>>) -> Change {
        text.map_or(Change::Keep, |text| Change::Becomes(vec![text]))
    }
}

/// Something that may be missing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Thing {
    Relation(QualifiedName),
    Protocol(String),
}

/// A partition, however deep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    pub(super) name: QualifiedName,
    /// How statements call it.
    pub(super) sql: Vec<u8>,
}

/// What the rewrites know of the set, beyond the statement at hand.
#[derive(Debug)]
pub struct Known {
    pub(super) target: Target,
    /// Tables with partitions, and the partitions.
    pub(super) partitioned: BTreeMap<QualifiedName, Vec<Leaf>>,
    /// Entries of aggregates that take other types than they did.
    pub(super) array_aggregates: BTreeSet<String>,
    /// Things that could not be made.
    pub(super) gone: BTreeSet<Thing>,
}

/// One difference between servers, and what is done about it.
#[derive(Debug)]
pub struct Rewrite {
    pub name: &'static str,
    pub from: From,
    pub to: &'static [Server],
    /// Kinds of statement that are looked at; none: all of them.
    pub on: &'static [Kind],
    /// What is said of it, with the names of the objects behind; empty when it is not worth a word.
    pub note: &'static str,
    /// Somebody should look at it.
    pub warns: bool,
    pub apply: fn(&Statement<'_>, &mut Known) -> Change,
}
