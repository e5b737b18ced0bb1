//! heaptrack's data file, interpreted, version 3: what `heaptrack_print` and `heaptrack_gui` open.

use std::io::{self, Write};
use std::ops::Range;

use crate::ids::{IpId, StringId, TraceId};
use crate::trace::{Matching, RssSample, Trace};

/// Bytes that are collected before they go out.
const BLOCK: usize = 1 << 16;

/// The heaptrack whose form is written: readers before it refuse version 3 of the file.
const HEAPTRACK: u64 = 0x10400;

/// Writes a recording, or the events from one time to another, in milliseconds since it began. Frees of blocks that
/// were allocated before the first of them stay in.
///
/// A call is an event there, so the calls of a sampled recording can't be scaled up; sizes can, and are.
///
/// # Errors
/// Those of `out`.
pub fn write_heaptrack(trace: &Trace, ms: Option<&Range<u64>>, out: &mut dyn Write) -> io::Result<()> {
    let mut writer = Writer { block: Vec::with_capacity(BLOCK + 4096), out };
    writer.head(trace);
    writer.tables(trace)?;
    let all = trace.events.len();
    let events = ms.map_or(0..all, |ms| trace.clock.events_between(ms.clone(), all));
    writer.events(trace, events, ms)?;
    writer.flush(0)
}

/// What heaptrack's file can't hold of a recording: sentences without a full stop.
pub fn heaptrack_losses(trace: &Trace) -> Vec<String> {
    let mut lost = Vec::new();
    if trace.matching != Matching::ByInfo {
        lost.push(
            "heaptrack keeps no addresses of blocks: temporary allocations are told by size and stack".into(),
        );
    }
    if trace.sample_bytes.is_some_and(|bytes| bytes > 0) {
        lost.push(
            "heaptrack knows no samples: sizes are scaled, so that bytes are estimates of the whole; calls, temporary \
             allocations and the histogram of sizes are those of the sample"
                .into(),
        );
    }
    if trace.is_raw {
        lost.push("the recording is raw: its stacks have addresses and modules, and no names".into());
    }
    lost
}

struct Writer<'a> {
    block: Vec<u8>,
    out: &'a mut dyn Write,
}

impl Writer<'_> {
    /// Sends the block on if it has more than so many bytes.
    fn flush(&mut self, most: usize) -> io::Result<()> {
        if self.block.len() > most {
            self.out.write_all(&self.block)?;
            self.block.clear();
        }
        Ok(())
    }

    fn hex(&mut self, value: u64) {
        let digits = (64 - value.leading_zeros() as usize).div_ceil(4).max(1);
        for at in (0..digits).rev() {
            self.block.push(b"0123456789abcdef"[(value >> (4 * at) & 15) as usize]);
        }
    }

    /// ` NUMBER`.
    fn field(&mut self, value: u64) {
        self.block.push(b' ');
        self.hex(value);
    }

    /// `LETTER NUMBER…`.
    fn record(&mut self, letter: u8, fields: &[u64]) {
        self.block.push(letter);
        fields.iter().for_each(|&value| self.field(value));
        self.block.push(b'\n');
    }

    /// Text that ends where the line ends.
    fn text(&mut self, text: &[u8]) {
        self.block.extend(text.iter().map(|&byte| if byte == b'\n' { b' ' } else { byte }));
    }

    fn head(&mut self, trace: &Trace) {
        self.record(b'v', &[HEAPTRACK, 3]);
        self.block.extend_from_slice(b"X ");
        self.text(&trace.command);
        self.block.push(b'\n');
        if let (Some(page), Some(pages)) = (trace.page_size, trace.physical_pages) {
            self.record(b'I', &[page, pages]);
        }
        if trace.is_attached {
            self.block.extend_from_slice(b"A\n");
        }
        for suppression in &trace.suppressions {
            // Without its length: heaptrack does not find the pattern behind one.
            self.block.extend_from_slice(b"S ");
            self.text(&suppression.text);
            self.block.push(b'\n');
        }
    }

    fn tables(&mut self, trace: &Trace) -> io::Result<()> {
        for (_, text) in trace.strings.iter() {
            self.block.push(b's');
            self.field(text.len() as u64);
            self.block.push(b' ');
            self.text(text);
            self.block.push(b'\n');
            self.flush(BLOCK)?;
        }
        for ip in (1..trace.ips.len() as u32).map(IpId) {
            self.ip(trace, ip);
            self.flush(BLOCK)?;
        }
        for node in (1..trace.tree.len() as u32).map(TraceId) {
            let (ip, parent) = (trace.tree.ip(node), trace.tree.parent(node));
            self.record(b't', &[u64::from(ip.0), u64::from(parent.0)]);
            self.flush(BLOCK)?;
        }
        for info in (0..trace.infos.len() as u32).map(crate::InfoIdx) {
            let size = match trace.sample_bytes {
                Some(_) => (trace.infos.size(info) as f64 * trace.sample_weight(trace.infos.size(info)))
                    .round() as u64,
                None => trace.infos.size(info),
            };
            self.record(b'a', &[size, u64::from(trace.infos.trace(info).0)]);
            self.flush(BLOCK)?;
        }
        Ok(())
    }

    fn ip(&mut self, trace: &Trace, ip: IpId) {
        let number = |id: StringId| u64::from(id.0);
        self.block.push(b'i');
        self.field(trace.ips.address(ip));
        self.field(number(trace.ips.module(ip)));
        let frames = trace.ips.frames(ip);
        for frame in frames {
            self.field(number(frame.function));
            // A function alone is the short form; what it is inlined into can follow only behind a place.
            if frames.len() > 1 || !frame.file.is_zero() {
                self.field(number(frame.file));
                self.field(u64::from(frame.line));
            }
        }
        self.block.push(b'\n');
    }

    /// Events with the clock and the samples of memory between them.
    fn events(&mut self, trace: &Trace, events: Range<u64>, ms: Option<&Range<u64>>) -> io::Result<()> {
        let is_inside = |at: u64| ms.is_none_or(|ms| ms.contains(&at));
        let mut rss = trace.rss.iter().filter(|sample| is_inside(sample.ms)).peekable();
        let mut at = events.start;
        let stamps = trace.clock.stamps();
        while let Some(sample) = rss.next_if(|sample| stamps.first().is_none_or(|stamp| sample.ms < stamp.ms))
        {
            self.rss(sample);
        }
        for (number, stamp) in stamps.iter().enumerate().filter(|(_, stamp)| is_inside(stamp.ms)) {
            self.run(trace, at..stamp.event.clamp(at, events.end))?;
            at = stamp.event.clamp(at, events.end);
            self.record(b'c', &[stamp.ms]);
            let next = stamps.get(number + 1).map(|next| next.ms);
            while let Some(sample) = rss.next_if(|sample| next.is_none_or(|next| sample.ms < next)) {
                self.rss(sample);
            }
        }
        self.run(trace, at..events.end)
    }

    fn rss(&mut self, sample: &RssSample) {
        self.record(b'R', &[sample.pages]);
    }

    fn run(&mut self, trace: &Trace, events: Range<u64>) -> io::Result<()> {
        let mut outcome = Ok(());
        trace.events.replay(events, |_, run| {
            for event in run {
                self.record(if event.is_free() { b'-' } else { b'+' }, &[u64::from(event.info().0)]);
                if outcome.is_ok() {
                    outcome = self.flush(BLOCK);
                } else {
                    self.block.clear();
                }
            }
        });
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_as_many_digits_as_they_need() {
        let mut sink = io::sink();
        let mut writer = Writer { block: Vec::new(), out: &mut sink };
        for value in [0, 1, 15, 16, 255, 256, 0x7FFF_FFFF, u64::MAX >> 4, (u64::MAX >> 4) + 1, u64::MAX] {
            writer.block.clear();
            writer.hex(value);
            assert_eq!(String::from_utf8_lossy(&writer.block), format!("{value:x}"));
        }
    }
}
