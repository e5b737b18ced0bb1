//! Scripts: their names, and where their lines begin.

use super::objects::{Pointer, Reader, small_integer};
use super::scope;
use super::tables::{LineEnds, SourcePositions};

/// Scripts within scripts that are named in one name: code of `eval` that calls `eval`.
const MAX_NESTING: u32 = 4;

/// What is known of a script.
#[derive(Debug)]
pub(super) struct Script {
    /// Path or address; for code of `eval` what V8 calls its origin. Empty if there is none.
    pub(super) name: String,
    lines: LineEnds,
    line_offset: u32,
    column_offset: u32,
}

impl Script {
    pub(super) fn read(reader: &Reader<'_>, script: Pointer) -> Option<Script> {
        Script::read_nested(reader, script, 0)
    }

    fn read_nested(reader: &Reader<'_>, script: Pointer, depth: u32) -> Option<Script> {
        let layout = &reader.layout.script;
        if !reader.is(script, reader.layout.types.script) {
            return None;
        }
        let text = |offset| reader.field(script, offset).filter(|string| reader.is_string(*string));
        let number = |offset| {
            let number = small_integer(reader.word(script.at(offset))?)?;
            u32::try_from(number).ok()
        };
        let name = match text(layout.source_url).or_else(|| text(layout.name)) {
            Some(name) => reader.name(name)?,
            None => origin(reader, script, depth).unwrap_or_default(),
        };
        let lines = LineEnds::of(reader.source(text(layout.source)?)?.into_iter());
        Some(Script {
            name,
            lines,
            // Negative ones are those of wrapped code, whose lines begin before the first.
            line_offset: number(layout.line_offset).unwrap_or(0),
            column_offset: number(layout.column_offset).unwrap_or(0),
        })
    }

    /// Line and column of a position, both from 1.
    pub(super) fn line_and_column(&self, position: u32) -> Option<(u32, u32)> {
        let (line, mut column) = self.lines.at(position)?;
        if line == 0 {
            column = column.saturating_add(self.column_offset);
        }
        Some((line.saturating_add(self.line_offset).saturating_add(1), column.saturating_add(1)))
    }
}

/// Where code was made by `eval` or `new Function`, as V8 writes it: `eval at FUNCTION (SCRIPT:LINE:COLUMN)`.
fn origin(reader: &Reader<'_>, script: Pointer, depth: u32) -> Option<String> {
    let layout = reader.layout;
    let shared = reader.field(script, layout.script.eval_from)?;
    if depth >= MAX_NESTING || !reader.is(shared, layout.types.shared) {
        return None;
    }
    let info = reader.field(shared, layout.shared.name_or_scope_info)?;
    let (mut function, _) = scope::function(reader, info)?;
    if function.is_empty() {
        function = "<anonymous>".to_owned();
    }
    let outer = Script::read_nested(reader, reader.field(shared, layout.shared.script)?, depth + 1)?;
    let place = small_integer(reader.word(script.at(layout.script.eval_position))?)?;
    let position = match u32::try_from(place) {
        Ok(position) => Some(position),
        // V8 leaves it to whoever asks to translate the place in bytecode.
        Err(_) => positions(reader, shared).and_then(|table| table.at(-i64::from(place))),
    };
    let place = position.and_then(|position| outer.line_and_column(position));
    let place = place.map(|(line, column)| format!(":{line}:{column}")).unwrap_or_default();
    Some(format!("eval at {function} ({}{place})", outer.name))
}

/// The table of a function that is not compiled by now.
fn positions(reader: &Reader<'_>, shared: Pointer) -> Option<SourcePositions> {
    let layout = reader.layout;
    let data = reader.field(shared, layout.shared.data)?;
    let bytecode = match reader.kind(data)? == layout.types.code {
        true => reader.code(data)?.2,
        false => reader.bytecode_of(data)?,
    };
    let table = reader.table(reader.field(bytecode, layout.bytecodes.source_positions)?)?;
    SourcePositions::decode(&table, reader.bytecode(bytecode)?.len())
}
