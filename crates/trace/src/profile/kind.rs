//! Which of the worlds in a process a frame belongs to.

use crate::trace::FrameKind;

/// The kind, as far as names tell. What has no name, but is in a file, is machine code.
pub(crate) fn kind_of_names(function: &[u8], module: &[u8]) -> FrameKind {
    match FrameKind::of_name(function) {
        FrameKind::Unknown if !module.is_empty() => FrameKind::Native,
        kind => kind,
    }
}
