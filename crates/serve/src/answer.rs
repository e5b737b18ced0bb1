//! What a client gets when it gets no dump.

use std::io;
use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use twinheap_capture::process::ProcessError;
use twinheap_capture::safety::Refusal;
use twinheap_capture::signal_door::DoorError;
use twinheap_capture::{CaptureError, CdpError, SinkError};

use crate::folder::FolderError;
use crate::gate::Closed;

/// Whose words an answer uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `{"error", "hint"}`
    Ours,
    /// `{"code", "message"}`
    Lodestar,
}

impl Form {
    pub(crate) fn of(path: &str) -> Form {
        if path.starts_with("/eth/") { Form::Lodestar } else { Form::Ours }
    }
}

/// No, and why.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
    pub(crate) hint: String,
    /// The threads that there are, if an unknown one was asked for.
    threads: Option<Vec<String>>,
    retry_after: Option<Duration>,
}

impl Failure {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>, hint: impl Into<String>) -> Failure {
        Failure { status, message: message.into(), hint: hint.into(), threads: None, retry_after: None }
    }

    pub(crate) fn no_token() -> Failure {
        Failure::new(
            StatusCode::UNAUTHORIZED,
            "this needs the server's token",
            "send the header `Authorization: Bearer TOKEN`",
        )
    }

    pub(crate) fn no_thread(name: &str, threads: Vec<String>) -> Failure {
        let message = format!("the process has no thread `{name}`: it has {}", threads.join(", "));
        let failure = Failure::new(StatusCode::NOT_FOUND, message, "use one of these names for `thread`");
        Failure { threads: Some(threads), ..failure }
    }

    /// The server ends.
    pub(crate) fn stopping() -> Failure {
        Failure::new(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping", "try again when it is back")
    }

    /// The target does.
    pub(crate) fn gone(target: &str) -> Failure {
        Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{target} has ended"),
            "restart twinheap serve with the pid of the process that replaced it",
        )
    }

    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self.status, StatusCode::INSUFFICIENT_STORAGE | StatusCode::NOT_FOUND)
            || self.message.contains("is refused")
    }

    pub(crate) fn answer(&self, form: Form) -> Response {
        let body = match form {
            Form::Ours => {
                let mut body = json!({"error": self.message, "hint": self.hint});
                if let Some(threads) = &self.threads {
                    body["threads"] = json!(threads);
                }
                body
            }
            Form::Lodestar => {
                json!({"code": self.status.as_u16(), "message": format!("{} ({})", self.message, self.hint)})
            }
        };
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"twinheap\""));
        }
        if let Some(wait) = self.retry_after {
            // Whole seconds, and never too early.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<Closed> for Failure {
    fn from(closed: Closed) -> Failure {
        match closed {
            Closed::Busy => Failure::new(
                StatusCode::CONFLICT,
                "another dump is running",
                "one is taken at a time, and none waits: ask again when it is done",
            ),
            Closed::TooSoon(wait) => Failure {
                retry_after: Some(wait),
                ..Failure::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    format!("the next dump may be taken in {:.1} s", wait.as_secs_f64()),
                    "--max-rate and --min-interval of twinheap serve say how often",
                )
            },
        }
    }
}

impl From<FolderError> for Failure {
    fn from(error: FolderError) -> Failure {
        let (status, hint) = match &error {
            FolderError::Outside(_) | FolderError::Link(_) => {
                (StatusCode::FORBIDDEN, "`dirpath` is a folder below --dir of twinheap serve, or left out")
            }
            FolderError::Missing(_) | FolderError::NoFolder(_) => {
                (StatusCode::BAD_REQUEST, "make the folder first, or leave `dirpath` out")
            }
            FolderError::Io { .. } => (StatusCode::BAD_REQUEST, "look at the folder's permissions"),
        };
        Failure::new(status, error.to_string(), hint)
    }
}

impl From<CaptureError> for Failure {
    fn from(error: CaptureError) -> Failure {
        let status = status_of(&error);
        let hint = match &error {
            // The others name flags of a command line that the client hasn't.
            CaptureError::Sink(SinkError::Io { .. }) => "look at the server's disk".to_owned(),
            CaptureError::PauseFree { .. } => {
                "without pause_free the process stands still, but the snapshot is as good".to_owned()
            }
            CaptureError::Refused { .. } => {
                format!("{} (a flag of twinheap serve)", error.hint())
            }
            other => other.hint(),
        };
        Failure::new(status, error.to_string(), hint)
    }
}

fn status_of(error: &CaptureError) -> StatusCode {
    match error {
        CaptureError::Process(ProcessError::NoSuchProcess { .. } | ProcessError::Zombie { .. })
        | CaptureError::Door(DoorError::NoSuchProcess { .. } | DoorError::Ended { .. })
        | CaptureError::Cdp(CdpError::Interrupted) => StatusCode::SERVICE_UNAVAILABLE,
        CaptureError::Cdp(CdpError::Timeout { .. })
        | CaptureError::Door(DoorError::Silent { .. } | DoorError::Stopped { .. }) => {
            StatusCode::GATEWAY_TIMEOUT
        }
        CaptureError::Refused { refusals, .. } => {
            let is_pause = |refusal: &Refusal| matches!(refusal, Refusal::Pause { .. });
            if refusals.iter().all(is_pause) {
                StatusCode::SERVICE_UNAVAILABLE
            } else {
                StatusCode::INSUFFICIENT_STORAGE
            }
        }
        CaptureError::NoSuchThread { .. } => StatusCode::NOT_FOUND,
        CaptureError::PauseFree { .. } => StatusCode::NOT_IMPLEMENTED,
        CaptureError::Sink(SinkError::Io { error, .. }) => match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StatusCode::INSUFFICIENT_STORAGE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        },
        CaptureError::Io { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_GATEWAY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(error: impl Into<CaptureError>, status: u16) {
        let failure = Failure::from(error.into());
        assert_eq!(failure.status.as_u16(), status, "{}", failure.message);
        assert!(!failure.hint.is_empty(), "{}", failure.message);
    }

    #[test]
    fn what_went_wrong_where_can_be_told_by_the_status() {
        let io = |kind: io::ErrorKind| SinkError::Io { name: "x".into(), error: kind.into() };
        check(ProcessError::NoSuchProcess { pid: 1 }, 503);
        check(ProcessError::NotNode { pid: 1, exe: "x".into() }, 502);
        check(DoorError::OwnHandler { pid: 1 }, 502);
        check(DoorError::Stopped { pid: 1 }, 504);
        check(CdpError::Closed("x".into()), 502);
        check(CdpError::Timeout { method: "x".into(), patience: Duration::ZERO }, 504);
        check(CdpError::Interrupted, 503);
        check(CdpError::ThreadEnded, 502);
        check(SinkError::Incomplete { bytes: 1 }, 502);
        check(io(io::ErrorKind::StorageFull), 507);
        check(io(io::ErrorKind::PermissionDenied), 500);
        check(CaptureError::PauseFree { thread: "main".into(), reason: "x".into() }, 501);
    }

    #[test]
    fn a_machine_without_room_is_another_matter_than_a_long_pause() {
        use twinheap_capture::safety::{Level, Limit, Span};
        let level = Level::Refuse;
        let needed = Span { low: 1, high: 2 };
        let pause = || Refusal::Pause { level, pause: Span { low: 1.0, high: 2.0 }, max_seconds: 0.5 };
        let disk = || Refusal::Disk { level, needed, available_bytes: 0 };
        let limit = Limit::Machine;
        let memory =
            || Refusal::Memory { level, needed, available_bytes: 0, limit: limit.clone(), oom_group: false };
        let refused = |refusals| CaptureError::Refused { thread: "main".into(), refusals };
        check(refused(vec![memory()]), 507);
        check(refused(vec![disk()]), 507);
        check(refused(vec![pause()]), 503);
        check(refused(vec![pause(), disk()]), 507);
    }

    #[test]
    fn retry_after_is_never_too_early() {
        let answer = Failure::from(Closed::TooSoon(Duration::from_millis(1001))).answer(Form::Ours);
        assert_eq!(answer.status(), 429);
        assert_eq!(answer.headers()["retry-after"], "2");
    }
}
