//! Starts the object storage of the tests, says how to reach it, and runs until its stdin closes.

use std::io::{Read, Write};

use gpdump_testkit::object_server::ObjectServer;

fn main() -> std::io::Result<()> {
    let server = ObjectServer::start();
    let mut out = std::io::stdout();
    for (name, value) in ObjectServer::environment() {
        writeln!(out, "export {name}='{value}'")?;
    }
    writeln!(out, "export STORAGE_ENDPOINT='{}'", server.endpoint())?;
    writeln!(out, "export STORAGE_URL='{}'", ObjectServer::url("cluster"))?;
    writeln!(out, "# ready")?;
    out.flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    let log = server.take_log();
    let sent: u64 = log.iter().map(|line| line.sent).sum();
    let received: u64 = log.iter().map(|line| line.received).sum();
    writeln!(
        out,
        "# {} requests, {received} bytes received, {sent} bytes sent",
        log.len()
    )?;
    Ok(())
}
