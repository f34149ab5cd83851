//! How to reach a bucket: its server, the account, the secrets.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::place::{Scheme, StorageUrl};

/// A text that no log line, no message and no bug report shows. Only the line to a worker, and the signature of a request,
/// are made from what is inside.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// For the one that signs with it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Who we are to the storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub key_id: Secret,
    pub secret: Secret,
    /// Of a login that ends by itself.
    pub token: Option<Secret>,
}

/// Everything that is needed to work with a bucket. Found out once, on the master; workers are told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageAccess {
    /// What `--storage` names.
    pub root: StorageUrl,
    pub account: Account,
    pub region: String,
    /// URL of the server when it is not the provider's own, without the bucket.
    pub endpoint: Option<String>,
    /// The bucket stands in the path of a URL and not in the name of its host.
    pub path_style: bool,
    /// Certificates (PEM) of those who may sign for the server, in place of the ones that each host trusts.
    pub authorities: Option<String>,
    /// Size of the first parts of an upload.
    pub part_bytes: u64,
}

/// A part that providers take, and that costs little memory.
pub const PART_BYTES: u64 = 8 << 20;

impl StorageAccess {
    /// URL in front of the keys, without a `/` at its end.
    pub fn base_url(&self) -> String {
        let bucket = self.root.bucket();
        match (&self.endpoint, self.root.scheme) {
            (Some(endpoint), _) => {
                let endpoint = endpoint.trim_end_matches('/');
                match endpoint.split_once("://") {
                    Some((scheme, host)) if !self.path_style => format!("{scheme}://{bucket}.{host}"),
                    _ => format!("{endpoint}/{bucket}"),
                }
            }
            (None, Scheme::Cos) => format!("https://{}", self.root.authority),
            (None, Scheme::S3) => {
                let region = &self.region;
                let domain = match region.starts_with("cn-") {
                    true => "amazonaws.com.cn",
                    false => "amazonaws.com",
                };
                // A certificate for *.s3.REGION covers no further dot.
                match self.path_style || bucket.contains('.') {
                    true => format!("https://s3.{region}.{domain}/{bucket}"),
                    false => format!("https://{bucket}.s3.{region}.{domain}"),
                }
            }
        }
    }

    /// Bytes of the part with this number, the first is 0. Servers take 10 000 parts: they grow, so that a file of 400 GB
    /// fits, and files that are not that large cost little memory.
    pub fn part_bytes(&self, number: usize) -> usize {
        self.part_bytes as usize * (1 + number / 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(root: &str) -> StorageAccess {
        StorageAccess {
            root: StorageUrl::parse(root).unwrap(),
            account: Account {
                key_id: Secret::new("AKIAVERYPRIVATE"),
                secret: Secret::new("topsecret"),
                token: Some(Secret::new("tokensecret")),
            },
            region: "eu-west-1".to_owned(),
            endpoint: None,
            path_style: false,
            authorities: None,
            part_bytes: PART_BYTES,
        }
    }

    #[test]
    fn the_bucket_is_a_host() {
        let s3 = access("s3://shop/x");
        assert_eq!(s3.base_url(), "https://shop.s3.eu-west-1.amazonaws.com");
        assert_eq!(
            access("s3://a.shop").base_url(),
            "https://s3.eu-west-1.amazonaws.com/a.shop"
        );
        let cos = access("cos://cold-1250000000.cos.ap-shanghai.myqcloud.com/x");
        assert_eq!(cos.base_url(), "https://cold-1250000000.cos.ap-shanghai.myqcloud.com");
        let endpoint = Some("http://localhost:9000/".to_owned());
        let own = StorageAccess { endpoint, ..s3.clone() };
        assert_eq!(own.base_url(), "http://shop.localhost:9000");
        let path_style = true;
        assert_eq!(
            StorageAccess { path_style, ..own }.base_url(),
            "http://localhost:9000/shop"
        );
        let region = "cn-north-1".to_owned();
        assert_eq!(
            StorageAccess { region, ..s3 }.base_url(),
            "https://shop.s3.cn-north-1.amazonaws.com.cn"
        );
    }

    #[test]
    fn nothing_secret_can_be_shown() {
        let text = format!("{:?} {:#?}", access("s3://shop"), access("s3://shop"));
        for secret in ["AKIA", "topsecret", "tokensecret"] {
            assert!(!text.contains(secret), "{text}");
        }
    }

    #[test]
    fn ten_thousand_parts_hold_any_file() {
        let access = access("s3://shop");
        let all: u64 = (0..10_000).map(|number| access.part_bytes(number) as u64).sum();
        assert_eq!((access.part_bytes(0), access.part_bytes(999)), (8 << 20, 8 << 20));
        assert!(all > 400 << 30);
    }
}
