//! `login`, `logout`, `auth explain`.

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::path::Path;

use serde_json::json;
use wharfie_core::client::Credentials;
use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::http::Secret;
use wharfie_core::reference::Reference;
use wharfie_core::registries::Endpoint;

use super::args::{AuthExplainArgs, LoginArgs, LogoutArgs};
use super::list::registry_reference;
use super::{names, open, output};
use crate::console::Console;
use crate::credentials::{self, Environment, Kept, Search, Trial};
use crate::registries;

/// What an argument of `login` means: a registry, and the repositories of it below a path, if one is given. Docker's tools
/// write registries as URLs: the path of one says nothing.
pub(super) fn account(input: &str) -> Result<(String, Option<String>)> {
    let url = input.strip_prefix("https://").or_else(|| input.strip_prefix("http://"));
    let (host, path) = url.unwrap_or(input).split_once('/').unwrap_or((url.unwrap_or(input), ""));
    let path = Some(path.trim_end_matches('/')).filter(|path| url.is_none() && !path.is_empty());
    let looks_like_one = host.contains(['.', ':', ']']) || host == "localhost";
    if !looks_like_one || host.contains('@') {
        let reason = "a registry is a host, as `ghcr.io` or `localhost:5000`".to_owned();
        return Err(ErrorKind::InvalidReference { input: input.to_owned(), part: "host", reason }.into());
    }
    // The grammar of hosts and paths is that of references.
    let reference = Reference::new(host, path.unwrap_or("x"))?;
    Ok((reference.host().to_owned(), path.map(str::to_owned)))
}

/// The key under which its credentials are kept.
fn key((registry, path): &(String, Option<String>)) -> String {
    match path {
        Some(path) => format!("{registry}/{path}"),
        None => registry.clone(),
    }
}

/// Reads `--creds`.
pub(super) fn given(creds: Option<&str>) -> Option<Credentials> {
    let creds = creds?;
    let (user, password) = creds.split_once(':').unwrap_or((creds, ""));
    Some(Credentials::Basic { user: user.to_owned(), password: Secret::new(password) })
}

/// The search that the options describe.
pub(super) fn search(creds: Option<&str>, authfile: Option<&Path>) -> Search {
    Search {
        given: given(creds),
        authfile: authfile.map(Path::to_owned),
        environment: Environment::of_process(),
    }
}

/// `login REGISTRY`
pub(super) fn login(arguments: &LoginArgs, console: &Console) -> Result<()> {
    let account = account(&arguments.registry)?;
    let registry = key(&account);
    let (user, password) = match given(arguments.network.creds.as_deref()) {
        Some(Credentials::Basic { user, password }) => (user, password),
        _ => {
            let user = match &arguments.username {
                Some(user) => user.clone(),
                None if arguments.password_stdin => {
                    let reason = "--password-stdin needs --username".to_owned();
                    return Err(ErrorKind::InvalidOption { reason }.into());
                }
                None => ask("Username: ", false)?,
            };
            let password = if arguments.password_stdin {
                password_from_stdin()?
            } else {
                match &arguments.password {
                    Some(password) => password.clone(),
                    None => ask("Password: ", true)?,
                }
            };
            (user, Secret::new(password))
        }
    };
    let credentials = if user == "<token>" {
        Credentials::RefreshToken(password)
    } else {
        Credentials::Basic { user, password }
    };
    open::check(&account.0, &credentials, &arguments.network, console)?;
    let search = search(None, arguments.network.authfile.as_deref());
    match credentials::keep(&search, &registry, &credentials)? {
        Kept::File(path) => {
            console.note(&format!(
                "logged in to {registry}; the credentials are in {}, unencrypted",
                path.display()
            ));
        }
        Kept::Helper(program) => {
            console.note(&format!("logged in to {registry}; {program} keeps the credentials"));
        }
    }
    Ok(())
}

/// `logout REGISTRY`
pub(super) fn logout(arguments: &LogoutArgs, console: &Console) -> Result<()> {
    let registry = key(&account(&arguments.registry)?);
    let forgotten = credentials::forget(&search(None, arguments.authfile.as_deref()), &registry)?;
    if forgotten.is_empty() {
        console.note(&format!("not logged in to {registry}"));
    }
    for kept in forgotten {
        let place = match kept {
            Kept::File(path) => path.display().to_string(),
            Kept::Helper(program) => program,
        };
        console.note(&format!("removed the credentials for {registry} from {place}"));
    }
    Ok(())
}

/// `auth explain IMAGE`
pub(super) fn explain(arguments: &AuthExplainArgs) -> Result<()> {
    let chosen = names::choice(arguments.registries_conf.as_deref(), arguments.no_registries_conf);
    let settings = registries::read(&chosen, &Environment::of_process())?;
    let mut places = Vec::new();
    // A registry alone has nothing after the host; everything else is an image.
    let (registry, repository) = match account(&arguments.image) {
        Ok((registry, None)) if is_host(&arguments.image) => (registry, None),
        _ => {
            let plain = registry_reference(&arguments.image)?;
            let candidates = match arguments.image.starts_with("docker://") {
                true => Vec::new(),
                false => settings.resolve(&arguments.image)?,
            };
            let reference = candidates.into_iter().next().map_or(plain, |first| first.reference);
            places = match settings.endpoints(&reference) {
                Ok(endpoints) => endpoints.iter().map(place).collect(),
                Err(error) if error.code() == "registry_blocked" => vec![error.to_string()],
                Err(error) => return Err(error),
            };
            (reference.host().to_owned(), Some(reference.repository().to_owned()))
        }
    };
    let search = search(arguments.creds.as_deref(), arguments.authfile.as_deref());
    let finding = search.find(&registry, repository.as_deref());
    if arguments.json {
        let steps: Vec<_> = finding
            .steps
            .iter()
            .map(|step| {
                let (result, detail) = words(&step.trial);
                json!({"place": step.place, "result": result, "detail": detail})
            })
            .collect();
        return output::json(&json!({
            "registry": registry, "repository": repository, "found": finding.credentials.is_some(), "places": steps,
            "endpoints": places
        }));
    }
    let mut lines = vec![match &repository {
        Some(repository) => format!("credentials for {registry}, repository {repository}:"),
        None => format!("credentials for {registry}:"),
    }];
    if let [_, _, ..] = places.as_slice() {
        lines.insert(0, "asked in this order:".to_owned());
        drop(lines.splice(1..1, places.iter().map(|place| format!("  {place}"))));
    } else if let Some(place) = places.first().filter(|place| place.contains(" in ")) {
        lines.insert(0, place.clone());
    }
    for step in &finding.steps {
        let (result, detail) = words(&step.trial);
        let mark = match step.trial {
            Trial::Found(_) => '✓',
            Trial::Broken(_) => '!',
            _ => ' ',
        };
        let detail = detail.map(|detail| format!(": {detail}")).unwrap_or_default();
        lines.push(format!("{mark} {} — {result}{detail}", step.place));
    }
    if finding.credentials.is_none() {
        lines.push("none found: requests are anonymous".to_owned());
    }
    output::lines(lines)
}

/// One place where an image is asked for, and why.
fn place(endpoint: &Endpoint) -> String {
    let mut text = endpoint.to_string();
    if endpoint.is_mirror {
        text.push_str(", a mirror");
    }
    if endpoint.insecure {
        text.push_str(", insecure");
    }
    match &endpoint.file {
        Some(file) => format!("{text}, by the rule in {file}"),
        None => text,
    }
}

/// Whether what looks like a registry is one, and not an image with a tag (`alpine:3.20`).
fn is_host(input: &str) -> bool {
    let bare = input.strip_prefix("https://").or_else(|| input.strip_prefix("http://"));
    bare.is_some() || input.contains('.') && !input.contains(':') || input.starts_with('[') || {
        let (host, port) = input.trim_end_matches('/').rsplit_once(':').unwrap_or((input, ""));
        (host == "localhost" || host.contains('.')) && port.bytes().all(|digit| digit.is_ascii_digit())
    }
}

fn words(trial: &Trial) -> (&'static str, Option<&str>) {
    match trial {
        Trial::Absent => ("not there", None),
        Trial::Nothing => ("nothing for this registry", None),
        Trial::Broken(reason) => ("does not work", Some(reason)),
        Trial::Found(what) => ("found", Some(what)),
        Trial::NotReached => ("not looked at", None),
    }
}

fn local(operation: &'static str) -> impl Fn(std::io::Error) -> Error {
    move |error| ErrorKind::LocalIo { operation, reason: error.to_string() }.into()
}

fn password_from_stdin() -> Result<String> {
    let mut password = String::new();
    std::io::stdin().take(1 << 20).read_to_string(&mut password).map_err(local("reading the password"))?;
    // `echo` ends it with a newline that is no part of it.
    let password = password.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        let reason = "the password on standard input is empty".to_owned();
        return Err(ErrorKind::InvalidOption { reason }.into());
    }
    Ok(password.to_owned())
}

fn ask(prompt: &str, secret: bool) -> Result<String> {
    if !std::io::stdin().is_terminal() {
        let reason = "there is no terminal to ask on: use --username and --password-stdin".to_owned();
        return Err(ErrorKind::InvalidOption { reason }.into());
    }
    if secret {
        return rpassword::prompt_password(prompt).map_err(local("reading the password"));
    }
    let mut stderr = std::io::stderr();
    stderr.write_all(prompt.as_bytes()).and_then(|()| stderr.flush()).map_err(local("asking"))?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(local("reading the user"))?;
    Ok(line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_a_host() {
        for (input, wanted, path) in [
            ("docker.io", "docker.io", None),
            ("https://index.docker.io/v1/", "docker.io", None),
            ("localhost:5000", "localhost:5000", None),
            ("http://127.0.0.1:5000/", "127.0.0.1:5000", None),
            ("[::1]:5000", "[::1]:5000", None),
            ("ghcr.io/org/", "ghcr.io", Some("org")),
            ("q.io/org/team", "q.io", Some("org/team")),
        ] {
            assert_eq!(account(input).unwrap(), (wanted.to_owned(), path.map(str::to_owned)), "{input}");
        }
        for input in ["alpine", "", "me@host.io", "Host_.io", "q.io/Org"] {
            assert_eq!(account(input).unwrap_err().code(), "invalid_reference", "{input}");
        }
    }

    #[test]
    fn hosts_and_images_are_told_apart() {
        for host in ["ghcr.io", "localhost:5000", "127.0.0.1:5000", "https://ghcr.io"] {
            assert!(is_host(host), "{host}");
        }
        for image in ["alpine", "alpine:3.20", "alpine:3"] {
            assert!(!is_host(image), "{image}");
        }
    }
}
