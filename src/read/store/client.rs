//! Owns how a bucket is spoken to: the kinds of stores, and who asks, by what the environment says in the words of each
//! store's own tools.

use std::net::IpAddr;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{BackoffConfig, ClientConfigKey, Error, ObjectStore, RetryConfig};

use crate::read::is_url;
use crate::read::settings::Variables;

/// How long a range may take, whatever is tried again: a slow network is no failure, but what was signed grows old.
const PATIENCE: Duration = Duration::from_secs(280);
/// A range may take its time, unless nothing of it comes; the environment may say otherwise.
const TIMEOUTS: [(ClientConfigKey, &str); 2] =
    [(ClientConfigKey::Timeout, "280 seconds"), (ClientConfigKey::ReadTimeout, "30 seconds")];

/// A kind of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Gs,
    S3,
    Az,
}

impl Scheme {
    pub fn from_name(name: &str) -> Option<Scheme> {
        match name {
            "gs" => Some(Scheme::Gs),
            "s3" => Some(Scheme::S3),
            "az" => Some(Scheme::Az),
            _ => None,
        }
    }

    /// What to set where it isn't known who asks.
    pub fn credentials(self) -> &'static str {
        match self {
            Scheme::Gs => {
                "set GOOGLE_APPLICATION_CREDENTIALS, or run gcloud auth application-default login; for a public bucket \
                 GOOGLE_SKIP_SIGNATURE=true"
            }
            Scheme::S3 => {
                "set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN) and AWS_REGION; for a public bucket \
                 AWS_SKIP_SIGNATURE=true"
            }
            Scheme::Az => {
                "set AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY or \
                 AZURE_STORAGE_SAS_KEY; for a public container AZURE_SKIP_SIGNATURE=true"
            }
        }
    }
}

/// A client of a bucket.
pub fn client(
    scheme: Scheme,
    name: &str,
    variables: &Variables,
) -> std::result::Result<Box<dyn ObjectStore>, Error> {
    // Fails only where it was chosen before, for another bucket.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let backoff = BackoffConfig { max_backoff: Duration::from_secs(5), ..BackoffConfig::default() };
    let retry = RetryConfig { backoff, max_retries: 8, retry_timeout: PATIENCE };
    let lowercase = |prefix: &'static str| {
        variables
            .list
            .iter()
            .filter(move |(name, _)| name.starts_with(prefix))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.as_str()))
    };
    Ok(match scheme {
        Scheme::S3 => {
            let mut builder = AmazonS3Builder::new();
            for (key, value) in TIMEOUTS {
                builder = builder.with_config(AmazonS3ConfigKey::Client(key), value);
            }
            for (key, value) in lowercase("AWS_") {
                if key.starts_with("aws_endpoint") && is_loopback(value) {
                    builder = builder.with_allow_http(true);
                }
                if let Ok(key) = key.parse::<AmazonS3ConfigKey>() {
                    builder = builder.with_config(key, value);
                }
            }
            Box::new(builder.with_bucket_name(name).with_retry(retry).build()?)
        }
        Scheme::Gs => {
            let mut builder = GoogleCloudStorageBuilder::new();
            for (key, value) in TIMEOUTS {
                builder = builder.with_config(GoogleConfigKey::Client(key), value);
            }
            for (key, value) in lowercase("GOOGLE_") {
                if let Ok(key) = key.parse::<GoogleConfigKey>() {
                    builder = builder.with_config(key, value);
                }
            }
            if let Some(host) = variables.get("STORAGE_EMULATOR_HOST") {
                let url = if is_url(host) { host.to_string() } else { format!("http://{host}") };
                if is_loopback(&url) {
                    let key = GoogleConfigKey::Client(ClientConfigKey::AllowHttp);
                    builder = builder.with_config(key, "true");
                }
                builder = builder.with_base_url(url.trim_end_matches('/')).with_skip_signature(true);
            }
            Box::new(builder.with_bucket_name(name).with_retry(retry).build()?)
        }
        Scheme::Az => {
            let mut builder = MicrosoftAzureBuilder::new();
            for (key, value) in TIMEOUTS {
                builder = builder.with_config(AzureConfigKey::Client(key), value);
            }
            let mut set = |key: &str, value: &str| {
                if let Ok(key) = key.parse::<AzureConfigKey>() {
                    if key == AzureConfigKey::Endpoint && is_loopback(value) {
                        builder = std::mem::take(&mut builder).with_allow_http(true);
                    }
                    builder = std::mem::take(&mut builder).with_config(key, value);
                }
            };
            lowercase("AZURE_").for_each(|(key, value)| set(&key, value));
            // Azure's own tools take all of it in one variable.
            let parts = variables.get("AZURE_STORAGE_CONNECTION_STRING").unwrap_or_default().split(';');
            let parts: Vec<(&str, &str)> = parts.filter_map(|part| part.split_once('=')).collect();
            let part = |name: &str| parts.iter().find(|(part, _)| *part == name).map(|(_, value)| *value);
            for (name, key) in [
                ("AccountName", "account_name"),
                ("AccountKey", "access_key"),
                ("SharedAccessSignature", "sas_key"),
                ("BlobEndpoint", "endpoint"),
            ] {
                part(name).into_iter().for_each(|value| set(key, value));
            }
            if let (None, Some(account), Some(suffix)) =
                (part("BlobEndpoint"), part("AccountName"), part("EndpointSuffix"))
            {
                set("endpoint", &format!("https://{account}.blob.{suffix}"));
            }
            Box::new(builder.with_container_name(name).with_retry(retry).build()?)
        }
    })
}

/// Whether what is said to a URL never leaves the machine: only then it goes without TLS, unless that is asked for.
fn is_loopback(url: &str) -> bool {
    let authority = url.strip_prefix("http://").unwrap_or_default().split('/').next().unwrap_or_default();
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_never_leaves_the_machine_goes_without_tls() {
        for url in [
            "http://127.0.0.1:9000",
            "http://localhost",
            "http://[::1]:80/a",
            "http://127.8.0.1/devstoreaccount1",
        ] {
            assert!(is_loopback(url), "{url}");
        }
        for url in [
            "http://localhost.example.com",
            "http://127.0.0.1:80@example.com",
            "http://10.0.0.1",
            "https://127.0.0.1",
            "",
        ] {
            assert!(!is_loopback(url), "{url}");
        }
    }
}
