//! Any bytes as a profile: no panic, and no answer contradicts itself or can't be written.

use proptest::prelude::*;
use twinheap_trace::{
    CostType, Profile, ProfileFormat, read_profile, sniff_profile, write_dhat, write_folded, write_massif,
    write_pprof, write_speedscope,
};

const FORMATS: [ProfileFormat; 6] = [
    ProfileFormat::Massif,
    ProfileFormat::Dhat,
    ProfileFormat::Gperftools,
    ProfileFormat::Jemalloc,
    ProfileFormat::Pprof,
    ProfileFormat::Folded,
];

const FIXTURES: [&[u8]; 8] = [
    include_bytes!("fixtures/valgrind.massif"),
    include_bytes!("fixtures/heaptrack14.massif"),
    include_bytes!("fixtures/valgrind.dhat"),
    include_bytes!("fixtures/rust.dhat.json"),
    include_bytes!("fixtures/gperftools.heap"),
    include_bytes!("fixtures/jemalloc-sampled.heap"),
    include_bytes!("fixtures/go.pb"),
    b"main;a;b 3\nmain;a 4\nmain;c\\x3bd 5\n",
];

/// Everything that is referred to is there, and every column is as long as the samples are many.
fn check_sound(profile: &Profile) {
    for (_, frame) in profile.frames.iter() {
        for id in [frame.function, frame.module, frame.file] {
            assert!(id.index() <= profile.strings.len());
        }
    }
    for stack in (1..profile.stacks.len() as u32).map(twinheap_trace::StackId) {
        assert!(profile.stacks.parent(stack) < stack);
        assert!(profile.stacks.frames(stack).next().is_some_and(|f| f.index() < profile.frames.len()));
    }
    let samples = &profile.samples;
    for cost in samples.costs() {
        assert_eq!(samples.column(cost).map(<[i64]>::len), Some(samples.len()));
    }
    let snapshots = profile.snapshots.iter().flat_map(|snapshot| &snapshot.stacks);
    for &stack in samples.stacks().iter().chain(snapshots.map(|(stack, _)| stack)) {
        assert!(stack.index() < profile.stacks.len());
    }
    for mapping in &profile.meta.mappings {
        assert!(mapping.file.index() <= profile.strings.len());
    }
}

/// What was read can be written in every format, and what was written is whole.
fn check_written(profile: &Profile) {
    let check = |bytes: &[u8], format| {
        let read = read_profile(format, bytes).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(read.damage, []);
        check_sound(&read.profile);
    };
    let mut out = Vec::new();
    if write_massif(profile, 1.0, &mut out).is_ok() {
        check(&out, ProfileFormat::Massif);
    }
    out.clear();
    if write_pprof(profile, &mut out).is_ok() {
        check(&out, ProfileFormat::Pprof);
    }
    for cost in CostType::ALL {
        out.clear();
        if write_folded(profile, cost, &mut out).is_ok() {
            check(&out, ProfileFormat::Folded);
        }
    }
    out.clear();
    if write_dhat(profile, &mut out).is_ok() {
        check(&out, ProfileFormat::Dhat);
    }
    out.clear();
    if write_speedscope(profile, "x", &mut out).is_ok() {
        let _file: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
    }
}

fn check_bytes(bytes: &[u8]) {
    for format in FORMATS {
        let Ok(read) = read_profile(format, bytes) else { continue };
        check_sound(&read.profile);
        check_written(&read.profile);
        for damage in &read.damage {
            assert!(damage.offset <= bytes.len() as u64 && damage.line > 0 && damage.count > 0);
        }
    }
    let _format = sniff_profile(bytes);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        check_bytes(&bytes);
    }

    #[test]
    fn damaged_files_are_read_in_part(
        fixture in 0..FIXTURES.len(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..6),
    ) {
        let mut bytes = FIXTURES[fixture].to_vec();
        for (at, byte, edit) in edits {
            let at = at.index(bytes.len());
            match edit {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => bytes[at] ^= 1 << (byte & 7),
                _ if at > 0 => bytes.truncate(at),
                _ => {}
            }
        }
        check_bytes(&bytes);
    }
}

#[test]
fn two_peaks_become_one() {
    let snapshot = "snapshot=0\ntime=1\nmem_heap_B=8\nheap_tree=peak\nn0: 8 all\n";
    check_bytes(format!("desc: x\ncmd: y\ntime_unit: B\n{snapshot}{snapshot}").as_bytes());
}

#[test]
fn sound_files_can_be_written_in_every_format() {
    FIXTURES.iter().for_each(|bytes| check_bytes(bytes));
}

#[test]
fn deep_stacks_do_not_recurse() {
    let depth = 10_000;
    let names: Vec<String> = (0..depth).map(|at| format!("f{at}")).collect();
    check_bytes(format!("{} 1\n", names.join(";")).as_bytes());
    let mut massif = "desc: x\ncmd: y\ntime_unit: B\nsnapshot=0\nheap_tree=peak\nn1: 8 all\n".to_owned();
    for at in 1..2_000 {
        massif.push_str(&format!("{}n{}: 8 f{at}\n", " ".repeat(at), u8::from(at < 1_999)));
    }
    check_bytes(massif.as_bytes());
    check_bytes(format!("{{\"dhatFileVersion\":2,\"pps\":{}", "[".repeat(100_000)).as_bytes());
}
