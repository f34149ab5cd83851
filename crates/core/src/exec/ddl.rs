//! ddl (being built).
