//! The registry client as one machine without I/O: [`Client`].
//!
//! It owns tokens, the health and the limits of hosts, priorities and the running jobs, so that a token is fetched
//! once, small requests never wait behind large blobs, and two jobs that want one digest share it. A driver owns
//! sockets, files, threads and the clock.
//!
//! # The contract
//!
//! 1. Mutate, then drain [`Client::poll_output`] until it answers [`Output::Wait`].
//! 2. [`Client::handle_body`] never creates outputs, except through its return value [`Flow`]: a blob costs its chunks
//!    and a few calls. [`Client::handle_stored`] alike.
//! 3. Remote trouble is never `Err`: `Err` is [`Misuse`](crate::error::Misuse), a driver's bug. A fatal remote error ends its job once, as
//!    [`Event::Finished`]; after that the job is inert. An exchange that is over (ended, failed, aborted, stopped by
//!    `Flow`, or discarded) is forgotten, and a call that names it is answered with `Ok` and ignored: the driver's
//!    threads may be late. An id that was never given out is `Misuse`.
//! 4. A machine never holds payload. [`Client::handle_head`] answers [`BodyPlan`].
//! 5. Same inputs and seed, same outputs. [`Millis`](crate::Millis) is monotonic with one origin; `Wait` is absolute.
//! 6. A late, early or repeated [`Client::handle_timeout`] is harmless, and never answers the same deadline twice
//!    without progress.
//! 7. [`Event::BlobVerified`] is the only edge over which bytes become trusted: sinks write to a temporary name and
//!    rename on it.
//! 8. What only the driver can know is asked for as an event and answered by exactly one call: [`Event::Need`] by
//!    [`Client::fetch`], [`Client::skip`], [`Client::supply`] or [`Client::refuse`], [`Event::NeedCredentials`] by
//!    [`Client::credentials`].
//! 9. What goes up is read where it is: [`Event::Source`] (or the [`Event::Need`] of a copy) names a blob before the first
//!    request whose body is a part of it ([`RequestBody::Source`]). Such a request may come again, from any offset. Who
//!    cannot read the blob says so by [`Client::handle_source_failure`]; while bytes go out, [`Client::handle_sent`] keeps
//!    the clock from calling that silence.
//!
//! # The loop
//!
//! What every driver does, here with one exchange at a time, a clock that jumps, and a registry that is a function. (A
//! real one runs each exchange on a task or thread of its own and waits for whatever happens first.)
//!
//! ```
//! use std::collections::BTreeMap;
//! use wharfie_core::client::{BlobId, BodyPlan, Client, Config, Event, Flow, Outcome, Output, PullOptions, Request};
//! use wharfie_core::http::{Head, Headers};
//! use wharfie_core::{Digest, Millis};
//!
//! /// Sends a request: status, header fields, body.
//! fn send(request: &Request) -> (u16, Vec<(&'static str, &'static [u8])>, &'static [u8]) {
//!     let manifest: &[u8] = br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",
//!         "config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":2,
//!         "digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},
//!         "layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","size":5,
//!         "digest":"sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"}]}"#;
//!     let name = request.url.path().rsplit('/').next().unwrap_or_default();
//!     match request.method.as_str() {
//!         "GET" if name == "latest" => (200, vec![], manifest),
//!         "GET" if name.starts_with("sha256:44136fa3") => (200, vec![], b"{}"),
//!         "GET" if name.starts_with("sha256:2cf24dba") => (200, vec![("Content-Length", b"5")], b"hello"),
//!         _ => (405, vec![], b""),
//!     }
//! }
//!
//! let mut client = Client::new(Config::default());
//! let mut now = Millis(0);
//! let mut sinks: BTreeMap<BlobId, Vec<u8>> = BTreeMap::new();
//! let mut store: BTreeMap<Digest, Vec<u8>> = BTreeMap::new();
//! let job = client.pull(now, &"registry.example/hello".parse()?, PullOptions::default());
//! let outcome = loop {
//!     match client.poll_output() {
//!         Output::Start { id, request } => {
//!             let (status, fields, body) = send(&request);
//!             match client.handle_head(now, id, Head::new(status, Headers::new(&fields)))? {
//!                 BodyPlan::Discard => {}
//!                 BodyPlan::Feed => {
//!                     if client.handle_body(now, id, body)? == Flow::Continue {
//!                         client.handle_end(now, id)?;
//!                     }
//!                 }
//!                 BodyPlan::Store(mut at) => {
//!                     let sink = sinks.get_mut(&at.blob).unwrap();
//!                     sink.truncate(at.offset as usize);
//!                     // What the sink has and the hasher has not seen goes through it first.
//!                     at.hasher.update(&sink[at.hasher.position() as usize..]);
//!                     let kept = &body[at.skip as usize..];
//!                     sink.extend_from_slice(kept);
//!                     at.hasher.update(kept);
//!                     let flow = client.handle_stored(now, id, kept.len() as u64)?;
//!                     client.handle_hashed(now, at.blob, at.hasher)?;
//!                     if flow == Flow::Continue {
//!                         client.handle_end(now, id)?;
//!                     }
//!                 }
//!             }
//!         }
//!         // Nothing outlives its `Start` here.
//!         Output::Abort { .. } => {}
//!         Output::Event(Event::Need { blob, .. }) => {
//!             sinks.insert(blob, Vec::new());
//!             client.fetch(now, blob, 0, None)?;
//!         }
//!         Output::Event(Event::Document { descriptor, bytes, .. }) => {
//!             store.insert(descriptor.digest, bytes.to_vec());
//!         }
//!         Output::Event(Event::BlobVerified { blob, digest, .. }) => {
//!             store.insert(digest, sinks.remove(&blob).unwrap());
//!         }
//!         Output::Event(Event::NeedCredentials { id, .. }) => client.credentials(now, id, None)?,
//!         Output::Event(Event::Finished(done, outcome)) if done == job => break outcome?,
//!         Output::Event(_) => {}
//!         // Nothing is under way: sleep until then.
//!         Output::Wait(until) => {
//!             now = until.expect("a job without an end and without a deadline");
//!             client.handle_timeout(now);
//!         }
//!     }
//! };
//! let Outcome::Pulled(pulled) = outcome else { unreachable!() };
//! assert_eq!(store[&pulled.images[0].layers[0].digest], b"hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

// What begins these jobs is not there then, and what goes on with them is never called.
#![cfg_attr(not(feature = "manage"), allow(dead_code))]

mod auth;
mod backoff;
mod blob;
mod choose;
mod conduct;
mod config;
mod delete;
mod event;
mod exchange;
mod hosts;
mod list;
mod machine;
mod manage;
#[cfg(feature = "manage")]
mod managing;
mod options;
mod payload;
mod pull;
mod push;
mod queue;
mod referrers;
mod referring;
mod request;
mod schedule;
mod tokens;
mod upload;
mod walk;

pub use auth::Credentials;
pub use config::{
    Config, HeaderVisibility, HostProfile, Parallel, RegistrySettings, Retries, Timeouts, Transport,
};
pub use event::{
    Event, Listed, Outcome, Output, Placed, Progress, Pulled, PulledImage, Pushed, SharedBytes, Warning,
};
pub use machine::Client;
pub use options::{Depth, ListOptions, PlatformChoice, PullOptions, PushOptions, ReferrersOptions};
pub use request::{BodyPlan, Failure, Flow, Reach, Request, RequestBody, SinkFailure, Store, Tls};
pub use walk::{Step, Walk};

macro_rules! ids {
    ($($(#[doc = $doc:literal])* $name:ident),* $(,)?) => {$(
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub(crate) u64);

        impl $name {
            /// The number, for hosts whose ids are numbers.
            pub fn number(self) -> u64 {
                self.0
            }

            /// From a number that [`Self::number`] gave.
            pub fn from_number(number: u64) -> Self {
                Self(number)
            }
        }
    )*};
}

ids! {
    /// One HTTP request and its response. Never reused.
    ExchangeId,
    /// One pull, push, list, ….
    JobId,
    /// One digest that jobs want; jobs that want the same share it.
    BlobId,
    /// One question for credentials.
    CredentialsId,
}

#[cfg(test)]
mod tests;
