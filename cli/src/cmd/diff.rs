//! `diff`

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use wharfie_core::error::{ErrorKind, Result};
use wharfie_core::merge::{
    Change, Difference, LayerChange, Links, Node, PathChange, What, mode_text, mtime_text,
};
use wharfie_core::name::{Name, to_json};
use wharfie_core::tar::Kind;

use super::args::DiffArgs;
use super::layers::Shown;
use super::look::{self, Looked};
use super::output::Gathered;
use super::{interrupt, watch};
use crate::console::{Bytes, Console};
use crate::drive::Cancel;
use crate::view::{Side, compare};

static FOUND: AtomicBool = AtomicBool::new(false);

/// Wasted paths that are shown to people.
const WASTED: usize = 20;
/// Characters of a layer's command that are shown to people.
const COMMAND: usize = 100;

/// Whether differences were found, and the caller wants to know by the exit status.
pub(super) fn found() -> bool {
    FOUND.load(Ordering::Relaxed)
}

/// `diff IMAGE IMAGE`, `diff --layers IMAGE`
pub(super) fn run(arguments: &DiffArgs, console: &Console) -> Result<()> {
    match &arguments.other {
        Some(other) => images(arguments, other, console),
        None => layers(arguments, console),
    }
}

fn images(arguments: &DiffArgs, other: &str, console: &Console) -> Result<()> {
    let looked = look::look(&[&arguments.look.image.image, other], &arguments.look, false, console)?;
    let [before, after] = &looked[..] else { return Ok(()) };
    let ids = [before.view.diff_ids(), after.view.diff_ids()];
    let mut difference = Difference::new((&before.view.tree, &ids[0]), (&after.view.tree, &ids[1]));
    let ignored = ignored(&arguments.ignore);
    if !ignored.content {
        settle(&mut difference, before, after, &ids, arguments, console)?;
    } else {
        let places: Vec<usize> = difference.unsettled().map(|(place, ..)| place).collect();
        places.into_iter().for_each(|place| difference.settle(place, true));
    }
    let changes = difference.finish(ignored);
    if arguments.exit_code && !changes.is_empty() {
        FOUND.store(true, Ordering::Relaxed);
    }
    let links = [Links::of(&before.view.tree), Links::of(&after.view.tree)];
    let mut output = Gathered::new();
    let mut summary = Summary::default();
    for change in &changes {
        summary.add(change, &links);
        if arguments.summary {
            continue;
        }
        if arguments.json {
            output.json(&change_json(change, &links, before, after))?;
        } else {
            output.line(&line(change))?;
        }
    }
    if arguments.json {
        output.json(&summary.json())?;
    } else {
        output.line(&summary.text())?;
    }
    output.finish()
}

fn ignored(words: &[String]) -> What {
    let mut ignored = What::default();
    for what in words.iter().filter_map(|word| What::of_word(word)) {
        ignored = ignored.with(what);
    }
    ignored
}

/// Compares the content of files whose sizes are equal and whose places are not.
fn settle(
    difference: &mut Difference<'_>,
    before: &Looked,
    after: &Looked,
    ids: &[Vec<wharfie_core::Digest>; 2],
    arguments: &DiffArgs,
    console: &Console,
) -> Result<()> {
    let unsettled: Vec<(usize, Node<'_>, Node<'_>)> = difference.unsettled().collect();
    if unsettled.is_empty() {
        return Ok(());
    }
    let pairs: Vec<(Node<'_>, Node<'_>)> = unsettled.iter().map(|(_, a, b)| (*a, *b)).collect();
    let places: Vec<usize> = unsettled.iter().map(|(place, ..)| *place).collect();
    let cancel = Cancel::new();
    interrupt::stops(&cancel);
    let shown = [Shown::new(console, &before.image), Shown::new(console, &after.image)];
    let sides = [
        Side { image: &before.image, progress: &shown[0] },
        Side { image: &after.image, progress: &shown[1] },
    ];
    let options = look::options(&arguments.look.merge);
    let same = compare(&pairs, &sides, [&ids[0], &ids[1]], &options, &cancel)
        .map_err(|error| before.opened.failed(error, console))?;
    for (place, same) in places.into_iter().zip(same) {
        difference.settle(place, same);
    }
    Ok(())
}

/// Bytes that come with a name: none with those of one file but the first.
fn own_size(node: Node<'_>, links: &Links) -> u64 {
    if links.first(node).id() == node.id() { node.size() } else { 0 }
}

#[derive(Default)]
struct Summary {
    added: (u64, u64),
    removed: (u64, u64),
    changed: u64,
    grown: i128,
}

impl Summary {
    fn add(&mut self, change: &Change<'_>, links: &[Links; 2]) {
        let old = change.before.map_or(0, |node| own_size(node, &links[0]));
        let new = change.after.map_or(0, |node| own_size(node, &links[1]));
        match (change.before, change.after) {
            (None, _) => self.added = (self.added.0 + 1, self.added.1 + new),
            (_, None) => self.removed = (self.removed.0 + 1, self.removed.1 + old),
            _ => self.changed += 1,
        }
        self.grown += i128::from(new) - i128::from(old);
    }

    fn text(&self) -> String {
        if self.added.0 + self.removed.0 + self.changed == 0 {
            return "no differences".to_owned();
        }
        let sign = if self.grown < 0 { "-" } else { "+" };
        let grown = Bytes(u64::try_from(self.grown.unsigned_abs()).unwrap_or(u64::MAX));
        format!(
            "{} added ({}), {} removed ({}), {} changed; {sign}{grown} in all",
            self.added.0,
            Bytes(self.added.1),
            self.removed.0,
            Bytes(self.removed.1),
            self.changed
        )
    }

    fn json(&self) -> Value {
        json!({"summary": {
            "added": self.added.0, "addedBytes": self.added.1,
            "removed": self.removed.0, "removedBytes": self.removed.1,
            "changed": self.changed,
            "grownBytes": i64::try_from(self.grown).unwrap_or(i64::MAX),
        }})
    }
}

fn name(node: Node<'_>) -> String {
    let slash = if node.kind() == Kind::Directory && node.parent().is_some() { "/" } else { "" };
    format!("/{}{slash}", Name(&node.path()))
}

/// What a node is, in a few words.
fn brief(node: Node<'_>) -> String {
    match node.kind() {
        Kind::File => Bytes(node.size()).to_string(),
        Kind::Directory => "directory".to_owned(),
        Kind::Symlink => format!("-> {}", Name(node.link())),
        Kind::CharDevice { major, minor } => format!("char {major},{minor}"),
        Kind::BlockDevice { major, minor } => format!("block {major},{minor}"),
        Kind::Fifo | Kind::HardLink => "FIFO".to_owned(),
    }
}

fn line(change: &Change<'_>) -> String {
    match (change.before, change.after) {
        (Some(before), Some(after)) => {
            let what: Vec<String> = change.what.words().map(|word| detail(word, before, after)).collect();
            format!("M {}  {}", name(after), what.join(", "))
        }
        (None, Some(after)) if after.kind() != Kind::Directory => {
            format!("A {}  {}", name(after), brief(after))
        }
        (None, Some(after)) => format!("A {}", name(after)),
        (Some(before), None) if before.kind() != Kind::Directory => {
            format!("D {}  {}", name(before), brief(before))
        }
        (Some(before), None) => format!("D {}", name(before)),
        (None, None) => String::new(),
    }
}

/// A difference with what it was and what it is.
fn detail(word: &str, before: Node<'_>, after: Node<'_>) -> String {
    let (old, new) = (before.metadata(), after.metadata());
    match word {
        "kind" => format!("{} => {}", before.kind().name(), after.kind().name()),
        "content" if before.size() != after.size() => {
            format!("content {} => {}", Bytes(before.size()), Bytes(after.size()))
        }
        "content" => format!("content (both {})", Bytes(after.size())),
        "link" => format!("link {} => {}", Name(before.link()), Name(after.link())),
        "mode" => {
            format!("mode {} => {}", mode_text(before.kind(), old.mode), mode_text(after.kind(), new.mode))
        }
        "owner" => format!("owner {}:{} => {}:{}", old.uid, old.gid, new.uid, new.gid),
        "mtime" => format!("mtime {} => {}", mtime_text(old.mtime), mtime_text(new.mtime)),
        "xattrs" => {
            let names: std::collections::BTreeSet<&Vec<u8>> = old
                .xattrs
                .keys()
                .chain(new.xattrs.keys())
                .filter(|name| old.xattrs.get(*name) != new.xattrs.get(*name))
                .collect();
            let names: Vec<String> = names.iter().map(|name| Name(name).to_string()).collect();
            format!("xattrs {}", names.join(" "))
        }
        other => other.to_owned(),
    }
}

fn change_json(change: &Change<'_>, links: &[Links; 2], before: &Looked, after: &Looked) -> Value {
    let word = match (change.before, change.after) {
        (None, _) => "added",
        (_, None) => "removed",
        _ => "changed",
    };
    json!({
        "change": word,
        "path": to_json(&change.path()),
        "what": change.what.words().collect::<Vec<_>>(),
        "before": change.before.map(|node| look::node_json(node, &links[0], &before.image)),
        "after": change.after.map(|node| look::node_json(node, &links[1], &after.image)),
    })
}

/// The commands that made the layers, from the bottom, where the history says as many as there are.
fn commands(looked: &Looked, count: usize) -> Result<Vec<Option<String>>> {
    let config = looked.opened.config(looked.opened.chosen()?)?;
    let made: Vec<Option<String>> = config
        .history
        .iter()
        .filter(|history| !history.empty_layer)
        .map(|history| history.created_by.clone())
        .collect();
    Ok(if made.len() == count { made } else { vec![None; count] })
}

fn layers(arguments: &DiffArgs, console: &Console) -> Result<()> {
    let select = &arguments.look.select;
    if !(select.include.is_empty() && select.exclude.is_empty()) {
        let reason = "--layers counts whole layers: --include and --exclude are for two images".to_owned();
        return Err(ErrorKind::InvalidOption { reason }.into());
    }
    let looked = look::look(&[&arguments.look.image.image], &arguments.look, true, console)?;
    let Some(looked) = looked.first() else { return Ok(()) };
    let history = &looked.view.history;
    let commands = commands(looked, history.layers().len())?;
    let mut output = Gathered::new();
    for (number, layer) in history.layers().iter().enumerate() {
        let descriptor = &looked.image.layers[number].descriptor;
        let command = commands.get(number).cloned().flatten();
        let (added, changed, removed) = (layer.added(), layer.changed(number), layer.removed());
        if arguments.json {
            let paths: Vec<Value> = layer.paths.iter().map(path_json).collect();
            let count = |(count, bytes): (u64, u64)| json!({"paths": count, "bytes": bytes});
            output.json(&json!({
                "layer": number,
                "digest": descriptor.digest.to_string(),
                "diffId": looked.view.layers[number].diff_id.to_string(),
                "size": descriptor.size,
                "contentBytes": layer.bytes,
                "createdBy": command,
                "added": count(added), "changed": count(changed), "removed": count(removed),
                "paths": if arguments.summary { Value::Null } else { Value::Array(paths) },
            }))?;
            continue;
        }
        output.line(&format!(
            "layer {number}  {}  {} of content, {} as stored",
            watch::short(&descriptor.digest),
            Bytes(layer.bytes),
            Bytes(descriptor.size)
        ))?;
        if let Some(command) = command {
            output.line(&format!("  {}", shortened(&command)))?;
        }
        let part = |word: &str, (count, bytes): (u64, u64)| format!("{word} {count} ({})", Bytes(bytes));
        output.line(&format!(
            "  {}, {}, {}",
            part("added", added),
            part("changed", changed),
            part("removed", removed)
        ))?;
        if arguments.paths {
            paths(layer, &mut output)?;
        }
    }
    let waste = history.waste();
    let unseen = history.unseen(&looked.view.tree);
    if arguments.json {
        let listed: Vec<Value> = waste
            .paths
            .iter()
            .map(|path| json!({"path": to_json(&path.path), "count": path.count, "bytes": path.bytes}))
            .collect();
        output.json(&json!({"waste": {
            "efficiency": waste.efficiency(),
            "minimalBytes": waste.minimal, "discoveredBytes": waste.discovered,
            "wastedBytes": waste.wasted(), "unseenBytes": unseen, "paths": listed,
        }}))?;
        return output.finish();
    }
    output.line(&format!(
        "\nefficiency {:.2} %, {} wasted as dive counts it; {} of content in the layers that nobody sees",
        waste.efficiency() * 100.0,
        Bytes(waste.wasted()),
        Bytes(unseen)
    ))?;
    if !arguments.summary {
        let mut worth = waste.paths.iter().filter(|path| path.bytes > 0);
        for path in worth.by_ref().take(WASTED) {
            let bytes = Bytes(path.bytes).to_string();
            output.line(&format!("{bytes:>9}  {}x  /{}", path.count, Name(&path.path)))?;
        }
        let more = worth.count();
        if more > 0 {
            output.line(&format!("           and {more} more: --json has them all"))?;
        }
    }
    output.finish()
}

/// A command in one line that fits, without what every builder puts before it.
fn shortened(command: &str) -> String {
    let command = command.trim_start_matches("/bin/sh -c ").trim_start_matches("#(nop) ").trim();
    let words = command.split_whitespace().collect::<Vec<_>>().join(" ");
    let clean = Name(words.as_bytes()).to_string();
    match clean.char_indices().nth(COMMAND) {
        Some((end, _)) => format!("{}…", &clean[..end]),
        None => clean,
    }
}

fn letter(change: &PathChange) -> (&'static str, &'static str) {
    match (&change.before, &change.after) {
        (None, _) => ("A", "added"),
        (_, None) => ("D", "removed"),
        _ => ("M", "changed"),
    }
}

fn paths(layer: &LayerChange, output: &mut Gathered) -> Result<()> {
    for change in &layer.paths {
        let version = change.after.or(change.before);
        let directory = version.is_some_and(|version| version.kind == Kind::Directory);
        let slash = if directory && !change.path.is_empty() { "/" } else { "" };
        let size = match version {
            Some(version) if version.kind == Kind::File => format!("  {}", Bytes(version.size)),
            _ => String::new(),
        };
        let what: Vec<&str> = change.what.words().collect();
        let what = if what.is_empty() { String::new() } else { format!("  {}", what.join(", ")) };
        output.line(&format!("  {} /{}{slash}{size}{what}", letter(change).0, Name(&change.path)))?;
    }
    Ok(())
}

fn path_json(change: &PathChange) -> Value {
    let version = |version: wharfie_core::merge::Version| json!({"type": version.kind.name(), "size": version.size, "layer": version.layer});
    json!({
        "change": letter(change).1,
        "path": to_json(&change.path),
        "what": change.what.words().collect::<Vec<_>>(),
        "before": change.before.map(version),
        "after": change.after.map(version),
    })
}
