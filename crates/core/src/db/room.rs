//! Where a server keeps its files, and how much room those take that are going to be removed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::relations::name_tuples;
use super::{Error, Session};
use crate::words::cluster::Cluster;
use crate::words::dialect::{Dialect, TopologySource};
use crate::words::ids::{ContentId, DbId};
use crate::words::names::QualifiedName;

/// Tablespaces that lie outside of the data directories: where, for each segment.
pub async fn read_tablespaces(
    session: &Session,
    dialect: &Dialect,
    cluster: &Cluster,
) -> Result<BTreeMap<(ContentId, String), PathBuf>, Error> {
    let by_dbid = dialect.topology == TopologySource::FilespaceEntry;
    let sql = match dialect.topology {
        TopologySource::FilespaceEntry => {
            "SELECT t.spcname, e.fsedbid, e.fselocation FROM pg_catalog.pg_tablespace t \
             JOIN pg_catalog.pg_filespace_entry e ON e.fsefsoid = t.spcfsoid"
        }
        _ if dialect.utility_setting.is_some() => {
            "SELECT t.spcname, l.gp_segment_id, l.tblspc_loc FROM pg_catalog.pg_tablespace t, \
             LATERAL pg_catalog.gp_tablespace_location(t.oid) l"
        }
        TopologySource::SingleServer => {
            "SELECT spcname, 0, pg_catalog.pg_tablespace_location(oid) FROM pg_catalog.pg_tablespace"
        }
        TopologySource::DatadirColumn => return Ok(BTreeMap::new()),
    };
    let mut found = BTreeMap::new();
    for row in session.rows(sql, "asking where the tablespaces lie").await? {
        let Ok([Some(name), Some(whose), Some(place)]) = <[_; 3]>::try_from(row) else {
            continue;
        };
        let Ok(whose) = whose.parse::<i32>() else { continue };
        let content = match by_dbid {
            true => cluster
                .instances()
                .find(|one| one.dbid == DbId(whose))
                .map(|one| one.content),
            false => Some(ContentId(whose)),
        };
        if let Some(content) = content.filter(|_| !place.is_empty()) {
            found.insert((content, name), PathBuf::from(place));
        }
    }
    Ok(found)
}

/// Bytes of these tables with their indexes on each segment, where the server can tell.
pub async fn read_sizes(
    session: &Session,
    dialect: &Dialect,
    tables: &[QualifiedName],
) -> Result<BTreeMap<ContentId, u64>, Error> {
    let doing = "asking for the sizes of the tables that are emptied";
    let is_greenplum = dialect.utility_setting.is_some();
    let mut sizes = BTreeMap::new();
    if tables.is_empty() || !(is_greenplum || dialect.topology == TopologySource::SingleServer) {
        return Ok(sizes);
    }
    let sql = format!(
        "SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind = 'r' AND (n.nspname, c.relname) IN ({})",
        name_tuples(tables.iter())
    );
    let rows = session.rows(&sql, doing).await?;
    let oids: Vec<String> = rows
        .into_iter()
        .filter_map(|row| row.into_iter().next().flatten())
        .collect();
    if oids.is_empty() {
        return Ok(sizes);
    }
    let (content, from) = match is_greenplum {
        true => ("gp_execution_segment()", "gp_dist_random('pg_class')"),
        false => ("0", "pg_catalog.pg_class"),
    };
    let sql = format!(
        "SELECT {content}, pg_catalog.sum(pg_catalog.pg_total_relation_size(oid)) FROM {from} WHERE oid IN ({}) GROUP BY 1",
        oids.join(", ")
    );
    for row in session.rows(&sql, doing).await? {
        let number = |at: usize| row.get(at)?.as_deref()?.parse::<u64>().ok();
        if let (Some(content), Some(bytes)) = (number(0), number(1)) {
            sizes.insert(ContentId(content as i32), bytes);
        }
    }
    Ok(sizes)
}

/// The server may compress the rows of tables that do not say how they are kept.
pub async fn compresses_by_default(session: &Session) -> Result<bool, Error> {
    let sql = "SELECT setting FROM pg_catalog.pg_settings \
               WHERE name IN ('gp_default_storage_options', 'default_table_access_method')";
    let rows = session.rows(sql, "asking how tables are kept by default").await?;
    let mut settings = rows.into_iter().flatten().flatten();
    Ok(settings.any(|setting| setting.contains("appendonly=true") || setting.starts_with("ao_")))
}
