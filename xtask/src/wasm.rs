//! What core asks of a host when it is a WebAssembly module: nothing.

use std::path::Path;

use wasmparser::{Parser, Payload};

/// Every import of a module, as `module.name`, and how many functions it holds.
pub(crate) fn imports(path: &Path) -> Result<(Vec<String>, u32), String> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut found = Vec::new();
    let mut functions = 0;
    for payload in Parser::new(0).parse_all(&bytes) {
        match payload.map_err(|error| error.to_string())? {
            Payload::ImportSection(section) => {
                for import in section {
                    let import = import.map_err(|error| error.to_string())?;
                    found.push(format!("{import:?}"));
                }
            }
            Payload::FunctionSection(section) => functions = section.count(),
            _ => {}
        }
    }
    Ok((found, functions))
}
