//! `inspect`

use serde_json::{Map, Value, json};
use wharfie_core::Reference;
use wharfie_core::client::{Depth, PlatformChoice, PulledImage};
use wharfie_core::error::Result;
use wharfie_core::http::{HostKind, Url};
use wharfie_core::image::Config;
use wharfie_core::wire;

use super::args::InspectArgs;
use super::open::{self, Opened};
use super::output;
use crate::console::Console;

/// `inspect IMAGE`
pub(super) fn run(arguments: &InspectArgs, console: &Console) -> Result<()> {
    let platform = PlatformChoice::One(open::platform(arguments.platform.platform.as_deref())?);
    let image = &arguments.image;
    let opened = open::open(&image.image, &image.from, open::options(platform, Depth::Config), console)?;
    if arguments.digests {
        let rows = digests(&opened)?;
        return if arguments.json {
            output::json(&Value::Array(rows.iter().map(Row::json).collect()))
        } else {
            explain(&opened, &rows)
        };
    }
    output::json(&whole(&opened)?)
}

fn whole(opened: &Opened) -> Result<Value> {
    let image = opened.chosen()?;
    let top = &opened.pulled.top;
    let mut shown = Map::new();
    shown.insert("name".to_owned(), json!(opened.name));
    shown.insert("digest".to_owned(), json!(top.digest.to_string()));
    shown.insert("mediaType".to_owned(), json!(top.media_type.as_str()));
    let platforms: Vec<_> = opened.platforms()?.iter().map(ToString::to_string).collect();
    if !platforms.is_empty() {
        shown.insert("platforms".to_owned(), json!(platforms));
    }
    let manifest = opened.document(&image.manifest)?;
    shown.insert("manifest".to_owned(), wire::descriptor(&image.manifest));
    if let Some(manifest) = manifest.manifest() {
        if let Some(kind) = manifest.artifact_type() {
            shown.insert("artifactType".to_owned(), json!(kind));
        }
        if let Some(subject) = &manifest.subject {
            shown.insert("subject".to_owned(), wire::descriptor(subject));
        }
        if !manifest.annotations.is_empty() {
            shown.insert("annotations".to_owned(), json!(manifest.annotations));
        }
    }
    match opened.config(image) {
        Ok(config) => {
            let platform = config.platform.clone().or_else(|| image.platform.clone());
            shown.insert("platform".to_owned(), json!(platform.map(|platform| platform.to_string())));
            if let Some(descriptor) = &image.config {
                shown.insert("configDescriptor".to_owned(), wire::descriptor(descriptor));
            }
            shown.insert("config".to_owned(), config.summary()?);
        }
        // An artifact has a config of its own kind: its descriptor says which.
        Err(error) if error.code() == "not_an_image" => {
            let descriptor = image.config.as_ref().map(wire::descriptor);
            shown.insert("configDescriptor".to_owned(), json!(descriptor));
        }
        Err(error) => return Err(error),
    }
    shown.insert("layers".to_owned(), image.layers.iter().map(wire::descriptor).collect());
    let size = image.layers.iter().fold(0_u64, |sum, layer| sum.saturating_add(layer.size));
    shown.insert("size".to_owned(), json!(size));
    Ok(Value::Object(shown))
}

/// One image of a pull as JSON.
pub(super) fn image_json(image: &PulledImage) -> Value {
    json!({
        "platform": image.platform.as_ref().map(ToString::to_string),
        "manifest": wire::descriptor(&image.manifest),
        "config": image.config.as_ref().map(wire::descriptor),
        "layers": image.layers.iter().map(wire::descriptor).collect::<Vec<_>>(),
    })
}

/// What one digest is.
struct Row {
    what: String,
    digest: String,
    over: String,
    url: Option<String>,
}

impl Row {
    fn json(&self) -> Value {
        json!({"what": self.what, "digest": self.digest, "over": self.over, "url": self.url})
    }
}

fn digests(opened: &Opened) -> Result<Vec<Row>> {
    let url = |kind: &str, digest: &dyn std::fmt::Display| {
        let reference: &Reference = opened.reference.as_ref()?;
        let (host, repository) = (reference.api_host(), reference.repository());
        // Which scheme a registry on this machine answers to is found out by trying: curl does that too.
        let scheme = if Url::parse(&format!("https://{host}/"))
            .is_ok_and(|url| url.host_kind() == HostKind::Loopback)
        {
            ""
        } else {
            "https://"
        };
        Some(format!("{scheme}{host}/v2/{repository}/{kind}/{digest}"))
    };
    let mut rows = Vec::new();
    let top = &opened.pulled.top;
    let image = opened.chosen()?;
    if top.digest != image.manifest.digest {
        rows.push(Row {
            what: "index".to_owned(),
            digest: top.digest.to_string(),
            over: format!(
                "the index's {} bytes as the registry sends them: the list of platforms; what the tag names",
                top.size
            ),
            url: url("manifests", &top.digest),
        });
    }
    let schema1 = image.config.is_none();
    rows.push(Row {
        what: "manifest".to_owned(),
        digest: image.manifest.digest.to_string(),
        over: if schema1 {
            "the signed payload of the schema 1 manifest, without its signatures".to_owned()
        } else {
            format!(
                "the manifest's {} bytes as the registry sends them: config and layers",
                image.manifest.size
            )
        },
        url: url("manifests", &image.manifest.digest),
    });
    let config: Option<Config> = match opened.config(image) {
        Ok(config) => Some(config),
        Err(error) if error.code() == "not_an_image" => None,
        Err(error) => return Err(error),
    };
    if let Some(descriptor) = &image.config {
        rows.push(Row {
            what: "config".to_owned(),
            digest: descriptor.digest.to_string(),
            over: format!("the config's {} bytes; what docker calls the image ID", descriptor.size),
            url: url("blobs", &descriptor.digest),
        });
    }
    for (position, layer) in image.layers.iter().enumerate() {
        let packed = match layer.media_type.compression() {
            Some(format) if format != wharfie_core::media_type::Compression::Plain => "compressed ",
            _ => "",
        };
        rows.push(Row {
            what: format!("layer {position} blob"),
            digest: layer.digest.to_string(),
            over: format!("the layer's {} {packed}bytes, as they are stored and sent", layer.size),
            url: url("blobs", &layer.digest),
        });
        if let Some(diff_id) = config.as_ref().and_then(|config| config.diff_ids.get(position)) {
            rows.push(Row {
                what: format!("layer {position} diff_id"),
                digest: diff_id.to_string(),
                over: "the layer's tar, uncompressed; listed in the config, nothing can be fetched by it"
                    .to_owned(),
                url: None,
            });
        }
    }
    Ok(rows)
}

fn explain(opened: &Opened, rows: &[Row]) -> Result<()> {
    let mut lines = vec![format!("{} stands for {}", opened.name, opened.pulled.top.digest)];
    for row in rows {
        lines.push(String::new());
        lines.push(format!("{}  {}", row.what, row.digest));
        lines.push(format!("    over  {}", row.over));
        if let Some(url) = &row.url {
            lines.push(format!("    url   {url}"));
        }
    }
    output::lines(lines)
}
