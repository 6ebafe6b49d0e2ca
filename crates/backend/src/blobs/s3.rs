//! Blobs in a bucket of S3, or of what speaks as it does.

use super::{Blobs, Place, invalid};
use crate::Result;
use crate::address::EngineUrl;
use async_trait::async_trait;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path as Key;
use object_store::prefix::PrefixStore;
use object_store::signer::{Method, SignedUrlOptions, Signer, Url};
use object_store::{BackoffConfig, Certificate, ClientOptions, RetryConfig};
use std::sync::Arc;
use std::time::Duration;

const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// For a whole request, its body included: the parts of a large file are requests of their own.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);
/// After this time a request that failed is not repeated. (By default it would be for three minutes.)
const RETRY_LIMIT: Duration = Duration::from_millis(1_500);
const MAX_RETRIES: usize = 3;

pub(super) async fn open(mut url: EngineUrl) -> Result<Blobs> {
    let bucket = match url.hosts(0).as_slice() {
        [(bucket, 0)] => bucket.clone(),
        _ => {
            return Err(invalid("write one bucket where other URLs have the host: `s3://KEY:SECRET@BUCKET`"));
        }
    };
    let prefix = Key::parse(url.path()).map_err(|error| invalid(format!("`/{}`: {error}", url.path())))?;
    let (endpoint, region, ca) = (url.take("endpoint"), url.take("region"), url.take("ca"));
    let path_style = url.take_as("path_style", "`true` or `false`")?.unwrap_or(true);
    url.finish(&["endpoint", "region", "path_style", "ca"])?;

    let mut options = ClientOptions::new().with_connect_timeout(CONNECT_LIMIT).with_timeout(REQUEST_LIMIT);
    if let Some(ca) = ca {
        let wrong = |why: String| invalid(format!("`ca` {ca}: {why}"));
        let pem = tokio::fs::read(&ca).await.map_err(|error| wrong(error.to_string()))?;
        let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| wrong(error.to_string()))?;
        if certificates.is_empty() {
            return Err(wrong("it holds no certificate in PEM form".to_owned()));
        }
        options = certificates.into_iter().fold(options, ClientOptions::with_root_certificate);
    }
    let mut builder = AmazonS3Builder::from_env().with_bucket_name(&bucket).with_retry(RetryConfig {
        backoff: BackoffConfig { max_backoff: RETRY_LIMIT / 2, ..BackoffConfig::default() },
        max_retries: MAX_RETRIES,
        retry_timeout: RETRY_LIMIT,
    });
    builder = match (url.user(), url.password()) {
        (Some(key), Some(secret)) => builder.with_access_key_id(key).with_secret_access_key(secret),
        (None, None) => builder,
        _ => return Err(invalid("write both or none of key and secret: `s3://KEY:SECRET@BUCKET`")),
    };
    if let Some(region) = region {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = endpoint {
        options = options.with_allow_http(endpoint.starts_with("http://"));
        builder = builder.with_endpoint(host(&endpoint, &bucket, path_style)?);
    }
    let s3 = builder
        .with_virtual_hosted_style_request(!path_style)
        .with_client_options(options)
        .build()
        .map_err(|error| invalid(error.to_string()))?;
    let signer = Prefixed { s3: s3.clone(), prefix: prefix.clone() };
    Ok(Blobs {
        store: Arc::new(PrefixStore::new(s3, prefix)),
        signer: Some(Arc::new(signer)),
        place: Place::Bucket(bucket),
    })
}

/// The endpoint, with the bucket in its host's name if it is not to be in the path.
fn host(endpoint: &str, bucket: &str, path_style: bool) -> Result<String> {
    let wrong = || invalid(format!("`endpoint={endpoint}`: write `https://host:port` or `http://host:port`"));
    let endpoint = endpoint.trim_end_matches('/');
    let (scheme, host) = endpoint.split_once("://").ok_or_else(wrong)?;
    match (scheme, path_style) {
        _ if host.is_empty() || host.contains('/') => Err(wrong()),
        ("http" | "https", true) => Ok(endpoint.to_owned()),
        ("http" | "https", false) => Ok(format!("{scheme}://{bucket}.{host}")),
        _ => Err(wrong()),
    }
}

/// Signs what [`PrefixStore`] keeps, under the keys that its users know.
#[derive(Debug)]
struct Prefixed {
    s3: AmazonS3,
    prefix: Key,
}

impl Prefixed {
    fn whole(&self, key: &Key) -> Key {
        self.prefix.parts().chain(key.parts()).collect()
    }
}

#[async_trait]
impl Signer for Prefixed {
    async fn signed_url(&self, method: Method, key: &Key, expires_in: Duration) -> object_store::Result<Url> {
        self.s3.signed_url(method, &self.whole(key), expires_in).await
    }

    async fn signed_url_opts(
        &self,
        method: Method,
        key: &Key,
        expires_in: Duration,
        options: &SignedUrlOptions,
    ) -> object_store::Result<Url> {
        self.s3.signed_url_opts(method, &self.whole(key), expires_in, options).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_in_the_path_or_in_the_hosts_name() {
        assert_eq!(host("http://h:9000/", "b", true).unwrap(), "http://h:9000");
        assert_eq!(host("https://h", "b", false).unwrap(), "https://b.h");
        for endpoint in ["h:9000", "ftp://h", "https://", "https://h/x"] {
            assert!(host(endpoint, "b", true).unwrap_err().to_string().contains(endpoint));
        }
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_url_is_said() {
        for (url, words) in [
            ("s3://a,b", "one bucket"),
            ("s3://a:80", "one bucket"),
            ("s3://key@a", "both or none"),
            ("s3://a?endpoint=h", "`endpoint=h`"),
            ("s3://a?path_style=maybe", "`true` or `false`"),
            ("s3://a?regoin=x", "`regoin`"),
            ("s3://a/x//y", "x//y"),
            ("s3://a?ca=/nowhere.pem", "/nowhere.pem"),
        ] {
            let error = open(EngineUrl::parse(url).unwrap()).await.unwrap_err();
            assert_eq!(error.kind, crate::ErrorKind::Invalid, "{url}");
            assert!(error.to_string().contains(words), "{url}: {error}");
        }
    }
}
