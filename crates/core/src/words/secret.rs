//! Secrets of a storage: they are put into a statement, and hidden in everything that comes back of it.

use std::collections::BTreeMap;
use std::fmt;

/// What stands in place of a secret.
const HIDDEN: &str = "***";

/// Shorter ones would be found in words that have nothing to do with them.
const SHORTEST_HIDDEN: usize = 4;

/// Secrets by the names that a template gives them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets(BTreeMap<String, String>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.keys().map(|name| (name, HIDDEN))).finish()
    }
}

impl Secrets {
    /// Refuses what would end a parameter or a literal: nobody could say where the secret ends, and so not hide it either.
    /// The error is a sentence without the secret.
    pub fn add(&mut self, name: &str, value: &str) -> Result<(), String> {
        let is_bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '\'' | '"' | '\\' | '|');
        if value.is_empty() {
            return Err(format!("the secret {name} is empty"));
        }
        if let Some(bad) = value.chars().find(|c| is_bad(*c)) {
            let what = match bad.is_whitespace() || bad.is_control() {
                true => "white space or a control character".to_owned(),
                false => format!("the character {bad}"),
            };
            return Err(format!(
                "the secret {name} has {what} in it, which no LOCATION can hold"
            ));
        }
        self.0.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The same text without any of them, nor a longer piece of one: servers cut long messages off.
    pub fn hide(&self, text: &str) -> String {
        let mut hidden = text.to_owned();
        let mut values: Vec<&str> = self.0.values().map(String::as_str).collect();
        // Of two that begin alike the longer one first.
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        for value in values.into_iter().filter(|value| value.len() >= SHORTEST_HIDDEN) {
            hidden = hidden.replace(value, HIDDEN);
            let cut_off = (SHORTEST_HIDDEN..value.len())
                .rev()
                .filter(|end| value.is_char_boundary(*end))
                .find(|end| hidden.ends_with(&value[..*end]));
            if let Some(end) = cut_off {
                hidden.truncate(hidden.len() - end);
                hidden.push_str(HIDDEN);
            }
        }
        hidden
    }
}

/// Words that stand before a secret in the LOCATION of somebody's external table, in lower case.
const LABELS: [&str; 12] = [
    "secretkey",
    "secretid",
    "secret_key",
    "secret",
    "accesskey",
    "access_key",
    "accessid",
    "access_id",
    "accesskeyid",
    "password",
    "passwd",
    "token",
];

/// The text with `secretKey=***` for `secretKey=...` and the like, whoever's it is; `None` when there was none.
///
/// A value ends at white space, a quote or an ampersand: what LOCATIONs, URLs and connection strings put between
/// parameters.
pub fn hide_parameters(text: &str) -> Option<String> {
    let mut hidden = String::new();
    let mut copied = 0;
    for (at, _) in text.match_indices('=') {
        if at < copied {
            continue;
        }
        let before = &text[copied..at];
        let start = before
            .rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .map_or(0, |found| {
                found + before[found..].chars().next().map_or(1, char::len_utf8)
            });
        if !LABELS.contains(&before[start..].to_ascii_lowercase().as_str()) {
            continue;
        }
        let value = &text[at + 1..];
        let end = value
            .find(|c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '&' | ';' | ','))
            .unwrap_or(value.len());
        if end == 0 || &value[..end] == HIDDEN {
            continue;
        }
        hidden.push_str(&text[copied..=at]);
        hidden.push_str(HIDDEN);
        copied = at + 1 + end;
    }
    if copied == 0 {
        return None;
    }
    hidden.push_str(&text[copied..]);
    Some(hidden)
}

/// The same, for texts that go on with or without.
pub fn without_parameters(text: &str) -> String {
    hide_parameters(text).unwrap_or_else(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> Secrets {
        let mut secrets = Secrets::default();
        secrets.add("COS_SECRET_ID", "AKIDabc").unwrap();
        secrets.add("COS_SECRET_KEY", "AKIDabc/+x99=").unwrap();
        secrets
    }

    #[test]
    fn no_secret_is_left_in_a_text_nor_the_beginning_of_one_at_its_end() {
        let hide = |text: &str| secrets().hide(text);
        assert_eq!(
            hide("cos://b/p/ secretKey=AKIDabc/+x99= secretId=AKIDabc refused"),
            "cos://b/p/ secretKey=*** secretId=*** refused"
        );
        assert_eq!(hide("cut off: secretKey=AKIDabc/+x"), "cut off: secretKey=***");
        assert_eq!(hide("cut off: secretId=AKIDa"), "cut off: secretId=***");
        assert_eq!(hide("nothing here"), "nothing here");
        assert_eq!(
            format!("{:?}", secrets()),
            "{\"COS_SECRET_ID\": \"***\", \"COS_SECRET_KEY\": \"***\"}"
        );
    }

    #[test]
    fn a_secret_that_could_not_be_told_from_what_follows_is_refused() {
        for bad in ["", "a b", "a'b", "a\\b", "a\nb", "a|b", "a\"b"] {
            let error = Secrets::default().add("KEY", bad).unwrap_err();
            assert!(error.starts_with("the secret KEY "), "{error}");
            assert!(bad.is_empty() || !error.contains(bad), "{error}");
        }
    }

    #[test]
    fn parameters_of_anybody_are_hidden_and_other_text_stays() {
        let hide = |text| hide_parameters(text);
        assert_eq!(
            hide("LOCATION ('cos://b/p secretKey=abc secretId=d,e compressType=gzip')").as_deref(),
            Some("LOCATION ('cos://b/p secretKey=*** secretId=***,e compressType=gzip')")
        );
        assert_eq!(
            hide("http://h/?a=1&ACCESS_KEY=xé&b=2 password='y'").as_deref(),
            Some("http://h/?a=1&ACCESS_KEY=***&b=2 password='y'")
        );
        assert_eq!(hide("é=secretkey secretkey= a=b"), None);
        assert_eq!(hide("secretKey=*** token=***"), None);
    }
}
