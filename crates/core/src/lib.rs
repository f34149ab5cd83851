//! Everything that `gpcrondump` and `gpdbrestore` do, as a library.
//!
//! Layers, lowest first; a layer may use those above it in this list and never those below (pinned by
//! `tests/architecture.rs`):
//!
//! 1. [`words`] - values: ids, names, clusters, relations, file names. No I/O.
//! 2. [`format`] - bytes to values and back for every file of a dump set. No I/O.
//! 3. [`plan`] - decisions: what will be dumped, restored, deleted. Pure.
//! 4. seams - [`db`], [`launch`], [`store`], [`tools`], [`gplog`]: the only effects there are.
//! 5. [`worker`] - our process on a segment host; [`exec`] and [`gather`] - effects that serve a run.
//! 6. [`run`] - the tables of contents: dump a database, restore a set.
//!
//! Beside them [`cli`]: the command line edge that the two programs share.

pub mod cli;
pub mod db;
pub mod exec;
pub mod format;
pub mod gather;
pub mod gplog;
pub mod launch;
pub mod plan;
pub mod run;
pub mod store;
pub mod tools;
pub mod words;
pub mod worker;
