//! The `trace_tree` section: allocation stacks as nested arrays.

use crate::snapshot::TraceNode;

/// Why reading stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TreeStop {
    /// All input is used.
    NeedInput,
    /// The outermost closing bracket, consumed.
    End,
    /// A byte that does not belong here, not consumed.
    Unexpected(u8),
}

/// Positions of a trace node's numbers. The children's array stands behind them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TraceLayout {
    numbers: usize,
    id: usize,
    function: usize,
    count: usize,
    size: usize,
}

impl TraceLayout {
    pub(crate) fn new(fields: &[String]) -> Option<Self> {
        let at = |name: &str| fields.iter().position(|f| f == name);
        let layout = TraceLayout {
            numbers: fields.len().checked_sub(1)?,
            id: at("id")?,
            function: at("function_info_index")?,
            count: at("count")?,
            size: at("size")?,
        };
        // A children field in front of the numbers has never existed; without a file of it, don't guess.
        (fields.last()? == "children").then_some(layout)
    }
}

/// State of the section between two chunks. The nesting is as deep as the call stacks, so it is no recursion.
pub(crate) struct TreeReader {
    layout: TraceLayout,
    /// Numbers of the node under construction.
    fields: Vec<u64>,
    partial: Option<u64>,
    /// Parent of the nodes in each open array; `u32::MAX` at the top.
    open: Vec<u32>,
}

impl TreeReader {
    /// A reader that stands behind the section's opening bracket.
    pub(crate) fn new(layout: TraceLayout) -> Self {
        TreeReader { layout, fields: Vec::with_capacity(8), partial: None, open: vec![u32::MAX] }
    }

    /// Brackets that are open, the section's own included.
    pub(crate) fn depth(&self) -> u64 {
        self.open.len() as u64
    }

    pub(crate) fn read(&mut self, input: &[u8], out: &mut Vec<TraceNode>) -> (usize, TreeStop) {
        for (at, &byte) in input.iter().enumerate() {
            if byte.is_ascii_digit() {
                let value =
                    self.partial.unwrap_or(0).saturating_mul(10).saturating_add(u64::from(byte - b'0'));
                self.partial = Some(value);
                continue;
            }
            if let Some(value) = self.partial.take() {
                if self.fields.len() == self.layout.numbers {
                    return (at, TreeStop::Unexpected(byte));
                }
                self.fields.push(value);
            }
            match byte {
                b'[' if self.fields.len() == self.layout.numbers => {
                    let l = self.layout;
                    let narrow = |v: u64| v.min(u64::from(u32::MAX)) as u32;
                    out.push(TraceNode {
                        id: narrow(self.fields[l.id]),
                        function: narrow(self.fields[l.function]),
                        count: self.fields[l.count],
                        size: self.fields[l.size],
                        parent: self.open.last().copied().filter(|&p| p != u32::MAX),
                    });
                    self.fields.clear();
                    self.open.push((out.len() - 1) as u32);
                }
                b']' if self.fields.is_empty() => {
                    self.open.pop();
                    if self.open.is_empty() {
                        return (at + 1, TreeStop::End);
                    }
                }
                b',' | b' ' | b'\n' | b'\r' | b'\t' => {}
                other => return (at, TreeStop::Unexpected(other)),
            }
        }
        (input.len(), TreeStop::NeedInput)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> TraceLayout {
        let fields = ["id", "function_info_index", "count", "size", "children"].map(String::from);
        TraceLayout::new(&fields).unwrap()
    }

    #[test]
    fn nested_stacks_become_parents() {
        let json = b"1,0,0,0,[2,1,3,40,[3,2,1,8,[]],4,5,6,7,[]]]";
        for chunk in [1, 3, 100] {
            let mut reader = TreeReader::new(layout());
            let mut nodes = Vec::new();
            let mut stop = TreeStop::NeedInput;
            for part in json.chunks(chunk) {
                stop = reader.read(part, &mut nodes).1;
            }
            assert_eq!(stop, TreeStop::End);
            let got: Vec<_> = nodes.iter().map(|n| (n.id, n.count, n.size, n.parent)).collect();
            assert_eq!(got, [(1, 0, 0, None), (2, 3, 40, Some(0)), (3, 1, 8, Some(1)), (4, 6, 7, Some(0))]);
        }
    }

    #[test]
    fn an_empty_tree_and_a_broken_one() {
        let mut nodes = Vec::new();
        assert_eq!(TreeReader::new(layout()).read(b"]", &mut nodes), (1, TreeStop::End));
        assert_eq!(TreeReader::new(layout()).read(b"1,2,[", &mut nodes).1, TreeStop::Unexpected(b'['));
        assert_eq!(TreeReader::new(layout()).read(b"1,2,3,4,5,", &mut nodes).1, TreeStop::Unexpected(b','));
        let deep = "1,0,0,0,[".repeat(200_000);
        assert_eq!(TreeReader::new(layout()).read(deep.as_bytes(), &mut nodes).1, TreeStop::NeedInput);
        assert_eq!(nodes.len(), 200_000);
    }
}
