//! `--external` and its companions, the same for both programs: templates and secrets from files and the environment.

use std::io::Read;
use std::os::unix::fs::MetadataExt;

use super::optparse::{OptionDef, Origin, Parsed, text};
use crate::format::external_template::{self, RowFormat, SCRIPT_PATH, Template};
use crate::plan::external::{ExternalAccess, ExternalRequest};
use crate::words::refusal::Refusal;
use crate::words::secret::Secrets;

/// Tables at once, when `-B` does not say: each keeps all segments busy.
const STREAMS: usize = 4;

/// The option that asks for all this.
pub const EXTERNAL: &str = "--external";

/// Where the secrets are, for both programs.
pub const SECRETS: OptionDef = text(
    &["--external-secrets"],
    "FILE",
    "NAME=value lines for COS_SECRET_ID, COS_SECRET_KEY or what the protocol needs; mode 0600; without it the variables \
     of these names",
)
.of(Origin::Ours);

/// An option that says nothing without it.
pub fn external_companion(options: &Parsed) -> Option<String> {
    if options.has(EXTERNAL) {
        return None;
    }
    let companion = options.order().find(|id| id.starts_with("--external-"))?;
    Some(format!("{companion} can only be selected with --external option"))
}

/// What a dump is to do; `None`: nothing of the kind.
pub fn dump_request(options: &Parsed) -> Result<Option<ExternalRequest>, Refusal> {
    let Some(mut template) = named_template(options)? else {
        return Ok(None);
    };
    if let Some(path) = options.text("--external-path") {
        template.path = match path {
            "script" => SCRIPT_PATH.to_owned(),
            path => path.to_owned(),
        };
        external_template::check_path(&template.path)
            .map_err(|bad| Refusal::failed(format!("--external-path \"{path}\": {bad}")))?;
    }
    match options.text("--external-format") {
        Some("csv") => template.format = RowFormat::Csv,
        Some(_) => template.format = RowFormat::Text,
        None => {}
    }
    let bucket = bucket(options)?;
    if bucket.is_none() && template.location.contains("{bucket}") {
        return Err(Refusal::failed(
            "--external needs the host name of the bucket: give it with --external-bucket",
        ));
    }
    let secrets = secrets(options, &template.secrets)?;
    if let Some(missing) = template.secrets.iter().find(|name| secrets.get(name).is_none()) {
        return Err(
            Refusal::failed(format!("the secret {missing} is missing")).with_hint(format!(
                "set the variable {missing}, or name a file of mode 0600 that has a line {missing}=... with \
             --external-secrets FILE"
            )),
        );
    }
    Ok(Some(ExternalRequest {
        template,
        bucket,
        not_of: options
            .values("--external-exclude-owner")
            .into_iter()
            .map(str::to_owned)
            .collect(),
        streams: streams(options),
        secrets,
    }))
}

/// How a restore gets at rows in a storage. Of what a set needs nothing is known yet.
pub fn access(options: &Parsed) -> Result<ExternalAccess, Refusal> {
    let template = named_template(options)?;
    let mut names = Template::cos().secrets;
    names.extend(template.iter().flat_map(|template| template.secrets.clone()));
    Ok(ExternalAccess {
        bucket: bucket(options)?,
        streams: streams(options),
        secrets: secrets(options, &names)?,
        template,
    })
}

fn streams(options: &Parsed) -> usize {
    options.int("-B").and_then(|n| n.try_into().ok()).unwrap_or(STREAMS)
}

/// It becomes a piece of a LOCATION.
fn bucket(options: &Parsed) -> Result<Option<String>, Refusal> {
    let Some(bucket) = options.text("--external-bucket") else {
        return Ok(None);
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
    match bucket.is_empty() || !bucket.chars().all(is_plain) {
        false => Ok(Some(bucket.to_owned())),
        true => Err(Refusal::failed(format!(
            "--external-bucket \"{bucket}\" is no host name: it is the address of the bucket without protocol and path"
        ))),
    }
}

fn named_template(options: &Parsed) -> Result<Option<Template>, Refusal> {
    let name = match options.text(EXTERNAL) {
        None => return Ok(None),
        Some("cos") => return Ok(Some(Template::cos())),
        Some(name) => name,
    };
    let refuse = |why: String| {
        Refusal::failed(format!(
            "--external \"{name}\" is neither \"cos\" nor a file that describes a protocol: {why}"
        ))
    };
    let meta = std::fs::metadata(name).map_err(|error| refuse(error.to_string()))?;
    if !meta.is_file() || meta.len() > external_template::LARGEST {
        return Err(refuse("it is no regular file of at most 64 KiB".to_owned()));
    }
    let text = std::fs::read_to_string(name).map_err(|error| refuse(error.to_string()))?;
    Template::parse(&text).map(Some).map_err(refuse)
}

/// Of the file where it has them, else of the environment. What is empty is not there.
fn secrets(options: &Parsed, names: &[String]) -> Result<Secrets, Refusal> {
    let mut secrets = Secrets::default();
    let refuse = |why: String| Refusal::failed(why);
    for name in names {
        if let Ok(value) = std::env::var(name)
            && !value.is_empty()
        {
            secrets.add(name, &value).map_err(refuse)?;
        }
    }
    if let Some(file) = options.text("--external-secrets") {
        for (name, value) in read_secrets(file)? {
            secrets
                .add(&name, &value)
                .map_err(|why| Refusal::failed(format!("--external-secrets \"{file}\": {why}")))?;
        }
    }
    Ok(secrets)
}

/// `NAME=value` lines; empty ones and those that begin with `#` say nothing.
fn read_secrets(file: &str) -> Result<Vec<(String, String)>, Refusal> {
    let refuse = |why: String| Refusal::failed(format!("--external-secrets \"{file}\": {why}"));
    let mut opened = std::fs::File::open(file).map_err(|error| refuse(error.to_string()))?;
    // Of the file that was opened, not of what bears its name by now.
    let meta = opened.metadata().map_err(|error| refuse(error.to_string()))?;
    if !meta.is_file() || meta.len() > external_template::LARGEST {
        return Err(refuse("it is no regular file of at most 64 KiB".to_owned()));
    }
    if meta.mode() & 0o077 != 0 {
        return Err(
            refuse("others than its owner can read or write it".to_owned()).with_hint(format!(
                "run: chmod 0600 {file}; and change the secrets if others may have read them"
            )),
        );
    }
    let own = rustix::process::geteuid().as_raw();
    if meta.uid() != own && meta.uid() != 0 {
        return Err(refuse(format!(
            "it belongs to the account with id {}, and must belong to the one that runs this program or to root",
            meta.uid()
        )));
    }
    let mut text = String::new();
    opened
        .read_to_string(&mut text)
        .map_err(|error| refuse(error.to_string()))?;
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // The line itself is not shown: it may be nothing but a secret.
        let (name, value) = line
            .split_once('=')
            .ok_or_else(|| refuse(format!("line {number} is not NAME=value")))?;
        found.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn secrets_come_from_a_file_that_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let file = path.to_str().unwrap();
        std::fs::write(&path, "# of nightly\n\nCOS_SECRET_ID = AKIDx\nCOS_SECRET_KEY=a=b\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let refusal = read_secrets(file).unwrap_err();
        assert!(
            refusal.text.contains("others than its owner can read or write it"),
            "{refusal}"
        );
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(
            read_secrets(file).unwrap(),
            [
                ("COS_SECRET_ID".to_owned(), "AKIDx".to_owned()),
                ("COS_SECRET_KEY".to_owned(), "a=b".to_owned())
            ]
        );
        std::fs::write(&path, "s3cr3t\n").unwrap();
        let refusal = read_secrets(file).unwrap_err();
        assert!(
            refusal.text.contains("line 1") && !refusal.text.contains("s3cr3t"),
            "{refusal}"
        );
    }
}
