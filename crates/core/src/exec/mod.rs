//! Acts on a plan and makes no choice that the plan could have made.

pub mod cut;
pub mod dump_fleet;
pub mod external;
pub mod fanout;
pub mod history;
pub mod host_tasks;
pub mod master_files;
pub mod post_data;
pub mod restore_after;
pub mod restore_database;
pub mod restore_extras;
pub mod restore_fleet;
pub mod restore_records;
pub mod restore_script;
pub mod verify_fleet;
