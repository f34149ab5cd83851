//! Large objects in the master's file, as statements that every server since 8.3 understands.
//!
//! ```text
//! --
//! -- Data for Name: BLOBS; Type: BLOBS; Schema: -; Owner:
//! --
//!
//! BEGIN;
//! SELECT pg_catalog.lo_open(pg_catalog.lo_create(12345), 131072);
//! SELECT pg_catalog.lowrite(0, pg_catalog.decode('6f6e65', 'hex'));
//! SELECT pg_catalog.lo_close(0);
//! ALTER LARGE OBJECT 12345 OWNER TO gpadmin;
//! COMMIT;
//! ```
//!
//! Layout: `gp_dump.md` 3.7; the bytes are hex where the original writes escapes that depend on settings.

use crate::words::names::quote_ident_if_needed;

/// One run of bytes: oid, owner where known, offset, hex.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PieceText<'a> {
    pub oid: u32,
    pub owner: Option<&'a str>,
    pub offset: u64,
    pub hex: &'a str,
}

/// The line that a complete file ends with; the section goes in front of it.
const TRAILER: &[u8] = b"--\n-- Greenplum Database database dump complete\n";

/// Puts the section into a pre-data file. Pieces of one object stand together, in order.
pub fn insert(pre_data: &mut Vec<u8>, pieces: &[PieceText<'_>]) {
    if pieces.is_empty() {
        return;
    }
    let at = pre_data
        .windows(TRAILER.len())
        .rposition(|window| window == TRAILER)
        .unwrap_or(pre_data.len());
    let tail = pre_data.split_off(at);
    pre_data.extend_from_slice(section(pieces).as_bytes());
    pre_data.extend_from_slice(&tail);
}

fn section(pieces: &[PieceText<'_>]) -> String {
    let mut text = "--\n-- Data for Name: BLOBS; Type: BLOBS; Schema: -; Owner: \n--\n\n".to_owned();
    for object in pieces.chunk_by(|a, b| a.oid == b.oid) {
        let oid = object[0].oid;
        text.push_str(&format!(
            "BEGIN;\nSELECT pg_catalog.lo_open(pg_catalog.lo_create({oid}), 131072);\n"
        ));
        let mut position = 0;
        for piece in object.iter().filter(|piece| !piece.hex.is_empty()) {
            if piece.offset != position {
                text.push_str(&format!("SELECT pg_catalog.lo_lseek(0, {}, 0);\n", piece.offset));
            }
            text.push_str(&format!(
                "SELECT pg_catalog.lowrite(0, pg_catalog.decode('{}', 'hex'));\n",
                piece.hex
            ));
            position = piece.offset + piece.hex.len() as u64 / 2;
        }
        text.push_str("SELECT pg_catalog.lo_close(0);\n");
        if let Some(owner) = object[0].owner {
            text.push_str(&format!(
                "ALTER LARGE OBJECT {oid} OWNER TO {};\n",
                quote_ident_if_needed(owner)
            ));
        }
        text.push_str("COMMIT;\n\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_section_stands_before_the_trailer_and_keeps_holes() {
        let piece = |oid, offset, hex| PieceText {
            oid,
            owner: Some("App Own"),
            offset,
            hex,
        };
        let mut file = b"SELECT 1;\n--\n-- Greenplum Database database dump complete\n--\n\n".to_vec();
        insert(&mut file, &[piece(7, 0, "6162"), piece(7, 2048, "63"), piece(9, 0, "")]);
        let text = String::from_utf8(file).unwrap();
        assert_eq!(
            text,
            "SELECT 1;\n--\n-- Data for Name: BLOBS; Type: BLOBS; Schema: -; Owner: \n--\n\n\
             BEGIN;\nSELECT pg_catalog.lo_open(pg_catalog.lo_create(7), 131072);\n\
             SELECT pg_catalog.lowrite(0, pg_catalog.decode('6162', 'hex'));\n\
             SELECT pg_catalog.lo_lseek(0, 2048, 0);\n\
             SELECT pg_catalog.lowrite(0, pg_catalog.decode('63', 'hex'));\n\
             SELECT pg_catalog.lo_close(0);\nALTER LARGE OBJECT 7 OWNER TO \"App Own\";\nCOMMIT;\n\n\
             BEGIN;\nSELECT pg_catalog.lo_open(pg_catalog.lo_create(9), 131072);\n\
             SELECT pg_catalog.lo_close(0);\nALTER LARGE OBJECT 9 OWNER TO \"App Own\";\nCOMMIT;\n\n\
             --\n-- Greenplum Database database dump complete\n--\n\n"
        );
    }
}
