//! The verdict on native traces: which call sites grow, over the recordings of one program or over moments of one.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::IntoResponse as _;
use serde::Serialize;
use twinheap_native::{Costs, FrameView, Side, SiteGrowth, SiteName, blame, growth, moments};
use twinheap_report::{NativeLeaksView, StepLabel, Style, native_leaks_brief, native_leaks_json};

use super::native::NativeQuery;
use super::{Answer, App, Asked, FilePath, OfNative, Shared, internal, understood};
use crate::answer::Failure;
use crate::files::{Opened, Problem};
use crate::native_view::Stretch;

/// Moments of one recording and suspects, as `leaks` has them if nobody says how many.
const MOMENTS: usize = 6;
const SUSPECTS: usize = 10;

/// `leaks --json`, with the words of its text.
pub(super) async fn leaks(
    State(app): Shared,
    FilePath { file }: FilePath,
    query: Asked<NativeQuery>,
) -> Answer {
    let query = understood(query)?;
    let made = tokio::task::spawn_blocking(move || {
        let view = OfNative::get(&app, file)?;
        // All sites are judged, whichever one the other views show.
        let stretch = Stretch { site: None, ..query.stretch()? };
        let ladder = Ladder::choose(&app, file, &query.ladder)?;
        view.answer(&format!("leaks {ladder:?} {stretch:?}"), || judge(&app, &ladder, &stretch))
    });
    let body = made.await.map_err(|error| internal(&error))??;
    let json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    Ok((json, body.to_vec()).into_response())
}

/// What the steps are: files by their numbers, oldest first.
#[derive(Debug)]
enum Ladder {
    Recordings(Vec<usize>),
    Moments(usize),
}

impl Ladder {
    /// The recordings up to this one that are of the same program, or of any if `recordings` are asked for; moments
    /// if there is but one. As with snapshots, what is not read yet or can't be is left out.
    fn choose(app: &App, file: usize, wanted: &str) -> Result<Ladder, Failure> {
        let command = |id: usize| match &app.files.get(id).ok()?.content {
            Opened::Native(view) => Some(view.heap.trace.command.clone()),
            Opened::Heap(_) => None,
        };
        let own = command(file);
        let is_step = |&id: &usize| match wanted {
            "recordings" => command(id).is_some(),
            _ => command(id) == own,
        };
        let recordings: Vec<usize> = (0..=file).filter(is_step).collect();
        match wanted {
            "moments" => Ok(Ladder::Moments(file)),
            "" | "recordings" if recordings.len() < 2 => Ok(Ladder::Moments(file)),
            "" | "recordings" => Ok(Ladder::Recordings(recordings)),
            other => Err(Failure::bad(
                format!("there is no verdict by `{other}`"),
                "choose `recordings` or `moments`",
            )),
        }
    }

    fn files(&self) -> Vec<usize> {
        match self {
            Ladder::Recordings(files) => files.clone(),
            Ladder::Moments(file) => vec![*file],
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Ladder::Recordings(_) => "recordings",
            Ladder::Moments(_) => "moments",
        }
    }
}

/// A step: a recording's end or a moment of it, and the costs until then.
struct Step {
    /// Position among the views.
    view: usize,
    ms: Option<u64>,
    costs: Arc<Costs>,
}

/// The answer: the document of the command line, and what its text says beside.
#[derive(Serialize)]
struct LeaksJson<D> {
    /// `recordings` or `moments`.
    ladder: &'static str,
    /// The recordings by their numbers, oldest first.
    files: Vec<usize>,
    /// The verdict in a sentence.
    headline: String,
    /// Each suspect in a few words.
    names: Vec<String>,
    /// Each suspect's call site: function, module, file, line; null if nothing is known of it.
    sites: Vec<Option<(String, String, String, u32)>>,
    /// The file of each suspect's last step.
    newest: Vec<usize>,
    /// `leaks --json`.
    leaks: D,
}

/// Why there is no verdict. Nothing is wrong with the recording, so the request did not fail.
#[derive(Serialize)]
struct NoVerdictJson {
    ladder: &'static str,
    files: Vec<usize>,
    problem: Problem,
}

fn judge(app: &App, ladder: &Ladder, stretch: &Stretch) -> Result<Vec<u8>, Failure> {
    let files = ladder.files();
    let views = files.iter().map(|&id| OfNative::get(app, id)).collect::<Result<Vec<_>, _>>()?;
    let paths: Vec<String> = files.iter().map(|&id| app.files.path(id)).collect();
    let steps = match ladder {
        Ladder::Recordings(_) => {
            let end = |(view, of): (usize, &OfNative)| {
                of.costs(stretch).map(|costs| Step { view, ms: None, costs })
            };
            views.iter().enumerate().map(end).collect::<Result<Vec<_>, _>>()?
        }
        Ladder::Moments(_) => views.first().map(|view| steps_of(view, stretch)).unwrap_or_default(),
    };
    if steps.len() < 2 {
        let file = paths.first().map(String::as_str).unwrap_or_default();
        let problem = Problem {
            error: format!("`{file}` is too short to show growth"),
            hint: "record for longer, or open several recordings, oldest first".to_owned(),
        };
        return bytes(&NoVerdictJson { ladder: ladder.word(), files, problem });
    }
    let sides: Vec<Side<'_>> =
        steps.iter().map(|step| Side { heap: &views[step.view].heap, costs: &step.costs }).collect();
    let labels: Vec<StepLabel<'_>> =
        steps.iter().map(|step| StepLabel { file: &paths[step.view], ms: step.ms }).collect();
    let of_file = |(view, path): (&OfNative, &String)| -> Vec<String> {
        view.0.warnings.iter().map(|warning| format!("{path}: {warning}")).collect()
    };
    let warnings: Vec<String> = views.iter().zip(&paths).flat_map(of_file).collect();
    let package = |frame: &FrameView<'_>| views.first().and_then(|view| (view.package_of)(frame));
    let growth = growth(&sides);
    let view = NativeLeaksView {
        steps: &sides,
        labels: &labels,
        growth: &growth,
        package: &package,
        full_names: false,
        warnings: &warnings,
        most: SUSPECTS,
    };
    let brief = native_leaks_brief(&view, &Style::default());
    let suspects = || growth.sites.iter().take(SUSPECTS);
    let site = |site: &SiteGrowth| {
        let line = blame(sides[site.step].heap, site.stack).site?;
        let SiteName { function, module, file, line } = SiteName::of(&line.frame);
        Some((function, module, file, line))
    };
    bytes(&LeaksJson {
        ladder: ladder.word(),
        headline: brief.headline,
        names: brief.suspects.into_iter().map(|suspect| suspect.name).collect(),
        sites: suspects().map(site).collect(),
        newest: suspects().map(|site| files[steps[site.step].view]).collect(),
        leaks: native_leaks_json(&view),
        files,
    })
}

/// Cuts one recording into steps.
fn steps_of(view: &OfNative, stretch: &Stretch) -> Vec<Step> {
    let moments = moments(&view.heap, stretch.ms.as_ref(), MOMENTS);
    let step = |ms: u64| Step { view: 0, ms: Some(ms), costs: Arc::new(view.costs_until(stretch, ms)) };
    // One moment says nothing of growth, and costs a pass over the recording.
    if moments.len() < 2 { Vec::new() } else { moments.into_iter().map(step).collect() }
}

fn bytes(document: &impl Serialize) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(document).map_err(|error| internal(&error))
}
