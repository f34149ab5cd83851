//! Which statements of a simple query a Greenplum master would send on to its segments.

/// The part of a query that the segments have to run too, and whether it ends a transaction with COMMIT.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Dispatched {
    pub(super) sql: String,
    pub(super) commits: bool,
}

/// What of this query goes to the segments; `None` when it is the master's alone.
pub(super) fn dispatched(query: &str) -> Option<Dispatched> {
    let statements = split(query);
    // A query string with COPY in it takes data from the client in between; nobody sends such a thing with DDL.
    if statements.iter().any(|s| words(s, 1) == ["COPY"]) {
        return None;
    }
    let parts: Vec<&str> = statements.into_iter().filter(|s| goes_everywhere(s)).collect();
    let commits = parts
        .iter()
        .any(|s| matches!(words(s, 1)[..], [ref w] if w == "COMMIT" || w == "END"));
    (!parts.is_empty()).then(|| Dispatched {
        sql: parts.join(";\n"),
        commits,
    })
}

/// `COPY ... FROM STDIN` of a table: its rows belong to the segments.
pub(super) fn is_copy_from_stdin(query: &str) -> bool {
    let statements = split(query);
    let [statement] = statements[..] else { return false };
    let upper = statement.to_ascii_uppercase();
    words(statement, 1) == ["COPY"] && upper.contains("FROM STDIN")
}

/// `COPY ... TO STDOUT`: rows come from the segments.
pub(super) fn is_copy_to_stdout(query: &str) -> bool {
    let statements = split(query);
    let [statement] = statements[..] else { return false };
    words(statement, 1) == ["COPY"] && statement.to_ascii_uppercase().contains("TO STDOUT")
}

/// `SELECT count(*) FROM [ONLY] table`, of a table of the user.
pub(super) fn is_count_of_table(query: &str) -> bool {
    let statements = split(query);
    let [statement] = statements[..] else { return false };
    let statement = statement.trim();
    let head = "SELECT count(*) FROM ";
    let Some(table) = statement
        .get(..head.len())
        .filter(|start| start.eq_ignore_ascii_case(head))
        .map(|_| &statement[head.len()..])
    else {
        return false;
    };
    let table = table.strip_prefix("ONLY ").unwrap_or(table);
    let mut rest = table;
    while let Some(end) = name_length(rest) {
        rest = match rest[end..].strip_prefix('.') {
            Some(more) => more,
            None => return rest[end..].is_empty() && !table.starts_with("pg_"),
        };
    }
    false
}

/// Length of the name, quoted or not, that a text begins with.
fn name_length(text: &str) -> Option<usize> {
    let length = match text.as_bytes().first()? {
        b'"' => quoted(text, b'"', false),
        _ => text
            .find(|c: char| !(c.is_alphanumeric() || c == '_'))
            .unwrap_or(text.len()),
    };
    (length > 0).then_some(length)
}

fn goes_everywhere(statement: &str) -> bool {
    let words = words(statement, 3);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        // A snapshot has its name on the master only.
        ["SET", "TRANSACTION", "SNAPSHOT"] => false,
        // search_path, mostly: what follows must mean the same tables everywhere.
        ["SELECT", function, ..] => function.ends_with("SET_CONFIG"),
        // The catalog of each instance is its own.
        ["UPDATE", table, ..] | ["DELETE", "FROM", table] => !table.starts_with("PG_"),
        [first, ..] => EVERYWHERE.contains(&first),
        [] => false,
    }
}

/// Everything that changes more than rows, and the walls of a transaction. INSERT is not among them: its rows would
/// come to stand on each segment.
const EVERYWHERE: [&str; 32] = [
    "ABORT",
    "ALTER",
    "ANALYZE",
    "BEGIN",
    "CHECKPOINT",
    "CLUSTER",
    "COMMENT",
    "COMMIT",
    "CREATE",
    "DISCARD",
    "DO",
    "DROP",
    "END",
    "GRANT",
    "IMPORT",
    "LOCK",
    "PREPARE",
    "REASSIGN",
    "REFRESH",
    "REINDEX",
    "RELEASE",
    "RESET",
    "REVOKE",
    "ROLLBACK",
    "SAVEPOINT",
    "SECURITY",
    "SET",
    "START",
    "TRUNCATE",
    "VACUUM",
    "DELETE",
    "UPDATE",
];

/// The first words of a statement in upper case, without comments.
fn words(statement: &str, how_many: usize) -> Vec<String> {
    let mut rest = statement;
    let mut words = Vec::new();
    while words.len() < how_many {
        rest = skip_blank(rest);
        let end = rest
            .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.'))
            .unwrap_or(rest.len());
        if end == 0 {
            break;
        }
        words.push(
            rest[..end]
                .to_ascii_uppercase()
                .trim_start_matches("PG_CATALOG.")
                .to_owned(),
        );
        rest = &rest[end..];
    }
    words
}

fn skip_blank(mut text: &str) -> &str {
    loop {
        text = text.trim_start();
        if text.starts_with("--") {
            text = text.split_once('\n').map_or("", |(_, rest)| rest);
        } else if text.starts_with("/*") {
            text = text.split_once("*/").map_or("", |(_, rest)| rest);
        } else {
            return text;
        }
    }
}

/// Cuts at semicolons outside of quotes, dollar quotes and comments; parts without a word are left out.
fn split(query: &str) -> Vec<&str> {
    let bytes = query.as_bytes();
    let mut parts = Vec::new();
    let (mut start, mut at) = (0, 0);
    while at < bytes.len() {
        let rest = &query[at..];
        at += match bytes[at] {
            b'\'' => {
                let escapes = at > 0 && matches!(bytes[at - 1], b'E' | b'e');
                quoted(rest, b'\'', escapes)
            }
            b'"' => quoted(rest, b'"', false),
            b'-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            b'/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            b'$' => dollar_quoted(rest),
            b';' => {
                parts.push(&query[start..at]);
                start = at + 1;
                1
            }
            _ => rest.chars().next().map_or(1, char::len_utf8),
        };
    }
    parts.push(&query[start..]);
    parts.retain(|part| !skip_blank(part).is_empty());
    parts
}

/// Length of the quoted text at the beginning of `text`. A doubled quote ends one and begins the next: the same length.
fn quoted(text: &str, quote: u8, escapes: bool) -> usize {
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if escapes => at += 1,
            b if b == quote => return at + 1,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

fn dollar_quoted(text: &str) -> usize {
    let Some(end) = text[1..].find('$') else { return 1 };
    let tag = &text[..end + 2];
    if !tag[1..end + 1].chars().all(|c| c.is_alphanumeric() || c == '_') {
        return 1;
    }
    text[tag.len()..]
        .find(tag)
        .map_or(text.len(), |close| close + 2 * tag.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ddl_goes_to_the_segments_and_reading_does_not() {
        for yes in [
            "-- c\nCREATE TABLE a ();",
            "begin",
            "/* x */ LOCK TABLE a",
            "SELECT pg_catalog.set_config('search_path', '', false)",
            "DELETE FROM t",
        ] {
            assert!(dispatched(yes).is_some(), "{yes}");
        }
        for no in [
            "SELECT 1",
            "SET TRANSACTION SNAPSHOT '1'",
            "COPY a FROM STDIN",
            "INSERT INTO a VALUES (1)",
            "UPDATE pg_catalog.pg_class SET relname = ''",
            "",
            "SELECT setval('a', 1)",
            "SELECT 'a; DROP TABLE x'",
            "SELECT $a$; DROP TABLE x $a$",
        ] {
            assert_eq!(dispatched(no), None, "{no}");
        }
    }

    #[test]
    fn counting_the_rows_of_one_table_is_told_from_other_queries() {
        for yes in [
            "SELECT count(*) FROM ONLY public.t",
            "select COUNT(*) from \"a b\".\"c.d\";",
            "SELECT count(*) FROM t",
        ] {
            assert!(is_count_of_table(yes), "{yes}");
        }
        for no in [
            "SELECT count(*) FROM pg_catalog.pg_class",
            "SELECT count(*) FROM a, b",
            "SELECT count(*) FROM a WHERE b",
            "SELECT count(*) FROM a; SELECT 1",
            "SELECT count(*) FROM ",
            "SELECT max(i) FROM a",
        ] {
            assert!(!is_count_of_table(no), "{no}");
        }
    }

    #[test]
    fn of_several_statements_only_those_that_change_something_are_sent_on() {
        let both = dispatched("BEGIN; SELECT ';'; /* ; */ CREATE FUNCTION f() AS $$ ; $$; COMMIT").unwrap();
        assert_eq!(both.sql, "BEGIN;\n /* ; */ CREATE FUNCTION f() AS $$ ; $$;\n COMMIT");
        assert!(both.commits);
    }
}
