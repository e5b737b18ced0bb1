//! What segments are put together to.

use rustc_hash::FxHashSet;

use super::events::EventDecoder;
use super::{JSON, Wrong};
use crate::heaptrace::layout::kind;
use crate::heaptrace::meta::Meta;
use crate::ids::IpId;
use crate::recording::Recording;
use crate::trace::{Frame, Matching, Trace};

/// A recording under construction.
pub(super) struct Builder {
    pub(super) trace: Trace,
    pub(super) recording: Recording,
    pub(super) events: EventDecoder,
    /// Places that have frames, and where these are in `frames`.
    pub(super) named: Vec<(IpId, std::ops::Range<u32>)>,
    pub(super) frames: Vec<Frame>,
    /// What was wrong in a segment that was used all the same, and how often.
    pub(super) complaints: Vec<(Wrong, u64)>,
    unknown_kinds: FxHashSet<u8>,
}

impl Default for Builder {
    fn default() -> Self {
        let trace = Trace { file_version: 1, matching: Matching::ByPointer, ..Trace::default() };
        // Place 0 is none and has no module.
        let recording = Recording { ip_modules: vec![u32::MAX], ..Recording::default() };
        Builder {
            trace,
            recording,
            events: EventDecoder::default(),
            named: Vec::new(),
            frames: Vec::new(),
            complaints: Vec::new(),
            unknown_kinds: FxHashSet::default(),
        }
    }
}

impl Builder {
    /// True once the file's end was read.
    pub(super) fn is_complete(&self) -> bool {
        self.recording.is_complete()
    }

    pub(super) fn take_complaints(&mut self) -> Vec<(Wrong, u64)> {
        std::mem::take(&mut self.complaints)
    }

    /// Takes a decompressed segment.
    pub(super) fn segment(&mut self, kind: u8, payload: &[u8]) -> Result<(), Wrong> {
        match kind {
            kind::META => self.meta(payload),
            kind::DEFS => self.defs(payload),
            kind::EVENTS => {
                self.events.segment(payload, &mut self.trace, &mut self.recording, &mut self.complaints)
            }
            kind::SAMPLES => self.samples(payload),
            kind::SYMBOLS => self.symbols(payload),
            kind::SUPPRESSIONS => self.suppressions(payload),
            kind::LIVE => self.live(payload),
            kind::LOST => self.lost(payload),
            kind::CULLED => self.culled(payload),
            kind::THREADS => self.threads(payload),
            kind::MAPS => self.maps(payload),
            kind::LOOKS => self.looks(payload),
            kind::END => {
                self.recording.end = Some(serde_json::from_slice(payload).map_err(|_| JSON)?);
                Ok(())
            }
            // For who wants a part of the file; all of it is read here.
            kind::INDEX | kind::TAIL => Ok(()),
            other => {
                self.unknown_kinds.insert(other);
                Ok(())
            }
        }
    }

    fn meta(&mut self, payload: &[u8]) -> Result<(), Wrong> {
        let meta: Meta = serde_json::from_slice(payload).map_err(|_| JSON)?;
        let trace = &mut self.trace;
        trace.command = meta.argv.join(" ").into_bytes();
        trace.is_attached = meta.attached;
        trace.page_size = (meta.page_size > 0).then_some(meta.page_size);
        trace.physical_pages = (meta.physical_pages > 0).then_some(meta.physical_pages);
        trace.sample_bytes = meta.sample_bytes;
        self.recording.meta = meta;
        Ok(())
    }

    /// The recording, and sentences on what was passed over.
    pub(super) fn finish(mut self) -> (Trace, Vec<String>) {
        let (mut trace, mut recording) = (self.trace, self.recording);
        trace.ips.set_frames(&self.named, &self.frames);
        (recording.lifetimes, recording.realloc_chains) = self.events.finish();
        recording.culled.sort_by_key(|culled| culled.info);
        recording.culled.dedup_by(|later, first| {
            let same = later.info == first.info;
            if same {
                first.allocations = first.allocations.saturating_add(later.allocations);
                first.bytes = first.bytes.saturating_add(later.bytes);
            }
            same
        });
        recording.thread_runs.shrink();
        trace.recording = Some(Box::new(recording));
        trace.rss.sort_by_key(|sample| sample.ms);
        trace.shrink();
        let mut unknown: Vec<u8> = self.unknown_kinds.drain().collect();
        unknown.sort_unstable();
        let note = |kind| format!("a newer version wrote segments of kind {kind}, which were passed over");
        (trace, unknown.into_iter().map(note).collect())
    }
}
