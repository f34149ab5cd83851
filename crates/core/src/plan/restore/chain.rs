//! Which set of a chain the rows of each table come from (`gpdbrestore.md` 4.3).

use std::collections::HashSet;

use crate::format::plan_file::PlanLine;
use crate::format::table_list::TableList;
use crate::words::ids::TimestampKey;

/// A set of a chain.
#[derive(Debug, Clone)]
pub struct Member {
    pub key: TimestampKey,
    /// The tables whose rows it holds; `None` for the full dump, which has what no other has.
    pub dirty: Option<TableList>,
}

/// Gives each table of the newest set to the newest member that holds its rows. `members` are newest first; so is what
/// comes out, with a line for each of them.
pub fn assign(tables: &TableList, members: &[Member]) -> Vec<PlanLine> {
    let mut given: HashSet<&str> = HashSet::new();
    let mut plan = Vec::with_capacity(members.len());
    for member in members {
        let holds = |line: &str| member.dirty.as_ref().is_none_or(|dirty| dirty.has_line(line));
        let taken: Vec<&str> = tables
            .lines()
            .iter()
            .map(String::as_str)
            .filter(|line| !given.contains(line) && holds(line))
            .collect();
        given.extend(&taken);
        plan.push(PlanLine {
            key: member.key,
            tables: taken.into_iter().map(str::to_owned).collect(),
        });
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn member(key: u32, dirty: Option<&str>) -> Member {
        Member {
            key: format!("2024010{key}000000").parse().unwrap(),
            dirty: dirty.map(TableList::parse),
        }
    }

    fn plan(tables: &str, members: &[Member]) -> String {
        crate::format::plan_file::write(&assign(&TableList::parse(tables), members))
    }

    #[test]
    fn each_table_comes_from_the_newest_set_that_holds_it() {
        let members = [
            member(4, Some("s.heap\ns.new")),
            member(3, Some("")),
            member(2, Some("s.heap\ns.a\ns.gone")),
            member(1, None),
        ];
        assert_eq!(
            plan("s.heap\ns.a\ns.b\ns.new\n", &members),
            "20240104000000:s.heap,s.new\n20240103000000:\n20240102000000:s.a\n20240101000000:s.b\n"
        );
    }

    #[test]
    fn the_plan_of_the_original_comes_out() {
        let tables = include_str!(
            "../../../../../tests/data/reference/gp5/07-prefix-incremental/foo_gp_dump_20261122105431_table_list"
        );
        let dirty = include_str!(
            "../../../../../tests/data/reference/gp5/07-prefix-incremental/foo_gp_dump_20261122105431_dirty_list"
        );
        let lines = assign(&TableList::parse(tables), &[member(2, Some(dirty)), member(1, None)]);
        assert_eq!(lines[0].tables.len(), TableList::parse(dirty).lines().len());
        assert_eq!(
            lines[0].tables.len() + lines[1].tables.len(),
            TableList::parse(tables).lines().len()
        );
    }

    proptest! {
        #[test]
        fn every_table_has_one_set_and_it_is_the_newest(
            tables in proptest::collection::btree_set(0u8..12, 0..12),
            dirty in proptest::collection::vec(proptest::collection::btree_set(0u8..12, 0..12), 0..5),
        ) {
            let text = |set: &std::collections::BTreeSet<u8>| set.iter().map(|n| format!("s.t{n}\n")).collect::<String>();
            let mut members: Vec<Member> = dirty.iter().map(|set| member(3, Some(&text(set)))).collect();
            members.push(member(1, None));
            let lines = assign(&TableList::parse(&text(&tables)), &members);
            for table in &tables {
                let name = format!("s.t{table}");
                let expected = dirty.iter().position(|set| set.contains(table)).unwrap_or(dirty.len());
                let places: Vec<usize> = (0..lines.len()).filter(|at| lines[*at].tables.contains(&name)).collect();
                prop_assert_eq!(places, vec![expected]);
            }
            prop_assert_eq!(lines.iter().map(|l| l.tables.len()).sum::<usize>(), tables.len());
        }
    }
}
