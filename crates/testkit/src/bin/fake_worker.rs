//! A worker that does nothing and says all that a good one says: it stands where `ssh` would, for `scale`.
//!
//! It answers the requests of a dump (`worker::protocol` of the library), for as many segments as it is told.

use std::io::{self, BufRead, Write};

use serde_json::{Value, json};

/// That of the library: a program of another number refuses us, and the benchmark fails with its sentence.
const PROTOCOL: u32 = 5;

/// Totals in one event.
const PART: usize = 2000;

fn main() -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let version = env!("CARGO_PKG_VERSION");
    let hello = json!({"hello": {"version": version, "protocol": PROTOCOL, "pid": std::process::id(), "host": "fake"}});
    say(&mut out, &hello)?;
    let mut contents: Vec<Value> = Vec::new();
    let mut tables = 0;
    for line in io::stdin().lock().lines() {
        let line = line?;
        // Most of the bytes are lists of tables: only their number matters here.
        if line.starts_with("{\"tables\"") {
            tables += line.matches("\"owner\":").count();
            continue;
        }
        if line == "\"alive\"" {
            say(&mut out, &json!("alive"))?;
            continue;
        }
        let request: Value = serde_json::from_str(&line)?;
        let (name, body) = match &request {
            Value::String(name) => (name.as_str(), &Value::Null),
            Value::Object(object) => match object.iter().next() {
                Some((name, body)) => (name.as_str(), body),
                None => continue,
            },
            _ => continue,
        };
        let each = |event: &str| -> Vec<Value> {
            let of = |content: &Value| json!({ event: {"content": content} });
            contents.iter().map(of).collect()
        };
        let answers: Vec<Value> = match name {
            "prepare" => {
                let directories = body["directories"].as_array().cloned().unwrap_or_default();
                let state = json!({"Ok": {"created": true, "free_bytes": 1_u64 << 50, "device": 1}});
                let of = |wanted: &Value| json!({"prepared": {"content": wanted["content"], "result": state}});
                directories.iter().map(of).collect()
            }
            "start-dump" => {
                let segments = body["segments"].as_array().cloned().unwrap_or_default();
                contents = segments.iter().map(|s| s["instance"]["content"].clone()).collect();
                tables = 0;
                Vec::new()
            }
            "tables-end" => each("ready"),
            "open-snapshots" => each("snapshot-open"),
            "read-states" => {
                let of = |content: &Value| json!({"states": {"content": content, "part": "end"}});
                contents.iter().map(of).collect()
            }
            "copy-data" => {
                for content in &contents {
                    say(
                        &mut out,
                        &json!({"progress": {"content": content, "tables": tables, "rows": tables, "bytes": 9 * tables}}),
                    )?;
                }
                let mut first = 0;
                while first < tables {
                    let count = PART.min(tables - first);
                    let segments = contents.len();
                    let totals = vec![json!({"rows": segments, "bytes": 9 * segments}); count];
                    say(&mut out, &json!({"totals": {"first": first, "totals": totals}}))?;
                    first += count;
                }
                let finished = |content: &Value| {
                    let stamp = |kind: &str, size: u64| json!({"name": name_of(kind, content), "size": size, "sha256": "0".repeat(64)});
                    json!({"finished": {"content": content, "files": [stamp("data", 1 << 20), stamp("index", 1 << 10)]}})
                };
                contents.iter().map(finished).collect()
            }
            "publish" => each("published"),
            "find" => {
                let names = body["names"].as_array().cloned().unwrap_or_default();
                let size = |name: &Value| {
                    let is_data = name.as_str().is_some_and(|name| name.starts_with("data"));
                    if is_data { 1_u64 << 20 } else { 1 << 10 }
                };
                let of = |name: &Value| json!({"name": name, "size": size(name)});
                vec![json!({"found": {"files": names.iter().map(of).collect::<Vec<_>>(), "problems": []}})]
            }
            "write-file" => vec![json!({"written": {"path": body["path"], "result": {"Ok": null}}})],
            "reset" => vec![json!("reset-done")],
            _ => Vec::new(),
        };
        for answer in answers {
            say(&mut out, &answer)?;
        }
    }
    Ok(())
}

fn name_of(kind: &str, content: &Value) -> String {
    format!("{kind}-of-segment-{content}")
}

fn say(out: &mut impl Write, event: &Value) -> io::Result<()> {
    serde_json::to_writer(&mut *out, event)?;
    out.write_all(b"\n")?;
    out.flush()
}
