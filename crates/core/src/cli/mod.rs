//! The command line edge that both programs share: options, help, environment, prompt, the lock against a second run,
//! and how an error is told.
//!
//! Unlike the rest of the library it may look at the process around it (arguments, variables, terminal); only the two
//! programs use it. Which options there are is theirs to say.

pub mod checks;
pub mod completions;
pub mod environment;
pub mod external;
pub mod failure;
pub mod generated;
pub mod help;
pub mod json;
pub mod list_sets;
pub mod manual;
pub mod optparse;
pub mod pid_lock;
pub mod program;
pub mod progress;
pub mod prompt;
pub mod screen;
pub mod signals;
pub mod storage;
