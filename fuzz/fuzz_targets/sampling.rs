//! Any bytes as a sampling profile: parents stand before their children, names are in the table.

#![no_main]

use libfuzzer_sys::fuzz_target;
use twinheap_snapshot::{parse_sampling_profile, sniff};

fuzz_target!(|data: &[u8]| {
    let _kind = sniff(data);
    let Ok(profile) = parse_sampling_profile(data) else { return };
    for (at, node) in profile.nodes.iter().enumerate() {
        assert!(node.parent.is_none_or(|parent| (parent as usize) < at));
        for text in [node.function, node.url] {
            assert!(profile.strings.try_get(text).is_some());
            let _json = profile.text(text).to_json();
        }
    }
    for damage in &profile.damage {
        assert!(damage.offset <= data.len() as u64);
    }
});
