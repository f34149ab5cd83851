//! Files on hosts where no program of ours need be: listed, read and copied with what every shell has.
//!
//! The same words run here in a shell and on another host behind ssh. A copy passes through this process, which sums it
//! on its way; it gets its name only when size and sum are right.

use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;

use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::{Launcher, quote_for_shell};
use crate::plan::restore::remote::{FileCopy, Listing};
use crate::words::cluster::HostName;

/// Most bytes of a listing or a small file.
const SMALL_LIMIT: u64 = 64 << 20;
const CHUNK_BYTES: usize = 1 << 20;
/// Most of what a program wrote to its standard error.
const SAID_LIMIT: u64 = 2000;

/// Why it could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not {what} on host {host}: {why}")]
    Failed { what: String, host: HostName, why: String },
}

impl Error {
    pub fn hint(&self) -> &'static str {
        "try `ssh HOST true` as this user: it must log in without a password"
    }
}

impl Launcher {
    /// The command that runs a script for `/bin/sh` on a host.
    fn shell(&self, host: &HostName, script: &str) -> Vec<OsString> {
        if self.is_local(host) {
            return vec!["/bin/sh".into(), "-c".into(), script.into()];
        }
        // The login shell there may be any.
        let mut words = self.ssh_words();
        let remote = format!("exec /bin/sh -c {}", quote_for_shell(script));
        words.extend(["--".into(), OsString::from(&host.0), OsString::from(remote)]);
        words
    }

    fn spawn_shell(&self, host: &HostName, script: &str, what: &str) -> Result<Child, Error> {
        let words = self.shell(host, script);
        Command::new(&words[0])
            .args(&words[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed(what, host, error))
    }

    /// The ordinary files of a directory; `None`: there is no such directory.
    pub async fn list_files(&self, host: &HostName, directory: &Path) -> Result<Option<Listing>, Error> {
        let what = format!("list {}", directory.display());
        let script = format!(
            "cd -- {} 2>/dev/null || {{ echo gone; exit 0; }}; for f in *; do if [ -f \"$f\" ]; then \
             printf '%s %s\\n' \"$(wc -c < \"$f\" | tr -d ' ')\" \"$f\"; fi; done; echo end",
            word(directory)
        );
        let text = self.small(host, &script, &what).await?;
        let text = String::from_utf8_lossy(&text);
        let mut lines: Vec<&str> = text.lines().collect();
        match lines.pop() {
            Some("gone") => return Ok(None),
            Some("end") => {}
            _ => return Err(failed(&what, host, "its answer was cut off")),
        }
        let listed = lines.into_iter().filter_map(|line| {
            let (size, name) = line.split_once(' ')?;
            Some((name.to_owned(), size.parse().ok()?))
        });
        Ok(Some(listed.collect()))
    }

    /// A small file as a whole.
    pub async fn read_small_file(&self, host: &HostName, path: &Path) -> Result<Vec<u8>, Error> {
        let script = format!("exec cat -- {}", word(path));
        self.small(host, &script, &format!("read {}", path.display())).await
    }

    /// Makes a directory that is not there, with those above it, for this user alone.
    pub async fn make_directory(&self, host: &HostName, directory: &Path) -> Result<(), Error> {
        let script = format!("umask 077; exec mkdir -p -- {}", word(directory));
        let what = format!("create directory {}", directory.display());
        self.small(host, &script, &what).await.map(|_| ())
    }

    async fn small(&self, host: &HostName, script: &str, what: &str) -> Result<Vec<u8>, Error> {
        let mut child = self.spawn_shell(host, script, what)?;
        drop(child.stdin.take());
        let stdout = child.stdout.take().expect("stdout was piped");
        let stderr = child.stderr.take().expect("stderr was piped");
        let (out, said) = tokio::join!(read_at_most(stdout, SMALL_LIMIT), read_at_most(stderr, SAID_LIMIT));
        let out = out.map_err(|error| failed(what, host, error))?;
        let status = child.wait().await.map_err(|error| failed(what, host, error))?;
        match status.success() {
            true => Ok(out),
            false => Err(failed(
                what,
                host,
                words_of(said.unwrap_or_default(), &status.to_string()),
            )),
        }
    }

    /// Copies one file between two hosts.
    pub async fn copy_file(&self, from: &HostName, directory: &Path, copy: &FileCopy) -> Result<(), Error> {
        let there = directory.join(&copy.from);
        let what = format!(
            "copy {} to {} on {}",
            there.display(),
            copy.directory.display(),
            copy.host
        );
        if copy.size == 0 {
            // There is no last byte that could be kept back from the copy of a file that cannot be read.
            self.read_small_file(from, &there).await?;
        }
        let mut source = self.spawn_shell(from, &format!("exec cat -- {}", word(&there)), &what)?;
        drop(source.stdin.take());
        // No file is ever written over.
        let script = format!(
            "umask 077; cd -- {directory} || exit 1; n={name}; p={partial}; if [ -e \"$n\" ]; then echo 'a file of that \
             name is there' >&2; exit 1; fi; if cat > \"$p\" && [ \"$(wc -c < \"$p\")\" -eq {size} ]; then sync -- \"$p\" \
             2>/dev/null; exec mv -- \"$p\" \"$n\"; fi; rm -f -- \"$p\"; exit 1",
            directory = word(&copy.directory),
            name = quote_for_shell(&copy.name),
            partial = quote_for_shell(&format!(".{}.partial", copy.name)),
            size = copy.size,
        );
        let mut target = self.spawn_shell(&copy.host, &script, &what)?;
        let mut input = target.stdin.take().expect("stdin was piped");
        let mut output = source.stdout.take().expect("stdout was piped");
        let said_source = source.stderr.take().expect("stderr was piped");
        let said_target = target.stderr.take().expect("stderr was piped");
        let moved = async {
            let moved = pump(&mut output, &mut input, copy).await;
            // Their ends are what both sides wait for, whether all was moved or not.
            drop(input);
            drop(output);
            moved
        };
        let (moved, said_source, said_target) = tokio::join!(
            moved,
            read_at_most(said_source, SAID_LIMIT),
            read_at_most(said_target, SAID_LIMIT)
        );
        let source_status = source.wait().await.map_err(|error| failed(&what, from, error))?;
        let target_status = target.wait().await.map_err(|error| failed(&what, &copy.host, error))?;
        if !target_status.success() && moved.is_ok() || matches!(moved, Err(Trouble::Target(_))) {
            let why = words_of(said_target.unwrap_or_default(), &target_status.to_string());
            return Err(failed(&what, &copy.host, why));
        }
        // A source that we stopped listening to fails for that reason alone.
        if !source_status.success() && !matches!(moved, Err(Trouble::TooLong(_))) {
            let why = words_of(said_source.unwrap_or_default(), &source_status.to_string());
            return Err(failed(&what, from, why));
        }
        moved.map_err(|trouble| match trouble {
            Trouble::Source(why) | Trouble::TooLong(why) => failed(&what, from, why),
            Trouble::Target(why) => failed(&what, &copy.host, why),
        })
    }
}

enum Trouble {
    Source(String),
    /// More comes than the file has.
    TooLong(String),
    Target(String),
}

async fn pump(
    output: &mut (impl AsyncRead + Unpin),
    input: &mut (impl AsyncWriteExt + Unpin),
    copy: &FileCopy,
) -> Result<(), Trouble> {
    let mut sum = Sha256::new();
    let mut size = 0u64;
    let mut buffer = vec![0; CHUNK_BYTES];
    // The last byte waits until the sum is known to be right: a copy that lacks it gets no name, whatever happens to us.
    let mut last = None;
    loop {
        let read = output
            .read(&mut buffer)
            .await
            .map_err(|error| Trouble::Source(error.to_string()))?;
        if read == 0 {
            break;
        }
        sum.update(&buffer[..read]);
        size += read as u64;
        if size > copy.size {
            return Err(Trouble::TooLong(wrong_size(size, copy)));
        }
        let sent = if size == copy.size { read - 1 } else { read };
        last = buffer[sent..read].first().copied();
        input
            .write_all(&buffer[..sent])
            .await
            .map_err(|error| Trouble::Target(error.to_string()))?;
    }
    if size != copy.size {
        return Err(Trouble::Source(wrong_size(size, copy)));
    }
    let sum = crate::worker::hex(&sum.finalize());
    if let Some(expected) = copy.sha256.as_ref().filter(|expected| **expected != sum) {
        return Err(Trouble::Source(format!(
            "its SHA-256 is {sum}, the manifest of the set says {expected}: it was changed after the dump"
        )));
    }
    let last: Vec<u8> = last.into_iter().collect();
    input
        .write_all(&last)
        .await
        .map_err(|error| Trouble::Target(error.to_string()))
}

fn wrong_size(size: u64, copy: &FileCopy) -> String {
    format!("{size} bytes or more came of a file that has {}", copy.size)
}

async fn read_at_most(stream: impl AsyncRead + Unpin, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let mut stream = stream;
    (&mut stream).take(limit).read_to_end(&mut text).await?;
    // The rest is of no interest, and must not hold the program up.
    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    Ok(text)
}

fn words_of(said: Vec<u8>, status: &str) -> String {
    let text = String::from_utf8_lossy(&said);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    match lines.is_empty() {
        true => status.to_owned(),
        false => lines.join("; "),
    }
}

fn failed(what: &str, host: &HostName, why: impl std::fmt::Display) -> Error {
    Error::Failed {
        what: what.to_owned(),
        host: host.clone(),
        why: why.to_string(),
    }
}

/// A path as one word for a shell; one that begins with a dash is behind `--` always.
fn word(path: &Path) -> String {
    quote_for_shell(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn launcher() -> Launcher {
        Launcher {
            files: Default::default(),
            gphome: None,
            limits: crate::words::limits::Limits::default(),
            program: PathBuf::from("/nowhere"),
            remote_bin: None,
            ssh: PathBuf::from("ssh"),
            own_names: Vec::new(),
        }
    }

    fn here() -> HostName {
        HostName("localhost".to_owned())
    }

    #[tokio::test]
    async fn a_file_comes_whole_or_not_at_all_and_never_over_another() {
        let root = tempfile::tempdir().unwrap();
        let (from, to) = (root.path().join("it's from"), root.path().join("to"));
        std::fs::create_dir(&from).unwrap();
        let launcher = launcher();
        assert_eq!(launcher.list_files(&here(), &to).await.unwrap(), None);
        launcher.make_directory(&here(), &to).await.unwrap();
        std::fs::write(from.join("a b"), vec![b'x'; 3 << 20]).unwrap();
        std::fs::write(from.join("empty"), "").unwrap();
        let listing = launcher.list_files(&here(), &from).await.unwrap().unwrap();
        assert_eq!(
            listing,
            Listing::from([("a b".to_owned(), 3 << 20), ("empty".to_owned(), 0)])
        );
        let copy = |name: &str, size, sha256| FileCopy {
            from: name.to_owned(),
            host: here(),
            directory: to.clone(),
            name: name.to_owned(),
            size,
            sha256,
        };
        let wrong = copy("a b", 3 << 20, Some("00".to_owned()));
        let error = launcher.copy_file(&here(), &from, &wrong).await.unwrap_err();
        assert!(error.to_string().contains("changed after the dump"), "{error}");
        let wrong = copy("a b", 17, None);
        let error = launcher.copy_file(&here(), &from, &wrong).await.unwrap_err();
        assert!(error.to_string().contains("came of a file that has 17"), "{error}");
        assert_eq!(std::fs::read_dir(&to).unwrap().count(), 0);
        launcher
            .copy_file(&here(), &from, &copy("a b", 3 << 20, None))
            .await
            .unwrap();
        launcher
            .copy_file(&here(), &from, &copy("empty", 0, None))
            .await
            .unwrap();
        assert_eq!(launcher.list_files(&here(), &to).await.unwrap().unwrap(), listing);
        let error = launcher
            .copy_file(&here(), &from, &copy("empty", 0, None))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("a file of that name is there"), "{error}");
        let error = launcher
            .copy_file(&here(), &from, &copy("none", 0, None))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("No such file"), "{error}");
        assert!(!to.join("none").exists());
    }
}
