//! Which of the worlds in a process a frame belongs to.

/// What kind of code a function is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FrameKind {
    /// Nobody knows: it has no name.
    #[default]
    Unknown,
    /// A compiler's machine code.
    Native,
    /// JavaScript, interpreted or compiled.
    Js,
    /// A part of V8 that is neither: its interpreter, a function of the language.
    Builtin,
}

/// The kind, as far as names tell: V8's `--perf-basic-prof` marks its functions, and V8's builtins have a prefix. What
/// has no name, but is in a file, is machine code.
pub fn kind_of_names(function: &[u8], module: &[u8]) -> FrameKind {
    const JS: [&[u8]; 4] = [b"JS:", b"LazyCompile:", b"Function:", b"Script:"];
    const BUILTIN: [&[u8]; 2] = [b"Builtins_", b"Builtin:"];
    let begins = |starts: &[&[u8]]| starts.iter().any(|start| function.starts_with(start));
    if begins(&BUILTIN) {
        FrameKind::Builtin
    } else if begins(&JS) {
        FrameKind::Js
    } else if function.is_empty() && module.is_empty() {
        FrameKind::Unknown
    } else {
        FrameKind::Native
    }
}
