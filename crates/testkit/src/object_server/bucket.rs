//! What is in the bucket, and what can be asked of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::http::{Request, Response};
use super::signature::hex;

/// Lists come in so many pieces that a client has to ask for the next.
const KEYS_PER_ANSWER: usize = 7;

const DATE: &str = "Mon, 01 Jan 2024 00:00:00 GMT";
const DATE_IN_LISTS: &str = "2024-01-01T00:00:00.000Z";

#[derive(Debug, Default)]
pub(super) struct Bucket {
    objects: BTreeMap<String, Arc<Vec<u8>>>,
    uploads: BTreeMap<String, Upload>,
    next_upload: u64,
}

#[derive(Debug)]
struct Upload {
    key: String,
    parts: BTreeMap<u32, Vec<u8>>,
}

impl Bucket {
    pub(super) fn objects(&self) -> Vec<(String, Arc<Vec<u8>>)> {
        self.objects
            .iter()
            .map(|(key, bytes)| (key.clone(), Arc::clone(bytes)))
            .collect()
    }

    pub(super) fn set(&mut self, key: &str, bytes: Option<Vec<u8>>) {
        match bytes {
            Some(bytes) => drop(self.objects.insert(key.to_owned(), Arc::new(bytes))),
            None => drop(self.objects.remove(key)),
        }
    }

    pub(super) fn open_uploads(&self) -> Vec<String> {
        self.uploads.values().map(|upload| upload.key.clone()).collect()
    }

    /// `base` stands in front of all keys.
    pub(super) fn answer(&mut self, request: &Request, base: &str) -> Response {
        let (key, query) = (request.key(base), request.query());
        let upload = query.get("uploadId").map(String::as_str);
        match (request.method.as_str(), upload, key.is_empty()) {
            ("GET", None, true) if query.contains_key("uploads") => self.list_uploads(&query),
            ("GET", None, true) => self.list(&query),
            ("POST", None, false) if query.contains_key("uploads") => self.begin(key),
            ("PUT", Some(id), false) => self.part(id, &key, &query, &request.body),
            ("POST", Some(id), false) => self.complete(id, &key, &request.body),
            ("DELETE", Some(id), false) => match self.uploads.remove(id) {
                Some(_) => Response::new(204, ""),
                None => Response::error(404, "NoSuchUpload", "The upload does not exist."),
            },
            ("PUT", None, false) => {
                self.set(&key, Some(request.body.clone()));
                Response::new(200, "").with("ETag", tag(&request.body))
            }
            ("DELETE", None, false) => {
                self.set(&key, None);
                Response::new(204, "")
            }
            ("GET" | "HEAD", None, false) => self.read(request, &key),
            _ => Response::error(405, "MethodNotAllowed", "nobody asks that"),
        }
    }

    fn read(&self, request: &Request, key: &str) -> Response {
        let Some(bytes) = self.objects.get(key) else {
            let mut response = Response::error(404, "NoSuchKey", "The specified key does not exist.");
            if request.method == "HEAD" {
                response.body.clear();
            }
            return response;
        };
        let tag = tag(bytes);
        if request.header("if-match").is_some_and(|wanted| wanted != tag) {
            return Response::error(412, "PreconditionFailed", "It is another one.");
        }
        let response = |status, body: &[u8]| {
            Response::new(status, body)
                .with("ETag", tag.clone())
                .with("Last-Modified", DATE)
                .with("Accept-Ranges", "bytes")
        };
        if request.method == "HEAD" {
            let mut response = response(200, &[]);
            response.length = Some(bytes.len());
            return response;
        }
        let range = request
            .header("range")
            .and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
        let Some((first, last)) = range else {
            return response(200, bytes);
        };
        let first: usize = first.parse().unwrap_or(0);
        let last = last.parse().unwrap_or(usize::MAX).min(bytes.len().saturating_sub(1));
        if first >= bytes.len() {
            return Response::error(416, "InvalidRange", "The requested range is not satisfiable");
        }
        let place = format!("bytes {first}-{last}/{}", bytes.len());
        response(206, &bytes[first..=last]).with("Content-Range", place)
    }

    fn list(&self, query: &BTreeMap<String, String>) -> Response {
        let empty = String::new();
        let prefix = query.get("prefix").unwrap_or(&empty);
        let delimiter = query.get("delimiter").filter(|text| !text.is_empty());
        let after = query
            .get("continuation-token")
            .or_else(|| query.get("start-after"))
            .unwrap_or(&empty);
        // Keys and what they have in common up to the delimiter, in one order.
        let mut lines: BTreeSet<(String, bool)> = BTreeSet::new();
        for key in self.objects.keys().filter(|key| key.starts_with(prefix.as_str())) {
            let rest = &key[prefix.len()..];
            let common = delimiter.and_then(|delimiter| rest.find(delimiter.as_str()).map(|at| at + delimiter.len()));
            lines.insert(match common {
                Some(length) => (format!("{prefix}{}", &rest[..length]), true),
                None => (key.clone(), false),
            });
        }
        let mut left = lines.into_iter().filter(|(name, _)| name > after);
        let now: Vec<(String, bool)> = left.by_ref().take(KEYS_PER_ANSWER).collect();
        let is_more = left.next().is_some();
        let mut text = format!(
            "<?xml version=\"1.0\"?><ListBucketResult><Prefix>{prefix}</Prefix><KeyCount>{}</KeyCount>\
             <IsTruncated>{is_more}</IsTruncated>",
            now.len()
        );
        if let (true, Some((last, _))) = (is_more, now.last()) {
            text.push_str(&format!("<NextContinuationToken>{last}</NextContinuationToken>"));
        }
        for (name, is_common) in &now {
            match (is_common, self.objects.get(name)) {
                (true, _) | (_, None) => {
                    text.push_str(&format!("<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>"));
                }
                (false, Some(bytes)) => text.push_str(&format!(
                    "<Contents><Key>{name}</Key><Size>{}</Size><LastModified>{DATE_IN_LISTS}</LastModified>\
                     <ETag>{}</ETag><StorageClass>STANDARD</StorageClass></Contents>",
                    bytes.len(),
                    tag(bytes)
                )),
            }
        }
        text.push_str("</ListBucketResult>");
        Response::new(200, text)
    }

    fn list_uploads(&self, query: &BTreeMap<String, String>) -> Response {
        let prefix = query.get("prefix").cloned().unwrap_or_default();
        let mut text = "<?xml version=\"1.0\"?><ListMultipartUploadsResult>".to_owned();
        for (id, upload) in self
            .uploads
            .iter()
            .filter(|(_, upload)| upload.key.starts_with(&prefix))
        {
            text.push_str(&format!(
                "<Upload><Key>{}</Key><UploadId>{id}</UploadId><Initiated>{DATE_IN_LISTS}</Initiated></Upload>",
                upload.key
            ));
        }
        text.push_str("<IsTruncated>false</IsTruncated></ListMultipartUploadsResult>");
        Response::new(200, text)
    }

    fn begin(&mut self, key: String) -> Response {
        self.next_upload += 1;
        let id = format!("upload-{}", self.next_upload);
        let text = format!(
            "<?xml version=\"1.0\"?><InitiateMultipartUploadResult><Key>{key}</Key><UploadId>{id}</UploadId>\
             </InitiateMultipartUploadResult>"
        );
        let parts = BTreeMap::new();
        self.uploads.insert(id, Upload { key, parts });
        Response::new(200, text)
    }

    fn part(&mut self, id: &str, key: &str, query: &BTreeMap<String, String>, body: &[u8]) -> Response {
        let number = query.get("partNumber").and_then(|text| text.parse().ok());
        match (self.uploads.get_mut(id).filter(|upload| upload.key == key), number) {
            (Some(upload), Some(number @ 1..=10_000)) => {
                upload.parts.insert(number, body.to_vec());
                Response::new(200, "").with("ETag", tag(body))
            }
            (None, _) => Response::error(404, "NoSuchUpload", "The upload does not exist."),
            _ => Response::error(400, "InvalidArgument", "Part number must be between 1 and 10000"),
        }
    }

    fn complete(&mut self, id: &str, key: &str, body: &[u8]) -> Response {
        let Some(upload) = self.uploads.get(id).filter(|upload| upload.key == key) else {
            return Response::error(404, "NoSuchUpload", "The upload does not exist.");
        };
        let text = String::from_utf8_lossy(body).replace("&quot;", "\"");
        let mut all = Vec::new();
        let mut before = 0;
        for part in text.split("<Part>").skip(1) {
            let inside = |name: &str| {
                let rest = part.split_once(&format!("<{name}>"))?.1;
                Some(rest.split_once("</")?.0.to_owned())
            };
            let number: u32 = inside("PartNumber").and_then(|text| text.parse().ok()).unwrap_or(0);
            match upload.parts.get(&number) {
                Some(bytes) if number > before && inside("ETag").as_deref() == Some(&tag(bytes)) => {
                    all.extend_from_slice(bytes);
                }
                _ => return Response::error(400, "InvalidPart", &format!("part {number}")),
            }
            before = number;
        }
        let tag = tag(&all);
        self.set(key, Some(all));
        self.uploads.remove(id);
        let text = format!(
            "<?xml version=\"1.0\"?><CompleteMultipartUploadResult><Key>{key}</Key><ETag>{tag}</ETag>\
             </CompleteMultipartUploadResult>"
        );
        Response::new(200, text)
    }
}

fn tag(bytes: &[u8]) -> String {
    format!("\"{}\"", &hex(&Sha256::digest(bytes))[..32])
}
