//! `twinheap assert`: fails a build when something leaks or grows too fast.

use std::path::PathBuf;

use clap::Args;
use twinheap_jsheap::leaks::{Limit, LimitCheck, LimitOf};
use twinheap_jsheap::{Heap, class_rows};
use twinheap_report::{AssertView, assert_json, assert_text};

use crate::args::Global;
use crate::failure::{DAMAGED, FOUND, Failure};
use crate::load::{load, resources};
use crate::output::Output;
use crate::progress::Progress;
use crate::verbs::leaks::{Climbed, climb, read_known};

/// Arguments of `assert`.
#[derive(Debug, Args)]
pub(crate) struct AssertArgs {
    /// Heap snapshots of one process, oldest first, with the same work between them
    #[arg(value_name = "FILE", required = true, num_args = 2..)]
    files: Vec<PathBuf>,
    /// The most that a class may grow from snapshot to snapshot: objects, or bytes retained with a unit, such as
    /// Session=0/step or Buffer=1MB/step; may be given several times
    #[arg(long, value_name = "CLASS=N/step", value_parser = parse_limit)]
    max_growth: Vec<Limit>,
    /// The most that the whole heap may grow from snapshot to snapshot, such as 200kB/step
    #[arg(long, value_name = "SIZE/step", value_parser = parse_heap_limit)]
    max_heap_growth: Option<Limit>,
    /// Leaks that are accepted: a signature a line, as `leaks` shows them
    #[arg(long, value_name = "FILE")]
    known: Option<PathBuf>,
    /// Only the limits count; leaks are shown and don't fail
    #[arg(long)]
    allow_leaks: bool,
}

pub(crate) fn run(args: &AssertArgs, global: &Global, output: &Output) -> anyhow::Result<u8> {
    if args.files.iter().filter(|file| file.as_os_str() == "-").count() > 1 {
        let what = "can't read several snapshots from standard input: it can be read only once";
        return Err(Failure::new(what).hint("give at most one of them as `-`").into());
    }
    let known = args.known.as_deref().map(read_known).transpose()?;
    let Some((first, others)) = args.files.split_first() else {
        return Err(Failure::new("no snapshot was given").into());
    };
    let progress = Progress::new(global);
    let limits: Vec<&Limit> = args.max_growth.iter().chain(&args.max_heap_growth).collect();
    let mut series = vec![Vec::new(); limits.len()];
    let join = resources(global, &progress).join;
    let mut measure = |heap: &Heap| {
        if limits.is_empty() {
            return;
        }
        let rows = class_rows(heap, None, join);
        for (limit, series) in limits.iter().zip(&mut series) {
            let Some(class) = &limit.class else {
                series.push(heap.total_size());
                continue;
            };
            let of_class =
                rows.iter().filter(|row| heap.classes().get(row.class).name().as_bytes() == class.as_bytes());
            series.push(of_class.fold(0, |sum: u64, row| {
                sum.saturating_add(match limit.of {
                    LimitOf::Count => row.count,
                    LimitOf::Retained => row.retained_size,
                })
            }));
        }
    };
    let first = load(first, global, &progress)?;
    let Climbed { mut findings, notes, .. } = climb(first, others, global, &progress, &mut measure)?;
    progress.finish(global, output)?;

    let accepted = known.map(|known| findings.accept(&known)).unwrap_or_default();
    let limits: Vec<LimitCheck> =
        limits.into_iter().cloned().zip(series).map(|(limit, series)| limit.check(series)).collect();
    let mut warnings: Vec<String> = notes.warnings.iter().chain(&findings.warnings).cloned().collect();
    for check in &limits {
        if let Some(class) = check.limit.class.as_deref().filter(|_| check.series.iter().all(|&n| n == 0)) {
            warnings.push(format!("no snapshot has an object of the class `{class}`"));
        }
    }
    let view = AssertView {
        findings: &findings,
        accepted: &accepted,
        limits: &limits,
        leaks_count: !args.allow_leaks,
        files: &notes.files,
        warnings: &warnings,
    };
    if global.json {
        output.json(&assert_json(&view))?;
    } else {
        output.text(&assert_text(&view, &output.style))?;
    }
    for warning in &warnings {
        output.warning(warning);
    }
    // A part of a heap proves nothing, neither way.
    Ok(if notes.is_damaged {
        DAMAGED
    } else if view.passed() {
        0
    } else {
        FOUND
    })
}

/// `CLASS=N/step`. A class may have `=` in its name, a number may not.
fn parse_limit(text: &str) -> Result<Limit, String> {
    let (class, limit) = text.rsplit_once('=').ok_or("it is CLASS=N/step, such as Session=0/step")?;
    if class.is_empty() {
        return Err("a class is missing in front of `=`".to_owned());
    }
    let (of, per_step) = parse_rate(limit)?;
    Ok(Limit { class: Some(class.to_owned()), of, per_step })
}

/// `SIZE/step`.
fn parse_heap_limit(text: &str) -> Result<Limit, String> {
    let (_, per_step) = parse_rate(text)?;
    Ok(Limit { class: None, of: LimitOf::Retained, per_step })
}

/// A number of objects, or with a unit of bytes: decimal ones, as sizes are shown. `/step` may be left out.
fn parse_rate(text: &str) -> Result<(LimitOf, u64), String> {
    let text = text.strip_suffix("/step").unwrap_or(text).trim();
    let number = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let scale: Option<u64> = match text[number.len()..].to_ascii_lowercase().as_str() {
        "" => None,
        "b" => Some(1),
        "k" | "kb" => Some(1_000),
        "m" | "mb" => Some(1_000_000),
        "g" | "gb" => Some(1_000_000_000),
        unit => return Err(format!("there is no unit `{unit}`; B, kB, MB and GB are known")),
    };
    let number: u64 =
        number.trim().parse().map_err(|error| format!("`{number}` is no whole number: {error}"))?;
    let of = if scale.is_some() { LimitOf::Retained } else { LimitOf::Count };
    let per_step = number.checked_mul(scale.unwrap_or(1)).ok_or("it is too large")?;
    Ok((of, per_step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<(&str, LimitOf, u64), &str>) {
        let limit = parse_limit(text);
        match (&limit, expected) {
            (Ok(limit), Ok((class, of, per_step))) => {
                assert_eq!((limit.class.as_deref(), limit.of, limit.per_step), (Some(class), of, per_step));
            }
            (Err(error), Err(part)) => assert!(error.contains(part), "{error}"),
            _ => panic!("{text}: {limit:?}"),
        }
    }

    #[test]
    fn limits_are_of_objects_or_bytes() {
        check("Session=0/step", Ok(("Session", LimitOf::Count, 0)));
        check("Session=12", Ok(("Session", LimitOf::Count, 12)));
        check("Buffer=1MB/step", Ok(("Buffer", LimitOf::Retained, 1_000_000)));
        check("a=b=2 kB", Ok(("a=b", LimitOf::Retained, 2_000)));
        check("system / Context=5", Ok(("system / Context", LimitOf::Count, 5)));
        check("Session", Err("CLASS=N/step"));
        check("=5", Err("class is missing"));
        check("Session=x", Err("no unit `x`"));
        check("Session=1.5", Err("no whole number"));
        check("Session=5furlongs", Err("no unit"));
        check("Session=99999999999999999999", Err("no whole number"));
        check("Session=99999999999999GB", Err("too large"));
    }
}
