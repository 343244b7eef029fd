//! The client machine, its ids plain numbers.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::spoken::{self, Carried};
use super::{Object, options as read};
use crate::client::{
    BlobId, BodyPlan, Client, Config, Credentials, CredentialsId, Depth, ExchangeId, Failure, Flow,
    HeaderVisibility, HostProfile, JobId, ListOptions, Output, PlatformChoice, PullOptions, RegistrySettings,
    SharedBytes, SinkFailure, Store, Transport,
};
use crate::digest::{Hasher, Hashes};
use crate::error::{Error, ErrorKind, Misuse, Result};
use crate::http::{Head, Headers};
use crate::map::Map;
use crate::platform::Platform;
use crate::reference::Reference;
use crate::time::Millis;

/// The client machine for hosts that are not Rust; the contract is that of [`crate::client`], with numbers for ids and
/// milliseconds, and JSON for what is said.
///
/// After every call that may have created outputs, [`Session::poll`] gives all of them at once. [`Session::handle_body`] and
/// [`Session::handle_stored`] create none unless they answer `false`.
#[derive(Debug)]
pub struct Session {
    client: Client,
    own: Platform,
    carried: Carried,
    /// Bodies that are to be stored, by exchange, until somebody takes their hasher or the first byte comes.
    stores: Map<u64, Store>,
    /// Hashers of blobs whose host tells of stored bytes and hashes them apart.
    lent: Map<u64, Hasher>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct SessionOptions {
    user_agent: Option<String>,
    seed: u64,
    retries: Option<u32>,
    timeout: Option<f64>,
    jobs: Option<u32>,
    insecure: Registries,
    plain_http: Vec<String>,
    own: Option<String>,
    host: HostOptions,
}

/// `true` for all of them, or a list of names.
#[derive(Deserialize)]
#[serde(untagged)]
enum Registries {
    All(bool),
    These(Vec<String>),
}

impl Default for Registries {
    fn default() -> Registries {
        Registries::All(false)
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct HostOptions {
    redirects_hidden: bool,
    headers: Option<String>,
    decodes_content_encoding: bool,
    streams_request_body: Option<bool>,
    max_parallel: Option<u32>,
    opaque_failures: bool,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct PullWords {
    platform: Option<String>,
    depth: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct ListWords {
    page: Option<u32>,
    most: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct CredentialWords {
    username: Option<String>,
    password: Option<String>,
    identity_token: Option<String>,
    registry_token: Option<String>,
}

fn invalid(reason: String) -> Error {
    ErrorKind::InvalidOption { reason }.into()
}

/// The platform that a host's user asked for: `native` is the host's own, and parts that are missing are taken from there.
pub(super) fn choice(asked: Option<&str>, own: &Platform) -> Result<PlatformChoice> {
    Ok(match asked {
        None => PlatformChoice::All,
        Some("native") => PlatformChoice::One(own.clone()),
        Some(asked) => PlatformChoice::One(Platform::parse_with(asked, own)?),
    })
}

/// The platform of the host: Linux on its architecture, whatever it runs itself.
pub(super) fn own_platform(said: Option<&str>) -> Result<Platform> {
    let default = Platform::new("linux", "amd64");
    said.map_or(Ok(default.clone()), |said| Platform::parse_with(said, &default))
}

impl Session {
    /// A machine with no jobs.
    ///
    /// `options` is an object: `userAgent`, `seed`, `retries` (in a row, without progress), `timeout` (seconds until a
    /// response begins, and between two chunks), `jobs` (blobs at once), `insecure` (`true` or registries whose certificates
    /// are not checked), `plainHttp` (registries), `own` (the platform that `native` means), and `host`, what this host's HTTP
    /// hides ([`HostProfile`]): `redirectsHidden`, `headers` (`all` or `exposed`), `decodesContentEncoding`,
    /// `streamsRequestBody`, `maxParallel`, `opaqueFailures`.
    ///
    /// # Errors
    /// `invalid_option`, `invalid_platform`.
    pub fn new(options: &str, hashes: Arc<dyn Hashes>) -> Result<Session> {
        let said: SessionOptions = read(options)?;
        let mut config = Config { hashes, seed: said.seed, ..Config::default() };
        if let Some(agent) = said.user_agent {
            config.user_agent = agent;
        }
        if let Some(budget) = said.retries {
            config.retries.budget = budget;
        }
        if let Some(timeout) = said.timeout {
            let span = Duration::try_from_secs_f64(timeout)
                .map_err(|_| invalid(format!("`timeout` is {timeout}, not a number of seconds")))?;
            config.timeouts.head = span;
            config.timeouts.stall = span;
        }
        if let Some(jobs) = said.jobs {
            config.parallel.blobs = jobs.max(1);
        }
        match said.insecure {
            Registries::All(false) => {}
            Registries::All(true) => config.default_registry.transport = Transport::Insecure,
            Registries::These(names) => config.registries.extend(
                names.into_iter().map(|name| (name, RegistrySettings { transport: Transport::Insecure })),
            ),
        }
        config.registries.extend(
            said.plain_http.into_iter().map(|name| (name, RegistrySettings { transport: Transport::Http })),
        );
        let normal = HostProfile::default();
        config.host = HostProfile {
            redirects_hidden: said.host.redirects_hidden,
            headers: match said.host.headers.as_deref() {
                None | Some("all") => HeaderVisibility::All,
                Some("exposed") => HeaderVisibility::Exposed,
                Some(other) => {
                    return Err(invalid(format!("`headers` is `{other}`, not `all` or `exposed`")));
                }
            },
            decodes_content_encoding: said.host.decodes_content_encoding,
            streams_request_body: said.host.streams_request_body.unwrap_or(normal.streams_request_body),
            max_parallel: said.host.max_parallel.unwrap_or(normal.max_parallel),
            opaque_failures: said.host.opaque_failures,
        };
        Ok(Session {
            client: Client::new(config),
            own: own_platform(said.own.as_deref())?,
            carried: Carried::default(),
            stores: Map::new(),
            lent: Map::new(),
        })
    }

    /// Starts a pull. `options`: `platform` (`linux/arm64`, `native`; all of them if it is absent), `depth` (`resolve`,
    /// `document`, `manifest`, `config`; `layers` if it is absent). Answers the job.
    ///
    /// # Errors
    /// `invalid_reference`, `invalid_platform`, `invalid_option`.
    pub fn pull(&mut self, now: u64, reference: &str, options: &str) -> Result<u64> {
        let reference: Reference = reference.parse()?;
        let said: PullWords = read(options)?;
        let depth = match said.depth.as_deref() {
            None | Some("layers") => Depth::Layers,
            Some("config") => Depth::Config,
            Some("manifest") => Depth::Manifest,
            Some("document") => Depth::Document,
            Some("resolve") => Depth::Resolve,
            Some(other) => return Err(invalid(format!("there is no depth `{other}`"))),
        };
        let platform = choice(said.platform.as_deref(), &self.own)?;
        let options = PullOptions { platform, depth, ..PullOptions::default() };
        Ok(self.client.pull(Millis(now), &reference.or_latest(), options).number())
    }

    /// Starts to fetch one blob, `NAME@DIGEST`. Answers the job.
    ///
    /// # Errors
    /// `invalid_reference`; `invalid_option` without a digest.
    pub fn pull_blob(&mut self, now: u64, reference: &str) -> Result<u64> {
        let parsed: Reference = reference.parse()?;
        if parsed.digest().is_none() {
            return Err(invalid(format!("a blob is named by its digest: {}@sha256:…", parsed.name())));
        }
        Ok(self.client.pull_blob(Millis(now), &parsed).number())
    }

    /// Starts to list the tags of a repository. `options`: `page` (entries a page), `most`. Answers the job.
    ///
    /// # Errors
    /// `invalid_reference`, `invalid_option`.
    pub fn tags(&mut self, now: u64, repository: &str, options: &str) -> Result<u64> {
        let repository: Reference = repository.parse()?;
        let said: ListWords = read(options)?;
        let options = ListOptions { page: said.page, most: said.most };
        Ok(self.client.tags(Millis(now), &repository, options).number())
    }

    /// Stops a job: it ends with `cancelled`.
    pub fn cancel(&mut self, now: u64, job: u64) {
        self.client.cancel(Millis(now), JobId::from_number(job));
    }

    /// All that there is to do, in order, as a JSON array; the last is `{"output":"wait","until":…}`.
    pub fn poll(&mut self) -> String {
        let mut outputs = Vec::new();
        loop {
            let output = self.client.poll_output();
            let waits = matches!(output, Output::Wait(_));
            if let Output::Abort { id } = &output {
                // What it lent for this exchange comes back. It was handed out, so that is no misuse.
                let _ = self.hand_back(0, id.number());
            }
            outputs.push(spoken::output(output, &mut self.carried));
            if waits {
                return Value::Array(outputs).to_string();
            }
        }
    }

    /// The bytes of a request's body, whose length its `start` said; once.
    pub fn body(&mut self, id: u64) -> Option<Vec<u8>> {
        self.carried.bodies.remove(&id)
    }

    /// The bytes of a document, by the number that its event said; once.
    pub fn document(&mut self, number: u64) -> Option<SharedBytes> {
        self.carried.documents.remove(&number)
    }

    /// The head of a response: `final_url` is where a transport that follows redirects by itself ended. Answers what to do with
    /// the body:
    ///
    /// - `{"plan":"discard"}`: nobody reads it.
    /// - `{"plan":"feed"}`: every chunk goes to [`Session::handle_body`].
    /// - `{"plan":"store","blob":…,"offset":…,"skip":…,"hashed":…}`: as [`Store`] says. Who hashes himself takes it by
    ///   [`Session::take_store`]; else bytes `hashed..offset` of the sink go to [`Session::replay`] and the kept chunks, behind the
    ///   first `skip` bytes, to [`Session::handle_body`].
    ///
    /// # Errors
    /// [`Misuse`] for an id that was never given out, or a second head.
    pub fn handle_head(
        &mut self,
        now: u64,
        id: u64,
        status: u16,
        headers: &[(&str, &[u8])],
        final_url: Option<&str>,
    ) -> Result<String, Misuse> {
        let mut head = Head::new(status, Headers::new(headers));
        if let Some(url) = final_url {
            head = head.from_url(url);
        }
        let plan = match self.client.handle_head(Millis(now), ExchangeId::from_number(id), head)? {
            BodyPlan::Discard => Object::new().with("plan", "discard"),
            BodyPlan::Feed => Object::new().with("plan", "feed"),
            BodyPlan::Store(store) => {
                let plan = Object::new()
                    .with("plan", "store")
                    .with("blob", store.blob.number())
                    .with("offset", store.offset)
                    .with("skip", store.skip)
                    .with("hashed", store.hasher.position());
                self.stores.insert(id, store);
                plan
            }
        };
        Ok(plan.to_string())
    }

    /// Takes the store of a body that is to be stored, for a host that hashes on its own threads; its hasher comes back by
    /// [`Session::handle_hashed`].
    pub fn take_store(&mut self, id: u64) -> Option<Store> {
        self.stores.remove(&id)
    }

    /// Bytes of the sink that the hash has not seen, before the body's own.
    ///
    /// # Errors
    /// [`Misuse`] where none are awaited.
    pub fn replay(&mut self, id: u64, bytes: &[u8]) -> Result<(), Misuse> {
        match self.stores.get_mut(&id) {
            Some(store) if store.hasher.position() + bytes.len() as u64 <= store.offset => {
                store.hasher.update(bytes);
                Ok(())
            }
            Some(_) => Err(Misuse("more is replayed than the sink holds")),
            // It was aborted meanwhile.
            None => Ok(()),
        }
    }

    /// A chunk of a body. Answers whether to go on reading; if not, the exchange is over.
    ///
    /// # Errors
    /// [`Misuse`] for an id that was never given out, or where no body is awaited.
    pub fn handle_body(&mut self, now: u64, id: u64, chunk: &[u8]) -> Result<bool, Misuse> {
        self.hand_back(now, id)?;
        Ok(self.client.handle_body(Millis(now), ExchangeId::from_number(id), chunk)? == Flow::Continue)
    }

    /// So many bytes are in the sink: for who took the store, or hashes them apart by [`Session::hash`]. With 0 it says that a body
    /// whose first bytes are skipped is alive.
    ///
    /// # Errors
    /// [`Misuse`] for an id that was never given out, or a body that is not stored.
    pub fn handle_stored(&mut self, now: u64, id: u64, len: u64) -> Result<bool, Misuse> {
        if len > 0
            && let Some(store) = self.stores.remove(&id)
        {
            self.lent.insert(store.blob.number(), store.hasher);
        }
        Ok(self.client.handle_stored(Millis(now), ExchangeId::from_number(id), len)? == Flow::Continue)
    }

    /// The bytes of a blob's sink from `hashed` on to the end of what its exchange stored: for who told of them by
    /// [`Session::handle_stored`] and not by [`Session::handle_body`]. Called once for each exchange, before or behind its end.
    ///
    /// # Errors
    /// [`Misuse`] where nothing is to be hashed.
    pub fn hash(&mut self, now: u64, blob: u64, bytes: &[u8]) -> Result<(), Misuse> {
        let of_blob = |store: &Store| store.blob.number() == blob;
        let waiting = self.stores.iter().find(|(_, store)| of_blob(store)).map(|(id, _)| *id);
        let hasher = match waiting {
            Some(id) => self.stores.remove(&id).map(|store| store.hasher),
            None => self.lent.remove(&blob),
        };
        let Some(mut hasher) = hasher else { return Err(Misuse("bytes that are not to be hashed")) };
        hasher.update(bytes);
        self.client.handle_hashed(Millis(now), BlobId::from_number(blob), hasher)
    }

    /// The hasher of a blob comes back.
    ///
    /// # Errors
    /// [`Misuse`] for one that was not lent.
    pub fn handle_hashed(&mut self, now: u64, blob: u64, hasher: Hasher) -> Result<(), Misuse> {
        self.client.handle_hashed(Millis(now), BlobId::from_number(blob), hasher)
    }

    /// A body has come to its end.
    ///
    /// # Errors
    /// [`Misuse`] for an id that was never given out.
    pub fn handle_end(&mut self, now: u64, id: u64) -> Result<(), Misuse> {
        self.hand_back(now, id)?;
        self.client.handle_end(Millis(now), ExchangeId::from_number(id))
    }

    /// The transport gave up: `dns`, `refused`, `unreachable`, `tls`, `certificate`, `broken`, `forbidden`, `unknown`.
    ///
    /// # Errors
    /// [`Misuse`] for an id that was never given out, or another word.
    pub fn handle_failure(&mut self, now: u64, id: u64, failure: &str, detail: &str) -> Result<(), Misuse> {
        let failure = match failure {
            "dns" => Failure::Dns,
            "refused" => Failure::Refused,
            "unreachable" => Failure::Unreachable,
            "tls" => Failure::Tls,
            "certificate" => Failure::Certificate,
            "broken" => Failure::Broken,
            "forbidden" => Failure::Forbidden,
            "unknown" => Failure::Unknown,
            _ => return Err(Misuse("a failure that has no name here")),
        };
        self.hand_back(now, id)?;
        self.client.handle_failure(Millis(now), ExchangeId::from_number(id), failure, detail)
    }

    /// A sink could not take bytes: `no_space` (`needed`: what it still takes, 0 if unknown), `permission`, `io`.
    ///
    /// # Errors
    /// [`Misuse`] for a blob that was never named, or another word.
    pub fn handle_sink_failure(
        &mut self,
        now: u64,
        blob: u64,
        failure: &str,
        needed: u64,
        detail: &str,
    ) -> Result<(), Misuse> {
        let failure = match failure {
            "no_space" => SinkFailure::NoSpace { needed },
            "permission" => SinkFailure::Permission,
            "io" => SinkFailure::Io,
            _ => return Err(Misuse("a sink's failure that has no name here")),
        };
        self.client.handle_sink_failure(Millis(now), BlobId::from_number(blob), failure, detail)
    }

    /// Whether somebody reads this body: the stall clock runs only then.
    pub fn handle_reading(&mut self, now: u64, id: u64, reading: bool) {
        self.client.handle_reading(Millis(now), ExchangeId::from_number(id), reading);
    }

    /// A moment came that `wait` named.
    pub fn handle_timeout(&mut self, now: u64) {
        self.client.handle_timeout(Millis(now));
    }

    /// Answers `need`: fetch it; `have` bytes are in the sink already.
    ///
    /// # Errors
    /// [`Misuse`] for an id that was never given out, or a second answer.
    pub fn fetch(&mut self, now: u64, blob: u64, have: u64) -> Result<(), Misuse> {
        self.client.fetch(Millis(now), BlobId::from_number(blob), have, None)
    }

    /// Answers `need`: the host has this blob, verified earlier.
    ///
    /// # Errors
    /// [`Misuse`] for an id that was never given out, a second answer, or a document.
    pub fn skip(&mut self, now: u64, blob: u64) -> Result<(), Misuse> {
        self.client.skip(Millis(now), BlobId::from_number(blob))
    }

    /// Answers `need`: the host has this document.
    ///
    /// # Errors
    /// [`Misuse`] for an id that was never given out, a second answer, or a blob that is no document.
    pub fn supply(&mut self, now: u64, blob: u64, bytes: &[u8]) -> Result<(), Misuse> {
        self.client.supply(Millis(now), BlobId::from_number(blob), bytes)
    }

    /// Answers `need`: the host cannot or may not fetch it.
    ///
    /// # Errors
    /// [`Misuse`] for an id that was never given out, or a second answer.
    pub fn refuse(&mut self, now: u64, blob: u64, error: Error) -> Result<(), Misuse> {
        self.client.refuse(Millis(now), BlobId::from_number(blob), error)
    }

    /// Answers `need_credentials`: `username` and `password`, or `identityToken` or `registryToken` as docker's config has
    /// them; `None` where there are none.
    ///
    /// # Errors
    /// `invalid_option` for an object that is none of these; `internal` for a question that is not open.
    pub fn credentials(&mut self, now: u64, id: u64, found: Option<&str>) -> Result<()> {
        let found = match found {
            None => None,
            Some(found) => {
                let said: CredentialWords = read(found)?;
                Some(match (said.username, said.password, said.identity_token, said.registry_token) {
                    (Some(user), Some(password), None, None) => {
                        Credentials::Basic { user, password: password.into() }
                    }
                    (_, _, Some(token), None) => Credentials::RefreshToken(token.into()),
                    (_, _, None, Some(token)) => Credentials::Bearer(token.into()),
                    _ => {
                        let reason =
                            "credentials are `username` and `password`, `identityToken` or `registryToken`";
                        return Err(invalid(reason.to_owned()));
                    }
                })
            }
        };
        let answered = self.client.credentials(Millis(now), CredentialsId::from_number(id), found);
        answered.map_err(|misuse| ErrorKind::Internal { reason: misuse.to_string() }.into())
    }

    /// How far a blob has come: bytes in the sink, bytes of the whole where that is known, whether all are there and the digest
    /// is awaited. `None` once it is done, given up, or was never wanted.
    pub fn progress(&self, blob: u64) -> Option<(u64, Option<u64>, bool)> {
        let progress = self.client.progress(BlobId::from_number(blob))?;
        Some((progress.position, progress.size, progress.verifying))
    }

    /// Gives the hasher of a body that nobody took back to the machine, which hashes what comes.
    fn hand_back(&mut self, now: u64, id: u64) -> Result<(), Misuse> {
        match self.stores.remove(&id) {
            Some(Store { blob, hasher, .. }) => self.client.handle_hashed(Millis(now), blob, hasher),
            None => Ok(()),
        }
    }
}
