//! Unpacks a file of many gzip members on several threads, without an index that says where they begin.
//!
//! ```text
//! reader:     cuts the packed bytes where a header like the first one of the file stands
//! decoders:   member 0, n, 2n ... | member 1, n+1 ... | ...     whole members, each checked by its CRC
//! who calls:  takes the texts in that order
//! ```
//!
//! Our files are made of members of at most 1 MiB of text. Where a file is of another kind (one member, as gzip and the
//! original write it, or headers that differ) nothing can be cut, and it is unpacked as one stream: so is everything behind a
//! piece that is no whole member, be it damaged or only looked like one, so that what is said of damage is the same. Memory:
//! four members for each decoder, about 20 MiB for four decoders.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use flate2::bufread::MultiGzDecoder;
use libdeflater::{Crc, Decompressor};
use memchr::memmem::Finder;

/// Magic, method, flags, time, extra flags, system.
const HEADER_BYTES: usize = 10;

/// CRC-32 and length of the text, behind every member.
const TRAILER_BYTES: usize = 8;

/// No header in so many bytes: members are too large to hold some of them. Ours have 1 MiB of text.
const LONGEST_MEMBER: usize = 5 << 18;

/// A member of more text is unpacked as a stream.
const LONGEST_TEXT: usize = 2 << 20;

/// Members that wait in front of each decoder, and behind it.
const WAITING: usize = 1;

const READ_BYTES: usize = 1 << 18;

/// The packed bytes of a member, or of what was taken for one, and their text if that is so.
struct Piece {
    packed: Vec<u8>,
    text: Option<Vec<u8>>,
}

/// Calls `take` with the texts, in order, until it says false; returns whether it never did.
pub(super) fn unpack(
    source: &mut (impl Read + Send),
    decoders: usize,
    take: &mut dyn FnMut(Vec<u8>) -> bool,
    take_stream: &mut dyn FnMut(&mut dyn Read) -> io::Result<bool>,
) -> io::Result<bool> {
    std::thread::scope(|scope| {
        let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
        for _ in 0..decoders.max(1) {
            let (to_decoder, packed) = sync_channel::<io::Result<Vec<u8>>>(WAITING);
            let (to_taker, pieces) = sync_channel(WAITING);
            std::thread::Builder::new()
                .name("unpack".into())
                .spawn_scoped(scope, move || decode(&packed, &to_taker))?;
            inputs.push(to_decoder);
            outputs.push(pieces);
        }
        std::thread::Builder::new()
            .name("cut-members".into())
            .spawn_scoped(scope, move || cut(source, &inputs))?;
        let mut pieces = outputs.iter().cycle();
        // The first decoder that has nothing more is the one whose turn it would be.
        while let Some(Ok(piece)) = pieces.next().map(Receiver::recv) {
            let Piece { packed, text } = piece?;
            let Some(text) = text else {
                let rest = Packed {
                    current: packed,
                    at: 0,
                    pieces: &mut || pieces.next().and_then(|pieces| pieces.recv().ok()),
                };
                let mut rest = io::BufReader::with_capacity(READ_BYTES, rest);
                return take_stream(&mut MultiGzDecoder::new(&mut rest));
            };
            if !take(text) {
                return Ok(false);
            }
        }
        Ok(true)
    })
}

/// Ends when nobody takes more: a decoder is gone when the taker is.
fn cut(source: &mut impl Read, decoders: &[SyncSender<io::Result<Vec<u8>>>]) {
    let mut turns = decoders.iter().cycle();
    let mut send = |packed| turns.next().is_some_and(|decoder| decoder.send(packed).is_ok());
    let mut waiting: Vec<u8> = Vec::new();
    let mut header: Option<Finder> = None;
    let mut searched = HEADER_BYTES;
    loop {
        let filled = waiting.len();
        waiting.resize(filled + READ_BYTES, 0);
        let read = match source.read(&mut waiting[filled..]) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                waiting.truncate(filled);
                continue;
            }
            Err(error) => {
                // What was read before comes before it.
                waiting.truncate(filled);
                let _ = send(Ok(waiting)) && send(Err(error));
                return;
            }
        };
        waiting.truncate(filled + read);
        if read == 0 {
            let _ = waiting.is_empty() || send(Ok(waiting));
            return;
        }
        if header.is_none() && waiting.len() >= HEADER_BYTES {
            header = Some(Finder::new(&waiting[..HEADER_BYTES]).into_owned());
        }
        let Some(header) = &header else { continue };
        let mut start = 0;
        while let Some(found) = header.find(&waiting[searched..]) {
            let end = searched + found;
            if !send(Ok(waiting[start..end].to_vec())) {
                return;
            }
            start = end;
            searched = (end + HEADER_BYTES).min(waiting.len());
        }
        if waiting.len() - start > LONGEST_MEMBER {
            // Too large to be unpacked at once: the taker goes over to a stream, and takes it from here.
            if !send(Ok(waiting.split_off(start))) {
                return;
            }
            waiting.clear();
            searched = 0;
            continue;
        }
        waiting.drain(..start);
        // A header may begin in what was read and end in what comes.
        searched = (waiting.len() + 1)
            .saturating_sub(HEADER_BYTES)
            .max(HEADER_BYTES.min(waiting.len()));
    }
}

fn decode(packed: &Receiver<io::Result<Vec<u8>>>, pieces: &SyncSender<io::Result<Piece>>) {
    let mut decompressor = Decompressor::new();
    while let Ok(packed) = packed.recv() {
        let piece = packed.map(|packed| Piece {
            text: text_of(&mut decompressor, &packed),
            packed,
        });
        if pieces.send(piece).is_err() {
            return;
        }
    }
}

/// `None`: not one whole member.
fn text_of(decompressor: &mut Decompressor, packed: &[u8]) -> Option<Vec<u8>> {
    let trailer = packed
        .len()
        .checked_sub(TRAILER_BYTES)
        .filter(|at| *at >= HEADER_BYTES)?;
    let number = |at: usize| Some(u32::from_le_bytes(packed.get(at..at + 4)?.try_into().ok()?));
    let (crc, length) = (number(trailer)?, number(trailer + 4)? as usize);
    if length > LONGEST_TEXT {
        return None;
    }
    let mut text = vec![0; length];
    let unpacked = decompressor.gzip_decompress(packed, &mut text).ok()?;
    // It may have been shorter than the piece, with something behind it: then that is lost here.
    let mut sum = Crc::new();
    sum.update(&text);
    (unpacked == length && sum.sum() == crc).then_some(text)
}

/// Packed bytes again, from a piece on.
struct Packed<'a> {
    current: Vec<u8>,
    at: usize,
    pieces: &'a mut dyn FnMut() -> Option<io::Result<Piece>>,
}

impl Read for Packed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.current.len() {
            match (self.pieces)() {
                Some(piece) => (self.current, self.at) = (piece?.packed, 0),
                None => return Ok(0),
            }
        }
        let bytes = (&self.current[self.at..]).read(buffer)?;
        self.at += bytes;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut compressor = libdeflater::Compressor::new(libdeflater::CompressionLvl::fastest());
        let mut packed = vec![0; compressor.gzip_compress_bound(text.len())];
        let bytes = compressor.gzip_compress(text, &mut packed).unwrap();
        packed.truncate(bytes);
        packed
    }

    /// Text that does not shrink much, another for each number.
    fn noise(bytes: usize, number: u64) -> Vec<u8> {
        let mut state = number | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            b' ' + (state % 90) as u8
        };
        (0..bytes).map(|_| next()).collect()
    }

    /// A source that gives a few bytes at a time, and is interrupted by a signal before it ends.
    struct Trickle<'a>(&'a [u8], usize, bool);

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.len() < 20_000 && !std::mem::replace(&mut self.2, true) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let most = self.1.min(buffer.len());
            self.0.read(&mut buffer[..most])
        }
    }

    /// The text, whether it was taken to its end, and how much of it came as a stream.
    fn unpacked(packed: &[u8], step: usize, decoders: usize) -> io::Result<(Vec<u8>, usize)> {
        let (text, streamed) = (std::cell::RefCell::new(Vec::new()), std::cell::Cell::new(0));
        let mut take = |more: Vec<u8>| {
            text.borrow_mut().extend_from_slice(&more);
            true
        };
        let mut take_stream = |source: &mut dyn Read| {
            streamed.set(source.read_to_end(&mut text.borrow_mut())?);
            Ok(true)
        };
        assert!(unpack(
            &mut Trickle(packed, step, false),
            decoders,
            &mut take,
            &mut take_stream
        )?);
        Ok((text.into_inner(), streamed.get()))
    }

    #[test]
    fn members_come_back_in_their_order_however_the_bytes_come() {
        let texts: Vec<Vec<u8>> = (0..40)
            .map(|n| noise(if n % 7 == 0 { 0 } else { n * 3001 }, n as u64 + 5))
            .collect();
        let packed = texts.iter().flat_map(|text| gzip(text)).collect::<Vec<u8>>();
        for (step, decoders) in [(1 << 20, 3), (999, 2), (7, 4), (1 << 20, 1)] {
            let (text, streamed) = unpacked(&packed, step, decoders).unwrap();
            assert!(text == texts.concat() && streamed == 0, "{step} {decoders} {streamed}");
        }
        assert_eq!(unpacked(b"", 10, 2).unwrap().0, b"");
    }

    #[test]
    fn what_cannot_be_cut_is_a_stream() {
        // One member of more than is held, as gzip writes it.
        let large = noise(LONGEST_MEMBER * 2, 3);
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&large).unwrap();
        let one = encoder.finish().unwrap();
        let (text, streamed) = unpacked(&one, 1 << 20, 3).unwrap();
        assert!(text == large && streamed == large.len());
        // Between members of ours, one that holds such a header in its text, which it did not pack.
        let mut stored = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
        let tricky = [&b"x"[..], &gzip(b"")[..HEADER_BYTES], b"y"].concat();
        stored.write_all(&tricky).unwrap();
        let stored = stored.finish().unwrap();
        let packed = [gzip(b"one\n"), gzip(b"two\n"), stored, gzip(b"three\n")].concat();
        let (text, streamed) = unpacked(&packed, 1 << 20, 2).unwrap();
        assert_eq!(text, [b"one\ntwo\n", &tricky[..], b"three\n"].concat());
        assert_eq!(streamed, tricky.len() + 6);
    }

    #[test]
    fn damage_is_said_as_of_a_stream() {
        let mut packed = [gzip(b"one\n"), gzip(&noise(5000, 1)), gzip(b"three\n")].concat();
        let middle = packed.len() / 2;
        packed[middle] ^= 0x10;
        let error = unpacked(&packed, 1 << 20, 2).unwrap_err();
        assert!(
            matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData),
            "{error}"
        );
        packed[middle] ^= 0x10;
        packed.truncate(packed.len() - 3);
        let error = unpacked(&packed, 1 << 20, 2).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn who_has_enough_ends_it() {
        let packed = (0..1000).flat_map(|n| gzip(&noise(3000, n))).collect::<Vec<u8>>();
        let mut left = 5;
        let mut take = |_| {
            left -= 1;
            left > 0
        };
        let ended = unpack(&mut &packed[..], 3, &mut take, &mut |_| Ok(true)).unwrap();
        assert!(!ended && left == 0);
    }
}
