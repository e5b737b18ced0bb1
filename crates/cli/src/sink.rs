//! A written file, compressed as its name says.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use flate2::write::GzEncoder;

/// The buffer in front of the file.
const BUFFER: usize = 1 << 20;

/// Where a verb writes to. What it wrote is there only after [`Sink::finish`].
pub(crate) enum Sink<'a> {
    Plain(BufWriter<Box<dyn Write + 'a>>),
    Gzip(GzEncoder<BufWriter<File>>),
    Zstd(zstd::stream::write::Encoder<'static, BufWriter<File>>),
}

impl<'a> Sink<'a> {
    /// Compressed if `target` ends in `.gz` or `.zst`.
    pub(crate) fn new(target: &Path, file: File) -> io::Result<Sink<'a>> {
        Ok(match target.extension().and_then(|ending| ending.to_str()) {
            Some("gz") => Sink::gzip(file),
            Some("zst") => {
                // Level 0 is zstd's default.
                let mut encoder =
                    zstd::stream::write::Encoder::new(BufWriter::with_capacity(BUFFER, file), 0)?;
                encoder.include_checksum(true)?;
                Sink::Zstd(encoder)
            }
            _ => Sink::plain(file),
        })
    }

    /// As it is.
    pub(crate) fn plain(out: impl Write + 'a) -> Sink<'a> {
        Sink::Plain(BufWriter::with_capacity(BUFFER, Box::new(out)))
    }

    /// Compressed, whatever the name.
    pub(crate) fn gzip(file: File) -> Sink<'a> {
        Sink::Gzip(GzEncoder::new(BufWriter::with_capacity(BUFFER, file), flate2::Compression::default()))
    }

    /// Writes what is still held back.
    pub(crate) fn finish(self) -> io::Result<()> {
        match self {
            Sink::Plain(mut out) => out.flush(),
            Sink::Gzip(out) => out.finish()?.flush(),
            Sink::Zstd(out) => out.finish()?.flush(),
        }
    }
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Sink::Plain(out) => out.write(bytes),
            Sink::Gzip(out) => out.write(bytes),
            Sink::Zstd(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Sink::Plain(out) => out.flush(),
            Sink::Gzip(out) => out.flush(),
            Sink::Zstd(out) => out.flush(),
        }
    }
}
