//! Reads and unpacks a file of a dump set on its own thread, a few chunks ahead of whoever uses it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use crate::words::layout::Compression;

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
}

/// Starts to read. Dropping the receiver stops it.
///
/// A thread and not a task: opening a named pipe waits for its writer and cannot be interrupted, and the end of the
/// process must not wait for it.
pub(super) fn start(
    path: PathBuf,
    compression: Compression,
    sum: bool,
) -> io::Result<mpsc::Receiver<Result<Chunk, String>>> {
    let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
    std::thread::Builder::new().name("read-data".into()).spawn(move || {
        let last = match read(&path, compression, sum, &sender) {
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
    path: &Path,
    compression: Compression,
    sum: bool,
    sender: &mpsc::Sender<Result<Chunk, String>>,
) -> io::Result<Option<Option<String>>> {
    let summed = SummedFile {
        file: File::open(path)?,
        sum: sum.then(Sha256::new),
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
            if !send_all(&mut MultiGzDecoder::new(&mut file), sender)? {
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

struct SummedFile {
    file: File,
    sum: Option<Sha256>,
}

impl Read for SummedFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.file.read(buffer)?;
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

fn explain(error: &io::Error) -> String {
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
        let mut chunks = start(file.path().to_owned(), compression, true).unwrap();
        let mut text = Vec::new();
        loop {
            match chunks.recv().await.expect("an end comes before the end")? {
                Chunk::Text(more) => text.extend_from_slice(&more),
                Chunk::End { sha256 } => return Ok((text, sha256)),
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
