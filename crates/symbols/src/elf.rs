//! The parts of an ELF file that names come from.

use std::io::Read;

use object::elf::{self, FileHeader64};
use object::read::elf::{ElfFile64, ProgramHeader};
use object::{CompressionFormat, Endianness, Object, ObjectSection};

use crate::files::Store;
use crate::module::Segment;

/// The most that one compressed section may become, in bytes: Chromium's largest has 4 GB.
const MAX_SECTION: u64 = 8 << 30;

/// An ELF file whose bytes are in a [`Store`].
pub(crate) struct Elf<'s> {
    pub(crate) file: ElfFile64<'s, Endianness>,
    pub(crate) bytes: &'s [u8],
}

/// A raw symbol table: `.symtab` or `.dynsym`.
pub(crate) type RawSymbols<'s> = object::read::elf::SymbolTable<'s, FileHeader64<Endianness>>;

impl<'s> Elf<'s> {
    /// Reads the headers.
    ///
    /// # Errors
    /// What is wrong with them, in `object`'s words.
    pub(crate) fn parse(bytes: &'s [u8]) -> Result<Elf<'s>, String> {
        let file = ElfFile64::parse(bytes).map_err(|error| error.to_string())?;
        Ok(Elf { file, bytes })
    }

    pub(crate) fn build_id(&self) -> Option<&'s [u8]> {
        self.file.build_id().ok().flatten()
    }

    /// What the loader would load.
    pub(crate) fn segments(&self) -> Vec<Segment> {
        let endian = self.file.endian();
        let loaded =
            self.file.elf_program_headers().iter().filter(|header| header.p_type(endian) == elf::PT_LOAD);
        loaded
            .map(|header| Segment { vaddr: header.p_vaddr(endian), memsz: header.p_memsz(endian) })
            .collect()
    }

    /// Name and checksum of the file with this one's debug information.
    pub(crate) fn debug_link(&self) -> Option<(&'s [u8], u32)> {
        self.file.gnu_debuglink().ok().flatten()
    }

    /// Path and build id of the file that several debug files share (`dwz -m` makes it).
    pub(crate) fn shared_debug_link(&self) -> Option<(&'s [u8], &'s [u8])> {
        self.file.gnu_debugaltlink().ok().flatten()
    }

    pub(crate) fn has_debug_info(&self) -> bool {
        self.file.section_by_name(".debug_info").is_some_and(|section| section.size() > 0)
    }

    pub(crate) fn has_symbols(&self) -> bool {
        !self.file.elf_symbol_table().is_empty()
    }

    /// The bytes of a section, decompressed if need be; `None` without such a section.
    ///
    /// # Errors
    /// If it lies outside of the file or is not what it says.
    pub(crate) fn section(&self, name: &str, store: &'s Store) -> Result<Option<&'s [u8]>, String> {
        let Some(section) = self.file.section_by_name(name) else { return Ok(None) };
        let wrong = |error: &dyn std::fmt::Display| format!("section {name}: {error}");
        let data = section.compressed_data().map_err(|error| wrong(&error))?;
        let mut reader: Box<dyn Read> = match data.format {
            CompressionFormat::None => return Ok(Some(data.data)),
            CompressionFormat::Zlib => Box::new(flate2::bufread::ZlibDecoder::new(data.data)),
            CompressionFormat::Zstandard => {
                Box::new(zstd::stream::read::Decoder::with_buffer(data.data).map_err(|error| wrong(&error))?)
            }
            _ => return Err(wrong(&"an unknown compression")),
        };
        let size = data.uncompressed_size;
        if size > MAX_SECTION {
            return Err(wrong(&format!("{size} bytes are too many")));
        }
        // The size comes from the file: so much memory is taken only if so many bytes turn up.
        let likely = size.min(data.data.len() as u64 * 16);
        let mut bytes = Vec::with_capacity(likely as usize);
        reader.by_ref().take(size).read_to_end(&mut bytes).map_err(|error| wrong(&error))?;
        if bytes.len() as u64 != size {
            return Err(wrong(&"it is shorter than it says"));
        }
        Ok(Some(store.keep(Box::new(bytes))))
    }
}
