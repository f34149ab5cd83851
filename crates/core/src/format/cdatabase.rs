//! The script that creates the database, `gp_cdatabase_-1_1_<key>`.
//!
//! ```text
//! --
//! -- Database creation
//! --
//!
//! CREATE DATABASE tdb WITH TEMPLATE = template0 ENCODING = 'UTF8' OWNER = gpadmin;
//! REVOKE ALL ON DATABASE tdb FROM PUBLIC;
//! GRANT CONNECT ON DATABASE tdb TO rd;
//! ALTER DATABASE tdb SET work_mem TO '64MB';
//! ```
//!
//! The original writes `GRANT CONNECT ... TO PUBLIC` whenever there is an ACL; that hands out a right nobody gave, and is
//! not copied. Source: `gp_dump.md` 2.4.

use bytes::Bytes;

use super::segment_data::lexer::{Lexer, Piece};
use crate::words::names::{quote_ident_if_needed, quote_literal};

const CREATE: &str = "CREATE DATABASE ";
/// What stands behind the name; the original restore looks for these words.
const TEMPLATE: &str = " WITH TEMPLATE = ";

/// What the script is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseFacts {
    pub name: String,
    pub encoding: String,
    pub owner: String,
    /// `None` for `pg_default`.
    pub tablespace: Option<String>,
    /// Further options as SQL, such as `LC_COLLATE = 'C'`: what the server has beyond those above.
    pub options: Vec<String>,
    /// `GRANT` and `REVOKE` statements, without semicolons.
    pub acl: Vec<String>,
    /// `ALTER DATABASE ... SET` statements, without semicolons.
    pub settings: Vec<String>,
}

/// Why a script says nothing about a database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCdatabase {
    #[error("the create-database file has no CREATE DATABASE statement: it is damaged, or no such file")]
    NoCreate,
    #[error("the database name in \"{0}\" could not be read")]
    NoName(String),
    #[error("the create-database file ends inside the statement \"{0}\": it was cut off")]
    Cut(String),
}

impl DatabaseFacts {
    /// The whole text of the file.
    pub fn write(&self) -> String {
        let mut create = format!(
            "{CREATE}{}{TEMPLATE}template0 ENCODING = {} OWNER = {}",
            quote_ident_if_needed(&self.name),
            quote_literal(&self.encoding).trim_start(),
            quote_ident_if_needed(&self.owner)
        );
        if let Some(tablespace) = &self.tablespace {
            create.push_str(&format!(" TABLESPACE = {}", quote_ident_if_needed(tablespace)));
        }
        for option in &self.options {
            create.push(' ');
            create.push_str(option);
        }
        let mut text = "--\n-- Database creation\n--\n\n".to_owned();
        for statement in std::iter::once(&create).chain(&self.acl).chain(&self.settings) {
            text.push_str(statement);
            text.push_str(";\n");
        }
        text
    }
}

/// A script that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cdatabase {
    pub name: String,
    /// All statements in their order, the one that creates the database among them, without semicolons.
    pub statements: Vec<String>,
}

impl Cdatabase {
    pub fn parse(text: &str) -> Result<Cdatabase, BadCdatabase> {
        let mut lexer = Lexer::new();
        let mut input = Bytes::copy_from_slice(text.as_bytes());
        let mut statements = Vec::new();
        while let Ok(Some(piece)) = lexer.next(&mut input) {
            if let Piece::Statement(statement) = piece {
                statements.push(String::from_utf8_lossy(&statement).trim_end().to_owned());
            }
        }
        if let Some(rest) = lexer.unfinished() {
            return Err(BadCdatabase::Cut(String::from_utf8_lossy(rest).into_owned()));
        }
        let create = statements
            .iter()
            .find(|s| s.starts_with(CREATE))
            .ok_or(BadCdatabase::NoCreate)?;
        let name = database_name(&create[CREATE.len()..]).ok_or_else(|| BadCdatabase::NoName(create.clone()))?;
        Ok(Cdatabase { name, statements })
    }

    /// The encoding that the database is created with.
    pub fn encoding(&self) -> Option<&str> {
        let create = self.statements.iter().find(|s| s.starts_with(CREATE))?;
        let (_, options) = create.rsplit_once(TEMPLATE)?;
        let (_, behind) = options.split_once(" ENCODING = '")?;
        behind.split_once('\'').map(|(encoding, _)| encoding)
    }

    /// The same statements for a database of another name. Each statement names the database once, behind the words
    /// `DATABASE`; a statement that does not is left as it is.
    pub fn renamed(&self, name: &str) -> Vec<String> {
        let (old, new) = (quote_ident_if_needed(&self.name), quote_ident_if_needed(name));
        let quoted = crate::words::names::quote_ident(&self.name);
        let rename = |statement: &String| {
            let Some((head, tail)) = statement.split_once("DATABASE ") else {
                return statement.clone();
            };
            // 5.x and this program quote alike, 4.3 and hand-made files may not.
            let rest = [quoted.as_str(), old.as_str(), self.name.as_str()]
                .into_iter()
                .find_map(|text| {
                    let rest = tail.strip_prefix(text)?;
                    (rest.is_empty() || rest.starts_with(' ')).then_some(rest)
                });
            match rest {
                Some(rest) => format!("{head}DATABASE {new}{rest}"),
                None => statement.clone(),
            }
        };
        self.statements.iter().map(rename).collect()
    }
}

/// The name between `CREATE DATABASE` and the first `WITH TEMPLATE` that is not inside of quotes.
fn database_name(text: &str) -> Option<String> {
    let outside = |at: &usize| text[..*at].matches('"').count().is_multiple_of(2);
    let end = text.match_indices(TEMPLATE).map(|(at, _)| at).find(outside)?;
    let name = &text[..end];
    match name.strip_prefix('"').and_then(|n| n.strip_suffix('"')) {
        Some(inner) => Some(inner.replace("\"\"", "\"")),
        None if name.is_empty() => None,
        None => Some(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn facts(name: &str) -> DatabaseFacts {
        DatabaseFacts {
            name: name.into(),
            encoding: "UTF8".into(),
            owner: "gpadmin".into(),
            tablespace: None,
            options: vec![],
            acl: vec![],
            settings: vec![],
        }
    }

    #[test]
    fn a_simple_database_is_the_originals_to_the_byte() {
        let text = include_str!("../../../../tests/data/reference/gp5/01-full/gp_cdatabase_-1_1_20261122103444");
        assert_eq!(facts("demo").write(), text);
        let parsed = Cdatabase::parse(text).unwrap();
        assert_eq!((parsed.name.as_str(), parsed.encoding()), ("demo", Some("UTF8")));
    }

    #[test]
    fn acl_and_settings_follow_a_statement_a_line() {
        let text = include_str!("../../../../tests/data/reference/gp5/engine/full/gp_cdatabase_-1_1_20200101000000");
        let read = Cdatabase::parse(text).unwrap();
        assert_eq!((read.name.as_str(), read.statements.len()), ("tdb", 8));
        assert_eq!(read.statements[7], "ALTER DATABASE tdb SET \"DateStyle\" TO ISO, MDY");
        let mut facts = facts("tdb");
        facts.acl = read.statements[1..5].to_vec();
        facts.settings = read.statements[5..].to_vec();
        assert_eq!(facts.write(), text);
    }

    #[test]
    fn tablespace_and_options_stand_behind_the_owner() {
        let mut facts = facts("My \"db\"");
        facts.tablespace = Some("fast".into());
        facts.options = vec!["LC_COLLATE = 'C'".into()];
        let text = facts.write();
        assert!(text.ends_with(
            "\nCREATE DATABASE \"My \"\"db\"\"\" WITH TEMPLATE = template0 ENCODING = 'UTF8' OWNER = gpadmin \
             TABLESPACE = fast LC_COLLATE = 'C';\n"
        ));
        assert_eq!(Cdatabase::parse(&text).unwrap().name, "My \"db\"");
    }

    #[test]
    fn all_statements_can_be_given_to_another_database() {
        let text = include_str!("../../../../tests/data/reference/gp5/engine/full/gp_cdatabase_-1_1_20200101000000");
        let renamed = Cdatabase::parse(text).unwrap().renamed("Other");
        assert!(
            renamed
                .iter()
                .all(|s| s.contains("DATABASE \"Other\" ") && !s.contains("tdb")),
            "{renamed:?}"
        );
    }

    #[test]
    fn what_is_no_such_file_is_refused() {
        assert_eq!(Cdatabase::parse("").unwrap_err(), BadCdatabase::NoCreate);
        assert!(matches!(
            Cdatabase::parse("CREATE DATABASE x WITH").unwrap_err(),
            BadCdatabase::Cut(_)
        ));
        assert!(matches!(
            Cdatabase::parse("CREATE DATABASE x;").unwrap_err(),
            BadCdatabase::NoName(_)
        ));
    }

    proptest! {
        #[test]
        fn any_name_survives(name in "[^\u{0}]{1,12}", owner in "[^\u{0}]{1,12}", new in "[^\u{0}]{1,12}") {
            let mut facts = facts(&name);
            facts.owner = owner;
            let read = Cdatabase::parse(&facts.write()).unwrap();
            prop_assert_eq!(&read.name, &name);
            prop_assert_eq!(read.statements.len(), 1);
            facts.name = new;
            prop_assert_eq!(Cdatabase::parse(&facts.write()).unwrap().statements, read.renamed(&facts.name));
        }
    }
}
