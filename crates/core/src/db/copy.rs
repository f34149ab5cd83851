//! copy (being built).
