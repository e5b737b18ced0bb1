//! What to do about a suspect.

use crate::leaks::{Accumulation, AccumulationKind, Location};

/// A sentence for a place, by its kind.
pub(crate) fn advice(place: &Accumulation, class: &str, location: Option<&Location>, swells: bool) -> String {
    let name = &place.name;
    let at = location.map(|l| format!(" (see {}:{})", l.script, l.line)).unwrap_or_default();
    if swells {
        return format!("Cut `{name}` from time to time, or write it out and start anew{at}.");
    }
    match place.kind {
        AccumulationKind::Map => {
            format!("Delete entries of `{name}` when they are done with, or give it a limit or an age{at}.")
        }
        AccumulationKind::Set => format!("Delete members of `{name}` when they are done with{at}."),
        AccumulationKind::WeakMap => {
            format!("Entries of `{name}` live as long as their keys: find out what keeps the keys{at}.")
        }
        AccumulationKind::Array => format!("Take elements out of `{name}` again, or bound its length{at}."),
        AccumulationKind::Dictionary => {
            format!("Delete properties of `{name}` when they are done with, or use a Map with a limit{at}.")
        }
        AccumulationKind::Listeners => {
            format!("Remove the listeners of `{name}` when their work is done, or add them once{at}.")
        }
        AccumulationKind::LinkedList => {
            format!("Cut the chain at `{name}`: each {class} keeps the next one{at}.")
        }
        AccumulationKind::Context => format!("Let go of what the closure keeps in `{name}`{at}."),
        AccumulationKind::Handles => {
            format!("Native code holds these: close or release each {class} when it is done with{at}.")
        }
        AccumulationKind::Object => format!("Let go of {class} in `{name}` when it is done with{at}."),
    }
}
