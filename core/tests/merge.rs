//! The rules of merging: by cases, by a model, by what the output looks like.

#[path = "merge/cases.rs"]
mod cases;
#[path = "merge/check.rs"]
mod check;
#[path = "merge/corpus.rs"]
mod corpus;
#[path = "merge/drafted.rs"]
mod drafted;
#[path = "merge/drafts.rs"]
mod drafts;
#[path = "merge/flattened.rs"]
mod flattened;
#[path = "merge/model.rs"]
mod model;
#[path = "merge/output.rs"]
mod output;
#[path = "merge/random.rs"]
mod random;
#[path = "merge/stack.rs"]
mod stack;
#[path = "merge/thousands.rs"]
mod thousands;
#[path = "merge/untouched.rs"]
mod untouched;
#[path = "merge/view.rs"]
mod view;
#[path = "merge/views.rs"]
mod views;
