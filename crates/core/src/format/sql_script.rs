//! sql_script (being built).
