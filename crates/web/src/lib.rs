//! The local web page of `twinheap open`, and the API behind it.
//!
//! [`Server`] listens on loopback; `guard` checks token, host and origin; `assets` has the page that `ui/` is built
//! to; `files` reads the files one after the other on a thread of its own and tells how far it is. `heap_view` keeps
//! an analysed snapshot with the orders of its lists, and `api` answers: always one page of a list, never the graph.
//! The routes and what they answer are described in `API.md`.
//!
//! How a file is read is not known here: the caller lends a [`Load`].

mod answer;
mod api;
mod assets;
mod cache;
mod files;
mod guard;
mod heap_view;
mod lists;
mod native_view;
mod rows;
mod tiles;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::sync::watch;
use twinheap_http::Token;

pub use files::{Content, FileProgress, Load, Loaded, Problem};

/// How often the flag is looked at that ends the server.
const POLL: Duration = Duration::from_millis(50);
/// Threads that answer; the work itself is done on others.
const ANSWERING: usize = 2;

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebError {
    /// Others could connect.
    #[error("{0} can be reached from other machines, and the page shows everything a process knew")]
    Exposed(SocketAddr),
    /// The address can't be had.
    #[error("can't listen on {address}: {error}")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// The system refuses something.
    #[error("can't start the server: {0}")]
    Io(#[from] io::Error),
}

impl WebError {
    /// What the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            WebError::Exposed(_) => {
                "listen on 127.0.0.1, and reach it from elsewhere with `ssh -L PORT:127.0.0.1:PORT HOST`"
            }
            WebError::Listen { error, .. } if error.kind() == io::ErrorKind::AddrInUse => {
                "another program listens there; choose another port with --listen, or leave it out"
            }
            WebError::Listen { .. } => "choose another address with --listen",
            WebError::Io(_) => "see the system's message",
        }
    }
}

/// A server that listens already.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    token: Token,
    files: Arc<files::Files>,
    idle: Option<Duration>,
}

impl Server {
    /// Listens. The files are read once [`Server::run`] is called.
    ///
    /// # Errors
    /// If the address is not on loopback, or can't be had.
    pub fn bind(listen: SocketAddr, files: Vec<PathBuf>) -> Result<Server, WebError> {
        if !listen.ip().to_canonical().is_loopback() {
            return Err(WebError::Exposed(listen));
        }
        let failed = |error| WebError::Listen { address: listen, error };
        let listener = TcpListener::bind(listen).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let files = Arc::new(files::Files::new(files));
        Ok(Server { listener, address, token: Token::random()?, files, idle: None })
    }

    /// Ends also when nobody has asked for anything for so long: for where nobody is there to end it.
    #[must_use]
    pub fn ends_after(mut self, idle: Duration) -> Server {
        self.idle = Some(idle);
        self
    }

    /// Where it listens: with port 0 the system chose one.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The page's address, with the token: whoever has it sees everything.
    pub fn url(&self) -> String {
        format!("http://{}/{}/", self.address, self.token.reveal())
    }

    /// Reads the files with `load` and answers until `stop` is raised, or its time is over.
    ///
    /// # Errors
    /// If the system has no threads.
    pub fn run(self, load: impl Load, stop: &'static AtomicBool) -> Result<(), WebError> {
        let Server { listener, address, token, files, idle } = self;
        let reading = Arc::clone(&files);
        // It is not waited for: what it does is in memory only, and ends with the process.
        std::thread::Builder::new().name("load".into()).spawn(move || reading.load_all(&load))?;
        let app = Arc::new(api::App { token, host: address.ip().to_string(), files, asked: Clock::new() });
        let runtime = Builder::new_multi_thread().worker_threads(ANSWERING).enable_all().build()?;
        let ended = runtime.block_on(serve(listener, app, stop, idle));
        // An answer that is being worked out has nobody left who waits for it.
        runtime.shutdown_background();
        ended
    }
}

async fn serve(
    listener: TcpListener,
    app: Arc<api::App>,
    stop: &AtomicBool,
    idle: Option<Duration>,
) -> Result<(), WebError> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let (stopped, is_stopped) = watch::channel(false);
    let clock = Arc::clone(&app);
    let stopping = async {
        let is_over = || idle.is_some_and(|idle| clock.asked.since() >= idle);
        while !stop.load(Ordering::Relaxed) && !is_over() {
            tokio::time::sleep(POLL).await;
        }
        stopped.send_replace(true);
    };
    tokio::join!(stopping, twinheap_http::serve(listener, api::router(app), is_stopped));
    Ok(())
}

/// When somebody who may ask has asked last.
pub(crate) struct Clock {
    began: Instant,
    /// Milliseconds after that.
    last: AtomicU64,
}

impl Clock {
    fn new() -> Clock {
        Clock { began: Instant::now(), last: AtomicU64::new(0) }
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_millis().try_into().unwrap_or(u64::MAX)
    }

    pub(crate) fn touch(&self) {
        self.last.store(self.now(), Ordering::Relaxed);
    }

    fn since(&self) -> Duration {
        Duration::from_millis(self.now().saturating_sub(self.last.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::path::Path;

    use super::*;

    struct Nothing;

    impl Load for Nothing {
        fn load(&self, _: &Path, _: &Arc<FileProgress>) -> Result<Loaded, Problem> {
            Err(Problem { error: "nothing".to_owned(), hint: String::new() })
        }

        fn package_of(_: &twinheap_native::FrameView<'_>) -> Option<String> {
            None
        }
    }

    #[test]
    fn a_server_that_nobody_asks_ends_by_itself() {
        static STOP: AtomicBool = AtomicBool::new(false);
        let server = Server::bind((Ipv4Addr::LOCALHOST, 0).into(), Vec::new()).expect("a free port");
        server.ends_after(Duration::from_millis(1)).run(Nothing, &STOP).expect("threads");
    }

    #[test]
    fn a_question_starts_the_time_again() {
        let clock = Clock { began: Instant::now() - Duration::from_secs(9), last: AtomicU64::new(0) };
        assert!(clock.since() >= Duration::from_secs(9));
        clock.touch();
        assert!(clock.since() < Duration::from_secs(9));
    }
}
