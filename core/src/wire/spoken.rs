//! The client machine's outputs as JSON: the one vocabulary of all hosts.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use serde_json::Value;

use super::{Object, descriptor, error, pulled};
use crate::client::{Event, ExchangeId, Outcome, Output, Reach, RequestBody, SharedBytes, Tls, Warning};
use crate::map::Map;

/// What outputs carry that is too big to be said: it is taken by its number.
#[derive(Debug, Default)]
pub(super) struct Carried {
    pub(super) bodies: Map<u64, Vec<u8>>,
    pub(super) documents: Map<u64, SharedBytes>,
    next_document: u64,
}

impl Carried {
    fn document(&mut self, bytes: SharedBytes) -> u64 {
        let number = self.next_document;
        self.next_document += 1;
        self.documents.insert(number, bytes);
        number
    }
}

/// One output.
pub(super) fn output(output: Output, carried: &mut Carried) -> Value {
    match output {
        Output::Start { id, request } => {
            let headers: Vec<Value> = request
                .headers
                .iter()
                .map(|(name, value)| vec![name.to_string(), value.to_string()].into())
                .collect();
            let len = body(id, request.body, carried);
            Object::new()
                .with("output", "start")
                .with("id", id.number())
                .with("method", request.method.as_str())
                .with("url", request.url.to_string())
                .with("headers", headers)
                .with_some("body", len)
                .with(
                    "reach",
                    match request.reach {
                        Reach::Any => "any",
                        Reach::NoLoopbackOrLinkLocal => "no_loopback_or_link_local",
                    },
                )
                .with(
                    "tls",
                    match request.tls {
                        Tls::Verify => "verify",
                        Tls::AcceptAny => "accept_any",
                    },
                )
                .into()
        }
        Output::Abort { id } => {
            carried.bodies.remove(&id.number());
            Object::new().with("output", "abort").with("id", id.number()).into()
        }
        Output::Event(said) => event(said, carried).with("output", "event").into(),
        Output::Wait(until) => {
            Object::new().with("output", "wait").with("until", until.map(|until| until.0)).into()
        }
    }
}

fn body(id: ExchangeId, body: RequestBody, carried: &mut Carried) -> Option<Object> {
    match body {
        RequestBody::Empty => None,
        RequestBody::Bytes(bytes) => {
            let len = bytes.len();
            carried.bodies.insert(id.number(), bytes);
            Some(Object::new().with("len", len))
        }
        RequestBody::Source { blob, offset, len } => {
            Some(Object::new().with("blob", blob.number()).with("offset", offset).with("len", len))
        }
    }
}

fn named(name: &str) -> Object {
    Object::new().with("event", name)
}

fn event(event: Event, carried: &mut Carried) -> Object {
    match event {
        Event::Resolved { job, descriptor: found } => {
            named("resolved").with("job", job.number()).with("descriptor", descriptor(&found))
        }
        Event::Answered { job, endpoint } => {
            named("answered").with("job", job.number()).with("endpoint", endpoint.to_string())
        }
        Event::Chosen { job, wanted, taken, descriptor: found, others } => named("chosen")
            .with("job", job.number())
            .with("wanted", wanted.to_string())
            .with_some("taken", taken.map(|taken| taken.to_string()))
            .with("descriptor", descriptor(&found))
            .with("others", others.iter().map(ToString::to_string).collect::<Vec<_>>()),
        Event::Need { job, blob, descriptor: needed, document } => named("need")
            .with("job", job.number())
            .with("blob", blob.number())
            .with("descriptor", descriptor(&needed))
            .with("document", document),
        Event::Source { job, blob, descriptor: needed } => named("source")
            .with("job", job.number())
            .with("blob", blob.number())
            .with("descriptor", descriptor(&needed)),
        Event::Placed { job, blob, descriptor: placed, how } => named("placed")
            .with("job", job.number())
            .with("blob", blob.number())
            .with("descriptor", descriptor(&placed))
            .with(
                "how",
                match how {
                    crate::client::Placed::Present => "present",
                    crate::client::Placed::Mounted => "mounted",
                    crate::client::Placed::Sent => "sent",
                },
            ),
        Event::Document { job, blob, descriptor: arrived, bytes } => named("document")
            .with("job", job.number())
            .with("blob", blob.number())
            .with("descriptor", descriptor(&arrived))
            .with("document", carried.document(bytes)),
        Event::Described { job, pulled: known } => {
            named("described").with("job", job.number()).with("pulled", pulled(&known))
        }
        Event::BlobRewound { blob, to, reason } => named("blob_rewound")
            .with("blob", blob.number())
            .with("to", to)
            .with("reason", error::value(&reason)),
        Event::BlobVerified { blob, digest, size } => named("blob_verified")
            .with("blob", blob.number())
            .with("digest", digest.to_string())
            .with("size", size),
        Event::NeedCredentials { id, registry, repository, stands_for } => named("need_credentials")
            .with("id", id.number())
            .with("registry", registry)
            .with_some("repository", repository)
            .with_some("standsFor", stands_for),
        // The token itself is the machine's: no host keeps one for the next process yet.
        Event::TokenIssued { registry, scope, expires_in, .. } => named("token_issued")
            .with("registry", registry)
            .with("scope", scope)
            .with("expiresIn", expires_in.as_secs_f64()),
        Event::Retrying { blob, host, attempt, delay, reason } => named("retrying")
            .with_some("blob", blob.map(crate::client::BlobId::number))
            .with("host", host)
            .with("attempt", attempt)
            .with("delay", delay.as_secs_f64())
            .with("reason", error::value(&reason)),
        Event::Warning { job, warning: given } => {
            named("warning").with("job", job.number()).with("warning", warning(given))
        }
        Event::Listed { job, listed } => {
            named("listed").with("job", job.number()).with("names", listed.names)
        }
        Event::Finished(job, Ok(outcome)) => {
            named("finished").with("job", job.number()).with("ok", came_to(&outcome))
        }
        Event::Finished(job, Err(failed)) => {
            named("finished").with("job", job.number()).with("error", error::value(&failed))
        }
    }
}

fn came_to(outcome: &Outcome) -> Object {
    let kind = |kind: &str| Object::new().with("kind", kind);
    match outcome {
        Outcome::Pulled(known) => kind("pulled").with("pulled", pulled(known)),
        Outcome::Listed { names } => kind("listed").with("names", *names),
        Outcome::Pushed(pushed) => kind("pushed")
            .with("top", descriptor(&pushed.top))
            .with("tags", pushed.tags.clone())
            .with("sent", pushed.sent)
            .with("sentBytes", pushed.sent_bytes)
            .with("mounted", pushed.mounted)
            .with("present", pushed.present),
        Outcome::Deleted => kind("deleted"),
        Outcome::Referrers(manifests) => {
            kind("referrers").with("manifests", manifests.iter().map(descriptor).collect::<Value>())
        }
        Outcome::Checked { authenticated } => kind("checked").with("authenticated", *authenticated),
    }
}

fn warning(warning: Warning) -> Object {
    let text = warning.to_string();
    let kind = |kind: &str| Object::new().with("kind", kind).with("message", text);
    match warning {
        Warning::PlainHttp { registry } => kind("plain_http").with("registry", registry),
        Warning::MediaTypeMismatch { digest, said, found } => kind("media_type_mismatch")
            .with("digest", digest.to_string())
            .with("said", said)
            .with("found", found),
        Warning::PlatformMismatch { wanted, found } => {
            kind("platform_mismatch").with("wanted", wanted.to_string()).with("found", found.to_string())
        }
        Warning::ForeignLayerSkipped { digest } => {
            kind("foreign_layer_skipped").with("digest", digest.to_string())
        }
        Warning::MirrorPassedOver { mirror, reason } => {
            kind("mirror_passed_over").with("mirror", mirror).with("reason", reason)
        }
        Warning::Registry { registry, text } => {
            kind("registry").with("registry", registry).with("text", text)
        }
    }
}
