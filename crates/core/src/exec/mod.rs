//! Acts on a plan and makes no choice that the plan could have made.

pub mod cut;
pub mod ddl;
pub mod fanout;
pub mod history;
