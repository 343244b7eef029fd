//! What the corpus in `testdata/` asks: so that every host runs every case, through its own boundary.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_json::Value;

use super::Object;
use crate::digest::{Algorithm, Digest};
use crate::error::{Error, ErrorKind, Fact, Result};
use crate::http::{Headers, challenge};
use crate::image::{Choice, Descriptor, Document, Index};
use crate::limits::Limits;
use crate::media_type::{Compression, MediaType};
use crate::platform::Platform;
use crate::reference::Reference;
use crate::source::Source;

/// Answers one case of the corpus. `list` names the file and the list in it (`references.good`, `platforms.choice`,
/// `manifests.case`), `case` is the case as JSON; what comes back has its expected fields as they are here.
///
/// | file | lists | fields of the case that are input |
/// |---|---|---|
/// | `references`, `platforms` | `good`, `bad` | `input` |
/// | `platforms` | `choice` | `wanted`, `offered` |
/// | `digests` | `of`, `bad` | `text`; `input` |
/// | `sources`, `media-types` | `case` | `input` |
/// | `challenges` | `case` | `name`, `fields` |
/// | `manifests` | `case` | `name`, `content_type`, `body` |
///
/// A host compares: all other fields of the case are in the answer and equal, but for `reason`, which the answer's contains; the
/// answer has no others. Fields that a case may leave out (`api_host`, `part`, `reason`, a media type's `name`) are answered where
/// it has them.
///
/// # Errors
/// `invalid_option` for a list that is not known, or a case that cannot be read.
pub fn probe(list: &str, case: &str) -> Result<String> {
    let case: Value = serde_json::from_str(case).map_err(|error| unreadable(&error.to_string()))?;
    let answer = match list {
        "references.good" | "references.bad" => reference(&case)?,
        "platforms.good" | "platforms.bad" => platform(&case)?,
        "platforms.choice" => platform_choice(&case)?,
        "digests.of" => digests(&case)?,
        "digests.bad" => digest(&case)?,
        "sources.case" => source(&case)?,
        "media-types.case" => media_type(&case)?,
        "challenges.case" => challenges(&case)?,
        "manifests.case" => manifest(&case)?,
        _ => return Err(unreadable("nothing is known of this list")),
    };
    Ok(answer.to_string())
}

fn unreadable(reason: &str) -> Error {
    ErrorKind::InvalidOption { reason: format!("a case of the corpus: {reason}") }.into()
}

fn text<'c>(case: &'c Value, key: &str) -> Result<&'c str> {
    case.get(key).and_then(Value::as_str).ok_or_else(|| unreadable(&format!("it has no `{key}`")))
}

fn texts<'c>(case: &'c Value, key: &str) -> Result<Vec<&'c str>> {
    let list =
        case.get(key).and_then(Value::as_array).ok_or_else(|| unreadable(&format!("it has no `{key}`")))?;
    Ok(list.iter().filter_map(Value::as_str).collect())
}

/// What an error is, as far as the case says something of it.
fn refusal(case: &Value, error: &Error) -> Object {
    let mut answer = Object::new();
    if case.get("code").is_some() {
        answer = answer.with("code", error.code());
    }
    if case.get("error").is_some() {
        answer = answer.with("error", error.code());
    }
    if case.get("reason").is_some() {
        answer = answer.with("reason", error.to_string());
    }
    let part = error.kind().facts().into_iter().find(|(name, _)| *name == "part");
    if let (Some(_), Some((_, Fact::Text(part)))) = (case.get("part"), part) {
        answer = answer.with("part", part);
    }
    answer
}

fn reference(case: &Value) -> Result<Object> {
    Ok(match text(case, "input")?.parse::<Reference>() {
        Err(error) => refusal(case, &error),
        Ok(reference) => Object::new()
            .with("host", reference.host())
            .with("repository", reference.repository())
            .with_some("tag", reference.tag())
            .with_some("digest", reference.digest().map(ToString::to_string))
            .with("familiar", reference.familiar())
            .with_some("api_host", case.get("api_host").map(|_| reference.api_host())),
    })
}

fn platform(case: &Value) -> Result<Object> {
    Ok(match text(case, "input")?.parse::<Platform>() {
        Err(error) => refusal(case, &error),
        Ok(platform) => Object::new().with("name", platform.to_string()),
    })
}

/// A platform as an index spells it, not normalised: `os(version+feature)/architecture/variant`; `-` is none.
pub(crate) fn spelled(text: &str) -> Option<Platform> {
    if text == "-" {
        return None;
    }
    let (os, options) = match text.split_once('(') {
        Some((os, rest)) => (os, rest.split_once(')').map_or("", |(options, _)| options)),
        None => (text.split('/').next().unwrap_or_default(), ""),
    };
    let mut parts = text.split('/').skip(1);
    let mut options = options.split('+');
    Some(Platform {
        os: os.to_owned(),
        architecture: parts.next().unwrap_or_default().to_owned(),
        variant: parts.next().map(ToOwned::to_owned),
        os_version: options.next().filter(|version| !version.is_empty()).map(ToOwned::to_owned),
        os_features: options.map(ToOwned::to_owned).collect(),
    })
}

fn platform_choice(case: &Value) -> Result<Object> {
    let wanted: Platform = text(case, "wanted")?.parse()?;
    let entries = texts(case, "offered")?.into_iter().map(|offered| {
        let mut entry = Descriptor::new(MediaType::OciManifest, Digest::sha256(b""), 0);
        entry.platform = spelled(offered);
        entry
    });
    Ok(match Index::new(MediaType::OciIndex, entries.collect()).choose(&wanted) {
        Ok(Choice::Declared(position)) => Object::new().with("chosen", position),
        Ok(Choice::Undeclared(positions)) => Object::new().with("open", positions),
        // The corpus says nothing where there is none.
        Err(error) if error.code() == "platform_not_found" => Object::new(),
        Err(error) => return Err(error),
    })
}

fn digests(case: &Value) -> Result<Object> {
    let bytes = text(case, "text")?.as_bytes();
    Ok(Algorithm::ALL.iter().fold(Object::new(), |answer, algorithm| {
        answer.with(algorithm.name(), Digest::of(*algorithm, bytes).to_string())
    }))
}

fn digest(case: &Value) -> Result<Object> {
    Ok(match text(case, "input")?.parse::<Digest>() {
        Err(error) => refusal(case, &error),
        Ok(digest) => Object::new().with("digest", digest.to_string()),
    })
}

fn source(case: &Value) -> Result<Object> {
    Ok(match Source::parse(text(case, "input")?) {
        Err(error) => refusal(case, &error),
        Ok(Source::Registry(reference)) => Object::new().with("registry", reference.to_string()),
        Ok(Source::Local(local)) => Object::new()
            .with("transport", format!("{:?}", local.transport))
            .with("path", local.path)
            .with_some("reference", local.reference),
    })
}

/// What a media type is, by the corpus's words.
pub(crate) fn classes(kind: &MediaType) -> [(&'static str, bool); 7] {
    [
        ("manifest", kind.is_manifest()),
        ("index", kind.is_index()),
        ("schema1", kind.is_schema1()),
        ("layer", kind.is_layer()),
        ("nondistributable", kind.is_nondistributable()),
        ("config", kind.is_config()),
        ("generic", kind.is_generic()),
    ]
}

fn media_type(case: &Value) -> Result<Object> {
    let input = text(case, "input")?;
    let kind = MediaType::parse(input);
    // In the order in which the case has them.
    let said = texts(case, "is")?;
    let is_of = |wanted: &str| classes(&kind).into_iter().any(|(class, is)| is && class == wanted);
    let unsaid =
        classes(&kind).into_iter().filter(|(class, is)| *is && !said.contains(class)).map(|(class, _)| class);
    let is: Vec<&str> = unsaid.chain(said.iter().copied().filter(|class| is_of(class))).collect();
    Ok(Object::new()
        .with("is", is)
        .with_some("compression", kind.compression().map(Compression::name))
        .with_some("name", case.get("name").map(|_| kind.to_string())))
}

fn challenges(case: &Value) -> Result<Object> {
    let fields: Vec<(&str, &[u8])> =
        texts(case, "fields")?.into_iter().map(|value| ("WWW-Authenticate", value.as_bytes())).collect();
    let found = challenge::parse(&Headers::new(&fields), &Limits::default());
    let found = found.iter().map(|challenge| {
        let params: Vec<Value> = challenge
            .params
            .iter()
            .map(|(name, value)| Value::from([name.clone(), value.clone()].to_vec()))
            .collect();
        let bearer = challenge.bearer().map(|bearer| {
            let scopes: Vec<String> = bearer.scopes.iter().map(ToString::to_string).collect();
            Object::new()
                .with("realm", bearer.realm)
                .with_some("service", bearer.service)
                .with_some("scopes", (!scopes.is_empty()).then_some(scopes))
                .with_some("error", bearer.error)
        });
        Value::from(
            Object::new()
                .with("scheme", challenge.scheme.clone())
                .with_some("token68", challenge.token68.clone())
                .with_some("params", (!params.is_empty()).then_some(params))
                .with_some("bearer", bearer),
        )
    });
    Ok(Object::new().with("challenges", found.collect::<Value>()))
}

fn manifest(case: &Value) -> Result<Object> {
    let body = text(case, "body")?;
    let served = case.get("content_type").and_then(Value::as_str);
    Ok(match Document::parse(body.as_bytes(), served, &Limits::default()) {
        Err(error) => refusal(case, &error),
        Ok(document) => {
            let refused = document.manifest().and_then(|manifest| manifest.check_image().err());
            Object::new()
                .with("is", document.media_type.as_str())
                .with_some("image", refused.map(|error| error.code()))
        }
    })
}
