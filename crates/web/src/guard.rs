//! What every request has to pass: the token, our own name, and no other page behind it.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use twinheap_http::is_own_host;

use crate::answer::Failure;
use crate::api::App;

/// Nothing from anywhere but this server; no script, style or handler inside of markup; no frame around us.
/// The flame graph is a page of its own with stricter rules, in a frame of ours.
pub(crate) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types 'none'";

/// Lets a request through, and adds what all answers carry.
pub(crate) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let mut response = match check(&app, &request) {
        Ok(()) => {
            let response = next.run(request).await;
            app.asked.touch();
            response
        }
        Err(failure) => failure.into_response(),
    };
    let headers = response.headers_mut();
    let mut set = |name, value| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    set(header::CACHE_CONTROL, "no-store");
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    // The address holds the token.
    set(header::REFERRER_POLICY, "no-referrer");
    set(header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    set(header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    set(header::HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=()");
    response
}

fn check(app: &App, request: &Request) -> Result<(), Failure> {
    let headers = request.headers();
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let host = text(header::HOST).filter(|host| is_own_host(host, &app.host));
    let Some(host) = host else {
        return Err(Failure::new(
            StatusCode::FORBIDDEN,
            "the request is for another host",
            "use the address that `twinheap open` printed; over ssh, forward the port with -L",
        ));
    };
    if is_foreign(headers, host) {
        return Err(Failure::new(
            StatusCode::FORBIDDEN,
            "the request comes from another web page",
            "open the address that `twinheap open` printed in a tab of its own",
        ));
    }
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        return Err(Failure::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "nothing here can be changed",
            "ask with GET",
        ));
    }
    let given = request.uri().path().split('/').nth(1).unwrap_or_default();
    if !app.token.is(given) {
        return Err(Failure::new(
            StatusCode::FORBIDDEN,
            "the address lacks its token",
            "use the whole address that `twinheap open` printed; every run has a new one",
        ));
    }
    Ok(())
}

/// Whether some other page made the browser ask.
fn is_foreign(headers: &HeaderMap, host: &str) -> bool {
    if let Some(origin) = headers.get(header::ORIGIN) {
        let own = origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://"));
        if !own.is_some_and(|origin| origin.eq_ignore_ascii_case(host)) {
            return true;
        }
    }
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    let mode = headers.get("sec-fetch-mode").map(HeaderValue::as_bytes);
    // A link may lead here, if whoever made it knows the token; a script or picture of another page may not.
    matches!(site, Some(b"cross-site" | b"same-site")) && mode != Some(b"navigate")
}
