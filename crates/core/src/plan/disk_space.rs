//! Is there room for a dump, or a restore (`plan::restore::room`)? A guess, made before anything is written, that spares a run which cannot end well; what
//! decides is that every write is checked.

use std::collections::BTreeMap;
use std::fmt;

use crate::words::cluster::HostName;

/// What fast compression makes of rows, by the original's measure.
const COMPRESSION: u64 = 12;

/// Bytes of definitions for one table, generously.
pub const BYTES_PER_TABLE: u64 = 4096;

/// What one instance will write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    pub host: HostName,
    /// The same number means the same file system on that host.
    pub device: u64,
    pub free_bytes: u64,
    pub bytes: u64,
}

/// A file system that is too small.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooFull {
    pub host: HostName,
    pub need: u64,
    pub free: u64,
}

impl fmt::Display for TooFull {
    /// In the words of the original.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TooFull { host, need, free } = self;
        let (need, free) = (need / 1024, free / 1024);
        write!(f, "{host} has insufficient disk space. [Need: {need}K, Free {free}K]")
    }
}

/// The end of a run that found so many of them; in the words of the original.
pub fn cannot_continue(file_systems: usize) -> String {
    format!("Cannot continue. {file_systems} segment(s) failed disk space checks")
}

/// The part of a database that is chosen, of what its tables are estimated at: of each, its size and whether it is
/// dumped. `bytes` is the size of the whole.
pub fn share(bytes: u64, tables: impl Iterator<Item = (u64, bool)>) -> u64 {
    let (mut all, mut chosen) = (0u128, 0u128);
    for (size, is_chosen) in tables {
        all += u128::from(size);
        chosen += if is_chosen { u128::from(size) } else { 0 };
    }
    // A database that was never analyzed has no estimates: then it counts as a whole.
    match all {
        0 => bytes,
        all => u64::try_from(u128::from(bytes) * chosen / all).unwrap_or(bytes),
    }
}

/// What so many bytes of tables become in a file.
pub fn in_a_file(bytes: u64, compressed: bool) -> u64 {
    if compressed { bytes / COMPRESSION } else { bytes }
}

/// The file systems on which less than `keep_percent` of what is free now would be left.
pub fn too_full(needs: &[Need], keep_percent: u8) -> Vec<TooFull> {
    let mut sums: BTreeMap<(&HostName, u64), (u64, u64)> = BTreeMap::new();
    for need in needs {
        let sum = sums.entry((&need.host, need.device)).or_insert((0, need.free_bytes));
        sum.0 = sum.0.saturating_add(need.bytes);
        sum.1 = sum.1.min(need.free_bytes);
    }
    let usable = |free: u64| free / 100 * (100 - u64::from(keep_percent.min(100)));
    sums.into_iter()
        .filter(|(_, (need, free))| *need > usable(*free))
        .map(|((host, _), (need, free))| TooFull {
            host: host.clone(),
            need,
            free,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(host: &str, device: u64, free: u64, bytes: u64) -> Need {
        Need {
            host: HostName(host.into()),
            device,
            free_bytes: free,
            bytes,
        }
    }

    #[test]
    fn needs_are_summed_for_each_file_system_of_each_host() {
        // Two segments and the master on one disk of mdw, one on another; the same number on another host is another disk.
        let needs = [
            need("mdw", 1, 1000, 400),
            need("mdw", 1, 1000, 400),
            need("mdw", 2, 1000, 800),
            need("sdw1", 1, 1000, 400),
            need("mdw", 1, 1000, 150),
        ];
        let found = too_full(&needs, 10);
        assert_eq!(
            found,
            [TooFull {
                host: HostName("mdw".into()),
                need: 950,
                free: 1000
            }]
        );
        assert!(too_full(&needs, 5).is_empty());
        assert_eq!(too_full(&needs, 99).len(), 3);
        assert_eq!(too_full(&[need("a", 1, 0, 1)], 1).len(), 1);
    }

    #[test]
    fn only_the_chosen_tables_count() {
        let tables = || [(100, true), (300, false), (0, true)].into_iter();
        assert_eq!(share(4000, tables()), 1000);
        assert_eq!(share(4000, tables().map(|(size, _)| (size, true))), 4000);
        assert_eq!(share(4000, [(0, true), (0, false)].into_iter()), 4000);
        assert_eq!((in_a_file(1200, true), in_a_file(1200, false)), (100, 1200));
    }
}
