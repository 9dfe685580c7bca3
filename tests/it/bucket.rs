//! A bucket of an object store on loopback, as far as a client of S3 asks one to list and read: with ranges, entity tags,
//! and what goes wrong between a client and a store.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use twox_hash::XxHash3_128;

/// `s3://logs`, until it is dropped.
pub struct Bucket {
    endpoint: String,
    pub state: Arc<State>,
}

#[derive(Default)]
pub struct State {
    objects: Mutex<BTreeMap<String, Content>>,
    /// Bytes of objects that were sent.
    pub served: AtomicU64,
    /// So many answers from now on are 503.
    pub refusals: AtomicI64,
    /// So many ranges from now on break off halfway.
    pub breaks: AtomicI64,
    /// After so many ranges every object is another one; never where it is 0.
    pub changes_after: AtomicI64,
    /// Whoever asks may not.
    pub denies: AtomicI64,
}

/// Bytes of a blank line.
const LINE: u64 = 64 << 10;

enum Content {
    Bytes(Vec<u8>),
    /// Blank lines of [`LINE`] bytes, which nobody has to store.
    Blank(u64),
}

impl Content {
    fn size(&self) -> u64 {
        match self {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Blank(size) => *size,
        }
    }

    fn range(&self, from: u64, to: u64) -> Vec<u8> {
        match self {
            Content::Bytes(bytes) => bytes[from as usize..to as usize].to_vec(),
            Content::Blank(_) => {
                (from..to).map(|at| if (at + 1) % LINE == 0 { b'\n' } else { b' ' }).collect()
            }
        }
    }

    fn e_tag(&self) -> String {
        match self {
            Content::Bytes(bytes) => format!("{:032x}", XxHash3_128::oneshot(bytes)),
            Content::Blank(size) => format!("{size:032x}"),
        }
    }
}

impl Bucket {
    pub fn new() -> Bucket {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let state = Arc::new(State::default());
        let shared = Arc::downgrade(&state);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let Some(state) = shared.upgrade() else { return };
                std::thread::spawn(move || {
                    // A client that is gone is no failure of the test.
                    let _ = answer_all(&state, client.expect("a client"));
                });
            }
        });
        Bucket { endpoint, state }
    }

    pub fn put(&self, key: &str, bytes: &[u8]) {
        self.state.objects.lock().expect("objects").insert(key.to_string(), Content::Bytes(bytes.to_vec()));
    }

    pub fn put_blank(&self, key: &str, size: u64) {
        self.state.objects.lock().expect("objects").insert(key.to_string(), Content::Blank(size));
    }

    /// Lets a command know of it.
    pub fn tell(&self, command: &mut Command) {
        command
            .env("AWS_ENDPOINT_URL", &self.endpoint)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("AWS_REGION", "us-east-1");
    }
}

/// Which must be in no output.
pub const SECRET: &str = "a-secret-that-nobody-may-see";

/// Whether something is still to happen.
fn takes(count: &AtomicI64) -> bool {
    count.fetch_sub(1, Ordering::SeqCst) > 0
}

fn answer_all(state: &State, client: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut client = client;
    loop {
        let (mut line, mut range) = (String::new(), None);
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            if header.trim().is_empty() {
                break;
            }
            if let Some(value) = header.to_ascii_lowercase().strip_prefix("range: bytes=") {
                let (from, to) = value.trim().split_once('-').expect("a range");
                range = Some((from.parse::<u64>().expect("a start"), to.parse::<u64>().expect("an end") + 1));
            }
        }
        let mut words = line.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if !answer(state, &mut client, method, target, range)? {
            return Ok(());
        }
    }
}

/// False where the connection breaks.
fn answer(
    state: &State,
    client: &mut TcpStream,
    method: &str,
    target: &str,
    range: Option<(u64, u64)>,
) -> std::io::Result<bool> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = decoded(path);
    let plain = |status: &str, body: &str| {
        format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nContent-Type: application/xml\r\n\r\n{body}",
            body.len()
        )
    };
    if takes(&state.refusals) {
        client.write_all(plain("503 Slow Down", "<Error><Code>SlowDown</Code></Error>").as_bytes())?;
        return Ok(true);
    }
    if state.denies.load(Ordering::SeqCst) > 0 {
        let body = format!("<Error><Code>AccessDenied</Code><Secret>{SECRET}</Secret></Error>");
        client.write_all(plain("403 Forbidden", &body).as_bytes())?;
        return Ok(true);
    }
    let objects = state.objects.lock().expect("objects");
    let Some(key) = path.strip_prefix("/logs").map(|key| key.trim_start_matches('/')) else {
        client.write_all(plain("404 Not Found", "<Error><Code>NoSuchBucket</Code></Error>").as_bytes())?;
        return Ok(true);
    };
    if key.is_empty() {
        let prefix = query.split('&').find_map(|pair| pair.strip_prefix("prefix=")).unwrap_or_default();
        let prefix = decoded(prefix);
        let mut body = String::from("<ListBucketResult><IsTruncated>false</IsTruncated>");
        for (key, content) in objects.iter().filter(|(key, _)| key.starts_with(&prefix)) {
            let _ = write!(
                body,
                "<Contents><Key>{key}</Key><LastModified>2026-06-01T00:00:00.000Z</LastModified><ETag>\"{}\"</ETag><Size>{}</Size></Contents>",
                content.e_tag(),
                content.size()
            );
        }
        body += "</ListBucketResult>";
        client.write_all(plain("200 OK", &body).as_bytes())?;
        return Ok(true);
    }
    let Some(content) = objects.get(key) else {
        client.write_all(plain("404 Not Found", "<Error><Code>NoSuchKey</Code></Error>").as_bytes())?;
        return Ok(true);
    };
    let mut e_tag = content.e_tag();
    let size = content.size();
    let head = |status: &str, e_tag: &str, length: u64, range: &str| {
        format!(
            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nETag: \"{e_tag}\"\r\nLast-Modified: Mon, 01 Jun 2026 00:00:00 GMT\r\n{range}\r\n"
        )
    };
    if method == "HEAD" {
        client.write_all(head("200 OK", &e_tag, size, "").as_bytes())?;
        return Ok(true);
    }
    if state.changes_after.load(Ordering::SeqCst) > 0
        && state.changes_after.fetch_sub(1, Ordering::SeqCst) == 1
    {
        state.changes_after.store(1, Ordering::SeqCst);
        e_tag = format!("{:032x}", 7);
    }
    let (from, to) = range.unwrap_or((0, size));
    let to = to.min(size);
    let said = format!("Content-Range: bytes {from}-{}/{size}\r\n", to - 1);
    client.write_all(head("206 Partial Content", &e_tag, to - from, &said).as_bytes())?;
    let body = content.range(from, to);
    drop(objects);
    let broken = takes(&state.breaks);
    let sent = if broken { &body[..body.len() / 2] } else { &body };
    client.write_all(sent)?;
    state.served.fetch_add(sent.len() as u64, Ordering::SeqCst);
    Ok(!broken)
}

fn decoded(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let digits = [bytes.next().unwrap_or(b'0'), bytes.next().unwrap_or(b'0')];
                u8::from_str_radix(std::str::from_utf8(&digits).expect("ASCII"), 16).expect("hexadecimal")
            }
            byte => byte,
        });
    }
    String::from_utf8(decoded).expect("UTF-8")
}
