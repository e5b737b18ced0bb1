//! Builds the agent and puts it where `src/agent.rs` includes it from, so that one copied binary is enough.
//!
//! A shared object can't be an ordinary dependency, so a second cargo builds it, into a folder of this script's
//! own: the outer cargo holds the lock of the usual one.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    let crates = Path::new(&variable("CARGO_MANIFEST_DIR")).join("..");
    for part in ["agent", "recorder", "wire", "../Cargo.lock", "../Cargo.toml"] {
        println!("cargo:rerun-if-changed={}", crates.join(part).display());
    }
    let out = PathBuf::from(variable("OUT_DIR"));
    // Where an object can't work there is none, and the program says so when it is asked for.
    let has_agent = variable("CARGO_CFG_TARGET_OS") == "linux" && variable("CARGO_CFG_TARGET_ENV") == "gnu";
    let has_recorder = has_agent && variable("CARGO_CFG_TARGET_ARCH") == "x86_64";
    let agent = Object {
        manifest: crates.join("agent/Cargo.toml"),
        profile: "agent",
        file: "libtwinheap_agent.so",
        flags: "",
    };
    let preload = Object {
        manifest: crates.join("recorder/preload/Cargo.toml"),
        profile: "release",
        file: "libtwinheap_preload.so",
        // All symbols at once, since a lazy one would be looked up in the middle of a malloc. `dlsym` is in libdl
        // before glibc 2.34, and later there is still such a library.
        flags: "-C link-arg=-Wl,-z,now -C link-arg=-Wl,--no-as-needed -C link-arg=-l:libdl.so.2",
    };
    for (wanted, object, name) in [(has_agent, agent, "agent.so"), (has_recorder, preload, "preload.so")] {
        let to = out.join(name);
        if wanted {
            let built = object.build(&out.join("target"));
            fs::copy(&built, &to).unwrap_or_else(|e| panic!("can't copy {}: {e}", built.display()));
        } else {
            fs::write(&to, []).expect("the folder for build results can be written");
        }
    }
}

/// A shared object to embed.
struct Object {
    manifest: PathBuf,
    profile: &'static str,
    file: &'static str,
    flags: &'static str,
}

impl Object {
    /// Builds it; its path.
    fn build(&self, target_dir: &Path) -> PathBuf {
        let triple = variable("TARGET");
        let mut cargo = Command::new(variable("CARGO"));
        cargo.arg("build").arg("--manifest-path").arg(&self.manifest);
        cargo.args(["--profile", self.profile, "--locked", "--lib", "--target", &triple]);
        cargo.arg("--target-dir").arg(target_dir);
        // What the outer cargo set for this script is not meant for the inner one: clippy would stand in for the
        // compiler, and flags for the program would become flags of the object.
        for (name, _) in env::vars_os() {
            let name_text = name.to_string_lossy();
            let is_ours = name_text.starts_with("CARGO_CFG_")
                || name_text.starts_with("CARGO_FEATURE_")
                || name_text.starts_with("CARGO_PKG_")
                // Of the program: the object has no std, which only its own profile allows.
                || name_text.starts_with("CARGO_PROFILE_")
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
        if !self.flags.is_empty() {
            cargo.env("RUSTFLAGS", self.flags);
        }
        let status = cargo.status().unwrap_or_else(|e| panic!("can't start cargo: {e}"));
        assert!(status.success(), "`{}` can't be built: {status}", self.manifest.display());
        target_dir.join(triple).join(self.profile).join(self.file)
    }
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name} for build scripts"))
}
