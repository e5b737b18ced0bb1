//! What a dump is taken of.

use std::fmt;
use std::str::FromStr;

/// A TARGET of the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A process of this machine.
    Pid(u32),
    /// An inspector that listens, `host:port`.
    Inspector(String),
    /// One target of an inspector, `ws://host:port/id`.
    WebSocket {
        /// Host and port.
        address: String,
        /// The whole address.
        url: String,
    },
    /// The REST address of a Lodestar beacon node.
    Lodestar {
        /// Host and port.
        address: String,
        /// What stands before `/eth/…` in the path, without a slash at its end; mostly nothing.
        prefix: String,
    },
}

/// A TARGET that is none of the four.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no target: {reason}")]
pub struct TargetError {
    text: String,
    reason: &'static str,
}

impl TargetError {
    /// What the user can do about it.
    pub fn hint(&self) -> &'static str {
        "a target is a pid (see `twinheap ps`), host:port of an inspector, ws://host:port/id, or the \
         http://host:port of a Lodestar REST API"
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Target, TargetError> {
        let error = |reason| TargetError { text: text.to_owned(), reason };
        if let Some(rest) = text.strip_prefix("ws://") {
            let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
            let address = checked(address).ok_or_else(|| error("it has no port"))?;
            if path.is_empty() {
                return Ok(Target::Inspector(address));
            }
            return Ok(Target::WebSocket { address, url: text.to_owned() });
        }
        if let Some(rest) = text.strip_prefix("http://") {
            let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
            let address = checked(address)
                .or_else(|| checked(&format!("{address}:80")))
                .ok_or_else(|| error("it has no host"))?;
            let prefix = path.trim_end_matches('/');
            let prefix = if prefix.is_empty() { String::new() } else { format!("/{prefix}") };
            return Ok(Target::Lodestar { address, prefix });
        }
        if text.contains("://") {
            return Err(error("of the web's protocols only ws: and http: lead to a heap"));
        }
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return match text.parse() {
                Ok(0) | Err(_) => Err(error("there is no such pid")),
                Ok(pid) => Ok(Target::Pid(pid)),
            };
        }
        checked(text).map(Target::Inspector).ok_or_else(|| error("it is no pid and has no port"))
    }
}

/// `host:port` with a host and a port that can be.
fn checked(address: &str) -> Option<String> {
    let (host, port) = address.rsplit_once(':')?;
    // Two colons are an IPv6 address, which needs its brackets.
    let is_host = !host.is_empty() && (!host.contains(':') || (host.starts_with('[') && host.ends_with(']')));
    (is_host && port.parse::<u16>().is_ok_and(|p| p > 0)).then(|| address.to_owned())
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Pid(pid) => write!(f, "process {pid}"),
            Target::Inspector(address) => f.write_str(address),
            Target::WebSocket { url, .. } => f.write_str(url),
            Target::Lodestar { address, prefix } => write!(f, "http://{address}{prefix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&Target>) {
        assert_eq!(text.parse::<Target>().ok().as_ref(), expected, "{text}");
    }

    #[test]
    fn a_target_is_known_by_its_form() {
        let inspector = |address: &str| Target::Inspector(address.to_owned());
        let lodestar = |address: &str, prefix: &str| Target::Lodestar {
            address: address.to_owned(),
            prefix: prefix.to_owned(),
        };
        let url = "ws://localhost:9229/3f2f-8f73".to_owned();
        check("4711", Some(&Target::Pid(4711)));
        check("127.0.0.1:9229", Some(&inspector("127.0.0.1:9229")));
        check("[::1]:9229", Some(&inspector("[::1]:9229")));
        check("ws://localhost:9229/", Some(&inspector("localhost:9229")));
        check(&url.clone(), Some(&Target::WebSocket { address: "localhost:9229".to_owned(), url }));
        check("http://127.0.0.1:9596", Some(&lodestar("127.0.0.1:9596", "")));
        check("http://beacon/", Some(&lodestar("beacon:80", "")));
        check("http://proxy:8080/node1/", Some(&lodestar("proxy:8080", "/node1")));
        for text in [
            "",
            "0",
            "99999999999",
            "-1",
            "node",
            "::1:9229",
            "host:0",
            "host:http",
            "https://x:1",
            "ws://x/y",
        ] {
            check(text, None);
        }
    }
}
