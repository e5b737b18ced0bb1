//! `.heapprofile`: V8's sampling heap profiler.
//!
//! Sizes in the file are already scaled up to what the samples stand for.

use crate::damage::{Damage, ParseError, Section};
use crate::ids::StringId;
use crate::json::{Token, Tokenizer};
use crate::strings::StringTable;
use crate::wtf8::Wtf8;

/// One frame of the tree of sampled allocation stacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SamplingNode {
    /// Position of the caller; `None` for the root.
    pub parent: Option<u32>,
    /// Bytes allocated by this very frame and still alive, as estimated by V8.
    pub self_size: u64,
    /// Function name, empty if anonymous.
    pub function: StringId,
    /// Script's URL, empty for V8's own pseudo frames such as `(GC)`.
    pub url: StringId,
    /// Line from 0; -1 for the root.
    pub line: i64,
    /// Column from 0; -1 for the root.
    pub column: i64,
    /// V8's number of the frame.
    pub id: u64,
}

/// A parsed sampling profile.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SamplingProfile {
    /// Parents before children.
    pub nodes: Vec<SamplingNode>,
    /// Names and URLs.
    pub strings: StringTable,
    /// Number of entries in `samples`, one for each sampled allocation that is alive.
    pub samples: u64,
    /// Set if the file is damaged.
    pub damage: Vec<Damage>,
}

/// What an open brace or bracket belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    Top,
    Node(u32),
    CallFrame(u32),
    /// An array of nodes below this one.
    Children(u32),
    Samples,
    Other,
}

/// Reads a `.heapprofile`.
///
/// # Errors
/// If there is not a single node in it.
pub fn parse_sampling_profile(input: &[u8]) -> Result<SamplingProfile, ParseError> {
    let mut profile = SamplingProfile::default();
    profile.intern(b"");
    let mut tokens = Tokenizer::new(input);
    if input.starts_with(b"\xEF\xBB\xBF") {
        // A byte order mark, as some editors leave one.
        tokens.at = 3;
    }
    let mut open: Vec<Scope> = Vec::new();
    let mut key: Vec<u8> = Vec::new();
    let trouble = loop {
        let token = match tokens.next() {
            Ok(Some(token)) => token,
            Ok(None) if open.is_empty() && !profile.nodes.is_empty() => break None,
            Ok(None) => break Some("the file ends too early".to_owned()),
            Err(what) => break Some(what),
        };
        let scope = open.last().copied().unwrap_or(Scope::Other);
        match token {
            Token::BeginObject => {
                let inner = match scope {
                    _ if open.is_empty() => Scope::Top,
                    Scope::Top if key == b"head" => Scope::Node(profile.add(None)),
                    // The inspector's answer wraps the profile.
                    Scope::Top if key == b"profile" => Scope::Top,
                    Scope::Node(node) if key == b"callFrame" => Scope::CallFrame(node),
                    Scope::Children(parent) => Scope::Node(profile.add(Some(parent))),
                    Scope::Samples => {
                        profile.samples += 1;
                        Scope::Other
                    }
                    _ => Scope::Other,
                };
                open.push(inner);
            }
            Token::BeginArray => open.push(match scope {
                Scope::Node(node) if key == b"children" => Scope::Children(node),
                Scope::Top if key == b"samples" => Scope::Samples,
                _ => Scope::Other,
            }),
            Token::EndObject | Token::EndArray => {
                if open.pop().is_none() {
                    break Some("found a closing bracket that nothing opened".to_owned());
                }
            }
            Token::Key(name) => key = name,
            Token::Number(value) => match scope {
                Scope::Node(node) => match &key[..] {
                    b"selfSize" => profile.nodes[node as usize].self_size = value.max(0.0) as u64,
                    b"id" => profile.nodes[node as usize].id = value.max(0.0) as u64,
                    _ => {}
                },
                Scope::CallFrame(node) => match &key[..] {
                    b"lineNumber" => profile.nodes[node as usize].line = value as i64,
                    b"columnNumber" => profile.nodes[node as usize].column = value as i64,
                    _ => {}
                },
                _ => {}
            },
            Token::Text(text) => {
                if let Scope::CallFrame(node) = scope {
                    match &key[..] {
                        b"functionName" => profile.nodes[node as usize].function = profile.intern(&text),
                        b"url" => profile.nodes[node as usize].url = profile.intern(&text),
                        _ => {}
                    }
                }
            }
            Token::Word => {}
        }
    };
    let offset = tokens.at as u64;
    if profile.nodes.is_empty() {
        let what = trouble.unwrap_or_else(|| "it has no `head`".to_owned());
        return Err(ParseError::NotAProfile { offset, what });
    }
    if let Some(what) = trouble {
        profile.damage.push(Damage { section: Section::Top, offset, what });
    }
    Ok(profile)
}

impl SamplingProfile {
    fn add(&mut self, parent: Option<u32>) -> u32 {
        self.nodes.push(SamplingNode { parent, ..SamplingNode::default() });
        (self.nodes.len() - 1) as u32
    }

    /// Profiles repeat the names of neighbouring frames, so only the last strings are worth a look.
    fn intern(&mut self, text: &[u8]) -> StringId {
        let count = self.strings.len();
        for i in (count.saturating_sub(8)..count).rev() {
            let id = StringId(i as u32);
            if self.strings.get(id).as_bytes() == text {
                return id;
            }
        }
        self.strings.buffer().extend_from_slice(text);
        self.strings.end_string();
        StringId(count as u32)
    }

    /// A text of the profile.
    pub fn text(&self, id: StringId) -> &Wtf8 {
        self.strings.get(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: &str = r#"{"samples":[{"size":64,"nodeId":2,"ordinal":1}],"head":{"callFrame":{"functionName":"(root)",
        "scriptId":"0","url":"","lineNumber":-1,"columnNumber":-1},"selfSize":0,"id":1,"children":[
        {"callFrame":{"functionName":"leak","scriptId":"7","url":"file:///a.js","lineNumber":3,"columnNumber":9},
         "selfSize":4096,"id":2,"children":[]}]}}"#;

    #[test]
    fn frames_and_sizes() {
        let profile = parse_sampling_profile(PROFILE.as_bytes()).unwrap();
        assert_eq!((profile.nodes.len(), profile.samples), (2, 1));
        let leak = profile.nodes[1];
        assert_eq!((leak.parent, leak.self_size, leak.line, leak.column), (Some(0), 4096, 3, 9));
        assert_eq!(profile.text(leak.url).to_string_lossy(), "file:///a.js");
        assert!(profile.damage.is_empty());
    }

    #[test]
    fn every_truncation_is_noticed() {
        for end in 0..PROFILE.len() {
            match parse_sampling_profile(&PROFILE.as_bytes()[..end]) {
                Ok(profile) => assert_eq!(profile.damage.len(), 1, "cut at {end}"),
                Err(ParseError::NotAProfile { .. }) => {}
                Err(other) => panic!("cut at {end}: {other}"),
            }
        }
    }

    #[test]
    fn deep_stacks_do_not_recurse() {
        let open = r#"{"callFrame":{"functionName":"f"},"selfSize":1,"children":["#;
        let text = format!("{{\"head\":{}{}}}", open.repeat(100_000), "]}".repeat(100_000));
        let profile = parse_sampling_profile(text.as_bytes()).unwrap();
        assert_eq!(profile.nodes.len(), 100_000);
        assert!(profile.damage.is_empty());
    }
}
