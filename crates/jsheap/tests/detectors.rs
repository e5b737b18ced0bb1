//! Each detector on a heap drawn by hand: with few of what it looks for it is silent, with many it speaks.

mod drawing;

use drawing::{ARRAY, CLOSURE, CONTEXT, Drawing, ELEMENT, HIDDEN, INTERNAL, OBJECT, PROPERTY, STRING};
use twinheap_jsheap::leaks::detectors::ALL;
use twinheap_jsheap::leaks::{Evidence, Scene, Strength};

/// More of V8's numbers.
const OF_SYSTEM: u32 = 0;
const NATIVE: u32 = 8;
const ROPE: u32 = 10;
const SLICE: u32 = 11;
const WEAK: u32 = 6;

/// A heap with a global object that holds an `app`, which holds everything else.
struct Sketch {
    draw: Drawing,
    app: usize,
    script: usize,
    context: usize,
}

impl Sketch {
    fn new() -> Sketch {
        let mut draw = Drawing::new();
        let global = draw.global();
        let app = draw.node(OBJECT, "App", 64);
        draw.edge(global, PROPERTY, "app", app);
        let script = draw.script("/srv/app/server.js");
        let context = draw.node(OBJECT, "system / Context", 32);
        draw.edge(global, PROPERTY, "scope", context);
        Sketch { draw, app, script, context }
    }

    /// An object in a property of `holder`.
    fn object(&mut self, holder: usize, property: &str, name: &str) -> usize {
        let object = self.draw.node(OBJECT, name, 64);
        self.draw.edge(holder, PROPERTY, property, object);
        object
    }

    /// An array in a property of `holder`.
    fn array(&mut self, holder: usize, property: &str) -> usize {
        self.object(holder, property, "Array")
    }

    fn push(&mut self, array: usize, at: usize, element: usize) {
        self.draw.edge(array, ELEMENT, &at.to_string(), element);
    }

    /// A Map or Set in a property of `holder`; its table.
    fn table(&mut self, holder: usize, property: &str, name: &str) -> usize {
        let map = self.object(holder, property, name);
        let table = self.draw.node(ARRAY, "", 4096);
        self.draw.edge(map, INTERNAL, "table", table);
        table
    }

    fn entry(&mut self, table: usize, at: usize, value: usize) {
        self.draw.edge(table, INTERNAL, &at.to_string(), value);
    }

    fn function(&mut self, line: u32, context: usize) -> usize {
        self.draw.function("onChange", self.script, line, context, &[])
    }

    fn oddball(&mut self, text: &str) -> usize {
        self.draw.node(OF_SYSTEM, text, 0)
    }

    fn text(&mut self, holder: usize, property: &str, text: &str) -> usize {
        let string = self.draw.node(STRING, text, 64);
        self.draw.edge(holder, PROPERTY, property, string);
        string
    }
}

fn run(sketch: &Sketch) -> Vec<Evidence> {
    let heap = sketch.draw.heap();
    let scene = Scene::new(&heap);
    let mut found = Vec::new();
    ALL.iter().for_each(|detect| detect(&scene, &mut found));
    found
}

/// `draw` makes a heap with so many of something: `few` are no finding, `many` are one, of so many objects, whose
/// words hold `words`.
#[track_caller]
fn check(
    draw: impl Fn(&mut Sketch, usize),
    few: usize,
    many: usize,
    detector: &str,
    words: &str,
) -> Evidence {
    let find = |count| {
        let mut sketch = Sketch::new();
        draw(&mut sketch, count);
        run(&sketch).into_iter().filter(|one| one.detector == detector).collect::<Vec<_>>()
    };
    assert_eq!(find(few), [], "{few} are no finding");
    let found = find(many);
    let one = found.first().unwrap_or_else(|| panic!("{many} are a finding of {detector}"));
    assert!(one.words.contains(words), "{:?} lacks {words:?}", one.words);
    assert!(!one.advice.is_empty() && !one.advice.ends_with('.') && one.key.starts_with(detector), "{one:?}");
    one.clone()
}

fn emitter(sketch: &mut Sketch, count: usize) {
    let emitter = sketch.object(sketch.app, "bus", "EventEmitter");
    let events = sketch.object(emitter, "_events", "Object");
    let list = sketch.array(events, "change");
    for at in 0..count {
        let listener = sketch.function(7, sketch.context);
        sketch.push(list, at, listener);
    }
}

#[test]
fn listeners_of_an_emitter() {
    let one = check(emitter, 10, 120, "event-listeners", "120 listeners for \"change\" of EventEmitter");
    assert!(one.words.contains("onChange() at server.js:8"), "{}", one.words);
    assert_eq!((one.count, one.strength), (120, Strength::Suspicious));
}

fn target(sketch: &mut Sketch, count: usize, signal: bool) {
    let target = sketch.object(sketch.app, "target", "EventTarget");
    if signal {
        let no = sketch.oddball("false");
        sketch.draw.edge(target, PROPERTY, "<symbol kAborted>", no);
    }
    let table = sketch.table(target, "<symbol kEvents>", "Map");
    let event = sketch.draw.node(STRING, "abort", 24);
    sketch.entry(table, 5, event);
    let mut at = sketch.draw.node(OBJECT, "Object", 48);
    sketch.entry(table, 6, at);
    for _ in 0..count {
        at = sketch.object(at, "next", "Listener");
        let callback = sketch.function(9, sketch.context);
        sketch.draw.edge(at, PROPERTY, "listener", callback);
    }
}

#[test]
fn listeners_of_a_target_and_of_a_signal() {
    let draw = |sketch: &mut Sketch, count| target(sketch, count, false);
    check(draw, 10, 11, "event-listeners", "11 listeners for \"abort\" of EventTarget");
    let draw = |sketch: &mut Sketch, count| target(sketch, count, true);
    check(draw, 10, 11, "abort-signals", "11 listeners for \"abort\"");
    // Those of a signal are told once.
    let mut sketch = Sketch::new();
    target(&mut sketch, 50, true);
    assert!(run(&sketch).iter().all(|one| one.detector != "event-listeners"));
}

#[test]
fn subscribers_of_a_channel() {
    let draw = |sketch: &mut Sketch, count| {
        let channel = sketch.object(sketch.app, "channel", "Channel");
        sketch.text(channel, "name", "http.request");
        let list = sketch.array(channel, "_subscribers");
        for at in 0..count {
            let function = sketch.function(3, sketch.context);
            sketch.push(list, at, function);
        }
    };
    check(draw, 10, 30, "event-listeners", "30 listeners for \"http.request\" of Channel");
}

#[test]
fn composed_signals() {
    let draw = |sketch: &mut Sketch, count| {
        let yes = sketch.oddball("true");
        let table = sketch.table(sketch.app, "kept", "Set");
        for at in 0..count {
            let signal = sketch.draw.node(OBJECT, "AbortSignal", 112);
            sketch.draw.edge(signal, PROPERTY, "<symbol kComposite>", yes);
            sketch.entry(table, at + 5, signal);
        }
    };
    check(draw, 10, 40, "abort-signals", "40 signals composed with AbortSignal.any()");
}

#[test]
fn timers_tell_intervals_from_timeouts() {
    let draw = |once: bool| {
        move |sketch: &mut Sketch, count| {
            let list = sketch.object(sketch.app, "timers", "TimersList");
            let null = sketch.oddball("null");
            let mut at = list;
            for _ in 0..count {
                at = sketch.object(at, "_idleNext", "Timeout");
                let callback = sketch.function(4, sketch.context);
                sketch.draw.edge(at, PROPERTY, "_onTimeout", callback);
                if once {
                    sketch.draw.edge(at, PROPERTY, "_repeat", null);
                }
            }
        }
    };
    check(draw(true), 19, 30, "timers", "30 timers of setTimeout()");
    check(draw(false), 19, 30, "timers", "30 timers of setInterval()");
}

#[test]
fn reactions_of_one_promise() {
    let draw = |sketch: &mut Sketch, count| {
        let mut at = sketch.object(sketch.app, "stopped", "Promise");
        for number in 0..count {
            let reaction = sketch.draw.node(OF_SYSTEM, "system / PromiseReaction", 48);
            match number {
                0 => sketch.draw.edge(at, INTERNAL, "reactions_or_result", reaction),
                _ => sketch.draw.edge(at, HIDDEN, "0", reaction),
            }
            at = reaction;
        }
    };
    check(
        draw,
        49,
        60,
        "pending-promises",
        "60 reactions wait for one promise that has not settled, App.stopped",
    );
}

#[test]
fn suspended_calls() {
    let draw = |name: &'static str| {
        move |sketch: &mut Sketch, count| {
            let list = sketch.array(sketch.app, "waiting");
            let function = sketch.function(20, sketch.context);
            for at in 0..count {
                let frame = sketch.draw.node(OBJECT, name, 88);
                let registers = sketch.draw.node(ARRAY, "", 80);
                sketch.draw.edge(frame, INTERNAL, "parameters_and_registers", registers);
                sketch.draw.edge(frame, INTERNAL, "function", function);
                sketch.push(list, at, frame);
            }
        }
    };
    check(
        draw("Generator"),
        49,
        60,
        "pending-promises",
        "60 calls of onChange() at server.js:21 are suspended at an await",
    );
    check(draw("rows"), 49, 60, "pending-promises", "suspended at a yield");
}

#[test]
fn contexts_in_a_row() {
    let draw = |sketch: &mut Sketch, count| {
        let scope = sketch.draw.node(OF_SYSTEM, "system / ScopeInfo", 40);
        let mut holder = sketch.app;
        for _ in 0..count {
            let config = sketch.object(holder, "current", "Object");
            let context = sketch.draw.node(OBJECT, "system / Context", 48);
            let closure = sketch.function(15, context);
            sketch.draw.edge(config, PROPERTY, "describe", closure);
            sketch.draw.edge(context, INTERNAL, "scope_info", scope);
            let previous = sketch.draw.node(OBJECT, "Object", 40);
            sketch.draw.edge(context, CONTEXT, "previous", previous);
            holder = previous;
        }
    };
    let words =
        "29 contexts hold each other in a row by the variable previous, which stays because onChange()";
    check(draw, 10, 30, "closure-contexts", words);
}

#[test]
fn a_collection_and_who_fills_it() {
    let draw = |sketch: &mut Sketch, count| {
        let table = sketch.table(sketch.app, "quotes", "Map");
        for at in 0..count {
            let key = sketch.draw.node(STRING, &format!("key {at}"), 32);
            let value = sketch.draw.node(OBJECT, "Quote", 64);
            sketch.entry(table, 3 * at + 10, key);
            sketch.entry(table, 3 * at + 11, value);
        }
        let fill = sketch.draw.function("put", sketch.script, 1, sketch.context, &["quotes", "set"]);
        sketch.draw.edge(sketch.app, PROPERTY, "put", fill);
    };
    let words =
        "App.quotes is a Map with 200 entries; put() at server.js:2 seems to fill it, and no function";
    check(draw, 40, 200, "cache", words);
}

#[test]
fn empty_weak_references() {
    let draw = |sketch: &mut Sketch, count| {
        let table = sketch.table(sketch.app, "images", "Map");
        let image = sketch.object(sketch.app, "image", "Image");
        for at in 0..count + 20 {
            let reference = sketch.draw.node(OBJECT, "WeakRef", 32);
            sketch.entry(table, at + 7, reference);
            if at < 20 {
                sketch.draw.edge(reference, WEAK, "target", image);
            }
        }
    };
    check(draw, 49, 60, "weak-references", "60 of 80 WeakRefs in App.images are empty");
}

#[test]
fn registrations_that_hold_their_object() {
    let draw = |sketch: &mut Sketch, count| {
        let registry = sketch.object(sketch.app, "registry", "FinalizationRegistry");
        let mut before = registry;
        for at in 0..count + 5 {
            let cell = sketch.draw.node(OF_SYSTEM, "system / WeakCell", 72);
            let handle = sketch.draw.node(OBJECT, "Handle", 64);
            let held = sketch.draw.node(OBJECT, "Object", 48);
            sketch.draw.edge(before, HIDDEN, "4", cell);
            sketch.draw.edge(cell, HIDDEN, "0", registry);
            sketch.draw.edge(cell, HIDDEN, "2", held);
            sketch.draw.edge(cell, WEAK, "target", handle);
            // Five don't refer to their handle, which lives elsewhere.
            let holder = if at < 5 { sketch.app } else { held };
            sketch.draw.edge(holder, PROPERTY, "handle", handle);
            before = cell;
        }
    };
    check(
        draw,
        49,
        60,
        "weak-references",
        "60 of 65 objects registered with App.registry are held by their own",
    );
}

#[test]
fn objects_that_are_over() {
    let draw = |property: &'static str, value: &'static str| {
        move |sketch: &mut Sketch, count| {
            let list = sketch.array(sketch.app, "connections");
            let kind = if matches!(value, "true" | "null") { OF_SYSTEM } else { STRING };
            let value = sketch.draw.node(kind, value, 0);
            for at in 0..count {
                let connection = sketch.draw.node(OBJECT, "Connection", 64);
                sketch.draw.edge(connection, PROPERTY, property, value);
                sketch.push(list, at, connection);
            }
        }
    };
    let words = "30 of 30 Connection are closed, ended or destroyed";
    check(draw("destroyed", "true"), 19, 30, "terminal-state", words);
    check(draw("status", "closed"), 19, 30, "terminal-state", words);
    check(draw("_handle", "null"), 19, 30, "terminal-state", words);
}

#[test]
fn stores_of_async_local_storage() {
    let own = |sketch: &mut Sketch, count| {
        let list = sketch.array(sketch.app, "pool");
        for at in 0..count {
            let connection = sketch.draw.node(OBJECT, "Connection", 64);
            sketch.push(list, at, connection);
            sketch.object(connection, "<symbol kResourceStore>", "Request");
        }
    };
    let framed = |sketch: &mut Sketch, count| {
        let list = sketch.array(sketch.app, "pool");
        let storage = sketch.object(sketch.app, "storage", "AsyncLocalStorage");
        for at in 0..count {
            let connection = sketch.draw.node(OBJECT, "Connection", 64);
            sketch.push(list, at, connection);
            let table = sketch.table(connection, "<symbol context_frame>", "AsyncContextFrame");
            let store = sketch.draw.node(OBJECT, "Request", 64);
            sketch.entry(table, 5, storage);
            sketch.entry(table, 6, store);
        }
    };
    let words = "60 stores of AsyncLocalStorage (Request) are kept by 60 Connection";
    check(own, 49, 60, "async-local-storage", words);
    check(framed, 49, 60, "async-local-storage", words);
}

#[test]
fn copies_of_a_module() {
    let draw = |sketch: &mut Sketch, count| {
        let children = sketch.array(sketch.app, "children");
        for at in 0..count {
            let module = sketch.draw.node(OBJECT, "Module", 136);
            sketch.text(module, "filename", "/srv/app/template.js");
            sketch.push(children, at, module);
        }
    };
    check(draw, 4, 12, "module-copies", "the module /srv/app/template.js was evaluated 12 times");
}

#[test]
fn buffers_that_keep_memory() {
    let draw = |sketch: &mut Sketch, count| {
        let list = sketch.array(sketch.app, "headers");
        for at in 0..count {
            let view = sketch.draw.node(OBJECT, "Buffer", 96);
            let memory = sketch.draw.node(OBJECT, "ArrayBuffer", 88);
            let data = sketch.draw.node(NATIVE, "system / JSArrayBufferData", 8192);
            sketch.draw.edge(view, INTERNAL, "buffer", memory);
            sketch.draw.edge(memory, INTERNAL, "backing_store", data);
            sketch.push(list, at, view);
        }
    };
    let words = "30 Buffers in App.headers keep 246 kB of memory, each of them a whole pool of Node.js";
    check(draw, 20, 30, "buffer-slices", words);
}

#[test]
fn strings_that_keep_larger_ones() {
    let draw = |sketch: &mut Sketch, count| {
        let list = sketch.array(sketch.app, "titles");
        for at in 0..count {
            let slice = sketch.draw.node(SLICE, "", 32);
            let whole = sketch.draw.node(STRING, &format!("text {at}"), 10_000);
            sketch.draw.edge(slice, INTERNAL, "parent", whole);
            sketch.push(list, at, slice);
        }
    };
    check(
        draw,
        19,
        30,
        "sliced-strings",
        "30 strings in App.titles are slices of larger texts that nothing else holds",
    );
}

#[test]
fn a_text_in_pieces() {
    let draw = |sketch: &mut Sketch, count| {
        let mut text = sketch.draw.node(STRING, "start", 32);
        for at in 0..count {
            let piece = sketch.draw.node(STRING, &format!("line {at}"), 32);
            let rope = sketch.draw.node(ROPE, "", 32);
            sketch.draw.edge(rope, INTERNAL, "first", text);
            sketch.draw.edge(rope, INTERNAL, "second", piece);
            text = rope;
        }
        sketch.draw.edge(sketch.app, PROPERTY, "log", text);
    };
    check(draw, 90, 300, "string-ropes", "the text in App.log is in 300 pieces, 19 kB of which 10 kB");
    // The pieces begin alike and are no copies.
    let mut sketch = Sketch::new();
    draw(&mut sketch, 3000);
    assert!(run(&sketch).iter().all(|one| one.detector != "duplicate-strings"));
}

#[test]
fn the_same_text_many_times() {
    let draw = |sketch: &mut Sketch, count| {
        let list = sketch.array(sketch.app, "reports");
        for at in 0..count {
            let string = sketch.draw.node(STRING, "Partly cloudy with a slight chance of showers", 250);
            sketch.push(list, at, string);
        }
    };
    let one = check(
        draw,
        60,
        200,
        "duplicate-strings",
        "\"Partly cloudy with a slight chance of sh…\" is there 200 times",
    );
    assert_eq!(one.strength, Strength::Suspicious);
}

#[test]
fn the_same_object_many_times() {
    let draw = |visible: usize| {
        move |sketch: &mut Sketch, count| {
            let list = sketch.array(sketch.app, "points");
            let shape = sketch.draw.node(OBJECT, "system / Map", 72);
            let names = sketch.draw.node(OBJECT, "system / DescriptorArray", 72);
            sketch.draw.edge(shape, INTERNAL, "descriptors", names);
            for (at, name) in ["kind", "unit"].iter().enumerate() {
                let name = sketch.draw.node(STRING, name, 24);
                sketch.draw.edge(names, INTERNAL, &at.to_string(), name);
            }
            let prototype = sketch.object(sketch.app, "prototype", "Object");
            let value = sketch.draw.node(STRING, "metre", 24);
            for at in 0..count {
                let point = sketch.draw.node(OBJECT, "Object", 250);
                sketch.draw.edge(point, PROPERTY, "__proto__", prototype);
                for name in &["kind", "unit"][..visible] {
                    sketch.draw.edge(point, PROPERTY, name, value);
                }
                sketch.draw.edge(point, INTERNAL, "map", shape);
                sketch.push(list, at, point);
            }
        }
    };
    check(draw(2), 60, 200, "duplicate-objects", "200 objects {kind, unit} have the same content");
    // A property that has no node may be a number, and each another one.
    let mut sketch = Sketch::new();
    draw(1)(&mut sketch, 200);
    assert!(run(&sketch).iter().all(|one| one.detector != "duplicate-objects"));
}

#[test]
fn arrays_with_holes_and_with_too_much_room() {
    let holes = |sketch: &mut Sketch, count| {
        let list = sketch.array(sketch.app, "orders");
        for at in 0..count {
            let order = sketch.draw.node(OBJECT, "Order", 64);
            sketch.push(list, 1_000_000 + at * 977, order);
        }
    };
    check(holes, 90, 120, "sparse-collections", "App.orders has 120 objects at indices up to 1116263");
    let room = |sketch: &mut Sketch, count| {
        let list = sketch.array(sketch.app, "history");
        let elements = sketch.draw.node(ARRAY, "(object elements)", 8 * count as u32);
        sketch.draw.edge(list, INTERNAL, "elements", elements);
        let only = sketch.draw.node(OBJECT, "Entry", 64);
        sketch.push(list, 0, only);
    };
    check(room, 200, 1000, "sparse-collections", "App.history has room for 1000 and holds 1 objects");
}

#[test]
fn a_metric_with_a_label_of_many_values() {
    let draw = |sketch: &mut Sketch, count| {
        let counter = sketch.object(sketch.app, "total", "Counter");
        sketch.text(counter, "name", "http_requests_total");
        let series = sketch.object(counter, "hashMap", "Object");
        for at in 0..count {
            let entry = sketch.object(series, &format!("user:{at}"), "Object");
            let labels = sketch.object(entry, "labels", "Object");
            sketch.text(labels, "user", &format!("user {at}"));
            sketch.text(labels, "method", "GET");
        }
    };
    let words = "the metric http_requests_total has 250 time series; the label \"user\" has 250 values";
    check(draw, 199, 250, "metric-labels", words);
}

#[test]
fn chunks_that_wait() {
    let draw = |sketch: &mut Sketch, count| {
        let stream = sketch.object(sketch.app, "subscriber", "Writable");
        let state = sketch.object(stream, "_writableState", "WritableState");
        let chunks = sketch.array(state, "<symbol kBufferedValue>");
        for at in 0..count {
            let chunk = sketch.draw.node(OBJECT, "Object", 48);
            sketch.push(chunks, at, chunk);
        }
    };
    check(draw, 99, 150, "stream-backlog", "150 chunks wait to be written");
}

#[test]
fn a_finding_has_the_same_key_in_another_process() {
    let keys = |shift| {
        let mut sketch = Sketch::new();
        emitter(&mut sketch, 50);
        target(&mut sketch, 60, true);
        sketch.draw.shift_ids(shift);
        run(&sketch).into_iter().map(|one| one.key).collect::<Vec<_>>()
    };
    assert_eq!(keys(0).len(), 2);
    assert_eq!(keys(0), keys(10_000));
}

#[test]
fn a_heap_without_a_program_says_nothing() {
    assert_eq!(run(&Sketch::new()), []);
    // A closure that refers to itself, and a signal whose list is a ring.
    let mut sketch = Sketch::new();
    let closure = sketch.draw.node(CLOSURE, "loop", 64);
    sketch.draw.edge(closure, INTERNAL, "bound_function", closure);
    sketch.draw.edge(sketch.app, PROPERTY, "_onTimeout", closure);
    assert_eq!(run(&sketch), []);
}
