//! `create`, `append`, `mutate` and `flatten`

use wharfie_core::client::{Depth, PlatformChoice, PulledImage};
use wharfie_core::codec::Format;
use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::http::date::format_rfc3339;
use wharfie_core::image::edit::{Changes, EPOCH, Edit, Family, NewLayer, index_of, port};
use wharfie_core::image::{Descriptor, Document, View};
use wharfie_core::merge::{Order, Sourcing};
use wharfie_core::tar::Mtime;
use wharfie_core::{Limits, Source};

use super::args::{
    AppendArgs, ChangeArgs, CreateArgs, FamilyArg, FlattenArgs, FromArgs, Latest, LayerArgs, MutateArgs,
    OrderArg, OwnerArg, ToArgs, WhichArgs,
};
use super::interrupt;
use super::layers::{self, Shown};
use super::open::{self, Opened};
use super::product::{Product, Target};
use super::select;
use crate::console::Console;
use crate::drive::Cancel;
use crate::export::ExportOptions;
use crate::layers::LocalImage;
use crate::make::{MakeOptions, Material, Workbench};

/// What is said before a layer that is all of another image's.
const IMAGE: &str = "image:";

/// `create LAYER… --tag NAME`
pub(super) fn create(arguments: &CreateArgs, console: &Console) -> Result<()> {
    let target = Target::of(&arguments.to)?;
    let platform = open::platform(arguments.platform.as_deref())?;
    let mut layers = wanted(&arguments.layers)?;
    layers.extend(wanted(&arguments.more)?);
    let changes = changes(&arguments.change)?;
    let created = created(arguments.change.created)?;
    let family = match arguments.format {
        FamilyArg::Oci => Family::Oci,
        FamilyArg::Docker => Family::Docker,
    };
    let mut edit = Edit::new(family, &platform);
    if let Some(created) = &created {
        edit.set_created(created);
    }
    let cancel = interrupt::stoppable();
    let mut bench = bench(&arguments.layer, edit.created(), &arguments.to, &cancel)?;
    let mut product = Product::default();
    let mut yard =
        Yard { bench: &mut bench, product: &mut product, from: &arguments.from, target: &target, console };
    let layers = yard.make(&layers)?;
    yard.stack(&mut edit, &layers)?;
    edit.apply(&changes)?;
    product.image(edit.finish()?);
    product.deliver(&arguments.to, &target, &arguments.from, &cancel, console)
}

/// `append IMAGE -f LAYER… --tag NAME`
pub(super) fn append(arguments: &AppendArgs, console: &Console) -> Result<()> {
    let name = arguments.image.as_ref().or(arguments.base.as_ref());
    let name = name.ok_or_else(|| wrong("append needs an image".to_owned()))?;
    let job = Change {
        name,
        from: &arguments.from,
        to: &arguments.to,
        which: &arguments.which,
        layers: &arguments.added,
        layer: &arguments.layer,
        changes: changes(&arguments.change)?,
        created: created(arguments.change.created)?,
        base: if arguments.set_base_image_annotations { Base::Always } else { Base::WhereKnown },
    };
    job.run(console)
}

/// `mutate IMAGE --tag NAME`
pub(super) fn mutate(arguments: &MutateArgs, console: &Console) -> Result<()> {
    let mut changes = changes(&arguments.change)?;
    if let Some(platform) = &arguments.set_platform {
        changes.platform = Some(open::platform(Some(platform))?);
    }
    let job = Change {
        name: &arguments.image,
        from: &arguments.from,
        to: &arguments.to,
        which: &arguments.which,
        layers: &arguments.added,
        layer: &arguments.layer,
        changes,
        created: created(arguments.change.created)?,
        base: Base::Never,
    };
    job.run(console)
}

/// `flatten IMAGE --tag NAME`
pub(super) fn flatten(arguments: &FlattenArgs, console: &Console) -> Result<()> {
    let target = Target::of(&arguments.to)?;
    let names = [arguments.image.as_str()].into_iter().chain(arguments.to.output.as_deref());
    open::one_registry(&arguments.from.network, names)?;
    let created = created(arguments.created)?;
    let mut merge = select::options(&arguments.root)?;
    merge.order = match arguments.order {
        OrderArg::Stream => Order::Stream,
        OrderArg::Canonical => Order::Canonical,
    };
    let cancel = interrupt::stoppable();
    let temp_dir = arguments.to.temp_dir.clone();
    let options = ExportOptions {
        format: arguments.compress.map_or(Format::Gzip, |compress| compress.format),
        level: arguments.compress.and_then(|compress| compress.level),
        merge,
        temp_dir: temp_dir.clone(),
        cancel: cancel.clone(),
        ..ExportOptions::default()
    };
    let make = MakeOptions { temp_dir, cancel: cancel.clone(), ..MakeOptions::default() };
    let mut bench = Workbench::new(make)?;
    let choice = choice(&arguments.which)?;
    let opened =
        open::open(&arguments.image, &arguments.from, open::options(choice, Depth::Layers), console)?;
    let mut product = Product::default();
    each(&opened, arguments.which.all, &mut product, console, |image, document, product| {
        let config = opened.config(image)?;
        if let Some(manifest) = document.manifest() {
            manifest.check_image()?;
        }
        let limits = Limits::default();
        // Of schema 1 there is nothing to keep but what its config would say.
        let mut edit = match &document.view {
            View::Schema1(_) => Edit::of_config(Family::Docker, &config.raw, &limits)?,
            _ => Edit::of(document, &config.raw, &limits)?,
        };
        let local = local(&opened, image)?;
        let progress = Shown::new(console, &local);
        let flattened = bench.flattened(&local, &options, &progress);
        drop(progress);
        let (layer, report) = flattened.map_err(|error| opened.failed(error, console))?;
        layers::warn(&report.warnings, &report.layers, console);
        select::warn(&report.unmatched, console);
        if let Some(created) = &created {
            edit.set_created(created);
        }
        product.made(layer.descriptor.digest, &layer.blob);
        let created_by = format!("wharfie: all layers of {}", image.manifest.digest);
        edit.flatten(&NewLayer { descriptor: layer.descriptor, diff_id: layer.diff_id, created_by })?;
        Ok(edit)
    })?;
    product.deliver(&arguments.to, &target, &arguments.from, &cancel, console)
}

/// Whether annotations say what an image is built upon.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Base {
    Always,
    /// Where the annotations are known, and the base has a name that others know.
    WhereKnown,
    Never,
}

/// Layers put upon an image, and changes to it.
struct Change<'c> {
    name: &'c str,
    from: &'c FromArgs,
    to: &'c ToArgs,
    which: &'c WhichArgs,
    layers: &'c [String],
    layer: &'c LayerArgs,
    changes: Changes,
    created: Option<String>,
    base: Base,
}

impl Change<'_> {
    fn run(&self, console: &Console) -> Result<()> {
        let target = Target::of(self.to)?;
        let wanted = wanted(self.layers)?;
        let images = wanted.iter().filter_map(|wanted| match wanted {
            Wanted::Image(name) => Some(name.as_str()),
            Wanted::Material(_) => None,
        });
        open::one_registry(&self.from.network, images.chain([self.name]).chain(self.to.output.as_deref()))?;
        self.changes.check()?;
        let cancel = interrupt::stoppable();
        let choice = choice(self.which)?;
        let depth = target.depth(self.name);
        let opened = open::open(self.name, self.from, open::options(choice.clone(), depth), console)?;
        let mut product = Product::default();
        product.uses(&opened, choice);
        // Layers are made once for all images: the date of the first is their date.
        let mut bench: Option<Workbench> = None;
        let mut made: Vec<Layered> = Vec::new();
        each(&opened, self.which.all, &mut product, console, |image, document, product| {
            let config = match (&image.config, &document.view) {
                // What refuses it says why.
                (None, View::Schema1(_)) => Vec::new(),
                _ => opened.config(image)?.raw,
            };
            let mut edit = Edit::of(document, &config, &Limits::default())?;
            if let Some(created) = &self.created {
                edit.set_created(created);
            }
            let bench = match &mut bench {
                Some(bench) => bench,
                none => none.insert(self::bench(self.layer, edit.created(), self.to, &cancel)?),
            };
            let mut yard = Yard { bench, product, from: self.from, target: &target, console };
            if made.is_empty() {
                made = yard.make(&wanted)?;
            }
            if !made.is_empty() && edit.platform().os.eq_ignore_ascii_case("windows") {
                console.warn("an image for Windows wants layers of its own form (`Files`, `Hives`): they are put on as they are");
            }
            yard.stack(&mut edit, &made)?;
            let knows = edit.family() == Family::Oci && opened.reference.is_some();
            if self.base == Base::Always || (self.base == Base::WhereKnown && knows) {
                let reference = opened.reference.as_ref().filter(|reference| reference.tag().is_some());
                let name = reference
                    .map(|reference| format!("{}:{}", reference.name(), reference.tag().unwrap_or_default()));
                edit.set_base(&image.manifest.digest, name.as_deref());
            }
            edit.apply(&self.changes)?;
            if edit.family() == Family::Docker && !self.changes.annotations.is_empty() {
                console.warn("Docker's manifests know no annotations: many readers pass over them");
            }
            Ok(edit)
        })?;
        product.deliver(self.to, &target, self.from, &cancel, console)
    }
}

/// What a layer is to be.
enum Wanted {
    Material(Material),
    Image(String),
}

/// What it came to.
enum Layered {
    Layer(Box<NewLayer>),
    Image(String),
}

/// Reads what layers are to be, before anything is fetched or made.
fn wanted(layers: &[String]) -> Result<Vec<Wanted>> {
    let stdin = layers.iter().filter(|layer| *layer == "-").count();
    if stdin > 1 {
        return Err(wrong("the standard input is one layer only".to_owned()));
    }
    let read = |text: &String| match text.strip_prefix(IMAGE) {
        Some(name) if name != open::SAMPLE => Source::parse(name).map(|_| Wanted::Image(name.to_owned())),
        Some(name) => Ok(Wanted::Image(name.to_owned())),
        None => Material::parse(text).map(Wanted::Material),
    };
    layers.iter().map(read).collect()
}

/// Where layers are made and put together.
struct Yard<'y> {
    bench: &'y mut Workbench,
    product: &'y mut Product,
    from: &'y FromArgs,
    target: &'y Target,
    console: &'y Console,
}

impl Yard<'_> {
    /// Makes those that are made.
    fn make(&mut self, wanted: &[Wanted]) -> Result<Vec<Layered>> {
        let mut made = Vec::new();
        for wanted in wanted {
            made.push(match wanted {
                Wanted::Image(name) => Layered::Image(name.clone()),
                Wanted::Material(material) => {
                    let layer = self.bench.layer(material)?;
                    for path in &layer.left_out {
                        let path = path.display();
                        self.console
                            .warn(&format!("{path} is a socket, which no tar can hold: it was left out"));
                    }
                    self.product.made(layer.descriptor.digest, &layer.blob);
                    let created_by = material.described();
                    let (descriptor, diff_id) = (layer.descriptor, layer.diff_id);
                    Layered::Layer(Box::new(NewLayer { descriptor, diff_id, created_by }))
                }
            });
        }
        Ok(made)
    }

    /// Puts them upon an image.
    fn stack(&mut self, edit: &mut Edit, layers: &[Layered]) -> Result<()> {
        for layer in layers {
            match layer {
                Layered::Layer(layer) => edit.push(layer)?,
                Layered::Image(name) => {
                    let platform = PlatformChoice::One(edit.platform().normalized());
                    let options = open::options(platform.clone(), self.target.depth(name));
                    let opened = open::open(name, self.from, options, self.console)?;
                    self.product.uses(&opened, platform);
                    let image = opened.chosen()?;
                    let document = opened.document(&image.manifest)?;
                    let config = opened.config(image)?;
                    let other = Edit::of(&document, &config.raw, &Limits::default())
                        .map_err(|error| error.in_image(name))?;
                    let (ours, theirs) = (edit.platform(), other.platform());
                    if ours.os != theirs.os || ours.architecture != theirs.architecture {
                        self.console.warn(&format!(
                            "{name} is for {theirs}, and its layers become part of an image for {ours}"
                        ));
                    }
                    edit.push_all(&other)?;
                }
            }
        }
        Ok(())
    }
}

/// Does the same to the image that was opened, or to all of an index, and adds what comes of it to the product.
fn each(
    opened: &Opened,
    is_all: bool,
    product: &mut Product,
    console: &Console,
    mut change: impl FnMut(&PulledImage, &Document, &mut Product) -> Result<Edit>,
) -> Result<()> {
    let mut one = |image: &PulledImage, product: &mut Product| -> Result<Descriptor> {
        let document = opened.document(&image.manifest)?;
        let place = |error: Error| error.in_blob(image.manifest.digest).in_image(&opened.name);
        let made = change(image, &document, product).and_then(|edit| edit.finish()).map_err(place)?;
        let manifest = made.manifest.clone();
        product.image(made);
        Ok(manifest)
    };
    if !is_all || !opened.pulled.top.media_type.is_index() {
        return one(opened.chosen()?, product).map(drop);
    }
    let top = opened.document(&opened.pulled.top)?;
    let mut entries = Vec::new();
    leaves(opened, &top, 0, &mut entries)?;
    let mut manifests = Vec::new();
    let mut left_out = 0;
    for entry in entries {
        let image = opened.pulled.images.iter().find(|image| image.manifest.digest == entry.digest);
        let Some(image) = image.filter(|_| !entry.is_attestation() && entry.artifact_type.is_none()) else {
            left_out += 1;
            continue;
        };
        let made = one(image, product)?;
        let mut listed = entry.clone();
        (listed.media_type, listed.digest, listed.size, listed.data) =
            (made.media_type, made.digest, made.size, None);
        listed.platform = listed.platform.or(made.platform);
        manifests.push(listed);
    }
    if left_out > 0 {
        console.warn(&format!(
            "{left_out} entries of the index are no images, but about those that were changed (attestations): they were left out"
        ));
    }
    let (index, bytes) = index_of(&top, &manifests, &Limits::default())?;
    product.index(index, bytes);
    Ok(())
}

/// The entries of an index and of those below it that are no indexes.
fn leaves(opened: &Opened, index: &Document, depth: u32, to: &mut Vec<Descriptor>) -> Result<()> {
    if depth >= Limits::default().index_depth {
        let value = u64::from(Limits::default().index_depth);
        return Err(ErrorKind::LimitExceeded { limit: "index_depth", value }.into());
    }
    for entry in index.index().map(|index| index.manifests.as_slice()).unwrap_or_default() {
        if entry.media_type.is_index() {
            leaves(opened, &opened.document(entry)?, depth + 1, to)?;
        } else {
            to.push(entry.clone());
        }
    }
    Ok(())
}

/// The layers of one image, with the files that hold them.
fn local(opened: &Opened, image: &PulledImage) -> Result<LocalImage> {
    let diff_ids = match &image.config {
        Some(_) => Some(opened.config(image)?.diff_ids),
        None => None,
    };
    let layers = image.layers.iter().map(|layer| opened.local(layer.clone())).collect::<Result<_>>()?;
    Ok(LocalImage { layers, diff_ids })
}

fn choice(which: &WhichArgs) -> Result<PlatformChoice> {
    Ok(match which.all {
        true => PlatformChoice::All,
        false => PlatformChoice::One(open::platform(which.platform.platform.as_deref())?),
    })
}

fn bench(layer: &LayerArgs, date: &str, to: &ToArgs, cancel: &Cancel) -> Result<Workbench> {
    let latest = match layer.mtime {
        Some(Latest::Keep) => None,
        Some(Latest::At(latest)) => Some(latest),
        // A date that cannot be read is none that files could have.
        None => Some(date.parse().or_else(|_: Error| EPOCH.parse())?),
    };
    Workbench::new(MakeOptions {
        compress: layer.compress.map(|compress| compress.format),
        level: layer.compress.and_then(|compress| compress.level),
        sourcing: Sourcing { keeps_owners: layer.owner == OwnerArg::Keep, latest },
        temp_dir: to.temp_dir.clone(),
        cancel: cancel.clone(),
        ..MakeOptions::default()
    })
}

/// The date that is asked for: by the option, else by what reproducible builds agreed upon.
fn created(asked: Option<Mtime>) -> Result<Option<String>> {
    let asked = match asked {
        Some(asked) => Some(asked),
        None => match std::env::var("SOURCE_DATE_EPOCH").ok().filter(|text| !text.is_empty()) {
            Some(text) => {
                let seconds = text.parse::<i64>();
                let seconds = seconds
                    .map_err(|_| wrong(format!("SOURCE_DATE_EPOCH is `{text}`, not seconds since 1970")))?;
                Some(Mtime::from_seconds(seconds))
            }
            None => None,
        },
    };
    Ok(asked.map(|at| format_rfc3339(at.seconds)))
}

fn changes(arguments: &ChangeArgs) -> Result<Changes> {
    let pair = |what: &str, text: &String| match text.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err(wrong(format!("`{text}` is no {what} such as KEY=VALUE"))),
    };
    let mut changes = Changes::default();
    changes.unset.clone_from(&arguments.unset);
    changes.env =
        arguments.env.iter().map(|text| pair("environment variable", text)).collect::<Result<_>>()?;
    changes.entrypoint = words(&arguments.entrypoint)?;
    changes.cmd = words(&arguments.cmd)?;
    changes.user.clone_from(&arguments.user);
    changes.working_dir.clone_from(&arguments.workdir);
    changes.stop_signal.clone_from(&arguments.stop_signal);
    changes.exposed_ports = arguments.exposed_ports.iter().map(|text| port(text)).collect::<Result<_>>()?;
    changes.volumes = arguments.volume.iter().cloned().collect();
    changes.labels = arguments.label.iter().map(|text| pair("label", text)).collect::<Result<_>>()?;
    changes.annotations =
        arguments.annotation.iter().map(|text| pair("annotation", text)).collect::<Result<_>>()?;
    changes.author.clone_from(&arguments.author);
    changes.check()?;
    Ok(changes)
}

/// The words of a command: a JSON list, or divided by commas, where quotes keep one that holds a comma together. Several
/// options go on from each other.
fn words(options: &[String]) -> Result<Option<Vec<String>>> {
    if options.is_empty() {
        return Ok(None);
    }
    let mut words = Vec::new();
    for option in options {
        if option.starts_with('[') {
            let list: Vec<String> = serde_json::from_str::<serde_json::Value>(option)
                .ok()
                .and_then(|value| {
                    let list = value.as_array()?;
                    list.iter().map(|word| word.as_str().map(str::to_owned)).collect()
                })
                .ok_or_else(|| wrong(format!("`{option}` is no JSON list of words")))?;
            words.extend(list);
        } else if !option.is_empty() {
            words.extend(divided(option)?);
        }
    }
    Ok(Some(words))
}

/// Words divided by commas as in a CSV line (RFC 4180), which is how crane takes them.
fn divided(text: &str) -> Result<Vec<String>> {
    let mut words = Vec::new();
    let mut rest = text;
    loop {
        let (word, after) = match rest.strip_prefix('"') {
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
            Some(mut quoted) => {
                let mut word = String::new();
                loop {
                    let end = quoted
                        .find('"')
                        .ok_or_else(|| wrong(format!("`{text}` has a quote without an end")))?;
                    word.push_str(&quoted[..end]);
                    quoted = &quoted[end + 1..];
                    match quoted.strip_prefix('"') {
                        Some(more) => {
                            word.push('"');
                            quoted = more;
                        }
                        None => break (word, quoted),
                    }
                }
            }
        };
        words.push(word);
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None if after.is_empty() => return Ok(words),
            None => return Err(wrong(format!("`{text}` goes on behind a quote: a comma divides words"))),
        }
    }
}

fn wrong(reason: String) -> Error {
    ErrorKind::InvalidOption { reason }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_lists_or_divided_by_commas() {
        let read =
            |options: &[&str]| words(&options.iter().map(|o| (*o).to_owned()).collect::<Vec<_>>()).unwrap();
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[""]).unwrap(), Vec::<String>::new());
        assert_eq!(read(&["/bin/sh,-c,echo hi"]).unwrap(), ["/bin/sh", "-c", "echo hi"]);
        assert_eq!(read(&["/bin/sh", "-c"]).unwrap(), ["/bin/sh", "-c"]);
        assert_eq!(read(&[r#"["sh","-c","a, b"]"#]).unwrap(), ["sh", "-c", "a, b"]);
        assert_eq!(read(&[r#"sh,-c,"a, ""b""""#]).unwrap(), ["sh", "-c", r#"a, "b""#]);
        assert_eq!(read(&["a,,b,"]).unwrap(), ["a", "", "b", ""]);
        for bad in ["[1]", "[\"a\"", r#""a"#, r#""a"b"#] {
            assert_eq!(words(&[bad.to_owned()]).unwrap_err().code(), "invalid_option", "{bad}");
        }
    }
}
