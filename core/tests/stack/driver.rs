//! A host with its blobs in memory, which holds the machines to their contract.

use wharfie_core::codec::Format;
use wharfie_core::error::Result;
use wharfie_core::image::Descriptor;
use wharfie_core::merge::Options;
use wharfie_core::stack::{Config, Content, Export, Layer, PIECE, Stack, Step};
use wharfie_core::{Digest, MediaType};

/// How bytes come, and how much room there is for others.
#[derive(Clone, Debug)]
pub(crate) struct Cut {
    /// Bytes fed at once at most; random sizes, the same in every run, unless that is as many as there can be, or one.
    piece: usize,
    room: usize,
    dice: u64,
    /// Bytes fed, and steps that asked for nothing.
    pub(crate) fed: u64,
    pub(crate) working: u64,
}

impl Cut {
    pub(crate) fn new(piece: usize, room: usize) -> Cut {
        Cut { piece, room, dice: 0x7768_6172_6669_6531, fed: 0, working: 0 }
    }

    pub(crate) fn whole() -> Cut {
        Cut::new(usize::MAX, 64 << 10)
    }

    /// The next piece of what is wanted; sometimes more than that is offered.
    fn piece<'b>(&mut self, blob: &'b [u8], offset: u64, len: u64) -> &'b [u8] {
        assert!(len > 0 && offset + len <= blob.len() as u64, "{len} bytes from {offset} of {}", blob.len());
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let rest = &blob[offset as usize..];
        let most = match self.piece {
            usize::MAX | 1 => self.piece,
            piece => 1 + (self.dice >> 33) as usize % piece,
        };
        &rest[..most.min(rest.len())]
    }

    /// Drives one machine to its end; answers its output.
    fn drive<M>(
        &mut self,
        blobs: &[Vec<u8>],
        machine: &mut M,
        step: impl Fn(&mut M, &mut [u8]) -> Result<Step>,
        feed: impl Fn(&mut M, usize, u64, &[u8]) -> Result<usize>,
    ) -> Result<Vec<u8>> {
        let (mut out, mut buffer) = (Vec::new(), vec![0xa5; self.room + 1]);
        let mut still = 0;
        loop {
            let step = step(machine, &mut buffer[..self.room])?;
            assert_eq!(buffer[self.room], 0xa5);
            still += 1;
            match step {
                Step::Need { source, offset, len } => {
                    let piece = self.piece(&blobs[source], offset, len);
                    let taken = feed(machine, source, offset, piece)?;
                    assert!(taken > 0 && taken <= piece.len().min(PIECE), "{taken} of {}", piece.len());
                    self.fed += taken as u64;
                    still = 0;
                }
                Step::Wrote(n) => {
                    assert!(n > 0 && n <= self.room);
                    out.extend_from_slice(&buffer[..n]);
                    still = 0;
                }
                Step::Working => self.working += 1,
                Step::Done => return Ok(out),
                step => panic!("{step:?}"),
            }
            assert!(still < 100_000, "it does not move");
        }
    }

    pub(crate) fn stack(&mut self, blobs: &[Vec<u8>], stack: &mut Stack) -> Result<()> {
        let out = self.drive(blobs, stack, |stack, _| stack.step(), Stack::feed)?;
        assert!(out.is_empty());
        Ok(())
    }

    pub(crate) fn export(&mut self, blobs: &[Vec<u8>], export: &mut Export) -> Result<Vec<u8>> {
        self.drive(blobs, export, Export::step, Export::feed)
    }

    pub(crate) fn content(&mut self, blobs: &[Vec<u8>], content: &mut Content) -> Result<Vec<u8>> {
        let read = self.drive(blobs, content, Content::step, Content::feed)?;
        assert_eq!((read.len() as u64, content.position()), (content.size(), content.size()));
        Ok(read)
    }

    /// The flattened tar of a stack whose tree is known.
    pub(crate) fn tar(&mut self, blobs: &[Vec<u8>], stack: &Stack) -> Result<Vec<u8>> {
        let mut export = stack.export(Format::Identity, None)?;
        let len = export.tar_bytes()?;
        let tar = self.export(blobs, &mut export)?;
        assert_eq!(tar.len() as u64, len);
        Ok(tar)
    }
}

/// As its blob is.
pub(crate) fn layer(blob: &[u8]) -> Layer {
    let media_type = MediaType::parse("");
    Layer::new(Descriptor::new(media_type, Digest::sha256(blob), blob.len() as u64))
}

pub(crate) fn layers(blobs: &[Vec<u8>]) -> Vec<Layer> {
    blobs.iter().map(|blob| layer(blob)).collect()
}

pub(crate) fn config(merge: &Options) -> Config {
    Config { merge: merge.clone(), ..Config::default() }
}

/// A stack of these blobs, read to the end.
pub(crate) fn open(blobs: &[Vec<u8>], merge: &Options) -> Stack {
    let mut stack = Stack::new(layers(blobs), None, config(merge)).unwrap();
    Cut::whole().stack(blobs, &mut stack).unwrap();
    stack
}
