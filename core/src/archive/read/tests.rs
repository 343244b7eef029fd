use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec;
use alloc::vec::Vec;

use super::{Collection, Kind, Need, Reading};
use crate::archive::Cataloguer;
use crate::digest::Digest;
use crate::error::{ErrorKind, Result};
use crate::image::Document;
use crate::limits::Limits;
use crate::tar::{END_OF_ARCHIVE, Header, Metadata, padding};

type Member<'m> = (&'m str, crate::tar::Kind, &'m [u8]);

/// A tar; the content of a link is its target.
fn tar(members: &[Member<'_>]) -> Vec<u8> {
    let mut tar = Vec::new();
    let metadata = Metadata { mode: 0o644, ..Metadata::default() };
    for (name, kind, content) in members {
        let is_file = *kind == crate::tar::Kind::File;
        let (link, size) = if is_file { (&b""[..], content.len() as u64) } else { (*content, 0) };
        Header { path: name.as_bytes(), link, kind: *kind, metadata: &metadata, size }
            .write(&mut tar)
            .unwrap();
        if is_file {
            tar.extend_from_slice(content);
            tar.resize(tar.len() + padding(size), 0);
        }
    }
    tar.extend_from_slice(&END_OF_ARCHIVE);
    tar
}

fn file<'m>(name: &'m str, content: &'m [u8]) -> Member<'m> {
    (name, crate::tar::Kind::File, content)
}

/// Reads it in pieces of `piece` bytes.
fn read_by(tar: &[u8], piece: usize, kind: Option<Kind>) -> Result<Collection> {
    let limits = Limits::default();
    let mut cataloguer = Cataloguer::new(&limits);
    for (at, bytes) in tar.chunks(piece).enumerate() {
        cataloguer.feed((at * piece) as u64, bytes)?;
    }
    let mut reading = Reading::new(cataloguer.finish(tar.len() as u64)?, kind, &limits);
    loop {
        match reading.poll_need()? {
            Need::Bytes(span) => reading.supply(&tar[span.offset as usize..][..span.len as usize])?,
            Need::Digest { span, .. } => {
                reading.hashed(Digest::sha256(&tar[span.offset as usize..][..span.len as usize]))?;
            }
            Need::Done(collection) => return Ok(collection),
        }
    }
}

/// Reads it whole, byte by byte and with trailing data: all the same.
fn read(tar: &[u8], kind: Option<Kind>) -> Result<Collection> {
    let whole = read_by(tar, tar.len(), kind);
    assert_eq!(whole, read_by(tar, 1, kind));
    assert_eq!(whole, read_by(&[tar, &[7; 700]].concat(), 512, kind));
    whole
}

fn config(layers: &[&[u8]]) -> Vec<u8> {
    let diff_ids: Vec<String> = layers.iter().map(|layer| format!("\"{}\"", Digest::sha256(layer))).collect();
    let diff_ids = diff_ids.join(",");
    format!(r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":[{diff_ids}]}}}}"#)
        .into_bytes()
}

#[test]
fn classic_archives_share_layers_by_links() {
    let (base, upper) = ([1; 600], [2; 512]);
    let (one, two) = (config(&[&base]), config(&[&base, &upper]));
    let names = [&one, &two].map(|config| format!("{}.json", Digest::sha256(config).hex()));
    let manifest = format!(
        r#"[{{"Config":"{}","RepoTags":["one:1"],"Layers":["a/layer.tar"]}},
            {{"Config":"{}","RepoTags":["two:1","two:2"],"Layers":["b/layer.tar","c/layer.tar"]}}]"#,
        names[0], names[1]
    );
    let tar = tar(&[
        file("a/layer.tar", &base),
        ("b/layer.tar", crate::tar::Kind::Symlink, b"../a/layer.tar"),
        file("c/layer.tar", &upper),
        file(&names[0], &one),
        file(&names[1], &two),
        file("manifest.json", manifest.as_bytes()),
    ]);
    let read = read(&tar, None).unwrap();
    assert_eq!(read.images.len(), 2);
    assert_eq!(read.entries().len(), 3);
    let top = &read.find(Some("two:2")).unwrap().top;
    let document = Document::parse(&read.made[&top.digest], None, &Limits::default()).unwrap();
    let layers = &document.manifest().unwrap().layers;
    assert_eq!(layers[0].digest, Digest::sha256(&base));
    assert_eq!(layers[0].media_type.as_str(), "application/vnd.docker.image.rootfs.diff.tar");
    let span = &read.blobs[&layers[0].digest];
    assert_eq!((span.member.as_str(), span.len), ("a/layer.tar", 600));
    assert_eq!(tar[span.offset as usize..][..600], base);
    let error = read.find(None).unwrap_err();
    let ErrorKind::NotFound { detail, .. } = error.kind() else { panic!("{error}") };
    assert_eq!(detail.as_deref(), Some("there is one:1, two:1"));
}

#[test]
fn a_member_twice_or_cut_off_is_told() {
    let twice = tar(&[file("manifest.json", b"[]"), file("./manifest.json", b"[]")]);
    assert_eq!(read_by(&twice, 512, None).unwrap_err().code(), "invalid_tar");
    let whole = tar(&[file("manifest.json", b"[]"), file("x", &[1; 5000])]);
    let error = read_by(&whole[..3000], 512, None).unwrap_err().to_string();
    assert!(error.contains("cut off") && error.contains('x'), "{error}");
}

#[test]
fn a_config_that_is_not_what_its_name_says_is_refused() {
    let name = format!("{}.json", Digest::sha256(b"other").hex());
    let manifest = format!(r#"[{{"Config":"{name}","RepoTags":null,"Layers":[]}}]"#);
    let tar = tar(&[file(&name, &config(&[])), file("manifest.json", manifest.as_bytes())]);
    assert_eq!(read(&tar, None).unwrap_err().code(), "digest_mismatch");
}

#[test]
fn an_index_without_entries_leaves_the_manifest_to_be_found() {
    let layer = [0x1f, 0x8b, 8, 0, 1, 2, 3];
    let config = config(&[b"decoded"]);
    let (digest, of_config) = (Digest::sha256(&layer), Digest::sha256(&config));
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{of_config}","size":{}}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"{digest}","size":7}}]}}"#,
        config.len()
    );
    let blob = |digest: &Digest| format!("blobs/sha256/{}", digest.hex());
    let top = Digest::sha256(manifest.as_bytes());
    let listed = format!(
        r#"[{{"Config":"{}","RepoTags":["app:1"],"Layers":["{}"]}}]"#,
        blob(&of_config),
        blob(&digest)
    );
    let names = [blob(&top), blob(&of_config), blob(&digest)];
    let tar = tar(&[
        file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#),
        file("index.json", br#"{"schemaVersion":2,"manifests":null}"#),
        file("manifest.json", listed.as_bytes()),
        file(&names[0], manifest.as_bytes()),
        file(&names[1], &config),
        file(&names[2], &layer),
    ]);
    let read = read(&tar, None).unwrap();
    assert_eq!(read.find(Some("docker.io/library/app:1")).unwrap().top.digest, top);
    assert!(read.made.is_empty());
}

#[test]
fn a_v1_layout_gets_config_and_manifest() {
    let (base, upper) = ([1; 512], [2; 700]);
    let tar = tar(&[
        file("a/json", br#"{"id":"a","os":"linux","architecture":"amd64"}"#),
        file("a/layer.tar", &base),
        file("b/json", br#"{"id":"b","parent":"a","architecture":"amd64","config":{"Cmd":["x"]}}"#),
        file("b/layer.tar", &upper),
        file("repositories", br#"{"app":{"1":"b"}}"#),
    ]);
    let read = read(&tar, None).unwrap();
    let top = &read.find(Some("app:1")).unwrap().top;
    let document = Document::parse(&read.made[&top.digest], None, &Limits::default()).unwrap();
    let layers: Vec<Digest> = document.manifest().unwrap().layers.iter().map(|layer| layer.digest).collect();
    assert_eq!(layers, vec![Digest::sha256(&base), Digest::sha256(&upper)]);
}

#[test]
fn nothing_of_ours_is_told_with_what_lacks() {
    let error = read(&tar(&[file("x", b"y")]), None).unwrap_err();
    assert_eq!(error.code(), "not_found");
    assert!(error.to_string().contains("manifest.json"), "{error}");
}
