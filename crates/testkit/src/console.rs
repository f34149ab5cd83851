//! What programs say, without what differs from run to run.

/// The lines of a console: level and text, with the prefix of time, pid, host and user cut off, and keys, dates, times,
/// numbers of ports and directories replaced by their names. Lines of other shapes are kept as they are.
pub fn redacted(console: &str) -> Vec<String> {
    console.lines().map(line).collect()
}

fn line(line: &str) -> String {
    // 20261122:10:34:44:030612 gpcrondump:vm:gpadmin-[INFO]:-Starting gpcrondump with args: -a -x demo
    let text = match line.find("-[") {
        Some(at) if line[..at].bytes().filter(|b| *b == b':').count() >= 6 => &line[at + 1..],
        _ => line,
    };
    let mut words: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let before = words.iter().rev().find(|w| !w.is_empty()).map(String::as_str);
        words.push(match before {
            Some("-p") => "<port>".into(),
            Some("-h") => "<host>".into(),
            Some("-U") => "<user>".into(),
            _ => redact(word),
        });
    }
    words.join(" ")
}

fn redact(word: &str) -> String {
    let Some(slash) = word.find('/') else {
        return digits(word);
    };
    let (before, path) = word.split_at(slash);
    // `--gp-d=db_dumps/20261122` has no directory in front.
    if before.ends_with("db_dumps") {
        return format!("{before}{}", digits(path));
    }
    // Where $GPHOME is not set, the programs name it instead of the directory.
    let before = before.trim_end_matches("$GPHOME");
    let end = path.trim_end_matches([':', ',', '.']).len();
    let (path, after) = path.split_at(end);
    let inside = path.find("/db_dumps").map_or("", |at| &path[at..]);
    format!("{before}<dir>{}{after}", digits(inside))
}

/// Keys, dates and times of day.
fn digits(word: &str) -> String {
    let mut out = String::new();
    let mut rest = word;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = rest
            .find(|c: char| !(c.is_ascii_digit() || c == ':'))
            .unwrap_or(rest.len());
        let run = rest[..length].trim_end_matches(':');
        out.push_str(match (run.len(), run.contains(':')) {
            (14, false) => "<key>",
            (8, false) => "<date>",
            (8, true) => "<time>",
            _ => run,
        });
        rest = &rest[run.len()..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_run_to_run_is_replaced() {
        for (line, shown) in [
            (
                "20261122:10:34:44:030612 gpcrondump:vm:gpadmin-[INFO]:-Created /data/m/gpseg-1/db_dumps/20261122",
                "[INFO]:-Created <dir>/db_dumps/<date>",
            ),
            (
                "20261122:10:34:49:030612 gpcrondump:vm:gpadmin-[INFO]:-Dump end time      = 10:34:48",
                "[INFO]:-Dump end time      = <time>",
            ),
            (
                "20261122:10:34:46:030612 gpcrondump:vm:gpadmin-[INFO]:-gp_dump -p 15432 -U gpadmin --gp-d=db_dumps/20261122 --gp-k=20261122103444 1",
                "[INFO]:-gp_dump -p <port> -U <user> --gp-d=db_dumps/<date> --gp-k=<key> 1",
            ),
            ("something else", "something else"),
        ] {
            assert_eq!(redacted(line), [shown]);
        }
    }
}
