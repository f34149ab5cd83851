//! The global objects of a set (`gp_global_-1_1_<key>`): what pg_dumpall wrote of roles, queues and tablespaces.
//!
//! ```text
//! \connect postgres
//! CREATE ROLE app_reader;
//! ALTER ROLE app_reader WITH NOSUPERUSER NOLOGIN PASSWORD 'md5...' RESOURCE QUEUE pg_default;
//! ```
//!
//! Passwords stand in it. What is said of a statement is cut before them, always.

use super::sql_script::tokens::{Token, Tokens};
use super::sql_script::{Item, LexError, Script};
use crate::words::dialect::{Dialect, Product};

/// One statement.
#[derive(Clone, PartialEq, Eq)]
pub struct GlobalStatement {
    pub text: String,
    /// For messages: without any secret, and not longer than a line.
    pub about: String,
}

// The text may hold a password.
impl std::fmt::Debug for GlobalStatement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GlobalStatement({})", self.about)
    }
}

/// What is done with a statement on a server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OnTarget {
    Run(GlobalStatement),
    /// The server has no such thing; why.
    LeaveOut(String),
}

/// Longest text of a statement in a message.
const ABOUT_CHARS: usize = 80;

/// All statements in their order. Settings of the session are left out but for those that change what texts mean.
pub fn read(text: &[u8]) -> Result<Vec<GlobalStatement>, LexError> {
    let script = Script::parse(text)?;
    let statements = script.items().filter_map(|item| match item {
        Item::Statement { text, .. } => Some(statement(text)),
        Item::CopyBlock { .. } | Item::MetaCommand { .. } => None,
    });
    Ok(statements
        .filter(|one| !one.text.starts_with("SET client_encoding"))
        .collect())
}

fn statement(text: &[u8]) -> GlobalStatement {
    // Role names of another encoding than UTF-8 are rare, and pg_dumpall writes the encoding of template1.
    let text = match std::str::from_utf8(text) {
        Ok(text) => text.to_owned(),
        Err(_) => text.iter().map(|byte| char::from(*byte)).collect(),
    };
    let secret = Tokens::of(text.as_bytes()).find(|token| token.is("password"));
    let open = &text[..secret.map_or(text.len(), |token| token.span.start)];
    let words: Vec<&str> = open.split_whitespace().collect();
    let mut about = words.join(" ");
    if about.chars().count() > ABOUT_CHARS {
        about = about.chars().take(ABOUT_CHARS).collect::<String>() + " ...";
    }
    GlobalStatement { text, about }
}

/// What the statement is on a server of this kind.
pub fn on_target(statement: &GlobalStatement, dialect: &Dialect) -> OnTarget {
    let mut tokens = Tokens::of(statement.text.as_bytes());
    let begins = |words: &[&str]| Tokens::of(statement.text.as_bytes()).eat_all(words);
    let is_plain = dialect.product == Product::Postgres;
    let resource = ["queue", "group"]
        .iter()
        .any(|kind| begins(&["create", "resource", kind]) || begins(&["alter", "resource", kind]));
    if is_plain && resource {
        return OnTarget::LeaveOut("this server has no resource queues or groups".to_owned());
    }
    if is_plain && (begins(&["create", "filespace"]) || begins(&["create", "tablespace"])) {
        return OnTarget::LeaveOut("tablespaces of a cluster have no place on one PostgreSQL server".to_owned());
    }
    if !(tokens.eat("alter") && tokens.eat("role")) {
        return OnTarget::Run(statement.clone());
    }
    if is_plain && tokens.clone().any(|token| token.is("deny")) {
        return OnTarget::LeaveOut("this server cannot deny logins by time".to_owned());
    }
    let text = without_options(statement.text.as_bytes(), tokens, |option| match is_plain {
        true => true,
        // Greenplum 6 gave it up.
        false => dialect.pg_version.0 >= 90400 && option.contains("'gphdfs'"),
    });
    OnTarget::Run(GlobalStatement {
        text,
        about: statement.about.clone(),
    })
}

/// An ALTER ROLE without those of Greenplum's own options that `drops` wants gone.
fn without_options(text: &[u8], tokens: Tokens<'_>, drops: impl Fn(&str) -> bool) -> String {
    let all: Vec<Token<'_>> = tokens.collect();
    let mut out = String::new();
    let mut kept_to = 0;
    let mut at = 0;
    while let Some(token) = all.get(at) {
        let is = |offset: usize, word: &str| all.get(at + offset).is_some_and(|token| token.is(word));
        let length = if is(0, "resource") && (is(1, "queue") || is(1, "group")) {
            3
        } else if is(0, "createexttable") || is(0, "nocreateexttable") {
            let close = all[at..].iter().position(|token| token.is_sign(b')'));
            close.map_or(1, |close| close + 1)
        } else {
            0
        };
        let Some(last) = length.checked_sub(1).and_then(|last| all.get(at + last)) else {
            at += 1;
            continue;
        };
        let option = String::from_utf8_lossy(&text[token.span.start..last.span.end]);
        if drops(&option) {
            out.push_str(String::from_utf8_lossy(&text[kept_to..token.span.start]).trim_end());
            kept_to = last.span.end;
        }
        at += length;
    }
    out.push_str(&String::from_utf8_lossy(&text[kept_to..]));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::restore::test_sets::dialect;

    const FILE: &str = "\\connect postgres\n\nSET client_encoding = 'UTF8';\nCREATE RESOURCE QUEUE q ACTIVE THRESHOLD 20 \
        NOOVERCOMMIT\n WITH ( priority=medium,\n memory_limit=-1) ;\nCREATE ROLE \"Password\";\nALTER ROLE \"Password\" WITH \
        SUPERUSER LOGIN PASSWORD 'md5b44;a' RESOURCE QUEUE pg_default RESOURCE GROUP admin_group CREATEEXTTABLE \
        (protocol='gphdfs', type='readable') CREATEEXTTABLE (protocol='http');\n";

    #[test]
    fn a_password_is_in_no_message() {
        let statements = read(FILE.as_bytes()).unwrap();
        let said: Vec<&str> = statements.iter().map(|one| one.about.as_str()).collect();
        assert_eq!(
            said,
            [
                "CREATE RESOURCE QUEUE q ACTIVE THRESHOLD 20 NOOVERCOMMIT WITH ( priority=medium, ...",
                "CREATE ROLE \"Password\"",
                "ALTER ROLE \"Password\" WITH SUPERUSER LOGIN"
            ]
        );
        assert!(!format!("{statements:?}").contains("md5"));
    }

    #[test]
    fn options_that_a_server_does_not_have_are_left_out_and_the_password_is_not() {
        let statements = read(FILE.as_bytes()).unwrap();
        let on = |product, version| {
            let dialect = dialect(product, version);
            statements
                .iter()
                .map(|one| on_target(one, &dialect))
                .collect::<Vec<_>>()
        };
        let plain = on(Product::Postgres, 150000);
        assert!(matches!(plain[0], OnTarget::LeaveOut(_)));
        let text = |one: &OnTarget| match one {
            OnTarget::Run(statement) => statement.text.clone(),
            OnTarget::LeaveOut(why) => panic!("{why}"),
        };
        assert_eq!(
            text(&plain[2]),
            "ALTER ROLE \"Password\" WITH SUPERUSER LOGIN PASSWORD 'md5b44;a'"
        );
        let later = on(Product::Greenplum, 90426);
        assert_eq!(
            text(&later[2]),
            "ALTER ROLE \"Password\" WITH SUPERUSER LOGIN PASSWORD 'md5b44;a' RESOURCE QUEUE pg_default RESOURCE GROUP \
             admin_group CREATEEXTTABLE (protocol='http')"
        );
        assert_eq!(text(&on(Product::Greenplum, 80323)[2]), statements[2].text);
    }
}
