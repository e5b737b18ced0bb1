//! The report as a page in one file: it opens from a disk, without a server, and runs nothing.
//!
//! The words are those of the Markdown; pictures show where people look rather than read. Every number is a `data`
//! element with its exact value. The page is well-formed XML, too.

use super::picture::{sparkline, treemap};
use super::{Brief, BriefNumber, BriefPicture, BriefSuspect};
use crate::Style;
use crate::html::{head, text};
use crate::names::clean;

const STYLE: &str = include_str!("../../assets/brief/page.css");

/// Longest text out of a dump, as in the Markdown.
const LONGEST: usize = 500;

/// The report as a page.
pub fn brief_html(brief: &Brief, picture: &BriefPicture, style: &Style) -> String {
    let mut out = head(&brief.headline, STYLE.trim(), None);
    out.push_str(&format!(
        "<body>\n<header>\n<p class=\"verdict {}\">Verdict: <strong>{}</strong>, confidence {}.</p>\n<h1>{}</h1>\n\
         </header>\n<main>\n",
        brief.verdict,
        brief.verdict,
        brief.confidence,
        words(&brief.headline)
    ));
    out.push_str("<section class=\"numbers\" aria-label=\"Numbers\">\n");
    brief.numbers.iter().for_each(|number| out.push_str(&card(number)));
    out.push_str("</section>\n");
    brief.suspects.iter().for_each(|suspect| out.push_str(&article(suspect)));
    if picture.tiles.size > 0 {
        let caption = words(&picture.caption);
        let map = treemap(&picture.tiles, &picture.caption, style);
        out.push_str(&format!("<figure>\n<figcaption>{caption}</figcaption>\n{map}</figure>\n"));
    }
    if !brief.next.is_empty() {
        out.push_str("<section>\n<h2>Next</h2>\n");
        for command in &brief.next {
            out.push_str(&format!("<pre class=\"command\">{}</pre>\n", words(command)));
        }
        out.push_str("</section>\n");
    }
    if !brief.warnings.is_empty() {
        out.push_str("<section>\n<h2>What limits this report</h2>\n<ul>\n");
        brief.warnings.iter().for_each(|warning| out.push_str(&format!("<li>{}</li>\n", words(warning))));
        out.push_str("</ul>\n</section>\n");
    }
    let files: Vec<String> = brief.files.iter().map(|file| code(file)).collect();
    let version = env!("CARGO_PKG_VERSION");
    out.push_str(&format!(
        "</main>\n<footer>twinheap {version} on {}</footer>\n</body>\n</html>\n",
        files.join(", ")
    ));
    out
}

/// A number as it is now, and how it came to that.
fn card(number: &BriefNumber) -> String {
    let Some((&now, shown)) = number.series.last().zip(number.course.last()) else { return String::new() };
    format!(
        "<div class=\"card\">\n<h2>{}</h2>\n<p class=\"now\"><data value=\"{now}\">{}</data></p>\n{}{}</div>\n",
        words(&number.name),
        words(shown),
        sparkline(number),
        course(number)
    )
}

/// All values of a series, in order; nothing if there is only one.
fn course(number: &BriefNumber) -> String {
    if number.series.len() < 2 {
        return String::new();
    }
    let one = |(value, shown): (&u64, &String)| format!("<data value=\"{value}\">{}</data>", words(shown));
    let all: Vec<String> = number.series.iter().zip(&number.course).map(one).collect();
    format!("<p class=\"course\">{}</p>\n", all.join(" → "))
}

fn article(suspect: &BriefSuspect) -> String {
    let mut out = format!("<article>\n<h2>{}</h2>\n", words(&suspect.name));
    if suspect.numbers.iter().any(|number| number.series.len() > 1) {
        out.push_str("<div class=\"growth\">\n");
        for number in &suspect.numbers {
            out.push_str(&format!(
                "<div>\n<h3>{}</h3>\n{}{}</div>\n",
                words(&number.name),
                sparkline(number),
                course(number)
            ));
        }
        out.push_str("</div>\n");
    }
    out.push_str("<ul>\n");
    if let Some(place) = &suspect.look_at {
        out.push_str(&format!("<li>look at {}</li>\n", code(place)));
    }
    suspect.evidence.iter().for_each(|seen| out.push_str(&format!("<li>{}</li>\n", words(seen))));
    if let Some(signature) = &suspect.signature {
        out.push_str(&format!("<li>signature {}</li>\n", code(signature)));
    }
    out.push_str("</ul>\n");
    if !suspect.trail.is_empty() {
        let lines: Vec<String> = suspect.trail.iter().map(|line| words(line)).collect();
        out.push_str(&format!("<pre>{}</pre>\n", lines.join("\n")));
    }
    out.push_str(&format!("<p class=\"advice\">{}</p>\n</article>\n", words(&suspect.advice)));
    out
}

fn words(text_of_dump: &str) -> String {
    text(&clean(text_of_dump, LONGEST))
}

fn code(words_of_dump: &str) -> String {
    format!("<code>{}</code>", words(words_of_dump))
}
