//! Reads and unpacks a file of a dump set on its own thread, a few chunks ahead of whoever uses it; a file of many gzip members
//! on several threads (`members`).

use std::io::{self, BufRead, BufReader, Read};

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::members;
use crate::store::files::Files;
use crate::store::pipe::{self, PipeReader};
use crate::words::layout::Compression;
use crate::words::place::Place;

/// Bytes of text in one chunk.
const CHUNK_BYTES: usize = 1 << 20;

/// Bytes read from the disk at a time.
const READ_BYTES: usize = 1 << 20;

/// Chunks that may wait to be used.
const CHUNKS_AHEAD: usize = 6;

/// What comes out of a file.
#[derive(Debug)]
pub(super) enum Chunk {
    /// The next bytes, unpacked.
    Text(Bytes),
    /// The file was read to its end; its sum, when it was asked for.
    End { sha256: Option<String> },
    /// The ranges that were asked for have been read.
    EndOfRanges,
}

/// Bytes of a file as it lies on disk that can be unpacked alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub offset: u64,
    pub length: u64,
    /// How many bytes they are when unpacked, and their CRC-32.
    pub check: Option<(u64, Option<u32>)>,
}

/// Starts to read some ranges, one behind the other.
pub(super) fn start_ranges(
    files: Files,
    path: Place,
    compression: Compression,
    ranges: Vec<Range>,
) -> io::Result<mpsc::Receiver<Result<Chunk, String>>> {
    let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
    std::thread::Builder::new().name("read-tables".into()).spawn(move || {
        let last = match read_ranges(&files, &path, compression, &ranges, &sender) {
            Ok(true) => Ok(Chunk::EndOfRanges),
            Ok(false) => return,
            Err(error) => Err(explain(&error)),
        };
        let _ = sender.blocking_send(last);
    })?;
    Ok(receiver)
}

/// False when the receiver is gone.
fn read_ranges(
    files: &Files,
    path: &Place,
    compression: Compression,
    ranges: &[Range],
    sender: &mpsc::Sender<Result<Chunk, String>>,
) -> io::Result<bool> {
    for range in ranges.iter().filter(|range| range.length > 0) {
        let part = BufReader::with_capacity(READ_BYTES, files.open_range(path, range.offset, range.length)?);
        let mut source: Box<dyn Read> = match compression {
            Compression::None => Box::new(part),
            Compression::Gzip => Box::new(MultiGzDecoder::new(part)),
        };
        let mut counted = Counted {
            source: &mut source,
            bytes: 0,
            crc: flate2::Crc::new(),
        };
        if !send_all(&mut counted, sender)? {
            return Ok(false);
        }
        if let Some((bytes, crc)) = range.check
            && (counted.bytes != bytes || crc.is_some_and(|crc| crc != counted.crc.sum()))
        {
            return Err(io::Error::other(format!(
                "the {} bytes at byte {} are not those that the index of the file was made for: the file was changed after \
                 the dump",
                range.length, range.offset
            )));
        }
    }
    Ok(true)
}

struct Counted<'a> {
    source: &'a mut dyn Read,
    bytes: u64,
    crc: flate2::Crc,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.source.read(buffer)?;
        self.bytes += bytes as u64;
        self.crc.update(&buffer[..bytes]);
        Ok(bytes)
    }
}

/// Starts to read. Dropping the receiver stops it. `decoders`: threads that may unpack members at the same time.
///
/// A thread and not a task: reading a named pipe waits for its writer.
pub(super) fn start(
    files: Files,
    path: Place,
    compression: Compression,
    sum: bool,
    decoders: usize,
) -> io::Result<mpsc::Receiver<Result<Chunk, String>>> {
    let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
    std::thread::Builder::new().name("read-data".into()).spawn(move || {
        let last = match read(&files, &path, compression, sum, decoders, &sender) {
            Ok(Some(sha256)) => Ok(Chunk::End { sha256 }),
            // Nobody wants the rest.
            Ok(None) => return,
            Err(error) => Err(explain(&error)),
        };
        let _ = sender.blocking_send(last);
    })?;
    Ok(receiver)
}

/// `None` when the receiver is gone.
fn read(
    files: &Files,
    path: &Place,
    compression: Compression,
    sum: bool,
    decoders: usize,
    sender: &mpsc::Sender<Result<Chunk, String>>,
) -> io::Result<Option<Option<String>>> {
    let receiver = sender.clone();
    let summed = SummedFile::open(files, path, move || receiver.is_closed())?;
    let summed = SummedFile {
        sum: summed.sum.filter(|_| sum),
        ..summed
    };
    let mut file = BufReader::with_capacity(READ_BYTES, summed);
    match compression {
        Compression::None => {
            if !send_all(&mut file, sender)? {
                return Ok(None);
            }
        }
        Compression::Gzip => {
            // An empty file is no gzip file, but the decoder would take it for an empty text.
            if file.fill_buf()?.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let is_taken = match decoders {
                0 | 1 => send_all(&mut MultiGzDecoder::new(&mut file), sender)?,
                _ => {
                    let mut take = |text: Vec<u8>| sender.blocking_send(Ok(Chunk::Text(text.into()))).is_ok();
                    let mut take_stream = |mut source: &mut dyn Read| send_all(&mut source, sender);
                    members::unpack(&mut file, decoders, &mut take, &mut take_stream)?
                }
            };
            if !is_taken {
                return Ok(None);
            }
        }
    }
    Ok(Some(file.into_inner().sum.map(|sum| hex(&sum.finalize()))))
}

fn send_all(source: &mut impl Read, sender: &mpsc::Sender<Result<Chunk, String>>) -> io::Result<bool> {
    loop {
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut filled = 0;
        while filled < CHUNK_BYTES {
            match source.read(&mut chunk[filled..]) {
                Ok(0) => break,
                Ok(bytes) => filled += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if filled == 0 {
            return Ok(true);
        }
        chunk.truncate(filled);
        if sender.blocking_send(Ok(Chunk::Text(chunk.into()))).is_err() {
            return Ok(false);
        }
    }
}

/// A file that is summed while it is read.
pub(super) struct SummedFile {
    source: Box<dyn Read + Send>,
    sum: Option<Sha256>,
}

impl SummedFile {
    /// Or a named pipe, whose writer is waited for until `give_up` says otherwise.
    pub(super) fn open(files: &Files, place: &Place, give_up: impl Fn() -> bool + Send + 'static) -> io::Result<Self> {
        let source: Box<dyn Read + Send> = match place.local() {
            Some(path) if files.is_pipe(place) => Box::new(PipeReader::open(path, pipe::PATIENCE, give_up)?),
            _ => files.open(place)?,
        };
        Ok(SummedFile {
            source,
            sum: Some(Sha256::new()),
        })
    }

    /// Of what was read, in lower-case hex.
    pub(super) fn finish(self) -> String {
        self.sum.map(|sum| hex(&sum.finalize())).unwrap_or_default()
    }
}

impl Read for SummedFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.source.read(buffer)?;
        if let Some(sum) = &mut self.sum {
            sum.update(&buffer[..bytes]);
        }
        Ok(bytes)
    }
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What went wrong with packed bytes, for a sentence about their file.
pub(super) fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "it ends in the middle of its compressed data: it was cut off".to_owned(),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            format!("its compressed data are damaged ({error})")
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    async fn read_back(bytes: &[u8], compression: Compression) -> Result<(Vec<u8>, Option<String>), String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let mut texts = Vec::new();
        for decoders in [1, 3] {
            texts.push(read_with(&file, compression, decoders).await);
        }
        assert_eq!(texts[0], texts[1]);
        texts.remove(0)
    }

    async fn read_with(
        file: &tempfile::NamedTempFile,
        compression: Compression,
        decoders: usize,
    ) -> Result<(Vec<u8>, Option<String>), String> {
        let mut chunks = start(Files::default(), file.path().into(), compression, true, decoders).unwrap();
        let mut text = Vec::new();
        loop {
            match chunks.recv().await.expect("an end comes before the end")? {
                Chunk::Text(more) => text.extend_from_slice(&more),
                Chunk::End { sha256 } => return Ok((text, sha256)),
                Chunk::EndOfRanges => return Ok((text, None)),
            }
        }
    }

    #[tokio::test]
    async fn all_members_are_read_and_the_sum_is_that_of_the_packed_bytes() {
        let packed = [gzip(b"one\n"), gzip(b""), gzip(&vec![b'x'; 3 << 20])].concat();
        let (text, sum) = read_back(&packed, Compression::Gzip).await.unwrap();
        assert_eq!(text.len(), 4 + (3 << 20));
        assert_eq!(sum.unwrap(), hex(&Sha256::digest(&packed)));
        assert_eq!(read_back(b"plain", Compression::None).await.unwrap().0, b"plain");
    }

    #[tokio::test]
    async fn ranges_are_read_alone_and_held_against_their_sums() {
        let members = [gzip(b"one\n"), gzip(b"two\n"), gzip(b"2b\n"), gzip(b"three\n")];
        let packed = members.concat();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&packed).unwrap();
        let offset = members[0].len() as u64;
        let length = (members[1].len() + members[2].len()) as u64;
        let mut crc = flate2::Crc::new();
        crc.update(b"two\n2b\n");
        for (check, good) in [
            (None, true),
            (Some((7, Some(crc.sum()))), true),
            (Some((7, None)), true),
            (Some((8, None)), false),
            (Some((7, Some(1))), false),
        ] {
            let range = Range { offset, length, check };
            let mut chunks =
                start_ranges(Files::default(), file.path().into(), Compression::Gzip, vec![range]).unwrap();
            let Some(Ok(Chunk::Text(text))) = chunks.recv().await else {
                panic!("no text")
            };
            assert_eq!(&text[..], b"two\n2b\n");
            match chunks.recv().await.unwrap() {
                Ok(Chunk::EndOfRanges) => assert!(good, "{check:?}"),
                Err(error) => assert!(!good && error.contains("changed after the dump"), "{error}"),
                Ok(other) => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn a_cut_file_is_an_error_and_so_is_an_empty_one() {
        let packed = gzip(b"some text that is longer than nothing");
        for cut in [0, 1, 9, packed.len() / 2, packed.len() - 1] {
            let error = read_back(&packed[..cut], Compression::Gzip).await.unwrap_err();
            assert!(error.contains("cut off"), "{cut}: {error}");
        }
        let error = read_back(b"this is not gzip at all, whatever its name says", Compression::Gzip).await;
        assert!(error.unwrap_err().contains("damaged"));
    }
}
