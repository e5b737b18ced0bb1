//! Any bytes as a file of another heap profiler: the first byte chooses the format, or leaves it to the content. What
//! is read refers to nothing that is not there, can be written in every format, and what we write is read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use twinheap_trace::{
    CostType, ExportFormat, Profile, ProfileFormat, StackId, read_profile, sniff_profile, write_dhat,
    write_folded, write_massif, write_pprof, write_speedscope,
};

const FORMATS: [ProfileFormat; 6] = [
    ProfileFormat::Massif,
    ProfileFormat::Dhat,
    ProfileFormat::Gperftools,
    ProfileFormat::Jemalloc,
    ProfileFormat::Pprof,
    ProfileFormat::Folded,
];

fn check_sound(profile: &Profile) {
    for (_, frame) in profile.frames.iter() {
        for id in [frame.function, frame.module, frame.file] {
            assert!(id.index() <= profile.strings.len());
        }
    }
    for stack in (1..profile.stacks.len() as u32).map(StackId) {
        assert!(profile.stacks.parent(stack) < stack);
    }
    for cost in profile.samples.costs() {
        assert_eq!(profile.samples.column(cost).map(<[i64]>::len), Some(profile.samples.len()));
    }
    let snapshots = profile.snapshots.iter().flat_map(|snapshot| &snapshot.stacks);
    for stack in profile.samples.stacks().iter().chain(snapshots.map(|(stack, _)| stack)) {
        assert!(stack.index() < profile.stacks.len());
    }
}

fn check_again(bytes: &[u8], format: ProfileFormat) {
    let read = read_profile(format, bytes).expect("what we wrote");
    assert_eq!(read.damage, []);
    check_sound(&read.profile);
}

fuzz_target!(|data: &[u8]| {
    let Some((&choice, bytes)) = data.split_first() else { return };
    let chosen = FORMATS.get(usize::from(choice)).copied();
    let Some(format) = chosen.or_else(|| sniff_profile(bytes)) else { return };
    let Ok(read) = read_profile(format, bytes) else { return };
    let profile = &read.profile;
    check_sound(profile);
    assert!(read.damage.iter().all(|damage| damage.offset <= bytes.len() as u64));
    for format in ExportFormat::ALL {
        let _sentences = format.losses(profile, CostType::PeakBytes);
    }
    let mut out = Vec::new();
    if write_massif(profile, 1.0, &mut out).is_ok() {
        check_again(&out, ProfileFormat::Massif);
    }
    out.clear();
    if write_pprof(profile, &mut out).is_ok() {
        check_again(&out, ProfileFormat::Pprof);
    }
    for cost in CostType::ALL {
        out.clear();
        if write_folded(profile, cost, &mut out).is_ok() {
            check_again(&out, ProfileFormat::Folded);
        }
    }
    out.clear();
    if write_dhat(profile, &mut out).is_ok() {
        check_again(&out, ProfileFormat::Dhat);
    }
    out.clear();
    let _written = write_speedscope(profile, "x", &mut out);
});
