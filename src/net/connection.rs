//! One connection of a peer: bytes in plain or through TLS, and who is there.
//!
//! A session is led on it by [`drive`](crate::net::drive); whoever speaks another way, such as a web server, takes its
//! [`Stream`] and reads and writes. Knows nothing of what is said.

use crate::net::driver::Patience;
use crate::net::tls::Tls;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use stoa_session::TlsFacts;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

/// One connection of a peer, and whether it may begin or has begun TLS.
#[derive(Debug)]
pub struct Connection {
    /// The bytes.
    pub stream: Stream,
    /// Who is there.
    pub peer: SocketAddr,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) facts: Option<TlsFacts>,
}

impl Connection {
    /// In plain, with what STARTTLS would need if that is offered.
    pub fn plain(stream: TcpStream, peer: SocketAddr, starttls: Option<Arc<Tls>>) -> Connection {
        Connection { stream: Stream::Plain(stream), peer, tls: starttls, facts: None }
    }

    /// With TLS from the first byte; shakes hands now.
    pub async fn tls(stream: TcpStream, peer: SocketAddr, tls: &Tls, patience: Patience) -> io::Result<Connection> {
        let (stream, facts) = shake_hands(stream, tls, patience).await?;
        Ok(Connection { stream: Stream::Tls(Box::new(stream)), peer, tls: None, facts: Some(facts) })
    }

    /// What is known of its TLS, if it began with TLS.
    pub fn tls_facts(&self) -> Option<&TlsFacts> {
        self.facts.as_ref()
    }
}

/// Shakes hands as the server, within the patience for it.
pub(super) async fn shake_hands(stream: TcpStream, tls: &Tls, patience: Patience) -> io::Result<(TlsStream<TcpStream>, TlsFacts)> {
    timeout(patience.handshake, tls.accept(stream)).await.unwrap_or_else(|late| Err(late.into()))
}

/// Bytes of a peer, in plain or not.
#[derive(Debug)]
pub enum Stream {
    /// As they are.
    Plain(TcpStream),
    /// Through TLS.
    Tls(Box<TlsStream<TcpStream>>),
    /// Nothing more: the handshake that would have led from plain to TLS failed.
    Gone,
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Gone => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Gone => Poll::Ready(Err(ErrorKind::NotConnected.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
            Stream::Gone => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Gone => Poll::Ready(Ok(())),
        }
    }
}
