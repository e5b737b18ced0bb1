//! Bytes that stand for the variants of enumerations.

use crate::ids::{StringId, TraceId};
use crate::memory_look::MemoryOwner;
use crate::recording::{MapKind, MapOp};
use crate::trace::FrameKind;

const UNMAP: u8 = 0;

/// The byte of an operation. Those of maps begin at 1, so that a kind can be added.
pub(super) fn map_op_byte(op: MapOp) -> u8 {
    match op {
        MapOp::Unmap => UNMAP,
        MapOp::Map(MapKind::Unknown) => 1,
        MapOp::Map(MapKind::Anonymous) => 2,
        MapOp::Map(MapKind::File) => 3,
        MapOp::Map(MapKind::Stack) => 4,
        MapOp::Map(MapKind::V8) => 5,
        MapOp::Map(MapKind::Recorder) => 6,
    }
}

/// The operation of a byte. What a later version added is a map of an unknown kind.
pub(super) fn map_op(byte: u8) -> MapOp {
    match byte {
        UNMAP => MapOp::Unmap,
        2 => MapOp::Map(MapKind::Anonymous),
        3 => MapOp::Map(MapKind::File),
        4 => MapOp::Map(MapKind::Stack),
        5 => MapOp::Map(MapKind::V8),
        6 => MapOp::Map(MapKind::Recorder),
        _ => MapOp::Map(MapKind::Unknown),
    }
}

/// The byte and the number of an owner of memory.
pub(super) fn owner_bytes(owner: MemoryOwner) -> (u8, u32) {
    match owner {
        MemoryOwner::Unknown => (0, 0),
        MemoryOwner::Malloc => (1, 0),
        MemoryOwner::Stack => (2, 0),
        MemoryOwner::File(path) => (3, path.0),
        MemoryOwner::Mapped(trace) => (4, trace.0),
        MemoryOwner::Named(name) => (5, name.0),
        MemoryOwner::Recorder => (6, 0),
    }
}

/// The owner of a byte and a number; unknown if a later version added it.
pub(super) fn owner(byte: u8, number: u32) -> MemoryOwner {
    match byte {
        1 => MemoryOwner::Malloc,
        2 => MemoryOwner::Stack,
        3 => MemoryOwner::File(StringId(number)),
        4 => MemoryOwner::Mapped(TraceId(number)),
        5 => MemoryOwner::Named(StringId(number)),
        6 => MemoryOwner::Recorder,
        _ => MemoryOwner::Unknown,
    }
}

/// The byte of a kind of code.
pub(super) fn frame_kind_byte(kind: FrameKind) -> u8 {
    match kind {
        FrameKind::Unknown => 0,
        FrameKind::Native => 1,
        FrameKind::Js => 2,
        FrameKind::Builtin => 3,
    }
}

/// The kind of code of a byte; unknown if a later version added it.
pub(super) fn frame_kind(byte: u8) -> FrameKind {
    match byte {
        1 => FrameKind::Native,
        2 => FrameKind::Js,
        3 => FrameKind::Builtin,
        _ => FrameKind::Unknown,
    }
}
