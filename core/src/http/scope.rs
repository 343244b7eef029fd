use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::convert::Infallible;
use core::fmt;
use core::str::FromStr;

/// What a token lets its bearer do (distribution's token scope documentation):
/// `resourcetype ["(" class ")"] ":" resourcename ":" action *("," action)`.
///
/// Names may hold colons (`host:5000/a/b`), so the type ends at the first and the actions begin after the last. Actions
/// are kept sorted, so that scopes compare as sets. A scope of another grammar (`read`, a URL of a cloud) is kept as it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// A resource and what may be done with it.
    Resource {
        /// `repository`, `registry`, `repository(plugin)`, …
        kind: String,
        /// The repository without the registry's host; `catalog`.
        name: String,
        /// `pull`, `push`, `delete`, `*`, …
        actions: BTreeSet<String>,
    },
    /// One of another grammar.
    Opaque(String),
}

/// One after another: a set that is collected sorts first, whose code is larger than that of the set.
fn set<'a>(actions: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    let mut set = BTreeSet::new();
    set.extend(actions.into_iter().map(ToString::to_string));
    set
}

impl Scope {
    /// `repository:NAME:ACTIONS`.
    pub fn repository<'a>(name: &str, actions: impl IntoIterator<Item = &'a str>) -> Scope {
        Scope::Resource { kind: "repository".to_string(), name: name.to_string(), actions: set(actions) }
    }

    /// `registry:catalog:*`, for the list of repositories.
    pub fn catalog() -> Scope {
        Scope::Resource { kind: "registry".to_string(), name: "catalog".to_string(), actions: set(["*"]) }
    }

    /// No list is longer: each scope is compared with all the others, and goes into a URL.
    pub const MOST: usize = 64;

    /// The scopes of a list separated by white space (RFC 6749 §3.3), in order, each once. What is over [`Scope::MOST`]
    /// is left out.
    pub fn parse_list(text: &str) -> Vec<Scope> {
        let mut scopes = Vec::new();
        for word in text.split_ascii_whitespace() {
            let Ok(scope) = word.parse::<Scope>();
            if scopes.len() < Scope::MOST && !scopes.contains(&scope) {
                scopes.push(scope);
            }
        }
        scopes
    }

    /// Whether a token of this scope is good for `wanted` too: the same resource, and every action or `*`.
    pub fn covers(&self, wanted: &Scope) -> bool {
        match (self, wanted) {
            (
                Scope::Resource { kind, name, actions },
                Scope::Resource { kind: other_kind, name: other_name, actions: other_actions },
            ) => {
                kind == other_kind
                    && name == other_name
                    && (actions.contains("*") || actions.is_superset(other_actions))
            }
            _ => self == wanted,
        }
    }
}

impl FromStr for Scope {
    type Err = Infallible;

    /// Never fails: what is not of the grammar is [`Scope::Opaque`].
    fn from_str(text: &str) -> Result<Self, Infallible> {
        let parts = text.split_once(':').and_then(|(kind, rest)| {
            let (name, actions) = rest.rsplit_once(':')?;
            // `https://…:443/x` has two colons as well.
            let is_kind = |c: char| c.is_ascii_alphanumeric() || "-_.()".contains(c);
            let fits =
                !kind.is_empty() && kind.chars().all(is_kind) && !name.is_empty() && !name.starts_with("//");
            fits.then_some((kind, name, actions))
        });
        Ok(match parts {
            Some((kind, name, actions)) => Scope::Resource {
                kind: kind.to_string(),
                name: name.to_string(),
                actions: set(actions.split(',').filter(|a| !a.is_empty())),
            },
            None => Scope::Opaque(text.to_string()),
        })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::Resource { kind, name, actions } => {
                write!(f, "{kind}:{name}")?;
                let mut separator = ":";
                for action in actions {
                    write!(f, "{separator}{action}")?;
                    separator = ",";
                }
                if actions.is_empty() { f.write_str(":") } else { Ok(()) }
            }
            Scope::Opaque(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Scope;
    use std::string::ToString;
    use std::vec::Vec;

    fn scope(text: &str) -> Scope {
        let Ok(scope) = text.parse();
        scope
    }

    #[test]
    fn names_may_hold_colons_and_actions_are_a_set() {
        assert_eq!(scope("repository:a/b:push,pull"), Scope::repository("a/b", ["pull", "push"]));
        assert_eq!(scope("repository:a/b:push,pull").to_string(), "repository:a/b:pull,push");
        assert_eq!(
            scope("repository:localhost:5000/a/b:pull"),
            Scope::repository("localhost:5000/a/b", ["pull"])
        );
        assert_eq!(scope("registry:catalog:*"), Scope::catalog());
        assert_eq!(scope("repository:a:"), Scope::repository("a", []));
        assert_eq!(scope("repository:a:").to_string(), "repository:a:");
        let plugin = scope("repository(plugin):a/b:pull");
        assert!(matches!(&plugin, Scope::Resource { kind, .. } if kind == "repository(plugin)"));
        for opaque in [
            "read",
            "a:b",
            "https://host:443/x",
            "https://www.googleapis.com/auth/devstorage.read_only",
            ":a:b",
            "::",
        ] {
            assert_eq!(scope(opaque), Scope::Opaque(opaque.to_string()), "{opaque}");
        }
    }

    #[test]
    fn lists_keep_order_and_drop_repeats() {
        let list = Scope::parse_list(" repository:a:pull  registry:catalog:* repository:a:pull ");
        assert_eq!(list, [Scope::repository("a", ["pull"]), Scope::catalog()].to_vec());
        assert_eq!(Scope::parse_list("  "), Vec::new());
    }

    #[test]
    fn a_wider_scope_covers_a_narrower_one() {
        let (wide, narrow) = (Scope::repository("a", ["pull", "push"]), Scope::repository("a", ["pull"]));
        assert!(wide.covers(&narrow) && !narrow.covers(&wide));
        assert!(Scope::repository("a", ["*"]).covers(&wide));
        assert!(!wide.covers(&Scope::repository("b", ["pull"])));
        assert!(scope("read").covers(&scope("read")) && !scope("read").covers(&scope("write")));
    }
}
