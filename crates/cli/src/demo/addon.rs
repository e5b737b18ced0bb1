//! The sample server's addon, built with the C compiler of the machine.

use std::{
    env,
    ffi::OsString,
    fs, io,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use super::{Interrupted, http::POLL, process::Guard};

const SOURCE: &str = include_str!("../../assets/demo/thumbnails.c");
const SOURCE_NAME: &str = "thumbnails.c";
const ADDON_NAME: &str = "thumbnails.node";

/// Two pages of C take a tenth of a second.
const PATIENCE: Duration = Duration::from_secs(30);

/// Builds the addon in the folder. False if no compiler can; the server then leaks Buffers instead.
///
/// # Errors
/// If the folder can't be written, or the user wants to stop.
pub(super) fn build(folder: &Path, stop: &AtomicBool) -> Result<bool> {
    let source = folder.join(SOURCE_NAME);
    fs::write(&source, SOURCE).with_context(|| format!("cannot write `{}`", source.display()))?;
    let own = env::var_os("CC").filter(|own| !own.is_empty());
    let compilers = own.into_iter().chain(["cc", "gcc", "clang"].map(OsString::from));
    for compiler in compilers {
        if compile(&compiler, folder, stop)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn compile(compiler: &OsString, folder: &Path, stop: &AtomicBool) -> Result<bool> {
    // CC may carry options, as in `gcc -m64`.
    let words = compiler.to_string_lossy();
    let mut words = words.split_whitespace();
    let Some(program) = words.next() else { return Ok(false) };
    let mut command = Command::new(program);
    command.args(words).args(["-shared", "-fPIC", "-g", "-O1", "-o", ADDON_NAME, SOURCE_NAME]);
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(child) = command.spawn() else { return Ok(false) };
    let mut child = Guard(child);
    let deadline = Instant::now() + PATIENCE;
    let is_built = loop {
        if stop.load(Ordering::Relaxed) {
            return Err(Interrupted.into());
        }
        match child.0.try_wait() {
            Ok(Some(status)) => break status.success(),
            Ok(None) if Instant::now() < deadline => thread::sleep(POLL / 10),
            _ => break false,
        }
    };
    if !is_built {
        // What a failed compiler left would be taken for the addon.
        let _: io::Result<()> = fs::remove_file(folder.join(ADDON_NAME));
    }
    Ok(is_built)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_a_working_compiler_gets_no_addon() {
        let folder = tempfile::tempdir().unwrap();
        let go_on = AtomicBool::new(false);
        fs::write(folder.path().join(SOURCE_NAME), SOURCE).unwrap();
        for compiler in ["", " ", "/nowhere/cc", "false", "sh -c false"] {
            assert!(!compile(&compiler.into(), folder.path(), &go_on).unwrap(), "{compiler}");
            assert!(!folder.path().join(ADDON_NAME).exists());
        }
    }

    #[test]
    fn an_interruption_ends_the_compiler() {
        let folder = tempfile::tempdir().unwrap();
        let error = compile(&"sleep 1000".into(), folder.path(), &AtomicBool::new(true)).unwrap_err();
        assert!(error.is::<Interrupted>(), "{error}");
    }
}
