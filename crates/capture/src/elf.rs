//! What an executable file says about itself: whether it is Node, which version, and where a symbol lies.
//!
//! Node executables are 90 to 150 MB, and a listing looks at the executable of every process of the machine.
//! So sections are read one at a time, and the constants only until the version turns up.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use memchr::memmem;
use object::Endianness;
use object::elf::{self, FileHeader64};
use object::read::ReadCache;
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};

/// A window for the version's search, in bytes.
const WINDOW: usize = 256 << 10;
/// How much two windows overlap, in bytes: the longest text around a version.
const OVERLAP: usize = 256;
/// How many bytes of one section are searched; Node has 50 to 60 MB of constants, most of them ICU's tables.
const MAX_CONSTANTS: u64 = 256 << 20;
/// Size of a symbol in a 64-bit file, in bytes.
const SYMBOL: usize = 24;

/// A 64-bit ELF file that is open.
pub(crate) struct Elf<'f> {
    file: &'f File,
    /// In bytes; a damaged header must not make us ask for more than there is.
    length: u64,
    sections: Vec<Section>,
    /// Address and file offset of the first segment that is loaded.
    first_load: (u64, u64),
    /// Whether the loader chooses where it goes (a shared library, a position-independent executable).
    relocatable: bool,
}

/// A section as far as this module needs it; offset and size in bytes.
#[derive(Clone, Copy)]
struct Section {
    kind: elf::SectionType,
    /// Loaded, but neither written nor executed.
    constant: bool,
    offset: u64,
    size: u64,
    /// For symbols: the number of the section with their names.
    link: usize,
}

impl<'f> Elf<'f> {
    /// Reads the headers; `None` if this is no 64-bit ELF file.
    pub(crate) fn open(file: &'f File) -> Option<Elf<'f>> {
        let length = file.metadata().ok()?.len();
        let cache = ReadCache::new(file);
        let header = FileHeader64::<Endianness>::parse(&cache).ok()?;
        let endian = header.endian().ok()?;
        let sections = header.section_headers(endian, &cache).ok()?;
        let sections = sections.iter().map(|section| {
            let flags: u64 = section.sh_flags(endian).0;
            Section {
                kind: section.sh_type(endian),
                constant: flags & (elf::SHF_ALLOC.0 | elf::SHF_WRITE.0 | elf::SHF_EXECINSTR.0)
                    == elf::SHF_ALLOC.0,
                offset: section.sh_offset(endian),
                size: section.sh_size(endian),
                link: section.sh_link(endian) as usize,
            }
        });
        let sections = sections.collect();
        let segments = header.program_headers(endian, &cache).ok()?;
        let first_load = segments.iter().find(|segment| segment.p_type(endian) == elf::PT_LOAD);
        let first_load =
            first_load.map_or((0, 0), |segment| (segment.p_vaddr(endian), segment.p_offset(endian)));
        let relocatable = header.e_type(endian) == elf::ET_DYN;
        Some(Elf { file, length, sections, first_load, relocatable })
    }

    /// Whether the file *defines and exports* each of `names`: an addon imports `napi_create_function`, Node has it.
    pub(crate) fn exports(&self, names: &[&str]) -> bool {
        let Some((symbols, strings)) = self.symbols(elf::SHT_DYNSYM) else { return false };
        names.iter().all(|name| {
            address_of(&symbols, &strings, name.as_bytes(), |rest| rest.first() == Some(&0)).is_some()
        })
    }

    /// Whether a name that the file exports or imports contains `part`.
    pub(crate) fn dynamic_names_contain(&self, part: &str) -> bool {
        self.symbols(elf::SHT_DYNSYM)
            .is_some_and(|(_, strings)| memmem::find(&strings, part.as_bytes()).is_some())
    }

    /// The address of libuv's tree of signal handlers, before the load bias.
    ///
    /// It is a static variable, so only the full symbol table has it, and a stripped file does not.
    /// Clang appends a number to its name (`uv__signal_tree.0` in Node 26).
    pub(crate) fn signal_tree(&self) -> Option<u64> {
        let (symbols, strings) = self.symbols(elf::SHT_SYMTAB)?;
        address_of(&symbols, &strings, b"uv__signal_tree", |rest| {
            let name = &rest[..memchr::memchr(0, rest).unwrap_or(rest.len())];
            name.is_empty() || (name[0] == b'.' && name[1..].iter().all(u8::is_ascii_digit))
        })
    }

    /// What to add to an address of this file, given the address at which its offset `offset` is mapped.
    pub(crate) fn load_bias(&self, mapped_at: u64, offset: u64) -> u64 {
        let (address, segment_offset) = self.first_load;
        let linked_at = address.wrapping_sub(segment_offset).wrapping_add(offset);
        if self.relocatable { mapped_at.wrapping_sub(linked_at) } else { 0 }
    }

    /// The version of Node that this file is, such as `v20.20.2`; `None` if it has no such text.
    ///
    /// Two texts tell it: the address of the headers (`…/download/release/v20.20.2/…`), which official builds have,
    /// and the version alone between two zero bytes, which every build has.
    ///
    /// # Errors
    /// Those of reading the file.
    pub(crate) fn node_version(&self) -> io::Result<Option<String>> {
        let is_it = |section: &&Section| section.constant && section.kind == elf::SHT_PROGBITS;
        let mut sections: Vec<&Section> = self.sections.iter().filter(is_it).collect();
        // `.rodata` is by far the largest, and it has the version in its first megabyte.
        sections.sort_by_key(|section| std::cmp::Reverse(section.size));
        let mut alone = None;
        let mut window = vec![0; WINDOW + OVERLAP];
        for section in sections {
            let end = section.size.min(MAX_CONSTANTS);
            let mut at = 0;
            while at < end {
                let bytes = &mut window[..(end - at).min((WINDOW + OVERLAP) as u64) as usize];
                self.file.read_exact_at(bytes, section.offset.saturating_add(at))?;
                if let Some(version) = version_in_url(bytes) {
                    return Ok(Some(version));
                }
                alone = alone.or_else(|| version_alone(bytes));
                at += WINDOW as u64;
            }
        }
        Ok(alone)
    }

    /// The table of symbols of one kind, and their names.
    fn symbols(&self, kind: elf::SectionType) -> Option<(Vec<u8>, Vec<u8>)> {
        let symbols = self.sections.iter().find(|section| section.kind == kind)?;
        let strings = self.sections.get(symbols.link)?;
        Some((self.bytes(symbols)?, self.bytes(strings)?))
    }

    fn bytes(&self, section: &Section) -> Option<Vec<u8>> {
        let inside = section.offset.checked_add(section.size).is_some_and(|end| end <= self.length);
        let mut bytes = vec![0; if inside { usize::try_from(section.size).ok()? } else { 0 }];
        self.file.read_exact_at(&mut bytes, section.offset).ok()?;
        inside.then_some(bytes)
    }
}

/// The address of the symbol whose name starts with `name` and goes on in a way that `ends` accepts,
/// if the file defines it and doesn't just ask for it.
///
/// The names are searched first, since only one or two of 100 000 symbols are wanted.
/// A linker lets a name be the end of a longer one, so a name may start anywhere.
fn address_of(symbols: &[u8], strings: &[u8], name: &[u8], ends: impl Fn(&[u8]) -> bool) -> Option<u64> {
    let names: Vec<u32> = memmem::find_iter(strings, name)
        .filter(|&at| ends(&strings[at + name.len()..]))
        .filter_map(|at| u32::try_from(at).ok())
        .collect();
    if names.is_empty() {
        return None;
    }
    symbols.chunks_exact(SYMBOL).find_map(|symbol| {
        let section = u16::from_ne_bytes([symbol[6], symbol[7]]);
        let name = u32::from_ne_bytes([symbol[0], symbol[1], symbol[2], symbol[3]]);
        let defined = section != 0 && names.contains(&name);
        defined.then(|| u64::from_ne_bytes(symbol[8..16].try_into().expect("8 of a chunk of 24")))
    })
}

/// `v20.20.2` of `…/download/release/v20.20.2/node-v20.20.2.tar.gz`; nightly builds have another folder name.
fn version_in_url(bytes: &[u8]) -> Option<String> {
    memmem::find_iter(bytes, b"/download/").find_map(|at| {
        let rest = &bytes[at + b"/download/".len()..];
        let channel = rest.iter().take(32).position(|&byte| byte == b'/')?;
        let rest = &rest[channel + 1..];
        let end = rest.iter().take(80).position(|&byte| byte == b'/')?;
        let (version, length) = version(rest)?;
        // The rest of a nightly's version: `v27.0.0-nightly20261101abcdef`.
        let goes_on = rest[length..end].iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
        goes_on.then(|| version.to_owned() + &String::from_utf8_lossy(&rest[length..end]))
    })
}

/// A version that is a whole C string.
fn version_alone(bytes: &[u8]) -> Option<String> {
    memmem::find_iter(bytes, b"\0v").find_map(|at| {
        let (version, length) = version(&bytes[at + 1..])?;
        (bytes.get(at + 1 + length) == Some(&0)).then(|| version.to_owned())
    })
}

/// `vMAJOR.MINOR.PATCH` at the start of `bytes`, and its length.
fn version(bytes: &[u8]) -> Option<(&str, usize)> {
    let is_part = |byte: &&u8| byte.is_ascii_digit() || **byte == b'.';
    let length = 1 + bytes.get(1..)?.iter().take(16).take_while(is_part).count();
    let text = std::str::from_utf8(&bytes[..length]).ok()?;
    let mut numbers = text.strip_prefix('v')?.split('.');
    let three = (0..3).all(|_| numbers.next().is_some_and(|number| !number.is_empty()));
    (three && numbers.next().is_none()).then_some((text, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(constants: &[u8], url: Option<&str>, alone: Option<&str>) {
        assert_eq!(version_in_url(constants).as_deref(), url);
        assert_eq!(version_alone(constants).as_deref(), alone);
    }

    #[test]
    fn a_version_is_found_in_the_address_of_the_headers_or_as_a_string_of_its_own() {
        check(
            b"\0https://nodejs.org/download/release/v20.20.2/node-v20.20.2.tar.gz\0",
            Some("v20.20.2"),
            None,
        );
        check(b"x/download/nightly/v27.0.0-nightly2026abc/\0", Some("v27.0.0-nightly2026abc"), None);
        check(b"node\0v18.19.0\0lts", None, Some("v18.19.0"));
        check(b"\0v1.2\0\0v1.2.3.4\0\0version\0/download/v8/\0/download/", None, None);
        check(b"\0v1.2.3", None, None);
        check(b"", None, None);
    }

    #[test]
    fn only_what_the_loader_may_place_has_a_bias() {
        let file = File::open("/proc/self/exe").expect("this test runs");
        let elf = |relocatable, first_load| Elf {
            file: &file,
            length: 0,
            sections: Vec::new(),
            first_load,
            relocatable,
        };
        assert_eq!(elf(false, (0x40_0000, 0)).load_bias(0x40_0000, 0), 0);
        assert_eq!(elf(true, (0, 0)).load_bias(0x7f00_0000, 0), 0x7f00_0000);
        // Linked at an address of its own, and seen first by its second page.
        assert_eq!(elf(true, (0x20_0000, 0)).load_bias(0x7f20_1000, 0x1000), 0x7f00_0000);
    }

    #[test]
    fn a_symbol_that_is_only_asked_for_has_no_address() {
        let symbol = |name: u32, section: u16, value: u64| {
            let mut bytes = Vec::from(name.to_ne_bytes());
            bytes.extend([0, 0]);
            bytes.extend(section.to_ne_bytes());
            bytes.extend(value.to_ne_bytes());
            bytes.extend([0; 8]);
            bytes
        };
        let strings = b"\0one\0twoone\0";
        let symbols = [symbol(1, 0, 7), symbol(8, 3, 9), symbol(5, 3, 11)].concat();
        let found = |name: &[u8]| address_of(&symbols, strings, name, |rest| rest[0] == 0);
        // The second symbol's name is the end of the third's.
        assert_eq!((found(b"one"), found(b"twoone"), found(b"two")), (Some(9), Some(11), None));
    }
}
