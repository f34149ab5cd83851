//! Which connection copies which table, and how many connections there are.

use std::cmp::Reverse;
use std::collections::HashMap;

/// Connections where the server shares snapshots and nobody says how many. The server does the work; more of them are for
/// people who know it.
const USUAL: usize = 4;

/// How many connections a dump gets.
pub fn connections(shares_snapshots: bool, asked: Option<usize>) -> usize {
    match asked {
        Some(connections) => connections.max(1),
        None if shares_snapshots => USUAL,
        // One transaction is one cut.
        None => 1,
    }
}

/// The largest first, each to the stream that has least: the streams end together but for the last tables. `sizes` by
/// place in the list of tables; gives back places with the number of a stream.
pub fn spread(sizes: HashMap<usize, u64>, streams: usize) -> Vec<(usize, usize)> {
    /// What a table costs without a byte in it.
    const EACH: u64 = 8192;
    let mut tables: Vec<(usize, u64)> = sizes.into_iter().collect();
    tables.sort_by_key(|(at, bytes)| (Reverse(*bytes), *at));
    let mut loads = vec![0u64; streams.max(1)];
    let of_least = |loads: &[u64]| (0..loads.len()).min_by_key(|stream| loads[*stream]).unwrap_or(0);
    let mut spread = Vec::with_capacity(tables.len());
    for (at, bytes) in tables {
        let stream = of_least(&loads);
        loads[stream] = loads[stream].saturating_add(bytes).saturating_add(EACH);
        spread.push((at, stream));
    }
    spread
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_table_has_a_stream_for_itself_while_the_others_are_copied() {
        let sizes: HashMap<usize, u64> = [10, 1000, 400, 300, 300, 0].into_iter().enumerate().collect();
        let mut of_stream = vec![Vec::new(); 2];
        for (at, stream) in spread(sizes.iter().map(|(at, kb)| (*at, kb << 20)).collect(), 2) {
            of_stream[stream].push(at);
        }
        assert_eq!(of_stream, [vec![1, 0], vec![2, 3, 4, 5]]);
    }

    #[test]
    fn empty_tables_are_shared_out_too() {
        let spread = spread((0..100).map(|at| (at, 0)).collect(), 4);
        for stream in 0..4 {
            assert_eq!(spread.iter().filter(|(_, of)| *of == stream).count(), 25);
        }
    }
}
