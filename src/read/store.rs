//! Owns object stores: what `gs://`, `s3://` and `az://` name, and reading an object by ranges, some of them asked for
//! ahead. The program is synchronous; what is not stays in this file. Which of the objects found are logs is for
//! `read`, what their bytes are for whoever reads them.
//!
//! ```text
//! object ├──8 MB──┼──8 MB──┼──8 MB──┼── …          a stream: one is being read, two are on their way
//! ```
//!
//! **Invariants**
//! - An object is read as it was when it was found: one that has changed since (by its entity tag) ends the run.
//! - A request that fails is repeated, and a range that breaks off is resumed; what a store says is never shown, as its
//!   messages may hold a signed URL or a key's name.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read};
use std::ops::Range;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path;
use object_store::{
    BackoffConfig, Error as StoreError, GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt, RetryConfig,
};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use xxhash_rust::xxh3::xxh3_128;

use super::settings::Variables;
use crate::error::{Error, Result};

/// Bytes of a range that is asked for at once: large enough that what a request costs beside is nothing.
const RANGE: u64 = 8 << 20;
/// Ranges that are on their way while one is read.
const AHEAD: usize = 2;
/// Bytes of ranges that a reader of columns keeps.
const KEPT: u64 = 64 << 20;
/// Columns that lie closer than this are asked for together.
const GAP: u64 = 64 << 10;

/// One thread drives all requests, so that threads that read logs only wait for bytes.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().expect("a thread for the network")
});

/// A kind of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Gs,
    S3,
    Az,
}

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

/// What a URL names.
pub enum Found {
    Object(Object),
    /// All objects below a prefix, each with its key from there on, by key.
    Folder(Vec<(String, Object)>),
    /// All objects whose keys fit a pattern, by key.
    Pattern(Vec<Object>),
}

/// Whether a name is of an object store; of which kind is for [`Stores::find`].
pub fn is_url(name: &str) -> bool {
    name.contains("://")
}

impl Scheme {
    fn from_name(name: &str) -> Option<Scheme> {
        match name {
            "gs" => Some(Scheme::Gs),
            "s3" => Some(Scheme::S3),
            "az" => Some(Scheme::Az),
            _ => None,
        }
    }

    /// What to set where it isn't known who asks.
    fn credentials(self) -> &'static str {
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
            Error::new(format!("{bucket_url}: {}", said(&error))).hint(scheme.credentials())
        })?;
        let bucket = Arc::new(Bucket { scheme, url: bucket_url.clone(), store });
        self.buckets.insert(bucket_url, bucket.clone());
        Ok((bucket, key))
    }
}

/// How a bucket is spoken to, by what the environment says in the words of the store's own tools.
fn client(
    scheme: Scheme,
    name: &str,
    variables: &Variables,
) -> std::result::Result<Box<dyn ObjectStore>, StoreError> {
    // Fails only where it was chosen before, for another bucket.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let backoff = BackoffConfig { max_backoff: Duration::from_secs(5), ..BackoffConfig::default() };
    let retry = RetryConfig { backoff, max_retries: 8, retry_timeout: Duration::from_secs(120) };
    let lowercase = |prefix: &'static str| {
        variables
            .list
            .iter()
            .filter(move |(name, _)| name.starts_with(prefix))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.as_str()))
    };
    // Without TLS only what never leaves the machine: whatever else is meant so must say it.
    let is_loopback = |url: &str| {
        let host = url.strip_prefix("http://").unwrap_or_default();
        ["localhost", "127.", "[::1]"].iter().any(|loopback| host.starts_with(loopback))
    };
    Ok(match scheme {
        Scheme::S3 => {
            let mut builder = AmazonS3Builder::new();
            for (key, value) in lowercase("AWS_") {
                if key.starts_with("aws_endpoint_url") && is_loopback(value) {
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
            for (key, value) in lowercase("GOOGLE_") {
                if let Ok(key) = key.parse::<GoogleConfigKey>() {
                    builder = builder.with_config(key, value);
                }
            }
            if let Some(host) = variables.get("STORAGE_EMULATOR_HOST") {
                let url = if is_url(host) { host.to_string() } else { format!("http://{host}") };
                let options = object_store::ClientOptions::new().with_allow_http(is_loopback(&url));
                builder = builder.with_base_url(url.trim_end_matches('/')).with_skip_signature(true);
                builder = builder.with_client_options(options);
            }
            Box::new(builder.with_bucket_name(name).with_retry(retry).build()?)
        }
        Scheme::Az => {
            let mut builder = MicrosoftAzureBuilder::new();
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
            for (part, value) in parts.filter_map(|part| part.split_once('=')) {
                match part {
                    "AccountName" => set("account_name", value),
                    "AccountKey" => set("access_key", value),
                    "SharedAccessSignature" => set("azure_storage_sas_key", value),
                    "BlobEndpoint" => set("endpoint", value),
                    _ => {}
                }
            }
            Box::new(builder.with_container_name(name).with_retry(retry).build()?)
        }
    })
}

fn path(url: &str, key: &str) -> Result<Path> {
    Path::parse(key).map_err(|_| {
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
    let words = cause(error).to_string();
    let words = words.split(" (os error").next().unwrap_or_default();
    if words.len() > 120 || words.contains(['/', '<', '{', '=', '?']) {
        "the store can't be reached, or doesn't answer as one".to_string()
    } else {
        format!("the store can't be reached: {words}")
    }
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
        format!("{:032x}", xxh3_128(identity.as_bytes()))
    }

    /// Its bytes, one after the other; of the first range no more than `first`.
    pub fn open(&self, first: u64) -> ObjectReader {
        ObjectReader {
            object: self.clone(),
            first,
            next: 0,
            coming: VecDeque::new(),
            bytes: Bytes::new(),
            given: 0,
        }
    }

    /// Some of its bytes in any order, of which only `wanted` are asked for: those of `columns` columns, which are read side
    /// by side. What the network says stands in `failure`, where whoever reads the bytes has other words for it.
    pub fn ranges(&self, wanted: Vec<Range<u64>>, columns: usize, failure: Failure) -> Ranges {
        let columns = columns as u64 + 1;
        let block = (KEPT / columns).clamp(RANGE / 32, RANGE);
        Ranges(Arc::new(Blocks {
            object: self.clone(),
            spans: together(wanted),
            block,
            most: (KEPT / block).max(columns) as usize,
            kept: Mutex::default(),
            failure,
        }))
    }

    /// Its last bytes, in which a file of columns says where they are.
    pub fn end(&self, failure: Failure) -> Ranges {
        self.ranges(vec![self.size.saturating_sub(RANGE / 8)..self.size], 1, failure)
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

/// An object as a stream.
pub struct ObjectReader {
    object: Object,
    first: u64,
    /// From here on nothing was asked for.
    next: u64,
    coming: VecDeque<JoinHandle<io::Result<Bytes>>>,
    bytes: Bytes,
    given: usize,
}

impl ObjectReader {
    /// Whether the object begins so; nothing of it is taken.
    pub fn begins_with(&mut self, beginning: &[u8]) -> io::Result<bool> {
        self.fill(0)?;
        Ok(self.bytes.starts_with(beginning))
    }

    /// Waits for the next bytes where none are left, and asks for those after them.
    fn fill(&mut self, ahead: usize) -> io::Result<()> {
        if self.given < self.bytes.len() {
            return Ok(());
        }
        while self.next < self.object.size && self.coming.len() <= ahead {
            let length = if self.next == 0 { self.first.min(RANGE) } else { RANGE };
            let end = (self.next + length).min(self.object.size);
            self.coming.push_back(self.object.ask(self.next..end));
            self.next = end;
        }
        if let Some(asked) = self.coming.pop_front() {
            (self.bytes, self.given) = (wait(asked)?, 0);
        }
        Ok(())
    }
}

impl Read for ObjectReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.fill(AHEAD)?;
        let rest = &self.bytes[self.given..];
        let count = buffer.len().min(rest.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.given += count;
        Ok(count)
    }
}

impl Drop for ObjectReader {
    fn drop(&mut self) {
        self.coming.iter().for_each(JoinHandle::abort);
    }
}

/// Why a store gave no bytes.
pub type Failure = Arc<Mutex<Option<io::Error>>>;

/// An object of which only some ranges are read, in any order.
#[derive(Clone)]
pub struct Ranges(Arc<Blocks>);

struct Blocks {
    object: Object,
    /// What is wanted, in order; what lies close together is one.
    spans: Vec<Range<u64>>,
    /// Of how many bytes of a span one block is.
    block: u64,
    /// How many blocks are kept.
    most: usize,
    /// With the place of each; the one that was used last is the last.
    kept: Mutex<VecDeque<(u64, Bytes)>>,
    failure: Failure,
}

/// Ranges in order, those that lie close together as one.
fn together(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_by_key(|range| range.start);
    let mut spans: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match spans.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(GAP) => last.end = last.end.max(range.end),
            _ => spans.push(range),
        }
    }
    spans
}

impl Blocks {
    /// The bytes from a place to the end of its block.
    fn from(&self, place: u64) -> io::Result<Bytes> {
        let range = self.block_of(place);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = match kept.iter().position(|(start, _)| *start == range.start) {
            Some(found) => kept.remove(found).map(|(_, bytes)| bytes).unwrap_or_default(),
            None => {
                let asked = wait(self.object.ask(range.clone()));
                asked.map_err(|error| {
                    let told = io::Error::new(error.kind(), error.to_string());
                    *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    told
                })?
            }
        };
        kept.push_back((range.start, bytes.clone()));
        if kept.len() > self.most {
            kept.pop_front();
        }
        Ok(bytes.slice((place - range.start) as usize..))
    }

    fn block_of(&self, place: u64) -> Range<u64> {
        let next = self.spans.partition_point(|span| span.end <= place);
        match self.spans.get(next).filter(|span| span.start <= place) {
            Some(span) => {
                let start = span.start + (place - span.start) / self.block * self.block;
                start..(start + self.block).min(span.end)
            }
            // Nobody said that it would be wanted, so little of it may be.
            None => place..(place + GAP).min(self.object.size),
        }
    }

    fn is_beyond(&self, end: u64) -> parquet::errors::Result<()> {
        match end > self.object.size {
            true => Err(ParquetError::EOF(format!("there is no byte {end}"))),
            false => Ok(()),
        }
    }
}

impl Length for Ranges {
    fn len(&self) -> u64 {
        self.0.object.size
    }
}

impl ChunkReader for Ranges {
    type T = RangesReader;

    fn get_read(&self, start: u64) -> parquet::errors::Result<RangesReader> {
        self.0.is_beyond(start)?;
        Ok(RangesReader { ranges: self.clone(), place: start })
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        self.0.is_beyond(start.saturating_add(length as u64))?;
        if length == 0 {
            return Ok(Bytes::new());
        }
        let first = self.0.from(start)?;
        if first.len() >= length {
            return Ok(first.slice(..length));
        }
        let mut bytes = first.to_vec();
        while bytes.len() < length {
            let more = self.0.from(start + bytes.len() as u64)?;
            bytes.extend_from_slice(&more[..more.len().min(length - bytes.len())]);
        }
        Ok(bytes.into())
    }
}

/// The bytes from a place on.
pub struct RangesReader {
    ranges: Ranges,
    place: u64,
}

impl Read for RangesReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.place >= self.ranges.len() || buffer.is_empty() {
            return Ok(0);
        }
        let bytes = self.ranges.0.from(self.place)?;
        let count = buffer.len().min(bytes.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        self.place += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_lie_close_together_are_one() {
        let ranges = vec![200_000..300_000, 0..10, 20..30, 400_000..500_000];
        assert_eq!(together(ranges), [0..30, 200_000..300_000, 400_000..500_000]);
        assert_eq!(together(vec![0..100, 10..20]), [0..100]);
    }

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
