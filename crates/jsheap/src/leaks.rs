//! What leaks, who holds it, and which line of the program to look at.
//!
//! A leak is a place that goes on taking objects and does not let them go. So the question is not which class is
//! large but where the objects *pile up*: the [`Accumulation`], a Map, an array, a list of listeners, that stays one
//! while what it holds becomes more. Several dumps show that it grows;
//! a single one can show what is large and who holds it.
//!
//! The method for several dumps is that of LeakCanary's heap growth detection: shortest paths from the roots are
//! merged by edge name and class, and a place leaks whose own number stays while its children become more with each
//! dump. Trends are judged by Theil and Sen's slope and Mann and Kendall's test. For a single dump it is the
//! accumulation point of Eclipse MAT: down the dominator tree while one child has nearly all.
//!
//! [`detectors::ALL`] knows what programs on Node.js do wrong; each adds [`Evidence`] for a place.

use twinheap_snapshot::NodeIdx;

use crate::retainers::Step;
use crate::sources::Compiled;

mod advice;
mod census;
mod classes;
mod code;
mod compare;
pub mod detectors;
mod findings;
mod keys;
mod known;
mod ladder;
mod naming;
mod place;
mod scene;
mod signature;
mod single;
mod steps;
mod text_hash;
mod ways;

pub use crate::npm::package_of;
pub use classes::ClassGrowth;
pub use code::Origin;
pub use compare::{Fate, Outcome, compare};
pub use detectors::Detector;
pub use findings::Findings;
pub use known::{Known, Limit, LimitCheck, LimitOf};
pub use ladder::Ladder;
pub use scene::Scene;
pub use twinheap_trend::{Confidence, Pattern, Trend, Verdict, trend};

/// What kind of thing objects pile up in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AccumulationKind {
    /// Entries of a Map.
    Map,
    /// Members of a Set.
    Set,
    /// Entries of a WeakMap or WeakSet.
    WeakMap,
    /// Elements of an array, or numbered properties.
    Array,
    /// Properties of an object that is used as a dictionary.
    Dictionary,
    /// Functions that wait for an event.
    Listeners,
    /// Objects of one class that refer to each other in a row.
    LinkedList,
    /// Variables that closures keep.
    Context,
    /// Handles that native code holds.
    Handles,
    /// Any other object.
    Object,
}

impl AccumulationKind {
    /// The word of the JSON document.
    pub fn word(self) -> &'static str {
        match self {
            AccumulationKind::Map => "map",
            AccumulationKind::Set => "set",
            AccumulationKind::WeakMap => "weak-map",
            AccumulationKind::Array => "array",
            AccumulationKind::Dictionary => "dictionary",
            AccumulationKind::Listeners => "listeners",
            AccumulationKind::LinkedList => "linked-list",
            AccumulationKind::Context => "context",
            AccumulationKind::Handles => "handles",
            AccumulationKind::Object => "object",
        }
    }

    /// What it is, for a sentence: "the Map", "the array".
    pub fn words(self) -> &'static str {
        match self {
            AccumulationKind::Map => "the Map",
            AccumulationKind::Set => "the Set",
            AccumulationKind::WeakMap => "the WeakMap",
            AccumulationKind::Array => "the array",
            AccumulationKind::Dictionary => "the object used as a dictionary",
            AccumulationKind::Listeners => "the list of listeners",
            AccumulationKind::LinkedList => "the linked list",
            AccumulationKind::Context => "the variables of a closure",
            AccumulationKind::Handles => "native handles",
            AccumulationKind::Object => "the object",
        }
    }
}

/// Where objects pile up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accumulation {
    /// The node in the newest dump.
    pub node: NodeIdx,
    /// Its object id there.
    pub id: u64,
    /// Owner and property, for people: `SessionStore.items`, `variable cache in lookup()`.
    pub name: String,
    /// What it is.
    pub kind: AccumulationKind,
    /// The property or variable it is held by, without its owner: `items`.
    pub property: Option<String>,
}

/// How a [`Location`] was found, from the surest to the vaguest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LocationRole {
    /// The leaking closures are made of this function.
    Function,
    /// The leaking objects' class.
    Class,
    /// A function that makes objects of this shape and can reach the place they pile up in.
    Maker,
    /// The class of the object that owns the place they pile up in.
    Owner,
    /// A function that can reach the place they pile up in.
    User,
}

impl LocationRole {
    /// The word of the JSON document.
    pub fn word(self) -> &'static str {
        match self {
            LocationRole::Function => "function",
            LocationRole::Class => "class",
            LocationRole::Maker => "maker",
            LocationRole::Owner => "owner",
            LocationRole::User => "user",
        }
    }
}

/// The line to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// Path or URL of the script, as the program knows it, or of the source it was made of.
    pub script: String,
    /// Line, from 1. A snapshot knows where functions and classes begin, not their single lines.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
    /// The function or class that begins there, if it has a name.
    pub function: Option<String>,
    /// What it has to do with the leak.
    pub role: LocationRole,
    /// The place in the script that ran, if that was made of this source.
    pub compiled: Option<Compiled>,
}

/// How much an [`Evidence`] says by itself, without another dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Strength {
    /// Explains what is there; accuses nobody.
    Note,
    /// Unusual enough to be looked at.
    Suspicious,
    /// Practically always a mistake.
    Damning,
}

/// What a detector found in one heap. All sizes are bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The detector's name: `event-listeners`.
    pub detector: &'static str,
    /// What the objects pile up in or are held by. Evidence for a place that grows is shown with it; evidence of
    /// at least [`Strength::Suspicious`] is a suspect of its own if nothing that grows is there.
    pub holder: NodeIdx,
    /// One of the objects that are too many: its class, place and path are shown.
    pub example: NodeIdx,
    /// How many there are.
    pub count: u64,
    /// Their shallow sizes.
    pub shallow_size: u64,
    /// What they retain, those inside each other once.
    pub retained_size: u64,
    /// What makes it the same finding in another dump or process: names and script places, no ids, no counts.
    pub key: String,
    /// What was seen, as a sentence without its full stop: `"price" has 500 listeners made by updateQuote()`.
    pub words: String,
    /// What to do about it, as a sentence.
    pub advice: String,
    /// How much it says by itself.
    pub strength: Strength,
    /// The function to look at, if the detector knows better than what follows from where the objects are.
    pub function: Option<NodeIdx>,
}

/// Something that leaks or may leak. Series have a number for each dump, oldest first; sizes are bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Suspect {
    /// What is said of this one.
    pub verdict: Verdict,
    /// How sure that is.
    pub confidence: Confidence,
    /// Who found it: `growth`, `large`, or the detector's name.
    pub detector: &'static str,
    /// Class of the objects that pile up.
    pub class: String,
    /// The suspect in a few words: `Session in SessionStore.items`.
    pub name: String,
    /// The line to look at; `None` if the dump knows no code of the program that has to do with it.
    pub location: Option<Location>,
    /// The npm package that line is in; `None` for the program itself and for Node.js.
    pub package: Option<String>,
    /// Objects that pile up.
    pub count: Vec<u64>,
    /// Their shallow sizes.
    pub shallow_size: Vec<u64>,
    /// What they retain; those inside each other count once.
    pub retained_size: Vec<u64>,
    /// Objects more with each dump, by Theil and Sen; 0 for one dump.
    pub growth_per_step: f64,
    /// Bytes retained more with each dump, by Theil and Sen; 0 for one dump.
    pub retained_per_step: f64,
    /// How the number goes; `None` for one dump.
    pub pattern: Option<Pattern>,
    /// Where they pile up.
    pub accumulation: Accumulation,
    /// One of them, in the newest dump: the youngest.
    pub example: NodeIdx,
    /// A short path from the root to the example in the newest dump; if that is a link of a long chain, to the place
    /// where the chain begins. Without a step if only weak edges lead there.
    pub path: Vec<Step>,
    /// What makes it the same leak in another run: 16 hexadecimal digits of a hash over names along the path.
    pub signature: String,
    /// What was seen, in sentences without a full stop.
    pub evidence: Vec<String>,
    /// What to do about it.
    pub advice: String,
}
