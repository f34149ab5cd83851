//! The workers of a verification: they read, and what they find is added up as it comes.

use std::collections::{BTreeMap, BTreeSet};

use super::fanout::FleetEvent;
use super::restore_fleet::{RestoreFleet, log};
use crate::db::error_chain;
use crate::plan::verify::Tally;
use crate::words::cluster::HostName;
use crate::worker::protocol::{Event, Request};
use crate::worker::verify_segment::{VerifyEvent, VerifyStart};

impl RestoreFleet {
    /// Reads all files; returns when each of them has been read or given up.
    pub async fn verify(&mut self, jobs: BTreeMap<HostName, VerifyStart>, tally: &mut Tally) {
        let mut waiting: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); self.hosts.len()];
        for (at, host) in self.hosts.iter().enumerate() {
            if let Some(start) = jobs.get(host) {
                waiting[at] = start.files.iter().map(|file| file.number).collect();
                self.fleet.send(at, &Request::Verify(start.clone())).await;
            }
        }
        while waiting.iter().any(|files| !files.is_empty()) {
            let FleetEvent { host, event } = self.fleet.next().await;
            match event {
                Ok(Event::Verify(VerifyEvent::Tables { number, tables })) => tally.blocks(number, tables),
                Ok(Event::Verify(VerifyEvent::Finished { number, findings })) => {
                    waiting[host].remove(&number);
                    tracing::info!("{}", tally.describe(number));
                    let on_host = |sentence: String| format!("{}: {sentence}", self.hosts[host]);
                    tally.problems.extend(findings.problem.map(on_host));
                    tally.beside.extend(findings.beside.into_iter().map(on_host));
                    tally.unchecked.extend(findings.unchecked.into_iter().map(on_host));
                }
                Ok(Event::Log { level, text }) => log(level, &self.hosts[host], &text),
                Ok(_) => {}
                Err(error) => {
                    self.lost.insert(host);
                    let message = error_chain(&error);
                    for number in std::mem::take(&mut waiting[host]) {
                        let file = tally.describe(number);
                        tally
                            .problems
                            .push(format!("{file}: could not be read to its end: {message}"));
                    }
                }
            }
        }
    }
}
