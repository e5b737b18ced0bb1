//! Where the bytes of a dump go: into a file that is complete or absent, or to the client that asked.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use axum::body::Bytes;
use tokio::sync::mpsc;
use twinheap_capture::Out;

use crate::folder::{Folder, NewFile};

/// Bytes handed on at once. With the pieces that wait in the channel, that is what a slow client costs us.
const PIECE: usize = 256 << 10;

/// Where a dump is to go.
pub(crate) enum Place {
    File { folder: Folder, naming: Naming },
    Stream { pieces: mpsc::Sender<Bytes>, is_compressed: bool },
}

/// How files are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// `heap-PID-TIME-THREAD.heapsnapshot.zst`
    Ours,
    /// `THREAD_thread_TIME.heapsnapshot`
    Lodestar,
}

impl Naming {
    pub(crate) fn name(self, pid: u32, thread: &str, time: SystemTime) -> String {
        let time = humantime::format_rfc3339_millis(time).to_string();
        match self {
            Naming::Ours => {
                let time: String = time.chars().filter(|c| !"-:".contains(*c)).collect();
                format!("heap-{pid}-{time}-{thread}.heapsnapshot.zst")
            }
            Naming::Lodestar => format!("{thread}_thread_{time}.heapsnapshot"),
        }
    }

    /// What a client may call a dump that is sent to it.
    pub(crate) fn stream_name(thread: &str, time: SystemTime, is_compressed: bool) -> String {
        let time = humantime::format_rfc3339_seconds(time).to_string();
        let time: String = time.chars().filter(|c| !"-:".contains(*c)).collect();
        let thread = if thread.is_empty() { "main" } else { thread };
        let ending = if is_compressed { ".zst" } else { "" };
        format!("heap-{time}-{thread}.heapsnapshot{ending}")
    }

    /// DevTools can't read what is compressed, and Lodestar's files are for DevTools.
    pub(crate) fn is_compressed(self) -> bool {
        self == Naming::Ours
    }
}

/// Makes a destination for each attempt at one dump.
pub(crate) enum Outs {
    File {
        folder: Folder,
        naming: Naming,
        name: String,
        /// Writers give their files back here when they are done, with the number of the attempt.
        back: mpsc::UnboundedSender<(u32, NewFile)>,
        files: mpsc::UnboundedReceiver<(u32, NewFile)>,
        attempts: u32,
    },
    Stream {
        pieces: mpsc::Sender<Bytes>,
        is_compressed: bool,
        /// The attempt that sent the first bytes; 0 if none did.
        begun: Arc<AtomicU32>,
        attempts: u32,
    },
}

impl Outs {
    pub(crate) fn new(place: Place) -> Outs {
        match place {
            Place::File { folder, naming } => {
                let (back, files) = mpsc::unbounded_channel();
                Outs::File { folder, naming, name: String::new(), back, files, attempts: 0 }
            }
            Place::Stream { pieces, is_compressed } => {
                Outs::Stream { pieces, is_compressed, begun: Arc::default(), attempts: 0 }
            }
        }
    }

    /// Tells what the dump is of, for the name of its file.
    pub(crate) fn is_of(&mut self, pid: u32, thread: &str) {
        if let Outs::File { naming, name, .. } = self {
            *name = naming.name(pid, thread, SystemTime::now());
        }
    }

    /// The destination of the next attempt. Nothing happens before its first byte.
    pub(crate) fn next(&mut self) -> Out {
        match self {
            Outs::File { folder, naming, name, back, attempts, .. } => {
                *attempts += 1;
                let file = Filed::NotYet { folder: folder.clone(), name: name.clone() };
                let writer = FileWriter { attempt: *attempts, file, back: back.clone() };
                Out::Stream { writer: Box::new(writer), is_compressed: naming.is_compressed() }
            }
            Outs::Stream { pieces, is_compressed, begun, attempts } => {
                *attempts += 1;
                let writer =
                    StreamWriter { attempt: *attempts, pieces: pieces.clone(), begun: Arc::clone(begun) };
                Out::Stream { writer: Box::new(writer), is_compressed: *is_compressed }
            }
        }
    }

    /// Whether nobody takes the bytes any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        matches!(self, Outs::Stream { pieces, .. } if pieces.is_closed())
    }

    /// The last attempt succeeded: its file gets its name, and the path is returned.
    pub(crate) async fn finish(self) -> io::Result<Option<PathBuf>> {
        let Outs::File { back, mut files, .. } = self else { return Ok(None) };
        drop(back);
        let mut last: Option<(u32, NewFile)> = None;
        while let Some((attempt, file)) = files.recv().await {
            if last.as_ref().is_none_or(|(number, _)| attempt > *number) {
                last = Some((attempt, file));
            }
        }
        let (_, file) = last.ok_or_else(|| io::Error::other("nothing was written"))?;
        file.finish().map(Some)
    }

    /// Waits until the writers of all attempts are gone, and what they wrote with them.
    pub(crate) async fn discard(self) {
        if let Outs::File { back, mut files, .. } = self {
            drop(back);
            while files.recv().await.is_some() {}
        }
    }
}

/// Writes the file of one attempt, and gives it back when dropped.
struct FileWriter {
    attempt: u32,
    file: Filed,
    back: mpsc::UnboundedSender<(u32, NewFile)>,
}

enum Filed {
    NotYet { folder: Folder, name: String },
    Open(NewFile),
    Gone,
}

impl Write for FileWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Filed::NotYet { folder, name } = &self.file {
            self.file = Filed::Open(folder.create(name, self.attempt)?);
        }
        match &mut self.file {
            Filed::Open(new) => new.file.write(bytes),
            _ => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for FileWriter {
    fn drop(&mut self) {
        if let Filed::Open(file) = std::mem::replace(&mut self.file, Filed::Gone) {
            // If nobody waits for it, it is dropped, and deleted with that.
            let _: Result<(), _> = self.back.send((self.attempt, file));
        }
    }
}

/// Hands the bytes of one attempt to the client, and waits for it.
struct StreamWriter {
    attempt: u32,
    pieces: mpsc::Sender<Bytes>,
    begun: Arc<AtomicU32>,
}

impl Write for StreamWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let begun = self.begun.compare_exchange(0, self.attempt, Ordering::SeqCst, Ordering::SeqCst);
        if begun.is_err_and(|attempt| attempt != self.attempt) {
            // What was sent can't be taken back, and two halves make no snapshot.
            return Err(io::Error::other("an attempt broke off after its first bytes were sent"));
        }
        let length = bytes.len().min(PIECE);
        let piece = Bytes::copy_from_slice(&bytes[..length]);
        self.pieces.blocking_send(piece).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::folder::Allowed;

    fn writer(outs: &mut Outs) -> Box<dyn Write + Send> {
        match outs.next() {
            Out::Stream { writer, .. } => writer,
            Out::File(path) => panic!("a path leads nowhere safe: {}", path.display()),
        }
    }

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
    }

    #[test]
    fn names_tell_process_time_and_thread() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_773_151_409_032);
        assert_eq!(
            Naming::Ours.name(7, "network", time),
            "heap-7-20260310T140329.032Z-network.heapsnapshot.zst"
        );
        assert_eq!(
            Naming::Lodestar.name(7, "main", time),
            "main_thread_2026-03-10T14:03:29.032Z.heapsnapshot"
        );
    }

    #[test]
    fn the_file_of_the_last_attempt_is_the_one_that_stays() {
        let lab = tempfile::tempdir().unwrap();
        let folder = Allowed::open(lab.path()).unwrap().choose("").unwrap();
        let place = || Place::File { folder: folder.clone(), naming: Naming::Ours };
        let count = || std::fs::read_dir(lab.path()).unwrap().count();

        let mut outs = Outs::new(place());
        outs.is_of(1, "main");
        drop(writer(&mut outs));
        let mut first = writer(&mut outs);
        first.write_all(b"first").unwrap();
        let mut second = writer(&mut outs);
        second.write_all(b"second").unwrap();
        drop((second, first));
        let path = block_on(outs.finish()).unwrap().unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), "second");
        assert_eq!(count(), 1);

        let mut outs = Outs::new(place());
        outs.is_of(1, "main");
        let mut half = writer(&mut outs);
        half.write_all(b"half").unwrap();
        drop(half);
        block_on(outs.discard());
        assert_eq!(count(), 1);
    }

    #[test]
    fn a_second_attempt_does_not_go_on_where_the_first_broke_off() {
        let (pieces, mut taken) = mpsc::channel(4);
        let mut outs = Outs::new(Place::Stream { pieces, is_compressed: false });
        let (mut first, mut second) = (writer(&mut outs), writer(&mut outs));
        first.write_all(b"one").unwrap();
        assert!(second.write_all(b"two").is_err());
        first.write_all(b"more").unwrap();
        assert!(!outs.is_abandoned());
        assert_eq!(taken.try_recv().unwrap(), "one");
        assert_eq!(taken.try_recv().unwrap(), "more");
        drop(taken);
        assert!(outs.is_abandoned());
        assert_eq!(first.write_all(b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
