//! Where the loaded objects keep the addresses of the functions that the child must not call.
//!
//! An object calls a function of another one through a word that the dynamic linker filled in, and so do the
//! tables of function pointers in its data. Writing another address into these words takes the function's place.
//! They are collected in the parent, where the linker's lists can be walked, and written in the child only.

use std::{
    ffi::{CStr, CString, c_int, c_void},
    ptr::null_mut,
    slice,
    sync::{Mutex, PoisonError},
};

use crate::{malloc, stand_ins, sys};

#[cfg(target_arch = "x86_64")]
mod relocation {
    pub(super) const ABSOLUTE: u32 = 1;
    pub(super) const GLOBAL_DATA: u32 = 6;
    pub(super) const JUMP_SLOT: u32 = 7;
}
#[cfg(target_arch = "aarch64")]
mod relocation {
    pub(super) const ABSOLUTE: u32 = 257;
    pub(super) const GLOBAL_DATA: u32 = 1025;
    pub(super) const JUMP_SLOT: u32 = 1026;
}

/// The entries of an object's dynamic section that lead to its relocations.
mod tag {
    pub(super) const END: u64 = 0;
    pub(super) const JUMP_BYTES: u64 = 2;
    pub(super) const STRINGS: u64 = 5;
    pub(super) const SYMBOLS: u64 = 6;
    pub(super) const RELOCATIONS: u64 = 7;
    pub(super) const RELOCATION_BYTES: u64 = 8;
    pub(super) const JUMPS: u64 = 23;
}

/// A word to write in the child.
#[derive(Clone, Copy, Debug)]
struct Slot {
    address: usize,
    replacement: usize,
    /// The page can hold code too and must stay executable.
    executable: bool,
}

/// What was collected, and when.
#[derive(Debug)]
pub(crate) struct Slots {
    slots: Vec<Slot>,
    page: usize,
    /// How many objects had ever been loaded and unloaded; `None` when nothing was collected yet.
    stage: Option<(u64, u64)>,
}

static COLLECTED: Mutex<Slots> = Mutex::new(Slots { slots: Vec::new(), page: 0, stage: None });

/// Runs `then` with the words of all objects that are loaded now. One thread at a time, and not to be left: a
/// child that forked inside finds the lock taken for good.
pub(crate) fn with_collected<R>(then: impl FnOnce(&Slots) -> R) -> R {
    let mut collected = COLLECTED.lock().unwrap_or_else(PoisonError::into_inner);
    let stage = stage();
    if collected.stage != Some(stage) {
        *collected = Slots::collect(stage);
    }
    then(&collected)
}

impl Slots {
    fn collect(stage: (u64, u64)) -> Slots {
        // SAFETY: a lookup in the table that the kernel gave this process.
        let (page, loader, kernel) = unsafe {
            let value = |key| libc::getauxval(key) as usize;
            (value(libc::AT_PAGESZ), value(libc::AT_BASE), value(libc::AT_SYSINFO_EHDR))
        };
        let mut walk = Walk { skipped: [loader, kernel], calls: Vec::new(), objects: Vec::new() };
        // SAFETY: `visit` gets what it expects: a `Walk` that is alive.
        unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut walk).cast()) };
        let mut slots: Vec<Slot> = walk.calls.iter().filter_map(Call::slot).collect();
        // Neighbours share a page, so that its protection is changed once.
        slots.sort_unstable_by_key(|slot| slot.address);
        malloc::prepare(defined(&walk.objects, c"malloc_usable_size"), page);
        Slots { slots, page, stage: Some(stage) }
    }

    /// Writes them all. In the child: whatever other threads call would be replaced too.
    pub(crate) fn write(&self) -> bool {
        let mut open = 0;
        for slot in &self.slots {
            let page = slot.address & !(self.page - 1);
            if page != open {
                let protection = if slot.executable { sys::READ_WRITE_EXEC } else { sys::READ_WRITE };
                // SAFETY: a page of an object's data; more rights than it had, in the child only.
                if !unsafe { sys::protect(page, self.page, protection) } {
                    return false;
                }
                open = page;
            }
            // SAFETY: the linker's word for a function, writable now; the child's only thread is here.
            unsafe { (slot.address as *mut usize).write(slot.replacement) };
        }
        true
    }
}

/// A word that holds the address of a function with a stand-in.
#[derive(Debug)]
struct Call {
    name: CString,
    address: usize,
    executable: bool,
    /// A pointer in the object's data, which the program may have changed since.
    pointer: bool,
}

impl Call {
    fn slot(&self) -> Option<Slot> {
        if self.pointer && !self.holds_its_function() {
            return None;
        }
        let replacement = stand_ins::for_name(self.name.to_bytes())?;
        Some(Slot { address: self.address, replacement, executable: self.executable })
    }

    /// Whether a pointer still leads to the function that it was made with.
    ///
    /// One that the program changed since, as `uv_replace_allocator` does, leads to functions that belong together.
    fn holds_its_function(&self) -> bool {
        // SAFETY: the word was found in a loaded object; the name ends with a zero.
        let (now, linked) = unsafe {
            ((self.address as *const usize).read(), libc::dlsym(libc::RTLD_DEFAULT, self.name.as_ptr()))
        };
        now == linked.addr() || now == in_libc(&self.name)
    }
}

/// An object and where it is loaded.
struct Object {
    name: CString,
    base: usize,
}

/// What `dl_iterate_phdr` carries along.
struct Walk {
    /// Objects that are left alone: the dynamic linker, which has locks and a malloc of its own, and the kernel's.
    skipped: [usize; 2],
    calls: Vec<Call>,
    objects: Vec<Object>,
}

/// How many objects were ever loaded and unloaded.
fn stage() -> (u64, u64) {
    unsafe extern "C" fn first(info: *mut libc::dl_phdr_info, _bytes: usize, to: *mut c_void) -> c_int {
        // SAFETY: the linker's description and the pair below, both alive.
        unsafe { to.cast::<(u64, u64)>().write(((*info).dlpi_adds, (*info).dlpi_subs)) };
        1
    }
    let mut stage = (0, 0);
    // SAFETY: `first` gets what it expects.
    unsafe { libc::dl_iterate_phdr(Some(first), (&raw mut stage).cast()) };
    stage
}

unsafe extern "C" fn visit(info: *mut libc::dl_phdr_info, _bytes: usize, walk: *mut c_void) -> c_int {
    // SAFETY: what `Slots::collect` passes, and the linker's description of an object, alive during the call.
    let (info, walk) = unsafe { (&*info, &mut *walk.cast::<Walk>()) };
    let base = info.dlpi_addr as usize;
    if base != 0 && walk.skipped.contains(&base) {
        return 0;
    }
    // SAFETY: the linker holds its lists still, so the object's headers and tables are mapped.
    unsafe {
        if !info.dlpi_name.is_null() {
            walk.objects.push(Object { name: CStr::from_ptr(info.dlpi_name).to_owned(), base });
        }
        let headers = slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum));
        if let Some(tables) = Tables::of(base, headers) {
            tables.calls(headers, &mut walk.calls);
        }
    }
    0
}

/// An object's relocations and what they refer to.
#[derive(Default)]
struct Tables {
    base: usize,
    strings: usize,
    symbols: usize,
    /// Start and length in bytes.
    relocations: [(usize, usize); 2],
}

impl Tables {
    /// # Safety
    /// The headers must be those of an object that is loaded at `base`.
    unsafe fn of(base: usize, headers: &[libc::Elf64_Phdr]) -> Option<Tables> {
        let dynamic = headers.iter().find(|header| header.p_type == libc::PT_DYNAMIC)?;
        let mut entry = (base + dynamic.p_vaddr as usize) as *const [u64; 2];
        let mut tables = Tables { base, ..Tables::default() };
        loop {
            // SAFETY: the section ends with an entry that says so.
            let [key, value] = unsafe { entry.read() };
            let value = value as usize;
            // glibc made addresses of these offsets when it loaded the object; others leave them.
            let address = if value < base { base + value } else { value };
            match key {
                tag::END => break,
                tag::STRINGS => tables.strings = address,
                tag::SYMBOLS => tables.symbols = address,
                tag::RELOCATIONS => tables.relocations[0].0 = address,
                tag::RELOCATION_BYTES => tables.relocations[0].1 = value,
                tag::JUMPS => tables.relocations[1].0 = address,
                tag::JUMP_BYTES => tables.relocations[1].1 = value,
                _ => {}
            }
            // SAFETY: the last entry was not reached yet.
            entry = unsafe { entry.add(1) };
        }
        (tables.strings != 0 && tables.symbols != 0).then_some(tables)
    }

    /// Adds the words of functions that have a stand-in.
    ///
    /// # Safety
    /// The object must be loaded still.
    unsafe fn calls(&self, headers: &[libc::Elf64_Phdr], calls: &mut Vec<Call>) {
        for (start, bytes) in self.relocations {
            if start == 0 {
                continue;
            }
            // SAFETY: the object's table of relocations, as its dynamic section describes it.
            let relocations =
                unsafe { slice::from_raw_parts(start as *const [u64; 3], bytes / size_of::<[u64; 3]>()) };
            for &[offset, info, addend] in relocations {
                let (kind, symbol) = (info as u32, (info >> 32) as usize);
                let pointer = kind == relocation::ABSOLUTE;
                let call = pointer || kind == relocation::GLOBAL_DATA || kind == relocation::JUMP_SLOT;
                if !call || symbol == 0 || (pointer && addend != 0) {
                    continue;
                }
                // SAFETY: a relocation's symbol is in the table, and the symbol's name among the strings.
                let name = unsafe {
                    let symbol = (self.symbols as *const libc::Elf64_Sym).add(symbol);
                    CStr::from_ptr((self.strings + (*symbol).st_name as usize) as *const _)
                };
                if stand_ins::for_name(name.to_bytes()).is_some() {
                    let executable = is_executable(headers, offset);
                    let address = self.base + offset as usize;
                    calls.push(Call { name: name.to_owned(), address, executable, pointer });
                }
            }
        }
    }
}

fn is_executable(headers: &[libc::Elf64_Phdr], offset: u64) -> bool {
    headers.iter().any(|header| {
        header.p_type == libc::PT_LOAD
            && header.p_flags & libc::PF_X != 0
            && (header.p_vaddr..header.p_vaddr + header.p_memsz).contains(&offset)
    })
}

/// The address of a function in the first object that defines it, the program left aside; 0 if none does.
///
/// An allocator that was loaded before libc comes first, as it does for everybody. The program is left aside because
/// asking for a function that it imports may give the address of its own jump to it, whose word is replaced.
fn defined(objects: &[Object], name: &CStr) -> usize {
    let libraries = objects.iter().filter(|object| !object.name.is_empty());
    libraries.filter_map(|object| defined_in(object, name)).next().unwrap_or_else(|| in_libc(name))
}

fn defined_in(object: &Object, name: &CStr) -> Option<usize> {
    // SAFETY: names end with zeroes, the handle is used while it is open, and nothing is loaded or unloaded.
    unsafe {
        let handle = libc::dlopen(object.name.as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD);
        if handle.is_null() {
            return None;
        }
        let address = libc::dlsym(handle, name.as_ptr());
        let mut found: libc::Dl_info = std::mem::zeroed();
        let here = !address.is_null()
            && libc::dladdr(address, &raw mut found) != 0
            // The handle knows the functions of the objects that it needs, too.
            && found.dli_fbase.addr() == object.base;
        libc::dlclose(handle);
        here.then_some(address.addr())
    }
}

fn in_libc(name: &CStr) -> usize {
    // SAFETY: names end with zeroes, and the handle of libc, which is never unloaded, may be closed.
    unsafe {
        let handle = libc::dlopen(c"libc.so.6".as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD);
        let address = if handle.is_null() { null_mut() } else { libc::dlsym(handle, name.as_ptr()) };
        if !handle.is_null() {
            libc::dlclose(handle);
        }
        address.addr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_program_calls_malloc_through_words_that_are_found() {
        let (count, again) =
            (with_collected(|slots| slots.slots.len()), with_collected(|slots| slots.slots.len()));
        assert!(count > 10, "{count} words");
        assert_eq!(count, again);
        with_collected(|slots| {
            assert!(slots.slots.is_sorted_by_key(|slot| slot.address));
            assert!(slots.page.is_power_of_two());
        });
    }

    #[test]
    fn the_former_malloc_usable_size_measures_a_block() {
        with_collected(|_| ());
        // SAFETY: allocated and freed by the same malloc.
        unsafe {
            let block = libc::malloc(1000);
            assert!((1000..1100).contains(&malloc::usable_size(block)));
            libc::free(block);
        }
    }

    #[test]
    fn a_child_with_replaced_functions_allocates_from_its_own_heap() {
        with_collected(|slots| {
            // SAFETY: the child uses what it replaces, writes nothing and ends.
            let pid = unsafe { sys::fork_unseen() } as i32;
            if pid == 0 {
                let ready = malloc::reserve() && slots.write();
                let text = std::hint::black_box(String::from("a block of the child"));
                // SAFETY: the address of an allocated block.
                let size = unsafe { malloc::usable_size(text.as_ptr() as *mut c_void) };
                sys::exit_group(if ready && size == 24 { 7 } else { 1 });
            }
            assert_eq!(sys::wait(pid, 0), Ok(Some(7 << 8)));
        });
    }
}
