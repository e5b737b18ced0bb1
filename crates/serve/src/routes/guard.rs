//! What every request has to pass before anything is done for it.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use twinheap_http::is_own_host;

use super::App;
use crate::answer::{Failure, Form};

/// Nothing we are asked for needs a body; what curl sends with `-d ''` and the like may pass.
const LARGEST_BODY: u64 = 16 << 10;

/// Lets a request through, and counts it.
pub(super) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let (form, route) = (Form::of(path), route_of(path));
    let response = match check(&app, &request) {
        Ok(()) => next.run(request).await,
        Err(failure) => failure.answer(form),
    };
    app.counts.request(route, response.status().as_u16());
    response
}

fn check(app: &App, request: &Request) -> Result<(), Failure> {
    let headers = request.headers();
    let is_known_host = headers.get(header::HOST).and_then(|h| h.to_str().ok()).is_some_and(|host| {
        // Elsewhere we can't know by what names people call this machine; there the token has to do.
        app.is_exposed || is_own_host(host, &app.host)
    });
    if !is_known_host {
        return Err(Failure::new(
            StatusCode::FORBIDDEN,
            "the request is for another host",
            "use http://127.0.0.1 or http://localhost; a web page may not reach this server under its own name",
        ));
    }
    if *request.method() != Method::GET && headers.contains_key(header::ORIGIN) {
        return Err(Failure::new(
            StatusCode::FORBIDDEN,
            "the request comes from a web page",
            "dumps are for scripts and people: leave the header `Origin` out",
        ));
    }
    let length = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > LARGEST_BODY) {
        return Err(Failure::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the request has a body, and nothing here reads one",
            "put the parameters into the query",
        ));
    }
    let path = request.uri().path();
    let wants_token = path.starts_with("/v1/")
        || path.starts_with("/eth/")
        // What fills a heap is no secret on the machine itself, and one elsewhere.
        || (app.is_exposed && path == "/metrics");
    if wants_token && !has_token(app, headers) { Err(Failure::no_token()) } else { Ok(()) }
}

/// Whether a request carries the token.
pub(super) fn has_token(app: &App, headers: &HeaderMap) -> bool {
    headers.get(header::AUTHORIZATION).is_some_and(|value| app.token.is_in(value.as_bytes()))
}

/// A name for a path that is one of few, whatever clients think of.
fn route_of(path: &str) -> &'static str {
    match path {
        "/v1/heapdump" => "heapdump",
        "/eth/v1/lodestar/write_heapdump" => "lodestar",
        "/healthz" => "healthz",
        "/metrics" => "metrics",
        _ => "other",
    }
}
