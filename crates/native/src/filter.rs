//! Costs of some stacks only.

use twinheap_trace::{FrameKind, IpId, TraceId};

use crate::blame::blame;
use crate::cost::{Cost, Costs, InfoCost};
use crate::heap::{FrameView, NativeHeap};

/// A call site by the texts of its line, as documents have them: bytes that are no text are replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SiteName {
    /// Empty if unknown.
    pub function: String,
    /// The executable, library or addon; empty if unknown.
    pub module: String,
    /// The source; empty if unknown.
    pub file: String,
    /// From 1; 0 if unknown.
    pub line: u32,
}

impl SiteName {
    /// The site that a line is.
    pub fn of(frame: &FrameView<'_>) -> SiteName {
        let [function, module, file] =
            [frame.function, frame.module, frame.file].map(|text| String::from_utf8_lossy(text).into_owned());
        SiteName { function, module, file, line: frame.line }
    }

    fn is(&self, frame: &FrameView<'_>) -> bool {
        // Generated code is in no file that could be told, and in another one in each process.
        let is_module = frame.kind == FrameKind::Js || self.module == String::from_utf8_lossy(frame.module);
        is_module
            && self.line == frame.line
            && self.function == String::from_utf8_lossy(frame.function)
            && self.file == String::from_utf8_lossy(frame.file)
    }
}

impl NativeHeap {
    /// Leaves those costs whose stacks pass through a function with `part` in its name; the others become nothing.
    /// [`Costs::total`] stays that of all stacks, as in heaptrack.
    ///
    /// Functions that stacks end with, such as `main`, are not asked for their names: they are in every stack.
    pub fn keep_function(&self, costs: &mut Costs, part: &[u8]) {
        self.keep(costs, &self.stacks_through(part));
    }

    /// Leaves those costs that [`crate::growth`] puts down to the call site; the others become nothing, as with
    /// [`NativeHeap::keep_function`].
    pub fn keep_site(&self, costs: &mut Costs, site: &SiteName) {
        let is_of_site = |&stack: &TraceId| blame(self, stack).site.is_some_and(|line| site.is(&line.frame));
        self.keep(costs, &self.stacks.iter().map(is_of_site).collect::<Vec<_>>());
    }

    fn keep(&self, costs: &mut Costs, is_kept: &[bool]) {
        for (stack, _) in costs.stacks.iter_mut().zip(is_kept).filter(|(_, is_kept)| !**is_kept) {
            stack.cost = Cost::default();
        }
        for (info, cost) in costs.infos.iter_mut().enumerate() {
            if !is_kept[self.stack_of_info[info] as usize] {
                *cost = InfoCost::default();
            }
        }
    }

    /// For each of [`NativeHeap::stacks`] whether it passes through such a function.
    pub(crate) fn stacks_through(&self, part: &[u8]) -> Vec<bool> {
        let passes = self.pass_through(part);
        self.stacks.iter().map(|stack| passes[stack.index()]).collect()
    }

    /// For each node of the tree whether the stack from there on has such a function.
    fn pass_through(&self, part: &[u8]) -> Vec<bool> {
        let (ips, strings) = (&self.trace.ips, &self.trace.strings);
        let finder = memchr::memmem::Finder::new(part);
        let mut has_part = vec![false; strings.len() + 1];
        for (id, text) in strings.iter() {
            has_part[id.index()] = finder.find(text).is_some();
        }
        let of_ip: Vec<bool> = (0..ips.len() as u32)
            .map(IpId)
            .map(|ip| ips.frames(ip).iter().any(|frame| has_part[frame.function.index()]))
            .collect();
        let mut passes = vec![false; self.trace.tree.len()];
        for node in (1..self.trace.tree.len() as u32).map(TraceId) {
            let visible = self.visible(node);
            passes[node.index()] = if visible != node {
                passes[visible.index()]
            } else if self.ends_at(node) || self.ip(node).is_zero() {
                false
            } else {
                of_ip[self.ip(node).index()] || passes[self.caller(node).index()]
            };
        }
        passes
    }
}

impl Costs {
    /// The sum over the stacks, which is less than [`Costs::total`] after [`NativeHeap::keep_function`].
    pub fn sum(&self) -> Cost {
        let mut sum = Cost::default();
        self.stacks.iter().for_each(|stack| sum += stack.cost);
        sum
    }
}
