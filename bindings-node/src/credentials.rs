//! Credentials that others left: docker's and podman's files and helpers.

use napi::bindgen_prelude::{Env, PromiseRaw};
use napi_derive::napi;
use wharfie::credentials::{Environment, Search};
use wharfie::image::spoken;

use crate::apart::apart;

/// Looks where docker and podman keep credentials: helpers are programs, which may take their time. Answers them as JSON, if
/// there are any.
#[napi]
pub fn find_credentials(
    env: &Env,
    registry: String,
    repository: Option<String>,
) -> napi::Result<PromiseRaw<'_, Option<String>>> {
    let find = move || {
        let search = Search { environment: Environment::of_process(), ..Search::default() };
        let finding = search.find(&registry, repository.as_deref());
        Ok(finding.credentials.as_ref().and_then(spoken::credentials))
    };
    apart(env, find, |found| found)
}
