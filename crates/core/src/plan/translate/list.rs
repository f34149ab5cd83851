//! All rewrites, in the order in which they are tried; what one makes goes on to those behind it.
//!
//! To add one: write its function beside its like, put it here with the sets and servers that it is for, give it a case
//! in `tests.rs` with a statement from a real set, and a row in `docs/newer-servers.md`.

use super::rewrite::{ALL, From, MODERN, NEWER, POSTGRES, Rewrite, Server};
use super::statement::Kind;
use super::{foreign, originals, partitions, routines, tables};

const GREENPLUM6_AND_7: &[Server] = &[Server::Greenplum6, Server::Greenplum7];
const GREENPLUM7: &[Server] = &[Server::Greenplum7];

macro_rules! rewrite {
    (warns $($rest:tt)*) => { Rewrite { warns: true, ..rewrite!($($rest)*) } };
    ($name:literal, $from:ident => $to:ident, [$($kind:ident),*], $apply:path, $note:literal) => {
        Rewrite { name: $name, from: From::$from, to: $to, on: &[$(Kind::$kind),*], note: $note, warns: false, apply: $apply }
    };
}

/// Empty notes: nothing is lost or changed that anybody would look for.
pub const REWRITES: &[Rewrite] = &[
    // Defects of the original programs, mended for every server.
    rewrite!("doubled-definitions", Originals => ALL, [], originals::doubled_definitions, ""),
    rewrite!(warns "disabled-triggers", Originals => ALL, [AlterTable], originals::disabled_triggers,
        "left enabled, for the original gpcrondump says of every trigger that it is disabled; disable those that were"),
    // What cannot be made, and what is said about it.
    rewrite!("external-tables", Greenplum => POSTGRES, [CreateExternalTable], foreign::external_tables, ""),
    rewrite!("protocols", Greenplum => POSTGRES, [CreateProtocol], foreign::protocols, ""),
    rewrite!("followers", Greenplum => POSTGRES, [Comment, Grant, AlterTable, Drop], foreign::followers, ""),
    rewrite!("large-objects", Old => GREENPLUM6_AND_7, [], foreign::large_objects, ""),
    rewrite!("resources", Greenplum => POSTGRES, [Resource], foreign::resources,
        "left out: PostgreSQL has no resource queues and groups"),
    rewrite!("role-options", Greenplum => NEWER, [Role], foreign::role_options, ""),
    rewrite!("filespaces", Old => NEWER, [Space], foreign::filespaces, ""),
    // Partitions go first: they read the clause as it was printed.
    rewrite!("partitions", Greenplum => POSTGRES, [CreateTable], partitions::declared_partitions,
        "their partitions are declared in PostgreSQL's way, under the same names"),
    rewrite!("ends-of-partitions", Greenplum => GREENPLUM7, [CreateTable], partitions::partitions_of_greenplum7,
        "their partitions begin or end where they did, in words that this server takes"),
    rewrite!("subpartition-templates", Greenplum => POSTGRES, [AlterTable], partitions::subpartition_templates,
        "their templates for subpartitions are forgotten: later partitions are declared one by one"),
    rewrite!("exchanged-partitions", Greenplum => POSTGRES, [AlterTable], partitions::exchanges, ""),
    rewrite!("templates-of-inherited-partitions", Greenplum => GREENPLUM7, [AlterTable], partitions::templates_of_inherited, ""),
    rewrite!("moved-partitions", Greenplum => MODERN, [AlterTable], partitions::moved_partitions, ""),
    rewrite!("owners-of-partitions", Greenplum => MODERN, [AlterTable], partitions::owners, ""),
    rewrite!("constraints-of-partitioned-tables", Greenplum => MODERN, [AlterTable], partitions::whole_constraints, ""),
    // Tables.
    rewrite!("quicklz", Greenplum => ALL, [CreateTable, AlterType], tables::quicklz,
        "compressed with zlib, for this server has no quicklz"),
    rewrite!("storage-options", Greenplum => POSTGRES, [CreateTable, CreateView], tables::storage_options,
        "ordinary tables now: PostgreSQL has no append-optimized storage"),
    rewrite!("column-encodings", Greenplum => POSTGRES, [CreateTable], tables::column_encodings, ""),
    rewrite!("distribution", Greenplum => POSTGRES, [CreateTable, CreateView], tables::distribution, ""),
    rewrite!("redistribution", Greenplum => POSTGRES, [AlterTable], tables::redistribution, ""),
    rewrite!("money-keys", Old => GREENPLUM6_AND_7, [CreateTable], tables::money_keys,
        "keep the old hash: type money has no other"),
    rewrite!(warns "oids", Greenplum => MODERN, [CreateTable], tables::oids,
        "made without OIDs: this server has none, and theirs are not restored"),
    rewrite!("default-with-oids", Greenplum => MODERN, [Set], tables::default_with_oids, ""),
    rewrite!("storage-defaults", Greenplum => MODERN, [Set], tables::storage_defaults, ""),
    rewrite!("type-encodings", Greenplum => POSTGRES, [AlterType], tables::type_encodings, ""),
    rewrite!("removed-types", Greenplum => MODERN,
        [CreateTable, CreateExternalTable, CreateView, CreateRoutine, CreateAggregate, CreateType, AlterTable],
        tables::removed_types,
        "have other types, for this server has these no more: abstime is timestamptz, reltime interval, tinterval and \
         unknown text"),
    rewrite!("greenplum-types", Greenplum => POSTGRES, [CreateTable], tables::greenplum_types,
        "columns of type complex are text"),
    rewrite!("reserved-words", Old => NEWER, [], tables::reserved_words, ""),
    rewrite!("comments-on-foreign-tables", Greenplum => GREENPLUM7, [Comment], foreign::comments_on_foreign_tables, ""),
    rewrite!("comments-on-external-tables", Greenplum => ALL, [Comment], foreign::comments_on_external_tables, ""),
    rewrite!("error-tables", Old => ALL, [CreateExternalTable], foreign::error_tables,
        "log their errors inside of the server: error tables are no more (gp_read_error_log)"),
    // Functions and what calls them.
    rewrite!("routine-attributes", Greenplum => POSTGRES, [CreateRoutine], routines::routine_attributes, ""),
    rewrite!(warns "python", Greenplum => MODERN, [], routines::python,
        "in Python 3 now (plpython3u), for this server has no Python 2: look through the bodies"),
    rewrite!("language-handlers", Old => NEWER, [AlterFunction], routines::language_handlers, ""),
    rewrite!("aggregates", Greenplum => MODERN, [CreateAggregate], routines::aggregates, ""),
    rewrite!("array-aggregates", Greenplum => POSTGRES, [], routines::array_aggregates,
        "take anycompatible, as array_append and its like do since PostgreSQL 14"),
    rewrite!("string-agg", Old => NEWER, [CreateView, CreateRule], routines::string_agg, ""),
    rewrite!("median", Greenplum => POSTGRES, [CreateView, CreateRule], routines::median, ""),
    rewrite!("bitmap-indexes", Greenplum => POSTGRES, [CreateIndex], tables::bitmap_indexes,
        "B-trees now: PostgreSQL has no bitmap indexes"),
];
