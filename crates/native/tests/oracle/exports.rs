//! What we write is what heaptrack's and valgrind's own tools read: the numbers that they print are ours.

use std::fs;
use std::path::Path;
use std::process::Command;

use twinheap_native::{Cost, NativeHeap, Suppressions, profile};
use twinheap_trace::{
    CostType, Detail, Matching, Profile, ProfileFormat, read_profile, write_folded, write_heaptrack,
    write_massif,
};

use crate::heaptrack::{self, run};
use crate::{LOOPS, THREADS, check, random};

fn profile_of(heap: &NativeHeap) -> Profile {
    let costs = heap.costs(None, &Suppressions::none());
    profile(heap, &costs, None).unwrap()
}

/// Writes a recording as heaptrack's file: `heaptrack_print` agrees with us about the written one, and the costs of
/// each stack are those of the original.
#[track_caller]
fn check_heaptrack(file: &Path) {
    let original = heaptrack::read(file);
    let mut written = Vec::new();
    write_heaptrack(&original.trace, None, &mut written).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("written.heaptrack");
    fs::write(&path, written).unwrap();
    check(&path);

    let again = heaptrack::read(&path);
    // Only pointers tell temporary allocations exactly, and only in version 0 heaptrack asks them.
    let by_pointer = original.trace.matching == Matching::ByPointerInterpreted;
    let costs = |heap: &NativeHeap| {
        let costs = heap.costs(None, &Suppressions::none());
        let comparable = |mut cost: Cost| {
            cost.temporary_exact = 0;
            if by_pointer {
                cost.temporary = 0;
            }
            cost
        };
        let stacks: Vec<_> = costs.stacks.iter().map(|s| (s.stack, comparable(s.cost))).collect();
        (stacks, costs.total.peak_ms, costs.total.runtime_ms, costs.total.peak_rss)
    };
    assert_eq!(costs(&again), costs(&original), "{}", file.display());
    if !original.has_exact_temporary() {
        assert_eq!(again.trace.events, original.trace.events);
    }
    assert_eq!((&again.trace.tree, &again.trace.infos), (&original.trace.tree, &original.trace.infos));
    assert_eq!((&again.trace.ips, &again.trace.strings), (&original.trace.ips, &original.trace.strings));
    assert_eq!((&again.trace.clock, &again.trace.rss), (&original.trace.clock, &original.trace.rss));
    assert_eq!(again.trace.command, original.trace.command);
}

#[test]
fn heaptrack_reads_what_we_write() {
    check_heaptrack(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/node22-start.heaptrack.zst"));
    let folder = tempfile::tempdir().unwrap();
    for version in 0..=3 {
        let file = folder.path().join(format!("random{version}.heaptrack"));
        fs::write(&file, random::file(7, version)).unwrap();
        check_heaptrack(&file);
    }
}

#[test]
fn heaptrack_applies_the_suppressions_that_we_write() {
    let text = "v 10400 3\nX ./shop\nS 9 leak:make\ns 4 make\ns 4 sell\ni 1 0 1\ni 2 0 2\nt 1 0\nt 2 0\n\
                a 64 1\na 32 2\n+ 0\n+ 1\nc 1\n";
    let folder = tempfile::tempdir().unwrap();
    let (file, path) = (folder.path().join("original.heaptrack"), folder.path().join("written.heaptrack"));
    fs::write(&file, text).unwrap();
    let original = heaptrack::read(&file);
    let mut written = Vec::new();
    write_heaptrack(&original.trace, None, &mut written).unwrap();
    fs::write(&path, written).unwrap();
    check(&path);
    let again = heaptrack::read(&path);
    let leaked = |heap: &NativeHeap, as_heaptrack| {
        let suppressions = Suppressions::none().embedded(&heap.trace, as_heaptrack);
        heap.costs(None, &suppressions).total.cost.leaked
    };
    // heaptrack can't read its own, and reads ours.
    assert_eq!((leaked(&original, true), leaked(&original, false)), (0x96, 0x32));
    assert_eq!((leaked(&again, true), leaked(&again, false)), (0x32, 0x32));
}

#[test]
fn a_stretch_of_time_is_written_with_its_own_events() {
    let folder = tempfile::tempdir().unwrap();
    let program = heaptrack::compile(folder.path(), LOOPS, "-O0");
    let original = heaptrack::read(&heaptrack::record(&program, &folder.path().join("loops")));
    let stamps = original.trace.clock.stamps();
    let range = 0..stamps[stamps.len() / 2].ms;
    let mut written = Vec::new();
    write_heaptrack(&original.trace, Some(&range), &mut written).unwrap();
    let path = folder.path().join("written.heaptrack");
    fs::write(&path, written).unwrap();
    check(&path);
    let cost = |heap: &NativeHeap, ms| heap.costs(ms, &Suppressions::none()).total.cost;
    assert_eq!(cost(&heaptrack::read(&path), None), cost(&original, Some(&range)));
}

/// The totals of a profile are those of the costs, stack by stack they are those of an obvious replay.
#[track_caller]
fn check_profile(heap: &NativeHeap) -> Profile {
    let costs = heap.costs(None, &Suppressions::none());
    let profile = profile(heap, &costs, None).unwrap();
    let total = |cost| profile.samples.total(cost).unwrap();
    let cost = &costs.total.cost;
    assert_eq!(total(CostType::Allocations), cost.allocations.cast_signed());
    assert_eq!(total(CostType::AllocatedBytes), cost.bytes.cast_signed());
    assert_eq!(total(CostType::Temporary), cost.temporary.cast_signed());
    assert_eq!((total(CostType::LiveBytes), total(CostType::PeakBytes)), (cost.leaked, cost.peak));

    // Block by block, with their times.
    let trace = &heap.trace;
    let (mut live, mut most) = (0_i64, 0_i64);
    let (mut blocks, mut blocks_at_peak, mut lifetime) = (0_i64, 0, 0_i64);
    trace.events.replay(0..u64::MAX, |first, run| {
        for (at, event) in (first..).zip(run) {
            let sign = if event.is_free() { -1 } else { 1 };
            blocks += sign;
            live += sign * trace.infos.size(event.info()).cast_signed();
            lifetime -= sign * trace.clock.at(at).cast_signed() * 1000;
            if live > most {
                (most, blocks_at_peak) = (live, blocks);
            }
        }
    });
    lifetime += blocks * trace.clock.runtime_ms().cast_signed() * 1000;
    assert_eq!((total(CostType::LiveBlocks), total(CostType::PeakBlocks)), (blocks, blocks_at_peak));
    assert_eq!(total(CostType::Lifetime), lifetime);
    let own = profile.samples.column(CostType::OwnPeakBytes).unwrap();
    let peak = profile.samples.column(CostType::PeakBytes).unwrap();
    assert!(own.iter().zip(peak).all(|(own, peak)| own >= peak));
    profile
}

#[test]
fn massif_files_are_what_ms_print_reads() {
    let folder = tempfile::tempdir().unwrap();
    let program = heaptrack::compile(folder.path(), LOOPS, "-O0");
    let file = heaptrack::record(&program, &folder.path().join("loops"));
    let heap = heaptrack::read(&file);
    let profile = check_profile(&heap);
    let path = folder.path().join("massif.out");
    let mut out = Vec::new();
    write_massif(&profile, 1.0, &mut out).unwrap();
    fs::write(&path, out).unwrap();
    let printed = run(Command::new("ms_print").arg(&path));
    let text = String::from_utf8_lossy(&printed.stdout);
    assert!(printed.stderr.is_empty(), "{}", String::from_utf8_lossy(&printed.stderr));
    let peak = heap.costs(None, &Suppressions::none()).total.cost.peak;
    let top = format!("100.00% ({peak}B) (heap allocation functions)");
    assert!(text.replace(',', "").contains(&top), "no {top} in {text}");
    assert!(text.contains("(peak)") && text.contains("main (") && !text.contains("bad time_unit"), "{text}");

    // heaptrack's own file for massif has no trees that mean something, but a series.
    let theirs = folder.path().join("theirs.massif");
    run(Command::new("heaptrack_print").arg("-M").arg(&theirs).arg("-f").arg(&file));
    let theirs = read_profile(ProfileFormat::Massif, &slurp(&theirs)).unwrap();
    let live = live_at_ticks(&heap);
    for snapshot in &theirs.profile.snapshots {
        let tick = ((snapshot.time * 1e3).round() as u64, snapshot.heap_bytes);
        assert!(live.contains(&tick), "{tick:?} is not among {live:?}");
    }
    let ours = &profile.snapshots;
    assert!(ours.len() <= 102 && ours.is_sorted_by_key(|snapshot| snapshot.time as u64));
    assert_eq!(ours.iter().filter(|snapshot| snapshot.detail == Detail::Peak).count(), 1);
    let seconds = theirs.profile.meta.clock.and_then(|clock| clock.seconds(clock.end)).unwrap();
    assert!((seconds - heap.trace.clock.runtime_ms() as f64 / 1e3).abs() < 0.0011, "{seconds}");
}

/// Milliseconds of each tick of the clock and of the end, and the bytes alive then.
fn live_at_ticks(heap: &NativeHeap) -> Vec<(u64, u64)> {
    let trace = &heap.trace;
    let ticks = trace.clock.stamps().iter().map(|stamp| (stamp.event, stamp.ms));
    let ticks = ticks.chain([(trace.events.len(), trace.clock.runtime_ms())]);
    let (mut live, mut start, mut all) = (0_u64, 0, Vec::new());
    for (end, ms) in ticks {
        trace.events.replay(start..end, |_, run| {
            for event in run {
                let size = trace.infos.size(event.info());
                live = if event.is_free() { live - size } else { live + size };
            }
        });
        all.push((ms, live));
        start = end;
    }
    all
}

fn slurp(path: &Path) -> Vec<u8> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    fs::File::open(path).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

/// Weights of stacks whose frames are put in order of their names: heaptrack writes those that are inlined the wrong
/// way round. It writes files behind functions, we write modules behind addresses.
fn weights(folded: &[u8]) -> Vec<(Vec<String>, i64)> {
    let profile = read_profile(ProfileFormat::Folded, folded).unwrap().profile;
    let name = |id| {
        let text = String::from_utf8_lossy(profile.strings.get(profile.frames.get(id).function)).into_owned();
        text.split([' ', '(', '[']).next().unwrap().to_owned()
    };
    let column = profile.samples.column(CostType::Weight).unwrap();
    let stacks = profile.samples.stacks().iter().zip(column);
    let mut all: std::collections::BTreeMap<Vec<String>, i64> = std::collections::BTreeMap::new();
    for (&stack, &weight) in stacks.filter(|(_, weight)| **weight != 0) {
        let mut names: Vec<String> = profile.stacks.frames(stack).map(name).collect();
        names.sort();
        *all.entry(names).or_default() += weight;
    }
    all.into_iter().collect()
}

#[test]
fn folded_stacks_are_those_of_heaptrack() {
    let folder = tempfile::tempdir().unwrap();
    for (number, (source, optimise)) in [(LOOPS, "-O0"), (THREADS, "-O2")].into_iter().enumerate() {
        let program = heaptrack::compile(folder.path(), source, optimise);
        let file = heaptrack::record(&program, &folder.path().join(format!("run{number}")));
        let profile = profile_of(&heaptrack::read(&file));
        for (cost, word) in [
            (CostType::PeakBytes, "peak"),
            (CostType::LiveBytes, "leaked"),
            (CostType::Allocations, "allocations"),
            (CostType::Temporary, "temporary"),
        ] {
            let path = folder.path().join(format!("{word}.folded"));
            run(Command::new("heaptrack_print")
                .args(["--flamegraph-cost-type", word, "-F"])
                .arg(&path)
                .arg("-f")
                .arg(&file));
            let mut ours = Vec::new();
            write_folded(&profile, cost, &mut ours).unwrap();
            assert_eq!(weights(&ours), weights(&slurp(&path)), "{word}");
        }
    }
}

#[test]
fn random_recordings_have_the_profile_of_an_obvious_replay() {
    let folder = tempfile::tempdir().unwrap();
    for seed in 0..20 {
        let file = folder.path().join("random.heaptrack");
        fs::write(&file, random::file(seed, 3)).unwrap();
        let heap = heaptrack::read(&file);
        let costs = heap.costs(None, &Suppressions::none());
        let profile = profile_of(&heap);
        for (cost, expected) in [
            (CostType::LiveBytes, costs.total.cost.leaked),
            (CostType::PeakBytes, costs.total.cost.peak),
            (CostType::AllocatedBytes, costs.total.cost.bytes.cast_signed()),
        ] {
            assert_eq!(profile.samples.total(cost), Some(expected), "seed {seed}");
        }
    }
}
