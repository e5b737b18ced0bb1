//! `twinheap export`.

use std::io::{BufWriter, Write as _};

use anyhow::Context as _;
use twinheap_report::write_nodes_tsv;

use crate::args::{ExportArgs, Global};
use crate::failure::check_target;
use crate::load::load;
use crate::output::Output;
use crate::progress::Progress;
use twinheap_capture::PartFile;

/// The buffer in front of the file.
const BUFFER: usize = 1 << 20;

pub(crate) fn run(args: &ExportArgs, global: &Global, output: &Output) -> anyhow::Result<u8> {
    let target = &args.nodes;
    let to_stdout = target.as_os_str() == "-";
    // What can't be written is noticed before the work.
    if !to_stdout {
        check_target(target)?;
    }
    let progress = Progress::new(global);
    let loaded = load(&args.file.file, global, &progress)?;
    progress.finish(global, output)?;
    if to_stdout {
        let mut out = BufWriter::with_capacity(BUFFER, std::io::stdout().lock());
        write_nodes_tsv(&loaded.heap, &mut out)
            .and_then(|()| out.flush())
            .context("can't write to standard output")?;
        return Ok(loaded.notes.conclude(output));
    }
    let context = || format!("can't write `{}`", target.display());
    let (part, file) = PartFile::create(target).with_context(context)?;
    let mut out = BufWriter::with_capacity(BUFFER, file);
    write_nodes_tsv(&loaded.heap, &mut out).with_context(context)?;
    let file = out.into_inner().map_err(std::io::IntoInnerError::into_error).with_context(context)?;
    part.finish(&file).with_context(context)?;
    let nodes = output.style.count(loaded.heap.snapshot.node_count() as u64);
    output.note(&format!("{nodes} nodes written to {}", target.display()));
    Ok(loaded.notes.conclude(output))
}
