//! Dumps that a Lodestar beacon node takes of itself, over its REST address.
//!
//! `POST /eth/v1/lodestar/write_heapdump?thread=main|network|discv5&dirpath=…` writes a file on the node's machine
//! and answers when the last byte has left V8, which is before the last byte is in the file.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hyper::{Method, StatusCode};
use serde::Deserialize;

use crate::cdp::{CdpError, unless_stopped};
use crate::complete::Complete;
use crate::error::CaptureError;
use crate::http::{self, Answer};
use crate::sink::{Sink, SinkError, Written};

/// The answer comes when the dump is done, which takes minutes on a large heap.
const PATIENCE: Duration = Duration::from_secs(3600);
/// A file that does not grow for this long is all there will be.
const SETTLED: Duration = Duration::from_secs(30);
/// How often a growing file is looked at.
const POLL: Duration = Duration::from_millis(50);
/// Bytes of a file read at once.
const PIECE: usize = 1 << 20;

/// Why Lodestar takes no dump.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LodestarError {
    /// The route is not there.
    #[error("{address} has no route for heap dumps (404): {message}")]
    NoRoute {
        /// Host and port.
        address: String,
        /// What it says.
        message: String,
    },
    /// Another dump is being written.
    #[error("{address} is writing another heap dump already")]
    Busy {
        /// Host and port.
        address: String,
    },
    /// The thread does not exist in this configuration.
    #[error("{address} runs no thread `{thread}`: {message}")]
    NoThread {
        /// Host and port.
        address: String,
        /// What was asked for.
        thread: String,
        /// What it says.
        message: String,
    },
    /// A token is asked for, or something else.
    #[error("{address} refuses the dump ({status}): {message}")]
    Refused {
        /// Host and port.
        address: String,
        /// The HTTP status.
        status: u16,
        /// What it says.
        message: String,
    },
    /// Something answers that is not Lodestar.
    #[error("{address} answers, but not as Lodestar does: {reason}")]
    NotLodestar {
        /// Host and port.
        address: String,
        /// What is odd.
        reason: String,
    },
    /// The thread's name is none of Lodestar's.
    #[error("Lodestar's threads are main, network and discv5, not `{thread}`")]
    UnknownThread {
        /// What was asked for.
        thread: String,
    },
}

impl LodestarError {
    /// What the user can do about it.
    pub fn hint(&self) -> String {
        match self {
            LodestarError::NoRoute { .. } => {
                "the namespace `lodestar` is off by default: start the node with --rest.namespace '*', or use its pid \
                 as the target"
                    .into()
            }
            LodestarError::Busy { .. } => "wait until it is done".into(),
            LodestarError::NoThread { .. } => {
                "use its pid as the target: that reaches every thread there is".into()
            }
            LodestarError::Refused { .. } => {
                "--dirpath must name a folder on the node's machine that the node may write to".into()
            }
            LodestarError::NotLodestar { .. } => {
                "check host and port: the REST address is http://127.0.0.1:9596 unless configured otherwise".into()
            }
            LodestarError::UnknownThread { .. } => "its pid as the target reaches every thread".into(),
        }
    }
}

/// Asks a node for a dump; the path is on the node's machine.
///
/// # Errors
/// In words, with a hint.
pub async fn lodestar_dump(
    address: &str,
    prefix: &str,
    thread: &str,
    dirpath: &str,
    stop: &AtomicBool,
) -> Result<PathBuf, CaptureError> {
    // Lodestar takes any other name for main without a word.
    if !["main", "network", "discv5"].contains(&thread) {
        return Err(LodestarError::UnknownThread { thread: thread.to_owned() }.into());
    }
    let path = format!(
        "{prefix}/eth/v1/lodestar/write_heapdump?thread={thread}&dirpath={}",
        percent_encoded(dirpath)
    );
    let answer = unless_stopped(stop, http::request(address, Method::POST, &path, PATIENCE)).await??;
    Ok(understand(&answer, address, thread)?)
}

#[derive(Deserialize)]
struct Success {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    filepath: String,
}

#[derive(Deserialize)]
struct Refusal {
    message: String,
}

fn understand(answer: &Answer, address: &str, thread: &str) -> Result<PathBuf, LodestarError> {
    let address = address.to_owned();
    let message = serde_json::from_slice(&answer.body).map(|r: Refusal| r.message);
    match (answer.status, message) {
        (StatusCode::OK, _) => {
            let success: Success = serde_json::from_slice(&answer.body).map_err(|e| {
                LodestarError::NotLodestar { address: address.clone(), reason: e.to_string() }
            })?;
            let path = PathBuf::from(&success.data.filepath);
            // With discv5 off it answers 200 and `no discv5`, and on another runtime with a whole sentence.
            if path.extension().is_none_or(|e| e != "heapsnapshot") {
                let message = success.data.filepath;
                return Err(LodestarError::NoThread { address, thread: thread.to_owned(), message });
            }
            Ok(path)
        }
        (StatusCode::NOT_FOUND, Ok(message)) => Err(LodestarError::NoRoute { address, message }),
        (_, Ok(message)) if message.contains("Already writing") => Err(LodestarError::Busy { address }),
        (_, Ok(message)) if message.contains("configure network thread") => {
            Err(LodestarError::NoThread { address, thread: thread.to_owned(), message })
        }
        (status, Ok(message)) => Err(LodestarError::Refused { address, status: status.as_u16(), message }),
        (status, Err(_)) => {
            Err(LodestarError::NotLodestar { address, reason: format!("it says {status} without a message") })
        }
    }
}

/// Reads a file that may still be growing until its JSON closes; with a sink, a copy goes there.
///
/// # Errors
/// If the file can't be read, or stops growing before it is complete.
pub async fn follow(
    path: &Path,
    mut sink: Option<Sink>,
    stop: &AtomicBool,
    watch: &mut (dyn FnMut(u64) + Send),
) -> Result<Written, CaptureError> {
    let failed = |error| CaptureError::Io { what: format!("can't read `{}`", path.display()), error };
    let mut file = File::open(path).map_err(failed)?;
    let mut complete = Complete::default();
    let mut bytes = 0;
    let mut grew = Instant::now();
    loop {
        if stop.load(Ordering::Relaxed) {
            return Err(CdpError::Interrupted.into());
        }
        let mut piece = vec![0; PIECE];
        let read = match file.read(&mut piece) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error)),
        };
        if read == 0 {
            if complete.is_complete() {
                break;
            }
            if grew.elapsed() > SETTLED {
                return Err(SinkError::Incomplete { bytes }.into());
            }
            tokio::time::sleep(POLL).await;
            continue;
        }
        grew = Instant::now();
        piece.truncate(read);
        bytes += read as u64;
        complete.feed(&piece);
        if let Some(sink) = &mut sink {
            unless_stopped(stop, sink.send(piece)).await??;
        }
        watch(bytes);
    }
    match sink {
        Some(sink) => Ok(unless_stopped(stop, sink.finish()).await??),
        None => Ok(Written { json_bytes: bytes, bytes }),
    }
}

/// A value for a query.
fn percent_encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: u16, body: &str, expected: &str) {
        let answer = Answer { status: StatusCode::from_u16(status).unwrap(), body: body.as_bytes().to_vec() };
        let got = match understand(&answer, "node:9596", "discv5") {
            Ok(path) => path.display().to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(got, expected);
    }

    #[test]
    fn answers_of_a_node_are_understood() {
        check(
            200,
            r#"{"data":{"filepath":"/tmp/network_thread_2026-03-10T14:03:29.032Z.heapsnapshot"}}"#,
            "/tmp/network_thread_2026-03-10T14:03:29.032Z.heapsnapshot",
        );
        check(200, r#"{"data":{"filepath":"no discv5"}}"#, "node:9596 runs no thread `discv5`: no discv5");
        check(
            404,
            r#"{"code":404,"message":"Route POST:/eth/v1/lodestar/write_heapdump not found"}"#,
            "node:9596 has no route for heap dumps (404): Route POST:/eth/v1/lodestar/write_heapdump not found",
        );
        check(
            500,
            r#"{"code":500,"message":"Already writing heapdump"}"#,
            "node:9596 is writing another heap dump already",
        );
        check(
            500,
            r#"{"code":500,"message":"Method not implemented, please configure network thread"}"#,
            "node:9596 runs no thread `discv5`: Method not implemented, please configure network thread",
        );
        check(
            500,
            r#"{"code":500,"message":"ENOENT: no such file or directory"}"#,
            "node:9596 refuses the dump (500): ENOENT: no such file or directory",
        );
        check(
            502,
            "<html>",
            "node:9596 answers, but not as Lodestar does: it says 502 Bad Gateway without a message",
        );
    }

    #[test]
    fn a_folder_with_odd_characters_survives_the_query() {
        assert_eq!(percent_encoded("/var/my dumps/ü&x=1"), "/var/my%20dumps/%C3%BC%26x%3D1");
    }
}
