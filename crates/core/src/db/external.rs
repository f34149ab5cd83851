//! External tables that are made for one statement: rows go out or come in, and nobody else ever sees the table.
//!
//! Each is a temporary one, made inside a savepoint that is always taken back: no transaction that holds it is ever
//! committed. So nothing stays behind whatever becomes of us, no catalog that others can read ever holds a secret, and
//! the role needs no right to create anything but temporary tables.

use std::collections::HashMap;

use super::holders::Holders;
use super::relations::name_tuples;
use super::{Error, Session};
use crate::format::external_template::RowFormat;
use crate::words::dialect::Dialect;
use crate::words::names::{QualifiedName, quote_ident, quote_literal};
use crate::words::secret::Secrets;

/// The statements for one table.
#[derive(Clone, PartialEq, Eq)]
pub struct Statements {
    /// Has secrets in it. A message of its own: what a session does last is shown to others until it does something else.
    pub create: String,
    pub insert: String,
    pub drop: String,
}

/// What all helper tables of a run have in common.
#[derive(Debug, Clone, Copy)]
pub struct Shape<'a> {
    pub format: RowFormat,
    /// The server's name of it.
    pub encoding: &'a str,
}

impl Shape<'_> {
    /// Everything is said, so that no default of a server decides what NULL looks like.
    fn sql(&self, reads: bool) -> String {
        let newline = match reads {
            // Found out by the first line end otherwise, which may be one inside a value.
            true => " NEWLINE 'LF'",
            false => "",
        };
        let format = match self.format {
            RowFormat::Text => format!(r"FORMAT 'text' (DELIMITER E'\t' NULL E'\\N' ESCAPE E'\\'{newline})"),
            RowFormat::Csv => format!("FORMAT 'csv' (DELIMITER ',' NULL '' QUOTE '\"' ESCAPE '\"'{newline})"),
        };
        format!("{format} ENCODING {}", quote_literal(self.encoding).trim_start())
    }
}

fn list(columns: &[String]) -> String {
    let quoted: Vec<String> = columns.iter().map(|column| quote_ident(column)).collect();
    quoted.join(", ")
}

/// From a table into the storage. The helper is distributed as the table is: each segment writes its own rows.
pub fn writing(
    helper: &str,
    table: &QualifiedName,
    columns: &[String],
    location: &str,
    shape: Shape<'_>,
) -> Statements {
    let (table, columns) = (table.sql(), list(columns));
    Statements {
        create: format!(
            "CREATE WRITABLE EXTERNAL TEMP TABLE {helper} (LIKE {table}) LOCATION ({}) {}",
            quote_literal(location).trim_start(),
            shape.sql(false)
        ),
        insert: format!("INSERT INTO pg_temp.{helper} ({columns}) SELECT {columns} FROM ONLY {table}"),
        drop: format!("DROP EXTERNAL TABLE pg_temp.{helper}"),
    }
}

/// From the storage into a table. `columns` with their types, in the order in which they stand in the rows.
pub fn reading(
    helper: &str,
    table: &QualifiedName,
    columns: &[(String, String)],
    location: &str,
    shape: Shape<'_>,
) -> Statements {
    let defined: Vec<String> = (columns.iter())
        .map(|(name, kind)| format!("{} {kind}", quote_ident(name)))
        .collect();
    let names: Vec<String> = columns.iter().map(|(name, _)| name.clone()).collect();
    let (table, names) = (table.sql(), list(&names));
    Statements {
        create: create_readable(helper, &defined, location, shape),
        insert: format!("INSERT INTO {table} ({names}) SELECT {names} FROM pg_temp.{helper}"),
        drop: format!("DROP EXTERNAL TABLE pg_temp.{helper}"),
    }
}

fn create_readable(helper: &str, defined: &[String], location: &str, shape: Shape<'_>) -> String {
    format!(
        "CREATE READABLE EXTERNAL TEMP TABLE {helper} ({}) LOCATION ({}) {}",
        defined.join(", "),
        quote_literal(location).trim_start(),
        shape.sql(true)
    )
}

/// How many rows are in the storage. As text, which every type can be read as.
pub fn counting(helper: &str, columns: &[String], location: &str, shape: Shape<'_>) -> Statements {
    let defined: Vec<String> = columns
        .iter()
        .map(|name| format!("{} text", quote_ident(name)))
        .collect();
    Statements {
        create: create_readable(helper, &defined, location, shape),
        insert: format!("SELECT pg_catalog.count(*) FROM pg_temp.{helper}"),
        drop: format!("DROP EXTERNAL TABLE pg_temp.{helper}"),
    }
}

/// What a session is told before it is given a secret: as little as a session can choose is written into logs, and no
/// notice quotes a statement. Only a superuser may change the last ones.
pub async fn keep_quiet(session: &Session) -> Result<bool, Error> {
    session
        .run("SET client_min_messages = error", "preparing the session")
        .await?;
    let mut all = true;
    for setting in [
        "SET log_statement = 'none'",
        "SET log_min_error_statement = panic",
        "SET log_min_duration_statement = -1",
    ] {
        all &= session.run(setting, "keeping statements out of the log").await.is_ok();
    }
    Ok(all)
}

/// The types of the columns of tables, as a definition has them.
pub async fn read_column_types(
    session: &Session,
    tables: &[QualifiedName],
) -> Result<HashMap<QualifiedName, HashMap<String, String>>, Error> {
    let mut types: HashMap<QualifiedName, HashMap<String, String>> = HashMap::new();
    for batch in tables.chunks(500) {
        let sql = format!(
            "SELECT n.nspname, c.relname, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod) \
             FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE a.attnum > 0 AND NOT a.attisdropped AND (n.nspname, c.relname) IN ({})",
            name_tuples(batch.iter())
        );
        session
            .for_each_row(&sql, "reading the types of columns", |row| {
                if let (Some(schema), Some(name), Some(column), Some(kind)) =
                    (row.get(0), row.get(1), row.get(2), row.get(3))
                {
                    let of_table = types.entry(QualifiedName::new(schema, name)).or_default();
                    of_table.insert(column.to_owned(), kind.to_owned());
                }
                Ok(())
            })
            .await?;
    }
    Ok(types)
}

/// A protocol as the server knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocol {
    /// Others than superusers may be allowed to use it.
    pub is_trusted: bool,
}

/// `None`: there is none of this name, but those of Greenplum itself are in no catalog.
pub async fn read_protocol(session: &Session, name: &str) -> Result<Option<Protocol>, Error> {
    let sql = format!(
        "SELECT ptctrusted FROM pg_catalog.pg_extprotocol WHERE ptcname = {}",
        quote_literal(name)
    );
    let found = session.one(&sql, "looking for the protocol").await?;
    Ok(found.map(|trusted| Protocol {
        is_trusted: trusted == "t",
    }))
}

/// The server can have external tables at all.
pub async fn has_external_tables(session: &Session) -> Result<bool, Error> {
    let sql = "SELECT 1 FROM pg_catalog.pg_class WHERE relname = 'pg_extprotocol' AND relnamespace = 11";
    Ok(session
        .one(sql, "asking whether there are external tables")
        .await?
        .is_some())
}

pub async fn create_extension(session: &Session, name: &str, schema: &str) -> Result<(), Error> {
    let sql = format!(
        "CREATE EXTENSION {} WITH SCHEMA {}",
        quote_ident(name),
        quote_ident(schema)
    );
    session.run(&sql, "creating the extension").await
}

/// What the role of this session may do, as the catalog tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers {
    pub role: String,
    pub database: String,
    pub is_superuser: bool,
    pub temporary: bool,
    pub schema: bool,
    pub table: bool,
}

/// `privilege`: the one on the table that is asked about.
pub async fn read_rights(session: &Session, table: &QualifiedName, privilege: &str) -> Result<Answers, Error> {
    // By ids: looking a name up needs the very right that is asked about.
    let sql = format!(
        "SELECT current_user, pg_catalog.current_database(), \
         (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user), \
         pg_catalog.has_database_privilege(pg_catalog.current_database(), 'TEMP'), \
         (SELECT pg_catalog.has_schema_privilege(oid, 'USAGE') FROM pg_catalog.pg_namespace WHERE nspname = {schema}), \
         (SELECT pg_catalog.has_table_privilege(c.oid, {privilege}) FROM pg_catalog.pg_class c \
          JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = {schema} AND c.relname = {name})",
        schema = quote_literal(&table.schema),
        name = quote_literal(&table.name),
        privilege = quote_literal(privilege)
    );
    let doing = "asking for the rights of the role";
    let row = session.rows(&sql, doing).await?.into_iter().next().unwrap_or_default();
    let field = |at: usize| row.get(at).and_then(Option::as_deref);
    Ok(Answers {
        role: field(0).unwrap_or_default().to_owned(),
        database: field(1).unwrap_or_default().to_owned(),
        is_superuser: field(2) == Some("t"),
        temporary: field(3) != Some("f"),
        schema: field(4) != Some("f"),
        table: field(5) != Some("f"),
    })
}

/// How many relations of each kind are left out because their rows lie elsewhere or nowhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeftOut {
    pub external: u64,
    pub temporary: u64,
    pub views: u64,
}

pub async fn read_left_out(session: &Session, dialect: &Dialect) -> Result<LeftOut, Error> {
    let (external, foreign) = match dialect.has_relstorage {
        true => ("c.relstorage IN ('x', 'f')", "c.relkind = 'r'"),
        false => ("c.relkind = 'f'", "c.relkind = 'f'"),
    };
    let temporary = match dialect.pg_version.0 >= 90100 {
        true => "c.relpersistence = 't'",
        false => "n.nspname LIKE 'pg_temp%'",
    };
    let sql = format!(
        "SELECT coalesce(sum(CASE WHEN {temporary} THEN 0 WHEN {external} AND {foreign} THEN 1 ELSE 0 END), 0), \
         coalesce(sum(CASE WHEN {temporary} AND c.relkind = 'r' THEN 1 ELSE 0 END), 0), \
         coalesce(sum(CASE WHEN c.relkind = 'v' AND NOT ({temporary}) THEN 1 ELSE 0 END), 0) \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'gp_toolkit', 'pg_toast', 'pg_bitmapindex', \
         'pg_aoseg')"
    );
    let doing = "counting what is left out";
    let row = session.rows(&sql, doing).await?.into_iter().next().unwrap_or_default();
    let field = |at: usize| row.get(at).and_then(|n| n.as_deref()?.parse().ok()).unwrap_or(0);
    Ok(LeftOut {
        external: field(0),
        temporary: field(1),
        views: field(2),
    })
}

/// External tables of the database and where their rows lie, as text: secrets and all.
pub async fn read_locations(session: &Session) -> Result<Vec<(QualifiedName, String)>, Error> {
    let doing = "reading the locations of external tables";
    // `location` up to Greenplum 5; a view from 7 on.
    let column = "SELECT a.attname FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
         WHERE c.relname = 'pg_exttable' AND c.relnamespace = 11 AND a.attname IN ('urilocation', 'location')";
    let Some(column) = session.one(column, doing).await? else {
        return Ok(Vec::new());
    };
    let sql = format!(
        "SELECT n.nspname, c.relname, pg_catalog.array_to_string(e.{column}, ' ') FROM pg_catalog.pg_exttable e \
         JOIN pg_catalog.pg_class c ON c.oid = e.reloid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname NOT LIKE 'pg_temp%' ORDER BY 1, 2",
    );
    let rows = session.rows(&sql, doing).await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| match <[_; 3]>::try_from(row) {
            Ok([Some(schema), Some(name), Some(location)]) => Some((QualifiedName::new(schema, name), location)),
            _ => None,
        })
        .collect())
}

/// A session with an application name that begins so: its process on the server, and the name.
pub async fn sessions_named(session: &Session, dialect: &Dialect, start: &str) -> Result<Vec<(String, String)>, Error> {
    let pid = Holders::of(dialect).pid();
    let sql = format!(
        "SELECT {pid}, application_name FROM pg_catalog.pg_stat_activity \
         WHERE pg_catalog.substr(application_name, 1, {}) = {} AND {pid} <> pg_catalog.pg_backend_pid()",
        start.len(),
        quote_literal(start)
    );
    let rows = session.rows(&sql, "looking for sessions of earlier runs").await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| Some((row.first()?.clone()?, row.get(1)?.clone()?)))
        .collect())
}

/// False when the server says that there was nothing to be ended.
pub async fn end_session(session: &Session, pid: &str) -> Result<bool, Error> {
    let sql = format!("SELECT pg_catalog.pg_terminate_backend({pid})");
    let ended = session.one(&sql, "ending a session of an earlier run").await?;
    Ok(ended.as_deref() == Some("t"))
}

/// The error without any secret: servers quote the LOCATION of a table in what they say of it.
pub fn hidden(error: Error, secrets: &Secrets) -> Error {
    let hide = |text: String| secrets.hide(&text);
    match error {
        Error::Statement {
            whom,
            doing,
            message,
            code,
            position,
        } => Error::Statement {
            whom,
            doing,
            message: hide(message),
            code,
            position,
        },
        Error::LockWait {
            whom,
            doing,
            seconds,
            blockers,
        } => Error::LockWait {
            whom,
            doing,
            seconds,
            blockers: blockers.into_iter().map(hide).collect(),
        },
        Error::Broken { whom, doing, source } => Error::Broken {
            whom,
            doing,
            source: hide(source.to_string()).into(),
        },
        Error::Silent { whom, doing, source } => Error::Silent {
            whom,
            doing,
            source: hide(source.to_string()).into(),
        },
        other => other,
    }
}

/// No secret may come out by way of a debug text.
impl std::fmt::Debug for Statements {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Statements")
            .field("insert", &self.insert)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::external_template::Template;
    use crate::plan::external::{Direction, ExternalRequest, helper_name, location, path_of};
    use crate::words::layout::Compression;

    const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/external/statements.sql");

    /// Each statement of a table's way out and back, as a Greenplum 6.24.3 ran them; `docs/external-tables.md` says how.
    /// `GPDUMP_BLESS=1` writes the file anew: then let such a server run it.
    #[test]
    fn statements_are_those_that_greenplum_ran() {
        let mut secrets = Secrets::default();
        secrets.add("COS_SECRET_ID", "AKIDtest0001").unwrap();
        secrets.add("COS_SECRET_KEY", "s3cr3tKEYvalue/99+x").unwrap();
        type Table<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);
        let tables: [Table; 3] = [
            (
                "public",
                "h",
                &[
                    ("a", "integer"),
                    ("b", "text"),
                    ("d", "numeric(12,3)"),
                    ("v", "character varying(7)"),
                ],
            ),
            (
                "Odd. Schema",
                "Order ~'|/ Ünïcode",
                &[("a b", "integer"), ("C", "text")],
            ),
            ("public", "one", &[("t", "text")]),
        ];
        let mut text = String::new();
        for (key, format, compress) in [
            ("20240102030405", RowFormat::Text, Compression::Gzip),
            ("20240102030406", RowFormat::Csv, Compression::None),
        ] {
            let key = key.parse().unwrap();
            let request = ExternalRequest {
                template: Template {
                    format,
                    ..Template::cos()
                },
                bucket: Some("nightly-125.cos.ap-guangzhou.myqcloud.com".to_owned()),
                not_of: Vec::new(),
                streams: 1,
                secrets: secrets.clone(),
            };
            let storage = request.storage(compress, "UTF8");
            let shape = Shape {
                format,
                encoding: &storage.encoding,
            };
            for (number, (schema, name, columns)) in tables.iter().enumerate() {
                let table = QualifiedName::new(*schema, *name);
                let path = path_of(&request.template.path, key, "shop", &table);
                let place = |direction| location(&storage, &path, direction, &secrets).unwrap();
                let typed: Vec<(String, String)> = columns
                    .iter()
                    .map(|(name, kind)| (name.to_string(), kind.to_string()))
                    .collect();
                let names: Vec<String> = typed.iter().map(|(name, _)| name.clone()).collect();
                let helper = helper_name(key, 4711, number);
                let write = writing(&helper, &table, &names, &place(Direction::Write), shape);
                let read = reading(&helper, &table, &typed, &place(Direction::Read), shape);
                let count = counting(&helper, &names, &place(Direction::Read), shape);
                for part in [write, read, count] {
                    for statement in [part.create, part.insert, part.drop] {
                        text.push_str(&statement);
                        text.push_str(";\n");
                    }
                }
            }
        }
        if std::env::var_os("GPDUMP_BLESS").is_some() {
            std::fs::write(GOLDEN, &text).unwrap();
        }
        assert_eq!(std::fs::read_to_string(GOLDEN).unwrap(), text);
    }

    #[test]
    fn no_error_and_no_debug_text_tells_a_secret() {
        let mut secrets = Secrets::default();
        secrets.add("KEY", "s3cr3tKEYvalue").unwrap();
        let error = Error::Statement {
            whom: "the master".to_owned(),
            doing: "moving the rows of public.t".to_owned(),
            message: "SignatureDoesNotMatch: \"cos://b/p/ secretKey=s3cr3tKEYvalue\"".to_owned(),
            code: Some("39000".to_owned()),
            position: None,
        };
        let shown = format!("{0} {0:?}", hidden(error, &secrets));
        assert!(
            shown.contains("SignatureDoesNotMatch") && !shown.contains("s3cr3tKEY"),
            "{shown}"
        );
        let shape = Shape {
            format: RowFormat::Text,
            encoding: "UTF8",
        };
        let table = QualifiedName::new("public", "t");
        let statements = writing("h", &table, &["a".to_owned()], "cos://b/ k=s3cr3tKEYvalue", shape);
        assert!(!format!("{statements:?}").contains("s3cr3tKEY"));
    }
}
