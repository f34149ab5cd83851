//! passfile (being built).
