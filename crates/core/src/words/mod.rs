//! Pure values: the vocabulary that every other module speaks.
//!
//! A value that is not valid cannot exist: constructors check, and what they checked need not be checked again.

pub mod catalog_facts;
pub mod cluster;
pub mod database;
pub mod definitions;
pub mod dialect;
pub mod environment;
pub mod errors;
pub mod exit;
pub mod ids;
pub mod job;
pub mod layout;
pub mod limits;
pub mod names;
pub mod outcome;
pub mod place;
pub mod present;
pub mod progress;
pub mod refusal;
pub mod relation;
pub mod secret;
pub mod storage;
pub mod units;
