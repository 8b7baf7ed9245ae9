//! Technicians by the identity provider: the device-code flow (RFC 8628), and the ID token that comes of it (`OpenID` Connect Core).
//!
//! The server goes the whole way itself, so that codes and tokens of the provider never leave it: the command line shows a link and a code, and is
//! given a session. The provider's description and keys are read anew for each login, so that keys that were changed there are known here.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use futures_util::StreamExt;
use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreClaimName, CoreClaimType, CoreClientAuthMethod,
    CoreDeviceAuthorizationResponse, CoreErrorResponseType, CoreGenderClaim, CoreGrantType, CoreJsonWebKey,
    CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm, CoreJwsSigningAlgorithm, CoreResponseMode,
    CoreResponseType, CoreRevocableToken, CoreRevocationErrorResponse, CoreSubjectIdentifierType,
    CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::{
    AdditionalClaims, AdditionalProviderMetadata, AuthType, ClientId, ClientSecret, DeviceAuthorizationUrl,
    EmptyExtraTokenFields, HttpRequest, HttpResponse, IdTokenFields, IssuerUrl, Nonce, OAuth2TokenResponse,
    ProviderMetadata, RefreshToken, RequestTokenError, Scope, StandardErrorResponse, StandardTokenResponse,
    TokenResponse as _,
};
use reqwest::{Client as Web, redirect};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tokio::sync::{Semaphore, mpsc};
use url::{Host, Url};

use crate::config::Oidc;
use crate::store::Role;

/// Logins that wait for their person at the same time.
const LOGINS_MAX: usize = 32;

/// How long one waits at most, whatever the provider says.
const LOGIN_TIME: Duration = Duration::from_mins(15);

/// Longest rest between two questions to the provider.
const REST_MAX: Duration = Duration::from_mins(1);

/// Time to connect, and for one answer.
const CONNECT_TIME: Duration = Duration::from_secs(10);
const ANSWER_TIME: Duration = Duration::from_secs(20);

/// Largest answer that is read.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Longest name that is taken.
const NAME_CHARS_MAX: usize = 64;

/// Where the provider begins the flow, beside what every provider tells of itself.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct DeviceEndpoint {
    device_authorization_endpoint: DeviceAuthorizationUrl,
}

impl AdditionalProviderMetadata for DeviceEndpoint {}

/// Claims beside the standard ones.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct Claims(HashMap<String, Json>);

impl AdditionalClaims for Claims {}

type Metadata = ProviderMetadata<
    DeviceEndpoint,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

type Tokens = StandardTokenResponse<
    IdTokenFields<
        Claims,
        EmptyExtraTokenFields,
        CoreGenderClaim,
        CoreJweContentEncryptionAlgorithm,
        CoreJwsSigningAlgorithm,
    >,
    CoreTokenType,
>;

type Client<A, D, I, R, T, U> = openidconnect::Client<
    Claims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    Tokens,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    A,
    D,
    I,
    R,
    T,
    U,
>;

type Known = Client<
    openidconnect::EndpointSet,
    openidconnect::EndpointSet,
    openidconnect::EndpointNotSet,
    openidconnect::EndpointNotSet,
    openidconnect::EndpointMaybeSet,
    openidconnect::EndpointMaybeSet,
>;

/// The algorithms by which an ID token may be signed: those with a key pair. Why not the rest: "none" is no signature, and a shared secret signs
/// for whoever holds it.
const SIGNED_BY: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

/// The identity provider of a configuration; cheap to clone.
#[derive(Clone)]
pub struct Provider {
    config: Arc<Oidc>,
    secret: Option<ClientSecret>,
    web: Web,
    turns: Arc<Semaphore>,
}

/// A login that waits for its person.
pub struct Login {
    /// Where the person goes.
    pub link: String,
    /// The same with the code in it, where the provider has that.
    pub whole_link: Option<String>,
    /// What they type there.
    pub code: String,
    /// Seconds until it is over.
    pub expires_s: u64,
    details: CoreDeviceAuthorizationResponse,
    client: Known,
    _turn: tokio::sync::OwnedSemaphorePermit,
}

/// Who came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// "issuer subject".
    pub subject: String,
    /// Their name.
    pub name: String,
    /// By group.
    pub role: Role,
}

/// Why a session is not gone on with.
#[derive(Debug)]
pub enum Refused {
    /// The provider says no, or another than before.
    Over(String),
    /// It could not be asked.
    Unasked(anyhow::Error),
}

impl Provider {
    /// For a configuration.
    pub fn new(config: Oidc) -> Result<Self> {
        let secret = match &config.client_secret_file {
            Some(path) => {
                let text = std::fs::read_to_string(path).with_context(|| format!("oidc: {}", path.display()))?;
                Some(ClientSecret::new(text.trim().to_owned()))
            }
            None => None,
        };
        rustls::crypto::ring::default_provider().install_default().ok();
        let builder = Web::builder()
            .user_agent(concat!("deskside-server/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIME)
            .timeout(ANSWER_TIME);
        let builder = match &config.ca_file {
            Some(path) => {
                let pem = std::fs::read(path).with_context(|| format!("oidc: {}", path.display()))?;
                builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(&pem)?)
            }
            // A machine without system certificates can still speak to its own loopback.
            None if config.issuer.starts_with("http://") => builder.tls_certs_only([]),
            None => builder,
        };
        let web = builder.build().context("oidc: the HTTP client")?;
        Ok(Self { config: Arc::new(config), secret, web, turns: Arc::new(Semaphore::new(LOGINS_MAX)) })
    }

    /// How long a session is good before the provider is asked again.
    pub fn session_ms(&self) -> i64 {
        i64::from(self.config.session_minutes) * 60_000
    }

    /// Begins a login.
    pub async fn begin(&self) -> Result<Login> {
        let turn = Arc::clone(&self.turns).try_acquire_owned();
        let turn =
            turn.map_err(|_full| anyhow!("{LOGINS_MAX} people are logging in right now; try again in a while"))?;
        let client = self.client().await?;
        let http = |request| answered(self.web.clone(), request);
        let scopes = self.config.scopes.iter().map(|scope| Scope::new(scope.clone()));
        let details: CoreDeviceAuthorizationResponse = client
            .exchange_device_code()
            .add_scopes(scopes)
            .request_async(&http)
            .await
            .map_err(|error| anyhow!("the identity provider gives no code: {}", told(&error)))?;
        let link = details.verification_uri().to_string();
        ensure!(is_safe(&link), "the identity provider's link {link:?} is not encrypted");
        Ok(Login {
            link,
            whole_link: details
                .verification_uri_complete()
                .map(|link| link.secret().clone())
                .filter(|link| is_safe(link)),
            code: details.user_code().secret().clone(),
            expires_s: details.expires_in().as_secs().min(LOGIN_TIME.as_secs()),
            details,
            client,
            _turn: turn,
        })
    }

    /// Waits until the person has agreed there. Who it is, and what the session is renewed with, where the provider gives that.
    pub async fn wait(&self, login: Login) -> Result<(Person, Option<String>)> {
        // Why apart: the flow takes every answer that did not come for a line that will be better soon, and asks on until its time is over.
        let (wrong, mut gone_wrong) = mpsc::channel(1);
        let http = |request| {
            let (web, wrong) = (self.web.clone(), wrong.clone());
            async move {
                let answer = answered(web, request).await;
                if let Err(Unanswered::Wrong(why)) = &answer {
                    // One is enough.
                    wrong.try_send(why.clone()).ok();
                }
                answer
            }
        };
        let asked = login
            .client
            .exchange_device_access_token(&login.details)?
            .set_max_backoff_interval(REST_MAX)
            .request_async(&http, tokio::time::sleep, Some(Duration::from_secs(login.expires_s)));
        let tokens = tokio::select! {
            tokens = tokio::time::timeout(LOGIN_TIME, asked) => tokens.context("nobody agreed in time")?,
            Some(why) = gone_wrong.recv() => bail!("the identity provider lets nobody in: {why}"),
        };
        let tokens = tokens.map_err(|error| anyhow!("the identity provider lets nobody in: {}", told(&error)))?;
        let person = self.person(&login.client, &tokens)?;
        Ok((person, tokens.refresh_token().map(|token| token.secret().clone())))
    }

    /// Asks whether a session goes on. Who it is now, where the provider says it again, and what it is renewed with next.
    pub async fn renew(&self, refresh: &str, subject: &str) -> Result<(Option<Person>, String), Refused> {
        let client = self.client().await.map_err(Refused::Unasked)?;
        let http = |request| answered(self.web.clone(), request);
        let refresh = RefreshToken::new(refresh.to_owned());
        let request = client.exchange_refresh_token(&refresh).map_err(|error| Refused::Unasked(error.into()))?;
        let tokens = match request.request_async(&http).await {
            Ok(tokens) => tokens,
            Err(RequestTokenError::ServerResponse(said)) => return Err(Refused::Over(said.to_string())),
            Err(error) => return Err(Refused::Unasked(anyhow!(told(&error)))),
        };
        let next = tokens.refresh_token().unwrap_or(&refresh).secret().clone();
        if tokens.id_token().is_none() {
            return Ok((None, next));
        }
        let person = self.person(&client, &tokens).map_err(|error| Refused::Over(format!("{error:#}")))?;
        if person.subject != subject {
            return Err(Refused::Over("the identity provider answered for somebody else".into()));
        }
        Ok((Some(person), next))
    }

    async fn client(&self) -> Result<Known> {
        let http = |request| answered(self.web.clone(), request);
        let issuer = IssuerUrl::new(self.config.issuer.clone())?;
        let metadata = Metadata::discover_async(issuer, &http).await.map_err(|error| {
            anyhow!("the identity provider {} does not describe itself: {}", self.config.issuer, told(&error))
        })?;
        let device = metadata.additional_metadata().device_authorization_endpoint.clone();
        let client = ClientId::new(self.config.client_id.clone());
        let kind = if self.secret.is_some() { AuthType::BasicAuth } else { AuthType::RequestBody };
        let client = openidconnect::Client::from_provider_metadata(metadata, client, self.secret.clone());
        Ok(client.set_device_authorization_url(device).set_auth_type(kind))
    }

    /// The person of an ID token whose signature, issuer, audience and times were checked.
    fn person(&self, client: &Known, tokens: &Tokens) -> Result<Person> {
        let token =
            tokens.id_token().context("the identity provider gave no ID token; is \"openid\" among its scopes?")?;
        let verifier = client.id_token_verifier().set_allowed_algs(SIGNED_BY);
        // Why none: this flow sends no nonce, and a token that has one was made for another.
        let nonce = |nonce: Option<&Nonce>| match nonce {
            None => Ok(()),
            Some(_foreign) => Err("it has a nonce that was not asked for".to_owned()),
        };
        let claims = token.claims(&verifier, nonce).context("the ID token is not to be trusted")?;
        let more = &claims.additional_claims().0;
        let standard = serde_json::to_value(claims)?;
        let claim = |name: &str| more.get(name).or_else(|| standard.get(name)).cloned();
        let name = claim(&self.config.name_claim).and_then(|name| name.as_str().map(str::to_owned));
        let name = name.with_context(|| format!("the ID token has no {}", self.config.name_claim))?;
        let is_name = !name.trim().is_empty() && name.chars().count() <= NAME_CHARS_MAX;
        ensure!(is_name && !name.contains(char::is_control), "the ID token's {} is no name", self.config.name_claim);
        let groups = claim(&self.config.groups_claim).unwrap_or_default();
        let Some(role) = role(&groups, &self.config.roles) else {
            bail!("{name} is in no group that has a role here; an administrator gives one in [oidc] roles");
        };
        let subject = format!("{} {}", claims.issuer().as_str(), claims.subject().as_str());
        Ok(Person { subject, name, role })
    }
}

/// The highest role of these groups: a list, or a single one.
fn role(groups: &Json, roles: &BTreeMap<String, String>) -> Option<Role> {
    let single = groups.as_str().into_iter();
    let listed = groups.as_array().into_iter().flatten().filter_map(Json::as_str);
    single.chain(listed).filter_map(|group| roles.get(group)?.parse().ok()).max()
}

/// Encrypted, or to this machine itself.
fn is_safe(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| match (url.scheme(), url.host()) {
        ("https", Some(_host)) => true,
        ("http", Some(Host::Ipv4(address))) => address.is_loopback(),
        ("http", Some(Host::Ipv6(address))) => address.is_loopback(),
        _ => false,
    })
}

/// Why a request had no answer.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    /// The line is at fault, or who is at its other end.
    #[error("{0}")]
    Line(String),
    /// There is an answer, and it is none that may be taken.
    #[error("{0}")]
    Wrong(String),
}

/// One request, its answer read whole within its bounds.
async fn answered(web: Web, request: HttpRequest) -> Result<HttpResponse, Unanswered> {
    let (parts, body) = request.into_parts();
    let url = parts.uri.to_string();
    if !is_safe(&url) {
        return Err(Unanswered::Wrong(format!("{url} is not encrypted")));
    }
    let failed =
        |error: reqwest::Error| Unanswered::Line(format!("{url}: {:#}", anyhow::Error::from(error.without_url())));
    let sent = web.request(parts.method, &url).headers(parts.headers).body(body).send().await.map_err(failed)?;
    let mut answer = openidconnect::http::Response::builder().status(sent.status());
    if let Some(headers) = answer.headers_mut() {
        *headers = sent.headers().clone();
    }
    let (mut pieces, mut read) = (sent.bytes_stream(), Vec::new());
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(failed)?;
        if read.len() + piece.len() > ANSWER_BYTES_MAX {
            return Err(Unanswered::Wrong(format!("{url} answers with more than {ANSWER_BYTES_MAX} bytes")));
        }
        read.extend_from_slice(&piece);
    }
    answer.body(read).map_err(|error| Unanswered::Wrong(error.to_string()))
}

/// An error with its causes.
fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_highest_role_of_all_groups_counts() {
        let roles = BTreeMap::from(
            [("l1", "viewer"), ("l2", "technician")].map(|(group, role)| (group.to_owned(), role.to_owned())),
        );
        assert_eq!(role(&json!(["l1", "canteen", "l2"]), &roles), Some(Role::Technician));
        assert_eq!(role(&json!("l1"), &roles), Some(Role::Viewer));
        assert_eq!(role(&json!(["canteen", 7]), &roles), None);
        assert_eq!(role(&Json::Null, &roles), None);
    }

    #[test]
    fn what_is_not_encrypted_is_asked_of_this_machine_alone() {
        for (url, safe) in [
            ("https://id.example/", true),
            ("http://127.0.0.1:1/", true),
            ("http://[::1]:1/", true),
            ("http://id.example/", false),
            ("http://localhost/", false),
            ("ftp://127.0.0.1/", false),
            ("file:///etc/passwd", false),
        ] {
            assert_eq!(is_safe(url), safe, "{url}");
        }
    }
}
