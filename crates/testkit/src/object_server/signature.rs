//! AWS signature version 4, checked with nothing of the client's.

use sha2::{Digest, Sha256};

use super::http::Request;

/// Why a request is not what its signature says.
pub(super) fn check(request: &Request, key_id: &str, secret: &str, region: &str) -> Result<(), String> {
    let authorization = request.header("authorization").ok_or("there is no signature")?;
    let field = |name: &str| {
        let rest = authorization.split_once(&format!("{name}="))?.1;
        Some(rest.split(',').next().unwrap_or_default().trim())
    };
    let credential = field("Credential").ok_or("no Credential")?;
    let signed = field("SignedHeaders").ok_or("no SignedHeaders")?;
    let signature = field("Signature").ok_or("no Signature")?;
    let date = request.header("x-amz-date").ok_or("no x-amz-date")?;
    let day = &date[..8];
    let scope = format!("{day}/{region}/s3/aws4_request");
    if credential != format!("{key_id}/{scope}") {
        return Err(format!("not the account or not the region: {credential}"));
    }
    let sum = request
        .header("x-amz-content-sha256")
        .ok_or("no x-amz-content-sha256")?;
    if sum != hex(&Sha256::digest(&request.body)) {
        return Err("the body has another sum than was signed".to_owned());
    }
    if !signed.split(';').any(|name| name == "host") {
        return Err("the host is not signed".to_owned());
    }
    let mut query: Vec<&str> = match request.target.split_once('?') {
        Some((_, query)) => query.split('&').collect(),
        None => Vec::new(),
    };
    query.sort_unstable();
    let query: Vec<String> = query
        .into_iter()
        .map(|pair| {
            if pair.contains('=') {
                pair.to_owned()
            } else {
                format!("{pair}=")
            }
        })
        .collect();
    let headers: String = signed
        .split(';')
        .map(|name| format!("{name}:{}\n", request.header(name).unwrap_or_default()))
        .collect();
    let canonical = format!(
        "{}\n{}\n{}\n{headers}\n{signed}\n{sum}",
        request.method,
        request.path(),
        query.join("&"),
    );
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{date}\n{scope}\n{}",
        hex(&Sha256::digest(canonical.as_bytes()))
    );
    let mut key = format!("AWS4{secret}").into_bytes();
    for word in [day, region, "s3", "aws4_request"] {
        key = hmac(&key, word.as_bytes());
    }
    match hex(&hmac(&key, to_sign.as_bytes())) == signature {
        true => Ok(()),
        false => Err(format!("the signature is wrong for {canonical:?}")),
    }
}

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    const BLOCK: usize = 64;
    let mut block = [0u8; BLOCK];
    match key.len() > BLOCK {
        true => block[..32].copy_from_slice(&Sha256::digest(key)),
        false => block[..key.len()].copy_from_slice(key),
    }
    let pad = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text).finalize();
    Sha256::new()
        .chain_update(pad(0x5c))
        .chain_update(inner)
        .finalize()
        .to_vec()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hmac_is_that_of_rfc_4231() {
        assert_eq!(
            hex(&hmac(b"Jefe", b"what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
