//! Targets in a network of their own, as in a container.

use std::process::Command;

use serde_json::json;

use crate::lab::{Node, Summary, executable, is_root, run, skip, snapshot, tool};

/// A network that lives as long as this does.
struct Network(String);

impl Network {
    fn new() -> Option<Network> {
        let name = format!("twinheap-test-{}", std::process::id());
        let made = tool("ip", &["netns", "add", &name]);
        made.then(|| Network(name))
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        tool("ip", &["netns", "del", &self.0]);
    }
}

#[test]
fn a_process_in_another_network_is_reached_by_its_pid() {
    let what = "a process in another network";
    if !is_root(what) {
        return;
    }
    let Some(network) = Network::new() else { return skip(what, "no network can be made with ip(8)") };
    if !tool("ip", &["-n", &network.0, "link", "set", "lo", "up"]) {
        return skip(what, "its loopback can't be set up");
    }
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &network.0]).arg(executable(24));
    let mut node = Node::run(&mut command, &json!({"workers": true}));
    let folder = tempfile::tempdir().unwrap();
    for (name, options) in [("a", &["--thread=network"][..]), ("b", &["--thread=network", "--pause-free"])] {
        let path = folder.path().join(name);
        snapshot(&node, &path, options);
        assert_eq!(Summary::of(&path).markers(), ["network"]);
        node.check_untouched();
    }
    let document = run(&["ps", "--json", &node.target()]).json();
    assert_eq!(document["processes"][0]["isolates"].as_array().unwrap().len(), 4);
    node.check_untouched();
}
