//! Large objects: rows of `pg_largeobject`, pages of at most 2 KiB, as text for the master's file.

use super::{Error, Session};
use crate::words::dialect::Dialect;

/// Bytes of all pages of a large object that can be kept before they are written: they stand in memory, twice, as hex.
pub const MOST_BYTES: u64 = 512 << 20;

/// A run of bytes of a large object, from an offset on, as hex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    pub oid: u32,
    /// `None` where the server keeps no owners (before 9.0).
    pub owner: Option<String>,
    pub offset: u64,
    pub hex: String,
}

/// Who may read the pages themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// A superuser; anybody before 9.0.
    Pages,
    /// Only one object after the other, and of those only what was granted.
    Objects,
}

pub async fn read_access(session: &Session, dialect: &Dialect) -> Result<Access, Error> {
    let sql = "SELECT pg_catalog.has_table_privilege('pg_catalog.pg_largeobject', 'SELECT')";
    let may = session.one(sql, "asking for the right to read large objects").await?;
    Ok(match may.as_deref() == Some("t") || dialect.pg_version.0 < 90_400 {
        true => Access::Pages,
        false => Access::Objects,
    })
}

/// Bytes of all large objects of the database, in whole pages where the pages can be counted.
pub async fn read_size(session: &Session, access: Access) -> Result<u64, Error> {
    let sql = match access {
        Access::Pages => "SELECT count(*) * 2048 FROM pg_catalog.pg_largeobject",
        // Opened for reading (INV_READ), sought to its end (SEEK_END); closed with the transaction, a few at a time.
        Access::Objects => {
            "SELECT coalesce(sum(pg_catalog.lo_lseek64(fd, 0, 2) * (1 + 0 * pg_catalog.lo_close(fd))), 0) \
             FROM (SELECT pg_catalog.lo_open(oid, 262144) AS fd FROM pg_catalog.pg_largeobject_metadata OFFSET 0) s"
        }
    };
    let size = session.one(sql, "asking for large objects").await?;
    Ok(size.and_then(|size| size.parse().ok()).unwrap_or(0))
}

/// All large objects, each as one piece at least (an empty one too), in order of oid and offset.
pub async fn read_pieces(session: &Session, dialect: &Dialect, access: Access) -> Result<Vec<Piece>, Error> {
    match access {
        Access::Pages => read_pages(session, dialect).await,
        Access::Objects => read_objects(session).await,
    }
}

/// Each by itself. That one may not be read is the server's error, which names it.
async fn read_objects(session: &Session) -> Result<Vec<Piece>, Error> {
    let doing = "reading large objects";
    let sql = "SELECT oid, pg_catalog.pg_get_userbyid(lomowner) FROM pg_catalog.pg_largeobject_metadata ORDER BY oid";
    let mut pieces = Vec::new();
    for row in session.rows(sql, doing).await? {
        let oid = row.first().and_then(|oid| oid.as_deref()?.parse::<u32>().ok());
        let Some(oid) = oid else { continue };
        let owner = row.get(1).cloned().flatten();
        let mut offset = 0;
        loop {
            let sql = format!("SELECT pg_catalog.encode(pg_catalog.lo_get({oid}, {offset}, {BYTES_PER_PIECE}), 'hex')");
            let hex = session.one(&sql, doing).await?.unwrap_or_default();
            let bytes = (hex.len() / 2) as u64;
            if bytes > 0 || offset == 0 {
                let owner = owner.clone();
                pieces.push(Piece {
                    oid,
                    owner,
                    offset,
                    hex,
                });
            }
            offset += bytes;
            if bytes < BYTES_PER_PIECE as u64 {
                break;
            }
        }
    }
    Ok(pieces)
}

async fn read_pages(session: &Session, dialect: &Dialect) -> Result<Vec<Piece>, Error> {
    // In a statement of its own: the casts of a database may be anybody's, and one of text to integer may never end.
    let doing = "reading large objects";
    let block = session
        .one("SELECT pg_catalog.current_setting('block_size')", doing)
        .await?;
    let page = block.and_then(|text| text.parse::<u64>().ok()).unwrap_or(8192) / 4;
    let sql = if dialect.pg_version.0 >= 90000 {
        format!(
            "SELECT m.oid, pg_catalog.pg_get_userbyid(m.lomowner), coalesce(l.pageno, 0)::bigint * ({page}), \
             coalesce(pg_catalog.encode(l.data, 'hex'), '') \
             FROM pg_catalog.pg_largeobject_metadata m LEFT JOIN pg_catalog.pg_largeobject l ON l.loid = m.oid \
             ORDER BY m.oid, l.pageno"
        )
    } else {
        format!(
            "SELECT loid, NULL, pageno::bigint * ({page}), pg_catalog.encode(data, 'hex') \
             FROM pg_catalog.pg_largeobject ORDER BY loid, pageno"
        )
    };
    let mut pieces: Vec<Piece> = Vec::new();
    session
        .for_each_row(&sql, doing, |row| {
            let number = |i: usize| row.get(i).and_then(|text| text.parse::<u64>().ok());
            let (Some(oid), Some(offset), Some(hex)) = (number(0), number(2), row.get(3)) else {
                return Err(Error::Unexpected {
                    whom: session.whom().to_owned(),
                    doing: doing.to_owned(),
                    what: "a page without number or data".to_owned(),
                });
            };
            let oid = u32::try_from(oid).unwrap_or(u32::MAX);
            match pieces.last_mut() {
                Some(last) if last.follows(oid, offset) => last.hex.push_str(hex),
                _ => pieces.push(Piece {
                    oid,
                    owner: row.get(1).map(str::to_owned),
                    offset,
                    hex: hex.to_owned(),
                }),
            }
            Ok(())
        })
        .await?;
    Ok(pieces)
}

/// Bytes that go into one statement of a restore.
const BYTES_PER_PIECE: usize = 128 << 10;

impl Piece {
    /// Whether a page continues this piece, which is not too long yet.
    fn follows(&self, oid: u32, offset: u64) -> bool {
        let length = self.hex.len() / 2;
        self.oid == oid && self.offset + length as u64 == offset && length < BYTES_PER_PIECE && length > 0
    }
}
