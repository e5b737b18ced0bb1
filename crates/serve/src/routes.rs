//! What can be asked for.

mod guard;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant, SystemTime};

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use futures_util::stream;
use serde::{Deserialize, Deserializer};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use twinheap_capture::{DumpOptions, Method, SnapshotOptions};
use twinheap_http::Token;

use crate::answer::{Failure, Form};
use crate::folder::Allowed;
use crate::gate::Gate;
use crate::keeper::{Done, DumpOrder, Order, SampleOrder, UnderWay};
use crate::metrics::{Counts, Vitals};
use crate::place::{Naming, Place};
use crate::target::Watched;

/// Pieces of a streamed dump that may wait for the client.
const WAITING_PIECES: usize = 4;
/// Sizes of heaps that are no older than this are not asked for again.
const FRESH: Duration = Duration::from_secs(5);
/// How long a scrape waits for new ones. A process that doesn't answer must not hold up its own monitoring.
const SCRAPE_PATIENCE: Duration = Duration::from_secs(2);

/// What all requests share.
pub(crate) struct App {
    /// Whether others than this machine's users can connect.
    pub(crate) is_exposed: bool,
    /// The host part of the address we listen on.
    pub(crate) host: String,
    pub(crate) token: Token,
    pub(crate) folder: Allowed,
    pub(crate) gate: Gate,
    pub(crate) options: DumpOptions,
    pub(crate) watched: Arc<Watched>,
    pub(crate) counts: Arc<Counts>,
    pub(crate) orders: mpsc::Sender<Order>,
    pub(crate) is_sampling: Arc<AtomicBool>,
}

type Shared = State<Arc<App>>;

pub(crate) fn router(app: App) -> Router {
    let app = Arc::new(app);
    Router::new()
        .route("/v1/heapdump", post(heapdump))
        .route("/eth/v1/lodestar/write_heapdump", post(lodestar))
        .route("/healthz", get(healthz))
        .route("/metrics", get(metrics))
        .fallback(no_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(Arc::clone(&app), guard::guard))
        .with_state(app)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeapdumpQuery {
    #[serde(default)]
    thread: String,
    #[serde(default)]
    dirpath: String,
    #[serde(default, deserialize_with = "flag")]
    pause_free: bool,
    #[serde(default, deserialize_with = "flag")]
    stream: bool,
    #[serde(default, deserialize_with = "flag")]
    expose_internals: bool,
    #[serde(default, deserialize_with = "flag")]
    numeric_values: bool,
}

/// Lodestar passes over what it doesn't know.
#[derive(Debug, Deserialize)]
struct LodestarQuery {
    #[serde(default)]
    thread: String,
    #[serde(default)]
    dirpath: String,
}

fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "1" | "true" | "" => Ok(true),
        "0" | "false" => Ok(false),
        other => Err(serde::de::Error::custom(format!("`{other}` is neither 1 nor 0"))),
    }
}

async fn heapdump(
    State(app): Shared,
    headers: HeaderMap,
    query: Result<Query<HeapdumpQuery>, QueryRejection>,
) -> Response {
    match app.heapdump(&headers, query).await {
        Ok(response) => response,
        Err(failure) => failure.answer(Form::Ours),
    }
}

async fn lodestar(State(app): Shared, query: Result<Query<LodestarQuery>, QueryRejection>) -> Response {
    match app.lodestar(query).await {
        Ok(path) => Json(json!({"data": {"filepath": path}})).into_response(),
        Err(mut failure) => {
            if failure.status == StatusCode::CONFLICT {
                // The words by which Lodestar's clients know it.
                "Already writing heapdump".clone_into(&mut failure.message);
            }
            failure.answer(Form::Lodestar)
        }
    }
}

impl App {
    async fn heapdump(
        &self,
        headers: &HeaderMap,
        query: Result<Query<HeapdumpQuery>, QueryRejection>,
    ) -> Result<Response, Failure> {
        let query = understood(query)?;
        let options = DumpOptions {
            snapshot: SnapshotOptions {
                expose_internals: query.expose_internals,
                numeric_values: query.numeric_values,
            },
            pause_free: query.pause_free,
            ..self.options.clone()
        };
        if query.stream {
            if !query.dirpath.is_empty() {
                return Err(bad_query("a stream goes to no folder: use either `stream` or `dirpath`"));
            }
            return self.streamed(query.thread, options, is_plain_wanted(headers)).await;
        }
        let folder = self.folder.choose(&query.dirpath)?;
        let place = Place::File { folder, naming: Naming::Ours };
        let done = received(self.begin(query.thread, options, place)?).await?;
        let dump = done.dump;
        let (method, attempts) = match dump.method {
            Method::Ordinary => ("ordinary", 1),
            Method::PauseFree { attempts } => ("pause-free", attempts),
        };
        let answer = json!({
            "path": done.path,
            "thread": dump.thread,
            "bytes": dump.written.bytes,
            "json_bytes": dump.written.json_bytes,
            "pause_seconds": dump.pause.as_secs_f64(),
            "took_seconds": dump.took.as_secs_f64(),
            "method": method,
            "attempts": attempts,
            "warnings": dump.warnings,
        });
        Ok(Json(answer).into_response())
    }

    async fn lodestar(
        &self,
        query: Result<Query<LodestarQuery>, QueryRejection>,
    ) -> Result<Option<String>, Failure> {
        let query = understood(query)?;
        let folder = self.folder.choose(&query.dirpath)?;
        let place = Place::File { folder, naming: Naming::Lodestar };
        let done = received(self.begin(query.thread, self.options.clone(), place)?).await?;
        Ok(done.path.map(|p| p.display().to_string()))
    }

    /// Lets a dump begin, if it may, and hands it to the keeper. It goes on whether or not the client waits.
    fn begin(
        &self,
        thread: String,
        options: DumpOptions,
        place: Place,
    ) -> Result<oneshot::Receiver<Result<Done, Failure>>, Failure> {
        let permit = self.gate.enter(Instant::now())?;
        let thread = if thread.is_empty() { "main".to_owned() } else { thread };
        let (answer, done) = oneshot::channel();
        let order = Order::Dump(Box::new(DumpOrder { thread, options, place, permit, answer }));
        // The gate lets one through, and the keeper has room for it.
        self.orders.try_send(order).map_err(|_| Failure::stopping())?;
        Ok(done)
    }

    /// The dump is the answer. The first bytes decide: until then it can be a proper refusal.
    async fn streamed(
        &self,
        thread: String,
        options: DumpOptions,
        is_plain: bool,
    ) -> Result<Response, Failure> {
        let name = Naming::stream_name(&thread, SystemTime::now(), !is_plain);
        let (sender, mut pieces) = mpsc::channel(WAITING_PIECES);
        let place = Place::Stream { pieces: sender, is_compressed: !is_plain };
        let done = self.begin(thread, options, place)?;
        let Some(first) = pieces.recv().await else {
            received(done).await?;
            return Err(Failure::new(StatusCode::BAD_GATEWAY, "the dump is empty", "try again"));
        };
        let kind = if is_plain { "application/json" } else { "application/zstd" };
        let mut response = Body::from_stream(body(first, pieces, done)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // A thread's name comes from the client here, but one with odd characters doesn't exist.
        if let Ok(value) = HeaderValue::try_from(format!("attachment; filename=\"{name}\"")) {
            headers.insert(header::CONTENT_DISPOSITION, value);
        }
        Ok(response)
    }

    /// Has the sizes of the heaps looked at, if they are old and nothing speaks against it.
    async fn refresh(&self, may_connect: bool) {
        let is_fresh = self.counts.sample_age(Instant::now()).is_some_and(|age| age < FRESH);
        if is_fresh || self.gate.is_busy() {
            return;
        }
        let Some(under_way) = UnderWay::begin(&self.is_sampling) else { return };
        let (done, is_done) = oneshot::channel();
        let order = SampleOrder { may_connect, under_way, done };
        if self.orders.try_send(Order::Sample(order)).is_ok() {
            // What comes too late is there for the next scrape.
            let _: Result<_, _> = tokio::time::timeout(SCRAPE_PATIENCE, is_done).await;
        }
    }
}

/// The rest of a streamed dump. It only ends properly if the dump did; otherwise the connection breaks off, so that
/// half a dump doesn't look like a whole one.
fn body(
    first: Bytes,
    pieces: mpsc::Receiver<Bytes>,
    done: oneshot::Receiver<Result<Done, Failure>>,
) -> impl futures_util::Stream<Item = io::Result<Bytes>> {
    let state = (Some(first), pieces, Some(done));
    stream::unfold(state, |(mut first, mut pieces, mut done)| async move {
        let piece = match first.take() {
            Some(first) => Some(first),
            None => pieces.recv().await,
        };
        let item = match piece {
            Some(piece) => Ok(piece),
            None => match received(done.take()?).await {
                Ok(_) => return None,
                Err(failure) => Err(io::Error::other(failure.message)),
            },
        };
        Some((item, (first, pieces, done)))
    })
}

/// What the keeper says in the end.
async fn received(done: oneshot::Receiver<Result<Done, Failure>>) -> Result<Done, Failure> {
    done.await.unwrap_or_else(|_| Err(Failure::stopping()))
}

fn understood<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Failure> {
    match query {
        Ok(Query(query)) => Ok(query),
        Err(rejection) => Err(bad_query(&rejection.body_text())),
    }
}

fn bad_query(message: &str) -> Failure {
    let hint = "the parameters are thread, dirpath, pause_free, stream, expose_internals and numeric_values";
    Failure::new(StatusCode::BAD_REQUEST, message, hint)
}

/// Compressed is what a client gets that doesn't ask for JSON.
fn is_plain_wanted(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut kinds = accepted.flat_map(|value| value.split(','));
    kinds.any(|kind| kind.split(';').next().is_some_and(|k| k.trim() == "application/json"))
}

async fn healthz(State(app): Shared) -> Response {
    let is_up = app.watched.is_up().await;
    let status = if is_up { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body =
        json!({"ok": is_up, "target": app.watched.target.to_string(), "dump_running": app.gate.is_busy()});
    (status, Json(body)).into_response()
}

async fn metrics(State(app): Shared, headers: HeaderMap) -> Response {
    // To look is harmless. To have the process open its inspector is not: that takes the token.
    app.refresh(guard::has_token(&app, &headers)).await;
    let vitals = Vitals {
        is_up: app.watched.is_up().await,
        rss_bytes: app.watched.rss_bytes(),
        is_dumping: app.gate.is_busy(),
    };
    let text = app.counts.text(&vitals, Instant::now());
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

async fn no_route(method: axum::http::Method, uri: Uri) -> Result<Response, Infallible> {
    let hint = "the routes are POST /v1/heapdump, POST /eth/v1/lodestar/write_heapdump, GET /metrics and GET /healthz";
    let message = format!("Route {method}:{} not found", uri.path());
    Ok(Failure::new(StatusCode::NOT_FOUND, message, hint).answer(Form::of(uri.path())))
}

async fn wrong_method(method: axum::http::Method, uri: Uri) -> Response {
    let hint = "dumps are taken with POST, the other routes are read with GET";
    let message = format!("{} can't be asked for with {method}", uri.path());
    Failure::new(StatusCode::METHOD_NOT_ALLOWED, message, hint).answer(Form::of(uri.path()))
}
