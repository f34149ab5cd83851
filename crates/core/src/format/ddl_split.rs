//! ddl_split (being built).
