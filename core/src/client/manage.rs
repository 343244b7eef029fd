//! Leave to run the jobs that manage registries, beside those that read images.

/// What such a job, and an exchange of one, is made with.
///
/// Who does not offer them (the module that browsers download) builds core without the feature `manage`. There is no value of this
/// then, nor of what holds one, and the compiler leaves out whatever would act on it, wherever that stands.
#[cfg(feature = "manage")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Manage;

#[cfg(not(feature = "manage"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manage {}
