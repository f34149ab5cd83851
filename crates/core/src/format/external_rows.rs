//! The part of a manifest that tells of rows in a storage, written and read by external tables.
//!
//! ```text
//! "external": {
//!   "template": {"protocol": "cos", "location": "cos://{bucket}/{path} secretKey={COS_SECRET_KEY} ...", ...},
//!   "bucket": "nightly-1250000000.cos.ap-guangzhou.myqcloud.com",
//!   "compress": "gzip", "encoding": "UTF8",
//!   "tables": [{"schema": "public", "name": "t", "path": "backup/20240102/shop/public.t/20240102030405/",
//!               "columns": ["a", "b"], "rows": 3, "milliseconds": 120}],
//!   "missing": [{"schema": "hr", "name": "pay", "why": "permission denied for relation pay"}]
//! }
//! ```

use serde::{Deserialize, Serialize};

use super::external_template::Template;
use crate::words::layout::Compression;
use crate::words::names::QualifiedName;

/// What is needed to find the rows again, but for the secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternalRows {
    pub template: Template,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
    pub compress: Compression,
    /// Of the rows, by the server's name.
    pub encoding: String,
    pub tables: Vec<ExternalTable>,
    /// Tables whose rows are not in the set, though they were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<MissingTable>,
}

/// The rows of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternalTable {
    #[serde(flatten)]
    pub table: QualifiedName,
    /// Below the bucket.
    pub path: String,
    /// In the order in which they stand in a row.
    pub columns: Vec<String>,
    /// As the server counted them when it wrote them.
    pub rows: u64,
    pub milliseconds: u64,
}

/// A table that could not be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingTable {
    #[serde(flatten)]
    pub table: QualifiedName,
    /// A sentence.
    pub why: String,
}
