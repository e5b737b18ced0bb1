//! What our pages have in common: texts that stay texts, and a policy that lets nothing in.

use base64::Engine as _;
use sha2::{Digest as _, Sha256};

use crate::names::clean;

/// Text as HTML and XML have it, control characters visible.
pub(crate) fn text(words: &str) -> String {
    escape(&clean(words, usize::MAX))
}

/// The same for text that is clean but for its line ends.
pub(crate) fn escape(words: &str) -> String {
    let mut out = String::with_capacity(words.len());
    for c in words.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // No characters for XML.
            '\u{FFFE}' | '\u{FFFF}' => out.push('\u{FFFD}'),
            c => out.push(c),
        }
    }
    out
}

/// A page in one file, without its end: its policy allows this style, and this script if there is one, by their
/// hashes, and nothing else: no network, no other script, no style inside of the markup.
pub(crate) fn head(title: &str, style: &str, script: Option<&str>) -> String {
    let scripts = script.map(|script| format!("script-src {}; ", hash(script))).unwrap_or_default();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; {scripts}style-src {}; \
         base-uri 'none'; form-action 'none'\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"generator\" content=\"twinheap\"/>\n<title>{}</title>\n<style>{style}</style>\n</head>\n",
        hash(style),
        text(title),
    )
}

/// How a policy names the text of a script or style: <https://www.w3.org/TR/CSP3/#grammardef-hash-source>.
fn hash(text: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    format!("'sha256-{}'", base64::engine::general_purpose::STANDARD.encode(hash))
}
