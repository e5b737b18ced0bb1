//! Builds the page in `ui/` with npm and embeds it, so that one binary is enough.
//!
//! npm's packages go to `ui/node_modules`, the page to this script's own folder; the lock file and the tools make the
//! same bytes of the same sources. Nothing runs while `ui/` is unchanged. A machine without npm gets a program whose
//! page says how to build it: everything else of twinheap works there. `TWINHEAP_UI=none` asks for that on purpose,
//! and `TWINHEAP_UI=DIR` embeds what somebody has built before.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the page is made of.
const SOURCES: [&str; 7] =
    ["src", "index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts", "public"];

fn main() {
    let ui = Path::new(&variable("CARGO_MANIFEST_DIR")).join("../../ui");
    println!("cargo:rerun-if-env-changed=TWINHEAP_UI");
    for source in SOURCES.map(|source| ui.join(source)) {
        if source.exists() {
            println!("cargo:rerun-if-changed={}", source.display());
        }
    }
    let out = PathBuf::from(variable("OUT_DIR"));
    let page = match env::var("TWINHEAP_UI").ok().filter(|wanted| !wanted.is_empty()) {
        Some(none) if none == "none" => substitute(&out),
        Some(folder) => {
            println!("cargo:rerun-if-changed={folder}");
            PathBuf::from(folder)
        }
        None if !has_npm() => {
            println!("cargo:warning=npm is missing, so `twinheap open` will only say how to build its page");
            substitute(&out)
        }
        None => build(&ui, &out),
    };
    let mut files = Vec::new();
    collect(&page, &page, &mut files);
    files.sort();
    let mut list = String::from("const ASSETS: &[Asset] = &[\n");
    for (path, file) in files.iter().filter(|(path, _)| !path.ends_with(".gz")) {
        let packed = files.iter().find(|(other, _)| *other == format!("{path}.gz"));
        let packed = packed.map_or("&[]".to_owned(), |(_, file)| format!("include_bytes!({file:?})"));
        writeln!(list, "    Asset {{ path: {path:?}, plain: include_bytes!({file:?}), gzip: {packed} }},")
            .expect("a string takes everything");
    }
    list.push_str("];\n");
    fs::write(out.join("assets.rs"), list).expect("the folder for build results can be written");
}

fn has_npm() -> bool {
    Command::new("npm").arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Runs npm; the folder with the page.
fn build(ui: &Path, out: &Path) -> PathBuf {
    let page = out.join("page");
    let modified = |path: &Path| fs::metadata(path).and_then(|about| about.modified()).ok();
    // npm's own record of what is installed.
    let installed = ui.join("node_modules/.package-lock.json");
    if modified(&installed) < modified(&ui.join("package-lock.json")) {
        npm(ui, &["ci", "--no-audit", "--no-fund"], &page);
    }
    npm(ui, &["run", "--silent", "build"], &page);
    page
}

fn npm(ui: &Path, arguments: &[&str], page: &Path) {
    let mut command = Command::new("npm");
    command.args(arguments).current_dir(ui).env("TWINHEAP_UI_OUT", page);
    let output = command.output().expect("npm was there a moment ago");
    if !output.status.success() {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        panic!(
            "`npm {}` in ui/ failed ({}).\n{}{}\nWithout a network or for a program without its web page: set TWINHEAP_UI=none.",
            arguments.join(" "),
            output.status,
            text(&output.stdout),
            text(&output.stderr)
        );
    }
}

/// A page that says what is missing.
fn substitute(out: &Path) -> PathBuf {
    let page = out.join("substitute");
    fs::create_dir_all(&page).expect("the folder for build results can be written");
    let text = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>twinheap</title>\n\
        <h1>This twinheap was built without its web page</h1>\n\
        <p>The page is made by npm, which was not there when the program was compiled, or was told not to.\n\
        Install Node.js with npm, unset TWINHEAP_UI, and build again: <code>cargo build --release</code>.</p>\n\
        <p>Everything that the page shows is there on the command line too: <code>twinheap --help</code>.</p></html>\n";
    fs::write(page.join("index.html"), text).expect("the folder for build results can be written");
    page
}

/// All files of a folder: their paths in it, and where they are.
fn collect(top: &Path, folder: &Path, files: &mut Vec<(String, PathBuf)>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("can't read {}: {e}", folder.display()));
    for entry in entries {
        let path = entry.expect("the page's folder can be listed").path();
        if path.is_dir() {
            collect(top, &path, files);
        } else if let Some(name) = path.strip_prefix(top).ok().and_then(Path::to_str) {
            files.push((name.to_owned(), path.clone()));
        }
    }
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name} for build scripts"))
}
