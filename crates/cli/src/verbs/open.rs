//! `twinheap open`: the web page on files.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use twinheap_native::FrameView;
use twinheap_report::SCHEMA_VERSION;
use twinheap_web::{Content, FileProgress, Load, Problem, Server, WebError};

use crate::args::Global;
use crate::failure::{self, Failure, INTERRUPTED};
use crate::interrupt::{Cooperative, STOP};
use crate::load::{Loaded, load_any};
use crate::output::Output;
use crate::progress::{self, Progress};
use crate::verbs::native::package_of;

/// The port if nobody says which: a tunnel over ssh wants one that stays the same.
const PORT: u16 = 9598;

/// Show files in the browser: a local page for snapshots and native traces.
///
/// It prints an address and serves it until Ctrl-C. The address holds a random token: whoever has it sees
/// everything in the files. Nothing is opened, nothing leaves this machine.
///
/// From another machine: `ssh -L 9598:127.0.0.1:9598 HOST twinheap open FILE…`, then open the address there.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct OpenArgs {
    /// Heap snapshots and native traces; the page compares them too
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Where to listen, on this machine; port 0 is any free one [default: 127.0.0.1:9598, or any free port]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
}

#[derive(Serialize)]
struct Document {
    schema_version: u32,
    kind: &'static str,
    address: String,
}

pub(crate) fn run(args: &OpenArgs, global: &Global, output: &Output) -> anyhow::Result<u8> {
    for path in &args.files {
        check(path)?;
    }
    let server = bind(&args.files, args.listen)?;
    let address = server.url();
    let port = server.address().port();
    if global.json {
        output.json(&Document { schema_version: SCHEMA_VERSION, kind: "web-page", address })?;
    } else {
        output.text(&format!("{address}\n"))?;
    }
    output.note(&format!("{}; Ctrl-C ends it", how_to_get_there(port)));
    serve(server, global).map(|()| INTERRUPTED)
}

/// What to do with an address that was printed.
pub(crate) fn how_to_get_there(port: u16) -> String {
    format!(
        "open this address in a browser; from another machine first: ssh -L {port}:127.0.0.1:{port} THIS-HOST"
    )
}

/// Serves the page until Ctrl-C, or the server's own time.
pub(crate) fn serve(server: Server, global: &Global) -> anyhow::Result<()> {
    let cooperative = Cooperative::new();
    let reader = Reader { global: global.clone(), output: Output::new(global) };
    let served = server.run(reader, &STOP).map_err(|error| told(&error));
    drop(cooperative);
    // A file may be on its way still.
    progress::leave_screen();
    served
}

/// Listens; without `listen` on the usual port or any free one.
pub(crate) fn bind(files: &[PathBuf], listen: Option<SocketAddr>) -> anyhow::Result<Server> {
    let at = |address| Server::bind(address, files.to_vec());
    let usual = |port| at((Ipv4Addr::LOCALHOST, port).into());
    match listen {
        Some(address) => at(address),
        None => usual(PORT).or_else(|_| usual(0)),
    }
    .map_err(|error| told(&error))
}

fn told(error: &WebError) -> anyhow::Error {
    Failure::new(error.to_string()).hint(error.hint()).into()
}

/// Whether there is a file at all: a page that says nothing else is no help.
fn check(path: &Path) -> anyhow::Result<()> {
    if path.as_os_str() == "-" {
        return Ok(());
    }
    let about = std::fs::metadata(path).with_context(|| format!("can't open `{}`", path.display()));
    let about = about.map_err(|error| Failure::new(format!("{error:#}")).hint("check the path"))?;
    if about.is_dir() {
        let what = format!("can't open `{}`: it is a directory", path.display());
        return Err(Failure::new(what).hint("name the files in it").into());
    }
    Ok(())
}

/// Reads files as all verbs do, and lets the page know.
struct Reader {
    global: Global,
    output: Output,
}

impl Load for Reader {
    fn load(&self, path: &Path, progress: &Arc<FileProgress>) -> Result<twinheap_web::Loaded, Problem> {
        let watch = Progress::new(&self.global).with_listener(Arc::clone(progress));
        let loaded = load_any(path, &self.global, &watch);
        watch.clear();
        let problem = |error: &anyhow::Error| {
            // Who looks at the terminal shall know too.
            let (error, hint) = failure::words(error);
            self.output.error(&error);
            self.output.hint(&hint);
            Problem { error, hint }
        };
        let other = |what: &str, name: &str| {
            let failure = Failure::new(format!("`{name}` is {what}, which has no page"))
                .hint(format!("`twinheap summary {name}` shows what is in it"));
            problem(&failure.into())
        };
        let (content, notes) = match loaded.map_err(|error| problem(&error))? {
            Loaded::Heap(loaded) => (Content::Heap(Box::new(loaded.heap)), loaded.notes),
            Loaded::Native(trace, notes) => (Content::Native(trace), notes),
            Loaded::Sampling(_, notes) => return Err(other("a sampling heap profile", &notes.file)),
            Loaded::Profile(_, notes) => return Err(other("a profile without events", &notes.file)),
        };
        for warning in &notes.warnings {
            self.output.warning(&format!("{}: {warning}", notes.file));
        }
        Ok(twinheap_web::Loaded { content, warnings: notes.warnings })
    }

    fn package_of(frame: &FrameView<'_>) -> Option<String> {
        package_of(frame).map(|name| String::from_utf8_lossy(&name).into_owned())
    }
}
