//! Gzip members: the unit of a compressed data file.
//!
//! RFC 1952 lets a file be a concatenation of members. Each table starts one, none holds more than [`MEMBER_BYTES`] of
//! text; so members can be made in parallel, and found and read without what stands before them.

use std::cell::RefCell;
use std::sync::Arc;

use libdeflater::{CompressionLvl, Compressor};
use tokio::sync::{Semaphore, oneshot};

/// Most text in one member.
pub const MEMBER_BYTES: usize = 1 << 20;

/// What `gzip -1` is to gzip: the server's COPY should stay the slowest part of a dump.
const LEVEL: i32 = 1;

/// A finished member, or the text itself where nothing is compressed.
pub type Member = Vec<u8>;

/// Compresses members on the cores there are; shared by all segments of a worker.
#[derive(Debug, Clone)]
pub struct CompressPool {
    cores: Arc<Semaphore>,
}

impl CompressPool {
    /// A pool that keeps at most `cores` members in work at a time.
    pub fn new(cores: usize) -> Self {
        CompressPool {
            cores: Arc::new(Semaphore::new(cores.max(1))),
        }
    }

    /// Waits until a core is free, then compresses beside the caller. The receiver gets the member; it fails only when
    /// the process is coming down.
    pub async fn start(&self, text: Vec<u8>) -> oneshot::Receiver<Member> {
        let (sender, receiver) = oneshot::channel();
        let permit = Arc::clone(&self.cores)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        tokio::task::spawn_blocking(move || {
            let _ = sender.send(gzip_member(&text));
            drop(permit);
        });
        receiver
    }
}

thread_local! {
    static COMPRESSOR: RefCell<Compressor> =
        RefCell::new(Compressor::new(CompressionLvl::new(LEVEL).expect("level 1 exists")));
}

/// One gzip member that holds `text`.
pub fn gzip_member(text: &[u8]) -> Member {
    COMPRESSOR.with_borrow_mut(|compressor| {
        let mut member = vec![0; compressor.gzip_compress_bound(text.len())];
        let size = compressor
            .gzip_compress(text, &mut member)
            .expect("the bound is enough");
        member.truncate(size);
        // Members wait in queues: give back what the bound reserved.
        member.shrink_to_fit();
        member
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn members_one_after_the_other_read_as_one_text() {
        let mut file = gzip_member(b"one\n");
        file.extend(gzip_member(b""));
        file.extend(gzip_member(b"two\n"));
        let mut text = String::new();
        flate2::read::MultiGzDecoder::new(&file[..])
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "one\ntwo\n");
    }
}
