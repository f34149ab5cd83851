//! By which columns the rows of hashed tables are spread.

use std::collections::HashMap;

use super::relations::{USER_SCHEMAS, parse_oid, unexpected};
use super::{Error, Session};
use crate::words::dialect::{Dialect, DistributionCatalog};
use crate::words::ids::Oid;
use crate::words::names::{QualifiedName, quote_ident_if_needed};

/// Object ids from here are those of what users make, not the server's own (PostgreSQL, `FirstNormalObjectId`).
pub(super) const FIRST_MADE: u32 = 16384;

/// The key of a hashed table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DistributionKey {
    pub oid: Oid,
    pub table: QualifiedName,
    /// A text for each column in the order of the key: its name, its type, and where there are some its operator class
    /// (`code character varying(20) pg_catalog.varchar_ops`).
    pub columns: Vec<String>,
}

/// The keys that say where rows lie: two tables with the same have each row on the same segment of as many, by the same
/// family of hash functions. Those with types or operator classes that somebody made are left out: their names say nothing.
pub async fn read_keys(session: &Session, dialect: &Dialect) -> Result<Vec<DistributionKey>, Error> {
    let (attributes, classes, array) = match dialect.distribution {
        DistributionCatalog::PolicyType => ("p.distkey", "p.distclass", "p.distkey::int2[]"),
        DistributionCatalog::Attrnums => ("p.attrnums", "NULL", "p.attrnums"),
        DistributionCatalog::None => return Ok(Vec::new()),
    };
    let doing = "reading by which columns tables are distributed";
    let mut names_of_classes = HashMap::new();
    if dialect.distribution == DistributionCatalog::PolicyType {
        let sql = format!(
            "SELECT o.oid, n.nspname, o.opcname FROM pg_catalog.pg_opclass o \
             JOIN pg_catalog.pg_namespace n ON n.oid = o.opcnamespace WHERE o.oid < {FIRST_MADE}"
        );
        for row in session.rows(&sql, doing).await? {
            if let Ok([Some(oid), Some(schema), Some(name)]) = <[_; 3]>::try_from(row) {
                let class = format!("{}.{}", quote_ident_if_needed(&schema), quote_ident_if_needed(&name));
                names_of_classes.insert(oid, class);
            }
        }
    }
    let sql = format!(
        "SELECT p.localoid, n.nspname, c.relname, {attributes}, {classes}, a.attnum, a.attname, \
           pg_catalog.format_type(a.atttypid, a.atttypmod) \
         FROM pg_catalog.gp_distribution_policy p JOIN pg_catalog.pg_class c ON c.oid = p.localoid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = p.localoid AND a.attnum = ANY ({array}) \
         WHERE a.atttypid < {FIRST_MADE} AND {USER_SCHEMAS}"
    );
    let mut keys: HashMap<Oid, DistributionKey> = HashMap::new();
    session
        .for_each_row(&sql, doing, |row| {
            let (Some(oid), Some(schema), Some(table)) = (row.get(0).and_then(parse_oid), row.get(1), row.get(2))
            else {
                return Err(unexpected(session, doing, "a table without name"));
            };
            let (Some(attributes), Some(attribute), Some(name), Some(kind)) =
                (row.get(3), row.get(5), row.get(6), row.get(7))
            else {
                return Err(unexpected(session, doing, "a column without name or type"));
            };
            let attributes = numbers(attributes);
            let Some(at) = attributes.iter().position(|one| *one == attribute) else {
                return Err(unexpected(session, doing, "a column that is in no key"));
            };
            let class = match row.get(4) {
                None => Some(String::new()),
                Some(classes) => (numbers(classes).get(at))
                    .and_then(|oid| names_of_classes.get(*oid))
                    .map(|class| format!(" {class}")),
            };
            let key = keys.entry(oid).or_insert_with(|| DistributionKey {
                oid,
                table: QualifiedName::new(schema, table),
                columns: vec![String::new(); attributes.len()],
            });
            if let Some(class) = class {
                key.columns[at] = format!("{} {kind}{class}", quote_ident_if_needed(name));
            }
            Ok(())
        })
        .await?;
    let is_whole = |key: &DistributionKey| key.columns.iter().all(|column| !column.is_empty());
    Ok(keys.into_values().filter(is_whole).collect())
}

/// `1 2` of a vector, `{1,2}` of an array.
fn numbers(text: &str) -> Vec<&str> {
    text.split(|c: char| !c.is_ascii_digit())
        .filter(|number| !number.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_of_vectors_and_arrays() {
        assert_eq!(super::numbers("1 12"), ["1", "12"]);
        assert_eq!(super::numbers("{3,1}"), ["3", "1"]);
        assert!(super::numbers("").is_empty());
    }
}
