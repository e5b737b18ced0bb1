//! The few requests we make over HTTP: an inspector's list of targets, and Lodestar's REST address.

use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// An answer longer than this is none of those we ask for.
const LONGEST_ANSWER: usize = 4 << 20;

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// Nobody listens, or the network is down.
    #[error("can't connect to {address}: {error}")]
    Connect {
        /// Host and port.
        address: String,
        /// What the system says.
        #[source]
        error: std::io::Error,
    },
    /// The other side doesn't speak HTTP, or hung up.
    #[error("{address} doesn't answer in HTTP: {reason}")]
    Protocol {
        /// Host and port.
        address: String,
        /// What hyper says.
        reason: String,
    },
    /// No answer in time.
    #[error("{address} did not answer within {} s", patience.as_secs())]
    Timeout {
        /// Host and port.
        address: String,
        /// How long we waited.
        patience: Duration,
    },
}

/// Sends one request without a body on a connection of its own and reads the whole answer.
///
/// # Errors
/// If there is no answer; an answer that says no is none.
pub(crate) async fn request(
    address: &str,
    method: Method,
    path_and_query: &str,
    patience: Duration,
) -> Result<Answer, HttpError> {
    let work = async {
        let stream = TcpStream::connect(address)
            .await
            .map_err(|error| HttpError::Connect { address: address.to_owned(), error })?;
        request_on(stream, address, method, path_and_query).await
    };
    match tokio::time::timeout(patience, work).await {
        Ok(result) => result,
        Err(_) => Err(HttpError::Timeout { address: address.to_owned(), patience }),
    }
}

/// As [`request`], on a connection that exists.
pub(crate) async fn request_on(
    stream: TcpStream,
    address: &str,
    method: Method,
    path_and_query: &str,
) -> Result<Answer, HttpError> {
    let broken = |reason: String| HttpError::Protocol { address: address.to_owned(), reason };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| broken(e.to_string()))?;
    let request = Request::builder()
        .method(method)
        .uri(path_and_query)
        .header("host", address)
        .header("connection", "close")
        .body(Empty::<Bytes>::new())
        .map_err(|e| broken(e.to_string()))?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|e| broken(e.to_string()))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LONGEST_ANSWER);
        let body = body.collect().await.map_err(|e| broken(e.to_string()))?.to_bytes().to_vec();
        Ok(Answer { status, body })
    };
    // The connection has to be driven while the exchange waits for it.
    tokio::pin!(exchange);
    tokio::select! {
        result = &mut exchange => result,
        ended = connection => match ended {
            Ok(()) => exchange.await,
            Err(e) => Err(broken(e.to_string())),
        },
    }
}
