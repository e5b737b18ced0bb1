//! Puts a profile together, with each string, frame and stack once.

use rustc_hash::FxHashMap;

use super::{CostType, Profile, ProfileFrame, Samples};
use crate::ids::{FrameId, StackId, StringId};
use crate::trace::FrameKind;

/// Stacks have more frames than a file of that size can account for, or than can be numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

/// Makes a [`Profile`].
#[derive(Debug)]
pub struct ProfileBuilder {
    /// What is there so far. Its metadata and snapshots may be set at will.
    pub profile: Profile,
    strings: FxHashMap<Vec<u8>, StringId>,
    frames: FxHashMap<ProfileFrame, FrameId>,
    nodes: FxHashMap<(StackId, FrameId), StackId>,
    /// Frames of stacks that may still come.
    frames_left: u64,
    /// Nodes that may still come.
    nodes_left: u64,
}

/// Frames for each byte of a file, and some for a small one: in no format does a frame of a stack take less than
/// half a byte, save where one address stands for several inlined functions.
const FRAMES_PER_BYTE: u64 = 4;
const NODES_PER_BYTE: u64 = 2;
const FRAMES_OF_SMALL: u64 = 1 << 16;

impl ProfileBuilder {
    /// A profile with these columns.
    pub fn new(costs: &[CostType]) -> Self {
        let profile = Profile { samples: Samples::new(costs), ..Profile::default() };
        let most = u64::from(u32::MAX) - 1;
        ProfileBuilder {
            profile,
            strings: FxHashMap::default(),
            frames: FxHashMap::default(),
            nodes: FxHashMap::default(),
            frames_left: u64::MAX,
            nodes_left: most,
        }
    }

    /// The same for a file of so many bytes, which bounds the work that its content can ask for.
    pub(crate) fn for_file(costs: &[CostType], len: usize) -> Self {
        let mut builder = ProfileBuilder::new(costs);
        builder.frames_left = (len as u64).saturating_mul(FRAMES_PER_BYTE).saturating_add(FRAMES_OF_SMALL);
        let nodes = (len as u64).saturating_mul(NODES_PER_BYTE).saturating_add(FRAMES_OF_SMALL);
        builder.nodes_left = builder.nodes_left.min(nodes);
        builder
    }

    /// The number of a string; that of the empty one is "none".
    pub fn string(&mut self, text: &[u8]) -> StringId {
        if text.is_empty() {
            return StringId(0);
        }
        if let Some(&id) = self.strings.get(text) {
            return id;
        }
        let id = self.profile.strings.push(text);
        self.strings.insert(text.to_vec(), id);
        id
    }

    /// The number of a frame.
    pub fn frame(&mut self, frame: ProfileFrame) -> FrameId {
        let next = FrameId(self.profile.frames.len() as u32);
        let id = *self.frames.entry(frame).or_insert(next);
        if id == next {
            self.profile.frames.push(frame);
        }
        id
    }

    /// The stack of a call from another stack.
    ///
    /// # Errors
    /// If there are too many.
    pub fn child(&mut self, caller: StackId, frame: FrameId) -> Result<StackId, TooLarge> {
        self.frames_left = self.frames_left.checked_sub(1).ok_or(TooLarge)?;
        if let Some(&id) = self.nodes.get(&(caller, frame)) {
            return Ok(id);
        }
        self.nodes_left = self.nodes_left.checked_sub(1).ok_or(TooLarge)?;
        let id = self.profile.stacks.push(frame, caller);
        self.nodes.insert((caller, frame), id);
        Ok(id)
    }

    /// The stack of these frames, its leaf first. Where two neighbours have one address and different functions, the
    /// first was inlined into the second: few formats say so.
    pub(crate) fn stack(&mut self, leaf_first: &[ProfileFrame]) -> Result<StackId, TooLarge> {
        let mut stack = StackId(0);
        for (at, &frame) in leaf_first.iter().enumerate().rev() {
            let mut frame = frame;
            if let Some(caller) = leaf_first.get(at + 1) {
                frame.is_inlined |= frame.address != 0
                    && caller.address == frame.address
                    && caller.function != frame.function;
            }
            let frame = self.frame(frame);
            stack = self.child(stack, frame)?;
        }
        Ok(stack)
    }

    /// Adds a sample with the values of the columns in the order of [`CostType`]; a block size of 0 is unknown.
    pub fn sample(&mut self, stack: StackId, block_size: u64, values: &[i64]) {
        self.profile.samples.push(stack, block_size, values);
    }

    /// The kind of a frame by its names.
    pub(crate) fn kind(&self, function: StringId, module: StringId) -> FrameKind {
        let strings = &self.profile.strings;
        super::kind_of_names(strings.get(function), strings.get(module))
    }
}
