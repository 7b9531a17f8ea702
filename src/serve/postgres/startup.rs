//! The start of a connection: who asks, by their key. The names of user and database choose nothing.

use std::collections::HashMap;
use std::fmt::Debug;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::sink::{Sink, SinkExt};
use pgwire::api::auth::{
    ServerParameterProvider, StartupHandler, finish_authentication, protocol_negotiation,
};
use pgwire::api::{ClientInfo, PgWireConnectionState};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::startup::{Authentication, PasswordMessageFamily, SecretKey, Startup};
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage, ProtocolVersion};
use rand::TryRngCore;
use rand::rngs::OsRng;

use super::errors::{engine_error, fatal, refused};
use super::scram::{Exchange, MECHANISM};
use super::session::{Session, Who};
use super::settings::Settings;
use crate::serve::access::{self, Door as Entry, Refusal};
use crate::serve::keys::{KeyInfo, Provable, Scope};
use crate::session::CATALOG;

/// Names that a client may give its database without naming a store.
const ANY_STORE: [&str; 2] = [CATALOG, "postgres"];
const NONCE_BYTES: usize = 18;
/// Secrets of protocol 3.0 have four bytes; newer clients take more.
const SECRET_BYTES: usize = 32;

/// How far a client has come in showing its key.
#[derive(Debug, Default)]
pub enum Handshake {
    #[default]
    Begun,
    /// The key is to come in the clear.
    Password {
        store: Option<String>,
    },
    /// The key is to be proved, salted so.
    Mechanism {
        store: Option<String>,
        salt: Vec<u8>,
    },
    Proof {
        store: Option<String>,
        exchange: Exchange,
    },
    Ended,
}

#[async_trait]
impl StartupHandler for Session {
    async fn on_startup<C>(&self, client: &mut C, message: PgWireFrontendMessage) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let handshake = std::mem::replace(&mut self.state().handshake, Handshake::Ended);
        match (handshake, message) {
            (Handshake::Begun, PgWireFrontendMessage::Startup(startup)) => self.begin(client, &startup).await,
            (Handshake::Password { store }, PgWireFrontendMessage::PasswordMessageFamily(message)) => {
                let secret = message.into_password()?.password;
                let key = match self.entry().await? {
                    Entry::Keys(keys) => keys.verify(&secret),
                    Entry::Open { .. } => None,
                };
                self.enter(client, key.ok_or_else(unknown_key)?, store).await
            }
            (Handshake::Mechanism { store, salt }, PgWireFrontendMessage::PasswordMessageFamily(message)) => {
                self.challenge(client, message, store, &salt).await
            }
            (Handshake::Proof { store, exchange }, PgWireFrontendMessage::PasswordMessageFamily(message)) => {
                self.check_proof(client, message, store, &exchange).await
            }
            _ => Err(fatal("08P01", "the message does not belong to a start-up")),
        }
    }
}

impl Session {
    /// Reads the keys that open the server now.
    async fn entry(&self) -> PgWireResult<Entry> {
        self.door.access.door().await.map_err(|cause| engine_error(&cause))
    }

    /// Reads the start-up message, and asks for the key where one is needed.
    async fn begin<C>(&self, client: &mut C, startup: &Startup) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        protocol_negotiation(client, startup).await?;
        if !self.has_place {
            return Err(fatal("53300", "too many connections at once: close one, or try again later"));
        }
        let parameter = |name: &str| startup.parameters.get(name).map_or("", String::as_str);
        if !matches!(parameter("replication"), "" | "false" | "off" | "no" | "0") {
            return Err(fatal("0A000", "replication is not supported"));
        }
        self.take_settings(startup)?;
        let database = parameter("database");
        let store = (!database.is_empty() && !ANY_STORE.contains(&database)).then(|| database.to_owned());
        client.set_state(PgWireConnectionState::AuthenticationInProgress);
        let keys = match self.entry().await? {
            Entry::Open { default_store } => {
                let store = store.unwrap_or_else(|| default_store.as_ref().to_owned());
                return self.admit_as(client, Who { store, key: None }).await;
            }
            Entry::Keys(keys) => keys,
        };
        // In the clear only where nobody can listen.
        let is_private = client.is_secure() || client.socket_addr().ip().is_loopback();
        let (handshake, request) = match keys.provable().map_err(|cause| engine_error(&cause))? {
            Provable::Some(_) | Provable::None if is_private => {
                (Handshake::Password { store }, Authentication::CleartextPassword)
            }
            Provable::All(salt) | Provable::Some(salt) => {
                let request = Authentication::SASL(vec![MECHANISM.to_owned()]);
                (Handshake::Mechanism { store, salt }, request)
            }
            Provable::None => {
                return Err(fatal(
                    "28000",
                    "these keys can be shown over TLS only: connect with TLS, or make a new key",
                ));
            }
        };
        self.state().handshake = handshake;
        client.send(PgWireBackendMessage::Authentication(request)).await?;
        Ok(())
    }

    /// Settings of the start-up message: by themselves, and in `options` as `-c name=value`.
    fn take_settings(&self, startup: &Startup) -> PgWireResult<()> {
        let mut state = self.state();
        let own = ["user", "database", "options", "replication"];
        for (name, value) in startup.parameters.iter().filter(|(name, _)| !own.contains(&name.as_str())) {
            state.settings.start(name, value)?;
        }
        let options = startup.parameters.get("options").map_or("", String::as_str);
        for option in options.split_whitespace().filter(|option| *option != "-c") {
            let option = option.strip_prefix("-c").or(option.strip_prefix("--")).unwrap_or(option);
            if let Some((name, value)) = option.split_once('=') {
                state.settings.start(name, value)?;
            }
        }
        Ok(())
    }

    /// Answers the client's first message of a proof.
    async fn challenge<C>(
        &self,
        client: &mut C,
        message: PasswordMessageFamily,
        store: Option<String>,
        salt: &[u8],
    ) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let message = message.into_sasl_initial_response()?;
        let nonce = STANDARD.encode(random::<NONCE_BYTES>()?);
        let exchange = Some(message)
            .filter(|message| message.auth_method == MECHANISM)
            .and_then(|message| Exchange::begin(message.data.as_deref()?, salt, &nonce))
            .ok_or_else(|| fatal("08P01", "the first message of SCRAM-SHA-256 is damaged"))?;
        let answer = Authentication::SASLContinue(exchange.server_first.clone().into());
        self.state().handshake = Handshake::Proof { store, exchange };
        client.send(PgWireBackendMessage::Authentication(answer)).await?;
        Ok(())
    }

    async fn check_proof<C>(
        &self,
        client: &mut C,
        message: PasswordMessageFamily,
        store: Option<String>,
        exchange: &Exchange,
    ) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let message = message.into_sasl_response()?;
        let proof = exchange
            .finish(&message.data)
            .ok_or_else(|| fatal("08P01", "the last message of SCRAM-SHA-256 is damaged"))?;
        let found = match self.entry().await? {
            Entry::Keys(keys) => keys.verify_proof(proof.messages.as_bytes(), &proof.proof),
            Entry::Open { .. } => None,
        };
        let (key, signature) = found.ok_or_else(unknown_key)?;
        let answer = Authentication::SASLFinal(format!("v={}", STANDARD.encode(signature)).into());
        client.feed(PgWireBackendMessage::Authentication(answer)).await?;
        self.enter(client, key, store).await
    }

    /// Lets a key in that may query the store which the client names, where it names one.
    async fn enter<C>(&self, client: &mut C, key: KeyInfo, store: Option<String>) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        access::check(&key, store.as_deref(), Scope::Query)
            .and_then(|()| self.door.access.check_connections(&self.connection, &key.id))
            .map_err(|refusal| refusal_of(&refusal))?;
        self.admit_as(client, Who { store: key.store, key: Some(key.id) }).await
    }

    async fn admit_as<C>(&self, client: &mut C, who: Who) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let process = i32::from_be_bytes(random()?) & i32::MAX;
        let secret = match client.protocol_version() {
            ProtocolVersion::PROTOCOL3_0 => SecretKey::I32(i32::from_be_bytes(random()?)),
            _ => SecretKey::Bytes(random::<SECRET_BYTES>()?.to_vec().into()),
        };
        client.set_pid_and_secret_key(process, secret.clone());
        let parameters = {
            let mut state = self.state();
            state.cancel = Some(self.door.running.register(process, secret));
            state.who = Some(who);
            Parameters::of(&state.settings)
        };
        finish_authentication(client, &parameters).await
    }
}

fn unknown_key() -> PgWireError {
    refusal_of(&Refusal::UnknownKey)
}

fn refusal_of(refusal: &Refusal) -> PgWireError {
    let (code, message) = refused(refusal);
    fatal(code, message)
}

fn random<const BYTES: usize>() -> PgWireResult<[u8; BYTES]> {
    let mut bytes = [0; BYTES];
    OsRng.try_fill_bytes(&mut bytes).map_err(|_| fatal("58000", "the system gives no random bytes"))?;
    Ok(bytes)
}

/// What a client is told of the server when it is let in.
struct Parameters(HashMap<String, String>);

impl Parameters {
    fn of(settings: &Settings) -> Self {
        let mut told: HashMap<String, String> = settings.reported().into_iter().collect();
        told.insert("session_authorization".to_owned(), CATALOG.to_owned());
        Self(told)
    }
}

impl ServerParameterProvider for Parameters {
    fn server_parameters<C: ClientInfo>(&self, _: &C) -> Option<HashMap<String, String>> {
        Some(self.0.clone())
    }
}
