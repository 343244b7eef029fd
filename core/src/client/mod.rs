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
//! 3. Remote trouble is never `Err`: `Err` is [`Misuse`], a driver's bug. A fatal remote error ends its job once, as
//!    [`Event::Finished`]; after that the job is inert. An exchange that is over (ended, failed, aborted, stopped by
//!    `Flow`, or discarded) is forgotten, and a call that names it is answered with `Ok` and ignored: the driver's
//!    threads may be late. An id that was never given out is `Misuse`.
//! 4. A machine never holds payload. [`Client::handle_head`] answers [`BodyPlan`].
//! 5. Same inputs and seed, same outputs. [`Millis`] is monotonic with one origin; `Wait` is absolute.
//! 6. A late, early or repeated [`Client::handle_timeout`] is harmless, and never answers the same deadline twice
//!    without progress.
//! 7. [`Event::BlobVerified`] is the only edge over which bytes become trusted: sinks write to a temporary name and
//!    rename on it.
//! 8. What only the driver can know is asked for as an event and answered by exactly one call.

mod auth;
mod backoff;
mod blob;
mod conduct;
mod config;
mod event;
mod exchange;
mod hosts;
mod list;
mod machine;
mod options;
mod pull;
mod request;
mod schedule;
mod tokens;

pub use auth::Credentials;
pub use config::{
    Config, HeaderVisibility, HostProfile, Parallel, RegistrySettings, Retries, Timeouts, Transport,
};
pub use event::{Event, Listed, Outcome, Output, Progress, Pulled, PulledImage, SharedBytes, Warning};
pub use machine::Client;
pub use options::{Depth, ListOptions, PlatformChoice, PullOptions};
pub use request::{BodyPlan, Failure, Flow, Reach, Request, RequestBody, SinkFailure, Store, Tls};

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
    /// One pull, list, ….
    JobId,
    /// One digest that jobs want; jobs that want the same share it.
    BlobId,
    /// One question for credentials.
    CredentialsId,
}

#[cfg(test)]
mod tests;
