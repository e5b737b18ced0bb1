//! What a function's `ScopeInfo` says about it: its name and where it begins.

use super::objects::{Pointer, Reader, small_integer};

/// Variables of a context that are read over at most.
const MAX_LOCALS: usize = 4096;
/// From so many variables on a table has their names.
const MAX_NAMED_LOCALS: usize = 75;
/// Words behind the variables in which the name is looked for.
const TAIL: usize = 7;

/// A function's name, empty if it has none, and the position of its start.
///
/// Which fields are there depends on bits that change with V8's versions. What follows the variables is told apart by
/// its looks instead: strings are the name or the name that V8 inferred, small integers are an index and positions, and
/// the next object, which is the scope around this one, ends it.
pub(super) fn function(reader: &Reader<'_>, info: Pointer) -> Option<(String, Option<u32>)> {
    let layout = &reader.layout.scope_info;
    if !reader.is(info, reader.layout.types.scope_info) {
        return None;
    }
    let word = |at: usize| reader.word(info.at(at * 8));
    let locals = usize::try_from(small_integer(word(layout.locals)?)?).ok()?;
    if locals > MAX_LOCALS {
        return None;
    }
    let mut at = layout.first;
    if locals > 0 {
        // Modules count their variables first.
        if small_integer(word(at)?).is_some() {
            at += 1;
        }
        at += if locals < MAX_NAMED_LOCALS { locals } else { 1 };
        at += locals;
    }
    let mut name = String::new();
    let mut numbers = Vec::new();
    for at in at..at + TAIL {
        let Some(word) = word(at) else { break };
        if let Some(number) = small_integer(word) {
            numbers.push(number);
            continue;
        }
        let Some(object) = Pointer::of(word) else { break };
        if reader.is_string(object) {
            if name.is_empty() {
                name = reader.name(object)?;
            }
        } else if reader.kind(object) != Some(reader.layout.types.oddball) {
            break;
        }
    }
    let start = if layout.has_position {
        small_integer(word(layout.first - 2)?)
    } else {
        numbers.len().checked_sub(2).map(|at| numbers[at])
    };
    Some((name, start.and_then(|start| u32::try_from(start).ok())))
}
