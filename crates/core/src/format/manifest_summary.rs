//! What a list of sets needs of a manifest: everything but its tables, of which only the sums are kept.
//!
//! A manifest of fifty thousand tables is some megabytes of text; a directory may hold a thousand of them.

use std::fmt;

use serde::de::{Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::manifest::{BadManifest, BaseSets, Consistency, FORMAT, InstanceFiles, Manifest};
use super::report::BackupType;
use crate::words::ids::{Prefix, TimestampKey};
use crate::words::relation::Distribution;

/// A manifest without its list of tables.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ManifestSummary {
    format: u32,
    pub program: String,
    pub key: TimestampKey,
    pub prefix: Prefix,
    pub database: String,
    pub backup_type: BackupType,
    #[serde(default)]
    pub base: Option<BaseSets>,
    /// RFC 3339.
    pub started: String,
    /// RFC 3339.
    pub ended: String,
    pub consistency: Consistency,
    pub instances: Vec<InstanceFiles>,
    #[serde(rename = "tables", deserialize_with = "sum_tables")]
    pub sums: TableSums,
}

/// All tables of a set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct TableSums {
    pub tables: u64,
    /// Of tables that have all rows on every segment, counted for each segment.
    rows_of_copies: u64,
    rows_once: u64,
    /// Of the rows as text, on all segments.
    pub bytes: u64,
}

impl TableSums {
    fn add(&mut self, rows: u64, bytes: u64, distribution: Distribution) {
        self.tables += 1;
        self.bytes += bytes;
        match distribution {
            Distribution::Replicated => self.rows_of_copies += rows,
            _ => self.rows_once += rows,
        }
    }
}

impl ManifestSummary {
    pub fn parse(text: &[u8]) -> Result<ManifestSummary, BadManifest> {
        #[derive(Deserialize)]
        struct FormatOnly {
            format: u32,
        }
        // Once, for it is long; only what cannot be understood is asked for its version.
        let parsed = serde_json::from_slice::<ManifestSummary>(text);
        let format = match &parsed {
            Ok(manifest) => manifest.format,
            Err(_) => serde_json::from_slice::<FormatOnly>(text).map_or(FORMAT, |other| other.format),
        };
        if format != FORMAT {
            return Err(BadManifest::OtherFormat(format));
        }
        parsed.map_err(BadManifest::Unreadable)
    }

    pub fn of(manifest: &Manifest) -> ManifestSummary {
        let mut sums = TableSums::default();
        for facts in &manifest.tables {
            sums.add(facts.totals.rows, facts.totals.bytes, facts.distribution);
        }
        ManifestSummary {
            format: manifest.format,
            program: manifest.program.clone(),
            key: manifest.key,
            prefix: manifest.prefix.clone(),
            database: manifest.database.clone(),
            backup_type: manifest.backup_type,
            base: manifest.base,
            started: manifest.started.clone(),
            ended: manifest.ended.clone(),
            consistency: manifest.consistency.clone(),
            instances: manifest.instances.clone(),
            sums,
        }
    }

    pub fn segments(&self) -> u64 {
        self.instances
            .iter()
            .filter(|instance| !instance.content.is_master())
            .count() as u64
    }

    /// Rows as a query on the database would count them.
    pub fn rows(&self) -> u64 {
        self.sums.rows_once + self.sums.rows_of_copies / self.segments().max(1)
    }

    /// Number and bytes of the files on all hosts, the manifest itself left out.
    pub fn files(&self) -> (u64, u64) {
        let files = self.instances.iter().flat_map(|instance| &instance.files);
        files.fold((0, 0), |(count, bytes), file| (count + 1, bytes + file.size))
    }

    /// Seconds from start to end, unless these are no times.
    pub fn seconds(&self) -> Option<i64> {
        let moment = |text: &str| chrono::DateTime::parse_from_rfc3339(text).ok();
        Some((moment(&self.ended)? - moment(&self.started)?).num_seconds())
    }
}

fn sum_tables<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TableSums, D::Error> {
    struct Sums;
    #[derive(Deserialize)]
    struct Facts {
        rows: u64,
        bytes: u64,
        distribution: Distribution,
    }
    impl<'de> Visitor<'de> for Sums {
        type Value = TableSums;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of tables")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut tables: A) -> Result<TableSums, A::Error> {
            let mut sums = TableSums::default();
            while let Some(facts) = tables.next_element::<Facts>()? {
                sums.add(facts.rows, facts.bytes, facts.distribution);
            }
            Ok(sums)
        }
    }
    deserializer.deserialize_seq(Sums)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::manifest::tests::sound;
    use crate::words::job::TableTotals;

    #[test]
    fn the_sums_are_those_of_the_whole_manifest() {
        let mut manifest = sound();
        let mut copies = manifest.tables[0].clone();
        copies.table.name = "copies".into();
        copies.distribution = Distribution::Replicated;
        copies.totals = TableTotals { rows: 8, bytes: 100 };
        manifest.tables.push(copies);
        let summary = ManifestSummary::parse(manifest.write().as_bytes()).unwrap();
        assert_eq!(summary, ManifestSummary::of(&manifest));
        assert_eq!((summary.sums.tables, summary.rows(), summary.sums.bytes), (2, 7, 160));
        assert_eq!((summary.files(), summary.seconds()), ((5, 50), Some(55)));
    }

    #[test]
    fn another_format_and_a_cut_text_are_refused() {
        let text = sound().write();
        assert!(ManifestSummary::parse(&text.as_bytes()[..text.len() - 3]).is_err());
        let newer = text.replacen("\"format\": 1", "\"format\": 2", 1);
        assert!(matches!(
            ManifestSummary::parse(newer.as_bytes()),
            Err(BadManifest::OtherFormat(2))
        ));
    }
}
