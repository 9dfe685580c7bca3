//! Owns object stores: what `gs://`, `s3://` and `az://` name, asking for a range of an object, and what is said when a
//! store doesn't give it. How a bucket is spoken to is for `client`, an object as a stream for `reader`, as columns for
//! `ranges`; which of the objects found are logs is for `read`. The program is synchronous: what is not stays here.
//!
//! **Invariants**
//! - An object is read as it was when it was found: one that has changed since (by its entity tag) ends the run.
//! - A request that fails is repeated, and a range that breaks off is resumed; what a store says is never shown, as its
//!   messages may hold a signed URL or a key's name.

mod client;
mod ranges;
mod reader;

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::{Error as StoreError, GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use twox_hash::XxHash3_128;

use self::client::{Scheme, client};
pub use self::ranges::Failure;
use super::Found;
use super::settings::Variables;
use crate::error::{Error, Result};

/// Bytes of a range that is asked for at once: large enough that what a request costs beside is nothing.
const RANGE: u64 = 8 << 20;

/// One thread drives all requests, so that threads that read logs only wait for bytes.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().expect("a thread for the network")
});

/// The buckets that were named so far.
pub struct Stores<'v> {
    variables: &'v Variables,
    buckets: BTreeMap<String, Arc<Bucket>>,
}

/// A bucket, or container, and how it is spoken to.
#[derive(Debug)]
struct Bucket {
    scheme: Scheme,
    /// `s3://logs`.
    url: String,
    store: Box<dyn ObjectStore>,
}

/// One object, as it was when it was found.
#[derive(Clone, Debug)]
pub struct Object {
    bucket: Arc<Bucket>,
    path: Path,
    size: u64,
    e_tag: Option<String>,
}

impl<'v> Stores<'v> {
    pub fn new(variables: &'v Variables) -> Stores<'v> {
        Stores { variables, buckets: BTreeMap::new() }
    }

    /// What a URL names: an object; with `/` at the end all below it; with `*`, `?` or `[` all that fit.
    pub fn find(&mut self, url: &str) -> Result<Found> {
        let (bucket, key) = self.bucket(url)?;
        let is_pattern = key.contains(['*', '?', '[']);
        if !is_pattern && !key.is_empty() && !key.ends_with('/') {
            let path = path(url, key)?;
            let meta = RUNTIME.block_on(bucket.store.head(&path)).map_err(|error| match error {
                StoreError::NotFound { .. } => Error::new(format!("{url}: there is no such object"))
                    .hint("a prefix ends in /, like s3://bucket/logs/; a pattern has *, like s3://bucket/logs/*.jsonl"),
                error => bucket.told(url, &error),
            })?;
            return Ok(Found::Object(Object::new(&bucket, meta)));
        }
        let literal = &key[..key.find(['*', '?', '[']).unwrap_or(key.len())];
        let prefix = literal.rfind('/').map_or("", |slash| &literal[..slash]);
        let listing = bucket.store.list(Some(&path(url, prefix)?));
        let mut metas: Vec<ObjectMeta> =
            RUNTIME.block_on(listing.try_collect()).map_err(|error| bucket.told(url, &error))?;
        metas.sort_by(|one, other| one.location.cmp(&other.location));
        let objects = metas.into_iter().map(|meta| Object::new(&bucket, meta));
        if is_pattern {
            let pattern = glob::Pattern::new(key).map_err(|error| super::malformed(url, &error))?;
            let options = glob::MatchOptions { require_literal_separator: true, ..Default::default() };
            let fits = |object: &Object| pattern.matches_with(object.path.as_ref(), options);
            return Ok(Found::Pattern(objects.filter(fits).collect()));
        }
        let below = |object: Object| {
            let key = object.path.as_ref().strip_prefix(prefix)?.trim_start_matches('/').to_string();
            // The prefix itself may be an object, which stands for the folder.
            (!key.is_empty()).then_some((key, object))
        };
        Ok(Found::Folder(objects.filter_map(below).collect()))
    }

    /// The bucket of a URL, and what is behind it.
    fn bucket<'u>(&mut self, url: &'u str) -> Result<(Arc<Bucket>, &'u str)> {
        let (scheme_name, rest) = url.split_once("://").unwrap_or_default();
        let Some(scheme) = Scheme::from_name(scheme_name) else {
            return Err(Error::usage(format!("{url}: logs can't be read from {scheme_name}://"))
                .hint("expected gs://bucket/…, s3://bucket/… or az://container/…, or a file or folder"));
        };
        let (name, key) = rest.split_once('/').unwrap_or((rest, ""));
        if name.is_empty() {
            return Err(Error::usage(format!("{url}: it names no bucket"))
                .hint(format!("expected {scheme_name}://bucket/key, or a prefix that ends in /")));
        }
        let bucket_url = format!("{scheme_name}://{name}");
        if let Some(known) = self.buckets.get(&bucket_url) {
            return Ok((known.clone(), key));
        }
        let store = client(scheme, name, self.variables).map_err(|error| {
            let why = words(&error).map(|words| format!(": {words}")).unwrap_or_default();
            Error::new(format!("{bucket_url}: it can't be known who asks{why}")).hint(scheme.credentials())
        })?;
        let bucket = Arc::new(Bucket { scheme, url: bucket_url.clone(), store });
        self.buckets.insert(bucket_url, bucket.clone());
        Ok((bucket, key))
    }
}

fn path(url: &str, key: &str) -> Result<Path> {
    let found = Path::parse(key).ok().filter(|_| !key.starts_with('/'));
    found.ok_or_else(|| {
        Error::usage(format!("{url}: a key like this can't be read"))
            .hint("a part between two / may not be empty, . or ..; copy the object to another key")
    })
}

impl Bucket {
    /// Why a store doesn't give what was asked for.
    fn told(&self, url: &str, error: &StoreError) -> Error {
        let scheme = self.scheme;
        let status = status(error);
        match (error, status.as_deref()) {
            (StoreError::NotFound { .. }, _) | (_, Some("404")) => {
                Error::new(format!("{url}: there is no such bucket: {}", self.url))
                    .hint("check its name, and the account or endpoint that the environment names")
            }
            (StoreError::PermissionDenied { .. }, _) | (_, Some("403")) => {
                Error::new(format!("{url}: the store refuses access")).hint(format!(
                    "who asks needs to list and read {}; {}",
                    self.url,
                    scheme.credentials()
                ))
            }
            (StoreError::Unauthenticated { .. }, _) | (_, Some("401")) => {
                Error::new(format!("{url}: the store doesn't know who asks")).hint(scheme.credentials())
            }
            (StoreError::InvalidPath { .. }, _) => Error::new(format!(
                "{url}: there is a key with an empty part, as in a//b, which can't be read"
            ))
            .hint("name a prefix or an object beside it"),
            _ => Error::new(format!("{url}: {}", said(error))).hint(format!(
                "check the network and the endpoint; if it can't be known who asks: {}",
                scheme.credentials()
            )),
        }
    }
}

/// What an error comes to. A store's or client's own words may hold a URL with a signature, so of those only what the
/// system says, or the status of the answer.
fn said(error: &dyn std::error::Error) -> String {
    if let Some(status) = status(error) {
        return format!("the store answers with status {status}");
    }
    match words(error) {
        Some(words) => format!("the store can't be reached: {words}"),
        None => "the store can't be reached, or doesn't answer as one".to_string(),
    }
}

/// What is at the root of an error, where its words are the system's or the client's own and no more than words.
fn words(error: &dyn std::error::Error) -> Option<String> {
    let words = cause(error).to_string();
    let words = words.split(" (os error").next().unwrap_or_default();
    let is_plain = words.len() <= 120 && !words.contains(['/', '<', '{', '=', '?', '+']);
    is_plain.then(|| words.to_string())
}

/// The status of a store's answer, where there was one.
fn status(error: &dyn std::error::Error) -> Option<String> {
    let words = cause(error).to_string();
    let (_, rest) = words.split_once("status code: ")?;
    rest.get(..3).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit())).map(str::to_string)
}

/// What is at the root of an error.
fn cause<'e>(error: &'e (dyn std::error::Error + 'e)) -> &'e (dyn std::error::Error + 'e) {
    error.source().map_or(error, cause)
}

impl Object {
    fn new(bucket: &Arc<Bucket>, meta: ObjectMeta) -> Object {
        Object {
            bucket: bucket.clone(),
            path: meta.location,
            size: meta.size,
            e_tag: meta.e_tag.as_deref().map(bare),
        }
    }

    /// Its URL.
    pub fn name(&self) -> String {
        format!("{}/{}", self.bucket.url, self.path)
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// By which objects of the same bytes are known; None where that can't be told without reading them. Only a tag that
    /// is a checksum says so: others are times.
    pub fn checksum(&self) -> Option<String> {
        let e_tag = self.e_tag.as_deref()?;
        let digits = e_tag.split('-').next().unwrap_or_default();
        let is_checksum = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_checksum.then(|| format!("{} {e_tag}", self.bucket.url))
    }

    /// Of what identifies its bytes, where they aren't all read.
    pub fn hash(&self) -> String {
        let e_tag = self.e_tag.as_deref().unwrap_or_default();
        let identity = format!("{} {} {e_tag}", self.name(), self.size);
        format!("{:032x}", XxHash3_128::oneshot(identity.as_bytes()))
    }

    /// Asks for a range.
    fn ask(&self, range: Range<u64>) -> JoinHandle<io::Result<Bytes>> {
        let object = self.clone();
        RUNTIME.spawn(async move {
            let told = |error: StoreError| {
                let told = object.bucket.told(&object.name(), &error);
                io::Error::other(told.what.trim_start_matches(&format!("{}: ", object.name())).to_string())
            };
            let options = GetOptions { range: Some(range.into()), ..GetOptions::default() };
            let answer = match object.bucket.store.get_opts(&object.path, options).await {
                Err(StoreError::NotFound { .. }) => {
                    return Err(io::Error::other("it was deleted while it was read"));
                }
                answer => answer.map_err(told)?,
            };
            let now = answer.meta.e_tag.as_deref().map(bare);
            if now.is_some() && object.e_tag.is_some() && now != object.e_tag
                || answer.meta.size != object.size
            {
                return Err(io::Error::other("it was changed while it was read"));
            }
            answer.bytes().await.map_err(told)
        })
    }
}

fn bare(e_tag: &str) -> String {
    e_tag.trim_start_matches("W/").trim_matches('"').to_string()
}

fn wait(asked: JoinHandle<io::Result<Bytes>>) -> io::Result<Bytes> {
    RUNTIME.block_on(asked).map_err(|_| io::Error::other("reading the store was given up"))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_a_store_says_only_its_status_is_shown() {
        let of = |words: &str| said(&io::Error::other(words.to_string()));
        let signed = "Server returned non-2xx status code: 503: <Error>sig=abc</Error>";
        assert_eq!(of(signed), "the store answers with status 503");
        assert_eq!(of("Connection refused (os error 111)"), "the store can't be reached: Connection refused");
        for words in ["https://x?sig=abc", "<Error>AKIA</Error>", "a=b"] {
            assert_eq!(of(words), "the store can't be reached, or doesn't answer as one");
        }
    }
}
