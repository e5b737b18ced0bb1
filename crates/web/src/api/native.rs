//! Views of one native trace, and the comparison of two. They answer with the documents of the command line.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use twinheap_native::{
    Costs, Cut, Direction, FrameTable, Identity, Measure, Side, SiteName, Sizes, call_sites, caller_callee,
    frame_tree, size_buckets, stack_diffs, timeline as time_line, top_down,
};
use twinheap_report::{
    CallersView, FlameCost, FlameGraph, FlameView, HistogramView, NativeDiffView, NativeSource,
    NativeView as Report, TimelineView, TreeView, callers_json, flame_html, histogram_json, native_diff_json,
    native_json, timeline_json, tree_json,
};

use super::{Answer, App, Asked, FilePath, OfNative, Shared, internal, understood};
use crate::answer::Failure;
use crate::native_view::Stretch;

/// Stacks of each kind in the summary.
const STACKS: usize = 50;
/// Stacks of a comparison.
const DIFFS: usize = 500;
/// Stretches of time if nobody says how many, and at most.
const BUCKETS: usize = 300;
const MOST_BUCKETS: usize = 2000;
/// Call sites with a line of their own in the timeline.
const SITES: usize = 6;
/// Levels of a tree.
const DEPTH: u32 = 64;
/// What is smaller than this part of the whole, in thousandths, is left out of a tree.
const LEAST: u64 = 1;

/// What all native views understand.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct NativeQuery {
    /// Seconds since the recording began.
    from: Option<f64>,
    to: Option<f64>,
    /// A part of a function's name.
    #[serde(default)]
    function: String,
    /// A call site, as JSON: function, module, file, line.
    #[serde(default)]
    site: String,
    /// `peak`, `leaked`, `allocations` or `temporary`.
    #[serde(default)]
    by: String,
    /// `up` or `down`.
    #[serde(default)]
    direction: String,
    /// Lines apart instead of functions.
    #[serde(default)]
    lines: bool,
    #[serde(default)]
    unsuppressed: bool,
    buckets: Option<usize>,
    /// `recordings` or `moments`, for the verdict; whatever fits if left out.
    #[serde(default)]
    pub(super) ladder: String,
    /// The older file, for a comparison.
    base: Option<usize>,
}

impl NativeQuery {
    pub(super) fn stretch(&self) -> Result<Stretch, Failure> {
        let ms = |seconds: f64| (seconds * 1e3).round().max(0.0) as u64;
        let is_all = self.from.is_none() && self.to.is_none();
        let range = self.from.map_or(0, ms)..self.to.map_or(u64::MAX, ms);
        if range.start >= range.end {
            return Err(Failure::bad("nothing is between these times", "choose a longer stretch of time"));
        }
        Ok(Stretch {
            ms: (!is_all).then_some(range),
            function: (!self.function.is_empty()).then(|| self.function.clone()),
            site: self.site()?,
            unsuppressed: self.unsuppressed,
        })
    }

    fn site(&self) -> Result<Option<SiteName>, Failure> {
        if self.site.is_empty() {
            return Ok(None);
        }
        let (function, module, file, line) = serde_json::from_str(&self.site).map_err(|_| {
            Failure::bad(format!("`{}` is no call site", self.site), "choose one that the Verdict names")
        })?;
        Ok(Some(SiteName { function, module, file, line }))
    }

    fn by(&self) -> Result<Measure, Failure> {
        Ok(match self.by.as_str() {
            "" | "peak" => Measure::Peak,
            "leaked" => Measure::Leaked,
            "allocations" => Measure::Allocations,
            "temporary" => Measure::Temporary,
            other => {
                return Err(Failure::bad(format!("there is no cost `{other}`"), "choose one of the list"));
            }
        })
    }

    fn identity(&self) -> Identity {
        if self.lines { Identity::Line } else { Identity::Function }
    }
}

/// What a view works with.
struct Question<'a> {
    view: &'a OfNative,
    source: NativeSource<'a>,
    query: &'a NativeQuery,
    by: Measure,
}

/// Answers a question about one file with a document of the command line.
async fn answer<T: Serialize>(
    app: Arc<App>,
    file: usize,
    query: Asked<NativeQuery>,
    name: &'static str,
    document: impl FnOnce(&Question<'_>) -> Result<T, Failure> + Send + 'static,
) -> Answer {
    let query = understood(query)?;
    let made = tokio::task::spawn_blocking(move || {
        let view = OfNative::get(&app, file)?;
        let (stretch, by) = (query.stretch()?, query.by()?);
        let path = app.files.path(file);
        view.answer(&format!("{name} {query:?}"), || {
            let costs: Arc<Costs> = view.costs(&stretch)?;
            let source = view.source(&costs, &stretch, &path, &view.0.warnings);
            let document = document(&Question { view: &view, source, query: &query, by })?;
            serde_json::to_vec(&document).map_err(|error| internal(&error))
        })
    });
    let body = made.await.map_err(|error| internal(&error))??;
    let json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    Ok((json, body.to_vec()).into_response())
}

/// `summary --json`.
pub(super) async fn summary(
    State(app): Shared,
    FilePath { file }: FilePath,
    query: Asked<NativeQuery>,
) -> Answer {
    answer(app, file, query, "summary", |asked| {
        let lost = asked.view.lost(&asked.query.stretch()?, asked.source.costs);
        let view = Report {
            source: asked.source,
            most: STACKS,
            stacks_of_site: 0,
            is_merged: true,
            show_suppressions: true,
            lost: lost.as_ref(),
        };
        serde_json::to_value(native_json(&view)).map_err(|error| internal(&error))
    })
    .await
}

/// `tree --json`.
pub(super) async fn tree(
    State(app): Shared,
    FilePath { file }: FilePath,
    query: Asked<NativeQuery>,
) -> Answer {
    answer(app, file, query, "tree", |asked| {
        let direction =
            if asked.query.direction == "down" { Direction::TopDown } else { Direction::BottomUp };
        let table = FrameTable::new(&asked.view.heap, asked.query.identity());
        let whole = asked.by.of(&asked.source.costs.total.cost).unsigned_abs();
        let cut = Cut { by: asked.by, least: whole * LEAST / 1000, depth: DEPTH };
        let tree = frame_tree(&table, asked.source.costs, direction, &cut);
        let view = TreeView {
            source: asked.source,
            table: &table,
            tree: &tree,
            direction,
            identity: asked.query.identity(),
            cut,
            most: 0,
        };
        serde_json::to_value(tree_json(&view)).map_err(|error| internal(&error))
    })
    .await
}

/// `tree --caller-callee --json`.
pub(super) async fn callers(
    State(app): Shared,
    FilePath { file }: FilePath,
    query: Asked<NativeQuery>,
) -> Answer {
    answer(app, file, query, "callers", |asked| {
        let table = FrameTable::new(&asked.view.heap, asked.query.identity());
        let callers = caller_callee(&table, asked.source.costs, asked.by);
        let view = CallersView {
            source: asked.source,
            table: &table,
            callers: &callers,
            identity: asked.query.identity(),
            by: asked.by,
            least: 0,
            most: 0,
        };
        serde_json::to_value(callers_json(&view)).map_err(|error| internal(&error))
    })
    .await
}

/// `timeline --json`; the whole recording, whatever stretch the other views show.
pub(super) async fn timeline(
    State(app): Shared,
    FilePath { file }: FilePath,
    query: Asked<NativeQuery>,
) -> Answer {
    answer(app, file, query, "timeline", |asked| {
        let heap = &asked.view.heap;
        let buckets = asked.query.buckets.unwrap_or(BUCKETS).clamp(1, MOST_BUCKETS);
        let mut sites = call_sites(heap, asked.source.costs, asked.by).sites;
        sites.truncate(SITES);
        let function = asked.source.function.map(str::as_bytes);
        let timeline = time_line(heap, asked.source.ms, buckets, &sites, function);
        let view = TimelineView { source: asked.source, timeline: &timeline, is_table: false };
        serde_json::to_value(timeline_json(&view)).map_err(|error| internal(&error))
    })
    .await
}

/// `histogram --json`.
pub(super) async fn histogram(
    State(app): Shared,
    FilePath { file }: FilePath,
    query: Asked<NativeQuery>,
) -> Answer {
    answer(app, file, query, "histogram", |asked| {
        let buckets = size_buckets(&asked.view.heap, asked.source.costs, Sizes::PowersOfTwo, asked.by);
        let view =
            HistogramView { source: asked.source, buckets: &buckets, is_exact: false, by: asked.by, most: 0 };
        serde_json::to_value(histogram_json(&view)).map_err(|error| internal(&error))
    })
    .await
}

/// `diff --json`: this file is the newer one.
pub(super) async fn diff(
    State(app): Shared,
    FilePath { file }: FilePath,
    query: Asked<NativeQuery>,
) -> Answer {
    let files = Arc::clone(&app);
    answer(app, file, query, "diff", move |asked| {
        let base = asked.query.base;
        let number =
            base.ok_or_else(|| Failure::bad("there is nothing to compare with", "choose an older file"))?;
        let base = OfNative::get(&files, number)?;
        let of_both = asked.query.stretch()?;
        let stretch = Stretch { function: of_both.function, site: of_both.site, ..Stretch::default() };
        let costs = base.costs(&stretch)?;
        let path = files.files.path(number);
        let sides = [
            Side { heap: &base.heap, costs: &costs },
            Side { heap: &asked.view.heap, costs: asked.source.costs },
        ];
        let [older, newer] = sides;
        let stacks = stack_diffs(older, newer, asked.by);
        let view = NativeDiffView {
            base: base.source(&costs, &stretch, &path, &base.0.warnings),
            new: asked.source,
            stacks: &stacks,
            by: asked.by,
            warnings: &[],
            most: DIFFS,
        };
        serde_json::to_value(native_diff_json(&view)).map_err(|error| internal(&error))
    })
    .await
}

/// The flame graph: a page of its own, with its own policy, for a frame of ours.
pub(super) async fn flamegraph(
    State(app): Shared,
    FilePath { file }: FilePath,
    query: Asked<NativeQuery>,
) -> Answer {
    let query = understood(query)?;
    let made = tokio::task::spawn_blocking(move || {
        let view = OfNative::get(&app, file)?;
        let stretch = query.stretch()?;
        let by = match query.by()? {
            Measure::Peak => FlameCost::Peak,
            Measure::Leaked => FlameCost::Leaked,
            Measure::Allocations => FlameCost::Allocations,
            Measure::Temporary => FlameCost::Temporary,
        };
        view.answer(&format!("flamegraph {query:?}"), || {
            let costs = view.costs(&stretch)?;
            let graph = FlameGraph::of_native(&view.heap, &top_down(&view.heap, &costs));
            let path = app.files.path(file);
            let shown = FlameView {
                title: path.rsplit('/').next().unwrap_or(&path),
                notes: &[],
                by,
                bottom_up: query.direction == "up",
                min_percent: 0.0,
            };
            Ok(flame_html(&graph, &shown).text.into_bytes())
        })
    });
    let page = made.await.map_err(|error| internal(&error))??;
    let mut response = Response::new(Body::from(page.to_vec()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    // The page names its script and style by their hashes; only who may frame it is left to say.
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("frame-ancestors 'self'"));
    Ok(response)
}
