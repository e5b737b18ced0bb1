//! Classes: what DevTools groups nodes by in its Summary.

use rustc_hash::FxHashMap;
use twinheap_graph::BitSet;
use twinheap_snapshot::{Location, NodeIdx, NodeType, Snapshot, StringId, Wtf8};

use crate::interfaces::{Interfaces, Matcher};
use crate::names::{Known, Names};

/// A class by its position in a [`ClassTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassId(pub u32);

impl ClassId {
    /// The position as a slice index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A class: a name, and for classes of objects with a known source also the place of their constructor.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Class {
    /// What a person sees, in WTF-8; see [`Class::name`].
    name: Box<[u8]>,
    /// Script id, line and column of the constructor, as in the file.
    pub location: Option<(u32, u32, u32)>,
}

impl Class {
    /// What a person sees.
    pub fn name(&self) -> &Wtf8 {
        Wtf8::new(&self.name)
    }

    /// DevTools' class key: `,name`, or `scriptId,line,column,name`. Keys with a script id can be compared only
    /// within one process.
    pub fn key(&self) -> Vec<u8> {
        let mut key = match self.location {
            Some((script, line, column)) => format!("{script},{line},{column},").into_bytes(),
            None => b",".to_vec(),
        };
        key.extend_from_slice(&self.name);
        key
    }
}

/// The class of every node.
///
/// DevTools keeps two classes apart that have the same key but came about differently (a type's own name and an
/// object's constructor), and shows only one of them. Here they are one class, so that no object is lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassTable {
    of_node: Vec<u32>,
    classes: Vec<Class>,
}

impl ClassTable {
    /// Number of classes.
    pub fn len(&self) -> usize {
        self.classes.len()
    }

    /// True without classes.
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// The class of a node.
    #[inline]
    pub fn of(&self, node: NodeIdx) -> ClassId {
        ClassId(self.of_node[node.index()])
    }

    /// A class of the table.
    pub fn get(&self, class: ClassId) -> &Class {
        &self.classes[class.index()]
    }

    /// All classes, in order of their first node.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (ClassId, &Class)> {
        self.classes.iter().enumerate().map(|(i, class)| (ClassId(i as u32), class))
    }

    /// Classes with this name, or with this key.
    pub fn find(&self, name_or_key: &str) -> Vec<ClassId> {
        let wanted = name_or_key.as_bytes();
        let matches = |class: &Class| &*class.name == wanted || class.key() == wanted;
        self.iter().filter(|(_, class)| matches(class)).map(|(id, _)| id).collect()
    }
}

/// Assigns every node its class. Plain objects get the best of `interfaces`.
pub(crate) fn classify(
    snapshot: &Snapshot,
    names: &Names,
    prefixed: &BitSet,
    interfaces: &Interfaces,
) -> ClassTable {
    let mut builder = Builder::new(snapshot);
    let mut matcher = Matcher::new(snapshot, names, interfaces);
    let mut locations = snapshot.locations().iter().peekable();
    let of_node = snapshot
        .nodes()
        .map(|node| {
            let location = next_location(&mut locations, node);
            builder.class_of(node, names, prefixed, location, &mut matcher)
        })
        .collect();
    ClassTable { of_node, classes: builder.classes }
}

fn next_location<'a>(
    locations: &mut std::iter::Peekable<impl Iterator<Item = &'a Location>>,
    node: NodeIdx,
) -> Option<Location> {
    locations.next_if(|l| l.node == node.0).copied()
}

/// Position of a class that has none yet.
const UNSET: u32 = u32::MAX;

struct Builder<'a> {
    snapshot: &'a Snapshot,
    classes: Vec<Class>,
    /// Class names seen, in WTF-8, to small numbers: equal texts are one class however they came about.
    texts: FxHashMap<Box<[u8]>, u32>,
    text_by_number: Vec<Box<[u8]>>,
    /// Text of a node's own name as a class, [`UNSET`] if not looked up yet.
    text_of_string: Vec<u32>,
    text_of_type: [u32; 32],
    text_of_interface: Vec<u32>,
    /// By text: its class without a location.
    plain: Vec<u32>,
    /// By text and location: the class.
    located: FxHashMap<(u32, u32, u32, u32), u32>,
}

impl<'a> Builder<'a> {
    fn new(snapshot: &'a Snapshot) -> Self {
        Builder {
            snapshot,
            classes: Vec::new(),
            texts: FxHashMap::default(),
            text_by_number: Vec::new(),
            text_of_string: vec![UNSET; snapshot.strings.len()],
            text_of_type: [UNSET; 32],
            text_of_interface: Vec::new(),
            plain: Vec::new(),
            located: FxHashMap::default(),
        }
    }

    fn class_of(
        &mut self,
        node: NodeIdx,
        names: &Names,
        prefixed: &BitSet,
        location: Option<Location>,
        matcher: &mut Matcher<'_>,
    ) -> u32 {
        let kind = self.snapshot.node_type(node);
        let text = match kind {
            NodeType::OBJECT | NodeType::NATIVE => {
                let name = self.snapshot.raw_name(node);
                if kind == NodeType::NATIVE && prefixed.contains(node.index()) {
                    let mut text = b"Detached ".to_vec();
                    text.extend_from_slice(self.snapshot.strings.get(name).as_bytes());
                    self.text(&tag_only(&text))
                } else if kind == NodeType::OBJECT && names.known(name) == Known::Object {
                    match matcher.best(node) {
                        Some(at) => self.interface_text(at, matcher.interfaces()),
                        None => self.string_text(name),
                    }
                } else {
                    self.string_text(name)
                }
            }
            _ => self.type_text(kind),
        };
        match location {
            Some(l) if kind == NodeType::OBJECT => self.located_class(text, (l.script_id, l.line, l.column)),
            _ => self.plain_class(text),
        }
    }

    fn string_text(&mut self, name: StringId) -> u32 {
        match self.text_of_string.get(name.index()) {
            Some(&UNSET) => {
                let text = self.text(&tag_only(self.snapshot.strings.get(name).as_bytes()));
                self.text_of_string[name.index()] = text;
                text
            }
            Some(&text) => text,
            None => self.text(self.snapshot.strings.get(name).as_bytes()),
        }
    }

    fn type_text(&mut self, kind: NodeType) -> u32 {
        let at = usize::from(kind.0);
        if self.text_of_type[at] == UNSET {
            let text = match kind {
                NodeType::HIDDEN => "(system)".to_owned(),
                NodeType::CODE => "(compiled code)".to_owned(),
                NodeType::CLOSURE => "Function".to_owned(),
                NodeType::REGEXP => "RegExp".to_owned(),
                _ => format!("({})", self.snapshot.type_name(kind)),
            };
            self.text_of_type[at] = self.text(text.as_bytes());
        }
        self.text_of_type[at]
    }

    fn interface_text(&mut self, at: usize, interfaces: &Interfaces) -> u32 {
        self.text_of_interface.resize(interfaces.len(), UNSET);
        if self.text_of_interface[at] == UNSET {
            self.text_of_interface[at] = self.text(interfaces.name(at).as_bytes());
        }
        self.text_of_interface[at]
    }

    fn text(&mut self, text: &[u8]) -> u32 {
        if let Some(&known) = self.texts.get(text) {
            return known;
        }
        let next = self.texts.len() as u32;
        self.texts.insert(text.into(), next);
        self.text_by_number.push(text.into());
        self.plain.push(UNSET);
        next
    }

    fn plain_class(&mut self, text: u32) -> u32 {
        if self.plain[text as usize] == UNSET {
            self.plain[text as usize] = self.add(text, None);
        }
        self.plain[text as usize]
    }

    fn located_class(&mut self, text: u32, at: (u32, u32, u32)) -> u32 {
        let key = (text, at.0, at.1, at.2);
        if let Some(&class) = self.located.get(&key) {
            return class;
        }
        let class = self.add(text, Some(at));
        self.located.insert(key, class);
        class
    }

    fn add(&mut self, text: u32, location: Option<(u32, u32, u32)>) -> u32 {
        self.classes.push(Class { name: self.text_by_number[text as usize].clone(), location });
        (self.classes.len() - 1) as u32
    }
}

/// `<div class="x">` groups with every other `<div>`.
fn tag_only(name: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    let from = match name {
        _ if name.starts_with(b"<") => 0,
        _ if name.starts_with(b"Detached <") => b"Detached ".len() + 1,
        _ => return name.into(),
    };
    match name[from..].iter().position(|&b| b == b' ') {
        Some(space) => {
            let mut tag = name[..from + space].to_vec();
            tag.push(b'>');
            tag.into()
        }
        None => name.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_group_by_tag() {
        assert_eq!(&*tag_only(b"<div id=\"a\">"), b"<div>");
        assert_eq!(&*tag_only(b"Detached <div id=\"a\">"), b"Detached <div>");
        assert_eq!(&*tag_only(b"<div>"), b"<div>");
        assert_eq!(&*tag_only(b"Foo <x y>"), b"Foo <x y>");
    }
}
