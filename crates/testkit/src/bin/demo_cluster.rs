//! Starts a test cluster with the warehouse in it, says how to reach it, and runs until its stdin closes.
//!
//! `demo-cluster [segments] [database]`; output is lines for a shell's `eval`.

use std::io::{Read, Write};

use gpdump_testkit::{Cluster, ClusterSpec};

fn main() -> std::io::Result<()> {
    let mut args = std::env::args().skip(1);
    let segments = args.next().map_or(3, |n| n.parse().expect("the number of segments"));
    let cluster = Cluster::start(ClusterSpec::segments(segments));
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
