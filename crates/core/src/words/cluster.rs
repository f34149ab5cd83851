//! The cluster: one master and its segments, as the master's catalog tells it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ids::{ContentId, DbId};

/// The name or address of a machine, as the catalog holds it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HostName(pub String);

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an instance does now (not what it prefers to do).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Primary,
    Mirror,
}

/// One server process of the cluster: a row of `gp_segment_configuration`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    pub dbid: DbId,
    pub content: ContentId,
    pub role: Role,
    /// Column `status`: `u` is up.
    pub up: bool,
    /// Column `hostname`: who to log in to, and which instances share a machine.
    pub host: HostName,
    /// Column `address`: where to connect.
    pub address: HostName,
    pub port: u16,
    pub data_dir: PathBuf,
}

impl fmt::Display for Instance {
    /// `segment 3 (dbid 5, sdw2:40001)`, `master (dbid 1, mdw:5432)`: how messages name an instance.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.content.is_master() {
            write!(f, "master (dbid {}, {}:{})", self.dbid, self.host, self.port)
        } else {
            write!(
                f,
                "segment {} (dbid {}, {}:{})",
                self.content, self.dbid, self.host, self.port
            )
        }
    }
}

/// Whether mirrors exist; what the restore's parameter table shows as `Array fault tolerance`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FaultTolerance {
    Mirrors,
    None,
}

/// Why a set of instances is not a cluster that can be worked on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCluster {
    #[error("the catalog names no master (content -1, role primary)")]
    NoMaster,
    #[error("the catalog names {0} acting masters, expected one")]
    SeveralMasters(usize),
    #[error("the catalog names {1} acting primaries for segment {0}, expected one")]
    SeveralPrimaries(ContentId, usize),
    #[error("segment {0} has no acting primary")]
    NoPrimary(ContentId),
    #[error("the catalog names no segment")]
    NoSegments,
}

/// A validated cluster: exactly one acting master, exactly one acting primary per segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    master: Instance,
    primaries: Vec<Instance>,
    has_mirrors: bool,
    shape: Shape,
}

/// The dbid of the first stream.
const FIRST_STREAM: i32 = 100_002;

/// What the primaries of a cluster are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Shape {
    /// Servers of their own.
    Segments,
    /// One plain PostgreSQL server plays master and segment in one.
    SingleServer,
    /// Connections to the master: nothing else of the cluster is known, and nothing else is asked.
    Streams,
}

impl Cluster {
    /// Checks and sorts the rows of the catalog. Mirrors are only noted.
    pub fn new(instances: Vec<Instance>) -> Result<Self, BadCluster> {
        let has_mirrors = instances
            .iter()
            .any(|i| i.role == Role::Mirror && !i.content.is_master());
        let contents: std::collections::BTreeSet<ContentId> =
            instances.iter().map(|i| i.content).filter(|c| !c.is_master()).collect();
        let (mut masters, mut primaries): (Vec<_>, Vec<_>) = instances
            .into_iter()
            .filter(|i| i.role == Role::Primary)
            .partition(|i| i.content.is_master());
        if masters.len() > 1 {
            return Err(BadCluster::SeveralMasters(masters.len()));
        }
        let master = masters.pop().ok_or(BadCluster::NoMaster)?;
        primaries.sort_by_key(|i| (i.content, i.dbid));
        if contents.is_empty() {
            return Err(BadCluster::NoSegments);
        }
        for content in contents {
            match primaries.iter().filter(|i| i.content == content).count() {
                1 => {}
                0 => return Err(BadCluster::NoPrimary(content)),
                n => return Err(BadCluster::SeveralPrimaries(content, n)),
            }
        }
        Ok(Cluster {
            master,
            primaries,
            has_mirrors,
            shape: Shape::Segments,
        })
    }

    /// One plain PostgreSQL server: master (content -1, dbid 1) and only segment (content 0, dbid 2) in one.
    pub fn single(server: Instance) -> Self {
        let master = Instance {
            dbid: DbId(1),
            content: ContentId::MASTER,
            role: Role::Primary,
            ..server
        };
        let segment = Instance {
            dbid: DbId(2),
            content: ContentId(0),
            ..master.clone()
        };
        Cluster {
            master,
            primaries: vec![segment],
            has_mirrors: false,
            shape: Shape::SingleServer,
        }
    }

    /// One address, whatever is behind it: each "segment" (contents from 0 on) is a connection to it and a file on this
    /// host. Their dbids are those of no real segment: the originals look for files by them, and must not find these. `server.host` is this host, `server.address` the server's, `server.data_dir` where the files go.
    pub fn streams(server: Instance, connections: usize) -> Self {
        let part = |number: usize| {
            let content = i32::try_from(number.min(100_000)).unwrap_or(1) - 1;
            Instance {
                dbid: DbId(if content < 0 { 1 } else { content + FIRST_STREAM }),
                content: ContentId(content),
                role: Role::Primary,
                up: true,
                ..server.clone()
            }
        };
        Cluster {
            master: part(0),
            primaries: (1..=connections.max(1)).map(part).collect(),
            has_mirrors: false,
            shape: Shape::Streams,
        }
    }

    pub fn master(&self) -> &Instance {
        &self.master
    }

    /// Acting primaries, by content.
    pub fn primaries(&self) -> &[Instance] {
        &self.primaries
    }

    /// Master first, then the primaries by content.
    pub fn instances(&self) -> impl Iterator<Item = &Instance> {
        std::iter::once(&self.master).chain(self.primaries.iter())
    }

    pub fn primary(&self, content: ContentId) -> Option<&Instance> {
        self.primaries.iter().find(|i| i.content == content)
    }

    /// The primaries of each host; the master is not among them.
    pub fn hosts(&self) -> BTreeMap<HostName, Vec<&Instance>> {
        let mut hosts: BTreeMap<HostName, Vec<&Instance>> = BTreeMap::new();
        for primary in &self.primaries {
            hosts.entry(primary.host.clone()).or_default().push(primary);
        }
        hosts
    }

    pub fn fault_tolerance(&self) -> FaultTolerance {
        if self.has_mirrors {
            FaultTolerance::Mirrors
        } else {
            FaultTolerance::None
        }
    }

    /// Sentences about segments whose acting primary is another one in `later`.
    pub fn changed_roles(&self, later: &Cluster) -> Vec<String> {
        let mut changes = Vec::new();
        for before in &self.primaries {
            match later.primary(before.content) {
                Some(now) if now.dbid == before.dbid && now.host == before.host && now.port == before.port => {}
                Some(now) => changes.push(format!("{before} was the acting primary, now it is {now}")),
                None => changes.push(format!("{before} is no longer in the cluster's configuration")),
            }
        }
        changes
    }

    pub fn is_single_server(&self) -> bool {
        self.shape == Shape::SingleServer
    }

    /// Whether this is the number of a connection and not that of a server.
    pub fn is_stream(dbid: DbId) -> bool {
        dbid.0 >= FIRST_STREAM
    }

    /// All files lie where those of the master lie.
    pub fn is_one_place(&self) -> bool {
        self.shape != Shape::Segments
    }

    /// The "segments" are connections to the master ([`Cluster::streams`]).
    pub fn is_streams(&self) -> bool {
        self.shape == Shape::Streams
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(dbid: i32, content: i32, role: Role, host: &str) -> Instance {
        Instance {
            dbid: DbId(dbid),
            content: ContentId(content),
            role,
            up: true,
            host: HostName(host.into()),
            address: HostName(host.into()),
            port: 5432,
            data_dir: PathBuf::from(format!("/data/{dbid}")),
        }
    }

    #[test]
    fn an_acting_primary_is_a_primary_whatever_its_dbid() {
        let cluster = Cluster::new(vec![
            instance(1, -1, Role::Primary, "mdw"),
            instance(5, 1, Role::Primary, "sdw2"),
            instance(2, 0, Role::Primary, "sdw1"),
            instance(3, 1, Role::Mirror, "sdw1"),
        ])
        .unwrap();
        assert_eq!(cluster.primaries().iter().map(|i| i.dbid.0).collect::<Vec<_>>(), [2, 5]);
        assert_eq!(cluster.fault_tolerance(), FaultTolerance::Mirrors);
        assert_eq!(cluster.hosts().len(), 2);
    }

    #[test]
    fn streams_are_segments_at_the_address_of_the_master() {
        let server = Instance {
            address: HostName("db.example".into()),
            ..instance(1, -1, Role::Primary, "here")
        };
        let cluster = Cluster::streams(server, 2);
        assert!(cluster.is_streams() && !cluster.is_single_server());
        let ids: Vec<(i32, i32)> = cluster.instances().map(|i| (i.content.0, i.dbid.0)).collect();
        assert_eq!(ids, [(-1, 1), (0, 100_002), (1, 100_003)]);
        assert_eq!(cluster.hosts().len(), 1);
        assert!(cluster.instances().all(|i| i.address.0 == "db.example"));
    }

    #[test]
    fn a_segment_that_failed_over_is_named() {
        let cluster = |first: Role, second: Role| {
            Cluster::new(vec![
                instance(1, -1, Role::Primary, "mdw"),
                instance(2, 0, first, "sdw1"),
                instance(3, 0, second, "sdw2"),
            ])
            .unwrap()
        };
        let before = cluster(Role::Primary, Role::Mirror);
        let after = cluster(Role::Mirror, Role::Primary);
        assert_eq!(before.changed_roles(&before), Vec::<String>::new());
        assert_eq!(
            before.changed_roles(&after),
            ["segment 0 (dbid 2, sdw1:5432) was the acting primary, now it is segment 0 (dbid 3, sdw2:5432)"]
        );
    }

    #[test]
    fn a_segment_without_acting_primary_is_refused() {
        let rows = vec![instance(1, -1, Role::Primary, "m"), instance(2, 0, Role::Mirror, "s")];
        assert_eq!(Cluster::new(rows).unwrap_err(), BadCluster::NoPrimary(ContentId(0)));
        assert_eq!(
            Cluster::new(vec![instance(2, 0, Role::Primary, "s")]).unwrap_err(),
            BadCluster::NoMaster
        );
        assert_eq!(
            Cluster::new(vec![instance(1, -1, Role::Primary, "m")]).unwrap_err(),
            BadCluster::NoSegments
        );
    }
}
