//! A heap made by hand: what is found in it, and that nothing else than that is found, and nothing breaks, when any of
//! its words say something else. The collector of garbage leaves such heaps behind while they are read.

use proptest::prelude::*;

use super::layout::{Bytecodes, Code, Layout, ScopeInfo, Script, Shared, Start, Strings, Types};
use super::{Frames, JsCode, RawFrame, Spot};

/// Where the heap lies, and the room of each object.
const BASE: u64 = 0x20_0000;
const ROOM: usize = 256;
const WORDS: usize = ROOM / 8;

/// Objects of the heap, by their place.
const FUNCTION: usize = 0;
const SHARED: usize = 1;
const SCRIPT: usize = 2;
const NAME: usize = 3;
const SOURCE: usize = 4;
const SCOPE: usize = 5;
const BYTECODES: usize = 6;
const POSITIONS: usize = 7;
const CODE: usize = 8;
const OFFSETS: usize = 9;
const HALF: usize = 10;
const SLICED: usize = 11;
const THIN: usize = 12;
const URL: usize = 13;
const MAPS: usize = 14;

/// Types in the order of their maps.
const KINDS: [u16; 14] = [
    types::MAP,
    types::SHARED,
    types::SCRIPT,
    types::BYTECODES,
    types::CODE,
    types::INTERPRETER_DATA,
    types::SCOPE_INFO,
    types::BYTES,
    types::ODDBALL,
    types::FUNCTION,
    types::ONE_BYTE,
    types::CONS,
    types::SLICED,
    types::THIN,
];
const OBJECTS: usize = MAPS + KINDS.len();

/// Instance types; those of strings are below 0x80.
pub(super) mod types {
    pub(in crate::v8) const MAP: u16 = 0x101;
    pub(in crate::v8) const SHARED: u16 = 0x102;
    pub(in crate::v8) const SCRIPT: u16 = 0x103;
    pub(in crate::v8) const BYTECODES: u16 = 0x104;
    pub(in crate::v8) const CODE: u16 = 0x105;
    pub(in crate::v8) const INTERPRETER_DATA: u16 = 0x106;
    pub(in crate::v8) const SCOPE_INFO: u16 = 0x107;
    pub(in crate::v8) const BYTES: u16 = 0x108;
    pub(in crate::v8) const ODDBALL: u16 = 0x109;
    pub(in crate::v8) const FUNCTION: u16 = 0x10a;
    pub(in crate::v8) const ONE_BYTE: u16 = 0x08;
    pub(in crate::v8) const CONS: u16 = 0x09;
    pub(in crate::v8) const SLICED: u16 = 0x0b;
    pub(in crate::v8) const THIN: u16 = 0x0d;
}

const SOURCE_TEXT: &[u8] = b"let x;\nfunction work() {\n  call();\n}\n";
/// Of `work`, and of its call.
const START: u32 = 20;
const CALL: u32 = 27;
/// Code of the baseline compiler, and where it returns to from the call.
const CODE_START: u64 = 0x7000_0000;
const RETURNS: u64 = CODE_START + 25;

pub(super) fn layout() -> Layout {
    Layout {
        build_id: vec![1],
        version: (12, 4),
        interpreter: (0x1000, 0x2000),
        collectors: vec![(0x3000, 0x4000)],
        major_collectors: vec![(0x3000, 0x4000)],
        function_shared: 32,
        types: Types {
            map: types::MAP,
            shared: types::SHARED,
            script: types::SCRIPT,
            bytecodes: types::BYTECODES,
            code: types::CODE,
            interpreter_data: types::INTERPRETER_DATA,
            scope_info: types::SCOPE_INFO,
            bytes: vec![types::BYTES],
            oddball: types::ODDBALL,
            first_non_string: 0x80,
        },
        shared: Shared { data: 8, name_or_scope_info: 16, script: 32, literal_id: 60, size: 64 },
        script: Script {
            source: 8,
            name: 16,
            line_offset: 24,
            column_offset: 32,
            line_ends: 56,
            id: 64,
            eval_from: 72,
            eval_position: 80,
            source_url: 104,
            size: 120,
        },
        string: Strings {
            length: 12,
            chars: 16,
            first: 16,
            second: 24,
            actual: 16,
            parent: 16,
            offset: 24,
            data: 24,
            representation: 7,
            sequential: 0,
            cons: 1,
            external: 2,
            sliced: 3,
            thin: 5,
            one_byte: 8,
            uncached: 0x10,
        },
        bytecodes: Bytecodes {
            length: 8,
            source_positions: 24,
            data: 40,
            sizes: [vec![1; 200], vec![2; 200], vec![4; 200]],
        },
        code: Code { bytecodes: 8, offset_table: 16, start: Start::Field(40), size: 56 },
        scope_info: ScopeInfo { locals: 1, first: 4, has_position: false },
    }
}

fn pointer(object: usize) -> u64 {
    BASE + (object * ROOM) as u64 + 1
}

fn small(number: i32) -> u64 {
    u64::from(number as u32) << 32
}

/// A process's memory.
#[derive(Clone, Debug)]
struct Heap(Vec<u8>);

impl Heap {
    /// A function whose name is put together, in a script whose address is a part of another text, in its three forms of
    /// code.
    fn sound() -> Heap {
        let mut heap = Heap(vec![0; OBJECTS * ROOM]);
        for (at, &kind) in KINDS.iter().enumerate() {
            heap.put(MAPS + at, 0, pointer(MAPS));
            heap.put(MAPS + at, 1, u64::from(kind) << 32);
        }
        heap.object(FUNCTION, types::FUNCTION, &[0, 0, 0, pointer(SHARED)]);
        heap.object(
            SHARED,
            types::SHARED,
            &[pointer(BYTECODES), pointer(SCOPE), 0, pointer(SCRIPT), 0, 0, 5 << 32],
        );
        let (line, id) = (small(0), small(7));
        heap.object(SCRIPT, types::SCRIPT, &[pointer(SOURCE), pointer(SLICED), line, line, 0, 0, 0, id]);
        heap.text(NAME, b"wo");
        heap.text(SOURCE, SOURCE_TEXT);
        heap.text(URL, b"<<file:///srv/app.js>>");
        heap.text(HALF, b"rk");
        // Two variables in the context, then the name and the positions of start and end.
        heap.object(
            SCOPE,
            types::SCOPE_INFO,
            &[small(2), 0, 0, pointer(NAME), pointer(NAME), small(0), small(0)],
        );
        heap.put(SCOPE, 8, pointer(THIN));
        heap.put(SCOPE, 9, small(START as i32));
        heap.put(SCOPE, 10, small(34));
        // The scope around it.
        heap.put(SCOPE, 11, pointer(SCOPE));
        heap.object(THIN, types::CONS, &[4 << 32, pointer(NAME), pointer(HALF)]);
        heap.object(SLICED, types::SLICED, &[18 << 32, pointer(URL), small(2)]);
        heap.object(BYTECODES, types::BYTECODES, &[small(4), 0, pointer(POSITIONS), 0]);
        heap.bytes(BYTECODES, 40, &[9, 9, 9, 9]);
        // From the second instruction on the call.
        heap.object(POSITIONS, types::BYTES, &[small(2)]);
        heap.bytes(POSITIONS, 16, &[zigzag(2), zigzag(2 * (CALL as i32 + 1))]);
        heap.object(CODE, types::CODE, &[pointer(BYTECODES), pointer(OFFSETS), 0, 0, CODE_START, 0, 100]);
        heap.object(OFFSETS, types::BYTES, &[small(5)]);
        heap.bytes(OFFSETS, 16, &[10, 10, 10, 10, 10]);
        heap
    }

    /// An object of a type, and the words behind its map.
    fn object(&mut self, object: usize, kind: u16, words: &[u64]) {
        let map = KINDS.iter().position(|&known| known == kind).expect("a map of each type");
        self.put(object, 0, pointer(MAPS + map));
        for (at, &word) in words.iter().enumerate() {
            self.put(object, 1 + at, word);
        }
    }

    fn text(&mut self, object: usize, text: &[u8]) {
        self.object(object, types::ONE_BYTE, &[(text.len() as u64) << 32]);
        self.bytes(object, 16, text);
    }

    fn put(&mut self, object: usize, word: usize, value: u64) {
        self.bytes(object, word * 8, &value.to_le_bytes());
    }

    fn bytes(&mut self, object: usize, offset: usize, bytes: &[u8]) {
        self.0[object * ROOM + offset..][..bytes.len()].copy_from_slice(bytes);
    }

    fn read(&self, address: u64, into: &mut [u8]) -> bool {
        let start = address.checked_sub(BASE).and_then(|start| usize::try_from(start).ok());
        let bytes = start.and_then(|start| self.0.get(start..)?.get(..into.len()));
        bytes.map(|bytes| into.copy_from_slice(bytes)).is_some()
    }
}

fn zigzag(value: i32) -> u8 {
    ((value << 1) ^ (value >> 31)) as u8
}

/// A frame of the interpreter, at the call; and one of compiled code.
const INTERPRETED: RawFrame = RawFrame {
    pc: 0x1800,
    is_interpreted: true,
    function: BASE + 1,
    bytecodes: BASE + (BYTECODES * ROOM) as u64 + 1,
    // Offsets count from the object's pointer.
    offset: (40 - 1 + 2) << 32,
    is_new: true,
    shared: BASE + (SHARED * ROOM) as u64 + 1,
};
const COMPILED: RawFrame =
    RawFrame { pc: RETURNS, is_interpreted: false, bytecodes: 0, offset: 0, ..INTERPRETED };

#[track_caller]
fn check(heap: &Heap, frame: &RawFrame, line: u32, column: u32, code: JsCode) {
    let mut frames = Frames::new(layout());
    let memory = |address, into: &mut [u8]| heap.read(address, into);
    let spot = frames.find(&memory, frame).expect("a place");
    let expected = Spot { function: "work", script: "file:///srv/app.js", line, column, code };
    assert_eq!(frames.spot(spot), Some(expected));
    assert_eq!(frames.counts(), (1, 0));
}

#[test]
fn a_sound_heap_tells_where_its_frames_are() {
    let mut heap = Heap::sound();
    check(&heap, &INTERPRETED, 3, 3, JsCode::Interpreted);
    check(&heap, &COMPILED, 2, 14, JsCode::Optimised);
    heap.put(SHARED, 1, pointer(CODE));
    check(&heap, &INTERPRETED, 3, 3, JsCode::Interpreted);
    check(&heap, &COMPILED, 3, 3, JsCode::Baseline);
}

#[test]
fn code_at_the_end_of_all_addresses_has_no_frame() {
    let mut heap = Heap::sound();
    heap.object(CODE, types::CODE, &[pointer(BYTECODES), pointer(OFFSETS), 0, 0, u64::MAX, 0, 0]);
    heap.put(SHARED, 1, pointer(CODE));
    for pc in [0, RETURNS, u64::MAX] {
        check(&heap, &RawFrame { pc, ..COMPILED }, 2, 14, JsCode::Optimised);
    }
}

#[test]
fn a_layout_that_is_larger_than_what_is_read_is_none() {
    let is_known = |change: fn(&mut Layout)| {
        let mut layout = layout();
        change(&mut layout);
        layout.has_known_sizes()
    };
    assert!(is_known(|_| ()));
    assert!(!is_known(|layout| layout.shared.size = 88));
    assert!(!is_known(|layout| layout.shared.script = 80));
    assert!(!is_known(|layout| layout.script.id = 120));
    assert!(!is_known(|layout| layout.scope_info.first = 1));
}

/// What a word may be instead.
fn word() -> impl Strategy<Value = u64> {
    prop_oneof![
        6 => (0..OBJECTS).prop_map(pointer),
        3 => (-3..300_i32).prop_map(small),
        1 => any::<i32>().prop_map(small),
        1 => any::<u64>(),
        1 => prop::sample::select(vec![0, 1, 3, u64::MAX, u64::MAX - 1, 1 << 47, (1 << 47) - 3, BASE - 7]),
    ]
}

fn frame() -> impl Strategy<Value = RawFrame> {
    let field = |sound: u64| prop_oneof![4 => Just(sound), 1 => word()];
    let of = move |sound: RawFrame| {
        let fields = (field(sound.pc), field(sound.function), field(sound.bytecodes), field(sound.offset));
        (fields, prop_oneof![4 => Just(sound.shared), 1 => Just(0), 1 => word()], any::<bool>()).prop_map(
            move |((pc, function, bytecodes, offset), shared, is_new)| RawFrame {
                pc,
                function,
                bytecodes,
                offset,
                shared,
                is_new,
                ..sound
            },
        )
    };
    prop_oneof![of(INTERPRETED), of(COMPILED)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// The heap changes between the frames, as one does.
    #[test]
    fn no_heap_breaks_the_reader(
        is_baseline: bool,
        steps in prop::collection::vec(
            (prop::collection::vec((0..OBJECTS, 0..WORDS, word()), 0..4), frame()),
            1..8,
        ),
    ) {
        let mut heap = Heap::sound();
        if is_baseline {
            heap.put(SHARED, 1, pointer(CODE));
        }
        let mut frames = Frames::new(layout());
        for (changes, frame) in &steps {
            for &(object, at, value) in changes {
                heap.put(object, at, value);
            }
            let memory = |address, into: &mut [u8]| heap.read(address, into);
            let found = frames.find(&memory, frame);
            // What was found is found again as long as nothing changes.
            prop_assert_eq!(frames.find(&memory, frame), found);
            if let Some(number) = found {
                let spot = frames.spot(number);
                prop_assert!(spot.is_some_and(|spot| !spot.function.is_empty()), "{:?}", spot);
            }
            let (found, refused) = frames.counts();
            prop_assert!(found + refused <= 2 * steps.len() as u64);
        }
    }
}
