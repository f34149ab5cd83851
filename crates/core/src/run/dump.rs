//! dump (being built).
