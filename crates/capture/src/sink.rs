//! Where a snapshot's bytes go while they come: checked, redacted, compressed, and only named when whole.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use tokio::sync::{mpsc, oneshot};
use twinheap_snapshot::{RedactError, Redactor};

use crate::complete::Complete;
use crate::part_file::PartFile;

/// Pieces that may wait for the writer. A piece is at most a megabyte or so; when all places are taken the reader
/// stops reading, and that is what bounds our memory.
const WAITING_PIECES: usize = 8;

/// Level 3 compresses faster than any V8 writes, and the next levels gain little on columns of numbers.
const ZSTD_LEVEL: i32 = 3;

/// Where the bytes end up.
pub enum Out {
    /// A file that gets its name when it is whole; compressed if the name ends in `.zst`.
    File(PathBuf),
    /// Anything else that takes bytes, as they are or compressed.
    Stream {
        /// The taker.
        writer: Box<dyn Write + Send>,
        /// Whether to compress with zstd.
        is_compressed: bool,
    },
}

/// What went through a sink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Bytes of JSON that came in.
    pub json_bytes: u64,
    /// Bytes that went out.
    pub bytes: u64,
}

/// Why a snapshot could not be stored.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The file or stream failed.
    #[error("can't write `{name}`: {error}")]
    Io {
        /// The file's name.
        name: String,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// The stream ended before its JSON did.
    #[error("the snapshot is incomplete: it broke off after {bytes} bytes")]
    Incomplete {
        /// Bytes until then.
        bytes: u64,
    },
    /// The snapshot can't be redacted.
    #[error("can't redact the snapshot: {0}")]
    Redact(#[from] RedactError),
}

enum Piece {
    Bytes(Vec<u8>),
    End,
}

/// A thread that stores one snapshot. Dropped before [`Sink::finish`], it leaves nothing behind.
pub struct Sink {
    sender: mpsc::Sender<Piece>,
    /// How it went; comes when the thread ends.
    result: oneshot::Receiver<Result<Written, SinkError>>,
}

impl Sink {
    /// Opens the destination; with a salt, values are replaced on the way.
    ///
    /// # Errors
    /// If the file can't be created.
    pub fn open(out: Out, salt: Option<&[u8]>) -> Result<Sink, SinkError> {
        let redactor = salt.map(Redactor::new);
        let (name, part, writer, is_compressed, limit) = match out {
            Out::File(path) => {
                let name = path.display().to_string();
                let (part, file) =
                    PartFile::create(&path).map_err(|error| SinkError::Io { name: name.clone(), error })?;
                let is_compressed = path.extension().is_some_and(|e| e == "zst");
                let handle = file.try_clone().map_err(|error| SinkError::Io { name: name.clone(), error })?;
                let writer: Box<dyn Write + Send> = Box::new(file);
                (name, Some((part, handle)), writer, is_compressed, getrlimit(Resource::Fsize).current)
            }
            Out::Stream { writer, is_compressed } => {
                ("the stream".to_owned(), None, writer, is_compressed, None)
            }
        };
        let (sender, receiver) = mpsc::channel(WAITING_PIECES);
        let (ended, result) = oneshot::channel();
        std::thread::spawn(move || {
            let writer = Writer::new(Counted { writer, bytes: 0, limit }, is_compressed);
            let stored = writer.map_err(SinkError::from).and_then(|w| store(receiver, w, redactor, part));
            // Nobody may want to know any more.
            let _: Result<(), _> = ended.send(stored.map_err(|e| e.named(&name)));
        });
        Ok(Sink { sender, result })
    }

    /// Takes the next bytes; waits while the writer is behind.
    ///
    /// # Errors
    /// If the writer has failed.
    pub async fn send(&mut self, bytes: Vec<u8>) -> Result<(), SinkError> {
        match self.sender.send(Piece::Bytes(bytes)).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.failure().await),
        }
    }

    /// Stores the rest and names the file.
    ///
    /// # Errors
    /// If the JSON is not complete, or writing failed.
    pub async fn finish(self) -> Result<Written, SinkError> {
        // If the writer is gone already, its result says why.
        let _: Result<(), _> = self.sender.send(Piece::End).await;
        self.result.await.unwrap_or(Err(SinkError::Incomplete { bytes: 0 }))
    }

    /// The reason why the writer takes no more.
    async fn failure(&mut self) -> SinkError {
        match (&mut self.result).await {
            Ok(Err(error)) => error,
            _ => SinkError::Incomplete { bytes: 0 },
        }
    }
}

impl SinkError {
    fn named(self, to: &str) -> SinkError {
        match self {
            SinkError::Io { error, .. } => SinkError::Io { name: to.to_owned(), error },
            other => other,
        }
    }
}

impl From<io::Error> for SinkError {
    fn from(error: io::Error) -> SinkError {
        SinkError::Io { name: String::new(), error }
    }
}

fn store(
    mut receiver: mpsc::Receiver<Piece>,
    mut writer: Writer,
    mut redactor: Option<Redactor>,
    part: Option<(PartFile, File)>,
) -> Result<Written, SinkError> {
    let mut complete = Complete::default();
    let mut json_bytes = 0;
    let mut redacted = Vec::new();
    loop {
        match receiver.blocking_recv() {
            Some(Piece::Bytes(bytes)) => {
                complete.feed(&bytes);
                json_bytes += bytes.len() as u64;
                if let Some(redactor) = &mut redactor {
                    redacted.clear();
                    redactor.feed(&bytes, &mut redacted)?;
                    writer.write(&redacted)?;
                } else {
                    writer.write(&bytes)?;
                }
            }
            Some(Piece::End) if complete.is_complete() => break,
            // The sender gave up, or the stream did: the part file goes with `part`.
            Some(Piece::End) | None => return Err(SinkError::Incomplete { bytes: json_bytes }),
        }
    }
    if let Some(redactor) = redactor {
        redacted.clear();
        redactor.finish(&mut redacted)?;
        writer.write(&redacted)?;
    }
    let bytes = writer.finish()?;
    if let Some((part, file)) = part {
        part.finish(&file)?;
    }
    Ok(Written { json_bytes, bytes })
}

/// Counts what arrives at the end of the pipe.
struct Counted {
    writer: Box<dyn Write + Send>,
    bytes: u64,
    /// Bytes that a file may have (`ulimit -f`). The kernel doesn't just refuse more: it ends the process, and then
    /// nobody would be left to close the target's inspector.
    limit: Option<u64>,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.limit.is_some_and(|limit| self.bytes + bytes.len() as u64 > limit) {
            return Err(Errno::FBIG.into());
        }
        let written = self.writer.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

enum Writer {
    Plain(Counted),
    Zstd(zstd::stream::write::Encoder<'static, Counted>),
}

impl Writer {
    fn new(counted: Counted, is_compressed: bool) -> io::Result<Writer> {
        if !is_compressed {
            return Ok(Writer::Plain(counted));
        }
        let mut encoder = zstd::stream::write::Encoder::new(counted, ZSTD_LEVEL)?;
        encoder.include_checksum(true)?;
        Ok(Writer::Zstd(encoder))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Writer::Plain(writer) => writer.write_all(bytes),
            Writer::Zstd(writer) => writer.write_all(bytes),
        }
    }

    fn finish(self) -> io::Result<u64> {
        let mut counted = match self {
            Writer::Plain(writer) => writer,
            Writer::Zstd(encoder) => encoder.finish()?,
        };
        counted.flush()?;
        Ok(counted.bytes)
    }
}
