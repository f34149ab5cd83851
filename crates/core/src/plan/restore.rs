//! restore (being built).
