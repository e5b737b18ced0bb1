//! Sections of BENCHMARKS.md: several commands write the document, each its own part of it.

/// The section that begins with this heading, up to the document's end or the next section; empty if there is none.
pub(crate) fn section_of<'t>(text: &'t str, heading: &str) -> &'t str {
    let Some(start) = text.find(heading) else { return "" };
    let section = &text[start..];
    section[heading.len()..].find("\n## ").map_or(section, |end| &section[..heading.len() + end])
}

/// The document with the section, which begins with its heading, instead of the former one, or at the end.
pub(crate) fn with_section(text: &str, heading: &str, section: &str) -> String {
    let start = text.find(heading).unwrap_or(text.len());
    let rest = text.get(start + heading.len()..).unwrap_or_default();
    let next = rest.find("\n## ").map_or("", |at| &rest[at..]);
    format!("{}\n\n{}\n{next}", text[..start].trim_end(), section.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADING: &str = "## Middle\n";

    #[test]
    fn the_section_takes_the_place_of_the_former_one() {
        let with = |text: &str, body: &str| with_section(text, HEADING, &format!("{HEADING}\n{body}\n"));
        let first = with("# Benchmarks\n\n## A\n\na\n", "one");
        assert_eq!(first, format!("# Benchmarks\n\n## A\n\na\n\n{HEADING}\none\n"));
        let second = with(&format!("{first}\n## B\n\nb\n"), "two");
        assert_eq!(second, format!("# Benchmarks\n\n## A\n\na\n\n{HEADING}\ntwo\n\n## B\n\nb\n"));
        assert_eq!(with(&second, "two"), second);
        assert_eq!(section_of(&second, HEADING), format!("{HEADING}\ntwo\n"));
        assert_eq!(section_of("# Benchmarks\n", HEADING), "");
    }
}
