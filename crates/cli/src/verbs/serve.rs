//! `twinheap serve`: the HTTP endpoint that takes dumps on request.

use std::fs;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use twinheap_capture::{Target, TargetError};
use twinheap_serve::{Ended, Options, Rate, RateError, ServeError, Server, Token};

use crate::args::Global;
use crate::failure::{Failure, INTERRUPTED};
use crate::interrupt::{Cooperative, STOP};
use crate::output::Output;

/// The variable that may hold the token.
const TOKEN_VARIABLE: &str = "TWINHEAP_TOKEN";
/// Files larger than this hold no token.
const LARGEST_TOKEN_FILE: u64 = 4096;
/// A process rests so long between two dumps, unless the user says otherwise.
const REST: Duration = Duration::from_secs(10);

/// Take dumps of a process when asked over HTTP.
///
/// POST /v1/heapdump?thread=main&dirpath=&stream=&pause_free=&expose_internals=&numeric_values= takes a dump and
/// answers with its path, or with the dump itself (stream=1: zstd, or JSON with `Accept: application/json`).
/// POST /eth/v1/lodestar/write_heapdump?thread=main&dirpath= does as Lodestar's endpoint.
/// GET /metrics (Prometheus) and GET /healthz need no token on this machine. A scrape that carries the token also
/// connects to the process for the sizes of its heaps; without it they are there after the first dump.
///
/// Dumps need `Authorization: Bearer TOKEN`; one is taken at a time (409), and not too often (429). One that is
/// written to a file goes on when its client hangs up; one that is streamed is cancelled.
/// The inspector of the process stays open until the server ends.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct ServeArgs {
    /// Where to listen; port 0 is any free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9597", value_parser = parse_address)]
    listen: SocketAddr,
    /// The process
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    #[arg(required_unless_present = "target", conflicts_with = "target")]
    pid: Option<u32>,
    /// A pid, or host:port or ws://host:port/id of an inspector
    #[arg(long, value_name = "TARGET", value_parser = parse_target)]
    target: Option<Target>,
    /// The folder that dumps may go to, with all folders in it; links in it are not followed
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Read the token from this file; without it from the variable TWINHEAP_TOKEN, or a random one is made
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Write the random token to this file, for its owner only, instead of standard error
    #[arg(long, value_name = "FILE", conflicts_with = "token_file")]
    write_token: Option<PathBuf>,
    /// At most so many dumps in any such time, as 6/1h
    #[arg(long, value_name = "N/TIME", value_parser = parse_rate, conflicts_with = "min_interval")]
    max_rate: Option<Rate>,
    /// So much time between two dumps [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    min_interval: Option<Duration>,
    /// Refuse if a thread would stand still for longer
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    max_pause: Option<Duration>,
    /// Take dumps although memory, disk or time are too short, or it can't be told who handles SIGUSR1
    #[arg(long)]
    force: bool,
    /// Replace the values of strings and numbers before anything is stored or sent
    #[arg(long)]
    redact: bool,
    /// How long the process may take to open its inspector
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "15s")]
    timeout: Duration,
    /// Listen on an address that other machines can reach: token and dumps travel in the clear
    #[arg(long)]
    expose_beyond_loopback: bool,
}

pub(crate) fn run(args: &ServeArgs, global: &Global, output: &Output) -> anyhow::Result<u8> {
    let given = given_token(args, output)?;
    if given.is_none() && args.expose_beyond_loopback {
        let what = "a server that other machines can reach needs a token that you chose";
        return Err(Failure::new(what).hint(format!("use --token-file or {TOKEN_VARIABLE}")).into());
    }
    if given.is_none() && args.write_token.is_none() && global.quiet {
        let what = "with --quiet nobody would learn the random token";
        return Err(Failure::new(what).hint("use --write-token, --token-file or TWINHEAP_TOKEN").into());
    }
    let token = given.clone().map_or_else(Token::random, Ok).context("can't make a token")?;
    let target = args.target.clone().or(args.pid.map(Target::Pid));
    let target = target.ok_or_else(|| Failure::new("there is no target"))?;
    let options = Options {
        listen: args.listen,
        is_exposed: args.expose_beyond_loopback,
        token: token.clone(),
        folder: args.dir.clone(),
        rate: args.max_rate.unwrap_or_else(|| Rate::every(args.min_interval.unwrap_or(REST))),
        target,
        max_pause: args.max_pause,
        force: args.force,
        redact: args.redact,
        patience: args.timeout,
    };
    let what = options.target.to_string();
    let log = Output::new(global);
    let server =
        Server::bind(options, Arc::new(move |line: &str| log.note(line))).map_err(|e| failure(&e))?;
    if given.is_none() {
        tell(&token, args.write_token.as_deref(), output)?;
    }
    output.note(&format!(
        "listening on http://{} for dumps of {what}; they go to {}",
        server.address(),
        server.folder().display()
    ));
    let cooperative = Cooperative::new();
    let ended = server.run(&STOP).map_err(|e| failure(&e))?;
    drop(cooperative);
    Ok(match ended {
        Ended::Interrupted => INTERRUPTED,
        Ended::Terminated => 0,
    })
}

fn failure(error: &ServeError) -> anyhow::Error {
    let hint = error.hint();
    Failure::new(error.to_string()).hint(hint).into()
}

/// The token that the user chose.
fn given_token(args: &ServeArgs, output: &Output) -> anyhow::Result<Option<Token>> {
    let (text, from) = if let Some(path) = &args.token_file {
        let from = format!("`{}`", path.display());
        (read_token(path, output).with_context(|| format!("can't read the token from {from}"))?, from)
    } else if let Some(text) = std::env::var_os(TOKEN_VARIABLE) {
        // What is no UTF-8 is no token either, and is refused below.
        (text.to_string_lossy().into_owned(), TOKEN_VARIABLE.to_owned())
    } else {
        return Ok(None);
    };
    match Token::new(&text) {
        Ok(token) => Ok(Some(token)),
        Err(error) => Err(Failure::new(format!("{from} holds no token: {error}"))
            .hint("make one with `openssl rand -hex 32`")
            .into()),
    }
}

fn read_token(path: &Path, output: &Output) -> io::Result<String> {
    let about = fs::metadata(path)?;
    if about.len() > LARGEST_TOKEN_FILE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is too large for a token"));
    }
    if about.is_file() && about.permissions().mode() & 0o077 != 0 {
        output.warning(&format!(
            "other users can read the token in `{}`: `chmod 600` keeps them out",
            path.display()
        ));
    }
    fs::read_to_string(path)
}

/// Tells the user the random token, once.
fn tell(token: &Token, file: Option<&Path>, output: &Output) -> anyhow::Result<()> {
    let Some(path) = file else {
        output.note(&format!("token: {}", token.reveal()));
        return Ok(());
    };
    let write = || {
        // A new file in place of an old one: that one might be open somewhere, or be readable by others.
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        writeln!(file, "{}", token.reveal())
    };
    write().with_context(|| format!("can't write the token to `{}`", path.display()))
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    if let Some(port) = text.strip_prefix("localhost:").and_then(|p| p.parse().ok()) {
        return Ok((Ipv4Addr::LOCALHOST, port).into());
    }
    text.parse().map_err(|_| "an address is IP:PORT, such as 127.0.0.1:9597 or [::1]:9597".to_owned())
}

fn parse_target(text: &str) -> Result<Target, String> {
    text.parse().map_err(|error: TargetError| format!("{error}; {}", error.hint()))
}

fn parse_rate(text: &str) -> Result<Rate, String> {
    text.parse().map_err(|error: RateError| error.to_string())
}
