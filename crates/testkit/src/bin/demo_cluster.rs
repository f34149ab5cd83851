//! Starts a test cluster with the warehouse in it, says how to reach it, and runs until its stdin closes.
//!
//! `demo-cluster [segments] [database]`; no segments means one plain server. Output is lines for a shell's `eval`.

use std::io::{Read, Write};

use gpdump_testkit::{Cluster, ClusterSpec, Plain};

fn main() -> std::io::Result<()> {
    let mut args = std::env::args().skip(1);
    let segments = args.next().map_or(3, |n| n.parse().expect("the number of segments"));
    let cluster = match segments {
        0 => Plain::start(),
        segments => Cluster::start(ClusterSpec::segments(segments)),
    };
    if let Some(database) = args.next() {
        cluster.load_warehouse(&database);
    }
    let mut out = std::io::stdout();
    for (name, value) in cluster.env() {
        writeln!(out, "export {name}='{}'", value.display())?;
    }
    writeln!(out, "# ready")?;
    out.flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
