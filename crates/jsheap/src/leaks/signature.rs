//! A name for a leak that stays when the process, its paths on disk or the version of Node.js change.

use crate::leaks::keys::is_key;
use crate::leaks::text_hash::hash_bytes;
use crate::leaks::{Accumulation, Location};
use crate::npm::package_of;

/// Sixteen hexadecimal digits of a hash over: what kind of place it is and what it is called, the class that piles
/// up, and the file. No ids, no lines, no folders outside of the package, no names that are data.
pub(crate) fn signature(place: &Accumulation, class: &str, location: Option<&Location>) -> String {
    // Of what ran, which does not depend on the source maps that are at hand.
    let script = |location: &'_ Location| match &location.compiled {
        Some(compiled) => relative(&compiled.script),
        None => relative(&location.script),
    };
    let script = location.map(script).unwrap_or_default();
    let name: Vec<&str> =
        place.name.split('.').map(|part| if is_key(part.as_bytes()) { "*" } else { part }).collect();
    let text = format!("{}\n{}\n{class}\n{script}", place.kind.word(), name.join("."));
    format!("{:016x}", hash_bytes(0, text.as_bytes()))
}

/// The script from its package on, or its file name alone.
fn relative(script: &str) -> String {
    let normal = script.replace('\\', "/");
    let file = match package_of(&normal) {
        Some(package) => {
            let mark = format!("node_modules/{package}/");
            normal.rfind(&mark).map_or(normal.as_str(), |at| &normal[at + "node_modules/".len()..]).to_owned()
        }
        None => normal.rsplit('/').next().unwrap_or_default().to_owned(),
    };
    file.split('?').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leaks::{AccumulationKind, LocationRole};
    use twinheap_snapshot::NodeIdx;

    fn place(name: &str) -> Accumulation {
        let property = Some("items".to_owned());
        Accumulation {
            node: NodeIdx(7),
            id: 15,
            name: name.to_owned(),
            kind: AccumulationKind::Map,
            property,
        }
    }

    fn at(script: &str, line: u32) -> Option<Location> {
        let script = script.to_owned();
        Some(Location { script, line, column: 1, function: None, role: LocationRole::Class, compiled: None })
    }

    #[test]
    fn a_leak_keeps_its_signature_elsewhere() {
        let of = |name: &str, class: &str, script: &str, line: u32| {
            signature(&place(name), class, at(script, line).as_ref())
        };
        let one = of("Store.items", "Session", "/srv/a/server.js", 10);
        assert_eq!(one.len(), 16);
        assert_eq!(one, of("Store.items", "Session", "/home/me/b/server.js", 99));
        assert_eq!(one, of("Store.items", "Session", "C:\\b\\server.js", 99));
        assert_eq!(
            of("Store.room-17", "Session", "/x/node_modules/pkg/lib/a.js", 1),
            of("Store.room-4711", "Session", "/y/node_modules/.pnpm/pkg@2/node_modules/pkg/lib/a.js", 2),
        );
        assert_ne!(one, of("Store.other", "Session", "/srv/a/server.js", 10));
        assert_ne!(one, of("Store.items", "Cart", "/srv/a/server.js", 10));
        assert_ne!(one, of("Store.items", "Session", "/srv/a/client.js", 10));
    }
}
