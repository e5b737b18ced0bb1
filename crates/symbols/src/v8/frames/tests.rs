//! The bound of what is remembered, in a heap of V8's that is made for it.

use rustc_hash::FxHashMap;

use super::super::layout::{
    Bytecodes, Code, Layout, ScopeInfo, Script as ScriptLayout, Shared, Start, Strings, Types,
};
use super::*;

/// Instance types: strings have 8, a one-byte sequential one.
const STRING: u16 = 8;
const MAP: u16 = 100;
const SHARED: u16 = 101;
const SCRIPT: u16 = 102;

fn layout() -> Layout {
    Layout {
        build_id: Vec::new(),
        version: (12, 4),
        interpreter: (0, 0),
        collectors: Vec::new(),
        major_collectors: Vec::new(),
        function_shared: 24,
        types: Types {
            map: MAP,
            shared: SHARED,
            script: SCRIPT,
            bytecodes: 103,
            code: 104,
            interpreter_data: 105,
            scope_info: 106,
            bytes: vec![107],
            oddball: 108,
            first_non_string: 64,
        },
        shared: Shared {
            data: 8,
            name_or_scope_info: 16,
            script: 32,
            literal_id: 56,
            size: SHARED_WORDS * 8,
        },
        script: ScriptLayout {
            source: 8,
            name: 16,
            line_offset: 24,
            column_offset: 32,
            line_ends: 56,
            id: 64,
            eval_from: 72,
            eval_position: 80,
            source_url: 88,
            size: SCRIPT_WORDS * 8,
        },
        string: Strings {
            length: 12,
            chars: 16,
            first: 16,
            second: 24,
            actual: 16,
            parent: 16,
            offset: 24,
            data: 16,
            representation: 7,
            sequential: 0,
            cons: 1,
            external: 2,
            sliced: 3,
            thin: 5,
            one_byte: 8,
            uncached: 16,
        },
        bytecodes: Bytecodes { length: 8, source_positions: 16, data: 48, sizes: Default::default() },
        code: Code { bytecodes: 8, offset_table: 16, start: Start::Inside(64), size: 56 },
        scope_info: ScopeInfo { locals: 2, first: 3, has_position: false },
    }
}

/// A heap in which objects are made and from which they never go.
struct Heap {
    words: FxHashMap<u64, u64>,
    end: u64,
    maps: FxHashMap<u16, u64>,
}

impl Heap {
    fn new() -> Heap {
        let mut heap = Heap { words: FxHashMap::default(), end: 0x10_0000, maps: FxHashMap::default() };
        let meta = heap.end | 1;
        for kind in [MAP, SHARED, SCRIPT, STRING] {
            let map = heap.make(&[meta, u64::from(kind) << 32]);
            heap.maps.insert(kind, map);
        }
        heap
    }

    /// An object of these words; the pointer to it.
    fn make(&mut self, words: &[u64]) -> u64 {
        let at = self.end;
        for (word, at) in words.iter().zip((at..).step_by(8)) {
            self.words.insert(at, *word);
        }
        self.end += words.len() as u64 * 8;
        at | 1
    }

    /// A text of up to eight characters.
    fn string(&mut self, text: &str) -> u64 {
        let mut characters = [0; 8];
        characters[..text.len()].copy_from_slice(text.as_bytes());
        self.make(&[self.maps[&STRING], (text.len() as u64) << 32, u64::from_le_bytes(characters)])
    }

    fn script(&mut self, source: u64, name: u64, id: u64) -> u64 {
        let mut words = [0; SCRIPT_WORDS];
        words[..3].copy_from_slice(&[self.maps[&SCRIPT], source, name]);
        words[8] = id << 32;
        self.make(&words)
    }

    fn shared(&mut self, name: u64, script: u64, literal: u64) -> u64 {
        let mut words = [0; SHARED_WORDS];
        (words[0], words[2], words[4], words[7]) = (self.maps[&SHARED], name, script, literal << 32);
        self.make(&words)
    }

    fn read(&self, address: u64, into: &mut [u8]) -> bool {
        let mut all = into.iter_mut().zip(address..);
        all.all(|(byte, at)| match self.words.get(&(at & !7)) {
            Some(word) => {
                *byte = word.to_le_bytes()[(at & 7) as usize];
                true
            }
            None => false,
        })
    }
}

/// Workers come and go, each with its own copies of the same functions.
#[test]
fn functions_of_workers_that_are_gone_do_not_stay() {
    const WORKERS: u64 = 250;
    const FUNCTIONS: u64 = 400;
    let mut heap = Heap::new();
    let (source, name) = (heap.string("f()\ng()"), heap.string("w.js"));
    let names: Vec<u64> = (0..FUNCTIONS).map(|number| heap.string(&format!("f{number}"))).collect();
    let mut frames = Frames::new(layout());
    let mut of_main = Vec::new();
    let mut pc = 0x7f00_0000_0000;
    for worker in 0..WORKERS {
        let script = heap.script(source, name, worker);
        let mut raw = Vec::new();
        for (literal, name) in (0..).zip(&names) {
            let shared = heap.shared(*name, script, literal);
            pc += 64;
            raw.push(RawFrame { pc, shared, ..RawFrame::default() });
        }
        let memory = |address, into: &mut [u8]| heap.read(address, into);
        for (number, raw) in (0..).zip(&raw) {
            // The same places, whichever worker it is.
            assert_eq!(frames.find(&memory, raw), Some(SpotNo(number)), "{worker}");
        }
        if worker == 0 {
            of_main = raw;
        }
        let remembered = [
            frames.seen.len(),
            frames.scripts.len(),
            frames.known.len(),
            frames.by_bytecodes.len(),
            frames.by_pc.len(),
        ];
        assert!(remembered.iter().all(|count| *count <= MOST_SEEN), "{worker}: {remembered:?}");
    }
    assert!(WORKERS * FUNCTIONS > 3 * MOST_SEEN as u64);
    assert_eq!((frames.functions.len(), frames.spots.len()), (FUNCTIONS as usize, FUNCTIONS as usize));
    assert_eq!(frames.counts(), (WORKERS * FUNCTIONS, 0));
    // The first one still runs, though it was forgotten in between.
    let memory = |address, into: &mut [u8]| heap.read(address, into);
    for (number, raw) in (0..).zip(&of_main) {
        let spot = frames.find(&memory, raw).expect("it is still there");
        let spot = frames.spot(spot).expect("a spot");
        assert_eq!((spot.function, spot.script), (&*format!("f{number}"), "w.js"));
    }
}
