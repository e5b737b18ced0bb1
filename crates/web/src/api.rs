//! What can be asked for: the page's files, the state of all files, and pages of lists.

mod diff;
mod heap;
pub(crate) mod leaks;
mod listing;
mod native;
mod native_leaks;
mod path;

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use serde::{Deserialize, Serialize};
use serde_json::json;
use twinheap_http::Token;

use crate::answer::Failure;
use crate::files::{Files, Opened, Ready};
use crate::heap_view::HeapView;
use crate::native_view::NativeView;
use crate::{Clock, assets, guard};

/// What all requests share.
pub(crate) struct App {
    pub(crate) token: Token,
    /// The host part of the address we listen on.
    pub(crate) host: String,
    pub(crate) files: Arc<Files>,
    pub(crate) asked: Clock,
}

type Shared = State<Arc<App>>;
/// An answer in JSON, or why there is none.
type Answer = Result<Response, Failure>;

pub(crate) fn router(app: Arc<App>) -> Router {
    let files = Router::new()
        .route("/info", get(heap::info))
        .route("/classes", get(heap::classes))
        .route("/list", get(heap::list))
        .route("/tiles", get(heap::tiles))
        .route("/strings", get(heap::strings))
        .route("/object", get(heap::object))
        .route("/path", get(path::path))
        .route("/merged", get(path::merged))
        .route("/leaks", get(leaks::leaks))
        .route("/native/summary", get(native::summary))
        .route("/native/leaks", get(native_leaks::leaks))
        .route("/native/tree", get(native::tree))
        .route("/native/callers", get(native::callers))
        .route("/native/timeline", get(native::timeline))
        .route("/native/histogram", get(native::histogram))
        .route("/native/diff", get(native::diff))
        .route("/native/flamegraph", get(native::flamegraph));
    let page = Router::new()
        .route("/{*path}", get(asset))
        .route("/api/state", get(state))
        .route("/api/diff", get(diff::diff))
        .nest("/api/files/{file}", files);
    Router::new()
        .nest("/{token}", page)
        .route("/{token}", get(slash))
        .route("/{token}/", get(index))
        .fallback(no_route)
        .layer(middleware::from_fn_with_state(Arc::clone(&app), guard::guard))
        .with_state(app)
}

async fn slash(State(app): Shared) -> Redirect {
    Redirect::permanent(&format!("/{}/", app.token.reveal()))
}

async fn index(headers: HeaderMap) -> Response {
    assets::serve("", &headers)
}

#[derive(Deserialize)]
struct AssetPath {
    path: String,
}

async fn asset(Path(AssetPath { path }): Path<AssetPath>, headers: HeaderMap) -> Response {
    assets::serve(&path, &headers)
}

async fn no_route() -> Failure {
    Failure::missing("there is no such page", "use the address that `twinheap open` printed")
}

/// All files: which are read, how far the others are, what went wrong.
async fn state(State(app): Shared) -> Response {
    Json(json!({
        "schema_version": twinheap_report::SCHEMA_VERSION,
        "version": env!("CARGO_PKG_VERSION"),
        "files": app.files.json(),
    }))
    .into_response()
}

/// The file of an address.
struct FilePath {
    file: usize,
}

impl<S: Send + Sync> FromRequestParts<S> for FilePath {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<FilePath, Failure> {
        #[derive(Deserialize)]
        struct Raw {
            file: usize,
        }
        let path = Path::<Raw>::from_request_parts(parts, state).await;
        let none = |_| Failure::missing("there is no such file", "choose one of the files in the list");
        path.map(|Path(Raw { file })| FilePath { file }).map_err(none)
    }
}

type Asked<T> = Result<Query<T>, axum::extract::rejection::QueryRejection>;

/// The parameters, or what is wrong with them.
fn understood<T>(query: Asked<T>) -> Result<T, Failure> {
    let wrong = |error: &dyn std::fmt::Display| {
        Failure::bad(
            format!("the address makes no sense: {error}"),
            "go back, or start at the page's address",
        )
    };
    query.map(|Query(query)| query).map_err(|rejection| wrong(&rejection.body_text()))
}

/// Works out an answer on a thread that may take its time.
async fn work<T: Serialize + Send + 'static>(
    run: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Answer {
    let made = tokio::task::spawn_blocking(move || {
        let document = run()?;
        serde_json::to_vec(&document).map_err(|error| internal(&error))
    });
    let body = made.await.map_err(|error| internal(&error))??;
    let json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    Ok((json, body).into_response())
}

fn internal(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(
        axum::http::StatusCode::INTERNAL_SERVER_ERROR,
        format!("twinheap failed at this: {error}"),
        "please report it, with what you did; the other views still work",
    )
}

/// A snapshot that is read.
struct OfHeap(Arc<Ready>);

impl OfHeap {
    fn get(app: &App, file: usize) -> Result<OfHeap, Failure> {
        let ready = app.files.get(file)?;
        match ready.content {
            Opened::Heap(_) => Ok(OfHeap(ready)),
            Opened::Native(_) => Err(Failure::bad(
                "this file is a native trace, and this view shows JS heaps",
                "choose another file or view",
            )),
        }
    }
}

impl std::ops::Deref for OfHeap {
    type Target = HeapView;

    fn deref(&self) -> &HeapView {
        match &self.0.content {
            Opened::Heap(view) => view,
            Opened::Native(_) => unreachable!("checked in `get`"),
        }
    }
}

/// A native trace that is read.
struct OfNative(Arc<Ready>);

impl OfNative {
    fn get(app: &App, file: usize) -> Result<OfNative, Failure> {
        let ready = app.files.get(file)?;
        match ready.content {
            Opened::Native(_) => Ok(OfNative(ready)),
            Opened::Heap(_) => Err(Failure::bad(
                "this file is a JS heap snapshot, and this view shows native traces",
                "choose another file or view",
            )),
        }
    }
}

impl std::ops::Deref for OfNative {
    type Target = NativeView;

    fn deref(&self) -> &NativeView {
        match &self.0.content {
            Opened::Native(view) => view,
            Opened::Heap(_) => unreachable!("checked in `get`"),
        }
    }
}
