//! As much of an HTTP/1.1 client as the demo needs: POST without a body, over one loopback connection, to a
//! server that states the length of each answer.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::Interrupted;

/// How often a wait looks whether the user wants to stop.
pub(super) const POLL: Duration = Duration::from_millis(100);

/// Our server answers in a hundred bytes; whatever says more is not our server.
const LONGEST_ANSWER: usize = 64 * 1024;

/// One kept-alive connection.
pub(super) struct Client<'a> {
    stream: TcpStream,
    port: u16,
    token: String,
    /// What was received and belongs to no answer yet.
    received: Vec<u8>,
    stop: &'a AtomicBool,
}

impl<'a> Client<'a> {
    pub(super) fn connect(port: u16, token: String, stop: &'a AtomicBool) -> Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .with_context(|| format!("cannot connect to the server on port {port}"))?;
        // Thousands of small requests, one after the other: waiting for more to send would cost 40 ms each.
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(POLL))?;
        Ok(Self { stream, port, token, received: Vec::new(), stop })
    }

    /// Sends one request and returns the body of its answer; anything but status 200 is an error.
    pub(super) fn post(&mut self, target: &str, patience: Duration) -> Result<Vec<u8>> {
        let request = format!(
            "POST {target} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nAuthorization: Bearer {}\r\nContent-Length: 0\r\n\r\n",
            self.port, self.token
        );
        self.stream.write_all(request.as_bytes()).context("the server hung up")?;
        let (status, body) = self.answer(Instant::now() + patience)?;
        if status != 200 {
            bail!("the server answered {status} to {target}: {}", String::from_utf8_lossy(&body));
        }
        Ok(body)
    }

    fn answer(&mut self, deadline: Instant) -> Result<(u16, Vec<u8>)> {
        loop {
            if let Some(head) = Head::parse(&self.received)? {
                let end = head.length + head.body_length;
                if self.received.len() >= end {
                    let body = self.received[head.length..end].to_vec();
                    self.received.drain(..end);
                    return Ok((head.status, body));
                }
            }
            if self.received.len() > LONGEST_ANSWER {
                bail!("the answer is longer than {LONGEST_ANSWER} bytes");
            }
            self.receive(deadline)?;
        }
    }

    /// Waits for more bytes, and gives up when the time is over or the user wants to stop.
    fn receive(&mut self, deadline: Instant) -> Result<()> {
        let mut buffer = [0; 4096];
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Err(Interrupted.into());
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => bail!("the server hung up"),
                Ok(length) => {
                    self.received.extend_from_slice(&buffer[..length]);
                    return Ok(());
                }
                Err(error) if is_no_data_yet(&error) => {
                    if Instant::now() >= deadline {
                        bail!("the server did not answer in time");
                    }
                }
                Err(error) => return Err(error).context("the server hung up"),
            }
        }
    }
}

/// Platforms differ in what they call a read timeout; a signal that only interrupts the call is no error either.
fn is_no_data_yet(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

/// The start of an answer, up to and with the empty line.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    /// Bytes before the body.
    length: usize,
    /// Bytes of the body.
    body_length: usize,
}

impl Head {
    /// None while the empty line hasn't come.
    fn parse(received: &[u8]) -> Result<Option<Self>> {
        let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") else {
            return Ok(None);
        };
        let text = std::str::from_utf8(&received[..end]).context("the server doesn't speak HTTP")?;
        let mut lines = text.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.strip_prefix("HTTP/1.1 "))
            .and_then(|rest| rest.get(..3))
            .and_then(|status| status.parse().ok())
            .context("the server doesn't speak HTTP/1.1")?;
        let body_length = lines
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .and_then(|(_, value)| value.trim().parse().ok())
            .context("the server's answer has no length")?;
        if body_length > LONGEST_ANSWER {
            bail!("the answer is longer than {LONGEST_ANSWER} bytes");
        }
        Ok(Some(Self { status, length: end + 4, body_length }))
    }
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    static GO_ON: AtomicBool = AtomicBool::new(false);
    const SOON: Duration = Duration::from_secs(10);

    /// Posts `requests` to a listener that, for each, waits for the request and then sends one of `answers`,
    /// in pieces; it hangs up afterwards. Returns what the listener read and what the client made of it.
    fn exchange(targets: &[&str], answers: Vec<Vec<&'static str>>) -> (String, Vec<Result<String>>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let peer = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_nodelay(true).unwrap();
            let mut requests = String::new();
            for pieces in answers {
                let mut request = String::new();
                while !request.ends_with("\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    request.push(char::from(byte[0]));
                }
                requests += &request;
                for piece in pieces {
                    stream.write_all(piece.as_bytes()).unwrap();
                }
            }
            requests
        });
        let mut client = Client::connect(port, "secret".into(), &GO_ON).unwrap();
        let text = |body: Vec<u8>| String::from_utf8(body).unwrap();
        let results = targets.iter().map(|target| client.post(target, SOON).map(text)).collect();
        (peer.join().unwrap(), results)
    }

    fn error_of(answer: Vec<&'static str>) -> String {
        let (_, results) = exchange(&["/work"], vec![answer]);
        format!("{:#}", results[0].as_ref().unwrap_err())
    }

    #[test]
    fn a_request_names_host_token_and_an_empty_body() {
        let (requests, results) =
            exchange(&["/work"], vec![vec!["HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"]]);
        let (first, headers) = requests.split_once("\r\n").unwrap();
        assert_eq!(first, "POST /work HTTP/1.1");
        assert!(headers.contains("Host: 127.0.0.1:"), "{headers}");
        assert!(headers.contains("Authorization: Bearer secret\r\nContent-Length: 0\r\n\r\n"), "{headers}");
        assert_eq!(results[0].as_deref().unwrap(), "ok");
    }

    #[test]
    fn answers_in_pieces_and_several_on_one_connection() {
        let answers = vec![
            vec!["HTTP/1.1 200 OK\r\nCONTENT-LENGTH:", " 3\r\nx: y\r\n\r", "\no", "ne"],
            vec!["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"],
            vec!["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nthree"],
        ];
        let (_, results) = exchange(&["/1", "/2", "/3"], answers);
        let bodies: Vec<_> = results.iter().map(|result| result.as_deref().unwrap()).collect();
        assert_eq!(bodies, ["one", "", "three"]);
    }

    #[test]
    fn a_refusal_carries_the_servers_words() {
        let error = error_of(vec!["HTTP/1.1 403 Forbidden\r\ncontent-length: 7\r\n\r\nno door"]);
        assert_eq!(error, "the server answered 403 to /work: no door");
    }

    #[test]
    fn a_broken_answer_is_an_error_and_not_a_wait() {
        assert_eq!(error_of(vec![]), "the server hung up");
        assert_eq!(error_of(vec!["HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ncut"]), "the server hung up");
        assert_eq!(error_of(vec!["HTTP/1.1 200 OK\r\n\r\n"]), "the server's answer has no length");
        assert_eq!(error_of(vec!["SSH-2.0-OpenSSH\r\n\r\n"]), "the server doesn't speak HTTP/1.1");
        assert_eq!(
            error_of(vec!["HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n"]),
            "the answer is longer than 65536 bytes"
        );
    }

    #[test]
    fn waiting_ends_with_patience_or_with_the_users() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let stop = AtomicBool::new(false);
        let mut client = Client::connect(port, String::new(), &stop).unwrap();
        let error = client.post("/work", Duration::ZERO).unwrap_err();
        assert_eq!(error.to_string(), "the server did not answer in time");
        stop.store(true, Ordering::Relaxed);
        assert!(client.post("/work", SOON).unwrap_err().is::<Interrupted>());
    }
}
