//! `twinheap open` and `twinheap demo`: the page that they serve, and how they behave at a terminal.

#![expect(
    clippy::unwrap_used,
    reason = "what can't be unwrapped is a failed test, with its place in the message"
)]

#[path = "page/demo.rs"]
mod demo;
#[path = "page/lab.rs"]
mod lab;
#[path = "page/native_verdict.rs"]
mod native_verdict;
#[path = "page/open.rs"]
mod open;
#[path = "page/source_maps.rs"]
mod source_maps;
#[path = "page/terminal.rs"]
mod terminal;
