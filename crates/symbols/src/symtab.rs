//! Which symbol an address belongs to.

use std::cmp::Reverse;

use object::elf;
use object::read::elf::{SectionHeader, Sym};
use object::read::{StringTable, SymbolIndex};

use crate::elf::{Elf, RawSymbols};

/// No symbol: a gap between two of them.
const NONE: u32 = u32::MAX;

/// The code of a file, cut into stretches that belong to one symbol or to none.
#[derive(Default)]
pub(crate) struct SymbolTable<'s> {
    /// Where each stretch starts, in the file's addresses; ascending. The last one belongs to nobody.
    starts: Vec<u64>,
    /// For each stretch its symbol in `names`, or [`NONE`].
    owners: Vec<u32>,
    names: Vec<Name>,
    strings: Vec<StringTable<'s>>,
}

/// A name that nobody has read yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    /// Which of the tables of strings.
    table: u32,
    /// Offset in it, in bytes.
    offset: u32,
}

/// A symbol of code.
#[derive(Clone, Copy, Debug)]
struct Symbol {
    start: u64,
    /// Without a size it is found by [`stretches`], and this is where its section ends.
    end: u64,
    is_sized: bool,
    /// How good the name is among those of the same code; 0 is best.
    rank: u8,
    name: Name,
}

impl<'s> SymbolTable<'s> {
    /// Takes the symbols of functions from all tables; for the same code the earlier file's name comes first.
    pub(crate) fn new(files: &[&Elf<'s>]) -> SymbolTable<'s> {
        let mut table = SymbolTable::default();
        let mut symbols = Vec::new();
        for elf in files {
            table.collect(elf, elf.file.elf_symbol_table(), &mut symbols);
        }
        for elf in files {
            table.collect(elf, elf.file.elf_dynamic_symbol_table(), &mut symbols);
        }
        let strings = &table.strings;
        let text = |name: Name| strings[name.table as usize].get(name.offset).unwrap_or_default();
        (table.starts, table.owners, table.names) = stretches(symbols, &text);
        table
    }

    /// The name of the symbol that covers `address`, as it stands in the file.
    pub(crate) fn find(&self, address: u64) -> Option<&'s [u8]> {
        let at = self.starts.partition_point(|&start| start <= address).checked_sub(1)?;
        let name = self.names.get(self.owners[at] as usize)?;
        self.strings[name.table as usize].get(name.offset).ok().filter(|name| !name.is_empty())
    }

    fn collect(&mut self, elf: &Elf<'s>, raw: &RawSymbols<'s>, symbols: &mut Vec<Symbol>) {
        if raw.is_empty() {
            return;
        }
        let endian = elf.file.endian();
        let table = self.strings.len() as u32;
        self.strings.push(raw.strings());
        // For each section the end of its code; 0 if it holds none.
        let code_end = elf.file.elf_section_table().iter().map(|section| {
            let is_code = section.sh_flags(endian).0 & elf::SHF_EXECINSTR.0 != 0;
            if is_code { section.sh_addr(endian).saturating_add(section.sh_size(endian)) } else { 0 }
        });
        let code_end: Vec<u64> = code_end.collect();
        for (at, symbol) in raw.symbols().iter().enumerate() {
            let kind = symbol.st_type();
            let is_function = kind == elf::STT_FUNC || kind == elf::STT_GNU_IFUNC;
            if !is_function && kind != elf::STT_NOTYPE {
                continue;
            }
            let section = raw.symbol_section(endian, symbol, SymbolIndex(at)).ok().flatten();
            let end = section.and_then(|section| code_end.get(section.0)).copied().unwrap_or(0);
            let (start, size) = (symbol.st_value(endian), symbol.st_size(endian));
            if start >= end {
                continue;
            }
            let name = Name { table, offset: symbol.st_name(endian) };
            if !is_function && !is_name_of_code(raw.strings().get(name.offset).unwrap_or_default()) {
                continue;
            }
            let binding = match symbol.st_bind() {
                elf::STB_GLOBAL => 0,
                elf::STB_WEAK => 1,
                _ => 2,
            };
            let is_sized = size > 0;
            let end = if is_sized { start.saturating_add(size) } else { end };
            symbols.push(Symbol { start, end, is_sized, rank: binding + 4 * u8::from(!is_function), name });
        }
    }
}

/// Assemblers mark where data begins between instructions (`$d`, `$x.1`), and leave local labels behind.
fn is_name_of_code(name: &[u8]) -> bool {
    !(name.is_empty() || name[0] == b'$' || name.starts_with(b".L"))
}

/// Cuts the addresses at the symbols' starts and ends. Where symbols overlap, the one that starts last has the code.
/// One without a size goes on to the next symbol or to its section's end, and has nothing inside of one with a size.
fn stretches<'n>(
    mut symbols: Vec<Symbol>,
    text: &impl Fn(Name) -> &'n [u8],
) -> (Vec<u64>, Vec<u32>, Vec<Name>) {
    // `malloc` rather than `__libc_malloc`.
    let underscores = |symbol: &Symbol| text(symbol.name).iter().take_while(|&&byte| byte == b'_').count();
    symbols.sort_unstable_by(|a, b| {
        let key = |symbol: &Symbol| (symbol.start, !symbol.is_sized, Reverse(symbol.end), symbol.rank);
        key(a)
            .cmp(&key(b))
            .then_with(|| underscores(a).cmp(&underscores(b)))
            .then_with(|| a.name.cmp(&b.name))
    });
    let mut next = u64::MAX;
    for at in (0..symbols.len()).rev() {
        if symbols.get(at + 1).is_some_and(|after| after.start > symbols[at].start) {
            next = symbols[at + 1].start;
        }
        if !symbols[at].is_sized {
            symbols[at].end = symbols[at].end.min(next);
        }
    }

    let mut cuts = Cuts::default();
    let mut names = Vec::new();
    // The symbols around the current address, the outermost first.
    let mut open: Vec<(Symbol, u32)> = Vec::new();
    for symbol in symbols {
        cuts.close(&mut open, symbol.start);
        let is_hidden = open.last().is_some_and(|(around, _)| {
            !symbol.is_sized || (around.start, around.end) == (symbol.start, symbol.end)
        });
        if is_hidden {
            continue;
        }
        let owner = names.len() as u32;
        names.push(symbol.name);
        cuts.cut(symbol.start, owner);
        open.push((symbol, owner));
    }
    cuts.close(&mut open, u64::MAX);
    (cuts.starts, cuts.owners, names)
}

#[derive(Default)]
struct Cuts {
    starts: Vec<u64>,
    owners: Vec<u32>,
}

impl Cuts {
    fn cut(&mut self, at: u64, owner: u32) {
        if self.starts.last() == Some(&at) {
            self.starts.pop();
            self.owners.pop();
        }
        self.starts.push(at);
        self.owners.push(owner);
    }

    /// Ends all symbols that end before or at `until`, and gives the code behind them to those around them.
    fn close(&mut self, open: &mut Vec<(Symbol, u32)>, until: u64) {
        while let Some(&(Symbol { end, .. }, _)) = open.last() {
            if end > until {
                break;
            }
            while open.pop_if(|(symbol, _)| symbol.end <= end).is_some() {}
            self.cut(end, open.last().map_or(NONE, |&(_, owner)| owner));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&[u8]; 4] = [b"a", b"b", b"__c", b"d"];

    /// Symbols as (name, start, size or 0); all sections end at 100. Then stretches as (start, name or nothing).
    #[track_caller]
    fn check(symbols: &[(u32, u64, u64)], expected: &[(u64, &str)]) {
        let symbols = symbols.iter().map(|&(offset, start, size)| Symbol {
            start,
            end: if size > 0 { start + size } else { 100 },
            is_sized: size > 0,
            rank: 0,
            name: Name { table: 0, offset },
        });
        let (starts, owners, names) = stretches(symbols.collect(), &|name| NAMES[name.offset as usize]);
        let name =
            |owner: u32| names.get(owner as usize).map_or(&b""[..], |name| NAMES[name.offset as usize]);
        let found: Vec<_> = starts
            .iter()
            .zip(owners)
            .map(|(&start, owner)| (start, str::from_utf8(name(owner)).unwrap()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_size_is_respected() {
        check(&[(0, 10, 5), (1, 20, 5)], &[(10, "a"), (15, ""), (20, "b"), (25, "")]);
        check(&[(0, 10, 10), (1, 20, 5)], &[(10, "a"), (20, "b"), (25, "")]);
    }

    #[test]
    fn without_a_size_a_symbol_goes_on_to_the_next_or_to_its_sections_end() {
        check(&[(0, 10, 0), (1, 20, 0)], &[(10, "a"), (20, "b"), (100, "")]);
        check(&[(0, 10, 0), (1, 20, 5)], &[(10, "a"), (20, "b"), (25, "")]);
        check(&[(0, 10, 5), (1, 12, 0), (3, 30, 0)], &[(10, "a"), (15, ""), (30, "d"), (100, "")]);
    }

    #[test]
    fn the_innermost_symbol_has_the_code_and_gives_it_back() {
        check(&[(0, 10, 50), (1, 20, 5)], &[(10, "a"), (20, "b"), (25, "a"), (60, "")]);
        check(&[(0, 10, 20), (1, 20, 20)], &[(10, "a"), (20, "b"), (40, "")]);
        check(&[(0, 10, 20), (1, 10, 5)], &[(10, "b"), (15, "a"), (30, "")]);
        check(
            &[(0, 0, 60), (1, 10, 20), (3, 20, 10)],
            &[(0, "a"), (10, "b"), (20, "d"), (30, "a"), (60, "")],
        );
    }

    #[test]
    fn of_several_names_the_one_with_fewer_underscores_is_taken() {
        check(&[(2, 10, 5), (1, 10, 5), (3, 10, 5)], &[(10, "b"), (15, "")]);
        check(&[(1, 10, 0), (2, 10, 5)], &[(10, "__c"), (15, "")]);
    }

    #[test]
    fn a_size_that_reaches_the_end_of_memory_is_one() {
        let symbol =
            Symbol { start: 10, end: u64::MAX, is_sized: true, rank: 0, name: Name { table: 0, offset: 0 } };
        let (starts, owners, _) = stretches(vec![symbol], &|_| b"a");
        assert_eq!((starts, owners), (vec![10, u64::MAX], vec![0, NONE]));
    }

    #[test]
    fn every_address_has_the_symbol_that_a_slow_search_finds() {
        // A deterministic walk through odd tables.
        let mut state = 1_u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for _ in 0..2_000 {
            let count = random(7);
            let symbols: Vec<Symbol> = (0..count)
                .map(|offset| {
                    let start = random(40);
                    let size = random(12);
                    let end = if size > 0 { start + size } else { 60 };
                    let name = Name { table: 0, offset: offset as u32 };
                    Symbol { start, end, is_sized: size > 0, rank: random(3) as u8, name }
                })
                .collect();
            let (starts, owners, names) = stretches(symbols.clone(), &|_| b"x");
            for address in 0..70 {
                let at = starts.partition_point(|&start| start <= address).checked_sub(1);
                let found = at.and_then(|at| names.get(owners[at] as usize)).copied();
                assert_eq!(found, slow(&symbols, address), "{address} of {symbols:?}");
            }
        }
    }

    /// The rule, read literally.
    fn slow(symbols: &[Symbol], address: u64) -> Option<Name> {
        let sized = symbols.iter().filter(|symbol| symbol.is_sized);
        let covers = |symbol: &&Symbol| symbol.start <= address && address < symbol.end;
        let best = sized.clone().filter(covers).min_by_key(|s| (Reverse(s.start), s.end, s.rank, s.name));
        if let Some(best) = best {
            return Some(best.name);
        }
        let last =
            symbols.iter().filter(|symbol| symbol.start <= address).map(|symbol| symbol.start).max()?;
        let is_inside = sized.clone().any(|symbol| symbol.start <= last && last < symbol.end);
        let unsized_ones = symbols.iter().filter(|symbol| !symbol.is_sized && symbol.start == last);
        let covering = unsized_ones.filter(|symbol| !is_inside && address < symbol.end);
        covering.min_by_key(|symbol| (symbol.rank, symbol.name)).map(|symbol| symbol.name)
    }
}
