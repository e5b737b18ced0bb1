//! What JavaScript functions are on a stack, read out of the memory of a process.
//!
//! V8 keeps in each frame which function it runs, and in frames of its interpreter and of its baseline compiler how far
//! it has come. The recorder takes these words; [`Frames`] follows them through the process's memory to names, scripts,
//! lines and columns. Nothing has to be asked of V8, so it works in a process that was started without options.
//!
//! Where the parts of V8's objects lie is told by the constants that Node exports for debuggers (`v8dbg_…`), and for
//! the few that are not among them by V8's version; see [`Layout`]. The process runs on while it is read, and its
//! collector moves and frees what lies there. So no pointer is believed: an object has to be of the type that is
//! expected, what two objects say of each other has to agree, and what was read is read again at the end. A frame
//! about which there is any doubt has no name.

mod frames;
#[cfg(test)]
mod hostile;
mod layout;
mod memory;
mod objects;
mod scope;
mod script;
mod tables;

pub use frames::{Frames, JsCode, RawFrame, Spot, SpotNo};
pub use layout::Layout;
pub use memory::Memory;
