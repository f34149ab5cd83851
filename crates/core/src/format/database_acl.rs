//! Access rights of a database: the server's `{=Tc/gpadmin,reader=c/gpadmin}` into GRANT and REVOKE statements.
//!
//! Grammar of an item: `grantee=privileges/grantor`, names quoted as identifiers when needed, each privilege a letter
//! with `*` behind it when it may be passed on. Source: PostgreSQL documentation, "Privileges".

use crate::words::names::quote_ident_if_needed;

/// The statements, without semicolons, that give a fresh database of that name and owner these rights.
pub fn grants(database: &str, owner: &str, acl: &str) -> Vec<String> {
    let database = quote_ident_if_needed(database);
    let mut statements = vec![
        format!("REVOKE ALL ON DATABASE {database} FROM PUBLIC"),
        format!(
            "REVOKE ALL ON DATABASE {database} FROM {}",
            quote_ident_if_needed(owner)
        ),
    ];
    for item in array_items(acl) {
        let Some((grantee, privileges)) = split_item(&item) else {
            continue;
        };
        let grantee = if grantee.is_empty() {
            "PUBLIC".to_owned()
        } else {
            quote_ident_if_needed(&grantee)
        };
        for (option, suffix) in [(false, ""), (true, " WITH GRANT OPTION")] {
            let words = privilege_words(&privileges, option);
            if !words.is_empty() {
                statements.push(format!(
                    "GRANT {} ON DATABASE {database} TO {grantee}{suffix}",
                    words.join(",")
                ));
            }
        }
    }
    statements
}

fn privilege_words(privileges: &str, with_option: bool) -> Vec<&'static str> {
    let letters: Vec<char> = privileges.chars().collect();
    let word_of = |letter| match letter {
        'C' => Some("CREATE"),
        'T' => Some("TEMPORARY"),
        'c' => Some("CONNECT"),
        _ => None,
    };
    let marked = |at: usize| letters.get(at + 1) == Some(&'*');
    letters
        .iter()
        .enumerate()
        .filter(|(at, _)| marked(*at) == with_option)
        .filter_map(|(_, l)| word_of(*l))
        .collect()
}

/// Elements of a one-dimensional array in the server's text form.
fn array_items(text: &str) -> Vec<String> {
    let inner = text.trim().trim_start_matches('{').trim_end_matches('}');
    let mut items = Vec::new();
    let (mut item, mut quoted, mut chars) = (String::new(), false, inner.chars());
    while let Some(c) = chars.next() {
        match c {
            '\\' => item.extend(chars.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => items.push(std::mem::take(&mut item)),
            c => item.push(c),
        }
    }
    if !inner.is_empty() {
        items.push(item);
    }
    items
}

/// Grantee without quotes, and the letters.
fn split_item(item: &str) -> Option<(String, String)> {
    let mut grantee = String::new();
    let mut rest = item.chars().peekable();
    let mut quoted = false;
    loop {
        match rest.next()? {
            '"' if quoted && rest.peek() == Some(&'"') => {
                rest.next();
                grantee.push('"');
            }
            '"' => quoted = !quoted,
            '=' if !quoted => break,
            c => grantee.push(c),
        }
    }
    Some((grantee, rest.take_while(|c| *c != '/').collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_become_grants_with_and_without_option() {
        assert_eq!(
            grants(
                "My db",
                "gpadmin",
                "{=Tc/gpadmin,gpadmin=CTc/gpadmin,rd=c*/gpadmin,\"\\\"we\\\"\\\"ird, x\\\"=CT/gpadmin\"}"
            ),
            [
                "REVOKE ALL ON DATABASE \"My db\" FROM PUBLIC",
                "REVOKE ALL ON DATABASE \"My db\" FROM gpadmin",
                "GRANT TEMPORARY,CONNECT ON DATABASE \"My db\" TO PUBLIC",
                "GRANT CREATE,TEMPORARY,CONNECT ON DATABASE \"My db\" TO gpadmin",
                "GRANT CONNECT ON DATABASE \"My db\" TO rd WITH GRANT OPTION",
                "GRANT CREATE,TEMPORARY ON DATABASE \"My db\" TO \"we\"\"ird, x\"",
            ]
        );
        assert_eq!(grants("d", "o", "{}").len(), 2);
    }
}
