//! Debug files from the servers that the user has set in `DEBUGINFOD_URLS`.
//!
//! They are asked last, for files that are nowhere on this machine, and what they send goes where their own clients keep
//! it (elfutils' `debuginfod_find_debuginfo(3)`), so that gdb finds it too and nobody asks twice. As there, an empty file
//! says that no server had one a short while ago.
//!
//! `http` is spoken here. For `https` curl is started, if it is installed: a TLS library of our own would be larger than
//! all the rest of the binary's network code.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::{Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::part_file::PartFile;

/// A server that says nothing for so long is given up.
const PATIENCE: Duration = Duration::from_secs(20);
/// The longest that a file may take, `DEBUGINFOD_MAXTIME`.
const LONGEST: Duration = Duration::from_secs(600);
/// The largest file, `DEBUGINFOD_MAXSIZE`.
const LARGEST: u64 = 4 << 30;
/// How long it counts that no server had a file: elfutils' `cache_miss_s`.
const MISS: Duration = Duration::from_secs(600);
/// Answers that send us elsewhere, one after the other.
const REDIRECTS: usize = 4;

/// Servers, and where the files go.
#[derive(Debug)]
pub(crate) struct Debuginfod {
    cache: PathBuf,
    largest: u64,
    longest: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Without those that did not answer: they are not asked again.
    servers: Vec<String>,
    fetched: u64,
    bytes: u64,
    problems: Vec<String>,
}

/// Why a server gave nothing.
enum Refusal {
    /// It has no such file.
    NotThere,
    /// It does not work; a sentence.
    Broken(String),
}

impl Debuginfod {
    /// The servers of this list, which has spaces between them.
    pub(crate) fn new(urls: &str, cache: PathBuf) -> Debuginfod {
        let setting = |name| std::env::var(name).ok()?.parse::<u64>().ok().filter(|&value| value > 0);
        let servers = urls.split_whitespace().map(|url| url.trim_end_matches('/').to_owned()).collect();
        Debuginfod {
            cache,
            largest: setting("DEBUGINFOD_MAXSIZE").unwrap_or(LARGEST),
            longest: setting("DEBUGINFOD_MAXTIME").map_or(LONGEST, Duration::from_secs),
            state: Mutex::new(State { servers, ..State::default() }),
        }
    }

    /// Sentences on what was fetched, and what went wrong.
    pub(crate) fn report(&self) -> (Option<String>, Vec<String>) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let words = format!("fetched {} debug files ({} bytes) by debuginfod", state.fetched, state.bytes);
        ((state.fetched > 0).then_some(words), state.problems.clone())
    }

    /// Makes sure that a file of the cache is there, if it is one, and some server has it.
    pub(crate) fn provide(&self, path: &Path) {
        let Some((id, what)) = self.request_of(path) else { return };
        match fs::metadata(path) {
            Ok(about) if about.len() > 0 => return,
            Ok(about) => {
                let age = about.modified().ok().and_then(|time| SystemTime::now().duration_since(time).ok());
                if age.is_none_or(|age| age < MISS) {
                    return;
                }
                // Whoever can't delete it can't replace it either.
                let _: io::Result<()> = fs::remove_file(path);
            }
            Err(_) => {}
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let servers = std::mem::take(&mut state.servers);
        let mut is_there = false;
        let mut was_asked = false;
        for server in servers {
            if is_there {
                state.servers.push(server);
                continue;
            }
            match self.fetch(&server, id, what, path) {
                Ok(bytes) => {
                    is_there = true;
                    state.fetched += 1;
                    state.bytes += bytes;
                    state.servers.push(server);
                }
                Err(Refusal::NotThere) => {
                    was_asked = true;
                    state.servers.push(server);
                }
                Err(Refusal::Broken(why)) => {
                    state.problems.push(format!("debuginfod server {server}: {why}; it was not asked again"));
                }
            }
        }
        if was_asked && !is_there {
            remember_miss(path);
        }
    }

    /// The build id and the kind of a file, if it is in the cache's form: `CACHE/HEX/debuginfo`.
    fn request_of<'p>(&self, path: &'p Path) -> Option<(&'p str, &'p str)> {
        let mut parts = path.strip_prefix(&self.cache).ok()?.iter();
        let (id, what) = (parts.next()?.to_str()?, parts.next()?.to_str()?);
        let is_hex = id.len() >= 8 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        (parts.next().is_none() && is_hex && matches!(what, "debuginfo" | "executable")).then_some((id, what))
    }

    /// Brings a file into the cache; its size.
    fn fetch(&self, server: &str, id: &str, what: &str, path: &Path) -> Result<u64, Refusal> {
        let here = |error: io::Error| Refusal::Broken(format!("can't write `{}`: {error}", path.display()));
        fs::create_dir_all(path.parent().unwrap_or(path)).map_err(here)?;
        let (part, mut file) = PartFile::create(path).map_err(here)?;
        let url = format!("{server}/buildid/{id}/{what}");
        if url.starts_with("https://") {
            self.by_curl(&url, &file)?;
        } else {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(here)?;
            let redirect = runtime.block_on(async {
                match timeout(self.longest, self.by_http(&url, &mut file)).await {
                    Ok(outcome) => outcome,
                    Err(_) => Err(Refusal::Broken("it takes too long".to_owned())),
                }
            })?;
            if let Some(url) = redirect {
                self.by_curl(&url, &file)?;
            }
        }
        let bytes = file.metadata().map_err(here)?.len();
        if bytes == 0 {
            return Err(Refusal::NotThere);
        }
        part.finish(&file).map_err(here)?;
        Ok(bytes)
    }

    /// Fetches by HTTP; where to go on if that is an address of another kind.
    async fn by_http(&self, url: &str, file: &mut File) -> Result<Option<String>, Refusal> {
        let mut url = url.to_owned();
        for _ in 0..REDIRECTS {
            let address: Uri = url.parse().map_err(|_| Refusal::Broken(format!("`{url}` is no address")))?;
            if address.scheme_str() == Some("https") {
                return Ok(Some(url));
            }
            let host = address.host().filter(|_| address.scheme_str() == Some("http"));
            let host = host.ok_or_else(|| Refusal::Broken("only http and https are known".to_owned()))?;
            let silent = |_| Refusal::Broken(format!("no answer within {} s", PATIENCE.as_secs()));
            let broken = |error: hyper::Error| Refusal::Broken(error.to_string());
            let port = address.port_u16().unwrap_or(80);
            let stream = timeout(PATIENCE, TcpStream::connect((host.trim_matches(['[', ']']), port)))
                .await
                .map_err(silent)?
                .map_err(|error| Refusal::Broken(error.to_string()))?;
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
            // It ends with the runtime, or when the answer is read.
            tokio::spawn(connection);
            let request = Request::get(address.path_and_query().map_or("/", |path| path.as_str()))
                .header(header::HOST, address.authority().map_or(host, |authority| authority.as_str()))
                .header(header::USER_AGENT, concat!("twinheap/", env!("CARGO_PKG_VERSION")))
                .header(header::CONNECTION, "close")
                .body(Empty::<Bytes>::new())
                .map_err(|error| Refusal::Broken(error.to_string()))?;
            let answer =
                timeout(PATIENCE, sender.send_request(request)).await.map_err(silent)?.map_err(broken)?;
            match answer.status() {
                StatusCode::OK => {
                    let mut body = answer.into_body();
                    let mut size = 0;
                    while let Some(frame) = timeout(PATIENCE, body.frame()).await.map_err(silent)? {
                        let Ok(bytes) = frame.map_err(broken)?.into_data() else { continue };
                        size += bytes.len() as u64;
                        if size > self.largest {
                            return Err(Refusal::Broken("a file is larger than DEBUGINFOD_MAXSIZE".into()));
                        }
                        file.write_all(&bytes).map_err(|error| Refusal::Broken(error.to_string()))?;
                    }
                    return Ok(None);
                }
                StatusCode::NOT_FOUND => return Err(Refusal::NotThere),
                status if status.is_redirection() => {
                    let to = answer.headers().get(header::LOCATION).and_then(|to| to.to_str().ok());
                    let to = to.ok_or_else(|| Refusal::Broken("it sends us nowhere".to_owned()))?;
                    url = match to.strip_prefix('/') {
                        Some(path) => format!("http://{host}:{port}/{path}"),
                        None => to.to_owned(),
                    };
                }
                status => return Err(Refusal::Broken(format!("it answers {status}"))),
            }
        }
        Err(Refusal::Broken("it sends us from one place to the next".to_owned()))
    }

    /// Fetches by curl, which knows TLS.
    fn by_curl(&self, url: &str, file: &File) -> Result<(), Refusal> {
        let broken = |error: io::Error| Refusal::Broken(error.to_string());
        let output = Command::new("curl")
            // The user's own settings are for other things.
            .arg("--disable")
            .args(["--silent", "--show-error", "--fail", "--location", "--proto", "=https,http"])
            .args(["--connect-timeout", &PATIENCE.as_secs().to_string()])
            .args(["--speed-limit", "1", "--speed-time", &PATIENCE.as_secs().to_string()])
            .args(["--max-time", &self.longest.as_secs().to_string()])
            .args(["--max-filesize", &self.largest.to_string()])
            .args(["--write-out", "%{stderr}%{http_code}", "--url", url])
            .stdin(Stdio::null())
            .stdout(file.try_clone().map_err(broken)?)
            .stderr(Stdio::piped())
            .output();
        let output = match output {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let why = "https needs curl, which is not installed";
                return Err(Refusal::Broken(why.to_owned()));
            }
            output => output.map_err(broken)?,
        };
        let words = String::from_utf8_lossy(&output.stderr);
        match output.status.success() {
            true => Ok(()),
            false if words.trim_end().ends_with("404") => Err(Refusal::NotThere),
            false => Err(Refusal::Broken(words.lines().next().unwrap_or("curl failed").to_owned())),
        }
    }
}

/// Notes that no server has a file. If it can't be noted, the servers are asked again the next time.
fn remember_miss(path: &Path) {
    use std::os::unix::fs::OpenOptionsExt as _;
    let _: io::Result<File> = File::options().write(true).create_new(true).mode(0o000).open(path);
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::net::TcpListener;
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    const ID: &str = "0123456789abcdef";

    /// A server that answers each request with the next of these, and tells what was asked.
    fn serve(answers: Vec<Vec<u8>>) -> (String, mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let (tell, asked) = mpsc::channel();
        thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().expect("a client");
                let mut request = BufReader::new(stream.try_clone().expect("a socket")).lines();
                tell.send(request.next().expect("a request").expect("text")).expect("somebody listens");
                while request.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
                // The client may have seen enough.
                let _: io::Result<()> = stream.write_all(&answer);
            }
        });
        (url, asked)
    }

    fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
        format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }

    /// Asks for a file; what is in the cache afterwards, what was asked, what there is to say.
    #[track_caller]
    fn check(answers: Vec<Vec<u8>>, expected: Option<&str>, asked: usize, problem: Option<&str>) {
        let folder = tempfile::tempdir().expect("a folder");
        let count = answers.len();
        let (url, requests) = serve(answers);
        let client = Debuginfod { largest: 1000, ..Debuginfod::new(&url, folder.path().join("cache")) };
        let path = folder.path().join("cache").join(ID).join("debuginfo");
        client.provide(&path);
        let got = fs::read_to_string(&path).ok().filter(|text| !text.is_empty());
        assert_eq!(got.as_deref(), expected);
        // Whatever came of it, nobody is asked again.
        client.provide(&path);
        let all: Vec<String> = requests.try_iter().collect();
        assert_eq!(all.len(), asked, "{all:?} of {count}");
        assert_eq!(all[0], format!("GET /buildid/{ID}/debuginfo HTTP/1.1"));
        let (told, problems) = client.report();
        assert_eq!(told.is_some(), expected.is_some());
        assert_eq!(problems.len(), usize::from(problem.is_some()), "{problems:?}");
        assert!(problem.is_none_or(|problem| problems[0].contains(problem)), "{problems:?}");
        let parts = fs::read_dir(path.parent().expect("a folder")).expect("made");
        let is_part = |entry: io::Result<fs::DirEntry>| {
            entry.expect("an entry").file_name().to_string_lossy().ends_with(".part")
        };
        assert!(!parts.into_iter().any(is_part));
    }

    #[test]
    fn files_are_fetched_once() {
        check(vec![answer("200 OK", "", "an ELF file")], Some("an ELF file"), 1, None);
        let moved = answer("302 Found", "Location: /elsewhere\r\n", "");
        check(vec![moved.clone(), answer("200 OK", "", "x")], Some("x"), 2, None);
        check(vec![moved; 4], None, 4, Some("from one place to the next"));
    }

    #[test]
    fn what_no_server_has_is_not_asked_for_again() {
        check(vec![answer("404 Not Found", "", "no")], None, 1, None);
        check(vec![answer("200 OK", "", "")], None, 1, None);
    }

    #[test]
    fn servers_that_fail_are_left_alone() {
        check(vec![answer("503 Service Unavailable", "", "")], None, 1, Some("it answers 503"));
        check(vec![answer("200 OK", "", &"x".repeat(1001))], None, 1, Some("DEBUGINFOD_MAXSIZE"));
        check(vec![b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut".to_vec()], None, 1, Some("server"));
        check(vec![b"nonsense\r\n\r\n".to_vec()], None, 1, Some("server"));
    }

    #[test]
    fn the_next_server_is_asked() {
        let folder = tempfile::tempdir().expect("a folder");
        let (first, _requests) = serve(vec![answer("404 Not Found", "", "")]);
        let (second, _others) = serve(vec![answer("200 OK", "", "found")]);
        let client = Debuginfod::new(&format!("{first}/ {second}"), folder.path().to_owned());
        let path = folder.path().join(ID).join("executable");
        client.provide(&path);
        assert_eq!(fs::read_to_string(&path).expect("fetched"), "found");
    }

    #[test]
    fn only_names_of_the_cache_are_asked_for() {
        let client = Debuginfod::new("http://127.0.0.1:1", "/cache".into());
        for (path, expected) in [
            ("/cache/0123456789ab/debuginfo", true),
            ("/cache/0123456789ab/executable", true),
            ("/cache/0123456789ab/source", false),
            ("/cache/0123456789ab/debuginfo/more", false),
            ("/cache/../0123456789/debuginfo", false),
            ("/cache/01/debuginfo", false),
            ("/lib/0123456789ab/debuginfo", false),
        ] {
            assert_eq!(client.request_of(Path::new(path)).is_some(), expected, "{path}");
        }
    }
}
