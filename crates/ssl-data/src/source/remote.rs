//! Inputs on servers: files of the web, and objects of S3, Google Cloud Storage and Azure. The one place that knows of futures.
//!
//! A server may be slow, silent, or break off: every wait ends, reading goes on where it broke off, and what cannot be had is told
//! with the address. Credentials come from the environment, as the providers' own tools read them.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::HttpBuilder;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreScheme, RetryConfig};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use url::Url;

use super::address::Address;
use crate::error::{Error, Result};

/// The most objects that are listed below one address.
const OBJECTS: usize = 1 << 20;

/// How long a server is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Nothing came for so long.
    pub(super) silence: Duration,
    /// Fewer bytes in that time than this are as good as nothing.
    pub(super) least: u64,
    /// So many attempts in a row gave nothing.
    pub(super) attempts: u32,
    /// The first pause between two attempts; each further one is twice as long.
    pub(super) pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { silence: Duration::from_mins(1), least: 16 << 10, attempts: 5, pause: Duration::from_millis(250) }
    }
}

/// An object, open for reading.
pub(super) struct Object {
    address: Address,
    runtime: Runtime,
    store: Arc<dyn ObjectStore>,
    path: Path,
    meta: ObjectMeta,
    body: Mutex<Body>,
    patience: Patience,
}

/// What is read of an object at the moment.
#[derive(Default)]
struct Body {
    /// Where in the object the next byte stands.
    at: u64,
    here: Bytes,
    answer: Option<Answer>,
    /// How often an answer broke off.
    breaks: u64,
}

/// An answer that is being read.
struct Answer {
    stream: BoxStream<'static, object_store::Result<Bytes>>,
    /// How long was waited for how many bytes, of late.
    waited: Duration,
    came: u64,
}

type Attempt<T> = std::result::Result<T, Fault>;

/// Why an attempt failed.
enum Fault {
    /// The next attempt may not.
    Passing(String),
    /// It will always.
    Lasting(Error),
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Object").field(&self.address).finish()
    }
}

fn failed(address: &Address, reason: impl Into<String>) -> Error {
    Error::Remote { address: address.shown(), reason: reason.into() }
}

/// The server of an address, and the object's name there.
fn connect(address: &Address, patience: Patience) -> Result<(Arc<dyn ObjectStore>, Path)> {
    // Whoever came first has set it, to this or another.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let wrong = |fault: &dyn StdError| failed(address, format!("it is no address: {}", innermost(fault)));
    let url = Url::parse(address.whole()).map_err(|fault| wrong(&fault))?;
    let options = ClientOptions::new().with_allow_http(true).with_connect_timeout(patience.silence).with_timeout_disabled();
    let backoff = BackoffConfig { init_backoff: patience.pause, ..BackoffConfig::default() };
    let retry = RetryConfig { backoff, max_retries: patience.attempts as usize, retry_timeout: patience.silence };
    let made = |store: object_store::Result<Arc<dyn ObjectStore>>| store.map_err(|fault| wrong(&fault));
    if let "http" | "https" = url.scheme() {
        let path = Path::from_url_path(url.path()).map_err(|fault| wrong(&fault))?;
        let mut server = url.clone();
        server.set_path("");
        let builder = HttpBuilder::new().with_url(server).with_client_options(options).with_retry(retry);
        return Ok((made(builder.build().map(|store| Arc::new(store) as _))?, path));
    }
    let (scheme, path) = ObjectStoreScheme::parse(&url).map_err(|fault| wrong(&fault))?;
    let named = address.whole();
    let store = match scheme {
        ObjectStoreScheme::AmazonS3 => {
            let builder = AmazonS3Builder::from_env().with_url(named).with_client_options(options).with_retry(retry);
            builder.build().map(|store| Arc::new(store) as _)
        }
        ObjectStoreScheme::GoogleCloudStorage => {
            let builder = GoogleCloudStorageBuilder::from_env().with_url(named).with_client_options(options).with_retry(retry);
            builder.build().map(|store| Arc::new(store) as _)
        }
        ObjectStoreScheme::MicrosoftAzure => {
            let builder = MicrosoftAzureBuilder::from_env().with_url(named).with_client_options(options).with_retry(retry);
            builder.build().map(|store| Arc::new(store) as _)
        }
        _ => return Err(failed(address, "servers of this kind are not read")),
    };
    Ok((made(store)?, path))
}

/// The innermost reason of a fault, in plain characters and without addresses, which may hold passwords.
fn innermost(fault: &dyn StdError) -> String {
    let mut fault = fault;
    while let Some(source) = fault.source() {
        fault = source;
    }
    let told = fault.to_string();
    let words = told.split_whitespace().filter(|word| !word.contains("://") && !word.contains('@'));
    let plain = words.collect::<Vec<_>>().join(" ");
    plain.chars().filter(|char| char.is_ascii_graphic() || *char == ' ').take(200).collect()
}

/// Tries until it succeeds or is hopeless.
fn attempt<T>(address: &Address, patience: Patience, mut run: impl FnMut() -> Attempt<T>) -> Result<T> {
    let mut tries = 0;
    loop {
        match run() {
            Ok(done) => return Ok(done),
            Err(Fault::Lasting(fault)) => return Err(fault),
            Err(Fault::Passing(reason)) => {
                tries += 1;
                if tries >= patience.attempts {
                    return Err(failed(address, reason));
                }
                std::thread::sleep(patience.pause * 2_u32.saturating_pow(tries));
            }
        }
    }
}

/// What a fault of the server means.
fn fault(address: &Address, fault: &object_store::Error) -> Fault {
    use object_store::Error as Kind;
    let io = |kind: io::ErrorKind| Fault::Lasting(Error::io("open", std::path::Path::new(&address.shown()), kind.into()));
    match fault {
        Kind::NotFound { .. } => io(io::ErrorKind::NotFound),
        Kind::PermissionDenied { .. } | Kind::Unauthenticated { .. } => io(io::ErrorKind::PermissionDenied),
        Kind::Precondition { .. } => Fault::Lasting(Error::Changed { path: address.shown().into() }),
        Kind::NotSupported { .. } | Kind::NotImplemented { .. } | Kind::InvalidPath { .. } => {
            Fault::Lasting(failed(address, innermost(fault)))
        }
        _ => Fault::Passing(innermost(fault)),
    }
}

impl Answer {
    /// The next bytes; none at the end.
    async fn next(&mut self, address: &Address, patience: Patience) -> Attempt<Option<Bytes>> {
        let begun = Instant::now();
        let seconds = patience.silence.as_secs_f32();
        let Ok(next) = timeout(patience.silence, self.stream.next()).await else {
            return Err(Fault::Passing(format!("nothing came for {seconds} seconds")));
        };
        let bytes = next.transpose().map_err(|found| fault(address, &found))?;
        self.waited += begun.elapsed();
        self.came += bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
        if self.waited > patience.silence {
            if self.came < patience.least {
                return Err(Fault::Lasting(failed(
                    address,
                    format!("no more than {} bytes came in {seconds} seconds", self.came),
                )));
            }
            (self.waited, self.came) = (Duration::ZERO, 0);
        }
        Ok(bytes)
    }
}

impl Object {
    pub(super) fn open(address: &Address, patience: Patience) -> Result<Self> {
        let (store, path) = connect(address, patience)?;
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|fault| failed(address, fault.to_string()))?;
        let (answer, meta) =
            attempt(address, patience, || runtime.block_on(get(&*store, &path, GetOptions::default(), address, patience)))?;
        let body = Mutex::new(Body { answer: Some(answer), ..Body::default() });
        Ok(Self { address: address.clone(), patience, runtime, store, path, meta, body })
    }

    pub(super) fn size(&self) -> u64 {
        self.meta.size
    }

    /// What names this state of the object, as far as its server tells.
    pub(super) fn version(&self) -> String {
        format!("{:?} {:?}", self.meta.e_tag, self.meta.last_modified)
    }

    /// Asks for the bytes of `range`, of the object as it was when it was opened.
    async fn ask(&self, range: Range<u64>) -> Attempt<Answer> {
        // Only a strong tag stands for the bytes themselves (RFC 9110, section 8.8.1).
        let tag = self.meta.e_tag.clone().filter(|tag| !tag.starts_with("W/"));
        let whole = range == (0..self.size());
        let range = (!whole).then_some(GetRange::Bounded(range));
        let options = GetOptions { if_match: tag, range, ..GetOptions::default() };
        let (answer, meta) = get(&*self.store, &self.path, options, &self.address, self.patience).await?;
        if meta.size != self.size() {
            return Err(Fault::Lasting(Error::Changed { path: self.address.shown().into() }));
        }
        Ok(answer)
    }

    /// Reads some bytes from `at` on; none only at the end.
    pub(super) fn read_at(&self, at: u64, buffer: &mut [u8]) -> Result<usize> {
        if at >= self.size() || buffer.is_empty() {
            return Ok(0);
        }
        let mut body = self.body.lock().unwrap_or_else(PoisonError::into_inner);
        if body.at != at {
            *body = Body { at, breaks: body.breaks, ..Body::default() };
        }
        attempt(&self.address, self.patience, || {
            let filled = self.runtime.block_on(self.fill(&mut body));
            if filled.is_err() {
                body.answer = None;
                body.breaks += 1;
            }
            filled
        })?;
        let count = body.here.len().min(buffer.len());
        buffer[..count].copy_from_slice(&body.here[..count]);
        body.here.advance(count);
        body.at += count as u64;
        Ok(count)
    }

    /// Sees to it that there are bytes at hand.
    async fn fill(&self, body: &mut Body) -> Attempt<()> {
        // Each answer must bring something worth the asking.
        if body.breaks > 16 + body.at / self.patience.least {
            return Err(Fault::Lasting(failed(&self.address, "it breaks off again and again")));
        }
        while body.here.is_empty() {
            let answer = match &mut body.answer {
                Some(answer) => answer,
                none => none.insert(self.ask(body.at..self.size()).await?),
            };
            let Some(bytes) = answer.next(&self.address, self.patience).await? else {
                return Err(Fault::Passing(format!("it ends after {} of {} bytes", body.at, self.size())));
            };
            let left = usize::try_from(self.size() - body.at).unwrap_or(usize::MAX);
            body.here = bytes.slice(..bytes.len().min(left));
        }
        Ok(())
    }

    /// The bytes from `at` on, as many as asked for or as there are.
    pub(super) fn bytes(&self, at: u64, count: usize) -> Result<Vec<u8>> {
        let end = at.saturating_add(count as u64).min(self.size());
        let count = usize::try_from(end.saturating_sub(at)).unwrap_or(0);
        if count == 0 {
            return Ok(Vec::new());
        }
        let read = async || {
            let mut answer = self.ask(at..end).await?;
            let mut bytes = Vec::with_capacity(count);
            while bytes.len() < count {
                let Some(more) = answer.next(&self.address, self.patience).await? else {
                    return Err(Fault::Passing(format!("{count} bytes from {at} on are cut off")));
                };
                bytes.extend_from_slice(&more);
            }
            bytes.truncate(count);
            Ok(bytes)
        };
        attempt(&self.address, self.patience, || self.runtime.block_on(read()))
    }
}

/// Asks for an object and waits until the answer begins.
async fn get(
    store: &dyn ObjectStore,
    path: &Path,
    options: GetOptions,
    address: &Address,
    patience: Patience,
) -> Attempt<(Answer, ObjectMeta)> {
    let Ok(answer) = timeout(patience.silence * 2, store.get_opts(path, options)).await else {
        return Err(Fault::Passing(format!("no answer for {} seconds", patience.silence.as_secs_f32() * 2.0)));
    };
    let answer = answer.map_err(|found| fault(address, &found))?;
    let meta = answer.meta.clone();
    Ok((Answer { stream: answer.into_stream(), waited: Duration::ZERO, came: 0 }, meta))
}

/// The objects below an address that ends in a slash, as far as they are `wanted`, or those that its pattern fits; sorted by name,
/// each with its name behind the part of the address that is fixed.
pub(super) fn list(address: &Address, wanted: impl Fn(&str) -> bool) -> Result<Vec<(String, Address)>> {
    let patience = Patience::default();
    let (fixed, pattern) = address.parts();
    let no_pattern = |fault: glob::PatternError| failed(address, format!("it is no pattern: {}", fault.msg));
    let pattern = pattern.map(glob::Pattern::new).transpose().map_err(no_pattern)?;
    let options = glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::new() };
    let (store, below) = connect(&fixed, patience)?;
    let runtime = Builder::new_current_thread().enable_all().build().map_err(|fault| failed(address, fault.to_string()))?;
    let read = async || {
        let mut names = Vec::new();
        let mut listed = store.list(Some(&below));
        loop {
            let Ok(next) = timeout(patience.silence * 2, listed.next()).await else {
                return Err(Fault::Passing("the list of objects does not come".into()));
            };
            let Some(object) = next else { return Ok(names) };
            let object = object.map_err(|found| fault(address, &found))?;
            let whole = object.location.as_ref();
            let name = whole.strip_prefix(below.as_ref()).unwrap_or(whole).trim_start_matches('/');
            let fits = pattern.as_ref().map_or_else(|| wanted(name), |pattern| pattern.matches_with(name, options));
            if fits && !name.split('/').any(|part| part.starts_with('.')) {
                names.push(name.to_owned());
            }
            if names.len() > OBJECTS {
                return Err(Fault::Lasting(failed(address, format!("more than {OBJECTS} objects lie there"))));
            }
        }
    };
    let mut names: Vec<String> = attempt(address, patience, || runtime.block_on(read()))?;
    names.sort_unstable();
    Ok(names.into_iter().map(|name| (name.clone(), fixed.join(&name))).collect())
}

#[cfg(test)]
mod tests;
