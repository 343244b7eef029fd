//! `tree`

use serde_json::json;
use wharfie_core::error::Result;
use wharfie_core::merge::{Node, Sizes};
use wharfie_core::name::{Name, to_json};
use wharfie_core::tar::Kind;

use super::args::{SortArg, TreeArgs};
use super::look;
use super::output::Gathered;
use crate::console::{Bytes, Console};

/// How deep a tree is shown to people if nobody says.
const DEPTH: usize = 2;

/// What branches are drawn with: for one that is followed by another, for the last, for what lies below either.
struct Branches([&'static str; 4]);

const BOXES: Branches = Branches(["├── ", "└── ", "│   ", "    "]);
const ASCII: Branches = Branches(["|-- ", "`-- ", "|   ", "    "]);

impl Branches {
    /// Boxes where the locale says that they can be seen.
    fn of_locale() -> Branches {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG")).unwrap_or_default();
        let locale = locale.to_ascii_lowercase();
        if cfg!(windows) || locale.contains("utf-8") || locale.contains("utf8") { BOXES } else { ASCII }
    }
}

/// `tree IMAGE [PATH]`
pub(super) fn run(arguments: &TreeArgs, console: &Console) -> Result<()> {
    let looked = look::look(&[&arguments.look.image.image], &arguments.look, false, console)?;
    let Some(looked) = looked.first() else { return Ok(()) };
    let tree = &looked.view.tree;
    let start =
        tree.resolve(look::bytes(&arguments.path)).map_err(|error| error.in_image(&looked.opened.name))?;
    let sizes = Sizes::of(tree);
    let depth = match arguments.depth {
        None if arguments.json => usize::MAX,
        depth => depth.unwrap_or(DEPTH),
    };
    let mut output = Gathered::new();
    if arguments.json {
        let mut open = vec![(start, 0)];
        while let Some((node, level)) = open.pop() {
            output.json(&json!({
                "path": to_json(&node.path()),
                "type": node.kind().name(),
                "bytes": sizes.bytes(node),
                "files": sizes.files(node),
                "depth": level,
            }))?;
            if level < depth {
                open.extend(held(node, &sizes, arguments).into_iter().rev().map(|child| (child, level + 1)));
            }
        }
        return output.finish();
    }
    let branches = Branches::of_locale();
    let whole = sizes.bytes(start).max(1);
    let mut line = |node: Node<'_>, branch: &str, name: &str| -> Result<()> {
        let bytes = sizes.bytes(node);
        let share = format!("{:.1}", bytes as f64 * 100.0 / whole as f64);
        let slash = if node.kind() == Kind::Directory && name != "/" { "/" } else { "" };
        let link = match node.kind() {
            Kind::Symlink => format!(" -> {}", Name(node.link())),
            _ => String::new(),
        };
        output.line(&format!("{:>9} {share:>5} %  {branch}{name}{slash}{link}", Bytes(bytes).to_string()))
    };
    line(start, "", &format!("/{}", Name(&start.path())))?;
    let below = |node: Node<'_>, level: usize| level < depth && node.kind() == Kind::Directory;
    // Each with what is drawn before it, and whether it is the last of its directory.
    let mut open = vec![(start, String::new(), true, 0)];
    while let Some((node, indent, last, level)) = open.pop() {
        let Branches([middle, end, more, blank]) = branches;
        let mut inner = String::new();
        if level > 0 {
            let branch = if last { end } else { middle };
            line(node, &format!("{indent}{branch}"), &Name(node.name()).to_string())?;
            inner = format!("{indent}{}", if last { blank } else { more });
        }
        if below(node, level) {
            let children = held(node, &sizes, arguments);
            let last = children.len().saturating_sub(1);
            for (number, child) in children.into_iter().enumerate().rev() {
                open.push((child, inner.clone(), number == last, level + 1));
            }
        }
    }
    let files = sizes.files(start);
    output.line(&format!(
        "{} in {files} {}",
        Bytes(sizes.bytes(start)),
        if files == 1 { "file" } else { "files" }
    ))?;
    output.finish()
}

/// What a directory holds, as far as it is wanted, in order.
fn held<'t>(node: Node<'t>, sizes: &Sizes, arguments: &TreeArgs) -> Vec<Node<'t>> {
    let least = arguments.min_size.unwrap_or(0);
    let mut children: Vec<Node<'t>> = node.children().filter(|child| sizes.bytes(*child) >= least).collect();
    if arguments.sort == SortArg::Size {
        children.sort_by_key(|child| std::cmp::Reverse(sizes.bytes(*child)));
    }
    children
}
