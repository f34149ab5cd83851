//! The plan of an incremental restore, `gp_restore_<key>_plan`: which set the rows of each table come from.
//!
//! ```text
//! 20240104030405:public.customers,public.gpcrondump_history
//! 20240103030405:
//! 20240102030405:public.clicks_ao,sales.events_1_prt_jan
//! ```
//!
//! Newest first, the full dump last; a set that gives no table has a line all the same. Written for people and for scripts
//! that look at it; a restore of ours never reads it back, because a name with a comma makes two of it. Source:
//! `gpcrondump.md` 3.7, `gpdbrestore.md` 4.3.

use crate::words::ids::TimestampKey;

/// What one set gives, the tables as their lists have them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanLine {
    pub key: TimestampKey,
    pub tables: Vec<String>,
}

/// The text of a plan.
pub fn write(lines: &[PlanLine]) -> String {
    let line = |line: &PlanLine| format!("{}:{}\n", line.key, line.tables.join(","));
    lines.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_that_gives_nothing_has_a_line() {
        let line = |key: &str, tables: &[&str]| PlanLine {
            key: key.parse().unwrap(),
            tables: tables.iter().map(|table| (*table).to_owned()).collect(),
        };
        let plan = [
            line("20240104030405", &["public.t", "Odd Schema.u"]),
            line("20240103030405", &[]),
            line("20240102030405", &["s.a"]),
        ];
        assert_eq!(
            write(&plan),
            "20240104030405:public.t,Odd Schema.u\n20240103030405:\n20240102030405:s.a\n"
        );
    }
}
