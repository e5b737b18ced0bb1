//! The bound of what is remembered, in a heap of V8's that is made for it.

use rustc_hash::FxHashMap;

use super::super::hostile::layout;
use super::super::hostile::types::{MAP, ONE_BYTE as STRING, SCRIPT, SHARED};
use super::*;

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

/// A function's place is another one's after garbage collection, and that can't be read when it is told of first.
#[test]
fn a_function_that_could_not_be_read_is_not_the_one_before() {
    let mut heap = Heap::new();
    let (source, name) = (heap.string("f()\ng()"), heap.string("w.js"));
    let (old, new) = (heap.string("old"), heap.string("new"));
    let (first, second) = (heap.script(source, name, 1), heap.script(source, name, 2));
    let shared = heap.shared(old, first, 0);
    let mut frames = Frames::new(layout());
    let mut check = |heap: &Heap, is_new, expected: Option<&str>| {
        let memory = |address, into: &mut [u8]| heap.read(address, into);
        let raw = RawFrame { pc: 0x7f00_0000_0040, shared, is_new, ..RawFrame::default() };
        let spot = frames.find(&memory, &raw);
        assert_eq!(spot.and_then(|spot| frames.spot(spot)).map(|spot| spot.function), expected, "{is_new}");
    };
    check(&heap, true, Some("old"));
    check(&heap, false, Some("old"));
    let set = |heap: &mut Heap, word: u64, value: u64| heap.words.insert((shared - 1) + word * 8, value);
    set(&mut heap, 4, second);
    // No name, nor what tells one.
    set(&mut heap, 2, first);
    check(&heap, true, None);
    set(&mut heap, 2, new);
    check(&heap, false, Some("new"));
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
