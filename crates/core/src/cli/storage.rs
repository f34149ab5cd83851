//! Where the secrets of a storage come from, read once, at the edge: a file, the environment, or the provider's own file.
//!
//! Never from an option: what stands there is seen by every user of the machine, and goes into the log.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio_util::sync::CancellationToken;

use super::optparse::{OptionGroup, Origin, Parsed, flag, text};
use super::program::limits;
use crate::store::files::Files;
use crate::words::environment::Environment;
use crate::words::place::{BadStorageUrl, Place, Scheme, StorageUrl};
use crate::words::refusal::Refusal;
use crate::words::storage::{Account, PART_BYTES, Secret, StorageAccess};

/// The options of both programs.
pub const GROUP: OptionGroup = OptionGroup {
    heading: "Sets in an object storage",
    options: &[
        text(
            &["--storage"],
            "URL",
            "the files lie in a bucket: s3://BUCKET/PREFIX or cos://BUCKET-APPID.cos.REGION.myqcloud.com/PREFIX; or under \
             file:///DIRECTORY, as -u",
        )
        .of(Origin::Ours),
        text(
            &["--storage-credentials"],
            "FILE",
            "read the account of the storage from FILE, which only its owner may read, instead of the environment or the \
             provider's own file",
        )
        .of(Origin::Ours),
        text(
            &["--storage-endpoint"],
            "URL",
            "server of the storage when it is not the provider's own: https://HOST[:PORT]",
        )
        .of(Origin::Ours),
        flag(
            &["--storage-path-style"],
            "put the bucket into the path of a URL and not into the name of its host",
        )
        .of(Origin::Ours),
    ],
};

/// An option that says nothing without the first of them.
pub fn companion(options: &Parsed) -> Option<String> {
    if options.has("--storage") {
        return None;
    }
    let companion = options.order().find(|id| id.starts_with("--storage-"))?;
    Some(format!("{companion} can only be selected with --storage option"))
}

/// Names and values, all names in small letters.
type Settings = BTreeMap<String, String>;

/// The root that `--storage` or `-u` names.
pub fn root(options: &Parsed) -> Result<Option<Place>, Refusal> {
    let Some(text) = options.text("--storage") else {
        return Ok(options.text("-u").map(|directory| PathBuf::from(directory).into()));
    };
    if let Some(path) = text.strip_prefix("file://") {
        return match path.starts_with('/') {
            true => Ok(Some(PathBuf::from(path).into())),
            false => Err(Refusal::failed(format!(
                "--storage \"{text}\": file:// must be followed by an absolute path"
            ))),
        };
    }
    let url = StorageUrl::parse(text).map_err(|bad| {
        let hint = match bad {
            BadStorageUrl::CosHost(_) => "the console of the bucket shows that name as its access domain.",
            _ => "for instance --storage s3://BUCKET/PREFIX, with one prefix for each cluster; see docs/storage.md.",
        };
        Refusal::failed(format!("--storage \"{text}\" cannot be used: {bad}")).with_hint(hint)
    })?;
    Ok(Some(Place::Stored(url)))
}

/// The way to the files of a run; `root` is where its sets are. `cancel` ends every wait for the storage.
pub fn open_files(
    root: Option<&Place>,
    options: &Parsed,
    environment: &Environment,
    cancel: CancellationToken,
) -> Result<Files, Refusal> {
    let Some(Place::Stored(url)) = root else {
        return Ok(Files::default());
    };
    let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let access = access(url, options, &environment.home, &variable)?;
    Files::with_bucket(access, limits(options), cancel)
        .map_err(|error| Refusal::failed(format!("could not prepare the way to {url}: {error}")))
}

/// A signal ends the waits for the storage too. In the runtime of the program.
pub fn end_with(signals: &CancellationToken, waits: &CancellationToken) {
    let (signals, waits) = (signals.clone(), waits.clone());
    tokio::spawn(async move {
        signals.cancelled().await;
        waits.cancel();
    });
}

fn access(
    url: &StorageUrl,
    options: &Parsed,
    home: &Path,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<StorageAccess, Refusal> {
    let given = match options.text("--storage-credentials") {
        None => Settings::default(),
        Some(file) => {
            let path = Path::new(file);
            private(path)?;
            let text = fs::read_to_string(path).map_err(|error| could_not_read(path, &error))?;
            sections(&text).into_values().flatten().collect()
        }
    };
    let first = |names: &[&str]| names.iter().find_map(|name| variable(name));
    let account = account(url.scheme, &given, &first, home, variable)?;
    let profile = variable("AWS_PROFILE").unwrap_or_else(|| "default".to_owned());
    let of_config = |name: &str| {
        let file = aws_file(home, variable, "AWS_CONFIG_FILE", "config");
        of_profile(&file, &profile, name)
    };
    let region = match url.region() {
        Some(region) => Some(region.to_owned()),
        None => (given.get("region").cloned())
            .or_else(|| first(&["AWS_REGION", "AWS_DEFAULT_REGION"]))
            .or_else(|| of_config("region")),
    };
    let endpoint = (options.text("--storage-endpoint").map(str::to_owned))
        .or_else(|| given.get("endpoint").cloned())
        .or_else(|| first(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]).filter(|_| url.scheme == Scheme::S3));
    if let Some(endpoint) = &endpoint {
        check_endpoint(endpoint)?;
    }
    let authorities = (given.get("ca_bundle").cloned())
        .or_else(|| variable("AWS_CA_BUNDLE"))
        .or_else(|| of_config("ca_bundle"))
        .map(|file| authorities(Path::new(&file)))
        .transpose()?;
    let part_bytes = variable("GPDUMP_STORAGE_PART_BYTES").and_then(|text| text.parse().ok());
    Ok(StorageAccess {
        root: url.clone(),
        account,
        region: region.unwrap_or_else(|| "us-east-1".to_owned()),
        endpoint,
        path_style: options.has("--storage-path-style") || given.get("path_style").is_some_and(|word| word == "true"),
        authorities,
        part_bytes: part_bytes.filter(|bytes| *bytes > 0).unwrap_or(PART_BYTES),
    })
}

const KEY_IDS: [&str; 4] = ["aws_access_key_id", "access_key_id", "secret_id", "secretid"];
const SECRETS: [&str; 4] = ["aws_secret_access_key", "secret_access_key", "secret_key", "secretkey"];
const TOKENS: [&str; 3] = ["aws_session_token", "session_token", "token"];

fn account(
    scheme: Scheme,
    given: &Settings,
    first: &dyn Fn(&[&str]) -> Option<String>,
    home: &Path,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Account, Refusal> {
    let of_settings = |settings: &Settings| {
        let any = |names: &[&str]| names.iter().find_map(|name| settings.get(*name)).map(Secret::new);
        Some(Account {
            key_id: any(&KEY_IDS)?,
            secret: any(&SECRETS)?,
            token: any(&TOKENS),
        })
    };
    if let Some(account) = of_settings(given) {
        return Ok(account);
    }
    if !given.is_empty()
        && given
            .keys()
            .any(|key| KEY_IDS.contains(&key.as_str()) || SECRETS.contains(&key.as_str()))
    {
        return Err(Refusal::failed(
            "the file of --storage-credentials has one of access_key_id and secret_access_key",
        )
        .with_hint("both are needed, each on a line of its own: access_key_id = ..., secret_access_key = ...."));
    }
    let aws = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN");
    let tencent = (
        "TENCENTCLOUD_SECRET_ID",
        "TENCENTCLOUD_SECRET_KEY",
        "TENCENTCLOUD_SESSION_TOKEN",
    );
    let in_order = match scheme {
        Scheme::S3 => vec![aws],
        Scheme::Cos => vec![tencent, aws],
    };
    for (key_id, secret, token) in in_order {
        if let (Some(key_id), Some(secret)) = (first(&[key_id]), first(&[secret])) {
            return Ok(Account {
                key_id: Secret::new(key_id),
                secret: Secret::new(secret),
                token: first(&[token]).map(Secret::new),
            });
        }
    }
    let profile = variable("AWS_PROFILE").unwrap_or_else(|| "default".to_owned());
    let aws_credentials = aws_file(home, variable, "AWS_SHARED_CREDENTIALS_FILE", "credentials");
    let mut places = vec![(aws_credentials, profile)];
    if scheme == Scheme::Cos {
        places.insert(0, (home.join(".cos.conf"), "common".to_owned()));
    }
    for (path, section) in &places {
        let Ok(text) = fs::read_to_string(path) else { continue };
        if let Some(account) = sections(&text).get(section).and_then(of_settings) {
            if let Err(refusal) = private(path) {
                tracing::warn!("{refusal}");
            }
            return Ok(account);
        }
    }
    let looked: Vec<String> = (places.iter())
        .map(|(path, section)| format!("section [{section}] of {}", path.display()))
        .collect();
    let names = match scheme {
        Scheme::S3 => "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        Scheme::Cos => "TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY",
    };
    Err(
        Refusal::failed("--storage: no account for the storage is known").with_hint(format!(
            "set {names}, or name a file that has them with --storage-credentials; {} was looked at too.",
            looked.join(" and ")
        )),
    )
}

fn aws_file(home: &Path, variable: &dyn Fn(&str) -> Option<String>, name: &str, file: &str) -> PathBuf {
    variable(name).map_or_else(|| home.join(".aws").join(file), PathBuf::from)
}

/// The other file calls a section `[profile NAME]`.
fn of_profile(path: &Path, profile: &str, name: &str) -> Option<String> {
    let sections = sections(&fs::read_to_string(path).ok()?);
    let of = |section: &str| sections.get(section)?.get(name).cloned();
    of(profile).or_else(|| of(&format!("profile {profile}")))
}

/// Lines `name = value` below lines `[section]`; those above the first section belong to the one without a name.
fn sections(text: &str) -> BTreeMap<String, Settings> {
    let mut found: BTreeMap<String, Settings> = BTreeMap::new();
    let mut section = String::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name.trim().to_owned();
        } else if let Some((name, value)) = line.split_once('=') {
            let settings = found.entry(section.clone()).or_default();
            settings.insert(
                name.trim().to_ascii_lowercase(),
                value.trim().trim_matches('"').to_owned(),
            );
        }
    }
    found
}

/// A secret that others can read is none.
fn private(path: &Path) -> Result<(), Refusal> {
    let meta = fs::metadata(path).map_err(|error| could_not_read(path, &error))?;
    if !meta.is_file() {
        return Err(Refusal::failed(format!("\"{}\" is not a file", path.display())));
    }
    match meta.mode() & 0o077 {
        0 => Ok(()),
        _ => Err(Refusal::failed(format!(
            "file \"{}\" holds a secret, and others than its owner may read or change it",
            path.display()
        ))
        .with_hint(format!("take their rights away: chmod 600 \"{}\".", path.display()))),
    }
}

fn could_not_read(path: &Path, error: &std::io::Error) -> Refusal {
    Refusal::failed(format!(
        "could not read the credentials of the storage in \"{}\": {error}",
        path.display()
    ))
}

/// Certificates of a file; hosts that have no such file are told them.
fn authorities(path: &Path) -> Result<String, Refusal> {
    let refuse = |why: String| {
        Refusal::failed(format!(
            "could not read the certificates of those who may sign for the storage in \"{}\": {why}",
            path.display()
        ))
        .with_hint("AWS_CA_BUNDLE, or ca_bundle in the file of the credentials, names a file with certificates in PEM.")
    };
    let text = fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
    let mut certificates = CertificateDer::pem_slice_iter(text.as_bytes());
    match certificates.next() {
        Some(Ok(_)) => Ok(text),
        Some(Err(error)) => Err(refuse(error.to_string())),
        None => Err(refuse("there is no certificate in it".to_owned())),
    }
}

fn check_endpoint(endpoint: &str) -> Result<(), Refusal> {
    let host = endpoint
        .strip_prefix("https://")
        .or_else(|| endpoint.strip_prefix("http://"));
    match host.map(|host| host.trim_end_matches('/')) {
        Some(host) if !host.is_empty() && !host.contains(['/', '@', '?', '#', ' ']) => Ok(()),
        _ => Err(Refusal::failed(format!(
            "\"{}\" cannot be the server of a storage",
            // A name and a password in front of the host are somebody's secret.
            endpoint.rsplit('@').next().unwrap_or_default()
        ))
        .with_hint("give https://HOST or https://HOST:PORT, without the bucket.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup<'a>(variables: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        move |name| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned())
    }

    fn parsed(words: &[&str]) -> Parsed {
        use crate::cli::optparse::parse;
        static GROUPS: &[OptionGroup] = &[
            OptionGroup {
                heading: "",
                options: &[text(&["-u"], "DIRECTORY", "")],
            },
            GROUP,
        ];
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        parse(GROUPS, &words).unwrap()
    }

    #[test]
    fn a_root_is_a_directory_or_a_url() {
        let of = |words: &[&str]| root(&parsed(words)).map(|root| root.map(|root| root.to_string()));
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&["-u", "/backup"]), Ok(Some("/backup".to_owned())));
        assert_eq!(of(&["--storage", "file:///backup"]), Ok(Some("/backup".to_owned())));
        assert_eq!(of(&["--storage", "s3://shop/a/"]), Ok(Some("s3://shop/a".to_owned())));
        let refused = of(&["--storage", "/backup"]).unwrap_err();
        assert_eq!(
            refused.text,
            "--storage \"/backup\" cannot be used: it begins with none of s3://, cos:// and file:///"
        );
        assert!(of(&["--storage", "file://backup"]).is_err());
    }

    #[test]
    fn secrets_come_from_the_file_then_the_environment_then_the_profile() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join(".aws")).unwrap();
        let credentials = home.path().join(".aws/credentials");
        fs::write(&credentials, "[default]\naws_access_key_id=P\naws_secret_access_key = ps\n[w]\naws_access_key_id=W\naws_secret_access_key=ws\n").unwrap();
        fs::write(home.path().join(".aws/config"), "[profile w]\nregion = eu-north-1\n").unwrap();
        let s3 = StorageUrl::parse("s3://shop").unwrap();
        let get = |url: &StorageUrl, words: &[&str], variables: &[(&str, &str)]| {
            access(url, &parsed(words), home.path(), &lookup(variables)).map(|access| {
                let secret = access.account.secret.reveal().to_owned();
                (access.account.key_id.reveal().to_owned(), secret, access.region)
            })
        };
        let expect = |a: &str, b: &str, c: &str| Ok((a.to_owned(), b.to_owned(), c.to_owned()));
        assert_eq!(get(&s3, &[], &[]), expect("P", "ps", "us-east-1"));
        assert_eq!(get(&s3, &[], &[("AWS_PROFILE", "w")]), expect("W", "ws", "eu-north-1"));
        let variables = [
            ("AWS_ACCESS_KEY_ID", "E"),
            ("AWS_SECRET_ACCESS_KEY", "es"),
            ("AWS_REGION", "r"),
        ];
        assert_eq!(get(&s3, &[], &variables), expect("E", "es", "r"));
        let own = home.path().join("own");
        fs::write(
            &own,
            "# ours\naccess_key_id = F\nsecret_access_key = \"fs\"\nregion=x\n",
        )
        .unwrap();
        let words = ["--storage-credentials", own.to_str().unwrap()];
        let set_mode = |mode| {
            let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
            fs::set_permissions(&own, permissions).unwrap();
        };
        set_mode(0o644);
        let refused = get(&s3, &words, &variables).unwrap_err();
        assert!(refused.text.contains("others than its owner"), "{refused}");
        set_mode(0o600);
        assert_eq!(get(&s3, &words, &variables), expect("F", "fs", "x"));
        let cos = StorageUrl::parse("cos://cold-1250000000.cos.ap-shanghai.myqcloud.com").unwrap();
        let tencent = [("TENCENTCLOUD_SECRET_ID", "T"), ("TENCENTCLOUD_SECRET_KEY", "ts")];
        assert_eq!(get(&cos, &[], &tencent), expect("T", "ts", "ap-shanghai"));
        fs::remove_file(&credentials).unwrap();
        let refused = get(&s3, &[], &[]).unwrap_err();
        assert!(refused.hint.unwrap().contains("AWS_ACCESS_KEY_ID"));
    }

    #[test]
    fn a_server_is_a_url_without_secrets() {
        for good in ["http://localhost:9000", "https://minio.example.org/"] {
            assert!(check_endpoint(good).is_ok(), "{good}");
        }
        for bad in [
            "localhost:9000",
            "https://a:topsecret@host",
            "https://",
            "https://h/path",
        ] {
            let refused = check_endpoint(bad).unwrap_err();
            assert!(!refused.text.contains("topsecret"));
        }
    }
}
