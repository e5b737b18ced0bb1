//! One report on a ladder or a recording: the verdict in a sentence, three numbers, the evidence, what to do next.
//!
//! A [`Brief`] is words already, and the same for both heaps. As Markdown it can be pasted into an issue, as HTML it is
//! a page in one file, with pictures; texts out of dumps can't break out of either.

mod html;
mod picture;

use serde::Serialize;

pub use self::html::brief_html;
use crate::SCHEMA_VERSION;
use crate::names::clean;
use crate::tiles::Tile;

/// A report, ready to be written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Brief {
    /// The verdict in a sentence.
    pub headline: String,
    /// `leak`, `suspect` or `none`.
    pub verdict: &'static str,
    /// `high`, `medium` or `low`.
    pub confidence: &'static str,
    /// What the report is about, with the numbers that matter, in the order of their weight.
    pub numbers: Vec<BriefNumber>,
    /// Suspects, worst first.
    pub suspects: Vec<BriefSuspect>,
    /// Commands that lead on.
    pub next: Vec<String>,
    /// The files, oldest first.
    pub files: Vec<String>,
    /// What limits the answer.
    pub warnings: Vec<String>,
}

/// A number and its course.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BriefNumber {
    /// What is counted: `heap`, `Session in SessionStore.items`.
    pub name: String,
    /// One for each dump, for people.
    pub course: Vec<String>,
    /// One for each dump.
    pub series: Vec<u64>,
}

impl BriefNumber {
    /// A number with a word for each dump.
    pub(crate) fn new(name: &str, series: &[u64], words: &dyn Fn(u64) -> String) -> BriefNumber {
        BriefNumber {
            name: name.to_owned(),
            course: series.iter().map(|&number| words(number)).collect(),
            series: series.to_vec(),
        }
    }
}

/// A suspect with its evidence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BriefSuspect {
    /// The suspect in a few words.
    pub name: String,
    /// Its numbers, as pictures show them; the evidence has them in words.
    pub numbers: Vec<BriefNumber>,
    /// What it keeps when it is met again; `None` for native call sites.
    pub signature: Option<String>,
    /// The line to look at, and what it has to do with it.
    pub look_at: Option<String>,
    /// What was seen, as sentences without a full stop.
    pub evidence: Vec<String>,
    /// The path that holds it or the stack that allocates it, a line each.
    pub trail: Vec<String>,
    /// What to do about it.
    pub advice: String,
}

/// Where the bytes of the newest dump are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BriefPicture {
    /// What the areas are.
    pub caption: String,
    /// The areas.
    pub tiles: Tile,
}

#[derive(Serialize)]
struct Document<'a, F> {
    schema_version: u32,
    kind: &'static str,
    headline: &'a str,
    verdict: &'static str,
    confidence: &'static str,
    numbers: &'a [BriefNumber],
    next: &'a [String],
    /// What `leaks --json` says.
    findings: F,
}

/// The report as a JSON document around the findings' own.
pub fn brief_json<'a, F: Serialize + 'a>(brief: &'a Brief, findings: F) -> impl Serialize + 'a {
    Document {
        schema_version: SCHEMA_VERSION,
        kind: "report",
        headline: &brief.headline,
        verdict: brief.verdict,
        confidence: brief.confidence,
        numbers: &brief.numbers,
        next: &brief.next,
        findings,
    }
}

/// The report as Markdown, for an issue.
pub fn brief_markdown(brief: &Brief) -> String {
    let mut out = format!("## {}\n\n", text(&brief.headline));
    out.push_str(&format!("Verdict: **{}**, confidence {}.\n\n", brief.verdict, brief.confidence));
    out.push_str("| | |\n| --- | --- |\n");
    for number in &brief.numbers {
        out.push_str(&format!("| {} | {} |\n", text(&number.name), text(&number.course.join(" → "))));
    }
    for suspect in &brief.suspects {
        out.push_str(&format!("\n### {}\n\n", text(&suspect.name)));
        if let Some(place) = &suspect.look_at {
            out.push_str(&format!("- look at {}\n", code(place)));
        }
        for words in &suspect.evidence {
            out.push_str(&format!("- {}\n", text(words)));
        }
        if let Some(signature) = &suspect.signature {
            out.push_str(&format!("- signature {}\n", code(signature)));
        }
        if !suspect.trail.is_empty() {
            out.push('\n');
            out.push_str(&block("text", &suspect.trail));
        }
        out.push_str(&format!("\n{}\n", text(&suspect.advice)));
    }
    if !brief.next.is_empty() {
        out.push_str("\n### Next\n\n");
        out.push_str(&block("sh", &brief.next));
    }
    if !brief.warnings.is_empty() {
        out.push_str("\n### What limits this report\n\n");
        for warning in &brief.warnings {
            out.push_str(&format!("- {}\n", text(warning)));
        }
    }
    let files: Vec<String> = brief.files.iter().map(|file| code(file)).collect();
    out.push_str(&format!("\n<sub>twinheap {} on {}</sub>\n", env!("CARGO_PKG_VERSION"), files.join(", ")));
    out
}

/// Text that no character of can be taken for Markdown or HTML.
fn text(words: &str) -> String {
    let mut out = String::with_capacity(words.len());
    for letter in clean(words, 500).chars() {
        if matches!(
            letter,
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' | '~' | '&' | '@' | '!'
        ) {
            out.push('\\');
        }
        out.push(letter);
    }
    out
}

/// A code span: its fence is longer than any run of backquotes in it.
fn code(words: &str) -> String {
    let words = clean(words, 500);
    let fence = "`".repeat(longest_run(&words) + 1);
    let space = if words.starts_with('`') || words.ends_with('`') { " " } else { "" };
    format!("{fence}{space}{words}{space}{fence}")
}

/// A code block, fenced likewise.
fn block(language: &str, lines: &[String]) -> String {
    let lines: Vec<String> = lines.iter().map(|line| clean(line, 500)).collect();
    let longest = lines.iter().map(|line| longest_run(line)).max().unwrap_or(0);
    let fence = "`".repeat((longest + 1).max(3));
    format!("{fence}{language}\n{}\n{fence}\n", lines.join("\n"))
}

fn longest_run(text: &str) -> usize {
    text.split(|letter| letter != '`').map(str::len).max().unwrap_or(0)
}

/// A word for a shell: quoted if a shell would do something with it.
pub(crate) fn shell_word(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "._-/@:+=,%".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_dumps_stay_texts() {
        assert_eq!(text("a|b <img src=x> *c* `d`\n# e"), r"a\|b \<img src=x\> \*c\* \`d\`\\n\# e");
        assert_eq!(code("a`b``c"), "```a`b``c```");
        assert_eq!(code("`x"), "`` `x ``");
        assert_eq!(block("text", &["```".to_owned(), "b".to_owned()]), "````text\n```\nb\n````\n");
    }

    #[test]
    fn a_file_is_one_word_for_a_shell() {
        assert_eq!(shell_word("dump-1.heapsnapshot.zst"), "dump-1.heapsnapshot.zst");
        assert_eq!(shell_word("my dump"), "'my dump'");
        assert_eq!(shell_word("it's; rm -rf /"), r"'it'\''s; rm -rf /'");
        assert_eq!(shell_word(""), "''");
    }

    #[test]
    fn a_report_says_verdict_numbers_evidence_and_what_next() {
        let brief = Brief {
            headline: "Leak: Session piles up in Store.items.".to_owned(),
            verdict: "leak",
            confidence: "high",
            numbers: vec![BriefNumber {
                name: "heap".to_owned(),
                course: vec!["1.0 MB".to_owned(), "2.0 MB".to_owned()],
                series: vec![1_000_000, 2_000_000],
            }],
            suspects: vec![BriefSuspect {
                name: "Session in Store.items".to_owned(),
                signature: Some("0123456789abcdef".to_owned()),
                look_at: Some("server.js:20:14".to_owned()),
                numbers: Vec::new(),
                evidence: vec!["500 are younger than the last dump".to_owned()],
                trail: vec!["(root) @1".to_owned(), " └ store".to_owned()],
                advice: "Give it a limit.".to_owned(),
            }],
            next: vec!["twinheap object b.heapsnapshot 15".to_owned()],
            files: vec!["a.heapsnapshot".to_owned(), "b.heapsnapshot".to_owned()],
            warnings: vec!["cut short".to_owned()],
        };
        let expected = format!(
            "## Leak: Session piles up in Store.items.\n\nVerdict: **leak**, confidence high.\n\n| | |\n| --- | --- |\n\
             | heap | 1.0 MB → 2.0 MB |\n\n### Session in Store.items\n\n- look at `server.js:20:14`\n\
             - 500 are younger than the last dump\n- signature `0123456789abcdef`\n\n```text\n(root) @1\n └ store\n```\n\n\
             Give it a limit.\n\n### Next\n\n```sh\ntwinheap object b.heapsnapshot 15\n```\n\n\
             ### What limits this report\n\n- cut short\n\n<sub>twinheap {} on `a.heapsnapshot`, `b.heapsnapshot`</sub>\n",
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(brief_markdown(&brief), expected);
    }
}
