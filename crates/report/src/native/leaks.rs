//! `leaks` of native traces: which call sites grow, over recordings or over moments of one.

use serde::Serialize;
use twinheap_native::{Blame, CodeOwner, FrameView, NativeGrowth, NativeHeap, Side, SiteGrowth, blame};
use twinheap_trend::{Pattern, Verdict};

use super::{FrameJson, frame_words, frames_json, function_name, seconds};
use crate::brief::{Brief, BriefNumber, BriefPicture, BriefSuspect, shell_word};
use crate::names::{clean, json_bytes};
use crate::tiles::site_tiles;
use crate::{SCHEMA_VERSION, Style};

/// Lines of a stack in the text.
const LINES: usize = 12;

/// What is smaller than this part of the whole can't be seen in a picture of it.
const LEAST: u64 = 1000;

/// What `leaks` shows of native traces.
pub struct NativeLeaksView<'a> {
    /// The steps, oldest first.
    pub steps: &'a [Side<'a>],
    /// What each step is: a file, or a moment of one.
    pub labels: &'a [StepLabel<'a>],
    /// What grows.
    pub growth: &'a NativeGrowth,
    /// Who owns a module or script, if it is an npm package.
    pub package: &'a dyn Fn(&FrameView<'_>) -> Option<String>,
    /// Names of functions with their parameters and template arguments.
    pub full_names: bool,
    /// Sentences on what is wrong with the files.
    pub warnings: &'a [String],
    /// Sites to show.
    pub most: usize,
}

/// A step of a ladder.
#[derive(Clone, Copy, Debug)]
pub struct StepLabel<'a> {
    /// The recording.
    pub file: &'a str,
    /// The moment in milliseconds since it began; `None` is its end.
    pub ms: Option<u64>,
}

#[derive(Serialize)]
struct Document<'a> {
    schema_version: u32,
    kind: &'static str,
    verdict: &'static str,
    confidence: &'static str,
    steps: Vec<StepJson<'a>>,
    /// How many sites grow, of which `suspects` has the first.
    suspect_count: usize,
    suspects: Vec<SuspectJson>,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct StepJson<'a> {
    file: &'a str,
    /// Seconds since the recording began; null is its end.
    time: Option<f64>,
    live_bytes: u64,
}

#[derive(Serialize)]
struct SuspectJson {
    verdict: &'static str,
    confidence: &'static str,
    function: Option<Box<serde_json::value::RawValue>>,
    module: Option<Box<serde_json::value::RawValue>>,
    location: Option<LocationJson>,
    package: Option<String>,
    /// Live bytes at each step.
    bytes: Vec<u64>,
    /// Live blocks at each step.
    blocks: Vec<u64>,
    /// Bytes.
    growth_per_step: f64,
    pattern: Option<&'static str>,
    /// Different stacks; `frames` is the one that holds most.
    stacks: u64,
    frames: Vec<FrameJson>,
    advice: String,
}

#[derive(Serialize)]
struct LocationJson {
    script: Box<serde_json::value::RawValue>,
    line: Option<u32>,
    column: Option<u32>,
}

/// The document.
pub fn native_leaks_json<'a>(view: &NativeLeaksView<'a>) -> impl Serialize + use<'a> {
    let step = |(label, &live_bytes): (&StepLabel<'a>, &u64)| StepJson {
        file: label.file,
        time: label.ms.map(seconds),
        live_bytes,
    };
    Document {
        schema_version: SCHEMA_VERSION,
        kind: "native-leaks",
        verdict: view.growth.verdict.word(),
        confidence: view.growth.confidence.word(),
        steps: view.labels.iter().zip(&view.growth.live_bytes).map(step).collect(),
        suspect_count: view.growth.sites.len(),
        suspects: view.growth.sites.iter().take(view.most).map(|site| suspect_json(view, site)).collect(),
        warnings: view.warnings,
    }
}

fn suspect_json(view: &NativeLeaksView<'_>, site: &SiteGrowth) -> SuspectJson {
    let heap = view.steps[site.step].heap;
    let blame = blame(heap, site.stack);
    let frame = blame.site.map(|site| site.frame).unwrap_or_default();
    let place = place(&blame);
    let name = |text: &[u8]| (!text.is_empty()).then(|| json_bytes(text));
    SuspectJson {
        verdict: site.verdict.word(),
        confidence: site.trend.confidence.word(),
        function: name(frame.function),
        module: name(frame.module),
        location: place.map(|frame| LocationJson {
            script: json_bytes(frame.file),
            line: (frame.line > 0).then_some(frame.line),
            column: (frame.column > 0).then_some(frame.column),
        }),
        package: (view.package)(&frame),
        bytes: site.bytes.clone(),
        blocks: site.blocks.clone(),
        growth_per_step: site.trend.slope,
        pattern: site.trend.pattern.map(Pattern::word),
        stacks: site.stacks,
        frames: frames_json(heap, site.stack),
        advice: advice(view, heap, site),
    }
}

/// The line of source to look at: of the site, or of the program that called it if the site has none.
fn place<'a>(blame: &Blame<'a>) -> Option<FrameView<'a>> {
    let site = blame.site.map(|site| site.frame).filter(|frame| !frame.file.is_empty());
    let own = blame.site.is_some_and(|site| site.owner == CodeOwner::Program);
    match (site, blame.caller) {
        (Some(site), _) if own => Some(site),
        (_, Some(caller)) => Some(caller),
        (site, None) => site,
    }
}

/// The verdict in a sentence, then each site with its numbers and its stack.
pub fn native_leaks_text(view: &NativeLeaksView<'_>, style: &Style) -> String {
    let mut out = format!("{}\n", style.bold(&headline(view, style)));
    let series: Vec<String> = view.growth.live_bytes.iter().map(|&bytes| style.size(bytes)).collect();
    let steps = match (view.labels.first(), view.labels.last()) {
        (Some(StepLabel { ms: Some(first), .. }), Some(StepLabel { ms: Some(last), .. })) => {
            format!("{} moments from {:.1} s to {:.1} s", view.labels.len(), seconds(*first), seconds(*last))
        }
        _ => format!("{} recordings", view.labels.len()),
    };
    out.push_str(&format!("alive, all together: {}  ({steps})\n", series.join(" → ")));
    for site in view.growth.sites.iter().take(view.most) {
        out.push_str(&site_text(view, site, style));
    }
    if let Some(rest) = view.growth.sites.len().checked_sub(view.most).filter(|&rest| rest > 0) {
        out.push_str(&style.dim(&format!("\n… {rest} more call sites grow (--limit N)\n")));
    }
    out
}

fn headline(view: &NativeLeaksView<'_>, style: &Style) -> String {
    let growth = view.growth;
    let confidence = growth.confidence.word();
    let Some(first) = growth.sites.first() else {
        return format!("No call site grows ({confidence} confidence).");
    };
    let heap = view.steps[first.step].heap;
    let words = site_words(view, &blame(heap, first.stack));
    let by = style.size(first.trend.slope.max(0.0) as u64);
    match growth.verdict {
        Verdict::Leak => format!("Leak: {words} keeps {by} more with each step ({confidence} confidence)."),
        _ => format!("Suspect: {words} has {by} more with each step, irregularly ({confidence} confidence)."),
    }
}

/// The site, its package, and who called it.
fn site_words(view: &NativeLeaksView<'_>, blame: &Blame<'_>) -> String {
    let Some(site) = blame.site else { return "what has no stack".to_owned() };
    let mut words = frame_words(&site.frame, view.full_names);
    if let Some(package) = (view.package)(&site.frame) {
        words.push_str(&format!(" of {package}"));
    }
    if let Some(caller) = blame.caller {
        words.push_str(&format!(", called by {}", frame_words(&caller, view.full_names)));
    }
    clean(&words, 300)
}

fn site_text(view: &NativeLeaksView<'_>, site: &SiteGrowth, style: &Style) -> String {
    let heap = view.steps[site.step].heap;
    let words = site_words(view, &blame(heap, site.stack));
    let verb = if site.verdict == Verdict::Leak { "leaks" } else { "is a suspect" };
    let join = |numbers: &[u64], show: &dyn Fn(u64) -> String| {
        numbers.iter().map(|&number| show(number)).collect::<Vec<_>>().join(" → ")
    };
    let mut out = format!(
        "\n{} {verb}: {} in {} blocks\n",
        style.bold(&words),
        join(&site.bytes, &|bytes| style.size(bytes)),
        join(&site.blocks, &|blocks| style.count(blocks)),
    );
    let stacks = match site.stacks {
        1 => "allocated by one stack:".to_owned(),
        stacks => format!("allocated by {} stacks, most by:", style.count(stacks)),
    };
    out.push_str(&format!("  {stacks}\n"));
    let mut frames = heap.places(site.stack).flat_map(|ip| heap.frames(ip));
    for frame in frames.by_ref().take(LINES) {
        let words = clean(&frame_words(&frame, view.full_names), style.width.saturating_sub(6).max(40));
        let is_runtime = CodeOwner::of(&frame) < CodeOwner::Package;
        out.push_str(&format!("    {}\n", if is_runtime { style.dim(&words) } else { words }));
    }
    match frames.count() {
        0 => {}
        rest => out.push_str(&style.dim(&format!("    … {rest} more\n"))),
    }
    out.push_str(&format!("  {}\n", advice(view, heap, site)));
    out
}

/// What to do.
fn advice(view: &NativeLeaksView<'_>, heap: &NativeHeap, site: &SiteGrowth) -> String {
    let blame = blame(heap, site.stack);
    let owner = blame.site.map_or(CodeOwner::System, |site| site.owner);
    let caller = blame.caller.or(blame.site.map(|site| site.frame));
    let name = caller.map(|frame| clean(&function_name(&frame, view.full_names), 120)).unwrap_or_default();
    if blame.is_buffer {
        return format!(
            "These are bytes of Buffers or typed arrays: JavaScript objects keep them. Take two heap snapshots and see \
             what holds the Buffers made in {name}."
        );
    }
    match owner {
        CodeOwner::Package => format!(
            "The addon keeps what it allocates: look for a handle that {name} never closes, frees or lets go, and for \
             an update of the package."
        ),
        CodeOwner::Runtime | CodeOwner::System => {
            "Node.js itself allocates this: look for handles (sockets, timers, streams, contexts) that are opened and \
             never closed."
                .to_owned()
        }
        CodeOwner::Program => format!("See what becomes of the blocks that {name} allocates, and who has to free them."),
    }
}

/// The same as a report, with at most so many suspects.
pub fn native_leaks_brief(view: &NativeLeaksView<'_>, style: &Style) -> Brief {
    let growth = view.growth;
    let (size, count) = (|bytes| style.size(bytes), |blocks| style.count(blocks));
    let mut numbers = vec![BriefNumber::new("native memory alive", &growth.live_bytes, &size)];
    if let Some(worst) = growth.sites.first() {
        let words = site_words(view, &blame(view.steps[worst.step].heap, worst.stack));
        numbers.push(BriefNumber::new(&words, &worst.bytes, &size));
        numbers.push(BriefNumber::new("its blocks", &worst.blocks, &count));
    }
    let mut files: Vec<String> = view.labels.iter().map(|label| label.file.to_owned()).collect();
    files.dedup();
    let mut next = Vec::new();
    if let Some(file) = files.last().map(|file| shell_word(file)) {
        next.push(format!("twinheap tree {file} --by leaked"));
        next.push(format!("twinheap flamegraph {file} -o {file}.html"));
    }
    Brief {
        headline: headline(view, style),
        verdict: growth.verdict.word(),
        confidence: growth.confidence.word(),
        numbers,
        suspects: growth.sites.iter().take(view.most).map(|site| brief_site(view, site, style)).collect(),
        next,
        files,
        warnings: view.warnings.to_vec(),
    }
}

/// Where the bytes are that were alive at the last step.
pub fn native_leaks_picture(view: &NativeLeaksView<'_>) -> BriefPicture {
    let file = view.labels.last().map(|label| clean(label.file, 200)).unwrap_or_default();
    let least = view.growth.live_bytes.last().copied().unwrap_or(0) / LEAST;
    BriefPicture {
        caption: format!("Bytes alive at the end of {file}, by module or script and call site"),
        tiles: view.steps.last().map(|side| site_tiles(side, view.full_names, least)).unwrap_or_default(),
    }
}

fn brief_site(view: &NativeLeaksView<'_>, site: &SiteGrowth, style: &Style) -> BriefSuspect {
    let heap = view.steps[site.step].heap;
    let blame = blame(heap, site.stack);
    let bytes = BriefNumber::new("bytes", &site.bytes, &|bytes| style.size(bytes));
    let blocks = BriefNumber::new("blocks", &site.blocks, &|blocks| style.count(blocks));
    let frames = heap.places(site.stack).flat_map(|ip| heap.frames(ip));
    BriefSuspect {
        name: site_words(view, &blame),
        signature: None,
        look_at: place(&blame).map(|frame| match frame.line {
            0 => clean(&String::from_utf8_lossy(frame.file), 200),
            line => format!("{}:{line}", clean(&String::from_utf8_lossy(frame.file), 200)),
        }),
        evidence: vec![format!(
            "{}: {} in {} blocks, from {} stacks",
            site.verdict.word(),
            bytes.course.join(" → "),
            blocks.course.join(" → "),
            style.count(site.stacks)
        )],
        numbers: vec![bytes, blocks],
        trail: frames.take(LINES).map(|frame| frame_words(&frame, view.full_names)).collect(),
        advice: advice(view, heap, site),
    }
}
