//! The inspector's protocol: requests, answers and events over one WebSocket, for the main isolate and, wrapped
//! in messages of the `NodeWorker` domain, for every worker.
//!
//! One request at a time, and events are looked at as they come: whoever waits for something reads the socket, so
//! nothing piles up on our side, and a slow disk slows the reading down.

use std::borrow::Cow;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use rustc_hash::FxHashMap;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};

/// A snapshot comes in pieces of 100 KiB to 1 MiB, and a worker's are wrapped in a second layer of JSON.
const LONGEST_MESSAGE: usize = 24 << 20;
/// How often a waiting reader looks whether the user wants to stop.
const POLL: Duration = Duration::from_millis(100);

/// Why the inspector gives no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CdpError {
    /// The connection broke.
    #[error("the inspector hung up: {0}")]
    Closed(String),
    /// The other side speaks something else.
    #[error("the inspector sends what it shouldn't: {0}")]
    Protocol(String),
    /// The request was refused.
    #[error("the inspector refuses {method}: {message}")]
    Refused {
        /// The request's method.
        method: String,
        /// The inspector's words.
        message: String,
    },
    /// JavaScript threw.
    #[error("the process threw: {0}")]
    Thrown(String),
    /// The isolate is gone, as a worker may be at any time.
    #[error("the thread has ended")]
    ThreadEnded,
    /// No answer in time.
    #[error("no answer to {method} within {} s: its event loop is blocked", patience.as_secs())]
    Timeout {
        /// The request's method.
        method: String,
        /// How long we waited.
        patience: Duration,
    },
    /// The user wants to stop.
    #[error("interrupted")]
    Interrupted,
}

/// An isolate of the process, as the connection addresses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Main,
    /// The `NodeWorker` session of a worker.
    Worker(String),
}

/// Something that came.
pub(crate) enum Incoming {
    /// The answer to the request with this number.
    Answer { id: u64, result: Result<Value, String> },
    /// A piece of a snapshot.
    Chunk(Vec<u8>),
    /// V8 has visited `done` of `total` of what a snapshot will hold.
    Progress { done: u64, total: u64 },
    /// There is a worker.
    Attached { session: String, title: String, url: String },
    /// A worker ended.
    Detached { session: String },
    /// The process wants to exit, and waits for us to hang up.
    Leaving,
    /// An event that nobody asked for.
    Other,
}

/// One connection to an inspector.
pub(crate) struct Cdp {
    socket: WebSocketStream<TcpStream>,
    next_id: u64,
    /// Requests to workers travel inside other requests: the outer number to the inner one.
    wrapped: FxHashMap<u64, u64>,
    stop: &'static AtomicBool,
    /// Workers that came or went while somebody waited for something else.
    missed: Vec<Incoming>,
    /// The process waits for us to hang up.
    is_leaving: bool,
}

impl Cdp {
    /// Upgrades a connection to `url`, which is `ws://host:port/id`.
    ///
    /// # Errors
    /// If the other side is no inspector.
    pub(crate) async fn connect(
        stream: TcpStream,
        url: &str,
        stop: &'static AtomicBool,
    ) -> Result<Cdp, CdpError> {
        let config = WebSocketConfig::default()
            .max_message_size(Some(LONGEST_MESSAGE))
            .max_frame_size(Some(LONGEST_MESSAGE));
        let handshake = tokio_tungstenite::client_async_with_config(url, stream, Some(config));
        let (socket, _) = handshake.await.map_err(|e| CdpError::Protocol(e.to_string()))?;
        let (wrapped, missed) = (FxHashMap::default(), Vec::new());
        Ok(Cdp { socket, next_id: 0, wrapped, stop, missed, is_leaving: false })
    }

    /// True once the process has said that it wants to exit: it answers no more, and waits for our end.
    pub(crate) fn is_leaving(&self) -> bool {
        self.is_leaving
    }

    /// The flag that stops the waiting.
    pub(crate) fn stop(&self) -> &'static AtomicBool {
        self.stop
    }

    /// Lets another flag stop the waiting.
    pub(crate) fn set_stop(&mut self, stop: &'static AtomicBool) {
        self.stop = stop;
    }

    /// Workers that came or went during [`Cdp::call`].
    pub(crate) fn take_missed(&mut self) -> Vec<Incoming> {
        std::mem::take(&mut self.missed)
    }

    /// Sends a request; the number is that of its answer.
    pub(crate) async fn send(&mut self, to: &Address, method: &str, params: Value) -> Result<u64, CdpError> {
        self.next_id += 1;
        let id = self.next_id;
        let mut text = json!({"id": id, "method": method, "params": params}).to_string();
        if let Address::Worker(session) = to {
            self.next_id += 1;
            self.wrapped.insert(self.next_id, id);
            text = json!({
                "id": self.next_id,
                "method": "NodeWorker.sendMessageToWorker",
                "params": {"sessionId": session, "message": text},
            })
            .to_string();
        }
        self.socket.send(Message::text(text)).await.map_err(closed)?;
        Ok(id)
    }

    /// Sends a request and waits for its answer; events that come meanwhile go to `on_event`.
    pub(crate) async fn call_with(
        &mut self,
        to: &Address,
        method: &str,
        params: Value,
        patience: Duration,
        on_event: &mut dyn FnMut(Incoming),
    ) -> Result<Value, CdpError> {
        let wanted = self.send(to, method, params).await?;
        let deadline = Instant::now() + patience;
        loop {
            match self.next_until(deadline).await? {
                Some(Incoming::Answer { id, result }) if id == wanted => {
                    return result
                        .map_err(|message| CdpError::Refused { method: method.to_owned(), message });
                }
                Some(Incoming::Detached { session }) if *to == Address::Worker(session.clone()) => {
                    on_event(Incoming::Detached { session });
                    return Err(CdpError::ThreadEnded);
                }
                Some(event) => on_event(event),
                None => return Err(CdpError::Timeout { method: method.to_owned(), patience }),
            }
        }
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn call(
        &mut self,
        to: &Address,
        method: &str,
        params: Value,
        patience: Duration,
    ) -> Result<Value, CdpError> {
        let mut missed = Vec::new();
        let mut keep = |event| {
            if matches!(event, Incoming::Attached { .. } | Incoming::Detached { .. }) {
                missed.push(event);
            }
        };
        let result = self.call_with(to, method, params, patience, &mut keep).await;
        self.missed.append(&mut missed);
        result
    }

    /// Evaluates an expression and returns its value. `require` is there, in ES modules and workers too.
    pub(crate) async fn evaluate(
        &mut self,
        to: &Address,
        expression: &str,
        patience: Duration,
    ) -> Result<Value, CdpError> {
        let mut result = self.call(to, "Runtime.evaluate", evaluation(expression), patience).await?;
        value_of(&mut result)
    }

    /// The next thing that comes before the deadline; `None` if nothing does. Nothing is lost if it is not awaited
    /// to its end.
    ///
    /// # Errors
    /// If the connection breaks or the user stops.
    pub(crate) async fn next_until(&mut self, deadline: Instant) -> Result<Option<Incoming>, CdpError> {
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Err(CdpError::Interrupted);
            }
            let now = Instant::now();
            if now >= deadline {
                return Ok(None);
            }
            let message = match tokio::time::timeout(POLL.min(deadline - now), self.socket.next()).await {
                Err(_) => continue,
                Ok(None) => return Err(CdpError::Closed("the process ended or closed it".to_owned())),
                Ok(Some(message)) => message.map_err(closed)?,
            };
            match message {
                Message::Text(text) => match self.understand(text.as_str())? {
                    Incoming::Leaving => {
                        self.is_leaving = true;
                        return Err(CdpError::Closed("the process is exiting".to_owned()));
                    }
                    incoming => return Ok(Some(incoming)),
                },
                Message::Close(_) => {
                    return Err(CdpError::Closed("the process ended or closed it".to_owned()));
                }
                _ => {}
            }
        }
    }

    /// Says goodbye. What was sent before is still worked on.
    pub(crate) async fn close(mut self) {
        // A connection that can't be closed is closed.
        let _: Result<(), tungstenite::Error> = self.socket.close(None).await;
    }

    fn understand(&mut self, text: &str) -> Result<Incoming, CdpError> {
        let raw = parse(text)?;
        if let Some(id) = raw.id {
            let Some(inner) = self.wrapped.remove(&id) else { return answer(id, &raw) };
            // The worker's own answer follows, unless there is no such worker.
            return Ok(match raw.error {
                Some(error) => Incoming::Answer { id: inner, result: Err(words(error)) },
                None => Incoming::Other,
            });
        }
        let params = raw.params.map_or("{}", RawValue::get);
        match raw.method.as_deref() {
            Some("NodeWorker.receivedMessageFromWorker") => {
                let wrapper: FromWorker<'_> = from_str(params)?;
                let raw = parse(&wrapper.message)?;
                match raw.id {
                    Some(id) => answer(id, &raw),
                    None => event(raw.method.as_deref(), raw.params.map_or("{}", RawValue::get)),
                }
            }
            Some("NodeWorker.attachedToWorker") => {
                let attached: Attached = from_str(params)?;
                let Attached { session_id: session, worker_info: WorkerInfo { title, url } } = attached;
                Ok(Incoming::Attached { session, title, url })
            }
            Some("NodeWorker.detachedFromWorker") => {
                let detached: Detached = from_str(params)?;
                Ok(Incoming::Detached { session: detached.session_id })
            }
            method => event(method, params),
        }
    }
}

/// Waits for something that is not the inspector, as long as the user wants.
///
/// # Errors
/// If the user stops it.
pub(crate) async fn unless_stopped<T>(
    stop: &AtomicBool,
    work: impl Future<Output = T>,
) -> Result<T, CdpError> {
    let mut work = std::pin::pin!(work);
    loop {
        match tokio::time::timeout(POLL, &mut work).await {
            Ok(result) => return Ok(result),
            Err(_) if stop.load(Ordering::Relaxed) => return Err(CdpError::Interrupted),
            Err(_) => {}
        }
    }
}

/// Parameters of `Runtime.evaluate`. Nothing is awaited: the answer to an awaited value comes in a later turn, and
/// Node may have set up the inspector's context anew by then ("Execution context was destroyed").
pub(crate) fn evaluation(expression: &str) -> Value {
    // `includeCommandLineAPI` is what makes `require` visible in ES modules.
    json!({
        "expression": expression,
        "includeCommandLineAPI": true,
        "returnByValue": true,
        "silent": true,
    })
}

/// The value out of the result of `Runtime.evaluate`.
pub(crate) fn value_of(result: &mut Value) -> Result<Value, CdpError> {
    if let Some(exception) = result.get("exceptionDetails") {
        let description = exception["exception"]["description"].as_str();
        let text = description.or(exception["text"].as_str()).unwrap_or("something");
        // The first line has the message, the others the stack.
        return Err(CdpError::Thrown(text.lines().next().unwrap_or_default().to_owned()));
    }
    Ok(result["result"]["value"].take())
}

/// A message, with its parts still as text.
#[derive(Deserialize)]
struct Raw<'a> {
    id: Option<u64>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct FromWorker<'a> {
    #[serde(borrow)]
    message: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Attached {
    session_id: String,
    worker_info: WorkerInfo,
}

#[derive(Deserialize)]
struct WorkerInfo {
    title: String,
    #[serde(default)]
    url: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detached {
    session_id: String,
}

#[derive(Deserialize)]
struct Chunk {
    chunk: String,
}

#[derive(Deserialize)]
struct Progress {
    done: u64,
    total: u64,
}

fn parse(text: &str) -> Result<Raw<'_>, CdpError> {
    from_str(text)
}

fn from_str<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, CdpError> {
    serde_json::from_str(text).map_err(|e| CdpError::Protocol(e.to_string()))
}

fn answer(id: u64, raw: &Raw<'_>) -> Result<Incoming, CdpError> {
    let result = match (raw.error, raw.result) {
        (Some(error), _) => Err(words(error)),
        (None, Some(result)) => Ok(from_str(result.get())?),
        (None, None) => Ok(Value::Null),
    };
    Ok(Incoming::Answer { id, result })
}

fn event(method: Option<&str>, params: &str) -> Result<Incoming, CdpError> {
    Ok(match method {
        Some("HeapProfiler.addHeapSnapshotChunk") => {
            let chunk: Chunk = from_str(params)?;
            Incoming::Chunk(chunk.chunk.into_bytes())
        }
        Some("HeapProfiler.reportHeapSnapshotProgress") => {
            let progress: Progress = from_str(params)?;
            Incoming::Progress { done: progress.done, total: progress.total }
        }
        Some("NodeRuntime.waitingForDisconnect") => Incoming::Leaving,
        _ => Incoming::Other,
    })
}

/// The message out of an error object.
fn words(error: &RawValue) -> String {
    let message = |v: Value| v["message"].as_str().map(str::to_owned);
    serde_json::from_str(error.get()).ok().and_then(message).unwrap_or_else(|| error.get().to_owned())
}

fn closed(error: tungstenite::Error) -> CdpError {
    match error {
        tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => {
            CdpError::Closed("the process ended or closed it".to_owned())
        }
        tungstenite::Error::Capacity(error) => CdpError::Protocol(error.to_string()),
        other => CdpError::Closed(other.to_string()),
    }
}
