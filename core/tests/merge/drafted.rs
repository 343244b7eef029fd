//! A driver that drafts: what it writes comes of the pieces of the layer that it just has, and nothing else.

use std::collections::BTreeMap;

use wharfie_core::Error;
use wharfie_core::merge::{Draft, Op, Options, Plan, Resolver, Scan};

/// What came of it.
pub(crate) struct Drafted {
    /// The whole output.
    pub(crate) output: Vec<u8>,
    /// Bytes that the draft wrote.
    pub(crate) written: u64,
    /// Of these, bytes that the plan left.
    pub(crate) held: u64,
    /// Whether the draft went on to the end.
    pub(crate) kept_on: bool,
    /// Bytes of layers that had to be read a second time.
    pub(crate) again: u64,
}

/// The part of a layer that is there: what was fed last, and what came before it and is not decided on yet.
#[derive(Default)]
struct Window {
    start: usize,
    bytes: Vec<u8>,
}

struct Front<'d> {
    draft: &'d mut Draft,
    output: &'d mut Vec<u8>,
    spool: BTreeMap<u32, Vec<u8>>,
    /// What reaches beyond the window.
    op: Option<Op>,
}

impl Front<'_> {
    fn drain(&mut self, window: &Window) {
        let end = (window.start + window.bytes.len()) as u64;
        let cut = |from: u64, to: u64| {
            assert!(from >= window.start as u64 && from <= to, "nothing is wanted that has gone by");
            let bytes = &window.bytes[from as usize - window.start..to as usize - window.start];
            bytes.to_vec()
        };
        while self.draft.holds() {
            let Some(op) = self.op.take().or_else(|| self.draft.next_op()) else { break };
            match op {
                Op::Write(bytes) => self.output.extend(bytes),
                Op::Zero { len } => self.output.resize(self.output.len() + len as usize, 0),
                Op::Copy { layer, from, to } => {
                    self.output.extend(cut(from, to.min(end)));
                    if to > end {
                        self.op = Some(Op::Copy { layer, from: end, to });
                        break;
                    }
                }
                Op::Spool { id, layer, from, to } => {
                    self.spool.entry(id).or_default().extend(cut(from, to.min(end)));
                    if to > end {
                        self.op = Some(Op::Spool { id, layer, from: end, to });
                        break;
                    }
                }
                Op::Replay { id, from, to } => {
                    self.output.extend_from_slice(&self.spool[&id][from as usize..to as usize]);
                }
                op => panic!("{op:?}"),
            }
        }
    }
}

/// The flattened tar by a draft and the plan; of what was drafted, only `limit` bytes are left when the plan is made.
pub(crate) fn export(
    tars: &[Vec<u8>],
    options: &Options,
    chunk: usize,
    limit: u64,
) -> Result<Drafted, Error> {
    let mut draft = Draft::new(tars.len(), options);
    let mut output = Vec::new();
    while let Some(layer) = draft.front() {
        let mut scan = Scan::new(layer, &options.limits);
        let mut front = Front { draft: &mut draft, output: &mut output, spool: BTreeMap::new(), op: None };
        let mut window = Window::default();
        for piece in tars[layer].chunks(chunk) {
            scan.feed(piece)?;
            window.bytes.extend_from_slice(piece);
            front.draft.read(scan.index(), scan.position());
            front.drain(&window);
            let settled = scan.settled() as usize;
            window.bytes.drain(..settled - window.start);
            window.start = settled;
        }
        front.draft.end(scan.finish()?, tars[layer].len() as u64);
        front.drain(&Window { start: tars[layer].len(), bytes: Vec::new() });
    }
    let kept_on = draft.holds();
    let written = output.len() as u64;
    assert!(!kept_on || written == draft.position());
    let (sketch, indexes) = draft.finish();
    let mut resolver = Resolver::new(tars.len(), options)?;
    for index in indexes {
        resolver.supply(index)?;
    }
    let mut plan = Plan::new(resolver.finish()?, options)?;
    let held = plan.resume(&sketch, written.min(limit));
    output.truncate(held as usize);
    let (rest, _) = plan.survey()?;
    let (mut kept, mut again) = (BTreeMap::new(), 0);
    while let Some(op) = plan.next_op()? {
        match op {
            Op::Write(bytes) => output.extend(bytes),
            Op::Zero { len } => output.resize(output.len() + len as usize, 0),
            Op::Copy { layer, from, to } => {
                again += to - from;
                output.extend_from_slice(&tars[layer][from as usize..to as usize]);
            }
            Op::Spool { id, layer, from, to } => {
                again += to - from;
                kept.insert(id, &tars[layer][from as usize..to as usize]);
            }
            Op::Replay { id, from, to } => {
                output.extend_from_slice(&kept[&id][from as usize..to as usize]);
                if to == kept[&id].len() as u64 {
                    kept.remove(&id);
                }
            }
            op => panic!("{op:?}"),
        }
    }
    assert!(kept.is_empty(), "what is kept is wanted");
    assert_eq!(output.len() as u64, held + rest);
    Ok(Drafted { output, written, held, kept_on, again })
}
