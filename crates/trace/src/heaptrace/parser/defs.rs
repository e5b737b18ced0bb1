//! Definitions: strings, modules, places, nodes, infos.

use super::Wrong;
use super::builder::Builder;
use crate::events::Event;
use crate::heaptrace::layout::group;
use crate::heaptrace::numbers::Numbers;
use crate::ids::{IpId, StringId, TraceId};
use crate::recording::{LoadSegment, Module};

const DEFS: Wrong = "a segment of definitions contradicts itself";
const GAP: Wrong = "a segment of definitions does not follow the one before it";
const REFERENCE: Wrong = "a definition refers to one that the file does not have";
const TOO_MANY: Wrong = "there are more definitions of a kind than can be numbered";

impl Builder {
    pub(super) fn defs(&mut self, payload: &[u8]) -> Result<(), Wrong> {
        let mut groups = Numbers(payload);
        while let Some(kind) = groups.byte() {
            let (before, count) = groups.next().zip(groups.next()).ok_or(DEFS)?;
            let (first, second) = groups.bytes().zip(groups.bytes()).ok_or(DEFS)?;
            // A definition has a byte in the first column at least.
            if count > first.len() as u64 {
                return Err(DEFS);
            }
            let known = match kind {
                group::STRINGS => self.trace.strings.len(),
                group::MODULES => self.recording.modules.len(),
                group::IPS => self.trace.ips.len() - 1,
                group::NODES => self.trace.tree.len() - 1,
                group::INFOS => self.trace.infos.len(),
                group::UNMAPPED => before as usize,
                _ => continue,
            };
            if known as u64 != before {
                return Err(GAP);
            }
            if before + count >= u64::from(u32::MAX) {
                return Err(TOO_MANY);
            }
            let mut columns = Columns { first: Numbers(first), second: Numbers(second) };
            match kind {
                group::STRINGS => self.strings(count, &mut columns)?,
                group::MODULES => self.modules(count, &mut columns)?,
                group::IPS => self.ips(count, &mut columns)?,
                group::NODES => self.nodes(count, &mut columns)?,
                group::INFOS => self.infos(count, &mut columns)?,
                _ => self.unmapped(count, &mut columns)?,
            }
            if !columns.first.is_empty() || !columns.second.is_empty() {
                return Err(DEFS);
            }
        }
        Ok(())
    }

    fn strings(&mut self, count: u64, columns: &mut Columns<'_>) -> Result<(), Wrong> {
        for _ in 0..count {
            let len = columns.first.next().ok_or(DEFS)?;
            self.trace.strings.push(columns.second.take(len).ok_or(DEFS)?);
        }
        Ok(())
    }

    fn modules(&mut self, count: u64, columns: &mut Columns<'_>) -> Result<(), Wrong> {
        for _ in 0..count {
            let numbers = &mut columns.first;
            let path = StringId(numbers.short().ok_or(DEFS)?);
            if path.index() > self.trace.strings.len() {
                return Err(REFERENCE);
            }
            let (base, mapped_ns) = numbers.next().zip(numbers.next()).ok_or(DEFS)?;
            let mut segments = Vec::new();
            for _ in 0..numbers.next().ok_or(DEFS)? {
                let (address, size) = numbers.next().zip(numbers.next()).ok_or(DEFS)?;
                segments.push(LoadSegment { address, size });
            }
            let build_id = columns.second.bytes().ok_or(DEFS)?.to_vec();
            self.recording.modules.push(Module {
                path,
                build_id,
                base,
                segments,
                mapped_ns,
                unmapped_ns: None,
            });
        }
        Ok(())
    }

    fn unmapped(&mut self, count: u64, columns: &mut Columns<'_>) -> Result<(), Wrong> {
        for _ in 0..count {
            let (module, ns) = columns.first.short().zip(columns.second.next()).ok_or(DEFS)?;
            self.recording.modules.get_mut(module as usize).ok_or(REFERENCE)?.unmapped_ns = Some(ns);
        }
        Ok(())
    }

    fn ips(&mut self, count: u64, columns: &mut Columns<'_>) -> Result<(), Wrong> {
        let mut address = 0_u64;
        for _ in 0..count {
            address = address.wrapping_add_signed(columns.first.signed().ok_or(DEFS)?);
            // Module 0 stands as 1, and 0 is none.
            let module = columns.second.short().ok_or(DEFS)?.checked_sub(1);
            let path = match module {
                Some(module) => self.recording.modules.get(module as usize).ok_or(REFERENCE)?.path,
                None => StringId(0),
            };
            self.trace.ips.push(address, path);
            self.recording.ip_modules.push(module.unwrap_or(u32::MAX));
        }
        Ok(())
    }

    fn nodes(&mut self, count: u64, columns: &mut Columns<'_>) -> Result<(), Wrong> {
        let mut ip = 0;
        for _ in 0..count {
            ip = moved(ip, columns.first.signed())?;
            let up = columns.second.short().ok_or(DEFS)?;
            // A parent stands before its child: that also keeps a stack from leading back into itself.
            let parent =
                (self.trace.tree.len() as u32).checked_sub(up).filter(|_| up > 0).ok_or(REFERENCE)?;
            if ip as usize >= self.trace.ips.len() {
                return Err(REFERENCE);
            }
            self.trace.tree.push(IpId(ip), TraceId(parent));
        }
        Ok(())
    }

    fn infos(&mut self, count: u64, columns: &mut Columns<'_>) -> Result<(), Wrong> {
        let mut trace = 0;
        for _ in 0..count {
            let size = columns.first.next().ok_or(DEFS)?;
            trace = moved(trace, columns.second.signed())?;
            if trace as usize >= self.trace.tree.len() {
                return Err(REFERENCE);
            }
            if self.trace.infos.len() >= Event::MAX_INFO as usize {
                return Err(TOO_MANY);
            }
            self.trace.infos.push(size, TraceId(trace));
        }
        Ok(())
    }
}

/// The two columns of a group.
struct Columns<'a> {
    first: Numbers<'a>,
    second: Numbers<'a>,
}

/// The id that is so far from the last one.
pub(super) fn moved(last: u32, difference: Option<i64>) -> Result<u32, Wrong> {
    let difference = difference.ok_or(DEFS)?;
    i64::from(last).checked_add(difference).and_then(|id| u32::try_from(id).ok()).ok_or(REFERENCE)
}
