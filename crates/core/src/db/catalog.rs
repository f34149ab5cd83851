//! What the master says about itself: dialect, cluster, databases. Each function one question, answers as words.

use std::collections::HashSet;
use std::path::PathBuf;

use super::{Error, Session};
use crate::words::cluster::{Cluster, HostName, Instance, Role};
use crate::words::database::DatabaseEntry;
use crate::words::dialect::{Dialect, DistributionCatalog, PartitionCatalog, PgVersion, Product, TopologySource};
use crate::words::ids::{ContentId, DbId};
use crate::words::names::quote_literal;

/// Asks the master what it is and what its catalogs have.
pub async fn read_dialect(session: &Session) -> Result<Dialect, Error> {
    let doing = "asking for the version";
    let banner = session.one("SELECT version()", doing).await?.unwrap_or_default();
    let number = session
        .one("SELECT current_setting('server_version_num')", doing)
        .await?
        .unwrap_or_default();
    let pg_version = PgVersion(number.parse().map_err(|_| Error::Unexpected {
        whom: session.whom().to_owned(),
        doing: doing.to_owned(),
        what: format!("server_version_num is \"{number}\""),
    })?);
    let found = read_features(session).await?;
    let has = |feature: &str| found.contains(feature);
    let product = if banner.contains("Cloudberry") {
        Product::Cloudberry
    } else if banner.contains("Greenplum") || has("setting gp_session_role") || has("setting gp_role") {
        Product::Greenplum
    } else {
        Product::Postgres
    };
    let utility_setting = ["gp_session_role", "gp_role"]
        .into_iter()
        .find(|s| has(&format!("setting {s}")));
    Ok(Dialect {
        product,
        banner,
        pg_version,
        utility_setting: utility_setting.map(str::to_owned),
        topology: match (
            has("table gp_segment_configuration"),
            has("column gp_segment_configuration.datadir"),
        ) {
            (false, _) => TopologySource::SingleServer,
            (true, true) => TopologySource::DatadirColumn,
            (true, false) => TopologySource::FilespaceEntry,
        },
        partitions: if has("table pg_partition_rule") {
            PartitionCatalog::PgPartitionRule
        } else if has("column pg_class.relispartition") {
            PartitionCatalog::Declarative
        } else {
            PartitionCatalog::None
        },
        distribution: if has("column gp_distribution_policy.policytype") {
            DistributionCatalog::PolicyType
        } else if has("column gp_distribution_policy.attrnums") {
            DistributionCatalog::Attrnums
        } else {
            DistributionCatalog::None
        },
        has_relstorage: has("column pg_class.relstorage"),
        has_appendonly: has("table pg_appendonly"),
        has_last_operation: has("table pg_stat_last_operation"),
    })
}

async fn read_features(session: &Session) -> Result<HashSet<String>, Error> {
    let sql = "SELECT 'table ' || c.relname FROM pg_catalog.pg_class c \
           JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'pg_catalog' AND c.relname IN \
           ('gp_segment_configuration', 'pg_partition_rule', 'pg_appendonly', 'pg_stat_last_operation') \
         UNION ALL SELECT 'column ' || c.relname || '.' || a.attname FROM pg_catalog.pg_attribute a \
           JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
           WHERE n.nspname = 'pg_catalog' AND NOT a.attisdropped AND (c.relname, a.attname) IN \
           (('gp_segment_configuration', 'datadir'), ('gp_distribution_policy', 'policytype'), \
            ('gp_distribution_policy', 'attrnums'), ('pg_class', 'relstorage'), ('pg_class', 'relispartition'))";
    let rows = session.rows(sql, "asking what its catalogs have").await?;
    let mut found: HashSet<String> = rows
        .into_iter()
        .filter_map(|row| row.into_iter().next().flatten())
        .collect();
    // pg_settings does not list them on every version; asking for one that is not there is an error and nothing else.
    for setting in ["gp_session_role", "gp_role"] {
        match session.one(&format!("SHOW {setting}"), "asking for its settings").await {
            Ok(_) => drop(found.insert(format!("setting {setting}"))),
            Err(error) if error.code() == Some("42704") => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// The instances, as `gp_segment_configuration` has them now; a plain server is one instance that plays two parts.
pub async fn read_cluster(session: &Session, dialect: &Dialect, own_host: &str) -> Result<Cluster, Error> {
    let doing = "reading the cluster's configuration";
    if dialect.topology == TopologySource::SingleServer {
        let rows = session
            .rows(
                "SELECT current_setting('port'), current_setting('data_directory')",
                doing,
            )
            .await?;
        let unexpected = |what: String| Error::Unexpected {
            whom: session.whom().to_owned(),
            doing: doing.into(),
            what,
        };
        let [Some(port), Some(data_dir)] = rows.first().map(Vec::as_slice).unwrap_or_default() else {
            return Err(unexpected("no port or data directory".into()));
        };
        return Ok(Cluster::single(Instance {
            dbid: DbId(1),
            content: ContentId::MASTER,
            role: Role::Primary,
            up: true,
            host: HostName(own_host.to_owned()),
            address: HostName("localhost".to_owned()),
            port: port.parse().map_err(|_| unexpected(format!("port \"{port}\"")))?,
            data_dir: PathBuf::from(data_dir),
        }));
    }
    let sql = match dialect.topology {
        TopologySource::FilespaceEntry => {
            "SELECT c.dbid, c.content, c.role, c.status, c.hostname, c.address, c.port, e.fselocation \
             FROM pg_catalog.gp_segment_configuration c JOIN pg_catalog.pg_filespace_entry e ON e.fsedbid = c.dbid \
             JOIN pg_catalog.pg_filespace f ON f.oid = e.fsefsoid AND f.fsname = 'pg_system'"
        }
        _ => {
            "SELECT dbid, content, role, status, hostname, address, port, datadir \
             FROM pg_catalog.gp_segment_configuration"
        }
    };
    let mut instances = Vec::new();
    for row in session.rows(sql, doing).await? {
        instances.push(instance_of(&row).ok_or_else(|| Error::Unexpected {
            whom: session.whom().to_owned(),
            doing: doing.to_owned(),
            what: format!("row {row:?} of gp_segment_configuration"),
        })?);
    }
    Cluster::new(instances).map_err(|bad| Error::Unexpected {
        whom: session.whom().to_owned(),
        doing: doing.to_owned(),
        what: bad.to_string(),
    })
}

fn instance_of(row: &[Option<String>]) -> Option<Instance> {
    let [dbid, content, role, status, host, address, port, data_dir] = row else {
        return None;
    };
    let host = HostName(host.clone()?);
    Some(Instance {
        dbid: DbId(dbid.as_deref()?.parse().ok()?),
        content: ContentId(content.as_deref()?.parse().ok()?),
        role: if role.as_deref()? == "p" {
            Role::Primary
        } else {
            Role::Mirror
        },
        up: status.as_deref()? == "u",
        address: address.clone().map(HostName).unwrap_or_else(|| host.clone()),
        host,
        port: port.as_deref()?.parse().ok()?,
        data_dir: PathBuf::from(data_dir.as_deref()?),
    })
}

/// Whether the role of the session can share its snapshot with others.
pub async fn may_export_snapshots(session: &Session) -> Result<bool, Error> {
    let doing = "asking whether a snapshot can be shared";
    let begin = "BEGIN; SET TRANSACTION ISOLATION LEVEL REPEATABLE READ";
    session.run(begin, doing).await?;
    let exported = session.one("SELECT pg_catalog.pg_export_snapshot()", doing).await;
    session.run("ROLLBACK", doing).await?;
    match exported {
        Ok(_) => Ok(true),
        Err(error) if error.code().is_some() => {
            tracing::info!("Snapshots cannot be shared between connections: {error}");
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// All databases of the server, by name.
pub async fn read_databases(session: &Session) -> Result<Vec<DatabaseEntry>, Error> {
    let sql = "SELECT datname, datistemplate, datallowconn FROM pg_catalog.pg_database ORDER BY 1";
    let rows = session.rows(sql, "reading the list of databases").await?;
    Ok(rows.into_iter().filter_map(|row| database_entry(&row)).collect())
}

/// Where the server reads its configuration from.
pub async fn read_configuration_files(session: &Session) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    for setting in ["config_file", "hba_file", "ident_file"] {
        let file = session
            .one(&format!("SHOW {setting}"), "asking for the configuration files")
            .await?;
        files.extend(file.map(PathBuf::from));
    }
    Ok(files)
}

fn database_entry(row: &[Option<String>]) -> Option<DatabaseEntry> {
    let [name, is_template, allows_connections] = row else {
        return None;
    };
    Some(DatabaseEntry {
        name: name.clone()?,
        is_template: is_template.as_deref()? == "t",
        allows_connections: allows_connections.as_deref()? == "t",
    })
}

/// What `CREATE DATABASE` and the settings behind it need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseInfo {
    pub name: String,
    /// As the server calls it: `UTF8`, `SQL_ASCII`, `GBK`.
    pub encoding: String,
    pub owner: String,
    /// `None` for `pg_default`.
    pub tablespace: Option<String>,
    /// Collation and character class; `None` before 8.4, where the cluster has one for all.
    pub collate: Option<String>,
    pub ctype: Option<String>,
    /// Access rights as the server writes them (`{=Tc/gpadmin,...}`), `None` for the default.
    pub acl: Option<String>,
    /// `name=value`, as `ALTER DATABASE ... SET` stored them.
    pub settings: Vec<String>,
    /// `pg_database_size`, when it could be had.
    pub comment: Option<String>,
}

/// `None` when there is no such database. Ask in any database of the server.
pub async fn read_database(session: &Session, dialect: &Dialect, name: &str) -> Result<Option<DatabaseInfo>, Error> {
    let locale = if dialect.pg_version.0 >= 80400 {
        "d.datcollate, d.datctype"
    } else {
        "NULL, NULL"
    };
    let sql = format!(
        "SELECT d.datname, pg_catalog.pg_encoding_to_char(d.encoding), pg_catalog.pg_get_userbyid(d.datdba), \
         (SELECT t.spcname FROM pg_catalog.pg_tablespace t WHERE t.oid = d.dattablespace AND t.spcname <> 'pg_default'), \
         {locale}, d.datacl, pg_catalog.shobj_description(d.oid, 'pg_database') \
         FROM pg_catalog.pg_database d WHERE d.datname = {}",
        quote_literal(name)
    );
    let doing = format!("reading about database \"{name}\"");
    let Some(row) = session.rows(&sql, &doing).await?.into_iter().next() else {
        return Ok(None);
    };
    let mut fields = row.into_iter();
    let mut next = || fields.next().flatten();
    let (name, encoding, owner) = (next(), next(), next());
    let info = DatabaseInfo {
        name: name.unwrap_or_default(),
        encoding: encoding.unwrap_or_default(),
        owner: owner.unwrap_or_default(),
        tablespace: next(),
        collate: next(),
        ctype: next(),
        acl: next(),
        comment: next(),
        settings: Vec::new(),
    };
    let settings_sql = if dialect.pg_version.0 >= 90000 {
        format!(
            "SELECT unnest(s.setconfig) FROM pg_catalog.pg_db_role_setting s JOIN pg_catalog.pg_database d \
             ON d.oid = s.setdatabase WHERE s.setrole = 0 AND d.datname = {}",
            quote_literal(&info.name)
        )
    } else {
        format!(
            "SELECT datconfig[i] FROM (SELECT datconfig, pg_catalog.generate_series(1, \
             pg_catalog.array_upper(datconfig, 1)) AS i FROM pg_catalog.pg_database WHERE datname = {}) s",
            quote_literal(&info.name)
        )
    };
    let settings = session
        .rows(&settings_sql, &doing)
        .await?
        .into_iter()
        .filter_map(|row| row.into_iter().next().flatten());
    Ok(Some(DatabaseInfo {
        settings: settings.collect(),
        ..info
    }))
}

/// True when a relation of this name is there and is an ordinary table.
pub async fn table_exists(session: &Session, schema: &str, name: &str) -> Result<bool, Error> {
    let sql = format!(
        "SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = {} AND c.relname = {} AND c.relkind = 'r'",
        quote_literal(schema),
        quote_literal(name)
    );
    Ok(session
        .one(&sql, &format!("looking for table {schema}.{name}"))
        .await?
        .is_some())
}
