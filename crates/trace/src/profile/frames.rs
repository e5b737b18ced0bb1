//! Places in the code and the tree of stacks, in columns.

use crate::ids::{FrameId, StackId, StringId};
use crate::trace::FrameKind;

/// A line of a stack. What a compiler inlined is a frame of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ProfileFrame {
    /// The function; none if unknown.
    pub function: StringId,
    /// The executable or library; none if unknown.
    pub module: StringId,
    /// The source file; none if unknown.
    pub file: StringId,
    /// The line, from 1; 0 is unknown.
    pub line: u32,
    /// The column, from 1; 0 is unknown.
    pub column: u32,
    /// The address of the call; 0 is unknown.
    pub address: u64,
    /// True if the compiler put the function into the one around it, which has the same address.
    pub is_inlined: bool,
    /// What kind of code it is.
    pub kind: FrameKind,
}

/// Frames as columns by [`FrameId`]. Each occurs once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frames {
    function: Vec<StringId>,
    module: Vec<StringId>,
    file: Vec<StringId>,
    line: Vec<u32>,
    column: Vec<u32>,
    address: Vec<u64>,
    is_inlined: Vec<bool>,
    kind: Vec<FrameKind>,
}

impl Frames {
    /// Number of frames: ids are below it.
    pub fn len(&self) -> usize {
        self.address.len()
    }

    /// True without frames.
    pub fn is_empty(&self) -> bool {
        self.address.is_empty()
    }

    /// The frame.
    ///
    /// # Panics
    /// If there is no such frame, as a slice does.
    pub fn get(&self, id: FrameId) -> ProfileFrame {
        let at = id.index();
        ProfileFrame {
            function: self.function[at],
            module: self.module[at],
            file: self.file[at],
            line: self.line[at],
            column: self.column[at],
            address: self.address[at],
            is_inlined: self.is_inlined[at],
            kind: self.kind[at],
        }
    }

    /// All frames with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (FrameId, ProfileFrame)> + '_ {
        (0..self.len() as u32).map(|id| (FrameId(id), self.get(FrameId(id))))
    }

    pub(super) fn push(&mut self, frame: ProfileFrame) {
        self.function.push(frame.function);
        self.module.push(frame.module);
        self.file.push(frame.file);
        self.line.push(frame.line);
        self.column.push(frame.column);
        self.address.push(frame.address);
        self.is_inlined.push(frame.is_inlined);
        self.kind.push(frame.kind);
    }
}

/// Call stacks as a tree: a node is a frame, its parent the frame around it. Columns by [`StackId`]; node 0 is the
/// empty stack. A parent stands before its children, and no two children of a node are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stacks {
    frame: Vec<FrameId>,
    parent: Vec<StackId>,
}

impl Default for Stacks {
    fn default() -> Self {
        Stacks { frame: vec![FrameId(0)], parent: vec![StackId(0)] }
    }
}

impl Stacks {
    /// Number of nodes with the empty stack: ids are below it.
    pub fn len(&self) -> usize {
        self.frame.len()
    }

    /// True if there is none but the empty stack.
    pub fn is_empty(&self) -> bool {
        self.len() <= 1
    }

    /// The stack around a stack's last call; the empty stack's is itself.
    ///
    /// # Panics
    /// If there is no such node, as a slice does.
    pub fn parent(&self, stack: StackId) -> StackId {
        self.parent[stack.index()]
    }

    /// The frames of a stack, its leaf first.
    pub fn frames(&self, stack: StackId) -> impl Iterator<Item = FrameId> + '_ {
        let mut node = stack;
        std::iter::from_fn(move || {
            let at = node;
            node = self.parent[at.index()];
            (!at.is_zero()).then(|| self.frame[at.index()])
        })
    }

    /// Frames of the deepest stack.
    pub(crate) fn deepest(&self) -> usize {
        let mut depths = vec![0; self.len()];
        for at in 1..self.len() {
            // A parent stands before its children.
            depths[at] = depths[self.parent[at].index()] + 1;
        }
        depths.into_iter().max().unwrap_or(0)
    }

    pub(super) fn push(&mut self, frame: FrameId, parent: StackId) -> StackId {
        self.frame.push(frame);
        self.parent.push(parent);
        StackId(self.frame.len() as u32 - 1)
    }
}
