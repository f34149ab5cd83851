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

/// Bytes of all large objects of the database, in whole pages.
pub async fn read_size(session: &Session) -> Result<u64, Error> {
    let sql = "SELECT count(*) * 2048 FROM pg_catalog.pg_largeobject";
    let size = session.one(sql, "asking for large objects").await?;
    Ok(size.and_then(|size| size.parse().ok()).unwrap_or(0))
}

/// All large objects, each as one piece at least (an empty one too), in order of oid and offset.
pub async fn read_pieces(session: &Session, dialect: &Dialect) -> Result<Vec<Piece>, Error> {
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
