//! Segments: compressed, summed, written, one write each.

use std::io::{self, Write};

use zstd::bulk::Compressor;
use zstd::zstd_safe::compress_bound;

use crate::heaptrace::layout::{
    CHECKED_HEADER, ENDIAN, FILE_HEADER, MAGIC, MAX_RAW, SEGMENT_HEADER, STORED_RAW, VERSION, checksum,
};

/// Where segments go. After an error nothing more is written: what is behind a torn segment could not be read.
pub(super) struct Sink<W> {
    out: W,
    compressor: Compressor<'static>,
    /// The segment on its way out.
    segment: Vec<u8>,
    /// Bytes written.
    offset: u64,
    error: Option<io::Error>,
}

impl<W: Write> Sink<W> {
    pub(super) fn new(mut out: W, level: i32) -> io::Result<Self> {
        let compressor = Compressor::new(level)?;
        let mut header = [0; FILE_HEADER];
        header[..8].copy_from_slice(&MAGIC);
        header[8..10].copy_from_slice(&VERSION.to_le_bytes());
        header[10..12].copy_from_slice(&ENDIAN.to_le_bytes());
        out.write_all(&header)?;
        Ok(Sink { out, compressor, segment: Vec::new(), offset: FILE_HEADER as u64, error: None })
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Writes a segment. An error is kept for [`Sink::check`].
    pub(super) fn segment(&mut self, kind: u8, raw: &[u8]) {
        self.segment.clear();
        self.segment.resize(SEGMENT_HEADER + compress_bound(raw.len()), 0);
        match self.compressor.compress_to_buffer(raw, &mut self.segment[SEGMENT_HEADER..]) {
            Ok(len) => self.segment.truncate(SEGMENT_HEADER + len),
            Err(error) => self.error = self.error.take().or(Some(error)),
        }
        self.finish_segment(kind, 0, raw.len());
    }

    /// Writes a segment without compressing it.
    pub(super) fn raw_segment(&mut self, kind: u8, raw: &[u8]) {
        self.segment.clear();
        self.segment.resize(SEGMENT_HEADER, 0);
        self.segment.extend_from_slice(raw);
        self.finish_segment(kind, STORED_RAW, raw.len());
    }

    fn finish_segment(&mut self, kind: u8, flags: u8, raw: usize) {
        let (header, stored) = self.segment.split_at_mut(SEGMENT_HEADER);
        let stored_len = stored.len();
        debug_assert!(raw <= MAX_RAW, "segments are cut far below that");
        header[0] = kind;
        header[1] = flags;
        header[4..8].copy_from_slice(&(raw as u32).to_le_bytes());
        header[8..12].copy_from_slice(&(stored_len as u32).to_le_bytes());
        let sum = checksum(&header[..CHECKED_HEADER], stored);
        header[CHECKED_HEADER..].copy_from_slice(&sum.to_le_bytes());
        if self.error.is_none() {
            match self.out.write_all(&self.segment) {
                Ok(()) => self.offset += self.segment.len() as u64,
                Err(error) => self.error = Some(error),
            }
        }
    }

    /// The error that ended the writing, as often as it is asked for.
    pub(super) fn check(&self) -> io::Result<()> {
        match &self.error {
            None => Ok(()),
            Some(error) => Err(error.raw_os_error().map_or_else(
                || io::Error::new(error.kind(), error.to_string()),
                io::Error::from_raw_os_error,
            )),
        }
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.check()?;
        self.out.flush().inspect_err(|error| {
            self.error = Some(io::Error::new(error.kind(), error.to_string()));
        })
    }

    pub(super) fn into_inner(self) -> W {
        self.out
    }
}
