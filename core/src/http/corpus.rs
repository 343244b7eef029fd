//! Cases that every host runs: `testdata/*.toml`, each a list of `[[case]]`.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::vec::Vec;

pub(super) fn cases<T: DeserializeOwned>(text: &str) -> Vec<T> {
    #[derive(Deserialize)]
    struct File<T> {
        case: Vec<T>,
    }
    let file: File<T> = toml::from_str(text).unwrap();
    assert!(!file.case.is_empty());
    file.case
}
