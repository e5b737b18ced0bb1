//! The HTTP endpoint that takes heap snapshots of a Node.js process on request.
//!
//! [`Server`] listens; `routes` checks who asks and for what; `gate` lets one dump begin at a time, and not too
//! many of them; `keeper` owns the only connection to the process, on a thread of its own; `folder` and
//! `place` see to it that bytes end up where they may, whole or not at all.
//!
//! Rules: a dump costs the token, also on loopback. Nobody waits in a queue. What can be looked at without touching
//! the process's event loop is, and what can't is cached.

mod answer;
mod folder;
mod gate;
mod keeper;
mod metrics;
mod place;
mod routes;
mod target;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use twinheap_capture::{CaptureError, DumpOptions, OpenOptions, Target};

use crate::folder::Allowed;
use crate::gate::Gate;
use crate::keeper::Keeper;
use crate::metrics::Counts;
use crate::routes::App;
use crate::target::Watched;

pub use gate::{Rate, RateError};
pub use twinheap_http::{Token, TokenError};

/// How often the flag is looked at that ends the server.
const POLL: Duration = Duration::from_millis(50);
/// One dump and one look at the heaps may wait for the keeper; nothing else ever does.
const WAITING_ORDERS: usize = 4;

/// Takes lines that tell what happens.
pub type Log = Arc<dyn Fn(&str) + Send + Sync>;

/// What is served, to whom, and how.
#[derive(Clone)]
pub struct Options {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Whether others than this machine's users may connect.
    pub is_exposed: bool,
    /// What a dump costs.
    pub token: Token,
    /// The folder that dumps may go to, with all folders in it.
    pub folder: PathBuf,
    /// How often a dump may be taken.
    pub rate: Rate,
    /// The process.
    pub target: Target,
    /// The longest pause of a dump.
    pub max_pause: Option<Duration>,
    /// Take dumps although the machine hasn't the room.
    pub force: bool,
    /// Replace the values in all dumps.
    pub redact: bool,
    /// How long the process may take to open its inspector.
    pub patience: Duration,
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Others could connect, and nobody said that they may.
    #[error("{0} can be reached from other machines")]
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
    /// There is no folder for the dumps.
    #[error("can't use the folder `{}`: {error}", .path.display())]
    Folder {
        /// What was asked for.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// The process can't be looked into.
    #[error(transparent)]
    Target(#[from] CaptureError),
    /// A Lodestar node takes its dumps itself.
    #[error("{0} is a REST address, and has an endpoint for dumps of its own")]
    Rest(Target),
    /// The system refuses something.
    #[error("can't start the server: {0}")]
    Io(#[from] io::Error),
}

impl ServeError {
    /// What the user can do about it.
    pub fn hint(&self) -> String {
        match self {
            ServeError::Exposed(_) => {
                "a dump holds everything the process knows, and the token travels in the clear: \
                 listen on 127.0.0.1, or say --expose-beyond-loopback"
                    .into()
            }
            ServeError::Listen { error, .. } if error.kind() == io::ErrorKind::AddrInUse => {
                "another program listens there; choose another port with --listen".into()
            }
            ServeError::Listen { .. } => "choose another address with --listen".into(),
            ServeError::Folder { .. } => "make it first, or name another one with --dir".into(),
            ServeError::Target(error) => error.hint(),
            ServeError::Rest(_) => "use its pid: --pid PID".into(),
            ServeError::Io(_) => "see the system's message".into(),
        }
    }
}

/// Why a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The flag was raised.
    Interrupted,
    /// By SIGTERM.
    Terminated,
}

/// A server that listens already.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    folder: Allowed,
    watched: Watched,
    options: Options,
    log: Log,
}

impl Server {
    /// Listens. Nothing is answered before [`Server::run`].
    ///
    /// # Errors
    /// In words, with a hint.
    pub fn bind(options: Options, log: Log) -> Result<Server, ServeError> {
        let address = options.listen;
        if !options.is_exposed && !address.ip().to_canonical().is_loopback() {
            return Err(ServeError::Exposed(address));
        }
        if let Target::Lodestar { .. } = options.target {
            return Err(ServeError::Rest(options.target));
        }
        let folder = Allowed::open(&options.folder)
            .map_err(|error| ServeError::Folder { path: options.folder.clone(), error })?;
        let watched = Watched::new(options.target.clone())?;
        let failed = |error| ServeError::Listen { address, error };
        let listener = TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Server { listener, address, folder, watched, options, log })
    }

    /// Where it listens: with port 0 the system chose one.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The folder that dumps may go to.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Serves until `stop` is raised. Then the process is left as it was found, and no half-written file stays.
    ///
    /// # Errors
    /// If the system has no threads or no random numbers.
    pub fn run(self, stop: &'static AtomicBool) -> Result<Ended, ServeError> {
        let Server { listener, address, folder, watched, options, log } = self;
        let salt = if options.redact { Some(twinheap_http::random_bytes::<32>()?.to_vec()) } else { None };
        let dump_options = DumpOptions {
            salt,
            max_pause_seconds: options.max_pause.map(|p| p.as_secs_f64()),
            force: options.force,
            ..DumpOptions::default()
        };
        let (watched, counts) = (Arc::new(watched), Arc::new(Counts::default()));
        let (orders, waiting) = mpsc::channel(WAITING_ORDERS);
        let keeper = Keeper {
            watched: Arc::clone(&watched),
            open: OpenOptions { patience: options.patience, if_in_doubt: options.force, stop },
            counts: Arc::clone(&counts),
            log,
            session: None,
        };
        let event_loop = Builder::new_current_thread().enable_all().build()?;
        let keeper = std::thread::Builder::new()
            .name("keeper".into())
            .spawn(move || event_loop.block_on(keeper.run(waiting)))?;
        let app = App {
            is_exposed: !address.ip().to_canonical().is_loopback(),
            host: address.ip().to_string(),
            token: options.token,
            folder,
            gate: Gate::new(options.rate),
            options: dump_options,
            watched,
            counts,
            orders,
            is_sampling: Arc::default(),
        };
        let event_loop = Builder::new_current_thread().enable_all().build()?;
        let ended = event_loop.block_on(serve(listener, app, stop));
        // With the last connection goes the last one who could give the keeper an order.
        drop(event_loop);
        stop.store(true, Ordering::SeqCst);
        if keeper.join().is_err() {
            return Err(io::Error::other("the connection to the process was given up").into());
        }
        ended
    }
}

async fn serve(listener: TcpListener, app: App, stop: &'static AtomicBool) -> Result<Ended, ServeError> {
    let mut terminations = signal(SignalKind::terminate())?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let (stopped, is_stopped) = watch::channel(false);
    let stopping = async {
        while !stop.load(Ordering::Relaxed) {
            tokio::time::sleep(POLL).await;
        }
        stopped.send_replace(true);
    };
    tokio::join!(stopping, twinheap_http::serve(listener, routes::router(app), is_stopped));
    // Whoever takes the signals has raised the flag; which one it was can be told here.
    let termination = tokio::time::timeout(Duration::ZERO, terminations.recv()).await;
    Ok(if termination.is_ok() { Ended::Terminated } else { Ended::Interrupted })
}
