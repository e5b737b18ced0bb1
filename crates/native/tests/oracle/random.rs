//! Random files of each version, sound but for the order of what they say.

use std::fmt::Write as _;

struct Random(u64);

impl Random {
    /// A number below `limit`.
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// A file with some hundred events. Few names, sizes and stacks, so that everything happens to something else.
pub(crate) fn file(seed: u64, version: u32) -> String {
    let mut random = Random(seed * 4 + u64::from(version));
    let mut out = match version {
        0 => "v 10100\n".to_owned(),
        1 => "v 10200\n".to_owned(),
        _ => format!("v 10400 {version}\n"),
    };
    out.push_str("X ./program\nI 1000 4000\n");
    let mut names: Vec<String> = (0..12).map(|i| format!("function {i} x")).collect();
    names.extend((0..4).map(|i| format!("module {i}")));
    names.extend((0..8).map(|i| format!("/srv/file {i}")));
    names.extend(
        ["main", "operator new(unsigned long)", "operator new[](unsigned long)", "__new_exitfn"]
            .map(Into::into),
    );
    for name in &names {
        let _ = match version {
            3 => writeln!(out, "s {:x} {name}", name.len()),
            _ => writeln!(out, "s {name}"),
        };
    }
    let function = |random: &mut Random| match random.below(16) {
        special @ 12.. => 25 + special - 12,
        ordinary => 1 + ordinary,
    };
    let places = 24;
    for place in 0..places {
        let _ = write!(
            out,
            "i {:x} {:x}",
            0x40_0000 + place * 16,
            random.below(5).min(1) * (13 + random.below(4))
        );
        if random.below(5) > 0 {
            let _ = write!(out, " {:x}", function(&mut random));
            if random.below(3) > 0 {
                let _ = write!(out, " {:x} {:x}", 17 + random.below(3), random.below(4));
                for _ in 0..if version > 1 { random.below(3) } else { 0 } {
                    let name = function(&mut random);
                    let _ = write!(out, " {name:x} {:x} {:x}", 17 + random.below(8), random.below(90));
                }
            }
        }
        out.push('\n');
    }
    let stacks = 40;
    for stack in 0..stacks {
        let _ = writeln!(out, "t {:x} {:x}", 1 + random.below(places), random.below(stack + 1));
    }
    let infos = 60;
    let mut known = Vec::new();
    while version > 0 && known.len() < infos as usize {
        let info = (8 + random.below(30) * 8, random.below(stacks + 1));
        if !known.contains(&info) {
            let _ = writeln!(out, "a {:x} {:x}", info.0, info.1);
            known.push(info);
        }
    }
    let (mut ms, mut live) = (0, Vec::new());
    for _ in 0..600 {
        let is_free = random.below(100) < 45;
        match version {
            0 if is_free => {
                let _ = writeln!(out, "- {:x}", 0xA000 + random.below(40) * 16);
            }
            0 => {
                let (size, stack) = (8 + random.below(10) * 8, 1 + random.below(stacks));
                let _ = writeln!(out, "+ {size:x} {stack:x} {:x}", 0xA000 + random.below(40) * 16);
            }
            _ if is_free && !live.is_empty() => {
                let at = if random.below(2) == 0 {
                    live.len() - 1
                } else {
                    random.below(live.len() as u64) as usize
                };
                let _ = writeln!(out, "- {:x}", live.swap_remove(at));
            }
            _ => {
                let info = random.below(infos);
                live.push(info);
                let _ = writeln!(out, "+ {info:x}");
            }
        }
        if random.below(12) == 0 {
            ms += random.below(20);
            let _ = writeln!(out, "c {ms:x}\nR {:x}", 100 + random.below(50));
        }
    }
    let _ = writeln!(out, "# strings: {}\n# ips: {places}\n", names.len());
    out
}
