//! Files of heap tables as they lie in a server's data directory: how long they are, and whether a page of them was
//! changed after a place in the log. Only beginnings of pages are looked at, never rows.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::format::heap_state::Lsn;

/// Bytes read at once; a multiple of every size that a page can have.
const CHUNK: usize = 1 << 20;

/// Layout of pages since PostgreSQL 8.3, and what Greenplum calls the same.
const LAYOUTS: [u16; 2] = [4, 14];

/// The number that initdb gave the server: the first eight bytes of its control file, in every release.
pub fn system_identifier(data_dir: &Path) -> io::Result<u64> {
    let mut bytes = [0; 8];
    File::open(data_dir.join("global/pg_control"))?.read_exact(&mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}

/// Pages of a table, whose file goes on in `file.1`, `file.2` and so on.
pub fn page_count(file: &Path, page_bytes: u32) -> io::Result<u64> {
    let parts = parts(file)?;
    Ok(parts.iter().map(|(_, meta)| meta.len()).sum::<u64>() / u64::from(page_bytes))
}

/// Whether every page was last changed at or before `lsn`. False too when one of them does not tell, or when the files
/// change while they are read.
pub fn is_unchanged_since(file: &Path, page_bytes: u32, lsn: Lsn) -> io::Result<bool> {
    let before = parts(file)?;
    for (path, _) in &before {
        if !pages_unchanged(path, page_bytes as usize, lsn)? {
            return Ok(false);
        }
    }
    let stamp = |meta: &Metadata| (meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec());
    let after = parts(file)?;
    Ok(before.len() == after.len() && before.iter().zip(&after).all(|(b, a)| stamp(&b.1) == stamp(&a.1)))
}

fn parts(file: &Path) -> io::Result<Vec<(PathBuf, Metadata)>> {
    let mut parts = vec![(file.to_owned(), std::fs::metadata(file)?)];
    loop {
        let mut name = file.as_os_str().to_owned();
        name.push(format!(".{}", parts.len()));
        let path = PathBuf::from(name);
        match std::fs::metadata(&path) {
            Ok(meta) => parts.push((path, meta)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(parts),
            Err(error) => return Err(error),
        }
    }
}

fn pages_unchanged(path: &Path, page_bytes: usize, lsn: Lsn) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let mut chunk = vec![0; CHUNK];
    loop {
        let filled = fill(&mut file, &mut chunk)?;
        let pages = chunk[..filled].chunks(page_bytes);
        if !pages
            .into_iter()
            .all(|page| page.len() == page_bytes && is_page_unchanged(page, lsn))
        {
            return Ok(false);
        }
        if filled < chunk.len() {
            return Ok(true);
        }
    }
}

fn fill(file: &mut File, chunk: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < chunk.len() {
        match file.read(&mut chunk[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// A page begins with the place in the log of its last change, as two numbers, the high one first. Zero is a page that was
/// never logged: it tells nothing. The word at byte 18 says size and layout: where it is not what belongs there, the file is
/// encrypted, or damaged, or of a server that we do not know.
fn is_page_unchanged(page: &[u8], lsn: Lsn) -> bool {
    let number = |at: usize| u32::from_ne_bytes([page[at], page[at + 1], page[at + 2], page[at + 3]]);
    let changed = u64::from(number(0)) << 32 | u64::from(number(4));
    let shape = u16::from_ne_bytes([page[18], page[19]]);
    let (size, layout) = (usize::from(shape & 0xFF00), shape & 0x00FF);
    changed != 0 && changed <= lsn.0 && size == page.len() && LAYOUTS.contains(&layout)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(lsn: u64, shape: u16) -> Vec<u8> {
        let mut page = vec![0; 8192];
        page[..4].copy_from_slice(&((lsn >> 32) as u32).to_ne_bytes());
        page[4..8].copy_from_slice(&(lsn as u32).to_ne_bytes());
        page[18..20].copy_from_slice(&shape.to_ne_bytes());
        page
    }

    #[test]
    fn one_changed_page_in_any_part_of_the_file_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("16401");
        let old = page((3 << 32) + 5, 8192 | 4);
        std::fs::write(&file, old.repeat(300)).unwrap();
        std::fs::write(folder.path().join("16401.1"), old.repeat(7)).unwrap();
        assert_eq!(page_count(&file, 8192).unwrap(), 307);
        assert!(is_unchanged_since(&file, 8192, Lsn((3 << 32) + 5)).unwrap());
        assert!(!is_unchanged_since(&file, 8192, Lsn((3 << 32) + 4)).unwrap());
        assert!(!is_unchanged_since(&file, 8192, Lsn(u64::from(u32::MAX))).unwrap());
        for odd in [
            page((3 << 32) + 6, 8192 | 4),
            page(0, 8192 | 4),
            vec![0; 8192],
            page(5, 8192 | 9),
            page(5, 16384 | 4),
            vec![0; 10],
        ] {
            std::fs::write(
                folder.path().join("16401.1"),
                [old.repeat(7), odd, old.clone()].concat(),
            )
            .unwrap();
            assert!(!is_unchanged_since(&file, 8192, Lsn((3 << 32) + 5)).unwrap());
        }
        assert!(is_unchanged_since(&folder.path().join("none"), 8192, Lsn(9)).is_err());
    }

    #[test]
    fn a_table_without_pages_is_unchanged() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("1");
        std::fs::write(&file, b"").unwrap();
        assert!(is_unchanged_since(&file, 8192, Lsn(1)).unwrap());
    }
}
