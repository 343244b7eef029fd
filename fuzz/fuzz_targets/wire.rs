//! What other languages say to core: options, names, heads and chunks in any order, archives in any bytes. Nothing panics, and
//! what comes back is JSON.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use wharfie_core::digest::SoftHashes;
use wharfie_core::wire::{self, Opening, Session, Unpack};

/// Steps of one run.
const STEPS: usize = 256;

fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = data.split_first() else { return };
    match kind % 4 {
        0 => session(data),
        1 => opening(data),
        2 => unpack(data),
        _ => words(data),
    }
});

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).expect("JSON comes back")
}

/// A session whose driver makes every mistake there is: none is more than a refusal.
fn session(data: &[u8]) {
    let mut session = Session::new("", Arc::new(SoftHashes)).expect("no options are good options");
    let job = session.pull(0, "registry.example/a:1", r#"{"platform":"native"}"#).expect("a good name");
    let mut now = 0;
    for step in data.chunks(6).take(STEPS) {
        let at = |n: usize| u64::from(step.get(n).copied().unwrap_or_default());
        let (id, rest) = (at(1) % 8, step.get(2..).unwrap_or_default());
        now += at(5);
        match at(0) % 16 {
            0 => {
                let status = [200, 206, 301, 401, 404, 416, 429, 500][(at(2) % 8) as usize];
                let fields: [(&str, &[u8]); 3] = [
                    ("Content-Length", b"5"),
                    ("WWW-Authenticate", b"Bearer realm=\"https://auth.example/t\""),
                    ("Location", b"https://cdn.example/x"),
                ];
                if let Ok(plan) = session.handle_head(now, id, status, &fields[..(at(3) % 4) as usize], None) {
                    json(&plan);
                }
            }
            1 => drop(session.handle_body(now, id, rest)),
            2 => drop(session.handle_stored(now, id, at(2))),
            3 => drop(session.handle_end(now, id)),
            4 => drop(session.handle_failure(now, id, ["broken", "dns", "unknown", "tls"][(at(2) % 4) as usize], "")),
            5 => drop(session.handle_sink_failure(now, id, "no_space", at(2), "")),
            6 => session.handle_timeout(now + 1000 * at(2)),
            7 => drop(session.fetch(now, id, at(2))),
            8 => drop(session.skip(now, id)),
            9 => drop(session.supply(now, id, rest)),
            10 => drop(session.credentials(now, id, None)),
            11 => drop(session.hash(now, id, rest)),
            12 => drop(session.replay(id, rest)),
            13 => drop(session.take_store(id)),
            14 => drop(session.body(id)),
            _ => session.cancel(now, if at(2) == 0 { job } else { at(2) }),
        }
        json(&session.poll());
    }
}

/// An opening that is given whatever it asks for, of whatever there is.
fn opening(data: &[u8]) {
    let Ok(mut opening) = Opening::new(None) else { return };
    opening.file(data.len() as u64);
    for _ in 0..STEPS {
        let Ok(step) = opening.step() else { return };
        let step = json(&step);
        let number = |key: &str| usize::try_from(step[key].as_u64().unwrap_or_default()).unwrap_or_default();
        let range = data.get(number("offset")..number("offset") + number("len"));
        let done = match step["need"].as_str() {
            Some("bytes") => opening.supply(range.expect("it asks for what there is")),
            Some("hash") => opening.hash(range.expect("it asks for what there is")).map(drop),
            Some("choice") => opening.choose(None, ""),
            _ => return,
        };
        if done.is_err() {
            return;
        }
    }
}

fn unpack(data: &[u8]) {
    let mut unpack = Unpack::new();
    let mut output = [0; 1000];
    let mut rest = data;
    for _ in 0..STEPS {
        let (now, last) = (&rest[..rest.len().min(97)], rest.len() <= 97);
        let Ok(step) = unpack.process(now, &mut output, last) else { return };
        assert!(step.read <= now.len() && step.written <= output.len());
        rest = &rest[step.read..];
        if step.done {
            return;
        }
    }
}

fn words(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    drop(Session::new(text, Arc::new(SoftHashes)));
    for list in ["references.good", "platforms.choice", "challenges.case", "manifests.case", "sources.case"] {
        if let Ok(answer) = wire::probe(list, text) {
            json(&answer);
        }
    }
    let top = r#"{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}"#;
    if let Ok(said) = wire::describe("a", top, data, Some(data), None) {
        json(&said);
    }
}
