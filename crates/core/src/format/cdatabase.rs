//! cdatabase (being built).
