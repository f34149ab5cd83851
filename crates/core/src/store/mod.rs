//! Where dump files live.

pub mod local;
