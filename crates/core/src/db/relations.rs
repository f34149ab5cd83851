//! Tables, their columns, sequences, materialized views: what a dump needs of the catalog, by set-based queries.
//!
//! Never one query per table: with 100,000 tables that alone would take longer than the dump.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::distribution::read_keys;
use super::holders::Holders;
use super::{Error, Session};
use crate::words::dialect::{Dialect, DistributionCatalog, PartitionCatalog, TopologySource};
use crate::words::ids::{ContentId, Oid};
use crate::words::names::{QualifiedName, quote_literal};
use crate::words::relation::{Distribution, InsertShape, Relation, SequenceState, StorageKind, ValueKind};

/// Schemas that belong to the server (`gp_dump.md` 2.5). Temporary ones are among them: their names begin with `pg_`.
pub(super) const USER_SCHEMAS: &str = "n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'gp_toolkit')";

/// All tables with rows of their own, in order of schema and name (by bytes, on every server alike).
pub async fn read_relations(session: &Session, dialect: &Dialect) -> Result<Vec<Relation>, Error> {
    let doing = "reading the list of tables";
    let mut relations: Vec<Relation> = Vec::new();
    session
        .for_each_row(&tables_sql(dialect), doing, |row| {
            relations.push(relation_of(row).ok_or_else(|| unexpected(session, doing, "a table without oid or name"))?);
            Ok(())
        })
        .await?;
    relations.sort_by(|a, b| a.name.cmp(&b.name));
    let mut by_oid: HashMap<Oid, usize> = HashMap::with_capacity(relations.len());
    by_oid.extend(relations.iter().enumerate().map(|(at, relation)| (relation.oid, at)));
    let doing = "reading the columns of the tables";
    session
        .for_each_row(&columns_sql(dialect), doing, |row| {
            let (Some(oid), Some(column), Some(kind)) = (row.get(0).and_then(parse_oid), row.get(1), row.get(2)) else {
                return Err(unexpected(session, doing, "a column without table, name or kind"));
            };
            if let Some(&at) = by_oid.get(&oid) {
                add_column(&mut relations[at], column, kind, row.get(3) == Some("a"));
            }
            Ok(())
        })
        .await?;
    for key in read_keys(session, dialect).await? {
        if let Some(&at) = by_oid.get(&key.oid) {
            relations[at].distributed_by = key.columns;
        }
    }
    for (oid, root) in read_partition_roots(session, dialect).await? {
        if let Some(&at) = by_oid.get(&oid) {
            relations[at].root = Some(root);
        }
    }
    // A member of an extension is created by CREATE EXTENSION, rows included; only configuration tables hold rows of
    // the user.
    let extensions = read_extension_tables(session, dialect).await?;
    relations.retain_mut(|relation| match extensions.get(&relation.oid) {
        None => true,
        Some(ExtensionTable::Member) => false,
        Some(ExtensionTable::Configuration(condition)) => {
            relation.condition = Some(condition.clone());
            true
        }
    });
    Ok(relations)
}

fn add_column(relation: &mut Relation, column: &str, kind: &str, is_always_identity: bool) {
    let insert = &mut relation.insert;
    if kind == "g" {
        insert.must_name_columns = true;
        return;
    }
    insert.values.push(match kind {
        "n" => ValueKind::Number,
        "b" => ValueKind::Bits,
        "o" => ValueKind::Boolean,
        _ => ValueKind::Text,
    });
    insert.overrides_identity |= is_always_identity;
    relation.columns.push(column.to_owned());
}

fn tables_sql(dialect: &Dialect) -> String {
    let storage = if dialect.has_relstorage { "c.relstorage" } else { "'h'" };
    // External, virtual and foreign tables have no rows that could be copied.
    let stored_here = if dialect.has_relstorage {
        " AND c.relstorage IN ('h', 'a', 'c')"
    } else {
        ""
    };
    let (access_method, access_method_join) = if dialect.pg_version.0 >= 120_000 {
        ("am.amname", " LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam")
    } else {
        ("NULL", "")
    };
    let (policy, policy_join) = match dialect.distribution {
        DistributionCatalog::PolicyType => (
            "CASE WHEN p.policytype = 'r' THEN 'r' WHEN p.localoid IS NULL THEN 's' \
             WHEN p.distkey IS NULL OR p.distkey::text = '' THEN 'n' \
             WHEN EXISTS (SELECT 1 FROM pg_catalog.pg_opclass o WHERE o.oid = ANY (p.distclass::oid[]) \
             AND o.opcname LIKE 'cdbhash%') THEN 'l' ELSE 'h' END",
            " LEFT JOIN pg_catalog.gp_distribution_policy p ON p.localoid = c.oid",
        ),
        DistributionCatalog::Attrnums => (
            "CASE WHEN p.localoid IS NULL THEN 's' WHEN p.attrnums IS NULL THEN 'n' ELSE 'h' END",
            " LEFT JOIN pg_catalog.gp_distribution_policy p ON p.localoid = c.oid",
        ),
        DistributionCatalog::None => ("'s'", ""),
    };
    let permanent = if dialect.pg_version.0 >= 90100 {
        " AND c.relpersistence <> 't'"
    } else {
        ""
    };
    let oids = if dialect.rows_can_have_oids() {
        "c.relhasoids"
    } else {
        "'f'"
    };
    format!(
        "SELECT c.oid, n.nspname, c.relname, pg_catalog.pg_get_userbyid(c.relowner), {storage}, {access_method}, \
         {policy}, c.relpages::bigint * pg_catalog.current_setting('block_size')::bigint, {oids} \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace\
         {access_method_join}{policy_join} \
         WHERE c.relkind = 'r'{stored_here}{permanent} AND {USER_SCHEMAS}"
    )
}

fn relation_of(row: &tokio_postgres::SimpleQueryRow) -> Option<Relation> {
    let storage = match (row.get(4), row.get(5)) {
        (Some("a"), _) | (_, Some("ao_row")) => StorageKind::AoRow,
        (Some("c"), _) | (_, Some("ao_column")) => StorageKind::AoColumn,
        _ => StorageKind::Heap,
    };
    let distribution = match row.get(6)? {
        "r" => Distribution::Replicated,
        "n" => Distribution::Random,
        "h" | "l" => Distribution::Hashed,
        _ => Distribution::Single,
    };
    Some(Relation {
        oid: parse_oid(row.get(0)?)?,
        name: QualifiedName::new(row.get(1)?, row.get(2)?),
        owner: row.get(3)?.to_owned(),
        storage,
        distribution,
        legacy_hash: row.get(6) == Some("l"),
        distributed_by: Vec::new(),
        columns: Vec::new(),
        root: None,
        condition: None,
        insert: InsertShape::default(),
        has_oids: row.get(8) == Some("t"),
        estimated_bytes: row.get(7).and_then(|b| b.parse().ok()).unwrap_or(0),
    })
}

fn columns_sql(dialect: &Dialect) -> String {
    let generated = if dialect.pg_version.0 >= 120_000 {
        "WHEN a.attgenerated <> '' THEN 'g' "
    } else {
        ""
    };
    let identity = if dialect.pg_version.0 >= 100_000 {
        "a.attidentity"
    } else {
        "''"
    };
    // Kinds by the type that a domain is made of, as clients see it: int2, 4, 8, oid, float4, 8, numeric; bit, varbit; bool.
    format!(
        "SELECT a.attrelid, a.attname, CASE {generated}\
           WHEN coalesce(d.typbasetype, a.atttypid) IN (20, 21, 23, 26, 700, 701, 1700) THEN 'n' \
           WHEN coalesce(d.typbasetype, a.atttypid) IN (1560, 1562) THEN 'b' \
           WHEN coalesce(d.typbasetype, a.atttypid) = 16 THEN 'o' ELSE 't' END, {identity} \
         FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_catalog.pg_type d ON d.oid = a.atttypid AND d.typtype = 'd' \
         WHERE c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped AND {USER_SCHEMAS} \
         ORDER BY a.attrelid, a.attnum"
    )
}

async fn read_partition_roots(session: &Session, dialect: &Dialect) -> Result<Vec<(Oid, Oid)>, Error> {
    let sql = match dialect.partitions {
        PartitionCatalog::None => return Ok(Vec::new()),
        PartitionCatalog::PgPartitionRule => {
            "SELECT r.parchildrelid, p.parrelid FROM pg_catalog.pg_partition_rule r \
             JOIN pg_catalog.pg_partition p ON p.oid = r.paroid WHERE r.parchildrelid <> 0"
        }
        PartitionCatalog::Declarative => {
            "WITH RECURSIVE tree(child, root) AS ( \
               SELECT i.inhrelid, i.inhparent FROM pg_catalog.pg_inherits i \
                 JOIN pg_catalog.pg_class p ON p.oid = i.inhparent \
                 WHERE p.relkind = 'p' AND NOT p.relispartition \
               UNION ALL SELECT i.inhrelid, tree.root FROM pg_catalog.pg_inherits i JOIN tree ON tree.child = i.inhparent) \
             SELECT child, root FROM tree"
        }
    };
    let doing = "reading the partition hierarchy";
    let mut pairs = Vec::new();
    session
        .for_each_row(sql, doing, |row| {
            match (row.get(0).and_then(parse_oid), row.get(1).and_then(parse_oid)) {
                (Some(child), Some(root)) => pairs.push((child, root)),
                _ => return Err(unexpected(session, doing, "a partition without parent")),
            }
            Ok(())
        })
        .await?;
    Ok(pairs)
}

/// What a table is to its extension.
pub(super) enum ExtensionTable {
    Member,
    Configuration(String),
}

pub(super) async fn read_extension_tables(
    session: &Session,
    dialect: &Dialect,
) -> Result<HashMap<Oid, ExtensionTable>, Error> {
    // Greenplum 5 has extensions on an 8.3 base, 4.3 has none: ask the catalog, not the version.
    let doing = "reading the tables of extensions";
    let has_extensions = dialect.pg_version.0 >= 90100
        || session
            .one(
                "SELECT 1 FROM pg_catalog.pg_class WHERE relname = 'pg_extension' AND relnamespace = 11",
                doing,
            )
            .await?
            .is_some();
    let mut tables = HashMap::new();
    if !has_extensions {
        return Ok(tables);
    }
    let members = "SELECT d.objid FROM pg_catalog.pg_depend d WHERE d.deptype = 'e' \
         AND d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_extension'::regclass";
    for row in session.rows(members, doing).await? {
        if let Some(oid) = row.first().and_then(Option::as_deref).and_then(parse_oid) {
            tables.insert(oid, ExtensionTable::Member);
        }
    }
    let configuration = "SELECT extconfig[i], extcondition[i] FROM (SELECT extconfig, extcondition, \
         pg_catalog.generate_series(1, pg_catalog.array_upper(extconfig, 1)) AS i FROM pg_catalog.pg_extension \
         WHERE extconfig IS NOT NULL) s";
    for row in session.rows(configuration, doing).await? {
        if let Some(oid) = row.first().and_then(Option::as_deref).and_then(parse_oid) {
            let condition = row.get(1).cloned().flatten().unwrap_or_default();
            tables.insert(oid, ExtensionTable::Configuration(condition));
        }
    }
    Ok(tables)
}

/// Sequences asked for in one statement: long enough to spare round trips, short enough for the planner.
const SEQUENCES_PER_QUERY: usize = 200;

/// Every user sequence with its state, but for those `without`. Sequences are not transactional: the values are those of
/// the moment of reading.
pub async fn read_sequences(
    session: &Session,
    dialect: &Dialect,
    without: &HashSet<QualifiedName>,
) -> Result<Vec<SequenceState>, Error> {
    let permanent = if dialect.pg_version.0 >= 90100 {
        " AND c.relpersistence <> 't'"
    } else {
        ""
    };
    // A sequence of an extension belongs to CREATE EXTENSION; identity columns' sequences are ordinary ones here.
    let sql = format!(
        "SELECT n.nspname, c.relname, pg_catalog.pg_get_userbyid(c.relowner) FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'S'{permanent} AND {USER_SCHEMAS} \
         AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass \
           AND d.objid = c.oid AND d.deptype = 'e')"
    );
    let doing = "reading the list of sequences";
    let mut sequences: Vec<(QualifiedName, String)> = Vec::new();
    session
        .for_each_row(&sql, doing, |row| {
            let (Some(schema), Some(name), Some(owner)) = (row.get(0), row.get(1), row.get(2)) else {
                return Err(unexpected(session, doing, "a sequence without name or owner"));
            };
            sequences.push((QualifiedName::new(schema, name), owner.to_owned()));
            Ok(())
        })
        .await?;
    sequences.retain(|(name, _)| !without.contains(name));
    sequences.sort();
    let mut states = Vec::with_capacity(sequences.len());
    for batch in sequences.chunks(SEQUENCES_PER_QUERY) {
        let parts: Vec<String> = batch
            .iter()
            .enumerate()
            .map(|(at, (name, _))| format!("SELECT {at} AS at, last_value, is_called FROM {}", name.sql()))
            .collect();
        let sql = format!("{} ORDER BY at", parts.join(" UNION ALL "));
        let doing = "reading the values of sequences";
        let rows = session.rows(&sql, doing).await?;
        for ((name, owner), row) in batch.iter().zip(rows) {
            let value = row.get(1).and_then(|v| v.as_deref()).and_then(|v| v.parse().ok());
            let last_value = value.ok_or_else(|| unexpected(session, doing, &format!("no value for {name}")))?;
            let is_called = row.get(2).and_then(|v| v.as_deref()) == Some("t");
            states.push(SequenceState {
                name: name.clone(),
                owner: owner.clone(),
                last_value,
                is_called,
            });
        }
    }
    if states.len() != sequences.len() {
        return Err(unexpected(session, doing, "fewer sequence values than sequences"));
    }
    Ok(states)
}

/// Populated materialized views, each after those that it reads, with the owner.
pub async fn read_populated_matviews(
    session: &Session,
    dialect: &Dialect,
) -> Result<Vec<(QualifiedName, String)>, Error> {
    if dialect.pg_version.0 < 90300 {
        return Ok(Vec::new());
    }
    // Depth is the longest way down through views and materialized views, by the rules that define them.
    let sql = format!(
        "WITH RECURSIVE edges(upper, lower) AS ( \
           SELECT DISTINCT r.ev_class, d.refobjid FROM pg_catalog.pg_rewrite r \
             JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = r.oid \
               AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid <> r.ev_class \
             JOIN pg_catalog.pg_class l ON l.oid = d.refobjid AND l.relkind IN ('v', 'm')), \
         depth(oid, level) AS ( \
           SELECT c.oid, 0 FROM pg_catalog.pg_class c WHERE c.relkind = 'm' \
           UNION SELECT e.upper, depth.level + 1 FROM edges e JOIN depth ON depth.oid = e.lower \
             WHERE depth.level < 1000) \
         SELECT n.nspname, c.relname, pg_catalog.pg_get_userbyid(c.relowner) FROM pg_catalog.pg_class c \
           JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN depth ON depth.oid = c.oid \
           WHERE c.relkind = 'm' AND c.relispopulated AND {USER_SCHEMAS} \
           GROUP BY n.nspname, c.relname, c.relowner ORDER BY max(depth.level), n.nspname, c.relname"
    );
    let rows = session.rows(&sql, "reading the order of materialized views").await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| match <[_; 3]>::try_from(row) {
            Ok([Some(schema), Some(name), Some(owner)]) => Some((QualifiedName::new(schema, name), owner)),
            _ => None,
        })
        .collect())
}

/// Labels of every enum type, in their order. For Greenplum 5, whose own pg_dump writes object ids in their place.
pub async fn read_enum_labels(session: &Session) -> Result<BTreeMap<QualifiedName, Vec<String>>, Error> {
    let doing = "reading the labels of enum types";
    let sql = "SELECT n.nspname, t.typname, e.enumlabel FROM pg_catalog.pg_enum e \
         JOIN pg_catalog.pg_type t ON t.oid = e.enumtypid JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace \
         ORDER BY t.oid, e.oid";
    let mut labels: BTreeMap<QualifiedName, Vec<String>> = BTreeMap::new();
    for row in session.rows(sql, doing).await? {
        let Ok([Some(schema), Some(name), Some(label)]) = <[_; 3]>::try_from(row) else {
            return Err(unexpected(session, doing, "a label without type"));
        };
        labels.entry(QualifiedName::new(schema, name)).or_default().push(label);
    }
    Ok(labels)
}

/// Leaves that were moved to another schema than their root's: Greenplum 5's own pg_dump forgets that.
pub async fn read_moved_leaves(session: &Session) -> Result<Vec<(QualifiedName, QualifiedName)>, Error> {
    let sql = "SELECT schemaname, tablename, partitionschemaname, partitiontablename FROM pg_catalog.pg_partitions \
         WHERE schemaname <> partitionschemaname ORDER BY 1, 2, 3, 4";
    let rows = session
        .rows(sql, "reading partitions that lie in another schema than their root")
        .await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| match <[_; 4]>::try_from(row) {
            Ok([Some(schema), Some(root), Some(leaf_schema), Some(leaf)]) => {
                Some((QualifiedName::new(schema, root), QualifiedName::new(leaf_schema, leaf)))
            }
            _ => None,
        })
        .collect())
}

pub(super) fn parse_oid(text: &str) -> Option<Oid> {
    text.parse().ok().map(Oid)
}

pub(super) fn unexpected(session: &Session, doing: &str, what: &str) -> Error {
    Error::Unexpected {
        whom: session.whom().to_owned(),
        doing: doing.to_owned(),
        what: what.to_owned(),
    }
}

/// One tuple list for `WHERE (nspname, relname) IN (...)`.
pub fn name_tuples<'a>(names: impl Iterator<Item = &'a QualifiedName>) -> String {
    let tuples: Vec<String> = names
        .map(|n| format!("({}, {})", quote_literal(&n.schema), quote_literal(&n.name)))
        .collect();
    tuples.join(", ")
}

/// Bytes of the current database on each segment, where the server can tell.
pub async fn read_segment_sizes(session: &Session, dialect: &Dialect) -> Result<BTreeMap<ContentId, u64>, Error> {
    let sql = if dialect.utility_setting.is_some() {
        "SELECT gp_execution_segment(), pg_catalog.pg_database_size(pg_catalog.current_database()) \
         FROM gp_dist_random('gp_id')"
    } else if dialect.topology == TopologySource::SingleServer {
        "SELECT 0, pg_catalog.pg_database_size(pg_catalog.current_database())"
    } else {
        return Ok(BTreeMap::new());
    };
    let mut sizes = BTreeMap::new();
    for row in session.rows(sql, "asking for the size of the database").await? {
        let number = |i: usize| {
            row.get(i)
                .and_then(|f| f.as_deref())
                .and_then(|f| f.parse::<i64>().ok())
        };
        if let (Some(content), Some(size)) = (number(0), number(1)) {
            sizes.insert(ContentId(content as i32), size.max(0) as u64);
        }
    }
    Ok(sizes)
}

/// Bytes of the current database, on all segments where the server has some.
pub async fn read_database_bytes(session: &Session) -> Result<u64, Error> {
    let sql = "SELECT pg_catalog.pg_database_size(pg_catalog.current_database())";
    let bytes = session.one(sql, "asking for the size of the database").await?;
    Ok(bytes.and_then(|bytes| bytes.parse().ok()).unwrap_or(0))
}

/// Every table with rows of its own, with the planner's estimate of its size in bytes.
pub async fn read_estimated_sizes(session: &Session, dialect: &Dialect) -> Result<Vec<(Oid, u64)>, Error> {
    let stored_here = if dialect.has_relstorage {
        " AND c.relstorage IN ('h', 'a', 'c')"
    } else {
        ""
    };
    let sql = format!(
        "SELECT c.oid, c.relpages::bigint * pg_catalog.current_setting('block_size')::bigint \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind = 'r'{stored_here} AND {USER_SCHEMAS}"
    );
    let mut sizes = Vec::new();
    session
        .for_each_row(&sql, "estimating the sizes of the tables", |row| {
            if let Some(oid) = row.get(0).and_then(parse_oid) {
                sizes.push((oid, row.get(1).and_then(|bytes| bytes.parse().ok()).unwrap_or(0)));
            }
            Ok(())
        })
        .await?;
    Ok(sizes)
}

/// Bytes of every table as far as any role may know them without reading it: by the files where there is one server, by
/// the planner's estimate where they lie on segments.
pub async fn read_table_bytes(session: &Session, dialect: &Dialect) -> Result<HashMap<Oid, u64>, Error> {
    if dialect.topology != TopologySource::SingleServer || dialect.pg_version.0 < 90_000 {
        return Ok(read_estimated_sizes(session, dialect).await?.into_iter().collect());
    }
    let sql = format!(
        "SELECT c.oid, pg_catalog.pg_table_size(c.oid) FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND {USER_SCHEMAS}"
    );
    let mut sizes = HashMap::new();
    session
        .for_each_row(&sql, "asking for the sizes of the tables", |row| {
            // A table that was dropped in between has none.
            if let (Some(oid), Some(bytes)) = (row.get(0).and_then(parse_oid), row.get(1).and_then(|b| b.parse().ok()))
            {
                sizes.insert(oid, bytes);
            }
            Ok(())
        })
        .await?;
    Ok(sizes)
}

/// Bytes of the large objects of the current database on the instance that the session is with.
pub async fn read_large_object_bytes(session: &Session) -> Result<u64, Error> {
    let sql = "SELECT relpages::bigint * pg_catalog.current_setting('block_size')::bigint FROM pg_catalog.pg_class \
         WHERE oid = 'pg_catalog.pg_largeobject'::regclass";
    let bytes = session.one(sql, "estimating the size of the large objects").await?;
    Ok(bytes.and_then(|bytes| bytes.parse().ok()).unwrap_or(0))
}

/// Whether the session with this name has begun to read the catalog inside a transaction, and so has its snapshot: the
/// locks of a catalog query stay until the transaction ends.
pub async fn has_read_catalog(session: &Session, dialect: &Dialect, application: &str) -> Result<bool, Error> {
    let sql = format!(
        "SELECT 1 FROM pg_catalog.pg_stat_activity a JOIN pg_catalog.pg_locks l ON l.pid = a.{} \
         WHERE a.application_name = {} AND l.granted AND l.locktype = 'relation' \
         AND l.relation = 'pg_catalog.pg_namespace'::regclass LIMIT 1",
        Holders::of(dialect).pid(),
        quote_literal(application)
    );
    Ok(session.one(&sql, "watching for pg_dump's snapshot").await?.is_some())
}
