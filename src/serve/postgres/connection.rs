//! One connection: its messages, one after the other, and what may interrupt them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures::SinkExt;
use pgwire::api::cancel::{CancelHandler, DefaultCancelHandler};
use pgwire::api::store::PortalStore;
use pgwire::api::{ClientInfo, ClientPortalStore, NoopHandler, PgWireConnectionState};
use pgwire::error::{ErrorInfo, PgWireError};
use pgwire::messages::response::ReadyForQuery;
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use pgwire::tokio::TlsAcceptor;
use pgwire::tokio::server::{MaybeTls, PgWireMessageServerCodec, negotiate_tls, process_message};
use tokio::io::{AsyncReadExt as _, Interest};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::codec::{Decoder as _, Framed};

use super::door::{Door, stopped};
use super::errors::{error, fatal};
use super::extended::{Prepared, Speaker};
use super::frames::Frame;
use super::session::Session;
use crate::serve::connections::Connection;

/// How often a client whose statement runs is looked at: one that has gone wants no answer.
const GONE_INTERVAL: Duration = Duration::from_secs(1);
/// The most that is read of a client at once.
const READ_BYTES: usize = 8 << 10;

type Socket = Framed<MaybeTls, PgWireMessageServerCodec<Prepared>>;

/// Speaks with one client until one of both ends it.
pub async fn serve_connection(
    door: Arc<Door>,
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    entered: Arc<Connection>,
    has_place: bool,
    mut stopping: watch::Receiver<bool>,
) -> io::Result<()> {
    let deadline = Instant::now() + door.limits.startup;
    let presence = Presence::of(&stream)?;
    let negotiated = tokio::time::timeout_at(deadline, negotiate_tls(stream, tls)).await;
    let Ok(Some(mut socket)) = negotiated.unwrap_or(Ok(None)) else { return Ok(()) };
    if socket.is_secure() && !socket.read_buffer().is_empty() {
        // Sent before the encryption began: whoever sits in between may have put it there.
        return Ok(());
    }
    let session = Arc::new(Session::new(door.clone(), entered, has_place));
    let speaker = Arc::new(Speaker(session.clone()));
    loop {
        let message = tokio::select! {
            biased;
            message = next_message(&mut socket, door.limits.message_bytes) => message,
            () = tokio::time::sleep_until(deadline), if !session.is_admitted() => return Ok(()),
            () = tokio::time::sleep(door.limits.idle_portals), if session.holds_rows() => {
                socket.portal_store().clear_portals();
                session.forget_rows();
                continue;
            }
            () = stopped(&mut stopping) => Some(Err(fatal("57P01", "the server is stopping"))),
        };
        let is_cancel = matches!(message, Some(Ok(PgWireFrontendMessage::CancelRequest(_))));
        let message = match message {
            // Clients cancel in the clear: what they show is good for that alone.
            Some(Ok(_)) if door.needs_tls && !socket.is_secure() && !is_cancel => {
                let message = "this server takes encrypted connections only: connect with sslmode=require";
                Some(Err(fatal("28000", message)))
            }
            message => message,
        };
        let message = match message {
            None | Some(Ok(PgWireFrontendMessage::Terminate(_))) => break,
            Some(Ok(PgWireFrontendMessage::CancelRequest(request))) => {
                DefaultCancelHandler::new(door.running.clone()).on_cancel_request(request).await;
                break;
            }
            Some(Ok(message)) => message,
            Some(Err(PgWireError::IoError(error))) => return Err(error),
            Some(Err(error)) => {
                send_error(&mut socket, error).await?;
                break;
            }
        };
        let is_extended = message.is_extended_query();
        let cancelled = session.cancelled().await;
        let outcome = tokio::select! {
            biased;
            outcome = process_message(
                message,
                &mut socket,
                session.clone(),
                session.clone(),
                speaker.clone(),
                Arc::new(NoopHandler),
                Arc::new(NoopHandler),
            ) => outcome,
            () = cancelled => Err(error("57014", "the statement was cancelled by its user")),
            () = presence.ended() => break,
        };
        if let Err(error) = outcome
            && !answer_error(&mut socket, &session, error, is_extended).await?
        {
            break;
        }
    }
    socket.close().await
}

/// The next message; an error if it is too long, which is told as soon as it says so, or is not what it says.
async fn next_message(
    socket: &mut Socket,
    most_bytes: usize,
) -> Option<Result<PgWireFrontendMessage, PgWireError>> {
    loop {
        match next_of_buffer(socket, most_bytes) {
            Ok(None) => {}
            message => return message.transpose(),
        }
        let mut read = BytesMut::with_capacity(READ_BYTES);
        match socket.get_mut().read_buf(&mut read).await {
            Ok(0) if socket.read_buffer().is_empty() => return None,
            Ok(0) => return Some(Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())),
            Ok(_) => socket.read_buffer_mut().extend_from_slice(&read),
            Err(error) => return Some(Err(error.into())),
        }
    }
}

/// The next message of what was read; `None` if it is not whole.
fn next_of_buffer(
    socket: &mut Socket,
    most_bytes: usize,
) -> Result<Option<PgWireFrontendMessage>, PgWireError> {
    let too_long = || fatal("54000", format!("a message has at most {most_bytes} bytes"));
    // A start-up message has no kind, and the library takes no long one.
    if !matches!(socket.state(), PgWireConnectionState::AwaitingStartup) {
        match Frame::of(socket.read_buffer()) {
            Frame::Announced(bytes) if bytes > most_bytes => return Err(too_long()),
            Frame::Unknown | Frame::Announced(_) => return Ok(None),
            Frame::Broken => return Err(fatal("08P01", "a message is not what its length says")),
            Frame::Whole => {}
        }
    }
    let mut buffer = std::mem::take(socket.read_buffer_mut());
    let message = socket.codec_mut().decode(&mut buffer);
    *socket.read_buffer_mut() = buffer;
    message
}

/// Tells an error; false where it ends the connection.
async fn answer_error(
    socket: &mut Socket,
    session: &Session,
    error: PgWireError,
    is_extended: bool,
) -> io::Result<bool> {
    let is_fatal = send_error(socket, error).await?;
    // Nobody who was not let in goes on, whatever went wrong.
    if is_fatal || !session.is_admitted() {
        return Ok(false);
    }
    let status = socket.transaction_status().to_error_state();
    socket.set_transaction_status(status);
    socket.portal_store().clear_portals();
    session.forget_rows();
    if is_extended {
        socket.set_state(PgWireConnectionState::AwaitingSync);
    } else {
        socket.set_state(PgWireConnectionState::ReadyForQuery);
        socket.feed(PgWireBackendMessage::ReadyForQuery(ReadyForQuery::new(status))).await?;
    }
    socket.flush().await?;
    Ok(true)
}

async fn send_error(socket: &mut Socket, error: PgWireError) -> io::Result<bool> {
    let info = known(error);
    let is_fatal = info.is_fatal();
    socket.send(PgWireBackendMessage::ErrorResponse(info.into())).await?;
    Ok(is_fatal)
}

/// What the library has to say is said; what it met inside stays in the log.
fn known(error: PgWireError) -> ErrorInfo {
    match error {
        PgWireError::UserError(info) => *info,
        PgWireError::ApiError(cause) => {
            tracing::error!(error = %cause, "a Postgres request failed");
            let message = "a fault of the engine; its log has the details";
            ErrorInfo::new("ERROR".to_owned(), "XX000".to_owned(), message.to_owned())
        }
        other => other.into(),
    }
}

/// Whether a client is still there, asked beside the connection that is being written to.
#[cfg(unix)]
struct Presence(TcpStream);

#[cfg(unix)]
impl Presence {
    fn of(stream: &TcpStream) -> io::Result<Self> {
        use std::os::fd::AsFd as _;
        // The same open socket by another name, to be watched by itself.
        TcpStream::from_std(stream.as_fd().try_clone_to_owned()?.into()).map(Self)
    }

    /// Completes when the client has closed its end, also behind messages that nobody has read yet.
    async fn ended(&self) {
        while let Ok(ready) = self.0.ready(Interest::READABLE).await {
            if ready.is_read_closed() {
                return;
            }
            tokio::time::sleep(GONE_INTERVAL).await;
        }
    }
}

#[cfg(not(unix))]
struct Presence;

#[cfg(not(unix))]
impl Presence {
    fn of(_: &TcpStream) -> io::Result<Self> {
        Ok(Self)
    }

    async fn ended(&self) {
        std::future::pending().await
    }
}
