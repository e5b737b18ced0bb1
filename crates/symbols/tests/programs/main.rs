//! Symbols of small programs that the tests build: gcc, g++, rustc and binutils must be there.

#![expect(
    clippy::unwrap_used,
    reason = "what can't be unwrapped is a failed test, with its place in the message"
)]

mod debug_files;
mod hostile;
mod oracle;
mod reach;
mod support;
