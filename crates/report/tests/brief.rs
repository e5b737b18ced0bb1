//! A report as a page: one file that refers to nothing, runs nothing, and shows texts of a dump as text.

use std::collections::BTreeSet;

use twinheap_report::{Brief, BriefNumber, BriefPicture, BriefSuspect, Style, Tile, brief_html, brief_json};

/// Texts that would do something in a page that doesn't take them for text.
const HOSTILE: [&str; 8] = [
    "<script>window.hit=1</script>",
    "\"><img src=x onerror=window.hit=1>",
    "'><svg onload=window.hit=1>",
    "</pre></code></title></style><script>window.hit=1</script>",
    "]]><!-- &amp; &#60;b&#62;",
    "\u{202e}javascript:window.hit=1",
    "a\nb\tc\0d\u{ffff}",
    "{{constructor.constructor('window.hit=1')()}}",
];

fn brief() -> (Brief, BriefPicture) {
    let text = |at: usize| HOSTILE[at % HOSTILE.len()].to_owned();
    let number = |at: usize| BriefNumber {
        name: text(at),
        course: vec!["1.0 MB".to_owned(), text(at + 1), "3.0 MB".to_owned()],
        series: vec![1_000_000, 2_000_000 + at as u64, 3_000_000],
    };
    let suspect = |at: usize| BriefSuspect {
        name: text(at),
        numbers: vec![number(at), number(at + 3)],
        signature: Some(text(at + 1)),
        look_at: Some(text(at + 2)),
        evidence: vec![text(at + 3), text(at + 4)],
        trail: vec![text(at + 5), text(at + 6)],
        advice: text(at + 7),
    };
    let tile = |at: usize, children| Tile { size: 100, count: 7, children, ..Tile::named(&text(at)) };
    let whole = Tile {
        size: 1000,
        children: (0..8).map(|at| tile(at, vec![tile(at + 1, vec![])])).collect(),
        ..Tile::named("all")
    };
    let brief = Brief {
        headline: text(3),
        verdict: "leak",
        confidence: "high",
        numbers: (0..3).map(number).collect(),
        suspects: (0..8).map(suspect).collect(),
        next: HOSTILE.map(str::to_owned).to_vec(),
        files: HOSTILE.map(str::to_owned).to_vec(),
        warnings: HOSTILE.map(str::to_owned).to_vec(),
    };
    (brief, BriefPicture { caption: text(0), tiles: whole })
}

#[test]
fn texts_of_a_dump_are_texts_and_nothing_is_loaded_or_run() {
    let (brief, picture) = brief();
    let page = brief_html(&brief, &picture, &Style::default());
    // Well-formed, so what a parser finds is all there is.
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..roxmltree::ParsingOptions::default() };
    let document = roxmltree::Document::parse_with_options(&page, options).expect("well-formed");
    let elements = || document.descendants().filter(roxmltree::Node::is_element);
    let names: BTreeSet<&str> = elements().map(|node| node.tag_name().name()).collect();
    let wanted = [
        "article",
        "body",
        "circle",
        "code",
        "data",
        "div",
        "figcaption",
        "figure",
        "footer",
        "h1",
        "h2",
        "h3",
        "head",
        "header",
        "html",
        "li",
        "main",
        "meta",
        "p",
        "polygon",
        "polyline",
        "pre",
        "rect",
        "section",
        "strong",
        "style",
        "svg",
        "text",
        "title",
        "ul",
    ];
    assert_eq!(names, BTreeSet::from(wanted));
    for attribute in elements().flat_map(|node| node.attributes()) {
        let name = attribute.name();
        let leads_out =
            ["href", "src", "style", "action", "srcset"].contains(&name) || name.starts_with("on");
        assert!(!leads_out, "{name}={}", attribute.value());
    }
    // A browser that knows no policy finds nothing to load in the style either.
    let style =
        elements().find(|node| node.has_tag_name("style")).and_then(|node| node.text()).expect("a style");
    assert!(!style.contains("url(") && !style.contains("@import"));
    let policy =
        elements().find_map(|node| node.attribute("content").filter(|text| text.contains("default-src")));
    let policy = policy.expect("a policy");
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("script-src"));
    // Every text is there, with what can't be seen made visible.
    let shown: String = document.descendants().filter_map(|node| node.text()).collect();
    for text in &HOSTILE[..5] {
        assert!(shown.contains(text), "{text}");
    }
    for text in ["\\u{202e}javascript:", "a\\nb\\tc\\u{0}d\u{fffd}"] {
        assert!(shown.contains(text), "{text}");
    }
}

#[test]
fn its_numbers_are_those_of_the_document() {
    let (brief, picture) = brief();
    let page = brief_html(&brief, &picture, &Style::default());
    let known = serde_json::to_value(brief_json(&brief, ())).expect("a document");
    let numbers = known["numbers"].as_array().expect("numbers");
    let (_, rest) = page.split_once("<section class=\"numbers\"").expect("numbers");
    let (cards, _) = rest.split_once("</section>").expect("their end");
    let shown: Vec<u64> = cards
        .split("<data value=\"")
        .skip(1)
        .map(|rest| rest.split('"').next().and_then(|digits| digits.parse().ok()).expect("a number"))
        .collect();
    let series = |number: &serde_json::Value| {
        let all: Vec<u64> = number["series"]
            .as_array()
            .expect("a series")
            .iter()
            .filter_map(serde_json::Value::as_u64)
            .collect();
        // What it is now comes first, then its course.
        [vec![*all.last().expect("a value")], all].concat()
    };
    assert_eq!(shown, numbers.iter().flat_map(series).collect::<Vec<_>>());
}

#[test]
fn an_empty_report_is_a_page_too() {
    let page = brief_html(&Brief::default(), &BriefPicture::default(), &Style::default());
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..roxmltree::ParsingOptions::default() };
    assert!(roxmltree::Document::parse_with_options(&page, options).is_ok());
}
