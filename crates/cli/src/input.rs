//! Bytes of a file: mapped if it is plain, streamed if it is compressed or a pipe.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use anyhow::Context as _;

use crate::failure::Failure;

/// What a consumer gets: chunks in order. It may fail, which ends the reading.
pub(crate) type Feed<'a> = dyn FnMut(&[u8]) -> anyhow::Result<()> + 'a;

/// A file that can be read once, front to back.
pub(crate) struct Input {
    name: String,
    source: Source,
    /// Bytes on disk, if it is a file.
    disk_size: Option<u64>,
}

enum Source {
    Plain(File),
    Stream(Compression, Box<dyn Read + Send>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Compression {
    None,
    Gzip,
    Zstd,
}

/// The name of standard input in messages.
pub(crate) const STDIN_NAME: &str = "standard input";

/// A mapped file is handed on in windows, and each is let go when it is used: the file's pages then don't count as our
/// memory. They double from the first size to the largest: two threads share the work on a large one, and for a small
/// file it would be all of it.
const FIRST_WINDOW: usize = 1 << 20;
const LARGEST_WINDOW: usize = 32 << 20;

/// Size of the buffers between decompressor and parser.
const BUFFER: usize = 2 << 20;
/// Buffers under way.
const BUFFERS: usize = 3;

/// More than this many bytes from one compressed byte is not expected of a snapshot; it bounds what a header that
/// lies can make us reserve.
const MOST_EXPANSION: u64 = 64;

impl Input {
    /// Opens a file, or standard input for `-`.
    ///
    /// # Errors
    /// When it is not there or can't be read.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Input> {
        if path.as_os_str() == "-" {
            let (compression, reader) = detect(Box::new(io::stdin())).context("can't read standard input")?;
            let source = Source::Stream(compression, reader);
            return Ok(Input { name: STDIN_NAME.to_owned(), source, disk_size: None });
        }
        let name = path.display().to_string();
        let mut file = File::open(path).map_err(|e| open_failure(&name, &e))?;
        let about = file.metadata().map_err(|e| open_failure(&name, &e))?;
        if about.is_dir() {
            let hint = "name the .heapsnapshot file in it";
            return Err(Failure::new(format!("can't read `{name}`: it is a directory")).hint(hint).into());
        }
        if !about.is_file() {
            let (compression, reader) =
                detect(Box::new(file)).with_context(|| format!("can't read `{name}`"))?;
            return Ok(Input { name, source: Source::Stream(compression, reader), disk_size: None });
        }
        let mut magic = Vec::new();
        (&mut file).take(4).read_to_end(&mut magic).with_context(|| format!("can't read `{name}`"))?;
        io::Seek::rewind(&mut file).with_context(|| format!("can't read `{name}`"))?;
        let source = match compression_of(&magic) {
            Compression::None => Source::Plain(file),
            compression => Source::Stream(compression, Box::new(file)),
        };
        Ok(Input { name, source, disk_size: Some(about.len()) })
    }

    /// The name for messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The most bytes that can come, if that is known.
    pub(crate) fn size_hint(&self) -> Option<u64> {
        match &self.source {
            Source::Plain(_) => self.disk_size,
            Source::Stream(Compression::None, _) => None,
            Source::Stream(..) => self.disk_size.map(|size| size.saturating_mul(MOST_EXPANSION)),
        }
    }

    /// The exact number of bytes that will come, if that is known.
    pub(crate) fn exact_size(&self) -> Option<u64> {
        match &self.source {
            Source::Plain(_) => self.disk_size,
            Source::Stream(..) => None,
        }
    }

    /// Reads everything. `Ok(Some)` says that the compressed data is broken, after all that could be had was fed.
    ///
    /// # Errors
    /// Those of the file, and those of `feed`.
    pub(crate) fn read(self, two_threads: bool, feed: &mut Feed<'_>) -> anyhow::Result<Option<String>> {
        let name = self.name;
        match self.source {
            Source::Plain(file) => map(&file, &name, feed).map(|()| None),
            Source::Stream(compression, reader) => {
                let mut reader =
                    decompressor(compression, reader).with_context(|| format!("can't read `{name}`"))?;
                let end = if two_threads && compression != Compression::None {
                    read_ahead(reader, feed)?
                } else {
                    let mut buffer = vec![0; BUFFER];
                    loop {
                        match fill(&mut reader, &mut buffer) {
                            (0, end) => break end,
                            (len, end) => {
                                feed(&buffer[..len])?;
                                if end.is_some() {
                                    break end;
                                }
                            }
                        }
                    }
                };
                match end {
                    None => Ok(None),
                    Some(error) if compression == Compression::None => {
                        Err(anyhow::Error::new(error).context(format!("can't read `{name}`")))
                    }
                    Some(error) => Ok(Some(format!("the compressed data is broken or cut short: {error}"))),
                }
            }
        }
    }
}

fn open_failure(name: &str, error: &io::Error) -> Failure {
    let failure = Failure::new(format!("can't open `{name}`: {error}"));
    match error.kind() {
        io::ErrorKind::NotFound => failure.hint("check the path; `-` reads standard input"),
        io::ErrorKind::PermissionDenied => failure
            .hint("V8 writes snapshots readable by their owner only; run as that user, or copy the file"),
        _ => failure,
    }
}

fn compression_of(magic: &[u8]) -> Compression {
    match magic {
        [0x1F, 0x8B, ..] => Compression::Gzip,
        // A frame, or a skippable frame in front of one.
        [0x28, 0xB5, 0x2F, 0xFD] | [0x50..=0x5F, 0x2A, 0x4D, 0x18] => Compression::Zstd,
        _ => Compression::None,
    }
}

/// Looks at the first bytes of a stream and puts them back in front.
fn detect(mut reader: Box<dyn Read + Send>) -> io::Result<(Compression, Box<dyn Read + Send>)> {
    let mut magic = Vec::new();
    (&mut reader).take(4).read_to_end(&mut magic)?;
    let compression = compression_of(&magic);
    Ok((compression, Box::new(io::Cursor::new(magic).chain(reader))))
}

fn decompressor(compression: Compression, reader: Box<dyn Read + Send>) -> io::Result<Box<dyn Read + Send>> {
    Ok(match compression {
        Compression::None => reader,
        // Files may be several members or frames, one after the other.
        Compression::Gzip => {
            Box::new(flate2::bufread::MultiGzDecoder::new(io::BufReader::with_capacity(1 << 18, reader)))
        }
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::new(reader)?;
            // `zstd --long` makes windows of up to 2 GB.
            decoder.window_log_max(31)?;
            Box::new(decoder)
        }
    })
}

/// Hands a mapped file on window by window.
#[expect(unsafe_code, reason = "memory mapping")]
fn map(file: &File, name: &str, feed: &mut Feed<'_>) -> anyhow::Result<()> {
    let context = || format!("can't read `{name}`");
    if file.metadata().with_context(context)?.len() == 0 {
        return Ok(());
    }
    // SAFETY: the mapping is private and read-only. If another process cuts the file short meanwhile, the kernel
    // ends us with SIGBUS, as it does with every program that maps files; nothing of ours is changed by it. The
    // other way, a copy through a buffer, is a third slower.
    let mapping = unsafe { memmap2::Mmap::map(file).with_context(context)? };
    #[cfg(unix)]
    mapping.advise(memmap2::Advice::Sequential).with_context(context)?;
    let (mut start, mut most) = (0, FIRST_WINDOW);
    while start < mapping.len() {
        let window = &mapping[start..mapping.len().min(start + most)];
        feed(window)?;
        #[cfg(unix)]
        // SAFETY: the mapping is of a file and never written, so dropping its pages loses nothing: an access would
        // read them again.
        unsafe {
            mapping
                .unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, window.len())
                .with_context(context)?;
        }
        start += window.len();
        most = LARGEST_WINDOW.min(2 * most);
    }
    Ok(())
}

/// Fills `buffer` as far as the reader goes; the error, if any, comes with the bytes before it.
fn fill(reader: &mut dyn Read, buffer: &mut [u8]) -> (usize, Option<io::Error>) {
    let mut len = 0;
    while len < buffer.len() {
        match reader.read(&mut buffer[len..]) {
            Ok(0) => break,
            Ok(more) => len += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (len, Some(error)),
        }
    }
    (len, None)
}

/// Decompresses on a thread of its own; a few buffers go round between it and `feed`.
fn read_ahead(mut reader: Box<dyn Read + Send>, feed: &mut Feed<'_>) -> anyhow::Result<Option<io::Error>> {
    type Filled = (Vec<u8>, usize, Option<io::Error>);
    let (full, filled): (SyncSender<Filled>, Receiver<Filled>) = sync_channel(BUFFERS);
    let (empty, emptied): (SyncSender<Vec<u8>>, Receiver<Vec<u8>>) = sync_channel(BUFFERS);
    for _ in 0..BUFFERS {
        empty.send(vec![0; BUFFER])?;
    }
    let read = std::thread::scope(|scope| {
        let source = &mut *reader;
        let ahead = std::thread::Builder::new().spawn_scoped(scope, move || {
            // The channel closes when the consumer fails; then there is no use in going on.
            while let Ok(mut buffer) = emptied.recv() {
                let (len, error) = fill(source, &mut buffer);
                let is_last = len == 0 || error.is_some();
                if full.send((buffer, len, error)).is_err() || is_last {
                    break;
                }
            }
        });
        ahead.ok()?;
        // Moved in, so that an early return closes it and the thread ends.
        let (filled, empty) = (filled, empty);
        while let Ok((buffer, len, error)) = filled.recv() {
            if let Err(error) = feed(&buffer[..len]) {
                return Some(Err(error));
            }
            if len == 0 || error.is_some() {
                return Some(Ok(error));
            }
            // The thread may have ended at the last bytes.
            let _: Result<(), _> = empty.send(buffer);
        }
        Some(Ok(None))
    });
    // There may be no more threads.
    read.unwrap_or_else(|| read_here(&mut *reader, feed))
}

/// The same without a thread of its own.
fn read_here(reader: &mut dyn Read, feed: &mut Feed<'_>) -> anyhow::Result<Option<io::Error>> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let (len, error) = fill(reader, &mut buffer);
        feed(&buffer[..len])?;
        if len == 0 || error.is_some() {
            return Ok(error);
        }
    }
}
