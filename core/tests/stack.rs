//! Layers as their blobs: held against the machines that take them decoded, however they are packed and however bytes come.

#[path = "stack/bounds.rs"]
mod bounds;
#[path = "stack/cases.rs"]
mod cases;
#[path = "stack/changed.rs"]
mod changed;
#[path = "merge/corpus.rs"]
#[allow(dead_code)]
mod corpus;
#[path = "stack/driver.rs"]
mod driver;
#[path = "stack/found.rs"]
mod found;
#[path = "merge/model.rs"]
#[allow(dead_code)]
mod model;
#[path = "stack/packs.rs"]
mod packs;
#[path = "merge/random.rs"]
#[allow(dead_code)]
mod random;
#[path = "stack/sample.rs"]
mod sample;
#[path = "merge/stack.rs"]
#[allow(dead_code)]
mod stack;
#[path = "stack/stacks.rs"]
mod stacks;
#[path = "stack/verified.rs"]
mod verified;
