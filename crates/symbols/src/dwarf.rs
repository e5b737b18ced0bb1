//! Lines and inlined functions, from DWARF.

use addr2line::Context;
use gimli::{Dwarf, EndianSlice, RunTimeEndian, SectionId};
use object::Endianness;

use crate::elf::Elf;
use crate::files::Store;

type Reader<'s> = EndianSlice<'s, RunTimeEndian>;

/// A file's debug information. Its units are listed at once; functions and lines of a unit are read when an address
/// of it is asked for.
pub(crate) struct DebugInfo<'s> {
    context: Context<Reader<'s>>,
}

/// A function at an address, or one that it was inlined into.
pub(crate) struct RawFrame<'d> {
    /// The linkage name if there is one, otherwise the plain name.
    pub(crate) function: Option<&'d [u8]>,
    pub(crate) file: Option<&'d str>,
    /// From 1; 0 if unknown.
    pub(crate) line: u32,
    /// From 1; 0 if unknown.
    pub(crate) column: u32,
}

impl<'s> DebugInfo<'s> {
    /// Reads the list of units; `None` without debug information.
    ///
    /// # Errors
    /// If a section can't be decompressed or the list is damaged.
    pub(crate) fn load(
        elf: &Elf<'s>,
        shared: Option<&Elf<'s>>,
        store: &'s Store,
    ) -> Result<Option<DebugInfo<'s>>, String> {
        if !elf.has_debug_info() {
            return Ok(None);
        }
        let mut dwarf = Dwarf::load(|section| reader(elf, section, store))?;
        if let Some(shared) = shared {
            dwarf.load_sup(|section| reader(shared, section, store))?;
        }
        let context = Context::from_dwarf(dwarf).map_err(|error| error.to_string())?;
        Ok(Some(DebugInfo { context }))
    }

    /// The functions at `address`, the innermost first: each with the place where it is, and all but the last inlined
    /// into the next one. Empty if nothing is known, also for damage.
    pub(crate) fn frames(&self, address: u64) -> Vec<RawFrame<'_>> {
        let mut frames = Vec::new();
        // Half of a chain would lack the real function, so it is none.
        if address == u64::MAX || self.collect(address, &mut frames).is_err() {
            frames.clear();
        }
        frames
    }

    fn collect<'d>(&'d self, address: u64, frames: &mut Vec<RawFrame<'d>>) -> Result<(), gimli::Error> {
        let mut chain = self.context.find_frames(address).skip_all_loads()?;
        while let Some(frame) = chain.next()? {
            let location = frame.location.as_ref();
            frames.push(RawFrame {
                function: frame.function.map(|function| function.name.slice()),
                file: location.and_then(|location| location.file),
                line: location.and_then(|location| location.line).unwrap_or(0),
                column: location.and_then(|location| location.column).unwrap_or(0),
            });
        }
        Ok(())
    }
}

/// The bytes of one section; none of what is only about variables and macros.
fn reader<'s>(elf: &Elf<'s>, section: SectionId, store: &'s Store) -> Result<Reader<'s>, String> {
    let is_needed = matches!(
        section,
        SectionId::DebugAbbrev
            | SectionId::DebugAddr
            | SectionId::DebugAranges
            | SectionId::DebugInfo
            | SectionId::DebugLine
            | SectionId::DebugLineStr
            | SectionId::DebugRanges
            | SectionId::DebugRngLists
            | SectionId::DebugStr
            | SectionId::DebugStrOffsets
    );
    let bytes = if is_needed { elf.section(section.name(), store)? } else { None };
    let endian = match elf.file.endian() {
        Endianness::Little => RunTimeEndian::Little,
        Endianness::Big => RunTimeEndian::Big,
    };
    Ok(EndianSlice::new(bytes.unwrap_or_default(), endian))
}
