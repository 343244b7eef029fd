//! What crosses a language boundary, driven as a host that is not Rust drives it: by numbers, JSON and bytes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use wharfie_core::digest::SoftHashes;
use wharfie_core::merge::{Flatten, Options, Step};
use wharfie_core::wire::{self, Opening, Session, Unpack};

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata")
}

fn said(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// A case of the corpus and what came of it: all expected fields are equal, and there are no others.
fn compare(place: &str, case: &serde_json::Map<String, Value>, inputs: &[&str], answer: &Value) {
    let answer = answer.as_object().unwrap();
    for (key, wanted) in case.iter().filter(|(key, _)| !inputs.contains(&key.as_str())) {
        let found = answer.get(key).unwrap_or_else(|| panic!("{place}: no `{key}` in {answer:?}"));
        if key == "reason" {
            let (found, wanted) = (found.as_str().unwrap(), wanted.as_str().unwrap());
            assert!(found.contains(wanted), "{place}: {found}");
        } else {
            assert_eq!(found, wanted, "{place}: {key}");
        }
    }
    for key in answer.keys() {
        assert!(case.contains_key(key), "{place}: `{key}` in {answer:?}");
    }
}

#[test]
fn the_corpus_is_answered_as_it_says() {
    const INPUTS: &[&str] = &["input", "wanted", "offered", "text", "fields", "content_type", "body"];
    let files = ["references", "platforms", "digests", "sources", "media-types", "challenges", "manifests"];
    let mut run = 0;
    for file in files {
        let text = std::fs::read_to_string(testdata().join(format!("{file}.toml"))).unwrap();
        let all: toml::Table = toml::from_str(&text).unwrap();
        for list in all.keys() {
            // Where it is no expected field it is what the case is called.
            let is_title = matches!(file, "challenges" | "manifests");
            let inputs = [INPUTS, if is_title { &["name"] } else { &[] }].concat();
            for (at, case) in all[list].as_array().unwrap().iter().enumerate() {
                let case = serde_json::to_value(case).unwrap();
                let place = format!("{file}.{list} {at}");
                let answer = wire::probe(&format!("{file}.{list}"), &case.to_string())
                    .unwrap_or_else(|error| panic!("{place}: {error}"));
                compare(&place, case.as_object().unwrap(), &inputs, &said(&answer));
                run += 1;
            }
        }
    }
    assert!(run > 300, "{run}");
}

/// One line of a transcript for an output: what every host's tests make of the JSON.
fn line(output: &Value) -> String {
    let text = |key: &str| output[key].as_str().map_or_else(|| output[key].to_string(), str::to_owned);
    let of = |object: &Value, key: &str| object[key].as_str().unwrap_or_default().to_owned();
    match text("output").as_str() {
        "wait" => match output["until"].as_u64() {
            Some(until) => format!("wait {until}"),
            None => "wait never".to_owned(),
        },
        "abort" => format!("abort {}", text("id")),
        "start" => {
            let mut line = format!("start {} {} {}", text("id"), text("method"), text("url"));
            for header in output["headers"].as_array().unwrap() {
                let value = header[1].as_str().unwrap();
                match header[0].as_str().unwrap().to_ascii_lowercase().as_str() {
                    "authorization" => {
                        line += &format!(" authorization={}", value.split(' ').next().unwrap());
                    }
                    "range" => line += &format!(" range={value}"),
                    _ => {}
                }
            }
            if text("tls") == "accept_any" {
                line += " insecure";
            }
            line
        }
        _ => {
            let descriptor = &output["descriptor"];
            let named = format!("{} {}", of(descriptor, "digest"), descriptor["size"]);
            match text("event").as_str() {
                "resolved" => format!("resolved {named}"),
                "need" => {
                    let document = if output["document"] == true { " document" } else { "" };
                    format!("need {} {}{document}", text("blob"), of(descriptor, "digest"))
                }
                "document" => format!("document {named}"),
                "blob_verified" => format!("verified {} {} {}", text("blob"), text("digest"), text("size")),
                "blob_rewound" => {
                    format!("rewound {} {} {}", text("blob"), text("to"), of(&output["reason"], "code"))
                }
                "need_credentials" => {
                    let repository = output["repository"].as_str().unwrap_or("-");
                    format!("need-credentials {} {} {repository}", text("id"), text("registry"))
                }
                "token_issued" => {
                    let millis = (output["expiresIn"].as_f64().unwrap() * 1000.0).round();
                    format!("token {} {} {millis}", text("registry"), text("scope"))
                }
                "retrying" => {
                    let blob = output["blob"].as_u64().map_or("-".to_owned(), |blob| blob.to_string());
                    let code = of(&output["reason"], "code");
                    format!("retrying {blob} {} {} {code}", text("host"), text("attempt"))
                }
                "described" => {
                    let pulled = &output["pulled"];
                    let images = pulled["images"].as_array().unwrap();
                    let layers: usize =
                        images.iter().map(|image| image["layers"].as_array().unwrap().len()).sum();
                    format!("described {} {} {layers}", text("job"), of(&pulled["top"], "digest"))
                }
                "listed" => {
                    let names = output["names"].as_array().unwrap();
                    let names: Vec<_> = names.iter().map(|name| name.as_str().unwrap()).collect();
                    format!("listed {}", names.join(" "))
                }
                "finished" => {
                    let end = match &output["ok"] {
                        Value::Null => of(&output["error"], "code"),
                        ok => match ok["kind"].as_str().unwrap() {
                            "listed" => format!("listed {}", ok["names"]),
                            "checked" => format!("checked {}", ok["authenticated"]),
                            kind => kind.to_owned(),
                        },
                    };
                    format!("finished {} {end}", text("job"))
                }
                other => format!("{other}: {output}"),
            }
        }
    }
}

struct Run {
    session: Session,
    now: u64,
    outputs: Vec<String>,
    answer: Option<String>,
}

impl Run {
    fn input(&mut self, text: &str) {
        let now = self.now;
        let session = &mut self.session;
        let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
        let (first, tail) = rest.split_once(' ').unwrap_or((rest, ""));
        let number = |text: &str| text.parse::<u64>().unwrap();
        let flow = |goes_on: bool| Some(if goes_on { "continue" } else { "stop" }.to_owned());
        // What was not looked at is the end that every drain comes to.
        if verb != "timeout-due" {
            self.outputs.retain(|line| !line.starts_with("wait "));
        }
        match verb {
            "pull" => drop(session.pull(now, first, &json!({ "depth": tail }).to_string()).unwrap()),
            "blob" => drop(session.pull_blob(now, first).unwrap()),
            "tags" => drop(session.tags(now, first, "").unwrap()),
            "head" => {
                let mut parts = tail.split(" | ");
                let status = parts.next().unwrap().parse().unwrap();
                let fields: Vec<(&str, &[u8])> = parts
                    .map(|field| field.split_once(": ").unwrap())
                    .map(|(n, v)| (n, v.as_bytes()))
                    .collect();
                let plan = session.handle_head(now, number(first), status, &fields, None).unwrap();
                let plan = said(&plan);
                self.answer = Some(match plan["plan"].as_str().unwrap() {
                    "store" => format!("store {} {} {}", plan["blob"], plan["offset"], plan["skip"]),
                    other => other.to_owned(),
                });
            }
            "body" => self.answer = flow(session.handle_body(now, number(first), tail.as_bytes()).unwrap()),
            "stored" => self.answer = flow(session.handle_stored(now, number(first), number(tail)).unwrap()),
            "hashed" => session.hash(now, number(first), tail.as_bytes()).unwrap(),
            "end" => session.handle_end(now, number(first)).unwrap(),
            "failure" => session.handle_failure(now, number(first), tail, "").unwrap(),
            "fetch" => session.fetch(now, number(first), number(tail)).unwrap(),
            "skip" => session.skip(now, number(first)).unwrap(),
            "cancel" => session.cancel(now, number(first)),
            "timeout" => session.handle_timeout(now),
            "timeout-due" => {
                let due = self.outputs.last().unwrap().strip_prefix("wait ").unwrap().parse().unwrap();
                self.now = due;
                session.handle_timeout(due);
            }
            "credentials" => {
                let found = tail
                    .split_once(' ')
                    .map(|(user, password)| json!({ "username": user, "password": password }).to_string());
                session.credentials(now, number(first), found.as_deref()).unwrap();
            }
            other => panic!("no input: {other}"),
        }
    }

    /// All that there is to do, each as a line.
    fn drain(&mut self) {
        self.outputs.retain(|line| !line.starts_with("wait "));
        self.outputs.extend(said(&self.session.poll()).as_array().unwrap().iter().map(line));
    }

    fn output(&mut self) -> String {
        self.drain();
        let wait = self.outputs.len() == 1;
        // The wait stays: it may be looked at, or not.
        if wait { self.outputs[0].clone() } else { self.outputs.remove(0) }
    }
}

#[test]
fn transcripts_hold_to_the_letter() {
    let text = std::fs::read_to_string(testdata().join("transcripts/client.toml")).unwrap();
    let all: toml::Table = toml::from_str(&text).unwrap();
    for case in all["case"].as_array().unwrap() {
        let mut run = Run {
            session: Session::new("", Arc::new(SoftHashes)).unwrap(),
            now: 0,
            outputs: Vec::new(),
            answer: None,
        };
        for (at, step) in case["steps"].as_array().unwrap().iter().enumerate() {
            let (kind, text) = step.as_str().unwrap().split_once(' ').unwrap();
            let place = format!("{}: step {at}", case["name"]);
            match kind {
                "@" => run.now = text.parse().unwrap(),
                "<" => run.input(text),
                "=" => assert_eq!(run.answer.take().as_deref(), Some(text), "{place}"),
                ">" => assert_eq!(run.output(), text, "{place}"),
                _ => panic!("{place}: {step}"),
            }
        }
    }
}

#[test]
fn a_body_that_nobody_takes_is_hashed_here() {
    let hello = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    let mut session =
        Session::new(r#"{"jobs":2,"host":{"headers":"exposed"}}"#, Arc::new(SoftHashes)).unwrap();
    session.pull_blob(0, &format!("registry.example/a@{hello}")).unwrap();
    session.poll();
    session.fetch(0, 0, 2).unwrap();
    let start = said(&session.poll());
    assert_eq!(start[0]["output"], "start", "{start}");
    let plan = session.handle_head(0, 0, 206, &[("Content-Range", b"bytes 2-4/5")], None).unwrap();
    assert_eq!(said(&plan), json!({ "plan": "store", "blob": 0, "offset": 2, "skip": 0, "hashed": 0 }));
    assert!(session.replay(0, b"hello").is_err(), "more than the sink holds");
    session.replay(0, b"h").unwrap();
    session.replay(0, b"e").unwrap();
    assert!(session.handle_body(0, 0, b"ll").unwrap());
    assert!(session.handle_body(0, 0, b"o").unwrap());
    session.handle_end(0, 0).unwrap();
    let outputs = said(&session.poll());
    assert_eq!(outputs[0]["event"], "blob_verified", "{outputs}");
    assert_eq!(outputs[1]["ok"]["kind"], "pulled", "{outputs}");
}

#[test]
fn options_that_are_not_known_are_refused() {
    let refused = |options: &str| Session::new(options, Arc::new(SoftHashes)).unwrap_err().code();
    assert_eq!(refused(r#"{"retrys":1}"#), "invalid_option");
    assert_eq!(refused(r#"{"timeout":-1}"#), "invalid_option");
    assert_eq!(refused(r#"{"host":{"headers":"some"}}"#), "invalid_option");
    assert_eq!(refused(r#"{"own":"toaster"}"#), "invalid_platform");
    let mut session = Session::new("", Arc::new(SoftHashes)).unwrap();
    assert_eq!(session.pull(0, "alpine", r#"{"depth":"cellar"}"#).unwrap_err().code(), "invalid_option");
    assert_eq!(session.pull(0, "Alpine", "").unwrap_err().code(), "invalid_reference");
    assert_eq!(session.pull_blob(0, "alpine").unwrap_err().code(), "invalid_option");
    assert_eq!(session.credentials(0, 7, None).unwrap_err().code(), "internal");
}

#[test]
fn an_error_has_code_facts_place_and_hint() {
    let error = Session::new("", Arc::new(SoftHashes)).unwrap().pull(0, "a/../b", "").unwrap_err();
    let shown = said(&wire::error_json(&error));
    assert_eq!(shown["code"], "invalid_reference");
    assert_eq!(shown["facts"]["part"], "repository");
    assert_eq!(shown["message"].as_str(), Some(error.to_string().as_str()));
    assert!(wire::error_codes().contains(&"digest_mismatch"));
    let lost = wire::local_error("io", "naming a blob", 0, "the disk went away");
    assert_eq!((lost.code(), wire::cancelled().code()), ("local_io", "cancelled"));
}

/// Opens an image in a file that is in memory, decoding it first where it is packed.
fn open(mut raw: Vec<u8>, name: Option<&str>, platform: &str) -> (Opening, Vec<u8>, Value) {
    loop {
        let mut opening = Opening::new(None).unwrap();
        opening.file(raw.len() as u64);
        let packed = loop {
            let step = said(&opening.step().unwrap());
            let range = || {
                let at = |key: &str| usize::try_from(step[key].as_u64().unwrap()).unwrap();
                at("offset")..at("offset") + at("len")
            };
            match step["need"].as_str() {
                Some("bytes") => opening.supply(&raw[range()]).unwrap(),
                Some("hash") => {
                    let mut rest = &raw[range()];
                    while !rest.is_empty() {
                        rest = &rest[opening.hash(&rest[..rest.len().min(1000)]).unwrap()..];
                    }
                }
                Some("unpack") => break true,
                Some("choice") => {
                    assert!(!step["entries"].as_array().unwrap().is_empty());
                    opening.choose(name, &json!({ "platform": platform }).to_string()).unwrap();
                }
                Some(other) => panic!("{other}"),
                None => return (opening, raw, step["done"].clone()),
            }
        };
        if packed {
            raw = unpack(&raw, 777, 1000);
        }
    }
}

fn unpack(raw: &[u8], piece: usize, room: usize) -> Vec<u8> {
    let (mut unpack, mut whole) = (Unpack::new(), Vec::new());
    let mut buffer = vec![0; room];
    let mut pieces = raw.chunks(piece).peekable();
    loop {
        let Some(mut input) = pieces.next() else { return whole };
        let last = pieces.peek().is_none();
        loop {
            let step = unpack.process(input, &mut buffer, last).unwrap();
            whole.extend_from_slice(&buffer[..step.written]);
            input = &input[step.read..];
            if step.done || (input.is_empty() && step.written < room && !last) {
                break;
            }
        }
    }
}

fn blob(opening: &Opening, raw: &[u8], digest: &str) -> Vec<u8> {
    let at = said(&opening.blob(digest).unwrap().unwrap());
    let number = |key: &str| usize::try_from(at[key].as_u64().unwrap()).unwrap();
    raw[number("offset")..number("offset") + number("len")].to_vec()
}

/// The text of a row of a table.
fn rows(table: &[u8]) -> (BTreeMap<String, (u8, u64)>, u32) {
    let word = |at: usize| u32::from_le_bytes(table[at..at + 4].try_into().unwrap());
    let text_at = word(12) as usize;
    assert_eq!(word(8) as usize, wire::ROW_BYTES);
    let rows = (0..word(0) as usize).map(|row| {
        let row = 16 + row * wire::ROW_BYTES;
        let (at, len) = (text_at + word(row + 48) as usize, word(row + 52) as usize);
        let path = String::from_utf8(table[at..at + len].to_vec()).unwrap();
        let size = u64::from_le_bytes(table[row + 40..row + 48].try_into().unwrap());
        (path, (table[row + 14], size))
    });
    (rows.collect(), word(4))
}

#[test]
fn the_sample_is_opened_described_and_listed() {
    let raw = std::fs::read(testdata().join("sample/sample.oci.tar")).unwrap();
    for raw in [raw.clone(), gzip(&raw)] {
        let (opening, raw, pulled) = open(raw, None, "linux/amd64");
        let image = &pulled["images"][0];
        let document = |digest: &Value| opening.document(digest.as_str().unwrap()).unwrap().unwrap().to_vec();
        let index = document(&pulled["top"]["digest"]);
        let (manifest, config) =
            (document(&image["manifest"]["digest"]), document(&image["config"]["digest"]));
        let facts =
            wire::describe("sample", &pulled["top"].to_string(), &manifest, Some(&config), Some(&index));
        let facts = said(&facts.unwrap());
        assert_eq!(facts["digest"], pulled["top"]["digest"]);
        assert_eq!(facts["manifestDigest"], image["manifest"]["digest"]);
        assert_eq!(facts["platform"], "linux/amd64");
        assert_eq!(facts["platforms"].as_array().unwrap().len(), 2);
        let layers = facts["layers"].as_array().unwrap();
        assert_eq!(layers.len(), image["layers"].as_array().unwrap().len());

        let mut flatten = Flatten::new(layers.len(), &Options::default()).unwrap();
        let mut buffer = vec![0; 4096];
        while let Step::Need { source, offset } = flatten.step(&mut buffer).unwrap() {
            let layer = unpack(&blob(&opening, &raw, layers[source]["digest"].as_str().unwrap()), 4096, 4096);
            flatten.feed(source, offset, &layer).unwrap();
            flatten.end(source).unwrap();
        }
        let tree = flatten.tree().unwrap();
        let (all, end) = rows(&wire::table(tree, 0, usize::MAX, None));
        assert_eq!((all.len(), end), (tree.len(), u32::MAX));
        let mut some = BTreeMap::new();
        let mut cursor = 0;
        while cursor != u32::MAX {
            let (rows, next) = rows(&wire::table(tree, cursor, 3, None));
            assert!(rows.len() <= 3);
            some.extend(rows);
            cursor = next;
        }
        assert_eq!(some, all);
        let pattern = wharfie_core::merge::Pattern::new("etc/**").unwrap();
        let (found, _) = rows(&wire::table(tree, 0, usize::MAX, Some(&pattern)));
        assert!(!found.is_empty() && found.keys().all(|path| path.starts_with("etc/")), "{found:?}");
    }
}

fn gzip(raw: &[u8]) -> Vec<u8> {
    use wharfie_core::codec::{Codecs as _, Format, Needs, SoftCodecs};
    let mut encoder = SoftCodecs.encoder(Format::Gzip, None).unwrap();
    let (mut packed, mut buffer, mut rest) = (Vec::new(), vec![0; 4096], raw);
    while !rest.is_empty() {
        let step = encoder.process(rest, &mut buffer).unwrap();
        packed.extend_from_slice(&buffer[..step.written]);
        rest = &rest[step.read..];
    }
    loop {
        let step = encoder.finish(&mut buffer).unwrap();
        packed.extend_from_slice(&buffer[..step.written]);
        if step.needs == Needs::Nothing {
            return packed;
        }
    }
}

#[test]
fn archives_of_other_tools_are_opened() {
    let text = std::fs::read_to_string(testdata().join("archives.toml")).unwrap();
    let all: toml::Table = toml::from_str(&text).unwrap();
    let mut run = 0;
    for archive in all["archive"].as_array().unwrap() {
        let file = archive["file"].as_str().unwrap();
        if file.ends_with("-dir.tar") {
            continue; // What a `dir:` holds, packed: it is a folder.
        }
        let raw = std::fs::read(testdata().join("archives").join(file)).unwrap();
        let (opening, raw, pulled) =
            open(raw, archive["names"].as_array().unwrap().first().map(|_| "@0"), "linux/amd64");
        let image = &pulled["images"][0];
        assert_eq!(image["config"]["digest"].as_str(), archive["config"].as_str(), "{file}");
        let layers = image["layers"].as_array().unwrap();
        let diff_ids = layers.iter().map(|layer| {
            let blob = blob(&opening, &raw, layer["digest"].as_str().unwrap());
            wharfie_core::Digest::sha256(&unpack(&blob, 4096, 4096)).to_string()
        });
        let wanted =
            archive["layers"].as_array().unwrap().iter().map(|layer| layer.as_str().unwrap().to_owned());
        assert_eq!(diff_ids.collect::<Vec<_>>(), wanted.collect::<Vec<_>>(), "{file}");
        run += 1;
    }
    assert!(run > 5);
}

#[test]
fn a_folder_is_opened_by_its_members() {
    // The sample's archive, as the folder that it is one of.
    let raw = std::fs::read(testdata().join("sample/sample.oci.tar")).unwrap();
    let mut members = BTreeMap::new();
    for entry in tar::Archive::new(&raw[..]).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        if entry.header().entry_type().is_file() {
            members.insert(name, bytes);
        }
    }
    let mut opening = Opening::new(Some("layout")).unwrap();
    for (name, bytes) in &members {
        opening.member(name, bytes.len() as u64).unwrap();
    }
    loop {
        let step = said(&opening.step().unwrap());
        match step["need"].as_str() {
            Some("bytes") => opening.supply(&members[step["member"].as_str().unwrap()]).unwrap(),
            Some("choice") => opening.choose(None, r#"{"platform":"native","own":"linux/arm64"}"#).unwrap(),
            None => break assert_eq!(step["done"]["images"][0]["platform"], "linux/arm64"),
            other => panic!("{other:?}"),
        }
    }
    assert!(opening.member("late", 1).is_err());
}

#[test]
fn what_is_wrong_is_told() {
    let failed = |raw: &[u8]| {
        let mut opening = Opening::new(None).unwrap();
        opening.file(raw.len() as u64);
        loop {
            let step = match opening.step() {
                Ok(step) => said(&step),
                Err(error) => break error.code(),
            };
            let at = |key: &str| usize::try_from(step[key].as_u64().unwrap()).unwrap();
            if let Err(error) = opening.supply(&raw[at("offset")..at("offset") + at("len")]) {
                break error.code();
            }
        }
    };
    assert_eq!(failed(b""), "not_found");
    assert_eq!(failed(b"this is no tar, however long one looks at it"), "invalid_tar");
    let raw = std::fs::read(testdata().join("sample/sample.oci.tar")).unwrap();
    assert_eq!(failed(&raw[..raw.len() / 2]), "invalid_tar");
    assert_eq!(Opening::new(Some("cellar")).unwrap_err().code(), "invalid_option");
}
