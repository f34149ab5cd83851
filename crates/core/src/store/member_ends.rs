//! Where the members of a compressed file end when rsync shall find what has not changed.
//!
//! A member ends where the text itself says so: where a sum over its last 64 bytes has [`ZERO_BITS`] zeros at its high end.
//! A row that comes, goes or changes moves the ends around it and no others, so all members but a few are the same bytes as
//! in the dump before. Cut by length, every member behind a row that was put in would be another.

use super::compress::MEMBER_BYTES;

/// Shorter members compress badly.
const LEAST: usize = 32 << 10;

/// With these many, a member has 128 KiB behind [`LEAST`] on the average.
const ZERO_BITS: u32 = 17;

/// One number for each byte, any that look random; they may never change, or the first dump with others is all new.
const NUMBERS: [u64; 256] = numbers();

const fn numbers() -> [u64; 256] {
    let mut numbers = [0; 256];
    let mut state: u64 = 0;
    let mut at = 0;
    while at < 256 {
        // splitmix64
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        numbers[at] = z ^ (z >> 31);
        at += 1;
    }
    numbers
}

/// Finds the ends in a text that comes in pieces.
#[derive(Debug, Clone, Default)]
pub struct MemberEnds {
    sum: u64,
    length: usize,
}

impl MemberEnds {
    /// How many bytes of `text` still belong to the present member, if it ends in there.
    pub fn next(&mut self, text: &[u8]) -> Option<usize> {
        for (at, &byte) in text.iter().enumerate() {
            self.length += 1;
            // What was added 64 bytes ago has been shifted out.
            self.sum = (self.sum << 1).wrapping_add(NUMBERS[usize::from(byte)]);
            let says_so = self.length >= LEAST && self.sum >> (64 - ZERO_BITS) == 0;
            if says_so || self.length == MEMBER_BYTES {
                self.restart();
                return Some(at + 1);
            }
        }
        None
    }

    /// A member ended for another reason.
    pub fn restart(&mut self) {
        *self = MemberEnds::default();
    }
}

/// The text in members.
pub fn members(text: &[u8]) -> Vec<&[u8]> {
    let mut ends = MemberEnds::default();
    let mut members = Vec::new();
    let mut rest = text;
    while let Some(length) = ends.next(rest) {
        let (member, behind) = rest.split_at(length);
        members.push(member);
        rest = behind;
    }
    members.extend((!rest.is_empty()).then_some(rest));
    members
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn rows(count: usize) -> Vec<String> {
        (0..count)
            .map(|n| format!("{n}\trow number {}\t\\N\n", n * 7919 % 10_007))
            .collect()
    }

    #[test]
    fn a_few_changed_rows_change_only_their_members() {
        let before = rows(400_000);
        let mut after = before.clone();
        after[10_000] = "10000\tchanged\tand longer than before\n".to_owned();
        after.remove(200_000);
        after.insert(300_000, "x\ty\tz\n".to_owned());
        let (before, after) = (before.concat(), after.concat());
        let (old, new) = (members(before.as_bytes()), members(after.as_bytes()));
        assert_eq!(old.concat(), before.as_bytes());
        assert_eq!(new.concat(), after.as_bytes());
        let known: HashSet<&[u8]> = old.iter().copied().collect();
        let changed = new.iter().filter(|member| !known.contains(*member)).count();
        assert!(new.len() > 40, "{}", new.len());
        assert!((3..=9).contains(&changed), "{changed} of {}", new.len());
    }

    #[test]
    fn no_member_is_too_long_and_pieces_make_no_difference() {
        let text = rows(300_000).concat();
        let whole = members(text.as_bytes());
        assert!(whole.iter().all(|member| member.len() <= MEMBER_BYTES));
        let mut ends = MemberEnds::default();
        let (mut lengths, mut length) = (Vec::new(), 0);
        for piece in text.as_bytes().chunks(777) {
            let mut rest = piece;
            while let Some(end) = ends.next(rest) {
                lengths.push(length + end);
                length = 0;
                rest = &rest[end..];
            }
            length += rest.len();
        }
        lengths.extend((length > 0).then_some(length));
        assert_eq!(lengths, whole.iter().map(|member| member.len()).collect::<Vec<_>>());
        // A text that never says so.
        assert!(
            members(&vec![0; 3 * MEMBER_BYTES + 1])
                .iter()
                .all(|member| member.len() <= MEMBER_BYTES)
        );
    }
}
