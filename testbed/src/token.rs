//! A token server as registries know it: `GET` by the distribution specification's token scheme, `POST` by OAuth2.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{CertificateParams, DnType, KeyPair};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::{Value, json};

use crate::registry::TokenAuth;
use crate::server::{After, Request, Response, Server, lock};

/// `docker-registry` accepts a token until this long after its `exp`. Ours are dated back by as much, so that one
/// of two seconds is dead after two seconds.
const LEEWAY: u64 = 60;

/// How tokens are handed out.
#[derive(Debug, Clone)]
pub struct Options {
    /// Users and passwords.
    pub users: Vec<(String, String)>,
    /// Whether nobody in particular may pull.
    pub anonymous: bool,
    /// How long the registry accepts a token.
    pub lives: Duration,
    /// What `expires_in` says; absent when `None`. It may differ from [`Options::lives`]: clocks and servers do.
    pub says: Option<Duration>,
    /// The name of the member that holds the token: `token`, `access_token` or both.
    pub member: Member,
    /// Whether `POST` works (some servers answer it with 404, which clients must survive).
    pub oauth2: bool,
}

/// How the answer names its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Member {
    /// `token`.
    Token,
    /// `access_token`.
    AccessToken,
    /// Both, with the same value.
    Both,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            users: vec![("ship".into(), "wright".into())],
            anonymous: false,
            lives: Duration::from_secs(300),
            says: Some(Duration::from_secs(300)),
            member: Member::Both,
            oauth2: true,
        }
    }
}

/// One request to the token server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// `GET` or `POST`.
    pub method: String,
    /// The user, when somebody proved to be one.
    pub user: Option<String>,
    /// Every scope asked for.
    pub scopes: Vec<String>,
    /// The grant type of a `POST`.
    pub grant: Option<String>,
    /// The status of the answer.
    pub status: u16,
}

/// A running token server.
#[derive(Debug)]
pub struct TokenServer {
    server: Server,
    certificate: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

const SERVICE: &str = "testbed-registry";
const ISSUER: &str = "testbed-issuer";

struct Signer {
    key: EcdsaKeyPair,
    chain: String,
}

impl TokenServer {
    /// Starts one.
    ///
    /// # Panics
    /// When no port or key can be had.
    pub fn start(options: Options) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Wharfie test tokens");
        let certificate = params.self_signed(&key).expect("a certificate");
        let signer = Signer {
            key: EcdsaKeyPair::from_pkcs8(
                &ECDSA_P256_SHA256_FIXED_SIGNING,
                &key.serialize_der(),
                &SystemRandom::new(),
            )
            .expect("the key that was just made"),
            chain: STANDARD.encode(certificate.der()),
        };
        let asked = Arc::new(Mutex::new(Vec::new()));
        let refresh: Mutex<BTreeMap<String, String>> = Mutex::default();
        let server = Server::start({
            let asked = Arc::clone(&asked);
            move |request, stream| {
                let (response, entry) = answer(&options, &signer, &refresh, request);
                lock(&asked).push(entry);
                response.send(request, stream)?;
                Ok(After::Keep)
            }
        });
        Self { server, certificate: certificate.pem(), asked }
    }

    /// What the registry needs to accept its tokens.
    pub fn auth(&self) -> TokenAuth {
        TokenAuth {
            realm: format!("http://{}/token", self.server.address()),
            service: SERVICE.into(),
            issuer: ISSUER.into(),
            certificates: self.certificate.clone(),
        }
    }

    /// Every request so far, in order.
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.asked).clone()
    }
}

fn basic(request: &Request) -> Option<(String, String)> {
    let value = request.header("authorization")?.strip_prefix("Basic ")?;
    let text = String::from_utf8(STANDARD.decode(value).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.into(), password.into()))
}

fn answer(
    options: &Options,
    signer: &Signer,
    refresh: &Mutex<BTreeMap<String, String>>,
    request: &Request,
) -> (Response, Asked) {
    let post = request.method == "POST";
    let one = |name: &str| if post { request.form(name).pop() } else { request.query(name).pop() };
    let scopes: Vec<String> = if post { request.form("scope") } else { request.query("scope") }
        .iter()
        .flat_map(|scope| scope.split(' ').map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let grant = if post { one("grant_type") } else { None };
    let mut entry = Asked {
        method: request.method.clone(),
        user: None,
        scopes: scopes.clone(),
        grant: grant.clone(),
        status: 0,
    };
    let refuse = |status: u16, code: &str, entry: &mut Asked| {
        entry.status = status;
        Response::new(status).error(code, "no token for you")
    };
    if post && !options.oauth2 {
        return (refuse(404, "UNSUPPORTED", &mut entry), entry);
    }
    let claimed = match grant.as_deref() {
        Some("refresh_token") => {
            let found = one("refresh_token").and_then(|token| lock(refresh).get(&token).cloned());
            if found.is_none() {
                return (refuse(401, "UNAUTHORIZED", &mut entry), entry);
            }
            entry.user = found;
            None
        }
        Some("password") => one("username").zip(one("password")),
        _ => basic(request),
    };
    if let Some(pair) = claimed {
        if !options.users.contains(&pair) {
            return (refuse(401, "UNAUTHORIZED", &mut entry), entry);
        }
        entry.user = Some(pair.0);
    }
    if entry.user.is_none() && !options.anonymous {
        return (refuse(401, "UNAUTHORIZED", &mut entry), entry);
    }
    if one("service").is_some_and(|service| service != SERVICE) {
        return (refuse(400, "UNSUPPORTED", &mut entry), entry);
    }
    let token = token(options, signer, entry.user.as_deref(), &scopes);
    let mut body = json!({});
    if options.member != Member::AccessToken {
        body["token"] = Value::from(token.clone());
    }
    if options.member != Member::Token || post {
        body["access_token"] = Value::from(token);
    }
    if let Some(says) = options.says {
        body["expires_in"] = Value::from(says.as_secs());
    }
    let offline = one("offline_token").is_some_and(|value| value == "true")
        || one("access_type").is_some_and(|value| value == "offline");
    if let (true, Some(user)) = (offline && options.oauth2, &entry.user) {
        let mut issued = lock(refresh);
        let secret = format!("refresh-{user}-{}", issued.len());
        issued.insert(secret.clone(), user.clone());
        body["refresh_token"] = Value::from(secret);
    }
    entry.status = 200;
    (Response::new(200).body("application/json", body.to_string()), entry)
}

fn token(options: &Options, signer: &Signer, user: Option<&str>, scopes: &[String]) -> String {
    let access: Vec<Value> = scopes
        .iter()
        .filter_map(|scope| {
            let (kind, rest) = scope.split_once(':')?;
            let (name, actions) = rest.rsplit_once(':')?;
            // Nobody in particular may only pull.
            let actions: Vec<&str> =
                actions.split(',').filter(|action| user.is_some() || *action == "pull").collect();
            Some(json!({"actions": actions, "name": name, "type": kind}))
        })
        .collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let claims = json!({
        "access": access,
        "aud": SERVICE,
        "exp": now + options.lives.as_secs() - LEEWAY,
        "iat": now - 2 * LEEWAY,
        "iss": ISSUER,
        "jti": format!("{now}-{}", scopes.len()),
        "nbf": now - 2 * LEEWAY,
        "sub": user.unwrap_or_default(),
    });
    let header = json!({"alg": "ES256", "typ": "JWT", "x5c": [signer.chain]});
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header.to_string()),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    let signature = signer.key.sign(&SystemRandom::new(), signed.as_bytes()).expect("a signature");
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}
