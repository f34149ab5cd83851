//! What one data file holds, and whether all of it could be loaded.
//!
//! A file with an index is read block by block as the index cuts it, in one pass that sums the file too: damage in one
//! block costs the table of that block and no other, as in a restore of single tables. A file without one, or whose index
//! proves to be what is wrong, is read as one stream, and what stands behind a damaged place is lost.

use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, Read};

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::file_reader::{SummedFile, explain, hex};
use super::verify_segment::{Findings, VerifyFile};
use crate::db::error_chain;
use crate::format::data_check::{CheckedBlock, DataCheck};
use crate::format::index::{Index, IndexEntry};
use crate::format::status::{self, Verdict};
use crate::store::files::Files;
use crate::words::job::FileStamp;
use crate::words::layout::Compression;
use crate::words::names::QualifiedName;
use crate::words::place::Place;

/// Bytes of text unpacked at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// Bytes read from the disk at a time.
const READ_BYTES: usize = 1 << 20;

/// The settings in front of the first block are a few lines.
const MAX_HEAD_BYTES: u64 = 1 << 20;

/// Status files are looked at as a whole; a longer one is none.
const MAX_STATUS_BYTES: u64 = 64 << 20;

/// Looks at a file and at what lies beside it.
pub(super) fn check(
    files: &Files,
    file: &VerifyFile,
    only: Option<&HashSet<String>>,
    stop: &CancellationToken,
) -> (Vec<CheckedBlock>, Findings) {
    let mut findings = Findings::default();
    let index = read_index(files, file);
    for stamp in &file.beside {
        // Why an index cannot be used says more than that it is another file.
        if stamp.name != file.index || index.is_ok() {
            let path = file.path.with_file_name(&stamp.name);
            findings.beside.extend(check_stamp(files, &path, stamp));
        }
    }
    let index = index.unwrap_or_else(|problem| {
        findings.beside.push(problem);
        None
    });
    check_status(
        files,
        &file.path.with_file_name(&file.status),
        file.sha256.is_some(),
        &mut findings,
    );
    let look = Look {
        files,
        file,
        only,
        stop,
    };
    let pass = match index {
        None => look.stream(file.sha256.as_deref()),
        Some(index) => look.by_index(&index).unwrap_or_else(|| {
            let path = file.path.with_file_name(&file.index);
            findings.beside.push(format!(
                "index \"{}\" does not fit its data file, which is not damaged itself: single tables cannot be restored \
                 by it, remove it",
                path.display()
            ));
            look.stream(file.sha256.as_deref())
        }),
    };
    findings.problem = pass.problem;
    (pass.blocks, findings)
}

/// A file that the manifest lists: a sentence when it is not what it was.
fn check_stamp(files: &Files, path: &Place, stamp: &FileStamp) -> Option<String> {
    let summed = files.open(path).and_then(|mut file| {
        let mut sum = Sha256::new();
        let size = io::copy(&mut file, &mut sum)?;
        Ok((size, hex(&sum.finalize())))
    });
    match summed {
        Ok((size, sha256)) if size == stamp.size && sha256 == stamp.sha256 => None,
        Ok(_) => Some(format!(
            "\"{}\" is not the file that the manifest lists",
            path.display()
        )),
        Err(error) => Some(format!("could not read \"{}\": {error}", path.display())),
    }
}

fn check_status(files: &Files, path: &Place, has_manifest: bool, findings: &mut Findings) {
    let mut text = Vec::new();
    let read = files
        .open(path)
        .and_then(|file| file.take(MAX_STATUS_BYTES).read_to_end(&mut text));
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let text = format!("status file \"{}\" is missing", path.display());
            // A set with a manifest was whole; of others nothing else tells how the dump went.
            match has_manifest {
                true => findings.beside.push(text),
                false => findings.unchecked.push(format!("how the dump went: {text}")),
            }
        }
        Err(error) => findings
            .beside
            .push(format!("could not read status file \"{}\": {error}", path.display())),
        Ok(_) => match status::verdict(&String::from_utf8_lossy(&text)) {
            Verdict::Finished => {}
            Verdict::FinishedWithErrors(errors) | Verdict::Unfinished(errors) => {
                let why = match errors.first() {
                    Some(error) => format!("tells of an error of the dump: {error}"),
                    None => "does not say that the dump came to its end".to_owned(),
                };
                findings
                    .beside
                    .push(format!("status file \"{}\" {why}", path.display()));
            }
        },
    }
}

/// `Ok(None)`: the set has no index for this file. Whether it should have one is seen by the manifest's list.
fn read_index(files: &Files, file: &VerifyFile) -> Result<Option<Index>, String> {
    let path = file.path.with_file_name(&file.index);
    let refuse = |why: &dyn std::fmt::Display| {
        format!(
            "index \"{}\" cannot be used, so single tables are restored by reading all of the data file: {why}",
            path.display()
        )
    };
    let opened = match files.open(&path) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(refuse(&error)),
    };
    let index = Index::read(BufReader::new(opened)).map_err(|error| refuse(&error_chain(&error)))?;
    let name = file.path.file_name();
    if index.header.data_file != name {
        return Err(refuse(&format_args!(
            "it belongs to data file {}",
            index.header.data_file
        )));
    }
    if let Some(sha256) = file.sha256.as_ref().filter(|sha256| **sha256 != index.end.file_sha256) {
        return Err(refuse(&format_args!(
            "it says that the SHA-256 of its data file is {}, the manifest says {sha256}",
            index.end.file_sha256
        )));
    }
    Ok(Some(index))
}

/// What one way through the file has shown.
#[derive(Debug, Default)]
struct Pass {
    blocks: Vec<CheckedBlock>,
    problem: Option<String>,
    /// Something is not where the index says.
    misfits: bool,
}

#[derive(Clone, Copy)]
struct Look<'a> {
    files: &'a Files,
    file: &'a VerifyFile,
    only: Option<&'a HashSet<String>>,
    stop: &'a CancellationToken,
}

impl Look<'_> {
    fn is_wanted(&self, block: &CheckedBlock) -> bool {
        self.only.is_none_or(|only| only.contains(&block.table.to_string()))
    }

    fn about(&self, what: &dyn std::fmt::Display) -> String {
        format!("data file \"{}\": {what}", self.file.path.display())
    }

    fn open(&self) -> io::Result<SummedFile> {
        let stop = self.stop.clone();
        SummedFile::open(self.files, &self.file.path, move || stop.is_cancelled())
    }

    /// `None`: the index is wrong, and the file is not.
    fn by_index(&self, index: &Index) -> Option<Pass> {
        if self.only.is_some() {
            let pass = self.wanted_blocks(index);
            if pass.problem.is_none() && !pass.misfits {
                return Some(pass);
            }
        }
        let (mut pass, sha256) = self.all_blocks(index);
        let is_good = sha256.as_deref() == Some(index.end.file_sha256.as_str());
        match (is_good, pass.problem.is_some() || pass.misfits) {
            (true, false) => {}
            (true, true) => return None,
            (false, _) => {
                let found = sha256.unwrap_or_default();
                let text = match pass.problem.take() {
                    Some(problem) => problem,
                    None => self.about(&format_args!(
                        "its SHA-256 is {found}, the dump noted {}: it was changed after the dump",
                        index.end.file_sha256
                    )),
                };
                pass.problem = Some(text);
            }
        }
        pass.blocks.retain(|block| self.is_wanted(block));
        Some(pass)
    }

    /// Only the bytes of the tables that are asked for, as a restore of them would read them.
    fn wanted_blocks(&self, index: &Index) -> Pass {
        let only = self.only;
        let mut pass = Pass::default();
        let mut read = || -> io::Result<()> {
            let range = |offset, length| {
                let range = self.files.open_range(&self.file.path, offset, length)?;
                Ok::<_, io::Error>(BufReader::with_capacity(READ_BYTES, range))
            };
            let first = index.tables.first().map_or(0, |entry| entry.offset);
            let head = self.read_head(&mut range(0, first)?, index)?;
            let wanted = |entry: &&IndexEntry| only.is_some_and(|only| only.contains(&entry.table.to_string()));
            for entry in index.tables.iter().filter(wanted) {
                self.block(&mut range(entry.offset, entry.length)?, entry, &head, &mut pass);
            }
            Ok(())
        };
        if let Err(error) = read() {
            pass.problem = Some(self.about(&explain(&error)));
        }
        pass
    }

    /// All of the file, and its sum when it could be read to its end.
    fn all_blocks(&self, index: &Index) -> (Pass, Option<String>) {
        let mut pass = Pass::default();
        let opened = match self.open() {
            Ok(opened) => opened,
            Err(error) => {
                pass.problem = Some(self.about(&error));
                return (pass, None);
            }
        };
        let mut source = BufReader::with_capacity(READ_BYTES, opened);
        let head = match self.read_head(&mut source, index) {
            Ok(head) => head,
            Err(error) => {
                pass.problem = Some(self.about(&explain(&error)));
                Bytes::new()
            }
        };
        let mut at = index.tables.first().map_or(0, |entry| entry.offset);
        for entry in &index.tables {
            if entry.offset != at {
                let gap = format_args!("bytes {at} to {} belong to no table of its index", entry.offset);
                pass.problem.get_or_insert_with(|| self.about(&gap));
                let _ = io::copy(&mut (&mut source).take(entry.offset - at), &mut io::sink());
            }
            self.block(&mut source, entry, &head, &mut pass);
            at = entry.offset + entry.length;
        }
        // Without a table the first part is all there is.
        if !index.tables.is_empty()
            && let Err(problem) = self.trailer(&mut source, &head)
        {
            pass.problem.get_or_insert_with(|| self.about(&problem));
        }
        match io::copy(&mut source, &mut io::sink()) {
            Ok(_) => {
                let sum = source.into_inner().finish();
                (pass, Some(sum))
            }
            Err(error) => {
                pass.problem.get_or_insert_with(|| self.about(&error));
                (pass, None)
            }
        }
    }

    /// The settings in front of the first block: names in all blocks are read with them.
    fn read_head(&self, source: &mut impl BufRead, index: &Index) -> io::Result<Bytes> {
        let Some(first) = index.tables.first() else {
            return Ok(Bytes::new());
        };
        let mut part = source.take(first.offset);
        let mut head = Vec::new();
        let read = unpacked(&mut part, self.file.compression, first.offset > 0)
            .and_then(|text| text.take(MAX_HEAD_BYTES).read_to_end(&mut head));
        io::copy(&mut part, &mut io::sink())?;
        read.map(|_| head.into())
    }

    fn trailer(&self, source: &mut impl BufRead, head: &Bytes) -> Result<(), String> {
        let mut check = DataCheck::new();
        let mut extra = None;
        let mut take = |block: CheckedBlock| extra = Some(block.table);
        let push = |check: &mut DataCheck, text, take: &mut dyn FnMut(CheckedBlock)| {
            check.push(text, take).map_err(|error| error.to_string())
        };
        push(&mut check, head.clone(), &mut take)?;
        let text = unpacked(source, self.file.compression, true).map_err(|error| explain(&error))?;
        self.each_chunk(text, CHUNK_BYTES, |text| push(&mut check, text, &mut take))?;
        check.finish(&mut take).map_err(|error| error.to_string())?;
        match extra {
            Some(table) => Err(format!("it holds rows of table {table} that its index does not have")),
            None => Ok(()),
        }
    }

    /// One block by its place. Its bytes are used up, whatever they are.
    fn block(&self, source: &mut impl BufRead, entry: &IndexEntry, head: &Bytes, pass: &mut Pass) {
        let mut part = source.take(entry.length);
        let result = self.block_itself(&mut part, entry, head);
        let skipped = io::copy(&mut part, &mut io::sink());
        let result = skipped.map_err(|error| error.to_string()).and(result);
        pass.misfits |= result.is_err();
        let problem = result.unwrap_or_else(Some);
        pass.blocks.push(CheckedBlock {
            table: entry.table.clone(),
            totals: entry.totals,
            problem: problem.map(|problem| self.about(&format_args!("table {}: {problem}", entry.table))),
        });
    }

    /// What is wrong with its rows; an error when it is not the block that the index was made for.
    fn block_itself(
        &self,
        part: &mut impl BufRead,
        entry: &IndexEntry,
        head: &Bytes,
    ) -> Result<Option<String>, String> {
        let mut check = DataCheck::new();
        let mut blocks: Vec<CheckedBlock> = Vec::new();
        check.push(head.clone(), |_| {}).map_err(|error| error.to_string())?;
        let (mut bytes, mut crc) = (0, flate2::Crc::new());
        let text = unpacked(part, self.file.compression, true).map_err(|error| explain(&error))?;
        // Many tables are small.
        let chunk = usize::try_from(entry.block_bytes)
            .unwrap_or(CHUNK_BYTES)
            .saturating_add(1);
        self.each_chunk(text, chunk.clamp(4096, CHUNK_BYTES), |text| {
            bytes += text.len() as u64;
            crc.update(&text);
            check
                .push(text, |block| blocks.push(block))
                .map_err(|error| error.to_string())
        })?;
        check
            .finish_part(|block| blocks.push(block))
            .map_err(|error| error.to_string())?;
        let is_other = bytes != entry.block_bytes || entry.block_crc.is_some_and(|sum| sum != crc.sum());
        match &blocks[..] {
            [block] if block.table != entry.table => Err(format!(
                "the index says that its rows begin at byte {}, and there are those of table {}",
                entry.offset, block.table
            )),
            [block] if block.totals != entry.totals => Err(format!(
                "it has {} rows, and its index counts {}",
                block.totals.rows, entry.totals.rows
            )),
            [_] if is_other => Err("its bytes are not those that its index was made for".to_owned()),
            [block] => Ok(block.problem.clone()),
            _ => Err(format!(
                "the index says that {} bytes from byte {} on are its rows, and there are {} blocks",
                entry.length,
                entry.offset,
                blocks.len()
            )),
        }
    }

    /// From the beginning to the end, or to the last table that is asked for.
    fn stream(&self, expected: Option<&str>) -> Pass {
        let mut check = DataCheck::new();
        let mut seen = Seen {
            missing: self.only.map_or(0, HashSet::len),
            ..Seen::default()
        };
        let result = self.stream_text(&mut check, &mut seen);
        let result = match result {
            // Whatever ends only with the file counts when the file is whole.
            Ok(Some(sum)) => {
                let mut last = Vec::new();
                let end = check.finish(|block| last.push(block));
                match end {
                    Ok(()) => {
                        last.into_iter().for_each(|block| seen.take(self, block));
                        Ok(Some(sum))
                    }
                    Err(error) => Err(error.to_string()),
                }
            }
            Ok(None) => Ok(None),
            Err(problem) => Err(match check.inside() {
                Some(table) => format!("{problem} (inside the rows of table {table})"),
                None => problem,
            }),
        };
        let problem = match (result, seen.twice) {
            (Err(problem), _) => Some(self.about(&problem)),
            (_, Some(table)) => Some(self.about(&format_args!("table {table} stands in it twice"))),
            (Ok(Some(found)), None) => expected.filter(|expected| **expected != found).map(|expected| {
                self.about(&format_args!(
                    "its SHA-256 is {found}, the manifest of the set says {expected}: it was changed after the dump"
                ))
            }),
            (Ok(None), None) => None,
        };
        Pass {
            blocks: seen.blocks,
            problem,
            misfits: false,
        }
    }

    /// The sum of the file; `None` when reading stopped before its end.
    fn stream_text(&self, check: &mut DataCheck, seen: &mut Seen) -> Result<Option<String>, String> {
        let summed = self.open().map_err(|error| error.to_string())?;
        let mut source = BufReader::with_capacity(READ_BYTES, summed);
        let text = unpacked(&mut source, self.file.compression, true).map_err(|error| explain(&error))?;
        let ended = self.each_chunk(text, CHUNK_BYTES, |text| {
            match check.push(text, |block| seen.take(self, block)) {
                Err(error) => Err(Some(error.to_string())),
                Ok(()) if self.only.is_some() && seen.missing == 0 => Err(None),
                Ok(()) => Ok(()),
            }
        });
        match ended {
            Ok(()) => Ok(Some(source.into_inner().finish())),
            Err(None) => Ok(None),
            Err(Some(problem)) => Err(problem),
        }
    }

    fn each_chunk<E: From<String>>(
        &self,
        mut text: impl Read,
        size: usize,
        mut take: impl FnMut(Bytes) -> Result<(), E>,
    ) -> Result<(), E> {
        loop {
            if self.stop.is_cancelled() {
                return Err("the run was stopped".to_owned().into());
            }
            let mut chunk = vec![0; size];
            let mut filled = 0;
            let mut failed = None;
            while filled < size {
                match text.read(&mut chunk[filled..]) {
                    Ok(0) => break,
                    Ok(bytes) => filled += bytes,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => {
                        failed = Some(explain(&error));
                        break;
                    }
                }
            }
            chunk.truncate(filled);
            // What came before the damage is looked at too: a table may end there.
            if filled > 0 {
                take(chunk.into())?;
            }
            match failed {
                Some(error) => return Err(error.into()),
                None if filled == 0 => return Ok(()),
                None => {}
            }
        }
    }
}

/// The blocks of a stream.
#[derive(Debug, Default)]
struct Seen {
    blocks: Vec<CheckedBlock>,
    known: HashSet<String>,
    twice: Option<QualifiedName>,
    /// Tables that are asked for and did not come yet.
    missing: usize,
}

impl Seen {
    fn take(&mut self, look: &Look<'_>, block: CheckedBlock) {
        if !self.known.insert(block.table.to_string()) {
            self.twice = Some(block.table.clone());
        }
        if look.is_wanted(&block) {
            self.missing = self.missing.saturating_sub(1);
            let about = |problem| look.about(&format_args!("table {}: {problem}", block.table));
            self.blocks.push(CheckedBlock {
                problem: block.problem.as_ref().map(about),
                ..block
            });
        }
    }
}

/// The text of packed bytes. Nothing at all is no gzip member, but the decoder would take it for an empty text.
fn unpacked<'a>(
    mut source: impl BufRead + 'a,
    compression: Compression,
    must_be_some: bool,
) -> io::Result<Box<dyn Read + 'a>> {
    match compression {
        Compression::None => Ok(Box::new(source)),
        Compression::Gzip if must_be_some && source.fill_buf()?.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
        Compression::Gzip => Ok(Box::new(MultiGzDecoder::new(source))),
    }
}
