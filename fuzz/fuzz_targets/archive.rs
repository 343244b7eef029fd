//! Archives of images: however the bytes come, the same is found, within the limits; and a layout's listing is the same when
//! it is written and read.
#![no_main]

mod tar_input;

use libfuzzer_sys::fuzz_target;
use tar_input::{limits, with_checksums};
use wharfie_core::archive::listing::Listing;
use wharfie_core::archive::{Cataloguer, Collection, Kind, Need, Reading, Span};
use wharfie_core::{Digest, Error, Limits};

/// Rounds of a reading: each asks for what no earlier one did.
const ROUNDS: usize = 4096;

fuzz_target!(|data: &[u8]| {
    let (kind, data) = match data.split_first() {
        Some((first, data)) => (*first, data),
        None => return,
    };
    let kind = match kind % 4 {
        0 => None,
        1 => Some(Kind::Layout),
        2 => Some(Kind::Docker),
        _ => Some(Kind::Directory),
    };
    let tar = with_checksums(data);
    let whole = read(&tar, tar.len().max(1), kind);
    assert_eq!(whole, read(&tar, 7, kind));
    if let Ok(collection) = whole {
        for entry in collection.entries() {
            let name = entry.ref_name().map(str::to_owned);
            let _ = collection.find(name.as_deref());
        }
        for span in collection.blobs.values() {
            assert!(bytes(&tar, span).is_some(), "{span:?} is not in the archive");
        }
        for (digest, raw) in &collection.made {
            assert_eq!(*digest, Digest::sha256(raw));
        }
    }
    if let Ok(mut listing) = Listing::parse(data) {
        let again = listing.to_string();
        assert_eq!(Listing::parse(again.as_bytes()).as_ref(), Ok(&listing));
        if let Some(entry) = listing.entries().first() {
            listing.set(Some("name"), entry).unwrap();
            assert!(!listing.set(Some("name"), entry).unwrap(), "the second time nothing changes");
            assert!(listing.remove("name"));
        }
    }
});

fn bytes<'t>(tar: &'t [u8], span: &Span) -> Option<&'t [u8]> {
    let offset = usize::try_from(span.offset).ok()?;
    tar.get(offset..offset.checked_add(usize::try_from(span.len).ok()?)?)
}

fn read(tar: &[u8], piece: usize, kind: Option<Kind>) -> Result<Collection, Error> {
    let limits = Limits { archive_members: 64, layers: 16, descriptors: 64, ..limits() };
    let mut cataloguer = Cataloguer::new(&limits);
    for (at, bytes) in tar.chunks(piece).enumerate() {
        cataloguer.feed((at * piece) as u64, bytes)?;
    }
    let mut reading = Reading::new(cataloguer.finish(tar.len() as u64)?, kind, &limits);
    for _ in 0..ROUNDS {
        match reading.poll_need()? {
            Need::Bytes(span) => reading.supply(bytes(tar, &span).expect("a span within the archive"))?,
            Need::Digest { span, .. } => {
                reading.hashed(Digest::sha256(bytes(tar, &span).expect("a span within the archive")))?;
            }
            Need::Done(collection) => return Ok(collection),
        }
    }
    panic!("a reading without end");
}
