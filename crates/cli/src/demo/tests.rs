//! Whole recordings with real Node.js processes.

use std::{collections::BTreeMap, sync::atomic::Ordering};

use serde_json::Value;

use super::*;

/// Node.js on PATH, and every version that `cargo xtask setup` installed.
fn nodes() -> Vec<PathBuf> {
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/oracle/node_modules");
    let installed = [18, 20, 22, 24, 26].map(|major| modules.join(format!("node{major}/bin/node")));
    let mut nodes = vec![PathBuf::from("node")];
    nodes.extend(installed.into_iter().filter(|path| path.exists()));
    nodes
}

/// The recording, where one can be made.
const RECORDED: &[&str] = if cfg!(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu")) {
    &["demo.heaptrace"]
} else {
    &[]
};

fn args(node: impl Into<PathBuf>, keep: Option<&Path>, snapshots: u32) -> DemoArgs {
    DemoArgs { node: node.into(), keep: keep.map(Path::to_owned), snapshots, page: Page::Never }
}

fn record_quietly(args: &DemoArgs) -> Result<DemoRun> {
    record(args, flag(), &mut |_| {})
}

/// A stop flag that is down and lives as long as the one of the program.
fn flag() -> &'static AtomicBool {
    Box::leak(Box::new(AtomicBool::new(false)))
}

fn files_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// How many objects and closures of each name a snapshot has, as `object Session`.
fn counts(snapshot: &Path) -> BTreeMap<String, u32> {
    let snapshot: Value = serde_json::from_str(&fs::read_to_string(snapshot).unwrap()).unwrap();
    let meta = &snapshot["snapshot"]["meta"];
    let fields = meta["node_fields"].as_array().unwrap();
    let types = meta["node_types"][0].as_array().unwrap();
    let mut counts = BTreeMap::new();
    for node in snapshot["nodes"].as_array().unwrap().chunks(fields.len()) {
        let kind = types[usize::try_from(node[0].as_u64().unwrap()).unwrap()].as_str().unwrap();
        if ["object", "closure"].contains(&kind) {
            let name = &snapshot["strings"][usize::try_from(node[1].as_u64().unwrap()).unwrap()];
            *counts.entry(format!("{kind} {}", name.as_str().unwrap())).or_default() += 1;
        }
    }
    counts
}

#[test]
fn every_node_leaks_as_promised() {
    for node in nodes() {
        let run = record_quietly(&args(&node, None, 3)).unwrap();
        if !RECORDED.is_empty() {
            let native = run.native.as_ref().expect("the native heap was recorded");
            assert!(native.recording.exists() && native.moments.is_sorted_by(|a, b| a < b), "{native:?}");
        }
        let counts: Vec<_> = run.snapshots.iter().map(|path| counts(path)).collect();
        let series = |name: &str| counts.iter().map(|counts| counts[name]).collect::<Vec<u32>>();
        let version = &run.node_version;
        assert_eq!(series("object Session"), [1000, 2000, 3000], "{version}: the big leak");
        assert_eq!(series("closure updateQuote"), [250, 500, 750], "{version}: the small leak");
        assert_eq!(series("object LogEntry"), [500, 500, 500], "{version}: a healthy ring");
        let pages = series("object RenderedPage");
        assert!(
            pages[0] < pages[1] && pages[1] > pages[2],
            "{version}: a healthy cache wavers, but {pages:?}"
        );
    }
}

#[test]
fn what_is_kept_is_whole_and_what_is_not_is_gone() {
    let parent = tempfile::tempdir().unwrap();
    let keep = parent.path().join("a new/folder ü");
    let run = record_quietly(&args("node", Some(&keep), 2)).unwrap();
    assert_eq!(run.kept(), Some(keep.as_path()));
    assert_eq!(fs::read_to_string(&run.server_source).unwrap(), SERVER_SOURCE);
    drop(run);
    let mut files = vec!["demo-1.heapsnapshot", "demo-2.heapsnapshot"];
    files.extend(RECORDED);
    files.extend(["server.cjs", "thumbnails.c", "thumbnails.node"]);
    assert_eq!(files_in(&keep), files);

    let error = record_quietly(&args("node", Some(&keep), 2)).unwrap_err();
    assert!(error.to_string().ends_with("the folder is not empty"), "{error}");
    assert_eq!(error.downcast::<DemoError>().unwrap().hint(), "name a folder that doesn't exist yet");
    assert_eq!(files_in(&keep), files);
}

#[cfg(unix)]
#[test]
fn the_temporary_folder_is_private_and_goes_with_the_run() {
    use std::os::unix::fs::PermissionsExt;

    let run = record_quietly(&args("node", None, 2)).unwrap();
    let folder = run.server_source.parent().unwrap().to_owned();
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(run.kept(), None);
    drop(run);
    assert!(!folder.exists());
}

#[test]
fn progress_tells_the_story() {
    let mut story = Vec::new();
    let mut tell = |step: &Step<'_>| {
        if !matches!(step, Step::Visiting { done, .. } if done % 1000 != 0) {
            story.push(step.to_string());
        }
    };
    record(&args("node", None, 2), flag(), &mut tell).unwrap();
    assert!(story[0].starts_with("Node.js v"), "{}", story[0]);
    assert_eq!(story[1], "1000 of 2000 visits");
    assert!(story[2].starts_with("snapshot 1 of 2 after 1000 visits: "), "{}", story[2]);
    assert_eq!(story.len(), 5);
}

/// Whether a process exists; zombies count as gone.
#[cfg(target_os = "linux")]
fn is_running(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[cfg(target_os = "linux")]
#[test]
fn an_interruption_leaves_no_process_and_no_half_written_file() {
    let keep = tempfile::tempdir().unwrap();
    let stop = flag();
    let mut server = 0;
    let mut tell = |step: &Step<'_>| match step {
        Step::Started { pid, .. } => server = *pid,
        // The next thing the server is asked for is a snapshot.
        Step::Visiting { done: 2000, .. } => stop.store(true, Ordering::Relaxed),
        _ => {}
    };
    let error = record(&args("node", Some(keep.path()), 3), stop, &mut tell).unwrap_err();
    assert!(error.is::<Interrupted>(), "{error:#}");
    assert!(!is_running(server));
    // What was recorded until then is whole.
    let mut files = vec!["demo-1.heapsnapshot"];
    files.extend(RECORDED);
    files.extend(["server.cjs", "server.log", "thumbnails.c", "thumbnails.node"]);
    assert_eq!(files_in(keep.path()), files);
}

#[cfg(target_os = "linux")]
#[test]
fn a_server_that_dies_is_reported_and_nothing_hangs() {
    use std::process::Command;

    let mut tell = |step: &Step<'_>| {
        if let Step::Started { pid, .. } = step {
            assert!(Command::new("kill").arg("-KILL").arg(pid.to_string()).status().unwrap().success());
        }
    };
    let error = record(&args("node", None, 2), flag(), &mut tell).unwrap_err();
    assert!(error.to_string().starts_with("the server hung up"), "{error:#}");
}

#[test]
fn a_node_that_is_missing_is_refused_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let error = record_quietly(&args(folder.path().join("node"), None, 2)).unwrap_err();
    assert!(error.to_string().ends_with("node`: there is no such program"), "{error}");
    let hint = error.downcast::<DemoError>().unwrap().hint;
    assert!(hint.contains("Node.js 18 or newer"), "{hint}");
}

#[test]
fn a_server_that_does_not_start_is_reported_with_its_last_words() {
    let folder = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(false);
    let node = Node::find(Path::new("node")).unwrap();
    let error =
        Server::start(&node, folder.path(), "missing.cjs", None, &stop).err().expect("there is no such file");
    let error = format!("{error:#}");
    assert!(
        error.starts_with("the sample server did not start: it ended at once (Node.js said: "),
        "{error}"
    );
    assert!(error.contains("missing.cjs"), "{error}");
}
