//! A process whose inspector we talk to, and its isolates.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::agent::GET;
use crate::cdp::{Address, Cdp, CdpError, Incoming, unless_stopped};
use crate::error::CaptureError;
use crate::http::{self, Answer, HttpError};
use crate::process::{self, NodeProcess};
use crate::safety::HeapSize;
use crate::signal_door;
use crate::target::Target;
use crate::thread_names::{numbered, thread_names};

/// How long a process may take to say what it is. A busy event loop answers between two of its tasks.
const ASK_PATIENCE: Duration = Duration::from_secs(30);
/// A worker that doesn't say how large it is within this time is just starting, ending or stuck.
const WORKER_PATIENCE: Duration = Duration::from_secs(5);
/// How long the target may take to close what we opened.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);
/// An inspector lists its targets at once, even while JavaScript runs: another thread does that.
const LIST_PATIENCE: Duration = Duration::from_secs(10);

/// How a session begins.
#[derive(Clone, Copy, Debug)]
pub struct OpenOptions {
    /// How long the process may take to open its inspector.
    pub patience: Duration,
    /// Send SIGUSR1 although it can't be told who handles it.
    pub if_in_doubt: bool,
    /// Raised when the user wants to stop.
    pub stop: &'static AtomicBool,
}

/// What a process says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The pid by which it knows itself.
    pub own_pid: u32,
    /// As `process.version` has it, such as `v20.20.2`.
    pub version: String,
    /// Resident memory in bytes.
    pub rss_bytes: u64,
}

impl Facts {
    /// The first number of the version.
    pub fn major(&self) -> Option<u32> {
        process::major(&self.version)
    }
}

/// Sizes of an isolate's heap, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heap {
    /// Objects, dead ones too.
    pub used_bytes: u64,
    /// V8's pages.
    pub total_bytes: u64,
    /// Memory outside that JavaScript objects hold: backing stores of buffers.
    pub external_bytes: Option<u64>,
}

impl From<Heap> for HeapSize {
    fn from(heap: Heap) -> HeapSize {
        HeapSize { used_bytes: heap.used_bytes, total_bytes: heap.total_bytes }
    }
}

/// A V8 heap of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Isolate {
    /// `main`, the worker's name, or `worker-N`; unique in the process and fit for a file name.
    pub thread: String,
    /// As the inspector calls it.
    pub title: String,
    /// What runs in it, if the inspector says so.
    pub url: String,
    /// `None` if it did not answer in time.
    pub heap: Option<Heap>,
    pub(crate) address: Address,
}

impl Isolate {
    /// True for the isolate of the main thread.
    pub fn is_main(&self) -> bool {
        self.address == Address::Main
    }
}

/// A connection to a process. Close it with [`Session::close`]: what we opened is shut again there.
pub struct Session {
    pub(crate) cdp: Cdp,
    /// The process as this machine sees it, if it is one of this machine.
    pub process: Option<NodeProcess>,
    /// What it says about itself.
    pub facts: Facts,
    workers: Vec<Worker>,
    /// The pid whose inspector we opened, and where.
    opened: Option<(u32, SocketAddr)>,
}

/// What led to the process.
enum Origin {
    Process(Box<NodeProcess>),
    /// Host and port of its inspector.
    Address(String),
}

/// A worker as the inspector announced it.
struct Worker {
    session: String,
    title: String,
    url: String,
}

impl Session {
    /// Connects to a target that has an inspector, opening it if need be.
    ///
    /// # Errors
    /// In words, with a hint.
    pub async fn open(target: &Target, options: &OpenOptions) -> Result<Session, CaptureError> {
        match target {
            Target::Pid(pid) => open_pid(*pid, options).await,
            Target::Inspector(address) => {
                let address = address.clone();
                let found = find(&Connector::Direct(address.clone()), options.stop).await?;
                Session::begin(found, Origin::Address(address), None).await
            }
            Target::WebSocket { address, url } => {
                let connector = Connector::Direct(address.clone());
                let work = async { Ok(Cdp::connect(connector.stream().await?, url, options.stop).await?) };
                let cdp = connector.soon(options.stop, work).await?;
                Session::begin(cdp, Origin::Address(address.clone()), None).await
            }
            Target::Lodestar { address, .. } => Err(CaptureError::NotAnInspector {
                address: address.clone(),
                reason: "it is a REST address, and only its own dumps can be had from it".to_owned(),
            }),
        }
    }

    /// As [`Session::open`] for a process whose inspector is open already, where one expects it; `None` if it is
    /// closed. The process gets no signal.
    ///
    /// # Errors
    /// In words, with a hint.
    pub async fn open_if_listening(
        pid: u32,
        stop: &'static AtomicBool,
    ) -> Result<Option<Session>, CaptureError> {
        let process = process::inspect(pid)?;
        for address in signal_door::probably_open(pid)? {
            if let Some(cdp) = try_inspector(&process, address, stop).await? {
                return Session::begin(cdp, Origin::Process(Box::new(process)), None).await.map(Some);
            }
        }
        Ok(None)
    }

    async fn begin(
        mut cdp: Cdp,
        origin: Origin,
        opened: Option<(u32, SocketAddr)>,
    ) -> Result<Session, CaptureError> {
        let facts = match introduce(&mut cdp).await {
            Ok(facts) => facts,
            Err(error) => {
                if let Some((pid, address)) = opened {
                    shut(cdp, pid, address).await;
                }
                return Err(error);
            }
        };
        let process = match origin {
            Origin::Process(process) => Some(*process),
            Origin::Address(address) => local_process(&facts, &address),
        };
        let mut session = Session { cdp, process, facts, workers: Vec::new(), opened };
        if let Err(error) = session.find_workers().await {
            session.close().await;
            return Err(error);
        }
        Ok(session)
    }

    /// Attaches to all workers there are; later ones are announced as they come.
    async fn find_workers(&mut self) -> Result<(), CaptureError> {
        let mut events = Vec::new();
        let params = json!({"waitForDebuggerOnStart": false});
        let result = self
            .cdp
            .call_with(&Address::Main, "NodeWorker.enable", params, ASK_PATIENCE, &mut |e| events.push(e))
            .await;
        match result {
            // A process without worker threads in its build, or another runtime.
            Ok(_) | Err(CdpError::Refused { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        for event in events {
            self.note(event);
        }
        Ok(())
    }

    /// False if the isolate's thread has ended: nobody would answer for it any more.
    pub(crate) fn is_there(&mut self, isolate: &Isolate) -> bool {
        for event in self.cdp.take_missed() {
            self.note(event);
        }
        match &isolate.address {
            Address::Main => true,
            Address::Worker(session) => self.workers.iter().any(|w| w.session == *session),
        }
    }

    /// Keeps the list of workers.
    pub(crate) fn note(&mut self, event: Incoming) {
        match event {
            Incoming::Attached { session, title, url } => self.workers.push(Worker { session, title, url }),
            Incoming::Detached { session } => self.workers.retain(|w| w.session != session),
            _ => {}
        }
    }

    /// The isolates there are now and the sizes of their heaps: the main one first, workers in order of their
    /// number.
    ///
    /// # Errors
    /// If the main thread does not answer. A worker that doesn't has no heap.
    pub async fn isolates(&mut self) -> Result<Vec<Isolate>, CaptureError> {
        let mut events = self.cdp.take_missed();
        let heap = heap_usage(&mut self.cdp, &Address::Main, ASK_PATIENCE, &mut |e| events.push(e)).await;
        for event in events.drain(..) {
            self.note(event);
        }
        let heap = heap?;
        let mut isolates = vec![Isolate {
            thread: "main".to_owned(),
            title: "main".to_owned(),
            url: String::new(),
            heap: Some(heap),
            address: Address::Main,
        }];
        let mut workers: Vec<(Option<u64>, String, String, String)> = self
            .workers
            .iter()
            .map(|w| (numbered(&w.title).0, w.title.clone(), w.url.clone(), w.session.clone()))
            .collect();
        workers.sort();
        let names = thread_names(workers.iter().map(|w| w.1.as_str()));
        for ((_, title, url, session), thread) in workers.into_iter().zip(names) {
            let address = Address::Worker(session);
            let heap =
                match heap_usage(&mut self.cdp, &address, WORKER_PATIENCE, &mut |e| events.push(e)).await {
                    Ok(heap) => Some(heap),
                    Err(CdpError::ThreadEnded) => continue,
                    Err(CdpError::Timeout { .. } | CdpError::Refused { .. }) => None,
                    Err(error) => return Err(error.into()),
                };
            isolates.push(Isolate { thread, title, url, heap, address });
        }
        for event in events {
            self.note(event);
        }
        Ok(isolates)
    }

    /// Waits, and stays a good guest meanwhile: a process that exits waits until its debuggers have gone.
    ///
    /// # Errors
    /// If the process ends, or the user stops. Drop the session then: the process may be waiting for that.
    pub async fn idle_until(&mut self, time: Instant) -> Result<(), CaptureError> {
        while let Some(event) = self.cdp.next_until(time).await? {
            self.note(event);
        }
        Ok(())
    }

    /// Asks the process again how large it is.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn refresh_facts(&mut self) -> Result<(), CaptureError> {
        self.facts = facts(&mut self.cdp).await?;
        Ok(())
    }

    /// Evaluates an expression in an isolate's thread and returns its value.
    ///
    /// # Errors
    /// If it throws, or there is no answer.
    pub async fn evaluate(&mut self, isolate: &Isolate, expression: &str) -> Result<Value, CaptureError> {
        Ok(self.cdp.evaluate(&isolate.address, expression, ASK_PATIENCE).await?)
    }

    /// Disconnects, and closes the inspector if we opened it. True if it is as it was before.
    pub async fn close(self) -> bool {
        match self.opened {
            Some((pid, address)) => shut(self.cdp, pid, address).await,
            None => {
                self.cdp.close().await;
                true
            }
        }
    }

    /// True if the inspector was closed before, and will be again.
    pub fn is_opened_by_us(&self) -> bool {
        self.opened.is_some()
    }
}

/// For what has to be done although the user wants to stop.
static NEVER: AtomicBool = AtomicBool::new(false);

/// Closes an inspector that we opened and waits until its socket is gone; false if that doesn't happen.
async fn shut(mut cdp: Cdp, pid: u32, address: SocketAddr) -> bool {
    if cdp.is_leaving() {
        // It waits for nothing but our goodbye, and takes its inspector along.
        cdp.close().await;
        return true;
    }
    // Whatever made us leave, the door is to be shut.
    cdp.set_stop(&NEVER);
    // `close` waits for all connections to end, so it has to come after our goodbye; and at a safe point, so it
    // can't come by a timer of JavaScript's (see `pause`). This one is V8's own.
    let expression = format!(
        "((inspector) => {{ const cell = new Int32Array(new SharedArrayBuffer(4)); \
         Atomics.waitAsync(cell, 0, 0, 20).value.then(() => inspector.close()); }})({GET}('inspector'))"
    );
    // A thread that is busy right now gets the request all the same, and works on it later.
    let _: Result<Value, CdpError> = cdp.evaluate(&Address::Main, &expression, CLOSE_PATIENCE).await;
    cdp.close().await;
    let deadline = Instant::now() + CLOSE_PATIENCE;
    loop {
        let is_open = signal_door::listening_ports(pid)
            .is_ok_and(|ports| ports.iter().any(|p| p.port() == address.port()));
        if !is_open {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn open_pid(pid: u32, options: &OpenOptions) -> Result<Session, CaptureError> {
    // Another program's port is no reason to give up: the process may not have opened its own yet.
    if let Some(session) = Session::open_if_listening(pid, options.stop).await? {
        return Ok(session);
    }
    let process = process::inspect(pid)?;
    let (patience, if_in_doubt) = (options.patience, options.if_in_doubt);
    let opened = tokio::task::spawn_blocking(move || signal_door::knock(pid, patience, if_in_doubt)).await;
    let opened = match opened {
        Ok(Ok(opened)) => opened,
        Ok(Err(signal_door::DoorError::Silent { pid, waited, candidates })) => {
            // It may have been open all the time, where we did not expect it.
            for &address in &candidates {
                if let Some(cdp) = try_inspector(&process, address, options.stop).await? {
                    return Session::begin(cdp, Origin::Process(Box::new(process)), None).await;
                }
            }
            return Err(signal_door::DoorError::Silent { pid, waited, candidates }.into());
        }
        Ok(Err(error)) => return Err(error.into()),
        Err(error) => {
            let error = std::io::Error::other(error);
            return Err(CaptureError::Io { what: "can't wait for the inspector".to_owned(), error });
        }
    };
    for &address in &opened.candidates {
        match try_inspector(&process, address, options.stop).await {
            Ok(Some(cdp)) => {
                return Session::begin(cdp, Origin::Process(Box::new(process)), Some((pid, address))).await;
            }
            Ok(None) => {}
            Err(error) => {
                // It is open all the same.
                if let Ok(cdp) = find(&Connector::to(&process, address), &NEVER).await {
                    shut(cdp, pid, address).await;
                }
                return Err(error);
            }
        }
    }
    Err(CaptureError::NotAnInspector {
        address: opened.candidates.first().map(SocketAddr::to_string).unwrap_or_default(),
        reason: "it opened when SIGUSR1 was sent, and doesn't answer as one".to_owned(),
    })
}

/// Connects to an address if it is the inspector of this very process.
async fn try_inspector(
    process: &NodeProcess,
    address: SocketAddr,
    stop: &'static AtomicBool,
) -> Result<Option<Cdp>, CaptureError> {
    let mut cdp = match find(&Connector::to(process, address), stop).await {
        Ok(cdp) => cdp,
        Err(CaptureError::Cdp(CdpError::Interrupted)) => return Err(CdpError::Interrupted.into()),
        Err(CaptureError::Io { what, error }) => return Err(CaptureError::Io { what, error }),
        Err(_) => return Ok(None),
    };
    let pid = cdp.evaluate(&Address::Main, "process.pid", ASK_PATIENCE).await?;
    if pid.as_u64() == Some(u64::from(process.nspid)) {
        return Ok(Some(cdp));
    }
    cdp.close().await;
    Ok(None)
}

/// A way to an inspector.
enum Connector {
    Direct(String),
    InNetworkOf(u32, SocketAddr),
}

impl Connector {
    /// The way to an address as a process sees it.
    fn to(process: &NodeProcess, address: SocketAddr) -> Connector {
        if process.is_same_net_ns {
            Connector::Direct(address.to_string())
        } else {
            Connector::InNetworkOf(process.pid, address)
        }
    }

    fn address(&self) -> String {
        match self {
            Connector::Direct(address) => address.clone(),
            Connector::InNetworkOf(_, address) => address.to_string(),
        }
    }

    async fn stream(&self) -> Result<TcpStream, CaptureError> {
        match self {
            Connector::Direct(address) => TcpStream::connect(address)
                .await
                .map_err(|error| HttpError::Connect { address: address.clone(), error }.into()),
            &Connector::InNetworkOf(pid, address) => {
                let failed = |error| CaptureError::Io {
                    what: format!("can't connect to {address} in the network of process {pid}"),
                    error,
                };
                let connect = move || signal_door::connect_in_netns(pid, address);
                let joined = tokio::task::spawn_blocking(connect).await;
                let stream = joined.map_err(|e| failed(std::io::Error::other(e)))?.map_err(failed)?;
                stream.set_nonblocking(true).map_err(failed)?;
                TcpStream::from_std(stream).map_err(failed)
            }
        }
    }

    async fn get(&self, path: &str, stop: &AtomicBool) -> Result<Answer, CaptureError> {
        let work = async {
            let stream = self.stream().await?;
            let host = host(&stream, &self.address());
            Ok(http::request_on(stream, &host, Method::GET, path).await?)
        };
        self.soon(stop, work).await
    }

    /// Connects to one of the inspector's targets.
    async fn attach(&self, path: &str, stop: &'static AtomicBool) -> Result<Cdp, CaptureError> {
        let work = async {
            let stream = self.stream().await?;
            let url = format!("ws://{}/{path}", host(&stream, &self.address()));
            Ok(Cdp::connect(stream, &url, stop).await?)
        };
        self.soon(stop, work).await
    }

    /// Waits for something that an inspector does at once.
    async fn soon<T>(
        &self,
        stop: &AtomicBool,
        work: impl Future<Output = Result<T, CaptureError>>,
    ) -> Result<T, CaptureError> {
        match unless_stopped(stop, tokio::time::timeout(LIST_PATIENCE, work)).await? {
            Ok(result) => result,
            Err(_) => Err(HttpError::Timeout { address: self.address(), patience: LIST_PATIENCE }.into()),
        }
    }
}

/// An entry of `/json/list`.
#[derive(Deserialize)]
struct Listed {
    #[serde(rename = "type")]
    kind: String,
    #[serde(rename = "webSocketDebuggerUrl")]
    url: Option<String>,
}

/// Connects to the inspector that listens there.
async fn find(connector: &Connector, stop: &'static AtomicBool) -> Result<Cdp, CaptureError> {
    let address = connector.address();
    let not =
        |reason: &str| CaptureError::NotAnInspector { address: address.clone(), reason: reason.to_owned() };
    if stop.load(Ordering::Relaxed) {
        return Err(CdpError::Interrupted.into());
    }
    let answer = connector.get("/json/list", stop).await?;
    let listed: Vec<Listed> = serde_json::from_slice(&answer.body)
        .map_err(|_| not(&format!("it answers {} to /json/list, and no list", answer.status)))?;
    let Some(node) = listed.into_iter().find(|l| l.kind == "node") else {
        return Err(not("it lists no target of type node"));
    };
    let url = node.url.ok_or_else(|| not("another debugger is attached that lets nobody in"))?;
    // The address in the list is how the target sees itself; behind a forwarded port that is not how we see it.
    let path = url.strip_prefix("ws://").and_then(|rest| rest.split_once('/')).map_or("", |(_, path)| path);
    connector.attach(path, stop).await
}

/// Asks a process what it is, and to tell us when it wants to exit.
async fn introduce(cdp: &mut Cdp) -> Result<Facts, CaptureError> {
    let facts = facts(cdp).await?;
    // A process that exits waits for its debuggers, without a word unless they ask for one.
    let params = json!({"enabled": true});
    let method = "NodeRuntime.notifyWhenWaitingForDisconnect";
    match cdp.call(&Address::Main, method, params, ASK_PATIENCE).await {
        Ok(_) | Err(CdpError::Refused { .. }) => Ok(facts),
        Err(error) => Err(error.into()),
    }
}

/// What we call the other side: a number, since Node answers no request for a name other than `localhost`.
fn host(stream: &TcpStream, address: &str) -> String {
    stream.peer_addr().map_or_else(|_| address.to_owned(), |peer| peer.to_string())
}

async fn facts(cdp: &mut Cdp) -> Result<Facts, CaptureError> {
    let expression = "[process.pid, process.version, process.memoryUsage.rss()]";
    let value = cdp.evaluate(&Address::Main, expression, ASK_PATIENCE).await?;
    match (value[0].as_u64(), value[1].as_str(), value[2].as_u64()) {
        (Some(pid), Some(version), Some(rss_bytes)) => Ok(Facts {
            own_pid: u32::try_from(pid).unwrap_or_default(),
            version: version.to_owned(),
            rss_bytes,
        }),
        _ => Err(CdpError::Protocol(format!("asked what it is, the process says {value}")).into()),
    }
}

/// The process behind an address, if it is one of this machine: it has the pid and the version, and listens there.
fn local_process(facts: &Facts, address: &str) -> Option<NodeProcess> {
    let process = process::inspect(facts.own_pid).ok()?;
    let port: u16 = address.rsplit_once(':')?.1.parse().ok()?;
    let is_it = process.is_same_pid_ns
        && process.version.as_ref().is_none_or(|v| *v == facts.version)
        && signal_door::listening_ports(process.pid).ok()?.iter().any(|p| p.port() == port);
    is_it.then_some(process)
}

async fn heap_usage(
    cdp: &mut Cdp,
    address: &Address,
    patience: Duration,
    on_event: &mut dyn FnMut(Incoming),
) -> Result<Heap, CdpError> {
    let value = cdp.call_with(address, "Runtime.getHeapUsage", json!({}), patience, on_event).await?;
    // V8 counts in doubles.
    let bytes = |name: &str| value[name].as_f64().map(|b| b as u64);
    Ok(Heap {
        used_bytes: bytes("usedSize").unwrap_or_default(),
        total_bytes: bytes("totalSize").unwrap_or_default(),
        external_bytes: bytes("backingStorageSize"),
    })
}
