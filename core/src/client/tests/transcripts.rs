//! `testdata/transcripts/client.toml`, whose head says what its lines mean.

use std::collections::BTreeMap;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::reference;
use crate::client::{
    BlobId, BodyPlan, Client, Config, Credentials, CredentialsId, Depth, Event, ExchangeId, Failure, Flow,
    JobId, ListOptions, Outcome, Output, PullOptions, Tls,
};
use crate::digest::Hasher;
use crate::http::{Head, Headers};
use crate::time::Millis;

#[derive(serde::Deserialize)]
struct File {
    case: Vec<Case>,
}

#[derive(serde::Deserialize)]
struct Case {
    name: String,
    steps: Vec<String>,
}

struct Run {
    client: Client,
    now: Millis,
    hashers: BTreeMap<u64, Hasher>,
    answer: Option<String>,
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| panic!("no number: {text}"))
}

impl Run {
    fn input(&mut self, text: &str) {
        assert_eq!(self.answer, None, "the answer before `{text}` is not told");
        let now = self.now;
        let client = &mut self.client;
        let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
        let (first, tail) = rest.split_once(' ').unwrap_or((rest, ""));
        let exchange = || ExchangeId::from_number(number(first));
        match verb {
            "pull" => {
                let depth = match tail {
                    "resolve" => Depth::Resolve,
                    "manifest" => Depth::Manifest,
                    other => panic!("no depth: {other}"),
                };
                client.pull(now, &reference(first), PullOptions { depth, ..PullOptions::default() });
            }
            "blob" => drop(client.pull_blob(now, &reference(first))),
            "tags" => drop(client.tags(now, &reference(first), ListOptions::default())),
            "head" => {
                let mut parts = tail.split(" | ");
                let status = u16::try_from(number(parts.next().unwrap())).unwrap();
                let fields: Vec<(&str, &[u8])> = parts
                    .map(|field| field.split_once(": ").unwrap())
                    .map(|(n, v)| (n, v.as_bytes()))
                    .collect();
                let head = Head::new(status, Headers::new(&fields));
                self.answer = Some(match client.handle_head(now, exchange(), head).unwrap() {
                    BodyPlan::Discard => "discard".to_string(),
                    BodyPlan::Feed => "feed".to_string(),
                    BodyPlan::Store(store) => {
                        let blob = store.blob.number();
                        self.hashers.insert(blob, store.hasher);
                        format!("store {blob} {} {}", store.offset, store.skip)
                    }
                });
            }
            "body" => self.flow(|client, now| client.handle_body(now, exchange(), tail.as_bytes())),
            "stored" => self.flow(|client, now| client.handle_stored(now, exchange(), number(tail))),
            "hashed" => {
                let mut hasher = self.hashers.remove(&number(first)).unwrap();
                hasher.update(tail.as_bytes());
                client.handle_hashed(now, BlobId::from_number(number(first)), hasher).unwrap();
            }
            "end" => client.handle_end(now, exchange()).unwrap(),
            "failure" => {
                let failure = match tail {
                    "broken" => Failure::Broken,
                    "tls" => Failure::Tls,
                    other => panic!("no failure: {other}"),
                };
                client.handle_failure(now, exchange(), failure, "").unwrap();
            }
            "fetch" => client.fetch(now, BlobId::from_number(number(first)), number(tail), None).unwrap(),
            "skip" => client.skip(now, BlobId::from_number(number(first))).unwrap(),
            "cancel" => client.cancel(now, JobId::from_number(number(first))),
            "timeout" => client.handle_timeout(now),
            "timeout-due" => {
                let Output::Wait(Some(due)) = client.poll_output() else { panic!("nothing is due") };
                self.now = due;
                client.handle_timeout(due);
            }
            "credentials" => {
                let found = tail.split_once(' ').map(|(user, password)| Credentials::Basic {
                    user: user.to_string(),
                    password: password.into(),
                });
                client.credentials(now, CredentialsId::from_number(number(first)), found).unwrap();
            }
            other => panic!("no input: {other}"),
        }
    }

    fn flow(&mut self, call: impl FnOnce(&mut Client, Millis) -> Result<Flow, crate::error::Misuse>) {
        self.answer = Some(match call(&mut self.client, self.now).unwrap() {
            Flow::Continue => "continue".to_string(),
            Flow::Stop => "stop".to_string(),
        });
    }

    fn output(&mut self) -> String {
        match self.client.poll_output() {
            Output::Wait(None) => "wait never".to_string(),
            Output::Wait(Some(until)) => format!("wait {}", until.0),
            Output::Abort { id } => format!("abort {}", id.number()),
            Output::Start { id, request } => {
                let mut line = format!("start {} {} {}", id.number(), request.method, request.url);
                if let Some(value) = request.headers.one("authorization") {
                    line += &format!(" authorization={}", value.split(' ').next().unwrap());
                }
                if let Some(range) = request.headers.one("range") {
                    line += &format!(" range={range}");
                }
                if request.tls == Tls::AcceptAny {
                    line += " insecure";
                }
                line
            }
            Output::Event(event) => show(event),
        }
    }
}

fn show(event: Event) -> String {
    match event {
        Event::Resolved { descriptor, .. } => format!("resolved {} {}", descriptor.digest, descriptor.size),
        Event::Need { blob, descriptor, document, .. } => {
            format!("need {} {}{}", blob.number(), descriptor.digest, if document { " document" } else { "" })
        }
        Event::Document { descriptor, .. } => format!("document {} {}", descriptor.digest, descriptor.size),
        Event::BlobVerified { blob, digest, size } => format!("verified {} {digest} {size}", blob.number()),
        Event::BlobRewound { blob, to, reason } => {
            format!("rewound {} {to} {}", blob.number(), reason.code())
        }
        Event::NeedCredentials { id, registry, repository, .. } => {
            format!("need-credentials {} {registry} {}", id.number(), repository.unwrap_or("-".to_string()))
        }
        Event::TokenIssued { registry, scope, expires_in, .. } => {
            format!("token {registry} {scope} {}", expires_in.as_millis())
        }
        Event::Retrying { blob, host, attempt, reason, .. } => {
            let blob = blob.map_or("-".to_string(), |blob| blob.number().to_string());
            format!("retrying {blob} {host} {attempt} {}", reason.code())
        }
        Event::Described { job, pulled } => {
            let layers: usize = pulled.images.iter().map(|image| image.layers.len()).sum();
            format!("described {} {} {layers}", job.number(), pulled.top.digest)
        }
        Event::Listed { listed, .. } => format!("listed {}", listed.names.join(" ")),
        Event::Finished(job, result) => {
            let end = match result {
                Ok(Outcome::Pulled(_)) => "pulled".to_string(),
                Ok(Outcome::Listed { names }) => format!("listed {names}"),
                Ok(Outcome::Checked { authenticated }) => format!("checked {authenticated}"),
                Err(error) => error.code().to_string(),
                Ok(other) => panic!("no transcript is of this: {other:?}"),
            };
            format!("finished {} {end}", job.number())
        }
        other => format!("{other:?}"),
    }
}

#[test]
fn transcripts_hold_to_the_letter() {
    let file: File = toml::from_str(include_str!("../../../../testdata/transcripts/client.toml")).unwrap();
    for case in file.case {
        let mut run = Run {
            client: Client::new(Config::default()),
            now: Millis(0),
            hashers: BTreeMap::new(),
            answer: None,
        };
        for (at, step) in case.steps.iter().enumerate() {
            let (kind, text) = step.split_once(' ').unwrap();
            let place = format!("{}: step {at}", case.name);
            match kind {
                "@" => run.now = Millis(number(text)),
                "<" => run.input(text),
                "=" => assert_eq!(run.answer.take().as_deref(), Some(text), "{place}"),
                ">" => assert_eq!(run.output(), text, "{place}"),
                _ => panic!("{place}: {step}"),
            }
        }
    }
}
