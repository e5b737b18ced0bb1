//! valgrind's DHAT, file version 2, and the Rust crate `dhat`: JSON of program points with their costs.

use std::io::Write;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{ExportError, Failure, ReadProfile, frame_text};
use crate::damage::Damage;
use crate::ids::{FrameId, StackId};
use crate::profile::{CostType, Profile, ProfileBuilder, ProfileClock, ProfileFrame};

/// Costs of every file.
const TOTALS: [CostType; 2] = [CostType::Allocations, CostType::AllocatedBytes];
/// Costs of a file that follows blocks through their lives.
const LIVES: [CostType; 7] = [
    CostType::LiveBlocks,
    CostType::LiveBytes,
    CostType::PeakBlocks,
    CostType::PeakBytes,
    CostType::OwnPeakBlocks,
    CostType::OwnPeakBytes,
    CostType::Lifetime,
];

/// The only version that there is a description of.
const VERSION: u64 = 2;
/// The frame that stands for the whole program, always the first of the table.
const ROOT: &str = "[root]";
/// What a stack without frames is called: the viewer wants one.
const NO_STACK: &str = "(no stack)";

#[derive(Deserialize)]
struct File<'a> {
    #[serde(rename = "dhatFileVersion")]
    version: u64,
    #[serde(default)]
    mode: String,
    /// Blocks were followed through their lives.
    #[serde(default)]
    bklt: bool,
    #[serde(default)]
    bkacc: bool,
    tu: String,
    #[serde(rename = "Mtu", default)]
    million: String,
    tuth: Option<f64>,
    #[serde(default)]
    cmd: String,
    pid: Option<u64>,
    te: f64,
    tg: Option<f64>,
    #[serde(borrow)]
    pps: Vec<&'a RawValue>,
    ftbl: Vec<String>,
}

/// A program point. Blocks end in `k`.
#[derive(Deserialize, Serialize, Default)]
struct Point {
    tb: i64,
    tbk: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    tl: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mb: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mbk: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gb: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gbk: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    eb: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ebk: Option<i64>,
    /// Frames, leaf first.
    fs: Vec<usize>,
}

pub(super) fn read(bytes: &[u8]) -> Result<ReadProfile, Failure> {
    // valgrind writes names as it finds them.
    let text = String::from_utf8_lossy(bytes);
    let file: File<'_> = serde_json::from_str(&text).map_err(|error| json_failure(&text, &error))?;
    if file.version != VERSION {
        return Err(Failure::at(0, format!("it has version {}, and version 2 can be read", file.version)));
    }
    if !matches!(&file.mode[..], "" | "heap" | "rust-heap") {
        return Err(Failure::NotHeap(format!("its mode is `{}`", file.mode)));
    }
    let mut columns = TOTALS.to_vec();
    if file.bklt {
        columns.extend(LIVES);
    }
    let mut builder = ProfileBuilder::for_file(&columns, bytes.len());
    let frames: Vec<ProfileFrame> =
        file.ftbl.iter().map(|frame| frame_text::parse(frame.as_bytes(), &mut builder)).collect();
    let mut damage: Vec<Damage> = Vec::new();
    let mut stack = Vec::new();
    for raw in &file.pps {
        let point: Point = match serde_json::from_str(raw.get()) {
            Ok(point) => point,
            Err(error) => {
                note(&mut damage, &text, raw, &format!("a program point can't be read: {}", kind_of(&error)));
                continue;
            }
        };
        stack.clear();
        stack.extend(point.fs.iter().filter_map(|&at| frames.get(at).copied()));
        if stack.len() < point.fs.len() {
            note(&mut damage, &text, raw, "a program point has a frame that is not in the table");
        }
        // The root stands for the absence of a stack.
        if point.fs == [0] && file.ftbl.first().is_some_and(|frame| frame == ROOT) {
            stack.clear();
        }
        let stack = builder.stack(&stack)?;
        let mut values = vec![point.tbk, point.tb];
        if file.bklt {
            let lives = [point.ebk, point.eb, point.gbk, point.gb, point.mbk, point.mb, point.tl];
            if lives.contains(&None) {
                note(&mut damage, &text, raw, "a program point lacks a number; it counts as 0");
            }
            values.extend(lives.iter().map(|value| value.unwrap_or(0)));
        }
        builder.sample(stack, 0, &values);
    }
    let meta = &mut builder.profile.meta;
    meta.command = file.cmd.into_bytes();
    meta.pid = file.pid;
    meta.sampling_period = Some(1);
    meta.clock = Some(ProfileClock {
        unit: file.tu.into_bytes(),
        million: file.million.into_bytes(),
        end: file.te,
        peak: file.tg,
        short_lived: file.tuth,
    });
    let mut notes = Vec::new();
    if file.bkacc {
        notes.push("how often blocks were read and written is left out".to_owned());
    }
    Ok(ReadProfile { profile: builder.profile, damage, notes })
}

/// Where in the text serde_json stopped.
fn json_failure(text: &str, error: &serde_json::Error) -> Failure {
    let lines = text.split_inclusive('\n').take(error.line().saturating_sub(1));
    let offset = lines.map(str::len).sum::<usize>() + error.column().saturating_sub(1);
    Failure::at(offset.min(text.len()), kind_of(error))
}

/// What serde_json says, without the place within the piece that it saw.
fn kind_of(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}

fn note(damage: &mut Vec<Damage>, text: &str, raw: &RawValue, what: &str) {
    match damage.iter_mut().find(|known| known.what == what) {
        Some(known) => known.count += 1,
        None => {
            // The piece lies within the text.
            let offset = raw.get().as_ptr().addr().saturating_sub(text.as_ptr().addr());
            let before = &text.as_bytes()[..offset.min(text.len())];
            let line = memchr::memchr_iter(b'\n', before).count() as u64 + 1;
            damage.push(Damage { line, offset: offset as u64, count: 1, what: what.to_owned() });
        }
    }
}

/// The costs that a file of this profile would have.
pub(super) fn costs(profile: &Profile) -> Vec<CostType> {
    let mut costs = TOTALS.to_vec();
    if has_lives(profile) {
        costs.extend(LIVES);
    }
    costs
}

/// The viewer wants all of these numbers or none.
fn has_lives(profile: &Profile) -> bool {
    let clock = profile.meta.clock.as_ref();
    LIVES.iter().all(|&cost| profile.samples.column(cost).is_some())
        && clock.is_some_and(|clock| clock.peak.is_some())
}

#[derive(Serialize)]
struct Written<'a> {
    #[serde(rename = "dhatFileVersion")]
    version: u64,
    mode: &'static str,
    verb: &'static str,
    bklt: bool,
    bkacc: bool,
    tu: &'a str,
    #[serde(rename = "Mtu")]
    million: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tuth: Option<Number>,
    cmd: &'a str,
    pid: u64,
    te: Number,
    #[serde(skip_serializing_if = "Option::is_none")]
    tg: Option<Number>,
    pps: Vec<Point>,
    ftbl: Vec<String>,
}

/// A time, without `.0` where it is whole.
#[derive(Serialize)]
#[serde(untagged)]
enum Number {
    Whole(u64),
    Other(f64),
}

fn number(value: f64) -> Number {
    let whole = value as u64;
    if whole as f64 == value { Number::Whole(whole) } else { Number::Other(value) }
}

/// Writes the costs of a profile. Without the numbers that follow blocks through their lives, only what was allocated
/// is written.
///
/// # Errors
/// If allocations were not counted, and those of `out`.
pub fn write_dhat(profile: &Profile, out: &mut dyn Write) -> Result<(), ExportError> {
    let samples = &profile.samples;
    let missing = |needed| ExportError::Missing { format: "DHAT", needed };
    let blocks = samples.column(CostType::Allocations).ok_or(missing("numbers of allocations"))?;
    let bytes = samples.column(CostType::AllocatedBytes).ok_or(missing("bytes allocated"))?;
    let has_lives = has_lives(profile);

    let mut ftbl = vec![ROOT.to_owned()];
    let mut number_of: FxHashMap<Option<FrameId>, usize> = FxHashMap::default();
    let mut by_text: FxHashMap<String, usize> = FxHashMap::default();
    let mut number_of = |frame: Option<FrameId>| {
        *number_of.entry(frame).or_insert_with(|| {
            let text = match frame {
                Some(frame) => frame_text::write(profile, profile.frames.get(frame), true),
                None => NO_STACK.into(),
            };
            let text = String::from_utf8_lossy(&text).into_owned();
            *by_text.entry(text).or_insert_with_key(|text| {
                ftbl.push(text.clone());
                ftbl.len() - 1
            })
        })
    };
    // The viewer wants each stack once.
    let mut place: FxHashMap<StackId, usize> = FxHashMap::default();
    let mut places: FxHashMap<Vec<usize>, usize> = FxHashMap::default();
    let mut pps: Vec<Point> = Vec::new();
    for (sample, &stack) in samples.stacks().iter().enumerate() {
        let at = *place.entry(stack).or_insert_with(|| {
            let mut fs: Vec<usize> =
                profile.stacks.frames(stack).map(|frame| number_of(Some(frame))).collect();
            if fs.is_empty() {
                fs.push(number_of(None));
            }
            // Stacks that differ in something that has no place in the text are one.
            *places.entry(fs).or_insert_with_key(|fs| {
                pps.push(Point { fs: fs.clone(), ..Point::default() });
                pps.len() - 1
            })
        });
        let point = &mut pps[at];
        let value = |cost| samples.column(cost).map_or(0, |column| column[sample]);
        point.tbk = point.tbk.saturating_add(blocks[sample]);
        point.tb = point.tb.saturating_add(bytes[sample]);
        if has_lives {
            let lives = [
                &mut point.ebk,
                &mut point.eb,
                &mut point.gbk,
                &mut point.gb,
                &mut point.mbk,
                &mut point.mb,
                &mut point.tl,
            ];
            for (place, cost) in lives.into_iter().zip(LIVES) {
                *place = Some(place.unwrap_or(0).saturating_add(value(cost)));
            }
        }
    }
    let clock = profile.meta.clock.clone().unwrap_or_default();
    let (tu, million) = (String::from_utf8_lossy(&clock.unit), String::from_utf8_lossy(&clock.million));
    let written = Written {
        version: VERSION,
        mode: "heap",
        verb: "Allocated",
        bklt: has_lives,
        bkacc: false,
        tu: &tu,
        million: &million,
        tuth: has_lives.then(|| number(clock.short_lived.unwrap_or(0.0))),
        cmd: &String::from_utf8_lossy(&profile.meta.command),
        pid: profile.meta.pid.unwrap_or(0),
        te: number(clock.end),
        tg: clock.peak.filter(|_| has_lives).map(number),
        pps,
        ftbl,
    };
    serde_json::to_writer(&mut *out, &written)?;
    out.write_all(b"\n")?;
    Ok(())
}
