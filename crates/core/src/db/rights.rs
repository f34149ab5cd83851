//! What the role of a session may not read, with the statement that would let it: asked once, before any work.

use super::large_objects::{self, Access};
use super::relations::{ExtensionTable, USER_SCHEMAS, parse_oid, read_extension_tables, unexpected};
use super::{Error, Session};
use crate::words::dialect::Dialect;
use crate::words::ids::Oid;
use crate::words::names::{QualifiedName, quote_ident_if_needed};

/// Something that the role may not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    pub oid: Oid,
    /// That of a large object is its number.
    pub name: QualifiedName,
    pub kind: UnreadableKind,
    pub lack: Lack,
}

/// What it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnreadableKind {
    Table,
    Sequence,
    LargeObject,
}

/// What keeps the role out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// USAGE on the schema; SELECT on the relation may be missing too.
    Schema {
        select_too: bool,
    },
    Select,
    /// Policies would leave out rows, and say nothing.
    RowSecurity,
}

impl Unreadable {
    /// The statements that help.
    pub fn grants(&self, role: &str) -> String {
        let role = quote_ident_if_needed(role);
        let what = match self.kind {
            UnreadableKind::Sequence => "SEQUENCE",
            UnreadableKind::Table => "TABLE",
            UnreadableKind::LargeObject => return format!("GRANT SELECT ON LARGE OBJECT {} TO {role};", self.oid),
        };
        let usage = || {
            format!(
                "GRANT USAGE ON SCHEMA {} TO {role};",
                quote_ident_if_needed(&self.name.schema)
            )
        };
        let select = || {
            format!(
                "GRANT SELECT ON {what} {}.{} TO {role};",
                quote_ident_if_needed(&self.name.schema),
                quote_ident_if_needed(&self.name.name)
            )
        };
        match self.lack {
            Lack::Schema { select_too: true } => format!("{} {}", usage(), select()),
            Lack::Schema { select_too: false } => usage(),
            Lack::Select => select(),
            Lack::RowSecurity => format!("ALTER ROLE {role} BYPASSRLS;"),
        }
    }
}

/// Every table and sequence of the user's schemas that a dump by this role would stumble over: those that it copies, and
/// those that pg_dump locks or reads.
pub async fn read_unreadable(session: &Session, dialect: &Dialect) -> Result<Vec<Unreadable>, Error> {
    let row_security = match dialect.pg_version.0 >= 90_500 {
        true => "c.relrowsecurity AND pg_catalog.row_security_active(c.oid)",
        false => "false",
    };
    let sql = format!(
        "SELECT * FROM (SELECT c.oid, n.nspname, c.relname, c.relkind, \
           pg_catalog.has_schema_privilege(n.oid, 'USAGE') AS usage, \
           pg_catalog.has_table_privilege(c.oid, 'SELECT') AS readable, {row_security} AS filtered \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p', 'S') AND {USER_SCHEMAS}) s \
         WHERE NOT usage OR NOT readable OR filtered ORDER BY 2, 3"
    );
    let doing = "asking what the role may read";
    let mut found = Vec::new();
    session
        .for_each_row(&sql, doing, |row| {
            let (Some(oid), Some(schema), Some(name)) = (row.get(0).and_then(parse_oid), row.get(1), row.get(2)) else {
                return Err(unexpected(session, doing, "a relation without oid or name"));
            };
            let readable = row.get(5) == Some("t");
            found.push(Unreadable {
                oid,
                name: QualifiedName::new(schema, name),
                kind: match row.get(3) {
                    Some("S") => UnreadableKind::Sequence,
                    _ => UnreadableKind::Table,
                },
                lack: match row.get(4) == Some("t") {
                    false => Lack::Schema { select_too: !readable },
                    true if !readable => Lack::Select,
                    true => Lack::RowSecurity,
                },
            });
            Ok(())
        })
        .await?;
    // A member of an extension comes with CREATE EXTENSION; a configuration table has rows of the user.
    let members = read_extension_tables(session, dialect).await?;
    found.retain(|found| !matches!(members.get(&found.oid), Some(ExtensionTable::Member)));
    if large_objects::read_access(session, dialect).await? == Access::Objects {
        found.extend(read_large_objects(session).await?);
    }
    Ok(found)
}

/// Before 18 no function tells; the rights stand in the catalog.
async fn read_large_objects(session: &Session) -> Result<Vec<Unreadable>, Error> {
    let sql = "SELECT m.oid FROM pg_catalog.pg_largeobject_metadata m \
         WHERE NOT pg_catalog.current_setting('lo_compat_privileges')::boolean \
         AND NOT pg_catalog.pg_has_role(m.lomowner, 'USAGE') AND NOT EXISTS ( \
           SELECT 1 FROM pg_catalog.aclexplode(m.lomacl) a WHERE a.privilege_type = 'SELECT' \
           AND CASE WHEN a.grantee = 0 THEN true ELSE pg_catalog.pg_has_role(a.grantee, 'USAGE') END) ORDER BY 1";
    let rows = session
        .rows(sql, "asking which large objects the role may read")
        .await?;
    let oids = rows.into_iter().filter_map(|row| parse_oid(row.first()?.as_deref()?));
    Ok(oids
        .map(|oid| Unreadable {
            oid,
            name: QualifiedName::new("large object", oid.to_string()),
            kind: UnreadableKind::LargeObject,
            lack: Lack::Select,
        })
        .collect())
}

/// Whether the role may read the passwords of others, as a superuser may.
pub async fn may_read_passwords(session: &Session) -> Result<bool, Error> {
    let sql = "SELECT pg_catalog.has_table_privilege('pg_catalog.pg_authid', 'SELECT')";
    let may = session.one(sql, "asking for the right to read roles").await?;
    Ok(may.as_deref() == Some("t"))
}

/// Whether a session on the master can read how often each append-optimized table was changed.
pub async fn may_read_counters(session: &Session, dialect: &Dialect) -> Result<bool, Error> {
    if !dialect.has_appendonly {
        return Ok(true);
    }
    let readable = match dialect.has_counters_on_segments() {
        // The master's own count nothing.
        true => "false",
        false => {
            "pg_catalog.has_schema_privilege(s.relnamespace, 'USAGE') AND pg_catalog.has_table_privilege(s.oid, 'SELECT')"
        }
    };
    let sql = format!(
        "SELECT NOT EXISTS (SELECT 1 FROM pg_catalog.pg_appendonly a JOIN pg_catalog.pg_class c ON c.oid = a.relid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_class s ON s.oid = a.segrelid \
         WHERE c.relkind = 'r' AND {USER_SCHEMAS} AND NOT ({readable}))"
    );
    let may = session
        .one(&sql, "asking for the right to read modification counters")
        .await?;
    Ok(may.as_deref() == Some("t"))
}

/// Whether the role may write a row into the history table, and make that where it is missing.
pub async fn may_write_history(session: &Session, dialect: &Dialect) -> Result<bool, Error> {
    let doing = "asking for the right to write the history";
    // A standby may be dumped, and not written to.
    if dialect.pg_version.0 >= 90_000
        && session
            .one("SELECT pg_catalog.pg_is_in_recovery()", doing)
            .await?
            .as_deref()
            == Some("t")
    {
        return Ok(false);
    }
    let sql = "SELECT pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND coalesce(( \
           SELECT pg_catalog.has_table_privilege(c.oid, 'INSERT') FROM pg_catalog.pg_class c \
           WHERE c.relnamespace = n.oid AND c.relname = 'gpcrondump_history' AND c.relkind = 'r'), \
           pg_catalog.has_schema_privilege(n.oid, 'CREATE')) \
         FROM pg_catalog.pg_namespace n WHERE n.nspname = 'public'";
    let may = session.one(sql, doing).await?;
    Ok(may.as_deref() == Some("t"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statement_that_helps_can_be_run_as_it_stands() {
        let table = |schema: &str, name: &str, kind, lack| Unreadable {
            oid: Oid(1),
            name: QualifiedName::new(schema, name),
            kind,
            lack,
        };
        let of = |lack| table("sales", "Orders", UnreadableKind::Table, lack).grants("saver");
        assert_eq!(of(Lack::Select), "GRANT SELECT ON TABLE sales.\"Orders\" TO saver;");
        assert_eq!(
            of(Lack::Schema { select_too: false }),
            "GRANT USAGE ON SCHEMA sales TO saver;"
        );
        assert_eq!(
            of(Lack::Schema { select_too: true }),
            "GRANT USAGE ON SCHEMA sales TO saver; GRANT SELECT ON TABLE sales.\"Orders\" TO saver;"
        );
        let sequence = table("s", "q", UnreadableKind::Sequence, Lack::Select);
        assert_eq!(sequence.grants("a b"), "GRANT SELECT ON SEQUENCE s.q TO \"a b\";");
        assert_eq!(of(Lack::RowSecurity), "ALTER ROLE saver BYPASSRLS;");
    }
}
