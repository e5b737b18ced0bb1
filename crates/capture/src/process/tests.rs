use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::node_under_test::{NodeUnderTest, VERSIONS, executable};

const MB: u64 = 1_000_000;

#[test]
fn every_version_of_node_is_known_by_its_executable() {
    for major in VERSIONS {
        let node = NodeUnderTest::start(major, &[], "process.title = 'something else'");
        let process = inspect(node.pid()).unwrap_or_else(|error| panic!("Node {major}: {error}"));
        assert_eq!(process.major(), Some(major), "{:?}", process.version);
        assert!(process.command.starts_with("something else"), "{}", process.command);
        assert!(process.is_same_net_ns && process.is_same_mount_ns && process.is_same_pid_ns);
        assert_eq!(process.nspid, node.pid());
        assert!(process.rss_bytes > 20 * MB && process.threads > 4, "{process:?}");
        let v8 = process.v8_bytes.expect("smaps can be read");
        assert!(v8 > MB && v8 < process.rss_bytes, "Node {major}: {v8} of {}", process.rss_bytes);
        let ranges = dont_fork_ranges(node.pid()).expect("smaps can be read");
        assert!(ranges.len() > 3 && ranges.windows(2).all(|pair| pair[0].1 < pair[1].0), "Node {major}");
        let all = node_processes().expect("/proc is there");
        assert!(all.processes.iter().any(|found| found.pid == node.pid()), "Node {major}");
    }
}

#[test]
fn the_heap_shows_in_the_pages_that_are_not_forked() {
    for major in VERSIONS {
        let script = "globalThis.kept = Array.from({ length: 1e6 }, (_, i) => ({ i }))";
        let node = NodeUnderTest::start(major, &[], script);
        let process = inspect(node.pid()).expect("it runs");
        let v8 = process.v8_bytes.expect("smaps can be read");
        assert!(v8 > 25 * MB, "Node {major}: {v8}");
    }
}

#[test]
fn workers_have_names_since_node_24() {
    for major in VERSIONS {
        let script = "const { Worker } = require('worker_threads');
            const code = 'setInterval(() => {}, 1000); require(`worker_threads`).parentPort.postMessage(1)';
            let up = 0;
            const ready = () => { if (++up === 2) require('fs').readFile('/dev/null', () => console.log('workers')) };
            for (const name of ['network', undefined]) {
              new Worker(code, { eval: true, name }).on('message', ready);
            }";
        let mut node = NodeUnderTest::start(major, &[], script);
        node.wait_for("workers");
        let mut workers = inspect(node.pid()).expect("it runs").workers;
        workers.sort();
        let expected: &[&str] = if major >= 24 { &["WorkerThread", "network"] } else { &[] };
        assert_eq!(workers, expected, "Node {major}");
    }
}

#[test]
fn an_executable_that_was_deleted_is_still_known() {
    let folder = TempDir::new().expect("a folder");
    let copy = folder.path().join("renamed by a packager");
    fs::copy(executable(20), &copy).expect("a copy");
    let node = NodeUnderTest::run(&mut std::process::Command::new(&copy), "");
    fs::remove_file(&copy).expect("it is ours");
    assert_eq!(inspect(node.pid()).expect("it runs").major(), Some(20));
}

#[test]
fn a_process_is_gone_when_its_pid_is_another_ones() {
    let mut node = NodeUnderTest::start(20, &[], "");
    let process = inspect(node.pid()).expect("it runs");
    assert!(process.is_alive());
    assert!(!is_alive(process.pid, process.started + Duration::from_millis(10)));
    node.kill();
    // It may take a moment to die; nothing but its state tells.
    while process.is_alive() {
        std::thread::yield_now();
    }
    assert!(matches!(inspect(node.pid()), Err(ProcessError::Zombie { .. })));
    node.end();
    assert!(matches!(inspect(node.pid()), Err(ProcessError::NoSuchProcess { .. })));
}

#[test]
fn what_is_not_node_is_said_by_name() {
    let own = std::process::id();
    let error = inspect(own).expect_err("this is a test");
    let path = std::env::current_exe().expect("this test runs");
    assert!(matches!(&error, ProcessError::NotNode { exe, .. } if Path::new(exe) == path), "{error}");
    let node = NodeUnderTest::start(20, &[], "");
    let threads = Proc::live().threads(node.pid()).expect("it runs");
    let thread = threads.into_iter().find(|&thread| thread != node.pid()).expect("Node has several");
    let error = inspect(thread).expect_err("no process");
    assert!(error.hint().contains(&node.pid().to_string()), "{error}");
}

/// A `/proc` of one process with pid 7.
fn made_up(status: &str, exe: Option<&Path>) -> (TempDir, Proc) {
    let folder = TempDir::new().expect("a folder");
    let process = folder.path().join("7");
    fs::create_dir(&process).expect("a folder");
    fs::write(process.join("status"), status).expect("a file");
    let stat = "7 (a) b) S 1 7 7 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 11 0 123456 0 0";
    fs::write(process.join("stat"), stat).expect("a file");
    fs::write(process.join("cmdline"), "").expect("a file");
    if let Some(exe) = exe {
        symlink(exe, process.join("exe")).expect("a link");
    }
    let proc = Proc::at(folder.path());
    (folder, proc)
}

#[test]
fn a_process_in_a_container_has_a_second_pid() {
    let status = "Name:\tmy app\nState:\tS (sleeping)\nTgid:\t7\nUid:\t1\t1000\t2\t3\nNSpid:\t7\t3\t1\nThreads:\t11\nVmRSS:\t   2048 kB\n";
    let (_folder, proc) = made_up(status, Some(&executable(22)));
    let listing = list(&proc).expect("it is there");
    let [process] = &listing.processes[..] else { panic!("{listing:?}") };
    assert_eq!((process.pid, process.nspid, process.uid, process.threads), (7, 1, 1000, 11));
    assert_eq!((process.rss_bytes, process.v8_bytes), (2 << 20, None));
    assert_eq!(process.started, Duration::from_millis(1_234_560));
    assert_eq!((process.major(), &*process.command), (Some(22), "my app"));
    assert!(!process.is_same_net_ns);
}

#[test]
fn node_in_a_library_is_found_by_its_mapping() {
    // Debian's `node` is small and needs `libnode.so`.
    let status = "Name:\tnode\nState:\tS\nTgid:\t7\n";
    let (folder, proc) = made_up(status, Some(Path::new("/bin/true")));
    let maps = "7f00-7f10 r--p 00000000 fe:00 12   /usr/lib/x86 64/libnode.so.108\n";
    let process = folder.path().join("7");
    fs::write(process.join("maps"), maps).expect("a file");
    let look = || look(&proc, 7, &mut Known::default());
    assert_eq!(look().expect("its name tells").version, None);
    let library = process.join("root/usr/lib/x86 64/libnode.so.108");
    fs::create_dir_all(library.parent().expect("it has one")).expect("folders");
    symlink(executable(18), library).expect("a link");
    assert_eq!(look().expect("its symbols tell").major(), Some(18));
}

#[test]
fn kernel_threads_and_damaged_entries_are_no_node() {
    let (_folder, proc) = made_up("Name:\tkworker\nState:\tI\nTgid:\t7\n", None);
    assert_eq!(list(&proc).expect("it is there"), Listing::default());
    let error = look(&proc, 7, &mut Known::default()).expect_err("no executable");
    assert!(error.to_string().contains("in the kernel"), "{error}");
    let (_folder, proc) = made_up("", Some(Path::new("/dev/null")));
    assert_eq!(list(&proc).expect("it is there"), Listing::default());
}

#[test]
fn ranges_that_touch_are_one() {
    let smaps = "1000-2000 rw-p 0 0:0 0\nRss:     4 kB\nVmFlags: rd wr dc nr \n\
                 2000-3000 rw-p 0 0:0 0\nRss:     8 kB\nVmFlags: rd dc\n\
                 3000-4000 rw-p 0 0:0 0 [heap]\nRss:    16 kB\nVmFlags: rd wr\n\
                 4000-5000 rw-p 0 0:0 0 /a-b\nRss:    32 kB\nVmFlags: dc\n\
                 6000-7000 rw-p 0 0:0 0\nRss:    64 kB\nVmFlags: mr mw\n";
    assert_eq!(proc::dont_fork(smaps), (vec![(0x1000, 0x3000), (0x4000, 0x5000)], 44 * 1024));
    assert_eq!(proc::dont_fork("VmFlags: dc\nRss: x\nz-y\n"), (vec![], 0));
}

#[test]
fn a_command_line_becomes_one_short_line() {
    #[track_caller]
    fn check(cmdline: &[u8], expected: &str) {
        assert_eq!(shorten(cmdline), expected);
    }
    check(b"node\0app.js\0--name\0a b\0", "node app.js --name a b");
    check(b"", "");
    check(b"node\0\0\0", "node");
    check(b"node\0\x1b[2J\xff\n\0", "node  [2J\u{fffd} ");
    let long = shorten(&[b'x'; 1000]);
    assert_eq!((long.chars().count(), long.ends_with('…')), (MAX_COMMAND, true));
}
