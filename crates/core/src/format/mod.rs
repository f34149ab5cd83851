//! Bytes to values and back for every file of a dump set. Pure: no I/O, no clock.

pub mod cdatabase;
pub mod copy_text;
pub mod data_check;
pub mod database_acl;
pub mod ddl_split;
pub mod email_file;
pub mod external_rows;
pub mod external_template;
pub mod global_objects;
pub mod heap_state;
pub mod increments;
pub mod index;
pub mod large_objects;
pub mod manifest;
pub mod manifest_summary;
pub mod plan_file;
pub mod report;
pub mod resume_record;
pub mod run_report;
pub mod segment_data;
pub mod sql_script;
pub mod state;
pub mod statistics;
pub mod status;
pub mod table_list;
pub mod toc;
