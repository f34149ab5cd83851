//! A protocol of external tables: how the segments are told where rows go to and come from.
//!
//! ```yaml
//! protocol: cos
//! extension: cos_ext
//! extension_schema: public
//! location: cos://{bucket}/{path} secretKey={COS_SECRET_KEY} secretId={COS_SECRET_ID} compressType={compress}
//! path: backup/{date}/{database}/{schema}.{table}/{key}/
//! secrets: [COS_SECRET_ID, COS_SECRET_KEY]
//! format: text
//! ```
//!
//! A template holds the names of secrets and never a secret: it stands in the manifest of each set that was written with it.

use serde::{Deserialize, Serialize};

/// Larger files are no template.
pub const LARGEST: u64 = 1 << 16;

/// Placeholders that a path may have.
pub const PATH_WORDS: [&str; 5] = ["date", "key", "database", "schema", "table"];

/// Placeholders that a location may have, beside the names of its secrets.
pub const LOCATION_WORDS: [&str; 3] = ["bucket", "path", "compress"];

/// The script's layout: two runs of a day write into the same folders.
pub const SCRIPT_PATH: &str = "backup/{date}/{database}/{schema}.{table}/";

/// Where rows of a table lie, and in what form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// As in `pg_extprotocol`.
    pub protocol: String,
    /// Created where the protocol is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extension: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extension_schema: Option<String>,
    /// For writing, and for reading too unless `read_location` says otherwise.
    pub location: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_location: Option<String>,
    pub path: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    #[serde(default)]
    pub format: RowFormat,
}

/// How a row is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RowFormat {
    /// A row is one line whatever is in it, NULL is `\N`.
    #[default]
    Text,
    /// NULL is nothing, an empty text is `""`; a value may have line breaks.
    Csv,
}

impl RowFormat {
    pub fn word(self) -> &'static str {
        match self {
            RowFormat::Text => "text",
            RowFormat::Csv => "csv",
        }
    }
}

impl Template {
    /// The protocol of Tencent Cloud's warehouse.
    pub fn cos() -> Template {
        Template {
            protocol: "cos".to_owned(),
            extension: Some("cos_ext".to_owned()),
            extension_schema: Some("public".to_owned()),
            location: "cos://{bucket}/{path} secretKey={COS_SECRET_KEY} secretId={COS_SECRET_ID} \
                       compressType={compress}"
                .to_owned(),
            read_location: None,
            path: "backup/{date}/{database}/{schema}.{table}/{key}/".to_owned(),
            secrets: vec!["COS_SECRET_ID".to_owned(), "COS_SECRET_KEY".to_owned()],
            format: RowFormat::Text,
        }
    }

    /// Reads a file; the error is what is wrong with it, for a person.
    pub fn parse(text: &str) -> Result<Template, String> {
        let template: Template = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        template.check()?;
        Ok(template)
    }

    /// What is wrong with it, for a person.
    pub fn check(&self) -> Result<(), String> {
        let is_name =
            |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        if !is_name(&self.protocol) {
            return Err(format!("protocol \"{}\" is no name of a protocol", self.protocol));
        }
        if let Some(bad) = self.secrets.iter().find(|name| !is_name(name)) {
            return Err(format!("\"{bad}\" is no name for a secret"));
        }
        if let Some(taken) = self
            .secrets
            .iter()
            .find(|name| LOCATION_WORDS.contains(&name.as_str()) || PATH_WORDS.contains(&name.as_str()))
        {
            return Err(format!(
                "a secret cannot be called {taken}: that word stands for something else"
            ));
        }
        let mut words = LOCATION_WORDS.to_vec();
        words.extend(self.secrets.iter().map(String::as_str));
        for (what, text) in [
            ("location", Some(&self.location)),
            ("read_location", self.read_location.as_ref()),
        ] {
            let Some(text) = text else { continue };
            let used = placeholders(text).map_err(|bad| format!("{what}: {bad}"))?;
            check_words(what, &used, &words)?;
            if !used.contains(&"path") {
                return Err(format!("{what} has no {{path}}: all tables would have one place"));
            }
            let start = format!("{}://", self.protocol);
            if !text.starts_with(&start) {
                return Err(format!("{what} does not begin with {start}"));
            }
            if text.contains(['|', '\\']) || text.contains(char::is_control) {
                return Err(format!("{what} has a vertical bar, a backslash or a control character"));
            }
        }
        check_path(&self.path)
    }

    /// Two runs never have one place.
    pub fn keeps_runs_apart(&self) -> bool {
        placeholders(&self.path).is_ok_and(|used| used.contains(&"key"))
    }
}

/// What is wrong with a path: it must at least tell tables and databases apart.
pub fn check_path(path: &str) -> Result<(), String> {
    let used = placeholders(path).map_err(|bad| format!("path: {bad}"))?;
    check_words("path", &used, &PATH_WORDS)?;
    if let Some(missing) = ["database", "schema", "table"].iter().find(|word| !used.contains(word)) {
        return Err(format!(
            "path has no {{{missing}}}: rows of different tables would have one place"
        ));
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-~=+{}".contains(c);
    match path.chars().find(|c| !is_plain(*c)) {
        Some(bad) => Err(format!(
            "path has \"{bad}\" in it; letters, digits and / . _ - ~ = + can stand there"
        )),
        None if path.starts_with('/') || path.contains("//") || path.split('/').any(|part| part == "..") => {
            Err("path must neither begin with a slash nor have // or .. in it".to_owned())
        }
        None => Ok(()),
    }
}

fn check_words(what: &str, used: &[&str], known: &[&str]) -> Result<(), String> {
    match used.iter().find(|word| !known.contains(word)) {
        None => Ok(()),
        Some(strange) => {
            let known: Vec<String> = known.iter().map(|word| format!("{{{word}}}")).collect();
            Err(format!(
                "{what} has {{{strange}}}, and what can stand there is {}",
                known.join(" ")
            ))
        }
    }
}

/// The words in braces, in their order.
pub fn placeholders(text: &str) -> Result<Vec<&str>, String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let end = rest[at..].find('}').filter(|_| rest[at..].starts_with('{'));
        let Some(end) = end else {
            return Err(format!("the brace in \"{text}\" has no partner"));
        };
        found.push(&rest[at + 1..at + end]);
        rest = &rest[at + end + 1..];
    }
    Ok(found)
}

/// The text with every word in braces replaced; a word without a value is given back as the error.
pub fn fill<'a>(text: &str, value: impl Fn(&str) -> Option<&'a str>) -> Result<String, String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('{') {
        let (word, after) = behind.split_once('}').unwrap_or((behind, ""));
        filled.push_str(before);
        filled.push_str(value(word).ok_or_else(|| word.to_owned())?);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "protocol: gpfdist\nlocation: gpfdist://{bucket}/{path}\n\
                        path: '{key}/{database}/{schema}.{table}.txt'\n";

    #[test]
    fn the_template_of_the_service_is_sound_and_reads_back() {
        let cos = Template::cos();
        assert_eq!(cos.check(), Ok(()));
        assert!(cos.keeps_runs_apart());
        assert_eq!(
            Template::parse(&serde_json::to_string(&cos).unwrap()),
            Ok(cos),
            "JSON is YAML, and the manifest has it"
        );
    }

    #[test]
    fn a_file_needs_little() {
        let template = Template::parse(FILE).unwrap();
        assert_eq!(template.protocol, "gpfdist");
        assert_eq!((template.secrets.len(), template.format), (0, RowFormat::Text));
    }

    #[test]
    fn what_would_mix_tables_or_says_nothing_is_refused() {
        let cases = [
            ("{bucket}/{path}", "{bucket}/x", "location has no {path}"),
            ("{bucket}/{path}", "{bucket}/{path} key={KEY}", "location has {KEY}"),
            ("{bucket}/{path}", "{bucket}/{path", "has no partner"),
            ("gpfdist://{b", "http://{b", "does not begin with gpfdist://"),
            ("{schema}.{table}", "{table}", "path has no {schema}"),
            ("{schema}.{table}", "{schema}.{table}{bucket}", "path has {bucket}"),
            ("{schema}.{table}", "{schema} {table}", "path has \" \""),
            ("'{key}", "'/{key}", "path must neither begin"),
            ("protocol: gpfdist", "protocol: ''", "is no name of a protocol"),
            (
                "protocol: gpfdist",
                "secrets: [path]\nprotocol: gpfdist",
                "a secret cannot be called path",
            ),
            ("protocol: gpfdist", "protocoll: gpfdist", "protocoll"),
        ];
        for (from, to, why) in cases {
            assert!(FILE.contains(from), "{from}");
            let error = Template::parse(&FILE.replacen(from, to, 1)).unwrap_err();
            assert!(error.contains(why), "{to}: {error}");
        }
    }

    #[test]
    fn words_are_filled_in_once() {
        let value = |word: &str| match word {
            "a" => Some("{b}"),
            "b" => Some("2"),
            _ => None,
        };
        assert_eq!(fill("x{a}y{b}z", value), Ok("x{b}y2z".to_owned()));
        assert_eq!(fill("{c}", value), Err("c".to_owned()));
    }
}
