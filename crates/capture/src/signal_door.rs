//! Opening the inspector of a running process: on SIGUSR1, Node starts to listen for debuggers.
//!
//! The signal is sent only if Node itself answers it.
//! Without a handler it would kill the process, and a handler of the application would do whatever it does.
//! Whether what listens in the end speaks the inspector's protocol is for the caller to find out.

mod options;
mod signal_tree;
mod sockets;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal};

use crate::process::Proc;
pub use options::ConfiguredInspector;

/// Where Node listens unless it is told otherwise.
pub const DEFAULT_PORT: u16 = 9229;
/// How often the sockets are looked at while we wait.
const POLL: Duration = Duration::from_millis(5);
/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// SIGUSR1's bit in the masks of `/proc/PID/status`.
const SIGUSR1_BIT: u64 = 1 << (signal_tree::SIGUSR1 - 1);

/// What SIGUSR1 would do to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalState {
    /// Node opens its inspector.
    Opens,
    /// The application's own handler would run (`process.on('SIGUSR1', …)`), and the inspector stay closed.
    OwnHandler,
    /// Nothing would happen.
    Ignored,
    /// The process would die: it was started with `--disable-sigusr1`, took its own last handler away,
    /// or is so young that Node hasn't come to set its own.
    WouldKill,
    /// It is caught, but by whom can't be told.
    Unknown(Doubt),
}

/// Why it can't be told whose handler a signal has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// The executable was stripped, or libuv is a stripped library.
    NoSymbols,
    /// The kernel doesn't let us read the process's memory, as Yama does by default on Ubuntu and others.
    NoPermission,
    /// What was read is not libuv's tree of signal handlers.
    Garbled,
}

/// Where an inspector may be listening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Addresses to connect to, the likeliest first; never empty.
    pub candidates: Vec<SocketAddr>,
    /// Whether our signal opened it, so that it is ours to close.
    pub by_us: bool,
}

/// Why the inspector could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DoorError {
    /// There is no such process.
    #[error("there is no process {pid}")]
    NoSuchProcess {
        /// What was asked for.
        pid: u32,
    },
    /// It belongs to somebody else.
    #[error("process {pid} belongs to another user, and we may not send it signals or see its sockets")]
    NotPermitted {
        /// What was asked for.
        pid: u32,
    },
    /// The application handles the signal.
    #[error(
        "process {pid} has a SIGUSR1 handler of its own, which would run instead of Node's and open no inspector"
    )]
    OwnHandler {
        /// What was asked for.
        pid: u32,
    },
    /// Nobody handles the signal.
    #[error(
        "process {pid} doesn't handle SIGUSR1, which would kill it: it was started with --disable-sigusr1 or \
         --permission, removed its own handler, or has only just started"
    )]
    WouldKill {
        /// What was asked for.
        pid: u32,
    },
    /// The signal is ignored.
    #[error("process {pid} ignores SIGUSR1")]
    Ignored {
        /// What was asked for.
        pid: u32,
    },
    /// It is not certain that Node handles the signal, and the caller didn't want to risk it.
    #[error("process {pid} handles SIGUSR1, but whether Node does or the application can't be told: {}", .doubt.in_words())]
    InDoubt {
        /// What was asked for.
        pid: u32,
        /// Why.
        doubt: Doubt,
    },
    /// Somebody else listens where the inspector would, or the application does.
    #[error(
        "process {pid} was asked to open its inspector and didn't: its port {port} is taken by {}",
        holder_in_words(*.pid, *.holder)
    )]
    PortTaken {
        /// What was asked for.
        pid: u32,
        /// The port in question.
        port: u16,
        /// Who listens there, if we may see that.
        holder: Option<u32>,
    },
    /// The process is stopped.
    #[error("process {pid} is stopped (by SIGSTOP or a debugger) and can't open its inspector")]
    Stopped {
        /// What was asked for.
        pid: u32,
    },
    /// It ended while we waited.
    #[error("process {pid} ended while its inspector was to be opened")]
    Ended {
        /// What was asked for.
        pid: u32,
    },
    /// Nothing happened in time.
    #[error(
        "process {pid} was asked to open its inspector and didn't within {:.1} s",
        .waited.as_secs_f64()
    )]
    Silent {
        /// What was asked for.
        pid: u32,
        /// How long we waited.
        waited: Duration,
        /// What listened on loopback before: an inspector that was already open on an unusual port is among it.
        candidates: Vec<SocketAddr>,
    },
    /// The system refused for another reason.
    #[error("process {pid} can't be asked to open its inspector: {source}")]
    System {
        /// What was asked for.
        pid: u32,
        /// What the system said.
        source: io::Error,
    },
}

impl Doubt {
    /// Why, without a full stop.
    pub const fn in_words(self) -> &'static str {
        match self {
            Doubt::NoSymbols => "its executable has no symbol table",
            Doubt::NoPermission => "the kernel doesn't let us read its memory",
            Doubt::Garbled => "its table of signal handlers has an unknown form",
        }
    }
}

impl DoorError {
    /// What the user can do about it.
    pub fn hint(&self) -> String {
        const START: &str = "start the server with --inspect=127.0.0.1:0";
        match self {
            DoorError::NoSuchProcess { .. } => "`twinheap ps` lists the Node.js processes".into(),
            DoorError::NotPermitted { .. } => "run as the same user, or as root".into(),
            DoorError::OwnHandler { .. } | DoorError::Ignored { .. } => {
                format!("{START}, or let its own code write the dump with v8.writeHeapSnapshot()")
            }
            DoorError::WouldKill { .. } => format!("{START}; if it has only just started, try again"),
            DoorError::InDoubt { doubt: Doubt::NoPermission, .. } => {
                "run as root, or use --force if the application has no SIGUSR1 handler".into()
            }
            DoorError::InDoubt { .. } => "use --force if the application has no SIGUSR1 handler".into(),
            DoorError::PortTaken { .. } => {
                "start the server with --inspect-port=0 (any free port), or end what listens there".into()
            }
            DoorError::Stopped { pid } => format!("`kill -CONT {pid}` lets it go on"),
            DoorError::Ended { .. } => "look into its log".into(),
            DoorError::Silent { .. } => {
                "its main thread may be busy in native code: try again with more patience (--timeout)".into()
            }
            DoorError::System { .. } => "run as the same user, or as root".into(),
        }
    }

    fn from_io(pid: u32, source: io::Error) -> DoorError {
        const NO_SUCH_PROCESS: i32 = 3;
        match source.kind() {
            _ if source.raw_os_error() == Some(NO_SUCH_PROCESS) => DoorError::NoSuchProcess { pid },
            io::ErrorKind::NotFound => DoorError::NoSuchProcess { pid },
            io::ErrorKind::PermissionDenied => DoorError::NotPermitted { pid },
            _ => DoorError::System { pid, source },
        }
    }
}

/// The TCP sockets on which a process listens, in its own network, by address.
///
/// # Errors
/// If the process is gone or isn't ours.
pub fn listening_ports(pid: u32) -> io::Result<Vec<SocketAddr>> {
    sockets::listening(&Proc::live(), pid)
}

/// What the command line and `NODE_OPTIONS` say about the inspector; a hint only, since a process can change
/// both, and can open the inspector anywhere by itself.
///
/// # Errors
/// If the process is gone or isn't ours.
pub fn configured_inspector(pid: u32) -> io::Result<Option<ConfiguredInspector>> {
    let proc = Proc::live();
    // An unreadable environment is no reason to pass over the command line.
    let environment = proc.bytes(pid, "environ").unwrap_or_default();
    Ok(options::configured(&proc.bytes(pid, "cmdline")?, &environment))
}

/// What SIGUSR1 would do to the process now.
///
/// A native addon that caught the signal itself, past libuv, looks like Node.
///
/// # Errors
/// If the process is gone.
pub fn sigusr1_state(pid: u32) -> io::Result<SignalState> {
    let proc = Proc::live();
    let status = proc.status(pid)?;
    if status.ignored & SIGUSR1_BIT != 0 {
        return Ok(SignalState::Ignored);
    }
    if status.caught & SIGUSR1_BIT == 0 {
        return Ok(SignalState::WouldKill);
    }
    // Node catches the signal by itself, past libuv, and the application through libuv.
    Ok(match signal_tree::handled_by_libuv(&proc, pid) {
        Ok(signals) if signals.contains(&signal_tree::SIGUSR1) => SignalState::OwnHandler,
        Ok(_) => SignalState::Opens,
        Err(doubt) => SignalState::Unknown(doubt),
    })
}

/// Addresses where an inspector probably listens already: the configured port, or Node's default one.
///
/// # Errors
/// If the process is gone or isn't ours.
pub fn probably_open(pid: u32) -> Result<Vec<SocketAddr>, DoorError> {
    let failed = |source| DoorError::from_io(pid, source);
    let listening = listening_ports(pid).map_err(failed)?;
    let configured = configured_inspector(pid).map_err(failed)?;
    Ok(likely(&listening, configured.as_ref()))
}

/// Opens the inspector, or finds it open.
///
/// With `if_in_doubt` the signal is also sent to a process of which it can't be told who handles it.
///
/// # Errors
/// In words, with a hint. The process is unharmed, except by `if_in_doubt` where its own handler has run.
pub fn open(pid: u32, timeout: Duration, if_in_doubt: bool) -> Result<Opened, DoorError> {
    let candidates = probably_open(pid)?;
    if candidates.is_empty() {
        knock(pid, timeout, if_in_doubt)
    } else {
        Ok(Opened { candidates, by_us: false })
    }
}

/// Sends SIGUSR1 and waits for a new listening socket: [`open`] for a caller who knows that none of
/// [`probably_open`] is an inspector.
///
/// # Errors
/// As [`open`].
pub fn knock(pid: u32, timeout: Duration, if_in_doubt: bool) -> Result<Opened, DoorError> {
    let failed = |source| DoorError::from_io(pid, source);
    // Held before anything is asked, so that the answers and the signal are about the same process.
    let process = hold(pid).map_err(failed)?;
    let before = listening_ports(pid).map_err(failed)?;
    if Proc::live().status(pid).map_err(failed)?.state.eq_ignore_ascii_case(&'t') {
        return Err(DoorError::Stopped { pid });
    }
    match sigusr1_state(pid).map_err(failed)? {
        SignalState::Opens => {}
        SignalState::OwnHandler => return Err(DoorError::OwnHandler { pid }),
        SignalState::Ignored => return Err(DoorError::Ignored { pid }),
        SignalState::WouldKill => return Err(DoorError::WouldKill { pid }),
        SignalState::Unknown(_) if if_in_doubt => {}
        SignalState::Unknown(doubt) => return Err(DoorError::InDoubt { pid, doubt }),
    }
    let sent = Instant::now();
    process.send_sigusr1().map_err(failed)?;
    loop {
        let now = match listening_ports(pid) {
            Ok(now) => now,
            Err(_) => return Err(DoorError::Ended { pid }),
        };
        let new: Vec<SocketAddr> =
            now.into_iter().filter(|socket| !before.contains(socket)).map(reachable).collect();
        if !new.is_empty() {
            return Ok(Opened { candidates: new, by_us: true });
        }
        if sent.elapsed() >= timeout {
            break;
        }
        std::thread::sleep(POLL.min(timeout));
    }
    Err(why_silent(pid, sent.elapsed(), &before))
}

/// Connects to an address of the network that a process has, which inside a container is not ours.
///
/// # Errors
/// Those of the connection; without the right to enter the network (`CAP_SYS_ADMIN`), `PermissionDenied`.
pub fn connect_in_netns(pid: u32, address: SocketAddr) -> io::Result<TcpStream> {
    let proc = Proc::live();
    let theirs = fs::read_link(proc.path(pid, "ns/net"))?;
    if fs::read_link(proc.self_path("ns/net"))? == theirs {
        return TcpStream::connect_timeout(&address, CONNECT_TIMEOUT);
    }
    let network = File::open(proc.path(pid, "ns/net"))?;
    // A thread of its own: the network is a property of the thread, and a socket keeps the one it was made in.
    let connect = move || {
        use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
        move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?;
        TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)
    };
    let thread = std::thread::Builder::new().name("netns".into()).spawn(connect)?;
    thread.join().unwrap_or_else(|_| Err(io::Error::other("the connecting thread panicked")))
}

/// A process that can't be confused with a later one of the same pid.
enum Held {
    ByHandle(OwnedFd),
    /// Kernels before 5.3 have no handles.
    ByPid(Pid),
}

impl Held {
    fn send_sigusr1(&self) -> io::Result<()> {
        match self {
            Held::ByHandle(handle) => Ok(rustix::process::pidfd_send_signal(handle, Signal::USR1)?),
            Held::ByPid(pid) => Ok(rustix::process::kill_process(*pid, Signal::USR1)?),
        }
    }
}

fn hold(pid: u32) -> io::Result<Held> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
    match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
        Ok(handle) => Ok(Held::ByHandle(handle)),
        Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => Ok(Held::ByPid(pid)),
        Err(error) => Err(error.into()),
    }
}

/// Of what listens: first the configured inspector, then the default port.
fn likely(listening: &[SocketAddr], configured: Option<&ConfiguredInspector>) -> Vec<SocketAddr> {
    let ports = [configured.and_then(|configured| configured.port), Some(DEFAULT_PORT)];
    let mut candidates = Vec::new();
    for port in ports.into_iter().flatten() {
        let matching = listening.iter().filter(|socket| socket.port() == port).copied().map(reachable);
        candidates.extend(matching);
    }
    // Started to be inspected, on a port that only the process knows.
    if candidates.is_empty() && configured.is_some_and(|configured| configured.from_start) {
        candidates.extend(listening.iter().copied().filter(|socket| socket.ip().is_loopback()));
    }
    candidates.dedup();
    candidates
}

/// Where to connect for a socket that listens on all addresses.
fn reachable(mut socket: SocketAddr) -> SocketAddr {
    match socket.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => socket.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => socket.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    socket
}

fn holder_in_words(pid: u32, holder: Option<u32>) -> String {
    match holder {
        Some(holder) if holder == pid => "the application itself".into(),
        Some(holder) => format!("process {holder}"),
        None => "another process".into(),
    }
}

fn why_silent(pid: u32, waited: Duration, before: &[SocketAddr]) -> DoorError {
    let proc = Proc::live();
    match proc.status(pid) {
        Ok(status) if !matches!(status.state, 'Z' | 'X') => {
            if status.state.eq_ignore_ascii_case(&'t') {
                return DoorError::Stopped { pid };
            }
        }
        _ => return DoorError::Ended { pid },
    }
    let port = configured_inspector(pid).ok().flatten().and_then(|configured| configured.port);
    let port = port.unwrap_or(DEFAULT_PORT);
    // An inspector on that very port would have been found before the signal.
    if let Some(holder) = sockets::holder(&proc, pid, port) {
        return DoorError::PortTaken { pid, port, holder };
    }
    let candidates = before.iter().copied().filter(|socket| reachable(*socket).ip().is_loopback());
    DoorError::Silent { pid, waited, candidates: candidates.map(reachable).collect() }
}
