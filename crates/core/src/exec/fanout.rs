//! fanout (being built).
