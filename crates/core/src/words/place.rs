//! Where a directory or a file of a dump set lies: on a host, or in a bucket of an object storage.
//!
//! A place in a bucket is written as its URL, `s3://bucket/prefix/db_dumps/20240102/gp_dump_20240102030405.rpt`, in manifests
//! and messages alike; whatever begins with `s3://` or `cos://` is one. All else is a path of a host.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A directory or a file.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// A path, on the host that the context names.
    Local(PathBuf),
    /// The same for all hosts.
    Stored(StorageUrl),
}

/// The kind of object storage: what the name of a bucket means, and where its server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    S3,
    Cos,
}

/// `s3://<bucket>/<key>` or `cos://<host of the bucket>/<key>`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StorageUrl {
    pub scheme: Scheme,
    /// The bucket of `s3`; the bucket's own host name of `cos`.
    pub authority: String,
    /// No `/` at either end; may be empty.
    pub key: String,
}

/// Why a text is no URL of a storage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadStorageUrl {
    #[error("it begins with none of s3://, cos:// and file:///")]
    Scheme,
    #[error("it names no bucket")]
    NoBucket,
    #[error("\"{0}\" cannot be the name of a bucket: names have 3 to 63 small letters, digits, dots and hyphens")]
    Bucket(String),
    #[error("\"{0}\" is not the host of a bucket as Tencent Cloud names them: BUCKET-APPID.cos.REGION.myqcloud.com")]
    CosHost(String),
    #[error("what stands behind the bucket must be names of letters, digits and - _ . = + with / between them")]
    Key,
}

impl Scheme {
    fn prefix(self) -> &'static str {
        match self {
            Scheme::S3 => "s3://",
            Scheme::Cos => "cos://",
        }
    }
}

impl StorageUrl {
    /// The root of dump sets that somebody typed.
    pub fn parse(text: &str) -> Result<StorageUrl, BadStorageUrl> {
        let url = StorageUrl::take_apart(text).ok_or(BadStorageUrl::Scheme)?;
        if url.authority.is_empty() {
            return Err(BadStorageUrl::NoBucket);
        }
        match url.scheme {
            Scheme::S3 if !is_bucket_name(&url.authority) => return Err(BadStorageUrl::Bucket(url.authority)),
            Scheme::Cos if cos_parts(&url.authority).is_none() => return Err(BadStorageUrl::CosHost(url.authority)),
            _ => {}
        }
        // What stands in a key stands in URLs, signatures and file names: no server reads these differently.
        let is_plain = |part: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.=+".contains(c);
            !part.is_empty() && part != "." && part != ".." && part.chars().all(plain)
        };
        match url.key.is_empty() || url.key.split('/').all(is_plain) {
            true => Ok(url),
            false => Err(BadStorageUrl::Key),
        }
    }

    fn take_apart(text: &str) -> Option<StorageUrl> {
        let (scheme, rest) = [Scheme::S3, Scheme::Cos]
            .into_iter()
            .find_map(|scheme| Some((scheme, text.strip_prefix(scheme.prefix())?)))?;
        let (authority, key) = rest.split_once('/').unwrap_or((rest, ""));
        Some(StorageUrl {
            scheme,
            authority: authority.to_owned(),
            key: key.trim_matches('/').to_owned(),
        })
    }

    /// The name of the bucket.
    pub fn bucket(&self) -> &str {
        match self.scheme {
            Scheme::S3 => &self.authority,
            Scheme::Cos => cos_parts(&self.authority).map_or(self.authority.as_str(), |(bucket, _)| bucket),
        }
    }

    /// The region that the host of a COS bucket names.
    pub fn region(&self) -> Option<&str> {
        match self.scheme {
            Scheme::S3 => None,
            Scheme::Cos => cos_parts(&self.authority).map(|(_, region)| region),
        }
    }

    pub fn is_same_bucket(&self, other: &StorageUrl) -> bool {
        (self.scheme, &self.authority) == (other.scheme, &other.authority)
    }

    fn with_key(&self, key: String) -> StorageUrl {
        StorageUrl { key, ..self.clone() }
    }
}

/// Bucket with application id, and region.
fn cos_parts(host: &str) -> Option<(&str, &str)> {
    let (bucket, rest) = host.split_once(".cos.")?;
    let region = rest.strip_suffix(".myqcloud.com")?;
    let (_, app_id) = bucket.rsplit_once('-')?;
    let is_region = !region.is_empty() && region.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    (is_bucket_name(bucket) && app_id.bytes().all(|b| b.is_ascii_digit()) && is_region).then_some((bucket, region))
}

fn is_bucket_name(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    (3..=63).contains(&name.len())
        && name.bytes().all(fits)
        && !name.starts_with(['-', '.'])
        && !name.ends_with(['-', '.'])
        && !name.contains("..")
}

impl Place {
    /// Below this directory.
    pub fn join(&self, name: impl AsRef<str>) -> Place {
        let name = name.as_ref();
        match self {
            Place::Local(path) => Place::Local(path.join(name)),
            Place::Stored(url) if url.key.is_empty() => Place::Stored(url.with_key(name.to_owned())),
            Place::Stored(url) => Place::Stored(url.with_key(format!("{}/{name}", url.key))),
        }
    }

    pub fn parent(&self) -> Option<Place> {
        match self {
            Place::Local(path) => path.parent().map(Place::from),
            Place::Stored(url) if url.key.is_empty() => None,
            Place::Stored(url) => {
                let above = url.key.rsplit_once('/').map_or("", |(above, _)| above);
                Some(Place::Stored(url.with_key(above.to_owned())))
            }
        }
    }

    /// The last part; empty for a root.
    pub fn file_name(&self) -> Cow<'_, str> {
        match self {
            Place::Local(path) => path.file_name().unwrap_or_default().to_string_lossy(),
            Place::Stored(url) => url.key.rsplit('/').next().unwrap_or_default().into(),
        }
    }

    /// Another file in the same directory.
    pub fn with_file_name(&self, name: impl AsRef<str>) -> Place {
        let name = name.as_ref();
        match self {
            Place::Local(path) => Place::Local(path.with_file_name(name)),
            stored => stored.parent().unwrap_or_else(|| stored.clone()).join(name),
        }
    }

    /// The path, when it is one.
    pub fn local(&self) -> Option<&Path> {
        match self {
            Place::Local(path) => Some(path),
            Place::Stored(_) => None,
        }
    }

    pub fn is_stored(&self) -> bool {
        matches!(self, Place::Stored(_))
    }

    /// For messages, as [`Path::display`].
    pub fn display(&self) -> &Place {
        self
    }
}

impl fmt::Display for StorageUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.scheme.prefix(), self.authority)?;
        match self.key.is_empty() {
            true => Ok(()),
            false => write!(f, "/{}", self.key),
        }
    }
}

impl fmt::Debug for StorageUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Local(path) => fmt::Display::fmt(&path.display(), f),
            Place::Stored(url) => fmt::Display::fmt(url, f),
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Local(path) => fmt::Debug::fmt(path, f),
            Place::Stored(url) => fmt::Debug::fmt(url, f),
        }
    }
}

impl Default for Place {
    fn default() -> Self {
        Place::Local(PathBuf::new())
    }
}

impl From<PathBuf> for Place {
    fn from(path: PathBuf) -> Self {
        Place::Local(path)
    }
}

impl From<&Path> for Place {
    fn from(path: &Path) -> Self {
        Place::Local(path.to_owned())
    }
}

impl From<&str> for Place {
    fn from(text: &str) -> Self {
        match StorageUrl::take_apart(text) {
            Some(url) => Place::Stored(url),
            None => Place::Local(PathBuf::from(text)),
        }
    }
}

impl Serialize for StorageUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StorageUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        StorageUrl::take_apart(&text).ok_or_else(|| serde::de::Error::custom("no URL of a storage"))
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Place::Local(path) => path.serialize(serializer),
            Place::Stored(url) => url.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Place::from(text.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_and_put_together() {
        let url = StorageUrl::parse("s3://my-bucket/a/b/").unwrap();
        assert_eq!(
            (url.bucket(), url.key.as_str(), url.region()),
            ("my-bucket", "a/b", None)
        );
        assert_eq!(url.to_string(), "s3://my-bucket/a/b");
        let cos = StorageUrl::parse("cos://cold-1250000000.cos.ap-shanghai.myqcloud.com").unwrap();
        assert_eq!((cos.bucket(), cos.region()), ("cold-1250000000", Some("ap-shanghai")));
        assert_eq!(cos.to_string(), "cos://cold-1250000000.cos.ap-shanghai.myqcloud.com");
        for (text, bad) in [
            ("http://x", BadStorageUrl::Scheme),
            ("s3:///x", BadStorageUrl::NoBucket),
            ("s3://My_Bucket", BadStorageUrl::Bucket("My_Bucket".into())),
            ("s3://bucket/a//b", BadStorageUrl::Key),
            ("s3://bucket/../b", BadStorageUrl::Key),
            ("s3://bucket/a b", BadStorageUrl::Key),
            (
                "cos://cold-1250000000/x",
                BadStorageUrl::CosHost("cold-1250000000".into()),
            ),
        ] {
            assert_eq!(StorageUrl::parse(text), Err(bad), "{text}");
        }
    }

    #[test]
    fn places_are_walked_alike_wherever_they_are() {
        for root in ["/backup", "s3://bucket/backup", "s3://bucket"] {
            let root = Place::from(root);
            let file = root.join("db_dumps").join("20240102").join("x.gz");
            assert_eq!(file.to_string(), format!("{root}/db_dumps/20240102/x.gz"));
            assert_eq!(file.file_name(), "x.gz");
            assert_eq!(
                file.with_file_name("y").to_string(),
                format!("{root}/db_dumps/20240102/y")
            );
            let above = file.parent().unwrap().parent().unwrap().parent().unwrap();
            assert_eq!(above, root);
            let text = serde_json::to_string(&file).unwrap();
            assert_eq!(text, format!("\"{file}\""));
            assert_eq!(serde_json::from_str::<Place>(&text).unwrap(), file);
        }
        assert_eq!(Place::from("s3://bucket").parent(), None);
        assert_eq!(format!("{:?}", Place::from("/a")), "\"/a\"");
    }
}
