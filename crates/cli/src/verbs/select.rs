//! Filters and classes as the command line names them.

use std::path::Path;

use twinheap_jsheap::{ClassId, Filter, Heap, filtered, native_contexts};
use twinheap_report::clean;

use crate::args::{FilterArgs, FilterKind, Global};
use crate::failure::Failure;
use crate::load::{Notes, node_by_id, parse};
use crate::output::Output;
use crate::progress::Progress;

/// A filter with the nodes it lets through.
pub(crate) struct Selection {
    /// What there is to say about other files that were read for it.
    notes: Vec<Notes>,
    /// Completes the sentence "Only …".
    pub(crate) words: String,
    pub(crate) filter: Filter,
}

impl Selection {
    /// The filter the user asked for, if any. May have to read another snapshot.
    pub(crate) fn from_args(
        args: &FilterArgs,
        heap: &Heap,
        global: &Global,
        output: &Output,
    ) -> anyhow::Result<Option<Selection>> {
        let selection =
            |words: &str, filter| Ok(Some(Selection { words: words.to_owned(), filter, notes: Vec::new() }));
        if let Some(kind) = args.filter {
            return match kind {
                FilterKind::DuplicatedStrings => {
                    selection("strings whose text is there more than once", Filter::DuplicatedStrings)
                }
                FilterKind::Detached => {
                    selection("what only detached nodes hold", Filter::RetainedByDetached)
                }
                FilterKind::Contexts => {
                    selection("what only the variables of closures hold", Filter::RetainedByContexts)
                }
                FilterKind::Console => {
                    selection("what only the DevTools console holds", Filter::RetainedByConsole)
                }
                FilterKind::EventHandlers => {
                    selection("what only event handlers hold", Filter::RetainedByEventHandlers)
                }
                FilterKind::SharedContexts => {
                    selection("what several native contexts share", Filter::SharedBetweenContexts)
                }
                FilterKind::NoContext => selection("what belongs to no native context", Filter::Unattributed),
            };
        }
        if let Some(context) = &args.native_context {
            return native_context(context, heap, output);
        }
        if args.newer_than.is_none() && args.older_than.is_none() {
            return Ok(None);
        }
        let mut notes = Vec::new();
        let mut limit =
            |text: &Option<String>| text.as_deref().map(|t| last_id(t, global, &mut notes)).transpose();
        let (after, until) = (limit(&args.newer_than)?, limit(&args.older_than)?);
        let words = match (&args.newer_than, &args.older_than) {
            (Some(a), Some(b)) => format!("what was allocated between {a} and {b}"),
            (Some(a), None) => format!("what was allocated after {a}"),
            (None, Some(b)) => format!("what was allocated before {b}"),
            (None, None) => return Ok(None),
        };
        let filter = Filter::Allocated { after: after.unwrap_or(0), until: until.unwrap_or(u64::MAX) };
        Ok(Some(Selection { words, filter, notes }))
    }

    /// Hands what there is to say about other files over to the notes of the main one.
    pub(crate) fn tell(&mut self, main: &mut Notes) {
        for other in self.notes.drain(..) {
            main.is_damaged |= other.is_damaged;
            main.warnings.extend(other.warnings.iter().map(|w| format!("{}: {w}", other.file)));
        }
    }

    /// The nodes the filter lets through.
    pub(crate) fn nodes(&self, heap: &Heap) -> twinheap_jsheap::NodeSet {
        filtered(heap, self.filter)
    }
}

/// The last id that a snapshot saw: a number, or a file to look into. Only its ids count, so it is not analysed.
fn last_id(text: &str, global: &Global, notes: &mut Vec<Notes>) -> anyhow::Result<u64> {
    if let Ok(id) = text.strip_prefix('@').unwrap_or(text).parse() {
        return Ok(id);
    }
    let progress = Progress::new(global);
    let (snapshot, about) = parse(Path::new(text), global, &progress)?;
    progress.clear();
    notes.push(about);
    Ok(snapshot.max_js_object_id())
}

fn native_context(text: &str, heap: &Heap, output: &Output) -> anyhow::Result<Option<Selection>> {
    let contexts = native_contexts(heap);
    let id = text.strip_prefix('@').unwrap_or(text).parse::<u64>().ok();
    let node = match id {
        Some(id) => Some(node_by_id(heap, id)?),
        None => None,
    };
    match contexts.iter().find(|c| Some(c.node) == node) {
        Some(context) => Ok(Some(Selection {
            words: format!("what belongs to the native context @{}", heap.snapshot.id(context.node)),
            filter: Filter::NativeContext(context.node),
            notes: Vec::new(),
        })),
        None => {
            let list: Vec<String> = contexts
                .iter()
                .map(|c| format!("@{} ({})", heap.snapshot.id(c.node), output.style.size(c.shallow_size)))
                .collect();
            let hint = match &list[..] {
                [] => "the snapshot attributes nothing to native contexts".to_owned(),
                list => format!("the snapshot's native contexts are {}", list.join(", ")),
            };
            let what = format!("`{text}` is no native context of this snapshot");
            Err(Failure::new(what).hint(hint).into())
        }
    }
}

/// The classes with a name or key.
///
/// # Errors
/// When there is none; the hint names similar ones.
pub(crate) fn classes(heap: &Heap, wanted: &str) -> anyhow::Result<Vec<ClassId>> {
    let found = heap.classes().find(wanted);
    if !found.is_empty() {
        return Ok(found);
    }
    let lower = wanted.to_lowercase();
    let similar: Vec<String> = heap
        .classes()
        .iter()
        .map(|(_, class)| class.name().to_string_lossy().into_owned())
        .filter(|name| name.to_lowercase().contains(&lower))
        .take(5)
        .map(|name| format!("`{}`", clean(&name, 60)))
        .collect();
    let failure = Failure::new(format!("no object in the snapshot has the class `{wanted}`"));
    Err(match &similar[..] {
        [] => failure.hint("`twinheap summary FILE` lists the classes"),
        names => failure.hint(format!("similar classes: {}", names.join(", "))),
    }
    .into())
}
