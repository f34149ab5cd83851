//! Rows by external tables: which tables go that way, where to, and what a role lacks when it may not.
//!
//! The segments read and write the storage themselves; neither this program nor its host sees a row. What cannot go that
//! way goes through the master into the data file of the set.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::format::external_rows::ExternalRows;
use crate::format::external_template::{Template, fill};
use crate::words::ids::{DumpDate, Oid, TimestampKey};
use crate::words::layout::Compression;
use crate::words::names::{QualifiedName, quote_ident, quote_ident_if_needed};
use crate::words::relation::{Distribution, Relation};
use crate::words::secret::Secrets;

/// What is asked for with `--external`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternalRequest {
    pub template: Template,
    pub bucket: Option<String>,
    /// Tables of these roles are left out.
    pub not_of: Vec<String>,
    /// Most tables at once; at least 1.
    pub streams: usize,
    #[serde(skip)]
    pub secrets: Secrets,
}

/// How a restore gets at rows in a storage: what the manifest says, unless something else is said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternalAccess {
    pub template: Option<Template>,
    pub bucket: Option<String>,
    /// Most tables at once; at least 1.
    pub streams: usize,
    #[serde(skip)]
    pub secrets: Secrets,
}

impl ExternalRequest {
    /// The storage as the manifest will name it.
    pub fn storage(&self, compress: Compression, encoding: &str) -> ExternalRows {
        ExternalRows {
            template: self.template.clone(),
            bucket: self.bucket.clone(),
            compress,
            encoding: encoding.to_owned(),
            tables: Vec::new(),
            missing: Vec::new(),
        }
    }
}

impl ExternalAccess {
    /// The storage of a set, with what is said of it now in place of what was said when it was written.
    pub fn storage(&self, rows: &ExternalRows) -> ExternalRows {
        ExternalRows {
            template: self.template.clone().unwrap_or_else(|| rows.template.clone()),
            bucket: self.bucket.clone().or_else(|| rows.bucket.clone()),
            tables: Vec::new(),
            missing: Vec::new(),
            ..rows.clone()
        }
    }
}

/// Which way the rows of a table go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the segments into the storage.
    External,
    /// Into the data file of the set.
    ThroughMaster,
    /// It has none: they are in its partitions.
    NoRows,
    /// Not asked for: it belongs to a role whose tables are left out.
    LeftOut,
}

/// Decides for one table. `parents` are partitioned tables.
pub fn way_of(relation: &Relation, parents: &BTreeSet<Oid>, request: &ExternalRequest) -> Way {
    let is_plain = relation.condition.is_none()
        // An external table cannot be without columns, and one that is made LIKE this one has its generated columns too.
        && !relation.columns.is_empty()
        && !relation.insert.must_name_columns
        // No external table is replicated; each segment would write all rows.
        && matches!(relation.distribution, Distribution::Hashed | Distribution::Random);
    if request.not_of.contains(&relation.owner) {
        Way::LeftOut
    } else if parents.contains(&relation.oid) {
        Way::NoRows
    } else if is_plain {
        Way::External
    } else {
        Way::ThroughMaster
    }
}

/// A name for a part of a path: what is no letter, digit, `_` or `-` is written as `~` and two hexadecimal digits a byte.
///
/// Not as `%2E`: what takes a path for a piece of a URL decodes that, and `a.b` and `c` would be one place with `a` and `b.c`.
pub fn safe_name(name: &str) -> String {
    let mut safe = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => safe.push(char::from(byte)),
            _ => safe.push_str(&format!("~{byte:02X}")),
        }
    }
    safe
}

/// The place of a table below the bucket. `layout` was checked.
pub fn path_of(layout: &str, key: TimestampKey, database: &str, table: &QualifiedName) -> String {
    let (date, key) = (DumpDate::of(key).to_string(), key.to_string());
    let (database, schema, name) = (safe_name(database), safe_name(&table.schema), safe_name(&table.name));
    let value = |word: &str| match word {
        "date" => Some(date.as_str()),
        "key" => Some(key.as_str()),
        "database" => Some(database.as_str()),
        "schema" => Some(schema.as_str()),
        "table" => Some(name.as_str()),
        _ => None,
    };
    fill(layout, value).unwrap_or_else(|_| layout.to_owned())
}

/// The places of all tables of a run, with stars where their names stand.
pub fn path_pattern(layout: &str, key: TimestampKey, database: &str) -> String {
    let all = layout.replace("{schema}", "*").replace("{table}", "*");
    path_of(&all, key, database, &QualifiedName::new("", ""))
}

/// Which of the two locations of a template is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Write,
    Read,
}

/// The text for LOCATION, secrets and all. The error says what is missing.
pub fn location(storage: &ExternalRows, path: &str, direction: Direction, secrets: &Secrets) -> Result<String, String> {
    located(storage, path, direction, |name| secrets.get(name))
}

/// The same for people, without secrets.
pub fn shown_location(storage: &ExternalRows, path: &str, direction: Direction) -> String {
    let shown = located(storage, path, direction, |_| Some("***")).unwrap_or_else(|_| path.to_owned());
    // Parameters follow behind a blank, and all that people look for stands before it.
    shown.split_whitespace().next().unwrap_or_default().to_owned()
}

fn located<'a>(
    storage: &'a ExternalRows,
    path: &'a str,
    direction: Direction,
    secret: impl Fn(&str) -> Option<&'a str>,
) -> Result<String, String> {
    let template = &storage.template;
    let text = match (direction, &template.read_location) {
        (Direction::Read, Some(location)) => location,
        _ => &template.location,
    };
    let compress = match storage.compress {
        Compression::Gzip => "gzip",
        Compression::None => "none",
    };
    fill(text, |word| match word {
        "bucket" => storage.bucket.as_deref(),
        "path" => Some(path),
        "compress" => Some(compress),
        name if template.secrets.iter().any(|known| known == name) => secret(name),
        _ => None,
    })
    .map_err(|word| match word.as_str() {
        "bucket" => "no bucket is named: give its host name with --external-bucket".to_owned(),
        name => format!(
            "the secret {name} is missing: set the variable, or name a file of mode 0600 with --external-secrets"
        ),
    })
}

/// What the role may do with a table, as the server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    pub role: String,
    pub database: String,
    pub is_superuser: bool,
    /// To make temporary tables in the database.
    pub temporary: bool,
    /// To name the table.
    pub schema: bool,
    /// To read its rows, or to add some, whichever is wanted.
    pub table: bool,
    /// The protocol may be used by others than superusers; `None`: there is no such protocol.
    pub protocol_is_trusted: Option<bool>,
}

/// The statements that give the role what it lacks. Empty when nothing is known to be missing.
pub fn grants(rights: &Rights, table: &QualifiedName, protocol: &str, direction: Direction) -> Vec<String> {
    let role = quote_ident_if_needed(&rights.role);
    let mut grants = Vec::new();
    if rights.is_superuser {
        return grants;
    }
    if !rights.temporary {
        let database = quote_ident_if_needed(&rights.database);
        grants.push(format!("GRANT TEMPORARY ON DATABASE {database} TO {role};"));
    }
    if !rights.schema {
        grants.push(format!(
            "GRANT USAGE ON SCHEMA {} TO {role};",
            quote_ident_if_needed(&table.schema)
        ));
    }
    let (of_table, of_protocol) = match direction {
        // Writing the rows away is reading the table.
        Direction::Write => ("SELECT", "INSERT"),
        Direction::Read => ("INSERT", "SELECT"),
    };
    if !rights.table {
        grants.push(format!("GRANT {of_table} ON TABLE {} TO {role};", table_sql(table)));
    }
    // The server has no function that tells of rights on a protocol: it is what is left.
    if grants.is_empty() && rights.protocol_is_trusted == Some(true) {
        grants.push(format!(
            "GRANT {of_protocol} ON PROTOCOL {} TO {role};",
            quote_ident_if_needed(protocol)
        ));
    }
    grants
}

fn table_sql(table: &QualifiedName) -> String {
    let (schema, name) = (quote_ident_if_needed(&table.schema), quote_ident_if_needed(&table.name));
    format!("{schema}.{name}")
}

/// The name of a helper table: of this run and no other. It is a temporary one that no other session ever sees.
pub fn helper_name(key: TimestampKey, pid: u32, number: usize) -> String {
    quote_ident(&format!("gpcrondump_ext_{key}_{pid}_{number}"))
}

/// Where the application name of sessions that write by external tables begins.
pub const APPLICATION: &str = "gpcrondump_ext_";

/// The application name of such sessions: of which run on which host they are. Servers cut names at 63 bytes.
pub fn application_name(key: TimestampKey, pid: u32, host: &str) -> String {
    let mut name = format!("{APPLICATION}{key}_{pid}_{}", safe_name(host));
    name.truncate(63);
    name
}

/// The process on this host that such a name belongs to; `None` when it is of another host, or another name.
pub fn process_of(application_name: &str, host: &str) -> Option<u32> {
    let rest = application_name.strip_prefix(APPLICATION)?;
    let mut parts = rest.splitn(3, '_');
    let key: TimestampKey = parts.next()?.parse().ok()?;
    let pid: u32 = parts.next()?.parse().ok()?;
    (self::application_name(key, pid, host) == application_name).then_some(pid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::relation::{InsertShape, StorageKind};

    fn key() -> TimestampKey {
        "20240102030405".parse().unwrap()
    }

    fn request() -> ExternalRequest {
        let mut secrets = Secrets::default();
        secrets.add("COS_SECRET_ID", "AKIDtest").unwrap();
        secrets.add("COS_SECRET_KEY", "s3cr3t/+=").unwrap();
        ExternalRequest {
            template: Template::cos(),
            bucket: Some("nightly-125.cos.ap-guangzhou.myqcloud.com".into()),
            not_of: vec!["dbadmin".into()],
            streams: 4,
            secrets,
        }
    }

    fn relation(distribution: Distribution) -> Relation {
        Relation {
            oid: Oid(1),
            name: QualifiedName::new("public", "t"),
            owner: "u".into(),
            storage: StorageKind::Heap,
            distribution,
            legacy_hash: false,
            distributed_by: Vec::new(),
            columns: vec!["a".into()],
            root: None,
            condition: None,
            insert: InsertShape::default(),
            has_oids: false,
            estimated_bytes: 0,
        }
    }

    #[test]
    fn places_are_those_of_the_script_and_no_two_tables_share_one() {
        let path =
            |layout: &str, schema: &str, name: &str| path_of(layout, key(), "shop", &QualifiedName::new(schema, name));
        let script = crate::format::external_template::SCRIPT_PATH;
        assert_eq!(path(script, "public", "t"), "backup/20240102/shop/public.t/");
        let own = Template::cos().path;
        assert_eq!(
            path_pattern(&own, key(), "sh op"),
            "backup/20240102/sh~20op/*.*/20240102030405/"
        );
        assert_eq!(
            path(&own, "public", "t"),
            "backup/20240102/shop/public.t/20240102030405/"
        );
        assert_eq!(path(script, "a.b", "c"), "backup/20240102/shop/a~2Eb.c/");
        assert_eq!(path(script, "a", "b.c"), "backup/20240102/shop/a.b~2Ec/");
        assert_eq!(
            path(script, "Ä", "x/~ '|"),
            "backup/20240102/shop/~C3~84.x~2F~7E~20~27~7C/"
        );
    }

    #[test]
    fn a_location_has_the_secrets_and_what_is_shown_has_none() {
        let request = request();
        let storage = request.storage(Compression::Gzip, "UTF8");
        assert_eq!(
            location(&storage, "backup/x/", Direction::Write, &request.secrets).unwrap(),
            "cos://nightly-125.cos.ap-guangzhou.myqcloud.com/backup/x/ secretKey=s3cr3t/+= secretId=AKIDtest \
             compressType=gzip"
        );
        assert_eq!(
            shown_location(&storage, "backup/x/", Direction::Write),
            "cos://nightly-125.cos.ap-guangzhou.myqcloud.com/backup/x/"
        );
        let none = location(&storage, "x/", Direction::Read, &Secrets::default()).unwrap_err();
        assert!(none.starts_with("the secret COS_SECRET_KEY is missing"), "{none}");
        let text = format!("{request:?} {}", serde_json::to_string(&request).unwrap());
        assert!(!text.contains("AKIDtest") && !text.contains("s3cr3t"), "{text}");
    }

    #[test]
    fn what_segments_cannot_write_alone_goes_through_the_master() {
        let parents: BTreeSet<Oid> = [Oid(7)].into();
        let way = |relation: &Relation| way_of(relation, &parents, &request());
        assert_eq!(way(&relation(Distribution::Hashed)), Way::External);
        assert_eq!(way(&relation(Distribution::Random)), Way::External);
        assert_eq!(way(&relation(Distribution::Replicated)), Way::ThroughMaster);
        assert_eq!(way(&relation(Distribution::Single)), Way::ThroughMaster);
        let changed = |change: fn(&mut Relation)| {
            let mut relation = relation(Distribution::Hashed);
            change(&mut relation);
            way(&relation)
        };
        assert_eq!(changed(|r| r.columns.clear()), Way::ThroughMaster);
        assert_eq!(changed(|r| r.condition = Some("WHERE x".into())), Way::ThroughMaster);
        assert_eq!(changed(|r| r.insert.must_name_columns = true), Way::ThroughMaster);
        assert_eq!(changed(|r| r.oid = Oid(7)), Way::NoRows);
        assert_eq!(changed(|r| r.owner = "dbadmin".into()), Way::LeftOut);
    }

    #[test]
    fn what_is_lacking_is_a_statement_that_gives_it() {
        let all = Rights {
            role: "nightly".into(),
            database: "shop".into(),
            is_superuser: false,
            temporary: true,
            schema: true,
            table: true,
            protocol_is_trusted: Some(true),
        };
        let table = QualifiedName::new("Sales", "t");
        let grants = |change: fn(&mut Rights), direction| {
            let mut rights = all.clone();
            change(&mut rights);
            grants(&rights, &table, "cos", direction)
        };
        let write = Direction::Write;
        assert_eq!(grants(|_| (), write), ["GRANT INSERT ON PROTOCOL cos TO nightly;"]);
        assert_eq!(
            grants(|_| (), Direction::Read),
            ["GRANT SELECT ON PROTOCOL cos TO nightly;"]
        );
        assert_eq!(
            grants(|r| (r.schema, r.table) = (false, false), write),
            [
                "GRANT USAGE ON SCHEMA \"Sales\" TO nightly;",
                "GRANT SELECT ON TABLE \"Sales\".t TO nightly;"
            ]
        );
        assert_eq!(
            grants(|r| r.table = false, Direction::Read),
            ["GRANT INSERT ON TABLE \"Sales\".t TO nightly;"]
        );
        assert_eq!(
            grants(|r| r.temporary = false, write),
            ["GRANT TEMPORARY ON DATABASE shop TO nightly;"]
        );
        assert_eq!(grants(|r| r.protocol_is_trusted = None, write), [""; 0]);
        assert_eq!(grants(|r| r.is_superuser = true, write), [""; 0]);
    }

    #[test]
    fn a_session_tells_whose_it_is() {
        let name = application_name(key(), 4711, "mdw.example.org");
        assert_eq!(process_of(&name, "mdw.example.org"), Some(4711));
        assert_eq!(process_of(&name, "sdw1"), None);
        assert_eq!(process_of("psql", "mdw"), None);
        let long = application_name(key(), 4711, &"x".repeat(99));
        assert_eq!((long.len(), process_of(&long, &"x".repeat(99))), (63, Some(4711)));
    }
}
