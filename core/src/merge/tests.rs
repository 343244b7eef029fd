//! The rules of merging, each by a case, by a model and by what it costs.
