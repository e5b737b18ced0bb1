//! The page itself: what `ui/` is built to, embedded.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use crate::answer::Failure;

/// A file of the page.
struct Asset {
    /// Below the page's address.
    path: &'static str,
    plain: &'static [u8],
    /// Empty if it is not worth it.
    gzip: &'static [u8],
}

// `ASSETS`, made by the build script.
include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// A file of the page; the empty path is the page.
pub(crate) fn serve(path: &str, headers: &HeaderMap) -> Response {
    let path = if path.is_empty() { "index.html" } else { path };
    let Some(asset) = ASSETS.iter().find(|asset| asset.path == path) else {
        return Failure::missing(format!("there is no `{path}` here"), "reload the page").into_response();
    };
    let accepts_gzip = headers
        .get(header::ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.split(',').any(|coding| coding.trim().starts_with("gzip")));
    let is_packed = accepts_gzip && !asset.gzip.is_empty();
    let mut response = (StatusCode::OK, if is_packed { asset.gzip } else { asset.plain }).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(path)));
    if path != "index.html" {
        // There is nothing of a dump in them, and another run has another address. Without this a browser asks for the
        // icon again whenever the address changes.
        let kept = HeaderValue::from_static("private, max-age=86400, immutable");
        headers.insert(header::CACHE_CONTROL, kept);
    }
    if is_packed {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("json") => "application/json",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a browser gets before it shows a first table, compressed.
    const MOST_BYTES: usize = 600_000;

    #[test]
    fn the_page_is_small() {
        let packed = |asset: &Asset| {
            if asset.gzip.is_empty() { asset.plain.len() } else { asset.gzip.len() }
        };
        let all: usize = ASSETS.iter().map(packed).sum();
        assert!(ASSETS.iter().any(|asset| asset.path == "index.html"));
        assert!(all < MOST_BYTES, "{all} bytes");
    }
}
