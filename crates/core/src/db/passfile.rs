//! `~/.pgpass`: `host:port:database:user:password`, `*` for any, `\` before `:` and `\`.
//!
//! Source of the format: PostgreSQL documentation, "The Password File".

/// The password of the first line that matches; `host` is `localhost` for a unix socket in the default directory.
pub fn find_password(text: &str, host: &str, port: u16, database: &str, user: &str) -> Option<String> {
    let port = port.to_string();
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let fields = split_fields(line);
        let [want_host, want_port, want_database, want_user, password] = fields.as_slice() else {
            return None;
        };
        let matches = |want: &str, have: &str| want == "*" || want == have;
        (matches(want_host, host)
            && matches(want_port, &port)
            && matches(want_database, database)
            && matches(want_user, user))
        .then(|| password.clone())
    })
}

fn split_fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => fields.last_mut().expect("starts with one field").extend(chars.next()),
            // A password may hold colons: the fifth field takes the rest.
            ':' if fields.len() < 5 => fields.push(String::new()),
            c => fields.last_mut().expect("starts with one field").push(c),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_matching_line_wins_and_escapes_are_undone() {
        let text = "# c\nmdw:5432:*:gpadmin:a\\:b\n*:*:*:gpadmin:other\n*:*:sales:x:p:q\n";
        assert_eq!(
            find_password(text, "mdw", 5432, "sales", "gpadmin").as_deref(),
            Some("a:b")
        );
        assert_eq!(
            find_password(text, "sdw", 40000, "sales", "gpadmin").as_deref(),
            Some("other")
        );
        assert_eq!(find_password(text, "sdw", 40000, "sales", "x").as_deref(), Some("p:q"));
        assert_eq!(find_password(text, "sdw", 40000, "hr", "x"), None);
    }
}
