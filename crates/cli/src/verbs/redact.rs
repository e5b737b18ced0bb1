//! `twinheap redact`.

use std::fs::File;
use std::io::{self, Read as _, Write as _};

use anyhow::Context as _;
use twinheap_capture::PartFile;
use twinheap_snapshot::{RedactError, RedactStats, Redactor};

use crate::args::{Global, RedactArgs};
use crate::failure::{Failure, check_target};
use crate::input::Input;
use crate::load::two_threads;
use crate::output::Output;
use crate::progress::Progress;
use crate::sink::Sink;

/// Input redacted at once: its output has to wait in memory.
const PIECE: usize = 1 << 20;
/// Bytes of a salt that nobody has to remember.
const SALT: usize = 32;

pub(crate) fn run(args: &RedactArgs, global: &Global, output: &Output) -> anyhow::Result<u8> {
    let target = &args.out;
    let to_stdout = target.as_os_str() == "-";
    // What can't be written is noticed before the work.
    if !to_stdout {
        check_target(target)?;
    }
    let redactor = Redactor::new(&salt(args.salt.as_deref())?);
    let input = Input::open(&args.file.file)?;
    let progress = Progress::new(global);
    let context = || format!("can't write `{}`", target.display());
    let stats = if to_stdout {
        let sink = Sink::plain(io::stdout().lock());
        let (stats, sink) = redact(input, redactor, sink, global, &progress)?;
        sink.finish().context("can't write to standard output")?;
        stats
    } else {
        let (part, file) = PartFile::create(target).with_context(context)?;
        let handle = file.try_clone().with_context(context)?;
        let sink = Sink::new(target, file).with_context(context)?;
        let (stats, sink) = redact(input, redactor, sink, global, &progress)?;
        sink.finish().with_context(context)?;
        part.finish(&handle).with_context(context)?;
        stats
    };
    progress.finish(global, output)?;
    tell(&stats, args, output);
    Ok(0)
}

/// Sends the whole input through.
fn redact<'a>(
    input: Input,
    mut redactor: Redactor,
    mut sink: Sink<'a>,
    global: &Global,
    progress: &Progress,
) -> anyhow::Result<(RedactStats, Sink<'a>)> {
    let name = input.name().to_owned();
    let size = input.exact_size();
    let mut out = Vec::with_capacity(2 * PIECE);
    let mut taken = 0;
    let broken = input.read(two_threads(global), &mut |chunk| {
        for piece in chunk.chunks(PIECE) {
            redactor.feed(piece, &mut out).map_err(|error| failure(&name, &error))?;
            sink.write_all(&out).context("can't write the redacted snapshot")?;
            out.clear();
            taken += piece.len() as u64;
            progress.bytes(&name, taken, size);
        }
        Ok(())
    })?;
    if let Some(what) = broken {
        let what = format!("can't redact `{name}`: {what}");
        return Err(Failure::new(what).hint("copy the file again from where it was taken").into());
    }
    let stats = redactor.finish(&mut out).map_err(|error| failure(&name, &error))?;
    sink.write_all(&out).context("can't write the redacted snapshot")?;
    Ok((stats, sink))
}

/// A salt from the operating system, for this run only.
/// What keys the replacements: the user's text, or bytes that nobody can guess.
pub(crate) fn salt(given: Option<&str>) -> anyhow::Result<Vec<u8>> {
    Ok(match given {
        Some(text) => text.as_bytes().to_vec(),
        None => random_salt()?.to_vec(),
    })
}

fn random_salt() -> anyhow::Result<[u8; SALT]> {
    const SOURCE: &str = "/dev/urandom";
    let mut salt = [0; SALT];
    File::open(SOURCE)
        .and_then(|mut source| source.read_exact(&mut salt))
        .with_context(|| format!("can't read random bytes from `{SOURCE}`"))?;
    Ok(salt)
}

fn tell(stats: &RedactStats, args: &RedactArgs, output: &Output) {
    let count = |n| output.style.count(n);
    output.note(&format!(
        "{} of {} texts replaced, {} names kept, {} names with a part replaced",
        count(stats.values_replaced),
        count(stats.strings),
        count(stats.labels_kept),
        count(stats.labels_masked)
    ));
    output.note(match args.salt {
        None => "the salt was random and is gone: use --salt TEXT to compare redacted files with each other",
        Some(_) => "who knows the salt can test guesses at short values: keep it secret",
    });
}

fn failure(name: &str, error: &RedactError) -> Failure {
    let failure = Failure::new(format!("can't redact `{name}`: {error}"));
    match error {
        RedactError::Empty => {
            failure.hint("take the snapshot again; its writer needs memory and disk to finish")
        }
        RedactError::NotASnapshot { .. } => failure.hint(
            "heap snapshots come from v8.writeHeapSnapshot(), Chrome DevTools or --heapsnapshot-signal",
        ),
        RedactError::SamplingProfile => failure.hint("the file can be shared as far as its names can"),
        RedactError::Order { .. } => {
            failure.hint("V8 writes the strings last; redact the file that it wrote, before other programs")
        }
        _ => failure.hint("nothing was written: a damaged file can't be redacted for certain"),
    }
}
