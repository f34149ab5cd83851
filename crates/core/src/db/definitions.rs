//! What a filter is resolved against, and what the definitions of a filtered dump are chosen by: names, partitions,
//! dependencies. One query per kind of object, whatever their number.

use std::collections::HashMap;

use super::relations::{USER_SCHEMAS, parse_oid, unexpected};
use super::{Error, Session};
use crate::words::catalog_facts::{CatalogFacts, Dependency, ForeignKey, ObjectId};
use crate::words::definitions::{ObjectClass, ObjectName};
use crate::words::dialect::{Dialect, PartitionCatalog};
use crate::words::ids::Oid;
use crate::words::names::QualifiedName;
use crate::words::relation::{NamedRelation, RelationKind};

/// Objects with a lower number came with the server.
const FIRST_USER_OID: u32 = 16384;

/// Schemas that are not the server's own.
pub async fn read_schemas(session: &Session) -> Result<Vec<String>, Error> {
    let sql = format!("SELECT n.nspname FROM pg_catalog.pg_namespace n WHERE {USER_SCHEMAS} ORDER BY 1");
    let rows = session.rows(&sql, "reading the list of schemas").await?;
    Ok(rows.into_iter().filter_map(|mut row| row.remove(0)).collect())
}

/// Every relation of the user that a filter may name or have to know, with the partition hierarchy.
pub async fn read_named_relations(session: &Session, dialect: &Dialect) -> Result<Vec<NamedRelation>, Error> {
    let permanent = if dialect.pg_version.0 >= 90100 {
        " AND c.relpersistence <> 't'"
    } else {
        ""
    };
    let sql = format!(
        "SELECT c.oid, n.nspname, c.relname, c.relkind FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S'){permanent} AND {USER_SCHEMAS}"
    );
    let doing = "reading the names of tables";
    let mut relations = Vec::new();
    session
        .for_each_row(&sql, doing, |row| {
            let (Some(oid), Some(schema), Some(name), Some(kind)) =
                (row.get(0).and_then(parse_oid), row.get(1), row.get(2), row.get(3))
            else {
                return Err(unexpected(session, doing, "a relation without oid or name"));
            };
            relations.push(NamedRelation {
                oid,
                name: QualifiedName::new(schema, name),
                kind: match kind {
                    "v" => RelationKind::View,
                    "m" => RelationKind::MaterializedView,
                    "S" => RelationKind::Sequence,
                    _ => RelationKind::Table,
                },
                parent: None,
            });
            Ok(())
        })
        .await?;
    relations.sort_by(|a, b| a.name.cmp(&b.name));
    let parents = read_partition_parents(session, dialect).await?;
    for relation in &mut relations {
        relation.parent = parents.get(&relation.oid).copied();
    }
    Ok(relations)
}

async fn read_partition_parents(session: &Session, dialect: &Dialect) -> Result<HashMap<Oid, Oid>, Error> {
    let sql = match dialect.partitions {
        PartitionCatalog::None => return Ok(HashMap::new()),
        // Rules of subpartition templates have no table.
        PartitionCatalog::PgPartitionRule => {
            "SELECT r.parchildrelid, CASE WHEN up.parchildrelid <> 0 THEN up.parchildrelid ELSE p.parrelid END \
             FROM pg_catalog.pg_partition_rule r JOIN pg_catalog.pg_partition p ON p.oid = r.paroid \
             LEFT JOIN pg_catalog.pg_partition_rule up ON up.oid = r.parparentrule WHERE r.parchildrelid <> 0"
        }
        PartitionCatalog::Declarative => {
            "SELECT i.inhrelid, i.inhparent FROM pg_catalog.pg_inherits i \
             JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid WHERE c.relispartition"
        }
    };
    let doing = "reading the partition hierarchy";
    let mut parents = HashMap::new();
    session
        .for_each_row(sql, doing, |row| {
            match (row.get(0).and_then(parse_oid), row.get(1).and_then(parse_oid)) {
                (Some(child), Some(parent)) => parents.insert(child, parent),
                _ => return Err(unexpected(session, doing, "a partition without parent")),
            };
            Ok(())
        })
        .await?;
    Ok(parents)
}

/// Where the objects of a class are written down: catalog, class, its name (of row `t`), its schema's column.
#[rustfmt::skip]
const SOURCES: &[(&str, ObjectClass, &str, &str)] = &[
    ("pg_type", ObjectClass::Type, "t.typname", "t.typnamespace"),
    ("pg_operator", ObjectClass::Operator, "t.oprname", "t.oprnamespace"),
    ("pg_opclass", ObjectClass::OperatorClass, "t.opcname", "t.opcnamespace"),
    ("pg_opfamily", ObjectClass::OperatorFamily, "t.opfname", "t.opfnamespace"),
    ("pg_conversion", ObjectClass::Conversion, "t.conname", "t.connamespace"),
    ("pg_collation", ObjectClass::Collation, "t.collname", "t.collnamespace"),
    ("pg_ts_config", ObjectClass::TextSearchConfiguration, "t.cfgname", "t.cfgnamespace"),
    ("pg_ts_dict", ObjectClass::TextSearchDictionary, "t.dictname", "t.dictnamespace"),
    ("pg_ts_parser", ObjectClass::TextSearchParser, "t.prsname", "t.prsnamespace"),
    ("pg_ts_template", ObjectClass::TextSearchTemplate, "t.tmplname", "t.tmplnamespace"),
    ("pg_statistic_ext", ObjectClass::Statistics, "t.stxname", "t.stxnamespace"),
    ("pg_namespace", ObjectClass::Schema, "t.nspname", ""),
    ("pg_language", ObjectClass::Language, "t.lanname", ""),
    ("pg_extension", ObjectClass::Extension, "t.extname", ""),
    ("pg_foreign_server", ObjectClass::Server, "t.srvname", ""),
    ("pg_foreign_data_wrapper", ObjectClass::ForeignDataWrapper, "t.fdwname", ""),
    ("pg_extprotocol", ObjectClass::Protocol, "t.ptcname", ""),
    ("pg_am", ObjectClass::AccessMethod, "t.amname", ""),
    ("pg_event_trigger", ObjectClass::EventTrigger, "t.evtname", ""),
    ("pg_publication", ObjectClass::Publication, "t.pubname", ""),
    // As pg_dump names them.
    ("pg_cast", ObjectClass::Cast,
     "'CAST (' || pg_catalog.format_type(t.castsource, NULL) || ' AS ' || pg_catalog.format_type(t.casttarget, NULL) || ')'", ""),
    ("pg_transform", ObjectClass::Transform,
     "'TRANSFORM FOR ' || pg_catalog.format_type(t.trftype, NULL) || ' LANGUAGE ' || \
      (SELECT l.lanname FROM pg_catalog.pg_language l WHERE l.oid = t.trflang)", ""),
];

/// Everything that says what needs what, as the session sees it.
pub async fn read_catalog_facts(session: &Session, dialect: &Dialect) -> Result<CatalogFacts, Error> {
    let mut facts = CatalogFacts {
        relations: read_named_relations(session, dialect).await?,
        ..CatalogFacts::default()
    };
    // Types print with their schema, as they do in pg_dump's comments.
    session
        .run("SET LOCAL search_path = pg_catalog", "preparing the session")
        .await?;
    let doing = "reading the names of catalog tables";
    let sql = "SELECT oid, relname FROM pg_catalog.pg_class WHERE relkind = 'r' AND relnamespace = 11";
    session
        .for_each_row(sql, doing, |row| {
            if let (Some(oid), Some(name)) = (row.get(0).and_then(parse_oid), row.get(1)) {
                facts.catalogs.insert(oid, name.to_owned());
            }
            Ok(())
        })
        .await?;
    let catalogs: HashMap<String, Oid> = facts.catalogs.iter().map(|(oid, name)| (name.clone(), *oid)).collect();
    if let Some(&catalog) = catalogs.get("pg_class") {
        let sql = format!(
            "SELECT t.oid, n.nspname, t.relname FROM pg_catalog.pg_class t \
             JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace \
             WHERE t.oid >= {FIRST_USER_OID} AND t.relkind IN ('r', 'p', 'f', 'v', 'm', 'S', 'i', 'I') AND {USER_SCHEMAS}"
        );
        read_objects(session, &sql, catalog, ObjectClass::Relation, &mut facts).await?;
    }
    for (table, class, name, schema) in SOURCES {
        let Some(&catalog) = catalogs.get(*table) else { continue };
        let sql = if schema.is_empty() {
            format!("SELECT t.oid, '', {name} FROM pg_catalog.{table} t WHERE t.oid >= {FIRST_USER_OID}")
        } else {
            format!(
                "SELECT t.oid, n.nspname, {name} FROM pg_catalog.{table} t \
                 JOIN pg_catalog.pg_namespace n ON n.oid = {schema} WHERE t.oid >= {FIRST_USER_OID} AND {USER_SCHEMAS}"
            )
        };
        read_objects(session, &sql, catalog, *class, &mut facts).await?;
    }
    if let Some(&catalog) = catalogs.get("pg_proc") {
        read_routines(session, catalog, &mut facts).await?;
    }
    read_dependencies(session, &mut facts).await?;
    read_foreign_keys(session, dialect, &mut facts).await?;
    Ok(facts)
}

async fn read_objects(
    session: &Session,
    sql: &str,
    catalog: Oid,
    class: ObjectClass,
    facts: &mut CatalogFacts,
) -> Result<(), Error> {
    let doing = "reading the names of objects";
    session
        .for_each_row(sql, doing, |row| {
            let (Some(oid), Some(schema), Some(name)) = (row.get(0).and_then(parse_oid), row.get(1), row.get(2)) else {
                return Err(unexpected(session, doing, "an object without oid or name"));
            };
            facts
                .objects
                .push((ObjectId { catalog, oid }, ObjectName::new(class, schema, name)));
            Ok(())
        })
        .await
}

/// Functions by their signature as pg_dump prints it: `name(type, type)`, aggregates of nothing `name(*)`.
async fn read_routines(session: &Session, catalog: Oid, facts: &mut CatalogFacts) -> Result<(), Error> {
    let doing = "reading the names of functions";
    let mut types: HashMap<u32, String> = HashMap::new();
    session
        .for_each_row(
            "SELECT oid, pg_catalog.format_type(oid, NULL) FROM pg_catalog.pg_type",
            doing,
            |row| {
                if let (Some(Oid(oid)), Some(name)) = (row.get(0).and_then(parse_oid), row.get(1)) {
                    types.insert(oid, name.to_owned());
                }
                Ok(())
            },
        )
        .await?;
    let sql = format!(
        "SELECT t.oid, n.nspname, t.proname, t.proargtypes, (SELECT 1 FROM pg_catalog.pg_aggregate a WHERE a.aggfnoid = t.oid) \
         FROM pg_catalog.pg_proc t JOIN pg_catalog.pg_namespace n ON n.oid = t.pronamespace \
         WHERE t.oid >= {FIRST_USER_OID} AND {USER_SCHEMAS}"
    );
    session
        .for_each_row(&sql, doing, |row| {
            let (Some(oid), Some(schema), Some(name)) = (row.get(0).and_then(parse_oid), row.get(1), row.get(2)) else {
                return Err(unexpected(session, doing, "a function without oid or name"));
            };
            let arguments: Vec<&str> = row
                .get(3)
                .unwrap_or_default()
                .split_whitespace()
                .map(|oid| {
                    oid.parse()
                        .ok()
                        .and_then(|oid| types.get(&oid))
                        .map_or("???", String::as_str)
                })
                .collect();
            let arguments = match (arguments.is_empty(), row.get(4)) {
                (true, Some(_)) => "*".to_owned(),
                _ => arguments.join(", "),
            };
            let name = ObjectName::new(ObjectClass::Routine, schema, format!("{name}({arguments})"));
            facts.objects.push((ObjectId { catalog, oid }, name));
            Ok(())
        })
        .await
}

async fn read_dependencies(session: &Session, facts: &mut CatalogFacts) -> Result<(), Error> {
    let doing = "reading what depends on what";
    // Columns of one table make many equal rows.
    let sql = format!(
        "SELECT DISTINCT classid, objid, refclassid, refobjid, deptype FROM pg_catalog.pg_depend \
         WHERE objid >= {FIRST_USER_OID} AND refobjid >= {FIRST_USER_OID} AND deptype <> 'p'"
    );
    session
        .for_each_row(&sql, doing, |row| {
            let oid = |i: usize| row.get(i).and_then(parse_oid);
            let (Some(catalog), Some(object), Some(on_catalog), Some(on), Some(kind)) = (
                oid(0),
                oid(1),
                oid(2),
                oid(3),
                row.get(4).and_then(|kind| kind.bytes().next()),
            ) else {
                return Err(unexpected(session, doing, "a dependency of nothing"));
            };
            facts.dependencies.push(Dependency {
                object: ObjectId { catalog, oid: object },
                on: ObjectId {
                    catalog: on_catalog,
                    oid: on,
                },
                kind,
            });
            Ok(())
        })
        .await
}

async fn read_foreign_keys(session: &Session, dialect: &Dialect, facts: &mut CatalogFacts) -> Result<(), Error> {
    let doing = "reading the foreign keys";
    // What a partition has of its table's key.
    let own = if dialect.pg_version.0 >= 110_000 {
        " AND conparentid = 0"
    } else {
        ""
    };
    let sql = format!(
        "SELECT oid, conname, conrelid, confrelid FROM pg_catalog.pg_constraint WHERE contype = 'f'{own} ORDER BY 2, 3"
    );
    session
        .for_each_row(&sql, doing, |row| {
            let oid = |i: usize| row.get(i).and_then(parse_oid);
            let (Some(constraint), Some(name), Some(table), Some(references)) = (oid(0), row.get(1), oid(2), oid(3))
            else {
                return Err(unexpected(session, doing, "a foreign key without tables"));
            };
            facts.foreign_keys.push(ForeignKey {
                constraint,
                name: name.to_owned(),
                table,
                references,
            });
            Ok(())
        })
        .await
}
