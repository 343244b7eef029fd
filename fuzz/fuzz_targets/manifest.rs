//! No bytes make the parser of manifests and indexes panic or outgrow its limits; an index always makes a sound choice.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wharfie_core::image::{Document, View};
use wharfie_core::{Algorithm, Limits, Platform};

fuzz_target!(|raw: &[u8]| {
    let limits = Limits { descriptors: 64, ..Limits::default() };
    let Ok(document) = Document::parse(raw, None, &limits) else { return };
    assert_eq!(document.raw, raw);
    assert!(document.verify(&document.digest(Algorithm::Sha256)).is_ok());
    // Its own type is no contradiction.
    assert_eq!(Document::parse(raw, Some(document.media_type.as_str()), &limits).as_ref(), Ok(&document));
    match &document.view {
        View::Index(index) => {
            assert!(index.manifests.len() <= 64);
            let wanted = Platform::new("linux", "arm64");
            if let Ok(choice) = index.choose(&wanted) {
                for position in choice.positions() {
                    let entry = &index.manifests[*position];
                    assert!(!entry.is_attestation());
                    assert!(entry.platform.as_ref().is_none_or(|platform| wanted.matches(platform)));
                }
            }
        }
        View::Manifest(manifest) => {
            let _ = manifest.check_image();
        }
        _ => {}
    }
});
