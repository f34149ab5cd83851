//! pg_dump (being built).
