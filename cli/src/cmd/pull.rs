//! `pull`

use serde_json::json;
use wharfie_core::client::{Depth, PlatformChoice};
use wharfie_core::error::{Error, Result};

use super::args::PullArgs;
use super::list::registry_reference;
use super::{names, open, output};
use crate::console::{Bytes, Console};
use crate::drive::When;

/// `pull IMAGE…`
pub(super) fn run(arguments: &PullArgs, console: &Console) -> Result<()> {
    if let Some(done) = super::copy::pull(arguments, console) {
        return done;
    }
    // Every name is read before the first image is fetched.
    let references: Vec<_> = arguments
        .images
        .iter()
        .map(|name| registry_reference(name).map(|reference| (name, reference)))
        .collect::<Result<_>>()?;
    let platform = if arguments.all {
        PlatformChoice::All
    } else {
        PlatformChoice::One(open::platform(arguments.platform.platform.as_deref())?)
    };
    open::one_registry(&arguments.from.network, arguments.images.iter().map(String::as_str))?;
    // A pull for this run only would be in vain.
    open::store(arguments.from.store.store.as_deref())?;
    let (driver, _folder) = open::driver(&arguments.from, console)?;
    let mut options = open::pull_options(open::options(platform, Depth::Layers), &arguments.from.store);
    if options.when == When::UnlessLocal {
        // Who pulls wants the registry's.
        options.when = When::Always;
    }
    let mut failure: Option<Error> = None;
    for (name, reference) in references {
        let ask = Some((&driver, options.when));
        let reference = names::settle(name, reference, &arguments.from.network, ask, console)?.or_latest();
        let name = reference.to_string();
        let pulled = match driver.pull(&reference, &options).map_err(|error| error.in_image(&name)) {
            Ok(pulled) => pulled,
            // The others do not depend on it; what stops one by hand or for want of space stops all.
            Err(error) if matches!(error.code(), "cancelled" | "no_space") => return Err(error),
            Err(error) => {
                if let Some(earlier) = failure.replace(error) {
                    console.fail(&earlier);
                }
                continue;
            }
        };
        let top = &pulled.image.top;
        let layers: usize = pulled.image.images.iter().map(|image| image.layers.len()).sum();
        let received = pulled.image.received;
        let came = if pulled.from_store || received == 0 {
            "nothing to fetch".to_owned()
        } else {
            format!("{} fetched and verified", Bytes(received))
        };
        console.note(&format!("{}: {layers} layers, {came}", reference.familiar()));
        if arguments.json {
            let images: Vec<_> = pulled.image.images.iter().map(super::inspect::image_json).collect();
            output::json(&json!({
                "reference": reference.to_string(),
                "digest": top.digest.to_string(),
                "mediaType": top.media_type.as_str(),
                "size": top.size,
                "received": received,
                "images": images,
                "store": open::shown(driver.store().root()),
            }))?;
        } else {
            output::lines([format!("{}@{}", reference.name(), top.digest)])?;
        }
    }
    failure.map_or(Ok(()), Err)
}
