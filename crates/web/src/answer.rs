//! What the page gets when it gets no rows.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// No, why, and what to do next: `{"error", "hint"}`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Failure {
    #[serde(skip)]
    status: StatusCode,
    error: String,
    hint: String,
}

impl Failure {
    pub(crate) fn new(status: StatusCode, error: impl Into<String>, hint: impl Into<String>) -> Failure {
        Failure { status, error: error.into(), hint: hint.into() }
    }

    /// The request itself makes no sense.
    pub(crate) fn bad(error: impl Into<String>, hint: impl Into<String>) -> Failure {
        Failure::new(StatusCode::BAD_REQUEST, error, hint)
    }

    /// What was asked for is not there.
    pub(crate) fn missing(error: impl Into<String>, hint: impl Into<String>) -> Failure {
        Failure::new(StatusCode::NOT_FOUND, error, hint)
    }

    pub(crate) fn no_object(id: u64) -> Failure {
        Failure::missing(
            format!("there is no object @{id} in this snapshot"),
            "an id belongs to one file: choose the file it was seen in, or search by text",
        )
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, Json(self)).into_response()
    }
}
