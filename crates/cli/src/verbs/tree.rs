//! `twinheap tree`.

use twinheap_native::{
    Cut, Direction, FrameTable, FrameView, Identity, Measure, caller_callee, frame_tree, groups, thread_costs,
};
use twinheap_report::{
    CallersView, GroupsView, NativeSource, ThreadsView, TreeView, callers_json, callers_text, groups_json,
    groups_text, threads_json, threads_text, tree_json, tree_text,
};

use crate::args::Global;
use crate::args::native::{Per, TreeArgs};
use crate::failure::Failure;
use crate::output::Output;
use crate::progress::Progress;
use crate::verbs::native::{Query, Threads, check_measure, package_of, threads, work};

pub(crate) fn run(args: &TreeArgs, global: &Global, output: &Output) -> anyhow::Result<u8> {
    let progress = Progress::new(global);
    let query = Query::new(&args.select)?;
    let recording = query.open(&args.file.file, global, &progress)?;
    check_measure(args.by.into(), &recording.heap, &recording.notes.file)?;
    let identity = if args.lines { Identity::Line } else { Identity::Function };
    let question = Question {
        source: query.source(&recording),
        table: &FrameTable::new(&recording.heap, identity),
        identity,
        by: args.by.into(),
        args,
        progress: &progress,
        global,
        output,
    };
    match args.per {
        Some(per) => question.owners(per)?,
        None if args.caller_callee => question.callers()?,
        None => question.tree()?,
    }
    Ok(recording.notes.conclude(output))
}

/// What all three views need.
struct Question<'a> {
    source: NativeSource<'a>,
    table: &'a FrameTable<'a>,
    identity: Identity,
    by: Measure,
    args: &'a TreeArgs,
    progress: &'a Progress,
    global: &'a Global,
    output: &'a Output,
}

impl Question<'_> {
    fn tree(&self) -> anyhow::Result<()> {
        let direction = if self.args.top_down { Direction::TopDown } else { Direction::BottomUp };
        let cut = Cut { by: self.by, least: self.least(), depth: self.args.depth };
        let tree = self.pass("tree", || frame_tree(self.table, self.source.costs, direction, &cut))?;
        let view = TreeView {
            source: self.source,
            table: self.table,
            tree: &tree,
            direction,
            identity: self.identity,
            cut,
            most: self.args.limit,
        };
        if self.global.json {
            self.output.json(&tree_json(&view))
        } else {
            self.output.text(&tree_text(&view, &self.output.style))
        }
    }

    fn callers(&self) -> anyhow::Result<()> {
        let callers = self.pass("callers", || caller_callee(self.table, self.source.costs, self.by))?;
        let view = CallersView {
            source: self.source,
            table: self.table,
            callers: &callers,
            identity: self.identity,
            by: self.by,
            least: self.least(),
            most: self.args.limit,
        };
        if self.global.json {
            self.output.json(&callers_json(&view))
        } else {
            self.output.text(&callers_text(&view, &self.output.style))
        }
    }

    fn owners(&self, per: Per) -> anyhow::Result<()> {
        let (name, groups) = match per {
            Per::Module => ("module", self.pass("owners", || self.groups(module_of))?),
            Per::Package => ("package", self.pass("owners", || self.groups(package_of))?),
            Per::Thread => return self.threads(),
        };
        let view = GroupsView {
            source: self.source,
            groups: &groups,
            per: name,
            by: self.by,
            most: self.args.limit,
        };
        if self.global.json {
            self.output.json(&groups_json(&view))
        } else {
            self.output.text(&groups_text(&view, &self.output.style))
        }
    }

    fn threads(&self) -> anyhow::Result<()> {
        let Some(Threads { runs, names }) = threads(&self.source.heap.trace) else {
            let what = format!("`{}` does not tell which thread allocates", self.source.file);
            return Err(Failure::new(what).hint("heaptrack records no threads; try --per module").into());
        };
        let NativeSource { heap, costs, ms, .. } = self.source;
        let threads = self.pass("threads", || thread_costs(heap, costs, ms, runs, self.by))?;
        let view = ThreadsView {
            source: self.source,
            threads: &threads,
            names: &names,
            by: self.by,
            most: self.args.limit,
        };
        if self.global.json {
            self.output.json(&threads_json(&view))
        } else {
            self.output.text(&threads_text(&view, &self.output.style))
        }
    }

    fn groups(&self, owner: impl Fn(&FrameView<'_>) -> Option<Vec<u8>>) -> Vec<twinheap_native::GroupCost> {
        groups(self.table, self.source.costs, self.by, owner)
    }

    /// Runs the last pass, and ends the progress.
    fn pass<T>(&self, name: &'static str, run: impl FnOnce() -> T) -> anyhow::Result<T> {
        let stacks = work(self.source.costs.stacks.len() as u64, 0);
        let result = self.progress.pass(name, stacks, run);
        self.progress.finish(self.global, self.output)?;
        Ok(result)
    }

    /// What is worth a line.
    fn least(&self) -> u64 {
        let whole = self.by.of(&self.source.costs.total.cost).unsigned_abs();
        (whole as f64 * self.args.min_percent / 100.0).ceil() as u64
    }
}

fn module_of(frame: &FrameView<'_>) -> Option<Vec<u8>> {
    (!frame.module.is_empty()).then(|| frame.module.to_vec())
}
