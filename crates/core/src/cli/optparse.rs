//! Reads a command line by the rules of Python's `optparse`, which the original programs used.
//!
//! Ten years of cron lines depend on its habits: `-aq`, `-xsales`, `--prefix=x`, `--incr` for `--incremental`, options
//! after words, `-h` that is not help, `-G` that may or may not take the next word, and its error texts. A table of
//! [`OptionDef`]s says what a program knows; the result keeps the order in which options were given.
//!
//! It does not check which options go together.

use std::collections::VecDeque;

/// What follows an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Argument {
    None,
    /// Prints something and ends: what stands behind it on the command line is not looked at.
    NoneAndStop,
    /// Always the next word, even when it starts with a dash. Holds the name that the help text shows for it.
    Text(&'static str),
    Int(&'static str),
    /// The next word unless it starts with a dash, and then one of these; the first of them when there is none.
    OptionalWord(&'static [&'static str]),
}

/// Where an option comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Known to the original program of Greenplum 5.
    Original,
    /// Known to the original of Greenplum 4.3 only; accepted, without effect, not in the help text.
    Legacy,
    /// Known to the original, but shown to nobody.
    Hidden,
    /// Ours. Its long name cannot be abbreviated: else an abbreviation of an original option could become ambiguous.
    Ours,
}

/// One option of a program.
#[derive(Debug, Clone, Copy)]
pub struct OptionDef {
    /// All names, `-x` or `--name`; the first identifies the option everywhere.
    pub names: &'static [&'static str],
    pub argument: Argument,
    /// All values count; otherwise the last one wins.
    pub collects: bool,
    pub origin: Origin,
    pub help: &'static str,
}

impl OptionDef {
    pub fn id(&self) -> &'static str {
        self.names[0]
    }

    pub const fn of(self, origin: Origin) -> Self {
        OptionDef { origin, ..self }
    }
}

/// An option without argument.
pub const fn flag(names: &'static [&'static str], help: &'static str) -> OptionDef {
    OptionDef {
        names,
        argument: Argument::None,
        collects: false,
        origin: Origin::Original,
        help,
    }
}

/// An option with an argument, shown as `shown`; the last one wins.
pub const fn text(names: &'static [&'static str], shown: &'static str, help: &'static str) -> OptionDef {
    OptionDef {
        argument: Argument::Text(shown),
        ..flag(names, help)
    }
}

/// As [`text`], but every one counts.
pub const fn list(names: &'static [&'static str], shown: &'static str, help: &'static str) -> OptionDef {
    OptionDef {
        collects: true,
        ..text(names, shown, help)
    }
}

/// An option with a whole number.
pub const fn int(names: &'static [&'static str], shown: &'static str, help: &'static str) -> OptionDef {
    OptionDef {
        argument: Argument::Int(shown),
        ..flag(names, help)
    }
}

/// An option that may be followed by one of `words`.
pub const fn word(names: &'static [&'static str], words: &'static [&'static str], help: &'static str) -> OptionDef {
    OptionDef {
        argument: Argument::OptionalWord(words),
        ..flag(names, help)
    }
}

/// An option that prints something and ends the run.
pub const fn stops(names: &'static [&'static str], help: &'static str) -> OptionDef {
    OptionDef {
        argument: Argument::NoneAndStop,
        ..flag(names, help)
    }
}

/// Options of one purpose, under one heading of the help text.
#[derive(Debug, Clone, Copy)]
pub struct OptionGroup {
    pub heading: &'static str,
    pub options: &'static [OptionDef],
}

/// What is wrong with a command line, in the words of the original.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

impl UsageError {
    /// What goes to stderr, line ends included; the status is 2.
    pub fn screen_text(&self, program: &str) -> String {
        format!("Usage: {program} [--help] [options] \n\n{program}: error: {}\n", self.0)
    }
}

/// A command line, taken apart.
#[derive(Debug, Clone)]
pub struct Parsed {
    groups: &'static [OptionGroup],
    argv: Vec<String>,
    given: Vec<(&'static str, String)>,
    words: Vec<String>,
}

/// Takes a command line (without the program's name) apart.
pub fn parse(groups: &'static [OptionGroup], argv: &[String]) -> Result<Parsed, UsageError> {
    let mut parsed = Parsed {
        groups,
        argv: argv.to_vec(),
        given: Vec::new(),
        words: Vec::new(),
    };
    let mut rest: VecDeque<String> = argv.iter().cloned().collect();
    while let Some(word) = rest.pop_front() {
        if word == "--" {
            parsed.words.extend(rest);
            break;
        }
        let stop = if word.starts_with("--") {
            parsed.take_long(&word, &mut rest)?
        } else if word.len() > 1 && word.starts_with('-') {
            parsed.take_shorts(&word, &mut rest)?
        } else {
            parsed.words.push(word);
            false
        };
        if stop {
            break;
        }
    }
    Ok(parsed)
}

impl Parsed {
    fn options(&self) -> impl Iterator<Item = &'static OptionDef> + use<> {
        self.groups.iter().flat_map(|group| group.options)
    }

    fn find(&self, name: &str) -> Option<&'static OptionDef> {
        self.options().find(|option| option.names.contains(&name))
    }

    /// `--name`, `--name=value`, or the unambiguous beginning of a name. True: look no further.
    fn take_long(&mut self, word: &str, rest: &mut VecDeque<String>) -> Result<bool, UsageError> {
        let (typed, joined) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        let name = self.complete(typed)?;
        let option = self.find(name).expect("complete() returns names of the table");
        if let Some(value) = joined {
            if !matches!(option.argument, Argument::Text(_) | Argument::Int(_)) {
                return Err(UsageError(format!("{name} option does not take a value")));
            }
            rest.push_front(value.to_owned());
        }
        self.take(option, name, rest)
    }

    /// `-a`, `-aq`, `-xsales`, `-aqxsales`. True: look no further.
    fn take_shorts(&mut self, word: &str, rest: &mut VecDeque<String>) -> Result<bool, UsageError> {
        for (at, letter) in word.char_indices().skip(1) {
            let typed = format!("-{letter}");
            let Some(option) = self.find(&typed) else {
                return Err(UsageError(format!("no such option: {typed}")));
            };
            let behind = &word[at + letter.len_utf8()..];
            let takes_word = matches!(option.argument, Argument::Text(_) | Argument::Int(_));
            if takes_word && !behind.is_empty() {
                rest.push_front(behind.to_owned());
            }
            if self.take(option, &typed, rest)? {
                return Ok(true);
            }
            if takes_word {
                break;
            }
        }
        Ok(false)
    }

    /// Notes an option and takes its argument from the words that follow.
    fn take(
        &mut self,
        option: &'static OptionDef,
        name: &str,
        rest: &mut VecDeque<String>,
    ) -> Result<bool, UsageError> {
        let missing = || UsageError(format!("{name} option requires an argument"));
        let value = match option.argument {
            Argument::None | Argument::NoneAndStop => String::new(),
            Argument::Text(_) => rest.pop_front().ok_or_else(missing)?,
            Argument::Int(_) => {
                let text = rest.pop_front().ok_or_else(missing)?;
                let number = python_int(&text).ok_or_else(|| {
                    UsageError(format!("option {name}: invalid integer value: {}", python_repr(&text)))
                })?;
                number.to_string()
            }
            Argument::OptionalWord(allowed) => match rest.front() {
                Some(word) if !word.starts_with('-') => {
                    let word = rest.pop_front().unwrap_or_default();
                    if !allowed.contains(&word.as_str()) {
                        let allowed: Vec<String> = allowed.iter().map(|w| format!("\"{w}\"")).collect();
                        return Err(UsageError(format!(
                            "{word} is not a valid argument for {name}.  Valid arguments are {}.",
                            allowed.join(" and ")
                        )));
                    }
                    word
                }
                _ => allowed.first().copied().unwrap_or_default().to_owned(),
            },
        };
        self.given.push((option.id(), value));
        Ok(option.argument == Argument::NoneAndStop)
    }

    /// The full name that a long name, perhaps cut short, stands for.
    fn complete(&self, typed: &str) -> Result<&'static str, UsageError> {
        let long_names = || {
            self.options()
                .flat_map(|option| option.names.iter().map(move |name| (*name, option.origin)))
                .filter(|(name, _)| name.starts_with("--"))
        };
        if let Some((name, _)) = long_names().find(|(name, _)| *name == typed) {
            return Ok(name);
        }
        let mut candidates: Vec<&'static str> = long_names()
            .filter(|(name, origin)| *origin != Origin::Ours && name.starts_with(typed))
            .map(|(name, _)| name)
            .collect();
        candidates.sort_unstable();
        match candidates[..] {
            [] => Err(UsageError(format!("no such option: {typed}"))),
            [name] => Ok(name),
            _ => Err(UsageError(format!(
                "ambiguous option: {typed} ({}?)",
                candidates.join(", ")
            ))),
        }
    }

    /// There is such an option.
    pub fn knows(&self, id: &str) -> bool {
        self.options().any(|option| option.id() == id)
    }

    /// The option was on the command line. As in the original an empty value counts as not given, except for options
    /// that collect.
    pub fn has(&self, id: &str) -> bool {
        match self.definition(id) {
            option if option.collects => self.given.iter().any(|(given, _)| *given == id),
            option if matches!(option.argument, Argument::Text(_)) => self.text(id).is_some(),
            _ => self.given.iter().any(|(given, _)| *given == id),
        }
    }

    /// The last value given, unless it is empty.
    pub fn text(&self, id: &str) -> Option<&str> {
        self.values(id).last().copied().filter(|value| !value.is_empty())
    }

    /// All values given, empty ones too.
    pub fn values(&self, id: &str) -> Vec<&str> {
        let id = self.definition(id).id();
        self.given
            .iter()
            .filter(|(given, _)| *given == id)
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// The last value of an [`Argument::Int`] option.
    pub fn int(&self, id: &str) -> Option<i64> {
        self.text(id).and_then(|value| value.parse().ok())
    }

    /// The words that belong to no option.
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// What was typed, word by word.
    pub fn argv(&self) -> &[String] {
        &self.argv
    }

    /// The names of the options given, in their order, each by its identifying name.
    pub fn order(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.given.iter().map(|(id, _)| *id)
    }

    fn definition(&self, id: &str) -> &'static OptionDef {
        self.options()
            .find(|option| option.id() == id)
            .unwrap_or_else(|| panic!("option {id} is asked for but not in the table"))
    }
}

/// An integer as Python 2 reads one: blanks around it, `0x`, `0b` and a leading zero for octal are allowed.
pub fn python_int(text: &str) -> Option<i64> {
    let text = text.trim();
    let lower = text.to_ascii_lowercase();
    if let Some(hex) = lower.strip_prefix("0x") {
        i64::from_str_radix(hex, 16).ok()
    } else if let Some(binary) = lower.strip_prefix("0b") {
        i64::from_str_radix(binary, 2).ok()
    } else if text.starts_with('0') {
        i64::from_str_radix(text, 8).ok()
    } else {
        text.parse().ok()
    }
}

/// A text in quotes, as Python's `repr` shows it; letters beyond ASCII stay as they are.
pub fn python_repr(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

/// Texts in Python's list notation, `['a', 'b']`: how the original shows several values.
pub fn python_list<T: AsRef<str>>(texts: &[T]) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| python_repr(text.as_ref())).collect();
    format!("[{}]", quoted.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    static GROUPS: &[OptionGroup] = &[OptionGroup {
        heading: "All",
        options: &[
            flag(&["-a"], ""),
            flag(&["-q", "--quiet"], ""),
            stops(&["--help", "-?"], ""),
            int(&["-B"], "N", ""),
            text(&["--prefix"], "TEXT", ""),
            flag(&["--incremental"], ""),
            text(&["--exclude-schema-file"], "FILE", ""),
            text(&["--exclude-table-file"], "FILE", ""),
            word(&["-G"], &["include", "only"], ""),
            word(&["--restore-stats"], &["include", "only"], ""),
            list(&["-x"], "DATABASE", ""),
            text(&["--remote-bin"], "DIR", "").of(Origin::Ours),
        ],
    }];

    fn line(text: &str) -> Result<Parsed, String> {
        let argv: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        parse(GROUPS, &argv).map_err(|e| e.to_string())
    }

    #[test]
    fn all_ways_to_write_an_option_are_understood() {
        let parsed = line("w1 -aqxsales -x hr --prefix=a=b w2 --incr -B 010 - -- -z").unwrap();
        assert_eq!(parsed.values("-x"), ["sales", "hr"]);
        assert_eq!(parsed.text("--prefix"), Some("a=b"));
        assert_eq!(parsed.int("-B"), Some(8));
        assert!(parsed.has("-a") && parsed.has("-q") && parsed.has("--incremental") && !parsed.has("-G"));
        assert_eq!(parsed.words(), ["w1", "w2", "-", "-z"]);
        assert_eq!(
            parsed.order().collect::<Vec<_>>(),
            ["-a", "-q", "-x", "-x", "--prefix", "--incremental", "-B"]
        );
    }

    #[test]
    fn a_value_may_start_with_a_dash_and_the_last_of_several_wins() {
        let parsed = line("--prefix -a --prefix=z --prefix y").unwrap();
        assert_eq!((parsed.text("--prefix"), parsed.has("-a")), (Some("y"), false));
        let empty = parse(GROUPS, &["--prefix".into(), String::new(), "-x".into(), String::new()]).unwrap();
        assert!(!empty.has("--prefix") && empty.has("-x"));
    }

    #[test]
    fn an_optional_word_is_the_next_word_unless_that_is_an_option() {
        let word = |text: &str, id: &str| line(text).unwrap().text(id).map(str::to_owned);
        assert_eq!(word("-G", "-G").unwrap(), "include");
        assert_eq!(word("-G only", "-G").unwrap(), "only");
        assert_eq!(word("-G -a", "-G").unwrap(), "include");
        assert_eq!(word("-Ga only", "-G").unwrap(), "only");
        assert_eq!(word("--restore-stats only -G", "--restore-stats").unwrap(), "only");
    }

    #[test]
    fn help_ends_the_reading_where_it_stands() {
        let parsed = line("-a -? --nosuch").unwrap();
        assert_eq!(parsed.order().last(), Some("--help"));
        assert!(line("--nosuch --help").is_err());
    }

    #[test]
    fn error_texts_are_those_of_the_original() {
        for (text, expected) in [
            ("-X", "no such option: -X"),
            ("-aX", "no such option: -X"),
            ("--foo=1", "no such option: --foo"),
            ("-x", "-x option requires an argument"),
            ("--pre", "--prefix option requires an argument"),
            ("-B abc", "option -B: invalid integer value: 'abc'"),
            ("-B it's", "option -B: invalid integer value: \"it's\""),
            ("--incremental=1", "--incremental option does not take a value"),
            (
                "--ex",
                "ambiguous option: --ex (--exclude-schema-file, --exclude-table-file?)",
            ),
            ("--remote /x", "no such option: --remote"),
            ("--re=x", "--restore-stats option does not take a value"),
            ("-Gonly", "no such option: -o"),
            (
                "-G db",
                "db is not a valid argument for -G.  Valid arguments are \"include\" and \"only\".",
            ),
        ] {
            assert_eq!(line(text).unwrap_err(), expected, "{text}");
        }
        assert_eq!(
            UsageError("no such option: -X".into()).screen_text("gpcrondump"),
            "Usage: gpcrondump [--help] [options] \n\ngpcrondump: error: no such option: -X\n"
        );
    }

    #[test]
    fn lists_are_shown_in_python_notation() {
        assert_eq!(
            python_list(&["w1", "it's", "a\tb", "ü"]),
            "['w1', \"it's\", 'a\\tb', 'ü']"
        );
        assert_eq!(python_list::<&str>(&[]), "[]");
    }
}
