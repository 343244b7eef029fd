//! One credential file: docker's `config.json`, containers' `auth.json`, the old `.dockercfg`.

use std::io::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use wharfie_core::client::Credentials;
use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::http::Secret;

/// How docker's tools name Docker Hub in files and to helpers.
pub(super) const HUB: &str = "https://index.docker.io/v1/";

/// A credential file, with everything in it that is not ours kept.
#[derive(Clone, Debug, Default)]
pub struct AuthFile {
    root: Map<String, Value>,
    // `.dockercfg` is the `auths` object itself.
    old: bool,
}

/// What one entry of `auths` holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key as it stands in the file.
    pub key: String,
    /// What is under it; `None` for an entry without secrets (docker leaves `{}` where a helper keeps them).
    pub credentials: Option<Credentials>,
}

impl AuthFile {
    /// Reads one; `None` if there is no such file.
    ///
    /// # Errors
    /// `local_io`, `credential_source` for what is no JSON object.
    pub fn read(path: &Path) -> Result<Option<AuthFile>> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(None);
            }
            Err(error) => {
                let kind = ErrorKind::LocalIo { operation: "reading credentials", reason: error.to_string() };
                return Err(Error::from(kind).at_path(path.display().to_string()));
            }
        };
        let old = path.file_name().is_some_and(|name| name == ".dockercfg");
        AuthFile::parse(&bytes, &path.display().to_string(), old).map(Some)
    }

    /// Reads the bytes of one. Nothing in them is quoted in an error: they are secrets.
    ///
    /// # Errors
    /// `credential_source` for what is no JSON object.
    pub fn parse(bytes: &[u8], source: &str, old: bool) -> Result<AuthFile> {
        let broken = |reason: String| ErrorKind::CredentialSource { source_name: source.to_owned(), reason };
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(AuthFile { root: Map::new(), old });
        }
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(root)) => Ok(AuthFile { root, old }),
            Ok(_) => Err(broken("it is no JSON object".to_owned()).into()),
            Err(error) => {
                Err(broken(format!("no JSON at line {}, column {}", error.line(), error.column())).into())
            }
        }
    }

    fn auths(&self) -> Option<&Map<String, Value>> {
        if self.old { Some(&self.root) } else { self.root.get("auths")?.as_object() }
    }

    /// The helper that `credHelpers` names for this registry.
    pub fn helper_for(&self, registry: &str) -> Option<String> {
        let helpers = self.root.get("credHelpers")?.as_object()?;
        let found = helpers.iter().find(|(key, _)| normal_key(key) == registry)?;
        found.1.as_str().filter(|name| !name.is_empty()).map(str::to_owned)
    }

    /// The helper that `credsStore` names for every registry.
    pub fn store_helper(&self) -> Option<String> {
        self.root.get("credsStore")?.as_str().filter(|name| !name.is_empty()).map(str::to_owned)
    }

    /// The keys to look for, longest first: `host/a/b`, `host/a`, `host` (containers-auth.json(5)).
    pub fn keys(registry: &str, repository: Option<&str>) -> Vec<String> {
        let mut keys = Vec::new();
        let mut rest = repository.map(|repository| format!("{registry}/{repository}"));
        while let Some(key) = rest {
            rest =
                key.rsplit_once('/').map(|(parent, _)| parent.to_owned()).filter(|parent| parent != registry);
            if key != registry {
                keys.push(key);
            }
        }
        keys.push(registry.to_owned());
        keys
    }

    /// The entry of `auths` for the most specific key.
    ///
    /// # Errors
    /// `credential_source` for an entry that cannot be decoded.
    pub fn entry(&self, registry: &str, repository: Option<&str>, source: &str) -> Result<Option<Entry>> {
        let Some(auths) = self.auths() else { return Ok(None) };
        for wanted in AuthFile::keys(registry, repository) {
            // An exact key wins over one that only means the same (`https://host/v1/`).
            let exact = auths.get_key_value(&wanted);
            let found = exact.or_else(|| auths.iter().find(|(key, _)| normal_key(key) == wanted));
            if let Some((key, value)) = found {
                let credentials = decode_entry(value).map_err(|reason| ErrorKind::CredentialSource {
                    source_name: format!("{source}, key `{key}`"),
                    reason,
                })?;
                return Ok(Some(Entry { key: key.clone(), credentials }));
            }
        }
        Ok(None)
    }

    /// Puts an entry in, under the key that docker's tools use for this registry.
    pub fn put(&mut self, registry: &str, credentials: &Credentials) {
        let mut entry = Map::new();
        match credentials {
            Credentials::Basic { user, password } => {
                let joined = format!("{user}:{}", password.reveal());
                entry.insert("auth".to_owned(), Value::String(STANDARD.encode(joined)));
            }
            Credentials::RefreshToken(token) => {
                entry.insert("auth".to_owned(), Value::String(STANDARD.encode("<token>:")));
                entry.insert("identitytoken".to_owned(), Value::String(token.reveal().to_owned()));
            }
            Credentials::Bearer(token) => {
                entry.insert("registrytoken".to_owned(), Value::String(token.reveal().to_owned()));
            }
            _ => {}
        }
        self.remove(registry);
        self.auths_mut().insert(server_key(registry), Value::Object(entry));
    }

    /// Notes that a helper keeps this registry's credentials: an entry without secrets, as docker writes it.
    pub fn put_empty(&mut self, registry: &str) {
        self.remove(registry);
        self.auths_mut().insert(server_key(registry), Value::Object(Map::new()));
    }

    /// Takes every entry of this registry out; answers whether there was one.
    pub fn remove(&mut self, registry: &str) -> bool {
        let Some(_) = self.auths() else { return false };
        let auths = self.auths_mut();
        let before = auths.len();
        auths.retain(|key, _| normal_key(key) != registry);
        auths.len() != before
    }

    fn auths_mut(&mut self) -> &mut Map<String, Value> {
        if self.old {
            return &mut self.root;
        }
        let auths = self.root.entry("auths").or_insert_with(|| Value::Object(Map::new()));
        if !auths.is_object() {
            *auths = Value::Object(Map::new());
        }
        match auths {
            Value::Object(auths) => auths,
            _ => unreachable!("it was made an object above"),
        }
    }

    /// Writes it whole or not at all, readable by its owner only.
    ///
    /// # Errors
    /// `local_io`.
    pub fn write(&self, path: &Path) -> Result<()> {
        let failed = |error: std::io::Error| {
            let kind = ErrorKind::LocalIo { operation: "writing credentials", reason: error.to_string() };
            Error::from(kind).at_path(path.display().to_string())
        };
        // Some keep this file as a link into another place: the place is written, the link stays.
        let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let directory =
            target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(directory).map_err(failed)?;
        let mut text = serde_json::to_vec_pretty(&self.root).map_err(|error| failed(error.into()))?;
        text.push(b'\n');
        // tempfile makes files of mode 0600.
        let mut temporary = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
        temporary.write_all(&text).map_err(failed)?;
        temporary.as_file().sync_all().map_err(failed)?;
        temporary.persist(&target).map_err(|error| failed(error.error))?;
        Ok(())
    }
}

/// The key that docker's tools write for a registry, and the server URL that they give to helpers.
pub(super) fn server_key(registry: &str) -> String {
    if registry == "docker.io" { HUB.to_owned() } else { registry.to_owned() }
}

/// A key as the registry (and repository) that it means: schemes, `/v1/` and `/v2/` go, Docker Hub has one name.
fn normal_key(key: &str) -> String {
    let (bare, had_scheme) = match key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")) {
        Some(bare) => (bare, true),
        None => (key, false),
    };
    let bare = bare.trim_end_matches('/');
    let (host, path) = match bare.split_once('/') {
        Some((host, path)) => (host, Some(path)),
        None => (bare, None),
    };
    let host = match host {
        "index.docker.io" | "registry-1.docker.io" | "docker.io" => "docker.io",
        other => other,
    };
    match path {
        Some("v1" | "v2") | None => host.to_owned(),
        // Docker's tools match a URL by its host alone; a key without a scheme is containers' and may name a path.
        Some(_) if had_scheme => host.to_owned(),
        Some(path) => format!("{host}/{path}"),
    }
}

fn decode_entry(value: &Value) -> Result<Option<Credentials>, String> {
    let Some(entry) = value.as_object() else {
        return if value.is_null() { Ok(None) } else { Err("the entry is no JSON object".to_owned()) };
    };
    let text = |name: &str| entry.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    if let Some(token) = text("registrytoken") {
        return Ok(Some(Credentials::Bearer(Secret::new(token))));
    }
    if let Some(token) = text("identitytoken") {
        return Ok(Some(Credentials::RefreshToken(Secret::new(token))));
    }
    if let Some(auth) = text("auth") {
        let bytes = STANDARD
            .decode(auth.trim())
            .or_else(|_| {
                base64::engine::general_purpose::STANDARD_NO_PAD.decode(auth.trim().trim_end_matches('='))
            })
            .map_err(|_| "`auth` is no base64".to_owned())?;
        // Docker pads with NUL bytes.
        let joined = String::from_utf8(bytes).map_err(|_| "`auth` is no UTF-8".to_owned())?;
        let (user, password) = joined.split_once(':').ok_or("`auth` has no `:` between user and password")?;
        return Ok(Some(credentials(user, password.trim_end_matches('\0'))));
    }
    match (text("username"), text("password")) {
        (Some(user), password) => Ok(Some(credentials(user, password.unwrap_or_default()))),
        _ => Ok(None),
    }
}

/// A user and a secret, as files and helpers give them: the user `<token>` marks a refresh token.
pub(super) fn credentials(user: &str, secret: &str) -> Credentials {
    if user == "<token>" {
        Credentials::RefreshToken(Secret::new(secret))
    } else {
        Credentials::Basic { user: user.to_owned(), password: Secret::new(secret) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> AuthFile {
        AuthFile::parse(text.as_bytes(), "test", false).unwrap()
    }

    fn basic(user: &str, password: &str) -> Credentials {
        Credentials::Basic { user: user.to_owned(), password: Secret::new(password) }
    }

    #[test]
    fn keys_go_from_the_repository_up_to_the_registry() {
        assert_eq!(AuthFile::keys("q.io", Some("a/b/c")), ["q.io/a/b/c", "q.io/a/b", "q.io/a", "q.io"]);
        assert_eq!(AuthFile::keys("q.io", Some("a")), ["q.io/a", "q.io"]);
        assert_eq!(AuthFile::keys("q.io", None), ["q.io"]);
    }

    #[test]
    fn the_most_specific_key_wins() {
        let file = file(r#"{"auths":{"q.io":{"auth":"YTpi"},"q.io/org":{"auth":"YzpkOmU="}}}"#);
        let found = file.entry("q.io", Some("org/image"), "test").unwrap().unwrap();
        assert_eq!(found, Entry { key: "q.io/org".to_owned(), credentials: Some(basic("c", "d:e")) });
        let found = file.entry("q.io", Some("other/image"), "test").unwrap().unwrap();
        assert_eq!(found.credentials, Some(basic("a", "b")));
        assert_eq!(file.entry("other.io", None, "test").unwrap(), None);
    }

    #[test]
    fn docker_hub_is_found_under_each_of_its_names() {
        for key in
            [HUB, "index.docker.io", "docker.io", "https://registry-1.docker.io/v2/", "http://docker.io"]
        {
            let file = file(&format!(r#"{{"auths":{{"{key}":{{"auth":"YTpi"}}}}}}"#));
            let found = file.entry("docker.io", Some("library/alpine"), "test").unwrap();
            assert_eq!(found.and_then(|entry| entry.credentials), Some(basic("a", "b")), "{key}");
        }
    }

    #[test]
    fn each_form_of_an_entry_is_read() {
        let cases = [
            (r#"{"auth":"YTpi"}"#, Some(basic("a", "b"))),
            (r#"{"auth":"YTpiAAA="}"#, Some(basic("a", "b"))),
            (r#"{"username":"a","password":"b"}"#, Some(basic("a", "b"))),
            (r#"{"auth":"YTpi","identitytoken":"t"}"#, Some(Credentials::RefreshToken(Secret::new("t")))),
            (r#"{"auth":"PHRva2VuPjp0"}"#, Some(Credentials::RefreshToken(Secret::new("t")))),
            (r#"{"registrytoken":"t"}"#, Some(Credentials::Bearer(Secret::new("t")))),
            ("{}", None),
            ("null", None),
        ];
        for (text, wanted) in cases {
            let file = file(&format!(r#"{{"auths":{{"q.io":{text}}}}}"#));
            assert_eq!(file.entry("q.io", None, "test").unwrap().unwrap().credentials, wanted, "{text}");
        }
    }

    #[test]
    fn a_broken_entry_is_an_error_that_shows_no_secret() {
        for text in [r#"{"auth":"s3cr3t!"}"#, r#"{"auth":"czNjcjN0"}"#, r#""s3cr3t""#] {
            let file = file(&format!(r#"{{"auths":{{"q.io":{text}}}}}"#));
            let error = file.entry("q.io", None, "the file").unwrap_err();
            assert_eq!(error.code(), "credential_source");
            assert!(
                error.to_string().contains("the file, key `q.io`") && !error.to_string().contains("cr3t")
            );
        }
        let error = AuthFile::parse(b"{\"auths\": s3cr3t", "the file", false).unwrap_err();
        assert!(!error.to_string().contains("s3cr3t"), "{error}");
    }

    #[test]
    fn what_is_not_ours_survives_an_update() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/config.json");
        let text = r#"{"HttpHeaders":{"b":1,"a":2},"auths":{"https://q.io/v1/":{"auth":"YTpi"},"z.io":{}},"detachKeys":"x"}"#;
        let mut file = file(text);
        file.put("q.io", &basic("new", "pw"));
        file.write(&path).unwrap();
        let read = AuthFile::read(&path).unwrap().unwrap();
        assert_eq!(read.entry("q.io", None, "test").unwrap().unwrap().key, "q.io");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("detachKeys") && text.find("\"b\"") < text.find("\"a\""), "{text}");
        assert!(!text.contains("https://q.io/v1/"), "{text}");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn helpers_are_named_for_one_registry_or_for_all() {
        let file = file(r#"{"credHelpers":{"https://q.io":"one","docker.io":"hub"},"credsStore":"all"}"#);
        assert_eq!(file.helper_for("q.io").as_deref(), Some("one"));
        assert_eq!(file.helper_for("docker.io").as_deref(), Some("hub"));
        assert_eq!(file.helper_for("z.io"), None);
        assert_eq!(file.store_helper().as_deref(), Some("all"));
    }
}
