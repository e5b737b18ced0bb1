//! Which of the worlds in a process a frame belongs to.

/// What kind of code a frame is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FrameKind {
    /// Compiled ahead of time.
    Native,
    /// A function of JavaScript.
    Js,
    /// A builtin of V8.
    Builtin,
    /// Neither its name nor its module is known.
    #[default]
    Unknown,
}

impl FrameKind {
    /// The kind, as far as names tell: V8's `--perf-basic-prof` marks its functions, and V8's builtins have a
    /// prefix.
    pub fn of_names(function: &[u8], module: &[u8]) -> FrameKind {
        const JS: [&[u8]; 4] = [b"JS:", b"LazyCompile:", b"Function:", b"Script:"];
        if function.starts_with(b"Builtins_") || function.starts_with(b"Builtin:") {
            FrameKind::Builtin
        } else if JS.iter().any(|start| function.starts_with(start)) {
            FrameKind::Js
        } else if function.is_empty() && module.is_empty() {
            FrameKind::Unknown
        } else {
            FrameKind::Native
        }
    }

    /// The word for it in our JSON.
    pub fn word(self) -> &'static str {
        match self {
            FrameKind::Native => "native",
            FrameKind::Js => "js",
            FrameKind::Builtin => "builtin",
            FrameKind::Unknown => "unknown",
        }
    }
}
