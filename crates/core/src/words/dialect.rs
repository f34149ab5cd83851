//! What this server wants: every difference between servers as one value, made from the master's answers.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Which family of products a server belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Product {
    /// Greenplum 4.3 to 7 and its forks.
    Greenplum,
    Cloudberry,
    /// One plain server, or several of them behind a Greenplum-shaped catalog.
    Postgres,
}

/// The version that decides syntax: the PostgreSQL base as `server_version_num` (80323, 90426, 120012, 150018 ...).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PgVersion(pub u32);

/// The hash family that decides which segment a row of a hashed table belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HashFamily {
    /// Greenplum up to 5, and tables of later ones with `cdbhash_*_ops`.
    Legacy,
    /// Greenplum 6 and later.
    Jump,
    /// No hash distribution at all.
    None,
}

/// How instances are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TopologySource {
    /// `gp_segment_configuration` has column `datadir` (Greenplum 6 and later).
    DatadirColumn,
    /// Directories stand in `pg_filespace_entry` (Greenplum 4.3 and 5).
    FilespaceEntry,
    /// There is one server.
    SingleServer,
}

/// Where the partition hierarchy is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartitionCatalog {
    /// `pg_partition`, `pg_partition_rule` (Greenplum up to 6).
    PgPartitionRule,
    /// `pg_inherits` with `relispartition` (PostgreSQL 10, Greenplum 7).
    Declarative,
    None,
}

/// What the distribution catalog looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DistributionCatalog {
    /// `gp_distribution_policy(localoid, attrnums)`.
    Attrnums,
    /// `gp_distribution_policy(localoid, policytype, numsegments, distkey, distclass)`.
    PolicyType,
    None,
}

/// Everything about a server that changes what we say to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialect {
    pub product: Product,
    /// `version()` in full, for reports and manifests.
    pub banner: String,
    pub pg_version: PgVersion,
    /// The start-up setting that opens a session on one instance alone; `None` where any session does.
    pub utility_setting: Option<String>,
    pub topology: TopologySource,
    pub partitions: PartitionCatalog,
    pub distribution: DistributionCatalog,
    /// `pg_class.relstorage` exists (Greenplum up to 6): tells heap, row, column and external tables apart.
    pub has_relstorage: bool,
    /// `pg_appendonly` exists.
    pub has_appendonly: bool,
    /// `pg_stat_last_operation` exists.
    pub has_last_operation: bool,
}

impl Dialect {
    /// Isolation level under which all statements of a session see one snapshot.
    pub fn snapshot_isolation(&self) -> &'static str {
        // Before 9.1 SERIALIZABLE is that level, and Greenplum 5 refuses REPEATABLE READ.
        if self.pg_version.0 < 90100 {
            "SERIALIZABLE"
        } else {
            "REPEATABLE READ"
        }
    }

    /// Sessions can share a snapshot by name (`pg_export_snapshot`).
    pub fn can_export_snapshot(&self) -> bool {
        self.pg_version.0 >= 90200
    }

    /// A snapshot that one session of the master exports shows the rows of all segments as they were then.
    ///
    /// Greenplum exports the distributed snapshot along since 6.21; before that a session that takes the name has the
    /// master's own snapshot and, on the segments, another one.
    pub fn shares_snapshots(&self) -> bool {
        if !self.can_export_snapshot() {
            return false;
        }
        match (self.product, self.topology) {
            (Product::Postgres, topology) => topology == TopologySource::SingleServer,
            // Nobody has tried.
            (Product::Cloudberry, _) => false,
            (Product::Greenplum, _) => self.greenplum_version().is_some_and(|version| version >= (6, 21)),
        }
    }

    /// From `(Greenplum Database 6.24.3 build ...)`. The forks count on from the release that they come from.
    fn greenplum_version(&self) -> Option<(u32, u32)> {
        let (_, rest) = ["(Greenplum Database ", "(Greengage Database ", "(WarehousePG "]
            .into_iter()
            .find_map(|name| self.banner.split_once(name))?;
        let mut numbers = rest
            .split(|c: char| !c.is_ascii_digit())
            .map(|digits| digits.parse().ok());
        Some((numbers.next()??, numbers.next()??))
    }

    /// The server knows `lock_timeout`.
    pub fn has_lock_timeout(&self) -> bool {
        self.pg_version.0 >= 90300
    }

    /// `pg_dump --snapshot` exists (9.5; Greenplum 6 has 9.4).
    pub fn pg_dump_takes_snapshot(&self) -> bool {
        self.pg_version.0 >= 90500
    }

    /// Counters of changes stand where the rows are: from Greenplum 7 on the master keeps none.
    pub fn has_counters_on_segments(&self) -> bool {
        self.has_appendonly && !self.has_relstorage
    }

    /// Highest useful `extra_float_digits`: text that reads back as the same binary value.
    pub fn extra_float_digits(&self) -> u8 {
        if self.pg_version.0 < 90000 { 2 } else { 3 }
    }

    /// Tables can be made with object ids for their rows.
    pub fn rows_can_have_oids(&self) -> bool {
        self.pg_version.0 < 120_000
    }

    /// The hash family that new tables get.
    pub fn hash_family(&self) -> HashFamily {
        match self.distribution {
            DistributionCatalog::None => HashFamily::None,
            DistributionCatalog::Attrnums => HashFamily::Legacy,
            DistributionCatalog::PolicyType => HashFamily::Jump,
        }
    }

    /// For sessions that read a database: what its owner has put into `public` must not stand in for a function or an operator
    /// of ours, which run with our rights (CVE-2018-1058).
    pub const OWN_NAMES_ONLY: &str = "SET search_path = pg_catalog";

    /// Statements that make text output the same on every server and keep time limits of the role out of a dump.
    pub fn dump_session_settings(&self) -> Vec<String> {
        let mut settings = vec![
            "SET DATESTYLE = ISO".to_owned(),
            format!("SET extra_float_digits TO {}", self.extra_float_digits()),
            "SET statement_timeout = 0".to_owned(),
            "SET standard_conforming_strings = on".to_owned(),
        ];
        if self.pg_version.0 >= 80400 {
            settings.push("SET intervalstyle = postgres".to_owned());
        }
        if self.pg_version.0 >= 90000 {
            settings.push("SET bytea_output = hex".to_owned());
        }
        if self.has_lock_timeout() {
            settings.push("SET lock_timeout = 0".to_owned());
        }
        if self.pg_version.0 >= 90500 {
            settings.push("SET row_security = off".to_owned());
        }
        if self.pg_version.0 >= 90600 {
            settings.push("SET idle_in_transaction_session_timeout = 0".to_owned());
        }
        if self.pg_version.0 >= 170_000 {
            settings.push("SET transaction_timeout = 0".to_owned());
        }
        settings
    }
}

impl fmt::Display for PgVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 >= 100_000 {
            write!(f, "{}.{}", self.0 / 10_000, self.0 % 10_000)
        } else {
            write!(f, "{}.{}.{}", self.0 / 10_000, self.0 / 100 % 100, self.0 % 100)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_are_shared_where_the_segments_follow() {
        let dialect = |product, banner: &str, version, topology| Dialect {
            product,
            banner: banner.to_owned(),
            pg_version: PgVersion(version),
            utility_setting: None,
            topology,
            partitions: PartitionCatalog::None,
            distribution: DistributionCatalog::None,
            has_relstorage: false,
            has_appendonly: false,
            has_last_operation: false,
        };
        let greenplum = |banner: &str, version| {
            dialect(Product::Greenplum, banner, version, TopologySource::DatadirColumn).shares_snapshots()
        };
        assert!(greenplum(
            "PostgreSQL 9.4.26 (Greenplum Database 6.24.3 build x) on y",
            90426
        ));
        assert!(greenplum("PostgreSQL 9.4.26 (Greenplum Database 6.21.0) on y", 90426));
        assert!(!greenplum(
            "PostgreSQL 9.4.26 (Greenplum Database 6.20.3 build x) on y",
            90426
        ));
        assert!(!greenplum(
            "PostgreSQL 8.3.23 (Greenplum Database 5.9.0 build x) on y",
            80323
        ));
        assert!(greenplum(
            "PostgreSQL 12.12 (Greenplum Database 7.1.0 build x) on y",
            120012
        ));
        assert!(greenplum(
            "PostgreSQL 9.4.26 (Greengage Database 6.27.0 build x) on y",
            90426
        ));
        assert!(greenplum(
            "PostgreSQL 12.12 (MatrixDB 5.0.0) (Greenplum Database 7.0.0 build dev) on y",
            120_012
        ));
        assert!(!greenplum("PostgreSQL 9.4.26 (Something else)", 90426));
        let plain = |version, topology| dialect(Product::Postgres, "", version, topology).shares_snapshots();
        assert!(plain(150018, TopologySource::SingleServer));
        assert!(!plain(150018, TopologySource::DatadirColumn));
        assert!(!plain(90100, TopologySource::SingleServer));
    }
}
