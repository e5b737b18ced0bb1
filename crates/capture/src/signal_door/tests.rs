use std::net::TcpListener;
use std::process::Command;

use super::*;
use crate::node_under_test::{NodeUnderTest, VERSIONS, executable};

const PATIENCE: Duration = Duration::from_secs(20);
const ANY_PORT: &str = "--inspect-port=0";

#[track_caller]
fn check_state(major: u32, options: &[&str], script: &str, expected: SignalState) {
    let node = NodeUnderTest::start(major, options, script);
    let state = sigusr1_state(node.pid()).expect("it runs");
    assert_eq!(state, expected, "Node {major} {options:?} {script}");
}

#[test]
fn the_applications_handlers_are_told_from_nodes_own() {
    const USR1: &str = "process.on('SIGUSR1', () => {});";
    const OTHERS: &str =
        "for (const s of ['SIGTERM', 'SIGINT', 'SIGUSR2', 'SIGHUP', 'SIGWINCH']) process.on(s, () => {});";
    for major in VERSIONS {
        check_state(major, &[], "", SignalState::Opens);
        check_state(major, &[], OTHERS, SignalState::Opens);
        check_state(
            major,
            &[],
            "require('child_process').spawn('sleep', ['30']).unref()",
            SignalState::Opens,
        );
        check_state(
            major,
            &[],
            "new (require('worker_threads').Worker)('0', { eval: true })",
            SignalState::Opens,
        );
        check_state(major, &[], USR1, SignalState::OwnHandler);
        check_state(major, &[], &format!("{USR1} {OTHERS}"), SignalState::OwnHandler);
        check_state(major, &[], &format!("{OTHERS} {USR1}"), SignalState::OwnHandler);
        // Node's own handler doesn't come back.
        check_state(
            major,
            &[],
            &format!("{USR1} process.removeAllListeners('SIGUSR1')"),
            SignalState::WouldKill,
        );
        if major >= 22 {
            check_state(major, &["--disable-sigusr1"], "", SignalState::WouldKill);
        }
    }
}

#[test]
fn the_inspector_opens_on_any_free_port() {
    for major in VERSIONS {
        let node = NodeUnderTest::start(major, &[ANY_PORT], "");
        assert_eq!(probably_open(node.pid()).expect("it runs"), []);
        let opened =
            open(node.pid(), PATIENCE, false).unwrap_or_else(|error| panic!("Node {major}: {error}"));
        let [address] = opened.candidates[..] else { panic!("{opened:?}") };
        assert!(opened.by_us && address.ip().is_loopback(), "Node {major}: {opened:?}");
        connect_in_netns(node.pid(), address).expect("it listens");
    }
}

#[test]
fn the_inspector_opens_under_load() {
    let node = NodeUnderTest::start(20, &[ANY_PORT], "setImmediate(() => setImmediate(() => { for (;;); }))");
    assert!(open(node.pid(), PATIENCE, false).expect("V8 is interrupted").by_us);
}

#[test]
fn an_inspector_that_is_open_is_found_without_a_signal() {
    // The second one has chosen its port itself, which its options don't tell.
    for (options, script) in [
        (["--inspect=127.0.0.1:0"], "process.on('SIGUSR1', () => {})"),
        (["--inspect=0"], "process.title = 'x'.repeat(3); process.on('SIGUSR1', () => {})"),
    ] {
        let node = NodeUnderTest::start(24, &options, script);
        let listening = listening_ports(node.pid()).expect("it runs");
        assert_eq!(listening.len(), 1, "{listening:?}");
        let opened = open(node.pid(), PATIENCE, false);
        match opened {
            Ok(opened) => assert_eq!((opened.candidates, opened.by_us), (listening, false)),
            // With the title the options are gone.
            Err(DoorError::OwnHandler { .. }) => assert!(script.contains("title")),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn an_inspector_on_an_unusual_port_is_among_the_candidates() {
    let node = NodeUnderTest::start(22, &[ANY_PORT], "require('inspector').open(0)");
    let listening = listening_ports(node.pid()).expect("it runs");
    match open(node.pid(), Duration::from_millis(200), false) {
        Err(DoorError::Silent { candidates, .. }) => assert_eq!(candidates, listening),
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_is_sent_that_would_harm() {
    let node = NodeUnderTest::start(24, &["--disable-sigusr1"], "");
    let error = open(node.pid(), PATIENCE, true).expect_err("it would die");
    assert!(matches!(error, DoorError::WouldKill { .. }) && error.to_string().contains("--disable-sigusr1"));
    inspect_alive(&node);
    let script = "process.on('SIGUSR1', () => console.log('handled')); process.on('SIGUSR2', () => console.log('asked'))";
    let mut node = NodeUnderTest::start(20, &[], script);
    let error = open(node.pid(), PATIENCE, true).expect_err("it has its own");
    assert!(matches!(error, DoorError::OwnHandler { .. }), "{error}");
    // Had the first signal been sent, its line would come before this one.
    let pid = Pid::from_raw(node.pid().cast_signed()).expect("not 0");
    rustix::process::kill_process(pid, Signal::USR2).expect("it is ours");
    assert_eq!(node.next_line(), "asked");
}

#[track_caller]
fn inspect_alive(node: &NodeUnderTest) {
    assert!(crate::process::inspect(node.pid()).expect("it runs").is_alive());
}

#[test]
fn a_port_that_is_taken_is_said_with_who_holds_it() {
    let ours = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = ours.local_addr().expect("it listens").port();
    let node = NodeUnderTest::start(20, &[&format!("--inspect-port={port}")], "");
    let error = open(node.pid(), Duration::from_secs(1), false).expect_err("it is taken");
    let holder_is_us = Some(std::process::id());
    assert!(
        matches!(error, DoorError::PortTaken { port: found, holder, .. } if (found, holder) == (port, holder_is_us))
    );
    assert!(error.hint().contains("--inspect-port=0"));
    inspect_alive(&node);
}

#[test]
fn an_application_on_the_inspectors_port_is_said_to_be_in_the_way() {
    let script = "const server = require('net').createServer().listen(0, '127.0.0.1', () => console.log(server.address().port))";
    let mut first = NodeUnderTest::start(20, &[], script);
    let port = first.next_line();
    first.end();
    // The port was free a moment ago, and the test fails in words if it no longer is.
    let script =
        format!("require('net').createServer().listen({port}, '127.0.0.1', () => console.log('listening'))");
    let mut node = NodeUnderTest::start(20, &[&format!("--inspect-port={port}")], &script);
    node.wait_for("listening");
    assert!(!open(node.pid(), PATIENCE, false).expect("it looks like one").by_us);
    let error = knock(node.pid(), Duration::from_secs(1), false).expect_err("it is taken");
    assert!(error.to_string().ends_with("is taken by the application itself"), "{error}");
}

#[test]
fn a_stopped_process_gets_no_signal() {
    let node = NodeUnderTest::start(20, &[ANY_PORT], "");
    let pid = Pid::from_raw(node.pid().cast_signed()).expect("not 0");
    rustix::process::kill_process(pid, Signal::STOP).expect("it is ours");
    let stopped = || Proc::live().status(node.pid()).expect("it runs").state == 'T';
    while !stopped() {
        std::thread::yield_now();
    }
    let error = open(node.pid(), PATIENCE, false).expect_err("it can't");
    assert!(matches!(error, DoorError::Stopped { .. }), "{error}");
    rustix::process::kill_process(pid, Signal::CONT).expect("it is ours");
    assert!(open(node.pid(), PATIENCE, false).expect("it goes on").by_us);
}

#[test]
fn a_process_that_is_gone_is_said_to_be() {
    let mut node = NodeUnderTest::start(20, &[], "");
    node.end();
    let error = open(node.pid(), PATIENCE, false).expect_err("it is gone");
    assert!(matches!(error, DoorError::NoSuchProcess { .. }), "{error}");
}

#[test]
fn a_stripped_executable_leaves_a_doubt() {
    // Without section headers there are no symbols, and the program runs all the same.
    let folder = tempfile::TempDir::new().expect("a folder");
    let copy = folder.path().join("node");
    std::fs::copy(executable(20), &copy).expect("a copy");
    let file = std::fs::OpenOptions::new().write(true).open(&copy).expect("it is ours");
    std::os::unix::fs::FileExt::write_all_at(&file, &[0; 8], 0x28).expect("it is ours");
    std::os::unix::fs::FileExt::write_all_at(&file, &[0; 6], 0x3a).expect("it is ours");
    drop(file);
    let node = NodeUnderTest::run(Command::new(&copy).arg(ANY_PORT), "");
    assert_eq!(sigusr1_state(node.pid()).expect("it runs"), SignalState::Unknown(Doubt::NoSymbols));
    assert!(matches!(open(node.pid(), PATIENCE, false), Err(DoorError::InDoubt { .. })));
    assert!(open(node.pid(), PATIENCE, true).expect("Node's own").by_us);
}

#[test]
fn an_inspector_in_another_network_is_reached() {
    let mut command = Command::new("unshare");
    command.args(["--net", "--", "sh", "-c", "ip link set lo up && exec \"$0\" \"$@\""]);
    command.arg(executable(22)).arg(ANY_PORT);
    let may = Command::new("unshare").args(["--net", "--", "ip", "link", "set", "lo", "up"]).output();
    if !may.is_ok_and(|output| output.status.success()) {
        // Only root may make a network.
        return;
    }
    let node = NodeUnderTest::run(&mut command, "");
    assert!(!crate::process::inspect(node.pid()).expect("it runs").is_same_net_ns);
    let opened = open(node.pid(), PATIENCE, false).expect("it opens");
    let stream = connect_in_netns(node.pid(), opened.candidates[0]).expect("it listens there");
    assert_eq!(stream.peer_addr().expect("it is connected"), opened.candidates[0]);
    let own = fs::read_link("/proc/thread-self/ns/net").expect("ours");
    assert_eq!(own, fs::read_link("/proc/self/ns/net").expect("ours"), "this thread stayed where it was");
}

#[test]
fn the_likeliest_address_comes_first() {
    #[track_caller]
    fn check(listening: &[&str], configured: Option<(Option<u16>, bool)>, expected: &[&str]) {
        let sockets = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| text.parse().expect("an address")).collect()
        };
        let configured =
            configured.map(|(port, from_start)| ConfiguredInspector { host: None, port, from_start });
        assert_eq!(likely(&sockets(listening), configured.as_ref()), sockets(expected));
    }
    check(&[], None, &[]);
    check(&["127.0.0.1:3000"], None, &[]);
    check(&["127.0.0.1:3000", "127.0.0.1:9229"], None, &["127.0.0.1:9229"]);
    check(&["0.0.0.0:9229", "[::]:9229"], None, &["127.0.0.1:9229", "[::1]:9229"]);
    check(
        &["127.0.0.1:9229", "127.0.0.1:9300"],
        Some((Some(9300), false)),
        &["127.0.0.1:9300", "127.0.0.1:9229"],
    );
    check(&["127.0.0.1:4000", "0.0.0.0:80"], Some((None, true)), &["127.0.0.1:4000"]);
    check(&["127.0.0.1:4000"], Some((None, false)), &[]);
}
