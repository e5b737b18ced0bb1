//! What is refused because it would harm the target.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::lab::{MANY, Node, Summary, is_root, names_in, run, skip, text};

#[test]
fn a_pause_that_is_too_long_is_refused_before_it_begins() {
    let mut node = Node::start(24, &[], &json!({"objects": MANY}));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.heapsnapshot");
    let delay = |node: &mut Node, args: &[&str], code: i32| {
        node.ask("watchDelays(); 0");
        let ran = run(&[&["snapshot", &node.target(), "-o", text(&path), "--max-pause=1ms"], args].concat());
        assert_eq!(ran.code, Some(code), "{}", ran.stderr);
        node.check_untouched();
        (ran, node.ask("delays.disable(); delays.max / 1e9").as_f64().unwrap())
    };
    let (ran, refused) = delay(&mut node, &[], 4);
    ran.check_error(4, &["the dump of main is refused", "1 ms are allowed", "--max-pause", "--force"]);
    assert!(names_in(folder.path()).is_empty());
    let (ran, forced) = delay(&mut node, &["--force"], 0);
    assert!(ran.stderr.contains("warning: main: the process will be silent"), "{}", ran.stderr);
    assert_eq!(Summary::of(&path).markers(), ["main"]);
    assert!(refused * 3.0 < forced, "refused, it stood still for {refused} s, and forced for {forced} s");
    // A copy's pause is short, but not as short as that.
    let ran = run(&["snapshot", &node.target(), "-o", text(&path), "--max-pause=1us", "--pause-free"]);
    ran.check_error(4, &["--max-pause"]);
}

/// A control group that lives as long as this does.
struct Group(PathBuf);

impl Group {
    /// In whichever hierarchy has memory limits; `None` if none can be made.
    fn new(limit_bytes: u64) -> Option<Group> {
        let name = format!("twinheap-test-{}", std::process::id());
        for (root, file) in
            [("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")]
        {
            let path = Path::new(root).join(&name);
            if !Path::new(root).join("cgroup.procs").exists() || fs::create_dir(&path).is_err() {
                continue;
            }
            let group = Group(path);
            if fs::write(group.0.join(file), limit_bytes.to_string()).is_ok() {
                return Some(group);
            }
        }
        None
    }

    fn take(&self, pid: u32) -> bool {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).is_ok()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // It can't be removed before its last process has gone.
        crate::lab::wait_until("the control group is empty", || {
            fs::remove_dir(&self.0).is_ok() || !self.0.exists()
        });
    }
}

#[test]
fn a_dump_that_does_not_fit_into_its_control_group_is_refused() {
    let what = "the memory limit of a control group";
    if !is_root(what) {
        return;
    }
    let mut node = Node::start(24, &[], &json!({"objects": MANY}));
    // Enough for what it has, and not for a snapshot.
    let resident = crate::lab::kilobytes(node.pid(), "VmRSS").unwrap() << 10;
    let Some(group) = Group::new(resident + (32 << 20)) else {
        return skip(what, "no control group with a limit can be made");
    };
    if !group.take(node.pid()) {
        return skip(what, "processes can't be moved between control groups");
    }
    // Pages stay where they were first counted, so that it has to have some of its own.
    let resident = resident >> 10;
    node.ask(&format!("globalThis.ballast = Buffer.alloc({} * 1024, 1); 0", resident));
    let folder = tempfile::tempdir().unwrap();
    for method in [&[][..], &["--pause-free"]] {
        let ran = run(&[&["snapshot", &node.target(), "-o", text(folder.path())], method].concat());
        ran.check_error(4, &["of memory", "control group", "--force"]);
        assert!(names_in(folder.path()).is_empty());
    }
    node.check_untouched();
    drop(node);
}
