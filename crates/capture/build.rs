//! Builds the agent and puts it where `src/agent.rs` includes it from, so that one copied binary is enough.
//!
//! A shared object can't be an ordinary dependency, so a second cargo builds it, into a folder of this script's
//! own: the outer cargo holds the lock of the usual one.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    let agent = Path::new(&variable("CARGO_MANIFEST_DIR")).join("../agent");
    for part in ["src", "Cargo.toml", "build.rs", "../../Cargo.lock", "../../Cargo.toml"] {
        println!("cargo:rerun-if-changed={}", agent.join(part).display());
    }
    let out = PathBuf::from(variable("OUT_DIR"));
    let object = out.join("agent.so");
    // Where the agent can't work there is none, and the program says so when it is asked for.
    let has_agent = variable("CARGO_CFG_TARGET_OS") == "linux" && variable("CARGO_CFG_TARGET_ENV") == "gnu";
    if has_agent {
        let built = build(&agent, &out.join("target"));
        fs::copy(&built, &object).unwrap_or_else(|e| panic!("can't copy {}: {e}", built.display()));
    } else {
        fs::write(&object, []).expect("the folder for build results can be written");
    }
}

/// Builds the agent; its path.
fn build(agent: &Path, target_dir: &Path) -> PathBuf {
    let triple = variable("TARGET");
    let mut cargo = Command::new(variable("CARGO"));
    cargo.arg("build").arg("--manifest-path").arg(agent.join("Cargo.toml"));
    cargo.args(["--profile", "agent", "--locked", "--lib", "--target", &triple]);
    cargo.arg("--target-dir").arg(target_dir);
    // What the outer cargo set for this script is not meant for the inner one: clippy would stand in for the
    // compiler, and flags for the program would become flags of the agent.
    for (name, _) in env::vars_os() {
        let name_text = name.to_string_lossy();
        let is_ours = name_text.starts_with("CARGO_CFG_")
            || name_text.starts_with("CARGO_FEATURE_")
            || name_text.starts_with("CARGO_PKG_")
            || [
                "CARGO_ENCODED_RUSTFLAGS",
                "RUSTFLAGS",
                "RUSTC_WORKSPACE_WRAPPER",
                "CARGO_MAKEFLAGS",
                "MAKEFLAGS",
            ]
            .contains(&&*name_text);
        if is_ours {
            cargo.env_remove(&name);
        }
    }
    let status = cargo.status().unwrap_or_else(|e| panic!("can't start cargo: {e}"));
    assert!(status.success(), "the agent can't be built: {status}");
    target_dir.join(triple).join("agent/libtwinheap_agent.so")
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name} for build scripts"))
}
