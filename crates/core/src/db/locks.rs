//! locks (being built).
