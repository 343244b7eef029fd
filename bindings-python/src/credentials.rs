//! Credentials that others left: docker's and podman's files and helpers.

use pyo3::prelude::*;
use wharfie::credentials::{Environment, Search};
use wharfie::image::spoken;

/// Looks where docker and podman keep credentials. Answers them as JSON, if there are any, and the places that do not work
/// with the reason of each.
#[pyfunction]
pub(crate) fn find_credentials(
    py: Python<'_>,
    registry: &str,
    repository: Option<&str>,
) -> (Option<String>, Vec<(String, String)>) {
    py.detach(|| {
        let search = Search { environment: Environment::of_process(), ..Search::default() };
        let finding = search.find(registry, repository);
        let broken = finding.broken().map(|(place, reason)| (place.to_owned(), reason.to_owned())).collect();
        (finding.credentials.as_ref().and_then(spoken::credentials), broken)
    })
}
